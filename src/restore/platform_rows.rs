//! Users' rows in tables that the target's platform has made already, as the accounts of a project's own users: loaded
//! first of all, in one transaction, so that nothing was touched when they do not fit.
//!
//! Each table's rows are staged beside it. Columns are matched by name. Rows are told by the table's key: those that the
//! project has already are replaced where they differ, and told; its other rows stay. Then they are read back and proven.

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;

use super::load_plan::LoadPlan;
use super::loader;
use super::preflight::Finding;
use super::steps::Steps;
use crate::catalog::model::SequenceValue;
use crate::catalog::profile::{Profile, Rows};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::Event;
use crate::manifest::{Content, Stream};
use crate::pg::copy::{ContentHash, LargeRows, RowHasher};
use crate::pg::quote::{ident, ident_list, literal, printable, qualified};
use crate::pg::{PgError, Session};
use crate::plan::waits::in_order;

/// Rows for a table that the target has.
#[derive(Debug)]
pub(super) struct PlatformLoad {
    pub(super) plan: LoadPlan,
    table: Table,
}

/// A table of the target.
#[derive(Debug, Deserialize)]
struct Table {
    at: usize,
    oid: u32,
    columns: Vec<Column>,
    /// The columns of its primary key, or of another key without nulls.
    #[serde(default)]
    key: Option<Vec<String>>,
    /// The privileges that are missing.
    missing: String,
    /// The tables that its foreign keys refer to.
    #[serde(default)]
    references: Option<Vec<u32>>,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: String,
    generated: bool,
}

/// Looks at the tables of the target that the loads are for. Gives the loads, and what is to be known of them: what is
/// fatal is so before anything is touched.
pub(super) async fn look(
    session: &Session,
    profile: Profile,
    plans: Vec<LoadPlan>,
) -> Result<(Vec<PlatformLoad>, Vec<Finding>)> {
    let (mut loads, mut findings) = (Vec::new(), Vec::new());
    if plans.is_empty() {
        return Ok((loads, findings));
    }
    let found: Vec<Table> = session.query_json(&query(&plans)).await?;
    let mut found: HashMap<usize, Table> = found.into_iter().map(|table| (table.at, table)).collect();
    for (at, plan) in plans.into_iter().enumerate() {
        let name = plan.stream.display();
        let Some(table) = found.remove(&at) else {
            findings
                .push(fatal(format!("the target's platform has no table {name} for the rows of it"), &name));
            continue;
        };
        let load = PlatformLoad { plan, table };
        let stream = load.stream();
        if !load.table.missing.is_empty()
            && profile.rows(&stream.schema, &stream.name, "") == Rows::TakenNotPortable
        {
            if load.rows() > 0 {
                let message = format!(
                    "{} rows of {name} are left out: the role lacks {} there, and another project could not decrypt them",
                    load.rows(),
                    load.table.missing
                );
                findings.push(Finding { fatal: false, message, hint: None });
            }
            continue;
        }
        findings.extend(load.findings());
        loads.push(load);
    }
    Ok((loads, findings))
}

fn fatal(message: String, table: &str) -> Finding {
    let hint = format!(
        "--exclude-table-data {table} restores all but these rows; `pgcask cat ARCHIVE {table}` writes them out"
    );
    Finding { fatal: true, message, hint: Some(hint) }
}

/// The tables of the target with the names of these streams.
fn query(plans: &[LoadPlan]) -> String {
    let rows: Vec<String> = plans
        .iter()
        .enumerate()
        .map(|(at, plan)| format!("({at}, {}, {})", literal(&plan.stream.schema), literal(&plan.stream.name)))
        .collect();
    format!(
        "SELECT v.at, c.oid::pg_catalog.int8 AS oid, \
         (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('name', a.attname, 'generated', a.attgenerated <> '') \
           ORDER BY a.attnum), '[]') FROM pg_catalog.pg_attribute a \
           WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns, \
         (SELECT pg_catalog.json_agg(a.attname ORDER BY k.n) FROM (SELECT i.indrelid, i.indkey, i.indnkeyatts FROM pg_catalog.pg_index i \
           WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute n WHERE n.attrelid = i.indrelid AND n.attnum = ANY (i.indkey) AND NOT n.attnotnull) \
           ORDER BY i.indisprimary DESC, i.indexrelid LIMIT 1) i \
           CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY k(number, n) \
           JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number WHERE k.n <= i.indnkeyatts) AS key, \
         pg_catalog.concat_ws(', ', CASE WHEN NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE') THEN 'USAGE on its schema' END, \
           CASE WHEN NOT pg_catalog.has_table_privilege(c.oid, 'SELECT') THEN 'SELECT' END, \
           CASE WHEN NOT pg_catalog.has_table_privilege(c.oid, 'INSERT') THEN 'INSERT' END, \
           CASE WHEN NOT pg_catalog.has_table_privilege(c.oid, 'UPDATE') THEN 'UPDATE' END, \
           CASE WHEN pg_catalog.row_security_active(c.oid) THEN 'BYPASSRLS' END) AS missing, \
         (SELECT pg_catalog.json_agg(DISTINCT f.confrelid::pg_catalog.int8) FROM pg_catalog.pg_constraint f \
           WHERE f.conrelid = c.oid AND f.contype = 'f') AS references \
         FROM (VALUES {}) v(at, schema, name) JOIN pg_catalog.pg_namespace n ON n.nspname = v.schema::pg_catalog.name \
         JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = v.name::pg_catalog.name AND c.relkind IN ('r', 'p')",
        rows.join(", ")
    )
}

impl PlatformLoad {
    fn stream(&self) -> &Stream {
        &self.plan.stream
    }

    fn rows(&self) -> u64 {
        self.plan.totals.rows
    }

    /// The column of the target that has a column's values.
    fn target_column(&self, name: &str) -> Option<&Column> {
        self.table.columns.iter().find(|column| column.name == name)
    }

    /// Columns of the archive that the target sets: it has them, and does not make them of others.
    fn common(&self) -> Vec<&str> {
        let set = |name: &&String| self.target_column(name).is_some_and(|column| !column.generated);
        self.stream().columns.iter().filter(set).map(String::as_str).collect()
    }

    /// Columns of the archive that the target lacks.
    fn lost(&self) -> Vec<&str> {
        let lost = |name: &&String| self.target_column(name).is_none();
        self.stream().columns.iter().filter(lost).map(String::as_str).collect()
    }

    /// The key, if the archive has all its columns.
    fn key(&self) -> Option<&[String]> {
        let common = self.common();
        let key = self.table.key.as_deref()?;
        key.iter().all(|name| common.contains(&name.as_str())).then_some(key)
    }

    fn findings(&self) -> Vec<Finding> {
        let (name, mut findings) = (self.stream().display(), Vec::new());
        if self.rows() == 0 {
            return findings;
        }
        if !self.table.missing.is_empty() {
            let message = format!("rows of {name} cannot be restored: the role lacks {}", self.table.missing);
            findings.push(fatal(message, &name));
        }
        let mut note = |message: String| findings.push(Finding { fatal: false, message, hint: None });
        let list = |names: &[&str]| printable(&names.join(", "));
        let lost = self.lost();
        if !lost.is_empty() {
            note(format!(
                "the target's {name} lacks the columns {}: the restore ends before it begins if any row has a value there",
                list(&lost)
            ));
        }
        let made = |name: &&String| self.target_column(name).is_some_and(|column| column.generated);
        let made: Vec<&str> = self.stream().columns.iter().filter(made).map(String::as_str).collect();
        if !made.is_empty() {
            note(format!("the target's {name} generates {}: their values are made anew", list(&made)));
        }
        let added = |column: &&Column| !column.generated && !self.stream().columns.contains(&column.name);
        let added: Vec<&str> =
            self.table.columns.iter().filter(added).map(|column| column.name.as_str()).collect();
        if !added.is_empty() {
            note(format!(
                "the target's {name} has columns that the archive lacks: {} get their defaults",
                list(&added)
            ));
        }
        findings
    }

    fn stage(&self) -> String {
        format!("pg_temp.{}", ident(&format!("pgcask_rows_{}", self.stream().id)))
    }

    fn create_stage(&self) -> String {
        let column = |name: &String| match self.target_column(name) {
            Some(_) => ident(name),
            None => format!("NULL::pg_catalog.text AS {}", ident(name)),
        };
        let columns: Vec<String> = self.stream().columns.iter().map(column).collect();
        format!(
            "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA",
            ident(&format!("pgcask_rows_{}", self.stream().id)),
            columns.join(", "),
            self.stream().qualified()
        )
    }

    /// `ROW(t."a", t."b")`: all common columns.
    fn row(&self, of: &str) -> String {
        let columns: Vec<String> =
            self.common().into_iter().map(|name| format!("{of}.{}", ident(name))).collect();
        format!("ROW({})", columns.join(", "))
    }

    /// Staged rows `s` with the target's rows `t` of the same keys.
    fn joined(&self, key: &[String]) -> String {
        let same: Vec<String> = key.iter().map(|name| format!("t.{0} = s.{0}", ident(name))).collect();
        format!("{} s JOIN ONLY {} t ON {}", self.stage(), self.stream().qualified(), same.join(" AND "))
    }

    /// The statement that moves the staged rows into the table. Its foreign keys are checked when it ends.
    fn insert(&self) -> String {
        let (common, name) = (self.common(), self.stream().qualified());
        let columns = ident_list(common.iter().copied());
        let insert = format!(
            "INSERT INTO {name} AS t ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {}",
            self.stage()
        );
        let Some(key) = self.key() else { return insert };
        let target = ident_list(key.iter().map(String::as_str));
        let values: Vec<String> = common
            .iter()
            .filter(|name| !key.iter().any(|part| part == *name))
            .map(|name| format!("{0} = EXCLUDED.{0}", ident(name)))
            .collect();
        if values.is_empty() {
            return format!("{insert} ON CONFLICT ({target}) DO NOTHING");
        }
        format!(
            "{insert} ON CONFLICT ({target}) DO UPDATE SET {} WHERE pg_catalog.record_image_ne({}, {})",
            values.join(", "),
            self.row("t"),
            self.row("EXCLUDED")
        )
    }

    /// The `COPY` that reads back what was loaded, in the form of the archive.
    fn read_back(&self) -> String {
        let column = |name: &String| match self.target_column(name) {
            Some(column) if !column.generated => format!("t.{}", ident(name)),
            _ => format!("s.{}", ident(name)),
        };
        let columns: Vec<String> = self.stream().columns.iter().map(column).collect();
        match self.key() {
            Some(key) => format!("COPY (SELECT {} FROM {}) TO STDOUT", columns.join(", "), self.joined(key)),
            None => format!(
                "COPY (SELECT {} FROM ONLY {} t) TO STDOUT",
                columns.join(", "),
                self.stream().qualified()
            ),
        }
    }
}

/// The mark that the rows are loaded.
const MARK: &str = "rows of the platform's tables";

/// Loads all rows and brings the sequences there, in one transaction.
pub(super) async fn load(
    steps: &Steps,
    session: &Session,
    loads: &[PlatformLoad],
    sequences: &[SequenceValue],
) -> Result<()> {
    let with_rows: Vec<&PlatformLoad> = loads.iter().filter(|load| load.rows() > 0).collect();
    if with_rows.is_empty() && sequences.is_empty() {
        return Ok(());
    }
    let rows = with_rows.iter().map(|load| load.rows()).sum();
    steps.rows.fetch_add(rows, std::sync::atomic::Ordering::Relaxed);
    if steps.is_marked(Some(MARK)) {
        return Ok(());
    }
    steps.observer.event(Event::Phase { name: "loading rows into the platform's tables" });
    session.execute("BEGIN").await?;
    for load in &with_rows {
        stage(steps, session, load)
            .await
            .context(|| format!("stage the rows of {}", load.stream().display()))?;
    }
    for group in groups(&with_rows) {
        let names: Vec<String> = group.iter().map(|load| load.stream().display()).collect();
        apply(session, &group).await.context(|| format!("load {}", names.join(", ")))?;
    }
    for load in &with_rows {
        prove(steps, session, load).await?;
    }
    for sequence in sequences {
        session.execute(&advance(sequence)).await.context(|| {
            format!("set the sequence {}", printable(&qualified(Some(&sequence.schema), &sequence.name)))
        })?;
    }
    steps.commit(session, vec![MARK.to_owned()]).await
}

/// Brings a sequence to where it stood, unless the project's own has gone further.
fn advance(sequence: &SequenceValue) -> String {
    let name = qualified(Some(&sequence.schema), &sequence.name);
    let SequenceValue { last_value, is_called, .. } = sequence;
    format!(
        "SELECT pg_catalog.setval({}::pg_catalog.regclass, {last_value}, {is_called}) FROM {name} q \
         WHERE (q.last_value, q.is_called) < ({last_value}::pg_catalog.int8, {is_called})",
        literal(&name)
    )
}

/// Stages the rows of one table, and looks whether they fit.
async fn stage(steps: &Steps, session: &Session, load: &PlatformLoad) -> Result<()> {
    session.execute(&load.create_stage()).await?;
    let sql = format!("COPY {}{} FROM STDIN", load.stage(), load.stream().column_list());
    for range in &load.plan.units {
        loader::load(session, &sql, &steps.archive, *range, &steps.budget, &steps.observer).await?;
    }
    session.execute(&format!("ANALYZE {}", load.stage())).await?;
    for name in load.lost() {
        let sql = format!("SELECT pg_catalog.count({}) FROM {}", ident(name), load.stage());
        let count = session.query_one_text(&sql).await?.unwrap_or_default();
        if count != "0" {
            let table = load.stream().display();
            let message = format!(
                "{count} rows have a value in the column {} of {table}, which the target's platform lacks: nothing was restored",
                printable(name)
            );
            return Err(Error::new(ErrorKind::Refused, message).hint(format!(
                "--exclude-table-data {table} restores all but these rows; `pgcask cat ARCHIVE {table}` writes them out"
            )));
        }
    }
    let Some(key) = load.key() else { return refuse_rows(session, load).await };
    let sql = format!(
        "SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE pg_catalog.record_image_ne({}, {})), \
         (SELECT pg_catalog.count(*) FROM ONLY {}) - pg_catalog.count(*) FROM {}",
        load.row("t"),
        load.row("s"),
        load.stream().qualified(),
        load.joined(key)
    );
    let counts = session.query_text(&sql).await?.into_iter().next().unwrap_or_default();
    tell(steps, load, &counts);
    Ok(())
}

/// Without a key nothing tells which of the target's rows are the archive's: there must be none.
async fn refuse_rows(session: &Session, load: &PlatformLoad) -> Result<()> {
    let sql = format!("SELECT EXISTS (SELECT FROM ONLY {})", load.stream().qualified());
    if session.query_one_text(&sql).await?.as_deref() != Some("t") {
        return Ok(());
    }
    let table = load.stream().display();
    let message = format!(
        "the target's {table} has rows already, and no key that tells which are the archive's: nothing was restored"
    );
    Err(Error::new(ErrorKind::Refused, message)
        .hint(format!("empty it, or leave its rows out with --exclude-table-data {table}")))
}

/// Says what becomes of the rows that the project had.
fn tell(steps: &Steps, load: &PlatformLoad, counts: &[Option<String>]) {
    let [Some(_), Some(different), Some(others)] = counts else { return };
    let table = load.stream().display();
    if different != "0" {
        let message = format!(
            "{table}: {different} rows that the target had under the same keys are replaced by the archive's"
        );
        steps.observer.event(Event::Warning { message });
    }
    if others != "0" {
        let message = format!("{table}: {others} rows that the target had, and the archive has not, stay");
        steps.observer.event(Event::Notice { message });
    }
}

/// The loads in an order in which the tables that foreign keys refer to come first; those that refer to one another in a
/// circle together.
fn groups<'a>(loads: &[&'a PlatformLoad]) -> Vec<Vec<&'a PlatformLoad>> {
    let place: HashMap<u32, usize> =
        loads.iter().enumerate().map(|(at, load)| (load.table.oid, at)).collect();
    let waits = |load: &&PlatformLoad| {
        let others = load.table.references.iter().flatten().filter(|other| **other != load.table.oid);
        others.filter_map(|other| place.get(other)).copied().collect()
    };
    let waits: Vec<BTreeSet<usize>> = loads.iter().map(waits).collect();
    let (order, circle) = in_order(&waits);
    let at = |at: &usize| loads.get(*at).copied();
    let mut groups: Vec<Vec<&PlatformLoad>> = order.iter().filter_map(at).map(|load| vec![load]).collect();
    if !circle.is_empty() {
        groups.push(circle.iter().filter_map(at).collect());
    }
    groups
}

/// Moves the staged rows of a group in one statement: foreign keys are checked at its end.
async fn apply(session: &Session, group: &[&PlatformLoad]) -> std::result::Result<(), PgError> {
    if let [one] = group {
        return session.execute(&one.insert()).await;
    }
    let parts: Vec<String> =
        group.iter().enumerate().map(|(number, load)| format!("w{number} AS ({})", load.insert())).collect();
    session.execute(&format!("WITH {} SELECT", parts.join(", "))).await
}

/// Reads back what was loaded, and compares its content hash with the archive's.
async fn prove(steps: &Steps, session: &Session, load: &PlatformLoad) -> Result<()> {
    // Of a configuration table the archive has the rows that a condition picked; their keys pick them here.
    if load.key().is_none() && matches!(load.stream().content, Content::ExtensionConfig { .. }) {
        return Ok(());
    }
    let hasher = RowHasher::new(steps.archive.opener().content_hash_secret()?);
    let large = LargeRows::default();
    let sql = load.read_back();
    let (mut blocks, done) = session.copy_out(&sql, &large);
    let sum = async {
        let mut sum = ContentHash::default();
        while let Some(block) = blocks.recv().await {
            sum += hasher.block(&block.bytes);
        }
        sum
    };
    let (told, found) = tokio::join!(done, sum);
    told.context(|| format!("read back {}", load.stream().display()))?;
    let totals = &load.plan.totals;
    let expected = ContentHash { rows: totals.rows, sum: totals.hash.0 };
    if expected == found {
        return Ok(());
    }
    let message = format!(
        "{} is not what was backed up ({} rows expected, {} found): nothing was restored",
        load.stream().display(),
        expected.rows,
        found.rows
    );
    Err(Error::new(ErrorKind::Validation, message)
        .hint("does a trigger of the target's platform change rows that are inserted there?"))
}
