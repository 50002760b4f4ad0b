//! Metrics, alert rules and the dashboard, as a real Prometheus takes them.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use url::form_urlencoded;
use xtask::prometheus::{Monitor, promtool};

use crate::harness::cli::{Run, folder, pgcask, run};
use crate::harness::gpg::GpgHome;
use crate::harness::output;
use crate::harness::postgres::{Server, newest};
use crate::harness::receivers::{FileServer, get};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap()
}

/// The names of the alerts.
fn alerts() -> BTreeSet<String> {
    let text = read("docs/monitoring/alerts.yml");
    text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect()
}

const NEWEST: &str = "pgcask_backup_newest_timestamp_seconds";
const OF_SHOP: &str = "{store=\"main\",database=\"shop\"}";

/// When `promtool` looks at the rules, in seconds: after three days of unchanging series.
const THREE_DAYS: i64 = 3 * 86_400;

/// A case: an alert, whether it fires, and the series on which.
type Case = (&'static str, bool, Vec<(String, i64)>);

#[expect(clippy::too_many_lines, reason = "a table, a line or two for each case")]
fn cases(now: i64) -> Vec<Case> {
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
            .map(|(series, value)| json!({"series": series, "values": format!("{value}+0x900")}))
            .collect();
        let expected = if *fires { json!([{"labels": "{}", "value": 1}]) } else { json!([]) };
        json!({"name": alert, "interval": "5m", "input_series": series, "promql_expr_test": [{
            "expr": format!("count(ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}})"),
            "eval_time": "3d", "exp_samples": expected}]})
    });
    // JSON is YAML, too.
    let file =
        json!({"rule_files": [rules], "evaluation_interval": "5m", "tests": tests.collect::<Vec<_>>()});
    let path = folder.path().join("tests.yml");
    std::fs::write(&path, file.to_string()).unwrap();
    output(Command::new(promtool().unwrap()).args(["test", "rules"]).arg(path));
}

/// A folder with a configuration for a database, and what runs in it.
struct Host {
    folder: tempfile::TempDir,
    config: String,
}

impl Host {
    fn new(server: &Server, database: &str, metrics: &str) -> Self {
        let config = format!(
            "[defaults]\nstore = \"main\"\npassphrase_file = \"pass\"\n[stores.main]\nurl = \"./backups\"\n\
             [databases.shop]\nurl = \"{}\"\n{metrics}",
            server.url(database)
        );
        Self { folder: folder(), config }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self) {
        let file = self.path("pgcask.toml");
        std::fs::write(&file, &self.config).unwrap();
        output(Command::new("chmod").arg("600").arg(&file));
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = pgcask(args);
        command.current_dir(self.folder.path()).env("XDG_STATE_HOME", self.path("state"));
        command
    }

    fn run(&self, args: &[&str]) -> Run {
        self.write();
        run(&mut self.command(args))
    }
}

/// That `promtool` finds nothing to say about the names, units and types.
fn assert_well_formed(text: &str) {
    let mut check = Command::new(promtool().unwrap());
    let mut check =
        check.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let found = check.wait_with_output().unwrap();
    assert!(found.status.success(), "{}\n{text}", String::from_utf8_lossy(&found.stderr));
}

/// The metrics of a text, and of the page on monitoring.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("pgcask_")).map(str::to_owned).collect()
}

fn query(prometheus: &Monitor, expression: &str) -> Value {
    let form: String =
        form_urlencoded::Serializer::new(String::new()).append_pair("query", expression).finish();
    let (status, body) = get(&prometheus.address(), &format!("/api/v1/query?{form}"));
    let answer: Value =
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {status} {body}"));
    assert_eq!(answer["status"], "success", "{expression}: {body}");
    answer["data"]["result"].clone()
}

/// Waits for what a Prometheus will know after its next scrapes.
fn until(prometheus: &Monitor, what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !is() {
        assert!(Instant::now() < deadline, "{what}\n{}", prometheus.log());
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn firing(prometheus: &Monitor) -> BTreeSet<String> {
    let found = query(prometheus, "ALERTS{alertstate=\"firing\"}");
    let names =
        found.as_array().unwrap().iter().map(|one| one["metric"]["alertname"].as_str().unwrap().to_owned());
    names.collect()
}

/// The queries of the dashboard, for all stores and databases.
fn dashboard_queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read("docs/monitoring/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().clone();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap().clone());
    let queries: Vec<String> = targets
        .map(|target| target["expr"].as_str().unwrap().replace("$store", ".*").replace("$database", ".*"))
        .collect();
    assert!(queries.len() > 20 && queries.iter().all(|query| !query.contains('$')), "{queries:?}");
    queries
}

#[test]
fn a_prometheus_reads_what_is_told_and_alerts_on_it() {
    let server = Server::shared(newest());
    let database = server.create_db();
    server.sql(&database, "CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, 1000) n");
    let host = Host::new(server, &database, "[metrics]\ntextfile = \"metrics/pgcask.prom\"\n");
    std::fs::create_dir(host.path("metrics")).unwrap();
    host.run(&["backup", "shop"]).expect(0);
    let textfile = host.path("metrics/pgcask.prom");
    let after_backup = std::fs::read_to_string(&textfile).unwrap();
    assert_well_formed(&after_backup);
    assert!(after_backup.contains(&format!(
        "pgcask_drill_last_timestamp_seconds{{database=\"{database}\",store=\"main\"}} 0\n"
    )));
    host.run(&["drill", "shop/latest", "--server", &server.url("postgres"), "--no-evidence"]).expect(0);
    let text = std::fs::read_to_string(&textfile).unwrap();
    assert_well_formed(&text);
    assert_eq!(std::fs::read_dir(host.path("metrics")).unwrap().count(), 1, "no temporary file is left");
    // What the command tells is the same, but for when it is told.
    let told = host.run(&["metrics"]).expect(0).stdout;
    assert_eq!(names(&told), names(&text));
    let page = names(&read("docs/monitoring.md"));
    let left_out: Vec<_> = names(&text).difference(&page).cloned().collect();
    assert!(left_out.is_empty(), "not in docs/monitoring.md: {left_out:?}");
    let sample = |name: &str| {
        let all = host.run(&["metrics", "--json"]).expect(0).json();
        let found = all.as_array().unwrap().iter().find(|one| one["name"] == name).cloned();
        found.unwrap_or_else(|| panic!("{name}"))
    };
    assert_eq!(sample("pgcask_backup_last_rows")["value"], 1000.0);
    assert_eq!(
        sample("pgcask_drill_last_success")["labels"],
        json!({"database": &*database, "store": "main"})
    );

    let served = FileServer::start(textfile, "text/plain; version=0.0.4");
    // At once, so that no test waits for a quarter of an hour.
    let rules = read("docs/monitoring/alerts.yml");
    let rules: Vec<String> =
        rules
            .lines()
            .map(|line| {
                if line.trim().starts_with("for: ") { "        for: 0s".to_owned() } else { line.to_owned() }
            })
            .collect();
    let prometheus = Monitor::prometheus(&[served.address()], &rules.join("\n")).unwrap();
    until(&prometheus, "the metrics are scraped", || query(&prometheus, "pgcask_build_info") != json!([]));
    for expression in dashboard_queries() {
        until(&prometheus, &expression, || query(&prometheus, &expression) != json!([]));
    }
    until(&prometheus, "all is well", || firing(&prometheus).is_empty());
    host.run(&["backup", "shop", "--strict-names", "--table", "no_such_table"]).expect(2);
    until(&prometheus, "the failed backup", || {
        firing(&prometheus) == BTreeSet::from(["PgcaskBackupFailed".to_owned()])
    });
    // All that can be wrong at once, and then nothing at all.
    let now = pgcask::clock::Clock::System.now().as_second();
    let mut wrong = String::new();
    for (number, (_, _, series)) in cases(now).iter().filter(|(_, fires, _)| *fires).enumerate() {
        for (series, value) in series {
            // Each has a database, a store and a key of its own.
            let series = ["shop", "main", "ops"].iter().fold(series.clone(), |series, name| {
                series.replace(&format!("\"{name}\""), &format!("\"{name}-{number}\""))
            });
            wrong.push_str(&format!("{series} {value}\n"));
        }
    }
    std::fs::write(host.path("metrics/pgcask.prom"), wrong).unwrap();
    until(&prometheus, "all alerts", || firing(&prometheus) == alerts());
}

#[test]
fn a_pushgateway_takes_what_is_told_and_a_failing_one_costs_nothing() {
    let server = Server::shared(newest());
    let database = server.create_db();
    let gateway = Monitor::pushgateway().unwrap();
    let metrics = format!("[metrics]\npush = \"http://{}\"\ninstance = \"host/1\"\n", gateway.address());
    let host = Host::new(server, &database, &metrics);
    host.run(&["backup", "shop"]).expect(0);
    let pushed = || get(&gateway.address(), "/metrics").1;
    let expected = "pgcask_build_info{instance=\"host/1\",job=\"pgcask\",version=";
    assert!(pushed().contains(expected), "{}", pushed());
    // What is told replaces what was told: the failed run, in the place of the good one.
    let good = format!(
        "pgcask_run_last_exit_code{{database=\"{database}\",instance=\"host/1\",job=\"pgcask\",operation=\"backup\"}} "
    );
    assert!(pushed().contains(&format!("{good}0")));
    host.run(&["backup", "shop", "--strict-names", "--table", "no_such_table"]).expect(2);
    assert!(pushed().contains(&format!("{good}2")), "{}", pushed());
    host.run(&["metrics", "--push", &format!("http://{}/", gateway.address()), "--instance", "other"])
        .expect(0);
    assert!(pushed().contains("pgcask_build_info{instance=\"other\",job=\"pgcask\","));
    // Nobody listens, and the folder of the file is not there.
    let metrics =
        "[metrics]\npush = \"http://user:planted-secret@127.0.0.1:1\"\ntextfile = \"nowhere/pgcask.prom\"\n";
    let host = Host::new(server, &database, metrics);
    let made = host.run(&["backup", "shop"]).expect(0);
    for what in ["warning: metrics: push the metrics: 127.0.0.1: ", "warning: metrics: write "] {
        assert!(made.stderr.contains(what), "{what}\n{}", made.stderr);
    }
    assert!(!made.stderr.contains("planted-secret"), "{}", made.stderr);
    host.run(&["metrics", "--textfile", "metrics.txt"]).expect(2);
    host.run(&["metrics", "--push", "http://127.0.0.1:1"]).expect(1);
}

#[test]
fn what_is_configured_and_not_there_is_told() {
    let server = Server::shared(newest());
    let host = Host::new(
        server,
        "nobody",
        "[databases.other]\nurl = \"postgres://h/other\"\nstore = \"away\"\nrecipients = [\"nobody.pub\"]\n[stores.away]\nurl = \"./gone\"\n",
    );
    std::fs::create_dir(host.path("backups")).unwrap();
    let told = host.run(&["metrics"]).expect(0).stdout;
    for expected in [
        "pgcask_backup_newest_timestamp_seconds{database=\"nobody\",store=\"main\"} 0\n",
        "pgcask_store_up{store=\"away\"} 0\n",
        "pgcask_store_up{store=\"main\"} 1\n",
        "pgcask_key_usable{key=\"nobody.pub\"} 0\n",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
    assert_well_formed(&told);
}

#[test]
fn a_key_that_expires_is_told_beforehand() {
    let (server, home) = (Server::shared(newest()), GpgHome::new());
    let database = server.create_db();
    let key = home.key("ops", "future-default", "", "10d", "");
    let host = Host::new(server, &database, &format!("recipients = [\"{key}\"]\n"));
    let run = |args: &[&str]| {
        host.write();
        run(host.command(args).envs([home.variable()]))
    };
    run(&["backup", "shop"]).expect(0);
    let told = run(&["check", "shop"]).expect(1).stdout;
    assert!(
        told.starts_with("PGCASK WARNING - ") && told.contains(&key) && told.contains(" expires on "),
        "{told}"
    );
    let status = run(&["status", "--json"]).expect(0).json();
    let about: Vec<&str> =
        status["problems"].as_array().unwrap().iter().map(|one| one["about"].as_str().unwrap()).collect();
    assert_eq!(about, ["key"], "{status}");
    let end: jiff::Timestamp = status["keys"][0]["expires_at"].as_str().unwrap().parse().unwrap();
    let metrics = run(&["metrics"]).expect(0).stdout;
    let line = metrics.lines().find(|line| line.starts_with("pgcask_key_expiry_timestamp_seconds{")).unwrap();
    assert!(line.contains(&key) && line.ends_with(&format!(" {}", end.as_second())), "{line}");
    let days = end.duration_since(jiff::Timestamp::UNIX_EPOCH).as_hours() / 24;
    let today = Server::shared(newest()).value(&database, "SELECT extract(epoch FROM now())::bigint / 86400");
    assert!((9..=10).contains(&(days - today.parse::<i64>().unwrap())), "{end}");
    // A key that is not there cannot be sealed for, and that is critical.
    let gone = GpgHome::new();
    let told = self::run(host.command(&["check", "shop"]).envs([gone.variable()])).expect(2).stdout;
    assert!(told.contains("nothing can be sealed for"), "{told}");
}

#[test]
fn each_database_has_its_own_demands() {
    let server = Server::shared(newest());
    let (shop, other) = (server.create_db(), server.create_db());
    let more = format!("[databases.other]\nurl = \"{}\"\nrpo = \"1ms\"\nrto = \"2h\"\n", server.url(&other));
    let host = Host::new(server, &shop, &more);
    host.run(&["backup", "shop"]).expect(0);
    host.run(&["backup", "other"]).expect(0);
    let status = host.run(&["status", "--json"]).expect(6).json();
    let levels: Vec<(&str, &str)> = status["databases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["database"].as_str().unwrap(), one["level"].as_str().unwrap()))
        .collect();
    assert!(levels.contains(&(&shop, "warning")) && levels.contains(&(&other, "critical")), "{levels:?}");
    let told = host.run(&["metrics"]).expect(0).stdout;
    for (name, database, value) in [
        ("pgcask_recovery_point_target_seconds", &shop, "86400"),
        ("pgcask_recovery_point_target_seconds", &other, "0.001"),
        ("pgcask_recovery_time_target_seconds", &other, "7200"),
    ] {
        let line = format!("{name}{{database=\"{database}\",store=\"main\"}} {value}\n");
        assert!(told.contains(&line), "{line}\n{told}");
    }
    // A flag holds for all.
    host.run(&["status", "--rpo", "1h"]).expect(0);
    host.run(&["check", "other", "--rpo", "1h"]).expect(1);
}
