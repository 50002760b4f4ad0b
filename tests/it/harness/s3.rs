//! A real S3 server for tests.

use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use xtask::seaweed::S3;
pub(crate) use xtask::seaweed::SECRET_KEY as SECRET;

/// A running S3 server; gone with the value, or with the test process.
#[derive(Debug)]
pub(crate) struct S3Server {
    s3: S3,
}

impl S3Server {
    /// The server that all tests of the process share.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: LazyLock<S3Server> = LazyLock::new(S3Server::start);
        &SHARED
    }

    /// A server of one's own.
    pub(crate) fn start() -> Self {
        match S3::start() {
            Ok(s3) => Self { s3 },
            Err(error) => panic!("{error}\nhint: `cargo xtask servers` installs what tests need"),
        }
    }

    /// Where clients connect.
    pub(crate) fn endpoint(&self) -> String {
        self.s3.endpoint()
    }

    /// What clients need to reach the server, as environment variables.
    pub(crate) fn environment(&self) -> [(&'static str, String); 4] {
        self.s3.environment()
    }

    /// Gives a command what it needs to reach the server.
    pub(crate) fn configure(&self, command: &mut Command) {
        command.envs(self.environment());
    }

    /// Makes a bucket.
    pub(crate) fn create_bucket(&self, name: &str) {
        self.s3.create_bucket(name).unwrap_or_else(|error| panic!("{error}\n{}", self.s3.log()));
    }

    /// Makes a bucket of a name that no other test has.
    pub(crate) fn fresh_bucket(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("bucket-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.create_bucket(&name);
        name
    }

    /// Ends the server as a crash would; only for a server of one's own.
    pub(crate) fn kill9(&mut self) {
        self.s3.kill9().unwrap();
    }
}

#[tokio::test]
async fn the_server_keeps_bytes_and_refuses_a_wrong_secret() {
    use object_store::aws::AmazonS3Builder;
    use object_store::{ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions};

    let mut server = S3Server::start();
    let bucket = server.fresh_bucket();
    let builder = AmazonS3Builder::new().with_endpoint(server.endpoint()).with_allow_http(true);
    let builder = builder.with_region(xtask::seaweed::REGION).with_bucket_name(bucket);
    let builder = builder.with_access_key_id(xtask::seaweed::ACCESS_KEY);
    let store = builder.clone().with_secret_access_key(xtask::seaweed::SECRET_KEY).build().unwrap();
    let path = object_store::path::Path::from("a/b");
    let once = PutOptions::from(PutMode::Create);
    store.put_opts(&path, "cask".into(), once.clone()).await.unwrap();
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "cask");
    let again = store.put_opts(&path, "other".into(), once).await.unwrap_err();
    assert!(matches!(again, object_store::Error::AlreadyExists { .. }), "{again}");
    let wrong = builder.with_secret_access_key("wrong").build().unwrap();
    let refused = wrong.get(&path).await.unwrap_err();
    assert!(matches!(refused, object_store::Error::PermissionDenied { .. }), "{refused:?}");
    server.kill9();
    assert!(std::net::TcpStream::connect(server.endpoint().trim_start_matches("http://")).is_err());
}
