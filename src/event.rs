//! All that the library says while it works. It never prints: the terminal is one listener, JSON lines another,
//! tests a third.

use std::sync::Arc;

/// Something that happened, told as it happens.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A step of the whole began ("reading the catalog", "copying data").
    Phase {
        /// What begins.
        name: &'static str,
    },
    /// The expected size of the work became known.
    Total {
        /// Bytes of the relations on the server's disk, or of COPY text where that is known.
        bytes: u64,
        /// Rows, estimated or known.
        rows: u64,
    },
    /// Some of the data went through.
    Progress {
        /// Bytes of COPY text.
        bytes: u64,
        /// Rows.
        rows: u64,
    },
    /// One piece of work (a table, an index, a constraint) is complete.
    Done {
        /// What it was, for people.
        what: String,
        /// How long it took.
        seconds: f64,
    },
    /// One step of a restore is complete: which, on which connection.
    Step {
        /// What was done: `load`, `analyze`, `prove`, `fill`, or the kind of object that was made.
        work: &'static str,
        /// The object, for people.
        object: String,
        /// The connection, counted from 0.
        worker: usize,
        /// How long it took.
        seconds: f64,
        /// What it cost by the plan's estimate, in bytes moved; for `load` and `prove` bytes of COPY text.
        cost: u64,
    },
    /// Something the operator should know, though the work goes on.
    Warning {
        /// One sentence, without a full stop.
        message: String,
    },
    /// Something that the operator wants to read, and that is no cause for worry.
    Notice {
        /// One sentence, without a full stop.
        message: String,
    },
    /// A detail for the log.
    Info {
        /// One sentence, without a full stop.
        message: String,
    },
}

/// Listens to what an operation says.
pub trait Observer: Send + Sync + std::fmt::Debug {
    /// Takes one event. It is called from several threads and must return soon.
    fn event(&self, event: Event);
}

/// An observer that does not listen.
#[derive(Debug, Clone, Copy, Default)]
pub struct NullObserver;

impl Observer for NullObserver {
    fn event(&self, _event: Event) {}
}

/// How operations hold their observer.
pub type SharedObserver = Arc<dyn Observer>;
