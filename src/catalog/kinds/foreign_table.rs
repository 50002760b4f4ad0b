//! Foreign tables (`CREATE FOREIGN TABLE`), also as children and partitions of tables. Their rows lie elsewhere.

use serde::{Deserialize, Serialize};

use super::column::Column;
use super::table::Table;
use super::table_query;
use crate::catalog::acl::{AclClass, AclItem};
use crate::catalog::facts::Presence;
use crate::catalog::ident::ObjectId;
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::sql_types::{NamedValue, options, options_clause};
use crate::pg::ServerVersion;
use crate::pg::quote::ident;

/// A foreign table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignTable {
    /// What it has in common with a table.
    #[serde(flatten)]
    pub table: Table,
    /// The foreign server.
    pub server: String,
    /// The options.
    #[serde(default, deserialize_with = "null_as_default")]
    pub wrapper_options: Vec<NamedValue>,
}

impl Kind for ForeignTable {
    const NAME: &'static str = "foreign table";
    const CATALOGS: &'static [&'static str] =
        &["pg_foreign_table", "pg_class", "pg_attribute", "pg_attrdef", "pg_inherits", "pg_constraint"];
    const ONLY_WITH: Option<Presence> = Some(Presence::Relations(b'f'));

    fn query(server: ServerVersion) -> String {
        let columns = format!("fs.srvname AS server, {} AS wrapper_options, ", options("ft.ftoptions"));
        let joins = "JOIN pg_catalog.pg_foreign_table ft ON ft.ftrelid = c.oid \
                     JOIN pg_catalog.pg_foreign_server fs ON fs.oid = ft.ftserver";
        table_query::query(server, "'f'", &columns, joins)
    }

    fn identity(&self, head: &Head) -> String {
        format!("FOREIGN TABLE {}", head.qualified())
    }

    fn acl_target(&self, head: &Head) -> Option<(AclClass, String)> {
        self.table.acl_target(head)
    }

    fn column_acls(&self) -> Vec<(String, Vec<AclItem>)> {
        self.table.column_acls()
    }

    fn column_name(&self, number: i16) -> Option<String> {
        self.table.column_name(number)
    }

    fn create(&self, head: &Head, target: &Target) -> Vec<String> {
        self.table.create_from(self.create_table(head, true), head, target)
    }

    fn detached_ids(&self) -> Vec<ObjectId> {
        self.table.detached_ids()
    }

    fn create_without_detached(&self, head: &Head, target: &Target) -> Vec<String> {
        self.table.create_bare_from(self.create_table(head, false), head, target)
    }

    fn create_detached(&self, head: &Head, target: &Target) -> Vec<String> {
        self.table.create_detached(head, target)
    }

    fn partition_of(&self) -> Option<ObjectId> {
        self.table.partition_of()
    }

    fn columns(&self) -> &[Column] {
        &self.table.columns
    }

    fn columns_mut(&mut self) -> &mut [Column] {
        &mut self.table.columns
    }
}

impl ForeignTable {
    fn create_table(&self, head: &Head, checks: bool) -> String {
        let table = self.table.create_as("FOREIGN TABLE", head, checks);
        format!("{table} SERVER {}{}", ident(&self.server), options_clause(&self.wrapper_options))
    }
}
