//! Makes statements of choices: what a number picks is the generator's, which numbers there are is proptest's.

use super::words::{NAMES, ROLES, TYPES, literal, quoted};

/// Schemas of one case: they share a database, so that a case is worth its backup and restore.
const SCHEMAS: usize = 6;
/// A table that later objects may refer to.
#[derive(Clone)]
struct Table {
    name: String,
    columns: Vec<(String, String)>,
    key: Option<String>,
    partitioned: bool,
}

/// Makes statements of choices.
struct Generator {
    choices: Vec<u16>,
    at: usize,
    major: u32,
    number: usize,
    statements: Vec<String>,
    tables: Vec<Table>,
    views: Vec<(String, Vec<(String, String)>)>,
    types: Vec<String>,
    functions: Vec<String>,
}

impl Generator {
    /// A number below `count`.
    fn pick(&mut self, count: usize) -> usize {
        let choice = self.choices.get(self.at % self.choices.len()).copied().unwrap_or_default();
        self.at += 1;
        // Once all were used they mean something else.
        (usize::from(choice) + self.at / self.choices.len() * 31) % count.max(1)
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.pick(count) == 0
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        let at = self.pick(list.len());
        list[at].clone()
    }

    fn say(&mut self, statement: String) {
        self.statements.push(statement);
    }

    /// A quoted name that nothing else has.
    fn name(&mut self) -> String {
        quoted(&self.bare_name())
    }

    /// The same, not quoted.
    fn bare_name(&mut self) -> String {
        self.number += 1;
        let (base, number) = (self.of(&NAMES), self.number.to_string());
        let mut name = base.to_owned();
        while name.len() + number.len() > 63 {
            name.pop();
        }
        format!("{name}{number}")
    }

    fn comment(&mut self, on: &str) {
        if self.one_in(3) {
            let name = self.of(&NAMES);
            self.say(format!("COMMENT ON {on} IS {}", literal(name)));
        }
    }

    fn owner(&mut self, what: &str) {
        if self.one_in(4) {
            let role = quoted(self.of(&ROLES));
            self.say(format!("ALTER {what} OWNER TO {role}"));
        }
    }

    /// Grants, some of them by a role that was given the right to.
    fn grants(&mut self, on: &str, privileges: &[&str]) {
        for _ in 0..self.pick(3) {
            let (privilege, first, second) = (self.of(privileges), self.pick(3), self.pick(3));
            let (first_role, second_role) = (quoted(ROLES[first]), quoted(ROLES[second]));
            match self.pick(4) {
                0 => self.say(format!("REVOKE {privilege} ON {on} FROM {first_role}, PUBLIC")),
                1 => self.say(format!("GRANT {privilege} ON {on} TO PUBLIC")),
                _ => {
                    self.say(format!("GRANT {privilege} ON {on} TO {first_role} WITH GRANT OPTION"));
                    if first != second {
                        self.say(format!("SET ROLE {first_role}"));
                        self.say(format!("GRANT {privilege} ON {on} TO {second_role}"));
                        self.say("RESET ROLE".to_owned());
                    }
                }
            }
        }
    }

    /// A type for a column, and a default that fits, if any is to be had.
    fn column_type(&mut self) -> (String, Option<String>) {
        if !self.types.is_empty() && self.one_in(5) {
            let own = self.of(&self.types.clone());
            return (if self.one_in(3) { format!("{own}[]") } else { own }, None);
        }
        let (name, values) = self.of(&TYPES);
        (name.to_owned(), Some(self.of(values).to_owned()))
    }

    fn types(&mut self, schema: &str) {
        for _ in 0..2 {
            let name = format!("{schema}.{}", self.name());
            match self.pick(4) {
                0 => {
                    let labels: Vec<String> =
                        (0..=self.pick(4)).map(|_| literal(&self.bare_name())).collect();
                    self.say(format!("CREATE TYPE {name} AS ENUM ({})", labels.join(", ")));
                }
                1 => {
                    let fields: Vec<String> = (0..=self.pick(3))
                        .map(|_| format!("{} {}", self.name(), self.column_type().0))
                        .collect();
                    self.say(format!("CREATE TYPE {name} AS ({})", fields.join(", ")));
                }
                2 => self.say(format!("CREATE TYPE {name} AS RANGE (subtype = text, collation = \"C\")")),
                _ => {
                    let (base, default) = self.column_type();
                    let default = default.filter(|_| self.one_in(2)).map(|value| format!(" DEFAULT {value}"));
                    let check = self.name();
                    self.say(format!(
                        "CREATE DOMAIN {name} AS {base}{} CONSTRAINT {check} CHECK (VALUE IS NOT NULL OR VALUE IS NULL)",
                        default.unwrap_or_default()
                    ));
                    if self.one_in(2) {
                        let late = self.name();
                        self.say(format!("ALTER DOMAIN {name} ADD CONSTRAINT {late} CHECK (VALUE IS NULL OR true) NOT VALID"));
                        self.comment(&format!("CONSTRAINT {late} ON DOMAIN {name}"));
                    }
                }
            }
            self.comment(&format!("TYPE {name}"));
            self.owner(&format!("TYPE {name}"));
            self.grants(&format!("TYPE {name}"), &["USAGE"]);
            self.types.push(name);
        }
    }

    fn functions(&mut self, schema: &str) {
        let name = format!("{schema}.{}", self.name());
        let (argument, (kind, default)) = (self.name(), self.column_type());
        let default = default.map(|value| format!(" DEFAULT {value}")).unwrap_or_default();
        let options = self.of(&[
            "IMMUTABLE",
            "STABLE STRICT",
            "VOLATILE SECURITY DEFINER",
            "PARALLEL SAFE COST 7 SET work_mem = '1MB'",
        ]);
        let body = match self.pick(3) {
            0 => "LANGUAGE sql AS $f$SELECT 1 -- $$ 'x\n$f$".to_owned(),
            1 => "LANGUAGE plpgsql AS $$BEGIN RETURN 1; END$$".to_owned(),
            _ if self.major >= 14 => "LANGUAGE sql RETURN 1".to_owned(),
            _ => "LANGUAGE sql AS 'SELECT 1'".to_owned(),
        };
        self.say(format!(
            "CREATE FUNCTION {name}({argument} {kind}{default}) RETURNS integer {options} {body}"
        ));
        let signature = format!("FUNCTION {name}({kind})");
        self.comment(&signature);
        self.owner(&signature);
        self.grants(&signature, &["EXECUTE", "ALL"]);
        if !default.is_empty() {
            self.functions.push(name);
        }
    }

    /// Columns of a table, with what is said of each.
    fn columns(&mut self) -> (Vec<(String, String)>, Vec<String>) {
        let (mut columns, mut parts) = (Vec::new(), Vec::new());
        for _ in 0..=self.pick(6) {
            let (name, (kind, default)) = (self.name(), self.column_type());
            let mut part = format!("{name} {kind}");
            if kind == "text" && self.one_in(3) {
                part.push_str(" COLLATE \"C\"");
            }
            let constraint = self.name();
            match self.pick(7) {
                0 => part.push_str(" NOT NULL"),
                1 if self.major >= 18 => part.push_str(&format!(" CONSTRAINT {constraint} NOT NULL")),
                2 => part.push_str(&format!(" CONSTRAINT {constraint} CHECK ({name} IS NOT NULL OR true)")),
                _ => {}
            }
            match (self.pick(6), default) {
                (0 | 1, Some(value)) => part.push_str(&format!(" DEFAULT {value}")),
                (2, Some(_)) if kind == "integer" && !self.functions.is_empty() => {
                    part.push_str(&format!(" DEFAULT {}()", self.of(&self.functions.clone())));
                }
                (3, Some(_)) if kind == "integer" || kind == "bigint" => {
                    let when = self.of(&["ALWAYS", "BY DEFAULT"]);
                    part.push_str(&format!(
                        " GENERATED {when} AS IDENTITY (START 7 INCREMENT -3 MINVALUE -900 MAXVALUE 10)"
                    ));
                }
                (4, Some(_)) if kind == "integer" && !columns.is_empty() => {
                    let stored = if self.major >= 18 && self.one_in(2) { "VIRTUAL" } else { "STORED" };
                    part.push_str(&format!(" GENERATED ALWAYS AS (6 * 7) {stored}"));
                }
                _ => {}
            }
            columns.push((name, kind));
            parts.push(part);
        }
        (columns, parts)
    }

    fn table(&mut self, schema: &str) {
        let name = format!("{schema}.{}", self.name());
        let (mut columns, mut parts) = self.columns();
        let (key, constraint) = (self.name(), self.name());
        let keyed = self.one_in(2);
        if keyed {
            parts.push(format!("{key} bigint CONSTRAINT {constraint} PRIMARY KEY"));
            columns.push((key.clone(), "bigint".to_owned()));
        }
        let parent = self
            .tables
            .iter()
            .find(|t| !t.partitioned && t.key.is_none())
            .cloned()
            .filter(|_| self.one_in(4));
        let inherits =
            parent.as_ref().map(|parent| format!(" INHERITS ({})", parent.name)).unwrap_or_default();
        let persistence = if self.one_in(6) { "UNLOGGED " } else { "" };
        let options =
            if self.one_in(4) { " WITH (fillfactor = 55, toast.autovacuum_enabled = false)" } else { "" };
        self.say(format!("CREATE {persistence}TABLE {name} ({}){inherits}{options}", parts.join(", ")));
        if let Some(parent) = parent {
            columns.extend(parent.columns);
        }
        self.about_table(&name, &mut columns, false);
        // A permanent table cannot refer to an unlogged one.
        let key = Some(key).filter(|_| keyed && persistence.is_empty());
        self.say(format!(
            "DO $i$ BEGIN INSERT INTO {name} DEFAULT VALUES; EXCEPTION WHEN OTHERS THEN NULL; END $i$"
        ));
        self.tables.push(Table { name, columns, key, partitioned: false });
    }

    /// What any table may have: comments, indexes, foreign keys, privileges, triggers, policies.
    fn about_table(&mut self, name: &str, columns: &mut Vec<(String, String)>, partitioned: bool) {
        self.comment(&format!("TABLE {name}"));
        let (column, kind) = self.of(&columns.clone());
        self.comment(&format!("COLUMN {name}.{column}"));
        if self.one_in(3) {
            self.say(format!("ALTER TABLE ONLY {name} ALTER {column} SET STATISTICS 77"));
        }
        if kind == "text" && self.one_in(2) {
            self.say(format!("ALTER TABLE {name} ALTER {column} SET STORAGE EXTERNAL"));
        }
        let index = self.name();
        match self.pick(5) {
            0 => {
                self.say(format!("CREATE INDEX {index} ON {name} ({column})"));
                let schema = name.split_once("\".\"").map_or(name, |(schema, _)| schema);
                self.comment(&format!("INDEX {schema}\".{index}"));
            }
            1 if kind != "jsonb" => self.say(format!(
                "CREATE INDEX {index} ON {name} ({column} DESC NULLS LAST) WHERE {column} IS NOT NULL"
            )),
            2 => self.say(format!(
                "CREATE INDEX {index} ON {name} (({column} IS NULL), {column}) WITH (fillfactor = 66)"
            )),
            3 if !partitioned => self.say(format!(
                "ALTER TABLE {name} ADD CONSTRAINT {index} UNIQUE ({column}) DEFERRABLE INITIALLY DEFERRED"
            )),
            _ => {}
        }
        let target = self.tables.iter().rev().find(|t| t.key.is_some()).cloned();
        if let Some(target) = target.filter(|_| self.one_in(2)) {
            let (reference, constraint) = (self.name(), self.name());
            let action = self.of(&[
                "",
                " ON DELETE CASCADE",
                " ON UPDATE SET NULL DEFERRABLE INITIALLY DEFERRED",
                " MATCH FULL",
            ]);
            self.say(format!("ALTER TABLE {name} ADD COLUMN {reference} bigint"));
            let valid = if self.one_in(4) && !partitioned { " NOT VALID" } else { "" };
            self.say(format!(
                "ALTER TABLE {name} ADD CONSTRAINT {constraint} FOREIGN KEY ({reference}) REFERENCES {} ({}){action}{valid}",
                target.name,
                target.key.unwrap()
            ));
            self.comment(&format!("CONSTRAINT {constraint} ON {name}"));
            columns.push((reference, "bigint".to_owned()));
        }
        self.about_access(name, columns, partitioned);
    }

    /// The rest of [`Self::about_table`].
    fn about_access(&mut self, name: &str, columns: &[(String, String)], partitioned: bool) {
        let (column, _) = self.of(columns);
        if self.one_in(4) {
            let dropped = self.name();
            self.say(format!("ALTER TABLE {name} ADD COLUMN {dropped} text"));
            self.say(format!("ALTER TABLE {name} DROP COLUMN {dropped}"));
        }
        if self.one_in(4) {
            let check = self.name();
            let inherit = if partitioned { "" } else { " NO INHERIT" };
            self.say(format!(
                "ALTER TABLE {name} ADD CONSTRAINT {check} CHECK ({column} IS NULL){inherit} NOT VALID"
            ));
        }
        self.owner(&format!("TABLE {name}"));
        self.grants(&format!("TABLE {name}"), &["SELECT", "INSERT", "ALL"]);
        self.grants(
            &format!("TABLE {name}"),
            &[&format!("SELECT ({column})"), &format!("UPDATE ({column})")],
        );
        if self.one_in(4) {
            let policy = self.name();
            self.say(format!("ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"));
            self.say(format!(
                "CREATE POLICY {policy} ON {name} AS RESTRICTIVE FOR SELECT TO {} USING ({column} IS NULL)",
                quoted(ROLES[1])
            ));
            self.comment(&format!("POLICY {policy} ON {name}"));
        }
        if self.one_in(4) {
            let trigger = self.name();
            self.say(format!("CREATE TRIGGER {trigger} AFTER UPDATE ON {name} FOR EACH ROW EXECUTE FUNCTION random_trigger('a', 'it''s')"));
            let state = self.of(&["ENABLE ALWAYS", "ENABLE REPLICA", "DISABLE"]);
            self.say(format!("ALTER TABLE {name} {state} TRIGGER {trigger}"));
        }
        if columns.len() > 1 && self.one_in(4) {
            let (statistics, schema) =
                (self.name(), name.split_once("\".\"").map_or(name, |(schema, _)| schema));
            let second = columns.iter().find(|(other, _)| *other != column).unwrap().0.clone();
            self.say(format!(
                "CREATE STATISTICS {schema}\".{statistics} (dependencies) ON {column}, {second} FROM {name}"
            ));
        }
    }

    /// A tree of partitions, one or two levels deep, of which some are attached with another order of columns.
    fn partitions(&mut self, schema: &str) {
        let name = format!("{schema}.{}", self.name());
        let (a, b) = (self.name(), self.name());
        let list = [format!("{a} integer"), format!("{b} text DEFAULT 'x'")];
        let (method, bounds): (&str, [&str; 2]) = self.of(&[
            ("LIST", ["FOR VALUES IN (1, NULL)", "DEFAULT"]),
            ("RANGE", ["FOR VALUES FROM (MINVALUE) TO (5)", "FOR VALUES FROM (5) TO (MAXVALUE)"]),
            (
                "HASH",
                ["FOR VALUES WITH (MODULUS 2, REMAINDER 0)", "FOR VALUES WITH (MODULUS 2, REMAINDER 1)"],
            ),
        ]);
        self.say(format!("CREATE TABLE {name} ({}) PARTITION BY {method} ({a})", list.join(", ")));
        let mut columns = vec![(a.clone(), "integer".to_owned()), (b.clone(), "text".to_owned())];
        for bound in bounds {
            let leaf = format!("{schema}.{}", self.name());
            match self.pick(4) {
                0 => {
                    let gone = self.name();
                    self.say(format!(
                        "CREATE TABLE {leaf} ({b} text DEFAULT 'own', {gone} date, {a} integer)"
                    ));
                    self.say(format!("ALTER TABLE {leaf} DROP COLUMN {gone}"));
                    self.say(format!("ALTER TABLE {name} ATTACH PARTITION {leaf} {bound}"));
                }
                1 => {
                    self.say(format!(
                        "CREATE TABLE {leaf} PARTITION OF {name} {bound} PARTITION BY LIST ({b})"
                    ));
                    let below = format!("{schema}.{}", self.name());
                    self.say(format!(
                        "CREATE TABLE {below} PARTITION OF {leaf} ({b} DEFAULT 'below' NOT NULL) DEFAULT"
                    ));
                }
                _ => self.say(format!("CREATE TABLE {leaf} PARTITION OF {name} {bound}")),
            }
            self.comment(&format!("TABLE {leaf}"));
        }
        self.about_table(&name, &mut columns, true);
        self.say(format!("DO $i$ BEGIN INSERT INTO {name} ({a}, {b}) SELECT i, 'row' FROM generate_series(1, 9) i; EXCEPTION WHEN OTHERS THEN NULL; END $i$"));
        self.tables.push(Table { name, columns, key: None, partitioned: true });
    }

    /// A view over a table, or over a view over one.
    fn view(&mut self, schema: &str) {
        let below: Vec<(String, Vec<(String, String)>)> = self
            .tables
            .iter()
            .map(|t| (t.name.clone(), t.columns.clone()))
            .chain(self.views.clone())
            .collect();
        let ((from, columns), name, alias) =
            (self.of(&below), format!("{schema}.{}", self.name()), self.name());
        let (column, kind) = self.of(&columns);
        let materialized = self.one_in(3);
        let what = if materialized { "MATERIALIZED VIEW" } else { "VIEW" };
        let options = if !materialized && self.one_in(4) { " WITH (security_barrier = true)" } else { "" };
        self.say(format!("CREATE {what} {name}{options} AS SELECT t.{column} AS {alias}, count(*) OVER () AS n FROM {from} t WHERE t.{column} IS NOT NULL"));
        self.comment(&format!("{what} {name}"));
        if !materialized {
            // One whose owner may not read what it selects cannot be filled again.
            self.owner(&format!("{what} {name}"));
        }
        self.grants(&format!("TABLE {name}"), &["SELECT", "ALL"]);
        if self.one_in(2) {
            self.views.push((name, vec![(alias, kind)]));
        }
    }

    fn schema(&mut self) {
        let schema = self.name();
        self.say(format!("CREATE SCHEMA {schema}"));
        self.comment(&format!("SCHEMA {schema}"));
        self.grants(&format!("SCHEMA {schema}"), &["USAGE", "CREATE", "ALL"]);
        for role in ROLES {
            self.say(format!("GRANT ALL ON SCHEMA {schema} TO {}", quoted(role)));
        }
        if self.one_in(3) {
            let role = quoted(self.of(&ROLES));
            self.say(format!("ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {role}"));
        }
        let sequence = format!("{schema}.{}", self.name());
        self.say(format!("CREATE SEQUENCE {sequence} AS integer START 5 CACHE 3 CYCLE"));
        self.say(format!("SELECT nextval({})", literal(&sequence)));
        self.types(&schema);
        self.functions(&schema);
        for _ in 0..2 + self.pick(3) {
            self.table(&schema);
        }
        self.partitions(&schema);
        for _ in 0..=self.pick(3) {
            self.view(&schema);
        }
    }
}

/// The statements of one case.
pub(super) fn script(choices: Vec<u16>, major: u32) -> Vec<String> {
    let mut generator = Generator {
        choices,
        at: 0,
        major,
        number: 0,
        statements: vec![
            "CREATE FUNCTION random_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
                .to_owned(),
        ],
        tables: Vec::new(),
        views: Vec::new(),
        types: Vec::new(),
        functions: Vec::new(),
    };
    for _ in 0..SCHEMAS {
        generator.schema();
    }
    generator.statements
}
