//! `[retention]`: how long backups are kept, for all databases or for one.

use jiff::Span;

use super::file::Value;
use super::settings::Lookup;
use crate::store::naming::Kind;

/// Counts of newest backups, by the names of their keys.
const COUNTS: [&str; 5] = ["keep_last", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly"];

/// What is configured of keeping; what is not said is `None` or missing.
#[derive(Debug, Clone, Default)]
pub struct Retention {
    /// How long each kind is kept.
    pub ages: Vec<(Kind, Span)>,
    /// So many of the newest; the newest of so many days, weeks, months, years.
    pub counts: [Option<u32>; 5],
}

impl Retention {
    /// How long a kind is kept.
    pub fn age(&self, kind: Kind) -> Option<Span> {
        self.ages.iter().find(|(known, _)| *known == kind).map(|(_, span)| *span)
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.ages.is_empty() && self.counts.iter().all(Option::is_none)
    }
}

impl Lookup<'_> {
    /// The table of the database, else that of all.
    pub(super) fn retention(&self) -> Retention {
        let value = |name: &str| self.in_table("retention", name);
        let ages = Kind::ALL.into_iter().filter_map(|kind| {
            let span = value(kind.name())?.text()?.parse().ok()?;
            Some((kind, span))
        });
        let count = |name: &str| match value(name)? {
            Value::Whole(number) => u32::try_from(*number).ok(),
            _ => None,
        };
        Retention { ages: ages.collect(), counts: COUNTS.map(count) }
    }
}
