//! Relations, in one pass over `pg_class`: each takes a while, and there are always more rows than
//! relations that anybody made.

use std::collections::{HashMap, HashSet};

use crate::catalog::acl::AclItem;
use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::Head;
use crate::catalog::kinds::table_query;
use crate::catalog::sql;
use crate::pg::{PgError, Row, ServerVersion, Session};

/// A relation.
#[derive(Debug)]
pub struct Class {
    /// Its OID.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `relkind`
    pub kind: u8,
    owner: Option<String>,
    acl: Option<Vec<AclItem>>,
    /// `reltype`; 0 for those without.
    row_type: u32,
    /// `reltoastrelid`
    toast: u32,
    /// `UNLOGGED`
    pub unlogged: bool,
    /// `relam`
    pub access_method: u32,
    /// The tablespace, where it is not the database's.
    pub tablespace: Option<String>,
    /// It is a partition, or part of an index of a partitioned table.
    pub partition: bool,
    /// An extension made it.
    pub member: bool,
    /// Storage parameters.
    pub options: Vec<String>,
    /// Of a table: JSON of what few tables have (`kinds/table_query.rs` writes it).
    pub unusual: Option<String>,
}

/// The relations of users' schemas.
#[derive(Debug, Default)]
pub struct Classes {
    all: HashMap<u32, Class>,
    /// Storage parameters of TOAST tables.
    toast_options: HashMap<u32, Vec<String>>,
    /// The arrays of relations' row types.
    arrays: HashMap<u32, u32>,
    /// The sorts of types that there are.
    types: HashSet<u8>,
    /// Of indexes that are part of another, that.
    parents: HashMap<u32, u32>,
}

impl Classes {
    /// Reads them.
    ///
    /// # Errors
    /// Those of the queries.
    pub async fn read(session: &Session) -> Result<Self, PgError> {
        let mut read = Self::default();
        session.each_row(&query(session.version()), |row| read.push(row)).await?;
        session
            .each_row(&types_query(), |row| {
                read.types.insert(row.letter(0)?);
                let relation = row.parsed(1)?;
                if relation != 0 {
                    read.arrays.insert(relation, row.parsed(2)?);
                }
                Ok(())
            })
            .await?;
        session
            .each_row(PARENTS, |row| {
                read.parents.insert(row.parsed(0)?, row.parsed(1)?);
                Ok(())
            })
            .await?;
        Ok(read)
    }

    fn push(&mut self, row: &Row<'_>) -> Result<(), String> {
        let class = Class::new(row)?;
        if class.kind == b't' {
            self.toast_options.insert(class.oid, class.options);
        } else {
            self.all.insert(class.oid, class);
        }
        Ok(())
    }

    /// The relation with this OID.
    pub fn get(&self, oid: u32) -> Option<&Class> {
        self.all.get(&oid)
    }

    /// Whether there are any of a kind.
    pub(super) fn has_kind(&self, kind: u8) -> bool {
        self.all.values().any(|class| class.kind == kind)
    }

    /// Whether there are types of a sort.
    pub(super) fn has_type(&self, sort: u8) -> bool {
        self.types.contains(&sort)
    }

    /// Those of a kind that no extension made, in the order of their names.
    pub fn of_kinds(&self, kinds: &[u8]) -> Vec<&Class> {
        let wanted = |class: &&Class| kinds.contains(&class.kind) && !class.member;
        let mut found: Vec<&Class> = self.all.values().filter(wanted).collect();
        found.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
        found
    }

    /// The index that an index is part of, if it is.
    pub fn parent(&self, class: &Class) -> Option<u32> {
        self.parents.get(&class.oid).copied().filter(|_| class.partition)
    }

    /// What a table's head is: its row type and the array of it stand for it.
    pub fn table_head(&self, table: &Class) -> Head {
        let types = [Some(table.row_type), self.arrays.get(&table.oid).copied()].into_iter().flatten();
        Head { also: types.map(|oid| ObjectId::new(class::PG_TYPE, oid)).collect(), ..table.head() }
    }

    /// A table's storage parameters, those of its TOAST table among them.
    pub fn table_options(&self, table: &Class) -> Vec<String> {
        let toast = self.toast_options.get(&table.toast).into_iter().flatten();
        table.options.iter().cloned().chain(toast.map(|option| format!("toast.{option}"))).collect()
    }
}

impl Class {
    fn new(row: &Row<'_>) -> Result<Self, String> {
        let json = |error: serde_json::Error| error.to_string();
        Ok(Self {
            oid: row.parsed(0)?,
            schema: row.text(1)?.to_owned(),
            name: row.text(2)?.to_owned(),
            kind: row.letter(3)?,
            owner: row.get(4)?.map(str::to_owned),
            acl: row.get(5)?.map(serde_json::from_str).transpose().map_err(json)?,
            row_type: row.parsed(6)?,
            toast: row.parsed(7)?,
            unlogged: row.letter(8)? == b'u',
            access_method: row.parsed(9)?,
            tablespace: row.get(10)?.map(str::to_owned),
            partition: row.flag(11)?,
            member: row.flag(12)?,
            options: row.get(13)?.map(serde_json::from_str).transpose().map_err(json)?.unwrap_or_default(),
            unusual: row.get(14)?.map(str::to_owned),
        })
    }

    /// Its identity.
    pub fn id(&self) -> ObjectId {
        ObjectId::new(class::PG_CLASS, self.oid)
    }

    /// What its entry's head is.
    pub fn head(&self) -> Head {
        let head = Head::new(self.id(), &self.schema, &self.name);
        Head { owner: self.owner.clone(), acl: self.acl.clone(), ..head }
    }
}

/// The query. Of TOAST tables, only those that have storage parameters; an index has no owner but its table's.
fn query(server: ServerVersion) -> String {
    format!(
        "SELECT c.oid, n.nspname, c.relname, c.relkind, CASE WHEN c.relkind NOT IN ('i', 'I') THEN pg_catalog.pg_get_userbyid(c.relowner) END, \
           {acl}, c.reltype, c.reltoastrelid, c.relpersistence, c.relam, ts.spcname, c.relispartition, NOT ({own}), \
           CASE WHEN c.reloptions IS NOT NULL THEN pg_catalog.array_to_json(c.reloptions) END, \
           CASE WHEN c.relkind IN ('r', 'p') THEN {unusual} END \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_tablespace ts ON ts.oid = c.reltablespace \
         WHERE c.relkind <> 't' AND c.relpersistence <> 't' AND {user} \
           OR c.relkind = 't' AND c.reloptions IS NOT NULL",
        acl = sql::acl("c.relacl"),
        own = sql::not_extension_member(class::PG_CLASS, "c.oid"),
        unusual = table_query::unusual(server),
        user = sql::user_schema("c.relnamespace"),
    )
}

/// The query of types that have an array type, as all have but arrays, and those that are not defined yet.
fn types_query() -> String {
    format!(
        "SELECT t.typtype, t.typrelid, t.typarray FROM pg_catalog.pg_type t WHERE (t.typarray <> 0 OR t.typtype = 'p') AND {}",
        sql::user_schema("t.typnamespace")
    )
}

/// Of tables too; an index has one parent.
const PARENTS: &str = "SELECT h.inhrelid, h.inhparent FROM pg_catalog.pg_inherits h";
