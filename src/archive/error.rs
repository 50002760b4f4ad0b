//! Errors that name the place: which structure, which frame, which chunk of which stream, at which offset.

use std::fmt;

use super::codec::Malformed;
use super::frame::FrameKind;
use crate::seal::SealError;
use crate::seal::recipient::Fingerprint;

/// A place in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// The header at the front.
    Header,
    /// The copy of the header near the end.
    HeaderCopy,
    /// The footer.
    Footer,
    /// A frame.
    Frame {
        /// What it is, when its own header could be read.
        kind: Option<FrameKind>,
        /// Its sequence number, counted from 0.
        sequence: u64,
        /// Its first byte in the file.
        offset: u64,
    },
    /// A chunk of a stream.
    Chunk {
        /// The stream's number.
        stream: u32,
        /// The chunk's number within the stream.
        chunk: u32,
        /// The frame's sequence number.
        sequence: u64,
        /// The frame's first byte in the file.
        offset: u64,
    },
    /// Keys that were added beside the archive, by the object's number.
    AddedKeys(u32),
    /// A byte between structures.
    Offset(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("the header"),
            Self::HeaderCopy => f.write_str("the copy of the header"),
            Self::Footer => f.write_str("the footer"),
            Self::Frame { kind: Some(kind), sequence, offset } => {
                write!(f, "frame {sequence} ({kind}) at offset {offset}")
            }
            Self::Frame { kind: None, sequence, offset } => write!(f, "frame {sequence} at offset {offset}"),
            Self::Chunk { stream, chunk, sequence, offset } => {
                write!(f, "chunk {chunk} of stream {stream} (frame {sequence} at offset {offset})")
            }
            Self::AddedKeys(number) => write!(f, "the added keys (.keys-{number})"),
            Self::Offset(offset) => write!(f, "offset {offset}"),
        }
    }
}

/// What is wrong at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The bytes do not have their CRC-32.
    #[error("its checksum does not match")]
    Checksum,
    /// The bytes are not what must stand here.
    #[error("something else stands there")]
    NotFound,
    /// The data ends before its declared end.
    #[error("it is cut off")]
    Truncated,
    /// Bytes follow where nothing may follow.
    #[error("bytes follow where nothing may follow")]
    Trailing,
    /// A frame is not where its sequence number belongs: frames are missing, doubled or out of order.
    #[error("the sequence is broken: frame {expected} was expected and frame {found} found")]
    Sequence {
        /// What had to come.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// It belongs to another archive.
    #[error("it belongs to another archive")]
    Foreign,
    /// It cannot be decoded.
    #[error("it is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// It does not decompress to its declared length.
    #[error("it does not decompress")]
    Decompression,
    /// A wrapped key is for one of the identities at hand, and is not what a writer made.
    #[error("a wrapped key in it was changed: {0}")]
    WrappedKey(&'static str),
    /// Two places that must agree do not.
    #[error("it contradicts another place: {0}")]
    Contradiction(&'static str),
}

/// An error of writing or reading an archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are no pgcask archive.
    #[error("not a pgcask archive")]
    NotAnArchive,
    /// The archive has no footer: its writer did not finish, or its end was cut off.
    #[error(
        "the archive is incomplete: it has no footer (its writer did not finish, or its end was cut off)"
    )]
    Incomplete,
    /// A newer pgcask wrote it.
    #[error("format version {found} is not supported, this version reads up to {newest}")]
    Version {
        /// The archive's version.
        found: u16,
        /// The newest that is read.
        newest: u16,
    },
    /// Bytes are damaged. Accident is enough to explain it.
    #[error("{place} is damaged: {damage}")]
    Damaged {
        /// Where.
        place: Place,
        /// What.
        damage: Damage,
    },
    /// The checksum is right and the authentication is not: someone changed it on purpose, or moved it here.
    #[error("{place} is not authentic")]
    NotAuthentic {
        /// Where.
        place: Place,
    },
    /// The passphrase or key is not this archive's.
    #[error("the key or passphrase is not the one of this archive")]
    WrongKey,
    /// The archive is not sealed for any of the identities given.
    #[error("none of the identities can open this archive; it is sealed for: {}", list(.sealed_for))]
    NoMatchingIdentity {
        /// The recipients.
        sealed_for: Vec<Fingerprint>,
    },
    /// Something exceeds a limit of the format.
    #[error("{what}: {found} exceeds the limit of {limit}")]
    Limit {
        /// What.
        what: &'static str,
        /// How large it is.
        found: u64,
        /// How large it may be.
        limit: u64,
    },
    /// The caller broke the writer's or reader's rules.
    #[error("misuse of the archive: {0}")]
    Misuse(&'static str),
    /// Frames were sealed and never pushed, so that the archive would have a gap.
    #[error("frame {0} was sealed and never written")]
    Missing(u64),
    /// Compression, encryption or key wrapping failed.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl Error {
    /// An error about a damaged place.
    pub fn damaged(place: Place, damage: impl Into<Damage>) -> Self {
        Self::Damaged { place, damage: damage.into() }
    }

    /// The place, if the error has one.
    pub const fn place(&self) -> Option<Place> {
        match self {
            Self::Damaged { place, .. } | Self::NotAuthentic { place } => Some(*place),
            _ => None,
        }
    }

    /// Whether a key is what is missing, rather than the archive being bad.
    pub const fn is_about_the_key(&self) -> bool {
        matches!(self, Self::WrongKey | Self::NoMatchingIdentity { .. })
    }

    /// The same error, said of a more telling place.
    pub(super) fn at(mut self, place: Place) -> Self {
        self.move_to(place);
        self
    }

    pub(super) const fn move_to(&mut self, to: Place) {
        if let Self::Damaged { place, .. } | Self::NotAuthentic { place } = self {
            *place = to;
        }
    }

    pub(super) fn limit(what: &'static str, found: usize, limit: usize) -> Self {
        Self::Limit { what, found: super::codec::to_u64(found), limit: super::codec::to_u64(limit) }
    }
}

fn list(fingerprints: &[Fingerprint]) -> String {
    fingerprints.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
