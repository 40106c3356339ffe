use std::{
    ops::Range,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use memmap2::{Advice, Mmap};

use super::{
    Pooling,
    config::{Architecture, EncoderConfig, HeadKind},
    forward::{Network, Scratch},
    layout::{Description, MAGIC, MapPlan, Plan, VERSION},
    pool,
    reference::{dot, softmax},
};
use crate::{
    EngineError, EngineErrorKind,
    kernel::{Kernel, Rows, Target, kernel},
    map::map,
};

/// A compiled encoder: one memory-mapped file, nothing copied when it is loaded.
///
/// What it gives for a text is the same bits whatever other texts are asked with it, and however
/// many threads it has.
pub struct CompiledEncoder {
    map: Mmap,
    description: Description,
    plan: Plan,
    kernel: &'static dyn Kernel,
    /// Buffers of threads that are not at work.
    idle: Mutex<Vec<Scratch>>,
}

/// Tokens that go through the layers together, if there are as many: enough to use the weights
/// well, few enough for the caches.
const BATCH_TOKENS: usize = 384;
/// Longest description that is read: labels need far less.
const MAX_DESCRIPTION: usize = 16 << 20;

impl CompiledEncoder {
    /// The name of its file in a compiled artifact.
    pub const FILE: &str = "encoder.mesh";

    /// Opens a packed encoder. Every size is checked here: what a file claims is never trusted
    /// later.
    ///
    /// # Errors
    /// When the file is not a packed encoder, cut, newer, or for a target that this machine does
    /// not have.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let map = map(path)?;
        let (description, plan, target) = read_description(path, &map)?;
        let kernel = kernel(target)
            .map_err(|error| EngineError::new(path, EngineErrorKind::Target, error.to_string()))?;
        // The layers are all needed for the first answer; the table of words hardly.
        #[cfg(target_os = "linux")]
        let _ = map.advise_range(
            Advice::PopulateRead,
            plan.layer_bytes().start,
            plan.layer_bytes().len(),
        );
        Ok(Self { map, description, plan, kernel, idle: Mutex::default() })
    }

    /// What it is made of.
    #[must_use]
    pub const fn config(&self) -> &EncoderConfig {
        &self.description.config
    }

    /// The target that it is compiled for.
    #[must_use]
    pub fn target(&self) -> Target {
        self.kernel.target()
    }

    /// How hidden states become one vector.
    #[must_use]
    pub const fn pooling(&self) -> Pooling {
        self.description.pooling
    }

    /// The most tokens of one window of a text.
    #[must_use]
    pub const fn max_tokens(&self) -> usize {
        self.description.max_tokens
    }

    /// The pooled vector of every text, given as tokens. Not normalised.
    #[must_use]
    pub fn embed<T: AsRef<[u32]> + Sync>(&self, texts: &[T], threads: usize) -> Vec<Vec<f32>> {
        let pooling = self.description.pooling;
        self.map_texts(texts, threads, &|hidden, rows| {
            pool(pooling, rows.map(|row| hidden.row(row)))
        })
    }

    /// The hidden states of every token of every text.
    #[must_use]
    pub fn hidden<T: AsRef<[u32]> + Sync>(
        &self,
        texts: &[T],
        threads: usize,
    ) -> Vec<Vec<Vec<f32>>> {
        self.map_texts(texts, threads, &|hidden, rows| {
            rows.map(|row| hidden.row(row).to_vec()).collect()
        })
    }

    /// The probability of every label for every text, or for every token of every text, as the
    /// head has it; a text has one row, or one per token. Nothing without a head.
    #[must_use]
    pub fn classify<T: AsRef<[u32]> + Sync>(
        &self,
        texts: &[T],
        threads: usize,
    ) -> Vec<Vec<Vec<f32>>> {
        let Some(head) = self.head() else { return vec![Vec::new(); texts.len()] };
        let token = self.config().head == HeadKind::TokenClassification;
        self.map_texts(texts, threads, &|hidden, rows| {
            let rows = if token { rows } else { rows.start..rows.end.min(rows.start + 1) };
            rows.map(|row| head.probabilities(hidden.row(row))).collect()
        })
    }

    /// Runs texts in batches, the batches on several threads, and makes something of the rows of
    /// each text.
    fn map_texts<T: AsRef<[u32]> + Sync, R: Send>(
        &self,
        texts: &[T],
        threads: usize,
        make: &(dyn Fn(&Rows, Range<usize>) -> R + Sync),
    ) -> Vec<R> {
        let batches = batches(texts, threads);
        let run = |batch: &Range<usize>| -> Vec<R> {
            let mut scratch = self.scratch();
            let spans =
                self.network().run(texts.get(batch.clone()).unwrap_or_default(), &mut scratch);
            let made = spans.into_iter().map(|rows| make(&scratch.hidden, rows)).collect();
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
            made
        };
        let threads = threads.min(batches.len());
        if threads < 2 {
            return batches.iter().flat_map(run).collect();
        }
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            while let Some((at, batch)) = {
                let at = next.fetch_add(1, Ordering::Relaxed);
                batches.get(at).map(|batch| (at, batch))
            } {
                done.push((at, run(batch)));
            }
            done
        };
        let mut parts: Vec<(usize, Vec<R>)> = thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut parts = work();
            for other in others {
                match other.join() {
                    Ok(more) => parts.extend(more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            parts
        });
        parts.sort_by_key(|(at, _)| *at);
        parts.into_iter().flat_map(|(_, made)| made).collect()
    }

    fn scratch(&self) -> Scratch {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn network(&self) -> Network<'_> {
        let Self { map, plan, description, kernel, .. } = self;
        Network { map, plan, description, kernel: *kernel }
    }

    fn head(&self) -> Option<Head<'_>> {
        let network = self.network();
        let classifier = self.plan.classifier.as_ref()?;
        let rows = |plan: &MapPlan| MapRows {
            weight: network.floats(&plan.weights),
            bias: network.floats(&plan.bias),
            inputs: plan.inputs,
        };
        Some(Head {
            dense: self.plan.dense.as_ref().map(rows),
            rectified: self.config().architecture == Architecture::Distilbert,
            classifier: rows(classifier),
        })
    }
}

/// A linear map as rows of the file.
struct MapRows<'a> {
    weight: &'a [f32],
    bias: &'a [f32],
    inputs: usize,
}

/// The head of a classifier.
struct Head<'a> {
    dense: Option<MapRows<'a>>,
    /// Whether a rectifier stands between the two maps, else a tanh.
    rectified: bool,
    classifier: MapRows<'a>,
}

impl MapRows<'_> {
    fn apply(&self, row: &[f32]) -> Vec<f32> {
        let rows = self.weight.chunks_exact(self.inputs.max(1));
        rows.zip(self.bias).map(|(weights, bias)| dot(weights, row) + bias).collect()
    }
}

impl Head<'_> {
    fn probabilities(&self, hidden: &[f32]) -> Vec<f32> {
        let mut scores = match &self.dense {
            None => self.classifier.apply(hidden),
            Some(dense) => {
                let mut inner = dense.apply(hidden);
                for value in &mut inner {
                    *value = if self.rectified { value.max(0.0) } else { libm::tanhf(*value) };
                }
                self.classifier.apply(&inner)
            }
        };
        softmax(&mut scores);
        scores
    }
}

impl std::fmt::Debug for CompiledEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompiledEncoder")
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}

/// Cuts texts, in their order, into batches of about as many tokens, as many for every thread.
fn batches<T: AsRef<[u32]>>(texts: &[T], threads: usize) -> Vec<Range<usize>> {
    let total: usize = texts.iter().map(|text| text.as_ref().len()).sum();
    let count = total.div_ceil(BATCH_TOKENS).next_multiple_of(threads.max(1));
    let most = total.div_ceil(count.max(1));
    let mut batches = Vec::new();
    let (mut start, mut tokens) = (0, 0);
    for (at, text) in texts.iter().enumerate() {
        let more = text.as_ref().len();
        // Nearer to the size that all should have, rather than always below it.
        if at > start && tokens + more / 2 > most {
            batches.push(start..at);
            (start, tokens) = (at, 0);
        }
        tokens += more;
    }
    if start < texts.len() {
        batches.push(start..texts.len());
    }
    batches
}

fn read_description(path: &Path, map: &Mmap) -> Result<(Description, Plan, Target), EngineError> {
    let wrong = |reason: &str| EngineError::format(path, reason);
    let word = |at: usize| {
        let bytes = map.get(at..at + 4).and_then(|bytes| bytes.first_chunk());
        bytes.map(|bytes| u32::from_le_bytes(*bytes)).ok_or_else(|| wrong("it is cut"))
    };
    if map.get(..8) != Some(MAGIC.as_slice()) {
        return Err(wrong("it is not a compiled encoder"));
    }
    let version = word(8)?;
    if version != VERSION {
        let reason = format!("it has format {version}, this program reads {VERSION}");
        let newer = version > VERSION;
        let kind = if newer { EngineErrorKind::Newer } else { EngineErrorKind::Format };
        return Err(EngineError::new(path, kind, reason));
    }
    let length = word(12)? as usize;
    if length > MAX_DESCRIPTION {
        return Err(wrong("its description is longer than any"));
    }
    let json = map.get(16..16 + length).ok_or_else(|| wrong("it is cut"))?;
    let description: Description = serde_json::from_slice(json)
        .map_err(|error| wrong(&format!("its description: {error}")))?;
    description.config.check().map_err(|reason| wrong(&reason))?;
    let longest = description.config.max_tokens();
    if !(3..=longest).contains(&description.max_tokens) {
        return Err(wrong("its windows do not fit its positions"));
    }
    let target: Target =
        description.target.parse().map_err(|_| wrong("it is for a target unknown here"))?;
    let plan = Plan::new(&description, target, length);
    if plan.total != map.len() {
        let reason = format!("it has {} bytes, its description makes it {}", map.len(), plan.total);
        return Err(wrong(&reason));
    }
    Ok((description, plan, target))
}
