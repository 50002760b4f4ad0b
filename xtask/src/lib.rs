//! What the project's own commands and its tests share: finding and installing the servers that they need.

pub mod servers;
