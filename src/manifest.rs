//! What an archive says about itself, sealed: which database, which server, which snapshot, and which relation's rows
//! are in which stream. Stored as JSON; a reader ignores fields that it does not know.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::catalog::ident::ObjectId;
use crate::catalog::model::SequenceValue;
use crate::catalog::profile::Profile;
use crate::pg::ServerVersion;
use crate::pg::copy::ZoneColumn;
use crate::pg::quote;
use crate::store::sidecar::Rewritten;

/// Version of the manifest's form. Readers accept any version whose fields they need are there.
pub const FORMAT: u32 = 1;

/// The section's tag in the archive.
pub const MANIFEST_TAG: [u8; 4] = *b"MANI";
/// The tag of the section with the catalog.
pub const CATALOG_TAG: [u8; 4] = *b"CATA";
/// The tag of the section with roles, tablespaces and what else the whole server has.
pub const GLOBALS_TAG: [u8; 4] = *b"GLOB";
/// The tag of the section with what is known only at the end: the values of the sequences.
pub const CLOSING_TAG: [u8; 4] = *b"CLOS";

/// The facts of one backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// See [`FORMAT`].
    pub format: u32,
    /// Name and version of the program that wrote it.
    pub tool: String,
    /// The backup's id.
    pub id: String,
    /// The kind of backup: `daily`, `weekly`…
    pub kind: String,
    /// The database's true name.
    pub database: String,
    /// The server.
    pub server: ServerFacts,
    /// The managed service that the database was taken for.
    #[serde(default)]
    pub profile: Profile,
    /// The snapshot that all rows are of.
    pub snapshot: SnapshotFacts,
    /// What was left out on request.
    #[serde(default)]
    pub left_out: LeftOut,
    /// Public keys of the recipients, so that a safety backup can use the same.
    #[serde(default)]
    pub recipients: Vec<String>,
    /// It was made of another backup, without rows that were erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewritten: Option<Rewritten>,
    /// The streams of rows.
    pub streams: Vec<Stream>,
}

/// What a recovery takes its rows from. Whoever confirms a plan sees by this that it is the right backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// Path or URL of the archive.
    pub archive: String,
    /// The backup's id.
    pub backup: String,
    /// The database that was backed up.
    pub source: String,
    /// When the snapshot was taken that the rows are of.
    pub taken_at: Timestamp,
}

impl Manifest {
    /// Which backup it is, and where: `archive` is a path or URL.
    pub fn origin(&self, archive: String) -> Origin {
        let (backup, source) = (self.id.clone(), self.database.clone());
        Origin { archive, backup, source, taken_at: self.snapshot.taken_at }
    }
}

/// The server that was backed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFacts {
    /// Its version, minor included.
    pub version: ServerVersion,
    /// The database's encoding.
    pub encoding: String,
    /// The cluster's identity, where it may be read.
    #[serde(default)]
    pub system_identifier: Option<String>,
    /// Whether it was a standby.
    #[serde(default)]
    pub standby: bool,
}

/// The snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFacts {
    /// When it was taken, by the server's clock.
    pub taken_at: Timestamp,
    /// `pg_current_snapshot()`: which transactions it sees.
    pub transactions: String,
    /// The write-ahead log's position just after it was taken.
    #[serde(default)]
    pub lsn: Option<String>,
    /// The timeline.
    #[serde(default)]
    pub timeline: Option<u32>,
}

/// What was left out on request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Only some relations were asked for.
    #[serde(default)]
    pub selection: bool,
    /// No rows (`--schema-only`).
    #[serde(default)]
    pub rows: bool,
    /// No definitions (`--data-only`).
    #[serde(default)]
    pub definitions: bool,
    /// Relations of which the rows were left out.
    #[serde(default)]
    pub rows_of: Vec<String>,
    /// Tables whose rows were left out as personal data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub personal: Vec<String>,
    /// Tables and schemas that were excluded, as the patterns that excluded them.
    #[serde(default)]
    pub excluded: Vec<String>,
    /// Tables whose rows were left to the platform that the database is on.
    #[serde(default)]
    pub platform_rows: Vec<String>,
}

/// What the rows of a stream are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Content {
    /// All rows of a table.
    Table,
    /// Rows of a foreign table, which lie on a server of others and are in no snapshot of ours.
    ForeignTable {
        /// The foreign server.
        server: String,
    },
    /// Rows of an extension's configuration table: those that its condition picks, besides what `CREATE EXTENSION`
    /// itself makes.
    ExtensionConfig {
        /// The extension.
        extension: String,
        /// The `WHERE` clause that the extension registered; may be empty.
        condition: String,
    },
    /// Metadata of large objects: OID, owner, comment, privileges.
    LargeObjects,
    /// Content of large objects: OID, offset, bytes.
    LargeObjectData,
}

/// A stream of rows in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// Its number in the archive.
    pub id: u32,
    /// What its rows are.
    pub content: Content,
    /// The relation.
    #[serde(default)]
    pub object: Option<ObjectId>,
    /// The relation's schema.
    pub schema: String,
    /// The relation's name.
    pub name: String,
    /// The columns, in the order of the COPY text; empty for a table without columns to copy.
    pub columns: Vec<String>,
    /// Columns with zone maps.
    #[serde(default)]
    pub zones: Vec<ZoneColumn>,
}

impl Stream {
    /// The quoted, qualified name of its relation.
    pub fn qualified(&self) -> String {
        quote::qualified(Some(&self.schema), &self.name)
    }

    /// Schema and name.
    pub fn names(&self) -> (String, String) {
        (self.schema.clone(), self.name.clone())
    }

    /// The name for messages.
    pub fn display(&self) -> String {
        quote::printable(&format!("{}.{}", self.schema, self.name))
    }

    /// The column list of a `COPY`, with its parentheses and a leading blank; nothing for a table without columns,
    /// where `COPY` takes no empty list.
    pub fn column_list(&self) -> String {
        if self.columns.is_empty() {
            return String::new();
        }
        format!(" ({})", quote::ident_list(self.columns.iter().map(String::as_str)))
    }
}

/// What is known only at the end of a backup.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Closing {
    /// The sequences' values, read last: they are not part of any snapshot.
    #[serde(default)]
    pub sequences: Vec<SequenceValue>,
    /// How long the rows took to be read, over all connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Whether the catalog changed while it was read and copied.
    #[serde(default)]
    pub catalog_changed: bool,
}
