use std::collections::VecDeque;

use mesh_core::manifest::{Format, SourceTable};
use mesh_text::{BrokenQuotes, Dialect, FieldSplitter};

use super::{
    MAX_BYTES, Opened, Reject, Row, Sink, check_names, decode,
    lines::{Line, Lines},
    mapped,
};
use crate::PrepareError;

/// Lines that one quoted field may span before its quote counts as broken.
const MAX_LINES: usize = 1000;

/// CSV and TSV.
///
/// A record is a line, or several where a quote is open at the end of a line. A quote that is
/// never closed, or only by another broken one, rejects its line alone: reading goes on at the
/// next line, so that one broken quote does not swallow the rest of the file.
pub(super) fn read_table(file: &Opened<'_>, sink: Sink<'_>) -> Result<(), PrepareError> {
    let Some(mut table) = Table::open(file)? else { return Ok(()) };
    check_names(file, &table.names)?;
    while let Some(line) = table.next()? {
        if line.bytes.is_empty() && !line.too_long {
            continue;
        }
        let origin = file.origin(line.number);
        let row = table.row(&line, &origin)?;
        sink(row.map_err(|reject| reject.at(origin, &line.bytes)))?;
    }
    Ok(())
}

struct Table<'a> {
    file: &'a Opened<'a>,
    dialect: Dialect,
    lines: Lines<'a>,
    /// Lines that were read to find the end of a quote, and given back.
    back: VecDeque<Line>,
    names: Vec<String>,
}

/// The columns of CSV and TSV.
pub(super) fn column_names(file: &Opened<'_>) -> Result<Vec<String>, PrepareError> {
    Ok(Table::open(file)?.map(|table| table.names).unwrap_or_default())
}

impl<'a> Table<'a> {
    /// Opens a file, and reads its header; nothing if the file is empty.
    fn open(file: &'a Opened<'a>) -> Result<Option<Self>, PrepareError> {
        let source = file.source;
        let dialect = dialect_of(source).map_err(|reason| PrepareError::file(file.name, reason))?;
        let lines = Lines::open(file)?;
        let mut table = Self { file, dialect, lines, back: VecDeque::new(), names: Vec::new() };
        table.names = match &source.header {
            Some(names) => names.clone(),
            None => match table.next()? {
                Some(line) => table.header(&line)?,
                None => return Ok(None),
            },
        };
        Ok(Some(table))
    }
    fn next(&mut self) -> Result<Option<Line>, PrepareError> {
        match self.back.pop_front() {
            Some(line) => Ok(Some(line)),
            None => self.lines.next_line(),
        }
    }

    fn header(&self, line: &Line) -> Result<Vec<String>, PrepareError> {
        let fail =
            |reason: &str| PrepareError::file(self.file.name, format!("its header: {reason}"));
        let text = decode(&line.bytes, self.file.source.encoding)
            .map_err(|reject| fail(&reject.detail))?;
        let mut splitter = FieldSplitter::new(self.dialect);
        let pushed = splitter.push(text.as_bytes());
        let fields = pushed.and_then(|()| splitter.finish());
        let fields = fields.map_err(|broken| fail(&broken.to_string()))?;
        let name = |field: &Vec<u8>| String::from_utf8_lossy(field).trim().to_owned();
        Ok(fields.iter().map(name).collect())
    }

    fn row(&mut self, first: &Line, origin: &str) -> Result<Result<Row, Reject>, PrepareError> {
        let mut taken: Vec<Line> = Vec::new();
        let fields = match self.record(first, &mut taken)? {
            Ok(fields) => fields,
            Err(reject) => {
                self.give_back(taken);
                return Ok(Err(reject));
            }
        };
        let (found, wanted) = (fields.len(), self.names.len());
        if found != wanted {
            // Over several lines, the quote that ended the field was rather another's beginning.
            let reject = match (taken.is_empty(), found < wanted) {
                (false, _) => broken_quotes(BrokenQuotes::Open),
                (true, true) => Reject::new("missing-column", of_columns(found, wanted)),
                (true, false) => Reject::new("extra-column", of_columns(found, wanted)),
            };
            self.give_back(taken);
            return Ok(Err(reject));
        }
        let file = self.file;
        let decoded: Result<Vec<String>, Reject> =
            fields.iter().map(|field| decode(field, file.source.encoding)).collect();
        Ok(decoded.and_then(|fields| {
            mapped(file, origin.to_owned(), |column| {
                let index = self.names.iter().position(|name| name == column)?;
                fields.get(index).cloned()
            })
        }))
    }

    /// The fields of the record that begins with a line; `taken` gets the lines after it that it
    /// goes on in.
    fn record(
        &mut self,
        first: &Line,
        taken: &mut Vec<Line>,
    ) -> Result<Result<Vec<Vec<u8>>, Reject>, PrepareError> {
        let broken = |reason| Ok(Err(broken_quotes(reason)));
        let bytes = match first.checked() {
            Ok(bytes) => bytes,
            Err(reject) => return Ok(Err(reject)),
        };
        let mut splitter = FieldSplitter::new(self.dialect);
        let mut length = bytes.len();
        if let Err(reason) = splitter.push(bytes) {
            return broken(reason);
        }
        while splitter.is_open() {
            if taken.len() >= MAX_LINES || length > MAX_BYTES {
                return broken(BrokenQuotes::Open);
            }
            let Some(next) = self.next()? else { return broken(BrokenQuotes::Open) };
            length += next.bytes.len();
            let pushed = match next.too_long {
                true => Err(BrokenQuotes::Open),
                false => splitter.push(b"\n").and_then(|()| splitter.push(&next.bytes)),
            };
            taken.push(next);
            if pushed.is_err() {
                return broken(BrokenQuotes::Open);
            }
        }
        match splitter.finish() {
            Ok(fields) => Ok(Ok(fields)),
            Err(reason) => broken(reason),
        }
    }

    fn give_back(&mut self, taken: Vec<Line>) {
        for line in taken.into_iter().rev() {
            self.back.push_front(line);
        }
    }
}

/// The dialect of a source.
fn dialect_of(source: &SourceTable) -> Result<Dialect, String> {
    let usual = if source.format == Format::Tsv { Dialect::TSV } else { Dialect::CSV };
    let delimiter = match source.delimiter {
        None => usual.delimiter,
        Some(c) if c.is_ascii() && !matches!(c, '"' | '\n' | '\r') => c as u8,
        Some(c) => {
            return Err(format!(
                "`delimiter` is {c:?}; it must be an ASCII character, no quote and no line break"
            ));
        }
    };
    Ok(Dialect { delimiter, quoted: source.quoted.unwrap_or(usual.quoted) })
}

fn broken_quotes(reason: BrokenQuotes) -> Reject {
    Reject::new("broken-quotes", reason.to_string())
}

fn of_columns(found: usize, wanted: usize) -> String {
    format!("{found} columns instead of {wanted}")
}
