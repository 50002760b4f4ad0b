//! Validation: each check fails when what it checks is broken, and a failed one stops a swap.

use std::path::Path;

use serde_json::Value;

use crate::harness::cli::{Run, backup, folder, pass, pgcask, restore, run};
use crate::harness::oracle::{assert_same, content, schema_dump};
use crate::harness::postgres::{Server, newest};
use crate::swap::{SHOP, accident, databases, proven_versions, swap};

fn validate(folder: &Path, archive: &str, url: &str, more: &[&str]) -> Run {
    run(pgcask(["validate", url, "--against", archive, "--json", "--jobs", "2", &pass(folder)]).args(more))
}

/// The outcome of a check and what it says.
fn outcome(run: &Run, check: &str) -> (String, String) {
    let json = run.json();
    let found =
        json["checks"].as_array().unwrap().iter().find(|found| found["check"] == check).unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&found["outcome"]), found["problems"].to_string())
}

#[test]
fn each_check_finds_what_it_is_for() {
    for major in proven_versions() {
        let (server, folder) = (Server::shared(major), folder());
        let source = server.create_db();
        server.sql(&source, SHOP);
        let archive =
            backup(folder.path(), &server.url(&source), &[])["archive"].as_str().unwrap().to_owned();
        let target = server.adopt(server.fresh_name());
        let url = server.url(&target);
        let made = restore(folder.path(), &archive, &url, &["--create"]).expect(0).json();
        assert_eq!(made["checks"].as_array().unwrap().len(), 8, "{made}");
        let demands = ["--critical", "orders", "--assert", "SELECT count(*) = 500 FROM customers"];
        let good = validate(folder.path(), &archive, &url, &demands).expect(0);
        assert_eq!(good.json()["valid"], true);
        assert_eq!(outcome(&good, "critical tables").0, "passed");
        for (check, names, breaks) in [
            ("row counts", "public.orders", "DELETE FROM orders WHERE id = 77"),
            ("content hashes", "public.customers", "UPDATE customers SET name = 'x' WHERE id = 5"),
            (
                "constraints validated",
                "is missing",
                "ALTER TABLE orders DROP CONSTRAINT orders_customer_fkey",
            ),
            (
                "constraints validated",
                "is not validated",
                "ALTER TABLE orders DROP CONSTRAINT orders_customer_fkey; \
                 ALTER TABLE orders ADD CONSTRAINT orders_customer_fkey FOREIGN KEY (customer) REFERENCES customers NOT VALID",
            ),
            ("indexes present and valid", "orders_by_customer", "DROP INDEX orders_by_customer"),
            (
                "indexes present and valid",
                "is not valid",
                "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'orders_by_customer'::regclass",
            ),
            ("sequences not behind", "orders_id_seq", "SELECT setval('orders_id_seq', 40)"),
            (
                "extensions",
                "plpgsql",
                "DROP TRIGGER stamp ON orders; DROP FUNCTION stamp(); DROP EXTENSION plpgsql",
            ),
            ("critical tables", "is empty", "TRUNCATE orders"),
            ("assertions", "gave f", "DELETE FROM orders; DELETE FROM customers WHERE id = 1"),
        ] {
            let broken = server.adopt(server.fresh_name());
            server.sql("postgres", &format!("CREATE DATABASE {broken} TEMPLATE {target}"));
            server.sql(&broken, breaks);
            let found = validate(folder.path(), &archive, &server.url(&broken), &demands).expect(5);
            let (word, problems) = outcome(&found, check);
            assert_eq!(word, "failed", "{check}: {found:?}");
            if check == "row counts" {
                assert_eq!(
                    outcome(&found, "content hashes").0,
                    "failed",
                    "rows that are not there are not equal"
                );
            }
            assert!(problems.contains(names), "{check}: {problems}");
        }
        // What nobody can match, and what is no question, is wrong too; nothing can be changed by an assertion.
        for wrong in [
            ["--critical", "nothing_like_it"],
            ["--assert", "SELECT 1/0"],
            ["--assert", "VALUES (true), (false)"],
            ["--assert", "SELECT true, count(*) < 0 FROM orders"],
            ["--assert", "SELECT true WHERE false"],
            ["--assert", "DELETE FROM orders RETURNING true"],
        ] {
            validate(folder.path(), &archive, &url, &wrong).expect(5);
        }
        assert_same(server, &source, server, &target);
    }
}

#[test]
fn a_sequence_that_was_behind_when_it_was_backed_up_does_not_stop_a_restore() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server.sql(&source, SHOP);
    server.sql(&source, "SELECT setval('orders_id_seq', 40)");
    let archive = backup(folder.path(), &server.url(&source), &[])["archive"].as_str().unwrap().to_owned();
    let target = server.adopt(server.fresh_name());
    let made = restore(folder.path(), &archive, &server.url(&target), &["--create"]).expect(0);
    let (word, problems) = outcome(&made, "sequences not behind");
    assert_eq!(word, "noted");
    assert!(problems.contains("as when it was backed up"), "{problems}");
}

#[test]
fn a_failed_check_stops_the_swap() {
    let folder = folder();
    let (server, archive) = accident(newest(), folder.path());
    let live = content(&server, "shop");
    let url = server.url("shop");
    let demand = ["--no-safety-backup", "--assert", "SELECT count(*) > 1000000 FROM orders"];
    let stopped = swap(folder.path(), &archive, &url, &demand).expect(5);
    assert!(
        stopped.stderr.contains("gave f, not true") && stopped.stderr.contains("--resume"),
        "{}",
        stopped.stderr
    );
    assert_eq!(content(&server, "shop"), live);
    assert_eq!(databases(&server).len(), 3);
    // With a demand that holds it goes on: nothing is loaded again.
    let demand = ["--no-safety-backup", "--resume", "--assert", "SELECT count(*) = 5000 FROM orders"];
    let done = swap(folder.path(), &archive, &url, &demand).expect(0).json();
    assert_eq!(done["resumed"], true);
    assert_same(&server, "golden", &server, "shop");
}

#[test]
fn foreign_keys_are_validated_once_the_database_is_in_service() {
    for major in proven_versions() {
        let folder = folder();
        let (server, archive) = accident(major, folder.path());
        let url = server.url("shop");
        let done =
            swap(folder.path(), &archive, &url, &["--defer-validation", "--no-safety-backup"]).expect(0);
        let (word, problems) = outcome(&done, "constraints validated");
        assert_eq!(word, "pending");
        assert!(problems.contains("orders_customer_fkey"), "{problems}");
        let valid = "SELECT convalidated FROM pg_constraint WHERE conname = 'orders_customer_fkey'";
        assert_eq!(server.value("shop", valid), "f");
        // Left for later is not broken; one that nobody left for later is.
        let checked = validate(folder.path(), &archive, &url, &[]).expect(0);
        assert_eq!(outcome(&checked, "constraints validated").0, "pending", "{checked:?}");
        let words =
            run(&mut pgcask(["validate", &url, "--against", &archive, &pass(folder.path())])).expect(0);
        assert!(words.stdout.contains("pgcask validate DBURL --finish"), "{}", words.stdout);
        // It holds for new rows at once.
        assert!(server.try_sql("shop", "INSERT INTO orders (customer) VALUES (-1)").is_err());
        let listed = run(&mut pgcask(["rollback", &url, "--list"])).expect(0).stdout;
        assert!(listed.contains("validate --finish"), "{listed}");
        // Nor is it part of a backup.
        let again = backup(folder.path(), &url, &[]);
        restore(folder.path(), again["archive"].as_str().unwrap(), &server.url("copy"), &["--create"])
            .expect(0);
        server.sql("postgres", "DROP DATABASE copy");
        // A row that violates it is found, and the key stays on the list.
        server.sql(
            "shop",
            "SET session_replication_role = replica; INSERT INTO orders (id, customer) VALUES (900000, -1)",
        );
        let violated = run(&mut pgcask(["validate", &url, "--finish"])).expect(5);
        assert!(
            violated.stdout.contains("NOT VALID") && violated.stdout.contains("orders_customer_fkey"),
            "{violated:?}"
        );
        server.sql("shop", "DELETE FROM orders WHERE id = 900000");
        // Others write meanwhile.
        run(&mut pgcask(["validate", "--database", &url, "--finish"])).expect(0);
        assert_eq!(server.value("shop", valid), "t");
        assert_eq!(schema_dump(&server, "golden"), schema_dump(&server, "shop"));
        let none = run(&mut pgcask(["validate", &url, "--finish", "--json"])).expect(0);
        assert_eq!(none.json(), serde_json::json!([]));
    }
}

#[test]
fn a_version_of_an_extension_that_differs_is_told_and_no_failure() {
    let (server, folder) = (Server::shared(newest()), folder());
    let source = server.create_db();
    server
        .sql(&source, "CREATE EXTENSION hstore VERSION '1.4'; CREATE TABLE t AS SELECT 'a=>1'::hstore AS h");
    let archive = backup(folder.path(), &server.url(&source), &[])["archive"].as_str().unwrap().to_owned();
    let target = server.adopt(server.fresh_name());
    let made = restore(folder.path(), &archive, &server.url(&target), &["--create"]).expect(0);
    let now = server.value(&target, "SELECT extversion FROM pg_extension WHERE extname = 'hstore'");
    let (word, problems) = outcome(&made, "extensions");
    assert_eq!(word, "noted");
    assert!(now != "1.4" && problems.contains(&format!("hstore is {now}, and was 1.4")), "{problems}");
}
