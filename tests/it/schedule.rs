//! What is generated for those who run backups at their times: valid for them, and commands that the program takes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use crate::harness::cli::{folder, pass, pgcask, run};
use crate::harness::output;
use crate::harness::postgres::{Server, newest};

/// Two databases; one has a name that each form has to write in its own way.
const TOML: &str = "[defaults]\nstore = \"s3://bucket/x\"\n[databases.shop]\nurl = \"postgres://h/shop\"\npassword = { env = \"SHOP_PASSWORD\" }\n\
                    [databases.\"Füllhorn_2\"]\nurl = \"postgres://h/x\"\n[schedule]\nmonthly = \"off\"\ndaily = \"02:05\"\n";

fn print(folder: &Path, args: &[&str]) -> String {
    std::fs::write(folder.join("pgcask.toml"), TOML).unwrap();
    let mut command = pgcask(["schedule", "print"]);
    run(command.args(args).current_dir(folder)).expect(0).stdout
}

/// Asks whether the program takes a command line: it does when it fails for another reason than its arguments, and
/// `backup` and `test` of these databases fail for a password that is not set, or a server or store that is not there.
fn is_taken(folder: &Path, args: &[&str]) {
    let mut command = pgcask(args);
    let ran = run(command
        .current_dir(folder)
        .env("PGCASK_STORE", "no-such-folder")
        .env("PGCASK_PASSPHRASE", "x")
        .env("PGPORT", "1"));
    assert!(
        !ran.stderr.contains("Usage:") && !ran.stderr.contains("unexpected argument"),
        "{args:?}\n{}",
        ran.stderr
    );
}

#[test]
fn a_crontab_has_a_line_for_each_database_and_job() {
    let folder = folder();
    let text = print(folder.path(), &["cron", "--program", "/opt/pg cask/100%/pgcask"]);
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    assert_eq!(lines.len(), 12, "{text}");
    assert!(lines[0].starts_with("5 2 * * * '/opt/pg cask/100\\%/pgcask' backup "), "{text}");
    assert!(text.contains("15 4 * * 0 ") && !text.contains("monthly"), "{text}");
    // What cron would hand to the shell is what the program takes.
    let text = print(folder.path(), &["cron", "--program", "pgcask"]);
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let command = line.splitn(6, ' ').nth(5).unwrap().replace("\\%", "%");
        let script = format!("pgcask() {{ printf '%s\\n' \"$@\"; }}; {command}");
        let words = output(Command::new("sh").args(["-c", &script]));
        is_taken(folder.path(), &words.lines().collect::<Vec<_>>());
    }
}

#[test]
fn what_is_configured_holds_for_scheduled_runs() {
    let folder = folder();
    let age = |toml: &str| {
        std::fs::write(folder.path().join("pgcask.toml"), format!("{TOML}{toml}")).unwrap();
        let text = run(pgcask(["schedule", "print", "cron"]).current_dir(folder.path())).expect(0).stdout;
        text.matches(" --rpo 28h").count()
    };
    // A day, and the time that a backup takes: for `test` and `check` of both databases.
    assert_eq!(age(""), 4);
    assert_eq!(age("[databases.weekly]\nurl = \"postgres://h/x\"\nrpo = \"8d\"\n"), 4);
    let weekly = TOML.replace("daily = \"02:05\"", "daily = \"off\"");
    std::fs::write(folder.path().join("pgcask.toml"), weekly).unwrap();
    let text = run(pgcask(["schedule", "print", "cron"]).current_dir(folder.path())).expect(0).stdout;
    assert_eq!((text.matches(" --rpo 172h").count(), text.matches(" --rpo ").count()), (4, 4), "{text}");
}

#[test]
fn units_of_systemd_are_valid() {
    let folder = folder();
    let units = folder.path().join("units");
    std::fs::create_dir(&units).unwrap();
    let program = env!("CARGO_BIN_EXE_pgcask");
    // In a folder whose name has all that means something to systemd.
    let odd = folder.path().join("pg cask 100% $HOME");
    std::fs::create_dir(&odd).unwrap();
    let odd = odd.join("pgcask");
    std::os::unix::fs::symlink(program, &odd).unwrap();
    print(
        folder.path(),
        &["systemd", "--program", odd.to_str().unwrap(), "--output", units.to_str().unwrap()],
    );
    let mut files: Vec<_> = std::fs::read_dir(&units).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 24, "{files:?}");
    let verified = Command::new("systemd-analyze").arg("verify").args(&files).output();
    let verified = verified.expect("systemd-analyze is needed (apt-get install systemd)");
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && !said.contains("pgcask-"), "{said}");
    for file in files.iter().filter(|file| file.extension().unwrap() == "timer") {
        let text = std::fs::read_to_string(file).unwrap();
        let event = text.lines().find_map(|line| line.strip_prefix("OnCalendar=")).unwrap();
        let next = Command::new("systemd-analyze").args(["calendar", event]).output().unwrap();
        assert!(next.status.success(), "{event}: {}", String::from_utf8_lossy(&next.stderr));
    }
    // Tests and drills leave their evidence where it stays.
    let drill = std::fs::read_to_string(units.join("pgcask-drill-shop.service")).unwrap();
    assert!(drill.contains("\nStateDirectory=pgcask\nWorkingDirectory=/var/lib/pgcask\n"), "{drill}");
    // It runs no program with a quote in its path.
    let mut quoted = pgcask(["schedule", "print", "systemd", "--program", "/opt/bob's/pgcask"]);
    let refused = run(quoted.current_dir(folder.path())).expect(2);
    assert!(refused.stderr.contains("systemd runs no program with a quote"), "{}", refused.stderr);
    // What is there is not overwritten.
    let mut again = pgcask(["schedule", "print", "systemd", "--output", units.to_str().unwrap()]);
    run(again.current_dir(folder.path())).expect(1);
}

/// Python's modules that know the schemas of GitHub Actions and Kubernetes, installed once beside the servers of the tests.
fn validators() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let beside = std::env::var_os("PGCASK_SERVERS").map(PathBuf::from);
        let servers = beside.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".servers"));
        let folder = servers.join("schemas-1");
        if !folder.exists() {
            std::fs::create_dir_all(&servers).unwrap();
            let staged = tempfile::tempdir_in(&servers).unwrap();
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"];
            let mut install = Command::new("python3");
            install.args(pip).arg(staged.path().join("schemas"));
            output(install.args(["check-jsonschema==0.39.0", "kubernetes-validate==1.37.0"]));
            // Another process may have been faster: its folder is as good.
            drop(std::fs::rename(staged.path().join("schemas"), &folder));
        }
        folder
    });
    &FOLDER
}

/// Python with those modules.
fn python(args: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.args(args).env("PYTHONPATH", validators());
    command
}

/// The documents of a YAML file.
fn yaml(file: &Path) -> Vec<Value> {
    let program = "import sys,json,yaml; print(json.dumps(list(yaml.load_all(open(sys.argv[1]), Loader=yaml.BaseLoader))))";
    serde_json::from_str(&output(&mut python(&["-c", program, file.to_str().unwrap()]))).unwrap()
}

#[test]
fn a_workflow_of_github_actions_runs_each_job_at_its_time() {
    let folder = folder();
    let text = print(folder.path(), &["github-actions"]);
    assert!(text.contains("      SHOP_PASSWORD: ${{ secrets.SHOP_PASSWORD }}\n"), "{text}");
    assert_eq!(text.matches("    - cron: ").count(), 6, "{text}");
    let steps = text.matches("        run: \"./pgcask ").count();
    assert_eq!(steps, 12, "{text}");
    // Its disk is gone after the run: what a drill leaves goes beside the archive.
    assert_eq!(text.matches(" --upload-evidence\"").count(), 2, "{text}");
    assert!(
        text.contains(
            "if: \"!cancelled() && (github.event.schedule == '5 2 * * *' || inputs.job == 'daily-shop')\""
        ),
        "{text}"
    );
    let file = folder.path().join("pgcask.yml");
    std::fs::write(&file, &text).unwrap();
    output(&mut python(&[
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
        file.to_str().unwrap(),
    ]));
    let documents = yaml(&file);
    let job = &documents[0]["jobs"]["pgcask"];
    assert_eq!(job["steps"].as_array().unwrap().len(), 2 + 12);
    assert_eq!(
        documents[0]["on"]["workflow_dispatch"]["inputs"]["job"]["options"].as_array().unwrap().len(),
        12
    );
    for step in job["steps"].as_array().unwrap().iter().skip(2) {
        let command = step["run"].as_str().unwrap().strip_prefix("./pgcask ").unwrap();
        let words = output(Command::new("sh").args(["-c", &format!("printf '%s\\n' {command}")]));
        is_taken(folder.path(), &words.lines().collect::<Vec<_>>());
    }
}

#[test]
fn cron_jobs_of_kubernetes_are_of_their_form() {
    let folder = folder();
    let text = print(folder.path(), &["kubernetes", "--image", "registry.example/pgcask:1"]);
    let documents: Vec<Value> = text
        .split("---\n")
        .skip(1)
        .map(|part| serde_json::from_str(part.split_once('\n').unwrap().1).unwrap())
        .collect();
    assert_eq!(documents.len(), 12);
    let file = folder.path().join("pgcask.yaml");
    std::fs::write(&file, &text).unwrap();
    assert_eq!(yaml(&file).len(), 12);
    let program = "import sys; from kubernetes_validate import __main__ as m; sys.exit(m.main())";
    output(&mut python(&["-c", program, "--strict", file.to_str().unwrap()]));
    let mut names = std::collections::BTreeSet::new();
    for document in &documents {
        assert_eq!((&document["apiVersion"], &document["kind"]), (&"batch/v1".into(), &"CronJob".into()));
        let name = document["metadata"]["name"].as_str().unwrap();
        let of_dns = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(name.len() <= 52 && name.chars().all(of_dns), "{name}");
        assert!(names.insert(name.to_owned()), "{name}");
        let spec = &document["spec"];
        assert_eq!((&spec["concurrencyPolicy"], &spec["timeZone"]), (&"Forbid".into(), &"Etc/UTC".into()));
        let container = &spec["jobTemplate"]["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], "registry.example/pgcask:1");
        // The only folder that may be written to; tests write into where they are.
        assert_eq!(container["workingDir"], "/tmp");
        let args: Vec<&str> =
            container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
        is_taken(folder.path(), &args);
    }
}

/// Waits until a query gives a value.
fn until(server: &Server, db: &str, query: &str, value: &str) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while server.value(db, query) != value {
        assert!(std::time::Instant::now() < deadline, "{query}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn runs_of_one_database_do_not_overlap() {
    let (server, folder) = (Server::shared(newest()), folder());
    let (db, other) = (server.create_db(), server.create_db());
    server.sql(&db, "CREATE TABLE t (n int)");
    // A backup that waits for a lock, and holds its turn meanwhile.
    let lock = ["-Xq", "-c", "BEGIN; LOCK TABLE t; SELECT pg_sleep(600)"];
    let mut blocker = crate::harness::cli::spawn(server.client("psql", &db).args(lock));
    until(server, &db, "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND granted", "1");
    let store = folder.path().join("store").display().to_string();
    let command = |url: &str, more: &[&str]| {
        let mut command = pgcask(["backup", url, "--to", &store, &pass(folder.path())]);
        command.args(more);
        command
    };
    let first = crate::harness::cli::spawn(&mut command(&server.url(&db), &["--no-overlap"]));
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted";
    until(server, &db, held, "1");
    let refused = run(&mut command(&server.url(&db), &["--no-overlap"])).expect(9);
    assert!(
        refused.stderr.contains("another backup of") && refused.stderr.contains("pid "),
        "{}",
        refused.stderr
    );
    // Another database of the server is another matter.
    run(&mut command(&server.url(&other), &["--no-overlap"])).expect(0);
    blocker.kill().unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK TABLE t;%' AND pid <> pg_backend_pid()";
    server.sql(&db, end);
    blocker.wait().unwrap();
    crate::harness::cli::wait(first).expect(0);
    run(&mut command(&server.url(&db), &["--no-overlap"])).expect(0);
}
