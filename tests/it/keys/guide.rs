//! The chapters of `docs/keys.md`, walked from the first command to the last.

use super::shop;
use crate::docs::{chapter_of, walk};
use crate::harness::gpg::GpgHome;

#[test]
fn the_page_on_keys_can_be_walked() {
    let ((server, database), folder, home) = (shop(), tempfile::tempdir().unwrap(), GpgHome::new());
    server.sql(&database, "CREATE TABLE customers AS SELECT 7 AS id, 'Grace' AS name");
    home.key("alice", "future-default", "", "never", "");
    home.key("bob", "future-default", "", "never", "");
    let variables = [("SHOP", server.url(&database)), home.variable()];
    let go =
        |title: &str| walk(server, &database, folder.path(), &chapter_of("docs/keys.md", title), &variables);
    let life = go("The life of a key");
    assert!(life.contains(": sound, ") && life.contains(".keys-1"), "{life}");
    assert!(go("Copies").contains("daily"));
    assert!(go("OpenPGP in a team").contains("7,Grace"));
}
