//! Defaults of columns and expressions of generated ones, in one pass over `pg_attrdef`.

use std::collections::HashMap;

use super::Known;
use super::classes::Classes;
use super::texts::{Likeness, Texts};
use crate::catalog::ident::{ObjectId, class};
use crate::catalog::sql_types::FIRST_NORMAL_OID;
use crate::pg::quote::qualified;
use crate::pg::{PgError, Row, Session};

/// The default of a column.
#[derive(Debug)]
struct ColumnDefault {
    oid: u32,
    /// Which expression it is, among all that differ in more than the sequence.
    expression: usize,
    /// The sequence that it takes values of.
    sequence: Option<u32>,
}

/// The defaults, by relation and column.
#[derive(Debug, Default)]
pub struct Defaults {
    all: HashMap<(u32, i16), ColumnDefault>,
    expressions: HashMap<String, usize>,
}

impl Defaults {
    /// Reads them.
    ///
    /// # Errors
    /// Those of the query.
    pub async fn read(session: &Session) -> Result<Self, PgError> {
        let sql = format!(
            "SELECT d.oid, d.adrelid, d.adnum, d.adbin FROM pg_catalog.pg_attrdef d WHERE d.oid >= {FIRST_NORMAL_OID}::pg_catalog.oid"
        );
        let mut read = Self::default();
        session.each_row(&sql, |row| read.push(row)).await?;
        Ok(read)
    }

    fn push(&mut self, row: &Row<'_>) -> Result<(), String> {
        let text = row.text(3)?;
        let next_value = next_value(text);
        let (sequence, text) = match &next_value {
            Some((sequence, rest)) => (Some(*sequence), rest.as_str()),
            None => (None, text),
        };
        let next = self.expressions.len();
        // Most are repeated: no copy of the text then.
        let expression = match self.expressions.get(text) {
            Some(known) => *known,
            None => *self.expressions.entry(text.to_owned()).or_insert(next),
        };
        let default = ColumnDefault { oid: row.parsed(0)?, expression, sequence };
        self.all.insert((row.parsed(1)?, row.parsed(2)?), default);
        Ok(())
    }

    /// The identity of a column's default.
    pub fn id(&self, relation: u32, column: i16) -> Option<ObjectId> {
        self.all.get(&(relation, column)).map(|default| ObjectId::new(class::PG_ATTRDEF, default.oid))
    }

    /// Says of which defaults the text is wanted. The expression of a generated column names columns: it is like none.
    pub(super) fn want(&self, known: Known<'_>, texts: &mut Texts) {
        for ((relation, number), default) in &self.all {
            if known.relations.get(*relation).is_none() {
                continue;
            }
            let column = known.attributes.of(*relation).and_then(|own| own.column(*number));
            let plain = column.is_some_and(|attribute| attribute.column.generated.is_none());
            texts.want(default.oid, if plain { default.likeness(known.classes) } else { None });
        }
    }
}

impl ColumnDefault {
    /// Defaults are written alike whose expressions are the same, but for the sequence whose next value they are.
    fn likeness(&self, classes: &Classes) -> Option<Likeness> {
        let Self { expression, sequence, .. } = self;
        let Some(sequence) = sequence else {
            return Some(Likeness { key: expression.to_string(), names: Vec::new() });
        };
        let class = classes.get(*sequence)?;
        let name = qualified(Some(&class.schema), &class.name);
        // In a literal they would be doubled.
        if name.contains(['\'', '\\']) {
            return None;
        }
        let names = vec![format!("\"nextval\"('{name}'::\"regclass\")")];
        Some(Likeness { key: format!("nextval {expression}"), names })
    }
}

/// The sequence whose next value an expression is, and the expression without it. The expression is as the server stores it:
/// a call of `nextval` (function 1574) with one constant of the type `regclass` (2205), whose bytes are written as numbers.
fn next_value(expression: &str) -> Option<(u32, String)> {
    const CALL: &str = "{FUNCEXPR :funcid 1574 ";
    const TYPE: &str = "{CONST :consttype 2205 ";
    const VALUE: &str = " :constvalue 4 [ ";
    if expression.matches(TYPE).count() != 1 || expression.matches(VALUE).count() != 1 {
        return None;
    }
    let (call, constant) = expression.split_once(TYPE)?;
    let (form, value) = constant.split_once(VALUE)?;
    let (bytes, after) = value.split_once(']')?;
    if !call.contains(CALL) || form.contains('}') {
        return None;
    }
    let bytes: Vec<u8> = bytes
        .split_whitespace()
        .map(|byte| byte.parse::<i16>().ok().and_then(|byte| u8::try_from(byte.rem_euclid(256)).ok()))
        .collect::<Option<_>>()?;
    // Servers of the other byte order have the number at the end.
    let [a, b, c, d, 0, 0, 0, 0] = bytes.as_slice() else { return None };
    Some((u32::from_le_bytes([*a, *b, *c, *d]), format!("{call}{TYPE}{form}{VALUE}?]{after}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_of_a_stored_expression() {
        let call = |value: &str| {
            format!(
                "{{FUNCEXPR :funcid 480 :args ({{FUNCEXPR :funcid 1574 :args ({{CONST :consttype 2205 :constlen 4 :constvalue 4 [ {value}]}})}})}}"
            )
        };
        let (sequence, rest) = next_value(&call("-9 -76 2 0 0 0 0 0 ")).unwrap();
        assert_eq!(sequence, 247 + 180 * 256 + 2 * 65536);
        assert_eq!(rest, next_value(&call("6 41 3 0 0 0 0 0 ")).unwrap().1);
        assert_eq!(next_value(&call("0 0 0 0 6 41 3 0 ")), None);
        let other = "{FUNCEXPR :funcid 1574 :args ({CONST :consttype 23 :constvalue 4 [ 1 0 0 0 0 0 0 0 ]})}";
        assert_eq!(next_value(other), None);
    }
}
