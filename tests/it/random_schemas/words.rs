//! Names, types and values that are hard to bring back.

/// Roles of the server, who own and grant.
pub(super) const ROLES: [&str; 3] = ["random_a", "random B", "random\"c"];

/// What makes names hard. Each name gets a number, so that no two are the same.
pub(super) const NAMES: [&str; 22] = [
    "plain",
    "Mixed Case",
    "quo\"te",
    "new\nline",
    "tab\there",
    "emoji😀",
    "select",
    "user",
    "per%cent",
    "back\\slash",
    "it's",
    "semi;colon",
    "dot.dot",
    "ünïcödé",
    "-- comment",
    "/* comment",
    "$dollar$",
    "trailing ",
    " leading",
    "café\u{301}",
    "(paren",
    "a name so long that it fills all sixty-three bytes that there are",
];

/// Types of columns and values that they take.
pub(super) const TYPES: [(&str, &[&str]); 18] = [
    ("integer", &["0", "42", "-7 + 3"]),
    ("bigint", &["9223372036854775807", "1"]),
    ("smallint", &["-32768"]),
    ("numeric(12,2)", &["1.50", "'NaN'"]),
    ("double precision", &["'-Infinity'", "1e-300"]),
    ("text", &["'it''s'", "E'new\\nline \\\\ back'", "''", "upper('x') || current_user"]),
    ("character varying(40)", &["'x'", "NULL"]),
    ("character(3)", &["'a'"]),
    ("boolean", &["true", "NOT true"]),
    ("date", &["'2024-02-29'", "CURRENT_DATE"]),
    ("timestamp(3) with time zone", &["now()", "'infinity'"]),
    ("interval day to second(2)", &["'1 day 02:03:04.567'"]),
    ("uuid", &["gen_random_uuid()"]),
    ("jsonb", &["'{\"a\": [1, null]}'"]),
    ("bytea", &["'\\x00ff'"]),
    ("text[]", &["'{a,NULL,\"c,d\"}'", "ARRAY['x', 'y']"]),
    ("bit varying(9)", &["B'101'"]),
    ("int4range", &["'[1,5)'", "'empty'"]),
];

/// A name as SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL.
pub(super) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
