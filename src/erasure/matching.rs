//! Finds the rows that entries name: the entries' keys go into a temporary table by COPY, which no server logs, and are joined
//! with the table.

use bytes::Bytes;
use serde::Deserialize;

use super::entry::{Entry, Rows, Table};
use super::hash::{self, HashKey};
use super::{Erasures, quietly};
use crate::error::{Error, ErrorKind, Result};
use crate::pg::Session;
use crate::pg::copy::rows::push_value;
use crate::pg::quote::{ident, literal, printable};

/// The temporary table of the two pads of an HMAC.
const PADS: &str = "pgcask_erasure_pads";

/// A table that entries are about, as it is in a database.
#[derive(Debug, Clone, Deserialize)]
pub struct Relation {
    oid: u32,
    /// `r` table, `p` partitioned, and kinds that are neither.
    kind: char,
    #[serde(default)]
    columns: Option<Vec<Column>>,
}

/// A column that rows are told apart by.
#[derive(Debug, Clone, Deserialize)]
struct Column {
    name: String,
    /// The equality of its type: `OPERATOR(pg_catalog.=)`. That of an extension's type lies elsewhere.
    equals: String,
}

/// A table that has rows of a relation: the relation itself, a partition, a table that inherits it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Part {
    pub(super) oid: u32,
    pub(super) kind: char,
    #[serde(flatten)]
    pub(super) table: Table,
}

impl Relation {
    /// Looks for a table; `None` when there is none of that name.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] when what has the name is no table, or lacks one of the columns: then nobody can say which rows
    /// are meant.
    pub async fn find(session: &Session, table: &Table, columns: &[String]) -> Result<Option<Self>> {
        let names: Vec<String> = columns.iter().map(|name| literal(name)).collect();
        let sql = format!(
            "SELECT c.oid::pg_catalog.int8 AS oid, c.relkind::pg_catalog.text AS kind, \
               (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', a.attname, 'equals', COALESCE( \
                   (SELECT pg_catalog.format('OPERATOR(%I.%s)', pn.nspname, p.oprname) FROM pg_catalog.pg_opclass oc \
                      JOIN pg_catalog.pg_am am ON am.oid = oc.opcmethod AND am.amname = 'btree' \
                      JOIN pg_catalog.pg_amop ao ON ao.amopfamily = oc.opcfamily AND ao.amopstrategy = 3 \
                        AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype \
                      JOIN pg_catalog.pg_operator p ON p.oid = ao.amopopr JOIN pg_catalog.pg_namespace pn ON pn.oid = p.oprnamespace \
                      WHERE oc.opcdefault AND oc.opcintype = COALESCE(NULLIF(t.typbasetype, 0), t.oid) LIMIT 1), \
                   'OPERATOR(pg_catalog.=)'))) \
                FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname IN ({})) AS columns \
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = {} AND c.relname = {}",
            names.join(", "),
            literal(&table.schema),
            literal(&table.name)
        );
        let found: Vec<Self> = session.query_json(&sql).await?;
        let Some(found) = found.into_iter().next() else { return Ok(None) };
        let refused = |what: String| {
            Error::new(ErrorKind::Refused, format!("the erasure ledger names rows of {}, {what}", table.display()))
                .hint("`pgcask erase list` shows the entries; record the rows by what tells them apart here, and `pgcask erase withdraw` the entry")
        };
        if !matches!(found.kind, 'r' | 'p' | 'f') {
            return Err(refused("which is no table".to_owned()));
        }
        let mut known = found.columns.clone().unwrap_or_default();
        let has = |name: &String| known.iter().any(|column| column.name == *name);
        if let Some(lacks) = columns.iter().find(|name| !has(name)) {
            return Err(refused(format!("which has no column {}", printable(&ident(lacks)))));
        }
        let place = |name: &str| columns.iter().position(|wanted| wanted == name);
        known.sort_by_key(|column| place(&column.name));
        Ok(Some(Self { columns: Some(known), ..found }))
    }

    /// Its id in the catalog.
    pub const fn oid(&self) -> u32 {
        self.oid
    }

    fn columns(&self) -> &[Column] {
        self.columns.as_deref().unwrap_or_default()
    }

    /// Where the rows are.
    pub(super) async fn parts(&self, session: &Session) -> Result<Vec<Part>> {
        let sql = format!(
            "WITH RECURSIVE tree(oid) AS (SELECT {}::pg_catalog.oid UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i \
               JOIN tree ON i.inhparent = tree.oid) \
             SELECT c.oid::pg_catalog.int8 AS oid, c.relkind::pg_catalog.text AS kind, n.nspname AS schema, c.relname AS name FROM tree \
             JOIN pg_catalog.pg_class c ON c.oid = tree.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'f') ORDER BY n.nspname, c.relname",
            self.oid
        );
        Ok(session.query_json(&sql).await?)
    }

    /// Whether rows of this table are rows of `other`, or the other way round.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn overlaps(&self, session: &Session, other: u32) -> Result<bool> {
        let sql = format!(
            "WITH RECURSIVE tree(root, oid) AS (SELECT o, o FROM pg_catalog.unnest('{{{0},{other}}}'::pg_catalog.oid[]) o \
               UNION SELECT tree.root, i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent = tree.oid) \
             SELECT EXISTS (SELECT FROM tree WHERE (root = {0} AND oid = {other}) OR (root = {other} AND oid = {0}))",
            self.oid
        );
        Ok(session.query_one_text(&sql).await?.as_deref() == Some("t"))
    }
}

/// The keys of entries of one table, in a temporary table that goes with the transaction.
#[derive(Debug)]
pub struct Keys {
    name: String,
    table: Table,
    columns: Vec<Column>,
    hashed: bool,
}

impl Keys {
    /// Loads the keys of entries that name the same columns of the same table, all hashed or none. A transaction must be open;
    /// `name` tells the temporary tables of one transaction apart.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] when a value is none of the column's type; those of the server.
    pub async fn load(
        session: &Session,
        name: &str,
        relation: &Relation,
        entries: &[&Entry],
        key: Option<&HashKey>,
    ) -> Result<Self> {
        let (table, hashed) = match entries.first() {
            Some(first) => (first.table.clone(), first.rows.is_hashed()),
            None => return Err(Error::new(ErrorKind::Failed, "there are no keys to be loaded")),
        };
        let columns = relation.columns().to_vec();
        let made = Self { name: format!("pgcask_erasure_{name}"), table, columns, hashed };
        made.create(session, relation, key).await.map_err(|error| {
            error.hint("erased rows are looked for by temporary tables: the role needs TEMPORARY on the database, and a primary")
        })?;
        let copied = made.copy(session, entries).await;
        copied.map_err(|error| {
            // 22: a value that is none of the type; 23: one that its domain does not have.
            let unfit =
                error.sqlstate().is_some_and(|state| state.starts_with("22") || state.starts_with("23"));
            let doing = format!("take the keys of {} from the erasure ledger", made.table.display());
            if unfit {
                Error::with_source(ErrorKind::Refused, doing, Shown(error.to_string()))
                    .hint("`pgcask erase list` shows the entries; `pgcask erase withdraw` ends one")
            } else {
                error.context(doing)
            }
        })?;
        Ok(made)
    }

    async fn create(&self, session: &Session, relation: &Relation, key: Option<&HashKey>) -> Result<()> {
        let from =
            format!("FROM {}{} t", if relation.kind == 'p' { "" } else { "ONLY " }, self.table.quoted());
        let columns = if self.hashed {
            "NULL::pg_catalog.bytea AS hash".to_owned()
        } else {
            // The column itself, so that its type and its collation are the table's.
            let as_key = |(at, column): (usize, &Column)| format!("t.{} AS k{at}", ident(&column.name));
            self.columns.iter().enumerate().map(as_key).collect::<Vec<_>>().join(", ")
        };
        let sql = format!(
            "CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT 0::pg_catalog.int4 AS entry, {columns} {from} WITH NO DATA",
            self.name
        );
        quietly(session, &sql).await?;
        let Some(key) = key.filter(|_| self.hashed) else { return Ok(()) };
        let pads = format!("pg_temp.{PADS}");
        if session.query_one_text(&format!("SELECT pg_catalog.to_regclass('{pads}')")).await?.is_some() {
            return Ok(());
        }
        quietly(
            session,
            &format!("CREATE TEMP TABLE {PADS} (inner_pad pg_catalog.bytea, outer_pad pg_catalog.bytea) ON COMMIT DROP"),
        )
        .await?;
        let [inner, outer] = key.pads();
        let mut copy = session.copy_in(&format!("COPY {pads} FROM STDIN")).await?;
        copy.send(Bytes::from(format!("\\\\x{}\t\\\\x{}\n", *inner, *outer))).await?;
        copy.finish().await?;
        Ok(())
    }

    async fn copy(&self, session: &Session, entries: &[&Entry]) -> Result<()> {
        let mut copy = session.copy_in(&format!("COPY pg_temp.{} FROM STDIN", self.name)).await?;
        for (number, entry) in entries.iter().enumerate() {
            let mut text = Vec::new();
            match &entry.rows {
                Rows::Keys(keys) => {
                    for key in keys {
                        text.extend_from_slice(number.to_string().as_bytes());
                        for value in key {
                            text.push(b'\t');
                            push_value(&mut text, Some(value.as_bytes()));
                        }
                        text.push(b'\n');
                    }
                }
                Rows::Hashes { values, .. } => {
                    for hash in values {
                        text.extend_from_slice(format!("{number}\t\\\\x{hash}\n").as_bytes());
                    }
                }
            }
            copy.send(Bytes::from(text)).await?;
        }
        copy.finish().await?;
        Ok(())
    }

    /// The columns by which rows are told.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// What stands in a `FROM` or `USING` clause: the keys as `k`, and what they need besides.
    pub fn from(&self) -> String {
        let pads = if self.hashed { format!(", pg_temp.{PADS} h") } else { String::new() };
        format!("pg_temp.{} k{pads}", self.name)
    }

    /// The condition that a row is the one of key `k`; `value` gives the row's value of a column as SQL.
    pub fn condition(&self, value: impl Fn(&str) -> String) -> String {
        let values: Vec<String> = self.columns.iter().map(|column| value(&column.name)).collect();
        if self.hashed {
            let names: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
            return format!("k.hash = {}", hash::sql(&self.table, &names, &values, "h"));
        }
        let equal = self.columns.iter().zip(&values).enumerate();
        equal
            .map(|(at, (column, value))| format!("{value} {} k.k{at}", column.equals))
            .collect::<Vec<_>>()
            .join(" AND ")
    }

    /// The condition on rows `t` of the table itself.
    pub(super) fn of_table(&self) -> String {
        self.condition(|name| format!("t.{}", ident(name)))
    }

    /// How many rows of a part each entry names, by the entry's place; entries without any are left out.
    pub(super) async fn matches(&self, session: &Session, part: &Part) -> Result<Vec<(usize, u64)>> {
        let sql = format!(
            "SELECT k.entry::pg_catalog.text, pg_catalog.count(DISTINCT t.ctid)::pg_catalog.text FROM ONLY {} t, {} WHERE {} GROUP BY k.entry ORDER BY k.entry",
            part.table.quoted(),
            self.from(),
            self.of_table()
        );
        let rows = session.query_text(&sql).await?;
        let pair = |row: Vec<Option<String>>| {
            let mut values = row.into_iter().flatten();
            Some((values.next()?.parse().ok()?, values.next()?.parse().ok()?))
        };
        Ok(rows.into_iter().filter_map(pair).collect())
    }
}

/// What a server said, as a cause.
#[derive(Debug)]
struct Shown(String);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Shown {}

/// How many rows of each entry a database has, in the order of the entries. Nothing is changed.
///
/// # Errors
/// As for [`Relation::find`] and [`Keys::load`].
pub async fn count(session: &Session, erasures: &Erasures) -> Result<Vec<u64>> {
    erasures.check()?;
    session.execute("BEGIN").await?;
    let mut counts = vec![0; erasures.entries.len()];
    for (number, group) in erasures.groups().into_iter().enumerate() {
        let Some(first) = group.first() else { continue };
        let Some(relation) = Relation::find(session, &first.table, &first.columns).await? else { continue };
        let keys = Keys::load(session, &number.to_string(), &relation, &group, erasures.key.as_ref()).await?;
        for part in relation.parts(session).await?.iter().filter(|part| part.kind == 'r') {
            for (at, found) in keys.matches(session, part).await? {
                let place = group.get(at).and_then(|entry| {
                    erasures.entries.iter().position(|other| std::ptr::eq::<Entry>(other, *entry))
                });
                if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
                    *count += found;
                }
            }
        }
    }
    session.execute("ROLLBACK").await?;
    Ok(counts)
}

/// The keys of rows as the server writes them: `0042` of an integer is `42`. Hashes stand on that form.
///
/// # Errors
/// [`ErrorKind::Failed`] when there is no such table, and as for [`Keys::load`].
pub async fn canonical(session: &Session, entry: &Entry) -> Result<Vec<Vec<String>>> {
    let Some(relation) = Relation::find(session, &entry.table, &entry.columns).await? else {
        let message = format!("there is no table {}", entry.table.display());
        return Err(Error::new(ErrorKind::Failed, message));
    };
    session.execute("BEGIN").await?;
    let keys = Keys::load(session, "0", &relation, &[entry], None).await?;
    let values: Vec<String> = (0..keys.columns.len()).map(|at| format!("k.k{at}::pg_catalog.text")).collect();
    // A row of a temporary table that was just filled lies where it was put.
    let sql = format!("SELECT {} FROM {} ORDER BY k.ctid", values.join(", "), keys.from());
    let rows = session.query_text(&sql).await?;
    session.execute("ROLLBACK").await?;
    Ok(rows.into_iter().map(|row| row.into_iter().flatten().collect()).collect())
}

/// The keys of all entries about a table, however it is cut into partitions; `oid` is its id. A transaction must be open.
///
/// # Errors
/// As for [`Relation::find`] and [`Keys::load`].
pub async fn keys_of(session: &Session, erasures: &Erasures, oid: u32) -> Result<Vec<Keys>> {
    let mut all = Vec::new();
    for (number, group) in erasures.groups().into_iter().enumerate() {
        let Some(first) = group.first() else { continue };
        let Some(relation) = Relation::find(session, &first.table, &first.columns).await? else { continue };
        if relation.overlaps(session, oid).await? {
            let name = format!("{oid}_{number}");
            all.push(Keys::load(session, &name, &relation, &group, erasures.key.as_ref()).await?);
        }
    }
    Ok(all)
}
