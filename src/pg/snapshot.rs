//! One view of the data for several sessions (manual, section 9.28.5).

use jiff::Timestamp;
use serde::Deserialize;

use super::error::PgError;
use super::quote::literal;
use super::session::Session;
use super::version::ServerVersion;

/// The first minor of each major whose standbys export right snapshots. Before it, importing one on a standby gives
/// wrong data and can leave wrong hint bits behind, so that the standby itself is damaged.
///
/// 15.20 and 18.7 are named by the release notes of 2026-11-12. The others follow from the numbers of the joint
/// release of 2026-05-14 (18.4, 17.10, 16.14, 15.18, 14.23) plus the two joint releases since; 18 had one release of its
/// own. 13 had its last minor a year before, so no 13 is safe. 19 is taken as safe from its first minor on.
const STANDBY_SAFE: &[(u32, u32)] = &[(14, 25), (15, 20), (16, 16), (17, 12), (18, 7), (19, 1)];

/// Whether several sessions may share a snapshot on such a server. On a standby that is too old, one connection must
/// do all the work.
pub fn parallel_snapshot_is_safe(version: ServerVersion, is_standby: bool) -> bool {
    if !is_standby {
        return true;
    }
    let fixed = STANDBY_SAFE.iter().find(|(major, _)| *major == version.major());
    fixed.map_or_else(|| version.major() > 19, |(_, minor)| version.minor() >= *minor)
}

/// A snapshot and its place in the server's history. It lives as long as the transaction that exported it: that
/// session must stay open and in its transaction until all others have adopted the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// What others adopt it by; `None` where it must not be shared.
    pub id: Option<String>,
    /// `pg_current_snapshot()`: `xmin:xmax:xip,…`.
    pub transactions: String,
    /// The WAL position just after the snapshot was taken: all that the snapshot shows lies before it.
    pub lsn: String,
    /// The timeline; `None` where the server does not tell.
    pub timeline: Option<u32>,
    /// The server's clock when the transaction began.
    pub taken_at: Timestamp,
}

#[derive(Deserialize)]
struct Place {
    transactions: String,
    lsn: String,
    timeline: Option<u32>,
    taken_at: Timestamp,
}

impl Snapshot {
    /// Begins a read-only transaction in the session and exports its snapshot.
    ///
    /// With `serializable_deferrable` the transaction is `SERIALIZABLE, READ ONLY, DEFERRABLE`: it waits until it can
    /// see a state that no serialisation anomaly reaches. Otherwise it is `REPEATABLE READ, READ ONLY`. On a standby
    /// where snapshots cannot be shared safely ([`parallel_snapshot_is_safe`]) the result has no id.
    ///
    /// # Errors
    /// [`PgError::Snapshot`] for a serializable snapshot of a standby; those of [`Session::execute`].
    pub async fn export(session: &Session, serializable_deferrable: bool) -> Result<Self, PgError> {
        let info = session.info();
        if serializable_deferrable && info.is_standby {
            return Err(PgError::Snapshot(
                "a standby has no serializable snapshots: take one without, or use the primary",
            ));
        }
        session
            .execute(if serializable_deferrable {
                "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE"
            } else {
                "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
            })
            .await?;
        let id = if parallel_snapshot_is_safe(info.version, info.is_standby) {
            session.query_one_text("SELECT pg_catalog.pg_export_snapshot()").await?
        } else {
            None
        };
        let sql = place_sql(info.is_standby);
        let place = session.query_json::<Place>(&sql).await?.into_iter().next();
        let Some(Place { transactions, lsn, timeline, taken_at }) = place else {
            return Err(PgError::Answer { statement: sql, reason: "no row".to_owned() });
        };
        Ok(Self { id, transactions, lsn, timeline, taken_at })
    }

    /// Whether a new query of a session that is in no transaction sees what the snapshot shows: nothing was committed since.
    /// A standby's own snapshots do not tell; there the answer is no.
    ///
    /// # Errors
    /// Those of the query.
    pub async fn is_current(&self, session: &Session) -> Result<bool, PgError> {
        if session.info().is_standby {
            return Ok(false);
        }
        let now = session.query_one_text("SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text").await?;
        Ok(now.as_deref() == Some(self.transactions.as_str()))
    }

    /// Begins a transaction in another session that sees what the exporter sees, and makes sure that it does.
    ///
    /// # Errors
    /// [`PgError::Snapshot`] where the snapshot must not be shared or arrived altered; those of [`Session::execute`].
    pub async fn adopt(&self, session: &Session) -> Result<(), PgError> {
        let Some(id) = &self.id else {
            return Err(PgError::Snapshot(
                "on a standby of this minor version a shared snapshot shows wrong data and can damage the standby: \
                 use one connection, update the server, or back up the primary",
            ));
        };
        session
            .execute(&format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET TRANSACTION SNAPSHOT {}",
                literal(id)
            ))
            .await?;
        let seen = session.query_one_text("SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text").await?;
        if seen.as_deref() == Some(self.transactions.as_str()) {
            Ok(())
        } else {
            Err(PgError::Snapshot("the adopted snapshot is not the one that was exported"))
        }
    }
}

/// A primary's timeline is read off the name of its WAL file, a standby's off its last restart point.
fn place_sql(is_standby: bool) -> String {
    let (lsn, timeline) = if is_standby {
        (
            "pg_catalog.pg_last_wal_replay_lsn()",
            "(SELECT timeline_id FROM pg_catalog.pg_control_checkpoint())",
        )
    } else {
        (
            "pg_catalog.pg_current_wal_insert_lsn()",
            "('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8))\
             ::pg_catalog.bit(32)::pg_catalog.int4",
        )
    };
    format!(
        "SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text AS transactions, {lsn}::pg_catalog.text AS lsn, \
         {timeline} AS timeline, pg_catalog.to_char(pg_catalog.transaction_timestamp(), \
         'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS taken_at"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standbys_are_safe_from_the_fixed_minor_on() {
        for (version, expected) in [
            (130_023, false),
            (140_024, false),
            (140_025, true),
            (150_019, false),
            (150_020, true),
            (160_015, false),
            (170_012, true),
            (180_006, false),
            (180_007, true),
            (190_000, false),
            (190_001, true),
            (200_000, true),
        ] {
            assert_eq!(parallel_snapshot_is_safe(ServerVersion(version), true), expected, "{version}");
            assert!(parallel_snapshot_is_safe(ServerVersion(version), false));
        }
    }
}
