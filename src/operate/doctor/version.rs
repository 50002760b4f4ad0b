//! Servers that get no more corrections, or lack one that backups need.

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;

use super::{Finding, Level, Subject};
use crate::error::Result;

const CHECK: &str = "server version";

/// The last day of each major version (postgresql.org/support/versioning).
const LAST_DAYS: &[(u32, Date)] = &[
    (13, date(2025, 11, 13)),
    (14, date(2026, 11, 12)),
    (15, date(2027, 11, 11)),
    (16, date(2028, 11, 9)),
    (17, date(2029, 11, 8)),
    (18, date(2030, 11, 14)),
];

/// The first minor that keeps a dump from running the code of whoever swaps a table for a view (CVE-2024-7348).
const SWAPPED_RELATION: &[(u32, u32)] = &[(13, 16), (14, 13), (15, 8), (16, 4)];

#[expect(clippy::unnecessary_wraps, reason = "as the other checks")]
pub(super) fn check(of: &Subject<'_>) -> Result<Vec<Finding>> {
    let version = of.session.version();
    let today = of.clock.now().to_zoned(TimeZone::UTC).date();
    let mut found = Vec::new();
    if let Some((major, last)) =
        LAST_DAYS.iter().find(|(major, last)| *major == version.major() && *last < today)
    {
        found.push(
            Finding::new(
                CHECK,
                Level::Warning,
                format!("PostgreSQL {major} has had no corrections since {last}"),
                "faults that lose or reveal data are not mended any more",
            )
            .remedy("upgrade; a backup of it restores into newer versions: pgcask restore ARCHIVE --into NEW --create --globals"),
        );
    }
    if SWAPPED_RELATION.iter().any(|(major, minor)| *major == version.major() && version.minor() < *minor) {
        found.push(
            Finding::new(
                CHECK,
                Level::Warning,
                format!("PostgreSQL {version} lacks the correction of CVE-2024-7348"),
                "who may create objects can have code run by the role that makes the backup",
            )
            .remedy("install the newest minor release"),
        );
    }
    if found.is_empty() {
        found.push(Finding::ok(CHECK, format!("PostgreSQL {version}")));
    }
    Ok(found)
}
