//! The `pgcask` command.

fn main() {}
