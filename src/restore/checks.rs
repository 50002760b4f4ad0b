//! What is checked before a restored database may be used: a table of checks, each of which passed or names what is wrong.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::proof::TableProof;
use super::steps::Steps;
use super::validate;
use crate::catalog::ident::ObjectId;
use crate::catalog::model::{Entry, SequenceValue};
use crate::catalog::registry::Object;
use crate::catalog::sql::{self, PROGRESS_SCHEMA};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::pg::Session;
use crate::pg::quote::{ident, printable, qualified};
use crate::plan::select::Pattern;

/// The name of the check that counts rows.
pub(super) const COUNTS: &str = "row counts";
/// The name of the check that compares rows.
pub(super) const HASHES: &str = "content hashes";

/// The name of the check that tables have rows.
pub(super) const CRITICAL: &str = "critical tables";
/// The name of the check by the operator's own queries.
pub(super) const ASSERTIONS: &str = "assertions";

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All is as it should be.
    Passed,
    /// Something to know, which was so at the source, or does no harm.
    Noted,
    /// Foreign keys that hold for new rows and wait for `pgcask validate --finish`.
    Pending,
    /// It was not asked for.
    Skipped,
    /// What is there is not what should be there.
    Failed,
}

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What is checked.
    pub check: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// How many things were looked at.
    pub checked: u64,
    /// What is wrong, or to be known: a sentence each.
    pub problems: Vec<String>,
}

impl Check {
    fn of(check: &'static str, checked: usize, problems: Vec<String>) -> Self {
        let outcome = if problems.is_empty() { Outcome::Passed } else { Outcome::Failed };
        Self { check, outcome, checked: u64::try_from(checked).unwrap_or(u64::MAX), problems }
    }

    fn skipped(check: &'static str) -> Self {
        Self { check, outcome: Outcome::Skipped, checked: 0, problems: Vec::new() }
    }
}

/// What an operator wants checked besides.
#[derive(Debug, Clone, Default)]
pub struct Demands {
    /// Tables that must have rows.
    pub critical: Vec<Pattern>,
    /// Queries that must give true, and nothing else.
    pub assertions: Vec<String>,
    /// A pattern of `critical` that means no table of the archive is refused before anything is restored, and not a check that
    /// fails at the end.
    pub known_only: bool,
}

impl Demands {
    /// Whether nothing is wanted besides.
    pub(super) fn is_empty(&self) -> bool {
        self.critical.is_empty() && self.assertions.is_empty()
    }
}

/// Fails when a check failed, naming all that is wrong.
pub(super) fn require(checks: &[Check]) -> Result<()> {
    let failed = checks.iter().filter(|check| check.outcome == Outcome::Failed);
    let problems: Vec<String> =
        failed.map(|check| format!("{}: {}", check.check, check.problems.join("; "))).collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Validation, format!("the validation failed: {}", problems.join("; "))).hint(
        "did something write to the target while it was restored? restore into a new database and compare",
    ))
}

/// Runs all checks; `proofs` is what reading the rows back gave, if that was asked for.
pub(super) async fn run(
    steps: &Steps,
    session: &Session,
    sequences: &[SequenceValue],
    proofs: Option<&[TableProof]>,
    demands: &Demands,
) -> Result<Vec<Check>> {
    let mut checks = match proofs {
        Some(proofs) => contents(proofs),
        None => vec![Check::skipped(COUNTS), Check::skipped(HASHES)],
    };
    let entries = &steps.definitions.entries;
    checks.push(constraints(steps, session).await?);
    checks.push(indexes(entries, session).await?);
    checks.push(positions_of_sequences(session, sequences).await?);
    checks.push(extensions(entries, session).await?);
    checks.push(critical(session, &demands.critical).await?);
    checks.push(assertions(session, &demands.assertions).await?);
    Ok(checks)
}

fn contents(proofs: &[TableProof]) -> Vec<Check> {
    let counts = proofs.iter().filter(|proof| !proof.moved && proof.expected != proof.found);
    let counts = counts.map(|proof| format!("{} has {} rows of {}", proof.name, proof.found, proof.expected));
    let hashes = proofs.iter().filter(|proof| !proof.moved && !proof.equal);
    let hashes = hashes.map(|proof| format!("{} has other rows than were backed up", proof.name));
    let mut hashes = Check::of(HASHES, proofs.len(), hashes.collect());
    let moved: Vec<String> =
        proofs.iter().filter(|proof| proof.moved).map(|proof| proof.name.clone()).collect();
    if hashes.problems.is_empty() && !moved.is_empty() {
        hashes.outcome = Outcome::Noted;
        hashes.problems.push(format!("rows moved between partitions, none is missing: {}", moved.join(", ")));
    }
    vec![Check::of(COUNTS, proofs.len(), counts.collect()), hashes]
}

/// Rows of a query of three texts, the third of which is a truth value.
async fn states(session: &Session, sql: &str) -> Result<BTreeMap<(String, String), bool>> {
    let rows = session.query_text(sql).await?;
    let row = |row: Vec<Option<String>>| match <[Option<String>; 3]>::try_from(row) {
        Ok([Some(first), Some(second), Some(state)]) => Some(((first, second), state == "t")),
        _ => None,
    };
    Ok(rows.into_iter().filter_map(row).collect())
}

/// The quoted name of the relation that an entry is of.
fn relation(
    entries: &[Entry],
    by_id: &std::collections::HashMap<ObjectId, usize>,
    id: ObjectId,
) -> Option<String> {
    by_id.get(&id).and_then(|at| entries.get(*at)).map(|entry| entry.head.qualified())
}

/// Whether a definition holds for old rows too.
fn holds(definition: &str) -> bool {
    !definition.ends_with("NOT VALID") && !definition.ends_with("NOT ENFORCED")
}

async fn constraints(steps: &Steps, session: &Session) -> Result<Check> {
    let definitions = &steps.definitions;
    let sql = format!(
        "SELECT pg_catalog.concat('\"', pg_catalog.replace(n.nspname, '\"', '\"\"'), '\".\"', pg_catalog.replace(t.relname, '\"', '\"\"'), '\"'), \
         k.conname, k.convalidated FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class t ON t.oid = k.conrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace WHERE {}",
        sql::user_schema("t.relnamespace")
    );
    let found = states(session, &sql).await?;
    // Left for later by this restore, or by an earlier one that is only looked at now.
    let listed = validate::known_pending(session).await?;
    let (mut checked, mut problems, mut pending) = (0, Vec::new(), Vec::new());
    for Entry { head, object } in &definitions.entries {
        let (table, valid) = match object {
            Object::ForeignKey(key) => (key.table, holds(&key.constraint)),
            Object::KeyConstraint(key) => (key.index.table, true),
            Object::LateConstraint(late) => (late.table, holds(&late.constraint) || late.valid_below),
            _ => continue,
        };
        let Some(table) = relation(&definitions.entries, &definitions.by_id, table) else { continue };
        checked += 1;
        let name = printable(&format!("{} of {table}", ident(&head.name)));
        let key = (table, head.name.clone());
        match found.get(&key) {
            // It came with the parent's, by the parent's name: what a partition called it before it was attached is lost.
            None if matches!(object, Object::LateConstraint(late) if late.inherited && !late.valid_below) => {
            }
            None => problems.push(format!("{name} is missing")),
            Some(false) if valid && (definitions.is_deferred(object) || listed.contains(&key)) => {
                pending.push(name);
            }
            Some(false) if valid => problems.push(format!("{name} is not validated")),
            Some(_) => {}
        }
    }
    let mut check = Check::of("constraints validated", checked, problems);
    if check.problems.is_empty() && !pending.is_empty() {
        (check.outcome, check.problems) = (Outcome::Pending, pending);
    }
    Ok(check)
}

async fn indexes(entries: &[Entry], session: &Session) -> Result<Check> {
    let sql = format!(
        "SELECT n.nspname, c.relname, i.indisvalid AND i.indisready FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {}",
        sql::user_schema("c.relnamespace")
    );
    let found = states(session, &sql).await?;
    let (mut checked, mut problems) = (0, Vec::new());
    for Entry { head, object } in entries {
        let (name, index) = match object {
            // One that was invalid at the source is left out; a partitioned one may lack parts.
            Object::Index(index) => (&head.name, index),
            Object::KeyConstraint(key) => (&key.index_name, &key.index),
            _ => continue,
        };
        if !index.valid {
            continue;
        }
        checked += 1;
        let schema = head.schema.clone().unwrap_or_default();
        let shown = printable(&qualified(Some(&schema), name));
        match found.get(&(schema, name.clone())) {
            None => problems.push(format!("{shown} is missing")),
            Some(false) => problems.push(format!("{shown} is not valid")),
            Some(true) => {}
        }
    }
    Ok(Check::of("indexes present and valid", checked, problems))
}

/// Sequences that columns take their values from must not be behind what the columns hold: the next row would fail. Those
/// that the role may not read are a platform's, which were not restored.
async fn positions_of_sequences(session: &Session, backed_up: &[SequenceValue]) -> Result<Check> {
    let owned = format!(
        "SELECT n.nspname, c.relname, pg_catalog.format('%I.%I', n.nspname, c.relname), pg_catalog.format('%I.%I', tn.nspname, t.relname), \
         pg_catalog.quote_ident(a.attname), s.seqincrement OPERATOR(pg_catalog.>) 0 \
         FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S' \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid \
         JOIN pg_catalog.pg_class t ON t.oid = d.refobjid AND t.relkind IN ('r', 'p') JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid AND a.atttypid IN (20, 21, 23) \
         WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass \
         AND d.deptype IN ('a', 'i') AND {} \
         AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_schema_privilege(tn.oid, 'USAGE') \
         AND pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.has_table_privilege(t.oid, 'SELECT')",
        sql::user_schema("c.relnamespace")
    );
    let rows = session.query_text(&owned).await?;
    let checked = rows.len();
    let (mut problems, mut notes) = (Vec::new(), Vec::new());
    for row in rows {
        let [Some(schema), Some(name), Some(sequence), Some(table), Some(column), Some(rises)] =
            row.as_slice()
        else {
            continue;
        };
        let (extreme, behind) = if rises == "t" { ("max", "<") } else { ("min", ">") };
        let sql = format!(
            "SELECT s.last_value, m.value FROM {sequence} s, (SELECT pg_catalog.{extreme}(t.{column})::pg_catalog.int8 AS value FROM {table} t) m \
             WHERE s.last_value OPERATOR(pg_catalog.{behind}) m.value"
        );
        let found = session.query_text(&sql).await?;
        let Some([Some(last), Some(value)]) = found.first().map(Vec::as_slice) else { continue };
        let message =
            printable(&format!("{sequence} stands at {last}, and {column} of {table} holds {value}"));
        let same = |value: &&SequenceValue| value.schema == *schema && value.name == *name;
        if backed_up.iter().find(same).is_some_and(|value| value.last_value.to_string() == *last) {
            notes.push(format!("{message}, as when it was backed up"));
        } else {
            problems.push(message);
        }
    }
    let mut check = Check::of("sequences not behind", checked, problems);
    if check.problems.is_empty() && !notes.is_empty() {
        (check.outcome, check.problems) = (Outcome::Noted, notes);
    }
    Ok(check)
}

async fn extensions(entries: &[Entry], session: &Session) -> Result<Check> {
    let rows = session.query_text("SELECT e.extname, e.extversion FROM pg_catalog.pg_extension e").await?;
    let found: BTreeMap<String, String> = rows
        .into_iter()
        .filter_map(|row| match <[Option<String>; 2]>::try_from(row) {
            Ok([Some(name), Some(version)]) => Some((name, version)),
            _ => None,
        })
        .collect();
    let (mut checked, mut problems, mut notes) = (0, Vec::new(), Vec::new());
    for Entry { head, object } in entries {
        let Object::Extension(extension) = object else { continue };
        checked += 1;
        let name = printable(&head.name);
        match found.get(&head.name) {
            None => problems.push(format!("{name} is missing")),
            Some(version) if *version != extension.version => {
                notes.push(printable(&format!("{name} is {version}, and was {}", extension.version)));
            }
            Some(_) => {}
        }
    }
    let mut check = Check::of("extensions", checked, problems);
    if check.problems.is_empty() && !notes.is_empty() {
        (check.outcome, check.problems) = (Outcome::Noted, notes);
    }
    Ok(check)
}

async fn critical(session: &Session, patterns: &[Pattern]) -> Result<Check> {
    if patterns.is_empty() {
        return Ok(Check::skipped(CRITICAL));
    }
    let sql = format!(
        "SELECT n.nspname, c.relname, true FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'm') AND {}",
        sql::user_schema("c.relnamespace")
    );
    let tables = states(session, &sql).await?;
    let mut chosen = BTreeSet::new();
    let mut problems = Vec::new();
    for pattern in patterns {
        let matching: Vec<_> = tables.keys().filter(|(schema, name)| pattern.matches(schema, name)).collect();
        if matching.is_empty() {
            problems.push(format!("no table matches {}", printable(&pattern.text)));
        }
        chosen.extend(matching);
    }
    let checked = chosen.len();
    for (schema, name) in chosen {
        let name = qualified(Some(schema), name);
        let some = session.query_one_text(&format!("SELECT EXISTS (SELECT FROM {name})")).await?;
        if some.as_deref() != Some("t") {
            problems.push(format!("{} is empty", printable(&name)));
        }
    }
    Ok(Check::of(CRITICAL, checked, problems))
}

async fn assertions(session: &Session, queries: &[String]) -> Result<Check> {
    if queries.is_empty() {
        return Ok(Check::skipped(ASSERTIONS));
    }
    let mut problems = Vec::new();
    for query in queries {
        // As whoever wrote it in psql meant its names, and without leave to change anything.
        session.execute("BEGIN READ ONLY; SET LOCAL search_path = \"$user\", public").await?;
        let answer = session.query_text(query).await;
        session.execute("ROLLBACK").await?;
        match answer {
            Ok(rows) => {
                // Of several values each counts: that the first one is true may hide that the next one is not.
                let values: Vec<Option<String>> = rows.into_iter().flatten().collect();
                let wrong = values.iter().find(|value| value.as_deref() != Some("t"));
                let value = match wrong {
                    Some(value) => value.clone().unwrap_or_else(|| "null".to_owned()),
                    None if values.is_empty() => "no row".to_owned(),
                    None => continue,
                };
                problems.push(printable(&format!("{query} gave {value}, not true")));
            }
            Err(error) if error.is_lost() => return Err(error.into()),
            Err(error) => problems.push(printable(&format!("{query} failed: {error}"))),
        }
    }
    Ok(Check::of(ASSERTIONS, queries.len(), problems))
}

/// Keeps, in the database, which foreign keys are still to be validated.
pub(super) async fn keep_pending(steps: &Steps, session: &Session) -> Result<()> {
    let definitions = &steps.definitions;
    let rows: Vec<String> = definitions
        .entries
        .iter()
        .filter_map(|Entry { head, object }| match object {
            Object::ForeignKey(key) if definitions.is_deferred(object) => {
                let table = relation(&definitions.entries, &definitions.by_id, key.table)?;
                let literal = crate::pg::quote::literal;
                Some(format!("({}, {})", literal(&table), literal(&head.name)))
            }
            _ => None,
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "BEGIN; CREATE TABLE IF NOT EXISTS {PROGRESS_SCHEMA}.pending (relation pg_catalog.text, name pg_catalog.text, PRIMARY KEY (relation, name)); \
         INSERT INTO {PROGRESS_SCHEMA}.pending VALUES {} ON CONFLICT DO NOTHING; COMMIT",
        rows.join(", ")
    );
    session.execute(&sql).await.context(|| "keep which foreign keys are to be validated".to_owned())
}
