//! `pgcask report`: what it says is what there is, and it can be read.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::browser::Browser;
use crate::harness::cli::{Run, folder, pgcask, run};
use crate::harness::output;
use crate::harness::postgres::{Server, newest};

/// A host with two databases: one that is backed up, held, drilled, and one whose backup fails.
struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    fn new(server: &Server, shop: &str) -> Self {
        let folder = folder();
        let config = format!(
            "[defaults]\nstore = \"main\"\npassphrase_file = \"pass\"\n[stores.main]\nurl = \"./backups\"\n\
             [databases.shop]\nurl = \"{}\"\n[databases.gone]\nurl = \"{}\"\ndbname = \"<b>gone\"\n",
            server.url(shop),
            server.url("postgres"),
        );
        let file = folder.path().join("pgcask.toml");
        std::fs::write(&file, config).unwrap();
        output(Command::new("chmod").arg("600").arg(&file));
        Self { folder }
    }

    fn run(&self, args: &[&str]) -> Run {
        let mut command = pgcask(args);
        run(command.current_dir(self.folder.path()).env("XDG_STATE_HOME", self.folder.path().join("state")))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A backup of an earlier time: a copy of one that is there, by another name.
    fn age(&self, archive: &str, days: i64, id: &str) {
        let taken = pgcask::clock::Clock::System.now() - jiff::SignedDuration::from_hours(24 * days);
        let (day, time) =
            (taken.strftime("%Y-%m-%d").to_string(), taken.strftime("%Y%m%dT%H%M%SZ").to_string());
        let file = Path::new(archive).file_name().unwrap().to_str().unwrap();
        let name = file.split("-daily-").next().unwrap();
        let copy = self.path(&format!("backups/{name}/daily/{day}/{name}-daily-{time}-{id}.cask"));
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        let whole = std::fs::read(self.path(archive)).unwrap();
        let percent = 100 - 6 * usize::try_from(days).unwrap();
        let share = whole.len() * percent / 100;
        std::fs::write(&copy, &whole[..share]).unwrap();
        let sidecar = std::fs::read_to_string(self.path(&format!("{archive}.json"))).unwrap();
        let mut sidecar: Value = serde_json::from_str(&sidecar).unwrap();
        sidecar["seconds"] = (0.02 * f64::from(u32::try_from(percent).unwrap())).into();
        std::fs::write(format!("{}.json", copy.display()), sidecar.to_string()).unwrap();
    }
}

#[test]
fn a_page_tells_of_all_backups_and_can_be_read() {
    let server = Server::start(newest());
    server.sql("postgres", "CREATE DATABASE shop TEMPLATE template0");
    server.sql("shop", crate::swap::SHOP);
    let host = Host::new(&server, "shop");
    let made = host.run(&["backup", "shop", "--json"]).expect(0).json();
    let archive = made["archive"].as_str().unwrap().to_owned();
    let ids =
        ["0123456789ab", "1123456789ab", "2123456789ab", "3123456789ab", "4123456789ab", "5123456789ab"];
    for (id, days) in ids.into_iter().zip(1..) {
        host.age(&archive, days, id);
    }
    host.run(&["backup", "gone"]).expect(7);
    host.run(&["hold", "add", "shop/latest", "--reason", "an inquiry"]).expect(0);
    for rto in ["1h", "1ms"] {
        let drill =
            ["drill", "shop/latest", "--server", &server.url("postgres"), "--rto", rto, "--no-evidence"];
        host.run(&drill).expect(if rto == "1h" { 0 } else { 5 });
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    let estate = host.run(&["report", "--json"]).expect(0).json();
    let databases = estate["stores"][0]["databases"].as_array().unwrap();
    let named = |name: &str| databases.iter().find(|one| one["database"] == name).unwrap();
    assert_eq!(named("shop")["backups"].as_array().unwrap().len(), 7);
    assert_eq!(named("shop")["drills"].as_array().unwrap().len(), 2);
    assert_eq!(named("<b>gone")["backups"], Value::Array(Vec::new()));
    // The failure is known from the audit log, with its database.
    let runs = estate["stores"][0]["runs"].as_array().unwrap();
    let failed = runs.iter().find(|one| one["database"] == "<b>gone").unwrap();
    assert_eq!((&failed["operation"], &failed["exit_code"]), (&"backup".into(), &7.into()));
    let file = host.path("report.html");
    host.run(&["report", "--html", file.to_str().unwrap()]).expect(0);
    let page = std::fs::read_to_string(&file).unwrap();
    assert!(
        !page.contains("<script") && !page.contains("://") && !page.contains("<b>gone"),
        "self-contained, escaped"
    );
    for expected in
        ["&lt;b&gt;gone", ">held</span>", "there is no backup", "the last drill, on ", "an inquiry"]
    {
        assert!(page.contains(expected), "{expected}");
    }
    let mut browser = Browser::start();
    browser.assert_good(&file, "report");
    // A folded database opens by keyboard.
    browser.open(&file, 1200, "light");
    let open = "document.querySelector('details.database').open";
    let before = browser.value(open);
    browser.value("document.querySelector('details.database > summary').focus()");
    browser.press("Enter");
    assert_ne!(browser.value(open), before);
    assert_eq!(browser.value("document.querySelectorAll('.strip i').length > 80"), true);
    // On paper nothing is wider than it, and no colour is dark.
    let paper = browser.ask("Page.printToPDF", &serde_json::json!({"printBackground": true}));
    assert!(paper["data"].as_str().unwrap().len() > 10_000);
    host.run(&["report"]).expect(2);
}

#[test]
fn the_report_of_a_drill_can_be_read() {
    let server = Server::start(newest());
    server.sql("postgres", "CREATE DATABASE shop TEMPLATE template0");
    server.sql("shop", crate::swap::SHOP);
    let host = Host::new(&server, "shop");
    host.run(&["backup", "shop"]).expect(0);
    for _ in 0..2 {
        host.run(&["drill", "shop/latest", "--server", &server.url("postgres")]).expect(0);
    }
    let newest = || {
        let reports = std::fs::read_dir(host.path("backup-tests/reports")).unwrap();
        reports
            .map(|entry| entry.unwrap().path())
            .max_by_key(|path| path.metadata().unwrap().modified().unwrap())
    };
    let mut browser = Browser::start();
    browser.assert_good(&newest().unwrap(), "drill");
    host.run(&["test", "shop/latest"]).expect(0);
    browser.assert_good(&newest().unwrap(), "test");
}
