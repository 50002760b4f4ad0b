//! Everything that would fail, found before anything is touched.

use std::collections::BTreeSet;

use serde::Serialize;

use super::globals::Globals;
use super::options::Options;
use super::prepare::Prepared;
use super::progress::Begun;
use super::{inexpressible, requirements, text_order};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Content, Stream};
use crate::pg::Session;
use crate::pg::quote::{literal, printable};

/// Something found before the restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The restore cannot be done as asked.
    pub fatal: bool,
    /// What it is.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Looks at the target, which is `None` when it is to be created. What it cannot have, and nothing depends on, is taken
/// out of `prepared`.
pub(super) async fn check(
    options: &Options,
    prepared: &mut Prepared,
    globals: &Globals,
    session: Option<&Session>,
    resuming: bool,
) -> Result<Vec<Finding>> {
    let mut findings = prepared.platform.findings.clone();
    let maintenance;
    let server = if let Some(session) = session {
        // Else what is there is ours.
        if !resuming {
            findings.extend(there(options, prepared, session).await?);
        }
        session
    } else {
        maintenance = super::prepare::maintenance(&options.target).await?;
        &maintenance
    };
    if server.info().is_standby {
        findings.push(fatal(
            "the target is a standby: nothing can be written there".to_owned(),
            "use the primary",
        ));
    }
    findings.extend(versions(prepared, server));
    if options.wanted.sections.defines() {
        findings.extend(extensions(prepared, server).await?);
        findings.extend(roles(options, prepared, globals, server).await?);
        findings.extend(tablespaces(options, prepared, globals, server).await?);
        // Else they are taken back from what is restored.
        if let Some(session) = session.filter(|_| options.wanted.no_acl) {
            findings.extend(default_privileges(session).await?);
        }
        findings.extend(inexpressible::check(server, prepared, options.keep_going).await?);
        findings.extend(requirements::functions(server, prepared, options.keep_going).await?);
    }
    findings.extend(text_order::check(server, prepared, session.is_some()).await?);
    if let Some(session) =
        session.filter(|_| options.wanted.sections.data && !options.wanted.sections.pre_data && !resuming)
    {
        findings.extend(requirements::tables(session, prepared, options.keep_going).await?);
    }
    findings.extend(chosen(options, prepared));
    findings.extend(globals.unwritable().map(|name| {
        fatal(
            format!(
                "the name of the role {name} cannot be written in the encoding of the maintenance database"
            ),
            "create the database first, then restore into it without --create",
        )
    }));
    let encoding = &prepared.manifest.server.encoding;
    if session.is_some() && &server.info().encoding != encoding {
        let message =
            format!("the target's encoding is {}, the archive's {encoding}", server.info().encoding);
        findings.push(Finding {
            fatal: false,
            message,
            hint: Some("characters that it lacks will fail".to_owned()),
        });
    }
    Ok(findings)
}

/// What is there, and must not be.
async fn there(options: &Options, prepared: &Prepared, session: &Session) -> Result<Option<Finding>> {
    if options.create {
        return Ok(Some(fatal(
            format!("the database {} exists already", options.target.display()),
            "leave --create out to restore into it, if it is empty",
        )));
    }
    if !options.wanted.sections.pre_data {
        return Ok(None);
    }
    if !options.wanted.selection.is_everything() {
        return requirements::relations(session, prepared).await;
    }
    Ok(occupied(prepared, session).await?.map(|message| {
        fatal(
            message,
            "give --swap (or --in-place) to put the restored database in its place, --create for a new one, --table for some \
             tables, or --resume to go on with an interrupted restore",
        )
    }))
}

/// What the selection leaves out, or does not find.
fn chosen(options: &Options, prepared: &Prepared) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !prepared.unmatched.is_empty() {
        let message = format!("nothing in the archive matches {}", printable(&prepared.unmatched.join(", ")));
        let hint = Some("--strict-names makes that a failure".to_owned());
        findings.push(Finding { fatal: false, message, hint });
    }
    if !prepared.besides.gone_too.is_empty() {
        findings.push(Finding {
            fatal: false,
            message: format!(
                "the target lacks what uses the chosen tables, and it is not chosen: {}; --table names views, too",
                requirements::listed(&prepared.besides.gone_too)
            ),
            hint: None,
        });
    }
    if !prepared.besides.left_out.is_empty() {
        findings.push(Finding {
            fatal: false,
            message: format!(
                "not restored, for what it needs is neither chosen nor in the target: {}",
                requirements::listed(&prepared.besides.left_out)
            ),
            hint: Some("choose what it needs, too; or create it afterwards, when that is there".to_owned()),
        });
    }
    if options.wanted.sections.data {
        findings.extend(foreign_rows(options, prepared));
    }
    if options.demands.known_only && options.wanted.sections.data && options.wanted.sections.defines() {
        findings.extend(requirements::critical(options, prepared));
    }
    findings
}

/// Rows of foreign tables that the archive has and that stay there: where they came from they may be still.
fn foreign_rows(options: &Options, prepared: &Prepared) -> Option<Finding> {
    let selection = &options.wanted.selection;
    let left = prepared.manifest.streams.iter().filter(|stream| match &stream.content {
        Content::ForeignTable { server } => {
            selection.rows(&stream.schema, &stream.name) && !selection.foreign_rows(server)
        }
        _ => false,
    });
    let mut names: Vec<String> = left.map(Stream::display).collect();
    names.sort_unstable();
    (!names.is_empty()).then(|| Finding {
        fatal: false,
        message: format!("rows of foreign tables are not restored: {}", requirements::listed(&names)),
        hint: Some(
            "give --include-foreign-data with the name of their server to write them there".to_owned(),
        ),
    })
}

/// Fails when something fatal was found, with all of it.
pub(super) fn refuse(findings: &[Finding]) -> Result<()> {
    let fatal: Vec<&Finding> = findings.iter().filter(|finding| finding.fatal).collect();
    if fatal.is_empty() {
        return Ok(());
    }
    let messages: Vec<&str> = fatal.iter().map(|finding| finding.message.as_str()).collect();
    let mut error =
        Error::new(ErrorKind::Refused, format!("the restore is refused: {}", messages.join("; ")));
    for hint in fatal.iter().filter_map(|finding| finding.hint.as_ref()) {
        error = error.hint(hint.clone());
    }
    Err(error)
}

fn fatal(message: String, hint: &str) -> Finding {
    Finding { fatal: true, message, hint: Some(hint.to_owned()) }
}

/// Says what is in a database that should be empty. What a platform has made does not count.
async fn occupied(prepared: &Prepared, session: &Session) -> Result<Option<String>> {
    match prepared.platform.occupied {
        Some(0) => Ok(None),
        Some(count) => Ok(Some(is_not_empty(session, &count.to_string()))),
        None => not_empty(session).await,
    }
}

fn is_not_empty(session: &Session, count: &str) -> String {
    format!("the database {} is not empty: it has {count} relations", printable(&session.info().database))
}

/// Says what is in a database that should be empty.
pub(super) async fn not_empty(session: &Session) -> Result<Option<String>> {
    let sql = format!(
        "SELECT pg_catalog.count(*) FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {} AND {}",
        crate::catalog::sql::user_schema("c.relnamespace"),
        crate::catalog::sql::not_extension_member(crate::catalog::ident::class::PG_CLASS, "c.oid")
    );
    let count = session.query_one_text(&sql).await?.unwrap_or_default();
    Ok((count != "0").then(|| is_not_empty(session, &count)))
}

/// Why a database must not be replaced that an interrupted restore was filling: the backup of it would be one of a part, and pass
/// for the way back.
pub(super) fn half_filled(begun: &Begun) -> Finding {
    let safety = begun.claim.safety.as_deref().map_or_else(String::new, |place| {
        format!("; the backup of the database as it was is {}", printable(place))
    });
    Finding {
        fatal: true,
        message: format!("an interrupted restore is in it, so that a backup of it would be one of a part{safety}"),
        hint: Some(
            "the command that was interrupted goes on with --resume; to begin anew, `pgcask rollback --discard` with the \
             database's name removes its marks"
                .to_owned(),
        ),
    }
}

fn versions(prepared: &Prepared, server: &Session) -> Option<Finding> {
    let (from, to) = (prepared.manifest.server.version, server.version());
    (from.major() > to.major()).then(|| Finding {
        fatal: false,
        message: format!(
            "the archive is of PostgreSQL {from}, the target {to} is older: newer features will fail"
        ),
        hint: None,
    })
}

async fn extensions(prepared: &Prepared, server: &Session) -> Result<Vec<Finding>> {
    let wanted = prepared.model.entries.iter().filter(|entry| entry.object.kind() == "extension");
    let wanted: BTreeSet<&str> = wanted.map(|entry| entry.head.name.as_str()).collect();
    let missing = missing(server, &wanted, "SELECT name FROM pg_catalog.pg_available_extensions").await?;
    let finding = |name: String| {
        fatal(
            format!("the extension {} is not available on the target", printable(&name)),
            "install its package on the target's host",
        )
    };
    Ok(missing.into_iter().map(finding).collect())
}

/// Roles that are neither there nor going to be.
async fn roles(
    options: &Options,
    prepared: &Prepared,
    globals: &Globals,
    server: &Session,
) -> Result<Vec<Finding>> {
    let mut wanted = prepared.roles(options);
    // A platform's roles that are not here are replaced by the restoring role.
    let unknown = &prepared.platform.acting.unknown;
    wanted.retain(|name| !globals.makes_role(name) && !unknown.contains(name));
    let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
    let missing = missing(server, &wanted, "SELECT rolname FROM pg_catalog.pg_roles").await?;
    let finding = |name: String| {
        let hint = if globals.offers_role(&name) {
            "the archive has it: give --globals; or create it, or give --no-owner and --no-acl"
        } else {
            "create it, or give --no-owner and --no-acl"
        };
        fatal(format!("the role {} does not exist on the target", printable(&name)), hint)
    };
    Ok(missing.into_iter().map(finding).collect())
}

/// Tablespaces that are neither there nor going to be.
async fn tablespaces(
    options: &Options,
    prepared: &Prepared,
    globals: &Globals,
    server: &Session,
) -> Result<Vec<Finding>> {
    let mut wanted = prepared.tablespaces(options);
    wanted.retain(|name| !globals.makes_tablespace(name));
    let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
    let missing = missing(server, &wanted, "SELECT spcname FROM pg_catalog.pg_tablespace").await?;
    let finding = |name: String| {
        let hint = if globals.offers_tablespace(&name) {
            "the archive has it: give --globals, with --tablespace-map for another folder; or create it, or give --no-tablespaces"
        } else {
            "create it, or give --no-tablespaces"
        };
        fatal(format!("the tablespace {} does not exist on the target", printable(&name)), hint)
    };
    Ok(missing.into_iter().map(finding).collect())
}

/// Default privileges of the restoring role in the target: every object that is created gets them, and keeps them where no
/// privileges are restored.
async fn default_privileges(session: &Session) -> Result<Option<Finding>> {
    let sql = "SELECT pg_catalog.string_agg(DISTINCT coalesce(n.nspname::pg_catalog.text, 'all schemas'), ', ') \
               FROM pg_catalog.pg_default_acl d LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace \
               WHERE d.defaclrole = (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = current_user)";
    let places = session.query_one_text(sql).await?;
    let user = printable(&session.info().user);
    Ok(places.map(|places| Finding {
        fatal: false,
        message: format!(
            "the target has default privileges for objects of {user} (in {}): restored objects get these too",
            printable(&places)
        ),
        hint: Some("revoke them with ALTER DEFAULT PRIVILEGES first, or restore with --create".to_owned()),
    }))
}

/// Those of `wanted` that the query `have` does not give.
pub(super) async fn missing(server: &Session, wanted: &BTreeSet<&str>, have: &str) -> Result<Vec<String>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let list: Vec<String> = wanted.iter().map(|name| format!("({})", literal(name))).collect();
    let sql = format!("SELECT w.name FROM (VALUES {}) w(name) WHERE w.name NOT IN ({have})", list.join(", "));
    let rows = server.query_text(&sql).await?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}
