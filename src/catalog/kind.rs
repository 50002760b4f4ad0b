//! The contract of one kind of catalog object, and what any object may carry.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::acl::{AclClass, AclItem};
use super::facts::Presence;
use super::ident::ObjectId;
use super::kinds::column::Column;
use crate::pg::ServerVersion;
use crate::pg::quote;

/// What every object has, whatever its kind. All but `comment`, `labels` and `depends` come from columns of the
/// kind's own query; those three are read for all kinds at once and attached by identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The identity in the source database.
    pub id: ObjectId,
    /// Other identities that stand for the same object in `pg_depend`: a table's row type and its array, a view's
    /// `_RETURN` rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub also: Vec<ObjectId>,
    /// The schema, for objects that live in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The name, not quoted.
    pub name: String,
    /// The owner's role name, not quoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The privileges, in the order of the server's array; `None` means the kind's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl: Option<Vec<AclItem>>,
    /// The comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Comments of columns, by attribute number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub column_comments: Vec<(i16, String)>,
    /// Security labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<SecurityLabel>,
    /// Extensions that take it along when they are dropped (`ALTER … DEPENDS ON EXTENSION`), by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
    /// What must exist before this object.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub depends: Vec<ObjectId>,
    /// What must exist before the parts that can be made later; see [`Kind::detached_ids`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detached_depends: Vec<ObjectId>,
}

impl Head {
    /// What an object of a schema has of its own that has neither an owner nor privileges.
    pub fn new(id: ObjectId, schema: &str, name: &str) -> Self {
        Self {
            id,
            also: Vec::new(),
            schema: Some(schema.to_owned()),
            name: name.to_owned(),
            owner: None,
            acl: None,
            comment: None,
            column_comments: Vec::new(),
            labels: Vec::new(),
            extensions: Vec::new(),
            depends: Vec::new(),
            detached_depends: Vec::new(),
        }
    }

    /// The quoted, qualified name.
    pub fn qualified(&self) -> String {
        quote::qualified(self.schema.as_deref(), &self.name)
    }
}

/// One security label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityLabel {
    /// The label provider.
    pub provider: String,
    /// The label.
    pub label: String,
    /// The column's attribute number, 0 for the object itself.
    #[serde(default)]
    pub column: i16,
}

impl SecurityLabel {
    /// The statement that sets it on an object, or on a column of one, named as `SECURITY LABEL … ON` does.
    pub fn set(&self, on: &str) -> String {
        let (provider, label) = (quote::ident(&self.provider), quote::literal(&self.label));
        format!("SECURITY LABEL FOR {provider} ON {on} IS {label}")
    }
}

/// What SQL is made for.
#[derive(Debug, Clone)]
pub struct Target {
    /// The target server's version: nothing is emitted that it does not know.
    pub version: ServerVersion,
    /// The version of the server that the objects come from.
    pub source: ServerVersion,
    /// Whether a superuser runs the statements.
    pub superuser: bool,
}

/// One kind of object. Implementations hold no state but what is stored in the archive.
///
/// The struct is at once the row of [`Kind::query`] (rows arrive as JSON objects) and what the archive stores, so its
/// fields are `#[serde(default)]` wherever an older archive or an older server may lack them.
pub trait Kind: Sized + Serialize + DeserializeOwned {
    /// The kind as messages and the table of contents call it: "materialized view".
    const NAME: &'static str;

    /// The catalogs whose rows this kind reads, in full or in part: "`pg_class`".
    const CATALOGS: &'static [&'static str];

    /// A database without any of these has no objects of this kind: its query is not asked then. None for kinds that are
    /// always asked for.
    const ONLY_WITH: Option<Presence> = None;

    /// The one query that reads all objects of this kind that users made (no members of extensions, nothing of
    /// `pg_catalog`, `information_schema` or temporary schemas).
    ///
    /// Its columns are named as the fields of [`Head`] (`id` as `json_build_array(class, oid)`, `also`, `schema`,
    /// `name`, `owner`, `acl`; see [`super::sql`] for the fragments) and as the fields of the struct. Each name is
    /// qualified with `pg_catalog`, OIDs are cast to `int8`, and the whole is wrapped by the reader with
    /// `SELECT to_json(q) FROM (…) q`.
    ///
    /// Empty for kinds of which a database may have so many that they are put together from plain rows: [`super::facts`].
    fn query(server: ServerVersion) -> String;

    /// The object as `COMMENT ON`, `DROP`, `ALTER … OWNER TO` name it: `FUNCTION "s"."f"(integer)`.
    fn identity(&self, head: &Head) -> String;

    /// The statements that create the object, without owner, privileges, comments and labels, in order.
    fn create(&self, head: &Head, target: &Target) -> Vec<String>;

    /// The statement that drops the object.
    fn drop(&self, head: &Head) -> String {
        format!("DROP {}", self.identity(head))
    }

    /// The statement that gives the object to `owner`, for kinds that have one.
    fn set_owner(&self, head: &Head, owner: &str) -> Option<String> {
        Some(format!("ALTER {} OWNER TO {}", self.identity(head), quote::ident(owner)))
    }

    /// The statement that comments on the object; `None` for kinds that bear no comments.
    fn set_comment(&self, head: &Head, comment: &str) -> Option<String> {
        Some(format!("COMMENT ON {} IS {}", self.identity(head), quote::literal(comment)))
    }

    /// The class of its privileges, and how `GRANT … ON` names it; `None` for kinds that have none.
    fn acl_target(&self, _head: &Head) -> Option<(AclClass, String)> {
        None
    }

    /// Privileges of columns, by their names.
    fn column_acls(&self) -> Vec<(String, Vec<AclItem>)> {
        Vec::new()
    }

    /// The name of the column with this attribute number.
    fn column_name(&self, _number: i16) -> Option<String> {
        None
    }

    /// Identities, among [`Head::also`], of parts that [`Kind::create_detached`] can make later, when objects depend on
    /// one another in a circle: column defaults, check constraints, a view's query.
    fn detached_ids(&self) -> Vec<ObjectId> {
        Vec::new()
    }

    /// Its columns, for relations that have them.
    fn columns(&self) -> &[Column] {
        &[]
    }

    /// Its columns, to be changed.
    fn columns_mut(&mut self) -> &mut [Column] {
        &mut []
    }

    /// What of the object cannot be carried over, a sentence each.
    fn warnings(&self, _head: &Head) -> Vec<String> {
        Vec::new()
    }

    /// What of the object a server of this version cannot have: "a postfix operator, which PostgreSQL 14 removed".
    fn inexpressible(&self, _version: ServerVersion) -> Option<&'static str> {
        None
    }

    /// As [`Kind::create`], without what [`Kind::create_detached`] makes.
    fn create_without_detached(&self, head: &Head, target: &Target) -> Vec<String> {
        self.create(head, target)
    }

    /// What [`Kind::create_without_detached`] left out.
    fn create_detached(&self, _head: &Head, _target: &Target) -> Vec<String> {
        Vec::new()
    }

    /// The table that this one is a partition of.
    fn partition_of(&self) -> Option<ObjectId> {
        None
    }

    /// The tablespace that it names.
    fn tablespace(&self) -> Option<String> {
        None
    }

    /// Forgets that tablespace: the object is created where the database is.
    fn forget_tablespace(&mut self) {}

    /// Roles that it names besides those of its head and of its columns' privileges.
    fn roles(&self) -> Vec<&str> {
        Vec::new()
    }

    /// The access method that it names, for relations.
    fn access_method(&self) -> Option<String> {
        None
    }

    /// Whether the object is filled by a query after it was created.
    fn is_filled(&self) -> bool {
        false
    }

    /// Whether all rows must be loaded before this object is created: it calls a function that may read any table.
    fn after_all_data(&self) -> bool {
        false
    }

    /// Relations whose rows must be loaded before this object is created: an index waits for its table's data.
    fn after_data_of(&self) -> Vec<ObjectId> {
        Vec::new()
    }
}

/// `null` where a list is expected means the empty list: aggregates over no rows are null in SQL.
pub fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
