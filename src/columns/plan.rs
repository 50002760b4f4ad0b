//! Which encoding each column of a stream gets: tried on its first chunk, kept for the rest.

use super::head::Head;
use super::number::Kind;
use super::{Effort, Laid, encode, value};
use crate::fields::Fields;

/// A searched column must be smaller than a counted one by this many in a hundred: it takes three times as long.
const SEARCH_MUST_GAIN_PERCENT: usize = 3;

/// How one column is laid out and compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) encoding: Encoding,
    pub(super) effort: Effort,
}

/// How a column's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As they are.
    Text,
    /// Up to 256 values, then a byte for each row.
    Dictionary,
    /// Numbers, their bytes of equal weight together; as `delta`, differences from the row before.
    Number { kind: Kind, delta: bool },
}

impl Default for Choice {
    fn default() -> Self {
        Self { encoding: Encoding::Text, effort: Effort::Search }
    }
}

/// The encodings of a stream's columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan(Vec<Choice>);

impl Plan {
    /// Tries what may suit each column. `cost` is the length that some bytes have when compressed.
    pub fn choose<E>(
        text: &[u8],
        fields: &Fields,
        mut cost: impl FnMut(&[u8], Effort) -> Result<usize, E>,
    ) -> Result<Self, E> {
        let mut laid = Laid::default();
        let mut choices = Vec::with_capacity(fields.columns());
        for column in 0..fields.columns() {
            let mut best = (usize::MAX, Choice::default());
            for choice in candidates(text, fields, column) {
                laid.clear();
                let head = encode(choice, text, fields, column, &mut laid);
                if matches!(head, Head::Text { .. }) && choice.encoding != Encoding::Text {
                    continue;
                }
                let mut size = super::HEAD_BYTES_PER_COLUMN;
                for (piece, effort) in laid.pieces() {
                    size += cost(piece, effort)?;
                }
                if choice.effort == Effort::Search {
                    size += size * SEARCH_MUST_GAIN_PERCENT / 100;
                }
                if size < best.0 {
                    best = (size, choice);
                }
            }
            choices.push(best.1);
        }
        Ok(Self(choices))
    }

    /// Whether all columns stay text, searched together.
    pub fn is_text(&self) -> bool {
        self.0.iter().all(|choice| *choice == Choice::default())
    }

    pub(super) fn choice(&self, column: usize) -> Choice {
        self.0.get(column).copied().unwrap_or_default()
    }
}

/// What is worth a try.
fn candidates(text: &[u8], fields: &Fields, column: usize) -> Vec<Choice> {
    let first = fields.column(column).map(|span| value(text, span)).find(|value| *value != super::NULL);
    let mut encodings = vec![Encoding::Text, Encoding::Dictionary];
    if let Some(kind) = first.and_then(Kind::of) {
        encodings.extend([false, true].map(|delta| Encoding::Number { kind, delta }));
    }
    let both = |encoding| [Effort::Search, Effort::Count].map(|effort| Choice { encoding, effort });
    encodings.into_iter().flat_map(both).collect()
}
