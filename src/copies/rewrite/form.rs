//! When two values of a type are the same, told by their text alone: there is no server to ask. What cannot be told is refused
//! by name, never guessed.

use std::borrow::Cow;

/// How values of a type are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `smallint`, `integer`, `bigint`, `oid`.
    Integer,
    /// `uuid`.
    Uuid,
    /// `text`, `character varying`, `name`, labels of an enumerated type: the same text.
    Text,
    /// `character(n)`: blanks at the end do not count (manual, section 8.3).
    Padded,
    /// `boolean`.
    Bool,
    /// `numeric`: `1.0` is `1`.
    Numeric,
    /// `date`.
    Date,
    /// `timestamp`, with or without time zone; with one it is written in UTC.
    Time {
        /// With time zone.
        zone: bool,
    },
    /// Types of which the server writes equal values alike: between two columns, never by what people write.
    Written,
}

/// Types of the server of that last form.
const WRITTEN: [&str; 9] = [
    "bytea",
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "time without time zone",
    "pg_lsn",
    "bit",
    "bit varying",
];

impl Form {
    /// By the name of a type of the server's own, as `format_type` writes it.
    pub(super) fn of(type_name: &str) -> Option<Self> {
        let (before, rest) = type_name.split_once('(').unwrap_or((type_name, ""));
        let after = rest.split_once(')').map_or("", |(_, after)| after);
        let name = format!("{before}{after}");
        Some(match name.as_str() {
            "smallint" | "integer" | "bigint" | "oid" => Self::Integer,
            "uuid" => Self::Uuid,
            "text" | "character varying" | "name" => Self::Text,
            "character" => Self::Padded,
            "boolean" => Self::Bool,
            "numeric" => Self::Numeric,
            "date" => Self::Date,
            "timestamp without time zone" => Self::Time { zone: false },
            "timestamp with time zone" => Self::Time { zone: true },
            name if WRITTEN.contains(&name) => Self::Written,
            _ => return None,
        })
    }

    /// Whether the bounds of zone maps are in the order of what [`Form::fold`] gives.
    pub(super) const fn is_zoned(self) -> bool {
        matches!(self, Self::Integer | Self::Uuid | Self::Text | Self::Date | Self::Time { .. })
    }

    /// What equal values have in common, of a value that a server wrote.
    pub(super) fn fold(self, value: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Padded => {
                let end = value.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
                Cow::Borrowed(value.get(..end).unwrap_or_default())
            }
            Self::Numeric => {
                let folded = std::str::from_utf8(value).ok().and_then(number);
                folded.map_or(Cow::Borrowed(value), |text| Cow::Owned(text.into_bytes()))
            }
            _ => Cow::Borrowed(value),
        }
    }

    /// The same of a value that stands in the ledger, perhaps as a person wrote it; `None` for one that cannot be told.
    pub(super) fn read(self, text: &str) -> Option<Vec<u8>> {
        let folded = match self {
            Self::Integer => text.trim().parse::<i128>().ok()?.to_string(),
            Self::Uuid => uuid(text)?,
            Self::Text => text.to_owned(),
            Self::Padded => text.trim_end_matches(' ').to_owned(),
            Self::Bool => boolean(text)?.to_owned(),
            Self::Numeric => number(text.trim())?,
            Self::Date => Some(text).filter(|text| is_date(text))?.to_owned(),
            Self::Time { zone } => time(text, zone)?,
            Self::Written => return None,
        };
        Some(folded.into_bytes())
    }

    /// A value as the server casts it to text, which is what hashes are made of.
    pub(super) fn cast(self, value: &[u8]) -> Cow<'_, [u8]> {
        match (self, value) {
            (Self::Bool, b"t") => Cow::Borrowed(b"true"),
            (Self::Bool, b"f") => Cow::Borrowed(b"false"),
            (Self::Padded, _) => self.fold(value),
            _ => Cow::Borrowed(value),
        }
    }
}

fn uuid(text: &str) -> Option<String> {
    let text = text.trim();
    let inner = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
    let digits: String = inner.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| digits.get(range).unwrap_or_default());
    Some(parts.join("-"))
}

fn boolean(text: &str) -> Option<&'static str> {
    match text.trim().to_ascii_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "on" | "1" => Some("t"),
        "f" | "false" | "n" | "no" | "off" | "0" => Some("f"),
        _ => None,
    }
}

/// A decimal number without what does not count. An exponent is not understood.
fn number(text: &str) -> Option<String> {
    if ["NaN", "Infinity", "-Infinity"].contains(&text) {
        return Some(text.to_owned());
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(fraction) || whole.len() + fraction.len() == 0 {
        return None;
    }
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    Some(match (whole, fraction) {
        ("", "") => "0".to_owned(),
        (whole, "") => format!("{sign}{whole}"),
        (whole, fraction) => format!("{sign}{whole}.{fraction}"),
    })
}

/// Whether a text has the form of a pattern, in which `d` is a digit.
fn has_form(text: &str, pattern: &str) -> bool {
    let fits = |(byte, wanted): (u8, u8)| if wanted == b'd' { byte.is_ascii_digit() } else { byte == wanted };
    text.len() == pattern.len() && text.bytes().zip(pattern.bytes()).all(fits)
}

fn is_date(text: &str) -> bool {
    has_form(text, "dddd-dd-dd") || ["infinity", "-infinity"].contains(&text)
}

/// A time as the server writes it in ISO style, in UTC where it has a zone.
fn time(text: &str, zone: bool) -> Option<String> {
    if ["infinity", "-infinity"].contains(&text) {
        return Some(text.to_owned());
    }
    let moment = if zone { text.strip_suffix("+00")? } else { text };
    let (seconds, fraction) = moment.split_once('.').unwrap_or((moment, ""));
    if !has_form(seconds, "dddd-dd-dd dd:dd:dd") || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{seconds}{point}{fraction}{}", if zone { "+00" } else { "" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_known_by_their_names_with_modifiers() {
        for (name, form) in [
            ("bigint", Form::Integer),
            ("character varying(20)", Form::Text),
            ("character(3)", Form::Padded),
            ("numeric(10,2)", Form::Numeric),
            ("timestamp(3) with time zone", Form::Time { zone: true }),
            ("timestamp without time zone", Form::Time { zone: false }),
            ("bytea", Form::Written),
        ] {
            assert_eq!(Form::of(name), Some(form), "{name}");
        }
        for name in ["double precision", "jsonb", "public.citext", "interval", "text[]"] {
            assert_eq!(Form::of(name), None, "{name}");
        }
    }

    #[test]
    fn what_people_write_becomes_what_the_server_writes() {
        let zoned = Form::Time { zone: true };
        for (form, text, folded) in [
            (Form::Integer, " +0042", "42"),
            (Form::Integer, "-0", "0"),
            (Form::Uuid, "{A0EEBC999C0B4EF8BB6D6BB9BD380A11}", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            (Form::Text, " a ", " a "),
            (Form::Padded, "ab  ", "ab"),
            (Form::Bool, "Yes", "t"),
            (Form::Numeric, "-001.500", "-1.5"),
            (Form::Numeric, "-0.0", "0"),
            (Form::Numeric, ".5", ".5"),
            (Form::Date, "2026-01-02", "2026-01-02"),
            (zoned, "2026-01-02 03:04:05.600+00", "2026-01-02 03:04:05.6+00"),
        ] {
            let read = form.read(text).map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(read.as_deref(), Some(folded), "{form:?} {text:?}");
        }
        assert_eq!(Form::Numeric.fold(b"0.50"), Form::Numeric.read(".5").unwrap());
        for (form, text) in [
            (Form::Integer, "1e3"),
            (Form::Uuid, "a0eebc99"),
            (Form::Bool, "maybe"),
            (Form::Numeric, "1e3"),
            (Form::Date, "2 January 2026"),
            (zoned, "2026-01-02 03:04:05+02"),
            (Form::Written, "\\x00"),
        ] {
            assert_eq!(form.read(text), None, "{form:?} {text:?}");
        }
    }
}
