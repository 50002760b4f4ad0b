//! The bytes of a [`Model`] in an archive: JSON, so that a stranger's program reads it and a later version adds fields.
//!
//! A reader ignores fields that it does not know and takes defaults for those that it misses. An object of a kind that
//! it does not know makes the whole unreadable to it: leaving it out would lose it silently.

use super::model::Model;

/// The version that is written.
pub const FORMAT: u32 = 1;

/// What is wrong with the bytes of a model.
#[derive(Debug, thiserror::Error)]
#[error("the catalog in the archive: {0}")]
pub struct ModelError(String);

/// The model as bytes.
///
/// # Errors
/// Never, for a model that was read from a server.
pub fn encode(model: &Model) -> Result<Vec<u8>, ModelError> {
    serde_json::to_vec(model).map_err(|error| ModelError(error.to_string()))
}

/// The model of these bytes.
///
/// # Errors
/// When they are no model, or one of a later version that says that older readers cannot understand it.
pub fn decode(bytes: &[u8]) -> Result<Model, ModelError> {
    let model: Model = serde_json::from_slice(bytes).map_err(|error| ModelError(error.to_string()))?;
    if model.format > FORMAT {
        return Err(ModelError(format!("version {} is newer than this program", model.format)));
    }
    Ok(model)
}
