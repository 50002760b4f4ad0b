//! Uploads that nobody finished: of a machine that lost its power, of a process that was killed. They hold space and are in
//! no listing.

use std::path::{Path as FilePath, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::{Store, StoreError, naming};

/// An upload that was begun and neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unfinished {
    /// The key that it is for, or the temporary file's.
    pub key: String,
    /// The store's name for the upload; empty for a temporary file.
    pub upload: String,
    /// When it was begun, or written last, by the store's clock.
    pub written: Timestamp,
}

impl Unfinished {
    /// The key of the archive that it was to be.
    pub fn archive(&self) -> &str {
        self.key.rsplit_once('#').map_or(self.key.as_str(), |(archive, _)| archive)
    }
}

impl Store {
    /// The unfinished uploads of archives, where the store can tell.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn unfinished(&self) -> Result<Vec<Unfinished>, StoreError> {
        if let Some(directory) = self.directory.clone() {
            let walk = tokio::task::spawn_blocking(move || staged(&directory));
            return walk.await.map_err(|error| self.unreachable(error.to_string()))?.map_err(|error| {
                let error = object_store::Error::Generic { store: "directory", source: Box::new(error) };
                StoreError::from_client(&self.display(""), &error)
            });
        }
        let Some(s3) = &self.s3 else { return Ok(Vec::new()) };
        let ours = |key: &String| naming::parse(key).is_some();
        let all = s3.uploads(&self.prefix, &self.display("")).await?;
        let here = all.into_iter().filter_map(|(path, upload, written)| {
            let key = self.key(&path).filter(ours)?;
            Some(Unfinished { key, upload, written })
        });
        Ok(here.collect())
    }

    /// Gives up one of them.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn abort(&self, unfinished: &Unfinished) -> Result<(), StoreError> {
        let place = self.display(&unfinished.key);
        if let Some(s3) = &self.s3 {
            return s3.abort(&self.path(&unfinished.key), &unfinished.upload, &place).await;
        }
        let Some(directory) = &self.directory else { return Ok(()) };
        match tokio::fs::remove_file(directory.join(&unfinished.key)).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let error = object_store::Error::Generic { store: "directory", source: Box::new(error) };
                Err(StoreError::from_client(&place, &error))
            }
            _ => Ok(()),
        }
    }

    fn unreachable(&self, reason: String) -> StoreError {
        StoreError::Unreachable { place: self.display(""), reason }
    }
}

/// The client writes `<archive>#<n>` and renames it at the end.
fn is_staged(name: &str) -> bool {
    name.rsplit_once(".cask#")
        .is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn staged(root: &FilePath) -> std::io::Result<Vec<Unfinished>> {
    let (mut folders, mut found) = (vec![PathBuf::from(root)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            let ours = kind.is_file() && entry.file_name().to_str().is_some_and(is_staged);
            let Some(key) = path.strip_prefix(root).ok().and_then(FilePath::to_str).filter(|_| ours) else {
                continue;
            };
            let modified = entry.metadata()?.modified()?;
            let written = Timestamp::try_from(modified).unwrap_or(Timestamp::MAX);
            found.push(Unfinished { key: key.to_owned(), upload: String::new(), written });
        }
    }
    found.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(found)
}
