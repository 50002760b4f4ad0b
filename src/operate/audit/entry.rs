//! One entry, and its line.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::operate::Actor;
use crate::store::sidecar::hex;

/// An entry of the audit log. Unknown fields of newer versions are part of the line and thus of its hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Version of this form.
    pub format: u32,
    /// The chain: one host's entries about one store.
    pub chain: String,
    /// Its place in the chain, from 1.
    pub number: u64,
    /// SHA-256 of the line before; empty for the first.
    pub previous: String,
    /// When the operation ended.
    pub at: Timestamp,
    /// How long it took.
    pub seconds: f64,
    /// Who, and where.
    pub by: Actor,
    /// The command.
    pub operation: String,
    /// How it ended: `done`, or the kind of its failure.
    pub result: String,
    /// Its exit code.
    pub exit_code: u8,
    /// The store that it was about.
    #[serde(default)]
    pub store: Option<String>,
    /// The archive that it was about.
    #[serde(default)]
    pub archive: Option<String>,
    /// SHA-256 of the archive, where the operation knows it.
    #[serde(default)]
    pub digest: Option<String>,
    /// What else is worth knowing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
    /// Name and version of the program.
    pub tool: String,
}

/// The hash by which the next entry names this line (without its end).
pub fn hash(line: &str) -> String {
    hex(&Sha256::digest(line.as_bytes()))
}
