//! Plugins of age: a program that speaks their protocol.

use std::path::Path;
use std::process::Command;

use super::{cat, opens, sealed, shop};
use crate::harness::cli::{folder, pgcask, run};
use crate::harness::output;

#[test]
fn a_plugin_of_age_seals_and_opens() {
    let ((server, database), folder) = (shop(), folder());
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/age-plugin");
    let path = format!("{}:{}", plugins.display(), std::env::var("PATH").unwrap());
    let with = [("PATH", path)];
    let pair = |name: &str| {
        let made = output(&mut Command::new(plugins.join("age-plugin-toy")));
        let (secret, public) = made.trim().split_once('\n').unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, format!("# a token\n{secret}\n")).unwrap();
        (file.display().to_string(), public.to_owned())
    };
    let ((mine, public), (other, _)) = (pair("mine"), pair("other"));
    assert!(public.starts_with("age1toy1"), "{public}");
    let url = server.url(&database);
    let archive = sealed(folder.path(), &url, &["-r", &public], &with);
    opens(&archive, &["-i", &mine], &with);
    cat(&archive, &["-i", &other], &with).expect(4);
    // Without the plugin's program, it is named, on both sides.
    assert!(cat(&archive, &["-i", &mine], &[]).expect(4).stderr.contains("age-plugin-toy"));
    let store = folder.path().join("store").display().to_string();
    let refused = run(&mut pgcask(["backup", &url, "--to", &store, "-r", &public])).expect(4).stderr;
    assert!(refused.contains("age-plugin-toy"), "{refused}");
}
