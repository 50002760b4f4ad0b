//! Constraints of domains come before whatever holds values of the domain.
//!
//! `ALTER DOMAIN … ADD CONSTRAINT` is refused while a composite type, an array or a range over the domain is the type
//! of a column, be the table empty or not (`find_composite_type_dependencies` in PostgreSQL's `tablecmds.c`).

use std::collections::{HashMap, HashSet};

use super::Planner;

/// Kinds that hold values of types.
const HOLDERS: [&str; 7] =
    ["table", "foreign table", "materialized view", "composite type", "range type", "domain", "type"];

impl Planner<'_> {
    /// Lets all that holds values of a domain wait for its constraints, unless they wait for it.
    pub(super) fn domain_steps(&mut self) {
        let is = |item: usize, kind: &str| self.items.get(item).is_some_and(|it| it.kind == kind);
        let constraints: Vec<usize> = (0..self.items.len())
            .filter(|item| is(*item, "domain constraint"))
            .filter(|item| self.items.get(*item).is_some_and(|it| it.after_data_of.is_empty()))
            .collect();
        if constraints.is_empty() {
            return;
        }
        let mut holders: HashMap<usize, Vec<usize>> = HashMap::new();
        for item in 0..self.items.len() {
            if !self.items.get(item).is_some_and(|it| HOLDERS.contains(&it.kind)) {
                continue;
            }
            for domain in self.needs(item).into_iter().filter(|need| is(*need, "domain")) {
                holders.entry(domain).or_default().push(item);
            }
        }
        for constraint in constraints {
            let needed = self.all_before(constraint);
            let domains = self.needs(constraint).into_iter().filter(|need| is(*need, "domain"));
            let waiting = domains.filter_map(|domain| holders.get(&domain)).flatten();
            let waiting: Vec<usize> = waiting.filter(|holder| !needed.contains(holder)).copied().collect();
            for holder in waiting {
                if let Some(after) = self.after.get_mut(holder) {
                    after.push(constraint);
                }
            }
        }
    }

    /// All steps that come before one, as far as is known by now: an edge that another constraint added counts.
    fn all_before(&self, step: usize) -> HashSet<usize> {
        let mut seen = HashSet::new();
        let mut open = vec![step];
        while let Some(next) = open.pop() {
            for before in self.after.get(next).into_iter().flatten() {
                if seen.insert(*before) {
                    open.push(*before);
                }
            }
        }
        seen
    }
}
