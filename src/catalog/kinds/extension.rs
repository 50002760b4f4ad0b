//! Extensions (`CREATE EXTENSION`); their members are recreated by the extension's own script.

use serde::{Deserialize, Serialize};

use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::sql;
use crate::catalog::sql_types::FIRST_NORMAL_OID;
use crate::pg::{ServerVersion, quote};

/// An installed extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// The schema that holds its members.
    pub namespace: String,
    /// The installed version: recorded, and asked for at restore only where the operator wants it.
    pub version: String,
    /// Whether its members can be moved to another schema.
    #[serde(default)]
    pub relocatable: bool,
    /// The comment in its control file, which `CREATE EXTENSION` sets by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_comment: Option<String>,
    /// Its configuration tables, whose rows are users' data (section 36.17.3).
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub config: Vec<ConfigTable>,
    /// Its members and their inner parts (array types, row types): who depends on one of them depends on the
    /// extension.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub members: Vec<ObjectId>,
}

/// A member table that an extension marked with `pg_extension_config_dump`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigTable {
    /// The table or sequence.
    pub id: ObjectId,
    /// The condition (`WHERE …`) that tells users' rows from the extension's; empty for all rows.
    #[serde(default)]
    pub condition: String,
}

impl Extension {
    /// The statement that creates the extension in the version that the source had.
    pub fn create_recorded_version(&self, head: &Head) -> String {
        format!("{} VERSION {}", self.create_any_version(head), quote::literal(&self.version))
    }

    fn create_any_version(&self, head: &Head) -> String {
        format!(
            "CREATE EXTENSION IF NOT EXISTS {} WITH SCHEMA {}",
            head.qualified(),
            quote::ident(&self.namespace)
        )
    }
}

impl Kind for Extension {
    const NAME: &'static str = "extension";
    const CATALOGS: &'static [&'static str] = &["pg_extension"];

    fn query(_server: ServerVersion) -> String {
        format!(
            "SELECT {id}, e.extname AS name, {owner}, n.nspname AS namespace, e.extversion AS version, \
             e.extrelocatable AS relocatable, \
             (SELECT a.comment FROM pg_catalog.pg_available_extensions() a WHERE a.name = e.extname) AS control_comment, \
             (SELECT pg_catalog.json_agg(pg_catalog.json_build_object(\
             'id', pg_catalog.json_build_array({pg_class}, c.oid::pg_catalog.int8), \
             'condition', coalesce(e.extcondition[c.i], '')) ORDER BY c.i) \
             FROM pg_catalog.unnest(e.extconfig) WITH ORDINALITY c(oid, i)) AS config, \
             (WITH RECURSIVE m(class, oid) AS (\
             SELECT d.classid, d.objid FROM pg_catalog.pg_depend d \
             WHERE d.refclassid = {pg_extension} AND d.refobjid = e.oid AND d.deptype = 'e' \
             UNION SELECT d.classid, d.objid FROM m JOIN pg_catalog.pg_depend d \
             ON d.refclassid = m.class AND d.refobjid = m.oid AND d.deptype = 'i') \
             SELECT pg_catalog.json_agg(pg_catalog.json_build_array(m.class::pg_catalog.int8, m.oid::pg_catalog.int8)) \
             FROM m) AS members \
             FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace",
            id = sql::id(class::PG_EXTENSION, "e.oid"),
            owner = sql::owner("e.extowner"),
            pg_class = class::PG_CLASS,
            pg_extension = class::PG_EXTENSION,
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("EXTENSION {}", head.qualified())
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let mut statements = vec![self.create_any_version(head)];
        // Comments of what `initdb` made, as plpgsql, are not read.
        let built_in = head.id.oid < FIRST_NORMAL_OID;
        if head.comment.is_none() && self.control_comment.is_some() && !built_in {
            statements.push(format!("COMMENT ON {} IS NULL", self.identity(head)));
        }
        statements
    }

    /// Extensions cannot change owners: whoever creates one owns it.
    fn set_owner(&self, _head: &Head, _owner: &str) -> Option<String> {
        None
    }

    /// The control file's own comment is not repeated: roles that may create a trusted extension may still not
    /// comment on it where the platform owns it.
    fn set_comment(&self, head: &Head, comment: &str) -> Option<String> {
        (self.control_comment.as_deref() != Some(comment))
            .then(|| format!("COMMENT ON {} IS {}", self.identity(head), quote::literal(comment)))
    }
}
