//! Publications (`CREATE PUBLICATION`, section 29.1) with their tables and schemas.

use serde::{Deserialize, Serialize};

use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::sql_types::Global;
use crate::pg::{ServerVersion, quote};

/// A publication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// Whether it publishes all tables, those to come too.
    pub all_tables: bool,
    /// The operations that it publishes: `insert`, `update`, `delete`, `truncate`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub publish: Vec<String>,
    /// Whether changes of partitions are published as those of their root.
    #[serde(default)]
    pub via_root: bool,
    /// `n` none, `s` stored: which generated columns it publishes (servers from 18).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated: Option<char>,
    /// The tables that were added one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub tables: Vec<PublishedTable>,
    /// The schemas all of whose tables it publishes (servers from 15).
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub schemas: Vec<String>,
}

/// A table of a publication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedTable {
    /// The table.
    pub id: ObjectId,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The columns, if not all (servers from 15).
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub columns: Vec<String>,
    /// The row filter, an SQL expression (servers from 15).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

impl PublishedTable {
    fn sql(&self) -> String {
        let mut sql = format!("TABLE ONLY {}", quote::qualified(Some(&self.schema), &self.name));
        if !self.columns.is_empty() {
            sql += &format!(" ({})", quote::ident_list(self.columns.iter().map(String::as_str)));
        }
        if let Some(filter) = &self.filter {
            sql += &format!(" WHERE ({filter})");
        }
        sql
    }

    /// Before 15 there are whole tables only; part of one must not become all of it.
    fn known(&self, target: &Target) -> bool {
        target.version.at_least(15) || (self.columns.is_empty() && self.filter.is_none())
    }
}

fn tables(server: ServerVersion) -> String {
    let (columns, filter) = if server.at_least(15) {
        (
            "(SELECT pg_catalog.json_agg(a.attname ORDER BY k.i) FROM pg_catalog.unnest(r.prattrs) WITH ORDINALITY k(n, i) \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = r.prrelid AND a.attnum = k.n)",
            "pg_catalog.pg_get_expr(r.prqual, r.prrelid)",
        )
    } else {
        ("NULL", "NULL")
    };
    format!(
        "(SELECT pg_catalog.json_agg(pg_catalog.json_build_object(\
         'id', pg_catalog.json_build_array({pg_class}, c.oid::pg_catalog.int8), 'schema', n.nspname, 'name', c.relname, \
         'columns', {columns}, 'filter', {filter}) ORDER BY n.nspname, c.relname) \
         FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_class c ON c.oid = r.prrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE r.prpubid = o.oid) AS tables",
        pg_class = class::PG_CLASS
    )
}

/// The schemas; and `also`: the identities of the memberships, so that what they depend on counts for the publication.
fn schemas(server: ServerVersion) -> String {
    let (schemas, also) = if server.at_least(15) {
        (
            "(SELECT pg_catalog.json_agg(n.nspname ORDER BY n.nspname) FROM pg_catalog.pg_publication_namespace s \
             JOIN pg_catalog.pg_namespace n ON n.oid = s.pnnspid WHERE s.pnpubid = o.oid)",
            format!(
                "UNION ALL SELECT {}, s.oid FROM pg_catalog.pg_publication_namespace s WHERE s.pnpubid = o.oid",
                class::PG_PUBLICATION_NAMESPACE
            ),
        )
    } else {
        ("NULL::pg_catalog.json", String::new())
    };
    format!(
        "{schemas} AS schemas, (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(m.class, m.oid::pg_catalog.int8)) \
         FROM (SELECT {rel}, r.oid FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = o.oid {also}) m(class, oid)) AS also",
        rel = class::PG_PUBLICATION_REL
    )
}

impl Publication {
    /// The statements that add to a publication of the same name what it lacks of this one's tables and schemas.
    pub fn additions(&self, head: &Head, there: &Self) -> Vec<String> {
        let identity = self.identity(head);
        let has = |table: &&PublishedTable| {
            there.tables.iter().any(|other| other.schema == table.schema && other.name == table.name)
        };
        let tables = self.tables.iter().filter(|table| !has(table)).map(PublishedTable::sql);
        let schemas = self.schemas.iter().filter(|schema| !there.schemas.contains(schema));
        let schemas = schemas.map(|schema| format!("TABLES IN SCHEMA {}", quote::ident(schema)));
        tables.chain(schemas).map(|member| format!("ALTER {identity} ADD {member}")).collect()
    }
}

impl Publication {
    /// The statement that adds one of its tables to a publication of the same name; none where the target could only add
    /// more of it than was published.
    pub fn addition(&self, head: &Head, table: &PublishedTable, target: &Target) -> Option<String> {
        table.known(target).then(|| format!("ALTER {} ADD {}", self.identity(head), table.sql()))
    }
}

impl Kind for Publication {
    const NAME: &'static str = "publication";
    const CATALOGS: &'static [&'static str] =
        &["pg_publication", "pg_publication_rel", "pg_publication_namespace"];

    fn query(server: ServerVersion) -> String {
        let publications = Global {
            class: class::PG_PUBLICATION,
            catalog: "pg_publication",
            name: "o.pubname",
            owner: Some("o.pubowner"),
            acl: None,
        };
        let generated = if server.at_least(18) { "o.pubgencols" } else { "NULL::pg_catalog.text" };
        publications.query(
            &format!(
                "o.puballtables AS all_tables, pg_catalog.to_json(pg_catalog.array_remove(ARRAY[\
                 CASE WHEN o.pubinsert THEN 'insert' END, CASE WHEN o.pubupdate THEN 'update' END, \
                 CASE WHEN o.pubdelete THEN 'delete' END, CASE WHEN o.pubtruncate THEN 'truncate' END], NULL)) AS publish, \
                 o.pubviaroot AS via_root, {generated} AS generated, {tables}, {schemas}",
                tables = tables(server),
                schemas = schemas(server),
            ),
            "true",
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("PUBLICATION {}", quote::ident(&head.name))
    }

    fn create(&self, head: &Head, target: &Target) -> Vec<String> {
        let identity = self.identity(head);
        let all = if self.all_tables { " FOR ALL TABLES" } else { "" };
        let mut options = vec![format!("publish = {}", quote::literal(&self.publish.join(", ")))];
        if self.via_root {
            options.push("publish_via_partition_root = true".to_owned());
        }
        if self.generated == Some('s') && target.version.at_least(18) {
            options.push("publish_generated_columns = stored".to_owned());
        }
        let mut statements = vec![format!("CREATE {identity}{all} WITH ({})", options.join(", "))];
        let tables = self.tables.iter().filter(|table| table.known(target)).map(PublishedTable::sql);
        let schemas = self.schemas.iter().filter(|_| target.version.at_least(15));
        let schemas = schemas.map(|schema| format!("TABLES IN SCHEMA {}", quote::ident(schema)));
        statements.extend(tables.chain(schemas).map(|member| format!("ALTER {identity} ADD {member}")));
        statements
    }
}
