//! Which task may run next. A pure state machine: the workers ask, it answers.
//!
//! A task is ready when all that it depends on is done. Among the ready ones the class (P0 before P1 before P2)
//! decides, then the length of the longest path of work that waits for the task: the critical path goes first. Tasks
//! whose locks conflict never run at the same time, so that the server does not queue or deadlock what we started.

use std::collections::{BTreeSet, HashMap, HashSet};

use thiserror::Error;

/// Position of a task in the list given to [`Schedule::new`].
pub type TaskId = usize;

/// One piece of work.
#[derive(Debug, Clone, Default)]
pub struct Task {
    /// What must be done before.
    pub after: Vec<TaskId>,
    /// Estimated cost, in bytes moved; only the proportions matter.
    pub cost: u64,
    /// Class of priority: 0 is restored first.
    pub class: u8,
    /// Relations (any number stands for one) that the task must have for itself.
    pub exclusive: Vec<u32>,
    /// Relations that the task shares with others which share them.
    pub shared: Vec<u32>,
}

/// The tasks cannot be ordered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} tasks depend on one another in a circle", .0.len())]
pub struct Cycle(pub Vec<TaskId>);

/// What is ready, what runs, what waits.
#[derive(Debug)]
pub struct Schedule {
    tasks: Vec<Task>,
    waiting_for: Vec<usize>,
    dependants: Vec<Vec<TaskId>>,
    ready: BTreeSet<Rank>,
    rank: Vec<Rank>,
    exclusive: HashSet<u32>,
    shared: HashMap<u32, usize>,
    /// Ready tasks that were found to wait for a lock, by its relation: looked at again when it is given back, not each
    /// time that something may start. Those that want it for themselves are woken one at a time, the best first.
    waiting_exclusive: HashMap<u32, BTreeSet<Rank>>,
    waiting_shared: HashMap<u32, Vec<Rank>>,
    running: usize,
    left: usize,
}

/// Order among ready tasks: class, then the longest path first, then the order of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    class: u8,
    path: std::cmp::Reverse<u64>,
    id: TaskId,
}

impl Schedule {
    /// A schedule of these tasks.
    ///
    /// # Errors
    /// When they depend on one another in a circle.
    pub fn new(tasks: Vec<Task>) -> Result<Self, Cycle> {
        let count = tasks.len();
        let mut dependants = vec![Vec::new(); count];
        let mut waiting_for = vec![0; count];
        for (id, task) in tasks.iter().enumerate() {
            let after: BTreeSet<TaskId> = task.after.iter().copied().filter(|other| *other < count).collect();
            if let Some(slot) = waiting_for.get_mut(id) {
                *slot = after.len();
            }
            for other in after {
                if let Some(list) = dependants.get_mut(other) {
                    list.push(id);
                }
            }
        }
        let order = topological(&waiting_for, &dependants)?;
        let rank = ranks(&tasks, &order, &dependants);
        let ready = rank.iter().filter(|rank| waiting_for.get(rank.id) == Some(&0)).copied().collect();
        Ok(Self {
            tasks,
            waiting_for,
            dependants,
            ready,
            rank,
            exclusive: HashSet::new(),
            shared: HashMap::new(),
            waiting_exclusive: HashMap::new(),
            waiting_shared: HashMap::new(),
            running: 0,
            left: count,
        })
    }

    /// The task to start now, or `None` when nothing can start before something running is done.
    pub fn start_next(&mut self) -> Option<TaskId> {
        while let Some(rank) = self.ready.pop_first() {
            if let Some((relation, exclusive)) = self.obstacle(rank.id) {
                if exclusive {
                    self.waiting_exclusive.entry(relation).or_default().insert(rank);
                } else {
                    self.waiting_shared.entry(relation).or_default().push(rank);
                }
                // It may have been woken for the sake of another lock, which it does not take now.
                let others: Vec<u32> =
                    self.tasks.get(rank.id).map(|task| task.exclusive.clone()).unwrap_or_default();
                others.into_iter().filter(|other| *other != relation).for_each(|other| self.wake(other));
                continue;
            }
            let task = self.tasks.get(rank.id)?;
            for relation in &task.exclusive {
                self.exclusive.insert(*relation);
            }
            for relation in &task.shared {
                *self.shared.entry(*relation).or_default() += 1;
            }
            self.running += 1;
            return Some(rank.id);
        }
        None
    }

    /// Takes note that a started task is done.
    pub fn finish(&mut self, id: TaskId) {
        self.running = self.running.saturating_sub(1);
        self.left = self.left.saturating_sub(1);
        if let Some(task) = self.tasks.get(id) {
            let (exclusive, shared) = (task.exclusive.clone(), task.shared.clone());
            for relation in &exclusive {
                self.exclusive.remove(relation);
            }
            for relation in &shared {
                if let Some(count) = self.shared.get_mut(relation) {
                    *count = count.saturating_sub(1);
                }
            }
            exclusive.into_iter().chain(shared).for_each(|relation| self.wake(relation));
        }
        for dependant in self.dependants.get(id).into_iter().flatten() {
            if let Some(waiting) = self.waiting_for.get_mut(*dependant) {
                *waiting = waiting.saturating_sub(1);
                if *waiting == 0 {
                    self.ready.extend(self.rank.get(*dependant));
                }
            }
        }
    }

    /// Looks again at tasks that waited for a lock on a relation.
    fn wake(&mut self, relation: u32) {
        if self.exclusive.contains(&relation) {
            return;
        }
        self.ready.extend(self.waiting_shared.remove(&relation).into_iter().flatten());
        if self.shared.get(&relation).is_none_or(|count| *count == 0) {
            let first = self.waiting_exclusive.get_mut(&relation).and_then(BTreeSet::pop_first);
            self.ready.extend(first);
        }
    }

    /// Whether every task is done.
    pub fn is_done(&self) -> bool {
        self.left == 0
    }

    /// A relation whose lock the task cannot have now, and whether it wants it for itself.
    fn obstacle(&self, id: TaskId) -> Option<(u32, bool)> {
        let task = self.tasks.get(id)?;
        let held = |relation: &u32| self.exclusive.contains(relation);
        let shared = |relation: &u32| self.shared.get(relation).is_some_and(|count| *count > 0);
        let exclusive = task.exclusive.iter().find(|relation| held(relation) || shared(relation));
        let exclusive = exclusive.map(|relation| (*relation, true));
        exclusive
            .or_else(|| task.shared.iter().find(|relation| held(relation)).map(|relation| (*relation, false)))
    }
}

/// An order in which each task comes after what it depends on.
fn topological(waiting_for: &[usize], dependants: &[Vec<TaskId>]) -> Result<Vec<TaskId>, Cycle> {
    let mut waiting = waiting_for.to_vec();
    let mut order: Vec<TaskId> = (0..waiting.len()).filter(|id| waiting.get(*id) == Some(&0)).collect();
    let mut at = 0;
    while let Some(id) = order.get(at).copied() {
        at += 1;
        for dependant in dependants.get(id).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(*dependant) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    order.push(*dependant);
                }
            }
        }
    }
    if order.len() == waiting.len() {
        return Ok(order);
    }
    Err(Cycle((0..waiting.len()).filter(|id| waiting.get(*id).is_some_and(|count| *count > 0)).collect()))
}

/// Each task's rank: its class, lowered to the best class that waits for it, and the cost of the longest path from
/// its start to the end of all.
fn ranks(tasks: &[Task], order: &[TaskId], dependants: &[Vec<TaskId>]) -> Vec<Rank> {
    let mut rank: Vec<Rank> = tasks
        .iter()
        .enumerate()
        .map(|(id, task)| Rank { class: task.class, path: std::cmp::Reverse(task.cost), id })
        .collect();
    for id in order.iter().rev() {
        let waiting = || dependants.get(*id).into_iter().flatten().filter_map(|other| rank.get(*other));
        let longest = waiting().map(|rank| rank.path.0).max().unwrap_or(0);
        let class = waiting().map(|rank| rank.class).min().unwrap_or(u8::MAX);
        if let Some(rank) = rank.get_mut(*id) {
            rank.path = std::cmp::Reverse(rank.path.0.saturating_add(longest));
            rank.class = rank.class.min(class);
        }
    }
    rank
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn task(after: &[TaskId], cost: u64) -> Task {
        Task { after: after.to_vec(), cost, ..Task::default() }
    }

    #[test]
    fn the_critical_path_goes_first() {
        let mut schedule = Schedule::new(vec![task(&[], 5), task(&[], 1), task(&[1], 100)]).unwrap();
        assert_eq!(schedule.start_next(), Some(1), "short, but much waits for it");
        assert_eq!(schedule.start_next(), Some(0));
        assert_eq!(schedule.start_next(), None);
        schedule.finish(1);
        assert_eq!(schedule.start_next(), Some(2));
    }

    #[test]
    fn a_class_pulls_what_it_needs() {
        let mut needed = task(&[], 1);
        needed.class = 2;
        let mut big = task(&[], 1000);
        big.class = 1;
        let urgent = Task { class: 0, ..task(&[0], 1) };
        let mut schedule = Schedule::new(vec![needed, big, urgent]).unwrap();
        assert_eq!(schedule.start_next(), Some(0));
    }

    #[test]
    fn locks_keep_tasks_apart() {
        let exclusive = Task { exclusive: vec![7], cost: 3, ..Task::default() };
        let shared = Task { shared: vec![7], cost: 2, ..Task::default() };
        let mut schedule = Schedule::new(vec![exclusive, shared.clone(), shared]).unwrap();
        assert_eq!(schedule.start_next(), Some(0));
        assert_eq!(schedule.start_next(), None);
        schedule.finish(0);
        assert_eq!((schedule.start_next(), schedule.start_next()), (Some(1), Some(2)));
    }

    #[test]
    fn a_circle_is_named() {
        let circle = Schedule::new(vec![task(&[], 0), task(&[2], 0), task(&[1], 0)]).unwrap_err();
        assert_eq!(circle, Cycle(vec![1, 2]));
    }

    proptest! {
        #[test]
        fn everything_runs_once_and_after_what_it_needs(
            edges in proptest::collection::vec((0usize..40, 0usize..40), 0..120), jobs in 1usize..5,
            locks in proptest::collection::vec((0usize..40, 0u32..6, any::<bool>()), 0..80)
        ) {
            let mut tasks = vec![Task::default(); 40];
            for (task, relation, exclusive) in locks {
                let Task { exclusive: own, shared, .. } = &mut tasks[task];
                if !own.contains(&relation) && !shared.contains(&relation) {
                    if exclusive { own.push(relation) } else { shared.push(relation) }
                }
            }
            for (a, b) in edges {
                if a < b {
                    tasks[b].after.push(a);
                }
            }
            let mut schedule = Schedule::new(tasks.clone()).unwrap();
            let (mut running, mut done) = (Vec::new(), Vec::new());
            while !schedule.is_done() {
                while running.len() < jobs {
                    let Some(id) = schedule.start_next() else { break };
                    prop_assert!(tasks[id].after.iter().all(|other| done.contains(other)));
                    for other in running.iter().map(|other: &usize| &tasks[*other]) {
                        let Task { exclusive, shared, .. } = &tasks[id];
                        let all = || other.exclusive.iter().chain(&other.shared);
                        prop_assert!(exclusive.iter().all(|relation| all().all(|held| held != relation)));
                        prop_assert!(shared.iter().all(|relation| !other.exclusive.contains(relation)));
                    }
                    running.push(id);
                }
                prop_assert!(!running.is_empty(), "nothing may start, and nothing runs");
                let id = running.remove(0);
                schedule.finish(id);
                prop_assert!(!done.contains(&id));
                done.push(id);
            }
            prop_assert_eq!(done.len(), 40);
        }
    }
}
