//! What tests stand on: real servers on a leash, the real binary, and an independent judge of content.

pub(crate) mod postgres;
