//! What may not be read: found before anything is copied, all of it at once. On a managed service, also what is left to
//! the platform.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::relations::Relation;
use super::{Options, Parts};
use crate::catalog::ident::class;
use crate::catalog::profile::{Profile, Rows, Wish};
use crate::catalog::sql;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::pg::Session;
use crate::pg::quote::{self, printable};

/// How many names a message holds; `--json` and the log need no novel.
const NAMES: usize = 50;

/// The profile that is asked for, or that the server shows.
async fn profile(wish: Wish, session: &Session, observer: &SharedObserver) -> Result<Profile> {
    if let Wish::Take(profile) = wish {
        return Ok(profile);
    }
    let name = session.query_one_text(&Profile::detection()).await?.unwrap_or_default();
    let profile = name.parse::<Profile>().unwrap_or_default();
    if profile.is_managed() {
        let message = format!(
            "this is a database of the platform {profile}: its own objects and accounts are told from yours (--profile none takes all alike)"
        );
        observer.event(Event::Notice { message });
    }
    Ok(profile)
}

/// What the check found.
#[derive(Debug, Default)]
pub(super) struct Access {
    /// The managed service that the database is taken for.
    pub(super) profile: Profile,
    /// Sequences that may not be read and are not wanted.
    pub(super) skipped_sequences: Vec<u32>,
    /// Tables whose rows are left to the platform.
    pub(super) platform_rows: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Sequence {
    oid: u32,
    schema: String,
    name: String,
    owner: String,
    /// The table whose column it belongs to.
    #[serde(default)]
    table_schema: Option<String>,
    #[serde(default)]
    table: Option<String>,
}

/// Looks for what may not be read, of all that is wanted. Tables whose rows are left to the platform are taken out.
///
/// # Errors
/// When there is any, naming all of it.
pub(super) async fn check(
    options: &Options,
    session: &Session,
    relations: &mut Vec<Relation>,
    observer: &SharedObserver,
) -> Result<Access> {
    let profile = profile(options.profile, session, observer).await?;
    let mut access = Access { profile, ..Access::default() };
    let with_rows = options.parts != Parts::Definitions;
    let mut refused = Vec::new();
    let mut not_portable: BTreeSet<String> = BTreeSet::new();
    for relation in relations.iter().filter(|relation| with_rows && relation.has_rows()) {
        if !options.selection.rows(&relation.schema, &relation.name) {
            continue;
        }
        match profile.rows(&relation.schema, &relation.name, &relation.owner) {
            Rows::LeftOut => access.platform_rows.push(relation.name_in_schema()),
            Rows::Taken | Rows::TakenNotPortable if relation.refusal.is_some() => {
                let why = relation.refusal.as_deref().unwrap_or_default();
                refused.push(format!("table {} ({why})", printable(&relation.qualified())));
            }
            Rows::TakenNotPortable => {
                not_portable.insert(relation.schema.clone());
            }
            Rows::Taken => {}
        }
    }
    // Nothing is refused to a superuser.
    let sequences = if session.info().is_superuser {
        Vec::new()
    } else {
        session.query_json::<Sequence>(&unreadable_sequences()).await?
    };
    for sequence in sequences {
        if with_rows && is_wanted(options, profile, &sequence) {
            let name = quote::qualified(Some(&sequence.schema), &sequence.name);
            refused.push(format!("sequence {} (no SELECT on it)", printable(&name)));
        } else {
            access.skipped_sequences.push(sequence.oid);
        }
    }
    if with_rows && !options.selection.is_narrowed() {
        let objects = session.query_text(&unreadable_large_objects()).await?;
        refused.extend(objects.into_iter().flatten().flatten().map(|oid| format!("large object {oid}")));
    }
    refuse(&refused, session)?;
    tell(profile, &access.platform_rows, observer);
    for schema in not_portable {
        let message = format!(
            "rows of {} are in the backup, and are of no use in another project: they are encrypted with this project's own key",
            printable(&schema)
        );
        observer.event(Event::Warning { message });
    }
    relations.retain(|relation| !access.platform_rows.contains(&relation.name_in_schema()));
    Ok(access)
}

fn refuse(refused: &[String], session: &Session) -> Result<()> {
    if refused.is_empty() {
        return Ok(());
    }
    let mut list: Vec<&str> = refused.iter().map(String::as_str).take(NAMES).collect();
    let more = format!("and {} more", refused.len().saturating_sub(NAMES));
    if refused.len() > NAMES {
        list.push(&more);
    }
    let role = printable(&session.info().user);
    let message = format!("the role {role} may not read all that is to be backed up: {}", list.join("; "));
    Err(Error::new(ErrorKind::Failed, message)
        .hint("grant it SELECT on these (or membership in pg_read_all_data), and BYPASSRLS where policies hide rows")
        .hint("or leave them out by name: --exclude-table, --exclude-table-data, --exclude-schema; the archive records what was left out"))
}

/// One line for all rows that are left to the platform.
fn tell(profile: Profile, tables: &[String], observer: &SharedObserver) {
    if tables.is_empty() {
        return;
    }
    let mut schemas: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (schema, table) in tables.iter().filter_map(|name| name.split_once('.')) {
        schemas.entry(schema).or_default().push(table);
    }
    let parts: Vec<String> = schemas
        .into_iter()
        .map(|(schema, tables)| match tables.as_slice() {
            few @ ([_] | [_, _] | [_, _, _]) => format!("{schema}.{}", few.join(&format!(", {schema}."))),
            many => format!("{} tables of {schema}", many.len()),
        })
        .collect();
    let message = format!(
        "rows left to the platform {profile}, whose accounts of itself they are: {}",
        printable(&parts.join(", "))
    );
    observer.event(Event::Notice { message });
}

/// A sequence is wanted with the table that it belongs to.
fn is_wanted(options: &Options, profile: Profile, sequence: &Sequence) -> bool {
    let (schema, name) = match (&sequence.table_schema, &sequence.table) {
        (Some(schema), Some(table)) => (schema, table),
        _ => (&sequence.schema, &sequence.name),
    };
    options.selection.rows(schema, name) && profile.rows(schema, name, &sequence.owner) != Rows::LeftOut
}

/// Sequences of users, and those that extensions count as configuration, as [`crate::catalog::reader`] reads them.
fn unreadable_sequences() -> String {
    format!(
        "SELECT c.oid::pg_catalog.int8 AS oid, n.nspname AS schema, c.relname AS name, \
         pg_catalog.pg_get_userbyid(c.relowner) AS owner, tn.nspname AS table_schema, t.relname AS table \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_depend d ON d.classid = {class}::pg_catalog.oid AND d.objid = c.oid \
           AND d.refclassid = {class}::pg_catalog.oid AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i') \
         LEFT JOIN pg_catalog.pg_class t ON t.oid = d.refobjid \
         LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace \
         WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND {user} \
         AND ({own} OR EXISTS (SELECT FROM pg_catalog.pg_extension x WHERE c.oid = ANY (x.extconfig))) \
         AND NOT coalesce(pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
           AND pg_catalog.has_table_privilege(c.oid, 'SELECT'), true) ORDER BY 2, 3",
        class = class::PG_CLASS,
        user = sql::user_schema("c.relnamespace"),
        own = sql::not_extension_member(class::PG_CLASS, "c.oid"),
    )
}

/// Large objects of others that have not been granted to us. There is no function that tells before PostgreSQL 18.
fn unreadable_large_objects() -> String {
    "SELECT m.oid::pg_catalog.text FROM pg_catalog.pg_largeobject_metadata m \
     WHERE NOT pg_catalog.has_table_privilege('pg_catalog.pg_largeobject', 'SELECT') \
     AND pg_catalog.current_setting('lo_compat_privileges') <> 'on' \
     AND NOT pg_catalog.pg_has_role(m.lomowner, 'USAGE') \
     AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT' \
       AND (a.grantee = 0::pg_catalog.oid OR pg_catalog.pg_has_role(a.grantee, 'USAGE'))) ORDER BY m.oid"
        .to_owned()
}
