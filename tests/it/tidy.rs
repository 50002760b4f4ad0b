//! What a reader would otherwise have to look after: sizes, leftovers, links, a case for each kind of object.

use std::path::{Path, PathBuf};

use crate::architecture::{files_below, sources};

/// A file that no longer fits in a head.
const MAX_LINES: usize = 500;

/// Files that were longer when the rule came, and how long they may be until they are split.
const TO_BE_SPLIT: &[(&str, usize)] = &[("src/plan/restore.rs", 520)];

/// Kinds whose cases are part of another kind's fixture, because neither can be without the other.
const IN_ANOTHER_FIXTURE: &[(&str, &str)] = &[
    ("family_members", "operator_family"),
    ("identity_sequence", "table"),
    ("key_constraint", "table"),
    ("replica_identity", "table"),
    ("schema", "table"),
    ("sequence_owner", "table"),
    ("table_constraint", "table"),
    ("system_label", "extension"),
    ("system_owner", "system_acl"),
    ("table_query", "table"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files() -> Vec<PathBuf> {
    let folders = ["src", "tests", "xtask", "benches", "fuzz/fuzz_targets"].map(|dir| root().join(dir));
    folders.iter().filter(|dir| dir.is_dir()).flat_map(|dir| files_below(dir, "rs")).collect()
}

#[test]
fn no_file_is_longer_than_a_reader_likes() {
    let product =
        sources().into_iter().map(|source| (format!("src/{}", source.name), source.code.lines().count()));
    let tests = files_below(&root().join("tests"), "rs")
        .into_iter()
        .chain(files_below(&root().join("xtask/src"), "rs"));
    let tests = tests.map(|path| {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        (path.strip_prefix(root()).unwrap().display().to_string(), lines)
    });
    let limit = |name: &str| {
        TO_BE_SPLIT.iter().find(|(long, _)| *long == name).map_or(MAX_LINES, |(_, limit)| *limit)
    };
    let long: Vec<_> = product.chain(tests).filter(|(name, lines)| *lines > limit(name)).collect();
    assert!(long.is_empty(), "more than {MAX_LINES} lines without inline tests: {long:?}");
}

#[test]
fn what_is_left_to_do_has_a_reason() {
    let words = ["TODO", "FIXME", "XXX"].map(str::to_owned);
    let mut wrong = Vec::new();
    for path in rust_files().into_iter().filter(|path| !path.ends_with("tests/it/tidy.rs")) {
        for (number, line) in std::fs::read_to_string(&path).unwrap().lines().enumerate() {
            let Some(comment) = line.find("//").map(|start| &line[start..]) else { continue };
            for word in &words {
                let Some(after) = comment.split(word.as_str()).nth(1) else { continue };
                // `TODO(reason): what` and nothing less.
                let reason = after.strip_prefix('(').and_then(|rest| rest.split_once("): "));
                if reason.is_none_or(|(why, what)| why.len() < 4 || what.len() < 10) {
                    wrong.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "say why it waits, as in TODO(reason): what\n{}", wrong.join("\n"));
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    let mut documents = files_below(&root().join("docs"), "md");
    let top = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    documents.extend(top.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    let mut broken = Vec::new();
    for document in &documents {
        let text = std::fs::read_to_string(document).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            let elsewhere = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
            if !elsewhere && !document.parent().unwrap().join(target).exists() {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(documents.len() > 3, "only {} documents found", documents.len());
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn each_page_is_in_the_book() {
    let docs = root().join("docs");
    let summary = std::fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let missing: Vec<_> = files_below(&docs, "md")
        .iter()
        .map(|page| page.strip_prefix(&docs).unwrap().display().to_string())
        .filter(|page| page != "SUMMARY.md" && !summary.contains(&format!("]({page})")))
        .collect();
    assert!(missing.is_empty(), "give each a line in docs/SUMMARY.md: {missing:?}");
}

#[test]
fn each_kind_of_object_has_a_case() {
    let fixtures = root().join("tests/fixtures/kinds");
    let mut missing = Vec::new();
    for path in files_below(&root().join("src/catalog/kinds"), "rs") {
        let kind = path.file_stem().unwrap().to_str().unwrap();
        let other = IN_ANOTHER_FIXTURE.iter().find(|(part, _)| *part == kind).map(|(_, whole)| *whole);
        let fixture = other.unwrap_or(kind);
        if kind != "mod" && !fixtures.join(format!("{fixture}.sql")).exists() {
            missing.push(kind.to_owned());
        }
    }
    assert!(missing.is_empty(), "no tests/fixtures/kinds/<kind>.sql for {missing:?}");
}
