//! Finds the newest backup of a database and a kind.

use futures_util::TryStreamExt as _;

use super::naming::{self, Kind};
use super::{Store, StoreError};

impl Store {
    /// The newest archive of this database and kind that was committed: its `.json` is there. Gives its path or URL.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn newest(&self, database: &str, kind: Kind) -> Result<Option<String>, StoreError> {
        let key = format!("{}/{kind}", naming::escape(database));
        let (folder, place) = (self.path(&key), self.display(&key));
        let listed = self.client.list(Some(&folder)).try_filter_map(|object| async move {
            // Names of one database and kind differ first in their time.
            let committed =
                object.location.as_ref().strip_suffix(".cask.json").map(|name| format!("{name}.cask"));
            Ok(committed)
        });
        let names: Vec<String> =
            listed.try_collect().await.map_err(|error| StoreError::from_client(&place, &error))?;
        let prefix = self.prefix.as_ref();
        let newest = names.into_iter().max();
        Ok(newest
            .map(|path| self.display(path.strip_prefix(prefix).unwrap_or(&path).trim_start_matches('/'))))
    }
}
