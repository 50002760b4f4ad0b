//! Places: directories and URLs of object stores.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use url::Url;
use zeroize::Zeroizing;

use super::archives::Archives;
use super::patience::{Patient, retries};
use super::s3::Api;
use super::{StoreError, account};

/// A place where archives lie: a directory, or a prefix in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A directory of this machine.
    Directory(PathBuf),
    /// `s3://bucket/prefix`, `gs://…`, `az://…`.
    Url(Url),
}

/// An opened place.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) client: Arc<dyn ObjectStore>,
    pub(super) prefix: Path,
    /// For messages and results: what stands before a key.
    base: String,
    /// The directory, where it is one.
    pub(super) directory: Option<PathBuf>,
    /// What only S3 can be asked for, where it is one.
    pub(super) s3: Option<Arc<Api>>,
    /// How archives are written.
    pub(super) archives: Archives,
}

impl Location {
    /// Reads a location.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a URL of a scheme that is not known, or without a bucket.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let invalid = |why: &str| StoreError::Invalid { text: text.to_owned(), why: why.to_owned() };
        if text.is_empty() {
            return Err(invalid("it is empty"));
        }
        let Some((scheme, _)) = text.split_once("://") else {
            return Ok(Self::Directory(PathBuf::from(text)));
        };
        let url = Url::parse(text).map_err(|error| invalid(&error.to_string()))?;
        match scheme {
            "file" => {
                url.to_file_path().map(Self::Directory).map_err(|()| invalid("it is no path of this machine"))
            }
            "s3" | "gs" | "az" if url.host_str().is_some_and(|host| !host.is_empty()) => Ok(Self::Url(url)),
            "s3" | "gs" | "az" => Err(invalid("it names no bucket")),
            _ => Err(invalid("known are directories, s3://, gs:// and az://")),
        }
    }

    /// As [`Location::open`], but a directory must be there: who only reads must not make one by a slip of the pen.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], and those of [`Location::open`].
    pub fn open_existing(&self) -> Result<Store, StoreError> {
        match self {
            Self::Directory(directory) if !directory.is_dir() => {
                Err(StoreError::NotFound { place: directory.display().to_string() })
            }
            _ => self.open(),
        }
    }

    /// Opens the place. A directory is created; credentials of object stores come from the environment, as their own
    /// tools take them (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_…`).
    ///
    /// # Errors
    /// When the directory cannot be made, or the client's configuration is wrong.
    pub fn open(&self) -> Result<Store, StoreError> {
        match self {
            Self::Directory(directory) => {
                let place = directory.display().to_string();
                let io = |error: std::io::Error| {
                    let error = object_store::Error::Generic { store: "directory", source: Box::new(error) };
                    StoreError::from_client(&place, &error)
                };
                std::fs::create_dir_all(directory).map_err(io)?;
                let directory = directory.canonicalize().map_err(io)?;
                let base = format!("{}/", directory.display());
                let client = local(&directory)?;
                let archives = Archives::default();
                Ok(Store {
                    client,
                    prefix: Path::default(),
                    base,
                    directory: Some(directory),
                    s3: None,
                    archives,
                })
            }
            Self::Url(url) => {
                let mut base = url.to_string();
                if !base.ends_with('/') {
                    base.push('/');
                }
                let Client { objects, path, s3, archives } = client(url)?;
                Ok(Store { client: objects, prefix: path, base, directory: None, s3, archives })
            }
        }
    }
}

impl Store {
    /// Path or URL of a key, for people.
    pub fn display(&self, key: &str) -> String {
        format!("{}{key}", self.base)
    }

    /// The client's path of a key.
    pub(super) fn path(&self, key: &str) -> Path {
        self.prefix.parts().chain(Path::from(key).parts()).collect()
    }

    /// The key of a client's path; `None` for one outside of the store.
    pub(super) fn key(&self, path: &Path) -> Option<String> {
        let parts: Vec<_> = path.prefix_match(&self.prefix)?.collect();
        Some(parts.iter().map(AsRef::as_ref).collect::<Vec<_>>().join("/"))
    }
}

/// A client of one directory. `fsync`: what is reported as written has reached the disk.
pub(super) fn local(directory: &FilePath) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let client = LocalFileSystem::new_with_prefix(directory)
        .map_err(|error| StoreError::from_client(&directory.display().to_string(), &error))?;
    Ok(Arc::new(client.with_fsync(true).with_automatic_cleanup(false)))
}

/// What a URL is read and written by.
pub(super) struct Client {
    /// The client of the bucket.
    pub(super) objects: Arc<dyn ObjectStore>,
    /// The path in it.
    pub(super) path: Path,
    /// What only S3 can be asked for.
    s3: Option<Arc<Api>>,
    /// How archives are written there.
    archives: Archives,
}

/// A client for a URL, and the path in it.
pub(super) fn client(url: &Url) -> Result<Client, StoreError> {
    let wrong = |error: object_store::Error| StoreError::from_client(url.as_str(), &error);
    let bucket = url.host_str().unwrap_or_default();
    let path = Path::from_url_path(url.path())
        .map_err(|error| StoreError::Invalid { text: url.to_string(), why: error.to_string() })?;
    let mut own = account::options(url)?;
    let mut archives = Archives::take(&mut own);
    let mut api = None;
    let objects: Arc<dyn ObjectStore> = match url.scheme() {
        "gs" => {
            let builder = object_store::gcp::GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket);
            let builder = own.iter().try_fold(builder, |builder, (name, value)| {
                Ok::<_, object_store::Error>(builder.with_config(name.parse()?, value.as_str()))
            });
            let builder =
                builder.map_err(wrong)?.with_retry(retries()).with_http_connector(Patient::from_env());
            Arc::new(builder.build().map_err(wrong)?)
        }
        "az" => {
            let builder = object_store::azure::MicrosoftAzureBuilder::from_env().with_container_name(bucket);
            let plain =
                own.iter().any(|(name, value)| name.ends_with("endpoint") && value.starts_with("http://"));
            let builder = own.iter().try_fold(builder.with_allow_http(plain), |builder, (name, value)| {
                Ok::<_, object_store::Error>(builder.with_config(name.parse()?, value.as_str()))
            });
            let builder =
                builder.map_err(wrong)?.with_retry(retries()).with_http_connector(Patient::from_env());
            Arc::new(builder.build().map_err(wrong)?)
        }
        _ => {
            let builder = s3(&own).map_err(wrong)?.with_bucket_name(bucket);
            let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
            archives.equal_parts = endpoint.is_some_and(|url| url.contains(WANTS_EQUAL_PARTS));
            let builder = builder.with_retry(retries()).with_http_connector(Patient::from_env());
            let bucket = builder.build().map_err(wrong)?;
            api = Some(Arc::new(Api::new(bucket.clone()).map_err(wrong)?));
            Arc::new(bucket)
        }
    };
    Ok(Client { objects, path, s3: api, archives })
}

/// R2 refuses an upload whose parts, but for the last, differ in size.
const WANTS_EQUAL_PARTS: &str = ".r2.cloudflarestorage.com";

/// Variables of credentials: where a store has its own, none of them may be mixed with those.
const CREDENTIALS: &[&str] = &["aws_access_key_id", "aws_secret_access_key", "aws_session_token"];

/// The option for the checksum that goes with every object and part.
const CHECKSUM: &str = "aws_checksum_algorithm";

/// A client of S3 by what is configured of the store, and the environment where that leaves something open.
///
/// A store need not look at the digest that is part of a request's signature, and some do not. So each part has a checksum that
/// the store compares by contract: SHA-256, which the signature needs anyway.
fn s3(own: &[(String, Zeroizing<String>)]) -> Result<AmazonS3Builder, object_store::Error> {
    let has = |name: &str| own.iter().any(|(known, _)| known == name);
    let mut builder = AmazonS3Builder::new();
    let mut endpoints = [None, None];
    let mut region = has("aws_region");
    let mut checksum = own.iter().find(|(name, _)| name == CHECKSUM).map(|(_, value)| value.to_string());
    for (name, value) in
        std::env::vars().filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty())
    {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "aws_endpoint_url_s3" => endpoints[0] = Some(value),
            "aws_endpoint_url" => endpoints[1] = Some(value),
            _ if CREDENTIALS.contains(&name.as_str()) && CREDENTIALS.iter().any(|own| has(own)) => {}
            _ => {
                region |= matches!(name.as_str(), "aws_region" | "aws_default_region");
                if name == CHECKSUM {
                    checksum.get_or_insert(value);
                } else if let Ok(key) = name.parse::<AmazonS3ConfigKey>() {
                    builder = builder.with_config(key, value);
                }
            }
        }
    }
    let checksum = checksum.unwrap_or_else(|| "SHA256".to_owned());
    if checksum != "none" {
        builder = builder.with_config(AmazonS3ConfigKey::Checksum, checksum);
    }
    for (name, value) in own.iter().filter(|(name, _)| name != "aws_endpoint" && name != CHECKSUM) {
        builder = builder.with_config(name.parse()?, value.as_str());
    }
    let [of_s3, of_all] = endpoints;
    let configured = own.iter().find(|(name, _)| name == "aws_endpoint").map(|(_, value)| value.to_string());
    if let Some(endpoint) = configured.or(of_s3).or(of_all) {
        let plain = endpoint.starts_with("http://");
        builder = builder.with_endpoint(endpoint).with_allow_http(plain);
        if !region {
            builder = builder.with_region("us-east-1");
        }
    }
    Ok(builder)
}

/// Length of an object.
pub(super) async fn size_of(client: &dyn ObjectStore, path: &Path, place: &str) -> Result<u64, StoreError> {
    let error = match client.head(path).await {
        Ok(meta) => return Ok(meta.size),
        Err(error) => StoreError::from_client(place, &error),
    };
    // The answer to a HEAD has no body that could say why: a GET's has.
    if matches!(&error, StoreError::PermissionDenied { code, .. } if code.is_empty())
        && let Err(told) = client.get_range(path, 0..1).await
    {
        return Err(StoreError::from_client(place, &told));
    }
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_urls() {
        assert_eq!(Location::parse("/backups").unwrap(), Location::Directory("/backups".into()));
        assert_eq!(Location::parse("file:///backups").unwrap(), Location::Directory("/backups".into()));
        assert!(matches!(Location::parse("s3://bucket/prod").unwrap(), Location::Url(_)));
        for wrong in ["", "s3://", "ftp://host/x"] {
            assert!(matches!(Location::parse(wrong), Err(StoreError::Invalid { .. })), "{wrong}");
        }
    }
}
