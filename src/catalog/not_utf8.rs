//! Names and texts that are not UTF-8, which a database of the encoding `SQL_ASCII` may hold: the server checks nothing
//! there. Definitions are kept as UTF-8 text, so such a database is refused by name. Its rows may hold any bytes.

use super::sql_types::FIRST_NORMAL_OID;
use crate::pg::{PgError, Session};

/// Objects named in an error, at most.
const SHOWN: usize = 10;

/// Catalogs whose names or texts users write: class, column of the identity, column with the text.
const TEXTS: [(&str, &str, &str); 16] = [
    ("pg_namespace", "oid", "nspname"),
    ("pg_class", "oid", "relname"),
    ("pg_proc", "oid", "proname"),
    ("pg_proc", "oid", "prosrc"),
    ("pg_constraint", "oid", "conname"),
    ("pg_trigger", "oid", "tgname"),
    ("pg_rewrite", "oid", "rulename"),
    ("pg_policy", "oid", "polname"),
    ("pg_operator", "oid", "oprname"),
    ("pg_collation", "oid", "collname"),
    ("pg_ts_config", "oid", "cfgname"),
    ("pg_ts_dict", "oid", "dictname"),
    ("pg_statistic_ext", "oid", "stxname"),
    ("pg_event_trigger", "oid", "evtname"),
    ("pg_publication", "oid", "pubname"),
    ("pg_foreign_server", "oid", "srvname"),
];

/// Texts that belong to an object and whose own rows have no OID, or another's.
const OTHERS: &str = "SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, a.attrelid, a.attnum::pg_catalog.int4, \
    a.attname::pg_catalog.text FROM pg_catalog.pg_attribute a WHERE NOT a.attisdropped \
    UNION ALL SELECT d.classoid, d.objoid, d.objsubid, d.description FROM pg_catalog.pg_description d \
    UNION ALL SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, 0, t.typname::pg_catalog.text \
    FROM pg_catalog.pg_type t WHERE t.typrelid = 0 AND t.typelem = 0 \
    UNION ALL SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, e.enumtypid, 0, e.enumlabel FROM pg_catalog.pg_enum e \
    UNION ALL SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, b.adrelid, b.adnum, \
    pg_catalog.pg_get_expr(b.adbin, b.adrelid) FROM pg_catalog.pg_attrdef b";

/// Refuses a database with definitions that are not UTF-8, and names their objects.
///
/// # Errors
/// [`PgError::NotUtf8`]; those of the query.
pub async fn refuse(session: &Session) -> Result<(), PgError> {
    if session.info().encoding != "SQL_ASCII" {
        return Ok(());
    }
    let one = |(catalog, oid, text): &(&str, &str, &str)| {
        format!(
            "SELECT 'pg_catalog.{catalog}'::pg_catalog.regclass, c.{oid}, 0, c.{text}::pg_catalog.text FROM pg_catalog.{catalog} c"
        )
    };
    let all: Vec<String> = TEXTS.iter().map(one).chain([OTHERS.to_owned()]).collect();
    // Of bytes beyond ASCII, the form "escape" makes \2nn and \3nn.
    let sql = format!(
        "SELECT pg_catalog.encode(pg_catalog.textsend(pg_catalog.pg_describe_object(o.class, o.oid, o.sub)), 'hex'), \
         pg_catalog.encode(pg_catalog.textsend(o.text), 'hex') FROM ({}) o(class, oid, sub, text) \
         WHERE o.oid >= {FIRST_NORMAL_OID} AND pg_catalog.encode(pg_catalog.textsend(o.text), 'escape') ~ '\\\\[23][0-7][0-7]' \
         ORDER BY 1",
        all.join(" UNION ALL ")
    );
    let mut named = Vec::new();
    for row in session.query_text(&sql).await? {
        let [Some(object), Some(text)] = row.as_slice() else { continue };
        if from_hex(text).is_none_or(|text| std::str::from_utf8(&text).is_err()) {
            named.push(printable(&from_hex(object).unwrap_or_default()));
        }
    }
    named.dedup();
    if named.is_empty() {
        return Ok(());
    }
    let more = named.len().saturating_sub(SHOWN);
    named.truncate(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Err(PgError::NotUtf8 { what: format!("{}{more}", named.join(", ")) })
}

/// Text of unknown encoding, in ASCII.
fn printable(bytes: &[u8]) -> String {
    let one = |byte: &u8| match byte {
        b' '..=b'~' => char::from(*byte).to_string(),
        byte => format!("\\x{byte:02x}"),
    };
    bytes.iter().map(one).collect()
}

/// The bytes that hexadecimal digits stand for, in which a server gives text that need not be UTF-8.
pub(super) fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    digits.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits() {
        assert_eq!(from_hex("00ff7b"), Some(vec![0, 255, 123]));
        assert_eq!((from_hex("0"), from_hex("0g"), from_hex("")), (None, None, Some(vec![])));
    }
}
