//! Constraints of domains (`ALTER DOMAIN … ADD CONSTRAINT`): apart from their domain, so that a check may call a
//! function that takes the domain, and so that one that is not validated can wait for the data.

use serde::{Deserialize, Serialize};

use crate::catalog::facts::Presence;
use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::sql;
use crate::catalog::sql_types::Name;
use crate::pg::{ServerVersion, quote};

/// A check or not-null constraint of a domain. It has its domain's schema, and no owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainConstraint {
    /// The domain.
    pub domain: Name,
    /// The domain's identity.
    pub domain_id: ObjectId,
    /// The constraint as the server writes it: `CHECK ((VALUE > 0)) NOT VALID`.
    pub definition: String,
    /// Whether it is a not-null constraint, which servers before 17 know without a name.
    #[serde(default)]
    pub not_null: bool,
    /// Whether all present values are known to satisfy it.
    #[serde(default)]
    pub validated: bool,
    /// The tables that hold values of the domain, for a constraint that is not validated: it refuses new rows, so
    /// the old ones, which may break it, must be in first.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub holders: Vec<ObjectId>,
}

/// Tables with a column that can hold a value of the domain `c.contypid`: directly, or within domains, arrays,
/// ranges and composite types.
fn holders(server: ServerVersion) -> String {
    let multirange = if server.at_least(14) {
        " UNION ALL SELECT r.rngmultitypid, r.rngtypid FROM pg_catalog.pg_range r"
    } else {
        ""
    };
    format!(
        "(WITH RECURSIVE part(whole, part) AS (\
         SELECT t.oid, t.typbasetype FROM pg_catalog.pg_type t WHERE t.typtype = 'd' \
         UNION ALL SELECT t.oid, t.typelem FROM pg_catalog.pg_type t WHERE t.typelem <> 0 \
         UNION ALL SELECT r.rngtypid, r.rngsubtype FROM pg_catalog.pg_range r{multirange} \
         UNION ALL SELECT k.reltype, a.atttypid FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class k \
         ON k.oid = a.attrelid WHERE k.reltype <> 0 AND a.attnum > 0 AND NOT a.attisdropped), \
         holding(t) AS (SELECT c.contypid UNION SELECT p.whole FROM holding h JOIN part p ON p.part = h.t) \
         SELECT pg_catalog.json_agg(DISTINCT pg_catalog.jsonb_build_array({pg_class}, k.oid::pg_catalog.int8)) \
         FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class k ON k.oid = a.attrelid \
         WHERE a.atttypid IN (SELECT h.t FROM holding h) AND NOT a.attisdropped \
         AND k.relkind IN ('r', 'p', 'm', 'f'))",
        pg_class = class::PG_CLASS,
    )
}

impl Kind for DomainConstraint {
    const NAME: &'static str = "domain constraint";
    const CATALOGS: &'static [&'static str] = &["pg_constraint"];
    const ONLY_WITH: Option<Presence> = Some(Presence::Types(b'd'));

    fn query(server: ServerVersion) -> String {
        format!(
            "SELECT {id}, n.nspname AS schema, c.conname AS name, \
             pg_catalog.json_build_object('schema', n.nspname, 'name', t.typname) AS domain, \
             pg_catalog.json_build_array({pg_type}, t.oid::pg_catalog.int8) AS domain_id, \
             pg_catalog.pg_get_constraintdef(c.oid) AS definition, c.contype = 'n' AS not_null, \
             c.convalidated AS validated, CASE WHEN NOT c.convalidated THEN {holders} END AS holders \
             FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_type t ON t.oid = c.contypid \
             JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
             WHERE c.contypid <> 0 AND {users} AND {not_member} AND {domain_not_member}",
            id = sql::id(class::PG_CONSTRAINT, "c.oid"),
            pg_type = class::PG_TYPE,
            holders = holders(server),
            users = sql::user_schema("n.oid"),
            not_member = sql::not_extension_member(class::PG_CONSTRAINT, "c.oid"),
            domain_not_member = sql::not_extension_member(class::PG_TYPE, "t.oid"),
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("CONSTRAINT {} ON DOMAIN {}", quote::ident(&head.name), self.domain.sql())
    }

    fn create(&self, head: &Head, target: &Target) -> Vec<String> {
        let domain = self.domain.sql();
        if self.not_null && !target.version.at_least(17) {
            return vec![format!("ALTER DOMAIN {domain} SET NOT NULL")];
        }
        vec![format!("ALTER DOMAIN {domain} ADD CONSTRAINT {} {}", quote::ident(&head.name), self.definition)]
    }

    fn drop(&self, head: &Head) -> String {
        format!("ALTER DOMAIN {} DROP CONSTRAINT {}", self.domain.sql(), quote::ident(&head.name))
    }

    fn set_owner(&self, _head: &Head, _owner: &str) -> Option<String> {
        None
    }

    fn after_data_of(&self) -> Vec<ObjectId> {
        self.holders.clone()
    }
}
