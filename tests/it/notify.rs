//! Who is told what of a run, and that telling never costs the run.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;

use crate::harness::cli::{Run, folder, pgcask, run, signal, spawn, wait};
use crate::harness::output;
use crate::harness::postgres::{Server, newest};
use crate::harness::receivers::{HttpReceiver, Request, Secured, SmtpReceiver, certificate};

/// Runs the program in a folder with this configuration.
fn with(folder: &Path, toml: &str, args: &[&str]) -> Run {
    let file = folder.join("pgcask.toml");
    std::fs::write(&file, toml).unwrap();
    output(Command::new("chmod").arg("600").arg(&file));
    let mut command = pgcask(args);
    command.current_dir(folder).env("XDG_STATE_HOME", folder.join("state"));
    run(&mut command)
}

/// A database that can be backed up, and one that cannot.
fn databases(server: &Server, db: &str) -> String {
    format!(
        "[defaults]\nstore = \"./backups\"\npassphrase_file = \"pass\"\n[databases.shop]\nurl = \"{}\"\n\
         [databases.gone]\nurl = \"{}\"\n",
        server.url(db),
        server.url("there_is_none")
    )
}

/// HMAC-SHA256 as another program computes it.
fn hmac(key: &str, message: &str) -> String {
    let program = "import hmac,hashlib,sys; print(hmac.new(sys.argv[1].encode(), sys.argv[2].encode(), hashlib.sha256).hexdigest())";
    output(Command::new("python3").args(["-c", program, key, message])).trim().to_owned()
}

/// The message about a failed backup, in the form of Slack.
fn assert_slack_blocks(taken: &[Request]) {
    assert_eq!((taken.len(), taken[0].method.as_str()), (1, "POST"));
    let message = taken[0].json();
    assert!(message["text"].as_str().unwrap().contains("backup of shop FAILED"), "{message}");
    let blocks = message["blocks"].as_array().unwrap();
    let kinds: Vec<&str> = blocks.iter().map(|block| block["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["section", "section", "context"]);
    let fields: Vec<&str> =
        blocks[1]["fields"].as_array().unwrap().iter().map(|field| field["text"].as_str().unwrap()).collect();
    let reason = |field: &&str| field.starts_with("*error*\n") && field.contains("there_is_none");
    assert!(fields.iter().any(reason), "{fields:?}");
}

/// The signature of a webhook's message is that of its body and time.
fn assert_signed(hook: &Request) {
    let signature = &hook.headers["x-pgcask-signature"];
    let (time, sign) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    assert_eq!(sign, hmac("shared", &format!("{time}.{}", hook.body)));
    assert_eq!(hook.headers["x-pgcask-event"], hook.json()["event"]);
}

fn events(of: &[Request]) -> Vec<String> {
    of.iter().map(|request| request.json()["event"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn channels_are_told_of_failure_recovery_and_success_in_their_own_forms() {
    let (server, folder) = (Server::shared(newest()), folder());
    let db = server.create_db();
    server.sql(&db, "CREATE TABLE t AS SELECT generate_series(1, 10) AS n");
    let http = HttpReceiver::start(|_, _| 202);
    let toml = |shop: &str| {
        format!(
            "{}[notify.chat]\ntype = \"slack\"\nurl = \"{}\"\n[notify.oncall]\ntype = \"pagerduty\"\nrouting_key = \"R0UT1NG\"\nurl = \"{}\"\n\
             [notify.bus]\ntype = \"webhook\"\nurl = \"{}\"\nsecret = \"shared\"\non = [\"start\", \"success\", \"failure\", \"recovery\"]\n\
             [notify.switch]\ntype = \"ping\"\nurl = \"{}\"\nstart_url = \"{}\"\nfail_url = \"{}\"\n",
            databases(server, shop),
            http.url("/slack"),
            http.url("/v2/enqueue"),
            http.url("/hook"),
            http.url("/ping"),
            http.url("/ping/start"),
            http.url("/ping/fail"),
        )
    };
    // It fails: all are told, with the reason.
    let failed = with(folder.path(), &toml("there_is_none"), &["backup", "shop"]);
    assert_eq!(failed.code, 7, "{failed:?}");
    assert_slack_blocks(&http.at("/slack"));
    let triggered = http.at("/v2/enqueue")[0].json();
    assert_eq!(
        (&triggered["event_action"], &triggered["routing_key"]),
        (&"trigger".into(), &"R0UT1NG".into())
    );
    assert_eq!(triggered["payload"]["severity"], "critical");
    assert!(
        ["summary", "source", "timestamp"].iter().all(|key| triggered["payload"][key].is_string()),
        "{triggered}"
    );
    let hooks = http.at("/hook");
    assert_eq!(events(&hooks), ["start", "failure"]);
    hooks.iter().for_each(assert_signed);
    assert_eq!(
        (http.at("/ping/start").len(), http.at("/ping/fail").len(), http.at("/ping").len()),
        (1, 1, 0)
    );
    assert!(http.at("/ping/fail")[0].body.contains("there_is_none"));
    // It succeeds again: a recovery, which closes the same incident.
    http.clear();
    with(folder.path(), &toml(&db), &["backup", "shop"]).expect(0);
    let resolved = http.at("/v2/enqueue")[0].json();
    assert_eq!(
        (&resolved["event_action"], &resolved["dedup_key"]),
        (&"resolve".into(), &triggered["dedup_key"])
    );
    assert!(http.at("/slack")[0].json()["text"].as_str().unwrap().contains("succeeds again"));
    let told = http.at("/hook").last().unwrap().json();
    assert_eq!(told["event"], "recovery");
    assert_eq!((&told["result"]["rows"], &told["database"]), (&Value::from(10), &"shop".into()));
    assert_eq!((http.at("/ping").len(), http.at("/ping/fail").len()), (1, 0));
    // And again: who wants to know of success only.
    http.clear();
    with(folder.path(), &toml(&db), &["backup", "shop"]).expect(0);
    assert_eq!(events(&http.at("/hook")), ["start", "success"]);
    assert_eq!((http.at("/slack").len(), http.at("/ping").len()), (0, 1));
}

#[test]
fn a_channel_that_cannot_be_told_is_named_and_costs_nothing() {
    let (server, folder) = (Server::shared(newest()), folder());
    let db = server.create_db();
    let http = HttpReceiver::start(|path, count| match path {
        "/busy/planted-secret" if count < 3 => 503,
        "/wrong/planted-secret" => 404,
        _ => 200,
    });
    let channel = |name: &str, url: &str| {
        format!("[notify.{name}]\ntype = \"slack\"\non = [\"success\"]\nurl = {url}\n")
    };
    let toml = [
        databases(server, &db),
        channel("busy", &format!("\"{}\"", http.url("/busy/planted-secret"))),
        channel("wrong", &format!("\"{}\"", http.url("/wrong/planted-secret"))),
        channel("dead", "\"http://127.0.0.1:1/planted-secret\""),
        channel("keyless", "{ env = \"NOT_SET\" }"),
        format!("{}databases = [\"gone\"]\n", channel("other", &format!("\"{}\"", http.url("/other")))),
    ];
    let ran = with(folder.path(), &toml.concat(), &["backup", "shop", "--json"]).expect(0);
    assert!(ran.json()["archive"].is_string());
    for expected in [
        "the channel wrong was not told of the success: 127.0.0.1: it answered 404",
        "the channel dead was not told of the success: 127.0.0.1: ",
        "the channel keyless was not told of the success: notify.keyless.url: the variable NOT_SET is not set",
    ] {
        assert!(ran.stderr.contains(expected), "{expected}\n{}", ran.stderr);
    }
    assert!(!ran.stderr.contains("planted-secret") && !ran.stderr.contains("channel busy"), "{}", ran.stderr);
    assert_eq!((http.at("/busy/planted-secret").len(), http.at("/wrong/planted-secret").len()), (3, 1));
    assert!(http.at("/other").is_empty());
}

#[test]
fn a_mail_is_handed_over_also_at_the_second_attempt() {
    let (server, folder, smtp) = (Server::shared(newest()), folder(), SmtpReceiver::start(1));
    let db = server.create_db();
    let toml = format!(
        "{}[notify.mail]\ntype = \"email\"\nsmtp_host = \"127.0.0.1\"\nsmtp_port = {}\ntls = \"none\"\nuser = \"robot\"\npassword = \"planted-password-4715\"\n\
         from = \"Backups <pgcask@example.org>\"\nto = [\"ops@example.org\", \"dba@example.org\"]\n",
        databases(server, &db),
        smtp.port
    );
    assert_eq!(with(folder.path(), &toml, &["backup", "gone"]).code, 7);
    let mails = smtp.mails();
    assert_eq!(mails.len(), 1, "{mails:?}");
    let mail = &mails[0];
    // "\0robot\0planted-password-4715" in base64.
    assert_eq!(mail.login.as_deref(), Some("AHJvYm90AHBsYW50ZWQtcGFzc3dvcmQtNDcxNQ=="));
    assert!(mail.from.contains("<pgcask@example.org>"), "{mail:?}");
    assert_eq!(mail.to.len(), 2);
    assert!(mail.data.contains("Subject: backup of gone FAILED on "), "{}", mail.data);
    assert!(mail.data.contains("there_is_none"), "{}", mail.data);
}

#[test]
fn mail_is_secured_by_tls_that_is_verified_or_not_sent() {
    let folder = folder();
    let (config, authority) = certificate();
    std::fs::write(folder.path().join("ca.pem"), authority).unwrap();
    let attempt = |smtp: &SmtpReceiver, tls: &str, trusted: bool| {
        let toml = format!(
            "[notify.mail]\ntype = \"email\"\nsmtp_host = \"localhost\"\nsmtp_port = {}\ntls = \"{tls}\"\nuser = \"robot\"\npassword = \"planted-secret\"\n\
             from = \"pgcask@example.org\"\nto = [\"ops@example.org\"]\n",
            smtp.port
        );
        let file = folder.path().join("pgcask.toml");
        std::fs::write(&file, toml).unwrap();
        output(Command::new("chmod").arg("600").arg(&file));
        let mut command = pgcask(["notify", "test"]);
        command.current_dir(folder.path());
        // Where the authorities are looked for that the system trusts.
        let authorities = if trusted { folder.path().join("ca.pem") } else { "/nonexistent".into() };
        run(command.env("SSL_CERT_FILE", authorities))
    };
    for (secured, tls) in [
        (Secured::StartTls(Arc::clone(&config)), "starttls"),
        (Secured::Implicit(Arc::clone(&config)), "implicit"),
    ] {
        let smtp = SmtpReceiver::secured(0, secured);
        attempt(&smtp, tls, true).expect(0);
        let mails = smtp.mails();
        assert!(mails.len() == 1 && mails[0].secure && mails[0].login.is_some(), "{tls}: {mails:?}");
        // A certificate that nobody vouches for.
        let refused = attempt(&smtp, tls, false).expect(1);
        assert!(refused.stdout.contains("NOT TOLD: localhost: "), "{refused:?}");
        assert_eq!(smtp.mails().len(), 1, "{tls}");
    }
    // A server, or somebody in between, that offers no TLS gets neither the password nor the mail.
    let plain = SmtpReceiver::start(0);
    let refused = attempt(&plain, "starttls", true).expect(1);
    assert!(plain.mails().is_empty() && !refused.stdout.contains("planted-secret"), "{refused:?}");
}

#[test]
fn channels_can_be_tried_out() {
    let (folder, http) = (folder(), HttpReceiver::start(|path, _| if path == "/bad" { 403 } else { 200 }));
    let toml = format!(
        "[notify.good]\ntype = \"webhook\"\nurl = \"{}\"\n[notify.oncall]\ntype = \"pagerduty\"\nrouting_key = \"k\"\nurl = \"{}\"\n\
         [notify.bad]\ntype = \"slack\"\nurl = \"{}\"\n",
        http.url("/good"),
        http.url("/oncall"),
        http.url("/bad")
    );
    let tried = with(folder.path(), &toml, &["notify", "test", "--json"]).expect(1).json();
    let told: Vec<_> =
        tried.as_array().unwrap().iter().map(|sent| (&sent["channel"], sent["error"].is_null())).collect();
    assert_eq!(told, [(&"bad".into(), false), (&"good".into(), true), (&"oncall".into(), true)]);
    // Nobody is left awake by a test.
    let actions: Vec<_> =
        http.at("/oncall").iter().map(|request| request.json()["event_action"].clone()).collect();
    assert_eq!(actions, ["trigger", "resolve"]);
    with(folder.path(), &toml, &["notify", "test", "good"]).expect(0);
    with(folder.path(), &toml, &["notify", "test", "nobody"]).expect(2);
    let wrong = "[notify.a]\nurl = \"x\"\n[notify.b]\ntype = \"email\"\n[notify.c]\ntype = \"slack\"\nurl = \"x\"\nto = [\"y\"]\n\
                 [notify.d]\ntype = \"slack\"\nurl = \"x\"\non = [\"sucess\"]\n";
    let refused = with(folder.path(), wrong, &["config", "check"]).expect(2).stderr;
    assert!(refused.contains("did you mean success?"), "{refused}");
    let refused =
        with(folder.path(), wrong.split("[notify.d]").next().unwrap(), &["config", "check"]).expect(2).stderr;
    for expected in [
        "[notify.a] lacks its type",
        "[notify.b] of the type email needs smtp_host",
        "to means nothing for the type slack",
    ] {
        assert!(refused.contains(expected), "{expected}\n{refused}");
    }
}

#[test]
fn what_a_drill_or_a_test_found_is_told() {
    let (server, folder) = (Server::shared(newest()), folder());
    let db = server.create_db();
    server.sql(&db, "CREATE TABLE t AS SELECT generate_series(1, 10) AS n");
    let http = HttpReceiver::start(|_, _| 200);
    let toml = format!(
        "{}[notify.bus]\ntype = \"webhook\"\nurl = \"{}\"\non = [\"success\", \"failure\", \"stale\"]\n",
        databases(server, &db),
        http.url("/hook")
    );
    with(folder.path(), &toml, &["backup", "shop"]).expect(0);
    http.clear();
    let url = server.url("postgres");
    let drill = ["drill", "shop/latest", "--server", &url, "--no-evidence"];
    with(folder.path(), &toml, &drill).expect(0);
    with(folder.path(), &toml, &[&drill[..], &["--rto", "1ms"]].concat()).expect(5);
    with(folder.path(), &toml, &["test", "shop/latest", "--no-evidence", "--rpo", "1ms"]).expect(6);
    let told: Vec<Value> = http.at("/hook").iter().map(Request::json).collect();
    let events: Vec<&str> = told.iter().map(|one| one["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["success", "failure", "stale"]);
    assert!(told[0]["result"]["recovery_seconds"].is_number() && told[0]["error"].is_null(), "{}", told[0]);
    assert!(told[0]["result"]["archive"].as_str().unwrap().contains("/daily/"), "{}", told[0]);
    assert!(told[1]["error"].as_str().unwrap().starts_with("time within the RTO: "), "{}", told[1]);
    assert!(told[2]["error"].as_str().unwrap().starts_with("age within the RPO: "), "{}", told[2]);
}

#[test]
fn a_channel_that_does_not_answer_keeps_no_run_from_beginning() {
    let (server, folder) = (Server::shared(newest()), folder());
    let db = server.create_db();
    let http = HttpReceiver::start(|_, _| 200);
    // It takes the connection and never says a word.
    let mute = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let toml = format!(
        "{}[notify.switch]\ntype = \"ping\"\nurl = \"{}\"\nstart_url = \"http://{}/start\"\n",
        databases(server, &db),
        http.url("/ping"),
        mute.local_addr().unwrap()
    );
    with(folder.path(), &toml, &["config", "check"]).expect(0);
    let mut command = pgcask(["backup", "shop"]);
    let child = spawn(command.current_dir(folder.path()).env("XDG_STATE_HOME", folder.path().join("state")));
    let began = std::time::Instant::now();
    let is_made = || {
        let found = Command::new("find")
            .args(["backups", "-name", "*.cask.json"])
            .current_dir(folder.path())
            .output();
        !found.unwrap().stdout.is_empty()
    };
    while !is_made() {
        assert!(began.elapsed() < std::time::Duration::from_secs(25), "the backup waits for the channel");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    // Who does not want to wait for the channel any longer need not; the backup is good.
    signal(&child, "INT");
    wait(child).expect(0);
    assert_eq!(http.at("/ping").len(), 1);
}

/// A configuration that pages somebody, and a backup that is a second old.
fn backed_up_and_paged(server: &Server, db: &str, http: &HttpReceiver, folder: &Path) -> String {
    let toml = format!(
        "{}[notify.oncall]\ntype = \"pagerduty\"\nrouting_key = \"k\"\nurl = \"{}\"\n",
        databases(server, db),
        http.url("/oncall")
    );
    with(folder, &toml, &["backup", "shop"]).expect(0);
    http.clear();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    toml
}

#[test]
fn what_check_finds_is_told_once() {
    let (server, folder) = (Server::shared(newest()), folder());
    let db = server.create_db();
    let http = HttpReceiver::start(|_, _| 202);
    let toml = backed_up_and_paged(server, &db, &http, folder.path());
    // The same finding twice.
    for _ in 0..2 {
        with(folder.path(), &toml, &["check", "shop", "--rpo", "1s"]).expect(2);
    }
    let told: Vec<Value> = http.at("/oncall").iter().map(Request::json).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (&told[0]["event_action"], &told[0]["dedup_key"]),
        (&"trigger".into(), &"pgcask/shop/check".into())
    );
    let error = told[0]["payload"]["custom_details"]["error"].as_str().unwrap();
    assert!(error.starts_with("PGCASK CRITICAL"), "{error}");
}

#[test]
fn what_check_finds_anew_is_told_at_once() {
    let (server, folder) = (Server::shared(newest()), folder());
    let db = server.create_db();
    let http = HttpReceiver::start(|_, _| 202);
    let toml = backed_up_and_paged(server, &db, &http, folder.path());
    let check = |more: &[&str], code: i32, told: usize| {
        with(folder.path(), &toml, &[&["check", "shop"], more].concat()).expect(code);
        assert_eq!(http.at("/oncall").len(), told, "{more:?} {:?}", http.at("/oncall"));
    };
    // Never restored on trial, which is a warning; then the backup is too old as well.
    check(&[], 1, 1);
    check(&[], 1, 1);
    check(&["--rpo", "1s"], 2, 2);
    check(&["--rpo", "1s"], 2, 2);
    // What was mended, and comes back, is news.
    check(&[], 1, 2);
    check(&["--rpo", "1s"], 2, 3);
    // What keeps it from looking is told with its reason.
    with(folder.path(), &toml, &["check", "shop", "--store", "gone"]).expect(3);
    let last = http.at("/oncall").last().unwrap().json();
    let error = last["payload"]["custom_details"]["error"].as_str().unwrap();
    assert!(error.starts_with("PGCASK UNKNOWN - ") && error.contains("gone"), "{error}");
    // All databases at once have an incident of their own.
    with(folder.path(), &toml, &["check"]).expect(2);
    assert_eq!(http.at("/oncall").last().unwrap().json()["dedup_key"], "pgcask/all databases/check");
}
