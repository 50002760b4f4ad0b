//! A restore in words, before it begins: what it reads and makes, and from which backup.

use std::collections::{BTreeMap, BTreeSet};

use super::load_plan::LoadPlan;
use super::options::{GlobalsReport, Options, Plan};
use super::preflight::Finding;
use super::prepare::Prepared;
use super::selected;
use crate::manifest::Content;
use crate::plan::priority::{name_of, up_to};
use crate::plan::restore::Step;

/// What one run does of a plan.
#[derive(Debug, Default)]
struct Extent {
    items: BTreeSet<usize>,
    loads: BTreeSet<usize>,
}

impl Prepared {
    /// What is done until a class of priority is complete; nothing when all is done.
    fn extent(&self, stop_after: Option<u8>) -> Option<Extent> {
        let parallel = up_to(self.plan.parallel.clone(), stop_after?);
        let mut extent = Extent::default();
        for step in self.plan.first.iter().copied().chain(parallel.into_iter().map(|(step, _)| step)) {
            match step {
                Step::Create(item) | Step::Finish(item) => extent.items.insert(item),
                Step::Load { load, .. } => extent.loads.insert(load),
                Step::Loaded(_) | Step::AllLoaded | Step::Analyze(_) | Step::Refresh(_) => continue,
            };
        }
        // They are loaded before all else.
        let large = |load: &LoadPlan| load.stream.content == Content::LargeObjects;
        extent.loads.extend(self.loads.iter().enumerate().filter(|(_, load)| large(load)).map(|(at, _)| at));
        Some(extent)
    }

    /// What the restore would do.
    pub(super) fn describe(
        &self,
        options: &Options,
        globals: Option<GlobalsReport>,
        findings: Vec<Finding>,
    ) -> Plan {
        let extent = self.extent(options.stop_after);
        let is_done = |of: fn(&Extent) -> &BTreeSet<usize>, at: usize| {
            extent.as_ref().is_none_or(|extent| of(extent).contains(&at))
        };
        let mut objects: BTreeMap<&'static str, u64> = BTreeMap::new();
        let entries = self.model.entries.iter().enumerate();
        for (_, entry) in entries.filter(|(at, _)| is_done(|extent| &extent.items, *at)) {
            if !self.sectioned.there.contains(&entry.head.id) {
                *objects.entry(entry.object.kind()).or_default() += 1;
            }
        }
        let own = self.loads.iter().enumerate().filter(|(at, _)| is_done(|extent| &extent.loads, *at));
        let loads: Vec<&LoadPlan> =
            own.map(|(_, load)| load).chain(self.platform.loads.iter().map(|load| &load.plan)).collect();
        let bytes = loads.iter().map(|load| load.totals.plain_bytes).sum();
        Plan {
            database: options.target.display(),
            origin: self.origin.clone(),
            create: options.create,
            objects: objects.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect(),
            tables: u64::try_from(loads.len()).unwrap_or(u64::MAX),
            rows: loads.iter().map(|load| load.totals.rows).sum(),
            bytes,
            read_bytes: loads.iter().map(|load| load.totals.sealed_bytes).sum(),
            erasure_entries: u64::try_from(options.erasures.entries.len()).unwrap_or(u64::MAX),
            estimated_seconds: self.rate.map(|rate| selected::seconds_at(rate, bytes)),
            needed: self.needed_names(),
            stop_after: options.stop_after.map(name_of),
            globals,
            findings,
        }
    }
}
