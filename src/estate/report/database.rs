//! What the page has of one database: its backups over time, its drills, what is kept for how long.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::parts::in_store;
use super::{anchor, badge, counted};
use crate::drill::{Mark, TestType, text};
use crate::estate::gather::{BackupState, DatabaseState, Estate, StoreState};
use crate::estate::runs::RunFacts;
use crate::operate::hold::{Hold, Statement};
use crate::page::html::{Align, escape, table};
use crate::page::plot::{Line, Plot, Point};
use crate::store::naming::Kind;

/// Backups and drills that are listed.
const LISTED: usize = 15;

/// Days that are shown one by one.
const DAYS: SignedDuration = SignedDuration::from_hours(119 * 24);

/// The backup runs of a database in a store.
pub(super) fn backup_runs<'a>(
    store: &'a StoreState,
    database: &'a str,
) -> impl Iterator<Item = &'a RunFacts> {
    store
        .runs
        .iter()
        .filter(move |run| run.operation == "backup" && run.database.as_deref() == Some(database))
}

/// The section of a database. `unfolded`: it is open from the start.
pub(super) fn section(
    estate: &Estate,
    store: &StoreState,
    one: &DatabaseState,
    number: usize,
    unfolded: bool,
) -> String {
    let name = in_store(estate, store, &one.database);
    let age = one.health.age_seconds.map_or_else(
        || "no backup".to_owned(),
        |age| {
            let (count, bytes) = (counted(one.backups.len(), "backup"), text::bytes(one.health.bytes));
            format!("newest {} ago, {count} of {bytes}", text::seconds(age))
        },
    );
    let open = if unfolded { " open" } else { "" };
    let mut out = format!(
        "<details class=\"database\" id=\"{}\"{open}><summary><h2>{}</h2> {} <span class=\"dim\">{age}</span></summary>",
        anchor(number),
        escape(&name),
        badge(one.health.level),
    );
    out.push_str(&plots(one, number));
    out.push_str(&strip(store, one, estate.since, estate.at));
    out.push_str(&newest(one));
    out.push_str(&kept(one));
    out.push_str(&holds(store, one));
    out.push_str(&drills(one));
    out.push_str("</details>\n");
    out
}

/// The class of a kind's colour.
const fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Daily => "load",
        Kind::Weekly => "index",
        Kind::Monthly => "prove",
        Kind::PreDeploy => "fk",
        Kind::Manual => "key",
        Kind::PreRestore => "fill",
    }
}

fn plots(one: &DatabaseState, number: usize) -> String {
    let lines = |value: &dyn Fn(&BackupState) -> Option<f64>, figure: fn(f64) -> String| -> Vec<Line> {
        let of_kind = |kind: Kind| {
            let mut points: Vec<Point> = one
                .backups
                .iter()
                .filter(|backup| backup.kind == kind)
                .filter_map(|backup| {
                    let value = value(backup)?;
                    let said =
                        format!("{}, {kind}: {}", backup.taken_at.strftime("%Y-%m-%d %H:%M"), figure(value));
                    Some(Point { at: backup.taken_at, value, said, failed: false })
                })
                .collect();
            points.sort_by_key(|point| point.at);
            Line { name: kind.to_string(), class: class(kind), points }
        };
        Kind::ALL.into_iter().map(of_kind).filter(|line| !line.points.is_empty()).collect()
    };
    let sizes = lines(&|backup| Some(text::float(backup.bytes)), as_bytes);
    let times = lines(&|backup| Some(backup.metadata.as_ref()?.seconds), text::seconds);
    let drawn = [
        Plot {
            id: &format!("size-{number}"),
            title: "Length of the archives",
            description: &described(one, "the length of its archive"),
            lines: &sizes,
            target: None,
            figure: as_bytes,
            binary: true,
        }
        .draw()
        .map(|plot| ("Size", plot)),
        Plot {
            id: &format!("time-{number}"),
            title: "Time of the backups",
            description: &described(one, "how long it took"),
            lines: &times,
            target: None,
            figure: text::seconds,
            binary: false,
        }
        .draw()
        .map(|plot| ("Duration", plot)),
        recovery(one, number).map(|plot| ("Recovery time", plot)),
    ];
    let figures = drawn.into_iter().flatten().fold(String::new(), |all, (title, plot)| {
        all + "<figure><figcaption>" + title + "</figcaption>" + &plot + "</figure>"
    });
    if figures.is_empty() { figures } else { format!("<div class=\"figures\">{figures}</div>") }
}

fn described(one: &DatabaseState, what: &str) -> String {
    format!(
        "Of each of {}: {what}. The newest are listed in the table below.",
        counted(one.backups.len(), "backup")
    )
}

/// What drills measured, and what was forecast of each before, against the target.
fn recovery(one: &DatabaseState, number: usize) -> Option<String> {
    let full = || one.drills.iter().filter(|mark| mark.entry.kind == TestType::Full);
    let point = |mark: &Mark| {
        let value = mark.entry.rto_measured_seconds?;
        let day = mark.entry.at.strftime("%Y-%m-%d %H:%M");
        let said = format!("{day}: {}, {}", text::seconds(value), mark.entry.result);
        Some(Point { at: mark.entry.at, value, said, failed: !mark.entry.is_passed() })
    };
    let forecast = |mark: &Mark| {
        let (measured, error) = (mark.entry.rto_measured_seconds?, mark.forecast_error?);
        let value = measured * (1.0 + error);
        let said = format!("{}: {} forecast", mark.entry.at.strftime("%Y-%m-%d %H:%M"), text::seconds(value));
        Some(Point { at: mark.entry.at, value, said, failed: false })
    };
    let lines = [
        Line { name: "forecast".to_owned(), class: "analyze", points: full().filter_map(forecast).collect() },
        Line {
            name: "measured by drills".to_owned(),
            class: "load",
            points: full().filter_map(point).collect(),
        },
    ];
    let description = format!(
        "Of {}: the recovery time. They are listed in the table below.",
        counted(full().count(), "drill")
    );
    Plot {
        id: &format!("recovery-{number}"),
        title: "Recovery time",
        description: &description,
        lines: &lines,
        target: Some(one.targets.rto_seconds),
        figure: text::seconds,
        binary: false,
    }
    .draw()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a figure to look at")]
fn as_bytes(value: f64) -> String {
    text::bytes(value.max(0.0) as u64)
}

/// The days of the history, one mark each: all runs good, some failed, none.
fn strip(store: &StoreState, one: &DatabaseState, since: Timestamp, until: Timestamp) -> String {
    let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    let counted_runs = || backup_runs(store, &one.database).filter(|run| !run.is_stopped());
    let failed: BTreeSet<String> =
        counted_runs().filter(|run| !run.is_good()).map(|run| day(run.at)).collect();
    let good: BTreeSet<String> = counted_runs()
        .filter(|run| run.is_good())
        .map(|run| day(run.at))
        .chain(
            one.backups
                .iter()
                .filter(|backup| backup.kind != Kind::PreRestore)
                .map(|backup| day(backup.taken_at)),
        )
        .collect();
    let mut marks = String::new();
    let mut at = since.max(until.saturating_sub(DAYS).unwrap_or(since));
    let (mut days, mut with, mut bad) = (0usize, 0usize, 0usize);
    loop {
        let name = day(at.min(until));
        let (class, said) = match (failed.contains(&name), good.contains(&name)) {
            (true, true) => ("mixed", "a run failed, another was good"),
            (true, false) => ("failed", "failed"),
            (false, true) => ("good", "good"),
            (false, false) => ("none", "no backup"),
        };
        days += 1;
        with += usize::from(good.contains(&name));
        bad += usize::from(failed.contains(&name));
        marks.push_str(&format!("<i class=\"{class}\" title=\"{name}: {said}\"></i>"));
        if name == day(until) {
            break;
        }
        let Ok(next) = at.checked_add(SignedDuration::from_hours(24)) else { break };
        at = next;
    }
    let said = format!("Of the last {days} days {with} have a backup, and on {bad} a run failed");
    format!(
        "<h3>Day by day</h3><div class=\"strip\" role=\"img\" aria-label=\"{said}\">{marks}</div><p class=\"dim\">{said}.</p>"
    )
}

fn newest(one: &DatabaseState) -> String {
    let none = || "–".to_owned();
    let rows: Vec<Vec<String>> = one
        .backups
        .iter()
        .take(LISTED)
        .map(|backup| {
            let facts = backup.metadata.as_ref();
            let say = |of: &dyn Fn(&crate::store::sidecar::Metadata) -> String| facts.map_or_else(none, of);
            let kept = match (backup.held, backup.marked_at) {
                (true, _) => "<span class=\"note\">held</span>".to_owned(),
                (false, Some(at)) => format!("marked {}", at.strftime("%Y-%m-%d")),
                (false, None) => say(&|facts| facts.expires_at.as_deref().map_or("for ever", day).to_owned()),
            };
            vec![
                backup.taken_at.strftime("%Y-%m-%d %H:%M").to_string(),
                backup.kind.to_string(),
                text::bytes(backup.bytes),
                say(&|facts| text::count(facts.rows)),
                say(&|facts| text::seconds(facts.seconds)),
                say(&|facts| {
                    (if facts.encrypted { "yes" } else { "<span class=\"bad\">no</span>" }).to_owned()
                }),
                kept,
                format!("<code>{}</code>", escape(&backup.id)),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let heads = [
        ("taken (UTC)", Align::Text),
        ("kind", Align::Text),
        ("size", Align::Number),
        ("rows", Align::Number),
        ("took", Align::Number),
        ("encrypted", Align::Text),
        ("kept until", Align::Text),
        ("id", Align::Text),
    ];
    let caption = format!("The newest {} of {}", rows.len(), counted(one.backups.len(), "backup"));
    format!("<h3>Backups</h3>{}", table(&caption, &heads, &rows))
}

/// The day of a moment as sidecars have it.
fn day(text: &str) -> &str {
    text.get(..10).unwrap_or("?")
}

/// What is kept, by kind.
fn kept(one: &DatabaseState) -> String {
    let row = |kind: Kind| {
        let all: Vec<&BackupState> = one.backups.iter().filter(|backup| backup.kind == kind).collect();
        let (newest, oldest) = (all.first()?, all.last()?);
        let ends = all.iter().filter_map(|backup| backup.metadata.as_ref()?.expires_at.as_deref().map(day));
        let count = |pick: &dyn Fn(&BackupState) -> bool| {
            all.iter().filter(|backup| pick(backup)).count().to_string()
        };
        Some(vec![
            kind.to_string(),
            all.len().to_string(),
            text::bytes(all.iter().map(|backup| backup.bytes).sum()),
            oldest.taken_at.strftime("%Y-%m-%d").to_string(),
            newest.taken_at.strftime("%Y-%m-%d").to_string(),
            ends.min().map_or_else(|| "never".to_owned(), escape),
            count(&|backup| backup.held),
            count(&|backup| backup.marked_at.is_some()),
        ])
    };
    let rows: Vec<Vec<String>> = Kind::ALL.into_iter().filter_map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    let heads = [
        ("kind", Align::Text),
        ("backups", Align::Number),
        ("archives", Align::Number),
        ("oldest", Align::Text),
        ("newest", Align::Text),
        ("next one expires", Align::Text),
        ("held", Align::Number),
        ("marked", Align::Number),
    ];
    format!("<h3>Retention</h3>{}", table("What is kept, by kind of backup", &heads, &rows))
}

/// Who holds what, and why.
fn holds(store: &StoreState, one: &DatabaseState) -> String {
    let of_it = |hold: &&Hold| one.backups.iter().any(|backup| backup.id == hold.id);
    let row = |hold: &Hold| {
        let said = hold.statement.as_ref();
        let text = |of: &dyn Fn(&Statement) -> String| said.map_or_else(|| "?".to_owned(), of);
        vec![
            hold.taken_at.strftime("%Y-%m-%d %H:%M").to_string(),
            text(&|said| said.at.strftime("%Y-%m-%d").to_string()),
            text(&|said| escape(said.person.as_deref().unwrap_or(&said.by.person))),
            text(&|said| escape(&said.reason)),
            text(&|said| escape(said.case.as_deref().unwrap_or("–"))),
            format!("<code>{}</code>", escape(&hold.id)),
        ]
    };
    let rows: Vec<Vec<String>> = store.holds.iter().filter(of_it).map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    let heads = [
        ("backup of (UTC)", Align::Text),
        ("held since", Align::Text),
        ("by", Align::Text),
        ("reason", Align::Text),
        ("case", Align::Text),
        ("id", Align::Text),
    ];
    format!("<h3>Holds</h3>{}", table("What no prune removes", &heads, &rows))
}

fn drills(one: &DatabaseState) -> String {
    if one.drills.is_empty() {
        return "<h3>Drills</h3><p class=\"note\">It was never restored on trial: <code>pgcask drill</code> does that.</p>".to_owned();
    }
    let rows: Vec<Vec<String>> = one
        .drills
        .iter()
        .rev()
        .take(LISTED)
        .map(|mark| {
            let entry = &mark.entry;
            let class = if entry.is_passed() { "good" } else { "bad" };
            vec![
                entry.at.strftime("%Y-%m-%d %H:%M").to_string(),
                escape(entry.kind.words()),
                format!("<span class=\"{class}\">{}</span>", escape(&entry.result)),
                entry.rto_measured_seconds.map_or_else(|| "–".to_owned(), text::seconds),
                text::seconds(entry.rto_target_seconds),
                mark.forecast_error.map_or_else(|| "–".to_owned(), text::off),
                text::count(mark.rows),
                escape(&entry.issues.join("; ")),
            ]
        })
        .collect();
    let heads = [
        ("time (UTC)", Align::Text),
        ("test", Align::Text),
        ("result", Align::Text),
        ("recovery time", Align::Number),
        ("allowed", Align::Number),
        ("forecast off by", Align::Number),
        ("rows proven", Align::Number),
        ("issues", Align::Text),
    ];
    let due = one
        .health
        .drill_due
        .map_or_else(String::new, |due| format!("The next one is due on {}", due.strftime("%Y-%m-%d")));
    format!("<h3>Drills</h3>{}", table(&due, &heads, &rows))
}
