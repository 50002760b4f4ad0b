//! The settings of our sessions. They are made by SQL, for poolers reject start-up options, and read back, for a
//! setting that did not take would corrupt a backup silently.

use super::quote::literal;

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionKind {
    /// Reading a database.
    Source,
    /// Writing into one.
    Target,
}

/// Settings of every session, with the reason where it is not plain. Those that a server does not have are left out.
const COMMON: &[(&str, &str)] = &[
    // Text form of values: the same on every server, and without loss.
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "3"),
    ("TimeZone", "UTC"),
    ("bytea_output", "hex"),
    ("lc_monetary", "C"),
    ("xmloption", "content"),
    // Text of statements.
    ("quote_all_identifiers", "off"),
    ("standard_conforming_strings", "on"),
    // A role without BYPASSRLS must fail, not see or write a part of the rows.
    ("row_security", "off"),
    // ctid ranges start where they say.
    ("synchronize_seqscans", "off"),
    // Roles and databases set these for applications; a backup outlasts them.
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("transaction_timeout", "0"),
    ("default_transaction_read_only", "off"),
];

/// Settings of sources alone.
const SOURCE: &[(&str, &str)] = &[
    // A relation that was swapped for a view or foreign table must not run its owner's code with our rights
    // (CVE-2024-7348).
    ("restrict_nonsystem_relation_kind", "view,foreign-table"),
    // Queries of the catalog look costly and are not: compiling one takes longer than running it.
    ("jit", "off"),
    // Ours are the processes that the operator allowed, no others.
    ("max_parallel_workers_per_gather", "0"),
    // Room to join and sort the catalog of many tables.
    ("work_mem", "64MB"),
];

/// The name under which sessions show, unless the operator asks for another.
const APPLICATION_NAME: &str = "pgcask";

/// Names and values for one session.
pub(crate) fn wanted(
    kind: SessionKind,
    server_encoding: &str,
    application_name: Option<&str>,
    extra: &[(String, String)],
) -> Vec<(String, String)> {
    let special: &[(&str, &str)] = if kind == SessionKind::Source { SOURCE } else { &[] };
    // SQL_ASCII means that the server knows no encoding: text passes unchanged only if the client claims none either.
    let encoding = if server_encoding == "SQL_ASCII" { "SQL_ASCII" } else { "UTF8" };
    let mut list: Vec<(String, String)> = [
        ("search_path", ""),
        ("client_encoding", encoding),
        ("application_name", application_name.unwrap_or(APPLICATION_NAME)),
    ]
    .iter()
    .chain(COMMON)
    .chain(special)
    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
    .collect();
    list.extend_from_slice(extra);
    list
}

fn values(list: &[(String, String)]) -> String {
    let rows: Vec<String> =
        list.iter().map(|(name, value)| format!("({}, {})", literal(name), literal(value))).collect();
    format!("(VALUES {}) AS w(name, value)", rows.join(", "))
}

/// The statement that makes the settings that this server has.
pub(crate) fn apply_sql(list: &[(String, String)]) -> String {
    format!(
        "SELECT pg_catalog.set_config(w.name, w.value, false) FROM {} WHERE pg_catalog.current_setting(w.name, true) \
         IS NOT NULL",
        values(list)
    )
}

/// The statement that makes the settings that a script needs which does what a restoring session would do. Functions'
/// bodies may speak of what the script creates later.
pub fn script_preamble(server_encoding: &str) -> String {
    let extra = [("check_function_bodies".to_owned(), "off".to_owned())];
    apply_sql(&wanted(SessionKind::Target, server_encoding, None, &extra))
}

/// The statement that returns name, wanted and found value of those that this server has.
pub(crate) fn verify_sql(list: &[(String, String)]) -> String {
    format!(
        "SELECT w.name, w.value, pg_catalog.current_setting(w.name, true) FROM {} WHERE \
         pg_catalog.current_setting(w.name, true) IS NOT NULL",
        values(list)
    )
}

/// Whether a setting took. Only those that the data depends on are compared: the server shows memory in other units
/// than it was given, and replaces unusual characters of an application's name.
pub(crate) fn agrees(name: &str, wanted: &str, found: &str) -> bool {
    let essential = matches!(name, "search_path" | "client_encoding" | "restrict_nonsystem_relation_kind")
        || COMMON.iter().any(|(known, _)| *known == name);
    !essential || wanted == found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_restricts_views_and_a_target_does_not() {
        let names = |kind| -> Vec<String> {
            wanted(kind, "UTF8", None, &[]).into_iter().map(|(name, _)| name).collect()
        };
        let restricted = "restrict_nonsystem_relation_kind".to_owned();
        assert!(names(SessionKind::Source).contains(&restricted));
        assert!(!names(SessionKind::Target).contains(&restricted));
        assert_eq!(names(SessionKind::Source).first().unwrap(), "search_path");
    }

    #[test]
    fn values_are_quoted_and_checked() {
        let list =
            wanted(SessionKind::Target, "SQL_ASCII", Some("it's"), &[("work_mem".into(), "1GB".into())]);
        let sql = apply_sql(&list);
        assert!(
            sql.contains("('application_name', 'it''s')") && sql.contains("('client_encoding', 'SQL_ASCII')")
        );
        assert!(verify_sql(&list).contains("('work_mem', '1GB')"));
        assert!(agrees("TimeZone", "UTC", "UTC") && !agrees("TimeZone", "UTC", "GMT"));
        assert!(!agrees("search_path", "", "public"));
        assert!(agrees("work_mem", "1024MB", "1GB"));
    }
}
