//! The documented form of a drill's record is the form that it has.

use serde_json::Value;

/// What of a value does not have the form that a JSON Schema says: the part of the standard that ours uses.
fn wrong(schema: &Value, root: &Value, value: &Value, path: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        return wrong(root.pointer(name.trim_start_matches('#')).unwrap(), root, value, path);
    }
    let mut found = Vec::new();
    if let Some(several) = schema["anyOf"].as_array() {
        if several.iter().all(|one| !wrong(one, root, value, path).is_empty()) {
            found.push(format!("{path}: {value} is none of the forms"));
        }
        return found;
    }
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("{other} is no type"),
    };
    let right = match &schema["type"] {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().any(|name| is(name.as_str().unwrap())),
        other => panic!("{path}: {other}"),
    };
    if !right {
        found.push(format!("{path}: {value} is no {}", schema["type"]));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        found.push(format!("{path}: {value} is none of {}", schema["enum"]));
    }
    if let Some(fields) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                found.push(format!("{path}.{name} is missing"));
            }
        }
        for (name, value) in fields {
            match (&schema["properties"][name], &schema["additionalProperties"]) {
                (Value::Null, Value::Object(_)) => found.extend(wrong(
                    &schema["additionalProperties"],
                    root,
                    value,
                    &format!("{path}.{name}"),
                )),
                (Value::Null, _) => found.push(format!("{path}.{name} is not in the schema")),
                (field, _) => found.extend(wrong(field, root, value, &format!("{path}.{name}"))),
            }
        }
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        found.extend(wrong(&schema["items"], root, item, &format!("{path}[{at}]")));
    }
    found
}

fn schema() -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas/drill.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Fails unless a record has the documented form.
#[track_caller]
pub(super) fn assert_documented(record: &Value) {
    let schema = schema();
    assert_eq!(wrong(&schema, &schema, record, "record"), Vec::<String>::new());
}

#[test]
fn another_form_is_noticed() {
    let schema = schema();
    let found = wrong(&schema, &schema, &serde_json::json!({ "format": "1", "surprise": 1 }), "record");
    for expected in [
        "record.surprise is not in the schema",
        "record.checks is missing",
        "record.format: \"1\" is no \"integer\"",
    ] {
        assert!(found.iter().any(|line| line == expected), "{found:?}");
    }
}
