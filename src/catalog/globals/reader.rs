//! Reads what a server has once, by a fixed number of queries.
//!
//! Names of roles are stored in the encoding of the database in which they were made, and a database of another encoding
//! shows them as bytes that mean nothing there. So each row arrives as hexadecimal digits and is decoded here: what
//! cannot be read is left out by name, and the rest is kept. (`pg_dump` fails as a whole.)

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{FORMAT, Globals, Membership, Parameter, PasswordHash, Role, Tablespace};
use crate::catalog::acl::AclItem;
use crate::catalog::database::Setting;
use crate::catalog::ident::class;
use crate::catalog::kind::SecurityLabel;
use crate::catalog::not_utf8::from_hex;
use crate::catalog::sql;
use crate::pg::quote::{ident, literal, printable};
use crate::pg::{PgError, Session};

/// Whether the hashes of passwords are read, which only superusers may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passwords {
    /// Leave them out.
    Skip,
    /// Read them; fail where that is not allowed.
    Read,
}

/// What was read, and what could not be.
#[derive(Debug)]
pub struct Reading {
    /// What was read.
    pub globals: Globals,
    /// What the session may not read, with the server's words; empty if it may read all.
    pub denied: Vec<String>,
}

/// Reads all in the session's transaction, which there must be.
///
/// # Errors
/// Those of the queries. What may not be read is no error, but for the passwords that were asked for.
pub async fn read(session: &Session, passwords: Passwords) -> Result<Reading, PgError> {
    let mut reader = Reader { session, denied: Vec::new(), warnings: Vec::new() };
    let mut globals = Globals::fresh(session.version(), "", &[]);
    (globals.format, globals.roles, globals.tablespaces) = (FORMAT, Vec::new(), Vec::new());
    reader.roles(&mut globals).await?;
    if passwords == Passwords::Read {
        reader.passwords(&mut globals).await?;
    }
    reader.memberships(&mut globals).await?;
    reader.settings(&mut globals).await?;
    reader.tablespaces(&mut globals).await?;
    reader.comments(&mut globals).await?;
    reader.labels(&mut globals).await?;
    reader.privileges(&mut globals).await?;
    globals.warnings = reader.warnings;
    Ok(Reading { globals, denied: reader.denied })
}

struct Reader<'a> {
    session: &'a Session,
    denied: Vec<String>,
    warnings: Vec<String>,
}

/// A row, and whether all of its text could be read. Bytes that could not are shown as `\xe9`.
struct Row<T> {
    value: T,
    readable: bool,
}

impl Reader<'_> {
    /// The rows of a query that could be read; `what` they are ("roles"), and how one is called in a message.
    async fn rows<T: DeserializeOwned>(
        &mut self,
        what: &'static str,
        sql: &str,
        name: fn(&T) -> String,
    ) -> Result<Vec<T>, PgError> {
        let rows = match self.all_rows(sql).await {
            Ok(rows) => rows,
            Err(error) if error.sqlstate() == Some("42501") => {
                self.denied.push(what.to_owned());
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let mut good = Vec::with_capacity(rows.len());
        for Row { value, readable } in rows {
            if readable {
                good.push(value);
            } else {
                self.warnings.push(format!(
                    "{} is left out: its text is in another encoding than this database's ({})",
                    printable(&name(&value)),
                    self.session.info().encoding
                ));
            }
        }
        Ok(good)
    }

    /// All rows of a query, in a savepoint: a refusal must not end the snapshot.
    async fn all_rows<T: DeserializeOwned>(&self, sql: &str) -> Result<Vec<Row<T>>, PgError> {
        const BACK: &str = "ROLLBACK TO SAVEPOINT pgcask_globals; RELEASE SAVEPOINT pgcask_globals";
        let session = self.session;
        let hex = format!(
            "SELECT pg_catalog.encode(pg_catalog.textsend(pg_catalog.to_json(pgcask_row)::pg_catalog.text), 'hex') \
             FROM ({sql}) AS pgcask_row"
        );
        session.execute("SAVEPOINT pgcask_globals").await?;
        let (answer, utf8) = match session.query_text(&hex).await {
            // The server refuses to convert a text: once more as bytes, of which only ASCII can be told.
            Err(error) if matches!(error.sqlstate(), Some("22021" | "22P05")) => {
                session.execute(BACK).await?;
                session.execute("SAVEPOINT pgcask_globals; SET LOCAL client_encoding = 'SQL_ASCII'").await?;
                (session.query_text(&hex).await, false)
            }
            answer => (answer, true),
        };
        session.execute(BACK).await?;
        let wrong = |reason: String| PgError::Answer { statement: sql.to_owned(), reason };
        let mut rows = Vec::new();
        for digits in answer?.into_iter().filter_map(|row| row.into_iter().next().flatten()) {
            let bytes = from_hex(&digits).ok_or_else(|| wrong("no hexadecimal digits".to_owned()))?;
            let (text, readable) = decoded(&bytes, utf8);
            let value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
            rows.push(Row { value, readable });
        }
        Ok(rows)
    }

    async fn roles(&mut self, globals: &mut Globals) -> Result<(), PgError> {
        #[derive(Deserialize)]
        struct Found {
            bootstrap: bool,
            built_in: bool,
            #[serde(flatten)]
            role: Role,
        }
        let found = self.rows("roles", Role::query(), |found: &Found| of_role(&found.role.name)).await?;
        for Found { bootstrap, built_in, role } in found {
            if bootstrap {
                globals.bootstrap.clone_from(&role.name);
            }
            if built_in {
                globals.built_in.push(role.name);
            } else {
                globals.roles.push(role);
            }
        }
        Ok(())
    }

    async fn passwords(&self, globals: &mut Globals) -> Result<(), PgError> {
        #[derive(Deserialize)]
        struct Found {
            name: String,
            password: PasswordHash,
        }
        let sql = "SELECT r.rolname AS name, r.rolpassword AS password FROM pg_catalog.pg_authid r \
                   WHERE r.rolpassword IS NOT NULL";
        let found: Vec<Row<Found>> = self.all_rows(sql).await?;
        let mut by_name: BTreeMap<String, PasswordHash> =
            found.into_iter().map(|row| (row.value.name, row.value.password)).collect();
        for role in &mut globals.roles {
            role.password = by_name.remove(&role.name);
        }
        Ok(())
    }

    async fn memberships(&mut self, globals: &mut Globals) -> Result<(), PgError> {
        #[derive(Deserialize)]
        struct Found {
            role: Option<String>,
            member: Option<String>,
            grantor: Option<String>,
            admin: bool,
            inherit: Option<bool>,
            set: Option<bool>,
            role_oid: u32,
            member_oid: u32,
        }
        impl Found {
            fn display(&self) -> String {
                let name = |name: &Option<String>, oid: u32| {
                    name.as_deref().map_or_else(|| format!("a role that is gone (OID {oid})"), ident)
                };
                let (role, member) = (name(&self.role, self.role_oid), name(&self.member, self.member_oid));
                format!("the membership of {member} in {role}")
            }
        }
        let sql = Membership::query(globals.server);
        for found in self.rows("memberships", &sql, Found::display).await? {
            let told = found.display();
            let Found { role: Some(role), member: Some(member), grantor, admin, inherit, set, .. } = found
            else {
                self.warnings.push(format!("{} is left out", printable(&told)));
                continue;
            };
            globals.memberships.push(Membership { role, member, grantor, admin, inherit, set });
        }
        Ok(())
    }

    async fn settings(&mut self, globals: &mut Globals) -> Result<(), PgError> {
        let sql = "SELECT r.rolname AS role, c.text FROM pg_catalog.pg_db_role_setting s \
                   LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole, \
                   pg_catalog.unnest(s.setconfig) WITH ORDINALITY c(text, n) \
                   WHERE s.setdatabase::pg_catalog.int8 = 0 AND (s.setrole::pg_catalog.int8 = 0 OR r.oid IS NOT NULL) \
                   ORDER BY r.rolname NULLS FIRST, c.n";
        let name = |setting: &Setting| {
            let parameter = setting.text.split('=').next().unwrap_or_default();
            let whose = setting.role.as_deref().map_or_else(|| "all roles".to_owned(), of_role);
            format!("the setting of {parameter} for {whose}")
        };
        globals.settings = self.rows("settings of roles", sql, name).await?;
        Ok(())
    }

    async fn tablespaces(&mut self, globals: &mut Globals) -> Result<(), PgError> {
        let name = |space: &Tablespace| of_tablespace(&space.name);
        globals.tablespaces = self.rows("tablespaces", Tablespace::query(), name).await?;
        Ok(())
    }

    async fn comments(&mut self, globals: &mut Globals) -> Result<(), PgError> {
        #[derive(Deserialize)]
        struct Found {
            class: u32,
            name: String,
            text: String,
        }
        let sql = on_shared("pg_shdescription", "o.description AS text");
        let name = |found: &Found| format!("the comment on {}", of_class(found.class, &found.name));
        for Found { class, name, text } in self.rows("comments", &sql, name).await? {
            if class == class::PG_AUTHID {
                for role in globals.roles.iter_mut().filter(|role| role.name == name) {
                    role.comment = Some(text.clone());
                }
            } else {
                for space in globals.tablespaces.iter_mut().filter(|space| space.name == name) {
                    space.comment = Some(text.clone());
                }
            }
        }
        Ok(())
    }

    async fn labels(&mut self, globals: &mut Globals) -> Result<(), PgError> {
        #[derive(Deserialize)]
        struct Found {
            class: u32,
            name: String,
            provider: String,
            label: String,
        }
        let sql = on_shared("pg_shseclabel", "o.provider, o.label");
        let name = |found: &Found| format!("a security label on {}", of_class(found.class, &found.name));
        for Found { class, name, provider, label } in self.rows("security labels", &sql, name).await? {
            let label = SecurityLabel { provider, label, column: 0 };
            if class == class::PG_AUTHID {
                for role in globals.roles.iter_mut().filter(|role| role.name == name) {
                    role.labels.push(label.clone());
                }
            } else {
                for space in globals.tablespaces.iter_mut().filter(|space| space.name == name) {
                    space.labels.push(label.clone());
                }
            }
        }
        Ok(())
    }

    async fn privileges(&mut self, globals: &mut Globals) -> Result<(), PgError> {
        #[derive(Deserialize)]
        struct Found {
            name: String,
            acl: Vec<AclItem>,
        }
        let sql = format!(
            "SELECT t.spcname AS name, {acl} FROM pg_catalog.pg_tablespace t WHERE t.spcacl IS NOT NULL",
            acl = sql::acl("t.spcacl")
        );
        let name = |found: &Found| format!("what is granted on {}", of_tablespace(&found.name));
        for Found { name, acl } in self.rows("privileges on tablespaces", &sql, name).await? {
            for space in globals.tablespaces.iter_mut().filter(|space| space.name == name) {
                space.acl = Some(acl.clone());
            }
        }
        if globals.server.at_least(15) {
            let name = |parameter: &Parameter| {
                format!("what is granted on the parameter {}", ident(&parameter.name))
            };
            globals.parameters = self.rows("privileges on parameters", &Parameter::query(), name).await?;
        }
        Ok(())
    }
}

/// The query of what `catalog` says of roles and tablespaces: `class`, `name`, and `columns` of it.
fn on_shared(catalog: &str, columns: &str) -> String {
    let one = |class: u32, names: &str, name: &str| {
        format!(
            "SELECT {class} AS class, n.{name} AS name, {columns} FROM pg_catalog.{catalog} o \
             JOIN pg_catalog.{names} n ON n.oid = o.objoid WHERE o.classoid = {class}::pg_catalog.oid"
        )
    };
    let roles = one(class::PG_AUTHID, "pg_roles", "rolname");
    let tablespaces = one(class::PG_TABLESPACE, "pg_tablespace", "spcname");
    format!("{roles} UNION ALL {tablespaces} ORDER BY 1, 2, 3")
}

fn of_role(name: &str) -> String {
    format!("the role {}", ident(name))
}

fn of_tablespace(name: &str) -> String {
    format!("the tablespace {}", ident(name))
}

fn of_class(of: u32, name: &str) -> String {
    if of == class::PG_AUTHID { of_role(name) } else { of_tablespace(name) }
}

/// The text of a JSON row, and whether all of it could be read. Other bytes become `\xe9`, as JSON writes a backslash.
fn decoded(bytes: &[u8], utf8: bool) -> (String, bool) {
    let mut text = String::with_capacity(bytes.len());
    let mut readable = true;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if utf8 || c.is_ascii() {
                text.push(c);
            } else {
                readable = false;
                let mut buffer = [0; 4];
                c.encode_utf8(&mut buffer)
                    .bytes()
                    .for_each(|byte| text.push_str(&format!("\\\\x{byte:02x}")));
            }
        }
        readable &= chunk.invalid().is_empty();
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\\\x{byte:02x}")));
    }
    (text, readable)
}

/// What a session's role may do, for a plan of what it can restore.
#[derive(Debug, Clone, Deserialize)]
pub struct Powers {
    /// The role.
    pub user: String,
    /// Whether it is a superuser.
    pub superuser: bool,
    /// Whether it may create roles.
    pub create_role: bool,
    /// Whether it may create databases.
    pub create_db: bool,
    /// Whether it may replicate.
    pub replication: bool,
    /// Whether row-level security does not hold for it.
    pub bypass_rls: bool,
}

/// Reads what the session's role may do.
///
/// # Errors
/// Those of the query.
pub async fn powers(session: &Session) -> Result<Powers, PgError> {
    let sql = "SELECT current_user AS user, r.rolsuper AS superuser, r.rolcreaterole AS create_role, \
               r.rolcreatedb AS create_db, r.rolreplication AS replication, r.rolbypassrls AS bypass_rls \
               FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";
    let nobody = || PgError::Answer { statement: sql.to_owned(), reason: "no row".to_owned() };
    session.query_json(sql).await?.into_iter().next().ok_or_else(nobody)
}

/// Those of these parameters that the server does not know. Parameters with a dot in their names are anybody's, and who
/// is no superuser is not told all others.
///
/// # Errors
/// Those of the query.
pub async fn unknown_parameters(
    session: &Session,
    names: BTreeSet<&str>,
) -> Result<BTreeSet<String>, PgError> {
    let names = names.into_iter().filter(|name| !name.contains('.'));
    let list: Vec<String> = names.map(|name| format!("({})", literal(name))).collect();
    if list.is_empty() || !session.info().is_superuser {
        return Ok(BTreeSet::new());
    }
    let sql = format!(
        "SELECT w.name FROM (VALUES {}) w(name) WHERE pg_catalog.current_setting(w.name, true) IS NULL",
        list.join(", ")
    );
    Ok(session
        .query_text(&sql)
        .await?
        .into_iter()
        .filter_map(|row| row.into_iter().next().flatten())
        .collect())
}

/// What the session's database sets for single roles.
///
/// # Errors
/// Those of the query.
pub async fn settings_in_database(session: &Session) -> Result<Vec<Setting>, PgError> {
    let sql = "SELECT pg_catalog.pg_get_userbyid(s.setrole) AS role, c.text FROM pg_catalog.pg_db_role_setting s, \
               pg_catalog.unnest(s.setconfig) WITH ORDINALITY c(text, n) \
               WHERE s.setrole::pg_catalog.int8 <> 0 AND s.setdatabase = \
               (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())";
    session.query_json(sql).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_another_encoding_are_shown_and_told() {
        assert_eq!(decoded(b"{\"a\":\"r\xf4le\"}", true), ("{\"a\":\"r\\\\xf4le\"}".to_owned(), false));
        assert_eq!(decoded("rôle".as_bytes(), true), ("rôle".to_owned(), true));
        assert_eq!(decoded("rôle".as_bytes(), false), ("r\\\\xc3\\\\xb4le".to_owned(), false));
        assert_eq!(decoded(b"plain", false), ("plain".to_owned(), true));
        let shown: serde_json::Value = serde_json::from_str(&decoded(b"\"\xe9\"", true).0).unwrap();
        assert_eq!(shown, "\\xe9");
    }
}
