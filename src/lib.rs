//! pgcask: a native, logical backup and recovery engine for PostgreSQL.
//!
//! ```text
//! backup    source server ──catalog──▶ model ─────────────┐
//!                         ──COPY──▶ chunks ─seal─▶ frames ─┴▶ archive writer ─▶ store
//! restore   store ─▶ archive reader ─▶ model ─▶ plan (graph) ─▶ workers ──SQL, COPY──▶ target server
//!                                  └▶ frames ─open─▶ chunks ──────────┘
//! ```
//!
//! A module knows only the modules below it; `ARCHITECTURE.md` has the map and the import rules, which a test
//! enforces.

pub mod actor;
pub mod archive;
pub mod backup;
pub mod budget;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod columns;
pub mod config;
pub mod copies;
pub mod custody;
pub mod drill;
pub mod erasure;
pub mod error;
pub mod estate;
pub mod event;
pub mod exit;
pub mod extract;
pub mod fields;
#[doc(hidden)]
pub mod fuzzing;
pub mod limits;
pub mod manifest;
pub mod opened;
pub mod operate;
mod page;
pub mod pg;
pub mod plan;
pub mod restore;
pub mod rows;
pub mod seal;
pub mod stop;
pub mod store;
