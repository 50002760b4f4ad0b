//! Casts (`CREATE CAST`).

use serde::{Deserialize, Serialize};

use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql_types::{Global, Signature, function_signature, type_text};
use crate::pg::ServerVersion;

/// A cast. It has no schema and no owner; the head's name is for messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cast {
    /// The type that it casts from.
    pub source: String,
    /// The type that it casts to.
    pub target: String,
    /// The function that does it, if it needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<Signature>,
    /// `f` by the function, `i` by way of text, `b` as it is: `pg_cast.castmethod`.
    pub method: char,
    /// `e` where asked for, `a` in assignments too, `i` everywhere: `pg_cast.castcontext`.
    pub context: char,
}

impl Kind for Cast {
    const NAME: &'static str = "cast";
    const CATALOGS: &'static [&'static str] = &["pg_cast"];

    fn query(_server: ServerVersion) -> String {
        let casts = Global {
            class: class::PG_CAST,
            catalog: "pg_cast",
            name: "pg_catalog.format('(%s AS %s)', pg_catalog.format_type(o.castsource, NULL), \
                   pg_catalog.format_type(o.casttarget, NULL))",
            owner: None,
            acl: None,
        };
        casts.query(
            &format!(
                "{source} AS source, {target} AS target, {function} AS function, o.castmethod AS method, \
                 o.castcontext AS context",
                source = type_text("o.castsource"),
                target = type_text("o.casttarget"),
                function = function_signature("o.castfunc"),
            ),
            // That from a range to its multirange comes with the range.
            &format!(
                "NOT EXISTS (SELECT FROM pg_catalog.pg_depend i WHERE i.classid = {} AND i.objid = o.oid \
                 AND i.deptype = 'i')",
                class::PG_CAST
            ),
        )
    }

    fn identity(&self, _head: &Head) -> String {
        format!("CAST ({} AS {})", self.source, self.target)
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let how = match (&self.function, self.method) {
            (_, 'i') => "WITH INOUT".to_owned(),
            (Some(function), 'f') => format!("WITH FUNCTION {}", function.sql()),
            _ => "WITHOUT FUNCTION".to_owned(),
        };
        let context = match self.context {
            'a' => " AS ASSIGNMENT",
            'i' => " AS IMPLICIT",
            _ => "",
        };
        vec![format!("CREATE {} {how}{context}", self.identity(head))]
    }

    fn set_owner(&self, _head: &Head, _owner: &str) -> Option<String> {
        None
    }
}
