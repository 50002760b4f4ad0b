//! What is to be done, in which order, in which pieces. Pure: no I/O, no async.

pub mod choose;
pub mod forecast;
pub mod globals;
pub mod priority;
pub mod restore;
pub mod schedule;
pub mod select;
pub mod units;
pub mod waits;
