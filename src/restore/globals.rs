//! Roles, tablespaces and what else the whole server has: planned with all else, restored first and only on request.

use std::collections::BTreeSet;

use super::failures::Failures;
use super::options::{GlobalsReport, Options};
use super::prepare::{Prepared, maintenance};
use super::script::{all, guard, statement};
use crate::catalog::globals;
use crate::catalog::globals::reader::{self, Passwords, Powers};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::manifest::Content;
use crate::opened::OpenArchive;
use crate::pg::copy::rows;
use crate::pg::quote::{ident, printable};
use crate::pg::settings::script_preamble;
use crate::pg::{PgError, Session};
use crate::plan::globals::{Choice, GlobalsPlan, GlobalsStep, InDatabase, TablespaceMap, Wish, plan};
use crate::stop::Stop;

/// What the archive offers, and what is to be done of it.
#[derive(Debug)]
pub(super) struct Globals {
    offered: Option<globals::Globals>,
    planned: Option<GlobalsPlan>,
    /// Roles whose names the session cannot write as they were.
    unwritable: Vec<String>,
}

impl Globals {
    /// Reads what the archive has and, if it is wanted, what the target has, and plans. `existing` is a session of the
    /// target database, where there is one.
    pub(super) async fn plan(
        options: &Options,
        archive: &OpenArchive,
        prepared: &Prepared,
        existing: Option<&Session>,
    ) -> Result<Self> {
        let offered = archive.globals().await?;
        if options.globals.is_none() {
            return Ok(Self { offered, planned: None, unwritable: Vec::new() });
        }
        let Some(wanted) = &offered else {
            return Err(Error::new(ErrorKind::Usage, "the archive holds no roles and tablespaces")
                .hint("it was made with --no-globals or --data-only, or by an older pgcask"));
        };
        let own;
        let session = if let Some(session) = existing {
            session
        } else {
            own = maintenance(&options.target).await?;
            &own
        };
        let planned = plan_at(options, archive, prepared, wanted, session, existing.is_some()).await?;
        let ascii_only = session.info().encoding != prepared.manifest.server.encoding;
        let unwritable = planned.roles.iter().filter(|name| ascii_only && !name.is_ascii());
        let unwritable = unwritable.map(|name| printable(name)).collect();
        Ok(Self { offered, planned: Some(planned), unwritable })
    }

    /// Whether the archive has the role.
    pub(super) fn offers_role(&self, name: &str) -> bool {
        self.offered.as_ref().is_some_and(|globals| globals.role(name).is_some())
    }

    /// Whether the archive has the tablespace.
    pub(super) fn offers_tablespace(&self, name: &str) -> bool {
        self.offered.as_ref().is_some_and(|globals| globals.tablespace(name).is_some())
    }

    /// Whether the role will be created.
    pub(super) fn makes_role(&self, name: &str) -> bool {
        self.planned.as_ref().is_some_and(|plan| plan.roles.contains(name))
    }

    /// Whether the tablespace will be created.
    pub(super) fn makes_tablespace(&self, name: &str) -> bool {
        self.planned.as_ref().is_some_and(|plan| plan.tablespaces.contains(name))
    }

    /// Roles that would be created under another name, in bytes, than they had: a name is stored in the encoding of
    /// the database that the session is in.
    pub(super) fn unwritable(&self) -> impl Iterator<Item = &str> {
        self.unwritable.iter().map(String::as_str)
    }

    /// What would be done.
    pub(super) fn report(&self) -> Option<GlobalsReport> {
        let GlobalsPlan { steps, differences, notes, .. } = self.planned.as_ref()?;
        Some(GlobalsReport {
            done: steps.iter().map(|step| step.what.clone()).collect(),
            differences: differences.clone(),
            notes: notes.clone(),
        })
    }

    /// Does what was planned.
    ///
    /// # Errors
    /// The first failure. What a session that is no superuser is not allowed to do is reported instead, and failures
    /// are kept where that was asked for.
    pub(super) async fn restore(
        self,
        options: &Options,
        existing: Option<&Session>,
        failures: &Failures,
        observer: &SharedObserver,
        stop: &Stop,
    ) -> Result<Option<GlobalsReport>> {
        let Some(GlobalsPlan { steps, differences, notes, .. }) = self.planned else {
            return Ok(None);
        };
        observer.event(Event::Phase { name: "restoring roles and tablespaces" });
        let own;
        let session = if let Some(session) = existing {
            session
        } else {
            own = maintenance(&options.target).await?;
            &own
        };
        let mut report = GlobalsReport { done: Vec::new(), differences, notes };
        // Who creates roles without being a superuser becomes a member of them, or he could give nothing to them.
        let members = "SELECT pg_catalog.set_config(s.name, 'set, inherit', false) FROM pg_catalog.pg_settings s \
                       WHERE s.name = 'createrole_self_grant'";
        session.execute(members).await?;
        for step in steps {
            stop.check()?;
            match run(session, &step).await {
                Ok(()) => report.done.push(step.what),
                Err(error) if error.sqlstate() == Some("42501") && !session.info().is_superuser => {
                    report.notes.push(format!("not allowed: {}: {}", step.what, short(&error)));
                }
                Err(error) => {
                    failures.keep(None, Error::from(error).context(step.what), observer)?;
                }
            }
        }
        for message in report.differences.iter().chain(&report.notes) {
            observer.event(Event::Warning { message: message.clone() });
        }
        Ok(Some(report))
    }
}

async fn run(session: &Session, step: &GlobalsStep) -> std::result::Result<(), PgError> {
    if step.atomic {
        // One message of several statements is one transaction.
        return session.execute(&step.statements.join(";\n")).await;
    }
    for statement in &step.statements {
        session.execute(statement).await?;
    }
    Ok(())
}

/// The server's message alone.
fn short(error: &PgError) -> String {
    match error {
        PgError::Server(report) => printable(&report.message),
        other => printable(&other.to_string()),
    }
}

async fn plan_at(
    options: &Options,
    archive: &OpenArchive,
    prepared: &Prepared,
    wanted: &globals::Globals,
    session: &Session,
    exists: bool,
) -> Result<GlobalsPlan> {
    let powers = reader::powers(session).await?;
    let has_passwords = wanted.roles.iter().any(|role| role.password.is_some());
    let passwords_known = powers.superuser && has_passwords;
    let passwords = if passwords_known { Passwords::Read } else { Passwords::Skip };
    session.execute("BEGIN TRANSACTION READ ONLY").await?;
    let present = reader::read(session, passwords).await.context(|| "read the target's roles".to_owned());
    session.execute("ROLLBACK").await?;
    let present = present?;
    if !present.denied.is_empty() {
        let message =
            format!("the target does not let {} read {}", ident(&powers.user), present.denied.join(", "));
        return Err(Error::new(ErrorKind::Failed, printable(&message)).hint("leave --globals out"));
    }
    let in_target = if exists { reader::settings_in_database(session).await? } else { Vec::new() };
    let globals_options = options.globals.as_ref();
    let update = globals_options.is_some_and(|globals| globals.update);
    let choice = if globals_options.is_some_and(|globals| globals.needed_only) {
        let mut roles = prepared.roles(options);
        if !options.wanted.no_owner || !options.wanted.no_acl {
            roles.extend(of_large_objects(archive, prepared).await?);
        }
        Choice::Needed { roles, tablespaces: prepared.tablespaces(options) }
    } else {
        Choice::All
    };
    let database = &prepared.model.database;
    let in_database = (exists && !options.wanted.no_acl).then(|| InDatabase {
        name: &options.target.database,
        wanted: &database.settings,
        present: &in_target,
    });
    let set =
        wanted.settings.iter().chain(&database.settings).filter_map(|setting| setting.text.split('=').next());
    let granted = wanted.parameters.iter().map(|parameter| parameter.name.as_str());
    let unknown_parameters = reader::unknown_parameters(session, set.chain(granted).collect()).await?;
    let wish = Wish {
        wanted,
        present: &present.globals,
        passwords_known,
        powers: &powers,
        choice,
        update,
        tablespaces: !options.wanted.no_tablespaces,
        map: &options.tablespace_map,
        unknown_parameters,
        in_database,
    };
    Ok(plan(&wish))
}

/// The owners of large objects, and who was granted something on them: these are rows, not definitions.
async fn of_large_objects(archive: &OpenArchive, prepared: &Prepared) -> Result<BTreeSet<String>> {
    let mut roles = BTreeSet::new();
    for load in prepared.loads.iter().filter(|load| load.stream.content == Content::LargeObjects) {
        let mut take = |text: &[u8]| {
            for row in rows::rows(text) {
                let mut values = rows::columns(row).skip(1);
                let mut text = || {
                    values
                        .next()
                        .and_then(rows::value)
                        .map(|text| String::from_utf8_lossy(&text).into_owned())
                };
                let (owner, _comment, acl) = (text(), text(), text());
                roles.extend(owner);
                let items: Vec<crate::catalog::acl::AclItem> =
                    acl.and_then(|acl| serde_json::from_str(&acl).ok()).unwrap_or_default();
                roles.extend(crate::catalog::acl::parties(&items).map(str::to_owned));
            }
            Ok(())
        };
        archive.each_text(archive.all_chunks(load.stream.id), &mut take).await?;
    }
    Ok(roles)
}

/// Writes roles, tablespaces and what else the whole server has as a script for psql, as for a server that has nothing
/// but what `initdb` makes. Gives how many passwords were left out.
///
/// # Errors
/// When the archive cannot be read or holds none of it, or `out` takes no more.
pub async fn script(
    archive: &OpenArchive,
    show_secrets: bool,
    tablespaces: bool,
    out: &mut (dyn FnMut(&[u8]) -> Result<()> + Send),
) -> Result<usize> {
    let Some(mut wanted) = archive.globals().await? else {
        return Err(Error::new(ErrorKind::Failed, "the archive holds no roles and tablespaces"));
    };
    let hidden = if show_secrets { 0 } else { wanted.hide_passwords() };
    let present = globals::Globals::fresh(wanted.server, &wanted.bootstrap, &wanted.built_in);
    let powers = Powers {
        user: String::new(),
        superuser: true,
        create_role: true,
        create_db: true,
        replication: true,
        bypass_rls: true,
    };
    let wish = Wish {
        wanted: &wanted,
        present: &present,
        passwords_known: true,
        powers: &powers,
        choice: Choice::All,
        update: true,
        tablespaces,
        map: &TablespaceMap::default(),
        unknown_parameters: BTreeSet::new(),
        in_database: None,
    };
    let guard = guard()?;
    out(format!("\\restrict {guard}\n").as_bytes())?;
    statement(&script_preamble("UTF8"), out)?;
    for step in plan(&wish).steps {
        all(&step.statements, out)?;
    }
    out(format!("\\unrestrict {guard}\n").as_bytes())?;
    Ok(hidden)
}
