//! Who is a member of what.

use std::collections::BTreeSet;

use super::Planner;
use crate::catalog::globals::Membership;
use crate::pg::quote::ident;

/// A membership that is to be granted.
struct Grant<'a> {
    membership: &'a Membership,
    /// It is there, or both roles are, and so it is a difference.
    difference: bool,
}

impl Planner<'_> {
    pub(super) fn memberships(&mut self) {
        let mut open = Vec::new();
        for membership in &self.wish.wanted.memberships {
            let wanted = self.chosen.contains(membership.member.as_str())
                || self.chosen.contains(membership.role.as_str());
            if !wanted {
                continue;
            }
            let gone =
                [&membership.role, &membership.member].into_iter().find(|role| !self.knows(role)).cloned();
            if let Some(gone) = gone {
                self.note(&format!("{}: there is no role {}", not_granted(membership), ident(&gone)));
                continue;
            }
            let is_new =
                self.plan.roles.contains(&membership.role) || self.plan.roles.contains(&membership.member);
            if !self.has(membership) {
                open.push(Grant { membership, difference: !is_new });
            }
        }
        self.in_order(open);
    }

    /// Whether the target records who grants, and we can say it.
    fn tells_grantor(&self) -> bool {
        let (from, to) = (self.wish.wanted.server, self.wish.present.server);
        // Before 16 nobody checked who was recorded as the grantor; from 16 on he must have the right to grant.
        self.wish.powers.superuser && (from.at_least(16) || !to.at_least(16))
    }

    /// Whether the target has just this membership.
    fn has(&self, wanted: &Membership) -> bool {
        let same_grantor = |found: &Membership| {
            !self.tells_grantor()
                || !self.wish.present.server.at_least(16)
                || found.grantor.as_deref()
                    == wanted.grantor.as_deref().map(|grantor| self.of_server(grantor))
        };
        let options = |found: &Membership| {
            found.admin == wanted.admin
                && (wanted.inherit.is_none() || found.inherit.is_none() || wanted.inherit == found.inherit)
                && (wanted.set.is_none() || found.set.is_none() || wanted.set == found.set)
        };
        self.wish.present.memberships.iter().any(|found| {
            found.role == wanted.role
                && found.member == wanted.member
                && same_grantor(found)
                && options(found)
        })
    }

    /// Grants in an order in which each grantor has got the right to grant before he uses it.
    fn in_order(&mut self, mut open: Vec<Grant<'_>>) {
        let mut admins: BTreeSet<(String, String)> = BTreeSet::new();
        for found in self.wish.present.memberships.iter().filter(|found| found.admin) {
            admins.insert((found.role.clone(), found.member.clone()));
        }
        let checked = self.tells_grantor() && self.wish.present.server.at_least(16);
        while !open.is_empty() {
            let before = open.len();
            let mut later = Vec::new();
            for grant in open {
                let membership = grant.membership;
                let grantor = membership.grantor.as_deref().map(|grantor| self.of_server(grantor).to_owned());
                let may = !checked
                    || grantor.as_ref().is_none_or(|grantor| {
                        *grantor == self.wish.present.bootstrap
                            || admins.contains(&(membership.role.clone(), grantor.clone()))
                    });
                if !may {
                    later.push(grant);
                    continue;
                }
                if membership.admin {
                    admins.insert((membership.role.clone(), membership.member.clone()));
                }
                let grantor = grantor.filter(|grantor| self.tells_grantor() && self.knows(grantor));
                self.grant(&grant, grantor.as_deref());
            }
            open = later;
            if open.len() == before {
                // Who granted has no right to grant at the target; somebody must.
                for grant in std::mem::take(&mut open) {
                    let by = ident(grant.membership.grantor.as_deref().unwrap_or_default());
                    self.note(&format!(
                        "{} is not granted by {by}, who may not grant it here",
                        told(grant.membership)
                    ));
                    self.grant(&grant, None);
                }
            }
        }
    }

    fn grant(&mut self, grant: &Grant<'_>, grantor: Option<&str>) {
        let membership = grant.membership;
        let mut statements = Vec::new();
        let present = |m: &&Membership| m.role == membership.role && m.member == membership.member;
        let was_admin = self.wish.present.memberships.iter().find(present).is_some_and(|m| m.admin);
        if was_admin && !membership.admin && !self.wish.present.server.at_least(16) {
            let (role, member) = (ident(&membership.role), ident(&membership.member));
            statements.push(format!("REVOKE ADMIN OPTION FOR {role} FROM {member}"));
        }
        statements.push(membership.grant(self.wish.present.server, grantor));
        if grant.difference {
            let what =
                format!("{} differs: the archive says so, with {}", told(membership), options(membership));
            self.differs(&what, statements, false);
        } else {
            self.step(&format!("make {}", told(membership)), statements, false);
        }
    }
}

fn told(membership: &Membership) -> String {
    format!("{} a member of {}", ident(&membership.member), ident(&membership.role))
}

fn not_granted(membership: &Membership) -> String {
    format!("{} does not become a member of {}", ident(&membership.member), ident(&membership.role))
}

fn options(membership: &Membership) -> String {
    let word = |name: &str, on: bool| format!("{name} {}", if on { "TRUE" } else { "FALSE" });
    let mut list = vec![word("ADMIN", membership.admin)];
    list.extend(membership.inherit.map(|on| word("INHERIT", on)));
    list.extend(membership.set.map(|on| word("SET", on)));
    list.join(", ")
}
