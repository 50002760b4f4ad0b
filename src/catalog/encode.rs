//! The bytes of a [`Model`] in an archive: JSON, so that a stranger's program reads it and a later version adds fields.
//!
//! A reader ignores fields that it does not know and takes defaults for those that it misses. An object of a kind that
//! it does not know makes the whole unreadable to it: leaving it out would lose it silently.

use serde::Deserialize;
use serde_json::Value;

use super::both::both;
use super::model::{Entry, Model};
use crate::pg::quote;

/// The version that is written.
pub const FORMAT: u32 = 1;

/// So many entries are written by two threads.
const MANY: usize = 1000;

/// What is wrong with the bytes of a model.
#[derive(Debug, thiserror::Error)]
#[error("the catalog in the archive: {0}")]
pub struct ModelError(String);

/// The model as bytes.
///
/// # Errors
/// Never, for a model that was read from a server.
pub fn encode(model: &Model) -> Result<Vec<u8>, ModelError> {
    let wrong = |error: serde_json::Error| ModelError(error.to_string());
    if model.entries.len() < MANY {
        return serde_json::to_vec(model).map_err(wrong);
    }
    let Model { format, server, database, entries, warnings } = model;
    let (first, second) = entries.split_at(entries.len() / 2);
    let (first, second) = both(|| serde_json::to_vec(first), || serde_json::to_vec(second));
    let (mut first, second) = (first.map_err(wrong)?, second.map_err(wrong)?);
    // One list of both.
    first.pop();
    first.push(b',');
    first.extend(second.get(1..).unwrap_or_default());
    let rest = Model {
        format: *format,
        server: *server,
        database: database.clone(),
        entries: Vec::new(),
        warnings: warnings.clone(),
    };
    let rest = serde_json::to_string(&rest).map_err(wrong)?;
    // Within a text the quotes would be escaped.
    let (before, after) = rest
        .split_once(r#""entries":[]"#)
        .ok_or_else(|| ModelError("it has no list of entries".to_owned()))?;
    Ok([before.as_bytes(), br#""entries":"#, &first, after.as_bytes()].concat())
}

/// The model of these bytes. Never panics, whatever they are.
///
/// # Errors
/// When they are no model, naming the object that is none where one is at fault; or when they are of a later version that
/// says that older readers cannot understand it.
pub fn decode(bytes: &[u8]) -> Result<Model, ModelError> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    // First, since a later version may differ in all else.
    let version: Version = serde_json::from_slice(bytes).map_err(|error| ModelError(error.to_string()))?;
    if version.format > FORMAT {
        return Err(ModelError(format!("version {} is newer than this program", version.format)));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let entry = broken_entry(bytes).map(|name| format!("{name}: ")).unwrap_or_default();
        ModelError(format!("{entry}{error}"))
    })
}

/// What the first entry that cannot be decoded calls itself.
fn broken_entry(bytes: &[u8]) -> Option<String> {
    let model: Value = serde_json::from_slice(bytes).ok()?;
    let entries = model.get("entries")?.as_array()?;
    let (position, entry) =
        entries.iter().enumerate().find(|(_, entry)| Entry::deserialize(*entry).is_err())?;
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(quote::printable);
    let head = entry.get("head");
    let kind = text(entry.get("kind")).unwrap_or_else(|| "object".to_owned());
    let name = text(head.and_then(|head| head.get("name"))).unwrap_or_default();
    let schema =
        text(head.and_then(|head| head.get("schema"))).map(|schema| schema + ".").unwrap_or_default();
    Some(format!("{kind} {schema}{name} (entry {position})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(entry: &str) -> String {
        format!(
            r#"{{"format": 1, "server": 180004, "added_later": 1, "entries": [{entry}],
                "database": {{"name": "d", "owner": "o", "encoding": "UTF8"}}}}"#
        )
    }

    #[test]
    fn unknown_fields_are_ignored_and_missing_ones_have_defaults() {
        let entry =
            r#"{"head": {"id": [2615, 9], "name": "s", "new": 1}, "kind": "schema", "object": {"more": 2}}"#;
        let decoded = decode(model(entry).as_bytes()).unwrap();
        assert_eq!(decoded.entries[0].head.qualified(), "\"s\"");
        assert_eq!(decode(&encode(&decoded).unwrap()).unwrap(), decoded);
    }

    #[test]
    fn many_entries_are_written_as_few_are() {
        let entry = |at: usize| {
            format!(
                r#"{{"head": {{"id": [2615, {at}], "name": "s\"entries\":[]{at}"}}, "kind": "schema", "object": {{}}}}"#
            )
        };
        let entries: Vec<String> = (0..=MANY).map(entry).collect();
        let mut decoded = decode(model(&entries.join(",")).as_bytes()).unwrap();
        decoded.database.comment = Some(r#""entries":[]"#.to_owned());
        assert_eq!(encode(&decoded).unwrap(), serde_json::to_vec(&decoded).unwrap());
    }

    #[test]
    fn a_broken_entry_is_named() {
        let good = r#"{"head": {"id": [2615, 9], "name": "s"}, "kind": "schema", "object": {}}"#;
        let bad =
            r#"{"head": {"id": [1259, 9], "schema": "s", "name": "t\nx"}, "kind": "sequence", "object": {}}"#;
        let error = decode(model(&format!("{good}, {bad}")).as_bytes()).unwrap_err().to_string();
        assert!(error.contains("sequence s.t\\nx (entry 1): missing field `options`"), "{error}");
        let unknown = r#"{"head": {"id": [1, 9], "name": "n"}, "kind": "property graph", "object": {}}"#;
        let error = decode(model(unknown).as_bytes()).unwrap_err().to_string();
        assert!(error.contains("property graph n (entry 0)"), "{error}");
    }

    #[test]
    fn a_later_version_and_garbage_are_refused() {
        let error = decode(br#"{"format": 2, "all": "else"}"#).unwrap_err().to_string();
        assert_eq!(error, "the catalog in the archive: version 2 is newer than this program");
        for bytes in [&b""[..], b"{", b"[]", b"\xff\xfe", b"{\"format\": -1}"] {
            assert!(decode(bytes).is_err());
        }
    }
}
