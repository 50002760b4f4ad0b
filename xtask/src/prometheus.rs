//! A real Prometheus and a real Pushgateway for tests, on a leash.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::leash::{Leash, Spec};
use crate::package::{PROMETHEUS, PUSHGATEWAY};
use crate::postgres::{free_port, temporary_folder};
use crate::seaweed::ask;
use crate::user::RunAs;
use crate::{Context, Result, install};

const START_TIMEOUT: Duration = Duration::from_mins(1);

/// The checker of rules and metrics.
pub fn promtool() -> Result<PathBuf> {
    Ok(install::ensure(&PROMETHEUS)?.join("promtool"))
}

/// A running server, gone when this is dropped or the process ends.
#[derive(Debug)]
pub struct Monitor {
    leash: Leash,
    port: u16,
}

impl Monitor {
    /// A Prometheus that scrapes `targets` (`host:port`) each second and evaluates `rules`.
    pub fn prometheus(targets: &[String], rules: &str) -> Result<Self> {
        let program = install::ensure(&PROMETHEUS)?.join("prometheus");
        let user = RunAs::detect()?;
        let dir = temporary_folder(user)?;
        let targets: Vec<String> = targets.iter().map(|target| format!("\"{target}\"")).collect();
        let config = format!(
            "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files: [rules.yml]\n\
             scrape_configs:\n  - job_name: pgcask\n    static_configs:\n      - targets: [{}]\n",
            targets.join(", ")
        );
        for (name, text) in [("prometheus.yml", config.as_str()), ("rules.yml", rules)] {
            let path = dir.join(name);
            std::fs::write(&path, text).context(|| format!("write {}", path.display()))?;
        }
        let port = free_port()?;
        let command = [
            program.display().to_string(),
            format!("--config.file={}", dir.join("prometheus.yml").display()),
            format!("--storage.tsdb.path={}", dir.join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        Self::start(&command, &dir, user, port)
    }

    /// A Pushgateway that keeps nothing on the disk.
    pub fn pushgateway() -> Result<Self> {
        let program = install::ensure(&PUSHGATEWAY)?.join("prometheus-pushgateway");
        let user = RunAs::detect()?;
        let dir = temporary_folder(user)?;
        let port = free_port()?;
        let command = [program.display().to_string(), format!("--web.listen-address=127.0.0.1:{port}")];
        Self::start(&command, &dir, user, port)
    }

    fn start(command: &[String], dir: &Path, user: Option<RunAs>, port: u16) -> Result<Self> {
        let (log, remove) = (dir.join("log"), [dir.to_path_buf()]);
        let spec = Spec { command, log: &log, last_signal: "KILL", remove: &remove, user };
        let monitor = Self { leash: Leash::start(&spec)?, port };
        let deadline = Instant::now() + START_TIMEOUT;
        while monitor.leash.is_running() && Instant::now() < deadline {
            // It listens before it has read its data, and answers 503 until then.
            if ask(port, "GET", "/-/ready").is_ok_and(|status| status == 200) {
                return Ok(monitor);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("{} did not start:\n{}", command.first().map_or("it", String::as_str), monitor.log())
            .into())
    }

    /// Where it listens: `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        self.leash.log()
    }
}
