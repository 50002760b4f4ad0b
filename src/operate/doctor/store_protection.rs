//! Whether the store itself keeps what is deleted or overwritten.

use super::{Finding, Level};
use crate::error::Result;
use crate::store::Store;

const CHECK: &str = "store protection";

pub(super) async fn check(store: &Store) -> Result<Vec<Finding>> {
    let protection = store.protection().await?;
    let versioned = match protection.versioned {
        Some(true) => Finding::ok(CHECK, "the bucket keeps versions"),
        Some(false) => Finding::new(
            CHECK,
            Level::Notice,
            "what is deleted or overwritten is gone: there are no versions",
            "who may put objects may also put over them: S3 has no right for the one without the other",
        )
        .remedy("a bucket with versions, and a lifecycle rule that ends old ones"),
        None => Finding::new(
            CHECK,
            Level::Notice,
            "whether there are versions cannot be asked",
            "it may be right all the same",
        )
        .remedy("allow s3:GetBucketVersioning, or look with the store's own tool"),
    };
    let locked = match protection.object_lock {
        Some(true) => Finding::ok(CHECK, "the bucket has Object Lock: backup --object-lock and hold use it"),
        Some(false) => Finding::new(
            CHECK,
            Level::Notice,
            "there is no Object Lock",
            "nothing but credentials keeps backups from being deleted before their time",
        )
        .remedy("a bucket made with Object Lock, and backup --object-lock governance"),
        None => Finding::new(
            CHECK,
            Level::Notice,
            "whether there is Object Lock cannot be asked",
            "it may be there all the same",
        )
        .remedy("allow s3:GetBucketObjectLockConfiguration, or look with the store's own tool"),
    };
    Ok(vec![versioned, locked])
}
