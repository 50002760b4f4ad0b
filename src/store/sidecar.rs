//! What stands beside an archive: `.sha256` and `.json`. Neither ever changes.

use serde::{Deserialize, Serialize};

use super::{Store, StoreError, objects};

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        text.push_str(&format!("{byte:02x}"));
        text
    })
}

/// The line of a `.sha256` file: what `sha256sum -c` reads.
pub fn sha256_line(hex: &str, file_name: &str) -> String {
    format!("{hex}  {file_name}\n")
}

/// The `.json` sidecar. No secret and no row of a table is in it; unknown fields are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// Version of this form.
    pub format: u32,
    /// The backup's id.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// The database's true name.
    pub database: String,
    /// Version of the server.
    pub server_version: String,
    /// File name of the archive.
    pub archive: String,
    /// When the snapshot was taken, RFC 3339.
    pub snapshot_at: String,
    /// When the backup ended, RFC 3339.
    pub finished_at: String,
    /// How long it took.
    pub seconds: f64,
    /// Length of the archive.
    pub bytes: u64,
    /// Bytes of COPY text in it.
    pub plain_bytes: u64,
    /// Tables whose rows are in it.
    pub tables: u64,
    /// Rows.
    pub rows: u64,
    /// Objects whose definitions are in it.
    pub objects: u64,
    /// SHA-256 of the archive.
    pub sha256: String,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Fingerprints of the keys that open it.
    pub keys: Vec<String>,
    /// Level of zstd.
    pub level: i32,
    /// Name and version of the program.
    pub tool: String,
    /// Until when it is to be kept, RFC 3339; none means for ever.
    #[serde(default)]
    pub expires_at: Option<String>,
    /// Only a part of the database is in it: chosen tables or schemas, definitions alone, rows alone.
    #[serde(default)]
    pub partial: bool,
    /// The head of the audit log's chain of the host that made it, before the backup.
    #[serde(default)]
    pub audit: Option<AuditHead>,
    /// How many tables' rows were left out as personal data.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub without_personal: u64,
    /// It was made of another backup, without rows that were erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewritten: Option<Rewritten>,
    /// It is a safety backup: what was about to be restored over the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<ReplacedBy>,
}

/// The backup that was about to be restored over a database when a safety backup of that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedBy {
    /// Its id.
    pub id: String,
    /// Its kind. For a `pre-restore` backup somebody was on the way back.
    pub kind: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Where a backup comes from that was made by `pgcask erase rewrite`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewritten {
    /// The id of the backup that it takes the place of.
    pub from: String,
    /// When, RFC 3339.
    pub at: String,
    /// The entries of the erasure ledger whose rows it has not.
    pub entries: Vec<String>,
    /// Rows that were taken out.
    pub rows: u64,
}

/// An entry of the audit log, by which a chain that lost its end is noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    /// The chain.
    pub chain: String,
    /// The entry's place in it.
    pub number: u64,
    /// SHA-256 of the entry's line.
    pub hash: String,
}

/// Reads the `.json` of the archive at `key`; `None` for one that is no such sidecar.
///
/// # Errors
/// Those of the store.
pub async fn read(store: &Store, key: &str) -> Result<Option<Metadata>, StoreError> {
    let bytes = objects::read(store, &format!("{key}.json")).await?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// The checksum that the `.sha256` of the archive at `key` states; `None` for a file of another form.
///
/// # Errors
/// Those of the store.
pub async fn read_checksum(store: &Store, key: &str) -> Result<Option<String>, StoreError> {
    let bytes = super::beside::read(store, key, "sha256").await?;
    let text = String::from_utf8_lossy(&bytes);
    let digits = text.split_whitespace().next().filter(|word| word.len() == 64);
    Ok(digits.map(str::to_ascii_lowercase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_what_sha256sum_reads() {
        assert_eq!(sha256_line("ab", "x.cask"), "ab  x.cask\n");
    }
}
