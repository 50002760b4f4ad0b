//! Reads the catalog of a database: each kind's query once, what is plain in most objects, comments, labels and dependencies
//! of all objects at once, then the definitions that the server must write. The number of queries does not depend on the
//! number of objects. Several sessions share them.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use futures_util::future::try_join_all;
use serde::Deserialize;

use super::database::{DatabaseInfo, Readable};
use super::encode::FORMAT;
use super::facts::sequences::{Use, Uses};
use super::facts::{self, Facts};
use super::ident::{ObjectId, class};
use super::kind::{Head, SecurityLabel};
use super::kinds::column::internal_options;
use super::model::{Entry, Model, SequenceValue};
use super::registry::{ALL, KindInfo, Object};
use super::unclaimed::{self, Unclaimed};
use crate::pg::quote::{printable, qualified};
use crate::pg::{PgError, ServerVersion, Session};

/// The first OID that users' objects get (`FirstNormalObjectId` in PostgreSQL's `transam.h`).
const FIRST_USER_OID: u32 = 16384;

/// One query.
#[derive(Debug, Clone, Copy)]
enum Part {
    Kind(usize, &'static KindInfo),
    Facts(facts::Part),
    Database,
    Comments,
    Labels,
    Dependencies,
    Unclaimed,
}

/// What it gave.
enum Answer {
    Entries(usize, Vec<Entry>),
    Facts(facts::Rows),
    Database(Box<(DatabaseInfo, Vec<String>)>),
    Comments(Vec<Comment>),
    Labels(Vec<Label>),
    Dependencies(Vec<Dependency>),
    Unclaimed(Unclaimed),
}

struct Comment {
    class: u32,
    oid: u32,
    column: i16,
    text: String,
}

#[derive(Deserialize)]
struct Label {
    class: u32,
    oid: u32,
    column: i16,
    provider: String,
    text: String,
}

/// A row of `pg_depend`.
struct Dependency {
    from: ObjectId,
    to: ObjectId,
    /// `refobjsubid`
    column: i16,
    /// `deptype`
    kind: u8,
}

/// Reads the whole catalog, in the sessions' transactions, which must have the same snapshot.
///
/// Every name in the texts that the server writes is quoted: a word that is a name here may be reserved in a later
/// version, for which nobody can ask this server any more when the archive is restored. The setting is taken back
/// before rows are read, whose `regclass` values it would change.
///
/// # Errors
/// Those of the queries; a row that does not fit its kind is an error that names the kind.
pub async fn read_model(sessions: &[&Session]) -> Result<Model, PgError> {
    set_all(sessions, "SET quote_all_identifiers = on").await?;
    let model = read_quoted(sessions).await?;
    set_all(sessions, "SET quote_all_identifiers = off").await?;
    Ok(model)
}

async fn set_all(sessions: &[&Session], sql: &str) -> Result<(), PgError> {
    try_join_all(sessions.iter().map(|session| session.execute(sql))).await.map(drop)
}

async fn read_quoted(sessions: &[&Session]) -> Result<Model, PgError> {
    let server = sessions.first().map_or(ServerVersion(0), |session| session.version());
    let kinds = ALL.iter().enumerate().filter(|(_, kind)| !(kind.query)(server).is_empty());
    let (always, sometimes): (Vec<_>, Vec<_>) = kinds.partition(|(_, kind)| kind.only_with.is_none());
    // The longest first.
    let facts = facts::Part::ALL.map(Part::Facts).into_iter();
    let others = [Part::Dependencies, Part::Comments, Part::Labels, Part::Database, Part::Unclaimed];
    let kind = |(at, kind)| Part::Kind(at, kind);
    let mut all = Gathered::default();
    all.take(ask(sessions, facts.chain(others).chain(always.into_iter().map(kind)).collect()).await?);
    let there = |kind: &KindInfo| kind.only_with.is_some_and(|what| all.facts.has(what));
    let there = sometimes.into_iter().filter(|(_, kind)| there(kind)).map(kind).collect();
    all.take(ask(sessions, there).await?);
    let Gathered { mut kinds, facts, database, comments, labels, dependencies, unclaimed } = all;
    let (database, unreadable) = *database.ok_or_else(|| PgError::Answer {
        statement: "the query of the database".to_owned(),
        reason: "no session to ask it in".to_owned(),
    })?;
    let facts = facts.with(uses(&dependencies), comments_of_parts(&comments));
    facts.put_together(sessions, &mut kinds).await?;
    let entries = kinds.into_iter().flatten().collect();
    let mut model = Model { format: FORMAT, server, database, entries, warnings: Vec::new() };
    let positions = model.positions();
    attach_comments(comments, &mut model, &positions);
    attach_labels(labels, &mut model, &positions);
    attach_dependencies(&dependencies, &mut model, &positions);
    model.warnings = model.entries.iter().flat_map(|entry| entry.object.warnings(&entry.head)).collect();
    model
        .warnings
        .extend(unreadable.into_iter().map(|what| format!("left out, as it may not be read: {what}")));
    model.warnings.extend(internal_options(&model));
    model.warnings.extend(unclaimed.warnings(&positions));
    Ok(model)
}

/// Asks queries in turn, each in the session that is free next.
async fn ask(sessions: &[&Session], parts: Vec<Part>) -> Result<Vec<Answer>, PgError> {
    let queue = Mutex::new(parts.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = sessions.iter().map(|session| async {
        let mut answers = Vec::new();
        while let Some(part) = next() {
            answers.push(read(session, part).await?);
        }
        Ok::<_, PgError>(answers)
    });
    Ok(try_join_all(work).await?.into_iter().flatten().collect())
}

async fn read(session: &Session, part: Part) -> Result<Answer, PgError> {
    match part {
        Part::Kind(at, kind) => Ok(Answer::Entries(at, read_kind(session, kind).await?)),
        Part::Facts(part) => Ok(Answer::Facts(part.read(session).await?)),
        Part::Database => Ok(Answer::Database(Box::new(read_database(session).await?))),
        Part::Comments => Ok(Answer::Comments(read_comments(session).await?)),
        Part::Labels => Ok(Answer::Labels(session.query_json(LABELS).await?)),
        Part::Dependencies => Ok(Answer::Dependencies(read_dependencies(session).await?)),
        Part::Unclaimed => Ok(Answer::Unclaimed(unclaimed::read(session).await?)),
    }
}

/// Reads the default privileges alone.
///
/// # Errors
/// Those of the query.
pub async fn read_default_privileges(session: &Session) -> Result<Vec<Entry>, PgError> {
    let mut entries = Vec::new();
    for kind in ALL.iter().filter(|kind| kind.catalogs.contains(&"pg_default_acl")) {
        entries.extend(read_kind(session, kind).await?);
    }
    Ok(entries)
}

async fn read_kind(session: &Session, kind: &KindInfo) -> Result<Vec<Entry>, PgError> {
    let mut entries = Vec::new();
    let mut unfit = None;
    let read = session
        .each_json(&(kind.query)(session.version()), |row| {
            let entry = serde_json::from_str::<Head>(row)
                .and_then(|head| Ok(Entry { head, object: (kind.read)(row)? }))
                .map_err(|error| unfit.insert(format!("{error} in {row}")).clone())?;
            entries.push(entry);
            Ok(())
        })
        .await;
    if let Some(reason) = unfit {
        return Err(PgError::Answer {
            statement: format!("the query of the kind \"{}\"", kind.name),
            reason,
        });
    }
    read.map(|()| entries)
}

/// Reads the database itself, and says what of it may not be read.
///
/// # Errors
/// Those of the queries.
pub async fn read_database(session: &Session) -> Result<(DatabaseInfo, Vec<String>), PgError> {
    let no_row = |sql: &str| PgError::Answer { statement: sql.to_owned(), reason: "no row".to_owned() };
    let readable: Option<Readable> = session.query_json(Readable::QUERY).await?.into_iter().next();
    let readable = readable.ok_or_else(|| no_row(Readable::QUERY))?;
    let sql = DatabaseInfo::query(session.version(), readable);
    let info = session.query_json(&sql).await?.into_iter().next().ok_or_else(|| no_row(&sql))?;
    Ok((info, readable.missing()))
}

/// Comments of built-in objects are the server's own; schema public (2200) is the exception that users comment on.
async fn read_comments(session: &Session) -> Result<Vec<Comment>, PgError> {
    let sql = format!(
        "SELECT d.classoid, d.objoid, d.objsubid, d.description FROM pg_catalog.pg_description d \
         WHERE d.objoid >= {FIRST_USER_OID}::pg_catalog.oid OR d.objoid = 2200::pg_catalog.oid"
    );
    let mut found = Vec::new();
    session
        .each_row(&sql, |row| {
            let (class, oid, column) = (row.parsed(0)?, row.parsed(1)?, row.parsed(2)?);
            found.push(Comment { class, oid, column, text: row.text(3)?.to_owned() });
            Ok(())
        })
        .await?;
    Ok(found)
}

const LABELS: &str = "SELECT l.classoid::pg_catalog.int8 AS class, l.objoid::pg_catalog.int8 AS oid, l.objsubid AS column, \
     l.provider, l.label AS text FROM pg_catalog.pg_seclabel l";

/// Reads `pg_depend` in one go, without what is known or leads from an entry to itself, which is half of it: a default's
/// dependency on its own column, a constraint's on its own table, a type's on the table or type that it came with, an
/// index's on its constraint, those of TOAST tables, and of the triggers of foreign keys.
async fn read_dependencies(session: &Session) -> Result<Vec<Dependency>, PgError> {
    let sql = format!(
        "SELECT d.classid, d.objid, d.refclassid, d.refobjid, d.refobjsubid, d.deptype FROM pg_catalog.pg_depend d \
         WHERE d.objid >= {FIRST_USER_OID} AND CASE d.deptype \
         WHEN 'a' THEN NOT (d.classid = {attrdef}::pg_catalog.oid \
           OR d.classid = {constraint}::pg_catalog.oid AND d.refclassid = {pg_class}::pg_catalog.oid) \
         WHEN 'i' THEN NOT (d.classid IN ({pg_type}::pg_catalog.oid, {trigger}::pg_catalog.oid) \
           OR d.classid = {pg_class}::pg_catalog.oid AND d.refobjsubid = 0) \
         ELSE d.deptype IN ('n', 'P', 'S', 'x') END",
        attrdef = class::PG_ATTRDEF,
        constraint = class::PG_CONSTRAINT,
        pg_class = class::PG_CLASS,
        pg_type = class::PG_TYPE,
        trigger = class::PG_TRIGGER,
    );
    let mut found = Vec::new();
    session
        .each_row(&sql, |row| {
            let from = ObjectId::new(row.parsed(0)?, row.parsed(1)?);
            let to = ObjectId::new(row.parsed(2)?, row.parsed(3)?);
            found.push(Dependency { from, to, column: row.parsed(4)?, kind: row.letter(5)? });
            Ok(())
        })
        .await?;
    Ok(found)
}

/// The answers, each in its place.
struct Gathered {
    /// The objects by their kinds, in the order of the registry.
    kinds: Vec<Vec<Entry>>,
    facts: Facts,
    database: Option<Box<(DatabaseInfo, Vec<String>)>>,
    comments: Vec<Comment>,
    labels: Vec<Label>,
    dependencies: Vec<Dependency>,
    unclaimed: Unclaimed,
}

impl Default for Gathered {
    fn default() -> Self {
        Self {
            kinds: ALL.iter().map(|_| Vec::new()).collect(),
            facts: Facts::default(),
            database: None,
            comments: Vec::new(),
            labels: Vec::new(),
            dependencies: Vec::new(),
            unclaimed: Unclaimed::default(),
        }
    }
}

impl Gathered {
    fn take(&mut self, answers: Vec<Answer>) {
        for answer in answers {
            match answer {
                Answer::Entries(at, entries) => {
                    if let Some(kind) = self.kinds.get_mut(at) {
                        *kind = entries;
                    }
                }
                Answer::Facts(rows) => self.facts.take(rows),
                Answer::Database(read) => self.database = Some(read),
                Answer::Comments(list) => self.comments = list,
                Answer::Labels(list) => self.labels = list,
                Answer::Dependencies(list) => self.dependencies = list,
                Answer::Unclaimed(found) => self.unclaimed = found,
            }
        }
    }
}

/// The comments on what may be part of an entry.
fn comments_of_parts(comments: &[Comment]) -> HashMap<ObjectId, String> {
    let parts = comments.iter().filter(|comment| {
        comment.column == 0 && [class::PG_CONSTRAINT, class::PG_CLASS].contains(&comment.class)
    });
    parts.map(|comment| (ObjectId::new(comment.class, comment.oid), comment.text.clone())).collect()
}

/// What relations depend on as only sequences do: parts of a column.
fn uses(dependencies: &[Dependency]) -> Uses {
    let of_relation =
        |found: &&Dependency| found.from.class == class::PG_CLASS && matches!(found.kind, b'a' | b'i');
    let of_column = |found: &Dependency| {
        let column =
            (found.to.class == class::PG_CLASS && found.column > 0).then_some((found.to.oid, found.column));
        (found.from.oid, Use { internal: found.kind == b'i', column })
    };
    dependencies.iter().filter(of_relation).map(of_column).collect()
}

type Positions = HashMap<ObjectId, usize>;

fn entry_of<'a>(model: &'a mut Model, positions: &Positions, class: u32, oid: u32) -> Option<&'a mut Entry> {
    positions.get(&ObjectId::new(class, oid)).and_then(|position| model.entries.get_mut(*position))
}

fn attach_comments(comments: Vec<Comment>, model: &mut Model, positions: &Positions) {
    for Comment { class, oid, column, text } in comments {
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
}

fn attach_labels(labels: Vec<Label>, model: &mut Model, positions: &Positions) {
    for Label { class, oid, column, provider, text } in labels {
        if let Some(entry) = entry_of(model, positions, class, oid) {
            entry.head.labels.push(SecurityLabel { provider, label: text, column });
        }
    }
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

/// Turns rows of `pg_depend` into edges between entries.
///
/// `a` (auto) from a sequence is its `OWNED BY`: the table's default needs the sequence, not the other way round.
fn attach_dependencies(dependencies: &[Dependency], model: &mut Model, positions: &Positions) {
    let members = extension_members(model);
    let detached: HashSet<ObjectId> =
        model.entries.iter().flat_map(|entry| entry.object.detached_ids()).collect();
    // What a kind's own query said is known already.
    let own = model.entries.iter().enumerate();
    let mut known: HashSet<(usize, ObjectId, bool)> =
        own.flat_map(|(at, entry)| entry.head.depends.iter().map(move |id| (at, *id, false))).collect();
    for Dependency { from, to, kind, .. } in dependencies {
        let to_at = positions.get(to).or_else(|| members.get(to));
        let (Some(from_at), Some(to_at)) = (positions.get(from), to_at) else {
            continue;
        };
        let Some((to_id, to_name)) = model.entries.get(*to_at).map(|e| (e.head.id, e.head.name.clone()))
        else {
            continue;
        };
        let Some(entry) = model.entries.get_mut(*from_at) else {
            continue;
        };
        // Parts need their whole. A view's query may read the view itself, too: it was there before with another query.
        let self_referring = *kind == b'n' && from != to && entry.object.kind() == "view";
        if from_at == to_at && !self_referring {
            continue;
        }
        if *kind == b'x' && entry.head.id == *from {
            entry.head.extensions.push(to_name);
        }
        let detached = detached.contains(from);
        if *kind == b'a' && !detached && entry.object.kind() == "sequence" {
            continue;
        }
        if known.insert((*from_at, to_id, detached)) {
            let list = if detached { &mut entry.head.detached_depends } else { &mut entry.head.depends };
            list.push(to_id);
        }
    }
}

/// Where all sequences stand, in one query. They are not part of any snapshot: read last, they are never behind the
/// rows that use them.
///
/// Of an extension's sequences only those count that it declares as configuration. Unlogged sequences cannot be read
/// on a standby, and are empty after it is promoted: they are left out there.
///
/// # Errors
/// Those of the query; a sequence that may not be read is one.
///
/// `skipped` are OIDs of sequences to be passed over.
pub async fn read_sequence_values(session: &Session, skipped: &[u32]) -> Result<Vec<SequenceValue>, PgError> {
    #[derive(Deserialize)]
    struct Row {
        oid: u32,
        schema: String,
        name: String,
        last_value: Option<i64>,
        is_called: Option<bool>,
    }
    let sql = sequence_values_sql(session.version(), skipped);
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

fn sequence_values_sql(server: ServerVersion, skipped: &[u32]) -> String {
    let skipped: Vec<String> = skipped.iter().map(u32::to_string).collect();
    let sequences = format!(
        "SELECT c.oid::pg_catalog.int8 AS oid, n.nspname AS schema, c.relname AS name FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND {user} \
         AND NOT (c.relpersistence = 'u' AND pg_catalog.pg_is_in_recovery()) \
         AND c.oid <> ALL ('{{{skipped}}}'::pg_catalog.oid[]) \
         AND ({own} OR EXISTS (SELECT FROM pg_catalog.pg_extension x WHERE c.oid = ANY (x.extconfig)))",
        skipped = skipped.join(","),
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
