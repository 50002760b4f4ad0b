//! Event triggers (`CREATE EVENT TRIGGER`, chapter 38): created last, or they would fire on the restore itself.

use serde::{Deserialize, Serialize};

use crate::catalog::ident::class;
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::sql_types::{Global, Name, function_name};
use crate::pg::{ServerVersion, quote};

/// An event trigger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventTrigger {
    /// The event: `ddl_command_start`…
    pub event: String,
    /// The command tags that it fires for; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub tags: Vec<String>,
    /// The function that it calls.
    pub function: Name,
    /// `O` enabled, `D` disabled, `R` for replicas, `A` always: `pg_event_trigger.evtenabled`.
    pub enabled: char,
}

impl Kind for EventTrigger {
    const NAME: &'static str = "event trigger";
    const CATALOGS: &'static [&'static str] = &["pg_event_trigger"];

    fn query(_server: ServerVersion) -> String {
        let triggers = Global {
            class: class::PG_EVENT_TRIGGER,
            catalog: "pg_event_trigger",
            name: "o.evtname",
            owner: Some("o.evtowner"),
            acl: None,
        };
        triggers.query(
            &format!(
                "o.evtevent AS event, pg_catalog.to_json(o.evttags) AS tags, {} AS function, o.evtenabled AS enabled",
                function_name("o.evtfoid")
            ),
            "true",
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("EVENT TRIGGER {}", quote::ident(&head.name))
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let identity = self.identity(head);
        let mut create = format!("CREATE {identity} ON {}", quote::ident(&self.event));
        if !self.tags.is_empty() {
            let tags: Vec<String> = self.tags.iter().map(|tag| quote::literal(tag)).collect();
            create += &format!(" WHEN TAG IN ({})", tags.join(", "));
        }
        create += &format!(" EXECUTE FUNCTION {}()", self.function.sql());
        let mut statements = vec![create];
        let state = match self.enabled {
            'D' => Some("DISABLE"),
            'R' => Some("ENABLE REPLICA"),
            'A' => Some("ENABLE ALWAYS"),
            _ => None,
        };
        statements.extend(state.map(|state| format!("ALTER {identity} {state}")));
        statements
    }
}
