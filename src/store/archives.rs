//! How archives are written to an object store: in parts of which size, and in which storage class. What lies beside them is
//! small and read by every listing: it is always of the bucket's own class.

use object_store::{Attribute, Attributes};
use zeroize::Zeroizing;

/// Name of the option for the storage class, in the store's own words (`STANDARD_IA`, `GLACIER_IR`, `NEARLINE`, `Cool`).
pub const STORAGE_CLASS: &str = "pgcask_storage_class";

/// Name of the option for the bytes of a part.
pub const PART_BYTES: &str = "pgcask_part_bytes";

/// What a part may have: S3 takes none that is smaller, but the last; a few are held in memory.
pub const PART_BOUNDS: std::ops::RangeInclusive<u64> = (5 << 20)..=(512 << 20);

/// Bytes of a part unless something else is asked for.
const DEFAULT_PART: usize = 16 << 20;

/// Parts that S3 and those who speak like it take of one upload (Amazon S3 User Guide, "Multipart upload limits").
pub(super) const MAX_PARTS: usize = 10_000;

/// After so many parts the next ones have twice the size: five sizes, of which an archive of 968 GiB is made when the first
/// is 16 MiB. Of one size it could have 156 GiB, and how long an archive becomes is not known when it is begun.
const PARTS_OF_A_SIZE: usize = 2_000;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Archives {
    /// Bytes of the first parts.
    part_bytes: usize,
    /// All parts but the last must have one size, which R2 wants.
    pub(super) equal_parts: bool,
    storage_class: Option<String>,
}

impl Default for Archives {
    fn default() -> Self {
        Self { part_bytes: DEFAULT_PART, equal_parts: false, storage_class: None }
    }
}

impl Archives {
    /// Takes its own options out of those of a store. The rest is the client's.
    pub(super) fn take(options: &mut Vec<(String, Zeroizing<String>)>) -> Self {
        let mut found = Self::default();
        options.retain(|(name, value)| match name.as_str() {
            STORAGE_CLASS => {
                found.storage_class = Some(value.to_string());
                false
            }
            PART_BYTES => {
                let within = value.parse().ok().filter(|bytes| PART_BOUNDS.contains(bytes));
                found.part_bytes =
                    within.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(DEFAULT_PART);
                false
            }
            _ => true,
        });
        found
    }

    /// Bytes of the part that follows on so many.
    pub(super) fn part_bytes(&self, parts: usize) -> usize {
        let doubled = if self.equal_parts { 0 } else { parts / PARTS_OF_A_SIZE };
        let most = usize::try_from(*PART_BOUNDS.end()).unwrap_or(usize::MAX);
        let doubled = u32::try_from(doubled).ok().and_then(|doubled| 1usize.checked_shl(doubled));
        self.part_bytes.saturating_mul(doubled.unwrap_or(usize::MAX)).min(most)
    }

    /// What an upload asks for besides its key.
    pub(super) fn attributes(&self) -> Attributes {
        let class = self.storage_class.iter().map(|class| (Attribute::StorageClass, class.clone()));
        class.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_options_are_taken_and_the_clients_stay() {
        let option = |name: &str, value: &str| (name.to_owned(), Zeroizing::new(value.to_owned()));
        let mut options = vec![
            option("aws_region", "eu-central-1"),
            option(STORAGE_CLASS, "GLACIER_IR"),
            option(PART_BYTES, "67108864"),
        ];
        let found = Archives::take(&mut options);
        assert_eq!(options, [option("aws_region", "eu-central-1")]);
        assert_eq!(found.part_bytes(0), 64 << 20);
        assert_eq!(
            found.attributes().get(&Attribute::StorageClass).map(|class| &**class),
            Some("GLACIER_IR")
        );
        assert_eq!(Archives::take(&mut vec![option(PART_BYTES, "1")]).part_bytes(0), DEFAULT_PART);
        assert!(Archives::default().attributes().is_empty());
    }

    #[test]
    fn parts_grow_so_that_a_long_archive_fits() {
        let archives = Archives::default();
        let sizes = [0, 1_999, 2_000, 9_999, usize::MAX].map(|parts| archives.part_bytes(parts) >> 20);
        assert_eq!(sizes, [16, 16, 32, 256, 512]);
        let most: usize = (0..MAX_PARTS).map(|parts| archives.part_bytes(parts)).sum();
        assert_eq!(most >> 30, 968);
        let equal = Archives { equal_parts: true, ..archives };
        assert_eq!(equal.part_bytes(9_999), DEFAULT_PART);
    }
}
