//! What the role may not read, and whether it may make the databases that a restore needs.

use std::sync::Arc;
use std::time::Duration;

use super::{Finding, Level, Subject};
use crate::backup::{self, Globals, Parts};
use crate::catalog::profile::Wish;
use crate::error::Result;
use crate::event::{NullObserver, SharedObserver};
use crate::pg::quote::ident;
use crate::plan::select::Selection;
use crate::seal::compress::Level as Compression;
use crate::store::naming::Kind;

const CHECK: &str = "privileges";

pub(super) async fn check(of: &Subject<'_>) -> Result<Vec<Finding>> {
    let options = backup::Options {
        source: of.options.clone(),
        kind: Kind::Manual,
        keep_for: None,
        jobs: of.jobs,
        level: Compression::default(),
        recipients: Vec::new(),
        selection: Selection::default(),
        personal: Vec::new(),
        unlogged_rows: true,
        strict_names: false,
        parts: Parts::All,
        globals: Globals::Skip,
        role_passwords: false,
        profile: Wish::Detect,
        lock_timeout: Duration::from_secs(1),
        serializable_deferrable: false,
        audit: None,
        replaced_by: None,
    };
    let observer: SharedObserver = Arc::new(NullObserver);
    let mut found = vec![match backup::check_access(&options, of.session, &observer).await {
        Ok(()) => Finding::ok(CHECK, "all rows may be read"),
        Err(error) if error.sqlstate().is_none() => Finding::of_error(
            CHECK,
            Level::Critical,
            &error,
            "a backup of the whole database is refused, for it would not be whole",
        ),
        Err(error) => return Err(error),
    }];
    let sql = "SELECT r.rolsuper OR r.rolcreatedb FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";
    if of.session.query_one_text(sql).await?.as_deref() == Some("f") {
        let role = ident(&of.session.info().user);
        found.push(
            Finding::new(
                CHECK,
                Level::Notice,
                format!("the role {role} may not create databases"),
                "backups need no such right; `restore --create` and `--swap` do, and only --in-place goes without",
            )
            .remedy(format!("on the host that restores: ALTER ROLE {role} CREATEDB")),
        );
    }
    Ok(found)
}
