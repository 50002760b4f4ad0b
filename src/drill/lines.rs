//! Files of lines that several processes add to: a line is there whole, or not at all.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Result, Seek as _, SeekFrom, Write as _};
use std::path::Path;

/// Opens such a file, which is made where it is not there.
///
/// # Errors
/// When it cannot be written.
pub(super) fn open(path: &Path) -> Result<File> {
    OpenOptions::new().read(true).create(true).append(true).open(path)
}

/// Adds a line; nobody else adds one until what is given back is dropped.
///
/// # Errors
/// When it cannot be written.
pub(super) fn add(path: &Path, value: &impl serde::Serialize) -> Result<File> {
    let line = serde_json::to_string(value)? + "\n";
    let mut file = open(path)?;
    // A file system that knows no locks must not cost the line: it is one write.
    drop(file.lock());
    append(&mut file, line)?;
    Ok(file)
}

/// A line that a full disk cut short is ended first, so that it takes no other along.
fn append(file: &mut File, line: String) -> Result<()> {
    let length = file.metadata()?.len();
    let mut last = [b'\n'];
    if length > 0 {
        file.seek(SeekFrom::Start(length - 1))?;
        file.read_exact(&mut last)?;
    }
    let text = if last == [b'\n'] { line } else { format!("\n{line}") };
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).inspect_err(|_| {
        // What cannot be taken back is ended by the next line.
        drop(file.set_len(length));
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_short_takes_no_other_along() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        std::fs::write(&path, "{\"at\":\"20").unwrap();
        for number in [1, 2] {
            drop(add(&path, &number).unwrap());
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"at\":\"20\n1\n2\n");
    }
}
