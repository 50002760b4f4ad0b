//! Security labels that users gave to what they did not make: to the server's own objects and to members of extensions.

use serde::{Deserialize, Serialize};

use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, SecurityLabel, Target};
use crate::catalog::sql_types::FIRST_NORMAL_OID;
use crate::pg::ServerVersion;

/// OID of `pg_seclabel`, fixed in PostgreSQL's headers.
const PG_SECLABEL: u32 = 3596;

/// The label of one object. Its identity is a number within the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemLabel {
    /// The object as `SECURITY LABEL … ON` names it: `FUNCTION s.f(integer)`.
    pub on: String,
    /// The label provider.
    pub provider: String,
    /// The label.
    pub label: String,
}

impl Kind for SystemLabel {
    const NAME: &'static str = "system label";
    const CATALOGS: &'static [&'static str] = &["pg_seclabel"];

    fn query(_server: ServerVersion) -> String {
        format!(
            "SELECT pg_catalog.json_build_array({PG_SECLABEL}, \
             pg_catalog.row_number() OVER (ORDER BY l.classoid, l.objoid, l.objsubid, l.provider)) AS id, \
             i.identity AS name, l.provider, l.label, \
             CASE WHEN i.type LIKE '% column' THEN 'COLUMN' ELSE pg_catalog.upper(i.type) END || ' ' || i.identity AS \"on\", \
             CASE WHEN e.refobjid IS NOT NULL THEN pg_catalog.json_build_array(\
             pg_catalog.json_build_array({extension}, e.refobjid::pg_catalog.int8)) END AS depends \
             FROM pg_catalog.pg_seclabel l LEFT JOIN pg_catalog.pg_depend e ON e.classid = l.classoid \
             AND e.objid = l.objoid AND e.objsubid = 0 AND e.deptype = 'e', \
             LATERAL pg_catalog.pg_identify_object(l.classoid, l.objoid, l.objsubid) i \
             WHERE l.classoid <> {large_object}::pg_catalog.oid AND (e.refobjid IS NOT NULL OR l.objoid < {FIRST_NORMAL_OID}::pg_catalog.oid AND i.identity <> 'public')",
            extension = class::PG_EXTENSION,
            // Users may give them any number.
            large_object = class::PG_LARGEOBJECT,
        )
    }

    fn identity(&self, _head: &Head) -> String {
        self.on.clone()
    }

    fn create(&self, _head: &Head, _target: &Target) -> Vec<String> {
        let Self { on, provider, label } = self;
        vec![SecurityLabel { provider: provider.clone(), label: label.clone(), column: 0 }.set(on)]
    }

    fn drop(&self, _head: &Head) -> String {
        format!("SECURITY LABEL FOR {} ON {} IS NULL", crate::pg::quote::ident(&self.provider), self.on)
    }

    fn set_owner(&self, _head: &Head, _owner: &str) -> Option<String> {
        None
    }

    fn set_comment(&self, _head: &Head, _comment: &str) -> Option<String> {
        None
    }
}
