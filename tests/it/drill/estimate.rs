//! `pgcask estimate`.

use super::full::{Place, bin};
use crate::harness::cli::{Run, run};
use crate::harness::postgres::{Server, newest};
use crate::swap::SHOP;

fn estimate(place: &Place, archive: &str, more: &[&str]) -> Run {
    run(place.command(&["estimate", archive, &place.pass(), "--jobs", "2"]).args(more))
}

#[test]
fn a_forecast_stands_on_what_was_measured() {
    let (server, place) = (Server::shared(newest()), Place::new());
    let archive = place.archive(
        server,
        &format!(
            "{SHOP} INSERT INTO orders (customer, note) \
        SELECT 1 + n % 500, md5(n::text) FROM generate_series(1, 100000) n"
        ),
    );
    let rough = estimate(&place, &archive, &[]).expect(0).json();
    assert!(rough["basis"].as_str().unwrap().contains("experience"), "{rough}");
    run(&mut place.named(&archive, server, &[&place.pass()])).expect(0);
    let measured = place.evidence().record["rto"]["measured_seconds"].as_f64().unwrap();
    let known = estimate(&place, &archive, &[]).expect(0).json();
    assert!(known["basis"].as_str().unwrap().contains("the drill of this database"), "{known}");
    let of = |json: &serde_json::Value, name: &str| json[name].as_f64().unwrap();
    let seconds = of(&known, "seconds");
    assert!(of(&known, "low_seconds") < seconds && seconds < of(&known, "high_seconds"), "{known}");
    // The same restore as the one that was measured: the plan is played through with its own rates. The machine of the
    // tests is busy; two and a half times is far from what a wrong unit or a forgotten part would give.
    assert!(seconds < measured * 2.5 && seconds > measured / 2.5, "{seconds} forecast, {measured} measured");
    let table = estimate(&place, &archive, &["--table", "customers"]).expect(0).json();
    assert!(of(&table, "seconds") < seconds && table["rows"] == 500, "{table}");
    let classes = estimate(&place, &archive, &["--priority", "P0=customers"]).expect(0).json();
    let first = &classes["classes"][0];
    assert!(first[0] == "P0" && first[1].as_f64().unwrap() < seconds, "{classes}");
    let mistyped =
        estimate(&place, &archive, &["--priority", "P0=customers", "--priority", "P1=oders"]).expect(2);
    assert!(
        mistyped.stderr.contains("no table of the archive is of the class P1=oders"),
        "{}",
        mistyped.stderr
    );
    let beyond = estimate(&place, &archive, &["--rto", "1ms"]).expect(5).json();
    assert_eq!(beyond["within_rto"], false);
}

#[test]
fn a_calibration_measures_this_machine_and_leaves_nothing() {
    let (server, place) = (Server::shared(newest()), Place::new());
    let archive = place.archive(server, SHOP);
    let work = place.path("work").display().to_string();
    let measured = estimate(&place, &archive, &["--calibrate", "--pg-bin", &bin(), "--work-dir", &work])
        .expect(0)
        .json();
    assert!(measured["basis"].as_str().unwrap().contains("a calibration"), "{measured}");
    assert!(measured["seconds"].as_f64().unwrap() > 0.0);
    place.assert_clean();
}
