//! Which versions of the format are read, and which is written.

/// The version that is written.
pub const WRITTEN: u16 = 1;

/// The oldest and the newest version that are read.
pub const READ: std::ops::RangeInclusive<u16> = 1..=1;

/// Checks a version that was read.
///
/// # Errors
/// [`super::Error::Version`] when it is not read here.
pub fn check(found: u16) -> Result<(), super::Error> {
    if READ.contains(&found) { Ok(()) } else { Err(super::Error::Version { found, newest: *READ.end() }) }
}
