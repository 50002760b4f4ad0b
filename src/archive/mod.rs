//! The archive format `.cask`, specified in `docs/format.md`: bytes in, bytes out.
//!
//! No file, no network, no thread and no clock is touched here, and nothing of PostgreSQL is known: a *stream* is what
//! the layers above call a relation, a *section* is opaque bytes such as the catalog.
//!
//! ```text
//! header │ frame 0 │ frame 1 │ … │ root index │ copy of the header │ footer
//!          section, chunk or index page; sealed; numbered without a gap
//! ```
//!
//! * Writing: [`Writer`] gives the order, the index and the bytes; any number of threads seal with [`Sealer`].
//! * Reading: [`Locator`] says which ranges it needs, [`Located::unlock`] gives an [`Archive`], whose [`Opener`] opens
//!   frames; one stream costs its pages of the index and its chunks.
//! * Checking: [`Verifier`] with a key or without; [`Salvager`] takes what is intact of a broken archive.
//!
//! ```
//! use pgcask::archive::{ChunkFacts, ChunkHead, Layout, Options, SectionTag, Writer};
//! # fn main() -> Result<(), pgcask::archive::Error> {
//! let mut store = Vec::new(); // stands for a multipart upload
//! let mut writer = Writer::new(&Options::default())?; // no recipients: not encrypted
//! store.extend(writer.section(SectionTag(*b"CATL"), 1, b"the catalog")?);
//! writer.declare(7, b"public.orders")?;
//!
//! let sealer = writer.sealer(); // one clone and one scratch for each thread that seals
//! let mut scratch = sealer.scratch()?;
//! let head = ChunkHead { stream: 7, number: 0, rows: 2 };
//! let frame = sealer.seal_chunk(head, b"1\tone\n2\ttwo\n", Layout::Rows, ChunkFacts::default(), &mut scratch)?;
//!
//! store.extend(writer.push(frame)?); // in any order; what comes back goes to the store as it is
//! let finished = writer.finish()?;
//! store.extend(finished.bytes);
//! assert_eq!(store.concat().len() as u64, finished.summary.bytes);
//! # Ok(()) }
//! ```

pub mod added;
mod body;
pub mod chunk;
pub mod codec;
mod error;
pub mod footer;
pub mod frame;
pub mod header;
pub mod index;
mod opener;
mod packing;
mod pending;
mod reader;
pub mod root;
pub mod salvage;
mod sealer;
pub mod section;
mod stanza;
pub mod verify;
pub mod version;
mod writer;

pub use added::AddedKeys;
pub use chunk::{Chunk, ChunkFacts, ChunkHead, ContentHash, Layout, Totals};
pub use error::{Damage, Error, Place};
pub use frame::{FrameKind, FrameRef};
pub use header::{ArchiveId, Header};
pub use index::{ChunkEntry, Page};
pub use opener::{OpenScratch, Opened, Opener};
pub use packing::Packing;
pub use reader::{Archive, Located, Locator};
pub use root::{Root, SectionEntry, StreamEntry};
pub use salvage::Salvager;
pub use sealer::{SealScratch, SealedFrame, Sealer};
pub use section::SectionTag;
pub use verify::{Report, Verifier};
pub use writer::{Finished, Options, Summary, Writer};
