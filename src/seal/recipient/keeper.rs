//! Keys that other programs keep: `GnuPG`'s agent, a key management service behind a command. Who they are is known above;
//! here is only what is asked of them.

use std::fmt;

use zeroize::Zeroizing;

use super::{Fingerprint, WrapKind, WrappedKey};
use crate::seal::SealError;
use crate::seal::data_key::DataKey;

/// A program that can wrap a data key.
pub trait Wraps: fmt::Debug + Send + Sync {
    /// The kind of what it makes.
    fn kind(&self) -> WrapKind;

    /// Wraps the 32 bytes of a data key.
    ///
    /// # Errors
    /// [`SealError::Keeper`].
    fn wrap(&self, key: &[u8; 32], archive_id: &[u8; 16]) -> Result<Vec<u8>, SealError>;
}

/// A program that can unwrap a data key.
pub trait Unwraps: fmt::Debug + Send + Sync {
    /// The kind of what it takes.
    fn kind(&self) -> WrapKind;

    /// The 32 bytes of the data key; `None` when it has no key for this.
    ///
    /// # Errors
    /// [`SealError::Keeper`] when it cannot tell, [`SealError::BadStanza`] when its key is the right one and the wrapped key
    /// was changed.
    fn unwrap_key(&self, body: &[u8], archive_id: &[u8; 16])
    -> Result<Option<Zeroizing<Vec<u8>>>, SealError>;
}

pub(super) fn wrap(
    keeper: &dyn Wraps,
    key: &DataKey,
    archive_id: &[u8; 16],
) -> Result<WrappedKey, SealError> {
    let body = keeper.wrap(key.expose(), archive_id)?;
    Ok(WrappedKey { kind: keeper.kind(), fingerprint: Fingerprint::of(&body), body })
}

pub(super) fn unwrap_key(
    keeper: &dyn Unwraps,
    body: &[u8],
    archive_id: &[u8; 16],
) -> Result<Option<DataKey>, SealError> {
    let plain = keeper.unwrap_key(body, archive_id)?;
    plain.map(|plain| DataKey::from_bytes(&plain)).transpose()
}
