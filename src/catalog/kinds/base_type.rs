//! Base types (`CREATE TYPE … (INPUT = …)`), whose functions are written in C or are the server's own.

use serde::{Deserialize, Serialize};

use crate::catalog::acl::AclClass;
use crate::catalog::facts::Presence;
use crate::catalog::ident::{ObjectId, class};
use crate::catalog::kind::{Head, Kind, Target};
use crate::catalog::sql_types::{Definition, Name, TYPES, also_array, function_name, optional_type};
use crate::pg::{ServerVersion, quote};

/// A base type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseType {
    /// Its own identity.
    pub type_id: ObjectId,
    /// Bytes of a value; -1 for variable length, -2 for C strings.
    pub length: i16,
    /// The input function.
    pub input: Name,
    /// The output function.
    pub output: Name,
    /// The binary input function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receive: Option<Name>,
    /// The binary output function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<Name>,
    /// The function that reads type modifiers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modifier_in: Option<Name>,
    /// The function that writes type modifiers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modifier_out: Option<Name>,
    /// The function that gathers statistics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analyze: Option<Name>,
    /// The function that handles subscripts (servers from 14).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscript: Option<Name>,
    /// Whether its values can have collations.
    #[serde(default)]
    pub collatable: bool,
    /// The default, as the text of a literal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The type of its elements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub element: Option<String>,
    /// What separates values in the text of an array.
    pub delimiter: char,
    /// The category for implicit casts.
    pub category: char,
    /// Whether it is preferred within its category.
    #[serde(default)]
    pub preferred: bool,
    /// Whether values are passed by value.
    #[serde(default)]
    pub by_value: bool,
    /// `c`, `s`, `i` or `d`: `pg_type.typalign`.
    pub alignment: char,
    /// `p`, `e`, `x` or `m`: `pg_type.typstorage`.
    pub storage: char,
}

impl Kind for BaseType {
    const NAME: &'static str = "type";
    const CATALOGS: &'static [&'static str] = &["pg_type"];
    const ONLY_WITH: Option<Presence> = Some(Presence::Types(b'b'));

    fn query(server: ServerVersion) -> String {
        let subscript = if server.at_least(14) {
            function_name("o.typsubscript")
        } else {
            "NULL::pg_catalog.json".to_owned()
        };
        TYPES.query(
            &format!(
                "{also}, pg_catalog.json_build_array({pg_type}, o.oid::pg_catalog.int8) AS type_id, \
                 o.typlen AS length, {input} AS input, {output} AS output, {receive} AS receive, {send} AS send, \
                 {modin} AS modifier_in, {modout} AS modifier_out, {analyze} AS analyze, {subscript} AS subscript, \
                 o.typcollation <> 0 AS collatable, o.typdefault AS \"default\", {element} AS element, \
                 o.typdelim AS delimiter, o.typcategory AS category, o.typispreferred AS preferred, \
                 o.typbyval AS by_value, o.typalign AS alignment, o.typstorage AS storage",
                also = also_array("o.typarray"),
                pg_type = class::PG_TYPE,
                input = function_name("o.typinput"),
                output = function_name("o.typoutput"),
                receive = function_name("o.typreceive"),
                send = function_name("o.typsend"),
                modin = function_name("o.typmodin"),
                modout = function_name("o.typmodout"),
                analyze = function_name("o.typanalyze"),
                element = optional_type("o.typelem"),
            ),
            "o.typtype = 'b' AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = o.oid)",
        )
    }

    fn identity(&self, head: &Head) -> String {
        format!("TYPE {}", head.qualified())
    }

    fn acl_target(&self, head: &Head) -> Option<(AclClass, String)> {
        Some((AclClass::Type, self.identity(head)))
    }

    fn create(&self, head: &Head, target: &Target) -> Vec<String> {
        let mut definition = Definition::new();
        definition.name("INPUT", Some(&self.input)).name("OUTPUT", Some(&self.output));
        definition.name("RECEIVE", self.receive.as_ref()).name("SEND", self.send.as_ref());
        definition
            .name("TYPMOD_IN", self.modifier_in.as_ref())
            .name("TYPMOD_OUT", self.modifier_out.as_ref());
        definition.name("ANALYZE", self.analyze.as_ref());
        definition.name("SUBSCRIPT", self.subscript.as_ref().filter(|_| target.version.at_least(14)));
        let length = if self.length == -1 { "VARIABLE".to_owned() } else { self.length.to_string() };
        definition.set("INTERNALLENGTH", length).flag("PASSEDBYVALUE", self.by_value);
        definition.set("ALIGNMENT", alignment(self.alignment)).set("STORAGE", storage(self.storage));
        definition
            .set("CATEGORY", quote::literal(&self.category.to_string()))
            .set("PREFERRED", self.preferred.to_string());
        if let Some(default) = &self.default {
            definition.set("DEFAULT", quote::literal(default));
        }
        if let Some(element) = &self.element {
            definition.set("ELEMENT", &**element);
        }
        definition.set("DELIMITER", quote::literal(&self.delimiter.to_string()));
        definition.set("COLLATABLE", self.collatable.to_string());
        vec![format!("CREATE TYPE {} {}", head.qualified(), definition.sql())]
    }

    /// Its functions take and return the type: the type's name comes first, as a shell, and the type last.
    fn detached_ids(&self) -> Vec<ObjectId> {
        vec![self.type_id]
    }

    fn create_without_detached(&self, head: &Head, _target: &Target) -> Vec<String> {
        vec![format!("CREATE TYPE {}", head.qualified())]
    }

    fn create_detached(&self, head: &Head, target: &Target) -> Vec<String> {
        self.create(head, target)
    }
}

fn alignment(code: char) -> &'static str {
    match code {
        'c' => "char",
        's' => "int2",
        'd' => "double",
        _ => "int4",
    }
}

fn storage(code: char) -> &'static str {
    match code {
        'e' => "external",
        'x' => "extended",
        'm' => "main",
        _ => "plain",
    }
}
