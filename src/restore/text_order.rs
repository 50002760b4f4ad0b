//! Whether the target orders texts as the source did (manual, section 23.2.2.4): the data of a locale has versions.

use super::preflight::Finding;
use super::prepare::Prepared;
use super::requirements::listed;
use crate::catalog::database::DatabaseInfo;
use crate::catalog::registry::Object;
use crate::error::Result;
use crate::pg::quote::{literal, printable};
use crate::pg::{ServerVersion, Session};

/// Says if the target's collation is another, or of another version, than the one by which the archive's rows were ordered.
/// Indexes are built anew, in the target's order; where rows of partitioned tables lie, and what a check says, may change.
/// `is_there`: the server's database is the target; else one like the archive's is to be created.
pub(super) async fn check(server: &Session, prepared: &Prepared, is_there: bool) -> Result<Option<Finding>> {
    let source = &prepared.model.database;
    let Some(then) = name(source) else { return Ok(None) };
    let (here, version) = if is_there {
        let sql = format!(
            "SELECT {}, {} FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()",
            locale_of(server.version(), "d.dat"),
            version_of(server.version()),
        );
        let row = server.query_text(&sql).await?.into_iter().next().unwrap_or_default();
        let mut values = row.into_iter();
        (values.next().flatten(), values.next().flatten())
    } else {
        (Some(then.clone()), version_there(server, &then).await?)
    };
    let Some(here) = here else { return Ok(None) };
    let same = here == then
        && match (&source.collation_version, &version) {
            (Some(then), Some(now)) => then == now,
            _ => true,
        };
    if same {
        return Ok(None);
    }
    let described = |name: &str, version: Option<&String>| {
        let version = version.map_or_else(String::new, |version| format!(", version {version}"));
        printable(&format!("{name}{version}"))
    };
    let mut message = format!(
        "texts are ordered by {} in the target, by {} in the archive's database: indexes are built in the target's order, \
         checks that compare texts may come out otherwise",
        described(&here, version.as_ref()),
        described(&then, source.collation_version.as_ref()),
    );
    let moving: Vec<String> = prepared
        .created()
        .filter(|entry| matches!(&entry.object, Object::Table(table) if table.may_move_rows()))
        .map(|entry| printable(&entry.head.qualified()))
        .collect();
    if !moving.is_empty() {
        message.push_str(&format!(", rows may come to lie in other partitions of {}", listed(&moving)));
    }
    Ok(Some(Finding { fatal: false, message, hint: None }))
}

/// Provider and locale of a database; nothing where the order is that of bytes or code points.
fn name(database: &DatabaseInfo) -> Option<String> {
    let provider = database.provider.as_deref()?;
    let locale = if provider == "libc" { database.collate.as_ref() } else { database.locale.as_ref() };
    locale.map(|locale| format!("{provider} {locale}"))
}

/// The same as [`name`], as an expression of SQL on the columns of a catalog with this prefix.
fn locale_of(version: ServerVersion, prefix: &str) -> String {
    let locale = match version.major() {
        ..=14 => return format!("'libc ' || {prefix}collate"),
        15 | 16 => "iculocale",
        _ => "locale",
    };
    let provider = if prefix.ends_with("dat") { "locprovider" } else { "provider" };
    format!(
        "CASE {prefix}{provider} WHEN 'c' THEN 'libc ' || {prefix}collate WHEN 'i' THEN 'icu ' || {prefix}{locale} \
         WHEN 'b' THEN 'builtin ' || {prefix}{locale} END"
    )
}

fn version_of(version: ServerVersion) -> &'static str {
    if version.at_least(15) {
        "pg_catalog.pg_database_collation_actual_version(d.oid)"
    } else {
        "NULL::pg_catalog.text"
    }
}

/// The version of a locale on the server: that of a database or a collation which has it.
async fn version_there(server: &Session, locale: &str) -> Result<Option<String>> {
    if !server.version().at_least(15) {
        return Ok(None);
    }
    let sql = format!(
        "SELECT pg_catalog.max(x.version) FROM (\
           SELECT {} AS locale, pg_catalog.pg_database_collation_actual_version(d.oid) AS version FROM pg_catalog.pg_database d \
           UNION ALL SELECT {}, pg_catalog.pg_collation_actual_version(c.oid) FROM pg_catalog.pg_collation c \
           WHERE c.collprovider IN ('c', 'i') AND c.collencoding IN (-1, 6)) x WHERE x.locale = {}",
        locale_of(server.version(), "d.dat"),
        locale_of(server.version(), "c.coll"),
        literal(locale),
    );
    Ok(server.query_one_text(&sql).await?)
}
