//! `pgcask copy`.

use std::sync::Arc;

use clap::Args;

use super::args::{FindArgs, NewKeysArgs, UnlockArgs};
use super::printer::{Printer, human_bytes, human_seconds};
use super::progress::Progress;
use super::{Context, keys, read};
use crate::copies::{self, Copied, Rekey};
use crate::erasure;
use crate::error::{Error, ErrorKind, Result};
use crate::event::SharedObserver;
use crate::exit::Exit;
use crate::seal::compress::Level;
use crate::store::Location;

/// Copy a backup to another store, as it is or sealed anew for other recipients
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
The archive is streamed; its SHA-256 is compared before the copy becomes visible. What was added
beside it, keys and holds, moves along, and the erasure ledger of its database. No key is needed, but
for --rekey. A copy that is there already is left as it is, and one that was interrupted is completed:
run the same command again.

EXAMPLES
  The newest backup to a second place:
    pgcask copy shop/latest --store /backups --to s3://second/prod

  Somebody left: the same data under a new key, for those who stayed:
    pgcask copy shop/latest --store /backups --to /backups --rekey -r team.asc -i ~/pgcask.key

EXIT STATUS
  0 copied, or there already · 1 failed · 2 usage · 3 damaged · 4 key · 8 store unreachable or full ·
  9 another archive is in its place · 130/143 stopped")]
pub struct CopyArgs {
    /// The archive: a file, the URL of an object, or with --store `latest`, `latest:weekly`, `shop/latest`, an id; without it,
    /// on a terminal, one is chosen from the newest of the store
    #[arg(value_name = "ARCHIVE", default_value = "", hide_default_value = true)]
    pub archive: String,
    /// Where to: a directory, or `s3://bucket/prefix`, `gs://…`, `az://…`
    #[arg(long, value_name = "STORE")]
    pub to: String,
    /// Seal it anew under a new key, for the recipients under "New keys" alone; it gets an id of its own
    #[arg(long)]
    pub rekey: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub new: NewKeysArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub find: FindArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it as help text")]
    pub unlock: UnlockArgs,
}

impl CopyArgs {
    /// Runs the command.
    pub async fn run(&self, context: &Context) -> Result<Exit> {
        let printer = context.printer;
        if self.new.is_given() && !self.rekey {
            return Err(Error::new(ErrorKind::Usage, "a copy has the keys of its original")
                .hint("give --rekey to seal it anew, or `pgcask key add` to add a key"));
        }
        let rekey = if self.rekey {
            Some(Rekey { recipients: keys::new_recipients(&self.new)?, level: Level::default() })
        } else {
            None
        };
        let from = self.find.place(&self.archive).await?;
        let to = Location::parse(&self.to)?.open()?;
        let archive = if self.rekey {
            Some(read::open_to_read(&from, &self.unlock, context).await?)
        } else {
            context.record.archive(&from);
            read::announce(&from, printer).await?;
            None
        };
        // Before the copy is one: whoever restores it must find the ledger.
        let carried = erasure::carry(&from, &to).await?;
        let progress = Progress::new(printer, context.bar);
        let observer: SharedObserver = Arc::<Progress>::clone(&progress);
        let result = match (&rekey, &archive) {
            (Some(rekey), Some(archive)) => {
                Box::pin(copies::rekey(rekey, archive, &to, &observer, &context.stop)).await
            }
            _ => Box::pin(copies::copy(&from, &to, &observer, &context.stop)).await,
        };
        progress.finish();
        let copied = result?;
        context.record.detail("copies", &copied.archive);
        if printer.json {
            printer.json(&copied)?;
        } else {
            printer.line(&copied.archive)?;
            tell(printer, &copied);
        }
        if carried > 0 {
            printer.info(&format!("{carried} entries of the erasure ledger were copied along"));
        }
        Ok(Exit::Good)
    }
}

/// Says what a copy did.
pub(super) fn tell(printer: Printer, copied: &Copied) {
    let Copied { bytes, already, resumed, beside, rekeyed, seconds, .. } = copied;
    let word = match (already, rekeyed) {
        (true, _) => "it was there already".to_owned(),
        _ if *resumed => {
            "the archive was there already, of a copy that was interrupted; completed".to_owned()
        }
        (_, true) => format!("sealed anew: {} in {}", human_bytes(*bytes), human_seconds(*seconds)),
        _ => format!("copied: {} in {}", human_bytes(*bytes), human_seconds(*seconds)),
    };
    let along =
        if beside.is_empty() { String::new() } else { format!("; along with it: {}", beside.join(", ")) };
    printer.info(&format!("{word}{along}"));
}
