//! Reads the catalog of a database: each kind's query once, then comments, labels and dependencies of all objects at
//! once. The number of queries does not depend on the number of objects.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::database::DatabaseInfo;
use super::encode::FORMAT;
use super::ident::{ObjectId, class};
use super::kind::{Head, SecurityLabel};
use super::model::{Entry, Model, SequenceValue};
use super::registry::{ALL, Object};
use crate::pg::quote::{printable, qualified};
use crate::pg::{PgError, ServerVersion, Session};

/// The first OID that users' objects get (`FirstNormalObjectId` in PostgreSQL's `transam.h`).
const FIRST_USER_OID: u32 = 16384;

/// Reads the whole catalog, in the session's transaction.
///
/// # Errors
/// Those of the queries; a row that does not fit its kind is an error that names the kind.
pub async fn read_model(session: &Session) -> Result<Model, PgError> {
    let server = session.version();
    let mut entries = Vec::new();
    for kind in ALL {
        let rows: Vec<Value> = session.query_json(&(kind.query)(server)).await?;
        for row in rows {
            let read =
                Head::deserialize(&row).and_then(|head| Ok(Entry { head, object: (kind.read)(&row)? }));
            entries.push(read.map_err(|error| PgError::Answer {
                statement: format!("the query of the kind \"{}\"", kind.name),
                reason: format!("{error} in {row}"),
            })?);
        }
    }
    let database = read_database(session, server).await?;
    let mut model = Model { format: FORMAT, server, database, entries, warnings: Vec::new() };
    let positions = model.positions();
    attach_comments(session, &mut model, &positions).await?;
    attach_labels(session, &mut model, &positions).await?;
    attach_dependencies(session, &mut model, &positions).await?;
    model.warnings = model.entries.iter().flat_map(|entry| entry.object.warnings(&entry.head)).collect();
    Ok(model)
}

async fn read_database(session: &Session, server: ServerVersion) -> Result<DatabaseInfo, PgError> {
    let sql = DatabaseInfo::query(server);
    let answer = |reason: &str| PgError::Answer { statement: sql.clone(), reason: reason.to_owned() };
    session.query_json(&sql).await?.into_iter().next().ok_or_else(|| answer("no row"))
}

type Positions = HashMap<ObjectId, usize>;

fn entry_of<'a>(model: &'a mut Model, positions: &Positions, class: u32, oid: u32) -> Option<&'a mut Entry> {
    positions.get(&ObjectId::new(class, oid)).and_then(|position| model.entries.get_mut(*position))
}

async fn attach_comments(session: &Session, model: &mut Model, positions: &Positions) -> Result<(), PgError> {
    #[derive(Deserialize)]
    struct Comment {
        class: u32,
        oid: u32,
        column: i16,
        text: String,
    }
    // Comments of built-in objects are the server's own; schema public (2200) is the exception that users comment on.
    let sql = format!(
        "SELECT d.classoid::pg_catalog.int8 AS class, d.objoid::pg_catalog.int8 AS oid, d.objsubid AS column, \
         d.description AS text FROM pg_catalog.pg_description d WHERE d.objoid >= {FIRST_USER_OID} OR d.objoid = 2200"
    );
    for Comment { class, oid, column, text } in session.query_json(&sql).await? {
        if let Some(entry) = entry_of(model, positions, class, oid) {
            // A table stands for its constraints in `pg_depend`, and yet their comments are not its own.
            if column == 0 && entry.head.id != ObjectId::new(class, oid) {
                continue;
            }
            if column == 0 {
                entry.head.comment = Some(text);
            } else {
                entry.head.column_comments.push((column, text));
            }
        }
    }
    for entry in &mut model.entries {
        entry.head.column_comments.sort_by_key(|(column, _)| *column);
    }
    Ok(())
}

async fn attach_labels(session: &Session, model: &mut Model, positions: &Positions) -> Result<(), PgError> {
    #[derive(Deserialize)]
    struct Label {
        class: u32,
        oid: u32,
        column: i16,
        provider: String,
        text: String,
    }
    let sql = "SELECT l.classoid::pg_catalog.int8 AS class, l.objoid::pg_catalog.int8 AS oid, l.objsubid AS column, \
               l.provider, l.label AS text FROM pg_catalog.pg_seclabel l";
    for Label { class, oid, column, provider, text } in session.query_json(sql).await? {
        if let Some(entry) = entry_of(model, positions, class, oid) {
            entry.head.labels.push(SecurityLabel { provider, label: text, column });
        }
    }
    Ok(())
}

/// Positions of extensions by their members, which have no entries: who needs a member needs the extension.
fn extension_members(model: &Model) -> Positions {
    let mut members = HashMap::new();
    for (position, entry) in model.entries.iter().enumerate() {
        if let Object::Extension(extension) = &entry.object {
            members.extend(extension.members.iter().map(|id| (*id, position)));
        }
    }
    members
}

/// Reads `pg_depend` in one go and turns it into edges between entries.
///
/// `a` (auto) from a sequence is its `OWNED BY`: the table's default needs the sequence, not the other way round.
async fn attach_dependencies(
    session: &Session,
    model: &mut Model,
    positions: &Positions,
) -> Result<(), PgError> {
    let sql = format!(
        "SELECT d.classid::pg_catalog.int8, d.objid::pg_catalog.int8, d.refclassid::pg_catalog.int8, \
         d.refobjid::pg_catalog.int8, d.deptype::pg_catalog.text FROM pg_catalog.pg_depend d \
         WHERE d.deptype IN ('n', 'a', 'i', 'P', 'S') AND d.objid >= {FIRST_USER_OID}"
    );
    let members = extension_members(model);
    for row in session.query_text(&sql).await? {
        let [class, oid, ref_class, ref_oid, kind] = row.as_slice() else {
            continue;
        };
        let id = |class: &Option<String>, oid: &Option<String>| {
            let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<u32>().ok());
            Some(ObjectId::new(number(class)?, number(oid)?))
        };
        let (Some(from), Some(to)) = (id(class, oid), id(ref_class, ref_oid)) else {
            continue;
        };
        let to_at = positions.get(&to).or_else(|| members.get(&to));
        let (Some(from_at), Some(to_at)) = (positions.get(&from), to_at) else {
            continue;
        };
        if from_at == to_at {
            continue;
        }
        let Some(to_id) = model.entries.get(*to_at).map(|entry| entry.head.id) else {
            continue;
        };
        let Some(entry) = model.entries.get_mut(*from_at) else {
            continue;
        };
        let owned_by = kind.as_deref() == Some("a") && entry.object.kind() == "sequence";
        let detached = entry.object.detached_ids().contains(&from);
        if !owned_by && !detached && !entry.head.depends.contains(&to_id) {
            entry.head.depends.push(to_id);
        } else if detached && !entry.head.detached_depends.contains(&to_id) {
            entry.head.detached_depends.push(to_id);
        }
    }
    Ok(())
}

/// Where all sequences stand, in one query. They are not part of any snapshot: read last, they are never behind the
/// rows that use them.
///
/// Of an extension's sequences only those count that it declares as configuration. Unlogged sequences cannot be read
/// on a standby, and are empty after it is promoted: they are left out there.
///
/// # Errors
/// Those of the query; a sequence that may not be read is one.
pub async fn read_sequence_values(session: &Session) -> Result<Vec<SequenceValue>, PgError> {
    #[derive(Deserialize)]
    struct Row {
        oid: u32,
        schema: String,
        name: String,
        last_value: Option<i64>,
        is_called: Option<bool>,
    }
    let sql = sequence_values_sql(session.version());
    let rows: Vec<Row> = session.query_json(&sql).await?;
    let value = |Row { oid, schema, name, last_value, is_called }| {
        let (Some(last_value), Some(is_called)) = (last_value, is_called) else {
            let name = printable(&qualified(Some(&schema), &name));
            return Err(PgError::Answer {
                statement: "the query of the sequences' values".to_owned(),
                reason: format!("sequence {name} may not be read, or was dropped meanwhile"),
            });
        };
        let object = ObjectId::new(class::PG_CLASS, oid);
        Ok(SequenceValue { object, schema, name, last_value, is_called })
    };
    rows.into_iter().map(value).collect()
}

fn sequence_values_sql(server: ServerVersion) -> String {
    let sequences = format!(
        "SELECT c.oid::pg_catalog.int8 AS oid, n.nspname AS schema, c.relname AS name FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND {user} \
         AND NOT (c.relpersistence = 'u' AND pg_catalog.pg_is_in_recovery()) \
         AND ({own} OR EXISTS (SELECT FROM pg_catalog.pg_extension x WHERE c.oid = ANY (x.extconfig)))",
        user = super::sql::user_schema("c.relnamespace"),
        own = super::sql::not_extension_member(class::PG_CLASS, "c.oid"),
    );
    if server.at_least(18) {
        return format!(
            "SELECT s.oid, s.schema, s.name, v.last_value, v.is_called FROM ({sequences}) s, \
             LATERAL pg_catalog.pg_get_sequence_data(s.oid::pg_catalog.oid::pg_catalog.regclass) v"
        );
    }
    // A query made of the sequence's own quoted name, run by the server for each row of this one. `ts_stat` is the
    // one function that runs a query's text on every server, also on those built without XML.
    format!(
        "SELECT s.oid, s.schema, s.name, pg_catalog.split_part(t.word, ' ', 1)::pg_catalog.int8 AS last_value, \
         pg_catalog.split_part(t.word, ' ', 2)::pg_catalog.bool AS is_called FROM ({sequences}) s, \
         LATERAL pg_catalog.ts_stat(pg_catalog.format('SELECT pg_catalog.array_to_tsvector(ARRAY[\
         last_value::pg_catalog.text || '' '' || is_called::pg_catalog.text]) FROM %I.%I', s.schema, s.name)) t"
    )
}

/// A fingerprint of the definitions that the session sees: identities and row versions of users' objects.
///
/// The server's deparsers read the newest catalog, not the snapshot. So the fingerprint is taken in the snapshot and
/// again in a new session at the end: where they differ, somebody changed the schema in between and definitions may be
/// of two moments.
///
/// # Errors
/// Those of the query.
pub async fn fingerprint(session: &Session) -> Result<String, PgError> {
    const CATALOGS: [(&str, &str); 6] = [
        ("pg_class", "c.relpersistence <> 't' AND c.relkind NOT IN ('t', 'i', 'I')"),
        ("pg_proc", "true"),
        (
            "pg_constraint",
            "c.connamespace IN (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_temp')",
        ),
        ("pg_rewrite", "true"),
        ("pg_trigger", "NOT c.tgisinternal"),
        ("pg_namespace", "c.nspname !~ '^pg_'"),
    ];
    let one = |(name, condition): &(&str, &str)| {
        format!(
            "SELECT pg_catalog.sum(pg_catalog.hashtextextended(c.oid::pg_catalog.text || ' ' || c.xmin::pg_catalog.text, 0)) AS h \
             FROM pg_catalog.{name} c WHERE c.oid >= {FIRST_USER_OID} AND {condition}"
        )
    };
    let union: Vec<String> = CATALOGS.iter().map(one).collect();
    let sql = format!(
        "SELECT pg_catalog.string_agg(coalesce(u.h::pg_catalog.text, '-'), ' ') FROM ({}) u",
        union.join(" UNION ALL ")
    );
    Ok(session.query_one_text(&sql).await?.unwrap_or_default())
}
