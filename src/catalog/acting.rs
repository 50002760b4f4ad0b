//! As whom a restore acts. A superuser may make anybody the owner of anything; another role only those that it can act
//! as (`SET ROLE`). What belonged to others, or was granted by them, becomes the restoring role's own, and nobody loses a
//! privilege by that.
//!
//! Also here: privileges that the target gives to new objects by itself (`ALTER DEFAULT PRIVILEGES`), which must not widen
//! those that an object had.

use std::collections::{BTreeMap, BTreeSet};

use super::acl::{AclClass, AclItem};
use super::kind::Target;
use super::model::Entry;
use super::registry::Object;
use crate::pg::quote;

/// The restoring role, and what it may. The default is a superuser in a database without default privileges.
#[derive(Debug, Clone, Default)]
pub struct Acting {
    /// The restoring role; none for a superuser.
    pub role: Option<String>,
    /// Roles that it cannot act as.
    pub replaced: BTreeSet<String>,
    /// Roles of a platform that the target is not on: what was granted to them is granted to nobody.
    pub unknown: BTreeSet<String>,
    /// Schemas that are made with all else, and get their privileges at the end; with their owners.
    pub schemas: BTreeMap<String, Option<String>>,
    /// Whether the target is a managed service, which owns extensions itself.
    pub managed: bool,
    /// What the target grants on new objects of the restoring role.
    pub defaults: Vec<NewObjects>,
}

/// Default privileges of the restoring role at the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewObjects {
    /// As `pg_default_acl.defaclobjtype`.
    pub object_type: char,
    /// The schema; none for all.
    pub schema: Option<String>,
    /// To whom something is granted, `None` being `PUBLIC`.
    pub grantees: BTreeSet<Option<String>>,
}

impl Acting {
    /// Who is to own what `owner` had.
    pub fn owner<'a>(&'a self, owner: &'a str) -> &'a str {
        self.role.as_deref().filter(|_| self.replaced.contains(owner)).unwrap_or(owner)
    }

    /// Statements that give an object its owner.
    pub fn set_owner(&self, Entry { head, object }: &Entry) -> Vec<String> {
        let Some(owner) = head.owner.as_deref().map(|owner| self.owner(owner)) else { return Vec::new() };
        // What one's own role made is its own.
        if self.role.as_deref() == Some(owner) {
            return Vec::new();
        }
        let Some(statement) = object.set_owner(head, owner) else { return Vec::new() };
        let made = |schema: &&str| {
            let whose = self.schemas.get(*schema);
            whose.is_some_and(|whose| whose.as_deref().map(|whose| self.owner(whose)) != Some(owner))
        };
        let Some(schema) = head.schema.as_deref().filter(made).filter(|_| self.role.is_some()) else {
            return vec![statement];
        };
        // Whoever is no superuser can only give to who might have made the object. The schema's privileges come last.
        let (schema, owner) = (quote::ident(schema), quote::ident(owner));
        vec![
            format!("GRANT CREATE ON SCHEMA {schema} TO {owner}"),
            statement,
            format!("REVOKE CREATE ON SCHEMA {schema} FROM {owner}"),
        ]
    }

    /// The privileges of an object as they are to be: who replaces its owner has the owner's, and who granted what
    /// nobody can grant in his name is replaced by the owner.
    pub fn acl(
        &self,
        class: AclClass,
        owner: Option<&str>,
        acl: Option<&[AclItem]>,
        target: &Target,
    ) -> Option<Vec<AclItem>> {
        let Some(owner) = owner else { return acl.map(<[AclItem]>::to_vec) };
        let new = self.owner(owner);
        let mut items: Vec<AclItem> = match acl {
            Some(acl) => acl.iter().map(|item| self.item(item, owner)).collect(),
            None if new == owner || self.unknown.contains(owner) => return None,
            None => class.default_items(owner, target).iter().map(|item| self.item(item, owner)).collect(),
        };
        items.retain(|item| item.grantee.as_ref().is_none_or(|grantee| !self.unknown.contains(grantee)));
        if new != owner {
            items.retain(|item| item.grantee.as_deref() != Some(new));
            let own = class.default_items(new, target).into_iter().filter(|item| item.grantee.is_some());
            items.splice(0..0, own);
        }
        Some(items)
    }

    /// Privileges of a column, as they are to be.
    pub fn column_acl(&self, owner: Option<&str>, acl: &[AclItem]) -> Vec<AclItem> {
        let known =
            acl.iter().filter(|item| item.grantee.as_ref().is_none_or(|who| !self.unknown.contains(who)));
        known.map(|item| owner.map_or_else(|| item.clone(), |owner| self.item(item, owner))).collect()
    }

    fn item(&self, item: &AclItem, owner: &str) -> AclItem {
        let mut item = item.clone();
        if self.replaced.contains(&item.grantor) {
            self.owner(owner).clone_into(&mut item.grantor);
        }
        item
    }

    /// To whom the target grants something on a new object of this class in this schema; nothing where it grants what
    /// PostgreSQL does by itself.
    pub fn widened(&self, class: AclClass, schema: Option<&str>) -> BTreeSet<Option<String>> {
        let object_type = match class {
            AclClass::Table => 'r',
            AclClass::Sequence => 'S',
            AclClass::Function => 'f',
            AclClass::Type => 'T',
            AclClass::Schema => 'n',
            _ => return BTreeSet::new(),
        };
        let fits = |default: &&NewObjects| {
            default.object_type == object_type
                && default.schema.as_deref().is_none_or(|only| Some(only) == schema)
        };
        let mut grantees = BTreeSet::new();
        for default in self.defaults.iter().filter(fits) {
            grantees.extend(default.grantees.iter().cloned());
            // Those of all schemas stand in place of the server's own, and may be less.
            if default.schema.is_none() {
                grantees.insert(None);
            }
        }
        grantees
    }

    /// Whether the entry is an extension that the target's platform owns, comment and all.
    pub fn is_platforms_extension(&self, entry: &Entry) -> bool {
        self.managed && self.role.is_some() && matches!(entry.object, Object::Extension(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::ServerVersion;

    fn item(grantor: &str, grantee: &str, privilege: &str) -> AclItem {
        let (grantor, privilege) = (grantor.to_owned(), privilege.to_owned());
        AclItem { grantor, grantee: Some(grantee.to_owned()), privilege, grantable: false }
    }

    fn target() -> Target {
        Target { version: ServerVersion(150_000), source: ServerVersion(150_000), superuser: false }
    }

    fn acting() -> Acting {
        Acting {
            role: Some("me".to_owned()),
            replaced: ["app".to_owned(), "bob".to_owned()].into(),
            ..Acting::default()
        }
    }

    #[test]
    fn a_replaced_owner_keeps_what_he_could() {
        let (acting, target) = (acting(), target());
        let wanted = [
            item("me", "me", "SELECT"),
            item("me", "me", "UPDATE"),
            item("me", "me", "USAGE"),
            item("me", "app", "SELECT"),
            item("me", "app", "UPDATE"),
            item("me", "app", "USAGE"),
        ];
        assert_eq!(acting.acl(AclClass::Sequence, Some("app"), None, &target).unwrap(), wanted);
        let acl = [item("app", "app", "USAGE"), item("app", "anon", "USAGE")];
        let made = acting.acl(AclClass::Schema, Some("app"), Some(&acl), &target).unwrap();
        let wanted = [
            item("me", "me", "USAGE"),
            item("me", "me", "CREATE"),
            item("me", "app", "USAGE"),
            item("me", "anon", "USAGE"),
        ];
        assert_eq!(made, wanted);
    }

    #[test]
    fn an_owner_who_stays_grants_for_those_who_cannot() {
        let acl = [item("own", "own", "USAGE"), item("bob", "eve", "USAGE")];
        let made = acting().acl(AclClass::Schema, Some("own"), Some(&acl), &target()).unwrap();
        assert_eq!(made, [item("own", "own", "USAGE"), item("own", "eve", "USAGE")]);
        assert_eq!(acting().acl(AclClass::Schema, Some("own"), None, &target()), None);
    }

    #[test]
    fn default_privileges_count_for_their_schema_or_for_all() {
        let of = |object_type, schema: Option<&str>, grantee: &str| NewObjects {
            object_type,
            schema: schema.map(str::to_owned),
            grantees: [Some(grantee.to_owned())].into(),
        };
        let acting = Acting {
            defaults: vec![of('r', Some("public"), "anon"), of('f', None, "api")],
            ..Acting::default()
        };
        let anon = BTreeSet::from([Some("anon".to_owned())]);
        assert_eq!(acting.widened(AclClass::Table, Some("public")), anon);
        assert!(acting.widened(AclClass::Table, Some("other")).is_empty());
        assert_eq!(acting.widened(AclClass::Function, Some("x")).len(), 2, "PUBLIC's may have been revoked");
        assert!(acting.widened(AclClass::Language, None).is_empty());
    }
}
