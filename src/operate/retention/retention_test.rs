//! Cases of keeping, each with its reason.

use super::*;

const GRACE: SignedDuration = SignedDuration::from_hours(24);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-11-25T12:00:00Z")
}

fn days_ago(days: i64) -> Timestamp {
    now() - SignedDuration::from_hours(24 * days)
}

fn facts(kind: Kind, taken: Timestamp) -> KeyFacts {
    let id = format!("{:012}", taken.as_second());
    KeyFacts { database: "shop".to_owned(), kind, taken, id }
}

/// A whole backup of an age in days, that expires as its kind does.
fn backup(kind: Kind, days: i64) -> Candidate {
    let taken = days_ago(days);
    let sidecar = Ok(SidecarFacts { expires: after(taken, kind.keeps()), finished: taken, partial: false });
    Candidate { facts: facts(kind, taken), sidecar, held: false, used: None, named: false, superseded: None }
}

fn judge(candidates: &[Candidate], policy: &Policy) -> Vec<Verdict> {
    decide(candidates, policy, now(), GRACE)
}

/// Whether each is kept.
fn kept(candidates: &[Candidate], policy: &Policy) -> Vec<bool> {
    judge(candidates, policy).into_iter().map(|verdict| verdict.keep).collect()
}

#[test]
fn each_kind_is_kept_as_long_as_it_says() {
    let policy = Policy { last_safety: true, ..Policy::default() };
    for (kind, kept_days, gone_days) in [
        (Kind::Daily, 89, 91),
        (Kind::Manual, 89, 91),
        (Kind::Weekly, 364, 366),
        (Kind::Monthly, 7 * 365, 7 * 366),
        (Kind::PreDeploy, 29, 31),
        (Kind::PreRestore, 13, 15),
    ] {
        let all = [backup(Kind::Daily, 0), backup(kind, kept_days), backup(kind, gone_days)];
        assert_eq!(kept(&all, &policy), [true, true, false], "{kind}");
    }
}

#[test]
fn one_whose_place_another_takes_goes_unless_it_is_held() {
    let superseded = |candidate| Candidate { superseded: Some("6k2x8m41qvtz".to_owned()), ..candidate };
    let newest = backup(Kind::Daily, 0);
    let all = [
        superseded(backup(Kind::Daily, 0)),
        newest,
        Candidate { held: true, ..superseded(backup(Kind::Monthly, 1)) },
        superseded(backup(Kind::PreRestore, 1)),
    ];
    assert_eq!(kept(&all, &Policy::default()), [false, true, true, false]);
    assert_eq!(judge(&all, &Policy::default())[0].reasons, [Reason::Superseded("6k2x8m41qvtz".to_owned())]);
    assert_eq!(judge(&all, &Policy::default())[2].reasons, [Reason::Held]);
}

#[test]
fn the_newest_good_backup_stays_whatever_its_kind_and_age() {
    let all = [backup(Kind::PreDeploy, 900), backup(Kind::Daily, 901)];
    assert_eq!(kept(&all, &Policy::default()), [true, false]);
    assert_eq!(judge(&all, &Policy::default())[0].reasons, [Reason::Newest]);
    // One that is not understood, one from the future and a part of the database are not what is counted on.
    let mut broken = backup(Kind::Daily, 1);
    broken.sidecar = Err("no JSON".to_owned());
    let future = backup(Kind::Daily, -3);
    let mut part = backup(Kind::PreDeploy, 40);
    part.sidecar.as_mut().unwrap().partial = true;
    let all = [future, broken, part, backup(Kind::Daily, 100), backup(Kind::Daily, 101)];
    let verdicts = judge(&all, &Policy::default());
    assert_eq!(verdicts.iter().map(|one| one.keep).collect::<Vec<_>>(), [true, true, false, true, false]);
    assert!(matches!(verdicts[0].reasons[0], Reason::Future(_)));
    assert_eq!(verdicts[1].reasons, [Reason::NotUnderstood("no JSON".to_owned())]);
    assert_eq!(verdicts[3].reasons, [Reason::Newest]);
}

#[test]
fn a_safety_backup_does_not_stand_in_for_a_regular_one_and_is_the_way_back() {
    let all = [backup(Kind::PreRestore, 20), backup(Kind::PreRestore, 21), backup(Kind::Daily, 100)];
    let verdicts = judge(&all, &Policy::default());
    assert_eq!(verdicts[0].reasons, [Reason::Newest, Reason::LastWayBack]);
    assert_eq!(verdicts[1].reasons, [Reason::Expired(days_ago(7))]);
    assert_eq!(verdicts[2].reasons, [Reason::NewestRegular]);
    let told = Policy { last_safety: true, ..Policy::default() };
    let all = [backup(Kind::Daily, 1), backup(Kind::PreRestore, 20)];
    assert_eq!((kept(&all, &told), kept(&all, &Policy::default())), (vec![true, false], vec![true, true]));
}

#[test]
fn a_hold_keeps_against_policy_and_request() {
    let mut held = backup(Kind::Daily, 1000);
    (held.held, held.named) = (true, true);
    let policy =
        Policy { counts: Counts { last: 1, ..Counts::default() }, shorten: true, ..Policy::default() };
    let verdicts = judge(&[backup(Kind::Daily, 0), held], &policy);
    assert_eq!(verdicts[1], Verdict { keep: true, reasons: vec![Reason::Held] });
}

#[test]
fn counts_keep_the_newest_of_each_period_and_shorten_only_when_told() {
    let all: Vec<Candidate> = (0..800).map(|days| backup(Kind::Daily, days)).collect();
    let counts = Counts { last: 2, daily: 3, weekly: 3, monthly: 3, yearly: 2 };
    let policy = Policy { counts, shorten: true, ..Policy::default() };
    let days = |policy: &Policy| -> Vec<usize> {
        kept(&all, policy).iter().enumerate().filter(|(_, keep)| **keep).map(|(day, _)| day).collect()
    };
    // Wednesday the 25th: days 0 to 2; Sundays the 22nd and the 15th; 31 October and 30 September; 31 December 2025.
    assert_eq!(days(&policy), [0, 1, 2, 3, 10, 25, 56, 329]);
    let longer = Policy { shorten: false, ..policy.clone() };
    assert_eq!(days(&longer).len(), 90 + 1, "{:?}", days(&longer));
    assert_eq!(days(&Policy::default()).len(), 90);
    let reasons = &judge(&all, &policy)[0].reasons;
    let words: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    let expected =
        ["newest good backup", "last 1", "day 2026-11-25", "week 2026-W48", "month 2026-11", "year 2026"];
    assert_eq!(words, expected);
}

#[test]
fn a_policy_by_age_lengthens_and_shortens_only_when_told() {
    let span = |text: &str| text.parse::<Span>().unwrap();
    let all = [
        backup(Kind::Daily, 0),
        backup(Kind::Daily, 40),
        backup(Kind::Daily, 100),
        backup(Kind::Weekly, 100),
    ];
    let policy = |text: &str, shorten| Policy {
        ages: BTreeMap::from([(Kind::Daily, span(text))]),
        shorten,
        ..Policy::default()
    };
    assert_eq!(kept(&all, &policy("120d", false)), [true, true, true, true]);
    assert_eq!(kept(&all, &policy("30d", false)), [true, true, false, true]);
    assert_eq!(kept(&all, &policy("30d", true)), [true, false, false, true]);
}

#[test]
fn what_was_asked_for_by_name_goes_unless_it_is_protected() {
    let mut all = [backup(Kind::Daily, 1), backup(Kind::Daily, 2)];
    all[0].named = true;
    all[1].named = true;
    let verdicts = judge(&all, &Policy::default());
    assert_eq!(verdicts[0].reasons, [Reason::Newest]);
    assert_eq!(verdicts[1], Verdict { keep: false, reasons: vec![Reason::Named] });
}

#[test]
fn a_backup_that_is_being_read_stays_for_a_while() {
    let mut read = backup(Kind::Daily, 200);
    read.used = Some(now() - SignedDuration::from_hours(2));
    let mut long_ago = backup(Kind::Daily, 200);
    long_ago.used = Some(now() - SignedDuration::from_hours(25));
    assert_eq!(kept(&[backup(Kind::Daily, 0), read, long_ago], &Policy::default()), [true, true, false]);
}

#[test]
fn databases_are_judged_apart() {
    let mut other = backup(Kind::Daily, 500);
    other.facts.database = "other".to_owned();
    assert_eq!(
        kept(&[backup(Kind::Daily, 1), backup(Kind::Daily, 500), other], &Policy::default()),
        [true, false, true]
    );
}

proptest::proptest! {
    /// Whatever there is and whatever is asked for: a database keeps its newest good backup, and what is held stays.
    #[test]
    fn no_policy_takes_the_last_good_backup(
        backups in proptest::collection::vec((0usize..6, -5i64..3000, 0u8..8), 1..40),
        counts in (0u32..3, 0u32..3, 0u32..3, 0u32..3, 0u32..3),
        shorten: bool, last_safety: bool, all_named: bool,
    ) {
        let candidates: Vec<Candidate> = backups.iter().map(|(kind, days, fate)| {
            let mut one = backup(Kind::ALL[*kind], *days);
            one.named = all_named;
            match fate {
                0 => one.sidecar = Err("broken".to_owned()),
                1 => one.held = true,
                2 => one.sidecar.as_mut().unwrap().partial = true,
                _ => {}
            }
            one
        }).collect();
        let (last, daily, weekly, monthly, yearly) = counts;
        let policy = Policy {
            counts: Counts { last, daily, weekly, monthly, yearly }, shorten, last_safety, ..Policy::default()
        };
        let verdicts = judge(&candidates, &policy);
        let pairs = || candidates.iter().zip(&verdicts);
        let good = |one: &Candidate| is_good(one, now()) && one.facts.kind != Kind::PreRestore;
        let newest = candidates.iter().filter(|one| good(one)).map(|one| one.facts.taken).max();
        let mut newest_ones = pairs().filter(|(one, _)| good(one) && Some(one.facts.taken) == newest);
        let stays = newest_ones.any(|(_, verdict)| verdict.keep);
        proptest::prop_assert!(newest.is_none() || stays);
        for (one, verdict) in pairs() {
            let must_stay = one.held || one.sidecar.is_err() || one.facts.taken > now() + CLOCK_TOLERANCE;
            proptest::prop_assert!(verdict.keep || !must_stay);
            proptest::prop_assert!(!verdict.reasons.is_empty());
            if !verdict.keep && !all_named && !shorten {
                proptest::prop_assert!(one.sidecar.as_ref().unwrap().expires.unwrap() <= now());
            }
        }
    }
}
