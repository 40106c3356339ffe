//! Answers that are needed again, kept in a file: identical inputs are answered once, also when
//! the process is killed in between.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufReader, Read},
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use mesh_core::AnyPrediction;
use serde::{Deserialize, Serialize};

use crate::{BackfillError, BackfillErrorKind, keys::KeyHash};

/// Why a document has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    /// The kind, as in the problems of services.
    pub(crate) kind: String,
    /// A sentence.
    pub(crate) detail: String,
}

/// What became of an input: a prediction, or why there is none.
pub(crate) type Answered = Result<Prediction, Reason>;

/// A prediction, of which there is one for all documents with the same input.
pub(crate) enum Prediction {
    /// As a service tells it, or as it was kept.
    Json(Arc<str>),
    /// As the engine gives it.
    Unwritten(Box<dyn AnyPrediction>),
}

impl From<&str> for Prediction {
    fn from(json: &str) -> Self {
        Self::Json(json.into())
    }
}

impl Prediction {
    /// The prediction as JSON.
    pub(crate) fn json(&self) -> Arc<str> {
        match self {
            Self::Json(text) => Arc::clone(text),
            Self::Unwritten(any) => any.json().into(),
        }
    }
}

/// The file of a backfill's answers.
#[derive(Debug)]
pub(crate) struct AnswerLog {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    /// How much of it is written.
    length: u64,
    /// What comes next, and is not yet written.
    open: Vec<u8>,
    written: Instant,
    /// Of each input where its answer begins, and its length.
    known: HashMap<KeyHash, (u64, u32)>,
}

/// A hash, whether it is an answer, a length.
const HEAD: usize = 16 + 1 + 4;
/// So many bytes are written at once, and what was answered no longer before another answer: that
/// little a killed process answers again.
const TOGETHER: usize = 16 << 10;
const LATEST: Duration = Duration::from_millis(50);
/// Longer answers are not kept.
const MAX_ANSWER: usize = 16 << 20;

impl AnswerLog {
    /// Opens the file, which is made if it is not there. What a killed process wrote half is cut.
    pub(crate) fn open(path: &Path) -> Result<Self, BackfillError> {
        let fail = |error: io::Error| failed(path, error);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(fail)?;
        }
        let mut options = File::options();
        let file = options.create(true).truncate(false).read(true).write(true).open(path);
        let file = file.map_err(fail)?;
        let all = file.metadata().map_err(fail)?.len();
        let mut known = HashMap::new();
        let mut length = 0;
        let mut reader = BufReader::new(&file);
        let mut head = [0; HEAD];
        while reader.read_exact(&mut head).is_ok() {
            let (hash, _, bytes) = parts(&head);
            let start = length + HEAD as u64;
            if start + u64::from(bytes) > all {
                break;
            }
            reader.seek_relative(i64::from(bytes)).map_err(fail)?;
            known.insert(hash, (length, bytes));
            length = start + u64::from(bytes);
        }
        file.set_len(length).map_err(fail)?;
        let (open, written) = (Vec::new(), Instant::now());
        Ok(Self { inner: Mutex::new(Inner { file, length, open, written, known }) })
    }

    /// The answer to an input, if it is kept.
    pub(crate) fn get(&self, input: KeyHash) -> Option<Answered> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, bytes) = *inner.known.get(&input)?;
        let record = inner.read(start, HEAD + bytes as usize)?;
        let (head, body) = record.split_first_chunk::<HEAD>()?;
        let (hash, is_answer, _) = parts(head);
        let text = std::str::from_utf8(body).ok()?;
        match (hash == input, is_answer) {
            (false, _) => None,
            (true, true) => Some(Ok(text.into())),
            (true, false) => Some(Err(serde_json::from_str(text).ok()?)),
        }
    }

    /// Keeps the answer to an input. What cannot be kept is answered again: that is no failure.
    pub(crate) fn put(&self, input: KeyHash, answer: &Answered) {
        let (is_answer, text) = match answer {
            Ok(prediction) => (1, prediction.json()),
            Err(reason) => (0, serde_json::to_string(reason).unwrap_or_default().into()),
        };
        let Ok(bytes) = u32::try_from(text.len()) else { return };
        if text.len() > MAX_ANSWER {
            return;
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.known.contains_key(&input) {
            return;
        }
        let start = inner.length + inner.open.len() as u64;
        inner.open.extend(input.bytes());
        inner.open.push(is_answer);
        inner.open.extend(bytes.to_be_bytes());
        inner.open.extend(text.as_bytes());
        inner.known.insert(input, (start, bytes));
        if inner.open.len() >= TOGETHER || inner.written.elapsed() >= LATEST {
            inner.write();
        }
    }
}

impl Inner {
    fn read(&self, start: u64, length: usize) -> Option<Vec<u8>> {
        if let Some(start) = start.checked_sub(self.length) {
            let open = self.open.get(usize::try_from(start).ok()?..)?;
            return Some(open.get(..length)?.to_vec());
        }
        let mut record = vec![0; length];
        self.file.read_exact_at(&mut record, start).ok()?;
        Some(record)
    }

    fn write(&mut self) {
        let Self { file, length, open, .. } = self;
        if file.write_all_at(open, *length).is_err() {
            // They are answered again.
            let length = *length;
            self.known.retain(|_, (start, _)| *start < length);
        } else {
            *length += open.len() as u64;
        }
        self.open.clear();
        self.written = Instant::now();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.write();
    }
}

fn parts(head: &[u8; HEAD]) -> (KeyHash, bool, u32) {
    let hash = head.first_chunk::<16>().copied().unwrap_or_default();
    let bytes = head.last_chunk::<4>().copied().unwrap_or_default();
    let is_answer = head.get(16).is_some_and(|byte| *byte == 1);
    (KeyHash::from_bytes(hash), is_answer, u32::from_be_bytes(bytes))
}

fn failed(path: &Path, error: io::Error) -> BackfillError {
    let kind = BackfillErrorKind::Write(path.display().to_string());
    BackfillError::new("keep answers that are needed again", kind)
        .because(error)
        .help("make room or see to the rights, then go on: what is done stays done")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_survive_a_process_that_was_killed_while_it_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answers");
        let hash = |text: &str| KeyHash::of(text);
        let told = |log: &AnswerLog, text: &str| -> Option<Result<Arc<str>, Reason>> {
            log.get(hash(text)).map(|answer| answer.map(|prediction| prediction.json()))
        };
        let reason = Reason { kind: "empty-text".into(), detail: "no text".into() };
        let log = AnswerLog::open(&path).unwrap();
        log.put(hash("a"), &Ok("{\"label\":1}".into()));
        log.put(hash("b"), &Err(reason.clone()));
        assert_eq!(told(&log, "b"), Some(Err(reason.clone())));
        drop(log);
        let whole = fs::read(&path).unwrap();
        for cut in [whole.len(), whole.len() - 1, whole.len() - 40, 5, 0] {
            fs::write(&path, &whole[..cut]).unwrap();
            let log = AnswerLog::open(&path).unwrap();
            let first = told(&log, "a");
            assert_eq!(first.is_some(), cut > 40, "{cut}");
            assert_eq!(told(&log, "b").is_some(), cut == whole.len());
            log.put(hash("c"), &Ok("{}".into()));
            drop(log);
            let log = AnswerLog::open(&path).unwrap();
            assert_eq!(told(&log, "c"), Some(Ok("{}".into())));
            assert_eq!(told(&log, "a"), first);
        }
        fs::write(&path, &whole).unwrap();
        assert_eq!(told(&AnswerLog::open(&path).unwrap(), "b"), Some(Err(reason)));
    }
}
