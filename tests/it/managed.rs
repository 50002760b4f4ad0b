//! Managed services, emulated by roles, schemas and privileges (`tests/fixtures/platforms/`): backed up and restored by a
//! role that is no superuser, into a project that was just made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::harness::cli::{Run, backup, folder, pass, pgcask, restore, run};
use crate::harness::oracle::same_text;
use crate::harness::output;
use crate::harness::postgres::{Db, Server, newest, versions};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/platforms").join(name)
}

/// A server of a platform: `admin` is the platform's superuser, `user` the role that its customer has.
struct Platform {
    server: Server,
    name: &'static str,
    admin: &'static str,
    user: &'static str,
}

impl Platform {
    fn start(major: u32, name: &'static str, admin: &'static str, user: &'static str) -> Self {
        let server = Server::private(major, &["wal_level=logical"]);
        // The harness's superuser becomes the platform's; the name may then be the customer's.
        server.sql("postgres", "CREATE ROLE midwife SUPERUSER LOGIN");
        let platform = Self { server, name, admin, user };
        platform.sql_as("midwife", "postgres", &format!("ALTER ROLE postgres RENAME TO {admin}"));
        platform.script_as(admin, "postgres", &fixture(&format!("{name}_roles.sql")));
        if user != "postgres" {
            // What the harness connects as.
            platform.sql_as(admin, "postgres", "CREATE ROLE postgres SUPERUSER LOGIN");
        }
        platform
    }

    fn supabase(major: u32) -> Self {
        Self::start(major, "supabase", "supabase_admin", "postgres")
    }

    fn rds(major: u32) -> Self {
        Self::start(major, "rds", "rdsadmin", "master")
    }

    /// A project that was just made.
    fn project(&self) -> Db<'_> {
        let db = self.server.adopt(self.server.fresh_name());
        self.sql_as(
            self.admin,
            "postgres",
            &format!("CREATE DATABASE {db} OWNER {} TEMPLATE template0", self.user),
        );
        self.script_as(self.admin, &db, &fixture(&format!("{}.sql", self.name)));
        db
    }

    /// A project that somebody uses.
    fn used_project(&self) -> Db<'_> {
        let db = self.project();
        self.script_as(self.user, &db, &fixture(&format!("{}_user.sql", self.name)));
        db
    }

    fn url(&self, db: &str) -> String {
        self.server.url(db).replacen("postgres@", &format!("{}@", self.user), 1)
    }

    fn script_as(&self, role: &str, db: &str, file: &Path) {
        let mut psql = self.server.client("psql", db);
        output(
            psql.env("PGUSER", role)
                .args(["-Xq", "-o", "/dev/null", "-v", "ON_ERROR_STOP=1", "-f"])
                .arg(file),
        );
    }

    fn sql_as(&self, role: &str, db: &str, sql: &str) -> String {
        let mut psql = self.server.client("psql", db);
        output(psql.env("PGUSER", role).args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql])).trim().to_owned()
    }

    fn admin(&self, db: &str, sql: &str) -> String {
        self.sql_as(self.admin, db, sql)
    }

    fn user(&self, db: &str, sql: &str) -> String {
        self.sql_as(self.user, db, sql)
    }

    /// The definitions, as `pg_dump` tells them to who may see all.
    fn schema(&self, db: &str) -> String {
        let mut dump = self.server.client("pg_dump", db);
        let text = output(dump.env("PGUSER", self.admin).args(["--schema-only", "--restrict-key=x"]));
        text.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n")
    }

    /// A hash of the rows of every table.
    fn content(&self, db: &str) -> BTreeMap<String, String> {
        let tables = self.admin(
            db,
            "SELECT string_agg(format('SELECT %L, count(*), md5(coalesce(string_agg(t::text, E''\\n'' ORDER BY t::text), '''')) FROM ONLY %I.%I t',
                 n.nspname || '.' || c.relname, n.nspname, c.relname), ' UNION ALL ')
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'",
        );
        let rows = self.admin(db, &format!("SET timezone = 'UTC'; {tables}"));
        rows.lines()
            .filter_map(|line| line.split_once('|'))
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .collect()
    }
}

fn back_up(platform: &Platform, folder: &Path, db: &str, more: &[&str]) -> Run {
    let store = folder.join("store").display().to_string();
    let url = platform.url(db);
    run(pgcask(["backup", &url, "--to", &store, "--json", "--jobs", "2", &pass(folder)]).args(more))
}

fn archive(run: &Run) -> String {
    run.json()["archive"].as_str().unwrap().to_owned()
}

fn assert_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

fn edges(versions: &[u32]) -> Vec<u32> {
    let (first, last) = (versions.iter().min().unwrap(), versions.iter().max().unwrap());
    if first == last { vec![*first] } else { vec![*first, *last] }
}

#[test]
fn a_supabase_project_comes_back_in_a_new_one() {
    for major in edges(&versions()) {
        let platform = Platform::supabase(major);
        let (source, target) = (platform.used_project(), platform.project());
        platform.admin(&source, "INSERT INTO vault.secrets (name, secret) VALUES ('k', 'sealed')");
        platform.admin(&source, "GRANT USAGE ON SCHEMA auth TO app_reader");
        assert_eq!(platform.user(&source, "SHOW is_superuser"), "off");
        let folder = folder();
        let made = back_up(&platform, folder.path(), &source, &[]).expect(0);
        assert_contains(
            &made.stderr,
            &[
                "platform supabase",
                "rows left to the platform supabase",
                "auth.schema_migrations",
                "rows of vault are in the backup, and are of no use in another project",
            ],
        );
        let before = platform.content(&target);
        let restored = restore(folder.path(), &archive(&made), &platform.url(&target), &[]).expect(0);
        assert_eq!(restored.json()["verified"], true);
        assert_contains(
            &restored.stderr,
            &[
                "left to the platform supabase, which has its own, event trigger: EVENT TRIGGER pgrst_ddl_watch",
                "auth.instances: 1 rows that the target had under the same keys are replaced",
                "rows of vault.secrets are left out: the role lacks INSERT",
                "grant it yourself: USAGE on SCHEMA auth to app_reader",
            ],
        );
        platform.admin(&target, "GRANT USAGE ON SCHEMA auth TO app_reader");
        same_text(&platform.schema(&source), &platform.schema(&target), "definitions");
        // All rows, but those of the platform's accounts of itself, and what nobody could decrypt.
        let (mut wanted, found) = (platform.content(&source), platform.content(&target));
        for table in [
            "auth.schema_migrations",
            "storage.migrations",
            "realtime.schema_migrations",
            "supabase_functions.migrations",
            "vault.secrets",
        ] {
            wanted.insert(table.to_owned(), before[table].clone());
        }
        assert_eq!(wanted, found, "on {major}");
        works(&platform, &source, &target);
    }
}

/// What a user of the project would miss first.
fn works(platform: &Platform, source: &str, target: &str) {
    let rights = "SELECT format('%s %s %s', o.name, r, o.p) FROM (
        SELECT 'table ' || c.oid::regclass AS name, c.oid, p, 'r' AS kind FROM pg_class c, unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,TRIGGER}'::text[]) p
          WHERE c.relkind IN ('r', 'v', 'm', 'p') AND c.relnamespace::regnamespace::text IN ('public', 'app', 'auth', 'storage', 'extensions', 'supabase_migrations')
        UNION ALL SELECT 'sequence ' || c.oid::regclass, c.oid, p, 'S' FROM pg_class c, unnest('{USAGE,SELECT,UPDATE}'::text[]) p
          WHERE c.relkind = 'S' AND c.relnamespace::regnamespace::text IN ('public', 'app', 'auth')
        UNION ALL SELECT 'function ' || f.oid::regprocedure, f.oid, 'EXECUTE', 'f' FROM pg_proc f
          WHERE f.pronamespace::regnamespace::text IN ('public', 'app', 'auth', 'storage')) o,
        unnest('{anon,authenticated,service_role,app_reader,app_owner}'::text[]) r
        WHERE CASE o.kind WHEN 'r' THEN has_table_privilege(r, o.oid, o.p) WHEN 'S' THEN has_sequence_privilege(r, o.oid, o.p)
          ELSE has_function_privilege(r, o.oid, o.p) END ORDER BY 1";
    let (wanted, found) = (platform.admin(source, rights), platform.admin(target, rights));
    same_text(&wanted, &found, "rights");
    assert_contains(&wanted, &["table posts anon SELECT"]);
    assert!(!wanted.contains("table closed anon"), "{wanted}");
    let rls = "SELECT format('%s.%s %s %s %s %s %s', schemaname, tablename, policyname, roles, cmd, qual, with_check) FROM pg_policies ORDER BY 1";
    same_text(&platform.admin(source, rls), &platform.admin(target, rls), "policies");
    assert_contains(&platform.admin(target, rls), &["storage.objects own folder", "public.profiles own"]);
    // The user's triggers on the platform's tables act, and sequences go on.
    platform.user(
        target,
        "INSERT INTO auth.users (id, email) VALUES ('20000000-0000-0000-0000-000000000000', 'new@example.com');
         INSERT INTO auth.refresh_tokens (token) VALUES ('next')",
    );
    let new = "SELECT count(*) FROM public.profiles WHERE nick = 'new@example.com'";
    assert_eq!(platform.user(target, new), "1");
    assert_eq!(platform.user(target, "SELECT id FROM auth.refresh_tokens WHERE token = 'next'"), "501");
    assert_eq!(
        platform.user(target, "SELECT count(*) FROM supabase_functions.hooks WHERE hook_name = 'hook_users'"),
        "501"
    );
    // Row-level security hides what it hid.
    let as_user = "SET ROLE authenticated; SET request.jwt.claim.sub = '10000000-0000-0000-0000-000000000003'; SELECT count(*) FROM public.profiles";
    assert_eq!(platform.sql_as("authenticator", target, as_user), "1");
    let published = "SELECT pubname || ' ' || tablename FROM pg_publication_tables ORDER BY 1";
    assert_eq!(platform.user(target, published), platform.user(source, published));
    // New tables are as open as they would be in the source, not as in a new project.
    let make = "CREATE FUNCTION public.later() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT coalesce(proacl::text, '-') FROM pg_proc WHERE proname = 'later'";
    assert_eq!(platform.user(target, make), platform.user(source, make));
}

#[test]
fn a_platform_of_another_version_is_told_and_loses_nothing() {
    let platform = Platform::supabase(newest());
    let source = platform.used_project();
    let folder = folder();
    let made = back_up(&platform, folder.path(), &source, &[]).expect(0);
    // Newer: one more column, one more table; an index is gone.
    let newer = platform.project();
    platform.admin(
        &newer,
        "ALTER TABLE auth.users ADD COLUMN is_anonymous boolean NOT NULL DEFAULT false;
         CREATE TABLE auth.oauth_clients (id int PRIMARY KEY); DROP INDEX auth.users_confirmed",
    );
    let dry = restore(folder.path(), &archive(&made), &platform.url(&newer), &["--dry-run"]).expect(0);
    assert_contains(
        &dry.stdout,
        &[
            "auth.users has columns that the archive lacks: is_anonymous",
            "lacks, and nobody else may make, index",
            "users_confirmed",
        ],
    );
    restore(folder.path(), &archive(&made), &platform.url(&newer), &[]).expect(0);
    assert_eq!(
        platform.user(&newer, "SELECT count(*), count(*) FILTER (WHERE is_anonymous) FROM auth.users"),
        "500|0"
    );
    // Older: a column with values is missing. Nothing may be touched.
    let older = platform.project();
    platform.admin(&older, "ALTER TABLE auth.users DROP COLUMN encrypted_password");
    let before = (platform.schema(&older), platform.content(&older));
    let refused = restore(folder.path(), &archive(&made), &platform.url(&older), &[]).expect(9);
    assert_contains(
        &refused.stderr,
        &[
            "500 rows have a value in the column encrypted_password of auth.users",
            "--exclude-table-data auth.users",
        ],
    );
    assert!(before == (platform.schema(&older), platform.content(&older)), "something was touched");
    // A column without values is no loss.
    let other = platform.project();
    platform.admin(&other, "ALTER TABLE auth.users DROP COLUMN phone_confirmed_at CASCADE");
    restore(folder.path(), &archive(&made), &platform.url(&other), &[]).expect(0);
    assert_eq!(platform.user(&other, "SELECT count(*) FROM auth.users"), "500");
    // What the user's objects need and the platform lacks is told before.
    let bare = platform.project();
    platform.admin(&bare, "DROP FUNCTION supabase_functions.http_request()");
    let refused = restore(folder.path(), &archive(&made), &platform.url(&bare), &[]).expect(9);
    assert_contains(
        &refused.stderr,
        &["TRIGGER \"hook\" ON \"public\".\"posts\" needs FUNCTION", "http_request"],
    );
}

#[test]
fn rows_that_a_project_had_are_never_lost_in_silence() {
    let platform = Platform::supabase(newest());
    let (source, target) = (platform.used_project(), platform.project());
    let folder = folder();
    let made = back_up(&platform, folder.path(), &source, &[]).expect(0);
    // Another account of the same address: a restore of half of the accounts would be worse than none.
    platform
        .user(&target, "INSERT INTO auth.users (id, email) VALUES (gen_random_uuid(), 'User7@example.com')");
    let before = platform.content(&target);
    let failed = restore(folder.path(), &archive(&made), &platform.url(&target), &[]).expect(1);
    assert_contains(&failed.stderr, &["load auth.users", "users_email_key"]);
    assert_eq!(before, platform.content(&target));
    assert_eq!(platform.user(&target, "SELECT count(*) FROM pg_class WHERE relname = 'posts'"), "0");
    platform.user(&target, "UPDATE auth.users SET email = 'somebody@example.com'");
    let restored = restore(folder.path(), &archive(&made), &platform.url(&target), &[]).expect(0);
    assert_contains(
        &restored.stderr,
        &["auth.users: 1 rows that the target had, and the archive has not, stay"],
    );
    assert_eq!(platform.user(&target, "SELECT count(*) FROM auth.users"), "501");
    // A project in use is no target.
    let refused = restore(folder.path(), &archive(&made), &platform.url(&target), &[]).expect(9);
    assert_contains(&refused.stderr, &["is not empty"]);
}

#[test]
fn owners_that_cannot_be_set_are_replaced_and_keep_their_access() {
    for major in edges(&versions()) {
        let platform = Platform::supabase(major);
        let (source, target) = (platform.used_project(), platform.project());
        platform.admin(
            &source,
            "CREATE TABLE public.by_console (id int PRIMARY KEY, v text); INSERT INTO public.by_console VALUES (1, 'x');
             GRANT SELECT ON public.by_console TO postgres, anon;
             CREATE SCHEMA strange AUTHORIZATION app_stranger; GRANT USAGE ON SCHEMA strange TO postgres;
             CREATE TABLE strange.t (id int); ALTER TABLE strange.t OWNER TO app_stranger; GRANT SELECT ON strange.t TO postgres;
             INSERT INTO strange.t VALUES (5)",
        );
        let folder = folder();
        let made = back_up(&platform, folder.path(), &source, &[]).expect(0);
        let restored = restore(folder.path(), &archive(&made), &platform.url(&target), &[]).expect(0);
        assert_contains(
            &restored.stderr,
            &["postgres becomes the owner of 2 objects of app_stranger, 1 object of supabase_admin"],
        );
        let owners = "SELECT string_agg(relname || ' ' || pg_get_userbyid(relowner), ', ' ORDER BY relname) FROM pg_class WHERE relname IN ('by_console', 't', 'handed_over')";
        assert_eq!(platform.user(&target, owners), "by_console postgres, handed_over app_owner, t postgres");
        let access = "SELECT has_table_privilege('app_stranger', 'strange.t', 'INSERT'), has_schema_privilege('app_stranger', 'strange', 'CREATE'), has_table_privilege('anon', 'public.by_console', 'SELECT')";
        assert_eq!(platform.user(&target, access), "t|t|t");
        assert_eq!(platform.user(&target, "SELECT count(*) FROM public.by_console, strange.t"), "1");
    }
}

#[test]
fn what_may_not_be_read_fails_by_name_unless_it_is_excluded() {
    for major in edges(&versions()) {
        let platform = Platform::rds(major);
        let (source, target) = (platform.used_project(), platform.project());
        platform.admin(
            &source,
            "CREATE SCHEMA hidden; CREATE TABLE hidden.one (id serial); INSERT INTO hidden.one VALUES (1);
             CREATE TABLE public.two (id int); ALTER TABLE public.two OWNER TO app_stranger; ALTER SCHEMA hidden OWNER TO app_stranger;
             ALTER TABLE hidden.one OWNER TO app_stranger;
             CREATE TABLE public.policed (id int); ALTER TABLE public.policed OWNER TO app_stranger;
             ALTER TABLE public.policed ENABLE ROW LEVEL SECURITY; GRANT SELECT ON public.policed TO master;
             CREATE SEQUENCE public.ticket; ALTER SEQUENCE public.ticket OWNER TO app_stranger;
             SELECT lo_from_bytea(99, 'x'); ALTER LARGE OBJECT 99 OWNER TO app_stranger",
        );
        let folder = folder();
        let failed = back_up(&platform, folder.path(), &source, &[]).expect(1);
        assert_contains(
            &failed.stderr,
            &[
                "table \"hidden\".\"one\" (no USAGE on its schema)",
                "table \"public\".\"two\" (no SELECT on it)",
                "table \"public\".\"policed\" (row-level security would hide rows)",
                "sequence \"hidden\".\"one_id_seq\"",
                "sequence \"public\".\"ticket\"",
                "large object 99",
                "--exclude-table",
            ],
        );
        platform.admin(&source, "SELECT lo_unlink(99)");
        let left_out = [
            "--exclude-schema",
            "hidden",
            "--exclude-table-data",
            "two",
            "--exclude-table",
            "policed",
            "--exclude-table",
            "ticket",
        ];
        let made = back_up(&platform, folder.path(), &source, &left_out).expect(0);
        let shown =
            run(&mut pgcask(["show", &archive(&made), "--json", &pass(folder.path())])).expect(0).json();
        let manifest = shown.to_string();
        assert_contains(
            &manifest,
            &[
                "\"profile\":\"rds\"",
                "\"excluded\":[\"policed\",\"ticket\",\"hidden\"]",
                "\"rows_of\":[\"two\"]",
                "public.rds_heartbeat",
            ],
        );
        let restored = restore(folder.path(), &archive(&made), &platform.url(&target), &[]).expect(0);
        assert_contains(
            &restored.stderr,
            &["the platform rds", "master becomes the owner of 1 object of app_stranger"],
        );
        for (query, answer) in [
            ("SELECT count(*) FROM public.orders WHERE tags ? 'n'", "1000"),
            ("SELECT v FROM app.items", "one"),
            ("SELECT count(*) FROM public.two", "0"),
            ("SELECT value FROM public.rds_heartbeat", "42"),
            ("SELECT relowner::regrole FROM pg_class WHERE relname = 'orders'", "rds_superuser"),
            ("SELECT relowner::regrole FROM pg_class WHERE relname = 'items'", "app_owner"),
            ("SELECT has_table_privilege('app_reader', 'app.items', 'SELECT')", "t"),
            ("SELECT nextval('public.orders_id_seq')", "1001"),
        ] {
            assert_eq!(platform.admin(&target, query), answer, "{query}");
        }
    }
}

#[test]
fn without_a_profile_everything_is_the_users() {
    let platform = Platform::supabase(newest());
    let source = platform.used_project();
    let folder = folder();
    // As the platform's superuser, into a database that is no project: objects, rows, and all.
    let url = platform.server.url(&source).replacen("postgres@", "supabase_admin@", 1);
    let made = backup(folder.path(), &url, &["--profile", "none"]);
    let target = platform.server.fresh_name();
    let target = platform.server.adopt(target);
    let url = platform.server.url(&target).replacen("postgres@", "supabase_admin@", 1);
    let restored = restore(folder.path(), made["archive"].as_str().unwrap(), &url, &["--create"]).expect(0);
    assert_eq!(restored.json()["verified"], true);
    same_text(&platform.schema(&source), &platform.schema(&target), "definitions");
    assert_eq!(platform.content(&source), platform.content(&target));
}
