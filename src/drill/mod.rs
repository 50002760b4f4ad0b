//! Proves that a backup can be restored: a quick test of the archive alone, and a drill that restores it.
//!
//! ```text
//! test    archive ─▶ sidecars, size, key, every byte, metadata, age ─▶ table of checks, record, report
//! drill   the same, then: a server of its own (or a named one) ─▶ restore ─▶ proof ─▶ removal ─▶ record, report
//! ```

mod calibrate;
mod check;
mod estimate;
pub mod evidence;
mod full;
mod health;
mod lines;
mod private;
mod programs;
mod quick;
mod rates;
mod record;
mod register;
mod report;
mod state;
mod target;
mod tested;
pub mod text;
mod timeline;

pub use calibrate::calibrate;
pub use check::{Check, Outcome, Verdict};
pub use estimate::{Basis, Estimate};
pub use evidence::{Drilled, Mark};
pub use full::{Bases, DrillOptions, drill};
pub use health::{
    DatabaseHealth, Health, HealthOptions, KeyFacts, Level, Problem, Targets, by_database, ending, judge,
    usual_bytes,
};
pub use private::{PrivateOptions, abandoned};
pub use quick::{AGE, ArchiveFacts, Keys, QuickOptions};
pub use record::{ForecastFacts, Objective, Record, TableFacts, TestType, Throughput, Who};
pub use register::Entry;
pub use report::page;
pub use state::{Run, State};
pub use target::{ServerFacts, Whereto};
pub use tested::{TestOptions, test};
pub use timeline::{Phase, Step, Timeline};
