//! Columns of the archive that the live table has under another name, or no longer.

use super::condition;
use super::subject::Named;
use crate::error::{Error, ErrorKind, Result};
use crate::pg::quote::printable;
use crate::plan::select::Pattern;

/// What became of a column of the archive.
#[derive(Debug, Clone)]
pub struct ColumnFate {
    /// Of which tables.
    pub table: Pattern,
    /// Its name in the archive.
    pub then: String,
    /// Its name in the live table; `None`: it was dropped, and its values are left out.
    pub now: Option<String>,
}

impl ColumnFate {
    /// Reads `TABLE: OLD=NEW`, or `TABLE: OLD=` for a column that was dropped.
    ///
    /// # Errors
    /// When it has another form.
    pub fn parse(text: &str) -> Result<Self> {
        let usage = || {
            Error::new(ErrorKind::Usage, format!("{} tells of no column", printable(text)))
                .hint("as in --column 'sales.orders: total=amount', or 'sales.orders: total=' for one that was dropped")
        };
        let (table, fate) = condition::table_and_rest(text).ok_or_else(usage)?;
        let table = Pattern::table(table)
            .map_err(|error| Error::with_source(ErrorKind::Usage, "read the table of a column", error))?;
        let mut quoted = false;
        let equals = fate.char_indices().find(|(_, c)| {
            quoted ^= *c == '"';
            *c == '=' && !quoted
        });
        let (then, now) = equals.and_then(|(at, _)| fate.split_at_checked(at)).ok_or_else(usage)?;
        let name = |text: &str| match Pattern::plain_name(text.trim()) {
            Some((None, name)) => Ok(name),
            _ => Err(usage()),
        };
        let now = now.strip_prefix('=').unwrap_or(now).trim();
        let now = if now.is_empty() { None } else { Some(name(now)?) };
        Ok(Self { table, then: name(then)?, now })
    }
}

/// Gives the columns of an archive's table the names that the live table has.
pub(super) fn rename(table: &mut Named, fates: &[ColumnFate]) -> Result<()> {
    for fate in fates.iter().filter(|fate| fate.table.matches(&table.schema, &table.name)) {
        let columns = table.streams.iter_mut().flat_map(|stream| &mut stream.columns);
        let columns: Vec<&mut String> = columns.filter(|name| **name == fate.then).collect();
        if columns.is_empty() {
            let (name, column) = (format!("{}.{}", table.schema, table.name), &fate.then);
            let message = format!("{} has no column {} in the archive", printable(&name), printable(column));
            return Err(Error::new(ErrorKind::Usage, message));
        }
        match &fate.now {
            Some(now) => columns.into_iter().for_each(|name| name.clone_from(now)),
            None => table.dropped.push(fate.then.clone()),
        }
    }
    Ok(())
}

/// Fails if something is said of a table that is not among those that are looked at.
pub(super) fn require_used(fates: &[ColumnFate], tables: &[(&str, &str)]) -> Result<()> {
    let is_used = |fate: &ColumnFate| tables.iter().any(|(schema, name)| fate.table.matches(schema, name));
    let Some(unused) = fates.iter().find(|fate| !is_used(fate)) else { return Ok(()) };
    let message =
        format!("--column tells of {}, which is not among the tables", printable(&unused.table.text));
    Err(Error::new(ErrorKind::Usage, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fates_of_columns_are_read() {
        for (text, then, now) in [
            ("t: a=b", "a", Some("b")),
            ("sales.t:total =  amount ", "total", Some("amount")),
            ("\"a: b\": \"x=y\"=\"Z\"", "x=y", Some("Z")),
            ("t: Gone=", "gone", None),
        ] {
            let fate = ColumnFate::parse(text).unwrap();
            assert_eq!((fate.then.as_str(), fate.now.as_deref()), (then, now), "{text}");
        }
        for wrong in ["t", "t: a", "a=b", "t: =b", "t: s.a=b", "t: a=b c"] {
            assert!(ColumnFate::parse(wrong).is_err(), "{wrong}");
        }
    }
}
