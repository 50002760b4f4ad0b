//! The database itself: what `CREATE DATABASE` says, and what is set about it afterwards (PostgreSQL manual, chapter 23).

use serde::{Deserialize, Serialize};

use super::acl::{self, AclClass, AclItem};
use super::kind::{SecurityLabel, Target};
use super::sql;
use crate::pg::{ServerVersion, quote};

/// The database itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseInfo {
    /// Its name.
    pub name: String,
    /// Its owner.
    pub owner: String,
    /// Its encoding.
    pub encoding: String,
    /// `LC_COLLATE`.
    #[serde(default)]
    pub collate: Option<String>,
    /// `LC_CTYPE`.
    #[serde(default)]
    pub ctype: Option<String>,
    /// Locale provider: `libc`, `icu`, `builtin`.
    #[serde(default)]
    pub provider: Option<String>,
    /// Locale of the provider, where it is not libc.
    #[serde(default)]
    pub locale: Option<String>,
    /// Rules of an ICU locale (servers from 16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icu_rules: Option<String>,
    /// The version of the locale's data by which its texts are ordered (servers from 15).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation_version: Option<String>,
    /// Its tablespace, where it is not the server's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tablespace: Option<String>,
    /// How many may connect at a time; -1 is no limit.
    #[serde(default = "no_limit")]
    pub connection_limit: i32,
    /// Whether everybody who may create databases may copy it.
    #[serde(default)]
    pub is_template: bool,
    /// Its comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Its privileges, where they are not the default ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl: Option<Vec<AclItem>>,
    /// Its security labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<SecurityLabel>,
    /// What it sets for all sessions, or for those of one role.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<Setting>,
}

/// One `ALTER DATABASE … SET` or `ALTER ROLE … IN DATABASE … SET`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The role whose sessions it is for; `None` means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// `name=value`, as the server keeps it.
    pub text: String,
}

const fn no_limit() -> i32 {
    -1
}

/// Settings whose values are lists of names (`GUC_LIST_QUOTE` in PostgreSQL's `guc_tables.c`): the server keeps them
/// with the names quoted, and takes them only one by one.
const LISTS: [&str; 7] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
    "restrict_nonsystem_relation_kind",
];

/// Which of the server-wide catalogs that speak of a database may be read: an operator may have closed them.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Readable {
    settings: bool,
    comments: bool,
    labels: bool,
}

impl Readable {
    /// The query that gives one.
    pub const QUERY: &str = "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_db_role_setting', 'SELECT') AS settings, \
         pg_catalog.has_table_privilege('pg_catalog.pg_shdescription', 'SELECT') AS comments, \
         pg_catalog.has_table_privilege('pg_catalog.pg_shseclabel', 'SELECT') AS labels";

    /// What may not be read, and where it is.
    pub fn missing(self) -> Vec<String> {
        let all = [
            (
                self.settings,
                "what ALTER DATABASE … SET and ALTER ROLE … IN DATABASE … SET set (pg_db_role_setting)",
            ),
            (self.comments, "the comment on the database (pg_shdescription)"),
            (self.labels, "the security labels of the database (pg_shseclabel)"),
        ];
        all.into_iter().filter(|(may, _)| !may).map(|(_, what)| what.to_owned()).collect()
    }
}

impl DatabaseInfo {
    /// The query of the database that a session is connected to, without what may not be read.
    pub fn query(server: ServerVersion, readable: Readable) -> String {
        let when = |may: bool, expression: &str, none: &str| {
            if may { expression.to_owned() } else { none.to_owned() }
        };
        let comment = when(
            readable.comments,
            "pg_catalog.shobj_description(d.oid, 'pg_database')",
            "NULL::pg_catalog.text",
        );
        let labels = when(
            readable.labels,
            "(SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('provider', l.provider, 'label', l.label, 'column', 0) \
              ORDER BY l.provider), '[]') FROM pg_catalog.pg_shseclabel l \
              WHERE l.classoid = 'pg_catalog.pg_database'::pg_catalog.regclass AND l.objoid = d.oid)",
            "'[]'::pg_catalog.json",
        );
        let settings = when(
            readable.settings,
            "(SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('text', c.text, 'role', \
              CASE WHEN s.setrole <> 0::pg_catalog.oid THEN pg_catalog.pg_get_userbyid(s.setrole) END) ORDER BY s.setrole, c.n), '[]') \
              FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) WITH ORDINALITY c(text, n) \
              WHERE s.setdatabase = d.oid)",
            "'[]'::pg_catalog.json",
        );
        let (provider, locale) = match server.major() {
            ..=14 => ("'c'", "NULL::pg_catalog.text"),
            15 | 16 => ("d.datlocprovider::pg_catalog.text", "d.daticulocale"),
            _ => ("d.datlocprovider::pg_catalog.text", "d.datlocale"),
        };
        let rules = if server.at_least(16) { "d.daticurules" } else { "NULL::pg_catalog.text" };
        let version = if server.at_least(15) {
            "coalesce(d.datcollversion, pg_catalog.pg_database_collation_actual_version(d.oid))"
        } else {
            "NULL::pg_catalog.text"
        };
        let acl = sql::acl_json("d.datacl");
        format!(
            "SELECT d.datname AS name, pg_catalog.pg_get_userbyid(d.datdba) AS owner, \
             pg_catalog.pg_encoding_to_char(d.encoding) AS encoding, d.datcollate AS collate, d.datctype AS ctype, \
             CASE {provider} WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' END AS provider, \
             {locale} AS locale, {rules} AS icu_rules, {version} AS collation_version, \
             (SELECT t.spcname FROM pg_catalog.pg_tablespace t WHERE t.oid = d.dattablespace AND t.spcname <> 'pg_default') AS tablespace, \
             d.datconnlimit AS connection_limit, d.datistemplate AS is_template, {acl} AS acl, \
             {comment} AS comment, {labels} AS labels, {settings} AS settings \
             FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()"
        )
    }

    /// The statement that creates a database like it, from `template0`, so that nothing of another template gets into
    /// it.
    pub fn create(&self, name: &str, target: ServerVersion) -> String {
        let mut sql = format!("CREATE DATABASE {} TEMPLATE template0", quote::ident(name));
        let mut add = |word: &str, value: Option<&String>| {
            if let Some(value) = value {
                sql.push_str(&format!(" {word} {}", quote::literal(value)));
            }
        };
        add("ENCODING", Some(&self.encoding).filter(|encoding| !encoding.is_empty()));
        add("LC_COLLATE", self.collate.as_ref());
        add("LC_CTYPE", self.ctype.as_ref());
        match self.provider.as_deref() {
            Some("icu") if self.locale.is_some() => {
                add("ICU_LOCALE", self.locale.as_ref());
                add("ICU_RULES", self.icu_rules.as_ref());
                sql.push_str(" LOCALE_PROVIDER icu");
            }
            Some("builtin") if self.locale.is_some() => {
                add("BUILTIN_LOCALE", self.locale.as_ref());
                sql.push_str(" LOCALE_PROVIDER builtin");
            }
            Some("libc") if target.at_least(15) => sql.push_str(" LOCALE_PROVIDER libc"),
            _ => {}
        }
        if let Some(tablespace) = &self.tablespace {
            sql.push_str(&format!(" TABLESPACE {}", quote::ident(tablespace)));
        }
        sql
    }

    /// The statements that make a database, by whatever name, what this one is. They come last of all: a limit of
    /// connections, or a setting, would be in the way before.
    pub fn finish(&self, name: &str, target: &Target, owner: bool, privileges: bool) -> Vec<String> {
        let database = format!("DATABASE {}", quote::ident(name));
        let mut out = Vec::new();
        if owner && !self.owner.is_empty() {
            out.push(format!("ALTER {database} OWNER TO {}", quote::ident(&self.owner)));
        }
        if let Some(comment) = &self.comment {
            out.push(format!("COMMENT ON {database} IS {}", quote::literal(comment)));
        }
        out.extend(self.labels.iter().map(|label| label.set(&database)));
        if privileges {
            let owner = Some(self.owner.as_str());
            out.extend(acl::statements(
                AclClass::Database,
                &database,
                None,
                owner,
                self.acl.as_deref(),
                target,
            ));
        }
        // What is set for a role goes with what is granted to it.
        for setting in self.settings.iter().filter(|setting| privileges || setting.role.is_none()) {
            let whose = match &setting.role {
                Some(role) => format!("ROLE {} IN {database}", quote::ident(role)),
                None => database.clone(),
            };
            out.extend(assignment(&setting.text).map(|set| format!("ALTER {whose} SET {set}")));
        }
        if self.is_template {
            out.push(format!("ALTER {database} IS_TEMPLATE true"));
        }
        if self.connection_limit != no_limit() {
            out.push(format!("ALTER {database} CONNECTION LIMIT {}", self.connection_limit));
        }
        out
    }

    /// Keeps encoding and locale, which rows depend on, and takes all else from the database whose place this one is to
    /// take.
    pub fn take_place_of(&mut self, live: &Self) {
        let mut place = live.clone();
        std::mem::swap(self, &mut place);
        let Self { encoding, collate, ctype, provider, locale, icu_rules, collation_version, .. } = place;
        let own = std::mem::take(self);
        *self = Self { encoding, collate, ctype, provider, locale, icu_rules, collation_version, ..own };
    }

    /// The roles that [`finish`](Self::finish) names.
    pub fn roles(&self, owner: bool, privileges: bool) -> impl Iterator<Item = &str> {
        let granted = acl::parties(self.acl.as_deref().filter(|_| privileges).unwrap_or_default()).map(Some);
        let owner = Some(self.owner.as_str()).filter(|name| owner && !name.is_empty());
        let settings =
            self.settings.iter().filter(move |_| privileges).map(|setting| setting.role.as_deref());
        granted.chain(settings).chain([owner]).flatten()
    }
}

/// A parameter's name as statements take it. An extension's has a dot, which is no part of an identifier.
pub fn parameter_name(name: &str) -> String {
    name.split('.').map(quote::ident).collect::<Vec<_>>().join(".")
}

/// `name TO value`, as `SET` takes it, of `name=value`, as the server keeps it.
pub fn assignment(text: &str) -> Option<String> {
    let (name, value) = text.split_once('=')?;
    let values = if LISTS.contains(&name.to_lowercase().as_str()) {
        names(value).iter().map(|name| quote::literal(name)).collect::<Vec<_>>().join(", ")
    } else {
        quote::literal(value)
    };
    let values = if values.is_empty() { "''".to_owned() } else { values };
    Some(format!("{} TO {values}", parameter_name(name)))
}

/// The names of a list, which are quoted where they must be.
fn names(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = list.trim();
    while !rest.is_empty() {
        let mut name = String::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut after = quoted;
            while let Some((part, tail)) = after.split_once('"') {
                name.push_str(part);
                after = tail;
                match tail.strip_prefix('"') {
                    Some(more) => {
                        name.push('"');
                        after = more;
                    }
                    None => break,
                }
            }
            rest = after;
        } else {
            let (bare, tail) =
                rest.split_at_checked(rest.find(',').unwrap_or(rest.len())).unwrap_or((rest, ""));
            bare.trim().clone_into(&mut name);
            rest = tail;
        }
        names.push(name);
        rest = rest.trim_start().trim_start_matches(',').trim_start();
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_set_as_they_are_kept() {
        for (kept, set) in [
            ("work_mem=64MB", r#""work_mem" TO '64MB'"#),
            ("search_path=\"$user\", public", r#""search_path" TO '$user', 'public'"#),
            ("search_path=\"\"", r#""search_path" TO ''"#),
            ("search_path=", r#""search_path" TO ''"#),
            (r#"search_path="a ""b"", c", d"#, r#""search_path" TO 'a "b", c', 'd'"#),
            ("my.thing=it's = x", r#""my"."thing" TO 'it''s = x'"#),
        ] {
            assert_eq!(assignment(kept).as_deref(), Some(set));
        }
    }
}
