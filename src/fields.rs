//! Where the values of COPY text end, found once for all who need to know: the content hash, the zone maps, and the
//! archive, which keeps a chunk's values column by column because like lies beside like then.
//!
//! In COPY text (PostgreSQL manual, `COPY`, "Text Format") a tab byte ends every value but the last of a row, a newline
//! byte the last one; inside values both are written as escapes. So a value's terminator tells all.

#![expect(clippy::inline_always, reason = "a function that is called is compiled for any processor only")]

use pulp::{Arch, Simd, WithSimd};

/// Bytes that are looked at together.
const WINDOW: usize = 32;

/// Windows whose newlines are counted in bytes.
const GROUP: usize = 255;

/// How many terminators a window has at most, usually.
const USUAL: usize = 6;

/// Short values are copied in pieces of this size, what follows them included: it is overwritten next.
const STEP: usize = 32;

/// The terminators of some text. Reused from text to text, so that memory is reserved once.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    ends: Ends,
    columns: usize,
}

/// Places in a text. The memory behind them stays in use, so that a window's places
/// are written without asking how many they are.
#[derive(Debug, Clone, Default)]
pub struct Ends {
    memory: Vec<u32>,
    count: usize,
}

impl Ends {
    /// The places of the newlines that end so many lines. None for text that is anything else.
    pub fn of_lines(text: &[u8], lines: usize) -> Option<Self> {
        let mut ends = Self::default();
        u32::try_from(text.len()).ok()?;
        let newlines = Arch::new().dispatch(FindTerminators { text, ends: &mut ends });
        let whole = newlines == lines && ends.count == lines && text.last() == Some(&b'\n');
        whole.then_some(ends)
    }

    /// The place of one.
    #[inline]
    pub fn get(&self, index: usize) -> Option<usize> {
        self.as_slice().get(index).copied().map(to_usize)
    }

    fn as_slice(&self) -> &[u32] {
        self.memory.get(..self.count).unwrap_or_default()
    }

    /// Adds the places of the bits that are set, counted from `base`.
    #[inline(always)]
    fn add(&mut self, base: u32, mut bits: u32) {
        if self.memory.len() < self.count + WINDOW {
            self.memory.resize((self.count + WINDOW) * 2, 0);
        }
        let Some(room) = self.memory.get_mut(self.count..).and_then(<[u32]>::first_chunk_mut::<WINDOW>)
        else {
            return;
        };
        let (usual, many) = room.split_at_mut(USUAL);
        self.count += to_usize(bits.count_ones());
        // Always so many, meant or not: a branch that is mispredicted costs more.
        for slot in usual {
            *slot = base.wrapping_add(bits.trailing_zeros());
            bits &= bits.wrapping_sub(1);
        }
        for slot in many {
            if bits == 0 {
                break;
            }
            *slot = base.wrapping_add(bits.trailing_zeros());
            bits &= bits.wrapping_sub(1);
        }
    }
}

/// A value's place: it begins at `.0` and its terminator is at `.1`.
pub type Span = (usize, usize);

/// One row's values.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    start: usize,
    ends: &'a [u32],
}

impl Row<'_> {
    /// Where it begins.
    pub const fn start(&self) -> usize {
        self.start
    }

    /// Where its newline is.
    pub fn end(&self) -> usize {
        self.ends.last().map_or(self.start, |end| to_usize(*end))
    }

    /// Where a value begins and where its terminator is.
    #[inline]
    pub fn value(&self, column: usize) -> Option<Span> {
        let end = to_usize(*self.ends.get(column)?);
        let before = column.checked_sub(1).and_then(|before| self.ends.get(before));
        Some((before.map_or(self.start, |end| to_usize(*end) + 1), end))
    }
}

impl Fields {
    /// Finds the terminators of whole rows that all have the same number of values. False for any other text, and for
    /// text beyond 4 GiB; nothing is known then.
    pub fn find(&mut self, text: &[u8]) -> bool {
        self.forget();
        if u32::try_from(text.len()).is_err() || text.last() != Some(&b'\n') {
            return false;
        }
        let newlines = self.find_terminators(text);
        let columns = self.ends.as_slice().iter().position(|end| byte_at(text, *end) == Some(b'\n'));
        let columns = columns.map_or(0, |last| last + 1);
        // Every row ends where it should and there are no other newlines, so all else is tabs.
        let whole = columns.checked_mul(newlines) == Some(self.ends.count)
            && self
                .ends
                .as_slice()
                .chunks_exact(columns.max(1))
                .all(|row| row.last().is_some_and(|end| byte_at(text, *end) == Some(b'\n')));
        if whole {
            self.columns = columns;
        } else {
            self.ends.count = 0;
        }
        whole
    }

    /// How many bytes the rows have, terminators included.
    pub fn text_bytes(&self) -> usize {
        self.ends.as_slice().last().map_or(0, |end| to_usize(*end) + 1)
    }

    /// Forgets what it knew.
    pub fn forget(&mut self) {
        self.ends.count = 0;
        self.columns = 0;
    }

    /// Gathers the places of tabs and newlines; gives the number of newlines.
    fn find_terminators(&mut self, text: &[u8]) -> usize {
        let ends = &mut self.ends;
        Arch::new().dispatch(FindTerminators { text, ends })
    }

    /// How many values each row has; 0 when nothing is known.
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.ends.count.checked_div(self.columns).unwrap_or(0)
    }

    /// The rows, from the first.
    pub fn each_row(&self) -> impl Iterator<Item = Row<'_>> {
        let mut start = 0;
        self.ends.as_slice().chunks_exact(self.columns.max(1)).map(move |ends| {
            let row = Row { start, ends };
            start = row.end() + 1;
            row
        })
    }

    /// The places of one column's values, row by row.
    #[inline]
    pub fn column(&self, column: usize) -> impl Iterator<Item = Span> {
        let mut row_start = 0;
        self.ends.as_slice().chunks_exact(self.columns.max(1)).map(move |ends| {
            let end = ends.get(column).copied().map_or(0, to_usize);
            match column.checked_sub(1) {
                None => {
                    (std::mem::replace(&mut row_start, ends.last().map_or(0, |end| to_usize(*end) + 1)), end)
                }
                Some(before) => (ends.get(before).map_or(0, |end| to_usize(*end) + 1), end),
            }
        })
    }

    /// Appends one column's values, each ended by a newline.
    pub fn append_column(&self, text: &[u8], column: usize, out: &mut Vec<u8>) {
        let length: usize = self.column(column).map(|(start, end)| end + 1 - start).sum();
        let mut at = out.len();
        let limit = at + length;
        out.resize(limit, 0);
        for span in self.column(column) {
            copy(text, span, out, at, limit, b'\n');
            at += span.1 + 1 - span.0;
        }
    }

    /// Writes the text column by column, every value ended by a newline. The length stays the same. False when this is
    /// not the text that was looked at.
    pub fn to_columns(&self, text: &[u8], out: &mut Vec<u8>) -> bool {
        // Not cleared: all of it is written over.
        out.resize(text.len(), 0);
        let mut cursors = self.column_starts();
        let limits: Vec<usize> = cursors.iter().skip(1).copied().chain([text.len()]).collect();
        let mut start = 0;
        for row in self.ends.as_slice().chunks_exact(self.columns.max(1)) {
            for ((cursor, limit), end) in cursors.iter_mut().zip(&limits).zip(row) {
                let end = to_usize(*end);
                // Beyond the limit the next column begins, whose first values are there already.
                if !copy(text, (start, end), out, *cursor, *limit, b'\n') {
                    return false;
                }
                *cursor += end + 1 - start;
                start = end + 1;
            }
        }
        start == text.len()
    }

    /// Where each column begins when they are written one after another.
    fn column_starts(&self) -> Vec<usize> {
        let mut lengths = vec![0; self.columns];
        let mut start = 0;
        for row in self.ends.as_slice().chunks_exact(self.columns.max(1)) {
            for (length, end) in lengths.iter_mut().zip(row) {
                let after = to_usize(*end) + 1;
                *length += after - start;
                start = after;
            }
        }
        let mut at = 0;
        for length in &mut lengths {
            at += std::mem::replace(length, at);
        }
        lengths
    }

    /// Turns what [`Fields::to_columns`] wrote back into rows. False when the text is not that of so many rows.
    pub fn to_rows(&mut self, columns: &[u8], rows: usize, out: &mut Vec<u8>) -> bool {
        self.forget();
        if u32::try_from(columns.len()).is_err() || columns.last() != Some(&b'\n') {
            return false;
        }
        let newlines = self.find_terminators(columns);
        if newlines != self.ends.count || rows == 0 || !newlines.is_multiple_of(rows) {
            return false;
        }
        let width = newlines / rows;
        let ends = self.ends.as_slice();
        out.resize(columns.len(), 0);
        let mut at = 0;
        for row in 0..rows {
            for column in 0..width {
                let index = column * rows + row;
                let start = index.checked_sub(1).and_then(|before| ends.get(before));
                let start = start.map_or(0, |end| to_usize(*end) + 1);
                let Some(end) = ends.get(index).map(|end| to_usize(*end)) else { return false };
                let terminator = if column + 1 == width { b'\n' } else { b'\t' };
                if !copy(columns, (start, end), out, at, columns.len(), terminator) {
                    return false;
                }
                at += end + 1 - start;
            }
        }
        at == columns.len()
    }
}

/// Copies a value and its terminator to `out` at `at`. Bytes up to `limit` may be overwritten.
#[inline]
fn copy(text: &[u8], (start, end): Span, out: &mut [u8], at: usize, limit: usize, terminator: u8) -> bool {
    let Some(length) = end.checked_sub(start) else { return false };
    let short = length < STEP && at + STEP <= limit;
    if short
        && let Some(from) = text.get(start..).and_then(<[u8]>::first_chunk::<STEP>)
        && let Some(to) = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<STEP>)
    {
        *to = *from;
    } else {
        match (text.get(start..end), out.get_mut(at..at + length)) {
            (Some(from), Some(to)) => to.copy_from_slice(from),
            _ => return false,
        }
    }
    match out.get_mut(at + length) {
        Some(last) => *last = terminator,
        None => return false,
    }
    true
}

fn byte_at(text: &[u8], at: u32) -> Option<u8> {
    text.get(to_usize(at)).copied()
}

/// No processor that runs this has pointers of less than 32 bits.
fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The first bytes of a slice, with zeros where it is shorter.
#[inline]
pub fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or_else(|| {
        let mut padded = [0; N];
        padded.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        padded
    })
}

/// Gathers the places of tabs and newlines; gives the number of newlines. In the form that is compiled for the processor
/// at hand: [`Ends::add`] takes half the time where there are instructions for counting and clearing bits.
struct FindTerminators<'a> {
    text: &'a [u8],
    ends: &'a mut Ends,
}

impl WithSimd for FindTerminators<'_> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        let Self { text, ends } = self;
        let mut newlines = 0;
        let mut base = 0u32;
        for group in text.chunks(WINDOW * GROUP) {
            let mut counts = wide::u8x32::ZERO;
            for window in group.chunks(WINDOW) {
                // A tab is 0 now, a newline 1, all else more.
                let bytes = wide::u8x32::new(padded(window)) - wide::u8x32::splat(b'\t');
                let one = wide::u8x32::splat(1);
                counts -= bytes.simd_eq(one);
                ends.add(base, bytes.min(one).simd_eq(bytes).to_bitmask());
                base = base.wrapping_add(32);
            }
            newlines += counts.to_array().into_iter().map(usize::from).sum::<usize>();
        }
        newlines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lay_out(text: &[u8]) -> Option<Vec<u8>> {
        let (mut fields, mut out) = (Fields::default(), Vec::new());
        (fields.find(text) && fields.to_columns(text, &mut out)).then_some(out)
    }

    #[test]
    fn columns_lie_one_after_another() {
        assert_eq!(lay_out(b"1\ta\n2\tbc\n").unwrap(), b"1\n2\na\nbc\n");
        assert_eq!(lay_out(b"\n\n").unwrap(), b"\n\n");
    }

    #[test]
    fn other_texts_are_not_taken() {
        for text in [&b""[..], b"1\t2", b"1\t2\n3\n", b"1\n2\t3\n", b"1\t2\n3\t4\n5\n6\t7\t8\n"] {
            assert_eq!(lay_out(text), None, "{text:?}");
        }
    }

    #[test]
    fn hostile_columns_are_refused() {
        let (mut fields, mut out) = (Fields::default(), Vec::new());
        for (text, rows) in
            [(&b"1\n2\n3\n"[..], 2), (b"1\n2\n", 0), (b"1\t2\n", 1), (b"1\n2", 2), (b"", 0), (b"1\n", 2)]
        {
            assert!(!fields.to_rows(text, rows, &mut out), "{text:?} of {rows}");
        }
    }

    proptest! {
        #[test]
        fn any_table_comes_back(
            width in 1usize..9,
            values in proptest::collection::vec("[a-z\\\\]{0,40}", 1..200),
        ) {
            let rows: Vec<String> = values.chunks_exact(width).map(|row| row.join("\t") + "\n").collect();
            let text = rows.concat().into_bytes();
            prop_assume!(!text.is_empty());
            let (mut fields, mut columns, mut back) = (Fields::default(), vec![7; 5], vec![7; 9]);
            prop_assert!(fields.find(&text));
            prop_assert_eq!((fields.rows(), fields.columns()), (rows.len(), width));
            prop_assert!(fields.to_columns(&text, &mut columns));
            let spans: Vec<&[u8]> = fields.each_row().map(|row| &text[row.start()..=row.end()]).collect();
            prop_assert_eq!(spans, rows.iter().map(String::as_bytes).collect::<Vec<_>>());
            for column in 0..width {
                let found: Vec<&[u8]> =
                    fields.each_row().filter_map(|row| row.value(column)).map(|(start, end)| &text[start..end]).collect();
                let expected: Vec<&[u8]> = values.chunks_exact(width).map(|row| row[column].as_bytes()).collect();
                prop_assert_eq!(found, expected);
            }
            prop_assert!(fields.each_row().all(|row| row.value(width).is_none()));
            prop_assert!(fields.to_rows(&columns, rows.len(), &mut back));
            prop_assert_eq!(back, text);
        }

        #[test]
        fn no_bytes_make_it_panic(text in proptest::collection::vec(prop_oneof![Just(9u8), Just(10), any::<u8>()], 0..200), rows in 0usize..20) {
            let (mut fields, mut out) = (Fields::default(), Vec::new());
            if fields.find(&text) {
                prop_assert!(fields.to_columns(&text, &mut out));
            }
            fields.to_rows(&text, rows, &mut out);
        }
    }
}
