//! Shell types (`CREATE TYPE name`): names of types that were never defined.

use serde::{Deserialize, Serialize};

use crate::catalog::facts::Presence;
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql_types::TYPES;
use crate::pg::ServerVersion;

/// A shell type; all that there is to it stands in its head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShellType {}

impl Kind for ShellType {
    const NAME: &'static str = "shell type";
    const CATALOGS: &'static [&'static str] = &["pg_type"];
    const ONLY_WITH: Option<Presence> = Some(Presence::Types(b'p'));

    fn query(_server: ServerVersion) -> String {
        TYPES.query("o.typisdefined AS defined", "o.typtype = 'p' AND NOT o.typisdefined")
    }

    fn identity(&self, head: &Head) -> String {
        format!("TYPE {}", head.qualified())
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        vec![format!("CREATE TYPE {}", head.qualified())]
    }
}
