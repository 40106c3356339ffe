use thiserror::Error;

/// How the fields of a record are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// The character between two fields.
    pub delimiter: u8,
    /// Whether a field may stand in quotes.
    pub quoted: bool,
}

/// Cuts a record of a table as text into fields, a part at a time.
///
/// By RFC 4180, with what spreadsheets and other readers also take: a quote inside of a field
/// that does not start with one is a character like any other.
///
/// ```
/// use mesh_text::{Dialect, FieldSplitter};
///
/// let mut splitter = FieldSplitter::new(Dialect::CSV);
/// splitter.push(br#"1,"two, or"#)?;
/// assert!(splitter.is_open());
/// splitter.push(br#" three""#)?;
/// assert_eq!(splitter.finish()?, [b"1".to_vec(), b"two, or three".to_vec()]);
/// # Ok::<(), mesh_text::BrokenQuotes>(())
/// ```
#[derive(Debug)]
pub struct FieldSplitter {
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

/// A record that cannot be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BrokenQuotes {
    /// The record ends inside of quotes.
    #[error("a quote is opened and not closed")]
    Open,
    /// Something follows the closing quote of a field.
    #[error("a quoted field goes on after its quote")]
    After,
}

impl Dialect {
    /// Commas, and quotes.
    pub const CSV: Self = Self { delimiter: b',', quoted: true };
    /// Tabs, and no quotes.
    pub const TSV: Self = Self { delimiter: b'\t', quoted: false };
}

impl FieldSplitter {
    /// A splitter that has seen nothing of a record.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, state: State::Start, fields: Vec::new(), field: Vec::new() }
    }

    /// Takes the next part of the record.
    ///
    /// # Errors
    /// When something follows the closing quote of a field.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), BrokenQuotes> {
        let Dialect { delimiter, quoted } = self.dialect;
        for byte in bytes.iter().copied() {
            self.state = match (self.state, byte) {
                (State::Start, b'"') if quoted => State::Quoted,
                (State::Quoted, b'"') => State::Quote,
                (State::Quoted, _) | (State::Quote, b'"') => {
                    self.field.push(byte);
                    State::Quoted
                }
                (_, byte) if byte == delimiter => {
                    self.fields.push(std::mem::take(&mut self.field));
                    State::Start
                }
                (State::Quote, _) => return Err(BrokenQuotes::After),
                (State::Start | State::Plain, _) => {
                    self.field.push(byte);
                    State::Plain
                }
            };
        }
        Ok(())
    }

    /// Whether the record goes on in the next line.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == State::Quoted
    }

    /// The fields.
    ///
    /// # Errors
    /// When the record ends inside of quotes.
    pub fn finish(mut self) -> Result<Vec<Vec<u8>>, BrokenQuotes> {
        if self.is_open() {
            return Err(BrokenQuotes::Open);
        }
        self.fields.push(self.field);
        Ok(self.fields)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CSV: Dialect = Dialect::CSV;

    fn split(record: &str, dialect: Dialect) -> Option<Vec<String>> {
        let mut splitter = FieldSplitter::new(dialect);
        splitter.push(record.as_bytes()).ok()?;
        let fields = splitter.finish().ok()?;
        Some(fields.into_iter().map(|field| String::from_utf8(field).unwrap()).collect())
    }

    #[test]
    fn records() {
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
            ("\"a\tb", Dialect::TSV, Some(&["\"a", "b"])),
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
