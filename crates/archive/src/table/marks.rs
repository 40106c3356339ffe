use serde::{Deserialize, Serialize};

use mesh_core::Digest;

use super::keys::{KeyMarks, KeyRange};

/// How many rows the files of a table have, and where in them a run of rows is found again.
///
/// They are what a whole [`scan`](crate::Table::scan) gives, and hold for as long as no file
/// changes. They take eight bytes per 128 rows of a text file, and of a table in a database some ten
/// thousand keys, whatever its size.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    pub(super) files: Vec<FileMarks>,
}

/// The marks of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileMarks {
    pub(super) rows: u64,
    /// Where every [`MARK_ROWS`]th row begins, for files of text.
    pub(super) offsets: Vec<u64>,
    /// Where rows are by their keys, for a table in a database: those that have one, then those
    /// that have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) keys: Vec<KeyMarks>,
}

/// A run of rows of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The number of the file, from 0.
    pub file: usize,
    /// The number of its first row in the file, from 0.
    pub first: u64,
    /// How many rows it has.
    pub rows: u64,
    /// The byte at which reading begins, for files of text: where the last row begins whose
    /// number is a multiple of 128 and not above `first`. 0 for Parquet.
    pub offset: u64,
    /// The keys that its rows have, for a table in a database: they are found by them, however
    /// many rows came before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeyRange>,
}

/// Rows from one mark to the next.
pub(super) const MARK_ROWS: u64 = 128;

impl Marks {
    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// How many rows come before each file.
    #[must_use]
    pub fn starts(&self) -> Vec<u64> {
        let start = |rows: &mut u64, file: &FileMarks| {
            let start = *rows;
            *rows += file.rows;
            Some(start)
        };
        self.files.iter().scan(0, start).collect()
    }

    /// What tells the marks of a table in a database from those of another state of it, if they
    /// are of one: files tell by themselves.
    #[must_use]
    pub fn identity(&self) -> Option<Digest> {
        let has_keys = self.files.iter().any(|file| !file.keys.is_empty());
        // Marks are plain data, which is always JSON.
        has_keys.then(|| Digest::of_json(self).unwrap_or_else(|_| Digest::of(b"")))
    }

    /// Cuts all rows into spans of at most `rows` rows (0 counts as 1), in order; a span lies in
    /// one file. In files of text, 128 rows and more are rounded down to a multiple of 128, so
    /// that each span begins at a mark; so they are in a large table of a database, where marks
    /// are further apart the more rows there are, and a span is never shorter than that.
    #[must_use]
    pub fn spans(&self, rows: u64) -> Vec<Span> {
        let mut spans = Vec::new();
        for (number, file) in self.files.iter().enumerate() {
            if !file.keys.is_empty() {
                let mut first = 0;
                for keys in &file.keys {
                    spans.extend(keys.spans(number, first, rows));
                    first += keys.rows();
                }
                continue;
            }
            let text = !file.offsets.is_empty();
            let step = match rows {
                MARK_ROWS.. if text => rows - rows % MARK_ROWS,
                rows => rows.max(1),
            };
            let mut first = 0;
            while first < file.rows {
                let mark = usize::try_from(first / MARK_ROWS).ok();
                let offset = mark.and_then(|mark| file.offsets.get(mark)).copied();
                let rows = step.min(file.rows - first);
                let offset = offset.unwrap_or(0);
                spans.push(Span { file: number, first, rows, offset, keys: None });
                first = first.saturating_add(step);
            }
        }
        spans
    }
}

impl Span {
    /// Some of its rows: `first` counts from its own first row.
    #[must_use]
    pub fn block(&self, first: u64, rows: u64) -> Self {
        let keys = self.keys.as_ref().map(|keys| keys.block(first, rows));
        Self { file: self.file, first: self.first + first, rows, offset: self.offset, keys }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks() -> Marks {
        let text = FileMarks { rows: 300, offsets: vec![2, 1000, 2000], keys: Vec::new() };
        let parquet = FileMarks { rows: 250, ..FileMarks::default() };
        Marks { files: vec![text, FileMarks::default(), parquet] }
    }

    #[test]
    fn spans_cover_each_row_once() {
        let marks = marks();
        assert_eq!(marks.rows(), 550);
        for rows in [0, 1, 7, 127, 128, 129, 255, 256, 1000, u64::MAX] {
            let spans = marks.spans(rows);
            assert!(spans.iter().all(|span| (1..=rows.max(1)).contains(&span.rows)), "{rows}");
            let mut found: Vec<_> = Vec::new();
            for span in spans {
                found.extend((span.first..span.first + span.rows).map(|row| (span.file, row)));
            }
            let expected = (0..300).map(|row| (0, row)).chain((0..250).map(|row| (2, row)));
            assert!(found.into_iter().eq(expected), "{rows}");
        }
    }

    #[test]
    fn spans_of_text_begin_at_marks() {
        let spans = marks().spans(200);
        let of = |span: &Span| (span.file, span.first, span.rows, span.offset);
        let expected = [(0, 0, 128, 2), (0, 128, 128, 1000), (0, 256, 44, 2000)];
        assert_eq!(spans[..3].iter().map(of).collect::<Vec<_>>(), expected);
        assert_eq!(
            spans[3..].iter().map(of).collect::<Vec<_>>(),
            [(2, 0, 200, 0), (2, 200, 50, 0)]
        );
    }
}
