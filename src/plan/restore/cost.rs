//! What a step costs, how urgent it is, and which relations it must have for itself.

use std::collections::BTreeSet;

use super::{Planner, Step};
use crate::catalog::ident::ObjectId;
use crate::plan::priority::REST;
use crate::plan::schedule::Task;

impl Planner<'_> {
    /// The topmost table of the partition tree that a relation is part of; nothing when it is in none, or at the top.
    fn top_of_tree(&self, relation: ObjectId) -> Option<ObjectId> {
        let parent_of = |id: ObjectId| self.items.get(*self.by_id.get(&id)?)?.partition_of;
        let mut top = parent_of(relation)?;
        // Deeper than any server allows a tree to be: a circle in a damaged archive must end too.
        for _ in 0..1_000 {
            match parent_of(top) {
                Some(next) => top = next,
                None => break,
            }
        }
        Some(top)
    }

    /// Cost, class and locks of a step.
    pub(super) fn task(&self, step: Step) -> Task {
        let bytes_of = |load: &usize| self.loads.get(*load).map_or(0, |load| load.units.iter().sum::<u64>());
        let class_of =
            |item: Option<&usize>| item.and_then(|i| self.items.get(*i)).map_or(u8::MAX, |i| i.class);
        let mut task = Task { class: u8::MAX, ..Task::default() };
        match step {
            Step::Load { load, unit } => {
                let info = self.loads.get(load);
                task.cost = info.and_then(|load| load.units.get(unit)).copied().unwrap_or(0);
                task.class = class_of(info.and_then(|load| load.relation).and_then(|id| self.by_id.get(&id)));
            }
            Step::Analyze(load) => {
                task.cost = bytes_of(&load) / 16;
                let relation = self.loads.get(load).and_then(|load| load.relation);
                // After all else, but for a class that is to be complete first.
                let class = class_of(relation.and_then(|id| self.by_id.get(&id)));
                task.class = if class < REST { class } else { u8::MAX };
                task.exclusive.extend(relation.map(|id| id.oid));
                task.shared.extend(relation.and_then(|id| self.top_of_tree(id)).map(|id| id.oid));
            }
            Step::Create(item) | Step::Finish(item) | Step::Refresh(item) => {
                let Some(it) = self.items.get(item) else {
                    return task;
                };
                task.class = it.class;
                let relations: BTreeSet<u32> = it.after_data_of.iter().map(|id| id.oid).collect();
                let loads = it.after_data_of.iter().filter_map(|id| self.loads_of.get(id)).flatten();
                task.cost = loads.map(bytes_of).sum::<u64>() / 3;
                let trees: BTreeSet<u32> =
                    it.after_data_of.iter().filter_map(|id| self.top_of_tree(*id)).map(|id| id.oid).collect();
                // CREATE INDEX takes SHARE, which does not conflict with itself; keys and the rest take more. A foreign
                // key locks all partitions on both sides, in an order of its own: it must have the whole trees.
                match it.kind {
                    "index" => task.shared.extend(relations.union(&trees)),
                    "foreign key" => task.exclusive.extend(relations.union(&trees)),
                    _ => {
                        task.shared.extend(trees.difference(&relations));
                        task.exclusive.extend(relations);
                    }
                }
            }
            Step::Loaded(_) | Step::AllLoaded => {}
        }
        task
    }
}
