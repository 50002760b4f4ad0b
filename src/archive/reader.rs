//! Opens an archive by its end: says which bytes it needs next, takes them, and gives header, footer and root.
//!
//! ```
//! use pgcask::archive::{Locator, Options, Writer};
//! # fn main() -> Result<(), pgcask::archive::Error> {
//! let mut writer = Writer::new(&Options::default())?;
//! writer.declare(1, b"public.t")?;
//! let bytes = writer.finish()?.bytes.concat();
//!
//! let mut locator = Locator::new(bytes.len() as u64);
//! while let Some(range) = locator.wants() {
//!     locator.feed(&bytes[range.start as usize..range.end as usize])?; // a ranged read of the store
//! }
//! let archive = locator.finish()?.unlock(&[])?;
//! assert_eq!(archive.root.streams[0].name, b"public.t");
//! # Ok(()) }
//! ```

use std::ops::Range;

use super::codec::{to_u64, to_usize};
use super::error::{Damage, Error, Place};
use super::footer::{FOOTER_BYTES, Footer};
use super::frame::check;
use super::header::{Header, MAGIC};
use super::opener::{OpenScratch, Opener};
use super::root::Root;
use crate::limits::TAIL_BYTES;
use crate::seal::data_key::Keys;
use crate::seal::recipient::Identity;

/// Finds footer, header and root index of an archive of known length, in one to three reads.
///
/// The copy of the header near the end is preferred, for it comes with the first read; when it is damaged the header
/// at the front is read instead.
#[derive(Debug)]
pub struct Locator {
    length: u64,
    tail: Vec<u8>,
    footer: Option<Footer>,
    header: Option<Header>,
    root: Option<Vec<u8>>,
    next: Wanted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Tail,
    /// The magic, to tell an unfinished archive from anything else.
    Magic,
    HeaderCopy,
    Header,
    Root,
    Nothing,
}

impl Locator {
    /// For an archive of `length` bytes.
    pub const fn new(length: u64) -> Self {
        Self { length, tail: Vec::new(), footer: None, header: None, root: None, next: Wanted::Tail }
    }

    /// The bytes to read next and to give to [`Locator::feed`], or `None` when all is there.
    pub fn wants(&self) -> Option<Range<u64>> {
        let footer = self.footer.as_ref();
        match self.next {
            Wanted::Tail => Some(self.tail_start()..self.length),
            Wanted::Magic => Some(0..to_u64(MAGIC.len()).min(self.length)),
            Wanted::HeaderCopy => footer.map(Footer::header_copy),
            Wanted::Header => footer.map(|footer| 0..u64::from(footer.header_bytes)),
            Wanted::Root => footer.map(|footer| footer.root.range()),
            Wanted::Nothing => None,
        }
    }

    /// Takes exactly the bytes that [`Locator::wants`] named.
    ///
    /// # Errors
    /// [`Error::NotAnArchive`], [`Error::Incomplete`], [`Error::Version`], [`Error::Damaged`], and [`Error::Misuse`]
    /// for other bytes than the wanted.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let wanted = self.wants().ok_or(Error::Misuse("nothing more was wanted"))?;
        if to_u64(bytes.len()) != wanted.end - wanted.start {
            return Err(Error::Misuse("other bytes were fed than were wanted"));
        }
        match self.next {
            Wanted::Tail => self.feed_tail(bytes)?,
            Wanted::Magic => return Err(without_footer(bytes)),
            Wanted::HeaderCopy => self.feed_header_copy(bytes)?,
            Wanted::Header => self.feed_header(bytes, Place::Header)?,
            Wanted::Root => self.root = Some(bytes.to_vec()),
            Wanted::Nothing => {}
        }
        self.serve_from_tail()
    }

    /// The located archive.
    ///
    /// # Errors
    /// [`Error::Misuse`] when something is still wanted.
    pub fn finish(self) -> Result<Located, Error> {
        match (self.header, self.footer, self.root) {
            (Some(header), Some(footer), Some(root)) => Ok(Located { header, footer, root }),
            _ => Err(Error::Misuse("not all was fed that was wanted")),
        }
    }

    const fn tail_start(&self) -> u64 {
        self.length.saturating_sub(TAIL_BYTES)
    }

    fn feed_tail(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match bytes.last_chunk::<FOOTER_BYTES>().map(|footer| Footer::decode(footer, self.length)) {
            Some(Ok(footer)) => self.footer = Some(footer),
            None | Some(Err(Error::Damaged { damage: Damage::NotFound, .. })) if self.tail_start() > 0 => {
                self.next = Wanted::Magic;
                return Ok(());
            }
            None | Some(Err(Error::Damaged { damage: Damage::NotFound, .. })) => {
                return Err(without_footer(bytes));
            }
            Some(Err(error)) => return Err(error),
        }
        self.tail = bytes.to_vec();
        self.next = Wanted::HeaderCopy;
        Ok(())
    }

    fn feed_header_copy(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match self.feed_header(bytes, Place::HeaderCopy) {
            Err(Error::Damaged { .. } | Error::NotAnArchive) => {
                self.next = Wanted::Header;
                Ok(())
            }
            other => other,
        }
    }

    fn feed_header(&mut self, bytes: &[u8], place: Place) -> Result<(), Error> {
        let header = Header::decode(bytes, place)?;
        let footer = self.footer.as_ref().ok_or(Error::Misuse("the footer comes first"))?;
        if header.id != footer.id {
            return Err(Error::damaged(place, Damage::Foreign));
        }
        if header.encrypted != footer.encrypted {
            return Err(Error::damaged(
                place,
                Damage::Contradiction("the flags of header and footer differ"),
            ));
        }
        self.header = Some(header);
        self.next = Wanted::Root;
        Ok(())
    }

    /// Takes what the tail already holds, so that it is not read again.
    fn serve_from_tail(&mut self) -> Result<(), Error> {
        if self.root.is_some() {
            self.next = Wanted::Nothing;
            self.tail = Vec::new();
            return Ok(());
        }
        if matches!(self.next, Wanted::HeaderCopy | Wanted::Root | Wanted::Header)
            && let Some(range) = self.wants()
            && let Some(start) = range.start.checked_sub(self.tail_start())
            && let Some(bytes) = self.tail.get(to_usize(start)..to_usize(range.end - self.tail_start()))
        {
            let bytes = bytes.to_vec();
            return self.feed(&bytes);
        }
        Ok(())
    }
}

fn without_footer(start: &[u8]) -> Error {
    if start.starts_with(&MAGIC) { Error::Incomplete } else { Error::NotAnArchive }
}

/// An archive whose header, footer and root are at hand, still locked.
#[derive(Debug)]
pub struct Located {
    /// The header.
    pub header: Header,
    /// The footer.
    pub footer: Footer,
    root: Vec<u8>,
}

/// An archive that is open.
#[derive(Debug)]
pub struct Archive {
    /// The header.
    pub header: Header,
    /// The footer.
    pub footer: Footer,
    /// What is in it and where.
    pub root: Root,
    /// Opens its frames.
    pub opener: Opener,
}

impl Located {
    /// Unlocks with the first identity that fits and opens the root index. An archive that is not encrypted opens
    /// with none, and also with any: who insists on encryption looks at `header.encrypted`.
    ///
    /// # Errors
    /// [`Error::NoMatchingIdentity`], [`Error::WrongKey`]; [`Error::NotAuthentic`] and [`Error::Damaged`] naming
    /// header, footer or root.
    pub fn unlock(self, identities: &[Identity]) -> Result<Archive, Error> {
        let keys = self.header.unlock(identities)?;
        self.open(keys)
    }

    /// Opens with keys that were unlocked elsewhere ([`Header::unlock_with`]).
    ///
    /// # Errors
    /// As [`Located::unlock`].
    pub fn open(self, keys: Keys) -> Result<Archive, Error> {
        self.footer.authenticate(&keys)?;
        let opener = Opener::new(&self.header, keys)?;
        let mut scratch = OpenScratch::new()?;
        let root = opener.open(&self.root, &self.footer.root, &mut scratch)?.root()?;
        let place = self.footer.root.place();
        if root.frames != self.footer.root.sequence {
            let damage = Damage::Contradiction("root and footer count other numbers of frames");
            return Err(Error::damaged(place, damage));
        }
        let end = self.footer.root.offset;
        if root.frames_named().any(|frame| !frame.is_plausible(end) || frame.sequence >= root.frames) {
            return Err(Error::damaged(place, Damage::Contradiction("it names frames that cannot be")));
        }
        Ok(Archive { header: self.header, footer: self.footer, root, opener })
    }

    /// Checks the root's checksums, which needs no key.
    ///
    /// # Errors
    /// [`Error::Damaged`] naming the root.
    pub fn check(&self) -> Result<(), Error> {
        check(&self.root, &self.footer.root).map(|_| ())
    }
}
