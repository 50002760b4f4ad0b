//! Privileges on configuration parameters.

use super::{Choice, Planner};
use crate::catalog::acl::{self, AclClass, AclItem};
use crate::catalog::globals::Parameter;

impl Planner<'_> {
    pub(super) fn parameters(&mut self) {
        let wish = self.wish;
        for parameter in &wish.wanted.parameters {
            let mut items = self.of_server_items(&parameter.acl);
            if wish.choice != Choice::All {
                let chosen = |item: &AclItem| {
                    item.grantee.as_deref().is_some_and(|grantee| self.chosen.contains(grantee))
                };
                items.retain(chosen);
            }
            if !items.is_empty() || wish.choice == Choice::All {
                self.parameter(parameter, &items);
            }
        }
    }

    fn parameter(&mut self, parameter: &Parameter, items: &[AclItem]) {
        let (wish, told) = (self.wish, format!("the parameter {}", parameter.name));
        if !wish.present.server.at_least(15) || wish.unknown_parameters.contains(&parameter.name) {
            return self.note(&format!("what is granted on {told} is left out: the target does not know it"));
        }
        let items = self.known_items(&told, items);
        let (on, owner) = (parameter.identity(), Some(wish.present.bootstrap.as_str()));
        let Some(present) = wish.present.parameters.iter().find(|present| present.name == parameter.name)
        else {
            let statements = if wish.choice == Choice::All {
                acl::statements(AclClass::Parameter, &on, None, owner, Some(&items), &self.target())
            } else {
                acl::grants_of(&on, owner, &items)
            };
            return self.step(&format!("grant rights on {told}"), statements, true);
        };
        let missing: Vec<AclItem> = items.into_iter().filter(|item| !present.acl.contains(item)).collect();
        if missing.is_empty() {
            return;
        }
        let is_new =
            |item: &AclItem| item.grantee.as_ref().is_some_and(|grantee| self.plan.roles.contains(grantee));
        let (new, old): (Vec<AclItem>, Vec<AclItem>) = missing.into_iter().partition(is_new);
        if !old.is_empty() {
            let what = format!("what is granted on {told} differs: the archive has more");
            self.differs(&what, acl::grants_of(&on, owner, &old), true);
        }
        if !new.is_empty() {
            self.step(&format!("grant rights on {told}"), acl::grants_of(&on, owner, &new), true);
        }
    }
}
