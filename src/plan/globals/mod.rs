//! What is to be done at a server so that it has the roles and tablespaces of an archive: which of them are wanted, what is
//! missing, what is there and differs, what the restoring role may not do.
//!
//! What is missing is created. What is there is left as it is, and told by name where the archive says otherwise; on request
//! it is altered. Nothing is ever taken away but attributes that a role should not have.

mod map;
mod members;
mod parameters;
mod roles;
mod tablespaces;

use std::collections::BTreeSet;

pub use map::{MapError, TablespaceMap};

use crate::catalog::acl::AclItem;
use crate::catalog::database::Setting;
use crate::catalog::globals::Globals;
use crate::catalog::globals::reader::Powers;
use crate::catalog::kind::Target;
use crate::pg::quote::{ident, printable};

/// Which of an archive's roles and tablespaces are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// All of them.
    All,
    /// Those that some objects name, who is a member of these, and what all of them are members of.
    Needed {
        /// Roles that objects name.
        roles: BTreeSet<String>,
        /// Tablespaces that objects name.
        tablespaces: BTreeSet<String>,
    },
}

/// Settings of single roles in the database that is restored.
#[derive(Debug, Clone)]
pub struct InDatabase<'a> {
    /// The target database.
    pub name: &'a str,
    /// What the archive says.
    pub wanted: &'a [Setting],
    /// What is set there.
    pub present: &'a [Setting],
}

/// What a plan is made of.
#[derive(Debug, Clone)]
pub struct Wish<'a> {
    /// The archive's.
    pub wanted: &'a Globals,
    /// The target's.
    pub present: &'a Globals,
    /// Whether the target's password hashes are known.
    pub passwords_known: bool,
    /// Who restores.
    pub powers: &'a Powers,
    /// Which are wanted.
    pub choice: Choice,
    /// Whether what is there is altered, too.
    pub update: bool,
    /// Whether tablespaces are wanted at all.
    pub tablespaces: bool,
    /// Where they go.
    pub map: &'a TablespaceMap,
    /// Parameters that the target does not know.
    pub unknown_parameters: BTreeSet<String>,
    /// The database that is restored, where that exists.
    pub in_database: Option<InDatabase<'a>>,
}

/// One thing to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalsStep {
    /// What it is, for people: no secret is in it.
    pub what: String,
    /// Its statements, in order.
    pub statements: Vec<String>,
    /// Whether they must run in one transaction; otherwise they must run in none.
    pub atomic: bool,
}

/// What is to be done, and what is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GlobalsPlan {
    /// What is to be done, in order.
    pub steps: Vec<GlobalsStep>,
    /// What is there and differs from the archive, and stays so.
    pub differences: Vec<String>,
    /// What cannot be done, or is done otherwise.
    pub notes: Vec<String>,
    /// Roles that are created.
    pub roles: BTreeSet<String>,
    /// Tablespaces that are created.
    pub tablespaces: BTreeSet<String>,
}

/// Makes the plan.
pub fn plan(wish: &Wish<'_>) -> GlobalsPlan {
    let chosen = chosen(wish);
    let mut planner = Planner { wish, chosen, plan: GlobalsPlan::default() };
    planner.roles();
    planner.memberships();
    planner.settings();
    if wish.tablespaces {
        planner.tablespaces();
    }
    planner.parameters();
    planner.plan
}

struct Planner<'a> {
    wish: &'a Wish<'a>,
    chosen: BTreeSet<&'a str>,
    plan: GlobalsPlan,
}

impl Planner<'_> {
    fn target(&self) -> Target {
        Target { version: self.wish.present.server, source: self.wish.wanted.server, superuser: false }
    }

    fn step(&mut self, what: &str, statements: Vec<String>, atomic: bool) {
        self.plan.steps.push(GlobalsStep { what: printable(what), statements, atomic });
    }

    fn one(&mut self, what: &str, statement: String) {
        self.step(what, vec![statement], false);
    }

    fn note(&mut self, text: &str) {
        self.plan.notes.push(printable(text));
    }

    /// Tells a difference, and makes it go if that is wanted.
    fn differs(&mut self, what: &str, statements: Vec<String>, atomic: bool) {
        if self.wish.update && !statements.is_empty() {
            self.step(what, statements, atomic);
        } else {
            self.plan.differences.push(printable(what));
        }
    }

    /// Whether the target has the role, once the plan is done.
    fn knows(&self, role: &str) -> bool {
        self.plan.roles.contains(role) || self.wish.present.knows_role(role)
    }

    /// The role at the target that stands for this one of the archive: what `initdb` made may have another name there.
    fn of_server<'b>(&'b self, role: &'b str) -> &'b str {
        if role == self.wish.wanted.bootstrap { &self.wish.present.bootstrap } else { role }
    }

    /// Privileges on something of the server's own.
    fn of_server_items(&self, items: &[AclItem]) -> Vec<AclItem> {
        let item = |item: &AclItem| AclItem {
            grantor: self.of_server(&item.grantor).to_owned(),
            grantee: item.grantee.as_deref().map(|grantee| self.of_server(grantee).to_owned()),
            ..item.clone()
        };
        items.iter().map(item).collect()
    }

    /// Those privileges whose parties the target has; the others are told.
    fn known_items(&mut self, on: &str, items: &[AclItem]) -> Vec<AclItem> {
        let (good, bad): (Vec<AclItem>, Vec<AclItem>) = items.iter().cloned().partition(|item| {
            self.knows(&item.grantor) && item.grantee.as_deref().is_none_or(|grantee| self.knows(grantee))
        });
        for item in bad {
            let grantee = item.grantee.as_deref().map_or_else(|| "PUBLIC".to_owned(), ident);
            let by = ident(&item.grantor);
            self.note(&format!(
                "{} on {on} is not granted to {grantee} by {by}: a role is missing",
                item.privilege
            ));
        }
        good
    }
}

/// The names of the wanted roles.
///
/// What an object names is needed; so is who is a member of that, for it is through such roles that an application logs in;
/// and for each of them what it is a member of, and who granted that.
fn chosen<'a>(wish: &'a Wish<'_>) -> BTreeSet<&'a str> {
    let globals = wish.wanted;
    let Choice::Needed { roles, tablespaces } = &wish.choice else {
        return globals.roles.iter().map(|role| role.name.as_str()).collect();
    };
    let mut named: BTreeSet<&str> = roles.iter().map(String::as_str).collect();
    for space in globals.tablespaces.iter().filter(|space| tablespaces.contains(&space.name)) {
        named.insert(&space.owner);
        for item in space.acl.iter().flatten() {
            named.insert(&item.grantor);
            named.extend(item.grantee.as_deref());
        }
    }
    let grow = |found: &mut BTreeSet<&'a str>, members: bool| {
        let mut before = 0;
        while before != found.len() {
            before = found.len();
            for grant in &globals.memberships {
                let built_in = globals.built_in.contains(&grant.role);
                if members && !built_in && found.contains(grant.role.as_str()) {
                    found.insert(&grant.member);
                } else if !members && found.contains(grant.member.as_str()) {
                    found.insert(&grant.role);
                    found.extend(grant.grantor.as_deref());
                }
            }
        }
    };
    grow(&mut named, true);
    grow(&mut named, false);
    named.retain(|name| globals.role(name).is_some());
    named
}

/// A role, for people.
fn of_role(name: &str) -> String {
    format!("the role {}", ident(name))
}

#[cfg(test)]
#[path = "globals_test.rs"]
mod tests;
