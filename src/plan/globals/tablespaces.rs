//! Tablespaces.

use std::collections::BTreeSet;

use super::{Choice, Planner};
use crate::catalog::acl::{self, AclClass, AclItem};
use crate::catalog::globals::Tablespace;
use crate::pg::quote::{ident, printable};

/// Servers make tablespaces within their data folder only for who asks for it.
const IN_PLACE: &str = "SET allow_in_place_tablespaces = true";

impl Planner<'_> {
    pub(super) fn tablespaces(&mut self) {
        let wish = self.wish;
        for old in wish.map.unmatched(&wish.wanted.tablespaces) {
            self.note(&format!("the archive has no tablespace {}, which is mapped", ident(old)));
        }
        for space in &wish.wanted.tablespaces {
            let wanted = match &wish.choice {
                Choice::All => true,
                Choice::Needed { tablespaces, .. } => tablespaces.contains(&space.name),
            };
            match wish.present.tablespace(&space.name) {
                Some(present) if wanted => self.compare_tablespace(space, present),
                None if wanted => self.create_tablespace(space),
                _ => {}
            }
        }
    }

    fn create_tablespace(&mut self, space: &Tablespace) {
        let (told, location) = (of(space), self.wish.map.location(space).to_owned());
        if !self.wish.powers.superuser {
            let user = ident(&self.wish.powers.user);
            return self.note(&format!("{told} is not created: {user} is no superuser"));
        }
        let owner = self.knows(&space.owner).then_some(space.owner.as_str());
        if owner.is_none() {
            self.note(&format!("{told} does not get its owner: there is no role {}", ident(&space.owner)));
        }
        let mut statements = Vec::new();
        if location.is_empty() {
            statements.push(IN_PLACE.to_owned());
        }
        statements.push(space.create(owner, &location));
        if let Some(items) = &space.acl {
            let items = self.known_items(&told, items);
            statements.extend(self.privileges(space, owner, &items));
        }
        if space.comment.is_some() {
            statements.push(space.comment_statement());
        }
        let place =
            if location.is_empty() { "within the data folder".to_owned() } else { format!("in {location}") };
        self.step(&format!("create {told} {place}"), statements, false);
        self.plan.tablespaces.insert(space.name.clone());
        for label in &space.labels {
            self.one(&format!("label {told}"), label.set(&space.identity()));
        }
    }

    fn privileges(&self, space: &Tablespace, owner: Option<&str>, items: &[AclItem]) -> Vec<String> {
        acl::statements(AclClass::Tablespace, &space.identity(), None, owner, Some(items), &self.target())
    }

    fn compare_tablespace(&mut self, space: &Tablespace, present: &Tablespace) {
        let mut space = space.clone();
        if space.is_built_in() {
            space.owner = self.of_server(&space.owner).to_owned();
            space.acl = space.acl.as_deref().map(|items| self.of_server_items(items));
        }
        let (told, mut differs, mut statements) = (of(&space), Vec::new(), Vec::new());
        if space.owner != present.owner && self.knows(&space.owner) {
            differs.push(format!("owner {}", ident(&space.owner)));
            statements.push(format!("ALTER {} OWNER TO {}", space.identity(), ident(&space.owner)));
        }
        if space.options != present.options {
            differs.push(format!("parameters ({})", space.options.join(", ")));
            statements.extend(space.set_options(present));
        }
        if sorted(space.acl.as_deref()) != sorted(present.acl.as_deref()) {
            differs.push("its privileges".to_owned());
            statements.extend(self.anew(&space, present));
        }
        if space.comment != present.comment {
            differs.push("its comment".to_owned());
            statements.push(space.comment_statement());
        }
        let labels: Vec<String> = space
            .labels
            .iter()
            .filter(|label| !present.labels.contains(label))
            .map(|label| label.set(&space.identity()))
            .collect();
        if !labels.is_empty() {
            differs.push("its security labels".to_owned());
            statements.extend(labels);
        }
        if !differs.is_empty() {
            let what = format!("{told} is there and differs: the archive says {}", differs.join(", "));
            self.differs(&what, statements, true);
        }
        let location = self.wish.map.location(&space);
        if location != present.location {
            let what = format!(
                "{told} is there, in {:?} and not in {location:?}, and stays there",
                present.location
            );
            self.plan.differences.push(printable(&what));
        }
    }

    /// Takes all privileges away, and grants those of the archive.
    fn anew(&mut self, space: &Tablespace, present: &Tablespace) -> Vec<String> {
        let on = space.identity();
        let grantees: BTreeSet<Option<&str>> = present
            .acl
            .iter()
            .flatten()
            .map(|item| item.grantee.as_deref())
            .chain([Some(space.owner.as_str())])
            .collect();
        let revoke = |grantee: Option<&str>| {
            let from = grantee.map_or_else(|| "PUBLIC".to_owned(), ident);
            format!("REVOKE ALL ON {on} FROM {from} CASCADE")
        };
        let mut statements: Vec<String> = grantees.into_iter().map(revoke).collect();
        let own = AclItem {
            grantor: space.owner.clone(),
            grantee: Some(space.owner.clone()),
            privilege: "CREATE".to_owned(),
            grantable: false,
        };
        let items = space.acl.clone().unwrap_or_else(|| vec![own]);
        let items = self.known_items(&of(space), &items);
        statements.extend(acl::grants_of(&on, Some(&space.owner), &items));
        statements
    }
}

fn of(space: &Tablespace) -> String {
    format!("the tablespace {}", ident(&space.name))
}

/// Privileges, the default ones as none, in an order of their own.
fn sorted(items: Option<&[AclItem]>) -> Option<Vec<&AclItem>> {
    let mut items: Vec<&AclItem> = items?.iter().collect();
    items.sort_by_key(|item| (&item.grantee, &item.grantor, &item.privilege));
    Some(items)
}
