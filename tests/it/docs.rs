//! What the documents say is what the program does: the reference is its own help, the tour in the README is run.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::cli::{pgcask, run};
use crate::harness::output;
use crate::harness::postgres::{Server, newest};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of the commands, as the help lists them.
fn commands() -> Vec<String> {
    let help = run(&mut pgcask(["--help"])).expect(0).stdout;
    let list = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let names =
        list.take_while(|line| line.starts_with("  ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

fn reference() -> String {
    let mut page =
        "# Command reference\n\nThe program's own help, written by `cargo xtask docs`.\n".to_owned();
    for name in commands() {
        let help = run(&mut pgcask([name.as_str(), "--help"])).expect(0).stdout;
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        write!(page, "\n## pgcask {name}\n\n```text\n{}\n```\n", help.join("\n").trim_end()).unwrap();
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

/// The commands of the README's tour, in order: the lines that begin with `$ ` in its blocks.
fn tour() -> Vec<String> {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let (_, tour) = readme.split_once("## A five-minute tour").unwrap();
    let (tour, _) = tour.split_once("\n## ").unwrap();
    tour.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect()
}

#[test]
fn the_tour_of_the_readme_can_be_walked() {
    let (server, folder) = (Server::shared(newest()), tempfile::tempdir().unwrap());
    let shop = server.create_db();
    let steps = tour();
    assert!(steps.len() >= 8, "{steps:?}");
    let copy = server.fresh_name();
    let bin = PathBuf::from(env!("CARGO_BIN_EXE_pgcask"));
    let psql = server.client("psql", &shop);
    let folders = [bin.parent().unwrap(), Path::new(psql.get_program()).parent().unwrap()];
    let path = std::env::join_paths(
        folders
            .into_iter()
            .map(Path::to_path_buf)
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let script = steps.join("\n").replace("shop_copy", &copy);
    let mut bash = Command::new("bash");
    bash.args(["-eu", "-o", "pipefail", "-c", &script]).current_dir(folder.path());
    psql.get_envs().filter_map(|(key, value)| Some((key, value?))).for_each(|(key, value)| {
        bash.env(key, value);
    });
    bash.env("PATH", path.unwrap()).env("SHOP", server.url(&shop)).env("COPY", server.url(&copy));
    let printed = output(&mut bash);
    assert!(printed.contains("content proven equal"), "{printed}");
    assert!(printed.contains(": sound, "), "{printed}");
    server.adopt(copy);
}
