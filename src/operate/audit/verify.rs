//! Whether chains are whole: a pure function of the entries, the heads that sidecars name, and the local copies.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use super::entry::{Entry, hash};
use super::stored::Stored;
use crate::store::sidecar::AuditHead;

/// Something wrong, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The chain.
    pub chain: String,
    /// The entry.
    pub number: Option<u64>,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "what", content = "detail")]
pub enum Problem {
    /// It is no entry.
    Unreadable,
    /// It says that it is another one: chain and number.
    Misplaced(String),
    /// It is not there, though later ones are.
    Missing,
    /// It is not the one that the next entry, a sidecar or the local copy names.
    Changed(String),
    /// The chain ends too early.
    CutOff(String),
}

/// What was found in one chain.
#[derive(Debug, Clone, Serialize)]
pub struct Chain {
    /// Its name.
    pub chain: String,
    /// How many entries it has.
    pub entries: u64,
    /// Of when the first is.
    pub first_at: Option<Timestamp>,
    /// Of when the last is.
    pub last_at: Option<Timestamp>,
    /// The hash of the last one.
    pub head: String,
}

/// The outcome.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// The chains.
    pub chains: Vec<Chain>,
    /// Heads that sidecars of backups name.
    pub anchors: u64,
    /// All that is wrong.
    pub findings: Vec<Finding>,
}

/// Checks chains. `anchors`: which archive's sidecar names which head. `copies`: what this host itself wrote.
pub fn verify(entries: &[Stored], anchors: &[(String, AuditHead)], copies: &[Stored]) -> Verdict {
    let mut chains: BTreeMap<&str, Vec<&Stored>> = BTreeMap::new();
    for stored in entries {
        chains.entry(stored.chain.as_str()).or_default().push(stored);
    }
    let mut verdict = Verdict { chains: Vec::new(), anchors: 0, findings: Vec::new() };
    for (chain, entries) in &chains {
        let (found, findings) = one(chain, entries);
        verdict.chains.push(found);
        verdict.findings.extend(findings);
    }
    let hashes: BTreeMap<(&str, u64), String> = entries
        .iter()
        .filter_map(|stored| Some(((stored.chain.as_str(), stored.number?), hash(stored.line.as_ref()?))))
        .collect();
    let last = |chain: &str| {
        let numbers = hashes.keys().filter(|(of, _)| *of == chain).map(|(_, number)| *number);
        numbers.max().unwrap_or(0)
    };
    let mut compare = |chain: &str, number: u64, expected: &str, whose: &str| {
        let problem = match hashes.get(&(chain, number)) {
            Some(found) if found == expected => return,
            Some(_) => Problem::Changed(format!("{whose} names another one")),
            None if number > last(chain) => Problem::CutOff(format!("{whose} names entry {number}")),
            // A gap is found by the chain itself.
            None => return,
        };
        verdict.findings.push(Finding { chain: chain.to_owned(), number: Some(number), problem });
    };
    for (archive, head) in anchors {
        compare(&head.chain, head.number, &head.hash, &format!("the sidecar of {archive}"));
    }
    for copy in copies {
        if let (Some(number), Some(line)) = (copy.number, &copy.line) {
            compare(&copy.chain, number, &hash(line), "the copy of this host");
        }
    }
    verdict.anchors = u64::try_from(anchors.len()).unwrap_or(u64::MAX);
    let mut seen = BTreeSet::new();
    verdict.findings.retain(|finding| seen.insert(format!("{finding:?}")));
    verdict
}

/// Checks one chain from its own entries. Sorted by number.
fn one(chain: &str, entries: &[&Stored]) -> (Chain, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut note = |number: Option<u64>, problem: Problem| {
        findings.push(Finding { chain: chain.to_owned(), number, problem });
    };
    let (mut first_at, mut last_at, mut head, mut count) = (None, None, String::new(), 0u64);
    // Number and hash of the entry before.
    let mut before = Some((0, String::new()));
    for stored in entries {
        let line = stored.line.as_deref().unwrap_or_default();
        let (Some(number), Ok(entry)) = (stored.number, serde_json::from_str::<Entry>(line)) else {
            note(stored.number, Problem::Unreadable);
            before = None;
            continue;
        };
        count += 1;
        let expected = before.as_ref().map_or(number, |(last, _)| last + 1);
        for missing in expected..number {
            note(Some(missing), Problem::Missing);
        }
        if entry.number != number || entry.chain != chain {
            note(Some(number), Problem::Misplaced(format!("{} {}", entry.chain, entry.number)));
        } else if let Some((last, hash)) = &before
            && last + 1 == number
            && entry.previous != *hash
        {
            note(Some(*last), Problem::Changed(format!("entry {number} follows another one")));
        }
        first_at = first_at.or(Some(entry.at));
        last_at = Some(entry.at);
        head = hash(line);
        before = Some((number, head.clone()));
    }
    (Chain { chain: chain.to_owned(), entries: count, first_at, last_at, head }, findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::Actor;

    fn chain(length: u64) -> Vec<Stored> {
        let mut previous = String::new();
        (1..=length)
            .map(|number| {
                let entry = Entry {
                    format: 1,
                    chain: "web-1".to_owned(),
                    number,
                    previous: previous.clone(),
                    at: Timestamp::UNIX_EPOCH,
                    seconds: 0.0,
                    by: Actor { person: "ann".to_owned(), host: "web".to_owned() },
                    operation: format!("backup {number}"),
                    result: "done".to_owned(),
                    exit_code: 0,
                    store: None,
                    archive: None,
                    digest: None,
                    details: BTreeMap::new(),
                    tool: "pgcask".to_owned(),
                };
                let line = serde_json::to_string(&entry).unwrap();
                previous = hash(&line);
                Stored { chain: "web-1".to_owned(), number: Some(number), line: Some(line) }
            })
            .collect()
    }

    fn problems(verdict: &Verdict) -> Vec<(u64, String)> {
        let word = |problem: &Problem| format!("{problem:?}").split('(').next().unwrap().to_owned();
        verdict.findings.iter().map(|found| (found.number.unwrap(), word(&found.problem))).collect()
    }

    #[test]
    fn every_change_of_a_chain_is_named() {
        let whole = chain(5);
        let anchor = |number: usize| {
            let line = whole[number - 1].line.as_ref().unwrap();
            (
                "x.cask".to_owned(),
                AuditHead { chain: "web-1".to_owned(), number: number as u64, hash: hash(line) },
            )
        };
        let anchors = [anchor(2), anchor(5)];
        let check = |entries: &[Stored]| problems(&verify(entries, &anchors, &[]));
        assert_eq!(check(&whole), []);
        let say =
            |all: &[(u64, &str)]| all.iter().map(|(n, word)| (*n, (*word).to_owned())).collect::<Vec<_>>();

        let mut changed = whole.clone();
        changed[2].line = Some(changed[2].line.as_ref().unwrap().replace("backup 3", "backup 9"));
        assert_eq!(check(&changed), say(&[(3, "Changed")]));
        let mut removed = whole.clone();
        removed.remove(2);
        assert_eq!(check(&removed), say(&[(3, "Missing")]));
        let mut first = whole.clone();
        first.remove(0);
        assert_eq!(check(&first), say(&[(1, "Missing")]));
        let mut swapped = whole.clone();
        let line = swapped[1].line.take();
        swapped[1].line = swapped[2].line.take();
        swapped[2].line = line;
        assert_eq!(check(&swapped)[..2], say(&[(2, "Misplaced"), (3, "Misplaced")]));
        assert_eq!(check(&whole[..4]), say(&[(5, "CutOff")]));
        let mut last = whole.clone();
        last[4].line = Some(last[4].line.as_ref().unwrap().replace("backup 5", "backup 9"));
        assert_eq!(check(&last), say(&[(5, "Changed")]));
        let mut garbage = whole.clone();
        garbage[3].line = Some("{".to_owned());
        assert_eq!(check(&garbage), say(&[(4, "Unreadable")]));
    }

    #[test]
    fn what_no_later_entry_shows_the_own_copy_does() {
        let whole = chain(3);
        assert_eq!(problems(&verify(&whole[..2], &[], &whole)), [(3, "CutOff".to_owned())]);
        let none = verify(&[], &[], &whole);
        assert_eq!(none.findings.len(), 3);
    }
}
