//! All that is known of the backups of several stores, gathered once and told in two ways: as metrics for Prometheus, and as
//! a page for people; and, from less, how they are at a glance.
//!
//! ```text
//! stores ─▶ listings, sidecars, marks of drills ─▶ Estate ─┬▶ metrics: a file, a Pushgateway, OTLP
//!           audit logs, what this machine remembers ───────┴▶ the report
//! ```

mod gather;
pub mod metrics;
mod otlp;
mod overview;
mod push;
mod report;
mod runs;
mod textfile;

pub use gather::{BackupState, DatabaseState, Estate, StoreState, Watched, Wish, gather};
pub use metrics::{Exposition, metrics};
pub use otlp::send_otlp;
pub use overview::{DatabaseView, Overall, Overview, StoreView, overview};
pub use push::push;
pub use report::report_page;
pub use runs::RunFacts;
pub use textfile::write_textfile;
