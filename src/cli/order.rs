//! The part of `pgcask restore` that says what comes first, and how fast it may go.

use clap::Args;

use crate::error::{Error, ErrorKind, Result};
use crate::pg::quote::printable;
use crate::plan::priority::{Priorities, PriorityError};

/// What comes first.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Order and pace")]
pub struct OrderArgs {
    /// These tables first, rows, indexes and keys: 'P0=public.users,billing.*', then P1…; may be repeated
    #[arg(long = "priority", value_name = "CLASS=PATTERNS")]
    pub priorities: Vec<String>,
    /// Stop when this class is complete. The same command with --resume instead does the rest: other tables, triggers,
    /// policies, privileges. Until then nothing but reading is safe
    #[arg(long, value_name = "CLASS", conflicts_with_all = ["swap", "in_place"])]
    pub stop_after: Option<String>,
    /// Load at most so many bytes of rows a second, to spare the server: 20M, 1G
    #[arg(long, value_name = "BYTES", value_parser = rate)]
    pub max_rate: Option<u64>,
}

impl OrderArgs {
    /// The classes.
    pub(super) fn classes(&self) -> Result<Priorities> {
        Priorities::parse(&self.priorities).map_err(wrong)
    }

    /// The class after which to stop.
    pub(super) fn last_class(&self) -> Result<Option<u8>> {
        if self.stop_after.is_some() && self.priorities.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "--stop-after names a class, and there are none")
                .hint("give --priority, or [priorities] in pgcask.toml"));
        }
        let Some(name) = self.stop_after.as_deref() else { return Ok(None) };
        let (class, classes) = (Priorities::class_named(name).map_err(wrong)?, self.classes()?);
        if !classes.has(class) {
            let message = format!("--stop-after {} names no class", printable(name));
            return Err(Error::new(ErrorKind::Usage, message)
                .hint(format!("the classes are {}", classes.names().join(", "))));
        }
        Ok(Some(class))
    }
}

fn wrong(error: PriorityError) -> Error {
    Error::with_source(ErrorKind::Usage, "read the priorities", error)
        .hint("as in --priority 'P0=public.users,billing.*' --stop-after P0")
}

/// A number of bytes with K, M or G behind it, in steps of 1,024.
fn rate(text: &str) -> std::result::Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text.strip_prefix(digits).unwrap_or_default();
    let shift = match unit.trim_end_matches("iB").trim_end_matches('B') {
        "" => 0,
        "K" | "k" => 10,
        "M" => 20,
        "G" => 30,
        _ => return Err(format!("{unit:?} is no unit: K, M and G are")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("{text:?} is no number of bytes"))?;
    match number.checked_mul(1 << shift) {
        Some(0) | None => Err(format!("{text:?} is out of range")),
        Some(bytes) => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn rates_have_units() {
        assert_eq!(
            ["5", "20K", "3MiB", "1G"].map(|text| rate(text).unwrap()),
            [5, 20 << 10, 3 << 20, 1 << 30]
        );
        for text in ["", "x", "0", "5T", "-1", "99999999999G"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
