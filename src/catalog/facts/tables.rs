//! Tables get their columns, and the constraints that are created with them.

use std::collections::HashMap;

use super::attributes::{Attribute, Own};
use super::classes::{Class, Classes};
use super::constraints::{Constraint, Constraints};
use super::defaults::Defaults;
use super::relations::table_mut;
use super::texts::Texts;
use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kinds::column::{Column, Identity, NotNull};
use crate::catalog::kinds::table::{Check, Table};
use crate::catalog::model::Entry;
use crate::catalog::registry::Object;

/// The entries of tables, still without what is read elsewhere, in the order of their names.
///
/// # Errors
/// When what few tables have is of another form.
pub(super) fn entries(classes: &Classes) -> Result<Vec<Entry>, String> {
    let entry = |class: &Class| {
        let usual = || Table { replica_identity: "d".to_owned(), ..Table::default() };
        let table = class.unusual.as_deref().map_or_else(|| Ok(usual()), serde_json::from_str);
        let table = Table {
            unlogged: class.unlogged,
            options: classes.table_options(class),
            tablespace: class.tablespace.clone(),
            ..table.map_err(|error| format!("{error} in {:?}", class.unusual))?
        };
        Ok(Entry { head: classes.table_head(class), object: Object::Table(table) })
    };
    classes.of_kinds(b"rp").into_iter().map(entry).collect()
}

/// What tables are made of.
pub(super) struct Parts<'a> {
    pub(super) defaults: &'a Defaults,
    pub(super) default_texts: &'a Texts,
    pub(super) constraints: &'a Constraints,
    pub(super) constraint_texts: &'a Texts,
    pub(super) identities: &'a HashMap<(u32, i16), Identity>,
    pub(super) comments: &'a HashMap<ObjectId, String>,
}

/// Whether an entry is of a table, which is still to be completed.
pub(super) fn is_open(entry: &Entry) -> bool {
    matches!(entry.object, Object::Table(_) | Object::ForeignTable(_))
}

impl Parts<'_> {
    /// Gives a table what is its own; other entries are left as they are.
    ///
    /// # Errors
    /// When a constraint's text or column is missing.
    pub(super) fn complete(&self, entry: &mut Entry, mut own: Own) -> Result<(), String> {
        let Entry { head, object } = entry;
        let Some(table) = table_mut(object) else { return Ok(()) };
        for Attribute { column, .. } in &mut own.columns {
            column.default_id = self.defaults.id(head.id.oid, column.number);
            if let Some(id) = column.default_id {
                column.default = Some(self.default_texts.text(id.oid)?.to_owned());
                head.also.push(id);
            }
        }
        let partition = table.partition.is_some();
        let mut not_nulls = Vec::new();
        for constraint in self.constraints.of(head.id.oid) {
            let id = ObjectId::new(class::PG_CONSTRAINT, constraint.oid);
            let comment = self.comments.get(&id).cloned();
            let inline = constraint.is_inline(partition);
            if inline {
                head.also.push(id);
            }
            if constraint.kind == b'n' {
                let of = Of { constraints: self.constraints, table: &head.name, own: &own };
                not_nulls.extend(of.not_null(constraint, comment)?);
            } else if inline {
                let (name, definition) =
                    (constraint.name.clone(), self.constraint_texts.text(constraint.oid)?.to_owned());
                table.checks.push(Check { id, name, definition, local: constraint.local, comment });
            }
        }
        table.checks.sort_by(|a, b| a.name.cmp(&b.name));
        not_nulls.sort_by_key(|(number, _)| *number);
        table.not_nulls = not_nulls.into_iter().map(|(_, not_null)| not_null).collect();
        table.system_acls = own.system_acls.drain(..).map(|(_, acl)| acl).collect();
        let relation = head.id.oid;
        table.columns = own.columns.into_iter().map(|attribute| self.column(relation, attribute)).collect();
        Ok(())
    }

    /// The column, with its identity. That of a partition's is the partitioned table's.
    fn column(&self, relation: u32, attribute: Attribute) -> Column {
        let Attribute { mut column, identity, .. } = attribute;
        let sequence = self.identities.get(&(relation, column.number));
        column.identity =
            identity.zip(sequence).map(|(when, sequence)| Identity { when, ..sequence.clone() });
        column
    }
}

/// What a table's NOT NULL constraint stands among.
struct Of<'a> {
    constraints: &'a Constraints,
    table: &'a str,
    own: &'a Own,
}

impl Of<'_> {
    /// A NOT NULL constraint, with its column's number; none for those that `NOT NULL` says it all about, which most are.
    fn not_null(
        &self,
        constraint: &Constraint,
        comment: Option<String>,
    ) -> Result<Option<(i16, NotNull)>, String> {
        let Constraint { name, local, valid, no_inherit, invalid_above, .. } = constraint;
        let attribute = constraint.columns.first().and_then(|number| self.own.column(*number));
        let column = &attribute.ok_or_else(|| format!("no column of the constraint {name}"))?.column;
        let default_name = self.constraints.is_default_name(constraint, self.table, &column.name);
        if *valid && !no_inherit && *local && column.local && comment.is_none() && default_name {
            return Ok(None);
        }
        let not_null = NotNull {
            name: name.clone(),
            column: column.name.clone(),
            default_name,
            no_inherit: *no_inherit,
            invalid: !valid,
            local: *local || *invalid_above,
            inherited: *invalid_above,
            comment,
        };
        Ok(Some((column.number, not_null)))
    }
}
