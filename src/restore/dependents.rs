//! What uses a chosen table and is gone with it: views, and functions of its rows. They are not what the table needs, so that they
//! do not come along; but whoever brings a dropped table back wants to know of them.

use std::collections::BTreeSet;

use crate::catalog::ident::ObjectId;
use crate::catalog::model::{Entry, Model};
use crate::error::Result;
use crate::pg::Session;
use crate::pg::quote::{literal, printable, unquoted};
use crate::plan::choose::is_relation;

/// Something of the archive that may use a relation.
#[derive(Debug)]
pub(super) struct User {
    ids: Vec<ObjectId>,
    uses: Vec<ObjectId>,
    schema: String,
    name: String,
    /// For people.
    identity: String,
}

/// All that may use relations, before some of it is chosen.
pub(super) fn users(model: &Model) -> Vec<User> {
    let may_use = |entry: &&Entry| {
        let kind = entry.object.kind();
        is_relation(kind) && kind != "sequence" || matches!(kind, "function" | "procedure" | "aggregate")
    };
    let user = |entry: &Entry| {
        let Entry { head, object } = entry;
        Some(User {
            ids: head.ids().collect(),
            uses: head.depends.iter().chain(&head.detached_depends).copied().collect(),
            schema: head.schema.clone()?,
            name: head.name.clone(),
            identity: unquoted(&printable(&object.identity(head))),
        })
    };
    model.entries.iter().filter(may_use).filter_map(user).collect()
}

/// Those of them that use what was chosen, are not chosen, and that the target lacks; `needed` is there or comes for others.
pub(super) async fn lost(
    users: Vec<User>,
    chosen: &Model,
    needed: &BTreeSet<ObjectId>,
    target: &Session,
) -> Result<Vec<String>> {
    let kept: BTreeSet<ObjectId> = chosen.entries.iter().flat_map(|entry| entry.head.ids()).collect();
    let wanted = chosen
        .entries
        .iter()
        .filter(|entry| is_relation(entry.object.kind()) && !needed.contains(&entry.head.id));
    let mut used: BTreeSet<ObjectId> = wanted.flat_map(|entry| entry.head.ids()).collect();
    let mut open: Vec<User> =
        users.into_iter().filter(|user| !user.ids.iter().any(|id| kept.contains(id))).collect();
    let mut found = Vec::new();
    loop {
        let (more, rest): (Vec<User>, Vec<User>) =
            open.into_iter().partition(|user| user.uses.iter().any(|id| used.contains(id)));
        open = rest;
        if more.is_empty() {
            break;
        }
        used.extend(more.iter().flat_map(|user| user.ids.iter().copied()));
        found.extend(more);
    }
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let row =
        |(at, user): (usize, &User)| format!("({at}, {}, {})", literal(&user.schema), literal(&user.name));
    let rows: Vec<String> = found.iter().enumerate().map(row).collect();
    let sql = format!(
        "SELECT v.at FROM (VALUES {}) v(at, schema, name) JOIN pg_catalog.pg_namespace n ON n.nspname = v.schema \
         WHERE EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relname = v.name) \
         OR EXISTS (SELECT FROM pg_catalog.pg_proc p WHERE p.pronamespace = n.oid AND p.proname = v.name)",
        rows.join(", ")
    );
    let there = target.query_text(&sql).await?.into_iter().flatten().flatten();
    let there: BTreeSet<usize> = there.filter_map(|at| at.parse().ok()).collect();
    let gone = found.into_iter().enumerate().filter(|(at, _)| !there.contains(at));
    Ok(gone.map(|(_, user)| user.identity).collect())
}
