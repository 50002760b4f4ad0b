//! The rules by themselves: on which series each fires, and on which it does not.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};
use xtask::prometheus::promtool;

use super::{read, repository};
use crate::harness::output;

/// The names of the alerts.
pub(super) fn alerts() -> BTreeSet<String> {
    let text = read("docs/monitoring/alerts.yml");
    text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect()
}

const NEWEST: &str = "pgcask_backup_newest_timestamp_seconds";
const OF_SHOP: &str = "{store=\"main\",database=\"shop\"}";

/// When `promtool` looks at the rules, in seconds: after three days of unchanging series.
const THREE_DAYS: i64 = 3 * 86_400;

/// A case: an alert, whether it fires, and the series on which.
pub(super) type Case = (&'static str, bool, Vec<(String, i64)>);

#[expect(clippy::too_many_lines, reason = "a table, a line or two for each case")]
pub(super) fn cases(now: i64) -> Vec<Case> {
    let shop = |name: &str, value: i64| (format!("{name}{OF_SHOP}"), value);
    let on = |host: &str, name: &str, value: i64| {
        (format!("{name}{{store=\"main\",database=\"shop\",instance=\"{host}\"}}"), value)
    };
    let of = |name: &str, labels: &str, value: i64| (format!("{name}{{{labels}}}"), value);
    let (day, rpo) = (86_400, shop("pgcask_recovery_point_target_seconds", 86_400));
    let rto = || shop("pgcask_recovery_time_target_seconds", 3600);
    let backup_size = |size: i64| {
        let labels = "store=\"main\",database=\"shop\",kind=\"daily\"";
        vec![
            of("pgcask_backup_last_size_bytes", labels, size),
            of("pgcask_backup_usual_size_bytes", labels, 1000),
        ]
    };
    let drilled = |at: i64, passed: i64| {
        vec![shop("pgcask_drill_last_timestamp_seconds", at), shop("pgcask_drill_last_success", passed)]
    };
    let drill_due = |at| vec![shop("pgcask_drill_due_timestamp_seconds", at)];
    let ran = |operation: &str, good| {
        let labels = format!("operation=\"{operation}\",database=\"shop\"");
        vec![of("pgcask_run_last_success", &labels, good)]
    };
    let room = |free| {
        vec![
            of("pgcask_store_free_bytes", "store=\"main\"", free),
            of("pgcask_backup_last_size_bytes", "store=\"main\",database=\"shop\",kind=\"daily\"", 100),
        ]
    };
    let key = |end| vec![of("pgcask_key_expiry_timestamp_seconds", "key=\"ops\"", end)];
    // An older failure in another store than the newer success.
    let mut two_stores = drilled(now - day, 1);
    two_stores.push(of(
        "pgcask_drill_last_timestamp_seconds",
        "store=\"copy\",database=\"shop\"",
        now - 2 * day,
    ));
    two_stores.push(of("pgcask_drill_last_success", "store=\"copy\",database=\"shop\"", 0));
    vec![
        ("PgcaskBackupMissing", true, vec![shop(NEWEST, 0)]),
        ("PgcaskBackupMissing", false, vec![shop(NEWEST, now - day)]),
        ("PgcaskBackupTooOld", true, vec![shop(NEWEST, now - 2 * day), rpo.clone()]),
        ("PgcaskBackupTooOld", false, vec![shop(NEWEST, now - day / 2), rpo.clone()]),
        ("PgcaskBackupTooOld", false, vec![shop(NEWEST, 0), rpo.clone()]),
        // One of two hosts has not looked for two days.
        ("PgcaskBackupTooOld", false, vec![on("a", NEWEST, now - 2 * day), on("b", NEWEST, now - 60), rpo]),
        ("PgcaskBackupFailed", true, ran("backup", 0)),
        ("PgcaskBackupFailed", false, [ran("backup", 1), ran("drill", 0)].concat()),
        ("PgcaskTestFailed", true, ran("test", 0)),
        // One that ended without a verdict, too.
        ("PgcaskTestFailed", true, ran("drill", 0)),
        ("PgcaskTestFailed", false, ran("test", 1)),
        ("PgcaskDrillOverdue", true, drill_due(now - day)),
        ("PgcaskDrillOverdue", true, vec![shop("pgcask_drill_last_timestamp_seconds", 0)]),
        ("PgcaskDrillOverdue", false, [drill_due(now + day), drilled(now - day, 1)].concat()),
        ("PgcaskDrillFailed", true, drilled(now - day, 0)),
        ("PgcaskDrillFailed", false, drilled(now - day, 1)),
        ("PgcaskDrillFailed", false, two_stores),
        ("PgcaskRecoveryTooSlow", true, vec![shop("pgcask_drill_last_recovery_time_seconds", 3601), rto()]),
        ("PgcaskRecoveryTooSlow", false, vec![shop("pgcask_drill_last_recovery_time_seconds", 3599), rto()]),
        (
            "PgcaskRecoveryForecastNearTarget",
            true,
            vec![shop("pgcask_recovery_time_forecast_seconds", 3000), rto()],
        ),
        (
            "PgcaskRecoveryForecastNearTarget",
            false,
            vec![shop("pgcask_recovery_time_forecast_seconds", 2800), rto()],
        ),
        ("PgcaskBackupSizeUnusual", true, backup_size(499)),
        ("PgcaskBackupSizeUnusual", true, backup_size(2001)),
        ("PgcaskBackupSizeUnusual", false, backup_size(1200)),
        ("PgcaskBackupNotEncrypted", true, vec![shop("pgcask_backup_last_encrypted", 0)]),
        ("PgcaskBackupNotEncrypted", false, vec![shop("pgcask_backup_last_encrypted", 1)]),
        ("PgcaskStoreNearlyFull", true, room(999)),
        ("PgcaskStoreNearlyFull", false, room(1001)),
        ("PgcaskStoreUnreachable", true, vec![of("pgcask_store_up", "store=\"main\"", 0)]),
        ("PgcaskStoreUnreachable", false, vec![of("pgcask_store_up", "store=\"main\"", 1)]),
        ("PgcaskKeyExpires", true, key(now + 29 * day)),
        ("PgcaskKeyExpires", true, vec![of("pgcask_key_usable", "key=\"ops\"", 0)]),
        (
            "PgcaskKeyExpires",
            false,
            [key(now + 31 * day), vec![of("pgcask_key_usable", "key=\"ops\"", 1)]].concat(),
        ),
        ("PgcaskMetricsAbsent", true, vec![("up".to_owned(), 1)]),
        ("PgcaskMetricsAbsent", false, vec![of("pgcask_build_info", "version=\"1\"", 1)]),
        (
            "PgcaskMetricsStale",
            true,
            vec![("pgcask_metrics_written_timestamp_seconds".to_owned(), now - 2 * day)],
        ),
        (
            "PgcaskMetricsStale",
            false,
            vec![("pgcask_metrics_written_timestamp_seconds".to_owned(), now - day)],
        ),
    ]
}

#[test]
fn each_alert_fires_and_does_not_fire() {
    let folder = tempfile::tempdir().unwrap();
    let rules = repository("docs/monitoring/alerts.yml").display().to_string();
    output(Command::new(promtool().unwrap()).args(["check", "rules", &rules]));
    let cases = cases(THREE_DAYS);
    for fires in [true, false] {
        let covered: BTreeSet<String> =
            cases.iter().filter(|case| case.1 == fires).map(|case| case.0.to_owned()).collect();
        assert_eq!(covered, alerts(), "fires: {fires}");
    }
    let tests = cases.iter().map(|(alert, fires, series)| {
        let series: Vec<Value> = series
            .iter()
            .map(|(series, value)| json!({"series": series, "values": format!("{value}+0x300")}))
            .collect();
        let expected = if *fires { json!([{"labels": "{}", "value": 1}]) } else { json!([]) };
        json!({"name": alert, "interval": "15m", "input_series": series, "promql_expr_test": [{
            "expr": format!("count(ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}})"),
            "eval_time": "3d", "exp_samples": expected}]})
    });
    // JSON is YAML, too.
    let file =
        json!({"rule_files": [rules], "evaluation_interval": "15m", "tests": tests.collect::<Vec<_>>()});
    let path = folder.path().join("tests.yml");
    std::fs::write(&path, file.to_string()).unwrap();
    output(Command::new(promtool().unwrap()).args(["test", "rules"]).arg(path));
}
