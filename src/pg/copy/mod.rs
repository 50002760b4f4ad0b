//! COPY in bulk, past the driver's path of one message per row.

pub mod tap;
