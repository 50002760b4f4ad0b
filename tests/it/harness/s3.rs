//! A real S3 server for tests.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::signer::{HeaderName, HeaderValue, SignedUrlOptions, Signer as _};

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

    /// A client of a bucket, with the rights of the account that may do all.
    pub(crate) fn client(&self, bucket: &str) -> AmazonS3 {
        let builder = AmazonS3Builder::new().with_endpoint(self.endpoint()).with_allow_http(true);
        let builder = builder.with_region(xtask::seaweed::REGION).with_bucket_name(bucket);
        let builder = builder.with_access_key_id(xtask::seaweed::ACCESS_KEY);
        builder.with_secret_access_key(SECRET).build().unwrap()
    }

    /// One signed request about a bucket (an empty key) or an object: status and body of the answer.
    pub(crate) fn ask(
        &self,
        method: &str,
        (bucket, key): (&str, &str),
        query: &[(&str, &str)],
        headers: &[(&'static str, &'static str)],
        body: &str,
    ) -> (u16, String) {
        let mut options = SignedUrlOptions::default().with_query(query.iter().copied());
        for (name, value) in headers {
            options =
                options.with_signed_header(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let (client, path) = (self.client(bucket), object_store::path::Path::from(key));
        let method: object_store::signer::Method = method.parse().unwrap();
        let signed = client.signed_url_opts(method.clone(), &path, Duration::from_mins(1), &options);
        let url = super::block_on(signed).unwrap();
        let (host, port) = (url.host_str().unwrap(), url.port().unwrap());
        let mut stream = TcpStream::connect((host, port)).unwrap();
        let target = &url[url::Position::BeforePath..];
        let mut request =
            format!("{method} {target} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Makes a bucket with Object Lock, which has versions too.
    pub(crate) fn fresh_locked_bucket(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("locked-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let lock = [("x-amz-bucket-object-lock-enabled", "true")];
        let (status, body) = self.ask("PUT", (&name, ""), &[], &lock, "");
        assert_eq!(status, 200, "{body}");
        name
    }

    /// Sets what is denied in a bucket: to whom, which actions, on which keys.
    pub(crate) fn deny(&self, bucket: &str, rules: &[(&str, &[&str], &str)]) {
        let statements: Vec<_> = rules
            .iter()
            .map(|(principal, actions, keys)| {
                let actions: Vec<_> = actions.iter().map(|action| format!("s3:{action}")).collect();
                let principal =
                    if *principal == "*" { "*".into() } else { serde_json::json!({"AWS": principal}) };
                serde_json::json!({"Effect": "Deny", "Principal": principal, "Action": actions,
                    "Resource": format!("arn:aws:s3:::{bucket}/{keys}")})
            })
            .collect();
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement": statements}).to_string();
        let (status, body) = self.ask("PUT", (bucket, ""), &[("policy", "")], &[], &policy);
        assert_eq!(status, 204, "{body}");
    }

    /// Ends the server as a crash would; only for a server of one's own.
    pub(crate) fn kill9(&mut self) {
        self.s3.kill9().unwrap();
    }
}

#[tokio::test]
async fn the_server_keeps_bytes_and_refuses_a_wrong_secret() {
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
    assert!(TcpStream::connect(server.endpoint().trim_start_matches("http://")).is_err());
}
