//! The test that needs no server: is the archive there, whole, authentic, what its metadata says, and young enough?

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::check::{Check, chain};
use super::text;
use crate::archive::{self, Header, Located, Report, Totals, Verifier};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, SharedObserver};
use crate::manifest::Manifest;
use crate::opened::{Found, OpenArchive, scan};
use crate::seal::recipient::Identity;
use crate::stop::Stop;
use crate::store::beside::Place;
use crate::store::get::Source;
use crate::store::list::{Filter, list};
use crate::store::sidecar::{self, Metadata, hex};
use crate::store::{StoreError, naming};

/// The phase in which the archive is opened: a recovery begins with it.
pub(super) const OPENING: &str = "opening the archive";

/// The name of the check of the archive's age.
pub const AGE: &str = "age within the RPO";

/// So many earlier backups of the same database and kind are looked at, to say whether a size is plausible.
const HISTORY: usize = 10;

/// With fewer of them, nothing can be said.
const LEAST_HISTORY: usize = 2;

/// A backup is expected to be no smaller than this share of the median of earlier ones, and no larger than that one.
const SIZE_BAND: (f64, f64) = (0.5, 2.0);

/// Finds the keys that were given for an archive; `None` when none was given.
pub type Keys<'a> = &'a (dyn Fn(&Located) -> Result<Option<Vec<Identity>>> + Send + Sync);

/// What a quick test is asked for.
#[derive(Debug, Clone)]
pub struct QuickOptions {
    /// How old the newest backup may be, in seconds.
    pub rpo_seconds: f64,
    /// Read all bytes; without it, only the archive's ends and its sidecars.
    pub read_all: bool,
}

/// What is known of an archive from its metadata.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ArchiveFacts {
    /// Path or URL.
    pub place: String,
    /// The backup's id.
    pub id: String,
    /// The database's name.
    pub database: String,
    /// The kind of backup.
    pub kind: String,
    /// When the snapshot was taken, RFC 3339.
    pub taken_at: Option<Timestamp>,
    /// Version of the server that was backed up.
    pub server_version: String,
    /// Length of the archive.
    pub bytes: u64,
    /// Bytes of COPY text in it.
    pub plain_bytes: u64,
    /// Tables whose rows are in it.
    pub tables: u64,
    /// Rows.
    pub rows: u64,
    /// Objects whose definitions are in it.
    pub objects: u64,
    /// SHA-256, as it was found; empty where not all was read.
    pub sha256: String,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// The program that wrote it.
    pub tool: String,
}

/// What a quick test found.
#[derive(Debug)]
pub(super) struct Quick {
    /// The table.
    pub checks: Vec<Check>,
    /// The archive.
    pub facts: ArchiveFacts,
    /// Its age in seconds, where it is known.
    pub age_seconds: Option<f64>,
    /// The archive, opened, if a key opens it and nothing stands against that.
    pub archive: Option<OpenArchive>,
    /// How long opening it took, from its first byte to the key.
    pub opening_seconds: f64,
}

/// Tests an archive by its path or URL.
///
/// # Errors
/// When the store does not answer, or a stop is asked for. What is wrong with the archive is told in the table.
pub(super) async fn quick(
    place: &str,
    options: &QuickOptions,
    keys: Keys<'_>,
    clock: Clock,
    observer: &SharedObserver,
    stop: &Stop,
) -> Result<Quick> {
    observer.event(Event::Phase { name: "testing the archive" });
    let mut test = Test::new(place);
    let Some(source) = test.exists().await? else {
        return Ok(test.give_up("the archive is not there"));
    };
    test.size().await?;
    observer.event(Event::Phase { name: OPENING });
    let began = Instant::now();
    let found = Found::locate(source.clone()).await;
    let found = match found {
        Err(error) if error.kind() == ErrorKind::Store => return Err(error),
        other => other,
    };
    let header = found.as_ref().ok().map(|found| found.located().header.clone());
    test.key(found, keys).await;
    test.opening_seconds = began.elapsed().as_secs_f64();
    observer.event(Event::Phase { name: "reading all of it" });
    if options.read_all {
        let verifier = match &test.archive {
            Some(archive) => Verifier::with_key(archive.opener().clone())?,
            None => Verifier::new(),
        };
        let report = scan(&source, verifier, observer, stop).await?;
        test.content(&report).await?;
    } else {
        test.not_read();
    }
    test.metadata(header.as_ref()).await?;
    test.age(options, clock);
    Ok(test.done())
}

/// A test on its way.
struct Test {
    checks: Vec<Check>,
    facts: ArchiveFacts,
    place: Option<Place>,
    metadata: Option<Metadata>,
    archive: Option<OpenArchive>,
    age_seconds: Option<f64>,
    opening_seconds: f64,
}

impl Test {
    fn new(place: &str) -> Self {
        Self {
            checks: Vec::new(),
            facts: ArchiveFacts { place: place.to_owned(), ..ArchiveFacts::default() },
            place: None,
            metadata: None,
            archive: None,
            age_seconds: None,
            opening_seconds: 0.0,
        }
    }

    /// The archive and both sidecars.
    async fn exists(&mut self) -> Result<Option<Source>> {
        const NAME: &str = "exists, with its sidecars";
        let name = self.facts.place.clone();
        let source = match Source::open(&name).await {
            Ok(source) => source,
            Err(error @ StoreError::NotFound { .. }) => {
                self.checks.push(Check::failed(NAME, true, "not there", vec![error.to_string()]));
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        self.facts.bytes = source.size();
        let place = match Place::of(&name) {
            Err(StoreError::NotFound { .. }) => None,
            other => Some(other?),
        };
        if let Some(Place { store, key }) = &place {
            self.metadata = absent(sidecar::read(store, key).await)?.flatten();
        }
        self.place = place;
        self.checks.push(if let Some(metadata) = &self.metadata {
            self.facts = facts_of(&self.facts, metadata);
            let (expected, found) = (metadata.bytes, source.size());
            if expected == found {
                Check::passed(NAME, true, text::bytes(found))
            } else {
                let problem = format!("it has {found} bytes, and had {expected} when it was made");
                Check::failed(NAME, true, text::bytes(found), vec![problem])
            }
        } else {
            let problem =
                "there is no readable .json beside it: it is no complete backup of a store".to_owned();
            Check::failed(NAME, false, text::bytes(source.size()), vec![problem])
        });
        Ok(Some(source))
    }

    /// The size against earlier backups of the same database and kind.
    async fn size(&mut self) -> Result<()> {
        const NAME: &str = "size is plausible";
        let Some((Place { store, .. }, facts)) =
            self.place.as_ref().and_then(|place| Some((place, naming::parse(&place.key)?)))
        else {
            self.checks.push(Check::skipped(NAME, false, "it is in no store"));
            return Ok(());
        };
        let filter = Filter {
            database: Some(facts.database.clone()),
            kind: Some(facts.kind),
            since: None,
            before: Some(facts.taken),
        };
        let mut sizes: Vec<u64> =
            list(store, &filter).await?.backups.iter().take(HISTORY).map(|backup| backup.bytes).collect();
        sizes.sort_unstable();
        let found = text::bytes(self.facts.bytes);
        let median = sizes.get(sizes.len() / 2).copied().filter(|_| sizes.len() >= LEAST_HISTORY);
        let Some(median) = median else {
            let why = format!("{found}; fewer than {LEAST_HISTORY} earlier ones to compare with");
            self.checks.push(Check::skipped(NAME, false, why));
            return Ok(());
        };
        let share = text::float(self.facts.bytes) / text::float(median).max(1.0);
        self.checks.push(if (SIZE_BAND.0..=SIZE_BAND.1).contains(&share) {
            Check::passed(NAME, false, format!("{found}, {share:.2} × the usual"))
        } else {
            let usual = text::bytes(median);
            let problem = format!("the median of the {} before it is {usual}", sizes.len());
            Check::failed(NAME, false, format!("{found}, {share:.2} × the usual"), vec![problem])
        });
        Ok(())
    }

    /// Whether a key that was given opens it.
    async fn key(&mut self, found: Result<Found>, keys: Keys<'_>) {
        const NAME: &str = "key at hand";
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                // What is wrong with it is found by reading it all, too; here it counts that it cannot be opened.
                return self.checks.push(Check::error("opens", true, &error));
            }
        };
        if !found.located().header.encrypted {
            self.checks.push(Check::noted(NAME, true, "not needed", "the archive is not encrypted"));
            match found.unlock(&[]).await {
                Ok(archive) => self.archive = Some(archive),
                Err(error) => self.checks.push(Check::error("opens", true, &error)),
            }
            return;
        }
        let opened = match keys(found.located()) {
            Ok(Some(identities)) => found.unlock(&identities).await.map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        let check = match opened {
            Ok(Some(archive)) => {
                self.archive = Some(archive);
                Check::passed(NAME, true, "it opens the archive")
            }
            Ok(None) => Check::skipped(NAME, true, "no key was given"),
            Err(error) => Check::error(NAME, true, &error),
        };
        self.checks.push(check);
    }

    /// What reading all of it found.
    async fn content(&mut self, report: &Report) -> Result<()> {
        let sha256 = hex(&report.sha256);
        let frames = format!("{} frames", report.frames);
        let is_forged = |error: &&archive::Error| matches!(error, archive::Error::NotAuthentic { .. });
        let forged: Vec<String> = report.findings.iter().filter(is_forged).map(ToString::to_string).collect();
        let damaged: Vec<String> =
            report.findings.iter().filter(|error| !is_forged(error)).map(ToString::to_string).collect();
        self.checks.push(if damaged.is_empty() {
            Check::passed("readable", true, frames.clone())
        } else {
            Check::failed("readable", true, format!("{} problems", report.problems), damaged)
        });
        self.checksum(&sha256).await?;
        self.facts.sha256 = sha256;
        self.checks.push(if !report.with_key {
            Check::skipped("authentic", true, "no key: not checked")
        } else if report.is_sound() {
            let rows = format!("{} chunks, {} rows", report.chunks, text::count(report.rows));
            Check::passed("authentic", true, rows)
        } else if forged.is_empty() {
            Check::failed("authentic", true, "not all of it could be opened", Vec::new())
        } else {
            Check::failed("authentic", true, format!("{} forged", forged.len()), forged)
        });
        Ok(())
    }

    async fn checksum(&mut self, sha256: &str) -> Result<()> {
        const NAME: &str = "checksum";
        let beside = match &self.place {
            Some(Place { store, key }) => absent(sidecar::read_checksum(store, key).await)?.flatten(),
            None => None,
        };
        let short = sha256.get(..16).unwrap_or_default();
        let mut problems = Vec::new();
        let told = self.metadata.as_ref().map(|metadata| metadata.sha256.clone());
        for (file, expected) in [(".sha256", &beside), (".json", &told)] {
            if expected.as_ref().is_some_and(|expected| expected != sha256) {
                problems.push(format!("{file} says {}", expected.as_deref().unwrap_or_default()));
            }
        }
        self.checks.push(if !problems.is_empty() {
            Check::failed(NAME, true, format!("SHA-256 {sha256}"), problems)
        } else if beside.is_none() {
            let problem = "there is no .sha256 beside it".to_owned();
            Check::failed(NAME, false, format!("SHA-256 {short}…"), vec![problem])
        } else {
            Check::passed(NAME, true, format!("SHA-256 {short}…"))
        });
        Ok(())
    }

    fn not_read(&mut self) {
        for name in ["readable", "checksum", "authentic"] {
            self.checks.push(Check::skipped(name, true, "not all was read"));
        }
    }

    /// Whether name, sidecar and archive say the same.
    async fn metadata(&mut self, header: Option<&Header>) -> Result<()> {
        const NAME: &str = "metadata agrees";
        let Some(metadata) = &self.metadata else {
            self.checks.push(Check::skipped(NAME, false, "there is no metadata"));
            return self.facts_of_archive(header).await;
        };
        let mut wrong = Differences::default();
        if let Some(facts) = self.place.as_ref().and_then(|place| naming::parse(&place.key)) {
            wrong.add("id", "the name", &facts.id, &metadata.id);
            wrong.add("kind", "the name", facts.kind.name(), &metadata.kind);
        }
        if let Some(header) = header {
            let keys: Vec<String> = header.recipients().iter().map(ToString::to_string).collect();
            wrong.add("keys", "the header", &keys.join(" "), &metadata.keys.join(" "));
            let word = |encrypted: bool| if encrypted { "yes" } else { "no" };
            wrong.add("encrypted", "the header", word(header.encrypted), word(metadata.encrypted));
        }
        if let Some(archive) = &self.archive {
            match archive.manifest().await {
                Ok(manifest) => wrong.sealed(&manifest, archive, metadata),
                Err(error) => wrong.0.push(chain(&error)),
            }
        }
        self.checks.push(if wrong.0.is_empty() {
            let found = format!("{} rows in {} tables", text::count(metadata.rows), metadata.tables);
            Check::passed(NAME, true, found)
        } else {
            Check::failed(NAME, true, format!("{} differences", wrong.0.len()), wrong.0)
        });
        Ok(())
    }

    /// What the archive says of itself, where nothing lies beside it.
    async fn facts_of_archive(&mut self, header: Option<&Header>) -> Result<()> {
        let Some(archive) = &self.archive else { return Ok(()) };
        // One whose manifest cannot be read is told by the checks of its content.
        let Ok(manifest) = archive.manifest().await else { return Ok(()) };
        let sum =
            |of: fn(&Totals) -> u64| archive.root().streams.iter().map(|stream| of(&stream.totals)).sum();
        self.facts = ArchiveFacts {
            id: manifest.id,
            database: manifest.database,
            kind: manifest.kind,
            taken_at: Some(manifest.snapshot.taken_at),
            server_version: manifest.server.version.to_string(),
            plain_bytes: sum(|totals| totals.plain_bytes),
            tables: u64::try_from(manifest.streams.len()).unwrap_or(u64::MAX),
            rows: sum(|totals| totals.rows),
            encrypted: header.is_some_and(|header| header.encrypted),
            tool: manifest.tool,
            ..std::mem::take(&mut self.facts)
        };
        Ok(())
    }

    fn age(&mut self, options: &QuickOptions, clock: Clock) {
        let Some(taken) = self.facts.taken_at else {
            self.checks.push(Check::skipped(AGE, false, "it is not known when it was taken"));
            return;
        };
        let now = clock.now();
        let seconds = now.duration_since(taken).as_secs_f64();
        self.age_seconds = Some(seconds.max(0.0));
        if is_ahead(taken, now) {
            let problem =
                format!("it bears the time {taken}, which is yet to come on this machine: a clock is wrong");
            self.checks.push(Check::failed(AGE, false, "not known", vec![problem]));
            return;
        }
        let (age, rpo) = (text::seconds(seconds), text::seconds(options.rpo_seconds));
        self.checks.push(if seconds <= options.rpo_seconds {
            Check::passed(AGE, false, format!("{age} of {rpo}"))
        } else {
            let problem = format!("what was written in the last {age} is in no backup that was looked at");
            Check::failed(AGE, false, format!("{age} of {rpo}"), vec![problem])
        });
    }

    fn give_up(mut self, why: &str) -> Quick {
        for (name, critical) in
            [("key at hand", true), ("readable", true), ("checksum", true), ("authentic", true), (AGE, false)]
        {
            self.checks.push(Check::skipped(name, critical, why));
        }
        self.done()
    }

    fn done(self) -> Quick {
        let Self { checks, facts, age_seconds, opening_seconds, archive, .. } = self;
        let damaged = checks.iter().any(|check| check.critical && check.is_failed());
        Quick { checks, facts, age_seconds, opening_seconds, archive: archive.filter(|_| !damaged) }
    }
}

/// Clocks of two machines may differ by so much before what is told by them is doubted.
const CLOCKS: SignedDuration = SignedDuration::from_mins(5);

/// Whether a moment that should have passed is yet to come: what is reckoned from it means nothing.
pub(super) fn is_ahead(moment: Timestamp, now: Timestamp) -> bool {
    moment.duration_since(now) > CLOCKS
}

/// What the sidecar says of an archive whose place and length are known.
fn facts_of(found: &ArchiveFacts, metadata: &Metadata) -> ArchiveFacts {
    ArchiveFacts {
        place: found.place.clone(),
        bytes: found.bytes,
        id: metadata.id.clone(),
        database: metadata.database.clone(),
        kind: metadata.kind.clone(),
        taken_at: metadata.snapshot_at.parse().ok(),
        server_version: metadata.server_version.clone(),
        plain_bytes: metadata.plain_bytes,
        tables: metadata.tables,
        rows: metadata.rows,
        objects: metadata.objects,
        sha256: String::new(),
        encrypted: metadata.encrypted,
        tool: metadata.tool.clone(),
    }
}

/// That something is not there is an answer.
fn absent<T>(result: std::result::Result<T, StoreError>) -> Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(StoreError::NotFound { .. } | StoreError::Length { .. }) => Ok(None),
        Err(error) => Err(Error::from(error)),
    }
}

/// Where two places say different things.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn add(&mut self, what: &str, place: &str, found: &str, told: &str) {
        if found != told {
            self.0.push(format!("{what}: {place} says {found}, the .json {told}"));
        }
    }

    /// What the sealed part of the archive says.
    fn sealed(&mut self, manifest: &Manifest, archive: &OpenArchive, metadata: &Metadata) {
        const PLACE: &str = "the archive";
        let streams = archive.root().streams.iter();
        let (rows, plain) =
            streams.fold((0, 0), |(rows, plain), s| (rows + s.totals.rows, plain + s.totals.plain_bytes));
        self.add("id", PLACE, &manifest.id, &metadata.id);
        self.add("database", PLACE, &manifest.database, &metadata.database);
        self.add("server version", PLACE, &manifest.server.version.to_string(), &metadata.server_version);
        self.add("snapshot", PLACE, &manifest.snapshot.taken_at.to_string(), &metadata.snapshot_at);
        self.add("tables", PLACE, &manifest.streams.len().to_string(), &metadata.tables.to_string());
        self.add("rows", PLACE, &rows.to_string(), &metadata.rows.to_string());
        self.add("bytes of rows", PLACE, &plain.to_string(), &metadata.plain_bytes.to_string());
    }
}
