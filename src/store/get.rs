//! Reading one archive by ranges.

use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::StoreError;
use super::again::again;
use super::location::{self, Location};

/// One archive, wherever it lies.
#[derive(Debug, Clone)]
pub struct Source {
    client: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
    place: String,
    read: Arc<AtomicU64>,
}

impl Source {
    /// Opens the archive at a path or URL.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] and the others of the store.
    pub async fn open(archive: &str) -> Result<Self, StoreError> {
        let (client, path) = match Location::parse(archive)? {
            Location::Url(url) => {
                let client = location::client(&url)?;
                (client.objects, client.path)
            }
            Location::Directory(file) => {
                let missing = || StoreError::NotFound { place: archive.to_owned() };
                let whole = file.canonicalize().map_err(|_| missing())?;
                let name = whole.file_name().and_then(|name| name.to_str()).ok_or_else(missing)?;
                let directory = whole.parent().unwrap_or_else(|| FilePath::new("/"));
                (location::local(directory)?, Path::parse(name).map_err(|_| missing())?)
            }
        };
        let size = again(|| location::size_of(client.as_ref(), &path, archive)).await?;
        Ok(Self { client, path, size, place: archive.to_owned(), read: Arc::default() })
    }

    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Path or URL, for people.
    pub fn display(&self) -> String {
        self.place.clone()
    }

    /// Bytes read so far, by all clones.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Reads a range.
    ///
    /// # Errors
    /// [`StoreError::Length`] for a range beyond the end, and those of the store after some attempts.
    pub async fn read(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        let wanted = range.end.saturating_sub(range.start);
        if range.end > self.size {
            return Err(StoreError::Length {
                place: self.place.clone(),
                found: self.size,
                expected: range.end,
            });
        }
        if wanted == 0 {
            return Ok(Bytes::new());
        }
        let bytes = again(|| self.read_once(&range)).await?;
        self.read.fetch_add(wanted, Ordering::Relaxed);
        Ok(bytes)
    }

    async fn read_once(&self, range: &Range<u64>) -> Result<Bytes, StoreError> {
        let read = self.client.get_range(&self.path, range.clone()).await;
        let bytes = read.map_err(|error| StoreError::from_client(&self.place, &error))?;
        let end = range.start.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if end == range.end {
            return Ok(bytes);
        }
        Err(StoreError::Length { place: self.place.clone(), found: end, expected: range.end })
    }
}
