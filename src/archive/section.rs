//! Sections: opaque, typed bytes of the layers above (the catalog, the sealed metadata), in parts of at most 1 MiB.
//!
//! ```text
//! prefix  0  4  tag    4  2  version    6  2  zero    8  4  number of the part, from 0
//! data    the part's bytes
//! ```

use super::codec::{Decode, Encode, Malformed, Reader};

/// What a section holds: four bytes that the layer above chooses, such as `CATL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SectionTag(pub [u8; 4]);

impl std::fmt::Display for SectionTag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// What a part of a section says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartHead {
    /// The section.
    pub tag: SectionTag,
    /// The version of the section's content, chosen by the layer above.
    pub version: u16,
    /// The part's number, from 0 without a gap.
    pub part: u32,
}

impl Encode for PartHead {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.tag.0);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.part.to_le_bytes());
    }
}

impl Decode for PartHead {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let tag = SectionTag(reader.array()?);
        let version = reader.u16()?;
        reader.zeros::<2>()?;
        Ok(Self { tag, version, part: reader.u32()? })
    }
}
