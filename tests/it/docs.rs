//! What the documents say is what the program does: the reference is its own help, the tour in the README is run.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::cli::{pgcask, run};
use crate::harness::oracle::{assert_same, content};
use crate::harness::output;
use crate::harness::postgres::{Server, newest};
use crate::harness::s3::S3Server;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of the commands, as the help lists them.
fn commands() -> Vec<String> {
    commands_in(&run(&mut pgcask(["--help"])).expect(0).stdout)
}

/// The commands that a help text lists.
fn commands_in(help: &str) -> Vec<String> {
    let list = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    // Deeper lines go on with what stands above them.
    let first = list.take_while(|line| line.starts_with("  ")).filter(|line| !line.starts_with("   "));
    let names = first.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

fn reference() -> String {
    let mut page =
        "# Command reference\n\nThe program's own help, written by `cargo xtask docs`.\n".to_owned();
    for name in commands() {
        let mut tell = |level: &str, words: &[&str]| {
            let help = run(&mut pgcask([words, &["--help"]].concat())).expect(0).stdout;
            let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
            let (name, text) = (words.join(" "), lines.join("\n"));
            write!(page, "\n{level} pgcask {name}\n\n```text\n{}\n```\n", text.trim_end()).unwrap();
            help
        };
        let help = tell("##", &[&name]);
        for action in commands_in(&help) {
            tell("###", &[&name, &action]);
        }
    }
    page
}

#[test]
fn the_command_reference_is_the_help() {
    let (path, expected) = (repository().join("docs/reference/cli.md"), reference());
    if std::env::var_os("PGCASK_WRITE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "docs/reference/cli.md is not up to date: run `cargo xtask docs`");
}

/// The tables of `docs/configuration.md`, written from the lists that the program itself reads.
fn configuration_reference() -> String {
    let all = run(&mut pgcask(["config", "keys", "--json"])).expect(0).json();
    let text = |value: &serde_json::Value| value.as_str().unwrap().replace('|', "\\|");
    let mut page = String::new();
    for section in all["sections"].as_array().unwrap() {
        let name = text(&section["section"]);
        let title = if name.is_empty() {
            "Top of the file".to_owned()
        } else {
            format!("`[{}]`", name.replace('*', "NAME"))
        };
        write!(page, "### {title}\n\n{}\n\n", text(&section["about"])).unwrap();
        page.push_str("| key | value | without it | |\n|---|---|---|---|\n");
        for key in all["keys"].as_array().unwrap().iter().filter(|key| key["section"] == section["section"]) {
            let [name, form, default, about] =
                ["key", "form", "default", "about"].map(|field| text(&key[field]));
            writeln!(page, "| `{name}` | {form} | {default} | {about} |").unwrap();
        }
        page.push('\n');
    }
    page.push_str("### Environment\n\n| variable | key | |\n|---|---|---|\n");
    for variable in all["variables"].as_array().unwrap() {
        let [name, key, about] = ["name", "key", "about"].map(|field| text(&variable[field]));
        let key = if key.is_empty() { key } else { format!("`{key}`") };
        writeln!(page, "| `{name}` | {key} | {about} |").unwrap();
    }
    page
}

#[test]
fn the_reference_of_the_configuration_is_what_the_program_reads() {
    const MARK: &str = "<!-- Written by `cargo xtask docs` from here on. -->\n\n";
    let path = repository().join("docs/configuration.md");
    let found = std::fs::read_to_string(&path).unwrap();
    let (by_hand, written) = found.split_once(MARK).expect("the mark of the written part");
    let expected = configuration_reference();
    if std::env::var_os("PGCASK_WRITE_DOCS").is_some() {
        return std::fs::write(&path, format!("{by_hand}{MARK}{expected}")).unwrap();
    }
    assert!(written == expected, "docs/configuration.md is not up to date: run `cargo xtask docs`");
}

/// The example in the page on configuration is right.
#[test]
fn the_example_of_the_configuration_passes_its_check() {
    let folder = tempfile::tempdir().unwrap();
    let page = std::fs::read_to_string(repository().join("docs/configuration.md")).unwrap();
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    std::fs::write(folder.path().join("pgcask.toml"), example).unwrap();
    let variables = [("SHOP_PASSWORD", "x"), ("R2_KEY_ID", "x"), ("R2_SECRET", "x")];
    let mut check = pgcask(["config", "check"]);
    let checked = run(check.envs(variables).current_dir(folder.path())).expect(0).stdout;
    assert!(checked.contains("databases.shop") && checked.contains("stores.offsite"), "{checked}");
}

/// What a document says in passing, `pgcask COMMAND --flag`: outside of blocks, whose commands are run.
fn named_in(text: &str) -> Vec<Vec<String>> {
    let outside: String = text.split("```").step_by(2).collect();
    let spans = outside.split('`').skip(1).step_by(2);
    let words = spans.filter_map(|span| span.strip_prefix("pgcask "));
    words.map(|rest| rest.split_whitespace().map(str::to_owned).collect()).collect()
}

#[test]
fn commands_and_flags_that_the_documents_name_are_there() {
    let mut pages = crate::architecture::files_below(&repository().join("docs"), "md");
    pages.retain(|page| !page.ends_with("cli.md"));
    pages.push(repository().join("README.md"));
    pages.push(repository().join("docs/monitoring/alerts.yml"));
    let mut helps = std::collections::BTreeMap::new();
    let mut help = |words: &[&str]| -> String {
        let key = words.join(" ");
        helps.entry(key).or_insert_with(|| run(&mut pgcask([words, &["--help"]].concat())).stdout).clone()
    };
    let (all, mut wrong, mut seen) = (commands(), Vec::new(), 0);
    for page in &pages {
        for words in named_in(&std::fs::read_to_string(page).unwrap()) {
            let command = words[0].trim_end_matches([',', '.', ';']);
            if command.starts_with('-') || !command.starts_with(char::is_lowercase) {
                continue;
            }
            seen += 1;
            let mut fail =
                |what: &str| wrong.push(format!("{}: pgcask {}: {what}", page.display(), words.join(" ")));
            if !all.iter().any(|known| known == command) {
                fail("no such command");
                continue;
            }
            let mut told = help(&[command]);
            let actions = commands_in(&told);
            if let Some(action) = words.get(1).filter(|word| actions.contains(word)) {
                told = help(&[command, action]);
            }
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                let name: String = flag.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
                if !told.contains(&name) {
                    fail(&format!("no {name}"));
                }
            }
        }
    }
    assert!(seen > 60, "{seen}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(named_in("`pgcask a --b`\n```\n`pgcask c`\n```\n"), [["a", "--b"]]);
}

#[test]
fn every_command_has_a_manual_page_and_completions() {
    let folder = tempfile::tempdir().unwrap();
    run(&mut pgcask(["man", folder.path().to_str().unwrap()])).expect(0);
    for name in commands() {
        let page = std::fs::read_to_string(folder.path().join(format!("pgcask-{name}.1"))).unwrap();
        assert!(page.contains(&format!("pgcask\\-{name}")), "{name}");
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(&mut pgcask(["completions", shell])).expect(0).stdout;
        assert!(commands().iter().all(|name| script.contains(name.as_str())), "{shell}");
    }
}

/// The commands of a document's part, in order: the lines that begin with `$ ` in its blocks.
fn commands_of(part: &str) -> Vec<String> {
    part.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect()
}

/// The commands of a chapter of the page on recovery.
pub(crate) fn chapter(title: &str) -> Vec<String> {
    chapter_of("docs/recovery.md", title)
}

/// The commands of a chapter of a page.
pub(crate) fn chapter_of(page: &str, title: &str) -> Vec<String> {
    let page = std::fs::read_to_string(repository().join(page)).unwrap();
    let (_, chapter) = page.split_once(&format!("\n## {title}\n")).unwrap_or_else(|| panic!("{title}"));
    let commands = commands_of(chapter.split("\n## ").next().unwrap());
    assert!(!commands.is_empty(), "{title}");
    commands
}

/// Runs commands in a folder, as a reader would who has `pgcask` and psql in the path.
pub(crate) fn walk(
    server: &Server,
    database: &str,
    folder: &Path,
    commands: &[String],
    variables: &[(&str, String)],
) -> String {
    let bin = PathBuf::from(env!("CARGO_BIN_EXE_pgcask"));
    let psql = server.client("psql", database);
    let folders = [bin.parent().unwrap(), Path::new(psql.get_program()).parent().unwrap()];
    let path = std::env::join_paths(
        folders
            .into_iter()
            .map(Path::to_path_buf)
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let mut bash = Command::new("bash");
    bash.args(["-eu", "-o", "pipefail", "-c", &commands.join("\n")]).current_dir(folder);
    psql.get_envs().filter_map(|(key, value)| Some((key, value?))).for_each(|(key, value)| {
        bash.env(key, value);
    });
    bash.env("XDG_STATE_HOME", folder.join("state"));
    bash.env("PATH", path.unwrap()).envs(variables.iter().map(|(name, value)| (name, value)));
    output(&mut bash)
}

#[test]
fn the_tour_of_the_readme_can_be_walked() {
    let (server, folder) = (Server::shared(newest()), tempfile::tempdir().unwrap());
    let shop = server.create_db();
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let (_, tour) = readme.split_once("## A five-minute tour").unwrap();
    let copy = server.fresh_name();
    let steps: Vec<String> = commands_of(tour.split_once("\n## ").unwrap().0);
    assert!(steps.len() >= 8, "{steps:?}");
    let steps: Vec<String> = steps.iter().map(|step| step.replace("shop_copy", &copy)).collect();
    let variables = [("SHOP", server.url(&shop)), ("COPY", server.url(&copy))];
    let printed = walk(server, &shop, folder.path(), &steps, &variables);
    assert!(printed.contains("content proven equal"), "{printed}");
    assert!(printed.contains(": sound, "), "{printed}");
    server.adopt(copy);
}

/// The chapters of the runbook on the whole database, each walked from its first command to its last.
#[test]
fn the_runbook_brings_the_whole_database_back() {
    let (server, folder) = (Server::start(newest()), tempfile::tempdir().unwrap());
    server.sql("postgres", "CREATE DATABASE shop TEMPLATE template0");
    server.sql("shop", crate::swap::SHOP);
    let variables = [("SHOP", server.url("shop"))];
    let prepare = [
        "pgcask keygen --output pgcask.key > recipient",
        "pgcask backup \"$SHOP\" --to backups --recipient recipient",
    ];
    walk(&server, "shop", folder.path(), &prepare.map(str::to_owned), &variables);
    server.sql("postgres", "CREATE DATABASE golden TEMPLATE shop");
    server.sql("shop", crate::swap::ACCIDENT);
    let wrecked = content(&server, "shop");
    let restore = chapter("The whole database, from the last good backup");
    let printed = walk(&server, "shop", folder.path(), &restore, &variables);
    assert!(printed.contains("nothing was touched") && printed.contains("content proven equal"), "{printed}");
    assert_same(&server, "golden", &server, "shop");
    let archive = restore.iter().find(|command| command.starts_with("ARCHIVE=")).unwrap().clone();
    let resume: Vec<String> = std::iter::once(archive).chain(chapter("It was interrupted")).collect();
    walk(&server, "shop", folder.path(), &resume, &variables);
    assert_same(&server, "golden", &server, "shop");
    // The way back leads to the database before the last swap, which was the restored one; the backup of the wrecked one
    // is not the newest either.
    walk(&server, "shop", folder.path(), &chapter("It was the wrong archive: go back"), &variables);
    assert_same(&server, "golden", &server, "shop");
    let kept = crate::swap::databases(&server).len();
    walk(&server, "shop", folder.path(), &chapter("Afterwards"), &variables);
    assert_eq!(crate::swap::databases(&server).len(), kept - 1);
    let first = crate::swap::databases(&server).into_iter().find(|name| name.starts_with("shop_before_"));
    assert!(first.is_some() && wrecked != content(&server, "golden"));
}

/// The chapters of a page, walked in their order on one store.
fn walk_page(page: &str) -> Vec<(String, String)> {
    let (server, folder) = (Server::start(newest()), tempfile::tempdir().unwrap());
    server.sql("postgres", "CREATE DATABASE shop TEMPLATE template0");
    server.sql("shop", crate::swap::SHOP);
    let variables = [("SHOP", server.url("shop"))];
    let prepare = [
        "pgcask keygen --output pgcask.key > recipient",
        "pgcask backup \"$SHOP\" --to backups --recipient recipient",
    ];
    walk(&server, "shop", folder.path(), &prepare.map(str::to_owned), &variables);
    let text = std::fs::read_to_string(repository().join(page)).unwrap();
    let titles = text.lines().filter_map(|line| line.strip_prefix("## "));
    let with_commands = titles.filter(|title| {
        let (_, chapter) = text.split_once(&format!("\n## {title}\n")).unwrap();
        !commands_of(chapter.split("\n## ").next().unwrap()).is_empty()
    });
    let walked = with_commands.map(|title| {
        let printed = walk(&server, "shop", folder.path(), &chapter_of(page, title), &variables);
        (title.to_owned(), printed)
    });
    walked.collect()
}

/// Walks a page of `docs/`; its chapters print these words.
fn walk_and_find(page: &str, expected: &[(&str, &str)]) {
    let walked = walk_page(page);
    for (title, words) in expected {
        let (_, printed) =
            walked.iter().find(|(found, _)| found == title).unwrap_or_else(|| panic!("{title}: {walked:?}"));
        assert!(printed.contains(words), "{title}: {words}: {printed}");
    }
}

#[test]
fn the_page_on_retention_can_be_walked() {
    walk_and_find(
        "docs/retention.md",
        &[
            ("What would go, and why", "nothing was touched"),
            ("Every night", "3 kept"),
            ("One backup, before its time", "1 removed"),
            ("Legal hold", "held: "),
            ("Legal hold", "released: "),
        ],
    );
}

/// On a real bucket, with a second store in a directory.
#[test]
fn the_page_on_stores_can_be_walked() {
    let (server, s3, folder) = (Server::start(newest()), S3Server::shared(), tempfile::tempdir().unwrap());
    server.sql("postgres", "CREATE DATABASE shop TEMPLATE template0");
    server.sql("shop", crate::swap::SHOP);
    let mut variables =
        vec![("SHOP", server.url("shop")), ("STORE", format!("s3://{}/prod", s3.fresh_bucket()))];
    variables.extend(s3.environment());
    let prepare = ["pgcask keygen --output pgcask.key > recipient".to_owned()];
    walk(&server, "shop", folder.path(), &prepare, &variables);
    let page = "docs/stores.md";
    for (title, words) in
        [("A bucket in three commands", ": sound, "), ("A second store", "/backups/shop/daily/")]
    {
        let printed = walk(&server, "shop", folder.path(), &chapter_of(page, title), &variables);
        assert!(printed.contains(words), "{title}: {printed}");
    }
    let text = std::fs::read_to_string(repository().join(page)).unwrap();
    let policies = text.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let parsed = policies.map(|policy| serde_json::from_str::<serde_json::Value>(policy).unwrap());
    assert_eq!(parsed.filter(|policy| policy["Statement"].is_array()).count(), 3);
    let config = folder.path().join("pgcask.toml");
    std::fs::write(&config, text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap()).unwrap();
    let mut check = pgcask(["config", "check"]);
    run(check.env("R2_KEY_ID", "x").current_dir(folder.path())).expect(0);
}

#[test]
fn the_page_on_backups_can_be_walked() {
    walk_and_find(
        "docs/backups.md",
        &[
            ("The daily one, by hand", "passed: "),
            ("Before a deployment", "/pre-deploy/"),
            ("A part of it", "/manual/"),
            ("In two places", "elsewhere/shop/daily/"),
        ],
    );
}

#[test]
fn the_page_on_incidents_can_be_walked() {
    walk_and_find(
        "docs/incidents.md",
        &[
            ("0–15 minutes: stop it, and keep what is there", "held: "),
            ("15–60 minutes: bring it back", "content proven equal"),
            ("Afterwards", "shop_before_"),
            ("Afterwards", "released: "),
        ],
    );
}

#[test]
fn the_page_on_monitoring_can_be_walked() {
    walk_and_find(
        "docs/monitoring.md",
        &[
            ("At a glance", "PGCASK WARNING - shop: it was never restored on trial"),
            ("A page for people", "backups.html"),
            ("Metrics", "pgcask_backup_last_rows{database=\"shop\",kind=\"daily\",store=\"backups\"} "),
        ],
    );
}

#[test]
fn the_page_on_compliance_can_be_walked() {
    walk_and_find(
        "docs/compliance.md",
        &[
            ("What was removed, and when", "prune"),
            ("Is it whole, and can it be restored", ": sound, "),
            ("Was a restore tried", "\"result\":\"passed\""),
            ("Erased rows stay erased", "1 were in the backup"),
            ("Erased rows stay erased", "GONE FROM BACKUPS"),
            ("Erased rows stay erased", "superseded by "),
            ("Who did what", "whole: "),
            ("Who did what", "hold release"),
        ],
    );
}
