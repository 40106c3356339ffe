use std::{
    fs::File,
    io::{self, BufRead, BufReader},
};

use serde_json::Value;

use super::{MAX_BYTES, Opened, Reject, Row, Sink, decode, mapped};
use crate::PrepareError;

/// The lines of a file, without their ends, counted from 1. A line that is too long to be held
/// is passed over and told.
pub(super) struct Lines<'a> {
    file: &'a Opened<'a>,
    reader: BufReader<File>,
    number: u64,
    /// Bytes that are read and not yet told.
    untold: u64,
}

/// One line.
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) too_long: bool,
}

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Bytes after which progress is told.
const TELL: u64 = 1 << 18;

impl<'a> Lines<'a> {
    /// Opens a file, and passes over its first lines.
    pub(super) fn open(file: &'a Opened<'a>) -> Result<Self, PrepareError> {
        let opened = File::open(file.path).map_err(|error| PrepareError::file(file.name, error))?;
        let reader = BufReader::with_capacity(1 << 18, opened);
        let mut lines = Self { file, reader, number: 0, untold: 0 };
        for _ in 0..file.source.skip_lines {
            lines.next_line()?;
        }
        Ok(lines)
    }

    pub(super) fn next_line(&mut self) -> Result<Option<Line>, PrepareError> {
        let mut line = Line { number: self.number + 1, bytes: Vec::new(), too_long: false };
        let length = read_line(&mut self.reader, &mut line)
            .map_err(|error| PrepareError::file(self.file.name, error))?;
        self.untold += length;
        if self.untold >= TELL || length == 0 {
            self.file.progress.advance(std::mem::take(&mut self.untold));
        }
        if length == 0 {
            return Ok(None);
        }
        self.number += 1;
        if line.number == 1 && line.bytes.starts_with(BOM) {
            line.bytes.drain(..BOM.len());
        }
        while line.bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            line.bytes.pop();
        }
        Ok(Some(line))
    }
}

/// Reads to the end of the line; gives how many bytes that were, 0 at the end of the file.
fn read_line(reader: &mut impl BufRead, line: &mut Line) -> io::Result<u64> {
    let mut length = 0;
    loop {
        let available = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            available => available?,
        };
        let end = memchr::memchr(b'\n', available).map(|at| at + 1);
        let part = available.get(..end.unwrap_or(available.len())).unwrap_or_default();
        if line.bytes.len() + part.len() <= MAX_BYTES {
            line.bytes.extend(part);
        } else {
            line.too_long = true;
        }
        let (read, last) = (part.len(), part.is_empty());
        length += read as u64;
        reader.consume(read);
        if end.is_some() || last {
            return Ok(length);
        }
    }
}

impl Line {
    /// The line, or why it cannot be one.
    pub(super) fn checked(&self) -> Result<&[u8], Reject> {
        match self.too_long {
            true => Err(Reject::new("too-long", format!("the line has over {MAX_BYTES} bytes"))),
            false => Ok(&self.bytes),
        }
    }

    fn is_blank(&self) -> bool {
        self.bytes.iter().all(u8::is_ascii_whitespace)
    }
}

/// One document per line.
pub(super) fn read_text(file: &Opened<'_>, sink: Sink<'_>) -> Result<(), PrepareError> {
    let mut lines = Lines::open(file)?;
    while let Some(line) = lines.next_line()? {
        if line.is_blank() {
            continue;
        }
        let origin = file.origin(line.number);
        let row = line.checked().and_then(|bytes| {
            let text = decode(bytes, file.source.encoding)?;
            Ok(Row { text, origin: origin.clone(), ..Row::default() })
        });
        sink(row.map_err(|reject| reject.at(origin, &line.bytes)))?;
    }
    Ok(())
}

/// One JSON object per line.
pub(super) fn read_jsonl(file: &Opened<'_>, sink: Sink<'_>) -> Result<(), PrepareError> {
    let mut lines = Lines::open(file)?;
    while let Some(line) = lines.next_line()? {
        if line.is_blank() {
            continue;
        }
        let origin = file.origin(line.number);
        let row = line.checked().and_then(|bytes| json_row(file, bytes, &origin));
        sink(row.map_err(|reject| reject.at(origin, &line.bytes)))?;
    }
    Ok(())
}

/// The keys of the first object.
pub(super) fn column_names(file: &Opened<'_>) -> Result<Vec<String>, PrepareError> {
    let mut lines = Lines::open(file)?;
    while let Some(line) = lines.next_line()? {
        if let Ok(Value::Object(object)) = serde_json::from_slice(&line.bytes) {
            return Ok(object.keys().cloned().collect());
        }
    }
    Ok(Vec::new())
}

fn json_row(file: &Opened<'_>, bytes: &[u8], origin: &str) -> Result<Row, Reject> {
    let text = decode(bytes, file.source.encoding)?;
    let value: Value =
        serde_json::from_str(&text).map_err(|error| Reject::new("not-json", error.to_string()))?;
    let Value::Object(object) = value else {
        return Err(Reject::new("not-json", "the line is no object"));
    };
    let row = mapped(file, origin.to_owned(), |column| match object.get(column)? {
        Value::String(text) => Some(text.clone()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
        other => Some(other.to_string()),
    });
    row.map_err(|mut reject| {
        let keys: Vec<&str> = object.keys().map(String::as_str).take(20).collect();
        reject.detail = format!("{}; the row has: {}", reject.detail, keys.join(", "));
        reject
    })
}

/// One token per line, sentences parted by an empty line. Columns are parted by tabs where a line
/// has one, else by white space. Without a `header` the token is the first column, and there are no
/// tags.
pub(super) fn read_conll(file: &Opened<'_>, sink: Sink<'_>) -> Result<(), PrepareError> {
    let source = file.source;
    let columns = match &source.header {
        None => (0, None),
        Some(names) => {
            super::check_names(file, names)?;
            let place = |wanted: &str| names.iter().position(|name| name == wanted);
            (place(&source.columns.text).unwrap_or(0), place(&source.columns.label))
        }
    };
    let mut lines = Lines::open(file)?;
    let mut sentence = Sentence::default();
    while let Some(line) = lines.next_line()? {
        if line.is_blank() {
            sentence.end(file, sink)?;
            continue;
        }
        // A line that marks the start of a document is no sentence.
        if !line.bytes.starts_with(b"-DOCSTART-") {
            sentence.push(columns, &line);
        }
    }
    sentence.end(file, sink)
}

/// Tokens of a sentence and their tags, both joined by spaces.
#[derive(Default)]
struct Sentence {
    bytes: Vec<u8>,
    tags: Option<Vec<u8>>,
    start: u64,
    wrong: Option<Reject>,
}

impl Sentence {
    /// Adds a token. `columns` are the token's place and the tag's.
    fn push(&mut self, columns: (usize, Option<usize>), line: &Line) {
        if self.start == 0 {
            self.start = line.number;
        }
        if let Err(reject) = self.try_push(columns, line) {
            self.wrong.get_or_insert(reject);
        }
    }

    fn try_push(&mut self, (word, tag): (usize, Option<usize>), line: &Line) -> Result<(), Reject> {
        let bytes = line.checked()?;
        let fields: Vec<&[u8]> = match bytes.contains(&b'\t') {
            true => bytes.split(|byte| *byte == b'\t').map(<[u8]>::trim_ascii).collect(),
            false => {
                let fields = bytes.split(u8::is_ascii_whitespace);
                fields.filter(|field| !field.is_empty()).collect()
            }
        };
        let field = |at: usize| {
            fields.get(at).copied().filter(|field| !field.is_empty()).ok_or_else(|| {
                let detail = format!(
                    "line {} has {} columns, the token or its tag is column {}",
                    line.number,
                    fields.len(),
                    at + 1
                );
                Reject::new("missing-column", detail)
            })
        };
        let token = field(word)?;
        if token.iter().any(u8::is_ascii_whitespace) {
            let detail = format!("the token of line {} has white space in it", line.number);
            return Err(Reject::new("not-a-token", detail));
        }
        if let Some(tag) = tag {
            let tag = field(tag)?;
            let tags = self.tags.get_or_insert_default();
            join(tags, tag);
        }
        join(&mut self.bytes, token);
        if self.bytes.len() > MAX_BYTES {
            self.bytes.truncate(MAX_BYTES);
            let detail = format!("the sentence has over {MAX_BYTES} bytes");
            return Err(Reject::new("too-long", detail));
        }
        Ok(())
    }

    fn end(&mut self, file: &Opened<'_>, sink: Sink<'_>) -> Result<(), PrepareError> {
        let Self { bytes, tags, start, wrong } = std::mem::take(self);
        if start == 0 {
            return Ok(());
        }
        let origin = file.origin(start);
        let row = wrong.map_or(Ok(()), Err).and_then(|()| {
            let text = decode(&bytes, file.source.encoding)?;
            let label = tags.map(|tags| decode(&tags, file.source.encoding)).transpose()?;
            Ok(Row { text, label, origin: origin.clone(), ..Row::default() })
        });
        sink(row.map_err(|reject| reject.at(origin, &bytes)))
    }
}

fn join(to: &mut Vec<u8>, part: &[u8]) {
    if !to.is_empty() {
        to.push(b' ');
    }
    to.extend(part);
}
