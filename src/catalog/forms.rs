//! What the text of a row depends on beside its own bytes, and that no lock of ours holds still: the attributes of
//! composite types and the labels of enums. The server writes rows by the newest catalog, not by the snapshot's. If one
//! of these changed while rows were read, some rows may be written in one form and some in another.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::sql_types::FIRST_NORMAL_OID;
use crate::pg::{PgError, Session};

/// The forms that a session sees, of each type that columns have.
#[derive(Debug)]
pub struct Forms(BTreeMap<u32, Form>);

#[derive(Debug)]
struct Form {
    name: String,
    /// The composite type's attributes, or one label each.
    parts: BTreeSet<String>,
}

/// Reads the forms.
///
/// # Errors
/// Those of the query.
pub async fn read(session: &Session) -> Result<Forms, PgError> {
    #[derive(Deserialize)]
    struct Row {
        oid: u32,
        name: String,
        part: String,
    }
    let sql = format!(
        "WITH used(t) AS (SELECT a.atttypid FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
         WHERE c.oid >= {FIRST_NORMAL_OID} AND c.relkind IN ('r', 'p', 'c') AND a.attnum > 0 AND NOT a.attisdropped \
         UNION SELECT d.typbasetype FROM pg_catalog.pg_type d WHERE d.typtype = 'd' \
         UNION SELECT r.rngsubtype FROM pg_catalog.pg_range r), \
         held(t) AS (SELECT u.t FROM used u UNION SELECT y.typelem FROM used u JOIN pg_catalog.pg_type y ON y.oid = u.t) \
         SELECT t.oid::pg_catalog.int8 AS oid, pg_catalog.format_type(t.oid, NULL) AS name, \
         (SELECT pg_catalog.string_agg(pg_catalog.format('%s %s', a.attnum, a.atttypid), ',' ORDER BY a.attnum) \
         FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0) AS part \
         FROM pg_catalog.pg_type t JOIN held h ON h.t = t.oid WHERE t.typtype = 'c' AND t.typrelid >= {FIRST_NORMAL_OID} \
         UNION ALL SELECT e.enumtypid::pg_catalog.int8, pg_catalog.format_type(e.enumtypid, NULL), \
         pg_catalog.format('%s %s', e.oid, e.enumlabel) FROM pg_catalog.pg_enum e JOIN held h ON h.t = e.enumtypid"
    );
    let mut forms: BTreeMap<u32, Form> = BTreeMap::new();
    for Row { oid, name, part } in session.query_json(&sql).await? {
        forms.entry(oid).or_insert_with(|| Form { name, parts: BTreeSet::new() }).parts.insert(part);
    }
    Ok(Forms(forms))
}

impl Forms {
    /// The types of which a part is no longer what it was. A new label of an enum changes no row; a type that is gone
    /// was no column's.
    pub fn changed(&self, now: &Self) -> Vec<String> {
        let lost =
            |oid: &u32, form: &Form| now.0.get(oid).is_some_and(|now| !form.parts.is_subset(&now.parts));
        self.0.iter().filter(|(oid, form)| lost(oid, form)).map(|(_, form)| form.name.clone()).collect()
    }
}
