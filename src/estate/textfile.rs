//! The file that the textfile collector of `node_exporter` reads.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// Writes the file in one step: a collector that reads at any moment finds the old one or the new one, whole. Everybody may
/// read it, since collectors run as users of their own.
///
/// # Errors
/// When the file, or the new one beside it, cannot be written.
pub fn write_textfile(path: &Path, text: &str) -> Result<()> {
    let failed = |error| Error::with_source(ErrorKind::Failed, format!("write {}", path.display()), error);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // Collectors take files that end in `.prom`; this one does not.
    let new = path.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    write().map_err(|error| {
        // It may not even have been made; the first failure is the one to be told.
        drop(std::fs::remove_file(&new));
        failed(error)
    })
}
