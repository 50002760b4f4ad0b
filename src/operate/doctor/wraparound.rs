//! How far the server is from running out of transaction numbers.

use super::{Finding, Level, Subject};
use crate::error::Result;
use crate::pg::quote::ident;

const CHECK: &str = "wraparound";

/// Of about 2.1 thousand million, at 3 million before the end of which the server refuses to write.
const WORRYING: i64 = 1_000_000_000;
const URGENT: i64 = 1_600_000_000;

pub(super) async fn check(of: &Subject<'_>) -> Result<Vec<Finding>> {
    let sql = "SELECT d.datname, greatest(pg_catalog.age(d.datfrozenxid), pg_catalog.mxid_age(d.datminmxid))::pg_catalog.text \
               FROM pg_catalog.pg_database d ORDER BY greatest(pg_catalog.age(d.datfrozenxid), pg_catalog.mxid_age(d.datminmxid)) DESC LIMIT 1";
    let rows = of.session.query_text(sql).await?;
    let Some([Some(name), Some(age)]) = rows.first().map(Vec::as_slice) else { return Ok(Vec::new()) };
    Ok(vec![judge(name, age.parse().unwrap_or(0))])
}

fn judge(name: &str, age: i64) -> Finding {
    let found = format!("the oldest transactions are {age} back, in {}", ident(name));
    let level = match age {
        URGENT.. => Level::Critical,
        WORRYING.. => Level::Warning,
        _ => return Finding::ok(CHECK, found),
    };
    Finding::new(CHECK, level, found, "at about 2,144,000,000 the server takes no more writes until it is vacuumed")
        .remedy("VACUUM (FREEZE) there; end what holds it back: long transactions, prepared ones, replication slots that nobody reads")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_the_end_the_worse() {
        let level = |age| judge("shop", age).level;
        assert_eq!((level(5), level(WORRYING), level(URGENT)), (Level::Ok, Level::Warning, Level::Critical));
    }
}
