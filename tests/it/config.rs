//! The configuration: flags before the environment before `pgcask.toml` before defaults; names of databases and stores;
//! secrets; `.env`; the environment names that teams have already.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::cli::{Run, folder, pgcask, run};
use crate::harness::oracle::assert_same;
use crate::harness::postgres::{Server, newest};
use crate::harness::s3::{S3Server, SECRET};

/// Writes a file with a mode.
fn write(path: &Path, text: &str, mode: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The program in a folder with this `pgcask.toml`.
fn with(folder: &Path, toml: &str, args: &[&str]) -> Command {
    write(&folder.join("pgcask.toml"), toml, 0o600);
    let mut command = pgcask(args);
    command.current_dir(folder);
    command
}

/// The shown value of a key, and where it came from.
fn shown(run: &Run, section: &str, key: &str) -> (String, String) {
    let all = run.json();
    let values = all["values"].as_array().unwrap();
    let found = values.iter().find(|value| value["section"] == section && value["key"] == key);
    let found = found.unwrap_or_else(|| panic!("{section} {key}: {values:?}"));
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    (text(&found["value"]), text(&found["origin"]))
}

#[test]
fn what_is_wrong_is_named_with_its_place_and_the_nearest_key() {
    let folder = folder();
    let toml = "[databases.shop]\nurl = \"postgres://app@db/shop\"\njosb = 4\nlevel = 99\nkind = \"dayly\"\n\n[database.x]\n\
                url = \"y\"\n[stores.offsite]\nregion = \"x\"\n[validate]\ncritical = [1]\n";
    let failed = run(&mut with(folder.path(), toml, &["backup", "shop"])).expect(2);
    for expected in [
        "pgcask.toml:3:1: unknown key josb in [databases.shop]; did you mean jobs?",
        "pgcask.toml:4:9: level: a number from -7 to 22 is expected",
        "pgcask.toml:5:8: kind: \"dayly\" is none of daily, weekly, monthly, pre-deploy, manual; did you mean daily?",
        "pgcask.toml:7:2: unknown key database at the top of the file; did you mean databases?",
        "pgcask.toml:12:12: critical: a list of texts is expected",
    ] {
        assert!(failed.stderr.contains(expected), "{expected}\n{}", failed.stderr);
    }
    let rest = "default_database = \"shp\"\n[databases.shop]\nurl = \"x\"\nstore = \"offsit\"\n[stores.offsite]\nregion = \"x\"\n\
                [stores.disk]\nurl = \"./b\"\nregion = \"x\"\n";
    let failed = run(&mut with(folder.path(), rest, &["config", "check"])).expect(2);
    for expected in [
        "pgcask.toml:1:1: there is no [databases.shp]; did you mean shop?",
        "there is no [stores.offsit]; did you mean offsite?",
        "[stores.offsite] lacks its url",
        "region means nothing for ./b",
    ] {
        assert!(failed.stderr.contains(expected), "{expected}\n{}", failed.stderr);
    }
    let failed = run(&mut with(folder.path(), "[databases.shop\n", &["list"])).expect(2);
    assert!(failed.stderr.contains("pgcask.toml:1:16: "), "{}", failed.stderr);
    run(pgcask(["list", "--config", "nowhere.toml"]).current_dir(folder.path())).expect(2);
    // What needs no configuration is not held up by a wrong one.
    run(&mut with(folder.path(), "x", &["completions", "bash"])).expect(0);
}

#[test]
fn secrets_stand_only_in_a_file_that_nobody_else_reads() {
    let folder = folder();
    let file = folder.path().join("pgcask.toml");
    let secret = "correct-horse";
    for toml in [
        format!("[databases.shop]\nhost = \"db\"\npassword = \"{secret}\"\n"),
        format!("[databases.shop]\nurl = \"postgres://app:{secret}@db/shop\"\n"),
        format!("[databases.shop]\nurl = \"host=db password = {secret}\"\n"),
    ] {
        write(&file, &toml, 0o644);
        let refused = run(pgcask(["config", "show"]).current_dir(folder.path())).expect(2);
        assert!(
            refused.stderr.contains("chmod 600") && !refused.stderr.contains(secret),
            "{}",
            refused.stderr
        );
        write(&file, &toml, 0o600);
        for args in [&["config", "show"][..], &["config", "show", "--json"], &["config", "check"]] {
            let shown = run(pgcask(args).current_dir(folder.path())).expect(0);
            assert!(!format!("{shown:?}").contains(secret), "{shown:?}");
        }
    }
    // Keys of stores never do.
    let toml = format!("[stores.s]\nurl = \"s3://b\"\nsecret_access_key = \"{secret}\"\n");
    let refused = run(&mut with(folder.path(), &toml, &["config", "show"])).expect(2);
    assert!(refused.stderr.contains("{ env = ") && !refused.stderr.contains(secret), "{}", refused.stderr);
    // A file that others may write can name commands to run.
    write(&file, "", 0o602);
    let refused = run(pgcask(["config", "show"]).current_dir(folder.path())).expect(2);
    assert!(refused.stderr.contains("everybody may write"), "{}", refused.stderr);
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_defaults() {
    let (server, folder) = (Server::shared(newest()), folder());
    let db = server.create_db();
    server.sql(&db, "CREATE TABLE t AS SELECT 42 AS answer; CREATE TABLE log AS SELECT 1 AS line");
    let toml = format!(
        "[defaults]\nstore = \"./from-file\"\npassphrase_file = \"pass\"\nkind = \"weekly\"\njobs = 2\n\
         [databases.shop]\nurl = \"{}\"\nkind = \"monthly\"\nexclude_table_data = [\"log\"]\n",
        server.url(&db)
    );
    let backup = |configure: &dyn Fn(&mut Command)| {
        let mut command = with(folder.path(), &toml, &["backup", "--json"]);
        configure(&mut command);
        let made = run(&mut command).expect(0).json();
        (made["archive"].as_str().unwrap().to_owned(), made["rows"].as_u64().unwrap())
    };
    let (archive, rows) = backup(&|_| {});
    assert!(archive.contains("/from-file/") && archive.contains("/monthly/"), "{archive}");
    assert_eq!(rows, 1);
    let (archive, _) = backup(&|command| {
        command.env("PGCASK_STORE", "from-environment");
    });
    assert!(archive.contains("/from-environment/") && archive.contains("/monthly/"), "{archive}");
    let (archive, rows) = backup(&|command| {
        command.env("PGCASK_STORE", "from-environment");
        command.args(["shop", "--to", "from-flag", "--kind", "manual", "--exclude-table-data", "nothing"]);
    });
    assert!(archive.contains("/from-flag/") && archive.contains("/manual/"), "{archive}");
    assert_eq!(rows, 2);
    let mut command = with(folder.path(), &toml, &["config", "show", "--all", "--json"]);
    let values = run(command.env("PGCASK_STORE", "from-environment")).expect(0);
    let of_shop = |key: &str| shown(&values, "databases.shop", key);
    assert_eq!(of_shop("store"), ("from-environment".to_owned(), "environment PGCASK_STORE".to_owned()));
    assert_eq!(of_shop("kind"), ("monthly".to_owned(), "pgcask.toml:8".to_owned()));
    assert_eq!(of_shop("jobs"), ("2".to_owned(), "pgcask.toml:5".to_owned()));
    assert_eq!(of_shop("level"), ("1".to_owned(), "default".to_owned()));
    let (url, _) = of_shop("url");
    assert!(url.ends_with(&format!("/{db}")), "{url}");
}

#[test]
fn commands_take_names_keys_priorities_and_demands_from_the_file() {
    let (server, folder) = (Server::shared(newest()), folder());
    let db = server.create_db();
    server.sql(&db, "CREATE TABLE t AS SELECT 42 AS answer; CREATE TABLE users AS SELECT 1 AS id; CREATE TABLE \"Log\" (n int)");
    let key = run(pgcask(["keygen", "--output", "key"]).current_dir(folder.path())).expect(0).stdout;
    let toml = |critical: &str| {
        format!(
            "[databases.shop]\nhost = \"127.0.0.1\"\nport = {}\nuser = \"postgres\"\ndbname = \"{db}\"\nstore = \"disk\"\n\
             recipients = [\"{}\"]\nidentities = [\"key\"]\n[stores.disk]\nurl = \"backups\"\n\
             [priorities]\nP0 = [\"users\"]\n[validate]\ncritical = [{critical}]\nassertions = [\"SELECT count(*) = 1 FROM public.users\"]\n",
            server.port(),
            key.trim()
        )
    };
    let good = toml("\"users\"");
    let ok = |args: &[&str]| run(&mut with(folder.path(), &good, args)).expect(0);
    ok(&["config", "check", "--online"]);
    ok(&["backup", "shop"]);
    let made = ok(&["list", "shop", "--json"]).json();
    assert_eq!(made[0]["database"], *db);
    for command in ["show", "verify"] {
        ok(&[command, "shop/latest"]);
    }
    ok(&["cat", "latest", "public.t"]);
    ok(&["diff", "shop/latest", "--table", "t", "--against", "shop", "--exit-code"]);
    ok(&["validate", "shop", "--against", "shop/latest"]);
    let copy = server.create_db();
    let restored = ok(&["restore", "shop/latest", "--into", &server.url(&copy), "--json"]).json();
    let classes: Vec<_> =
        restored["classes"].as_array().unwrap().iter().map(|class| &class["class"]).collect();
    assert_eq!(classes, ["P0", "rest"]);
    assert_same(server, &db, server, &copy);
    // An empty table that is called critical stops what relies on it.
    let strict = toml("\"users\", \"\\\"Log\\\"\"");
    let failed = run(&mut with(folder.path(), &strict, &["validate", "--against", "latest"])).expect(5);
    assert!(failed.stdout.contains("Log"), "{}", failed.stdout);
    let another = server.create_db();
    run(&mut with(folder.path(), &strict, &["restore", "latest", "--into", &server.url(&another)])).expect(5);
    // A flag takes the place of the key.
    let args = ["validate", "--against", "latest", "--critical", "t", "--database", "shop"];
    run(&mut with(folder.path(), &strict, &args)).expect(0);
    // A server that is not there is told by check, by its code.
    let wrong = good.replace(&format!("port = {}", server.port()), "port = 1");
    let failed = run(&mut with(folder.path(), &wrong, &["config", "check", "--online"])).expect(7);
    assert!(failed.stdout.contains("WRONG  databases.shop"), "{}", failed.stdout);
}

#[test]
fn a_named_store_has_an_endpoint_and_credentials_of_its_own() {
    let (server, folder, s3) = (Server::shared(newest()), folder(), S3Server::shared());
    let (bucket, db) = (s3.fresh_bucket(), server.create_db());
    server.sql(&db, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
    write(&folder.path().join("secret"), SECRET, 0o600);
    let toml = format!(
        "[databases.shop]\nurl = \"{}\"\nstore = \"offsite\"\npassphrase_file = \"pass\"\n[stores.offsite]\n\
         url = \"s3://{bucket}/prod\"\nendpoint = \"{}\"\nregion = \"{}\"\naccess_key_id = {{ env = \"OFFSITE_ID\" }}\n\
         secret_access_key = {{ file = \"secret\" }}\n",
        server.url(&db),
        s3.endpoint(),
        xtask::seaweed::REGION,
    );
    let command = |args: &[&str]| {
        let mut command = with(folder.path(), &toml, args);
        command.env("OFFSITE_ID", xtask::seaweed::ACCESS_KEY);
        // Those of another account: they must not be mixed with the store's own.
        command.envs([
            ("AWS_ACCESS_KEY_ID", "other"),
            ("AWS_SECRET_ACCESS_KEY", "other"),
            ("AWS_SESSION_TOKEN", "other"),
        ]);
        command
    };
    let made = run(&mut command(&["backup", "--json"])).expect(0).json();
    let archive = made["archive"].as_str().unwrap();
    assert!(archive.starts_with(&format!("s3://{bucket}/prod/")), "{archive}");
    let online = run(&mut command(&["config", "check", "--online"])).expect(0).stdout;
    assert!(online.contains("stores.offsite") && online.contains("1 backups"), "{online}");
    // By its name, by its URL, and as the store of a database.
    run(&mut command(&["list", "--store", "offsite"])).expect(0);
    run(&mut command(&["verify", archive])).expect(0);
    let copy = server.create_db();
    run(&mut command(&["restore", "latest", "--into", &server.url(&copy)])).expect(0);
    assert_same(server, &db, server, &copy);
    let values = run(&mut command(&["config", "show", "--json"])).expect(0);
    assert!(!values.stdout.contains(SECRET), "{}", values.stdout);
    assert_eq!(shown(&values, "stores.offsite", "access_key_id").0, "the environment's OFFSITE_ID");
    let mut without = with(folder.path(), &toml, &["list"]);
    let failed = run(&mut without).expect(2);
    assert!(
        failed.stderr.contains("stores.offsite.access_key_id: the variable OFFSITE_ID is not set"),
        "{}",
        failed.stderr
    );
}

#[test]
fn an_env_file_adds_what_is_known_and_overrides_nothing() {
    let (server, folder) = (Server::shared(newest()), folder());
    let db = server.create_db();
    let text = format!(
        "# local\nexport PGHOST=127.0.0.1 # here\nPGPORT='{}'\nPGUSER=\"postgres\"\nPGDATABASE={db}\nPGCASK_PASSPHRASE=\"planted-secret\"\n\
         PGCASK_STORE=from-env-file\nPATH=/nowhere\nUNKNOWN=\"a\nb\"\n",
        server.port()
    );
    let file = folder.path().join(".env");
    write(&file, &text, 0o600);
    let command = |args: &[&str]| {
        let mut command = pgcask(args);
        command.current_dir(folder.path());
        command
    };
    let made = run(&mut command(&["backup", "--json"])).expect(0);
    assert!(made.json()["archive"].as_str().unwrap().contains("/from-env-file/"), "{made:?}");
    let values = run(&mut command(&["config", "show", "--json"])).expect(0);
    assert_eq!(
        shown(&values, "defaults", "store"),
        ("from-env-file".to_owned(), ".env PGCASK_STORE".to_owned())
    );
    let values = run(command(&["config", "show", "--json"]).env("PGCASK_STORE", "mine")).expect(0);
    assert_eq!(
        shown(&values, "defaults", "store"),
        ("mine".to_owned(), "environment PGCASK_STORE".to_owned())
    );
    // Switched off, or another one.
    let failed = run(command(&["list"]).env("PGCASK_ENV_FILE", "")).expect(2);
    assert!(failed.stderr.contains("no store is named"), "{}", failed.stderr);
    run(command(&["list"]).env("PGCASK_ENV_FILE", "nowhere")).expect(2);
    write(&file, &text, 0o644);
    let warned = run(&mut command(&["list"])).expect(0);
    assert!(
        warned.stderr.contains("chmod 600 .env") && !warned.stderr.contains("planted-secret"),
        "{}",
        warned.stderr
    );
    write(&file, &text, 0o646);
    let refused = run(&mut command(&["list"])).expect(2);
    assert!(refused.stderr.contains("everybody may write"), "{}", refused.stderr);
}

/// Variables that the sources name are in the list that the reference is written from.
#[test]
fn every_variable_is_listed() {
    let all = run(&mut pgcask(["config", "keys", "--json"])).expect(0).json();
    let listed: Vec<&str> = all["variables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    let mut found = std::collections::BTreeSet::new();
    for source in crate::architecture::sources() {
        for (start, _) in source.code.match_indices("\"PGCASK_") {
            let name: String = source.code[start + 1..]
                .chars()
                .take_while(|c| c.is_ascii_uppercase() || *c == '_')
                .collect();
            found.insert(name);
        }
    }
    // What the program says to itself when it starts anew, and to a command in front of keys.
    for said in [pgcask::config::dotenv::MARK, "PGCASK_ARCHIVE_ID", "PGCASK_KEY_OPERATION"] {
        found.remove(said);
    }
    assert!(found.contains("PGCASK_STORE") && found.contains("PGCASK_IDENTITY"), "{found:?}");
    let missing: Vec<_> = found.iter().filter(|name| !listed.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "not in src/config/env.rs: {missing:?}");
}

#[test]
fn the_file_is_looked_for_in_its_places() {
    let folder = folder();
    let toml = |jobs: u32| format!("[defaults]\njobs = {jobs}\n");
    let (home, xdg) = (folder.path().join("home"), folder.path().join("xdg"));
    write(&home.join(".config/pgcask/pgcask.toml"), &toml(1), 0o644);
    let command = || {
        let mut command = pgcask(["config", "show", "--json"]);
        command.current_dir(folder.path()).env("HOME", &home);
        command
    };
    let jobs = |command: &mut Command| shown(&run(command).expect(0), "defaults", "jobs").0;
    assert_eq!(jobs(&mut command()), "1");
    write(&xdg.join("pgcask/pgcask.toml"), &toml(2), 0o644);
    assert_eq!(jobs(command().env("XDG_CONFIG_HOME", &xdg)), "2");
    write(&folder.path().join("pgcask.toml"), &toml(3), 0o644);
    assert_eq!(jobs(command().env("XDG_CONFIG_HOME", &xdg)), "3");
    write(&folder.path().join("4.toml"), &toml(4), 0o644);
    assert_eq!(jobs(command().env("PGCASK_CONFIG", "4.toml")), "4");
    write(&folder.path().join("5.toml"), &toml(5), 0o644);
    assert_eq!(jobs(command().env("PGCASK_CONFIG", "4.toml").args(["--config", "5.toml"])), "5");
}

#[test]
fn the_names_that_teams_have_already_are_understood() {
    let folder = folder();
    let command = |args: &[&str]| {
        let mut command = pgcask(args);
        command.current_dir(folder.path());
        command
    };
    let mut show = command(&["config", "show", "--json"]);
    let values =
        run(show.env("BACKUP_S3_BUCKET", "team/prod").env("BACKUP_GPG_RECIPIENT", "ops@example.org"))
            .expect(0);
    assert_eq!(shown(&values, "defaults", "store").0, "s3://team/prod");
    let recipients = shown(&values, "defaults", "recipients");
    assert_eq!(recipients, ("ops@example.org".to_owned(), "environment BACKUP_GPG_RECIPIENT".to_owned()));
    // The direct host of a project. It does not answer here: what is asked for is told, and what may answer.
    let mut backup = command(&["backup", "--to", "backups", "--no-encrypt"]);
    backup.envs([
        ("NEXT_PUBLIC_SUPABASE_URL", "https://abcdefghijklmnopqrst.supabase.co"),
        ("SUPABASE_DB_PASSWORD", "planted-secret"),
        ("PGCONNECT_TIMEOUT", "2"),
    ]);
    let failed = run(&mut backup).expect(7);
    for expected in ["db.abcdefghijklmnopqrst.supabase.co", "session pooler"] {
        assert!(failed.stderr.contains(expected), "{}", failed.stderr);
    }
    assert!(!failed.stderr.contains("planted-secret"), "{}", failed.stderr);
    // What names a database wins.
    let failed = run(backup.args(["host=127.0.0.1 port=1 user=u dbname=d"])).expect(7);
    assert!(!failed.stderr.contains("supabase"), "{}", failed.stderr);
    let failed = run(backup.env("NEXT_PUBLIC_SUPABASE_URL", "http://localhost:54321")).expect(7);
    assert!(!failed.stderr.contains("supabase"), "{}", failed.stderr);
}
