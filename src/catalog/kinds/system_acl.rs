//! Privileges that users changed on what they did not make: on the server's own objects (`GRANT SELECT ON
//! pg_catalog.pg_authid …`) and on members of extensions. Both come with privileges of their own, which `pg_init_privs`
//! keeps; only the difference is stored and made again.

use serde::{Deserialize, Serialize};

use crate::catalog::acl::{self, AclItem};
use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::sql;
use crate::pg::{ServerVersion, quote};

/// OID of `pg_init_privs`, fixed in PostgreSQL's headers.
const PG_INIT_PRIVS: u32 = 3394;

/// The changed privileges of one object or column. Its identity is a number within the backup, as the object belongs to
/// the server or to an extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemAcl {
    /// The object as `GRANT … ON` names it: `TABLE pg_catalog.pg_authid`.
    pub on: String,
    /// The column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The role that owns the object, as whom privileges are granted.
    pub granted_by: String,
    /// The privileges now.
    #[serde(default, deserialize_with = "null_as_default")]
    pub privileges: Vec<AclItem>,
    /// The privileges at first.
    #[serde(default, deserialize_with = "null_as_default")]
    pub initial: Vec<AclItem>,
}

/// The catalogs whose rows bear privileges: each a query of the columns `class, oid, sub, on, owner, acl, usual,
/// column, system`. Of relations there may be very many: `relations` are those that users did not make.
const OBJECTS: [&str; 7] = [
    "SELECT 1259, c.oid, 0, pg_catalog.format('%s %I.%I', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, \
     n.nspname, c.relname), c.relowner, c.relacl, \
     pg_catalog.acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::pg_catalog.\"char\", c.relowner), NULL::pg_catalog.name, n.nspname \
     FROM relations c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') \
     AND (c.relacl IS NOT NULL OR c.oid IN (SELECT i.objoid FROM pg_catalog.pg_init_privs i))",
    "SELECT 1259, c.oid, a.attnum, pg_catalog.format('TABLE %I.%I', n.nspname, c.relname), c.relowner, a.attacl, \
     pg_catalog.acldefault('c', c.relowner), a.attname, n.nspname \
     FROM relations c \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     CROSS JOIN LATERAL (SELECT a.attnum, a.attname, a.attacl FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped \
       AND (a.attacl IS NOT NULL OR a.attrelid IN (SELECT i.objoid FROM pg_catalog.pg_init_privs i WHERE i.objsubid <> 0)) OFFSET 0) a",
    "SELECT 1255, f.oid, 0, pg_catalog.format('%s %I.%I(%s)', CASE f.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, \
     n.nspname, f.proname, pg_catalog.oidvectortypes(f.proargtypes)), f.proowner, f.proacl, \
     pg_catalog.acldefault('f', f.proowner), NULL, n.nspname \
     FROM pg_catalog.pg_proc f JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace \
     WHERE f.proacl IS NOT NULL OR f.oid IN (SELECT i.objoid FROM pg_catalog.pg_init_privs i)",
    "SELECT 1247, t.oid, 0, pg_catalog.format('TYPE %I.%I', n.nspname, t.typname), t.typowner, t.typacl, \
     pg_catalog.acldefault('T', t.typowner), NULL, n.nspname \
     FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
     WHERE t.typacl IS NOT NULL OR t.oid IN (SELECT i.objoid FROM pg_catalog.pg_init_privs i)",
    "SELECT 2612, l.oid, 0, pg_catalog.format('LANGUAGE %I', l.lanname), l.lanowner, l.lanacl, \
     pg_catalog.acldefault('l', l.lanowner), NULL, CASE WHEN l.oid < 16384 THEN 'pg_catalog' ELSE '' END \
     FROM pg_catalog.pg_language l",
    "SELECT 2615, n.oid, 0, pg_catalog.format('SCHEMA %I', n.nspname), n.nspowner, n.nspacl, \
     pg_catalog.acldefault('n', n.nspowner), NULL, n.nspname FROM pg_catalog.pg_namespace n",
    "SELECT 2328, w.oid, 0, pg_catalog.format('FOREIGN DATA WRAPPER %I', w.fdwname), w.fdwowner, w.fdwacl, \
     pg_catalog.acldefault('F', w.fdwowner), NULL, '' FROM pg_catalog.pg_foreign_data_wrapper w",
];

/// The privileges at first. `initdb` fills `pg_init_privs` before it makes `information_schema`, whose script lets all read
/// its views.
const INITIAL: &str = "coalesce(p.initprivs, CASE WHEN o.system = 'information_schema' AND o.sub = 0 AND o.class IN (1259, 2615) \
    THEN o.usual || pg_catalog.makeaclitem(0::pg_catalog.oid, o.owner, CASE o.class WHEN 1259 THEN 'SELECT' ELSE 'USAGE' END, \
    false) ELSE o.usual END)";

/// What one grantee has from one grantor.
#[derive(PartialEq, Eq)]
struct Part<'a> {
    grantee: Option<&'a str>,
    grantor: &'a str,
    items: Vec<(&'a str, bool)>,
}

fn parts(items: &[AclItem]) -> Vec<Part<'_>> {
    let mut parts: Vec<Part<'_>> = Vec::new();
    for item in items {
        let (grantee, grantor) = (item.grantee.as_deref(), item.grantor.as_str());
        let privilege = (item.privilege.as_str(), item.grantable);
        match parts.iter_mut().find(|p| p.grantee == grantee && p.grantor == grantor) {
            Some(part) => part.items.push(privilege),
            None => parts.push(Part { grantee, grantor, items: vec![privilege] }),
        }
    }
    parts
}

impl SystemAcl {
    fn change(&self, from: &[AclItem], to: &[AclItem], target: ServerVersion) -> Vec<String> {
        let (from, to) = (parts(from), parts(to));
        let column = self.column.as_deref().map_or_else(String::new, |c| format!(" ({})", quote::ident(c)));
        let role = |name: Option<&str>| name.map_or_else(|| "PUBLIC".to_owned(), quote::ident);
        let by = |grantor: &str, statement: String| {
            if grantor == self.granted_by {
                statement
            } else {
                format!("SET ROLE {}; {statement}; RESET ROLE", quote::ident(grantor))
            }
        };
        let had =
            |part: &Part<'_>| from.iter().find(|f| f.grantee == part.grantee && f.grantor == part.grantor);
        let kept = |f: &Part<'_>| {
            let now = to.iter().find(|t| t.grantee == f.grantee && t.grantor == f.grantor);
            now.is_some_and(|t| f.items.iter().all(|item| t.items.contains(item)))
        };
        let mut statements = Vec::new();
        for part in from.iter().filter(|f| !kept(f)) {
            let revoke = format!("REVOKE ALL{column} ON {} FROM {}", self.on, role(part.grantee));
            statements.push(by(part.grantor, revoke));
        }
        for part in &to {
            let before = had(part).filter(|f| kept(f));
            for (grantable, option) in [(false, ""), (true, " WITH GRANT OPTION")] {
                let new = part
                    .items
                    .iter()
                    .filter(|item| item.1 == grantable && !before.is_some_and(|f| f.items.contains(item)));
                let known = new.filter(|item| item.0 != "MAINTAIN" || target.at_least(17));
                let list: Vec<String> = known.map(|item| format!("{}{column}", item.0)).collect();
                if !list.is_empty() {
                    let grant =
                        format!("GRANT {} ON {} TO {}{option}", list.join(", "), self.on, role(part.grantee));
                    statements.push(by(part.grantor, grant));
                }
            }
        }
        statements
    }
}

impl Kind for SystemAcl {
    const NAME: &'static str = "system privileges";
    const CATALOGS: &'static [&'static str] = &["pg_init_privs"];

    fn query(_server: ServerVersion) -> String {
        format!(
            "WITH relations AS MATERIALIZED (SELECT c.oid, c.relname, c.relnamespace, c.relowner, c.relkind, c.relacl \
             FROM pg_catalog.pg_class c WHERE {not_users}) \
             SELECT pg_catalog.json_build_array({PG_INIT_PRIVS}, \
             pg_catalog.row_number() OVER (ORDER BY o.\"on\", o.sub)) AS id, \
             o.\"on\" || coalesce('.' || o.\"column\", '') AS name, o.\"on\", o.\"column\", \
             pg_catalog.pg_get_userbyid(o.owner) AS granted_by, {privileges} AS privileges, {initial} AS initial, \
             CASE WHEN e.refobjid IS NOT NULL THEN pg_catalog.json_build_array(\
             pg_catalog.json_build_array({extension}, e.refobjid::pg_catalog.int8)) END AS depends \
             FROM ({objects}) o(class, oid, sub, \"on\", owner, acl, usual, \"column\", system) \
             LEFT JOIN pg_catalog.pg_init_privs p ON p.classoid = o.class::pg_catalog.oid AND p.objoid = o.oid AND p.objsubid = o.sub \
             LEFT JOIN pg_catalog.pg_depend e ON e.classid = o.class::pg_catalog.oid AND e.objid = o.oid AND e.objsubid = 0 \
             AND e.deptype = 'e' \
             WHERE (e.refobjid IS NOT NULL OR o.system IN ('pg_catalog', 'information_schema')) \
             AND (o.acl IS NOT NULL OR p.initprivs IS NOT NULL) \
             AND NOT (coalesce(o.acl, o.usual) @> {INITIAL} AND coalesce(o.acl, o.usual) <@ {INITIAL}) ORDER BY 2",
            privileges = sql::acl_json("coalesce(o.acl, o.usual)"),
            initial = sql::acl_json(INITIAL),
            extension = class::PG_EXTENSION,
            objects = OBJECTS.join(" UNION ALL "),
            not_users = sql::not_made_by_users(class::PG_CLASS, "c.oid", "c.relnamespace"),
        )
    }

    fn identity(&self, _head: &Head) -> String {
        self.on.clone()
    }

    fn create(&self, _head: &Head, target: &Target) -> Vec<String> {
        self.change(&self.initial, &self.privileges, target.version)
    }

    /// Brings the privileges back that the object had at first.
    fn drop(&self, _head: &Head) -> String {
        self.change(&self.privileges, &self.initial, ServerVersion(u32::MAX)).join("; ")
    }

    fn roles(&self) -> Vec<&str> {
        std::iter::once(self.granted_by.as_str()).chain(acl::parties(&self.privileges)).collect()
    }

    fn set_owner(&self, _head: &Head, _owner: &str) -> Option<String> {
        None
    }

    fn set_comment(&self, _head: &Head, _comment: &str) -> Option<String> {
        None
    }
}
