//! A table of the archive beside the live table of that name: which columns both have, by which key rows are told apart.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::groups::ZoneKey;
use crate::catalog::ident::ObjectId;
use crate::catalog::model::Model;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Content, Manifest, Stream};
use crate::pg::Session;
use crate::pg::quote::{ident, literal, printable, qualified, shell_pattern};
use crate::plan::select::Pattern;

/// A table to be compared: one stream of the archive, or those of all partitions.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) streams: Vec<Stream>,
    /// Columns of the archive whose values are left out, for somebody said that they were dropped.
    pub(super) dropped: Vec<String>,
}

/// Finds the tables of the archive that the patterns mean. A partitioned table stands for its partitions.
pub(super) fn find(manifest: &Manifest, model: Option<&Model>, patterns: &[Pattern]) -> Result<Vec<Named>> {
    let tables: Vec<&Stream> =
        manifest.streams.iter().filter(|stream| stream.content == Content::Table).collect();
    let mut found: Vec<Named> = Vec::new();
    for pattern in patterns {
        let before = found.len();
        let mut taken: BTreeSet<u32> =
            found.iter().flat_map(|named| named.streams.iter().map(|stream| stream.id)).collect();
        let had = taken.len();
        for (schema, name, leaves) in partitioned(model, &tables) {
            if pattern.matches(&schema, &name) && leaves.iter().all(|leaf| !taken.contains(&leaf.id)) {
                taken.extend(leaves.iter().map(|leaf| leaf.id));
                let streams = leaves.into_iter().cloned().collect();
                found.push(Named { schema, name, streams, dropped: Vec::new() });
            }
        }
        let meant = tables.iter().filter(|stream| pattern.matches(&stream.schema, &stream.name));
        let any = meant.clone().next().is_some();
        for stream in meant.filter(|stream| taken.insert(stream.id)).collect::<Vec<_>>() {
            let (schema, name) = (stream.schema.clone(), stream.name.clone());
            found.push(Named { schema, name, streams: vec![(*stream).clone()], dropped: Vec::new() });
        }
        if found.len() == before && !(any && had > 0) {
            let message = format!("no table in the archive matches {}", printable(&pattern.text));
            return Err(
                Error::new(ErrorKind::Usage, message).hint("`pgcask show ARCHIVE --toc` lists what is there")
            );
        }
    }
    Ok(found)
}

/// The partitioned tables, those nearest the top first, each with the streams of its partitions.
fn partitioned<'a>(model: Option<&Model>, tables: &[&'a Stream]) -> Vec<(String, String, Vec<&'a Stream>)> {
    let Some(model) = model else { return Vec::new() };
    let positions = model.positions();
    let parent = |id: ObjectId| model.entries.get(*positions.get(&id)?)?.object.partition_of();
    let above = |id: ObjectId| {
        let mut list = Vec::new();
        let mut next = parent(id);
        // Deeper than any server allows a tree to be: a circle in a damaged archive must end too.
        while let Some(id) = next.filter(|_| list.len() < 1_000) {
            list.push(id);
            next = parent(id);
        }
        list
    };
    let mut parents: Vec<(usize, ObjectId)> = Vec::new();
    for id in tables.iter().filter_map(|stream| stream.object) {
        let list = above(id);
        for (depth, parent) in list.iter().rev().enumerate() {
            if !parents.contains(&(depth, *parent)) {
                parents.push((depth, *parent));
            }
        }
    }
    parents.sort_by_key(|(depth, _)| *depth);
    let mut out = Vec::new();
    for (_, id) in parents {
        let Some(entry) = positions.get(&id).and_then(|at| model.entries.get(*at)) else { continue };
        let leaves =
            tables.iter().filter(|stream| stream.object.is_some_and(|leaf| above(leaf).contains(&id)));
        let schema = entry.head.schema.clone().unwrap_or_default();
        out.push((schema, entry.head.name.clone(), leaves.copied().collect()));
    }
    out
}

/// A live table.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct LiveTable {
    pub(super) oid: u32,
    /// `r` table, `p` partitioned table, or something that is neither.
    pub(super) kind: char,
    #[serde(default, deserialize_with = "crate::catalog::kind::null_as_default")]
    pub(super) columns: Vec<LiveColumn>,
    #[serde(default, deserialize_with = "crate::catalog::kind::null_as_default")]
    key: Vec<KeyColumn>,
    /// What the key is: `p` primary key, `i` replica identity, `u` another unique index.
    #[serde(default)]
    key_kind: Option<char>,
}

/// A column of a live table.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct LiveColumn {
    pub(super) name: String,
    pub(super) generated: bool,
    /// `GENERATED ALWAYS AS IDENTITY`: cannot be updated.
    pub(super) always: bool,
    /// The type without its modifier.
    pub(super) base_type: String,
}

/// A column of a key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct KeyColumn {
    pub(super) name: String,
    /// The equality that the key's index has: `OPERATOR(pg_catalog.=)`.
    pub(super) equals: String,
}

/// The query of a live table. The key is the primary key, else the replica identity, else the unique index of fewest
/// columns; never one that is partial, on expressions, or on columns that may be null.
fn query(schema: &str, name: &str) -> String {
    format!(
        "SELECT c.oid::pg_catalog.int8 AS oid, c.relkind::pg_catalog.text AS kind, \
           (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', a.attname, 'generated', a.attgenerated <> '', \
               'always', a.attidentity = 'a', 'base_type', pg_catalog.format_type(a.atttypid, NULL)) \
               ORDER BY a.attnum) \
             FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns, \
           k.key, k.kind AS key_kind \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN LATERAL (SELECT CASE WHEN i.indisprimary THEN 'p' WHEN i.indisreplident THEN 'i' ELSE 'u' END AS kind, \
             (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', a.attname, \
                 'equals', pg_catalog.format('OPERATOR(%I.%s)', pn.nspname, p.oprname)) ORDER BY u.at) \
               FROM ROWS FROM (pg_catalog.unnest(i.indkey::pg_catalog.int2[]), pg_catalog.unnest(i.indclass::pg_catalog.oid[])) \
                 WITH ORDINALITY AS u(attnum, class, at) \
               JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.attnum \
               JOIN pg_catalog.pg_opclass oc ON oc.oid = u.class \
               JOIN pg_catalog.pg_amop ao ON ao.amopfamily = oc.opcfamily AND ao.amopmethod = oc.opcmethod AND ao.amopstrategy = 3 \
                 AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype \
               JOIN pg_catalog.pg_operator p ON p.oid = ao.amopopr JOIN pg_catalog.pg_namespace pn ON pn.oid = p.oprnamespace) AS key \
           FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid \
           JOIN pg_catalog.pg_am am ON am.oid = ic.relam AND am.amname = 'btree' \
           WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid \
               AND a.attnum = ANY ((i.indkey::pg_catalog.int2[])[0:i.indnkeyatts - 1]) \
               AND (NOT a.attnotnull OR a.attgenerated <> '')) \
           ORDER BY i.indisprimary DESC, i.indisreplident DESC, i.indnkeyatts, ic.relname LIMIT 1) k ON true \
         WHERE n.nspname = {} AND c.relname = {}",
        literal(schema),
        literal(name)
    )
}

/// A table of the archive and the live one, ready to be compared.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) streams: Vec<Stream>,
    pub(super) live: LiveTable,
    /// The compared columns, in the order of the archive's first stream.
    pub(super) columns: Vec<String>,
    /// The key's columns; none when whole rows are compared.
    pub(super) key: Vec<KeyColumn>,
    /// Columns of the archive that the live table lacks, and of which nobody said that they were dropped.
    pub(super) lost: Vec<String>,
    /// What to know: columns that are not compared.
    pub(super) notes: Vec<String>,
    /// Number among the tables of one operation; names the staging tables.
    pub(super) number: usize,
}

impl Subject {
    /// Looks at the live table.
    pub(super) async fn resolve(session: &Session, named: Named, number: usize) -> Result<Self> {
        let Named { schema, name, streams, dropped } = named;
        let shown = printable(&format!("{schema}.{name}"));
        let found: Vec<LiveTable> = session.query_json(&query(&schema, &name)).await?;
        let live = found.into_iter().next().ok_or_else(|| {
            Error::new(ErrorKind::Failed, format!("{shown} does not exist in the live database")).hint(
                format!(
                    "`pgcask restore ARCHIVE --into … --table {}` brings the table back",
                    shell_pattern(&schema, &name)
                ),
            )
        })?;
        if !matches!(live.kind, 'r' | 'p') {
            return Err(Error::new(ErrorKind::Failed, format!("{shown} is no table in the live database")));
        }
        let archived = streams.first().map(|stream| stream.columns.clone()).unwrap_or_default();
        let in_live =
            |name: &String| live.columns.iter().any(|column| column.name == *name && !column.generated);
        let everywhere = |name: &String| streams.iter().all(|stream| stream.columns.contains(name));
        let (columns, lost): (Vec<String>, Vec<String>) =
            archived.into_iter().partition(|name| in_live(name) && everywhere(name));
        if columns.is_empty() {
            return Err(Error::new(
                ErrorKind::Failed,
                format!("{shown} has no column in common with the archive's"),
            ));
        }
        let mut notes = Vec::new();
        let mut note = |what: &str, names: &[String]| {
            if !names.is_empty() {
                notes.push(format!("{what}: {}", printable(&names.join(", "))));
            }
        };
        let computed =
            |name: &String| live.columns.iter().any(|column| column.name == *name && column.generated);
        let (computed, lost): (Vec<String>, Vec<String>) = lost.into_iter().partition(computed);
        note("columns that the live table computes are not compared", &computed);
        note("columns of the archive that the live table lacks are not compared", &lost);
        let lost: Vec<String> = lost.into_iter().filter(|name| !dropped.contains(name)).collect();
        let known = |column: &&LiveColumn| !column.generated && !columns.contains(&column.name);
        let new: Vec<String> = live.columns.iter().filter(known).map(|column| column.name.clone()).collect();
        note("columns that the archive lacks are not compared", &new);
        let whole_key = live.key.iter().all(|key| columns.contains(&key.name));
        let key = if whole_key { live.key.clone() } else { Vec::new() };
        Ok(Self { schema, name, streams, live, columns, key, lost, notes, number })
    }

    /// Looks at the live table of its name anew.
    pub(super) async fn look_again(&mut self, session: &Session) -> Result<()> {
        let found: Vec<LiveTable> = session.query_json(&query(&self.schema, &self.name)).await?;
        let gone = || Error::new(ErrorKind::Failed, format!("{} is gone", self.display()));
        self.live = found.into_iter().next().ok_or_else(gone)?;
        Ok(())
    }

    /// The name for messages.
    pub(super) fn display(&self) -> String {
        printable(&format!("{}.{}", self.schema, self.name))
    }

    /// The name of another relation of its schema, for messages.
    pub(super) fn display_of(&self, name: &str) -> String {
        printable(&format!("{}.{name}", self.schema))
    }

    /// The quoted, qualified name.
    pub(super) fn qualified(&self) -> String {
        qualified(Some(&self.schema), &self.name)
    }

    /// The live table in a `FROM` clause: without tables that inherit it, with its partitions.
    pub(super) fn from(&self) -> String {
        if self.live.kind == 'p' { self.qualified() } else { format!("ONLY {}", self.qualified()) }
    }

    /// The staging table of the archive's rows.
    pub(super) fn stage(&self) -> String {
        format!("pg_temp.pgcask_backup_{}", self.number)
    }

    /// The staging table of live rows.
    pub(super) fn live_stage(&self) -> String {
        format!("pg_temp.pgcask_live_{}", self.number)
    }

    /// What the rows are told apart by, for people.
    pub(super) fn compared_by(&self) -> String {
        if self.key.is_empty() {
            return "whole rows, for the table has no key".to_owned();
        }
        let kind = match self.live.key_kind {
            Some('p') => "primary key",
            Some('i') => "replica identity",
            _ => "unique key",
        };
        let names: Vec<&str> = self.key.iter().map(|key| key.name.as_str()).collect();
        printable(&format!("{kind} ({})", names.join(", ")))
    }

    /// The name of a compared column in a staging table.
    pub(super) fn staged(&self, column: &str) -> String {
        let at = self.columns.iter().position(|name| name == column).unwrap_or_default();
        format!("c{}", at + 1)
    }

    /// The columns of a staging table, parted by commas, behind an alias.
    pub(super) fn staged_columns(&self, alias: &str) -> String {
        let names: Vec<String> = (1..=self.columns.len()).map(|at| format!("{alias}c{at}")).collect();
        names.join(", ")
    }

    /// The compared columns of the live table behind an alias.
    pub(super) fn live_columns(&self, alias: &str) -> String {
        let names: Vec<String> = self.columns.iter().map(|name| format!("{alias}{}", ident(name))).collect();
        names.join(", ")
    }

    /// A condition: staged row `s` and live row `l` have the same key.
    pub(super) fn same_key(&self, s: &str, l: &str) -> String {
        let equal = |key: &KeyColumn| {
            format!("{l}.{} {} {s}.{}", ident(&key.name), key.equals, self.staged(&key.name))
        };
        self.key.iter().map(equal).collect::<Vec<_>>().join(" AND ")
    }

    /// A condition: staged rows `a` and `b` have the same key.
    pub(super) fn same_staged_key(&self, a: &str, b: &str) -> String {
        let equal = |key: &KeyColumn| {
            let column = self.staged(&key.name);
            format!("{a}.{column} {} {b}.{column}", key.equals)
        };
        self.key.iter().map(equal).collect::<Vec<_>>().join(" AND ")
    }

    /// The column by whose zones the archive's chunks are told apart: the first of the key that has zones in every
    /// stream, of one order.
    pub(super) fn zone_key(&self) -> Option<ZoneKey> {
        self.key.iter().find_map(|key| self.zone_of(&key.name))
    }

    /// The zones of a compared column, if all streams have them at the same place.
    pub(super) fn zone_of(&self, name: &str) -> Option<ZoneKey> {
        let column = self.columns.iter().position(|other| other == name)?;
        let mut found = None;
        for stream in &self.streams {
            let at = stream.columns.iter().position(|other| other == name)?;
            let zone = stream.zones.iter().position(|zone| usize::from(zone.position) == at)?;
            let order = stream.zones.get(zone)?.order;
            let this = ZoneKey { zone, column, order };
            if found.is_some_and(|found| found != this) {
                return None;
            }
            found = Some(this);
        }
        found
    }

    /// Whether all rows of the archive are the compared rows as they stand.
    pub(super) fn is_exact(&self) -> bool {
        self.streams.iter().all(|stream| self.is_direct(stream))
    }

    /// Whether a stream's rows are the compared rows as they stand, so that the archive's hashes can be used.
    pub(super) fn is_direct(&self, stream: &Stream) -> bool {
        stream.columns == self.columns
    }
}
