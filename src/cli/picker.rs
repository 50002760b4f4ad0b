//! Choosing a backup from a list, on a terminal, where none is named.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};

use super::args::{FindArgs, store_needed, table};
use super::printer::human_bytes;
use crate::error::{Error, ErrorKind, Result};
use crate::pg::quote::printable;
use crate::store::Location;
use crate::store::list::{Backup, Filter, list};

/// Backups shown at a time.
const SHOWN: usize = 15;

/// Longest answer that is read, in bytes.
const MAX_ANSWER: u64 = 1024;

impl FindArgs {
    /// Asks which backup of the store is meant. Where nobody can be asked, that none is named is a mistake of the command line.
    pub(super) async fn pick(&self) -> Result<String> {
        if !std::io::stdin().is_terminal() {
            let message = "no archive is named, and there is no terminal to choose one on";
            return Err(Error::new(ErrorKind::Usage, message)
                .hint("name one: `latest`, `latest:weekly`, `shop/latest`, an id, a file or a URL; `pgcask list` shows what there is"));
        }
        let store = Location::parse(store_needed(self.store.as_deref(), "--store")?)?.open_existing()?;
        let filter = Filter { before: self.before, ..Filter::default() };
        let backups = list(&store, &filter).await?.backups;
        if backups.is_empty() {
            let message = format!("{} has no backups to choose from", store.display(""));
            return Err(Error::new(ErrorKind::Failed, message));
        }
        let chosen = choose(&backups)?;
        Ok(store.display(&chosen.key))
    }
}

/// Shows, asks, narrows what is shown, until one is chosen.
fn choose(backups: &[Backup]) -> Result<&Backup> {
    let mut words = String::new();
    loop {
        let fitting: Vec<&Backup> = backups.iter().filter(|backup| fits(backup, &words)).collect();
        if fitting.is_empty() {
            say(&format!("none has {} in its name\n", printable(&words)))?;
            words.clear();
            continue;
        }
        for line in lines(&fitting) {
            say(&format!("{line}\n"))?;
        }
        if fitting.len() > SHOWN {
            say(&format!("… and {} older ones\n", fitting.len() - SHOWN))?;
        }
        say("Number, or a part of database, kind, day or id to narrow the list; nothing to leave: ")?;
        let answer = answer()?;
        match (answer.as_str(), answer.parse::<usize>()) {
            ("", _) => {
                return Err(Error::new(ErrorKind::Refused, "no archive was chosen; nothing was touched"));
            }
            // A number beyond the list is a part of a name: a day, an id.
            (_, Ok(number)) if (1..=fitting.len().min(SHOWN)).contains(&number) => {
                if let Some(chosen) = fitting.get(number - 1) {
                    return Ok(chosen);
                }
            }
            (text, _) => text.clone_into(&mut words),
        }
    }
}

/// Whether all words are parts of what is shown of a backup.
fn fits(backup: &Backup, words: &str) -> bool {
    let [taken, kind, database, _, _, id] = cells(backup);
    let all = format!("{taken} {kind} {database} {id}").to_lowercase();
    words.split_whitespace().all(|word| all.contains(&word.to_lowercase()))
}

fn cells(backup: &Backup) -> [String; 6] {
    let facts = &backup.facts;
    [
        facts.taken.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        facts.kind.to_string(),
        printable(&facts.database),
        human_bytes(backup.bytes),
        match &backup.superseded_by {
            _ if backup.is_held() => "held",
            Some(_) => "superseded",
            None => "-",
        }
        .to_owned(),
        facts.id.clone(),
    ]
}

fn lines(backups: &[&Backup]) -> Vec<String> {
    let heads = ["", "TAKEN (UTC)", "KIND", "DATABASE", "SIZE", "KEPT", "ID"];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(backups.iter().take(SHOWN).enumerate().map(|(at, backup)| {
        let [taken, kind, database, size, kept, id] = cells(backup);
        [(at + 1).to_string(), taken, kind, database, size, kept, id]
    }));
    table(&rows, &[0, 4])
}

fn say(text: &str) -> Result<()> {
    let mut err = anstream::stderr().lock();
    err.write_all(text.as_bytes())
        .and_then(|()| err.flush())
        .map_err(|error| Error::with_source(ErrorKind::Failed, "ask which archive is meant", error))
}

fn answer() -> Result<String> {
    let mut line = String::new();
    let read = std::io::stdin().lock().take(MAX_ANSWER).read_line(&mut line);
    read.map_err(|error| Error::with_source(ErrorKind::Failed, "read which archive is meant", error))?;
    Ok(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::naming;
    use crate::store::objects::Object;

    #[test]
    fn a_list_is_narrowed_by_any_parts_of_what_it_shows() {
        let key = naming::key(
            "shop",
            naming::Kind::Weekly,
            "2026-11-22T04:15:00Z".parse().unwrap(),
            "6k2x8m41qvtz",
        );
        let facts = naming::parse(&key).unwrap();
        let sidecar = Object { key: format!("{key}.json"), bytes: 1, written: facts.taken };
        let (later, notes) = (Vec::new(), Vec::new());
        let backup = Backup { key, facts, bytes: 1, sidecar, later, notes, superseded_by: None };
        for words in ["", "SHOP", "week 11-22", "6k2x"] {
            assert!(fits(&backup, words), "{words}");
        }
        assert!(!fits(&backup, "shop daily"));
    }
}
