//! A chunk's rows, laid out column by column, each column in the encoding that suits its values: dates and numbers as
//! bytes of equal weight, a few values that recur as a dictionary. What zstd then has to do is less, and it does it better.
//!
//! ```text
//! rows of COPY text ──Plan::choose (a stream's first chunk)──▶ Plan
//!                   ──lay_out──▶ Laid: a head, the columns kept as text, the lanes of the others ──▶ zstd
//! Laid ──bring_back──▶ the same rows
//! ```
//! An encoding is only ever used where it gives back exactly the bytes that came; a column with a single value that does
//! not fit stays text in that chunk. `docs/format.md`, section 7.6, has the layout.
//!
//! The loops over values run through [`pulp::Arch::dispatch`], which compiles them once for any processor and once for one
//! with AVX2 and BMI, and chooses when they run. What such a loop calls must be inlined into it to take part.
#![expect(clippy::inline_always, reason = "a function that is called is compiled for any processor only")]

mod back;
mod dictionary;
mod digits;
mod head;
mod number;
mod plan;
mod time;

use crate::fields::{Fields, Span};

pub use back::bring_back;
pub use head::HEAD_BYTES_PER_COLUMN;
pub use plan::Plan;

use head::Head;
use number::Numbers;
use plan::{Choice, Encoding};

/// How hard zstd tries. Where nothing recurs, looking for what does costs three times as much and gains nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// It looks for repetitions, as hard as the level says.
    Search,
    /// It only gives frequent bytes short codes.
    Count,
}

/// What COPY text has for a null.
const NULL: &[u8] = b"\\N";

/// Bytes that are compressed as one zstd frame: those from the previous piece's end up to this one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where it ends.
    pub end: usize,
    /// How it is compressed.
    pub effort: Effort,
}

/// A chunk that was laid out, and the memory to lay out the next.
#[derive(Debug, Default)]
pub struct Laid {
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
    numbers: Numbers,
    codes: Vec<u8>,
}

impl Laid {
    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Each piece's bytes and how to compress them.
    pub fn pieces(&self) -> impl Iterator<Item = (&[u8], Effort)> {
        let mut start = 0;
        self.pieces.iter().map(move |piece| {
            let bytes = self.bytes.get(start..piece.end).unwrap_or_default();
            start = piece.end;
            (bytes, piece.effort)
        })
    }

    /// Memory of a huge chunk is not kept for the rest of the run.
    pub fn shrink_to(&mut self, bytes: usize) {
        if self.bytes.capacity() > bytes {
            *self = Self::default();
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.pieces.clear();
    }

    /// Ends a piece, if it has bytes. Pieces that are searched join: what recurs may do so across columns.
    fn cut(&mut self, effort: Effort) {
        let end = self.bytes.len();
        let start = self.pieces.last().map_or(0, |piece| piece.end);
        match self.pieces.last_mut() {
            _ if start == end => {}
            Some(last) if effort == Effort::Search && last.effort == Effort::Search => last.end = end,
            _ => self.pieces.push(Piece { end, effort }),
        }
    }
}

/// Lays out the rows of `text`, whose values' places are in `fields`. False when this is not the text that was looked at.
pub fn lay_out(plan: &Plan, text: &[u8], fields: &Fields, laid: &mut Laid) -> bool {
    laid.clear();
    let columns = fields.columns();
    laid.bytes.resize(columns * HEAD_BYTES_PER_COLUMN, 0);
    let mut heads = vec![None; columns];
    // Text that is searched comes first, in one piece with the head.
    for (column, head) in heads.iter_mut().enumerate() {
        if plan.choice(column) == Choice::default() {
            *head = Some(push_text(text, fields, column, false, laid));
        }
    }
    laid.cut(Effort::Search);
    for (column, head) in heads.iter_mut().enumerate() {
        if head.is_none() {
            *head = Some(encode(plan.choice(column), text, fields, column, laid));
        }
    }
    let mut room = laid.bytes.chunks_exact_mut(HEAD_BYTES_PER_COLUMN);
    for head in heads {
        if let (Some(head), Some(room)) = (head, room.next()) {
            room.copy_from_slice(&head.encode());
        }
    }
    text.len() == fields.text_bytes()
}

/// Appends one column in the encoding that was chosen, or as text where its values do not fit.
fn encode(choice: Choice, text: &[u8], fields: &Fields, column: usize, laid: &mut Laid) -> Head {
    let start = laid.bytes.len();
    let head = match choice.encoding {
        Encoding::Text => None,
        Encoding::Dictionary => dictionary::encode(text, fields, column, laid, choice.effort),
        Encoding::Number { kind, delta } => {
            number::encode(kind, delta, text, fields, column, laid, choice.effort)
        }
    };
    head.unwrap_or_else(|| {
        laid.bytes.truncate(start);
        laid.pieces.retain(|piece| piece.end <= start);
        let head = push_text(text, fields, column, true, laid);
        laid.cut(if choice.encoding == Encoding::Text { choice.effort } else { Effort::Search });
        head
    })
}

/// Appends a column's values, each ended by a newline.
fn push_text(text: &[u8], fields: &Fields, column: usize, apart: bool, laid: &mut Laid) -> Head {
    let start = laid.bytes.len();
    fields.append_column(text, column, &mut laid.bytes);
    Head::Text { bytes: laid.bytes.len() - start, apart }
}

fn take<'a>(from: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (front, rest) = from.split_at_checked(count)?;
    *from = rest;
    Some(front)
}

/// The value at a place.
fn value(text: &[u8], (start, end): Span) -> &[u8] {
    text.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lays the rows out as `plan` says, brings them back, and gives the heads.
    fn there_and_back(text: &[u8], plan: &Plan) -> Vec<Head> {
        let (mut fields, mut laid) = (Fields::default(), Laid::default());
        assert!(fields.find(text));
        assert!(lay_out(plan, text, &fields, &mut laid));
        assert_eq!(laid.pieces().map(|(bytes, _)| bytes.len()).sum::<usize>(), laid.bytes().len());
        let (columns, rows) = (fields.columns(), fields.rows());
        assert!(laid.bytes().len() <= text.len() + columns * HEAD_BYTES_PER_COLUMN);
        let mut back = Vec::new();
        assert!(bring_back(laid.bytes(), columns, rows, text.len(), &mut back));
        assert!(
            back == text,
            "{} came back as {}",
            String::from_utf8_lossy(text),
            String::from_utf8_lossy(&back)
        );
        // One byte less is not taken for the whole, and no limit is overstepped.
        assert!(!bring_back(&laid.bytes()[..laid.bytes().len() - 1], columns, rows, text.len(), &mut back));
        assert!(!bring_back(laid.bytes(), columns, rows, text.len() - 1, &mut back));
        laid.bytes()
            .chunks_exact(HEAD_BYTES_PER_COLUMN)
            .take(columns)
            .map(|head| Head::decode(head).unwrap())
            .collect()
    }

    /// The plan that is best when the length alone counts.
    fn plan(text: &[u8]) -> Plan {
        let mut fields = Fields::default();
        assert!(fields.find(text));
        Plan::choose(text, &fields, |bytes, _| Ok::<_, ()>(bytes.len())).unwrap()
    }

    fn column(values: impl IntoIterator<Item = impl std::fmt::Display>) -> (Vec<u8>, Head) {
        let text = values.into_iter().flat_map(|value| format!("same\t{value}\n").into_bytes());
        let text: Vec<u8> = text.collect();
        let heads = there_and_back(&text, &plan(&text));
        (text, heads[1])
    }

    #[test]
    fn each_kind_of_value_gets_its_encoding() {
        let kind = |head: Head| match head {
            Head::Number(head) => Some((head.kind, head.lanes)),
            _ => None,
        };
        let days = (0..2000).map(|n: u64| {
            let n = n * 7919 % 28;
            format!("{:04}-{:02}-{:02}", 1900 + n * 7, n % 12 + 1, n + 1)
        });
        assert!(matches!(column(days).1, Head::Dictionary { values: 28 }));
        assert_eq!(kind(column((0..2000).map(|n: i64| n * 7919 % 2003 - 900)).1).unwrap().1, 2);
        let prices = (0..2000).map(|n: u64| format!("{}.{:02}", n * 7919 % 99_991, n % 100));
        assert_eq!(kind(column(prices).1), Some((number::Kind::Decimal { scale: 2 }, 3)));
        let times = (0..2000)
            .map(|n: u64| format!("2024-02-29 12:{:02}:{:02}.{}+00", n % 60, n / 60, n + 1))
            .map(|text| text.replace("0+00", "1+00"));
        assert_eq!(kind(column(times).1).unwrap().0, number::Kind::Time(time::Time::TimestampUtc));
        // Every id is one more than the one before.
        assert_eq!(kind(column(5_000_000_000u64..5_000_002_000).1).unwrap().1, 1);
        assert!(matches!(column((0..2000).map(|n| format!("x{n}"))).1, Head::Text { .. }));
    }

    #[test]
    fn what_is_almost_a_number_stays_text() {
        for odd in [
            "-0",
            "00",
            "+1",
            "1.",
            ".5",
            "1e3",
            "NaN",
            "-",
            "",
            "1 ",
            "-0.00",
            "1234567890123456789012",
            "1.5",
            "0x1",
            "2024-02-30",
            "2023-02-29",
            "0000-01-01",
            "2024-13-01",
            "2024-01-01 BC",
            "infinity",
            "24:00:00",
            "2024-01-01 00:00:00.10",
            "2024-01-01 00:00:60",
            "2024-01-01 00:00:00+01",
            "10000-01-01",
            "\\\\N",
        ] {
            let usual = |n: usize| {
                if odd.contains(':') {
                    format!("2024-01-01 00:00:00.{}", n + 1)
                } else {
                    (n * 37).to_string()
                }
            };
            let values: Vec<String> = (0..300).map(usual).filter(|value| !value.ends_with('0')).collect();
            let text = |odd: Option<&str>| -> Vec<u8> {
                let values = values.iter().map(String::as_str).chain(odd);
                values.flat_map(|value| format!("a\t{value}\n").into_bytes()).collect()
            };
            let plan = plan(&text(None));
            assert!(matches!(there_and_back(&text(None), &plan)[1], Head::Number(_)), "{odd}");
            assert!(matches!(there_and_back(&text(Some(odd)), &plan)[1], Head::Text { .. }), "{odd}");
            assert!(matches!(there_and_back(&text(Some("\\N")), &plan)[1], Head::Number(_)), "{odd}");
        }
    }

    #[test]
    fn a_dictionary_of_values_that_do_not_recur_stays_text() {
        let rows = |value: fn(u32) -> String| -> Vec<u8> {
            (0..200).flat_map(|n| format!("a\t{}\n", value(n)).into_bytes()).collect()
        };
        let recurring = rows(|n| ["red", "green", "blue"][usize::try_from(n % 3).unwrap()].to_owned());
        let plan = plan(&recurring);
        assert!(matches!(there_and_back(&recurring, &plan)[1], Head::Dictionary { values: 3 }));
        // A reader refuses what is longer than the rows.
        assert!(matches!(there_and_back(&rows(|n| format!("x{n}")), &plan)[1], Head::Text { .. }));
    }

    #[test]
    fn extremes_come_back() {
        let most = 999_999_999_999_999_999i64;
        column([most, -most, 0, 1, -1, most]);
        column([i64::MAX, i64::MIN, 0]);
        column(["0001-01-01", "9999-12-31", "1970-01-01", "2000-02-29", "1900-02-28"]);
        column(["0001-01-01 00:00:00+00", "9999-12-31 23:59:59.999999+00", "1969-12-31 23:59:59.9+00"]);
        column(["0.00000000000000001", "-0.10000000000000000", "0.00000000000000000"]);
        column(["\\N", "\\N", "5", "\\N"]);
        column((0..5000).map(|n| format!("value {}", n % 256)));
        column((0..5000).map(|n| format!("value {}", n % 257)));
    }

    #[test]
    fn a_head_that_claims_more_than_there_is_reserves_nothing() {
        let mut out = Vec::new();
        let number = |lanes: u8| {
            let mut head = vec![3, 0, 0, 0, lanes, 0, 0, 0];
            head.extend_from_slice(&7i64.to_le_bytes());
            head
        };
        assert!(bring_back(&number(0), 1, 3, 6, &mut out) && out == b"7\n7\n7\n");
        assert!(!bring_back(&number(0), 1, usize::MAX / 2, 1 << 20, &mut out));
        assert!(!bring_back(&number(0), 1, 1 << 20, 1 << 20, &mut out) && out.capacity() < 4 << 20);
        assert!(!bring_back(&number(9), 1, 1, 100, &mut out));
    }

    proptest! {
        #[test]
        fn rows_come_back(
            kinds in proptest::collection::vec(0usize..7, 2..6),
            rows in 1usize..80,
            seed in any::<u64>(),
        ) {
            let mut state = seed | 1;
            let mut next = |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % below.max(1)
            };
            let mut rows_of = |odd: u64| -> String {
                (0..rows).map(|_| {
                    let values: Vec<String> = kinds.iter().map(|kind| match (kind, next(odd)) {
                        (_, 1) => "\\N".to_owned(),
                        (_, 2) => ["", "x", "-0", "1.50", "00", "2024-02-30"][usize::try_from(next(6)).unwrap()].to_owned(),
                        (0, _) => (i64::try_from(next(1 << 40)).unwrap() - 7).to_string(),
                        (1, _) => format!("{}.{:03}", next(1000), next(1000)),
                        (2, _) => format!("{:04}-{:02}-{:02}", next(9999) + 1, next(12) + 1, next(28) + 1),
                        (3, _) => format!("2024-01-{:02} {:02}:{:02}:{:02}", next(31) + 1, next(24), next(60), next(60)),
                        (4, _) => ["red", "green", "a longer colour"][usize::try_from(next(3)).unwrap()].to_owned(),
                        (5, _) => next(2).to_string(),
                        _ => format!("text {}", next(1 << 30)),
                    }).collect();
                    values.join("\t") + "\n"
                }).collect()
            };
            let (first, later) = (rows_of(1 << 20), rows_of(20));
            let plan = plan(first.as_bytes());
            there_and_back(first.as_bytes(), &plan);
            there_and_back(later.as_bytes(), &plan);
        }

        #[test]
        fn no_bytes_are_taken_for_more_than_they_are(
            laid in proptest::collection::vec(any::<u8>(), 0..200), columns in 0usize..6, rows in 0usize..50,
        ) {
            let mut out = Vec::new();
            bring_back(&laid, columns, rows, 1000, &mut out);
            prop_assert!(out.len() <= 1000 + 64 + laid.len());
        }
    }
}
