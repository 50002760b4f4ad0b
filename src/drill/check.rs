//! A table of checks, and whether all of them together pass.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::restore;

/// Below this share of passed checks a test fails, whichever they are.
pub(super) const PASS_RATE: f64 = 0.8;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All is as it should be.
    Passed,
    /// Something to know, which does no harm.
    Noted,
    /// It was not asked for, or what it needs is not there.
    Skipped,
    /// It is not as it should be.
    Failed,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What is checked.
    pub check: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether its failure alone fails the whole.
    pub critical: bool,
    /// What was found, in a few words.
    pub found: String,
    /// What is wrong, or to be known: a sentence each.
    pub problems: Vec<String>,
}

impl Check {
    /// A check that passed.
    pub fn passed(check: &str, critical: bool, found: impl Into<String>) -> Self {
        Self::of(check, Outcome::Passed, critical, found.into(), Vec::new())
    }

    /// A check that passed, with something to know.
    pub fn noted(check: &str, critical: bool, found: impl Into<String>, note: impl Into<String>) -> Self {
        Self::of(check, Outcome::Noted, critical, found.into(), vec![note.into()])
    }

    /// A check that was not made.
    pub fn skipped(check: &str, critical: bool, why: impl Into<String>) -> Self {
        Self::of(check, Outcome::Skipped, critical, why.into(), Vec::new())
    }

    /// A check that failed.
    pub fn failed(check: &str, critical: bool, found: impl Into<String>, problems: Vec<String>) -> Self {
        Self::of(check, Outcome::Failed, critical, found.into(), problems)
    }

    /// A check that failed with an error, told with its causes.
    pub fn error(check: &str, critical: bool, error: &Error) -> Self {
        let mut problems = vec![chain(error)];
        problems.extend(error.hints().iter().map(|hint| format!("hint: {hint}")));
        Self::failed(check, critical, "failed", problems)
    }

    fn of(check: &str, outcome: Outcome, critical: bool, found: String, problems: Vec<String>) -> Self {
        Self { check: check.to_owned(), outcome, critical, found, problems }
    }

    /// One of a restore's checks. All of them are critical: each says whether what came back can be used.
    /// One in which there was nothing to be checked says nothing, and must not make the share of those that passed look better.
    pub fn of_restore(check: &restore::Check) -> Self {
        if check.outcome == restore::Outcome::Passed && check.checked == 0 {
            return Self::skipped(check.check, true, "there is none");
        }
        let outcome = match check.outcome {
            restore::Outcome::Passed => Outcome::Passed,
            restore::Outcome::Noted | restore::Outcome::Pending => Outcome::Noted,
            restore::Outcome::Skipped => Outcome::Skipped,
            restore::Outcome::Failed => Outcome::Failed,
        };
        let found = match outcome {
            Outcome::Skipped => "not asked for".to_owned(),
            _ => format!("{} checked", check.checked),
        };
        Self::of(check.check, outcome, true, found, check.problems.clone())
    }

    /// Whether it was made.
    pub fn is_made(&self) -> bool {
        self.outcome != Outcome::Skipped
    }

    /// Whether it failed.
    pub fn is_failed(&self) -> bool {
        self.outcome == Outcome::Failed
    }
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// What all checks together say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// No critical check failed, and enough of the others passed.
    pub passed: bool,
    /// The share of checks that passed, of those that were made; 0 to 1.
    pub pass_rate: f64,
    /// Checks that were made.
    pub made: u64,
    /// Checks that failed.
    pub failed: u64,
}

impl Verdict {
    /// The verdict over a table. A table in which nothing was checked does not pass.
    pub fn of(checks: &[Check]) -> Self {
        let count = |pick: &dyn Fn(&Check) -> bool| {
            u32::try_from(checks.iter().filter(|check| pick(check)).count()).unwrap_or(u32::MAX)
        };
        let (made, failed) = (count(&Check::is_made), count(&Check::is_failed));
        let pass_rate = if made == 0 { 0.0 } else { f64::from(made - failed) / f64::from(made) };
        let critical = checks.iter().any(|check| check.critical && check.is_failed());
        let passed = pass_rate >= PASS_RATE && !critical;
        Self { passed, pass_rate, made: made.into(), failed: failed.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(outcomes: &[(Outcome, bool)]) -> Verdict {
        let check = |(outcome, critical): &(Outcome, bool)| {
            Check::of("x", *outcome, *critical, String::new(), Vec::new())
        };
        Verdict::of(&outcomes.iter().map(check).collect::<Vec<_>>())
    }

    #[test]
    fn a_failed_critical_check_or_too_many_others_fail_the_whole() {
        use Outcome::{Failed, Noted, Passed, Skipped};
        let good = [(Passed, true); 4];
        let with = |more: &[(Outcome, bool)]| verdict(&[&good[..], more].concat());
        assert!(with(&[(Failed, false)]).passed, "four of five are 80 %");
        assert!(!with(&[(Failed, true)]).passed);
        assert!(!with(&[(Failed, false), (Failed, false)]).passed);
        assert!(with(&[(Failed, false), (Noted, false), (Skipped, true)]).passed);
        assert!(!verdict(&[(Skipped, true)]).passed && !verdict(&[]).passed);
    }
}
