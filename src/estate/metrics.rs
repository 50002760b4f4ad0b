//! What is known, as metrics in the text format of Prometheus (exposition format 0.0.4). Names follow its rules: a prefix,
//! base units, the unit last. Moments are told and not ages, so that a file that nobody writes any more shows its age by
//! itself.

use std::collections::BTreeMap;

use serde::Serialize;

use super::gather::{BackupState, DatabaseState, Estate, StoreState};
use crate::drill::{Level, Run, TestType, text};
use jiff::Timestamp;

/// The type of the text.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

/// A metric: its name, and what it is. All are gauges: each run tells the whole anew.
#[derive(Debug, Clone, Copy)]
struct Metric(&'static str, &'static str);

const BUILD: Metric = Metric("pgcask_build_info", "The version of pgcask that wrote this.");
const WRITTEN: Metric = Metric("pgcask_metrics_written_timestamp_seconds", "When this was written.");
const NEWEST: Metric = Metric(
    "pgcask_backup_newest_timestamp_seconds",
    "When the newest backup of a database was taken, safety backups aside; 0 where one is wanted and there is none.",
);
const LAST: Metric =
    Metric("pgcask_backup_last_success_timestamp_seconds", "When the newest backup of a kind was taken.");
const DURATION: Metric =
    Metric("pgcask_backup_last_duration_seconds", "How long the newest backup of a kind took.");
const SIZE: Metric = Metric("pgcask_backup_last_size_bytes", "Length of the newest archive of a kind.");
const USUAL: Metric = Metric(
    "pgcask_backup_usual_size_bytes",
    "Median length of the ten archives of a kind before the newest.",
);
const PLAIN: Metric = Metric(
    "pgcask_backup_last_row_data_bytes",
    "Row data in the newest backup of a kind, before compression.",
);
const ROWS: Metric = Metric("pgcask_backup_last_rows", "Rows in the newest backup of a kind.");
const RATE: Metric = Metric(
    "pgcask_backup_last_rate_bytes_per_second",
    "Row data that the newest backup of a kind read in a second.",
);
const EXPIRY: Metric = Metric(
    "pgcask_backup_last_expiry_timestamp_seconds",
    "Until when the newest backup of a kind is to be kept; not there for one that does not expire.",
);
const ENCRYPTED: Metric =
    Metric("pgcask_backup_last_encrypted", "Whether the newest backup of a kind is encrypted.");
const BACKUPS: Metric = Metric("pgcask_backups", "Backups of a kind in the store.");
const BACKUPS_BYTES: Metric = Metric("pgcask_backups_size_bytes", "Length of all archives of a kind.");
const OLDEST: Metric =
    Metric("pgcask_backups_oldest_timestamp_seconds", "When the oldest backup of a kind was taken.");
const HELD: Metric = Metric("pgcask_backups_held", "Backups of a database that somebody holds.");
const MARKED: Metric = Metric("pgcask_backups_marked", "Backups of a database that are marked for removal.");
const HEALTH: Metric =
    Metric("pgcask_health_level", "What `pgcask check` says of a database: 0 ok, 1 warning, 2 critical.");
const RPO: Metric =
    Metric("pgcask_recovery_point_target_seconds", "How old the newest backup of a database may be.");
const RTO: Metric = Metric("pgcask_recovery_time_target_seconds", "How long a recovery may take.");
const FORECAST: Metric = Metric(
    "pgcask_recovery_time_forecast_seconds",
    "How long a restore of the newest backup would take, most likely.",
);
const FORECAST_HIGH: Metric = Metric(
    "pgcask_recovery_time_forecast_high_seconds",
    "How long a restore of the newest backup would take at most, most likely.",
);
const DRILL: Metric = Metric(
    "pgcask_drill_last_timestamp_seconds",
    "When a database was last restored on trial as a whole; 0 where it never was.",
);
const DRILL_DUE: Metric =
    Metric("pgcask_drill_due_timestamp_seconds", "When the next drill of a database is due.");
const DRILL_PASSED: Metric =
    Metric("pgcask_drill_last_success", "Whether the last drill of a database passed.");
const DRILL_RATIO: Metric = Metric(
    "pgcask_drill_last_pass_ratio",
    "Share of the checks that passed in the last drill of a database.",
);
const DRILL_TIME: Metric = Metric(
    "pgcask_drill_last_recovery_time_seconds",
    "The recovery time that the last drill of a database measured.",
);
const RUN: Metric = Metric("pgcask_run_last_timestamp_seconds", "When a command last ended on this host.");
const RUN_SUCCESS: Metric =
    Metric("pgcask_run_last_success", "Whether the last run of a command on this host succeeded.");
const RUN_EXIT: Metric =
    Metric("pgcask_run_last_exit_code", "How the last run of a command on this host ended.");
const RUN_DURATION: Metric =
    Metric("pgcask_run_last_duration_seconds", "How long the last run of a command on this host took.");
const RUN_GOOD: Metric =
    Metric("pgcask_run_last_success_timestamp_seconds", "When a command last succeeded on this host.");
const STORE_UP: Metric = Metric("pgcask_store_up", "Whether the store could be looked at.");
const STORE_BACKUPS: Metric =
    Metric("pgcask_store_backups_size_bytes", "Length of all archives in the store.");
const STORE_FREE: Metric = Metric("pgcask_store_free_bytes", "Room in the store, where it is a file system.");
const STORE_SIZE: Metric =
    Metric("pgcask_store_capacity_bytes", "All room of the store, where it is a file system.");
const ORPHANS: Metric =
    Metric("pgcask_store_orphans", "Files in the store that backups left which were never completed.");
const KEY_EXPIRY: Metric = Metric(
    "pgcask_key_expiry_timestamp_seconds",
    "When backups can no longer be sealed for a configured recipient; not there for keys that do not expire.",
);
const KEY_USABLE: Metric = Metric(
    "pgcask_key_usable",
    "Whether backups can be sealed for a configured recipient that expires, or that cannot be read.",
);

/// One value with its labels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sample {
    /// The metric.
    pub name: &'static str,
    /// Names and values of the labels.
    pub labels: BTreeMap<&'static str, String>,
    /// The value.
    pub value: f64,
}

/// All metrics.
#[derive(Debug, Clone, Default)]
pub struct Exposition {
    families: BTreeMap<&'static str, (&'static str, Vec<Sample>)>,
}

impl Exposition {
    fn add(&mut self, metric: Metric, labels: &[(&'static str, &str)], value: f64) {
        let Metric(name, help) = metric;
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let (_, samples) = self.families.entry(name).or_insert_with(|| (help, Vec::new()));
        samples.push(Sample { name, labels, value });
    }

    /// Each metric: its name, what it is, its values.
    pub fn families(&self) -> impl Iterator<Item = (&'static str, &'static str, &[Sample])> {
        self.families.iter().map(|(name, (help, samples))| (*name, *help, samples.as_slice()))
    }

    /// All values.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.families.values().flat_map(|(_, samples)| samples)
    }

    /// The text format.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for (name, (help, samples)) in &self.families {
            out.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
            for sample in samples {
                let labels: Vec<String> = sample
                    .labels
                    .iter()
                    .map(|(name, value)| format!("{name}=\"{}\"", escape(value)))
                    .collect();
                let labels =
                    if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
                out.push_str(&format!("{name}{labels} {}\n", sample.value));
            }
        }
        out
    }
}

/// A label's value: backslash, quote and line feed are escaped, and nothing else is.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// What is known of the estate and of this host's runs.
pub fn metrics(estate: &Estate, runs: &[Run]) -> Exposition {
    let mut out = Exposition::default();
    out.add(BUILD, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    out.add(WRITTEN, &[], moment(estate.at));
    for store in &estate.stores {
        of_store(&mut out, store);
        for database in &store.databases {
            let labels = [("store", store.store.as_str()), ("database", database.database.as_str())];
            of_database(&mut out, labels, database);
            of_drill(&mut out, labels, database);
            for backup in database.newest_of_kinds() {
                let [store, name] = labels;
                of_kind(&mut out, &[store, name, ("kind", backup.kind.name())], database, backup);
            }
        }
    }
    for key in &estate.keys {
        let labels = [("key", key.key.as_str())];
        out.add(KEY_USABLE, &labels, truth(key.problem.is_none()));
        if let Some(end) = key.expires_at {
            out.add(KEY_EXPIRY, &labels, moment(end));
        }
    }
    of_runs(&mut out, runs);
    out
}

fn of_store(out: &mut Exposition, store: &StoreState) {
    let labels = [("store", store.store.as_str())];
    out.add(STORE_UP, &labels, truth(store.unreachable.is_none()));
    let Some(health) = &store.health else { return };
    out.add(STORE_BACKUPS, &labels, text::float(health.databases.iter().map(|one| one.bytes).sum()));
    out.add(ORPHANS, &labels, text::float(health.orphans));
    if let Some(room) = health.room {
        out.add(STORE_FREE, &labels, text::float(room.free));
        out.add(STORE_SIZE, &labels, text::float(room.all));
    }
}

type OfDatabase<'a> = [(&'static str, &'a str); 2];

fn of_database(out: &mut Exposition, labels: OfDatabase<'_>, database: &DatabaseState) {
    let labels = &labels;
    out.add(NEWEST, labels, database.health.newest_at.map_or(0.0, moment));
    out.add(RPO, labels, database.targets.rpo_seconds);
    out.add(RTO, labels, database.targets.rto_seconds);
    let level = match database.health.level {
        Level::Ok => 0.0,
        Level::Warning => 1.0,
        Level::Critical => 2.0,
    };
    out.add(HEALTH, labels, level);
    let count = |pick: &dyn Fn(&&BackupState) -> bool| length(database.backups.iter().filter(pick).count());
    out.add(HELD, labels, count(&|backup| backup.held));
    out.add(MARKED, labels, count(&|backup| backup.marked_at.is_some()));
    if let Some(forecast) = &database.forecast {
        out.add(FORECAST, labels, forecast.seconds);
        out.add(FORECAST_HIGH, labels, forecast.high_seconds);
    }
}

fn of_drill(out: &mut Exposition, labels: OfDatabase<'_>, database: &DatabaseState) {
    let labels = &labels;
    let last = database.drills.iter().rfind(|mark| mark.entry.kind == TestType::Full);
    out.add(DRILL, labels, last.map_or(0.0, |mark| moment(mark.entry.at)));
    let Some(mark) = last else { return };
    out.add(DRILL_PASSED, labels, truth(mark.entry.is_passed()));
    out.add(DRILL_RATIO, labels, mark.entry.pass_rate);
    if let Some(due) = database.health.drill_due {
        out.add(DRILL_DUE, labels, moment(due));
    }
    if let Some(seconds) = mark.entry.rto_measured_seconds {
        out.add(DRILL_TIME, labels, seconds);
    }
}

/// What is known of a kind of backups, of which `newest` is the newest.
fn of_kind(
    out: &mut Exposition,
    labels: &[(&'static str, &str)],
    database: &DatabaseState,
    newest: &BackupState,
) {
    let all = || database.backups.iter().filter(|backup| backup.kind == newest.kind);
    out.add(LAST, labels, moment(newest.taken_at));
    out.add(SIZE, labels, text::float(newest.bytes));
    out.add(BACKUPS, labels, length(all().count()));
    out.add(BACKUPS_BYTES, labels, text::float(all().map(|backup| backup.bytes).sum()));
    if let Some(oldest) = all().map(|backup| backup.taken_at).min() {
        out.add(OLDEST, labels, moment(oldest));
    }
    if let Some(usual) = database.usual_bytes.get(&newest.kind) {
        out.add(USUAL, labels, text::float(*usual));
    }
    let Some(facts) = &newest.metadata else { return };
    out.add(DURATION, labels, facts.seconds);
    out.add(ROWS, labels, text::float(facts.rows));
    out.add(PLAIN, labels, text::float(facts.plain_bytes));
    out.add(RATE, labels, text::float(facts.plain_bytes) / facts.seconds.max(0.001));
    out.add(ENCRYPTED, labels, truth(facts.encrypted));
    if let Some(end) = facts.expires_at.as_deref().and_then(|end| end.parse().ok()) {
        out.add(EXPIRY, labels, moment(end));
    }
}

/// The last run of each command for each database. Runs of which the database is not known have an empty one.
fn of_runs(out: &mut Exposition, runs: &[Run]) {
    let mut last: BTreeMap<(&str, &str), (&Run, Option<Timestamp>)> = BTreeMap::new();
    for run in runs {
        let good = (run.exit_code == 0).then_some(run.at);
        let slot = last
            .entry((run.command.as_str(), run.database.as_deref().unwrap_or_default()))
            .or_insert((run, None));
        *slot = (run, good.or(slot.1));
        // One that failed before its database was known is over when the same works again: no run would ever take its place.
        if good.is_some() && run.database.is_some() {
            last.remove(&(run.command.as_str(), ""));
        }
    }
    for ((command, database), (run, good)) in last {
        let labels = [("operation", command), ("database", database)];
        out.add(RUN, &labels, moment(run.at));
        out.add(RUN_SUCCESS, &labels, truth(run.exit_code == 0));
        out.add(RUN_EXIT, &labels, f64::from(run.exit_code));
        out.add(RUN_DURATION, &labels, run.seconds);
        if let Some(good) = good {
            out.add(RUN_GOOD, &labels, moment(good));
        }
    }
}

/// Seconds since 1970, whole: a second is as exact as anything here.
fn moment(at: Timestamp) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "seconds of this era are far below 2^53")]
    let seconds = at.as_second() as f64;
    seconds
}

const fn truth(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

fn length(count: usize) -> f64 {
    text::float(u64::try_from(count).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(second: i64, exit_code: u8, database: Option<&str>) -> Run {
        Run {
            at: Timestamp::from_second(second).unwrap(),
            command: "backup".to_owned(),
            exit_code,
            seconds: 1.5,
            database: database.map(str::to_owned),
            archive: None,
            bytes: None,
            error: None,
        }
    }

    #[test]
    fn a_failure_of_which_the_database_is_not_known_ends_with_the_next_success() {
        let text = |runs: &[Run]| {
            let mut out = Exposition::default();
            of_runs(&mut out, runs);
            out.text()
        };
        let failed = "pgcask_run_last_success{database=\"\",operation=\"backup\"} 0\n";
        assert!(text(&[run(100, 8, None)]).contains(failed));
        assert!(text(&[run(100, 8, None), run(200, 7, Some("shop"))]).contains(failed));
        assert!(!text(&[run(100, 8, None), run(200, 0, Some("shop"))]).contains(failed));
        assert!(text(&[run(100, 0, Some("shop")), run(200, 8, None)]).contains(failed));
    }

    #[test]
    fn labels_hold_any_name() {
        let mut out = Exposition::default();
        out.add(BACKUPS, &[("database", "a\"b\\c\nd")], 3.0);
        let expected = "# HELP pgcask_backups Backups of a kind in the store.\n# TYPE pgcask_backups gauge\n\
                        pgcask_backups{database=\"a\\\"b\\\\c\\nd\"} 3\n";
        assert_eq!(out.text(), expected);
    }

    #[test]
    fn a_failed_run_keeps_the_moment_of_the_last_good_one() {
        let run = |second, exit_code| run(second, exit_code, Some("shop"));
        let mut out = Exposition::default();
        of_runs(&mut out, &[run(100, 0), run(200, 7)]);
        let text = out.text();
        for (metric, value) in [(RUN, 200), (RUN_GOOD, 100), (RUN_SUCCESS, 0), (RUN_EXIT, 7)] {
            let line = format!("{}{{database=\"shop\",operation=\"backup\"}} {value}\n", metric.0);
            assert!(text.contains(&line), "{line}\n{text}");
        }
    }
}
