//! One function for each target in `fuzz/`: it takes any bytes, and must neither panic nor take memory that the bytes
//! do not warrant. The test suite runs the same functions over mutated seeds, on stable Rust.

use crate::archive::codec::{Decode as _, Encode as _};
use crate::archive::frame::{FRAME_HEADER_BYTES, FrameHeader};
use crate::archive::root::Root;
use crate::archive::{
    AddedKeys, FrameKind, Header, Locator, OpenScratch, Opener, Options, Page, Place, Salvager, Verifier,
    Writer,
};
use crate::catalog::acting::Acting;
use crate::catalog::encode;
use crate::catalog::kind::Target;
use crate::columns::{self, Laid, Plan};
use crate::extract::{Extractor, Form};
use crate::fields::Fields;
use crate::pg::copy::{ZoneColumn, ZoneMap, ZoneTracker, ZoneType, rows};
use crate::pg::version::ServerVersion;
use crate::seal::recipient::WrappedKey;

/// A whole archive: opened as a restore opens it, verified front to back, and salvaged.
pub fn open_archive(data: &[u8]) {
    let mut locator = Locator::new(u64::try_from(data.len()).unwrap_or(u64::MAX));
    while let Some(range) = locator.wants() {
        let range = usize::try_from(range.start).unwrap_or(0)..usize::try_from(range.end).unwrap_or(0);
        let Some(bytes) = data.get(range) else { break };
        if locator.feed(bytes).is_err() {
            break;
        }
    }
    let archive = locator.finish().and_then(|located| located.unlock(&[]));
    let opener = archive.ok().map(|archive| archive.opener).or_else(clear_opener);
    let (Some(opener), Ok(mut scratch)) = (opener, OpenScratch::new()) else {
        return;
    };
    if let Ok(mut verifier) = Verifier::with_key(opener.clone()) {
        data.chunks(1000).for_each(|piece| verifier.feed(piece));
        drop(verifier.finish());
    }
    let mut salvager = Salvager::new(opener, 0);
    salvager.feed(data);
    salvager.end();
    while salvager.next(&mut scratch).is_some() {}
}

/// A root index or an index page. What decodes encodes to the same bytes.
pub fn index(data: &[u8]) {
    if let Ok(root) = Root::from_bytes(data) {
        assert_eq!(root.to_bytes(), data);
    }
    if let Ok(page) = Page::from_bytes(data) {
        assert_eq!(page.to_bytes(), data);
    }
}

/// A header, its checksum made right first, a single wrapped key, and keys that were added.
pub fn header(data: &[u8]) {
    drop(AddedKeys::decode(data, 1));
    if let Ok(stanza) = WrappedKey::from_bytes(data) {
        assert_eq!(stanza.to_bytes(), data);
    }
    let mut repaired = data.to_vec();
    if let Some((content, crc)) = repaired.split_last_chunk_mut::<4>() {
        *crc = crc32fast::hash(content).to_le_bytes();
    }
    if let Ok(header) = Header::decode(&repaired, Place::Header) {
        assert_eq!(header.as_bytes(), repaired);
        drop(header.unlock(&[]));
    }
}

/// A frame's header, and a frame with this body and right checksums, of every kind.
pub fn frame(data: &[u8]) {
    if let Some(bytes) = data.first_chunk::<FRAME_HEADER_BYTES>()
        && let Ok(header) = FrameHeader::decode(bytes)
    {
        assert_eq!(header.encode(), *bytes);
    }
    let (Some(opener), Ok(mut scratch)) = (clear_opener(), OpenScratch::new()) else {
        return;
    };
    for kind in [FrameKind::Section, FrameKind::Chunk, FrameKind::Page, FrameKind::Root] {
        let body_length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let header = FrameHeader { kind, body_length, sequence: 0, body_crc: crc32fast::hash(data) };
        let whole = [&header.encode()[..], data].concat();
        if let Ok(opened) = opener.open(&whole, &header.at(0), &mut scratch) {
            drop((opened.chunk(), opened.part(), opened.page(), opened.root()));
        }
    }
}

/// COPY text: rows, columns and values taken apart, laid out in columns and back, extracted in every form.
pub fn copy_rows(data: &[u8]) {
    let mut names = Vec::new();
    for row in rows::rows(data) {
        let columns: Vec<&[u8]> = rows::columns(row).collect();
        assert_eq!(columns.join(&b'\t'), row);
        for column in &columns {
            let value = rows::value(column);
            let mut again = Vec::new();
            rows::push_value(&mut again, value.as_deref());
            assert_eq!(rows::value(&again).as_deref(), value.as_deref());
        }
        names.resize(names.len().max(columns.len()), "c".to_owned());
    }
    let (mut fields, mut turned, mut back) = (Fields::default(), Vec::new(), Vec::new());
    if fields.find(data) {
        let mut zones = ZoneTracker::new(data, &ZONES);
        fields.each_row().for_each(|row| zones.row(row));
        let map = zones.finish();
        assert_eq!(
            ZoneMap::decode(&map.encode()).bounds.iter().flatten().count(),
            map.bounds.iter().flatten().count()
        );
        let rows = fields.rows();
        encoded(data, &fields);
        assert!(fields.to_columns(data, &mut turned) && fields.to_rows(&turned, rows, &mut back));
        assert_eq!(back, data);
    }
    let claimed = data.first().map_or(0, |byte| usize::from(*byte));
    fields.to_rows(data, claimed, &mut back);
    for form in [Form::Csv, Form::Jsonl, Form::Sql, Form::Copy] {
        drop(Extractor::new(form, "t".to_owned(), names.clone()).block(data));
    }
}

/// Every row comes back from the encodings that are best for it; and hostile bytes are refused.
fn encoded(data: &[u8], fields: &Fields) {
    let (mut laid, mut back) = (Laid::default(), Vec::new());
    let (width, rows) = (fields.columns(), fields.rows());
    let Ok(plan) = Plan::choose(data, fields, |bytes, _| Ok::<_, std::convert::Infallible>(bytes.len()));
    assert!(columns::lay_out(&plan, data, fields, &mut laid));
    assert!(columns::bring_back(laid.bytes(), width, rows, data.len(), &mut back));
    assert_eq!(back, data);
    columns::bring_back(data, width, rows, data.len(), &mut back);
}

/// One zone column of each order.
const ZONES: [ZoneColumn; 3] = [
    ZoneColumn { position: 0, order: ZoneType::Integer },
    ZoneColumn { position: 1, order: ZoneType::Time },
    ZoneColumn { position: 2, order: ZoneType::Bytes },
];

/// A catalog: decoded, encoded again, and made into statements for the newest version.
pub fn catalog_decode(data: &[u8]) {
    let Ok(model) = encode::decode(data) else { return };
    let bytes = encode::encode(&model).unwrap_or_default();
    assert_eq!(encode::decode(&bytes).ok().as_ref(), Some(&model));
    let target = Target { version: NEWEST, source: model.server, superuser: true };
    let acting = Acting::default();
    for entry in &model.entries {
        let (head, object) = (&entry.head, &entry.object);
        drop((object.identity(head), object.drop(head), object.warnings(head)));
        drop((object.create(head, &target), object.create_without_detached(head, &target)));
        drop((object.create_detached(head, &target), entry.attributes(true, &acting)));
        drop(entry.privileges(&target, &acting));
    }
}

/// The version that statements are made for.
const NEWEST: ServerVersion = ServerVersion(180_000);

/// An opener that takes any bytes for authentic, as an archive without encryption does.
fn clear_opener() -> Option<Opener> {
    let writer = Writer::new(&Options::default()).ok()?;
    let keys = writer.header().unlock(&[]).ok()?;
    Opener::new(writer.header(), keys).ok()
}
