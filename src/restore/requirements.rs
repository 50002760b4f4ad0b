//! What the target must have, or must not have, for what is asked: empty tables for rows, languages and libraries for
//! functions.

use std::collections::{BTreeMap, BTreeSet};

use super::options::Options;
use super::preflight::Finding;
use super::prepare::Prepared;
use crate::catalog::kinds::function::Routine;
use crate::catalog::model::Entry;
use crate::catalog::registry::Object;
use crate::error::Result;
use crate::manifest::{Content, Stream};
use crate::pg::Session;
use crate::pg::quote::{literal, printable, unquoted};
use crate::plan::choose::is_relation;
use crate::plan::select::Pattern;

/// Tables that are looked at by one statement: it locks them all.
const TABLES_AT_ONCE: usize = 50;

/// Names listed in a message, at most.
const LISTED: usize = 10;

/// Languages that every database has.
const BUILT_IN: [&str; 3] = ["internal", "c", "sql"];

/// How files of libraries end, on one system or another.
const ENDINGS: [&str; 4] = ["", ".so", ".dylib", ".dll"];

/// Rows go into tables that exist and are empty: among others they could not be told apart, nor proven.
pub(super) async fn tables(session: &Session, prepared: &Prepared, keep_going: bool) -> Result<Vec<Finding>> {
    let (mut missing, mut full) = (Vec::new(), Vec::new());
    let streams = prepared.loads.iter().map(|load| &load.stream);
    let tables: Vec<&Stream> = streams.filter(|stream| stream.content == Content::Table).collect();
    for some in tables.chunks(TABLES_AT_ONCE) {
        let name = |(at, stream): (usize, &&Stream)| format!("({at}, {})", literal(&stream.qualified()));
        let names: Vec<String> = some.iter().enumerate().map(name).collect();
        let sql = format!(
            "SELECT v.at FROM (VALUES {}) v(at, name) WHERE pg_catalog.to_regclass(v.name) IS NOT NULL",
            names.join(", ")
        );
        let there = positions(session, &sql).await?;
        missing.extend(pick(some, |at| !there.contains(&at)));
        let rows = |at: &usize| {
            let stream = some.get(*at)?;
            Some(format!("SELECT {at} WHERE EXISTS (SELECT FROM ONLY {})", stream.qualified()))
        };
        let rows: Vec<String> = there.iter().filter_map(rows).collect();
        if !rows.is_empty() {
            let rows = positions(session, &rows.join(" UNION ALL ")).await?;
            full.extend(pick(some, |at| rows.contains(&at)));
        }
    }
    missing.sort_unstable();
    full.sort_unstable();
    let mut findings = Vec::new();
    if !missing.is_empty() {
        let message = format!("the target has no table {}", listed(&missing));
        findings.push(finding(
            !keep_going,
            message,
            "restore the definitions first, with --section pre-data",
        ));
    }
    if !full.is_empty() {
        let message = format!("tables of the target have rows already: {}", listed(&full));
        findings.push(finding(
            true,
            message,
            "--replace makes their content the archive's, --only brings single rows back; or empty them with TRUNCATE, or restore into \
             another database",
        ));
    }
    Ok(findings)
}

/// The chosen relations that the target has already: they are not made again, and nothing is added to what is in them.
pub(super) async fn relations(session: &Session, prepared: &Prepared) -> Result<Option<Finding>> {
    let chosen: Vec<&Entry> = prepared
        .created()
        .filter(|entry| is_relation(entry.object.kind()) && !prepared.besides.needed.contains(&entry.head.id))
        .filter(|entry| !prepared.platform.instead.contains_key(&entry.head.id))
        .collect();
    if chosen.is_empty() {
        return Ok(None);
    }
    let row = |(at, entry): (usize, &&Entry)| {
        let schema = entry.head.schema.as_deref().unwrap_or_default();
        format!("({at}, {}, {})", literal(schema), literal(&entry.head.name))
    };
    let rows: Vec<String> = chosen.iter().enumerate().map(row).collect();
    let sql = format!(
        "SELECT v.at FROM (VALUES {}) v(at, schema, name) JOIN pg_catalog.pg_namespace n ON n.nspname = v.schema \
         JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = v.name",
        rows.join(", ")
    );
    let there = positions(session, &sql).await?;
    let there: Vec<&Entry> = there.iter().filter_map(|at| chosen.get(*at).copied()).collect();
    if there.is_empty() {
        return Ok(None);
    }
    let names: Vec<String> =
        there.iter().map(|entry| unquoted(&printable(&entry.object.identity(&entry.head)))).collect();
    let message = format!("the target has already {}", listed(&names));
    let hint = if there.iter().any(|entry| entry.object.kind() == "table") {
        "of a table that is there, --replace makes the content the archive's, --only missing|changed|all brings single rows back, \
         and --as NAME restores it beside the live one; others are left out with --exclude-table"
    } else {
        "drop or rename them first, or leave them out with --exclude-table"
    };
    Ok(Some(finding(true, message, hint)))
}

/// Patterns of tables that must have rows at the end, and that the archive has no table for: they would fail after all is
/// loaded.
pub(super) fn critical(options: &Options, prepared: &Prepared) -> Option<Finding> {
    let there = |pattern: &&Pattern| {
        let streams = prepared.manifest.streams.iter();
        let entries = prepared.model.entries.iter().filter(|entry| is_relation(entry.object.kind()));
        streams.clone().any(|stream| pattern.matches(&stream.schema, &stream.name))
            || entries.clone().any(|entry| {
                pattern.matches(entry.head.schema.as_deref().unwrap_or_default(), &entry.head.name)
            })
    };
    let lost: Vec<String> = options
        .demands
        .critical
        .iter()
        .filter(|pattern| !there(pattern))
        .map(|pattern| printable(&pattern.text))
        .collect();
    let message = format!("no table in the archive matches {}, which must have rows", listed(&lost));
    let hint =
        "correct --critical, or `critical` in pgcask.toml; `pgcask show ARCHIVE --toc` lists what is there";
    (!lost.is_empty()).then(|| finding(true, message, hint))
}

/// The numbers that a query gives.
pub(super) async fn positions(session: &Session, sql: &str) -> Result<BTreeSet<usize>> {
    let rows = session.query_text(sql).await?;
    Ok(rows.into_iter().filter_map(|row| row.first()?.as_deref()?.parse().ok()).collect())
}

fn pick(streams: &[&Stream], wanted: impl Fn(usize) -> bool) -> Vec<String> {
    let picked = streams.iter().enumerate().filter(|(at, _)| wanted(*at));
    picked.map(|(_, stream)| stream.display()).collect()
}

/// The first of some names, and how many more there are.
pub(super) fn listed(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(LISTED).map(String::as_str).collect();
    match names.len().saturating_sub(LISTED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn finding(fatal: bool, message: String, hint: &str) -> Finding {
    Finding { fatal, message, hint: Some(hint.to_owned()) }
}

/// The functions and procedures that are created.
fn routines(prepared: &Prepared) -> impl Iterator<Item = (&Entry, &Routine)> {
    prepared.created().filter_map(|entry| match &entry.object {
        Object::Function(function) => Some((entry, &function.routine)),
        Object::Procedure(procedure) => Some((entry, &procedure.routine)),
        _ => None,
    })
}

/// Functions need their languages and, those in C, their libraries, which no archive holds.
pub(super) async fn functions(
    server: &Session,
    prepared: &Prepared,
    keep_going: bool,
) -> Result<Vec<Finding>> {
    let mut findings = languages(server, prepared, keep_going).await?;
    let mut users: BTreeMap<&str, String> = BTreeMap::new();
    for (entry, routine) in routines(prepared) {
        if let Some(library) = routine.library.as_deref() {
            users.entry(library).or_insert_with(|| printable(&entry.object.identity(&entry.head)));
        }
    }
    if users.is_empty() {
        return Ok(findings);
    }
    if !server.info().is_superuser {
        let names: Vec<String> = users.into_values().collect();
        let message = format!("only a superuser may create functions in C: {}", listed(&names));
        findings.push(finding(!keep_going, message, "connect as a superuser, or give --keep-going"));
        return Ok(findings);
    }
    let libraries: Vec<&str> = users.keys().copied().collect();
    let there = libraries_there(server, &libraries).await?;
    for (at, (library, user)) in users.iter().enumerate() {
        if !there.contains(&at) {
            let message =
                format!("the target's host has no library {}, which {user} needs", printable(library));
            findings.push(finding(
                !keep_going,
                message,
                "install it on the target's host, or give --keep-going",
            ));
        }
    }
    Ok(findings)
}

async fn languages(server: &Session, prepared: &Prepared, keep_going: bool) -> Result<Vec<Finding>> {
    let kind =
        |kind: &'static str| prepared.model.entries.iter().filter(move |entry| entry.object.kind() == kind);
    let brought: BTreeSet<&str> =
        kind("language").chain(kind("extension")).map(|entry| entry.head.name.as_str()).collect();
    let extensions: BTreeSet<_> = kind("extension").map(|entry| entry.head.id).collect();
    let mut users: BTreeMap<&str, String> = BTreeMap::new();
    for (entry, routine) in routines(prepared) {
        let language = routine.language.as_str();
        let by_extension = entry.head.depends.iter().any(|id| extensions.contains(id));
        if !BUILT_IN.contains(&language) && !brought.contains(language) && !by_extension {
            users.entry(language).or_insert_with(|| printable(&entry.object.identity(&entry.head)));
        }
    }
    let wanted: BTreeSet<&str> = users.keys().copied().collect();
    let missing =
        super::preflight::missing(server, &wanted, "SELECT lanname FROM pg_catalog.pg_language").await?;
    let told = |language: String| {
        let user = users.get(language.as_str()).cloned().unwrap_or_default();
        let message = format!("the target has no language {}, which {user} needs", printable(&language));
        finding(!keep_going, message, "create it there with CREATE EXTENSION, or give --keep-going")
    };
    Ok(missing.into_iter().map(told).collect())
}

/// Which of the libraries are files on the server's host, by its own rules of finding them (`dfmgr.c`). Nothing is loaded:
/// a library's code runs when it is.
async fn libraries_there(server: &Session, libraries: &[&str]) -> Result<BTreeSet<usize>> {
    let sql = "SELECT c.setting, pg_catalog.current_setting('dynamic_library_path') FROM pg_catalog.pg_config() c \
               WHERE c.name = 'PKGLIBDIR'";
    let places = server.query_text(sql).await?.into_iter().next().unwrap_or_default();
    let [Some(own), Some(path)] = places.as_slice() else {
        return Ok((0..libraries.len()).collect());
    };
    let mut files = Vec::new();
    for (at, library) in libraries.iter().enumerate() {
        let bare = library.strip_prefix("$libdir/").unwrap_or(library);
        let mut candidates = vec![library.replace("$libdir", own)];
        if !bare.contains('/') {
            candidates
                .extend(path.split(':').map(|place| format!("{}/{bare}", place.replace("$libdir", own))));
        }
        for candidate in candidates.iter().filter(|candidate| candidate.starts_with('/')) {
            files.extend(
                ENDINGS.map(|ending| format!("({at}, {})", literal(&format!("{candidate}{ending}")))),
            );
        }
    }
    let sql = format!(
        "SELECT DISTINCT v.at FROM (VALUES {}) v(at, file), LATERAL pg_catalog.pg_stat_file(v.file, true) s \
         WHERE NOT s.isdir",
        files.join(", ")
    );
    if files.is_empty() { Ok(BTreeSet::new()) } else { positions(server, &sql).await }
}
