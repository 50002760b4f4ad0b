//! Real servers for tests, demos and benchmarks: fetched at pinned versions, started on a leash.
//!
//! The `xtask` binary and the integration tests are the two users. A server that was started here never outlives
//! the process that started it, whatever way that process ends: see [`leash`].

pub mod install;
pub mod leash;
pub mod package;
pub mod postgres;
pub mod prometheus;
pub mod python;
pub mod seaweed;
pub mod tpch;
pub mod user;

/// What went wrong, in words for the person at the terminal.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Puts what was being done before what went wrong.
pub trait Context<T> {
    /// Names the step that failed; the text is only made when it did.
    fn context(self, step: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: std::fmt::Display> Context<T> for Result<T, E> {
    fn context(self, step: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| format!("{}: {error}", step()).into())
    }
}
