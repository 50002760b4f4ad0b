//! Aggregates (`CREATE AGGREGATE`, section 36.12): plain, ordered-set, hypothetical, moving, parallel.

use serde::{Deserialize, Serialize};

use crate::catalog::acl::AclClass;
use crate::catalog::kind::{Head, Kind, Target, null_as_default};
use crate::catalog::sql_types::{
    ARRAY_FUNCTIONS, Definition, Name, ROUTINES, function_name, is_old_polymorphic, operator_name,
    optional_type, takes_compatible_arrays, type_text,
};
use crate::pg::{ServerVersion, quote};

/// An aggregate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregate {
    /// `n` plain, `o` ordered-set, `h` hypothetical-set: `pg_aggregate.aggkind`.
    pub form: char,
    /// The arguments as `CREATE AGGREGATE` takes them; empty for none.
    #[serde(default)]
    pub arguments: String,
    /// The arguments that tell it from others of its name.
    #[serde(default)]
    pub identity_arguments: String,
    /// The types of all arguments: `GRANT` names an aggregate as a function.
    #[serde(default, deserialize_with = "null_as_default")]
    pub types: Vec<String>,
    /// How it aggregates.
    pub plain: Box<States>,
    /// How it aggregates over a moving frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving: Option<Box<States>>,
    /// The function that combines two states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub combine: Option<Name>,
    /// The function that makes bytes of a state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serialize: Option<Name>,
    /// The function that makes a state of bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deserialize: Option<Name>,
    /// The operator whose least value it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort_operator: Option<Name>,
    /// `s` safe, `r` restricted, `u` unsafe: `pg_proc.proparallel`.
    pub parallel: char,
}

/// The states that an aggregate goes through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct States {
    /// The function from a state and a row to the next state.
    pub next: Name,
    /// For moving aggregates: the function that takes a row out of a state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inverse: Option<Name>,
    /// The type of the state.
    #[serde(rename = "type")]
    pub type_text: String,
    /// About how many bytes a state has; 0 if not known.
    #[serde(default)]
    pub space: i32,
    /// The function from the last state to the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Name>,
    /// Whether that function takes the arguments' types too.
    #[serde(default)]
    pub last_extra: bool,
    /// `r` if that function leaves the state alone, `s` if the state can be shared after it, `w` if it writes.
    pub last_modify: char,
    /// The first state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial: Option<String>,
}

/// The JSON of [`States`] from the columns of `pg_aggregate`, those for moving aggregates with `m` within.
fn states(m: &str) -> String {
    format!(
        "pg_catalog.json_build_object('next', {next}, 'inverse', {inverse}, 'type', {type_text}, \
         'space', g.agg{m}transspace, 'last', {last}, 'last_extra', g.agg{m}finalextra, \
         'last_modify', g.agg{m}finalmodify, 'initial', g.agg{m}initval)",
        next = function_name(&format!("g.agg{m}transfn")),
        inverse = if m.is_empty() { "NULL".to_owned() } else { function_name("g.aggminvtransfn") },
        type_text = optional_type(&format!("g.agg{m}transtype")),
        last = function_name(&format!("g.agg{m}finalfn")),
    )
}

impl Aggregate {
    fn states(&self, definition: &mut Definition, m: &str, states: &States) {
        let key = |name: &str| format!("{m}{name}");
        definition.name(&key("SFUNC"), Some(&states.next)).name("MINVFUNC", states.inverse.as_ref());
        definition.set(&key("STYPE"), &*states.type_text);
        if states.space != 0 {
            definition.set(&key("SSPACE"), states.space.to_string());
        }
        if let Some(initial) = &states.initial {
            definition.set(&key("INITCOND"), quote::literal(initial));
        }
        if states.last.is_none() {
            return;
        }
        definition.name(&key("FINALFUNC"), states.last.as_ref());
        definition.flag(&key("FINALFUNC_EXTRA"), states.last_extra);
        let usual = if self.form == 'n' { 'r' } else { 'w' };
        if states.last_modify != usual {
            let modify = match states.last_modify {
                'r' => "READ_ONLY",
                's' => "SHAREABLE",
                _ => "READ_WRITE",
            };
            definition.set(&key("FINALFUNC_MODIFY"), modify);
        }
    }
}

fn or_star(arguments: &str) -> &str {
    if arguments.is_empty() { "*" } else { arguments }
}

impl Kind for Aggregate {
    const NAME: &'static str = "aggregate";
    const CATALOGS: &'static [&'static str] = &["pg_proc", "pg_aggregate"];

    fn query(_server: ServerVersion) -> String {
        ROUTINES.query_joined(
            &format!(
                "g.aggkind AS form, pg_catalog.pg_get_function_arguments(o.oid) AS arguments, \
                 pg_catalog.pg_get_function_identity_arguments(o.oid) AS identity_arguments, \
                 (SELECT pg_catalog.json_agg({argument} ORDER BY t.i) \
                 FROM pg_catalog.unnest(o.proargtypes) WITH ORDINALITY t(oid, i)) AS types, \
                 {plain} AS plain, CASE WHEN g.aggmtransfn <> 0::pg_catalog.oid THEN {moving} END AS moving, \
                 {combine} AS combine, {serialize} AS serialize, {deserialize} AS deserialize, \
                 {sort} AS sort_operator, o.proparallel AS parallel",
                argument = type_text("t.oid"),
                plain = states(""),
                moving = states("m"),
                combine = function_name("g.aggcombinefn"),
                serialize = function_name("g.aggserialfn"),
                deserialize = function_name("g.aggdeserialfn"),
                sort = operator_name("g.aggsortop"),
            ),
            "JOIN pg_catalog.pg_aggregate g ON g.aggfnoid = o.oid",
            "o.prokind = 'a'",
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("AGGREGATE {}({})", head.qualified(), or_star(&self.identity_arguments))
    }

    fn acl_target(&self, head: &Head) -> Option<(AclClass, String)> {
        Some((AclClass::Function, format!("FUNCTION {}({})", head.qualified(), self.types.join(", "))))
    }

    fn inexpressible(&self, version: ServerVersion) -> Option<&'static str> {
        let old = |states: &States| {
            let functions = [Some(&states.next), states.last.as_ref(), states.inverse.as_ref()];
            is_old_polymorphic(&states.type_text)
                && functions.into_iter().flatten().any(takes_compatible_arrays)
        };
        let any = std::iter::once(&self.plain).chain(&self.moving).any(|states| old(states));
        (any && version.at_least(14)).then_some(ARRAY_FUNCTIONS)
    }

    fn create(&self, head: &Head, _target: &Target) -> Vec<String> {
        let mut definition = Definition::new();
        self.states(&mut definition, "", &self.plain);
        definition.name("COMBINEFUNC", self.combine.as_ref()).name("SERIALFUNC", self.serialize.as_ref());
        definition.name("DESERIALFUNC", self.deserialize.as_ref());
        if let Some(moving) = &self.moving {
            self.states(&mut definition, "M", moving);
        }
        definition.operator("SORTOP", self.sort_operator.as_ref());
        match self.parallel {
            's' => definition.set("PARALLEL", "SAFE"),
            'r' => definition.set("PARALLEL", "RESTRICTED"),
            _ => &mut definition,
        };
        definition.flag("HYPOTHETICAL", self.form == 'h');
        vec![format!(
            "CREATE AGGREGATE {}({}) {}",
            head.qualified(),
            or_star(&self.arguments),
            definition.sql()
        )]
    }
}
