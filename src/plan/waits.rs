//! An order for things that wait for one another.

use std::collections::BTreeSet;

/// An order in which each thing comes after those that it waits for, otherwise as they are; and what is left, for it waits in
/// a circle, or for one.
pub fn in_order(waits: &[BTreeSet<usize>]) -> (Vec<usize>, Vec<usize>) {
    let (mut done, mut order) = (BTreeSet::new(), Vec::new());
    let mut open: Vec<usize> = (0..waits.len()).collect();
    loop {
        let is_ready = |at: &usize| waits.get(*at).is_none_or(|waits| waits.is_subset(&done));
        let (ready, rest): (Vec<usize>, Vec<usize>) = open.iter().copied().partition(is_ready);
        if ready.is_empty() {
            return (order, rest);
        }
        done.extend(ready.iter().copied());
        order.extend(ready);
        open = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_comes_later_and_circles_have_no_order() {
        let set = |list: &[usize]| list.iter().copied().collect::<BTreeSet<usize>>();
        assert_eq!(in_order(&[set(&[2]), set(&[]), set(&[1])]), (vec![1, 2, 0], vec![]));
        assert_eq!(in_order(&[set(&[1]), set(&[0]), set(&[]), set(&[0])]), (vec![2], vec![0, 1, 3]));
    }
}
