use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use mesh_core::manifest::SourceTable;
use serde_json::Value;

use super::{MAX_BYTES, Reject, Row, Sink, decode, mapped};
use crate::PrepareError;

/// The lines of a file, without their ends, counted from 1. A line that is too long to be held
/// is passed over and told.
pub(crate) struct Lines {
    reader: BufReader<File>,
    name: String,
    number: u64,
}

/// One line.
pub(crate) struct Line {
    pub(crate) number: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) too_long: bool,
}

const BOM: &[u8] = b"\xef\xbb\xbf";

impl Lines {
    /// Opens a file, and passes over its first lines.
    pub(crate) fn open(name: &str, path: &Path, skip: u32) -> Result<Self, PrepareError> {
        let file = File::open(path).map_err(|error| PrepareError::file(name, error))?;
        let reader = BufReader::with_capacity(1 << 18, file);
        let mut lines = Self { reader, name: name.to_owned(), number: 0 };
        for _ in 0..skip {
            lines.next_line()?;
        }
        Ok(lines)
    }

    pub(crate) fn next_line(&mut self) -> Result<Option<Line>, PrepareError> {
        let mut line = Line { number: self.number + 1, bytes: Vec::new(), too_long: false };
        let ended = read_line(&mut self.reader, &mut line)
            .map_err(|error| PrepareError::file(&self.name, error))?;
        if ended {
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

/// Reads to the end of the line; true at the end of the file.
fn read_line(reader: &mut impl BufRead, line: &mut Line) -> io::Result<bool> {
    let mut any = false;
    loop {
        let available = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            available => available?,
        };
        if available.is_empty() {
            return Ok(!any);
        }
        any = true;
        let end = available.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let part = available.get(..end.unwrap_or(available.len())).unwrap_or_default();
        if line.bytes.len() + part.len() <= MAX_BYTES {
            line.bytes.extend(part);
        } else {
            line.too_long = true;
        }
        let length = part.len();
        reader.consume(length);
        if end.is_some() {
            return Ok(false);
        }
    }
}

impl Line {
    /// The line, or why it cannot be one.
    pub(crate) fn checked(&self, origin: &str) -> Result<&[u8], Reject> {
        if self.too_long {
            let reject = Reject::new("too-long", format!("the line has over {MAX_BYTES} bytes"));
            return Err(reject.at(origin.to_owned(), &self.bytes));
        }
        Ok(&self.bytes)
    }
}

/// One document per line.
pub(super) fn read_text(
    name: &str,
    path: &Path,
    source: &SourceTable,
    sink: Sink<'_>,
) -> Result<(), PrepareError> {
    let mut lines = Lines::open(name, path, source.skip_lines)?;
    while let Some(line) = lines.next_line()? {
        let origin = format!("{name}:{}", line.number);
        let row = line.checked(&origin).and_then(|bytes| {
            let text = decode(bytes, source.encoding)?;
            Ok(Row { text, origin: origin.clone(), ..Row::default() })
        });
        sink(row.map_err(|reject| reject.at(origin, &line.bytes)))?;
    }
    Ok(())
}

/// One JSON object per line.
pub(super) fn read_jsonl(
    name: &str,
    path: &Path,
    source: &SourceTable,
    sink: Sink<'_>,
) -> Result<(), PrepareError> {
    let mut lines = Lines::open(name, path, source.skip_lines)?;
    while let Some(line) = lines.next_line()? {
        if line.bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let origin = format!("{name}:{}", line.number);
        let row = line.checked(&origin).and_then(|bytes| {
            let text = decode(bytes, source.encoding)?;
            let value: Value = serde_json::from_str(&text)
                .map_err(|error| Reject::new("not-json", error.to_string()))?;
            let Value::Object(object) = value else {
                return Err(Reject::new("not-json", "the line is no object"));
            };
            mapped(source, origin.clone(), |column| match object.get(column)? {
                Value::String(text) => Some(text.clone()),
                Value::Null | Value::Array(_) | Value::Object(_) => None,
                other => Some(other.to_string()),
            })
        });
        sink(row.map_err(|reject| reject.at(origin, &line.bytes)))?;
    }
    Ok(())
}

/// One token per line, the token in the first column, sentences parted by an empty line.
pub(super) fn read_conll(
    name: &str,
    path: &Path,
    source: &SourceTable,
    sink: Sink<'_>,
) -> Result<(), PrepareError> {
    let mut lines = Lines::open(name, path, source.skip_lines)?;
    let mut sentence: Vec<u8> = Vec::new();
    let mut start = 1;
    loop {
        let line = lines.next_line()?;
        let token = line.as_ref().and_then(|line| {
            line.bytes.split(u8::is_ascii_whitespace).find(|token| !token.is_empty())
        });
        match (&line, token) {
            (Some(line), Some(token)) => {
                // A line that marks the start of a document is no sentence.
                if token == b"-DOCSTART-" {
                    continue;
                }
                if sentence.is_empty() {
                    start = line.number;
                } else {
                    sentence.push(b' ');
                }
                sentence.extend(token);
            }
            _ if !sentence.is_empty() => {
                let origin = format!("{name}:{start}");
                let row = decode(&sentence, source.encoding).map(|text| Row {
                    text,
                    origin: origin.clone(),
                    ..Row::default()
                });
                sink(row.map_err(|reject| reject.at(origin, &sentence)))?;
                sentence.clear();
            }
            _ => {}
        }
        if line.is_none() {
            return Ok(());
        }
    }
}
