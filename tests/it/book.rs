//! The documents as a book: it is built, and each link in it leads to a page and a heading that there are.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use xtask::install;
use xtask::package::MDBOOK;

use crate::architecture::files_below;
use crate::harness::browser::Browser;

/// The values of an attribute in a page.
fn attributes<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!(" {name}=\"");
    page.split(start.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut made, part| {
        match part {
            Component::ParentDir => drop(made.pop()),
            Component::CurDir => {}
            other => made.push(other),
        }
        made
    })
}

/// Links of a book that lead nowhere.
fn broken(book: &Path) -> Vec<String> {
    let read = |path: &PathBuf| (path.clone(), std::fs::read_to_string(path).unwrap());
    let pages: BTreeMap<PathBuf, String> = files_below(book, "html").iter().map(read).collect();
    assert!(pages.len() > 20, "{}", pages.len());
    let mut broken = Vec::new();
    // One page of all others, and one that stands at any place, have links of their own kind.
    for (path, page) in
        pages.iter().filter(|(path, _)| !path.ends_with("print.html") && !path.ends_with("404.html"))
    {
        for link in attributes(page, "href") {
            let (target, heading) = link.split_once('#').unwrap_or((link, ""));
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let there =
                if target.is_empty() { path.clone() } else { plain(&path.parent().unwrap().join(target)) };
            let known = heading.is_empty()
                || pages.get(&there).is_some_and(|page| attributes(page, "id").contains(&heading));
            if !there.exists() || !known {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    broken
}

#[test]
fn the_book_is_built_and_its_links_lead_somewhere() {
    let folder = tempfile::tempdir().unwrap();
    let mut build = Command::new(install::ensure(&MDBOOK).unwrap().join("mdbook"));
    build.args(["build", "--dest-dir"]).arg(folder.path()).arg(env!("CARGO_MANIFEST_DIR"));
    let built = build.output().unwrap();
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success() && !said.contains("WARN") && !said.contains("ERROR"), "{said}");
    let found = broken(folder.path());
    assert!(found.is_empty(), "{}", found.join("\n"));
    for page in ["strategy", "backups", "recovery", "incidents", "migration", "troubleshooting", "monitoring"]
    {
        assert!(folder.path().join(format!("{page}.html")).is_file(), "{page}");
    }
    // It can be read: the page is there, with its table of contents.
    let mut browser = Browser::start();
    browser.open(&folder.path().join("incidents.html"), 1200, "light");
    assert_eq!(browser.value("document.querySelector('main h1').innerText"), "Incidents");
    // A planted one is found.
    let page = folder.path().join("strategy.html");
    let text = std::fs::read_to_string(&page).unwrap();
    let planted = "<a href=\"nowhere.html\">x</a><a href=\"keys.html#no-such-heading\">y</a></main>";
    std::fs::write(&page, text.replacen("</main>", planted, 1)).unwrap();
    assert_eq!(broken(folder.path()).len(), 2);
}
