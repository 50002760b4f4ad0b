//! Range types (`CREATE TYPE … AS RANGE`, section 8.17) and the multirange types that come with them.

use serde::{Deserialize, Serialize};

use crate::catalog::acl::AclClass;
use crate::catalog::facts::Presence;
use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql_types::{
    Definition, Name, TYPES, collation_name, function_name, opclass_name, type_text,
};
use crate::pg::{ServerVersion, quote};

/// A range type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeType {
    /// Its own identity.
    pub type_id: ObjectId,
    /// The type of the bounds, as SQL.
    pub subtype: String,
    /// The operator class that orders the bounds.
    pub opclass: Name,
    /// The collation that orders the bounds, where it is not the subtype's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation: Option<Name>,
    /// The function that brings values into canonical form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canonical: Option<Name>,
    /// The function that tells the distance of two bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtype_diff: Option<Name>,
    /// The name of the multirange type (servers from 14), in the range type's schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multirange: Option<String>,
}

/// The array type, the multirange type, its array type, and what the server makes of itself with them: the
/// constructor functions and the cast from range to multirange.
fn also(server: ServerVersion) -> String {
    let multirange = if server.at_least(14) {
        "UNION ALL SELECT m.oid FROM pg_catalog.pg_type m WHERE m.oid = r.rngmultitypid \
         UNION ALL SELECT m.typarray FROM pg_catalog.pg_type m WHERE m.oid = r.rngmultitypid"
    } else {
        ""
    };
    format!(
        "(SELECT pg_catalog.json_agg(pg_catalog.json_build_array(x.class, x.oid)) FROM (\
         WITH t(oid) AS (SELECT o.typarray {multirange}) \
         SELECT {pg_type}::pg_catalog.int8, t.oid::pg_catalog.int8 FROM t UNION \
         SELECT d.classid::pg_catalog.int8, d.objid::pg_catalog.int8 FROM pg_catalog.pg_depend d \
         WHERE d.refclassid = {pg_type} AND d.deptype = 'i' AND d.classid IN ({pg_proc}, {pg_cast}) \
         AND (d.refobjid = o.oid OR d.refobjid IN (SELECT t.oid FROM t))) x(class, oid)) AS also",
        pg_type = class::PG_TYPE,
        pg_proc = class::PG_PROC,
        pg_cast = class::PG_CAST,
    )
}

impl Kind for RangeType {
    const NAME: &'static str = "range type";
    const CATALOGS: &'static [&'static str] = &["pg_type", "pg_range"];
    const ONLY_WITH: Option<Presence> = Some(Presence::Types(b'r'));

    fn query(server: ServerVersion) -> String {
        let multirange = if server.at_least(14) {
            "(SELECT m.typname FROM pg_catalog.pg_type m WHERE m.oid = r.rngmultitypid)"
        } else {
            "NULL::pg_catalog.text"
        };
        TYPES.query_joined(
            &format!(
                "{also}, pg_catalog.json_build_array({pg_type}, o.oid::pg_catalog.int8) AS type_id, {subtype} AS subtype, {opclass} AS opclass, \
                 CASE WHEN r.rngcollation <> s.typcollation THEN {collation} END AS collation, \
                 {canonical} AS canonical, {diff} AS subtype_diff, {multirange} AS multirange",
                also = also(server),
                pg_type = class::PG_TYPE,
                subtype = type_text("r.rngsubtype"),
                opclass = opclass_name("r.rngsubopc"),
                collation = collation_name("r.rngcollation"),
                canonical = function_name("r.rngcanonical"),
                diff = function_name("r.rngsubdiff"),
            ),
            "JOIN pg_catalog.pg_range r ON r.rngtypid = o.oid JOIN pg_catalog.pg_type s ON s.oid = r.rngsubtype",
            "o.typtype = 'r'",
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("TYPE {}", head.qualified())
    }

    fn acl_target(&self, head: &Head) -> Option<(AclClass, String)> {
        Some((AclClass::Type, self.identity(head)))
    }

    fn create(&self, head: &Head, target: &Target) -> Vec<String> {
        let mut definition = Definition::new();
        definition.set("SUBTYPE", &*self.subtype).name("SUBTYPE_OPCLASS", Some(&self.opclass));
        definition.name("COLLATION", self.collation.as_ref()).name("CANONICAL", self.canonical.as_ref());
        definition.name("SUBTYPE_DIFF", self.subtype_diff.as_ref());
        if let Some(multirange) = self.multirange.as_deref().filter(|_| target.version.at_least(14)) {
            definition.set("MULTIRANGE_TYPE_NAME", quote::qualified(head.schema.as_deref(), multirange));
        }
        vec![format!("CREATE TYPE {} AS RANGE {}", head.qualified(), definition.sql())]
    }

    /// A canonical function takes the type: then the type's name comes first, as a shell, and the type last.
    fn detached_ids(&self) -> Vec<ObjectId> {
        self.canonical.iter().map(|_| self.type_id).collect()
    }

    fn create_without_detached(&self, head: &Head, _target: &Target) -> Vec<String> {
        vec![format!("CREATE TYPE {}", head.qualified())]
    }

    fn create_detached(&self, head: &Head, target: &Target) -> Vec<String> {
        self.create(head, target)
    }
}
