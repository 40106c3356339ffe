use std::{collections::VecDeque, path::Path};

use mesh_core::ProgressTask;
use mesh_text::{Dialect, FieldSplitter};

use crate::{
    ArchiveError, Unusable,
    lines::{Lines, MAX_BYTES},
};

/// The records of a file of values between commas or tabs, below its header.
///
/// A record is a line, or several where a quote is open at the end of one. A quote that is never
/// closed, or only by another broken one, makes its own line unusable: reading goes on at the next
/// line, so that one broken quote does not swallow the rest of the file.
pub(crate) struct Records<'a> {
    /// The names of the columns.
    pub(crate) names: Vec<String>,
    /// The header as it is.
    pub(crate) header: Vec<u8>,
    lines: Lines<'a>,
    dialect: Dialect,
    /// Lines that were read to find the end of a quote, and given back.
    back: VecDeque<Line>,
}

/// A line, and where it begins in its file.
struct Line {
    offset: u64,
    bytes: Vec<u8>,
}

/// A row below the header.
pub(crate) struct Record {
    /// Where it begins in its file: what is read from there on is the same.
    pub(crate) offset: u64,
    /// Its bytes as they are, with the end of its last line.
    pub(crate) raw: Vec<u8>,
    /// Its values, as many as there are columns.
    pub(crate) values: Result<Vec<Vec<u8>>, Unusable>,
}

/// Lines that one quoted value may span before its quote counts as broken.
const MAX_LINES: usize = 1000;

impl<'a> Records<'a> {
    pub(crate) fn open(
        file: &'a Path,
        dialect: Dialect,
        task: &'a dyn ProgressTask,
    ) -> Result<Self, ArchiveError> {
        Self::new(Lines::open(file, task)?, dialect)
    }

    /// The records of lines, of which the first is the header.
    pub(crate) fn new(lines: Lines<'a>, dialect: Dialect) -> Result<Self, ArchiveError> {
        let file = lines.file();
        let mut records = Self::resume(lines, dialect, Vec::new());
        let Some(first) = records.record()? else {
            return Err(ArchiveError::read(file, "it is empty: its first line names the columns"));
        };
        let Ok(names) = first.values else {
            return Err(ArchiveError::read(file, "a quote in its header is not closed"));
        };
        let name = |name: &Vec<u8>| String::from_utf8_lossy(name).trim().to_owned();
        records.names = names.iter().map(name).collect();
        records.header = first.raw;
        Ok(records)
    }

    /// The records of lines that begin where a record does, below a header that is known.
    pub(crate) fn resume(lines: Lines<'a>, dialect: Dialect, names: Vec<String>) -> Self {
        Self { names, header: Vec::new(), lines, dialect, back: VecDeque::new() }
    }

    /// The next record, if there is one.
    pub(crate) fn next(&mut self) -> Result<Option<Record>, ArchiveError> {
        self.record()
    }

    fn record(&mut self) -> Result<Option<Record>, ArchiveError> {
        let Line { offset, bytes: mut raw } = loop {
            match self.line()? {
                None => return Ok(None),
                Some(line) if without_end(&line.bytes).is_empty() => {}
                Some(line) => break line,
            }
        };
        let mut more = Vec::new();
        let found = self.split(&raw, &mut more)?;
        let columns = self.names.len();
        let values = match found {
            Some(values) if columns == 0 || values.len() == columns => Ok(values),
            // Over several lines, the quote that ended the value was another's beginning.
            Some(_) if more.is_empty() => Err(Unusable::Ragged),
            _ => Err(Unusable::Quotes),
        };
        match values {
            Ok(_) => more.iter().for_each(|line| raw.extend_from_slice(&line.bytes)),
            Err(_) => more.into_iter().rev().for_each(|line| self.back.push_front(line)),
        }
        Ok(Some(Record { offset, raw, values }))
    }

    /// The values of the record that begins with a line, unless its quotes are broken; `more` gets
    /// the lines after it that were looked at.
    fn split(
        &mut self,
        first: &[u8],
        more: &mut Vec<Line>,
    ) -> Result<Option<Vec<Vec<u8>>>, ArchiveError> {
        let mut splitter = FieldSplitter::new(self.dialect);
        let mut length = first.len();
        let mut pushed = splitter.push(without_end(first));
        while pushed.is_ok() && splitter.is_open() {
            if more.len() >= MAX_LINES || length > MAX_BYTES {
                return Ok(None);
            }
            let Some(next) = self.line()? else { return Ok(None) };
            length += next.bytes.len();
            pushed = splitter.push(b"\n").and_then(|()| splitter.push(without_end(&next.bytes)));
            more.push(next);
        }
        Ok(pushed.and_then(|()| splitter.finish()).ok())
    }

    fn line(&mut self) -> Result<Option<Line>, ArchiveError> {
        if let Some(line) = self.back.pop_front() {
            return Ok(Some(line));
        }
        let (offset, mut bytes) = (self.lines.offset(), Vec::new());
        Ok(self.lines.next(&mut bytes)?.then_some(Line { offset, bytes }))
    }
}

/// A line without what ends it.
fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use mesh_core::NoProgress;
    use proptest::prelude::*;

    use super::*;

    /// The bytes of each record of a file, and its values.
    fn read(text: &str) -> Vec<(String, Result<Vec<String>, Unusable>)> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut records = Records::open(file.path(), Dialect::CSV, &NoProgress).unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let mut all = Vec::new();
        while let Some(Record { raw, values, .. }) = records.next().unwrap() {
            all.push((text(raw), values.map(|values| values.into_iter().map(text).collect())));
        }
        all
    }

    #[test]
    fn records() {
        let values = |values: &[&str]| Ok(values.iter().map(ToString::to_string).collect());
        let cases: [(&str, Result<Vec<String>, Unusable>); 9] = [
            ("a,b", values(&["a", "b"])),
            (",", values(&["", ""])),
            ("\"a,b\",c\r", values(&["a,b", "c"])),
            ("\"say \"\"hi\"\"\",c", values(&["say \"hi\"", "c"])),
            ("\"two\n\nlines\",c", values(&["two\n\nlines", "c"])),
            ("a 5\" disk,c", values(&["a 5\" disk", "c"])),
            ("\"a\"b,c", Err(Unusable::Quotes)),
            ("a", Err(Unusable::Ragged)),
            ("a,b,c", Err(Unusable::Ragged)),
        ];
        for (record, expected) in cases {
            let found = read(&format!("one,two\n{record}\n\nx,y\n"));
            assert_eq!(found.len(), 2, "{record:?}");
            assert_eq!(found[0], (format!("{record}\n"), expected));
        }
    }

    #[test]
    fn a_quote_that_is_never_closed_spoils_its_own_line_alone() {
        for text in ["\"never,closed\nx,y\nz,w\n", "\"never,closed\nx,y\n\"again,too\nz,w\n"] {
            let found = read(&format!("one,two\n{text}"));
            assert_eq!(found.len(), text.lines().count(), "{text}");
            let usable = found.iter().filter(|(_, values)| values.is_ok()).count();
            assert_eq!(usable, 2, "{text}");
            let all: String = found.into_iter().map(|(raw, _)| raw).collect();
            assert_eq!(all, text);
        }
    }

    proptest! {
        /// Whatever the bytes are, each of them is in one record.
        #[test]
        fn no_byte_is_lost(text in "[a,\"\n\r]{0,40}") {
            let all: String = read(&format!("one,two\n{text}")).into_iter().map(|(raw, _)| raw).collect();
            let blank = |line: &&str| !line.trim_end_matches('\n').trim_end_matches('\r').is_empty();
            let kept = |text: &str| text.split_inclusive('\n').filter(blank).collect::<String>();
            prop_assert_eq!(kept(&all), kept(&text));
        }

        /// What is read from where a record begins is what follows it in the whole.
        #[test]
        fn reading_resumes_at_each_record(text in "\u{feff}?[x,]{1,3}\r?\n[a,\"\n\r]{0,60}") {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &text).unwrap();
            let Ok(mut records) = Records::open(file.path(), Dialect::CSV, &NoProgress) else {
                return Ok(());
            };
            let mut all = Vec::new();
            while let Some(record) = records.next().unwrap() {
                all.push(record);
            }
            for (at, from) in all.iter().enumerate() {
                let rest = &text.as_bytes()[usize::try_from(from.offset).unwrap()..];
                let lines = Lines::new(file.path(), Box::new(rest), &NoProgress);
                let lines = lines.starting_at(from.offset);
                let mut resumed = Records::resume(lines, Dialect::CSV, records.names.clone());
                for expected in &all[at..] {
                    let found = resumed.next().unwrap().unwrap();
                    prop_assert_eq!(found.offset, expected.offset);
                    prop_assert_eq!(found.raw, expected.raw.clone());
                    prop_assert_eq!(found.values, expected.values.clone());
                }
                prop_assert!(resumed.next().unwrap().is_none());
            }
        }

        #[test]
        fn what_is_written_is_read(values in prop::collection::vec("[a,\"\n é]{0,8}", 2..=2)) {
            let quote = |value: &String| format!("\"{}\"", value.replace('"', "\"\""));
            let record = values.iter().map(quote).collect::<Vec<_>>().join(",");
            let found = read(&format!("one,two\n{record}"));
            prop_assert_eq!(found, vec![(record, Ok(values))]);
        }
    }
}
