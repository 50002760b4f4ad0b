//! A store of a test, in a directory or in a bucket: the same suite runs on both.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::{SignedDuration, Timestamp};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use pgcask::store::naming::{self, Kind};

use super::block_on;
use super::cli::{Run, folder, pgcask, run};
use super::s3::S3Server;

/// A store, and what reads and writes it besides the program under test.
pub(crate) struct Place {
    /// As `--store` takes it.
    pub(crate) store: String,
    /// The bucket, where it is one.
    pub(crate) bucket: Option<String>,
    pub(crate) folder: tempfile::TempDir,
    client: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl Place {
    /// In a new directory.
    pub(crate) fn directory() -> Self {
        let folder = folder();
        let store = folder.path().join("store");
        std::fs::create_dir(&store).unwrap();
        let client = Arc::new(LocalFileSystem::new_with_prefix(&store).unwrap());
        Self { store: store.display().to_string(), bucket: None, folder, client, prefix: Path::default() }
    }

    /// Under a new prefix. A bucket of its own costs the server more than a test should.
    pub(crate) fn bucket() -> Self {
        static SHARED: LazyLock<String> = LazyLock::new(|| S3Server::shared().fresh_bucket());
        static NEXT: AtomicU32 = AtomicU32::new(1);
        Self::below(SHARED.clone(), &format!("prod-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    /// In a bucket of its own.
    pub(crate) fn in_bucket(bucket: String) -> Self {
        Self::below(bucket, "prod")
    }

    fn below(bucket: String, prefix: &str) -> Self {
        Self {
            store: format!("s3://{bucket}/{prefix}"),
            client: Arc::new(S3Server::shared().client(&bucket)),
            bucket: Some(bucket),
            folder: folder(),
            prefix: Path::from(prefix),
        }
    }

    /// Runs a test on a directory and on a bucket.
    pub(crate) fn each(test: impl Fn(&Self)) {
        for place in [Self::directory(), Self::bucket()] {
            eprintln!("on {}:", place.store);
            test(&place);
        }
    }

    /// The program, with what it needs to reach the store, which is not yet named.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = pgcask(args);
        if self.bucket.is_some() {
            S3Server::shared().configure(&mut command);
        }
        command
    }

    /// Runs the program on the store.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        run(self.command(args).args(["--store", &self.store]))
    }

    /// As [`Place::command`], by the account that bucket policies restrict.
    pub(crate) fn command_of_writer(&self, args: &[&str]) -> Command {
        let mut command = self.command(args);
        command.env("AWS_ACCESS_KEY_ID", xtask::seaweed::WRITER_ACCESS_KEY);
        command.env("AWS_SECRET_ACCESS_KEY", xtask::seaweed::WRITER_SECRET_KEY);
        command
    }

    fn path(&self, key: &str) -> Path {
        self.prefix.parts().chain(Path::from(key).parts()).collect()
    }

    /// Writes an object.
    pub(crate) fn put(&self, key: &str, text: &str) {
        block_on(self.client.put(&self.path(key), text.to_owned().into())).unwrap();
    }

    /// Reads an object.
    pub(crate) fn read(&self, key: &str) -> String {
        let bytes =
            block_on(async { self.client.get(&self.path(key)).await.unwrap().bytes().await.unwrap() });
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    /// Deletes an object.
    pub(crate) fn delete(&self, key: &str) {
        block_on(self.client.delete(&self.path(key))).unwrap();
    }

    /// Begins an upload that nobody finishes.
    pub(crate) fn begin_upload(&self, key: &str) {
        if self.bucket.is_none() {
            // As a process leaves it that was killed; the client would tidy up behind itself.
            let file = std::path::Path::new(&self.store).join(format!("{key}#1"));
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            return std::fs::write(file, "begun").unwrap();
        }
        block_on(async {
            let mut upload = self.client.put_multipart(&self.path(key)).await.unwrap();
            upload.put_part("begun".into()).await.unwrap();
        });
    }

    /// All keys, sorted; those of the audit log left out.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.all_keys().into_iter().filter(|key| !key.starts_with(".pgcask/audit/")).collect()
    }

    /// The keys of the audit log, sorted.
    pub(crate) fn audit_keys(&self) -> Vec<String> {
        self.all_keys().into_iter().filter(|key| key.starts_with(".pgcask/audit/")).collect()
    }

    fn all_keys(&self) -> Vec<String> {
        let prefix = (!self.prefix.as_ref().is_empty()).then_some(&self.prefix);
        let all: Vec<_> = block_on(self.client.list(prefix).try_collect()).unwrap();
        let key = |meta: &object_store::ObjectMeta| {
            let parts: Vec<_> = meta.location.prefix_match(&self.prefix).unwrap().collect();
            parts.iter().map(AsRef::as_ref).collect::<Vec<_>>().join("/")
        };
        let mut keys: Vec<String> = all.iter().map(key).collect();
        keys.sort();
        keys
    }

    /// The backups that are listed, by id.
    pub(crate) fn ids(&self) -> Vec<String> {
        let rows = self.run(&["list", "--json", "--limit", "0"]).expect(0).json();
        let mut ids: Vec<String> =
            rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    }

    /// Plants a backup of an age in days, with sidecars as a backup writes them; gives its key. Its archive is none: what is
    /// listed and pruned is never opened.
    pub(crate) fn plant(&self, id: &str, kind: Kind, days: i64) -> String {
        self.plant_with(id, kind, days, |_| {})
    }

    /// As [`Place::plant`], with a changed sidecar.
    pub(crate) fn plant_with(
        &self,
        id: &str,
        kind: Kind,
        days: i64,
        change: impl FnOnce(&mut serde_json::Value),
    ) -> String {
        let taken = now() - SignedDuration::from_hours(24 * days);
        let (key, mut sidecar) = forged(id, kind, taken);
        change(&mut sidecar);
        self.put(&key, "archive");
        self.put(&format!("{key}.sha256"), "00  archive\n");
        self.put(&format!("{key}.json"), &sidecar.to_string());
        key
    }

    /// Plants so many backups, one an hour, a third of each of three kinds; gives their ids, newest first.
    pub(crate) fn plant_many(&self, count: usize) -> Vec<String> {
        let begin = now();
        let planted = (0..count).map(|number| {
            let kind = [Kind::Daily, Kind::Weekly, Kind::PreDeploy][number % 3];
            let taken = begin - SignedDuration::from_hours(i64::try_from(number).unwrap());
            let id = format!("{number:012}");
            let (key, sidecar) = forged(&id, kind, taken);
            (id, key, sidecar.to_string())
        });
        let planted: Vec<_> = planted.collect();
        block_on(async {
            let puts = planted.iter().flat_map(|(_, key, sidecar)| {
                let beside = |suffix: &str| self.path(&format!("{key}{suffix}"));
                let texts =
                    [("", "archive".to_owned()), (".sha256", "00\n".to_owned()), (".json", sidecar.clone())];
                texts.map(|(suffix, text)| (beside(suffix), text))
            });
            let put = |(path, text): (Path, String)| async move {
                self.client.put(&path, text.into()).await.map(drop)
            };
            futures_util::stream::iter(puts).map(put).buffer_unordered(32).try_collect::<()>().await.unwrap();
        });
        planted.into_iter().map(|(id, ..)| id).collect()
    }
}

/// A key, and a sidecar as a backup writes it.
fn forged(id: &str, kind: Kind, taken: Timestamp) -> (String, serde_json::Value) {
    let key = naming::key("shop", kind, taken, id);
    let expires = taken.to_zoned(jiff::tz::TimeZone::UTC).checked_add(kind.keeps()).unwrap().timestamp();
    let sidecar = serde_json::json!({"format": 1, "id": id, "kind": kind.name(), "database": "shop",
            "server_version": "18.0", "archive": key.rsplit('/').next().unwrap(), "snapshot_at": taken.to_string(),
            "finished_at": taken.to_string(), "seconds": 1.0, "bytes": 7, "plain_bytes": 7, "tables": 1, "rows": 1,
            "objects": 1, "sha256": "00", "encrypted": false, "keys": [], "level": 1, "tool": "pgcask",
            "expires_at": expires.to_string()});
    (key, sidecar)
}

/// The present moment, whole seconds.
#[expect(clippy::disallowed_methods, reason = "what is planted is of an age by the real clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap()
}
