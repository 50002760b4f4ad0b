//! Who may import whom: the table of `ARCHITECTURE.md`, read off the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What everything may use: bounds, permits, what the library says, time.
const FREE: &[&str] = &["limits", "budget", "event", "clock", "fields", "columns", "actor"];

/// Everything an operation stands on.
const BELOW: &[&str] =
    &["archive", "catalog", "erasure", "error", "manifest", "opened", "pg", "plan", "seal", "stop", "store"];

/// A module of `src/` and what it may use besides itself and [`FREE`].
fn rules() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut rules = BTreeMap::from([
        ("limits", vec![]),
        ("budget", vec![]),
        ("event", vec![]),
        ("clock", vec![]),
        ("actor", vec![]),
        ("fields", vec![]),
        ("columns", vec!["fields"]),
        ("error", vec!["archive", "catalog", "pg", "seal", "store"]),
        ("exit", vec!["error"]),
        ("stop", vec!["error"]),
        ("pg", vec![]),
        ("seal", vec![]),
        ("store", vec![]),
        ("archive", vec!["seal"]),
        ("catalog", vec!["pg"]),
        ("plan", vec!["catalog", "pg"]),
        ("manifest", vec!["catalog", "pg", "store"]),
        ("opened", vec!["archive", "catalog", "error", "manifest", "seal", "stop", "store"]),
        ("extract", vec!["archive", "catalog", "error", "manifest", "opened", "pg", "seal", "store"]),
        ("erasure", vec!["error", "pg", "store"]),
        ("custody", vec!["error", "seal"]),
        ("page", vec!["pg"]),
        ("config", vec!["error", "pg", "seal", "store"]),
        ("fuzzing", vec!["archive", "catalog", "extract", "pg", "seal", "store"]),
    ]);
    for operation in ["copies", "backup", "restore", "rows", "changes"] {
        rules.insert(operation, BELOW.to_vec());
    }
    for operation in ["drill", "operate"] {
        rules.insert(operation, [BELOW, &["backup", "restore", "extract", "page"]].concat());
    }
    rules.insert("estate", [BELOW, &["drill", "exit", "operate", "page"]].concat());
    rules
}

/// Foreign crates and the only modules that may name them.
const HOMES: &[(&str, &[&str])] = &[
    ("tokio_postgres", &["pg"]),
    ("postgres_protocol", &["pg"]),
    ("rustls", &["pg"]),
    ("object_store", &["store"]),
    ("quick_xml", &["store"]),
    ("zstd", &["seal"]),
    ("age", &["seal"]),
    ("pgp", &["seal"]),
    ("argon2", &["seal"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("anstream", &["cli"]),
    ("reqwest", &["operate"]),
    ("lettre", &["operate"]),
];

/// Places that turn bytes into bytes, or are pure: no runtime there.
const WITHOUT_TOKIO: &[&str] =
    &["archive", "seal", "plan", "extract", "catalog/kinds", "pg/copy/rows.rs", "fields"];

/// The modules that are the program, not the library: they may use everything.
const TOP: &[&str] = &["cli", "main", "lib"];

#[test]
fn modules_use_only_what_is_below_them() {
    let mut wrong = Vec::new();
    let rules = rules();
    for source in sources() {
        if TOP.contains(&source.module.as_str()) {
            continue;
        }
        let Some(allowed) = rules.get(source.module.as_str()) else {
            wrong.push(format!("{}: the module {} has no rule", source.name, source.module));
            continue;
        };
        let may = |used: &str| used == source.module || FREE.contains(&used) || allowed.contains(&used);
        wrong.extend(
            imports(&source.code)
                .into_iter()
                .filter(|used| !may(used))
                .map(|used| format!("{} uses crate::{used}", source.name)),
        );
    }
    assert!(wrong.is_empty(), "see ARCHITECTURE.md:\n{}", wrong.join("\n"));
}

#[test]
fn nobody_reaches_around_the_rules() {
    let mut wrong = Vec::new();
    for source in sources() {
        if source.code.contains("super::super::") {
            wrong.push(format!("{}: super::super:: hides where it leads; say crate::", source.name));
        }
        for line in source.code.lines().map(str::trim) {
            let import = line.starts_with("use ")
                || line.starts_with("pub use ")
                || line.starts_with("pub(crate) use ");
            if import && line.contains("::*") {
                wrong.push(format!("{}: {line}: names what it takes, not *", source.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn foreign_crates_stay_in_their_homes() {
    let mut wrong = Vec::new();
    for source in sources() {
        let strangers = HOMES.iter().filter(|(_, homes)| !homes.contains(&source.module.as_str()));
        let bytes_only = WITHOUT_TOKIO.iter().any(|place| Path::new(&source.name).starts_with(place));
        let refused = strangers.map(|(krate, _)| *krate).chain(bytes_only.then_some("tokio"));
        wrong.extend(
            refused
                .filter(|krate| names(&source.code, krate))
                .map(|krate| format!("{} uses {krate}", source.name)),
        );
    }
    assert!(wrong.is_empty(), "see ARCHITECTURE.md:\n{}", wrong.join("\n"));
}

#[test]
fn a_planted_import_is_found() {
    let code = product_code(
        "use crate::{pg::quote, store::{self, put}};\nfn f() { crate::seal::open() } // crate::cli\n",
    );
    assert_eq!(imports(&code), BTreeSet::from(["pg", "seal", "store"].map(str::to_owned)));
    assert!(names("use age::x25519;", "age") && names("let k = age::Key;", "age"));
    assert!(!names("use storage::x; page::y()", "age"));
    let tests = product_code("fn f() {}\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n");
    assert_eq!(tests, "fn f() {}\n");
}

/// One file of `src/`.
pub(crate) struct Source {
    /// Path below `src/`.
    pub(crate) name: String,
    /// Top-level module.
    module: String,
    /// Without comments and inline tests.
    pub(crate) code: String,
}

/// All files of `src/` but those that are tests as a whole.
pub(crate) fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files =
        files_below(&root, "rs").into_iter().filter(|path| !path.to_string_lossy().ends_with("_test.rs"));
    let source = |path: PathBuf| {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let module = name.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        Source { code: product_code(&std::fs::read_to_string(&path).unwrap()), name, module }
    };
    let all: Vec<_> = files.map(source).collect();
    assert!(all.len() > 20, "only {} files under {}", all.len(), root.display());
    all
}

/// All files below a folder with an extension, sorted.
pub(crate) fn files_below(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A file up to its inline tests, without line comments.
fn product_code(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let next = lines.peek().map_or("", |next| next.trim());
        if line.trim() == "#[cfg(test)]" && next.starts_with("mod ") && next.ends_with('{') {
            break;
        }
        let line = line.split("//").next().unwrap_or(line);
        code.push_str(line);
        code.push('\n');
    }
    code
}

/// The modules named by `crate::…` paths and `use crate::{…}` lists.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (start, text) in code.match_indices("crate::") {
        let rest = &code[start + text.len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut first_word = true;
            let mut word = String::new();
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 || (depth == 1 && c == ',') {
                    found.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
                    first_word = true;
                } else if depth == 1 && first_word {
                    match c {
                        'a'..='z' | '0'..='9' | '_' => word.push(c),
                        ' ' | '\n' => {}
                        _ => first_word = false,
                    }
                }
                if depth == 0 {
                    break;
                }
            }
        } else {
            let word: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            found.extend((!word.is_empty()).then_some(word));
        }
    }
    found
}

/// Whether code names a crate by a path: `krate::`, not as the end of a longer word or a module of ours.
fn names(code: &str, krate: &str) -> bool {
    let path = format!("{krate}::");
    code.match_indices(&path).any(|(start, _)| {
        let before = code[..start].chars().next_back().unwrap_or(' ');
        !(before.is_alphanumeric() || before == '_' || before == ':')
    })
}
