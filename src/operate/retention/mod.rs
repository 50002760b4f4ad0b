//! Which backups are kept, and why: a pure function of what a store holds, a policy and the time.
//!
//! A backup is kept while any rule keeps it. Rules that protect (holds, the newest good backup, whatever is not understood)
//! cannot be switched off by a policy; a policy can only say how long the rest stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};

use crate::store::naming::{KeyFacts, Kind};

/// How far clocks of two machines may differ before a time of one is not believed on the other.
pub const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(10);

/// How many of the newest backups of a database are kept besides those that have not expired. Names and meaning are those of
/// restic: of each hour, day, week… the newest one counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// The newest ones.
    pub last: u32,
    /// One a day (UTC), for so many days that have one.
    pub daily: u32,
    /// One a week (ISO 8601).
    pub weekly: u32,
    /// One a month.
    pub monthly: u32,
    /// One a year.
    pub yearly: u32,
}

/// How long backups are kept.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// How long each kind is kept, besides what the backup itself says.
    pub ages: BTreeMap<Kind, Span>,
    /// Besides, so many.
    pub counts: Counts,
    /// The policy holds even where the backup itself says that it is to be kept longer.
    pub shorten: bool,
    /// The newest safety backup of a database may go, too, when its time has come.
    pub last_safety: bool,
}

impl Policy {
    /// Whether nothing but the backups' own expiry is asked for.
    pub fn is_default(&self) -> bool {
        self.ages.is_empty() && self.counts == Counts::default()
    }
}

/// What a sidecar says, as far as it is needed, or why it is not understood.
pub type Sidecar = Result<SidecarFacts, String>;

/// What a sidecar says that matters for keeping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SidecarFacts {
    /// Until when the backup is to be kept; none means for ever.
    pub expires: Option<Timestamp>,
    /// When it was finished.
    pub finished: Timestamp,
    /// Only a part of the database is in it.
    pub partial: bool,
}

/// A backup in question.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What its key says.
    pub facts: KeyFacts,
    /// What its sidecar says.
    pub sidecar: Sidecar,
    /// Somebody holds it.
    pub held: bool,
    /// Somebody began to read it since it was marked.
    pub used: Option<Timestamp>,
    /// Somebody asks for its removal by name.
    pub named: bool,
    /// Another takes its place, and is there.
    pub superseded: Option<String>,
}

/// Why a backup is kept, or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A legal hold.
    Held,
    /// The newest good backup of its database.
    Newest,
    /// The newest good backup of its database but for safety backups, which hold what somebody wanted to get away from.
    NewestRegular,
    /// The newest safety backup: the last way back from a restore.
    LastWayBack,
    /// It is not understood.
    NotUnderstood(String),
    /// It comes from a time that has not been yet.
    Future(Timestamp),
    /// Somebody is reading it, since then.
    InUse(Timestamp),
    /// Its own expiry is still to come.
    Until(Timestamp),
    /// It has none.
    ForEver,
    /// The policy keeps its kind until then.
    Age(Kind, Timestamp),
    /// Among the newest.
    Last(u32),
    /// The newest of a period: `day 2026-11-23`.
    Period(String),
    /// Goes: another takes its place, without rows that were erased.
    Superseded(String),
    /// Goes: it expired.
    Expired(Timestamp),
    /// Goes: the policy does not want it.
    NotWanted,
    /// Goes: asked for by name.
    Named,
}

impl Reason {
    /// Whether no policy and no request can remove a backup that is kept for this.
    pub fn protects(&self) -> bool {
        use Reason::{Future, Held, InUse, LastWayBack, Newest, NewestRegular, NotUnderstood};
        matches!(self, Held | Newest | NewestRegular | LastWayBack | NotUnderstood(_) | Future(_) | InUse(_))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = |time: &Timestamp| time.strftime("%Y-%m-%d").to_string();
        match self {
            Self::Held => f.write_str("held"),
            Self::Newest => f.write_str("newest good backup"),
            Self::NewestRegular => f.write_str("newest good backup that is no safety backup"),
            Self::LastWayBack => f.write_str("last way back from a restore"),
            Self::NotUnderstood(why) => write!(f, "not understood: {why}"),
            Self::Future(time) => write!(f, "from the future: {time}"),
            Self::InUse(time) => write!(f, "being read since {time}"),
            Self::Until(time) => write!(f, "expires {}", day(time)),
            Self::ForEver => f.write_str("never expires"),
            Self::Age(kind, until) => write!(f, "policy keeps {kind} until {}", day(until)),
            Self::Last(number) => write!(f, "last {number}"),
            Self::Period(period) => f.write_str(period),
            Self::Superseded(id) => write!(f, "superseded by {id}"),
            Self::Expired(time) => write!(f, "expired {}", day(time)),
            Self::NotWanted => f.write_str("not wanted by the policy"),
            Self::Named => f.write_str("asked for by name"),
        }
    }
}

/// Whether a backup is kept, and all reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// It stays.
    pub keep: bool,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// Decides on each backup, in the order given. `grace`: how long a reader is believed to be at it.
pub fn decide(
    candidates: &[Candidate],
    policy: &Policy,
    now: Timestamp,
    grace: SignedDuration,
) -> Vec<Verdict> {
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (number, candidate) in candidates.iter().enumerate() {
        groups.entry(candidate.facts.database.as_str()).or_default().push(number);
    }
    let mut reasons = vec![Vec::new(); candidates.len()];
    for group in groups.values() {
        let mut members: Vec<(usize, &Candidate)> =
            group.iter().filter_map(|number| Some((*number, candidates.get(*number)?))).collect();
        members.sort_by(|(_, a), (_, b)| age(b).cmp(&age(a)));
        for (number, reason) in
            protected(&members, policy, now).into_iter().chain(counted(&members, policy, now))
        {
            if let Some(all) = reasons.get_mut(number) {
                all.push(reason);
            }
        }
    }
    candidates.iter().zip(reasons).map(|(one, given)| verdict(one, given, policy, now, grace)).collect()
}

/// By what the newest is told: names carry whole seconds, sidecars more.
fn age(candidate: &Candidate) -> (Timestamp, Option<Timestamp>, &str) {
    let finished = candidate.sidecar.as_ref().ok().map(|sidecar| sidecar.finished);
    (candidate.facts.taken, finished, candidate.facts.id.as_str())
}

fn verdict(
    candidate: &Candidate,
    given: Vec<Reason>,
    policy: &Policy,
    now: Timestamp,
    grace: SignedDuration,
) -> Verdict {
    let mut keeps = Vec::new();
    if candidate.held {
        keeps.push(Reason::Held);
    }
    if let Some(used) = candidate.used.filter(|used| now.duration_since(*used) < grace) {
        keeps.push(Reason::InUse(used));
    }
    match &candidate.sidecar {
        Err(why) => keeps.push(Reason::NotUnderstood(why.clone())),
        Ok(sidecar) => {
            let latest = candidate.facts.taken.max(sidecar.finished);
            if is_future(latest, now) {
                keeps.push(Reason::Future(latest));
            }
        }
    }
    keeps.extend(given);
    let gone = match &candidate.superseded {
        Some(id) => Reason::Superseded(id.clone()),
        None => by_age(candidate, policy, now, &mut keeps),
    };
    if candidate.named {
        keeps.retain(Reason::protects);
    }
    if !keeps.is_empty() {
        return Verdict { keep: true, reasons: keeps };
    }
    Verdict { keep: false, reasons: vec![if candidate.named { Reason::Named } else { gone }] }
}

/// Adds what keeps a backup for its age; gives the reason for which it goes if nothing else keeps it.
fn by_age(candidate: &Candidate, policy: &Policy, now: Timestamp, keeps: &mut Vec<Reason>) -> Reason {
    let age = policy.ages.get(&candidate.facts.kind);
    if let Some(span) = age {
        match after(candidate.facts.taken, *span) {
            Some(until) if until > now => keeps.push(Reason::Age(candidate.facts.kind, until)),
            Some(_) => {}
            None => keeps.push(Reason::ForEver),
        }
    }
    let counted = policy.counts != Counts::default();
    if policy.shorten && (age.is_some() || counted) {
        return Reason::NotWanted;
    }
    match candidate.sidecar.as_ref().map(|sidecar| sidecar.expires) {
        Ok(Some(expires)) if expires > now => keeps.push(Reason::Until(expires)),
        Ok(Some(expires)) => return Reason::Expired(expires),
        Ok(None) => keeps.push(Reason::ForEver),
        // Kept for that reason already.
        Err(_) => {}
    }
    Reason::NotWanted
}

fn is_future(time: Timestamp, now: Timestamp) -> bool {
    time.duration_since(now) > CLOCK_TOLERANCE
}

/// A span beyond what time can express means for ever.
fn after(time: Timestamp, span: Span) -> Option<Timestamp> {
    time.to_zoned(TimeZone::UTC).checked_add(span).ok().map(|zoned| zoned.timestamp())
}

/// A backup from which the whole database can come back, as far as its sidecar tells.
fn is_good(candidate: &Candidate, now: Timestamp) -> bool {
    let whole = |sidecar: &SidecarFacts| !sidecar.partial && !is_future(sidecar.finished, now);
    let there = candidate.superseded.is_none() && !is_future(candidate.facts.taken, now);
    candidate.sidecar.as_ref().is_ok_and(whole) && there
}

/// What no policy removes. `members`: of one database, newest first.
fn protected(members: &[(usize, &Candidate)], policy: &Policy, now: Timestamp) -> Vec<(usize, Reason)> {
    let safety = |candidate: &Candidate| candidate.facts.kind == Kind::PreRestore;
    let good = || members.iter().filter(|(_, candidate)| is_good(candidate, now));
    let mut found = Vec::new();
    found.extend(good().next().map(|(number, _)| (*number, Reason::Newest)));
    let regular = good().find(|(_, candidate)| !safety(candidate)).map(|(number, _)| *number);
    found.extend(
        regular
            .filter(|number| found.iter().all(|(newest, _)| newest != number))
            .map(|number| (number, Reason::NewestRegular)),
    );
    // Where no backup of a whole database is known to be one, the newest part of it is better than nothing.
    if found.is_empty() {
        let any = members
            .iter()
            .filter(|(_, candidate)| candidate.superseded.is_none())
            .find(|(_, candidate)| candidate.sidecar.is_ok() && !is_future(candidate.facts.taken, now));
        found.extend(any.map(|(number, _)| (*number, Reason::Newest)));
    }
    if !policy.last_safety {
        let last = members.iter().find(|(_, candidate)| safety(candidate) && candidate.superseded.is_none());
        found.extend(last.map(|(number, _)| (*number, Reason::LastWayBack)));
    }
    found
}

/// The name of the period that a day is in.
type Period = fn(Date) -> String;

/// What is kept by number. Safety backups and parts of a database take no place of a regular one.
fn counted(members: &[(usize, &Candidate)], policy: &Policy, now: Timestamp) -> Vec<(usize, Reason)> {
    let regular: Vec<(usize, Timestamp)> = members
        .iter()
        .filter(|(_, candidate)| candidate.facts.kind != Kind::PreRestore && is_good(candidate, now))
        .map(|(number, candidate)| (*number, candidate.facts.taken))
        .collect();
    let Counts { last, daily, weekly, monthly, yearly } = policy.counts;
    let mut found = Vec::new();
    for ((number, _), place) in regular.iter().zip(1..=last) {
        found.push((*number, Reason::Last(place)));
    }
    let periods: [(u32, Period); 4] = [
        (daily, |date| format!("day {date}")),
        (weekly, |date| {
            let week = date.iso_week_date();
            format!("week {}-W{:02}", week.year(), week.week())
        }),
        (monthly, |date| format!("month {}", date.strftime("%Y-%m"))),
        (yearly, |date| format!("year {}", date.year())),
    ];
    for (count, name) in periods {
        let mut seen = BTreeSet::new();
        for (number, taken) in &regular {
            let period = name(taken.to_zoned(TimeZone::UTC).date());
            if seen.len() >= usize::try_from(count).unwrap_or(usize::MAX) {
                break;
            }
            // They come newest first: the first of a period is its newest.
            if seen.insert(period.clone()) {
                found.push((*number, Reason::Period(period)));
            }
        }
    }
    found
}

#[cfg(test)]
mod retention_test;
