//! Tests of backups: each way in which one can be bad is found by the check that is there for it.

mod estimate;
mod evidence;
mod full;
mod health;
mod quick;
mod schema;

use serde_json::Value;

use crate::harness::cli::Run;

/// The outcome of a check, what was found and what is wrong.
pub(crate) fn outcome(run: &Run, check: &str) -> (String, String) {
    let json = run.json();
    let checks = json["checks"].as_array().unwrap();
    let found = checks.iter().find(|found| found["check"] == check);
    let found = found.unwrap_or_else(|| panic!("{check} is not in {json}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&found["outcome"]), format!("{} {}", text(&found["found"]), found["problems"]))
}
