//! Procedures (`CREATE PROCEDURE`).

use serde::{Deserialize, Serialize};

use super::function::Routine;
use crate::catalog::acl::AclClass;
use crate::catalog::kind::{Head, Kind, Target};
use crate::pg::ServerVersion;

/// A procedure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Procedure {
    /// What functions and procedures share.
    #[serde(flatten)]
    pub routine: Routine,
}

impl Kind for Procedure {
    const NAME: &'static str = "procedure";
    const CATALOGS: &'static [&'static str] = &["pg_proc"];

    fn query(server: ServerVersion) -> String {
        Routine::query(server, "'p'")
    }

    fn identity(&self, head: &Head) -> String {
        format!("PROCEDURE {}", self.routine.signature(head))
    }

    fn acl_target(&self, head: &Head) -> Option<(AclClass, String)> {
        Some((AclClass::Function, self.identity(head)))
    }

    fn create(&self, _head: &Head, _target: &Target) -> Vec<String> {
        vec![self.routine.create()]
    }

    fn inexpressible(&self, version: ServerVersion) -> Option<&'static str> {
        self.routine.inexpressible(version)
    }
}
