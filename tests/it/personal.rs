//! Tables of personal data that backups which are kept for years are without.

use std::process::Command;

use crate::harness::cli::{Run, folder, pgcask, run};
use crate::harness::postgres::{Server, newest};

#[test]
fn backups_of_some_kinds_are_without_personal_rows_and_say_so() {
    let (server, folder) = (Server::shared(newest()), folder());
    let db = server.create_db();
    server.sql(
        &db,
        "CREATE TABLE users AS SELECT generate_series(1, 5) AS id; CREATE TABLE goods AS SELECT generate_series(1, 7) AS id;
         CREATE TABLE visits (at date, who int) PARTITION BY RANGE (at);
         CREATE TABLE visits_1 PARTITION OF visits DEFAULT; INSERT INTO visits VALUES ('2026-01-01', 1)",
    );
    let toml = |personal: &str| {
        let text = format!(
            "[defaults]\nstore = \"./store\"\npassphrase_file = \"pass\"\n[databases.shop]\nurl = \"{}\"\n\
             personal = [{personal}]\nwithout_personal = [\"weekly\", \"monthly\"]\n",
            server.url(&db)
        );
        std::fs::write(folder.path().join("pgcask.toml"), text).unwrap();
    };
    let go = |args: &[&str]| -> Run {
        let mut command: Command = pgcask(args);
        run(command.current_dir(folder.path()).arg("--json"))
    };
    toml("\"users\", \"visits_*\"");
    let daily = go(&["backup", "--kind", "daily"]).expect(0);
    assert!(!daily.stderr.contains("personal"), "{}", daily.stderr);
    assert_eq!(daily.json()["rows"], 13);
    let weekly = go(&["backup", "--kind", "weekly"]).expect(0);
    assert_eq!(weekly.json()["rows"], 7);
    let words = "are left out of this weekly backup, as personal data";
    assert!(weekly.stderr.contains(words) && weekly.stderr.contains("users"), "{}", weekly.stderr);

    let listed = go(&["list"]).expect(0).json();
    let without = |kind: &str| {
        let row = listed.as_array().unwrap().iter().find(|row| row["kind"] == kind).unwrap();
        row["metadata"]["without_personal"].clone()
    };
    assert_eq!((without("weekly"), without("daily")), (2.into(), serde_json::Value::Null));
    let table = run(pgcask(["list"]).current_dir(folder.path())).expect(0).stdout;
    assert!(table.contains("7 (but 2 tables)"), "{table}");

    let kind = |reference: &str| go(&["show", reference]).expect(0).json()["manifest"]["kind"].clone();
    assert_eq!((kind("latest"), kind("latest:weekly")), ("daily".into(), "weekly".into()));
    let shown = run(pgcask(["show", "latest:weekly"]).current_dir(folder.path())).expect(0).stdout;
    assert!(shown.contains("left out   the rows of public.users, public.visits_1"), "{shown}");

    let target = server.create_db();
    let restored = go(&["restore", "latest:weekly", "--into", &server.url(&target)]).expect(0);
    assert!(restored.stderr.contains("has no rows of public.users, public.visits_1"), "{}", restored.stderr);
    let counts = "SELECT (SELECT count(*) FROM users) || ' ' || (SELECT count(*) FROM visits) || ' ' || (SELECT count(*) FROM goods)";
    assert_eq!(server.value(&target, counts), "0 0 7");

    // A name that is wrong would keep for years what was to be left out.
    toml("\"user\"");
    let refused = go(&["backup", "--kind", "monthly"]).expect(2);
    assert!(
        refused.stderr.contains("no table matches user, which is declared personal"),
        "{}",
        refused.stderr
    );
    go(&["backup", "--kind", "daily"]).expect(0);
}
