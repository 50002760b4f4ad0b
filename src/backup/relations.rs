//! The relations whose rows are backed up: read in one query, with their columns and keys; chosen; locked; measured.

use std::collections::HashMap;

use serde::Deserialize;

use super::{Options, Parts};
use crate::catalog::ident::{ObjectId, class};
use crate::catalog::sql;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::manifest::Content;
use crate::pg::copy::{ZoneColumn, ZoneType};
use crate::pg::lock::{LockPolicy, LockTarget, lock_all};
use crate::pg::quote::printable;
use crate::pg::{Row, Session, lock_room, quote};
use crate::plan::select::Pattern;
use crate::plan::units::RelationSize;

/// Key columns with zone maps, at most.
const KEY_ZONES: usize = 2;

/// Time columns with zone maps, at most: finding a column far to the right costs CPU on every row.
const TIME_ZONES: usize = 2;

/// Why the rows of table `c` in schema `n` may not be read, or null. A table-level privilege is asked for: `LOCK` needs it.
const REFUSAL: &str = "CASE \
     WHEN NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE') THEN 'no USAGE on its schema' \
     WHEN NOT pg_catalog.has_table_privilege(c.oid, 'SELECT') THEN 'no SELECT on it' \
     WHEN c.relkind = 'r' AND pg_catalog.row_security_active(c.oid) THEN 'row-level security would hide rows' END";

/// A table, as the server describes it.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) name: String,
    /// `r` table, `p` partitioned table, `f` foreign table.
    pub(super) kind: char,
    /// Its rows are not in the write-ahead log, so a standby has none.
    pub(super) unlogged: bool,
    pub(super) owner: String,
    /// Why its rows may not be read.
    pub(super) refusal: Option<String>,
    access_method: Option<String>,
    /// Known only once the relation is locked: see [`Size`].
    heap_bytes: u64,
    toast_bytes: u64,
    block_bytes: u64,
    /// The foreign server, of a foreign table.
    server: Option<String>,
    extension: Option<String>,
    condition: Option<String>,
    pub(super) columns: Vec<Column>,
}

/// A column that `COPY` reads: neither dropped nor generated.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Column {
    pub(super) name: String,
    type_oid: u32,
    collation: u32,
    key: bool,
}

/// How large a table is. Asking takes a lock on it, so this is asked after ours are had, within their deadline: asked
/// with the rest, it would wait without end, and say nothing, behind whoever alters a table.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Size {
    pub(super) oid: u32,
    heap_bytes: u64,
    toast_bytes: u64,
}

impl Size {
    /// The query of the sizes of these tables.
    pub(super) fn query(relations: &[Relation]) -> String {
        let oids: Vec<String> = relations.iter().map(|relation| relation.oid.to_string()).collect();
        format!(
            "SELECT c.oid::pg_catalog.int8 AS oid, \
               CASE WHEN c.relkind = 'r' THEN coalesce(pg_catalog.pg_relation_size(c.oid), 0) ELSE 0 END AS heap_bytes, \
               CASE WHEN c.reltoastrelid <> 0 THEN coalesce(pg_catalog.pg_relation_size(c.reltoastrelid), 0) ELSE 0 END \
                 AS toast_bytes \
             FROM pg_catalog.pg_class c WHERE c.oid = ANY ('{{{}}}'::pg_catalog.oid[])",
            oids.join(",")
        )
    }
}

impl Relation {
    /// The query of all user tables, and of extensions' configuration tables; their columns only if rows are wanted, and
    /// foreign tables only if theirs are.
    pub(super) fn query(rows: bool, foreign: bool, superuser: bool) -> String {
        // A row of a partition may come to lie in another, whose columns have another order: its hash must be the same.
        let above = "CASE WHEN c.relispartition THEN (SELECT ra.attnum FROM pg_catalog.pg_attribute ra \
             WHERE ra.attrelid = pg_catalog.pg_partition_root(c.oid) AND ra.attname = a.attname) END";
        let columns = if rows {
            format!(
                "(SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('name', a.attname, \
               'type_oid', a.atttypid::pg_catalog.int8, 'collation', a.attcollation::pg_catalog.int8, \
               'key', coalesce(a.attnum = ANY (pk.indkey), false)) ORDER BY {above}, a.attnum), '[]'::pg_catalog.json) \
             FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 \
               AND NOT a.attisdropped AND a.attgenerated = '')"
            )
        } else {
            "'[]'".to_owned()
        };
        format!(
            "SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence = 'u', am.amname, \
               pg_catalog.pg_get_userbyid(c.relowner), {refusal}, (SELECT pg_catalog.current_setting('block_size')), \
               e.extname, e.condition, fs.srvname, {columns} \
             FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam \
             {keys}\
             LEFT JOIN (SELECT x.extname, u.oid, x.extcondition[u.at] AS condition FROM pg_catalog.pg_extension x, \
                 LATERAL pg_catalog.unnest(x.extconfig) WITH ORDINALITY AS u(oid, at)) e ON e.oid = c.oid \
             LEFT JOIN pg_catalog.pg_foreign_table ft ON ft.ftrelid = c.oid \
             LEFT JOIN pg_catalog.pg_foreign_server fs ON fs.oid = ft.ftserver \
             WHERE c.relkind IN ('r', 'p'{foreign}) AND c.relpersistence <> 't' AND (e.oid IS NOT NULL OR ({user} AND {own}))",
            user = sql::user_schema("c.relnamespace"),
            own = sql::not_extension_member(class::PG_CLASS, "c.oid"),
            // Nothing is refused to a superuser.
            refusal = if superuser { "NULL" } else { REFUSAL },
            keys = if rows {
                "LEFT JOIN pg_catalog.pg_index pk ON pk.indrelid = c.oid AND pk.indisprimary "
            } else {
                ""
            },
            foreign = if foreign { ", 'f'" } else { "" },
        )
    }

    /// The table of a row of the query.
    fn new(row: &Row<'_>) -> std::result::Result<Self, String> {
        let columns = row.text(12)?;
        let text = |at: usize| row.get(at).map(|text| text.map(str::to_owned));
        Ok(Self {
            oid: row.parsed(0)?,
            schema: row.text(1)?.to_owned(),
            name: row.text(2)?.to_owned(),
            kind: row.letter(3)?.into(),
            unlogged: row.flag(4)?,
            access_method: text(5)?,
            owner: row.text(6)?.to_owned(),
            refusal: text(7)?,
            heap_bytes: 0,
            toast_bytes: 0,
            block_bytes: row.parsed(8)?,
            extension: text(9)?,
            condition: text(10)?,
            server: text(11)?,
            columns: serde_json::from_str(columns).map_err(|error| format!("{error} in {columns}"))?,
        })
    }

    /// Takes note of its size.
    pub(super) fn measure(&mut self, size: &Size) {
        (self.heap_bytes, self.toast_bytes) = (size.heap_bytes, size.toast_bytes);
    }

    pub(super) fn id(&self) -> ObjectId {
        ObjectId::new(class::PG_CLASS, self.oid)
    }

    /// Whether the relation itself holds rows.
    pub(super) fn has_rows(&self) -> bool {
        matches!(self.kind, 'r' | 'f')
    }

    /// Whether its rows lie on a foreign server.
    pub(super) fn is_foreign(&self) -> bool {
        self.kind == 'f'
    }

    /// Schema and name, as they are.
    pub(super) fn name_in_schema(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    fn is_lockable(&self) -> bool {
        self.refusal.as_deref().is_none_or(|why| why.starts_with("row-level"))
    }

    pub(super) fn qualified(&self) -> String {
        quote::qualified(Some(&self.schema), &self.name)
    }

    pub(super) fn size(&self) -> RelationSize {
        let Self { heap_bytes, toast_bytes, block_bytes, .. } = *self;
        RelationSize { heap_bytes, toast_bytes, block_bytes }
    }

    /// Whether page ranges of it can be read: TID range scans are PostgreSQL 14's, and only a heap has pages whose
    /// numbers mean anything to us.
    pub(super) fn is_splittable(&self, server_has_tid_ranges: bool) -> bool {
        server_has_tid_ranges && self.access_method.as_deref() == Some("heap") && self.extension.is_none()
    }

    pub(super) fn content(&self) -> Content {
        match (&self.extension, &self.server) {
            (Some(extension), _) => Content::ExtensionConfig {
                extension: extension.clone(),
                condition: self.condition.clone().unwrap_or_default(),
            },
            (None, Some(server)) => Content::ForeignTable { server: server.clone() },
            (None, None) => Content::Table,
        }
    }

    /// Columns worth a zone map: of the primary key, and of time.
    pub(super) fn zones(&self) -> Vec<ZoneColumn> {
        let (mut keys, mut times) = (0, 0);
        let mut zones = Vec::new();
        for (position, column) in self.columns.iter().enumerate() {
            let Some(order) = zone_type(column) else { continue };
            let Ok(position) = u16::try_from(position) else {
                break;
            };
            let wanted = if column.key {
                keys += 1;
                keys <= KEY_ZONES
            } else {
                times += usize::from(order == ZoneType::Time);
                order == ZoneType::Time && times <= TIME_ZONES
            };
            if wanted {
                zones.push(ZoneColumn { position, order });
            }
        }
        zones
    }
}

/// The tables that were asked for.
pub(super) async fn chosen(
    options: &Options,
    session: &Session,
    observer: &SharedObserver,
) -> Result<Vec<Relation>> {
    let foreign = !options.selection.foreign_data.is_empty();
    if foreign {
        known_servers(options, session).await?;
    }
    let mut all = Vec::new();
    let superuser = session.info().is_superuser;
    session
        .each_row(&Relation::query(options.parts != Parts::Definitions, foreign, superuser), |row| {
            all.push(Relation::new(row)?);
            Ok(())
        })
        .await?;
    all.retain(|r| r.server.as_ref().is_none_or(|server| options.selection.foreign_rows(server)));
    // Whatever the server's plan: names in messages and streams in archives have one order.
    all.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    let names: Vec<(String, String)> = all.iter().map(|r| (r.schema.clone(), r.name.clone())).collect();
    tell_personal(options, &all, observer)?;
    let unmatched = options.selection.unmatched(&names);
    if !unmatched.is_empty() {
        let message = format!("no table matches {}", unmatched.join(", "));
        if options.strict_names || unmatched.len() == options.selection.included() {
            return Err(Error::new(ErrorKind::Usage, message)
                .hint("patterns are those of psql, folded to lower case"));
        }
        observer.event(Event::Warning { message });
    }
    let chosen: Vec<Relation> =
        all.into_iter().filter(|r| options.selection.relation(&r.schema, &r.name)).collect();
    let unlogged = chosen.iter().filter(|r| r.unlogged && r.has_rows()).map(|r| printable(&r.qualified()));
    let unlogged: Vec<String> = unlogged.collect();
    if session.info().is_standby && !unlogged.is_empty() {
        let message = format!("unlogged tables have no rows on a standby: {}", unlogged.join(", "));
        observer.event(Event::Warning { message });
    }
    Ok(chosen)
}

/// The tables whose rows are left out as personal data.
pub(super) fn personal<'a>(
    options: &'a Options,
    relations: &'a [Relation],
) -> impl Iterator<Item = &'a Relation> {
    relations.iter().filter(|r| r.has_rows() && options.is_personal(&r.schema, &r.name))
}

/// Says which rows are left out as personal data. A pattern that means no table leaves rows in for years, so that it fails.
fn tell_personal(options: &Options, relations: &[Relation], observer: &SharedObserver) -> Result<()> {
    let none = |pattern: &&Pattern| !relations.iter().any(|r| pattern.matches(&r.schema, &r.name));
    let unmatched: Vec<&str> =
        options.personal.iter().filter(none).map(|pattern| pattern.text.as_str()).collect();
    if !unmatched.is_empty() {
        let message = format!("no table matches {}, which is declared personal", unmatched.join(", "));
        return Err(Error::new(ErrorKind::Usage, message)
            .hint("correct `personal` in pgcask.toml: rows that were to be left out would be kept"));
    }
    let tables: Vec<String> = personal(options, relations).map(|r| printable(&r.name_in_schema())).collect();
    if !tables.is_empty() {
        let message = format!(
            "the rows of {} are left out of this {} backup, as personal data: `without_personal`",
            tables.join(", "),
            options.kind
        );
        observer.event(Event::Warning { message });
    }
    Ok(())
}

/// Fails when a pattern of foreign servers means none: rows that somebody asks for by name are wanted.
async fn known_servers(options: &Options, session: &Session) -> Result<()> {
    let rows = session.query_text("SELECT s.srvname FROM pg_catalog.pg_foreign_server s").await?;
    let servers: Vec<String> = rows.into_iter().flatten().flatten().collect();
    let none = |pattern: &&Pattern| !servers.iter().any(|server| pattern.matches_schema(server));
    let unmatched: Vec<&str> =
        options.selection.foreign_data.iter().filter(none).map(|pattern| pattern.text.as_str()).collect();
    if unmatched.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Usage, format!("no foreign server matches {}", unmatched.join(", "))))
}

/// Locks the tables, and learns the sizes of those whose rows are read.
pub(super) async fn lock(
    options: &Options,
    session: &Session,
    relations: &mut [Relation],
    observer: &SharedObserver,
) -> Result<()> {
    if let Some(message) = lock_room::doubt(session, relations.len(), options.jobs).await? {
        observer.event(Event::Warning { message });
    }
    // What may not be read may not be locked either; it is not read.
    let targets: Vec<LockTarget> = relations.iter().filter(|r| r.is_lockable()).map(target).collect();
    let policy = LockPolicy { deadline: options.lock_timeout, ..LockPolicy::default() };
    lock_all(session, &targets, policy).await?;
    if options.parts == Parts::Definitions {
        return Ok(());
    }
    measure(session, relations).await
}

/// Asks how large the tables are, of all in one query.
async fn measure(session: &Session, relations: &mut [Relation]) -> Result<()> {
    let sizes: Vec<Size> = session.query_json(&Size::query(relations)).await?;
    let sizes: HashMap<u32, Size> = sizes.into_iter().map(|size| (size.oid, size)).collect();
    for relation in relations {
        if let Some(size) = sizes.get(&relation.oid) {
            relation.measure(size);
        }
    }
    Ok(())
}

/// What a worker must lock before it reads rows of the table.
pub(super) fn target(relation: &Relation) -> LockTarget {
    LockTarget {
        oid: relation.oid,
        schema: relation.schema.clone(),
        name: relation.name.clone(),
        relkind: relation.kind,
    }
}

/// How values of a column are ordered, for the types whose text shows it (OIDs of `pg_type.dat`, fixed for ever).
fn zone_type(column: &Column) -> Option<ZoneType> {
    /// The collations "C" and "POSIX".
    const BYTE_ORDER: [u32; 2] = [950, 951];
    match column.type_oid {
        20 | 21 | 23 | 26 => Some(ZoneType::Integer),
        1082 | 1114 | 1184 => Some(ZoneType::Time),
        2950 => Some(ZoneType::Bytes),
        25 | 1043 if BYTE_ORDER.contains(&column.collation) => Some(ZoneType::Bytes),
        _ => None,
    }
}
