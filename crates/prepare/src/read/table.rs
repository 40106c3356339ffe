use std::{collections::VecDeque, path::Path};

use mesh_core::manifest::{Format, SourceTable};

use super::{
    MAX_BYTES, Reject, Row, Sink, decode,
    lines::{Line, Lines},
    mapped,
};
use crate::{PrepareError, PrepareErrorKind};

/// Lines that one quoted field may span before its quote counts as broken.
const MAX_LINES: usize = 1000;

/// CSV and TSV.
///
/// A record is a line, or several where a quote is open at the end of a line. A quote that is
/// never closed, or only by another broken one, rejects its line alone: reading goes on at the
/// next line, so that one broken quote does not swallow the rest of the file.
pub(super) fn read_table(
    name: &str,
    path: &Path,
    source: &SourceTable,
    sink: Sink<'_>,
) -> Result<(), PrepareError> {
    let dialect = Dialect::new(source);
    let mut lines =
        Buffered { lines: Lines::open(name, path, source.skip_lines)?, back: VecDeque::new() };
    let names = match &source.header {
        Some(names) => names.clone(),
        None => match lines.next()? {
            Some(line) => dialect.header(name, source, &line)?,
            None => return Ok(()),
        },
    };
    no_column(name, source, &names)?;
    while let Some(line) = lines.next()? {
        if line.bytes.is_empty() && !line.too_long {
            continue;
        }
        let origin = format!("{name}:{}", line.number);
        let start = line.bytes.clone();
        let row = dialect.row(line, &names, source, &origin, &mut lines)?;
        sink(row.map_err(|reject| reject.at(origin, &start)))?;
    }
    Ok(())
}

/// Fails if a mapped column is not there. The label may be missing where nothing asks for it.
pub(super) fn no_column(
    name: &str,
    source: &SourceTable,
    names: &[String],
) -> Result<(), PrepareError> {
    let columns = &source.columns;
    let optional = [&columns.id, &columns.group, &columns.time, &columns.split];
    let wanted = [&columns.text, &columns.label].into_iter().chain(optional.into_iter().flatten());
    for column in wanted {
        if names.contains(column) {
            continue;
        }
        let nearest = names
            .iter()
            .map(|known| (strsim::jaro_winkler(column, known), known))
            .filter(|(likeness, _)| *likeness > 0.75)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let hint =
            nearest.map_or_else(String::new, |(_, known)| format!("did you mean `{known}`? "));
        let kind = PrepareErrorKind::NoColumn { file: name.to_owned(), column: column.clone() };
        return Err(PrepareError::new(kind).help(format!(
            "{hint}It has: {}. Name them in `columns` of [source], or in `header` if the file has none",
            names.join(", ")
        )));
    }
    Ok(())
}

struct Buffered {
    lines: Lines,
    back: VecDeque<Line>,
}

impl Buffered {
    fn next(&mut self) -> Result<Option<Line>, PrepareError> {
        match self.back.pop_front() {
            Some(line) => Ok(Some(line)),
            None => self.lines.next_line(),
        }
    }
}

struct Dialect {
    delimiter: u8,
    quoted: bool,
}

impl Dialect {
    fn new(source: &SourceTable) -> Self {
        let tabs = source.format == Format::Tsv;
        let delimiter = source.delimiter.and_then(|c| u8::try_from(c).ok());
        Self {
            delimiter: delimiter.unwrap_or(if tabs { b'\t' } else { b',' }),
            quoted: source.quoted.unwrap_or(!tabs),
        }
    }

    fn header(
        &self,
        name: &str,
        source: &SourceTable,
        line: &Line,
    ) -> Result<Vec<String>, PrepareError> {
        let text = decode(&line.bytes, source.encoding)
            .map_err(|reject| PrepareError::file(name, format!("its header: {}", reject.detail)))?;
        let fields = self.split(text.as_bytes()).unwrap_or_default();
        Ok(fields.iter().map(|field| String::from_utf8_lossy(field).trim().to_owned()).collect())
    }

    fn row(
        &self,
        first: Line,
        names: &[String],
        source: &SourceTable,
        origin: &str,
        lines: &mut Buffered,
    ) -> Result<Result<Row, Reject>, PrepareError> {
        if let Err(reject) = first.checked(origin) {
            return Ok(Err(reject));
        }
        let mut record = first.bytes;
        let mut taken: Vec<Line> = Vec::new();
        while self.is_open(&record) {
            let next = if taken.len() < MAX_LINES && record.len() < MAX_BYTES {
                lines.next()?
            } else {
                None
            };
            let Some(next) = next else {
                give_back(lines, taken);
                return Ok(Err(Reject::new("broken-quotes", "a quote is opened and not closed")));
            };
            record.push(b'\n');
            record.extend(&next.bytes);
            taken.push(next);
        }
        let fields = self.split(&record);
        let count = fields.as_ref().map(Vec::len);
        if count != Some(names.len()) {
            let several = !taken.is_empty();
            give_back(lines, taken);
            return Ok(Err(match count {
                None => Reject::new("broken-quotes", "a quoted field goes on after its quote"),
                Some(_) if several => {
                    Reject::new("broken-quotes", "a quote is opened and not closed")
                }
                Some(found) => {
                    let kind = if found < names.len() { "missing-column" } else { "extra-column" };
                    Reject::new(kind, format!("{found} columns instead of {}", names.len()))
                }
            }));
        }
        let fields = fields.unwrap_or_default();
        let decoded: Result<Vec<String>, Reject> =
            fields.iter().map(|field| decode(field, source.encoding)).collect();
        Ok(decoded.and_then(|fields| {
            mapped(source, origin.to_owned(), |column| {
                fields.get(names.iter().position(|name| name == column)?).cloned()
            })
        }))
    }

    /// Whether a quote is open at the end: each quote toggles, a doubled one twice.
    fn is_open(&self, record: &[u8]) -> bool {
        self.quoted && record.iter().filter(|byte| **byte == b'"').count() % 2 == 1
    }

    /// The fields of a record; nothing if something follows a closing quote.
    fn split(&self, record: &[u8]) -> Option<Vec<Vec<u8>>> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .delimiter(self.delimiter)
            .quoting(self.quoted)
            .flexible(true)
            .buffer_capacity(record.len().clamp(64, 1 << 16))
            .from_reader(record);
        let mut fields = csv::ByteRecord::new();
        if record.is_empty() || !reader.read_byte_record(&mut fields).ok()? {
            return Some(vec![Vec::new()]);
        }
        let found = fields.iter().map(<[u8]>::to_vec).collect();
        // A second record: a line break outside of quotes.
        let more = reader.read_byte_record(&mut fields).ok()?;
        (!more).then_some(found)
    }
}

fn give_back(lines: &mut Buffered, taken: Vec<Line>) {
    for line in taken.into_iter().rev() {
        lines.back.push_front(line);
    }
}
