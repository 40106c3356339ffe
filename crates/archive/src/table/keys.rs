use serde::{Deserialize, Serialize};

use super::Span;

/// Where the rows of a table in a database are, by their keys in the order of its index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyMarks {
    /// Whether they are the rows without a key, which are found by where they lie.
    keyless: bool,
    rows: u64,
    /// Rows from one mark to the next: the more rows there are, the more.
    step: u64,
    /// The key of the last row before each mark.
    ends: Vec<String>,
    /// The key of the last row of all.
    last: String,
}

/// Some rows of a table in a database, by their keys. Rows that came between them later are
/// among them, and those that went are not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRange {
    /// The key that is before all of them; nothing if they begin with the first.
    pub(super) after: Option<String>,
    /// The key of the last of them.
    pub(super) until: String,
    /// Whether they are rows without a key: then what stands for it is where a row lies.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) keyless: bool,
    /// Some of the rows only: how many are passed over, and how many are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) block: Option<(u64, u64)>,
}

/// Marks that are kept, at most: so many are some megabytes, and chunks are as small as they
/// should be in tables of a hundred million rows.
const MOST: usize = 1 << 14;

impl KeyMarks {
    pub(super) fn new(keyless: bool) -> Self {
        Self { keyless, step: 1, ..Self::default() }
    }

    /// Takes the key of the next row.
    pub(super) fn push(&mut self, key: &str) {
        self.rows += 1;
        self.last.clear();
        self.last.push_str(key);
        if !self.rows.is_multiple_of(self.step) {
            return;
        }
        self.ends.push(key.to_owned());
        if self.ends.len() == MOST {
            // Every second one stays: those of even multiples of the step.
            let mut number = 0u64;
            self.ends.retain(|_| {
                number += 1;
                number.is_multiple_of(2)
            });
            self.step *= 2;
        }
    }

    pub(super) const fn rows(&self) -> u64 {
        self.rows
    }

    /// All rows in spans of at most so many, as far as marks allow it; `first` is the number of
    /// the first row in the table.
    pub(super) fn spans(&self, file: usize, first: u64, rows: u64) -> Vec<Span> {
        let step = (rows - rows % self.step).max(self.step);
        let mut spans = Vec::new();
        let (mut begin, mut after) = (0, None);
        while begin < self.rows {
            let end = begin.saturating_add(step).min(self.rows);
            let mark = usize::try_from(end / self.step - 1).ok();
            let mark = mark.filter(|_| end.is_multiple_of(self.step));
            let until = mark.and_then(|mark| self.ends.get(mark)).unwrap_or(&self.last).clone();
            let keys = KeyRange {
                after: after.replace(until.clone()),
                until,
                keyless: self.keyless,
                block: None,
            };
            let (first, rows) = (first + begin, end - begin);
            spans.push(Span { file, first, rows, offset: 0, keys: Some(keys) });
            begin = end;
        }
        spans
    }
}

impl KeyRange {
    pub(super) fn block(&self, first: u64, rows: u64) -> Self {
        Self { block: Some((first, rows)), ..self.clone() }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marks(rows: u64) -> KeyMarks {
        let mut marks = KeyMarks::new(false);
        (0..rows).for_each(|row| marks.push(&row.to_string()));
        marks
    }

    /// The rows of a span by its keys, which are their numbers.
    fn rows(span: &Span) -> std::ops::Range<u64> {
        let keys = span.keys.as_ref().unwrap();
        let after = keys.after.as_ref().map_or(0, |after| after.parse::<u64>().unwrap() + 1);
        after..keys.until.parse::<u64>().unwrap() + 1
    }

    proptest! {
        #[test]
        fn spans_cover_each_key_once(all in 0u64..200_000, most in 0u64..30_000) {
            let marks = marks(all);
            prop_assert!(marks.ends.len() < MOST);
            let mut next = 0;
            for span in marks.spans(3, 7, most) {
                prop_assert_eq!(rows(&span), next..next + span.rows);
                prop_assert_eq!((span.file, span.first), (3, 7 + next));
                prop_assert!(span.rows <= most.max(marks.step));
                next += span.rows;
            }
            prop_assert_eq!(next, all);
        }
    }

    #[test]
    fn marks_of_small_tables_are_at_every_row() {
        let marks = marks(1000);
        assert_eq!(marks.step, 1);
        assert_eq!(marks.spans(0, 0, 7).len(), 143);
    }
}
