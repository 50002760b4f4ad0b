//! What of a restore is done, kept in the database that it fills: each step's mark is written in the transaction that does
//! the step, so that a restore that was killed, or lost its server, goes on with exactly what is missing.
//!
//! The marks lie in a schema of their own (`pgcask_restore`), which is dropped when all is done and is never backed up.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::options::Options;
use super::swap::Replaced;
use super::writers;
use crate::catalog::sql::PROGRESS_SCHEMA;
use crate::error::{Error, ErrorKind, Result};
use crate::pg::Session;
use crate::pg::quote::{literal, shell_word};

/// The mark of a restore whose content is proven: nothing is left to do but to bring it into service.
pub(super) const PROVEN: &str = "proven";

/// The mark of a restore in place that has not yet dropped all that was there before.
pub(super) const EMPTYING: &str = "emptying";

/// Which restore it is that a database is being filled by. Another one must not go on with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    /// The backup's id.
    pub(super) archive: String,
    /// All options that decide what is restored, and the program's version: another one might cut the work otherwise.
    pub(super) options: String,
    /// Whether large tables are loaded in parts by several sessions.
    pub(super) split: bool,
    /// The database whose place this one is to take.
    #[serde(default)]
    pub(super) instead_of: Option<String>,
    /// The backup that was taken of that database first; no part of what makes two restores the same.
    #[serde(default)]
    pub(super) safety: Option<String>,
}

impl Claim {
    pub(super) fn new(archive: &str, options: &Options, replaced: Option<&Replaced>) -> Self {
        let wanted = &options.wanted;
        let selection = &wanted.selection;
        let lists = [
            &selection.tables,
            &selection.schemas,
            &selection.exclude_tables,
            &selection.exclude_schemas,
            &selection.exclude_data,
        ];
        let lists = lists.map(|list| list.iter().map(|pattern| pattern.text.as_str()).collect::<Vec<_>>());
        let sections = [wanted.sections.pre_data, wanted.sections.data, wanted.sections.post_data];
        let options_text = serde_json::json!({
            "program": env!("CARGO_PKG_VERSION"),
            "selection": lists,
            "sections": sections,
            "owners": !wanted.no_owner,
            "privileges": !wanted.no_acl,
            "tablespaces": !wanted.no_tablespaces,
            "statistics": options.analyze,
            "deferred": options.defer_validation,
        });
        Self {
            archive: archive.to_owned(),
            options: options_text.to_string(),
            split: options.jobs > 1,
            instead_of: replaced.map(|replaced| replaced.database.name.clone()),
            safety: replaced.and_then(|replaced| replaced.safety.clone()),
        }
    }

    /// Fails unless the interrupted restore is this one.
    pub(super) fn go_on_from(&self, begun: &Self) -> Result<()> {
        let refused = |what: &str| {
            Error::new(ErrorKind::Refused, format!("the interrupted restore cannot be resumed: {what}"))
                .hint("give the archive and the options that it was begun with, or drop the database and begin anew")
        };
        if self.archive != begun.archive {
            return Err(refused(&format!("it is of backup {}, this one of {}", begun.archive, self.archive)));
        }
        if self.options != begun.options {
            return Err(refused(&format!("it was begun {}", differences(&begun.options, &self.options))));
        }
        if self.instead_of != begun.instead_of {
            return Err(refused("it is to take the place of another database"));
        }
        Ok(())
    }
}

/// In which options a restore was begun otherwise, as they are written on the command line.
fn differences(begun: &str, now: &str) -> String {
    let read = |text: &str| {
        serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).unwrap_or_default()
    };
    let (begun, now) = (read(begun), read(now));
    let value = |of: &serde_json::Map<String, serde_json::Value>, name: &str| {
        of.get(name).cloned().unwrap_or_default()
    };
    let mut said = Vec::new();
    for name in now.keys() {
        let (then, now) = (value(&begun, name), value(&now, name));
        if then == now {
            continue;
        }
        // Owners, privileges and the like are on unless the option says no.
        let switch =
            |option: &str, is_given: bool| format!("{} {option}", if is_given { "with" } else { "without" });
        let is_on = then.as_bool().unwrap_or_default();
        said.push(match name.as_str() {
            "program" => format!("by version {} of the program", then.as_str().unwrap_or("?")),
            "owners" => switch("--no-owner", !is_on),
            "privileges" => switch("--no-acl", !is_on),
            "tablespaces" => switch("--no-tablespaces", !is_on),
            "statistics" => switch("--no-analyze", !is_on),
            "deferred" => switch("--defer-validation", is_on),
            "sections" => "with another choice of --schema-only, --data-only or --section".to_owned(),
            _ => selected(&then),
        });
    }
    if said.is_empty() { "with other options".to_owned() } else { said.join(", ") }
}

/// A selection as the command line has it.
fn selected(lists: &serde_json::Value) -> String {
    const OPTIONS: [&str; 5] =
        ["--table", "--schema", "--exclude-table", "--exclude-schema", "--exclude-table-data"];
    let lists = lists.as_array().map(Vec::as_slice).unwrap_or_default();
    let named = lists.iter().zip(OPTIONS).flat_map(|(list, option)| {
        let patterns = list.as_array().map(Vec::as_slice).unwrap_or_default();
        patterns.iter().filter_map(move |pattern| Some(format!("{option} {}", shell_word(pattern.as_str()?))))
    });
    let all: Vec<String> = named.collect();
    if all.is_empty() { "for all of the archive".to_owned() } else { format!("with {}", all.join(" ")) }
}

/// An interrupted restore found in a database.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    pub(super) claim: Claim,
    pub(super) done: HashSet<String>,
}

/// Looks for an interrupted restore in the session's database.
pub(super) async fn find(session: &Session) -> Result<Option<Begun>> {
    let sql = format!(
        "SELECT pg_catalog.to_regclass('{PROGRESS_SCHEMA}.claim') IS NOT NULL AND pg_catalog.to_regclass('{PROGRESS_SCHEMA}.done') IS NOT NULL"
    );
    if session.query_one_text(&sql).await?.as_deref() != Some("t") {
        return Ok(None);
    }
    let claims: Vec<Claim> = session
        .query_json(&format!(
            "SELECT archive, options, split, instead_of, safety FROM {PROGRESS_SCHEMA}.claim"
        ))
        .await?;
    let Some(claim) = claims.into_iter().next() else { return Ok(None) };
    Ok(Some(Begun { claim, done: read_done(session).await? }))
}

/// Whether there are marks of any kind, or the note that a swap leaves in the old database.
pub(super) async fn has_schema(session: &Session) -> Result<bool> {
    let sql = format!("SELECT pg_catalog.to_regnamespace('{PROGRESS_SCHEMA}') IS NOT NULL");
    Ok(session.query_one_text(&sql).await?.as_deref() == Some("t"))
}

/// When the restore began that a database has marks of.
pub(super) async fn began(session: &Session) -> Result<Option<Timestamp>> {
    let sql = format!("SELECT pg_catalog.to_json(began) #>> '{{}}' FROM {PROGRESS_SCHEMA}.claim");
    Ok(session.query_one_text(&sql).await?.and_then(|text| text.parse().ok()))
}

async fn read_done(session: &Session) -> Result<HashSet<String>> {
    let rows = session.query_text(&format!("SELECT step FROM {PROGRESS_SCHEMA}.done")).await?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

/// The marks of one restore.
#[derive(Debug)]
pub(super) struct Ledger {
    done: Mutex<HashSet<String>>,
}

impl Ledger {
    /// Begins a restore.
    pub(super) async fn begin(session: &Session, claim: &Claim) -> Result<Self> {
        session.execute(&format!("BEGIN; {}; COMMIT", Self::begin_sql(claim))).await?;
        Ok(Self { done: Mutex::default() })
    }

    /// The statements that begin a restore, for one transaction. Nothing is ever updated there: a publication of all
    /// tables would ask for a replica identity.
    pub(super) fn begin_sql(claim: &Claim) -> String {
        let or_null = |text: Option<&str>| text.map_or_else(|| "NULL".to_owned(), literal);
        format!(
            "DROP SCHEMA IF EXISTS {PROGRESS_SCHEMA} CASCADE; CREATE SCHEMA {PROGRESS_SCHEMA}; \
             CREATE TABLE {PROGRESS_SCHEMA}.claim (archive pg_catalog.text NOT NULL, options pg_catalog.text NOT NULL, \
             split pg_catalog.bool NOT NULL, instead_of pg_catalog.text, safety pg_catalog.text, \
             began pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now()); \
             CREATE TABLE {PROGRESS_SCHEMA}.done (step pg_catalog.text PRIMARY KEY); \
             INSERT INTO {PROGRESS_SCHEMA}.claim VALUES ({}, {}, {}, {}, {})",
            literal(&claim.archive),
            literal(&claim.options),
            claim.split,
            or_null(claim.instead_of.as_deref()),
            or_null(claim.safety.as_deref()),
        )
    }

    /// Goes on with a restore that was interrupted.
    pub(super) fn resume(begun: Begun) -> Self {
        Self { done: Mutex::new(begun.done) }
    }

    /// Reads the marks again: after a lost connection nobody knows what was committed.
    pub(super) async fn reread(&self, session: &Session) -> Result<()> {
        let found = read_done(session).await?;
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(())
    }

    /// How many steps are done.
    pub(super) fn len(&self) -> usize {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn has(&self, step: &str) -> bool {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).contains(step)
    }

    /// Writes marks, in the session's transaction.
    pub(super) async fn write(&self, session: &Session, steps: &[String]) -> Result<()> {
        match Self::write_sql(steps) {
            Some(sql) => Ok(session.execute(&sql).await?),
            None => Ok(()),
        }
    }

    /// The statement that writes marks; nothing if there are none.
    pub(super) fn write_sql(steps: &[String]) -> Option<String> {
        let rows: Vec<String> = steps.iter().map(|step| format!("({})", literal(step))).collect();
        (!rows.is_empty()).then(|| format!("INSERT INTO {PROGRESS_SCHEMA}.done VALUES {}", rows.join(", ")))
    }

    /// Takes note of marks that are committed.
    pub(super) fn keep(&self, steps: Vec<String>) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).extend(steps);
    }
}

/// Rows of the catalog that dropping the marks wrote: the server counts them as it counts rows of users.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct OwnWrites {
    pub(super) inserted: i64,
    pub(super) updated: i64,
    pub(super) deleted: i64,
}

/// What the session's transaction wrote; of the catalogs that all databases share no database counts.
const OWN_WRITES: &str = "SELECT coalesce(pg_catalog.sum(t.n_tup_ins), 0)::pg_catalog.int8 AS inserted, \
    coalesce(pg_catalog.sum(t.n_tup_upd), 0)::pg_catalog.int8 AS updated, coalesce(pg_catalog.sum(t.n_tup_del), 0)::pg_catalog.int8 AS deleted \
    FROM pg_catalog.pg_stat_xact_all_tables t JOIN pg_catalog.pg_class c ON c.oid = t.relid WHERE NOT c.relisshared";

/// Ends a restore: the marks go, and with them the schema, unless foreign keys are still to be validated; and others may
/// write again, where they were shut out. Event triggers that were just restored must not stop that, nor see it.
pub(super) async fn forget(session: &Session) -> Result<OwnWrites> {
    let quiet =
        if session.info().is_superuser { "SET LOCAL session_replication_role = 'replica'; " } else { "" };
    let drop = if has_pending(session).await? {
        format!("DROP TABLE IF EXISTS {PROGRESS_SCHEMA}.claim, {PROGRESS_SCHEMA}.done")
    } else {
        format!("DROP SCHEMA IF EXISTS {PROGRESS_SCHEMA} CASCADE")
    };
    let let_in = writers::let_in(session).await?.map_or_else(String::new, |sql| format!("{sql}; "));
    session.execute(&format!("BEGIN; {quiet}{let_in}{drop}")).await?;
    let own: Vec<OwnWrites> = session.query_json(OWN_WRITES).await?;
    session.execute("COMMIT").await?;
    Ok(own.into_iter().next().unwrap_or_default())
}

/// Whether foreign keys of the session's database are still to be validated.
pub(super) async fn has_pending(session: &Session) -> Result<bool> {
    let there = format!("SELECT pg_catalog.to_regclass('{PROGRESS_SCHEMA}.pending') IS NOT NULL");
    if session.query_one_text(&there).await?.as_deref() != Some("t") {
        return Ok(false);
    }
    let some = format!("SELECT EXISTS (SELECT FROM {PROGRESS_SCHEMA}.pending)");
    Ok(session.query_one_text(&some).await?.as_deref() == Some("t"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_different_is_said_as_it_was_asked_for() {
        let text = |owners: bool, tables: &[&str], deferred: bool| {
            serde_json::json!({"owners": owners, "selection": [tables, [], [], [], []], "deferred": deferred})
                .to_string()
        };
        let all = text(true, &[], false);
        assert_eq!(differences(&text(false, &[], true), &all), "with --defer-validation, with --no-owner");
        assert_eq!(
            differences(&all, &text(false, &["a*"], false)),
            "without --no-owner, for all of the archive"
        );
        assert_eq!(differences(&text(true, &["a*"], false), &all), "with --table 'a*'");
    }
}
