//! The report of a test or drill as one HTML page: no script, nothing loaded from elsewhere; light and dark, on paper, on a narrow
//! screen.

mod charts;

use super::check::{Check, Outcome};
use super::record::{Objective, Record, TestType};
use super::register::Entry;
use super::text;
use crate::page::document;
use crate::page::html::{Align, escape, items, table};

/// Writes the page. `history` are the tests of the same database and kind so far, this one included, the oldest first.
pub fn page(record: &Record, history: &[Entry]) -> String {
    let title = format!("{} of {}, {}", capital(record.kind.words()), record.archive.database, day(record));
    let mut out = String::new();
    out.push_str(&head(record));
    out.push_str(&issues(record));
    out.push_str(&checks(record));
    out.push_str(&recovery(record));
    out.push_str(&tables(record));
    out.push_str(&past(record, history));
    out.push_str(&facts(record));
    let footer = format!(
        "Written by {} on {} by {} at {}.",
        record.tool,
        record.who.host,
        record.who.operator,
        record.started_at.strftime("%Y-%m-%d %H:%M:%S UTC")
    );
    document(&title, &out, &footer)
}

fn day(record: &Record) -> String {
    record.started_at.strftime("%Y-%m-%d").to_string()
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn card(value: &str, what: &str) -> String {
    format!("<li><b>{}</b><span>{}</span></li>", escape(value), escape(what))
}

fn head(record: &Record) -> String {
    let verdict = &record.verdict;
    let (word, class) = if verdict.passed { ("PASSED", "good") } else { ("FAILED", "bad") };
    let measured = |objective: Objective| {
        objective.measured_seconds.map_or_else(|| "not measured".to_owned(), text::seconds)
    };
    let good = verdict.made - verdict.failed;
    let restores = record.kind != TestType::Quick;
    let mut cards = vec![card(
        &format!("{good} of {}", verdict.made),
        &format!("checks passed ({})", text::percent(verdict.pass_rate)),
    )];
    if restores {
        let target = format!("recovery time; target {}", text::seconds(record.rto.target_seconds));
        cards.push(card(&measured(record.rto), &target));
    }
    cards.push(card(
        &measured(record.rpo),
        &format!("age of the backup; target {}", text::seconds(record.rpo.target_seconds)),
    ));
    cards.push(if restores {
        card(&text::count(record.throughput.rows), "rows restored")
    } else {
        card(&text::count(record.archive.rows), "rows in it; restored by drills alone")
    });
    cards.push(card(&record.next_due.strftime("%Y-%m-%d").to_string(), "next one due"));
    let what = if restores { "Backup restore test" } else { "Backup test" };
    format!(
        "<p class=\"dim\">{what} · {}</p><h1>{} of {}</h1><p><span class=\"verdict {class}\">{word}</span></p><ul class=\"cards\">{}</ul>\n",
        record.started_at.strftime("%Y-%m-%d %H:%M UTC"),
        escape(&capital(record.kind.words())),
        escape(&record.archive.database),
        cards.concat()
    )
}

fn issues(record: &Record) -> String {
    let issues = record.issues();
    if issues.is_empty() {
        return String::new();
    }
    let list = items(issues.iter().map(|issue| escape(issue)));
    format!("<h2>What is wrong</h2><ul class=\"bad\">{list}</ul>\n")
}

fn checks(record: &Record) -> String {
    let row = |check: &Check| {
        let (word, class) = match (check.outcome, check.critical) {
            (Outcome::Passed, _) => ("✓&nbsp;passed", "good"),
            (Outcome::Noted, _) => ("✓&nbsp;passed, note", "note"),
            (Outcome::Skipped, _) => ("–&nbsp;not&nbsp;checked", "dim nowrap"),
            (Outcome::Failed, true) => ("✗&nbsp;FAILED", "bad"),
            (Outcome::Failed, false) => ("✗&nbsp;failed, not critical", "bad"),
        };
        let problems = items(check.problems.iter().map(|problem| escape(problem)));
        let problems =
            if problems.is_empty() { problems } else { format!("<ul class=\"problems\">{problems}</ul>") };
        vec![
            escape(&check.check),
            format!("<span class=\"{class}\">{word}</span>"),
            format!("{}{problems}", escape(&check.found)),
        ]
    };
    let rows: Vec<Vec<String>> = record.checks.iter().map(row).collect();
    let heads = [("check", Align::Text), ("result", Align::Text), ("found", Align::Text)];
    format!(
        "<h2>Checks</h2>{}\n",
        table("A failed critical check, or fewer than 80 % passed, fails the whole", &heads, &rows)
    )
}

fn recovery(record: &Record) -> String {
    let Some(bar) = charts::against_target(record) else {
        return String::new();
    };
    let throughput = &record.throughput;
    let mut out = format!("<h2>Recovery time</h2>{bar}");
    out.push_str(&format!(
        "<p>{} rows and {} of row data in {}: {}/s, {} rows/s on {} connections. Measured from opening the archive to the last check, proof of every row included.</p>",
        text::count(throughput.rows),
        text::bytes(throughput.bytes),
        text::seconds(record.rto.measured_seconds.unwrap_or_default()),
        text::bytes(whole(throughput.bytes_per_second)),
        text::count(whole(throughput.rows_per_second)),
        record.jobs
    ));
    if let Some(forecast) = &record.forecast {
        let off = forecast.error.map_or_else(String::new, |error| format!("; off by {}", text::off(error)));
        out.push_str(&format!(
            "<p>Forecast beforehand: {} (between {} and {}), from {}{off}.</p>",
            text::seconds(forecast.seconds),
            text::seconds(forecast.low_seconds),
            text::seconds(forecast.high_seconds),
            escape(&forecast.basis)
        ));
    }
    let rows: Vec<Vec<String>> = charts::recovery(record)
        .into_iter()
        .map(|phase| {
            let share = phase.seconds / record.rto.measured_seconds.unwrap_or(1.0).max(0.001);
            vec![escape(&phase.name), text::seconds(phase.seconds), text::percent(share)]
        })
        .collect();
    let heads = [("phase", Align::Text), ("time", Align::Number), ("share", Align::Number)];
    out.push_str(&table("Phases", &heads, &rows));
    if let Some(timeline) = charts::timeline(record) {
        out.push_str(&format!("<h2>Timeline</h2>{timeline}{}", legend(record)));
    }
    let mut longest: Vec<_> = record.steps.iter().collect();
    longest.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let began = charts::restoring(record).first().map_or(0.0, |phase| phase.began);
    let rows: Vec<Vec<String>> = longest
        .into_iter()
        .take(15)
        .map(|step| {
            vec![
                escape(&step.object),
                escape(&step.work),
                (step.worker + 1).to_string(),
                text::seconds(step.began - began),
                text::seconds(step.seconds),
            ]
        })
        .collect();
    let heads = [
        ("object", Align::Text),
        ("work", Align::Text),
        ("connection", Align::Number),
        ("began after", Align::Number),
        ("took", Align::Number),
    ];
    out.push_str(&table(&format!("The longest of {} steps", text::count(record.steps_total)), &heads, &rows));
    out.push('\n');
    out
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a figure to look at")]
fn whole(figure: f64) -> u64 {
    figure.max(0.0) as u64
}

fn legend(record: &Record) -> String {
    let is_there = |class: &str| record.steps.iter().any(|step| charts::class_of(&step.work) == class);
    let there = charts::LEGEND.iter().filter(|(class, _)| is_there(class));
    let items = items(there.map(|(class, words)| format!("<i class=\"{class}\"></i>{words}")));
    format!("<ul class=\"legend\">{items}</ul>")
}

fn tables(record: &Record) -> String {
    if record.tables.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = record
        .tables
        .iter()
        .map(|table| {
            vec![
                escape(&table.name),
                text::count(table.rows),
                text::bytes(table.bytes),
                text::seconds(table.load_seconds),
                text::seconds(table.prove_seconds),
            ]
        })
        .collect();
    let heads = [
        ("table", Align::Text),
        ("rows", Align::Number),
        ("row data", Align::Number),
        ("loading", Align::Number),
        ("proof", Align::Number),
    ];
    format!("<h2>Largest tables</h2>{}\n", table("Seconds of all connections together", &heads, &rows))
}

fn past(record: &Record, history: &[Entry]) -> String {
    let restores = record.kind != TestType::Quick;
    let mut out = format!("<h2>{} so far</h2>", if restores { "Drills" } else { "Tests" });
    match charts::history(history) {
        Some(plot) => out.push_str(&plot),
        None if restores => {
            out.push_str("<p class=\"dim\">There are not yet two drills to compare.</p>");
        }
        None => {}
    }
    let rows: Vec<Vec<String>> = history
        .iter()
        .rev()
        .take(12)
        .map(|entry| {
            let class = if entry.is_passed() { "good" } else { "bad" };
            vec![
                entry.at.strftime("%Y-%m-%d %H:%M").to_string(),
                escape(entry.kind.words()),
                format!("<span class=\"{class}\">{}</span>", escape(&entry.result)),
                entry.rto_measured_seconds.map_or_else(|| "–".to_owned(), text::seconds),
                escape(&entry.archive_id),
                escape(&entry.issues.join("; ")),
            ]
        })
        .collect();
    let heads = [
        ("time (UTC)", Align::Text),
        ("test", Align::Text),
        ("result", Align::Text),
        ("recovery time", Align::Number),
        ("archive", Align::Text),
        ("issues", Align::Text),
    ];
    out.push_str(&table("The newest first", &heads, &rows));
    out.push('\n');
    out
}

fn facts(record: &Record) -> String {
    let archive = &record.archive;
    let taken = archive
        .taken_at
        .map_or_else(|| "unknown".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
    let mut list = vec![
        ("archive", archive.place.clone()),
        ("id, kind", format!("{}, {}", archive.id, archive.kind)),
        ("snapshot", taken),
        ("source", format!("{} on PostgreSQL {}", archive.database, archive.server_version)),
        ("size", format!("{}; {} of row data", text::bytes(archive.bytes), text::bytes(archive.plain_bytes))),
        ("SHA-256", archive.sha256.clone()),
        ("encrypted", (if archive.encrypted { "yes" } else { "no" }).to_owned()),
        ("written by", archive.tool.clone()),
    ];
    if let Some(server) = &record.server {
        list.push((
            "restored on",
            format!("{} PostgreSQL {}, {}", server.kind, server.version, server.place),
        ));
        let settings = server.settings.iter().map(|(name, value)| format!("{name} = {value}"));
        list.push(("its settings", settings.collect::<Vec<_>>().join(", ")));
    }
    let items: Vec<String> =
        list.iter().map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>", escape(value))).collect();
    let items = items.concat();
    format!("<h2>What was tested, and where</h2><dl>{items}</dl>\n")
}
