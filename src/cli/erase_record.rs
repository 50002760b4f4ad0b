//! `pgcask erase record`.

use clap::Args;

use super::Context;
use super::args::actor;
use super::erase::{KeyArgs, LedgerArgs, Opened, session};
use super::erasures::ErasureKeyArgs;
use super::printer::human_count;
use crate::clock::Clock;
use crate::erasure::{Entry, Erasures, Ledger, MAX_ROWS, Rows, Table, canonical, count};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::exit::Exit;
use crate::store::naming;

/// Write down that rows were erased
#[derive(Debug, Clone, Args)]
pub struct RecordArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub ledger: LedgerArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub rows: KeyArgs,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// A reference to the request
    #[arg(long, value_name = "TEXT")]
    pub request: Option<String>,
    /// For whom [default: who runs this]
    #[arg(long, value_name = "NAME")]
    pub person: Option<String>,
    /// Keep only keyed hashes of the keys: without the key file nobody can tell, or erase again, which rows they are
    #[arg(long)]
    pub hash: bool,
    /// Ask the live database: the table and the columns must be there, the rows must not, and the values are written down as the
    /// server writes them
    #[arg(long, value_name = "DBURL")]
    pub live: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub key: ErasureKeyArgs,
}

impl RecordArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        let table = self.rows.table()?;
        let table = table.ok_or_else(|| Error::new(ErrorKind::Usage, "this needs a table: give --table"))?;
        let (columns, values) = self.rows.keys()?;
        if values.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "this needs rows: give --key, or --keys-from"));
        }
        let Opened { stores, database } = self.ledger.open().await?;
        stores.first().into_iter().for_each(|store| context.record.store(store));
        let mut entries = self.entries(&database, &table, &columns, &values)?;
        if let Some(url) = &self.live {
            ask_live(url, &mut entries).await?;
        } else {
            printer.warning("the live database was not asked whether it has the rows still: --live asks it");
        }
        if self.hash {
            self.hash(&mut entries)?;
        }
        for store in &stores {
            let ledger = Ledger::of(store, &database);
            for entry in &entries {
                ledger.add(entry).await.context(|| {
                    format!(
                        "write into {}; run the same again, it may be in other stores already",
                        ledger.place()
                    )
                })?;
            }
        }
        let ids: Vec<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
        for (name, value) in [("database", &database), ("table", &table.display()), ("reason", &self.reason)]
        {
            context.record.detail(name, value);
        }
        context.record.detail("entries", &ids.join(" "));
        context.record.detail("rows", &values.len());
        if let Some(request) = &self.request {
            context.record.detail("request", request);
        }
        if printer.json {
            printer.json(&entries)?;
        } else {
            let rows = human_count(entries.iter().map(Entry::len).sum());
            printer.line(&format!("recorded: {rows} rows of {} ({})", table.display(), ids.join(" ")))?;
        }
        Ok(Exit::Good)
    }

    /// As many entries as the rows take.
    fn entries(
        &self,
        database: &str,
        table: &Table,
        columns: &[String],
        values: &[Vec<String>],
    ) -> Result<Vec<Entry>> {
        let at = Clock::System.now();
        let entry = |rows: &[Vec<String>]| -> Result<Entry> {
            let made = Entry {
                format: 1,
                id: naming::new_id()?,
                at,
                by: actor(),
                person: self.person.clone(),
                reason: self.reason.clone(),
                request: self.request.clone(),
                database: database.to_owned(),
                table: table.clone(),
                columns: columns.to_vec(),
                rows: Rows::Keys(rows.to_vec()),
                absent_at: None,
            };
            made.check().context(|| "record the rows".to_owned())?;
            Ok(made)
        };
        let mut made = Vec::new();
        for rows in parts(values) {
            made.push(entry(rows)?);
        }
        Ok(made)
    }

    fn hash(&self, entries: &mut [Entry]) -> Result<()> {
        let key = self.key.read()?.ok_or_else(|| {
            Error::new(ErrorKind::Usage, "--hash needs a key").hint(
                "give --erasure-key-file, or set erasure_key_file in pgcask.toml; `openssl rand -hex 32 > FILE` makes one",
            )
        })?;
        for entry in entries {
            let Rows::Keys(rows) = &entry.rows else { continue };
            let values = rows.iter().map(|row| key.hash(&entry.table, &entry.columns, row)).collect();
            entry.rows = Rows::Hashes { key: key.fingerprint(), values };
        }
        Ok(())
    }
}

/// Rows in parts that fit into one entry each.
fn parts(rows: &[Vec<String>]) -> Vec<&[Vec<String>]> {
    /// Bytes of values in one entry: what lies in a store as one small object is shorter than 1 MiB.
    const MAX_BYTES: usize = 400_000;
    let (mut parts, mut from, mut bytes) = (Vec::new(), 0, 0);
    for (at, row) in rows.iter().enumerate() {
        let own: usize = row.iter().map(|value| value.len() + 4).sum();
        if at - from >= MAX_ROWS || (bytes + own > MAX_BYTES && at > from) {
            parts.extend(rows.get(from..at));
            (from, bytes) = (at, 0);
        }
        bytes += own;
    }
    parts.extend(rows.get(from..));
    parts
}

/// Takes the values as the live database writes them, and fails when it has one of the rows still.
async fn ask_live(url: &str, entries: &mut [Entry]) -> Result<()> {
    let (session, shown) = session(url).await?;
    for entry in entries.iter_mut() {
        entry.rows = Rows::Keys(canonical(&session, entry).await?);
    }
    let erasures = Erasures { entries: entries.to_vec(), key: None };
    let there: u64 = count(&session, &erasures).await?.iter().sum();
    if there > 0 {
        let message = format!("{shown} still has {there} of the rows");
        return Err(Error::new(ErrorKind::Refused, message)
            .hint("delete them there first; without --live they are recorded all the same"));
    }
    let now = Clock::System.now();
    for entry in entries {
        entry.absent_at = Some(now);
    }
    Ok(())
}
