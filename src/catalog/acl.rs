//! Privileges: as data, decoded by the server's `aclexplode`, never as raw `aclitem` text (its quoting of role names
//! depends on the server's locale); and the statements that make them again.
//!
//! A new object has the default privileges of its class (PostgreSQL manual, section 5.8, table 5.2). What differs is
//! revoked first, then everything else is granted in the order of the server's array, so that the array comes out
//! the same.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::kind::Target;
use crate::pg::quote;

/// One privilege that one role granted to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclItem {
    /// Who granted it.
    pub grantor: String,
    /// Who has it; `None` is `PUBLIC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grantee: Option<String>,
    /// The privilege: `SELECT`, `USAGE`…
    pub privilege: String,
    /// Whether with grant option.
    #[serde(default)]
    pub grantable: bool,
}

/// The roles that these privileges name.
pub fn parties(items: &[AclItem]) -> impl Iterator<Item = &str> {
    items.iter().flat_map(|item| [Some(item.grantor.as_str()), item.grantee.as_deref()]).flatten()
}

/// A class of objects that have the same privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AclClass {
    /// Tables, views, materialized views, foreign tables.
    Table,
    /// Sequences.
    Sequence,
    /// Functions, procedures, aggregates.
    Function,
    /// Types and domains.
    Type,
    /// Languages.
    Language,
    /// Schemas.
    Schema,
    /// The schema `public`, which every new database has: open to everybody, more or less with the server's version.
    PublicSchema,
    /// Foreign data wrappers.
    ForeignDataWrapper,
    /// Foreign servers.
    ForeignServer,
    /// Databases.
    Database,
    /// Tablespaces.
    Tablespace,
    /// Configuration parameters, which belong to the role that `initdb` made.
    Parameter,
}

impl AclClass {
    /// All privileges of the owner, in the server's order.
    fn owner_default(self) -> &'static [&'static str] {
        match self {
            Self::Table => {
                &["INSERT", "SELECT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"]
            }
            Self::Sequence => &["SELECT", "UPDATE", "USAGE"],
            Self::Function => &["EXECUTE"],
            Self::Database => &["CREATE", "TEMPORARY", "CONNECT"],
            Self::Schema | Self::PublicSchema => &["USAGE", "CREATE"],
            Self::Tablespace => &["CREATE"],
            Self::Parameter => &["SET", "ALTER SYSTEM"],
            Self::Type | Self::Language | Self::ForeignDataWrapper | Self::ForeignServer => &["USAGE"],
        }
    }

    /// What everybody has.
    fn public_default(self) -> &'static [&'static str] {
        match self {
            Self::Function => &["EXECUTE"],
            Self::Type | Self::Language => &["USAGE"],
            Self::Database => &["TEMPORARY", "CONNECT"],
            Self::Table
            | Self::Sequence
            | Self::Schema
            | Self::PublicSchema
            | Self::ForeignDataWrapper
            | Self::ForeignServer
            | Self::Tablespace
            | Self::Parameter => &[],
        }
    }
}

impl AclClass {
    /// The privileges that PostgreSQL gives by itself on an object of `owner`.
    pub(super) fn default_items(self, owner: &str, target: &Target) -> Vec<AclItem> {
        let item = |grantee: Option<&str>, privilege: &str| AclItem {
            grantor: owner.to_owned(),
            grantee: grantee.map(str::to_owned),
            privilege: privilege.to_owned(),
            grantable: false,
        };
        let known = |privilege: &&&str| **privilege != "MAINTAIN" || target.version.at_least(17);
        let public = self.public_default().iter().map(|privilege| item(None, privilege));
        let own = self.owner_default().iter().filter(known).map(|privilege| item(Some(owner), privilege));
        public.chain(own).collect()
    }
}

/// The statements that bring an object to `acl` whose privileges are those of the target's making: `widened` names whom
/// the target may have granted something.
pub fn statements_over(
    class: AclClass,
    on: &str,
    owner: &str,
    acl: Option<&[AclItem]>,
    widened: &BTreeSet<Option<String>>,
    target: &Target,
) -> Vec<String> {
    let mut from: BTreeSet<Option<&str>> = widened.iter().map(Option::as_deref).collect();
    from.insert(Some(owner));
    // What PostgreSQL itself gives to all is taken too: it is granted again if it is wanted.
    from.insert(None);
    let list: Vec<String> = from.into_iter().map(role).collect();
    let mut out = vec![format!("REVOKE ALL ON {on} FROM {}", list.join(", "))];
    let defaults = class.default_items(owner, target);
    let items: Vec<&AclItem> = match acl {
        None => defaults.iter().collect(),
        Some(acl) => {
            let known: Vec<&AclItem> = acl
                .iter()
                .filter(|item| item.privilege != "MAINTAIN" || target.version.at_least(17))
                .collect();
            // All of the source's rights of an owner are all of the target's.
            let whole = is_default(&known, Some(owner), Some(owner), class.owner_default(), target);
            let rest = known.into_iter().filter(|item| !(whole && item.grantee.as_deref() == Some(owner)));
            defaults.iter().filter(|item| whole && item.grantee.is_some()).chain(rest).collect()
        }
    };
    let (first, after) = detours(on, None, Some(owner), &items);
    let items = if first.is_empty() { grantors_first(Some(owner), items) } else { items };
    out.extend(first);
    out.extend(grants(on, None, Some(owner), &items));
    out.extend(after);
    out
}

/// The statements that bring an object from its default privileges to `acl`. `on` names the object as `GRANT … ON`
/// does, `column` is a column of it. `None` means the default, for which nothing is to be done but in `public`.
pub fn statements(
    class: AclClass,
    on: &str,
    column: Option<&str>,
    owner: Option<&str>,
    acl: Option<&[AclItem]>,
    target: &Target,
) -> Vec<String> {
    let mut out = Vec::new();
    if class == AclClass::PublicSchema {
        out.push(format!("REVOKE ALL ON {on} FROM PUBLIC"));
    }
    let Some(acl) = acl else { return out };
    let known: Vec<&AclItem> =
        acl.iter().filter(|item| item.privilege != "MAINTAIN" || target.version.at_least(17)).collect();
    let mut as_default: Vec<Option<&str>> = Vec::new();
    if column.is_none() {
        for (grantee, default) in [(None, class.public_default()), (owner, class.owner_default())] {
            if grantee.is_none() && default.is_empty() {
                continue;
            }
            if is_default(&known, grantee, owner, default, target) {
                as_default.push(grantee);
            } else {
                out.push(format!("REVOKE {} ON {on} FROM {}", all_of_source(class, target), role(grantee)));
            }
        }
    }
    let rest: Vec<&AclItem> =
        known.into_iter().filter(|item| !as_default.contains(&item.grantee.as_deref())).collect();
    let (first, after) = detours(on, column, owner, &rest);
    let rest = if first.is_empty() { grantors_first(owner, rest) } else { rest };
    out.extend(first);
    out.extend(grants(on, column, owner, &rest));
    out.extend(after);
    out
}

/// All privileges that the source knows. A right that came with the target's version stays with whom it gives it to:
/// owners could always do what MAINTAIN (PostgreSQL 17) is about.
fn all_of_source(class: AclClass, target: &Target) -> String {
    if class != AclClass::Table || target.source.at_least(17) || !target.version.at_least(17) {
        return "ALL".to_owned();
    }
    let known: Vec<&str> =
        class.owner_default().iter().filter(|name| **name != "MAINTAIN").copied().collect();
    known.join(", ")
}

/// Whether one of `items` lets the grantor of `item` grant it.
fn is_allowed(item: &AclItem, items: &[&AclItem]) -> bool {
    items.iter().any(|other| {
        other.grantable && other.privilege == item.privilege && other.grantee.as_ref() == Some(&item.grantor)
    })
}

/// Grants of the owner's, before all others, and what takes them back at the end, for grantors whose right comes only
/// later in the array: they got it again from somebody else, and lost it from whom they had it first. So the array
/// comes out in its order. Nothing, where the owner's own grant is what comes later.
fn detours(
    on: &str,
    column: Option<&str>,
    owner: Option<&str>,
    items: &[&AclItem],
) -> (Vec<String>, Vec<String>) {
    let (mut first, mut after) = (Vec::new(), Vec::new());
    let column = column.map(|column| format!(" ({})", quote::ident(column))).unwrap_or_default();
    for (position, item) in items.iter().enumerate() {
        let (before, later) = items.split_at(position);
        if Some(item.grantor.as_str()) == owner || is_allowed(item, before) || !is_allowed(item, later) {
            continue;
        }
        if items
            .iter()
            .any(|o| Some(o.grantor.as_str()) == owner && o.grantee.as_ref() == Some(&item.grantor))
        {
            return (Vec::new(), Vec::new());
        }
        let (what, who) = (format!("{}{column} ON {on}", item.privilege), quote::ident(&item.grantor));
        let grant = format!("GRANT {what} TO {who} WITH GRANT OPTION");
        if !first.contains(&grant) {
            first.push(grant);
            after.push(format!("REVOKE {what} FROM {who}"));
        }
    }
    (first, after)
}

/// The items in their order, but each after the one that lets its grantor grant.
fn grantors_first<'a>(owner: Option<&str>, items: Vec<&'a AclItem>) -> Vec<&'a AclItem> {
    let mut ordered: Vec<&AclItem> = Vec::with_capacity(items.len());
    let mut waiting = items;
    while !waiting.is_empty() {
        let before = ordered.len();
        let mut later = Vec::new();
        for item in waiting {
            let may = Some(item.grantor.as_str()) == owner || is_allowed(item, &ordered);
            if may {
                ordered.push(item);
            } else {
                later.push(item);
            }
        }
        waiting = later;
        if ordered.len() == before {
            // The right to grant is not in this list: a column's may come from the table's.
            ordered.append(&mut waiting);
        }
    }
    ordered
}

/// Whether the grantee has just what the class gives by default.
fn is_default(
    acl: &[&AclItem],
    grantee: Option<&str>,
    owner: Option<&str>,
    default: &[&str],
    target: &Target,
) -> bool {
    let mut have: Vec<&AclItem> =
        acl.iter().filter(|item| item.grantee.as_deref() == grantee).copied().collect();
    have.retain(|item| default.contains(&item.privilege.as_str()));
    // A server that does not know MAINTAIN (before 17) means all privileges without it.
    let both_know = target.version.at_least(17) && target.source.at_least(17);
    let wanted = default.iter().filter(|name| **name != "MAINTAIN" || both_know).count();
    have.len() == wanted && have.iter().all(|item| !item.grantable && Some(item.grantor.as_str()) == owner)
}

/// The `GRANT`s of these items alone, in an order that their grantors allow.
pub fn grants_of(on: &str, owner: Option<&str>, items: &[AclItem]) -> Vec<String> {
    grants(on, None, owner, &grantors_first(owner, items.iter().collect()))
}

/// `GRANT`s in order, one for each run of privileges with the same parties.
fn grants(on: &str, column: Option<&str>, owner: Option<&str>, items: &[&AclItem]) -> Vec<String> {
    let mut out = Vec::new();
    let same = |a: &&AclItem, b: &&AclItem| {
        a.grantee == b.grantee && a.grantor == b.grantor && a.grantable == b.grantable
    };
    for run in items.chunk_by(same) {
        let Some(first) = run.first() else { continue };
        let column = column.map(|column| format!(" ({})", quote::ident(column))).unwrap_or_default();
        let list: Vec<String> = run.iter().map(|item| format!("{}{column}", item.privilege)).collect();
        let option = if first.grantable { " WITH GRANT OPTION" } else { "" };
        let grant =
            format!("GRANT {} ON {on} TO {}{option}", list.join(", "), role(first.grantee.as_deref()));
        // Whoever restores grants as the owner; another grantor must do it himself.
        if Some(first.grantor.as_str()) == owner {
            out.push(grant);
        } else {
            out.push(format!("SET ROLE {}; {grant}; RESET ROLE", quote::ident(&first.grantor)));
        }
    }
    out
}

fn role(name: Option<&str>) -> String {
    name.map_or_else(|| "PUBLIC".to_owned(), quote::ident)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::ServerVersion;

    fn item(grantor: &str, grantee: Option<&str>, privilege: &str, grantable: bool) -> AclItem {
        let (grantor, privilege) = (grantor.to_owned(), privilege.to_owned());
        AclItem { grantor, grantee: grantee.map(str::to_owned), privilege, grantable }
    }

    fn function(acl: &[AclItem]) -> Vec<String> {
        let target =
            Target { version: ServerVersion(180_000), source: ServerVersion(180_000), superuser: true };
        statements(AclClass::Function, "FUNCTION f()", None, Some("own"), Some(acl), &target)
    }

    #[test]
    fn the_default_needs_nothing() {
        let acl = [item("own", None, "EXECUTE", false), item("own", Some("own"), "EXECUTE", false)];
        assert_eq!(function(&acl), Vec::<String>::new());
    }

    #[test]
    fn revoked_defaults_and_others_grants() {
        let acl = [
            item("own", Some("own"), "EXECUTE", false),
            item("own", Some("bob"), "EXECUTE", true),
            item("bob", Some("eve"), "EXECUTE", false),
        ];
        assert_eq!(
            function(&acl),
            [
                "REVOKE ALL ON FUNCTION f() FROM PUBLIC",
                "GRANT EXECUTE ON FUNCTION f() TO \"bob\" WITH GRANT OPTION",
                "SET ROLE \"bob\"; GRANT EXECUTE ON FUNCTION f() TO \"eve\"; RESET ROLE",
            ]
        );
    }

    #[test]
    fn a_grantor_who_got_the_right_again_later() {
        let acl = [
            item("own", Some("own"), "EXECUTE", false),
            item("own", Some("ann"), "EXECUTE", true),
            item("bob", Some("eve"), "EXECUTE", false),
            item("ann", Some("bob"), "EXECUTE", true),
        ];
        let made = function(&acl);
        let lent = "GRANT EXECUTE ON FUNCTION f() TO \"bob\" WITH GRANT OPTION";
        assert_eq!(made[1], lent);
        assert_eq!(made[3], "SET ROLE \"bob\"; GRANT EXECUTE ON FUNCTION f() TO \"eve\"; RESET ROLE");
        assert_eq!(made[4], format!("SET ROLE \"ann\"; {lent}; RESET ROLE"));
        assert_eq!(made[5], "REVOKE EXECUTE ON FUNCTION f() FROM \"bob\"");
    }

    #[test]
    fn a_grantor_who_got_the_right_from_the_owner_later() {
        let acl = [
            item("own", Some("own"), "EXECUTE", false),
            item("bob", Some("eve"), "EXECUTE", false),
            item("own", Some("bob"), "EXECUTE", true),
        ];
        let made = function(&acl);
        assert_eq!(made.len(), 3, "nothing is lent and taken back");
        assert!(made[1].ends_with("TO \"bob\" WITH GRANT OPTION") && made[2].contains("TO \"eve\""));
    }

    #[test]
    fn the_public_schema_is_closed_first() {
        let target =
            Target { version: ServerVersion(180_000), source: ServerVersion(180_000), superuser: true };
        let made = |acl: Option<&[AclItem]>| {
            statements(AclClass::PublicSchema, "SCHEMA public", None, Some("own"), acl, &target)
        };
        let closed = "REVOKE ALL ON SCHEMA public FROM PUBLIC";
        let mut acl =
            vec![item("own", Some("own"), "USAGE", false), item("own", Some("own"), "CREATE", false)];
        assert_eq!(made(None), [closed]);
        assert_eq!(made(Some(&acl)), [closed]);
        acl.push(item("own", None, "USAGE", false));
        assert_eq!(made(Some(&acl)), [closed, "GRANT USAGE ON SCHEMA public TO PUBLIC"]);
    }

    #[test]
    fn nobody_has_anything() {
        assert_eq!(
            function(&[]),
            ["REVOKE ALL ON FUNCTION f() FROM PUBLIC", "REVOKE ALL ON FUNCTION f() FROM \"own\""]
        );
    }

    #[test]
    fn one_privilege_less_than_all() {
        let version = ServerVersion(180_000);
        let target = Target { version, source: version, superuser: true };
        let all = AclClass::Table.owner_default();
        let but = |missing: &str| -> Vec<AclItem> {
            all.iter()
                .filter(|name| **name != missing)
                .map(|name| item("own", Some("own"), name, false))
                .collect()
        };
        let made =
            |acl: &[AclItem]| statements(AclClass::Table, "TABLE t", None, Some("own"), Some(acl), &target);
        assert_eq!(made(&but("")), Vec::<String>::new());
        assert_eq!(made(&but("DELETE")).len(), 2);
        assert_eq!(made(&but("MAINTAIN")).len(), 2);
        let older = Target { version, source: ServerVersion(150_000), superuser: true };
        let acl = but("MAINTAIN");
        assert!(statements(AclClass::Table, "TABLE t", None, Some("own"), Some(&acl), &older).is_empty());
        let closed = statements(AclClass::Table, "TABLE t", None, Some("own"), Some(&[]), &older);
        assert_eq!(
            closed,
            ["REVOKE INSERT, SELECT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON TABLE t FROM \"own\""]
        );
    }

    #[test]
    fn what_the_target_grants_by_itself_is_taken_back() {
        let version = ServerVersion(180_000);
        let target = Target { version, source: ServerVersion(150_000), superuser: true };
        let widened = [None, Some("anon".to_owned())].into();
        let made = |acl: Option<&[AclItem]>| {
            statements_over(AclClass::Function, "FUNCTION f()", "own", acl, &widened, &target)
        };
        let revoke = "REVOKE ALL ON FUNCTION f() FROM PUBLIC, \"anon\", \"own\"";
        let own = "GRANT EXECUTE ON FUNCTION f() TO \"own\"";
        assert_eq!(made(None), [revoke, "GRANT EXECUTE ON FUNCTION f() TO PUBLIC", own]);
        let acl = [item("own", Some("own"), "EXECUTE", false), item("own", Some("bob"), "EXECUTE", false)];
        assert_eq!(made(Some(&acl)), [revoke, own, "GRANT EXECUTE ON FUNCTION f() TO \"bob\""]);
        assert_eq!(made(Some(&[])), [revoke]);
        // An owner's seven rights of 15 are the eight of 18.
        let all: Vec<AclItem> = AclClass::Table
            .owner_default()
            .iter()
            .filter(|name| **name != "MAINTAIN")
            .map(|name| item("own", Some("own"), name, false))
            .collect();
        let made = statements_over(AclClass::Table, "TABLE t", "own", Some(&all), &widened, &target);
        assert!(made.last().unwrap().contains("MAINTAIN ON TABLE t TO \"own\""), "{made:?}");
    }

    #[test]
    fn columns_and_versions() {
        let target =
            Target { version: ServerVersion(150_000), source: ServerVersion(180_000), superuser: true };
        let acl = [item("own", Some("bob"), "SELECT", false), item("own", Some("bob"), "MAINTAIN", false)];
        let made = statements(AclClass::Table, "TABLE t", Some("c"), Some("own"), Some(&acl), &target);
        assert_eq!(made, ["GRANT SELECT (\"c\") ON TABLE t TO \"bob\""]);
    }
}
