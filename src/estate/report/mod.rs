//! The page about all backups: health, what is there, how it came about, whether it can be restored and in time.

mod database;
mod parts;

use super::gather::{Estate, StoreState};
use super::runs::RunFacts;
use crate::drill::{Level, Problem, text};
use crate::page::document;
use crate::page::html::{Align, escape, items, sentence, table};

/// Databases are unfolded while they are so few.
const UNFOLDED: usize = 4;

/// Runs that are listed.
const RUNS: usize = 20;

/// Writes the page. `host`: who looked.
pub fn report_page(estate: &Estate, host: &str) -> String {
    let mut main = String::new();
    main.push_str(&head(estate));
    main.push_str(&attention(estate));
    main.push_str(&overview(estate));
    let count = estate.stores.iter().map(|store| store.databases.len()).sum::<usize>();
    let mut number = 0;
    for store in &estate.stores {
        for database in &store.databases {
            number += 1;
            main.push_str(&database::section(estate, store, database, number, count <= UNFOLDED));
        }
    }
    main.push_str(&parts::stores(estate));
    main.push_str(&parts::keys(estate));
    main.push_str(&runs(estate));
    let footer = format!(
        "Written by pgcask {} on {host} at {}. Runs are those of the stores' audit logs since {}.",
        env!("CARGO_PKG_VERSION"),
        estate.at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        estate.since.strftime("%Y-%m-%d"),
    );
    document("Backups", &main, &footer)
}

/// The anchor of a database's section.
fn anchor(number: usize) -> String {
    format!("database-{number}")
}

/// How bad something is, as a coloured word.
fn badge(level: Level) -> &'static str {
    match level {
        Level::Ok => "<span class=\"badge good\">✓ ok</span>",
        Level::Warning => "<span class=\"badge note\">! warning</span>",
        Level::Critical => "<span class=\"badge bad\">✗ critical</span>",
    }
}

fn card(value: &str, what: &str, class: &str) -> String {
    format!("<li class=\"{class}\"><b>{}</b><span>{}</span></li>", escape(value), escape(what))
}

/// All that is wrong, the worst first: how bad it is, with what, and what it is.
fn problems(estate: &Estate) -> Vec<(Level, String, String)> {
    let mut all = Vec::new();
    for store in &estate.stores {
        if let Some(why) = &store.unreachable {
            all.push((Level::Critical, store.store.clone(), format!("the store cannot be looked at: {why}")));
        }
        let mut add = |with: &str, problem: &Problem| {
            all.push((problem.level, with.to_owned(), problem.message.clone()));
        };
        for database in &store.databases {
            let with = parts::in_store(estate, store, &database.database);
            database.health.problems.iter().for_each(|problem| add(&with, problem));
        }
        let of_store = store.health.iter().flat_map(|health| &health.problems);
        of_store.for_each(|problem| add(&store.store, problem));
    }
    all.extend(
        estate.key_problems.iter().map(|problem| (problem.level, "keys".to_owned(), problem.message.clone())),
    );
    all.sort_by_key(|(level, ..)| std::cmp::Reverse(*level));
    all
}

fn head(estate: &Estate) -> String {
    let databases: Vec<_> = estate.stores.iter().flat_map(|store| &store.databases).collect();
    let problems = problems(estate);
    let count = |level: Level| problems.iter().filter(|(found, ..)| *found == level).count();
    let (verdict, class) = match (count(Level::Critical), count(Level::Warning)) {
        (0, 0) => ("All is well".to_owned(), "good"),
        (0, warnings) => (counted(warnings, "warning"), "note"),
        (critical, 0) => (format!("{critical} critical"), "bad"),
        (critical, warnings) => (format!("{critical} critical, {}", counted(warnings, "warning")), "bad"),
    };
    let good = databases.iter().filter(|one| one.health.level == Level::Ok).count();
    let oldest = databases
        .iter()
        .filter_map(|one| one.health.age_seconds)
        .fold(None, |worst: Option<f64>, age| Some(worst.map_or(age, |worst| worst.max(age))));
    let rate = parts::success(estate.runs().filter(|run| run.operation == "backup"));
    let drills = databases.iter().flat_map(|one| &one.drills).filter(|mark| mark.entry.at >= estate.since);
    let (passed, drilled) =
        drills.fold((0, 0), |(passed, all), mark| (passed + usize::from(mark.entry.is_passed()), all + 1));
    let bytes: u64 = databases.iter().map(|one| one.health.bytes).sum();
    let backups: u64 = databases.iter().map(|one| one.health.backups).sum();
    let held = databases.iter().flat_map(|one| &one.backups).filter(|backup| backup.held).count();
    let worst = |bad: bool| if bad { "is-bad" } else { "" };
    let cards = [
        card(&format!("{good} of {}", databases.len()), "databases in order", worst(good < databases.len())),
        card(&oldest.map_or_else(|| "none".to_owned(), text::seconds), "age of the oldest newest backup", ""),
        card(
            &rate.share.map_or_else(|| "–".to_owned(), text::percent),
            &format!("of {} succeeded", counted(rate.runs, "backup run")),
            worst(rate.share.is_some_and(|share| share < 0.95)),
        ),
        card(
            &(if drilled == 0 { "none".to_owned() } else { format!("{passed} of {drilled}") }),
            "drills passed",
            worst(passed < drilled),
        ),
        card(&text::bytes(bytes), &format!("in {} archives", text::count(backups)), ""),
        card(&held.to_string(), "backups on hold", ""),
    ];
    format!(
        "<p class=\"dim\">{} in {} · looked at {} · history since {}</p><h1>Backups</h1>\
         <p><span class=\"verdict {class}\">{}</span></p><ul class=\"cards\">{}</ul>\n",
        counted(databases.len(), "database"),
        counted(estate.stores.len(), "store"),
        estate.at.strftime("%Y-%m-%d %H:%M UTC"),
        estate.since.strftime("%Y-%m-%d"),
        escape(&verdict),
        cards.concat()
    )
}

/// `1 backup`, `2 backups`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn attention(estate: &Estate) -> String {
    let problems = problems(estate);
    if problems.is_empty() {
        return String::new();
    }
    let list = items(problems.iter().map(|(level, with, message)| {
        format!("{} <b>{}</b> <span>{}</span>", badge(*level), escape(with), sentence(message))
    }));
    format!("<h2>What needs attention</h2><ul class=\"attention\">{list}</ul>\n")
}

fn overview(estate: &Estate) -> String {
    let mut number = 0;
    let mut rows = Vec::new();
    for store in &estate.stores {
        for one in &store.databases {
            number += 1;
            rows.push(overview_row(estate, store, one, number));
        }
    }
    let heads = [
        ("database", Align::Text),
        ("health", Align::Text),
        ("newest backup", Align::Number),
        ("size", Align::Number),
        ("runs good", Align::Number),
        ("last drill", Align::Text),
        ("recovery time", Align::Number),
        ("allowed", Align::Number),
    ];
    format!(
        "<h2>Databases</h2>{}\n",
        table("Recovery time: as the last drill measured it, else as it is forecast (about)", &heads, &rows)
    )
}

fn overview_row(
    estate: &Estate,
    store: &StoreState,
    one: &super::DatabaseState,
    number: usize,
) -> Vec<String> {
    let none = || "–".to_owned();
    let rate = parts::success(database::backup_runs(store, &one.database));
    let drill = one.health.drilled_at.map_or_else(
        || "<span class=\"note\">never</span>".to_owned(),
        |at| {
            let (word, class) =
                if one.health.drill_passed == Some(true) { ("passed", "good") } else { ("failed", "bad") };
            format!("{} <span class=\"{class}\">{word}</span>", at.strftime("%Y-%m-%d"))
        },
    );
    let measured = one.health.drill_seconds;
    let recovery = measured.map(text::seconds).or_else(|| {
        one.forecast.as_ref().map(|forecast| format!("about {}", text::seconds(forecast.seconds)))
    });
    let beyond = measured.is_some_and(|seconds| seconds > one.targets.rto_seconds);
    let recovery = recovery.unwrap_or_else(none);
    vec![
        format!(
            "<a href=\"#{}\">{}</a>",
            anchor(number),
            escape(&parts::in_store(estate, store, &one.database))
        ),
        badge(one.health.level).to_owned(),
        one.health.age_seconds.map_or_else(
            || "<span class=\"bad\">none</span>".to_owned(),
            |age| {
                let late = age > one.targets.rpo_seconds;
                let said = format!("{} ago", text::seconds(age));
                if late { format!("<span class=\"bad\">{said}</span>") } else { said }
            },
        ),
        one.health.newest_bytes.map_or_else(none, text::bytes),
        rate.share.map_or_else(none, text::percent),
        drill,
        if beyond { format!("<span class=\"bad\">{recovery}</span>") } else { recovery },
        text::seconds(one.targets.rto_seconds),
    ]
}

/// The last runs of all kinds, failures marked.
fn runs(estate: &Estate) -> String {
    let mut all: Vec<&RunFacts> = estate.runs().collect();
    all.sort_by_key(|run| std::cmp::Reverse(run.at));
    if all.is_empty() {
        return "<h2>Last runs</h2><p class=\"dim\">The stores' audit logs tell of no run in this time.</p>\n".to_owned();
    }
    let failed = all.iter().filter(|run| !run.is_good() && !run.is_stopped()).count();
    let heads = [
        ("time (UTC)", Align::Text),
        ("operation", Align::Text),
        ("database", Align::Text),
        ("result", Align::Text),
        ("took", Align::Number),
        ("host", Align::Text),
        ("person", Align::Text),
    ];
    let rows: Vec<Vec<String>> = all.iter().take(RUNS).map(|run| run_row(run)).collect();
    let mut out = format!(
        "<h2>Last runs</h2>{}",
        table(&format!("The newest {} of {} runs", rows.len(), all.len()), &heads, &rows)
    );
    if failed > 0 {
        let bad = all.iter().filter(|run| !run.is_good() && !run.is_stopped()).take(RUNS);
        let rows: Vec<Vec<String>> = bad.map(|run| run_row(run)).collect();
        out.push_str(&format!(
            "<details><summary>{}</summary>{}</details>",
            escape(&format!("{} failed", counted(failed, "run"))),
            table("The newest failures", &heads, &rows)
        ));
    }
    out.push('\n');
    out
}

fn run_row(run: &RunFacts) -> Vec<String> {
    let class = match (run.is_good(), run.is_stopped()) {
        (true, _) => "good",
        (false, true) => "dim",
        (false, false) => "bad",
    };
    let result =
        if run.is_good() { run.result.clone() } else { format!("{} ({})", run.result, run.exit_code) };
    vec![
        run.at.strftime("%Y-%m-%d %H:%M").to_string(),
        escape(&run.operation),
        escape(run.database.as_deref().unwrap_or("–")),
        format!("<span class=\"{class}\">{}</span>", escape(&result)),
        text::seconds(run.seconds),
        escape(&run.host),
        escape(&run.person),
    ]
}
