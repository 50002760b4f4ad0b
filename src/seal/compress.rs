//! zstd (RFC 8878) with contexts that are reused, and decompression that grows only with what is really there.

use std::io::Cursor;

use zstd::zstd_safe::{self, CCtx, CParameter, DCtx, InBuffer, OutBuffer, ParamSwitch, ResetDirective};

use super::SealError;
use crate::limits::DECOMPRESS_STEP_BYTES;

/// The fastest level taken.
pub const MIN_LEVEL: i32 = -7;

/// The strongest level taken.
pub const MAX_LEVEL: i32 = 22;

/// Level 1 with a hash table of 32 KiB, which stays in a processor's first cache: measured on columns of TPC-H, 4 to 8 %
/// faster for 0.4 % of the size.
const LEVEL_1_HASH_LOG: u32 = 13;

/// zstd's limits of `targetLength` and `hashLog`.
const NEVER_LOOK: u32 = 1 << 17;
const MIN_HASH_LOG: u32 = 6;

/// A checked zstd level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(i32);

impl Level {
    /// Takes -7 to 22; 0 means zstd's own default, 3.
    ///
    /// # Errors
    /// [`SealError::Level`] for any other.
    pub fn new(level: i32) -> Result<Self, SealError> {
        if (MIN_LEVEL..=MAX_LEVEL).contains(&level) { Ok(Self(level)) } else { Err(SealError::Level(level)) }
    }

    /// The number.
    pub const fn get(self) -> i32 {
        self.0
    }
}

impl Default for Level {
    /// Level 1: measured, level 3 costs half as much CPU again for 2 % of the size.
    fn default() -> Self {
        Self(1)
    }
}

/// A compression context: as costly to make as to compress 100 KiB, so each thread keeps one.
pub struct Compressor(CCtx<'static>);

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compressor")
    }
}

impl Compressor {
    /// A context for one level.
    ///
    /// # Errors
    /// [`SealError::Zstd`] when there is no memory.
    pub fn new(level: Level) -> Result<Self, SealError> {
        let mut context = CCtx::try_create().ok_or(SealError::Zstd("no memory for a context"))?;
        context.set_parameter(CParameter::CompressionLevel(level.get())).map_err(zstd_error)?;
        if level.get() == 1 {
            context.set_parameter(CParameter::HashLog(LEVEL_1_HASH_LOG)).map_err(zstd_error)?;
        }
        context.set_parameter(CParameter::ContentSizeFlag(true)).map_err(zstd_error)?;
        context.set_parameter(CParameter::ChecksumFlag(false)).map_err(zstd_error)?;
        Ok(Self(context))
    }

    /// A context that gives frequent bytes short codes (Huffman) and does not look for what recurs: three times as fast.
    ///
    /// # Errors
    /// [`SealError::Zstd`] when there is no memory.
    pub fn counting() -> Result<Self, SealError> {
        let mut context = CCtx::try_create().ok_or(SealError::Zstd("no memory for a context"))?;
        for parameter in [
            CParameter::CompressionLevel(-1),
            // The step between two looks at the hash table: as good as never.
            CParameter::TargetLength(NEVER_LOOK),
            CParameter::HashLog(MIN_HASH_LOG),
            CParameter::LiteralCompressionMode(ParamSwitch::Enable),
            CParameter::ContentSizeFlag(true),
            CParameter::ChecksumFlag(false),
        ] {
            context.set_parameter(parameter).map_err(zstd_error)?;
        }
        Ok(Self(context))
    }

    /// Appends one zstd frame to `out`. Memory that zstd does not write to is reserved, never touched.
    ///
    /// # Errors
    /// [`SealError::Zstd`] when zstd fails; `out` then holds what it held.
    pub fn append(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let start = out.len();
        out.reserve(zstd_safe::compress_bound(plain.len()));
        let mut cursor = Cursor::new(&mut *out);
        cursor.set_position(u64::try_from(start).unwrap_or(u64::MAX));
        let result = self.0.compress2(&mut cursor, plain).map_err(zstd_error);
        if result.is_err() {
            out.truncate(start);
        }
        result.map(|_| ())
    }
}

/// A decompression context, reused.
pub struct Decompressor(DCtx<'static>);

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decompressor")
    }
}

impl Decompressor {
    /// A context.
    ///
    /// # Errors
    /// [`SealError::Zstd`] when there is no memory.
    pub fn new() -> Result<Self, SealError> {
        DCtx::try_create().map(Self).ok_or(SealError::Zstd("no memory for a context"))
    }

    /// Replaces `out` by the plain bytes of `packed`, which must be exactly `declared` many.
    ///
    /// The caller compares `declared` with its own limit before. Even so a large one is not believed: beyond 16 MiB
    /// memory grows, by half at a time, only as bytes really come out.
    ///
    /// # Errors
    /// [`SealError::Zstd`] for bytes that are no zstd data, [`SealError::PlainLength`] when they give more or less.
    pub fn expand(&mut self, packed: &[u8], declared: usize, out: &mut Vec<u8>) -> Result<(), SealError> {
        out.clear();
        if declared <= DECOMPRESS_STEP_BYTES {
            out.reserve(declared);
            // Capacity may exceed what was asked for, so the length is compared, not left to zstd.
            self.0.decompress(out, packed).map_err(zstd_error)?;
        } else {
            self.expand_in_steps(packed, declared, out)?;
        }
        if out.len() == declared { Ok(()) } else { Err(SealError::PlainLength { declared }) }
    }

    fn expand_in_steps(
        &mut self,
        packed: &[u8],
        declared: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        self.0.reset(ResetDirective::SessionOnly).map_err(zstd_error)?;
        let mut input = InBuffer::around(packed);
        loop {
            if out.len() == out.capacity() {
                let step =
                    DECOMPRESS_STEP_BYTES.max(out.len() / 2).min(declared + 1 - out.len().min(declared));
                out.reserve_exact(step);
            }
            let (before, read_before) = (out.len(), input.pos());
            let mut output = OutBuffer::around_pos(out, before);
            let hint = self.0.decompress_stream(&mut output, &mut input).map_err(zstd_error)?;
            if out.len() > declared {
                return Err(SealError::PlainLength { declared });
            }
            if hint == 0 && input.pos() == packed.len() {
                return Ok(());
            }
            if out.len() == before && input.pos() == read_before && out.len() < out.capacity() {
                return Err(SealError::Zstd("the data ends early"));
            }
        }
    }
}

fn zstd_error(code: usize) -> SealError {
    SealError::Zstd(zstd_safe::get_error_name(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(plain: &[u8], level: i32) -> Vec<u8> {
        let mut packed = b"head".to_vec();
        let mut compressor = Compressor::new(Level::new(level).unwrap()).unwrap();
        for _ in 0..2 {
            packed.truncate(4);
            compressor.append(plain, &mut packed).unwrap();
        }
        let mut out = vec![1, 2, 3];
        Decompressor::new().unwrap().expand(&packed[4..], plain.len(), &mut out).unwrap();
        assert!(out == plain);
        packed.split_off(4)
    }

    #[test]
    fn round_trips_at_every_level() {
        let plain: Vec<u8> = (0..50_000_u32).flat_map(|n| format!("{n}\t{}\n", n * 7).into_bytes()).collect();
        for level in MIN_LEVEL..=MAX_LEVEL {
            assert!(
                round_trip(&plain[..if level > 15 { 20_000 } else { plain.len() }], level).len()
                    < plain.len()
            );
        }
        round_trip(b"", 1);
        assert!(Level::new(23).is_err() && Level::new(-8).is_err());
    }

    #[test]
    fn a_payload_over_the_step_goes_through_the_growing_path() {
        let plain = vec![b'x'; DECOMPRESS_STEP_BYTES * 2 + 17];
        let packed = round_trip(&plain, 1);
        let mut out = Vec::new();
        let mut decompressor = Decompressor::new().unwrap();
        for wrong in [plain.len() - 1, plain.len() + 1, DECOMPRESS_STEP_BYTES + 1] {
            assert!(decompressor.expand(&packed, wrong, &mut out).is_err());
        }
        assert!(decompressor.expand(&packed[..packed.len() - 1], plain.len(), &mut out).is_err());
        decompressor.expand(&packed, plain.len(), &mut out).unwrap();
        assert!(out == plain);
    }

    #[test]
    fn a_bomb_is_cut_off_at_its_declared_length() {
        let packed = round_trip(&vec![0; 8 << 20], 1);
        let mut out = Vec::new();
        let error = Decompressor::new().unwrap().expand(&packed, 1000, &mut out).unwrap_err();
        assert!(matches!(error, SealError::Zstd(_) | SealError::PlainLength { .. }));
        assert!(out.capacity() < 1 << 20);
        // A huge declaration over a tiny frame reserves no more than one step.
        let mut out = Vec::new();
        assert!(Decompressor::new().unwrap().expand(&round_trip(b"tiny", 1), 1 << 30, &mut out).is_err());
        assert!(out.capacity() <= DECOMPRESS_STEP_BYTES + 64);
    }
}
