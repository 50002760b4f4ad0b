//! The order of a restore: which statements come first, which work may run at the same time, what comes last.
//!
//! Everything that needs no rows is created first, in one dependency order. Then a [`Schedule`](super::schedule::Schedule) drives loads, indexes,
//! keys, statistics and foreign keys: each starts when what it needs is there. What must not act while rows are loaded
//! (triggers, rules, policies, privileges) comes last, and after it the materialized views are filled.

mod circles;
mod cost;
mod domains;
mod late;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};

use circles::Needs;

pub use late::{Half, Late, late};

use super::schedule::{Cycle, Task};
use crate::catalog::ident::ObjectId;

/// What the plan must know of one object. Its position in the list names it.
#[derive(Debug, Clone, Default)]
pub struct Item {
    /// The kind's name: "table", "index"…
    pub kind: &'static str,
    /// All identities that stand for it.
    pub ids: Vec<ObjectId>,
    /// What must exist before it.
    pub depends: Vec<ObjectId>,
    /// Relations whose rows must be there before it.
    pub after_data_of: Vec<ObjectId>,
    /// Whether it waits for all rows, of whatever relation.
    pub after_all_data: bool,
    /// For a partition: the table that it is part of.
    pub partition_of: Option<ObjectId>,
    /// Whether parts of it can be made later, by [`Step::Finish`], when it is in a circle of dependencies.
    pub detachable: bool,
    /// Dependencies that only its detachable parts have.
    pub detached_depends: Vec<ObjectId>,
    /// For a materialized view: whether it is to be filled.
    pub refresh: bool,
    /// Its detachable parts are made by another restore than the rest of it.
    pub half: Option<Half>,
    /// Class of priority, 0 first.
    pub class: u8,
}

impl Item {
    /// Its detachable parts need the whole to exist: a view whose query reads the view.
    fn needs_itself(&self) -> bool {
        self.detached_depends.iter().any(|id| self.ids.contains(id))
    }
}

/// The rows of one relation to be loaded.
#[derive(Debug, Clone)]
pub struct Load {
    /// The relation; `None` for large objects.
    pub relation: Option<ObjectId>,
    /// Bytes of COPY text of each unit: a unit is loaded by one session in one transaction.
    pub units: Vec<u64>,
    /// Positions of loads that must be complete before, all of them smaller than its own.
    pub after: Vec<usize>,
}

/// One step of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Create an item, without its detached parts if it was detached.
    Create(usize),
    /// Make the detached parts of an item.
    Finish(usize),
    /// Load a unit of a load.
    Load {
        /// Position of the load.
        load: usize,
        /// Position of the unit.
        unit: usize,
    },
    /// All units of a load are in; nothing to do.
    Loaded(usize),
    /// All loads are in; nothing to do.
    AllLoaded,
    /// Gather statistics (and mark all visible, where several sessions loaded) before foreign keys are checked.
    Analyze(usize),
    /// Fill a materialized view.
    Refresh(usize),
}

/// The plan.
#[derive(Debug, Default)]
pub struct RestorePlan {
    /// First, one after the other.
    pub first: Vec<Step>,
    /// Then, as the schedule allows.
    pub parallel: Vec<(Step, Task)>,
    /// Then, one after the other.
    pub last: Vec<Step>,
    /// Then, as the schedule allows: materialized views, their indexes, and what depends on them.
    pub refresh: Vec<(Step, Task)>,
    /// The items whose [`Step::Create`] leaves the detachable parts out.
    pub detached: HashSet<usize>,
}

/// Kinds that must not act while rows are loaded, or that are cheap and need locks that would keep others waiting.
const LAST: [&str; 9] = [
    "trigger",
    "rule",
    "policy",
    "event trigger",
    "publication",
    "subscription",
    "system privileges",
    "default privileges",
    "statistics",
];

/// The order in which `pg_dump` creates kinds, as far as dependencies leave a choice.
const ORDER: [&str; 12] = [
    "schema",
    "language",
    "extension",
    "collation",
    "type",
    "enum type",
    "domain",
    "composite type",
    "range type",
    "function",
    "sequence",
    "table",
];

/// Makes the plan.
///
/// # Errors
/// When items depend on one another in a circle that no detachable part breaks.
pub fn plan(items: &[Item], loads: &[Load], analyze: bool) -> Result<RestorePlan, Cycle> {
    let mut planner = Planner::new(items, loads);
    planner.needs.break_circles(items, &mut planner.detached);
    planner.steps(analyze);
    planner.stages()
}

struct Planner<'a> {
    items: &'a [Item],
    loads: &'a [Load],
    by_id: HashMap<ObjectId, usize>,
    needs: Needs,
    loads_of: HashMap<ObjectId, Vec<usize>>,
    indexes_of: HashMap<ObjectId, Vec<usize>>,
    detached: HashSet<usize>,
    steps: Vec<Step>,
    after: Vec<Vec<usize>>,
    position: HashMap<Step, usize>,
}

impl<'a> Planner<'a> {
    fn new(items: &'a [Item], loads: &'a [Load]) -> Self {
        let mut by_id = HashMap::new();
        let mut indexes_of: HashMap<ObjectId, Vec<usize>> = HashMap::new();
        for (position, item) in items.iter().enumerate() {
            by_id.extend(item.ids.iter().map(|id| (*id, position)));
            if matches!(item.kind, "index" | "key constraint") {
                for relation in &item.after_data_of {
                    indexes_of.entry(*relation).or_default().push(position);
                }
            }
        }
        let mut loads_of: HashMap<ObjectId, Vec<usize>> = HashMap::new();
        for (position, load) in loads.iter().enumerate() {
            // A partition's rows are rows of each table above it.
            let mut relation = load.relation;
            for _ in 0..64 {
                let Some(id) = relation else { break };
                loads_of.entry(id).or_default().push(position);
                relation =
                    by_id.get(&id).and_then(|item| items.get(*item)).and_then(|item| item.partition_of);
            }
        }
        Self {
            items,
            loads,
            needs: Needs::new(items, &by_id),
            by_id,
            loads_of,
            indexes_of,
            detached: items
                .iter()
                .enumerate()
                .filter(|(_, item)| item.half.is_some() || item.needs_itself())
                .map(|(at, _)| at)
                .collect(),
            steps: Vec::new(),
            after: Vec::new(),
            position: HashMap::new(),
        }
    }

    /// The items that must exist before the creation of `item`.
    fn needs(&self, item: usize) -> Vec<usize> {
        self.needs.of(item, self.detached.contains(&item))
    }

    fn add(&mut self, step: Step, after: Vec<usize>) -> usize {
        let position = self.steps.len();
        self.steps.push(step);
        self.after.push(after);
        self.position.insert(step, position);
        position
    }

    fn steps(&mut self, analyze: bool) {
        for item in 0..self.items.len() {
            self.add(Step::Create(item), Vec::new());
        }
        self.load_steps(analyze);
        self.all_loaded_step();
        self.refresh_steps();
        for item in 0..self.items.len() {
            let after = self.creation_needs(item);
            if let Some(slot) = self.after.get_mut(item) {
                slot.extend(after);
            }
        }
        self.domain_steps();
        self.finish_steps();
    }

    /// The detachable parts of those that are created without them.
    fn finish_steps(&mut self) {
        let dependants = self.needs.outside_dependants(&self.detached);
        let detached: BTreeSet<usize> = self.detached.iter().copied().collect();
        for item in detached {
            let second = self.items.get(item).is_some_and(|it| it.half != Some(Half::First));
            if !second {
                continue;
            }
            let mut after = self.needs.of_parts(item).to_vec();
            after.push(item);
            let finish = self.add(Step::Finish(item), after);
            // Whoever needs the item needs all of it, except those that are in the circle with it.
            for other in dependants.get(&item).into_iter().flatten() {
                if let Some(slot) = self.after.get_mut(*other) {
                    slot.push(finish);
                }
            }
        }
    }

    fn load_steps(&mut self, analyze: bool) {
        for (load, info) in self.loads.iter().enumerate() {
            let table = info.relation.and_then(|id| self.by_id.get(&id)).copied();
            let complete = info.after.iter().filter_map(|other| self.position.get(&Step::Loaded(*other)));
            let after: Vec<usize> = table.into_iter().chain(complete.copied()).collect();
            let units: Vec<usize> = (0..info.units.len())
                .map(|unit| self.add(Step::Load { load, unit }, after.clone()))
                .collect();
            let loaded = self.add(Step::Loaded(load), units);
            if analyze && table.is_some() {
                let mut after = vec![loaded];
                // Indexes first: a build would wait for ANALYZE's lock, and ANALYZE reads expression indexes too.
                let indexes = info.relation.and_then(|id| self.indexes_of.get(&id));
                after.extend(indexes.into_iter().flatten());
                self.add(Step::Analyze(load), after);
            }
        }
    }

    /// What waits for rows of whatever relation waits for this one step.
    fn all_loaded_step(&mut self) {
        if self.items.iter().any(|item| item.refresh || item.after_all_data) {
            let loaded = (0..self.loads.len()).filter_map(|load| self.position.get(&Step::Loaded(load)));
            let loaded = loaded.copied().collect();
            self.add(Step::AllLoaded, loaded);
        }
    }

    fn refresh_steps(&mut self) {
        for (position, item) in self.items.iter().enumerate() {
            if item.refresh {
                // Its query may read any table, through functions too.
                let loaded = self.position.get(&Step::AllLoaded).copied();
                self.add(Step::Refresh(position), loaded.into_iter().chain([position]).collect());
            }
        }
        // A view over another: the lower one is filled first. Only what is over one has something below to look for.
        let over = self.over_refreshed();
        for position in 0..self.items.len() {
            let Some(step) = self.position.get(&Step::Refresh(position)).copied() else {
                continue;
            };
            let below = self.refreshes_below(position, &over);
            if let Some(slot) = self.after.get_mut(step) {
                slot.extend(below);
            }
        }
    }

    /// The items that read materialized views to be filled, directly or through others, and those views themselves.
    fn over_refreshed(&self) -> HashSet<usize> {
        let mut open: Vec<usize> =
            self.items.iter().enumerate().filter(|(_, item)| item.refresh).map(|(at, _)| at).collect();
        let mut over = HashSet::new();
        if open.is_empty() {
            return over;
        }
        let needs: Vec<Vec<usize>> = (0..self.items.len()).map(|item| self.needs(item)).collect();
        let dependants = circles::reversed(&needs);
        while let Some(next) = open.pop() {
            if over.insert(next) {
                open.extend(dependants.get(next).into_iter().flatten());
            }
        }
        over
    }

    /// The refresh steps of the materialized views that `item` reads, directly or through others that are none.
    fn refreshes_below(&self, item: usize, over: &HashSet<usize>) -> Vec<usize> {
        let mut seen = HashSet::from([item]);
        let mut open = self.needs(item);
        let mut found = Vec::new();
        while let Some(next) = open.pop() {
            if !over.contains(&next) || !seen.insert(next) {
                continue;
            }
            match self.position.get(&Step::Refresh(next)) {
                Some(step) => found.push(*step),
                None => open.extend(self.needs(next)),
            }
        }
        found
    }

    /// The steps that must be done before an item is created.
    fn creation_needs(&self, item: usize) -> Vec<usize> {
        let Some(it) = self.items.get(item) else {
            return Vec::new();
        };
        let mut after = self.needs(item);
        if it.after_all_data {
            after.extend(self.position.get(&Step::AllLoaded));
        }
        for relation in &it.after_data_of {
            for load in self.loads_of.get(relation).into_iter().flatten() {
                let analyzed = self.position.get(&Step::Analyze(*load)).filter(|_| it.kind == "foreign key");
                after.extend(analyzed.or_else(|| self.position.get(&Step::Loaded(*load))));
            }
            if let Some(view) = self.by_id.get(relation) {
                after.extend(self.position.get(&Step::Refresh(*view)));
            }
        }
        after.sort_unstable();
        after.dedup();
        after
    }

    /// Parts the steps into stages.
    fn stages(self) -> Result<RestorePlan, Cycle> {
        let order = self.order()?;
        let mut stage = vec![0u8; self.steps.len()];
        for step in &order {
            let own = match self.steps.get(*step) {
                Some(Step::Load { .. }) => 1,
                Some(Step::Create(item))
                    if self.items.get(*item).is_some_and(|item| LAST.contains(&item.kind)) =>
                {
                    2
                }
                Some(Step::Refresh(_)) => 3,
                _ => 0,
            };
            let inherited =
                self.after.get(*step).into_iter().flatten().filter_map(|other| stage.get(*other)).max();
            let value = own.max(inherited.copied().unwrap_or(0));
            if let Some(slot) = stage.get_mut(*step) {
                *slot = value;
            }
        }
        let mut plan = RestorePlan { detached: self.detached.clone(), ..RestorePlan::default() };
        let mut task_of = HashMap::new();
        for position in order {
            let (Some(step), Some(stage)) = (self.steps.get(position), stage.get(position)) else {
                continue;
            };
            let list = match stage {
                0 => {
                    plan.first.push(*step);
                    continue;
                }
                2 => {
                    plan.last.push(*step);
                    continue;
                }
                1 => &mut plan.parallel,
                _ => &mut plan.refresh,
            };
            let after = self.after.get(position).into_iter().flatten();
            let after = after.filter_map(|other| task_of.get(&(*stage, *other)).copied()).collect();
            task_of.insert((*stage, position), list.len());
            list.push((*step, Task { after, ..self.task(*step) }));
        }
        Ok(plan)
    }

    /// All steps in an order that respects what each needs; among the free ones, in `pg_dump`'s order of kinds.
    fn order(&self) -> Result<Vec<usize>, Cycle> {
        let mut waiting: Vec<usize> = Vec::with_capacity(self.after.len());
        let mut dependants = vec![Vec::new(); self.after.len()];
        for (step, after) in self.after.iter().enumerate() {
            let mut after = after.clone();
            after.sort_unstable();
            after.dedup();
            waiting.push(after.len());
            for other in after {
                if let Some(list) = dependants.get_mut(other) {
                    list.push(step);
                }
            }
        }
        let rank = |step: usize| (self.rank(step), step);
        let mut free: BinaryHeap<Reverse<(usize, usize)>> = waiting
            .iter()
            .enumerate()
            .filter(|(_, count)| **count == 0)
            .map(|(step, _)| Reverse(rank(step)))
            .collect();
        let mut order = Vec::with_capacity(waiting.len());
        while let Some(Reverse((_, step))) = free.pop() {
            order.push(step);
            for other in dependants.get(step).into_iter().flatten() {
                if let Some(count) = waiting.get_mut(*other) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        free.push(Reverse(rank(*other)));
                    }
                }
            }
        }
        if order.len() == self.steps.len() {
            return Ok(order);
        }
        let left = waiting.iter().enumerate().filter(|(_, count)| **count > 0);
        let items = left.filter_map(|(step, _)| match self.steps.get(step) {
            Some(Step::Create(item) | Step::Finish(item)) => Some(*item),
            _ => None,
        });
        Err(Cycle(items.collect()))
    }

    fn rank(&self, step: usize) -> usize {
        match self.steps.get(step) {
            Some(Step::Create(item)) => {
                let kind = self.items.get(*item).map_or("", |item| item.kind);
                ORDER.iter().position(|known| *known == kind).unwrap_or(ORDER.len())
            }
            _ => ORDER.len() + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(oid: u32) -> ObjectId {
        ObjectId::new(1, oid)
    }

    fn item(kind: &'static str, oid: u32, depends: &[u32], data: &[u32]) -> Item {
        Item {
            kind,
            ids: vec![id(oid)],
            depends: depends.iter().map(|oid| id(*oid)).collect(),
            after_data_of: data.iter().map(|oid| id(*oid)).collect(),
            ..Item::default()
        }
    }

    fn load(oid: u32, units: &[u64]) -> Load {
        Load { relation: Some(id(oid)), units: units.to_vec(), after: Vec::new() }
    }

    /// Steps of the parallel stage that `step` waits for, directly.
    fn waits(plan: &RestorePlan, step: Step) -> Vec<Step> {
        let (_, task) = plan.parallel.iter().find(|(other, _)| *other == step).unwrap();
        task.after.iter().map(|position| plan.parallel[*position].0).collect()
    }

    #[test]
    fn tables_first_then_rows_indexes_statistics_and_foreign_keys() {
        let items = [
            item("foreign key", 5, &[1, 2, 3], &[1, 2]),
            item("table", 1, &[4], &[]),
            item("table", 2, &[4], &[]),
            item("key constraint", 3, &[2], &[2]),
            item("schema", 4, &[], &[]),
            item("trigger", 6, &[1], &[1]),
        ];
        let plan = plan(&items, &[load(1, &[10, 10]), load(2, &[5])], true).unwrap();
        assert_eq!(plan.first, [Step::Create(4), Step::Create(1), Step::Create(2)]);
        assert_eq!(waits(&plan, Step::Create(3)), [Step::Loaded(1)]);
        let foreign = waits(&plan, Step::Create(0));
        for needed in [Step::Create(3), Step::Analyze(0), Step::Analyze(1)] {
            assert!(foreign.contains(&needed), "{needed:?}");
        }
        assert!(waits(&plan, Step::Analyze(1)).contains(&Step::Create(3)));
        assert_eq!(plan.last, [Step::Create(5)]);
    }

    #[test]
    fn an_index_on_a_partitioned_table_waits_for_every_partition() {
        let mut leaf = item("table", 2, &[1], &[]);
        leaf.partition_of = Some(id(1));
        let items = [item("table", 1, &[], &[]), leaf, item("foreign key", 3, &[1], &[1])];
        let plan = plan(&items, &[load(2, &[7])], false).unwrap();
        assert_eq!(waits(&plan, Step::Create(2)), [Step::Loaded(0)]);
    }

    #[test]
    fn a_foreign_key_has_the_whole_partition_tree_for_itself() {
        let mut leaf = item("table", 2, &[1], &[]);
        leaf.partition_of = Some(id(1));
        let items = [
            item("table", 1, &[], &[]),
            leaf,
            item("table", 3, &[], &[]),
            item("foreign key", 4, &[2, 3], &[2, 3]),
            item("index", 5, &[2], &[2]),
            item("key constraint", 6, &[2], &[2]),
        ];
        let plan = plan(&items, &[load(2, &[7])], false).unwrap();
        let locks = |item: usize| {
            let (_, task) = plan.parallel.iter().find(|(step, _)| *step == Step::Create(item)).unwrap();
            (task.exclusive.clone(), task.shared.clone())
        };
        assert_eq!(locks(3), (vec![1, 2, 3], vec![]));
        assert_eq!(locks(4), (vec![], vec![1, 2]));
        assert_eq!(locks(5), (vec![2], vec![1]));
    }

    #[test]
    fn what_may_read_any_table_waits_for_all_rows() {
        let check = Item { after_all_data: true, ..item("table constraint", 3, &[1], &[1]) };
        let items = [item("table", 1, &[], &[]), item("table", 2, &[], &[]), check];
        let plan = plan(&items, &[load(1, &[1]), load(2, &[1])], false).unwrap();
        assert!(waits(&plan, Step::Create(2)).contains(&Step::AllLoaded));
        assert_eq!(waits(&plan, Step::AllLoaded), [Step::Loaded(0), Step::Loaded(1)]);
    }

    #[test]
    fn a_circle_is_broken_at_what_can_be_detached() {
        let mut table = item("table", 1, &[], &[]);
        table.detachable = true;
        table.detached_depends = vec![id(2)];
        let items = [table, item("function", 2, &[1], &[]), item("view", 3, &[1], &[])];
        let plan = plan(&items, &[], false).unwrap();
        assert!(plan.detached.contains(&0));
        let at = |step| plan.first.iter().position(|other| *other == step).unwrap();
        assert!(at(Step::Create(0)) < at(Step::Create(1)) && at(Step::Create(1)) < at(Step::Finish(0)));
        assert!(at(Step::Finish(0)) < at(Step::Create(2)), "who needs the table needs all of it");
    }

    #[test]
    fn circles_that_hang_together_are_broken_too() {
        // Each table's default calls a function over the other's rows.
        let table = |oid: u32, function: u32, other: u32| Item {
            detachable: true,
            detached_depends: vec![id(function), id(other)],
            ..item("table", oid, &[], &[])
        };
        let items =
            [table(1, 4, 2), table(2, 3, 1), item("function", 3, &[1], &[]), item("function", 4, &[2], &[])];
        let plan = plan(&items, &[], false).unwrap();
        let at = |step| plan.first.iter().position(|other| *other == step).unwrap();
        assert!(at(Step::Create(3)) < at(Step::Finish(0)) && at(Step::Create(2)) < at(Step::Finish(1)));
    }

    #[test]
    fn what_cannot_be_broken_is_named() {
        let items = [item("function", 1, &[2], &[]), item("function", 2, &[1], &[])];
        assert_eq!(plan(&items, &[], false).unwrap_err(), Cycle(vec![0, 1]));
    }

    #[test]
    fn materialized_views_are_filled_last_and_before_their_indexes() {
        let mut lower = item("materialized view", 2, &[1], &[]);
        lower.refresh = true;
        let mut upper = item("materialized view", 3, &[2], &[]);
        upper.refresh = true;
        let items = [item("table", 1, &[], &[]), upper, lower, item("index", 4, &[2], &[2])];
        let plan = plan(&items, &[load(1, &[1])], true).unwrap();
        let steps: Vec<Step> = plan.refresh.iter().map(|(step, _)| *step).collect();
        let at = |step| steps.iter().position(|other| *other == step).unwrap();
        assert!(at(Step::Refresh(2)) < at(Step::Refresh(1)));
        assert!(at(Step::Refresh(2)) < at(Step::Create(3)));
        assert!(plan.first.contains(&Step::Create(1)), "the empty view is there from the start");
    }

    #[test]
    fn a_view_that_needs_a_key_waits_for_it() {
        let items = [
            item("table", 1, &[], &[]),
            item("key constraint", 2, &[1], &[1]),
            item("view", 3, &[1, 2], &[]),
        ];
        let plan = plan(&items, &[load(1, &[1])], false).unwrap();
        assert_eq!(waits(&plan, Step::Create(2)), [Step::Create(1)]);
    }

    /// Schemas, tables with defaults of their own sequences, indexes, foreign keys in a chain, views, materialized views
    /// over them, checks that wait for all rows, and circles of tables and functions.
    fn many(tables: u32) -> (Vec<Item>, Vec<Load>) {
        let mut items = vec![item("schema", 1, &[], &[])];
        let mut loads = Vec::new();
        for table in 0..tables {
            let at = |kind: u32| 10 + table * 10 + kind;
            items.push(item("sequence", at(0), &[1], &[]));
            let (detachable, detached_depends) = (true, vec![id(at(2)), id(at(0))]);
            items.push(Item { detachable, detached_depends, ..item("table", at(1), &[1], &[]) });
            items.push(item("function", at(2), if table % 4 == 0 { &[1, 0][..] } else { &[1] }, &[]));
            if let Some(function) = items.last_mut().filter(|_| table % 4 == 0) {
                function.depends = vec![id(at(1))];
            }
            items.push(item("index", at(3), &[at(1)], &[at(1)]));
            items.push(item("view", at(4), &[at(1), if table > 0 { at(4) - 10 } else { 1 }], &[]));
            let refresh = table % 10 == 0;
            items.push(Item { refresh, ..item("materialized view", at(5), &[at(4)], &[]) });
            items.push(Item {
                after_all_data: table % 10 == 1,
                ..item("table constraint", at(6), &[at(1)], &[at(1)])
            });
            items.push(item("foreign key", at(7), &[at(1), 11], &[at(1), 11]));
            loads.push(load(at(1), &[1]));
        }
        (items, loads)
    }

    #[test]
    fn planning_takes_time_in_proportion_to_the_objects() {
        let time = |tables| {
            let (items, loads) = many(tables);
            let began = std::time::Instant::now();
            let plan = plan(&items, &loads, true).unwrap();
            assert_eq!(plan.detached.len(), tables.div_ceil(4) as usize);
            let mut schedule = crate::plan::schedule::Schedule::new(
                plan.parallel.into_iter().map(|(_, task)| task).collect(),
            )
            .unwrap();
            let mut running = std::collections::VecDeque::new();
            while !schedule.is_done() {
                while running.len() < 8 {
                    let Some(task) = schedule.start_next() else { break };
                    running.push_back(task);
                }
                schedule.finish(running.pop_front().unwrap());
            }
            began.elapsed()
        };
        // A busy machine makes any measurement longer, and the longer one more; what grows with the square takes a hundred
        // times as long, always.
        assert!((0..8).any(|_| time(6_000) < time(600) * 25));
    }
}
