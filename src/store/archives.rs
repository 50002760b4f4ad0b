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

/// Bytes of a part unless something else is asked for. All but the last have one size (R2 wants that). S3 takes 10,000 parts:
/// 156 GiB of archive.
const DEFAULT_PART: usize = 16 << 20;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Archives {
    pub(super) part_bytes: usize,
    storage_class: Option<String>,
}

impl Default for Archives {
    fn default() -> Self {
        Self { part_bytes: DEFAULT_PART, storage_class: None }
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
        assert_eq!(found.part_bytes, 64 << 20);
        assert_eq!(
            found.attributes().get(&Attribute::StorageClass).map(|class| &**class),
            Some("GLACIER_IR")
        );
        assert_eq!(Archives::take(&mut vec![option(PART_BYTES, "1")]).part_bytes, DEFAULT_PART);
        assert!(Archives::default().attributes().is_empty());
    }
}
