//! `[retention]` of the configuration: expiry of new backups, and what a prune keeps, for all databases and for one.

use jiff::Timestamp;
use pgcask::store::naming::Kind;

use crate::harness::cli::{pgcask, run};
use crate::harness::place::Place;
use crate::harness::postgres::{Server, newest};

#[test]
fn what_is_configured_of_keeping_holds_for_backups_and_prunes() {
    let (server, place) = (Server::shared(newest()), Place::directory());
    let (own, other) = (server.create_db(), server.create_db());
    let (own_url, other_url) = (server.url(&own), server.url(&other));
    let toml = format!(
        "[defaults]\nstore = \"{}\"\npassphrase_file = \"pass\"\n[retention]\ndaily = \"120d\"\nkeep_monthly = 3\n\
         [databases.own]\nurl = \"{own_url}\"\n[databases.own.retention]\ndaily = \"30d\"\npre-restore = \"2d\"\nkeep_last = 2\n\
         [databases.other]\nurl = \"{other_url}\"\n",
        place.store
    );
    std::fs::write(place.folder.path().join("pgcask.toml"), toml).unwrap();
    let with = |args: &[&str]| run(pgcask(args).current_dir(place.folder.path()));
    let days = |args: &[&str]| {
        let id =
            with(&[&["backup", "--json"], args].concat()).expect(0).json()["id"].as_str().unwrap().to_owned();
        let listed = with(&["list", "--json", "--limit", "0"]).expect(0).json();
        let row = listed.as_array().unwrap().iter().find(|row| row["id"] == id.as_str()).unwrap().clone();
        let expires: Timestamp = row["metadata"]["expires_at"].as_str().unwrap().parse().unwrap();
        let taken: Timestamp = row["taken_at"].as_str().unwrap().parse().unwrap();
        (expires.duration_since(taken).as_hours() + 12) / 24
    };
    assert_eq!(days(&["own"]), 30, "its own table");
    assert_eq!(days(&["other"]), 120, "that of all");
    assert_eq!(days(&["own", "--keep-for", "5d"]), 5, "the flag before the file");
    assert_eq!(days(&["own", "--kind", "weekly"]), 365, "a kind that is not said there has its default");

    let values = with(&["config", "show", "--json"]).expect(0).json();
    let shown = values["values"].as_array().unwrap();
    let origin = |section: &str, key: &str| {
        let found = shown.iter().find(|value| value["section"] == section && value["key"] == key).unwrap();
        (found["value"].as_str().unwrap().to_owned(), found["origin"].as_str().unwrap().to_owned())
    };
    assert_eq!(origin("databases.own.retention", "daily").0, "30d");
    assert!(origin("retention", "daily").1.contains("pgcask.toml:5"), "{:?}", origin("retention", "daily"));

    // Old ones of a database that none of the tables is about, kept by the rules of all: of three months, not by number.
    for (number, age) in [10, 200, 230, 260].into_iter().enumerate() {
        place.plant(&format!("00000000000{number}"), Kind::Daily, age);
    }
    let plan = with(&["prune", "--json", "--trust-clock"]).expect(0).json();
    let reasons = |id: &str| {
        let one = plan["backups"].as_array().unwrap().iter().find(|one| one["id"] == id).unwrap().clone();
        (one["step"].as_str().unwrap().to_owned(), one["reasons"].to_string())
    };

    assert_eq!(reasons("000000000002").0, "keep", "{:?}", reasons("000000000002"));
    assert!(reasons("000000000002").1.contains("month"), "{:?}", reasons("000000000002"));
    assert_eq!(reasons("000000000003").0, "mark", "{:?}", reasons("000000000003"));
    let by_number = plan["backups"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["reasons"].to_string().contains("last 2"));
    assert!(by_number.clone().count() > 0 && by_number.clone().all(|one| one["database"] == *own), "{plan}");
}
