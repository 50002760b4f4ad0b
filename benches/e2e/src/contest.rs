//! Who runs against whom, and the interleaved running: A B A B, so that a busy minute hits both.

use std::path::{Path, PathBuf};

use xtask::seaweed::S3;
use xtask::{Context, Result};

use crate::apart::Apart;
use crate::data::Data;
use crate::measure::{self, Cost};
use crate::say;

/// One way to do the work.
#[derive(Debug)]
pub(crate) struct Entry {
    /// How the report names it.
    pub(crate) label: String,
    /// The timed script.
    pub(crate) script: String,
    /// The database [`TARGET`] as it is made before, not timed.
    pub(crate) target: Option<Target>,
    /// What the script writes: removed before, weighed after.
    pub(crate) writes: Option<PathBuf>,
    /// Whether it is ours.
    pub(crate) ours: bool,
}

/// The database that restores go into.
pub(crate) const TARGET: &str = "restored";

/// A database as a run finds it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// What it is a copy of.
    pub(crate) template: &'static str,
    /// What happens to it, once it is a copy.
    pub(crate) accident: &'static str,
}

impl Target {
    /// An empty one.
    pub(crate) const EMPTY: Self = Self { template: "template0", accident: "" };
}

/// Entries that are compared with one another.
#[derive(Debug)]
pub(crate) struct Contest {
    /// How `--only` names it.
    pub(crate) name: &'static str,
    /// What is compared.
    pub(crate) title: String,
    /// The data set it needs.
    pub(crate) database: &'static str,
    /// What runs once before, not timed: the archives that are restored.
    pub(crate) setup: String,
    /// Peers first: ratios are theirs over ours.
    pub(crate) entries: Vec<Entry>,
    /// Whether every peer is to be compared with every entry of ours.
    pub(crate) ratios: bool,
    /// Whether the S3 server has the last processor for itself, as a store elsewhere would, and all others the rest.
    pub(crate) apart: bool,
}

/// An entry's costs, one a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How the report names it.
    pub(crate) label: String,
    /// Whether it is ours.
    pub(crate) ours: bool,
    /// One a run.
    pub(crate) costs: Vec<Cost>,
}

/// Everything that scripts are made of.
#[derive(Debug)]
pub(crate) struct Tools<'a> {
    /// Shell functions of the peers.
    pub(crate) functions: String,
    /// The program under test.
    pub(crate) pgcask: &'a Path,
    /// Connections of each contender.
    pub(crate) jobs: u32,
    /// A folder for what is written.
    pub(crate) scratch: &'a Path,
    /// An S3 server with a bucket named `bench`, if the contest that needs it is held.
    pub(crate) s3: Option<&'a S3>,
}

impl Tools<'_> {
    /// All contests, for a server.
    pub(crate) fn contests(&self, data: &Data) -> Vec<Contest> {
        let url = |db: &str| data.server.url(db);
        let mut all = vec![
            self.backups("backup1", "tpch", 1, &url("tpch")),
            self.backups("backup3", "tpch", 3, &url("tpch")),
            self.backups("big", "big", 1, &url("big")),
            self.backups("pgbench", "pgb", 1, &url("pgb")),
            self.pipelines(&url("tpch")),
            self.old_pipeline(&url("tpch")),
            self.definitions(&url("many")),
            self.restores("restore", "tpch", &url("tpch"), &url(TARGET)),
            self.restores("load", "big", &url("big"), &url(TARGET)),
        ];
        all.extend(self.recoveries(&url("tpch"), &url(TARGET)));
        all.push(self.bucket(&url("tpch")));
        // The last one: it wants by far the most room.
        all.push(self.memory(&url("tpch5"), &url(TARGET)));
        all
    }

    /// The same backup into a directory and into a bucket of a server on this machine, which takes processor time of its own.
    fn bucket(&self, url: &str) -> Contest {
        let directory = self.backup(1, url);
        let label = "pgcask backup into a directory".to_owned();
        let peer = Entry { label, ours: false, ..directory };
        let environment = self.s3.map(S3::environment).into_iter().flatten();
        let set: Vec<String> = environment.map(|(name, value)| format!("{name}='{value}' ")).collect();
        let script = self.backup_script(1, url, Path::new("s3://bench/prod"), &self.to_recipient());
        let label = "pgcask backup into an S3 bucket (SeaweedFS on this machine)".to_owned();
        let ours = Entry { label, script: set.concat() + &script, target: None, writes: None, ours: true };
        Contest {
            name: "s3",
            title: "Backup of tpch into a bucket, the S3 server on a processor of its own".to_owned(),
            database: "tpch",
            setup: String::new(),
            entries: vec![peer, ours],
            ratios: true,
            apart: true,
        }
    }

    /// Backup and restore of five times the data by four connections: memory must not follow either.
    fn memory(&self, source: &str, target: &str) -> Contest {
        let tools = Tools { functions: String::new(), jobs: 4, ..*self };
        let Contest { setup, entries, .. } = tools.restores("memory", "tpch5", source, target);
        let backups =
            [tools.dump("pg_dump -Fd -j4 -Z zstd:1, not encrypted", 1, source), tools.backup(1, source)];
        let title = "Memory of four connections on five times the data".to_owned();
        let entries = backups.into_iter().chain(entries).collect();
        Contest { name: "memory", title, database: "tpch5", setup, entries, ratios: false, apart: false }
    }

    fn backups(&self, name: &'static str, database: &'static str, level: u32, url: &str) -> Contest {
        let jobs = self.jobs;
        let entries = vec![
            self.dump(&format!("pg_dump -Fd -j{jobs} -Z zstd:{level}, not encrypted"), level, url),
            self.backup(level, url),
        ];
        let title = format!("Backup of {database}, zstd {level}");
        Contest { name, title, database, setup: String::new(), entries, ratios: true, apart: false }
    }

    /// Definitions alone, of many tables.
    fn definitions(&self, url: &str) -> Contest {
        let out = self.scratch.join("schema.sql");
        let script = format!("pg_dump -d '{url}' -s -f {}", out.display());
        let label = "pg_dump -s, not encrypted".to_owned();
        let peer = Entry { label, script, target: None, writes: Some(out), ours: false };
        let all = self.backup(1, url);
        let label = "pgcask backup --schema-only, encrypted".to_owned();
        let ours = Entry { label, script: format!("{} --schema-only", all.script), ..all };
        Contest {
            name: "schema",
            title: "Definitions of many tables (10,000 at scale 1)".to_owned(),
            database: "many",
            setup: String::new(),
            entries: vec![peer, ours],
            ratios: true,
            apart: false,
        }
    }

    /// What scripts do today to encrypt: one stream through a compressor and a cipher.
    fn pipelines(&self, url: &str) -> Contest {
        let dump = format!("pg_dump -d '{url}'");
        let age = self.scratch.join("age.key");
        let sealed = self.scratch.join("pipe.age");
        let script = format!(
            "{dump} -Fc -Z zstd:1 | age -r \"$(age-keygen -y {})\" -o {}",
            age.display(),
            sealed.display()
        );
        let label = "pg_dump -Fc -Z zstd:1 \\| age".to_owned();
        let by_age = Entry { label, script, target: None, writes: Some(sealed), ours: false };
        let by_gpg =
            self.gpg("pg_dump \\| zstd -1 -T2 \\| gpg --symmetric", &format!("{dump} | zstd -1 -T2 -q"));
        let setup =
            format!("{}; rm -f {age}; age-keygen -o {age} 2>/dev/null", self.keyring(), age = age.display());
        let title = "Encrypted backup of tpch".to_owned();
        let entries = vec![by_age, by_gpg, self.backup(1, url), self.backup_with_passphrase(1, url)];
        Contest { name: "gpg", title, database: "tpch", setup, entries, ratios: true, apart: false }
    }

    /// The same as it was done for twenty years.
    fn old_pipeline(&self, url: &str) -> Contest {
        let by_gpg = self.gpg("pg_dump \\| gzip \\| gpg --symmetric", &format!("pg_dump -d '{url}' | gzip"));
        let title = "Encrypted backup of tpch, as it was done for twenty years".to_owned();
        let entries = vec![by_gpg, self.backup(1, url), self.backup_with_passphrase(1, url)];
        let setup = self.keyring();
        Contest { name: "gzip", title, database: "tpch", setup, entries, ratios: true, apart: false }
    }

    fn keyring(&self) -> String {
        format!("mkdir -p -m 700 {}", self.scratch.join("gnupg").display())
    }

    /// What a script writes, through gpg, which does not compress once more.
    fn gpg(&self, label: &str, from: &str) -> Entry {
        let out = self.scratch.join("pipe.gpg");
        let script = format!(
            "{from} | gpg --homedir {home} --batch --quiet --pinentry-mode loopback --passphrase-file {pass} \
             --cipher-algo AES256 --compress-algo none --symmetric -o {out}",
            home = self.scratch.join("gnupg").display(),
            pass = self.passphrase().display(),
            out = out.display()
        );
        Entry { label: label.to_owned(), script, target: None, writes: Some(out), ours: false }
    }

    fn restores(&self, name: &'static str, database: &'static str, source: &str, target: &str) -> Contest {
        let (dump, store) = (self.scratch.join("restore.dir"), self.scratch.join("restore-store"));
        let jobs = self.jobs;
        let (dump, store) = (dump.display(), store.display());
        let setup = format!(
            "rm -rf {dump} {store}; pg_dump -d '{source}' -Fd -j{jobs} -Z zstd:1 -f {dump}\n{}",
            self.backup_script(1, source, &self.scratch.join("restore-store"), &self.to_recipient())
        );
        let peer = format!("pg_restore -d '{target}' -j{jobs} {dump}; vacuumdb -q -Z -j{jobs} -d '{target}'");
        let ours = |more: &str| self.restore_script(&self.scratch.join("restore-store"), target, more);
        let entry = |label: &str, script: String, ours| Entry {
            label: label.to_owned(),
            script,
            target: Some(Target::EMPTY),
            writes: None,
            ours,
        };
        let entries = vec![
            entry(&format!("pg_restore -j{jobs}, then vacuumdb -Z -j{jobs}"), peer, false),
            entry("pgcask restore --no-verify", ours("--no-verify"), true),
            entry("pgcask restore, content proven", ours(""), true),
        ];
        let title = format!("Restore of {database}, analysed");
        Contest { name, title, database, setup, entries, ratios: true, apart: false }
    }

    fn dump(&self, label: &str, level: u32, url: &str) -> Entry {
        let out = self.scratch.join("dump.dir");
        let script = format!("pg_dump -d '{url}' -Fd -j{} -Z zstd:{level} -f {}", self.jobs, out.display());
        Entry { label: label.to_owned(), script, target: None, writes: Some(out), ours: false }
    }

    fn backup(&self, level: u32, url: &str) -> Entry {
        let store = self.scratch.join("store");
        let script = self.backup_script(level, url, &store, &self.to_recipient());
        let label = format!("pgcask backup --level {level}, encrypted to a recipient and hashed");
        Entry { label, script, target: None, writes: Some(store), ours: true }
    }

    /// To derive a key from a passphrase takes its time, on purpose.
    fn backup_with_passphrase(&self, level: u32, url: &str) -> Entry {
        let store = self.scratch.join("store");
        let with = format!("--passphrase-file {}", self.passphrase().display());
        let script = self.backup_script(level, url, &store, &with);
        let label = format!("pgcask backup --level {level}, encrypted with a passphrase and hashed");
        Entry { label, script, target: None, writes: Some(store), ours: true }
    }

    pub(crate) fn backup_script(&self, level: u32, url: &str, store: &Path, sealing: &str) -> String {
        format!(
            "{} backup '{url}' --to {} --jobs {} --level {level} {sealing} --json",
            self.pgcask.display(),
            store.display(),
            self.jobs
        )
    }

    /// Restores from the one archive of a store.
    pub(crate) fn restore_script(&self, store: &Path, target: &str, more: &str) -> String {
        format!(
            "{program} restore \"$(find {store} -name '*.cask')\" --into '{target}' --jobs {jobs} --identity {key} --json {more}",
            program = self.pgcask.display(),
            store = store.display(),
            jobs = self.jobs,
            key = self.key().display()
        )
    }

    /// Seals as production does: the host that backs up cannot open what it wrote.
    pub(crate) fn to_recipient(&self) -> String {
        format!("--recipient {}", self.recipient().display())
    }

    fn recipient(&self) -> PathBuf {
        self.scratch.join("recipient")
    }

    /// The file with the identity that opens the archives.
    fn key(&self) -> PathBuf {
        self.scratch.join("pgcask.key")
    }

    /// Makes what archives are sealed for.
    pub(crate) fn make_keys(&self) -> Result<()> {
        std::fs::write(self.passphrase(), "correct horse battery staple\n")?;
        let output = std::process::Command::new(self.pgcask)
            .args([std::ffi::OsStr::new("keygen"), "--output".as_ref(), self.key().as_os_str()])
            .output()
            .context(|| "run pgcask keygen".to_owned())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        Ok(std::fs::write(self.recipient(), output.stdout)?)
    }

    /// The file with the passphrase.
    pub(crate) fn passphrase(&self) -> PathBuf {
        self.scratch.join("passphrase")
    }

    /// Runs a contest: each entry once a round.
    pub(crate) fn hold(&self, contest: &Contest, data: &Data, runs: u32) -> Result<Vec<Outcome>> {
        say(&format!("{} ({} × {runs})", contest.title, contest.entries.len()));
        data.warm(contest.database)?;
        let apart = self.s3.filter(|_| contest.apart).map(|s3| Apart::begin(data, s3)).transpose()?;
        if !contest.setup.is_empty() {
            self.run(&contest.setup, data).context(|| format!("prepare {}", contest.name))?;
        }
        let entries = contest.entries.iter();
        let mut results: Vec<_> = entries
            .map(|entry| Outcome { label: entry.label.clone(), ours: entry.ours, costs: Vec::new() })
            .collect();
        for round in 1..=runs {
            for (entry, result) in contest.entries.iter().zip(&mut results) {
                let cost = self.once(entry, data, apart.as_ref())?;
                say(&format!("  {round}: {:6.2} s  {}", cost.wall, entry.label.replace('\\', "")));
                result.costs.push(cost);
            }
        }
        data.server.sql("postgres", &format!("DROP DATABASE IF EXISTS {TARGET} WITH (FORCE)"))?;
        Ok(results)
    }

    fn once(&self, entry: &Entry, data: &Data, apart: Option<&Apart>) -> Result<Cost> {
        if let Some(path) = &entry.writes {
            // Of the run before.
            let _removed = std::fs::remove_dir_all(path).or_else(|_| std::fs::remove_file(path));
        }
        if let Some(Target { template, accident }) = &entry.target {
            data.server.sql("postgres", &format!("DROP DATABASE IF EXISTS {TARGET} WITH (FORCE)"))?;
            data.server.sql(
                "postgres",
                &format!("CREATE DATABASE {TARGET} TEMPLATE {template} STRATEGY FILE_COPY"),
            )?;
            if !accident.is_empty() {
                data.server.sql(TARGET, accident)?;
            }
        }
        // What the run before left to be written is not this one's burden.
        data.server.sql("postgres", "CHECKPOINT")?;
        let before = data.server.log().len();
        let confined = apart.map(Apart::confine).unwrap_or_default();
        let mut cost = self.run(&(confined + &entry.script), data)?;
        cost.megabytes = entry.writes.as_deref().map_or(0.0, measure::megabytes);
        let log = data.server.log();
        let log = log.get(before..).unwrap_or_default();
        cost.load = crate::log::load_phase(log);
        cost.foreign_keys = crate::log::foreign_key_phase(log);
        Ok(cost)
    }

    fn run(&self, script: &str, data: &Data) -> Result<Cost> {
        let postmaster = data.server.pid().ok_or("the server is gone")?;
        measure::run(&format!("{}{script}", self.functions), postmaster)
    }
}
