//! The integration tests: one binary, grouped by what a user would lose.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::print_stderr,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_in_result,
    clippy::format_collect,
    reason = "test code may panic and print"
)]

mod architecture;
mod archive;
mod audit;
mod beyond;
mod book;
mod catalog;
mod config;
mod connect;
mod copies;
mod crash;
mod database;
mod diff;
mod docs;
mod doctor;
mod drill;
mod erasure;
mod extensions;
mod extremes;
mod faults;
mod foreign;
mod full_store;
mod globals;
mod golden;
mod harness;
mod hold;
mod in_place;
mod inexpressible;
mod init;
mod keys;
mod list;
mod load;
mod locks;
mod managed;
mod migration;
mod monitoring;
mod notify;
mod partitions;
mod personal;
mod picker;
mod plans;
mod pooler;
mod priorities;
mod prune;
mod random_schemas;
mod reading;
mod report;
mod requirements;
mod resume;
mod retention;
mod rewrite;
mod roles;
mod roundtrip;
mod rows;
mod s3;
mod schedule;
mod script;
mod sections;
mod selective;
mod standby;
mod store_down;
mod store_faults;
mod store_options;
mod surroundings;
mod swap;
mod table;
mod tidy;
mod unkind;
mod validate;
mod values;
