//! What a person sees before a recovery: from which backup, what would be done, what stands in the way; and that looking writes nothing.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::harness::cli::{at_terminal, backup, folder, pass, pgcask, restore, run, signal, wait};
use crate::harness::oracle::{assert_same, content};
use crate::harness::postgres::{Server, newest};
use crate::swap::{SHOP, accident, databases, files, list, proven_versions, rollback, swap};

#[test]
fn every_form_names_its_backup_and_writes_nothing() {
    for major in proven_versions() {
        let folder = folder();
        let (server, archive) = accident(major, folder.path());
        server.sql("postgres", "ALTER SYSTEM SET autovacuum = off");
        server.sql("postgres", "SELECT pg_reload_conf()");
        server.sql("postgres", "CREATE DATABASE bare TEMPLATE template0");
        let url = server.url("shop");
        swap(folder.path(), &archive, &server.url("golden"), &[]).expect(0);
        let (kept, _) = list(folder.path(), &url).remove(0);
        let server_state = || {
            let catalog = "SELECT (SELECT string_agg(oid || datname, ',' ORDER BY oid) FROM pg_database), \
                pg_snapshot_xmax(pg_current_snapshot()), (SELECT sum(hashtext(c::text)) FROM pg_class c)";
            ["shop", "bare", "golden"].map(|database| server.rows(database, catalog))
        };
        let rows = || ["shop", "bare", "golden"].map(|database| content(&server, database));
        server.sql("postgres", "CHECKPOINT");
        let store = || files(&folder.path().join("store"));
        let (before, rows_before, store_before) = (server_state(), rows(), store());
        let bare = server.url("bare");
        let new = server.url("new");
        let one = ["--table", "orders"];
        // Of single rows temporary tables are made: a transaction is needed for them, and nothing is left of them.
        let forms: [(&str, &[&str], i32, bool); 11] = [
            (&new, &["--create"], 0, true),
            (&new, &["--create", "--priority", "P0=customers", "--stop-after", "P0"], 0, true),
            (&bare, &[], 0, true),
            (&bare, &one, 0, true),
            (&url, &one, 9, true),
            (&url, &["--swap"], 0, true),
            (&url, &["--in-place"], 0, true),
            (&url, &["--table", "orders", "--as", "orders_then"], 0, true),
            (&url, &["--table", "orders", "--only", "missing"], 0, false),
            (&url, &["--where", "orders: id = 3000"], 0, false),
            (&url, &["--table", "orders", "--replace"], 0, false),
        ];
        for (into, form, code, writes_nothing) in forms {
            let args = [form, &["--dry-run"]].concat();
            let plan = restore(folder.path(), &archive, into, &args).expect(code).json();
            assert_eq!(
                (&plan["archive"], &plan["source"]),
                (&archive.as_str().into(), &"shop".into()),
                "{form:?}: {plan}"
            );
            assert!(archive.contains(plan["backup"].as_str().unwrap()), "{form:?}: {plan}");
            let taken = plan["taken_at"].as_str().unwrap().replace('T', " ");
            let words = run(pgcask(["restore", &archive, "--into", into, &pass(folder.path())]).args(&args));
            let words = words.expect(code).stdout;
            let named = format!("from the backup of shop as of {} UTC: {archive}", taken.get(..19).unwrap());
            assert!(words.contains(&named) && words.contains("nothing was touched"), "{form:?}: {words}");
            assert_eq!(store(), store_before, "{form:?}");
            if writes_nothing {
                assert_eq!(server_state(), before, "{form:?}");
            }
        }
        assert_eq!(rows(), rows_before);
        let before = server_state();
        let golden = server.url("golden");
        rollback(folder.path(), &golden, &["--dry-run"]).expect(0);
        rollback(folder.path(), &golden, &["--dry-run", "--discard", &kept]).expect(0);
        rollback(folder.path(), &golden, &["--list"]).expect(0);
        assert_eq!((server_state(), store()), (before, store_before));
    }
}

#[test]
fn at_a_terminal_the_word_is_typed_or_nothing_happens() {
    let folder = folder();
    let (server, archive) = accident(newest(), folder.path());
    let (url, wrecked) = (server.url("shop"), content(&server, "shop"));
    let command = |more: &[&str]| {
        let mut command = pgcask(["restore", &archive, "--into", &url, "--swap", &pass(folder.path())]);
        command.args(more);
        command
    };
    let no = at_terminal(&command(&[]), "yes\n").expect(9);
    assert!(
        no.stdout.contains("Type RESTORE to go on")
            && no.stdout.contains("not confirmed, nothing was touched"),
        "{no:?}"
    );
    assert!(!no.stdout.contains("as far as the restore came") && no.stdout.contains("as of "), "{no:?}");
    assert_eq!((content(&server, "shop"), databases(&server).len()), (wrecked, 2));
    let done = at_terminal(&command(&["--no-safety-backup"]), "RESTORE\n").expect(0);
    assert!(done.stdout.contains("warning: no backup of the live database is taken first"), "{done:?}");
    assert!(done.stdout.contains("content proven equal"), "{done:?}");
    assert_same(&server, "golden", &server, "shop");
    assert!(!folder.path().join("store/shop/pre-restore").exists());
    // Marks of an unfinished restore are not the database that they are in.
    let first = ["--create", "--priority", "P0=orders", "--stop-after", "P0"];
    restore(folder.path(), &archive, &server.url("part"), &first).expect(0);
    let discard = pgcask(["rollback", &url, "--discard", "part"]);
    let kept = at_terminal(&discard, "no\n").expect(9).stdout;
    assert!(kept.contains("part stays as it is") && !kept.contains("gone for good"), "{kept}");
    at_terminal(&discard, "DISCARD\n").expect(0);
    assert_eq!(server.value("part", "SELECT count(*) FROM orders"), "5000");
}

#[test]
fn what_is_left_is_told_by_who_left_something() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server.sql(&source, SHOP);
    let made = backup(folder.path(), &server.url(&source), &[]);
    let archive = made["archive"].as_str().unwrap();
    let target = server.adopt(server.fresh_name());
    let go = |args: &[&str]| restore(folder.path(), archive, &server.url(&target), args);
    let failed = go(&["--create", "--assert", "SELECT false"]).expect(5).stderr;
    assert!(failed.contains("is left as far as the restore came") && failed.contains("--resume"), "{failed}");
    // A part has no marks to go on from; what it is asked to prove, it proves.
    let part = server.create_db();
    let args = ["--table", "customers", "--assert", "SELECT count(*) = 0 FROM customers"];
    let failed = restore(folder.path(), archive, &server.url(&part), &args).expect(5).stderr;
    assert!(failed.contains("gave f, not true") && failed.contains("remove it before you run"), "{failed}");
    for form in [
        &["--in-place"][..],
        &["--table", "orders", "--only", "missing"],
        &["--table", "orders", "--as", "o"],
        &[],
    ] {
        let missing = restore(folder.path(), archive, &server.url("nosuch"), form).expect(9).stderr;
        assert!(
            missing.contains("\"nosuch\" does not exist") && missing.contains("hint:"),
            "{form:?}: {missing}"
        );
        assert!(!missing.contains("as far as"), "{form:?}: {missing}");
    }
}

#[test]
fn a_restore_at_work_is_neither_called_interrupted_nor_taken_over() {
    let folder = folder();
    let server = Server::start(newest());
    server.sql("postgres", "CREATE DATABASE shop TEMPLATE template0");
    server.sql("shop", SHOP);
    server.sql(
        "shop",
        "CREATE TABLE big AS SELECT n, repeat(md5(n::text), 8) AS v FROM generate_series(1, 60000) n",
    );
    let url = server.url("shop");
    let archive = backup(folder.path(), &url, &[])["archive"].as_str().unwrap().to_owned();
    // Names like ours, of somebody else: one that is in use, and one in which there is nothing yet.
    server.sql("postgres", "CREATE DATABASE shop_restore_abcdefghijkl TEMPLATE template0");
    server.sql("postgres", "CREATE DATABASE shop_restore_0123456789ab TEMPLATE template0");
    server.sql("shop_restore_abcdefghijkl", "CREATE TABLE mine (id int)");
    assert_eq!(
        list(folder.path(), &url),
        [("shop_restore_0123456789ab".to_owned(), "interrupted".to_owned())]
    );
    rollback(folder.path(), &url, &["--yes", "--discard", "shop_restore_abcdefghijkl"]).expect(9);
    rollback(folder.path(), &url, &["--yes", "--discard", "shop_restore_0123456789ab"]).expect(0);

    let args = ["--swap", "--yes", "--no-safety-backup", "--max-rate", "2M"];
    let mut slow =
        pgcask(["restore", &archive, "--into", &url, "--json", "--jobs", "2", &pass(folder.path())]);
    let child = slow.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    let loading =
        "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'shop_restore_%' AND query LIKE 'COPY%'";
    while server.value("postgres", loading) == "0" {
        assert!(Instant::now() < deadline, "it does not load");
        std::thread::sleep(Duration::from_millis(20));
    }
    // It neither ends nor begins anything meanwhile.
    signal(&child, "STOP");
    let left = rollback(folder.path(), &url, &["--list"]).expect(0).json();
    assert_eq!((left[0]["at_work"].as_bool(), left.as_array().unwrap().len()), (Some(true), 1), "{left}");
    let name = left[0]["name"].as_str().unwrap();
    let refused = rollback(folder.path(), &url, &["--yes", "--discard", name]).expect(9).stderr;
    assert!(refused.contains("a restore is at work in"), "{refused}");
    let refused = swap(folder.path(), &archive, &url, &[]).expect(9).stderr;
    assert!(refused.contains("is at work just now") && !refused.contains("interrupted"), "{refused}");
    let refused = swap(folder.path(), &archive, &url, &["--resume", "--no-safety-backup"]).expect(9).stderr;
    assert!(refused.contains("is at work (pid ") && refused.contains("pg_terminate_backend"), "{refused}");
    signal(&child, "CONT");
    let done = wait(child).expect(0).json();
    assert_eq!((&done["verified"], &done["resumed"]), (&true.into(), &false.into()), "{done}");
    assert_eq!(server.value("shop", "SELECT count(*) FROM big"), "60000");
}

#[test]
fn a_table_that_somebody_has_locked_is_waited_for_in_words_and_not_for_ever() {
    let (server, folder) = (Server::shared(newest()), folder());
    let db = server.create_db();
    server.sql(&db, "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT n, 'v' FROM generate_series(1, 1000) n; CREATE TABLE u (id int PRIMARY KEY)");
    let url = server.url(&db);
    let archive = backup(folder.path(), &url, &[])["archive"].as_str().unwrap().to_owned();
    server.sql(&db, "DELETE FROM t WHERE id = 5");
    let locked = "BEGIN; LOCK TABLE t; SELECT pg_sleep(300)";
    let mut holder = server.client("psql", &db);
    let mut holder =
        holder.args(["-Xqc", locked]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let held = format!(
        "SELECT count(*) FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE datname = '{}')",
        &*db
    );
    let deadline = Instant::now() + Duration::from_mins(1);
    while server.value("postgres", &held) == "0" {
        assert!(Instant::now() < deadline, "it is not locked");
        std::thread::sleep(Duration::from_millis(20));
    }
    let password = pass(folder.path());
    let commands: [&[&str]; 4] = [
        &["diff", &archive, "--table", "t", "--against", &url, &password],
        &["restore", &archive, "--into", &url, "--table", "t", "--only", "missing", "--yes", &password],
        &["restore", &archive, "--into", &url, "--table", "t", "--as", "t_then", &password],
        &["validate", &url, "--against", &archive, &password],
    ];
    let ended: Vec<_> = std::thread::scope(|scope| {
        let runs = commands.map(|args| scope.spawn(move || run(&mut pgcask(args))));
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    for (args, ended) in commands.iter().zip(ended) {
        let ended = ended.expect(1);
        assert!(
            ended.stderr.contains("\"t\"") && ended.stderr.contains("pg_sleep(300)"),
            "{args:?}: {ended:?}"
        );
        assert!(!ended.stderr.contains("--lock-timeout"), "{args:?}: {ended:?}");
        let waits = args.first() == Some(&"validate") || ended.stderr.contains("waiting for up to 20 s");
        assert!(waits, "{args:?}: {ended:?}");
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
    server.sql(&db, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(300)%' AND pid <> pg_backend_pid()");
    run(&mut pgcask(commands[1])).expect(0);
    assert_eq!(server.value(&db, "SELECT count(*) FROM t"), "1000");
}
