//! Keys that other programs keep: `GnuPG` with its keyring, its agent and its smart cards, and a command of the user's in
//! front of a key management service. Also how a recipient is named on a command line.
//!
//! Programs are run with the key on their standard input and output, never in their arguments; what they say is shown
//! without what they were given.

mod child;
pub mod command;
pub mod gpg;
pub mod named;

pub use command::KeyCommand;
pub use gpg::Gpg;
pub use named::{recipients, still_good};
