//! Extended statistics (`CREATE STATISTICS`).

use serde::{Deserialize, Serialize};

use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql;
use crate::pg::ServerVersion;

/// A statistics object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// The table.
    pub table: ObjectId,
    /// `CREATE STATISTICS …`, as the server writes it.
    pub definition: String,
    /// The statistics target, where one is set.
    #[serde(default)]
    pub target: Option<i32>,
}

impl Kind for Statistics {
    const NAME: &'static str = "statistics";
    const CATALOGS: &'static [&'static str] = &["pg_statistic_ext"];

    fn query(_server: ServerVersion) -> String {
        format!(
            "SELECT {id}, n.nspname AS schema, s.stxname AS name, {owner}, pg_catalog.json_build_array({class}, t.oid::pg_catalog.int8) AS table, \
               pg_catalog.pg_get_statisticsobjdef(s.oid) AS definition, CASE WHEN s.stxstattarget >= 0 THEN s.stxstattarget END AS target \
             FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace \
             JOIN pg_catalog.pg_class t ON t.oid = s.stxrelid WHERE {user} AND {own} ORDER BY n.nspname, s.stxname",
            id = sql::id(class::PG_STATISTIC_EXT, "s.oid"),
            owner = sql::owner("s.stxowner"),
            class = class::PG_CLASS,
            user = sql::user_schema("s.stxnamespace"),
            own = sql::not_extension_member(class::PG_STATISTIC_EXT, "s.oid"),
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("STATISTICS {}", head.qualified())
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let mut out = vec![self.definition.clone()];
        if let Some(target) = self.target {
            out.push(format!("ALTER STATISTICS {} SET STATISTICS {target}", head.qualified()));
        }
        out
    }

    fn after_data_of(&self) -> Vec<ObjectId> {
        vec![self.table]
    }
}
