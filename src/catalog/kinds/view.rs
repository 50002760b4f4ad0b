//! Views (`CREATE VIEW`). A view in a circle of dependencies is first made as an empty one with the same columns.

use serde::{Deserialize, Serialize};

use super::column::Column;
use crate::catalog::acl::{AclClass, AclItem};
use crate::catalog::facts::Presence;
use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::mend::mend;
use crate::catalog::sql;
use crate::pg::ServerVersion;
use crate::pg::quote::{ident, ident_list};

/// A view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Its columns.
    #[serde(default, deserialize_with = "null_as_default")]
    pub columns: Vec<Column>,
    /// The query, as the server writes it, without the last semicolon.
    pub query: String,
    /// The rule that makes it a view.
    pub rule: ObjectId,
    /// Options: `security_barrier`, `security_invoker`, `check_option`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub options: Vec<String>,
}

impl Kind for View {
    const NAME: &'static str = "view";
    const CATALOGS: &'static [&'static str] = &["pg_class", "pg_rewrite", "pg_attribute", "pg_attrdef"];
    const ONLY_WITH: Option<Presence> = Some(Presence::Relations(b'v'));

    fn query(server: ServerVersion) -> String {
        format!(
            "SELECT {head}, pg_catalog.array_to_json(c.reloptions) AS options FROM {from} WHERE c.relkind = 'v' AND c.relpersistence <> 't' AND {scope}",
            head = head_sql(server),
            from = FROM,
            scope = scope(),
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("VIEW {}", head.qualified())
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

    fn inexpressible(&self, version: ServerVersion) -> Option<&'static str> {
        let invoker = self.options.iter().any(|option| option.starts_with("security_invoker="));
        (invoker && !version.at_least(15)).then_some("security_invoker, which PostgreSQL 15 brought")
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let mut out = vec![self.define("CREATE VIEW", head)];
        out.extend(self.defaults(head));
        out
    }

    fn detached_ids(&self) -> Vec<ObjectId> {
        vec![self.rule]
    }

    fn create_without_detached(&self, head: &Head, _target: &Target) -> Vec<String> {
        let column = |column: &Column| {
            let collation =
                column.collation.as_ref().map(|name| format!(" COLLATE {name}")).unwrap_or_default();
            format!("NULL::{}{collation} AS {}", column.type_name, ident(&column.name))
        };
        let columns: Vec<String> = self.columns.iter().map(column).collect();
        vec![format!("CREATE VIEW {} AS SELECT {}", head.qualified(), columns.join(", "))]
    }

    fn create_detached(&self, head: &Head, _target: &Target) -> Vec<String> {
        let mut out = vec![self.define("CREATE OR REPLACE VIEW", head)];
        out.extend(self.defaults(head));
        out
    }
}

impl View {
    fn define(&self, create: &str, head: &Head) -> String {
        let check = self.options.iter().find_map(|option| option.strip_prefix("check_option="));
        let options: Vec<String> =
            self.options.iter().filter(|option| !option.starts_with("check_option=")).cloned().collect();
        let with =
            if options.is_empty() { String::new() } else { format!(" WITH ({})", sql::options(&options)) };
        let check = match check {
            Some(kind) => format!("\n  WITH {} CHECK OPTION", kind.to_uppercase()),
            None => String::new(),
        };
        format!("{create} {}{with} AS\n{}{check}", head.qualified(), mend(&self.query))
    }

    /// Defaults of columns, for inserts through the view.
    fn defaults(&self, head: &Head) -> Vec<String> {
        let with = self.columns.iter().filter_map(|column| Some((column, column.default.as_ref()?)));
        with.map(|(column, default)| {
            format!(
                "ALTER VIEW {} ALTER COLUMN {} SET DEFAULT {default}",
                head.qualified(),
                ident(&column.name)
            )
        })
        .collect()
    }

    /// The names of its columns, for a column list.
    pub fn column_list(&self) -> String {
        ident_list(self.columns.iter().map(|column| column.name.as_str()))
    }
}

/// The tables of a view's query.
pub(super) const FROM: &str = "pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_catalog.pg_rewrite r ON r.ev_class = c.oid AND r.rulename = '_RETURN'";

/// Which views are users' own.
pub(super) fn scope() -> String {
    format!(
        "{} AND {} ORDER BY n.nspname, c.relname",
        sql::user_schema("c.relnamespace"),
        sql::not_extension_member(class::PG_CLASS, "c.oid")
    )
}

/// The columns of a view's query that views and materialized views share.
pub(super) fn head_sql(server: ServerVersion) -> String {
    format!(
        "{id}, n.nspname AS schema, c.relname AS name, {owner}, {acl}, {columns} AS columns, \
         pg_catalog.rtrim(pg_catalog.pg_get_viewdef(c.oid), ';') AS query, \
         pg_catalog.json_build_array({rewrite}, r.oid::pg_catalog.int8) AS rule, \
         (SELECT pg_catalog.json_agg(i.id) FROM (\
           SELECT pg_catalog.json_build_array({rewrite}, r.oid::pg_catalog.int8) AS id \
           UNION ALL SELECT pg_catalog.json_build_array({pg_type}, c.reltype::pg_catalog.int8) \
           UNION ALL SELECT pg_catalog.json_build_array({attrdef}, d.oid::pg_catalog.int8) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = c.oid \
           UNION ALL SELECT pg_catalog.json_build_array({pg_type}, t.typarray::pg_catalog.int8) FROM pg_catalog.pg_type t WHERE t.oid = c.reltype AND t.typarray <> 0) i) AS also",
        id = sql::id(class::PG_CLASS, "c.oid"),
        owner = sql::owner("c.relowner"),
        acl = sql::acl("c.relacl"),
        columns = Column::json("c", server),
        rewrite = class::PG_REWRITE,
        pg_type = class::PG_TYPE,
        attrdef = class::PG_ATTRDEF,
    )
}
