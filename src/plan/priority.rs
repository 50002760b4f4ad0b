//! Classes of priority: which tables come back first.

use std::collections::{BTreeMap, BTreeSet};

use super::restore::Step;
use super::schedule::Task;
use super::select::{Pattern, PatternError};

/// The class of tables that no class names: after all others.
pub const REST: u8 = u8::MAX - 1;

/// What a class is called: `P0`, and the tables that no class names `rest`.
pub fn name_of(class: u8) -> String {
    if class >= REST { "rest".to_owned() } else { format!("P{class}") }
}

/// A text that names no class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriorityError {
    /// It has another form.
    #[error("{0:?} is no class of priority")]
    Form(String),
    /// One of its patterns is none.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

/// Which tables are of which class. A table is of the first class that names it.
#[derive(Debug, Clone, Default)]
pub struct Priorities {
    classes: BTreeMap<u8, Vec<Pattern>>,
}

impl Priorities {
    /// Reads classes such as `P0=public.users,billing.*`; several of one class add up.
    ///
    /// # Errors
    /// When one has another form.
    pub fn parse(texts: &[String]) -> Result<Self, PriorityError> {
        let mut classes: BTreeMap<u8, Vec<Pattern>> = BTreeMap::new();
        for text in texts {
            let (class, patterns) = text.split_once('=').ok_or_else(|| PriorityError::Form(text.clone()))?;
            let list = classes.entry(Self::class_named(class)?).or_default();
            let patterns = split(patterns);
            if patterns.is_empty() {
                return Err(PriorityError::Form(text.clone()));
            }
            for pattern in patterns {
                list.push(Pattern::table(pattern.trim())?);
            }
        }
        Ok(Self { classes })
    }

    /// The class of a name: `P0` to `P9`.
    ///
    /// # Errors
    /// When it has another form.
    pub fn class_named(name: &str) -> Result<u8, PriorityError> {
        let number = name.trim().strip_prefix(['P', 'p']).filter(|digit| digit.len() == 1);
        let number = number.and_then(|digit| digit.parse().ok());
        number.ok_or_else(|| PriorityError::Form(name.to_owned()))
    }

    /// Whether this class is one of them.
    pub fn has(&self, class: u8) -> bool {
        self.classes.contains_key(&class)
    }

    /// Their names, in order.
    pub fn names(&self) -> Vec<String> {
        self.classes.keys().map(|class| name_of(*class)).collect()
    }

    /// The patterns that mean none of these relations, with their classes: typing errors, most likely.
    pub fn unmatched<'a>(&'a self, relations: &[(String, String)]) -> Vec<(u8, &'a str)> {
        let lost = |pattern: &&Pattern| !relations.iter().any(|(schema, name)| pattern.matches(schema, name));
        let of_class = |(class, patterns): (&u8, &'a Vec<Pattern>)| {
            let class = *class;
            patterns
                .iter()
                .filter(lost)
                .map(move |pattern| (class, pattern.text.as_str()))
                .collect::<Vec<_>>()
        };
        self.classes.iter().flat_map(of_class).collect()
    }

    /// The first class up to this one that means none of these relations.
    pub fn empty_up_to(&self, last: u8, relations: &[(String, String)]) -> Option<u8> {
        let means = |patterns: &[Pattern]| {
            patterns
                .iter()
                .any(|pattern| relations.iter().any(|(schema, name)| pattern.matches(schema, name)))
        };
        self.classes.range(..=last).find(|(_, patterns)| !means(patterns)).map(|(class, _)| *class)
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// The class of a table.
    pub fn class(&self, schema: &str, name: &str) -> u8 {
        let meant = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(schema, name));
        self.classes.iter().find(|(_, patterns)| meant(patterns)).map_or(REST, |(class, _)| *class)
    }
}

/// Parts a list at its commas, but those in double quotes.
fn split(list: &str) -> Vec<&str> {
    let mut quoted = false;
    list.split(|c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
    .filter(|part| !part.trim().is_empty())
    .collect()
}

/// The tasks of the classes up to this one, and all that they wait for.
pub fn up_to(tasks: Vec<(Step, Task)>, class: u8) -> Vec<(Step, Task)> {
    let urgent = tasks.iter().enumerate().filter(|(_, (_, task))| task.class <= class);
    let mut keep: BTreeSet<usize> = urgent.map(|(at, _)| at).collect();
    let mut open: Vec<usize> = keep.iter().copied().collect();
    while let Some(at) = open.pop() {
        let after = tasks.get(at).map(|(_, task)| task.after.as_slice()).unwrap_or_default();
        open.extend(after.iter().copied().filter(|needed| keep.insert(*needed)));
    }
    let place: BTreeMap<usize, usize> = keep.iter().enumerate().map(|(new, old)| (*old, new)).collect();
    let kept = tasks.into_iter().enumerate().filter(|(at, _)| place.contains_key(at));
    kept.map(|(_, (step, mut task))| {
        task.after = task.after.iter().filter_map(|other| place.get(other)).copied().collect();
        (step, task)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Result<Priorities, PriorityError> {
        Priorities::parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_first_class_that_names_a_table_counts() {
        let classes = read(&["P1=sales.*", "P0=public.users,\"a,b\".*", "p0=sales.orders"]).unwrap();
        let class = |schema, name| classes.class(schema, name);
        assert_eq!([class("public", "users"), class("a,b", "x"), class("sales", "orders")], [0, 0, 0]);
        assert_eq!([class("sales", "items"), class("other", "x")], [1, REST]);
        assert!(Priorities::default().is_empty() && !classes.is_empty());
        assert!(classes.has(1) && !classes.has(2) && classes.names() == ["P0", "P1"]);
    }

    #[test]
    fn what_means_nothing_is_named() {
        let classes = read(&["P0=users,typo", "P1=gone.*"]).unwrap();
        let there = [("public".to_owned(), "users".to_owned())];
        assert_eq!(classes.unmatched(&there), [(0, "typo"), (1, "gone.*")]);
        assert_eq!([0, 1, 9].map(|last| classes.empty_up_to(last, &there)), [None, Some(1), Some(1)]);
    }

    #[test]
    fn other_forms_are_refused() {
        for text in ["users", "P=users", "P10=users", "Q0=users", "P0=a.b.c", "P0=", "P0= ,"] {
            assert!(read(&[text]).is_err(), "{text}");
        }
    }

    #[test]
    fn a_class_takes_what_it_waits_for_along() {
        let task = |class, after: &[usize]| Task { class, after: after.to_vec(), ..Task::default() };
        let tasks = vec![
            (Step::AllLoaded, task(REST, &[])),
            (Step::Loaded(0), task(u8::MAX, &[3])),
            (Step::Create(0), task(0, &[1])),
            (Step::Loaded(1), task(REST, &[])),
        ];
        let kept = up_to(tasks, 0);
        let steps: Vec<Step> = kept.iter().map(|(step, _)| *step).collect();
        assert_eq!(steps, [Step::Loaded(0), Step::Create(0), Step::Loaded(1)]);
        assert_eq!((kept[0].1.after.as_slice(), kept[1].1.after.as_slice()), (&[2][..], &[0][..]));
    }
}
