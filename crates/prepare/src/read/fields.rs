//! The fields of a record of CSV or TSV.

use mesh_core::manifest::{Format, SourceTable};

/// How fields are told apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    delimiter: u8,
    quoted: bool,
}

/// Cuts a record into fields, a part at a time.
///
/// By RFC 4180, with what spreadsheets and other readers also take: a quote inside of a field
/// that does not start with one is a character like any other.
#[derive(Debug)]
pub(super) struct Splitter {
    dialect: Dialect,
    state: State,
    fields: Vec<Vec<u8>>,
    field: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Plain,
    Quoted,
    /// After a quote inside of quotes: the end of the field, or the first of a doubled one.
    Quote,
}

/// The record ends inside of quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unclosed;

impl Dialect {
    /// The dialect of a source.
    pub(super) fn of(source: &SourceTable) -> Result<Self, String> {
        let tabs = source.format == Format::Tsv;
        let delimiter = match source.delimiter {
            None if tabs => b'\t',
            None => b',',
            Some(c) if c.is_ascii() && !matches!(c, '"' | '\n' | '\r') => c as u8,
            Some(c) => {
                return Err(format!(
                    "`delimiter` is {c:?}; it must be an ASCII character, no quote and no line break"
                ));
            }
        };
        Ok(Self { delimiter, quoted: source.quoted.unwrap_or(!tabs) })
    }
}

impl Splitter {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, state: State::Start, fields: Vec::new(), field: Vec::new() }
    }

    /// Takes the next part of the record.
    ///
    /// Fails if something follows the closing quote of a field.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let Dialect { delimiter, quoted } = self.dialect;
        for byte in bytes.iter().copied() {
            self.state = match (self.state, byte) {
                (State::Start, b'"') if quoted => State::Quoted,
                (State::Quoted, b'"') => State::Quote,
                (State::Quoted, _) => {
                    self.field.push(byte);
                    State::Quoted
                }
                (State::Quote, b'"') => {
                    self.field.push(byte);
                    State::Quoted
                }
                (_, byte) if byte == delimiter => {
                    self.fields.push(std::mem::take(&mut self.field));
                    State::Start
                }
                (State::Quote, _) => return Err("a quoted field goes on after its quote"),
                (State::Start | State::Plain, _) => {
                    self.field.push(byte);
                    State::Plain
                }
            };
        }
        Ok(())
    }

    /// Whether the record goes on in the next line.
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Quoted
    }

    /// The fields.
    pub(super) fn finish(mut self) -> Result<Vec<Vec<u8>>, Unclosed> {
        if self.is_open() {
            return Err(Unclosed);
        }
        self.fields.push(self.field);
        Ok(self.fields)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CSV: Dialect = Dialect { delimiter: b',', quoted: true };

    fn split(record: &str, dialect: Dialect) -> Option<Vec<String>> {
        let mut splitter = Splitter::new(dialect);
        splitter.push(record.as_bytes()).ok()?;
        let fields = splitter.finish().ok()?;
        Some(fields.into_iter().map(|field| String::from_utf8(field).unwrap()).collect())
    }

    #[test]
    fn records() {
        let tsv = Dialect { delimiter: b'\t', quoted: false };
        let cases: [(&str, Dialect, Option<&[&str]>); 12] = [
            ("a,b", CSV, Some(&["a", "b"])),
            ("", CSV, Some(&[""])),
            (",", CSV, Some(&["", ""])),
            ("\"a,b\",c", CSV, Some(&["a,b", "c"])),
            ("\"say \"\"hi\"\"\",c", CSV, Some(&["say \"hi\"", "c"])),
            ("\"two\nlines\",c", CSV, Some(&["two\nlines", "c"])),
            ("\"\",\"\"", CSV, Some(&["", ""])),
            ("a 5\" disk,c", CSV, Some(&["a 5\" disk", "c"])),
            ("\"open,c", CSV, None),
            ("\"a\"b,c", CSV, None),
            ("\"a\tb", tsv, Some(&["\"a", "b"])),
            ("\"a\" ,c", CSV, None),
        ];
        for (record, dialect, expected) in cases {
            let expected = expected.map(|fields| fields.iter().map(ToString::to_string).collect());
            assert_eq!(split(record, dialect), expected, "{record:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(fields in prop::collection::vec("[a,\"\n é]{0,8}", 1..6)) {
            let quote = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let record = fields.iter().map(quote).collect::<Vec<_>>().join(",");
            prop_assert_eq!(split(&record, CSV), Some(fields));
        }
    }
}
