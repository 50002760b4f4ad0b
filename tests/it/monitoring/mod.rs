//! Metrics, alert rules and the dashboard, as a real Prometheus takes them.

mod rules;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use url::form_urlencoded;
use xtask::prometheus::{Monitor, promtool};

use self::rules::{alerts, cases};
use crate::harness::cli::{Run, folder, pgcask, run};
use crate::harness::gpg::GpgHome;
use crate::harness::output;
use crate::harness::postgres::{Server, newest};
use crate::harness::receivers::{FileServer, HttpReceiver, get};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap()
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

#[test]
fn a_receiver_of_otlp_reads_what_is_sent() {
    // The makers' own definitions read it, and refuse a field that there is not.
    const READER: &str = "
import sys
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
request = json_format.Parse(sys.stdin.read(), ExportMetricsServiceRequest())
for resource in request.resource_metrics:
    print({one.key: one.value.string_value for one in resource.resource.attributes}['service.instance.id'])
    for metric in resource.scope_metrics[0].metrics:
        for point in metric.gauge.data_points:
            labels = ','.join(sorted(f'{one.key}={one.value.string_value}' for one in point.attributes))
            print(metric.name, metric.unit, labels, point.as_double, point.time_unix_nano > 10**18)
";
    let (server, http) = (
        Server::shared(newest()),
        HttpReceiver::start(|path, _| if path.starts_with("/bad") { 400 } else { 200 }),
    );
    let database = server.create_db();
    server.sql(&database, "CREATE TABLE t AS SELECT generate_series(1, 10) AS n");
    let metrics = format!(
        "[metrics]\notlp = \"{}\"\notlp_authorization = \"Bearer planted-secret\"\ninstance = \"host-1\"\n",
        http.url("")
    );
    let host = Host::new(server, &database, &metrics);
    host.run(&["backup", "shop"]).expect(0);
    let sent = http.at("/v1/metrics");
    assert_eq!((sent.len(), sent[0].method.as_str()), (1, "POST"));
    assert_eq!(sent[0].headers["content-type"], "application/json");
    assert_eq!(sent[0].headers["authorization"], "Bearer planted-secret");
    let mut python = Command::new("python3");
    python.args(["-c", READER]).env("PYTHONPATH", xtask::python::otlp().unwrap());
    let mut python =
        python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(sent[0].body.as_bytes()).unwrap();
    let read = python.wait_with_output().unwrap();
    let told = String::from_utf8(read.stdout).unwrap();
    assert!(read.status.success(), "{told}{}", String::from_utf8_lossy(&read.stderr));
    assert!(told.starts_with("host-1\n"), "{told}");
    let labels = format!("database={},kind=daily,store=main", &*database);
    assert!(told.contains(&format!("pgcask_backup_last_rows 1 {labels} 10.0 True\n")), "{told}");
    assert!(told.contains(&format!("pgcask_backup_last_duration_seconds s {labels} ")), "{told}");
    // One that refuses, and one that is told where it is.
    host.run(&["metrics", "--otlp", &http.url("/tenant/v1/metrics")]).expect(0);
    assert_eq!(http.at("/tenant/v1/metrics").len(), 1);
    let refused = host.run(&["metrics", "--otlp", &http.url("/bad")]).expect(1);
    assert!(
        refused.stderr.contains("send the metrics by OTLP: 127.0.0.1: it answered 400"),
        "{}",
        refused.stderr
    );
    assert!(!refused.stderr.contains("planted-secret"), "{}", refused.stderr);
}
