//! What commands say and ask of roles, tablespaces and what else the whole server has.

use clap::{Args, ValueEnum};

use super::printer::Printer;
use crate::backup;
use crate::catalog::acl::AclItem;
use crate::catalog::globals::Role;
use crate::catalog::globals::role::told;
use crate::error::{Error, ErrorKind, Result};
use crate::exit::Exit;
use crate::opened::OpenArchive;
use crate::pg::quote::{ident, printable};
use crate::plan::globals::TablespaceMap;
use crate::restore::{GlobalsOptions, GlobalsReport, Wanted, globals_script};

const HEADING: &str = "Roles and tablespaces";

/// What a backup takes along.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = HEADING)]
pub struct BackupGlobalsArgs {
    /// Fail when roles and tablespaces cannot be read [default: take along what can be, and warn]
    #[arg(long, overrides_with = "no_globals")]
    pub globals: bool,
    /// Take no roles and tablespaces along
    #[arg(long)]
    pub no_globals: bool,
    /// Take along the hashes of the roles' passwords; needs a superuser, and an encrypted archive
    #[arg(long, conflicts_with_all = ["no_globals", "no_encrypt"])]
    pub role_passwords: bool,
}

impl BackupGlobalsArgs {
    /// What is wanted: nothing, by default, in a backup of rows alone.
    pub(super) fn resolve(&self, rows_only: bool) -> backup::Globals {
        if self.globals || self.role_passwords {
            backup::Globals::Required
        } else if self.no_globals || rows_only {
            backup::Globals::Skip
        } else {
            backup::Globals::IfAllowed
        }
    }
}

/// Which of them a restore brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Which {
    /// What the restored objects name, who uses them, and what those are members of
    Needed,
    /// All that the server had
    All,
}

/// What a restore brings.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = HEADING)]
pub struct RestoreGlobalsArgs {
    /// Create the roles and tablespaces that are missing; tell those that are there and differ
    #[arg(long, value_name = "WHICH", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "needed")]
    pub globals: Option<Which>,
    /// Alter those that are there and differ, too
    #[arg(long, requires = "globals")]
    pub globals_update: bool,
    /// Create the tablespace that had this name or folder in another folder; may be repeated
    #[arg(long, value_name = "OLD=NEWDIR", requires = "globals")]
    pub tablespace_map: Vec<String>,
}

impl RestoreGlobalsArgs {
    /// What is wanted.
    pub(super) fn resolve(&self) -> Option<GlobalsOptions> {
        let update = self.globals_update;
        self.globals.map(|which| GlobalsOptions { needed_only: which == Which::Needed, update })
    }

    /// The tablespaces' folders.
    pub(super) fn map(&self) -> Result<TablespaceMap> {
        TablespaceMap::parse(&self.tablespace_map)
            .map_err(|error| Error::with_source(ErrorKind::Usage, "read --tablespace-map", error))
    }
}

/// Prints what a restore would do.
pub(super) fn print_report(printer: Printer, report: &GlobalsReport) -> Result<()> {
    for line in &report.done {
        printer.line(&format!("  {line}"))?;
    }
    for line in &report.differences {
        printer.line(&format!("  as it is: {line}"))?;
    }
    for line in &report.notes {
        printer.line(&format!("  note: {line}"))?;
    }
    Ok(())
}

/// `pgcask cat --globals`.
pub(super) async fn cat(
    printer: Printer,
    archive: &OpenArchive,
    show_secrets: bool,
    wanted: &Wanted,
) -> Result<()> {
    let mut out = |bytes: &[u8]| printer.bytes(bytes);
    let hidden = globals_script(archive, show_secrets, !wanted.no_tablespaces, &mut out).await?;
    if hidden > 0 {
        printer.warning(&format!("{hidden} roles' passwords are left out; --show-secrets writes them"));
    }
    Ok(())
}

/// `pgcask show --globals`.
pub(super) async fn show(printer: Printer, archive: &OpenArchive) -> Result<Exit> {
    let Some(mut globals) = archive.globals().await? else {
        return Err(Error::new(ErrorKind::Failed, "the archive holds no roles and tablespaces"));
    };
    let with_password: Vec<String> =
        globals.roles.iter().filter(|role| role.password.is_some()).map(|role| role.name.clone()).collect();
    globals.hide_passwords();
    if printer.json {
        let value = serde_json::json!({ "globals": globals, "roles_with_password": with_password });
        printer.json(&value)?;
        return Ok(Exit::Good);
    }
    let line = |text: String| printer.line(&printable(&text));
    for role in &globals.roles {
        let mut told = told(&role.differs_from(&Role::plain(&role.name)));
        if with_password.contains(&role.name) {
            told.push_str(" PASSWORD");
        }
        line(format!("role {}{told}{}", ident(&role.name), comment(role.comment.as_deref())))?;
    }
    for grant in &globals.memberships {
        let option = |name: &str, on: Option<bool>| on.map_or_else(String::new, |on| format!(" {name} {on}"));
        let by = grant.grantor.as_deref().map_or_else(String::new, |by| format!(" granted by {}", ident(by)));
        let admin = if grant.admin { " with admin option" } else { "" };
        let (inherit, set) = (option("inherit", grant.inherit), option("set", grant.set));
        line(format!("member {} of {}{admin}{inherit}{set}{by}", ident(&grant.member), ident(&grant.role)))?;
    }
    for setting in &globals.settings {
        let role = setting.role.as_deref().map_or_else(|| "all roles".to_owned(), ident);
        line(format!("setting of {role}: {}", setting.text))?;
    }
    for space in &globals.tablespaces {
        let place = if space.location.is_empty() { "the data folder" } else { &space.location };
        let more = comment(space.comment.as_deref());
        line(format!("tablespace {} in {place}, owner {}{more}", ident(&space.name), ident(&space.owner)))?;
        granted(&line, space.acl.as_deref().unwrap_or_default())?;
    }
    for parameter in &globals.parameters {
        line(format!("parameter {}", parameter.name))?;
        granted(&line, &parameter.acl)?;
    }
    globals.warnings.iter().for_each(|warning| printer.warning(warning));
    Ok(Exit::Good)
}

fn comment(text: Option<&str>) -> String {
    text.map_or_else(String::new, |text| format!(" -- {text}"))
}

fn granted(line: &impl Fn(String) -> Result<()>, items: &[AclItem]) -> Result<()> {
    for AclItem { grantor, grantee, privilege, grantable } in items {
        let grantee = grantee.as_deref().map_or_else(|| "everybody".to_owned(), ident);
        let option = if *grantable { " with grant option" } else { "" };
        line(format!("  {privilege} to {grantee}{option}, granted by {}", ident(grantor)))?;
    }
    Ok(())
}
