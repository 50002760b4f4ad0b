//! Every bound of the engine, with its reason. A length that comes from outside is compared with one of these before
//! anything is allocated for it.

/// Rows are cut into chunks of about this many bytes of COPY text. Measured: 1 MiB has 99.6 % of the compression of
/// 4 MiB at a third of the memory, and is no slower.
pub const CHUNK_BYTES: usize = 1 << 20;

/// A relation larger than this is split into several work units.
pub const UNIT_BYTES: u64 = 64 << 20;

/// A row from this length on has a block of its own, and only one such block is in flight at a time: memory is bounded
/// by the largest row, not by how many there are.
pub const LARGE_ROW_BYTES: usize = 4 << 20;

/// Bytes of rows on their way from the store to the server in a restore, decompressed, over all connections.
pub const RESTORE_BUDGET_BYTES: usize = 48 << 20;

/// Text beyond this is kept row by row: finding out where values end takes memory for each of them.
pub const MAX_COLUMNAR_BYTES: usize = 16 << 20;

/// The largest row taken. PostgreSQL refuses a `CopyData` message of more than 1 GiB - 1, so no row can be longer.
pub const MAX_ROW_BYTES: usize = (1 << 30) - 1;

/// The largest plain payload of one frame: one row of the largest size alone in its chunk.
pub const MAX_CHUNK_BYTES: usize = CHUNK_BYTES + MAX_ROW_BYTES;

const _: () = assert!(CHUNK_BYTES < MAX_ROW_BYTES, "a chunk must be able to hold more than one row");

// The archive format. Changing a number that `docs/format.md` states is a change of the format.

/// The longest opaque name of a stream. Two PostgreSQL identifiers of 63 bytes, quoted, fit several times over.
pub const MAX_STREAM_NAME_BYTES: usize = 1024;

/// The most streams of one archive. PostgreSQL databases of 100,000 tables exist; a million do not.
pub const MAX_STREAMS: usize = 1 << 20;

/// The longest zone map of one chunk.
pub const MAX_ZONE_MAP_BYTES: usize = 4096;

/// A stream with so many unwritten index entries gets a page of its own: 1 GiB of COPY text a page.
pub const PAGE_ENTRIES: usize = 1024;

/// The encoded size of one index entry without its zone map.
pub const INDEX_ENTRY_BYTES: usize = 50;

/// A page is closed before its plain bytes exceed this: every entry may carry the largest zone map.
pub const MAX_PAGE_BYTES: usize = 8 << 20;

/// Index entries held in memory while writing, over all streams.
pub const MAX_PENDING_ENTRIES: usize = 1 << 16;

/// Bytes of index entries held in memory while writing, over all streams.
pub const MAX_PENDING_INDEX_BYTES: usize = 16 << 20;

/// The largest root index, decompressed: a million streams of 100 bytes and their pages.
pub const MAX_ROOT_BYTES: usize = 256 << 20;

/// The most bytes of one part of a section; a section has as many parts as it needs.
pub const SECTION_PART_BYTES: usize = 1 << 20;

/// The largest section that is put together in memory.
pub const MAX_SECTION_BYTES: u64 = 1 << 30;

/// The most sections of one archive.
pub const MAX_SECTIONS: usize = 256;

/// The most recipients of one archive. Each passphrase among them costs a reader one key derivation.
pub const MAX_STANZAS: usize = 64;

/// Objects with added keys beside one archive that are looked at.
pub const MAX_ADDED_KEYS: u32 = 256;

/// The longest wrapped key. An RSA-4096 or a post-quantum wrap takes less than 2 KiB.
pub const MAX_STANZA_BYTES: usize = 8 << 10;

/// The longest header: all stanzas at their largest.
pub const MAX_HEADER_BYTES: usize = 1 << 20;

/// The largest kind-specific prefix inside a sealed frame.
pub const MAX_PREFIX_BYTES: usize = 64;

/// What a sealed frame's body may add to the plain payload: envelope, prefix, tag.
pub const SEAL_OVERHEAD_BYTES: usize = 8 + MAX_PREFIX_BYTES + 16;

/// Frames that may wait in the writer for an earlier one. The bytes are the caller's to bound; this bounds the count.
pub const MAX_REORDERED_FRAMES: usize = 1 << 16;

/// Memory of Argon2id, in KiB, at most: a hostile archive must not make a reader take more.
pub const MAX_KDF_MEMORY_KIB: u32 = 64 << 10;

/// Passes of Argon2id at most.
pub const MAX_KDF_PASSES: u32 = 16;

/// Lanes of Argon2id at most.
pub const MAX_KDF_LANES: u32 = 16;

/// The longest passphrase taken.
pub const MAX_PASSPHRASE_BYTES: usize = 4096;

/// The longest identity file taken.
pub const MAX_IDENTITY_FILE_BYTES: usize = 1 << 20;

/// So far into a file the armor of an OpenPGP key is looked for: text may stand before it.
pub const ARMOR_SEARCH_BYTES: usize = 64 << 10;

/// Decompressed bytes for which memory is reserved at once; beyond it memory grows with what is really there.
pub const DECOMPRESS_STEP_BYTES: usize = 16 << 20;

/// Damages that a verification lists; the rest are counted.
pub const MAX_FINDINGS: usize = 100;

/// Bytes of the end of an archive that are read in the first request: footer, header copy and most root indexes.
pub const TAIL_BYTES: u64 = 64 << 10;

const _: () = assert!(PAGE_ENTRIES * (INDEX_ENTRY_BYTES + MAX_ZONE_MAP_BYTES + 8) + 64 <= MAX_PAGE_BYTES);
const _: () = assert!(MAX_STANZAS * (MAX_STANZA_BYTES + 16) + 256 <= MAX_HEADER_BYTES);
const _: () =
    assert!(MAX_CHUNK_BYTES + SEAL_OVERHEAD_BYTES < u32::MAX as usize, "a frame's length is 32 bits");
const _: () = assert!(MAX_ROOT_BYTES <= MAX_CHUNK_BYTES && MAX_PAGE_BYTES <= MAX_CHUNK_BYTES);
const _: () = assert!(CHUNK_BYTES + LARGE_ROW_BYTES <= MAX_COLUMNAR_BYTES);
const _: () = assert!(MAX_COLUMNAR_BYTES <= DECOMPRESS_STEP_BYTES);
const _: () = assert!(MAX_STREAMS * 100 < MAX_ROOT_BYTES);
const _: () = assert!(PAGE_ENTRIES <= MAX_PENDING_ENTRIES);
const _: () = assert!(MAX_HEADER_BYTES < DECOMPRESS_STEP_BYTES);
