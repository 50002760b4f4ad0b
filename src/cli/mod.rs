//! The command line: one file per command, with its arguments, the call into the library, and what it prints.

pub mod args;
pub mod backup;
pub mod printer;
pub mod progress;
pub mod prompt;
pub mod read;
pub mod restore;
