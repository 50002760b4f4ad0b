//! A real S3 server: SeaweedFS.

use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use super::{Leashed, free_port};

/// A running S3 server.
pub(crate) struct S3Server {
    _leash: Leashed,
    home: tempfile::TempDir,
    port: u16,
    /// Ports of the master: HTTP and gRPC.
    master: (u16, u16),
}

const KEY: &str = "test-access-key";
const SECRET: &str = "test-secret-key-planted-4711";

static SHARED: LazyLock<S3Server> = LazyLock::new(S3Server::start);

impl S3Server {
    /// The server that all tests share.
    pub(crate) fn shared() -> &'static Self {
        &SHARED
    }

    /// A server of one's own.
    pub(crate) fn start() -> Self {
        let weed = xtask::servers::weed()
            .unwrap_or_else(|error| panic!("SeaweedFS: {error}\nhint: run `cargo xtask servers`"));
        let home = tempfile::tempdir().unwrap();
        let identity = serde_json::json!({"identities": [{"name": "test",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]});
        let config = home.path().join("s3.json");
        std::fs::write(&config, identity.to_string()).unwrap();
        let port = free_port();
        let data = home.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let mut args = vec![
            "server".to_owned(),
            format!("-dir={}", data.display()),
            "-ip=127.0.0.1".to_owned(),
        ];
        args.extend([
            "-s3".to_owned(),
            format!("-s3.port={port}"),
            format!("-s3.config={}", config.display()),
        ]);
        args.push("-volume.max=50".to_owned());
        args.push("-master.volumeSizeLimitMB=256".to_owned());
        let master = (free_port(), free_port());
        for (part, (http, grpc)) in [
            ("master", master),
            ("volume", (free_port(), free_port())),
            ("filer", (free_port(), free_port())),
        ] {
            args.push(format!("-{part}.port={http}"));
            args.push(format!("-{part}.port.grpc={grpc}"));
        }
        args.push(format!("-s3.port.grpc={}", free_port()));
        let leash = Leashed::start(&weed, &args, &home.path().join("log"), false, "INT");
        let server = Self {
            _leash: leash,
            home,
            port,
            master,
        };
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                began.elapsed() < Duration::from_secs(90),
                "the S3 server does not start:\n{}",
                server.log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        server
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// Gives a command what it needs to reach the server.
    pub(crate) fn configure(&self, command: &mut Command) {
        command
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port))
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_REGION", "us-east-1");
    }

    /// Makes a bucket, by the server's own administrator's shell.
    pub(crate) fn create_bucket(&self, name: &str) {
        let began = Instant::now();
        loop {
            let mut shell = Command::new(xtask::servers::weed().unwrap());
            shell
                .arg("shell")
                .arg(format!("-master=127.0.0.1:{}.{}", self.master.0, self.master.1));
            let mut child = shell
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let script = format!("s3.bucket.create -name {name}\ns3.bucket.list\nexit\n");
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
            let made = child.wait().unwrap().success();
            if made {
                return;
            }
            assert!(
                began.elapsed() < Duration::from_secs(90),
                "no bucket:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}
