//! What needs what, and which items are in a circle with one another. All of it takes time in proportion to the number
//! of dependencies, but for what hangs together in one circle.

use std::collections::{HashMap, HashSet};

use super::Item;
use crate::catalog::ident::ObjectId;

/// The dependencies between items, by position.
#[derive(Debug)]
pub(super) struct Needs {
    /// What an item cannot be created without.
    whole: Vec<Vec<usize>>,
    /// What its detachable parts need.
    parts: Vec<Vec<usize>>,
}

impl Needs {
    pub(super) fn new(items: &[Item], by_id: &HashMap<ObjectId, usize>) -> Self {
        let positions = |at: usize, ids: &[ObjectId]| {
            let mut found: Vec<usize> =
                ids.iter().filter_map(|id| by_id.get(id)).copied().filter(|other| *other != at).collect();
            found.sort_unstable();
            found.dedup();
            found
        };
        let items = || items.iter().enumerate();
        Self {
            whole: items().map(|(at, item)| positions(at, &item.depends)).collect(),
            parts: items().map(|(at, item)| positions(at, &item.detached_depends)).collect(),
        }
    }

    /// What the detachable parts of an item need.
    pub(super) fn of_parts(&self, item: usize) -> &[usize] {
        self.parts.get(item).map_or(&[], Vec::as_slice)
    }

    /// What must exist before an item is created, with its parts or without them, in order.
    pub(super) fn of(&self, item: usize, detached: bool) -> Vec<usize> {
        let whole = self.whole.get(item).map_or(&[][..], Vec::as_slice);
        let parts = if detached { &[] } else { self.of_parts(item) };
        let mut all: Vec<usize> = whole.iter().chain(parts).copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Detaches what can be detached, as long as that opens circles.
    pub(super) fn break_circles(&self, items: &[Item], detached: &mut HashSet<usize>) {
        loop {
            let needs: Vec<Vec<usize>> =
                (0..items.len()).map(|item| self.of(item, detached.contains(&item))).collect();
            // Those that are only before a circle, or only after one, are peeled off from either end.
            let (forward, backward) = (unordered(&needs), unordered(&reversed(&needs)));
            let detachable = |item: &usize| items.get(*item).is_some_and(|item| item.detachable);
            let open: Vec<usize> = forward
                .into_iter()
                .filter(|item| backward.contains(item) && !detached.contains(item) && detachable(item))
                .collect();
            if open.is_empty() {
                return;
            }
            detached.extend(open);
        }
    }

    /// Who needs each of these items, without those that the item's own detachable parts need, directly or through
    /// others and their parts: they are in a circle with it.
    pub(super) fn outside_dependants(&self, detached: &HashSet<usize>) -> HashMap<usize, Vec<usize>> {
        let count = self.whole.len();
        let mut dependants: HashMap<usize, Vec<usize>> =
            detached.iter().map(|item| (*item, Vec::new())).collect();
        for other in 0..count {
            for need in self.of(other, detached.contains(&other)) {
                if let Some(list) = dependants.get_mut(&need) {
                    list.push(other);
                }
            }
        }
        if detached.is_empty() {
            return dependants;
        }
        let all: Vec<Vec<usize>> = (0..count).map(|item| self.of(item, false)).collect();
        let circle = circles(&all);
        for (item, list) in &mut dependants {
            let own = circle.get(*item);
            let inside = |other: usize| circle.get(other) == own;
            if !list.iter().any(|other| inside(*other)) {
                continue;
            }
            // A way from the item to one that needs it stays within their circle.
            let mut reached: HashSet<usize> = HashSet::new();
            let mut open: Vec<usize> = self.of_parts(*item).to_vec();
            while let Some(next) = open.pop() {
                if inside(next) && reached.insert(next) {
                    open.extend(all.get(next).into_iter().flatten());
                }
            }
            list.retain(|other| !reached.contains(other));
        }
        dependants
    }
}

/// Who needs each.
pub(super) fn reversed(needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut dependants = vec![Vec::new(); needs.len()];
    for (item, list) in needs.iter().enumerate() {
        for need in list {
            if let Some(list) = dependants.get_mut(*need) {
                list.push(item);
            }
        }
    }
    dependants
}

/// The positions that remain when all whose needs are met are taken away, again and again.
fn unordered(needs: &[Vec<usize>]) -> HashSet<usize> {
    let mut waiting: Vec<usize> = needs.iter().map(Vec::len).collect();
    let dependants = reversed(needs);
    let mut free: Vec<usize> = (0..needs.len()).filter(|item| waiting.get(*item) == Some(&0)).collect();
    while let Some(item) = free.pop() {
        for other in dependants.get(item).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(*other) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    free.push(*other);
                }
            }
        }
    }
    (0..needs.len()).filter(|item| waiting.get(*item).is_some_and(|count| *count > 0)).collect()
}

/// A number for each item, the same for two of them exactly if each needs the other (Kosaraju's algorithm).
fn circles(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut order = Vec::with_capacity(needs.len());
    let mut seen = vec![false; needs.len()];
    for start in 0..needs.len() {
        // (item, how many of its needs were followed)
        let mut path = vec![(start, 0)];
        if seen.get(start).copied().unwrap_or(true) {
            continue;
        }
        mark(&mut seen, start);
        while let Some((item, followed)) = path.last_mut() {
            let next = needs.get(*item).and_then(|list| list.get(*followed)).copied();
            *followed += 1;
            match next {
                Some(next) if !seen.get(next).copied().unwrap_or(true) => {
                    mark(&mut seen, next);
                    path.push((next, 0));
                }
                Some(_) => {}
                None => order.extend(path.pop().map(|(item, _)| item)),
            }
        }
    }
    let dependants = reversed(needs);
    let mut circle = vec![usize::MAX; needs.len()];
    for root in order.into_iter().rev() {
        let mut open = vec![root];
        while let Some(item) = open.pop() {
            if let Some(number) = circle.get_mut(item).filter(|number| **number == usize::MAX) {
                *number = root;
                open.extend(dependants.get(item).into_iter().flatten());
            }
        }
    }
    circle
}

fn mark(seen: &mut [bool], item: usize) {
    if let Some(slot) = seen.get_mut(item) {
        *slot = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn two_are_in_a_circle_exactly_if_each_reaches_the_other(
            edges in proptest::collection::vec((0usize..12, 0usize..12), 0..40)
        ) {
            let mut needs = vec![Vec::new(); 12];
            for (a, b) in edges {
                needs[a].push(b);
            }
            let mut reach = [[false; 12]; 12];
            for (from, row) in reach.iter_mut().enumerate() {
                let mut open = vec![from];
                while let Some(next) = open.pop() {
                    if !std::mem::replace(&mut row[next], true) {
                        open.extend(&needs[next]);
                    }
                }
            }
            let circle = circles(&needs);
            for a in 0..12 {
                for b in 0..12 {
                    prop_assert_eq!(circle[a] == circle[b], reach[a][b] && reach[b][a], "{} {}", a, b);
                }
            }
        }
    }
}
