//! Choosing a backup on a terminal.

use pgcask::store::naming::Kind;

use crate::harness::cli::{at_terminal, backup, folder, pass, pgcask, run};
use crate::harness::place::Place;
use crate::harness::postgres::{Server, newest};

#[test]
fn without_a_name_one_is_chosen_by_its_number_or_part_of_its_name() {
    let (server, folder) = (Server::shared(newest()), folder());
    let db = server.create_db();
    server.sql(&db, "CREATE TABLE t AS SELECT generate_series(1, 7) AS id");
    let first = backup(folder.path(), &server.url(&db), &["--kind", "weekly"]);
    let second = backup(folder.path(), &server.url(&db), &[]);
    let store = folder.path().join("store").display().to_string();
    let show = pgcask(["show", "--store", &store, &pass(folder.path())]);
    let id = |made: &serde_json::Value| format!("id {},", made["id"].as_str().unwrap());

    let newest_of_all = at_terminal(&show, "1\n").expect(0);
    assert!(
        newest_of_all.stdout.contains("TAKEN (UTC)") && newest_of_all.stdout.contains("Number, or a part of"),
        "{newest_of_all:?}"
    );
    let ids = [&first, &second].map(|made| newest_of_all.stdout.contains(&id(made)));
    assert!(ids.contains(&true) && ids.contains(&false), "{newest_of_all:?}");
    let narrowed = at_terminal(&show, "hourly\nweek\n1\n").expect(0);
    assert!(
        narrowed.stdout.contains("none has hourly in its name") && narrowed.stdout.contains(&id(&first)),
        "{narrowed:?}"
    );
    assert!(at_terminal(&show, "\n").expect(9).stdout.contains("no archive was chosen"));

    let (target, pass) = (server.fresh_name(), pass(folder.path()));
    let url = server.url(&target);
    let restore = pgcask(["restore", "--store", &store, "--into", &url, "--create", "--yes", &pass]);
    at_terminal(&restore, "weekly\n1\n").expect(0);
    let target = server.adopt(target);
    assert_eq!(server.value(&target, "SELECT count(*) FROM t"), "7");
    at_terminal(&pgcask(["verify", "--store", &store, &pass]), "2\n").expect(0);
}

#[test]
fn without_a_terminal_the_name_is_missing() {
    let place = Place::directory();
    place.plant("000000000001", Kind::Daily, 1);
    for command in [vec!["show"], vec!["verify"], vec!["cat"], vec!["restore", "--into", "nowhere"]] {
        let refused = place.run(&command).expect(2);
        assert!(
            refused.stderr.contains("no archive is named") && refused.stderr.contains("`latest`"),
            "{}",
            refused.stderr
        );
    }
    let empty = folder();
    let store = empty.path().display().to_string();
    run(&mut pgcask(["show", "--store", &store])).expect(2);
    assert!(
        at_terminal(&pgcask(["show", "--store", &store]), "1\n")
            .expect(1)
            .stdout
            .contains("no backups to choose from")
    );
    assert!(at_terminal(&pgcask(["show"]), "1\n").expect(2).stdout.contains("no store is named"));
}
