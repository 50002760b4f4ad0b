//! What is configured of object stores besides their URLs: region, endpoint, credentials.
//!
//! An archive is named by its URL alone, in results, messages and sidecars, and it must open wherever that URL turns up again.
//! So what belongs to a URL is registered once for the process, before the first store is opened.

use std::fmt;
use std::sync::OnceLock;

use url::Url;
use zeroize::Zeroizing;

use super::StoreError;

/// Gives the secret options, taken from where they are at this moment.
pub type Secrets = dyn Fn() -> Result<Vec<(String, Zeroizing<String>)>, String> + Send + Sync;

/// What is known of the stores below one URL.
pub struct Account {
    name: String,
    place: Url,
    options: Vec<(String, String)>,
    secrets: Box<Secrets>,
}

static ACCOUNTS: OnceLock<Vec<Account>> = OnceLock::new();

impl Account {
    /// `options` and what `secrets` gives are named as the client of the platform names them (`aws_region`).
    pub fn new(name: &str, place: Url, options: Vec<(String, String)>, secrets: Box<Secrets>) -> Self {
        Self { name: name.to_owned(), place, options, secrets }
    }

    fn covers(&self, url: &Url) -> bool {
        let prefix = self.place.path().trim_end_matches('/');
        let below =
            url.path().strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.place.scheme() == url.scheme() && self.place.host_str() == url.host_str() && below
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .field("place", &self.place.as_str())
            .finish_non_exhaustive()
    }
}

/// Registers what is configured. Only the first call of a process counts.
pub fn register(accounts: Vec<Account>) {
    // A second registration could change a store under those who have it open.
    drop(ACCOUNTS.set(accounts));
}

/// The options for a URL: those of the account whose place is the longest that covers it.
pub(super) fn options(url: &Url) -> Result<Vec<(String, Zeroizing<String>)>, StoreError> {
    let all = ACCOUNTS.get().map(Vec::as_slice).unwrap_or_default();
    let Some(account) = nearest(all, url) else { return Ok(Vec::new()) };
    let secrets =
        (account.secrets)().map_err(|why| StoreError::Invalid { text: account.name.clone(), why })?;
    let options = account.options.iter().map(|(name, value)| (name.clone(), Zeroizing::new(value.clone())));
    Ok(options.chain(secrets).collect())
}

fn nearest<'a>(all: &'a [Account], url: &Url) -> Option<&'a Account> {
    all.iter().filter(|account| account.covers(url)).max_by_key(|account| account.place.path().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_place_that_covers_a_url_counts() {
        let account = |name: &str, url: &str| {
            Account::new(name, Url::parse(url).unwrap(), Vec::new(), Box::new(|| Ok(Vec::new())))
        };
        let all = [
            account("bucket", "s3://backups"),
            account("prod", "s3://backups/prod/"),
            account("gs", "gs://backups"),
        ];
        let found = |url: &str| nearest(&all, &Url::parse(url).unwrap()).map(|account| account.name.as_str());
        assert_eq!(found("s3://backups/prod/shop/x.cask"), Some("prod"));
        assert_eq!(found("s3://backups/production/x.cask"), Some("bucket"));
        assert_eq!(found("gs://backups"), Some("gs"));
        assert_eq!(found("s3://others/prod"), None);
    }
}
