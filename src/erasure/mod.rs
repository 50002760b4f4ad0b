//! The erasure ledger: which rows were erased in a database and must stay so. A backup that is older than an erasure still has
//! the row; every restore erases it again before the restored database is used.
//!
//! ```text
//! store: .pgcask/erasures/<database>/ ─▶ entries ─▶ restored, proven ─▶ one transaction: match, delete, look again ─▶ in use
//! ```

mod apply;
mod checksum;
pub mod csv;
mod disarm;
mod entry;
mod hash;
mod ledger;
mod matching;
mod stuck;
mod views;

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::pg::Session;

pub use apply::{Changed, Found, Report, Scope, apply};
pub use entry::{Entry, MAX_ROWS, Rows, Table, Withdrawal};
pub use hash::HashKey;
pub use ledger::{Ledger, Recorded, carry, merged};
pub use matching::{Keys, Relation, canonical, count, keys_of};

/// The entries that a restore has to mind.
#[derive(Debug, Clone, Default)]
pub struct Erasures {
    /// Those that were not withdrawn.
    pub entries: Vec<Entry>,
    /// The key of hashed entries, if there is one.
    pub key: Option<HashKey>,
}

/// How operations hold them.
pub type SharedErasures = Arc<Erasures>;

impl Erasures {
    /// Whether nothing is to be erased.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many rows the entries name.
    pub fn rows(&self) -> u64 {
        self.entries.iter().map(Entry::len).sum()
    }

    /// Fails unless all entries can be applied.
    ///
    /// # Errors
    /// [`ErrorKind::Key`] when an entry is hashed, and its key is not at hand.
    pub fn check(&self) -> Result<()> {
        for entry in &self.entries {
            let Rows::Hashes { key: wanted, .. } = &entry.rows else { continue };
            let have = self.key.as_ref().map(HashKey::fingerprint);
            if have.as_ref() != Some(wanted) {
                let what = have.map_or_else(
                    || "no key for hashed entries is given".to_owned(),
                    |have| format!("the key that is given is {have}"),
                );
                let message =
                    format!("the erasure entry {} was hashed with the key {wanted}, and {what}", entry.id);
                return Err(Error::new(ErrorKind::Key, message).hint(
                    "give --erasure-key-file, or set PGCASK_ERASURE_KEY_FILE; --no-erasure restores without the ledger",
                ));
            }
        }
        Ok(())
    }

    /// The entries of one table and form at a time, so that each table is read once: those of the same columns, hashed or not.
    fn groups(&self) -> Vec<Vec<&Entry>> {
        let mut groups: Vec<Vec<&Entry>> = Vec::new();
        for entry in &self.entries {
            let same = |group: &&mut Vec<&Entry>| {
                group.first().is_some_and(|first| {
                    first.table == entry.table
                        && first.columns == entry.columns
                        && first.rows.is_hashed() == entry.rows.is_hashed()
                })
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.push(entry),
                None => groups.push(vec![entry]),
            }
        }
        groups
    }
}

/// Runs a statement that defines something, unseen by event triggers where we may say so: those of the restored database are
/// not about what we do.
async fn quietly(session: &Session, sql: &str) -> Result<()> {
    let sql = if session.info().is_superuser {
        format!(
            "SET LOCAL session_replication_role = 'replica'; {sql}; SET LOCAL session_replication_role = 'origin'"
        )
    } else {
        sql.to_owned()
    };
    Ok(session.execute(&sql).await?)
}
