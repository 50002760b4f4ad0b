//! Materialized views (`CREATE MATERIALIZED VIEW`): made empty, filled when all rows and privileges are there.

use serde::{Deserialize, Serialize};

use super::column::Column;
use super::view;
use crate::catalog::acl::{AclClass, AclItem};
use crate::catalog::facts::Presence;
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::mend::mend;
use crate::catalog::sql;
use crate::pg::ServerVersion;
use crate::pg::quote::ident;

/// A materialized view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaterializedView {
    /// Its columns.
    #[serde(default, deserialize_with = "null_as_default")]
    pub columns: Vec<Column>,
    /// The query, as the server writes it, without the last semicolon.
    pub query: String,
    /// Storage parameters.
    #[serde(default, deserialize_with = "null_as_default")]
    pub options: Vec<String>,
    /// It has been filled.
    pub populated: bool,
    /// The access method, where it is not `heap`.
    #[serde(default)]
    pub access_method: Option<String>,
    /// The tablespace, where it is not the database's.
    #[serde(default)]
    pub tablespace: Option<String>,
}

impl Kind for MaterializedView {
    const NAME: &'static str = "materialized view";
    const CATALOGS: &'static [&'static str] = &["pg_class", "pg_rewrite", "pg_attribute"];
    const ONLY_WITH: Option<Presence> = Some(Presence::Relations(b'm'));

    fn query(server: ServerVersion) -> String {
        format!(
            "SELECT {head}, c.relispopulated AS populated, CASE WHEN am.amname <> 'heap' THEN am.amname END AS access_method, ts.spcname AS tablespace, \
               pg_catalog.array_to_json(c.reloptions OPERATOR(pg_catalog.||) (SELECT pg_catalog.array_agg('toast.' || o) FROM pg_catalog.pg_class tc, \
                 pg_catalog.unnest(tc.reloptions) o WHERE tc.oid = c.reltoastrelid)) AS options \
             FROM {from} LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam LEFT JOIN pg_catalog.pg_tablespace ts ON ts.oid = c.reltablespace \
             WHERE c.relkind = 'm' AND {scope}",
            head = view::head_sql(server),
            from = view::FROM,
            scope = view::scope(),
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("MATERIALIZED VIEW {}", head.qualified())
    }

    fn acl_target(&self, head: &Head) -> Option<(AclClass, String)> {
        Some((AclClass::Table, format!("TABLE {}", head.qualified())))
    }

    fn column_acls(&self) -> Vec<(String, Vec<AclItem>)> {
        self.columns.iter().filter_map(|c| Some((c.name.clone(), c.acl.clone()?))).collect()
    }

    fn column_name(&self, number: i16) -> Option<String> {
        self.columns.iter().find(|column| column.number == number).map(|column| column.name.clone())
    }

    fn tablespace(&self) -> Option<String> {
        self.tablespace.clone()
    }

    fn forget_tablespace(&mut self) {
        self.tablespace = None;
    }

    fn access_method(&self) -> Option<String> {
        self.access_method.clone()
    }

    fn create(&self, head: &Head, target: &Target) -> Vec<String> {
        let name = head.qualified();
        let method = self.access_method.as_ref().map(|m| format!(" USING {}", ident(m))).unwrap_or_default();
        let with = if self.options.is_empty() {
            String::new()
        } else {
            format!(" WITH ({})", sql::options(&self.options))
        };
        let space = self.tablespace.as_ref().map(|t| format!(" TABLESPACE {}", ident(t))).unwrap_or_default();
        let mut out = vec![format!(
            "CREATE MATERIALIZED VIEW {name}{method}{with}{space} AS\n{}\n  WITH NO DATA",
            mend(&self.query)
        )];
        for column in &self.columns {
            // Only what ALTER MATERIALIZED VIEW takes: storage, statistics, options.
            let bare = Column { identity: None, not_null: false, ..column.clone() };
            out.extend(bare.attributes(&name, true, target));
        }
        out
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn columns_mut(&mut self) -> &mut [Column] {
        &mut self.columns
    }

    fn is_filled(&self) -> bool {
        self.populated
    }
}
