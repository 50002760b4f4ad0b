//! What the archive holds and the target cannot have: forms of another version, and what its build lacks. Found before
//! anything is touched. What no row and no query depends on is left out, and told.

use std::collections::{BTreeMap, BTreeSet};

use super::preflight::Finding;
use super::prepare::Prepared;
use super::requirements::listed;
use crate::catalog::globals::reader::unknown_parameters;
use crate::catalog::kinds::function::Routine;
use crate::catalog::registry::Object;
use crate::error::Result;
use crate::pg::quote::{ident, printable};
use crate::pg::{ServerVersion, Session};

/// Looks for all of it. What can be left out is taken out of `prepared`.
pub(super) async fn check(
    server: &Session,
    prepared: &mut Prepared,
    keep_going: bool,
) -> Result<Vec<Finding>> {
    let mut findings = forms(server.version(), prepared, keep_going);
    findings.extend(compression(server, prepared).await?);
    findings.extend(collations(server, prepared, keep_going).await?);
    findings.extend(parameters(server, prepared, keep_going).await?);
    Ok(findings)
}

fn told(fatal: bool, message: String, hint: &str) -> Finding {
    Finding { fatal, message, hint: Some(hint.to_owned()) }
}

/// Objects of forms that the target's version does not have.
fn forms(version: ServerVersion, prepared: &Prepared, keep_going: bool) -> Vec<Finding> {
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for entry in prepared.created() {
        if let Some(what) = entry.object.inexpressible(version) {
            found.entry(what).or_default().push(printable(&entry.object.identity(&entry.head)));
        }
    }
    let finding = |(what, names): (&str, Vec<String>)| {
        let message =
            format!("PostgreSQL {} of the target does not have {what}: {}", version.major(), listed(&names));
        told(!keep_going, message, "restore into a server that has them, or give --keep-going to go without")
    };
    found.into_iter().map(finding).collect()
}

/// Compression of columns by a method that the target was built without. It shows in no row: the default takes its place.
async fn compression(server: &Session, prepared: &mut Prepared) -> Result<Option<Finding>> {
    let mut names = Vec::new();
    for entry in &prepared.model.entries {
        let columns =
            entry.object.columns().iter().filter(|column| column.compression.as_deref() == Some("l"));
        names.extend(
            columns.map(|column| printable(&format!("{}.{}", entry.head.qualified(), ident(&column.name)))),
        );
    }
    if names.is_empty() || !server.version().at_least(14) {
        return Ok(None);
    }
    let sql = "SELECT 'lz4' = ANY (s.enumvals) FROM pg_catalog.pg_settings s WHERE s.name = 'default_toast_compression'";
    if server.query_one_text(sql).await?.as_deref() == Some("t") {
        return Ok(None);
    }
    for column in prepared.model.entries.iter_mut().flat_map(|entry| entry.object.columns_mut()) {
        column.compression = column.compression.take().filter(|method| method != "l");
    }
    let message =
        format!("the target is built without lz4: its default compression is used for {}", listed(&names));
    Ok(Some(told(false, message, "restore into a server that is built with lz4 to keep it")))
}

/// Collations of providers that the target is built without, and of locales that its host may lack.
async fn collations(server: &Session, prepared: &Prepared, keep_going: bool) -> Result<Vec<Finding>> {
    let (mut icu, mut locales) = (Vec::new(), BTreeMap::<&str, String>::new());
    for entry in prepared.created() {
        let Object::Collation(collation) = &entry.object else { continue };
        let name = printable(&entry.object.identity(&entry.head));
        match collation.provider {
            'i' => icu.push(name),
            'c' => {
                let all = [&collation.collate, &collation.ctype, &collation.locale];
                locales.extend(all.into_iter().flatten().map(|locale| (locale.as_str(), name.clone())));
            }
            _ => {}
        }
    }
    if prepared.model.database.provider.as_deref() == Some("icu") {
        icu.push("the database itself".to_owned());
    }
    let mut findings = Vec::new();
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_collation c WHERE c.collprovider = 'i' AND c.collname LIKE '%-x-icu')";
    if !icu.is_empty() && server.query_one_text(sql).await?.as_deref() != Some("t") {
        let message = format!("the target is built without ICU, which these need: {}", listed(&icu));
        findings.push(told(!keep_going, message, "restore into a server that is built with ICU"));
    }
    let wanted: BTreeSet<&str> =
        locales.keys().copied().filter(|locale| !matches!(*locale, "C" | "POSIX")).collect();
    let have = "SELECT c.collcollate FROM pg_catalog.pg_collation c WHERE c.collprovider = 'c' AND c.collcollate IS NOT NULL";
    for locale in super::preflight::missing(server, &wanted, have).await? {
        let user = locales.get(locale.as_str()).cloned().unwrap_or_default();
        let message = format!("the target knows no locale {}, which {user} is of", printable(&locale));
        findings.push(told(false, message, "if its host lacks it, generate it there before the restore"));
    }
    Ok(findings)
}

/// Configuration parameters that the target does not know. What the database sets is left out; a function that sets one
/// cannot be made.
async fn parameters(server: &Session, prepared: &mut Prepared, keep_going: bool) -> Result<Vec<Finding>> {
    let name = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
    let of_database: BTreeSet<String> =
        prepared.model.database.settings.iter().map(|setting| name(&setting.text)).collect();
    let mut of_routines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in prepared.created() {
        for setting in routine(&entry.object).into_iter().flat_map(|routine| &routine.settings) {
            let identity = printable(&entry.object.identity(&entry.head));
            of_routines.entry(name(setting)).or_default().push(identity);
        }
    }
    let all = of_database.iter().chain(of_routines.keys()).map(String::as_str).collect();
    let unknown = unknown_parameters(server, all).await?;
    let mut findings = Vec::new();
    for parameter in &unknown {
        if of_database.contains(parameter) {
            let message = format!(
                "the target does not know the parameter {}, which the database sets: it is left out",
                printable(parameter)
            );
            findings.push(told(false, message, "nothing in the restored database sets it"));
        }
        if let Some(names) = of_routines.get(parameter) {
            let message = format!(
                "the target does not know the parameter {}, which is set by {}",
                printable(parameter),
                listed(names)
            );
            findings.push(told(!keep_going, message, "give --keep-going to go without these routines"));
        }
    }
    prepared.model.database.settings.retain(|setting| !unknown.contains(&name(&setting.text)));
    Ok(findings)
}

fn routine(object: &Object) -> Option<&Routine> {
    match object {
        Object::Function(function) => Some(&function.routine),
        Object::Procedure(procedure) => Some(&procedure.routine),
        _ => None,
    }
}
