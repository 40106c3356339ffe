//! Compiling encoders.

use std::{
    fs,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use mesh_core::{
    Inputs, StepContext, StepOutput, Unit,
    manifest::{ModelTable, Pooling, TaskName},
};
use mesh_dataset::Dataset;
use mesh_engine::{
    CompiledEncoder, EncoderFolder, HeadKind, LogisticHead, ReferenceEncoder, Target,
    TextTokenizer, normalise, pack_encoder, pool,
};

use crate::{
    CompileError, CompileErrorKind, Fidelity, Speed,
    fidelity::Answers,
    step::{NATIVE, Stopped, write_error},
    texts::Texts,
};

/// Texts that the two models are compared on, at most: the uncompiled one is slow.
const MAX_TEXTS: usize = 256;
/// Texts that speed is measured on.
const SPEED_TEXTS: usize = 4;

/// What an encoder is compiled from.
pub(crate) struct EncoderJob<'a> {
    pub(crate) target: &'a str,
    pub(crate) task: TaskName,
    pub(crate) table: &'a ModelTable,
    pub(crate) inputs: &'a Inputs,
    pub(crate) context: &'a StepContext,
}

/// What an encoder says of a text.
struct Said {
    /// The pooled vector, scaled to length 1.
    embedding: Vec<f32>,
    /// The probabilities of the labels, if there is a head.
    labels: Option<Vec<f32>>,
}

/// The uncompiled model.
struct Trained {
    encoder: ReferenceEncoder,
    head: Option<LogisticHead>,
    pooling: Pooling,
}

impl EncoderJob<'_> {
    /// Packs the encoder, and compares the two.
    pub(crate) fn compile(&self, output: &StepOutput) -> Result<(Fidelity, Speed), Stopped> {
        let target = target(self.target)?;
        let folder =
            EncoderFolder::find(self.inputs.files("encoder")).map_err(CompileError::from)?;
        let encoder = folder.read().map_err(CompileError::from)?;
        let options = folder.options(self.table, encoder.config()).map_err(CompileError::from)?;
        let path = output.dir.join(CompiledEncoder::FILE);
        let bytes = pack_encoder(&encoder, target, &options);
        fs::write(&path, bytes).map_err(|error| write_error(&error))?;
        let tokenizer_path = output.dir.join(TextTokenizer::FILE);
        fs::copy(folder.tokenizer(), &tokenizer_path).map_err(|error| write_error(&error))?;
        let head = self.head(&output.dir)?;
        self.check_head(head.is_some(), encoder.config().head)?;
        let trained = Trained { encoder, head, pooling: options.pooling };
        let compiled = CompiledEncoder::open(&path).map_err(CompileError::from)?;
        let vocabulary = compiled.config().vocabulary;
        let tokenizer =
            TextTokenizer::read(&tokenizer_path, vocabulary).map_err(CompileError::from)?;
        let mut texts = self.texts()?;
        let tokens = first_windows(&tokenizer, &compiled, &mut texts);
        if tokens.is_empty() {
            return Err(CompileError::new(CompileErrorKind::NoTexts).into());
        }
        let before = self.run_all(&tokens, &|tokens| trained.say(tokens))?;
        let labelled = before.iter().all(|said| said.labels.is_some());
        if !labelled && tokens.iter().all(|other| Some(other) == tokens.first()) {
            return Err(CompileError::new(CompileErrorKind::OneText).into());
        }
        let after: Vec<Said> =
            tokens.iter().map(|tokens| trained.say_compiled(&compiled, tokens)).collect();
        check_answers("the model", &before)?;
        check_answers("what was compiled of it", &after)?;
        let fidelity = self.compare(&trained, &texts, (&before, &after));
        let every = tokens.len().div_ceil(SPEED_TEXTS);
        let some: Vec<Vec<u32>> = tokens.into_iter().step_by(every).collect();
        let slow =
            |texts: &[Vec<u32>]| texts.iter().for_each(|text| drop(trained.encoder.hidden(text)));
        let fast = |texts: &[Vec<u32>]| drop(compiled.embed(texts, 1));
        Ok((fidelity, Speed::measure(&slow, &fast, &some)))
    }

    /// Checks that the encoder can do what the project's task asks of it.
    fn check_head(&self, logistic: bool, found: HeadKind) -> Result<(), CompileError> {
        let fits = match self.task {
            TaskName::TextClassification => logistic || found == HeadKind::SequenceClassification,
            _ => true,
        };
        let kind = CompileErrorKind::Head { task: self.task, found: found.as_str() };
        if fits { Ok(()) } else { Err(CompileError::new(kind)) }
    }

    /// The logistic head of the trained model, if there is one; copied to the compiled one.
    fn head(&self, to: &Path) -> Result<Option<LogisticHead>, CompileError> {
        let Some(model) = self.inputs.artifact("model") else { return Ok(None) };
        let head = LogisticHead::read(model.path())?;
        head.write(to)?;
        Ok(Some(head))
    }

    fn texts(&self) -> Result<Texts, CompileError> {
        match self.inputs.artifact("dataset") {
            Some(dataset) => Texts::of_dataset(&Dataset::open(dataset)?, MAX_TEXTS),
            None => Texts::of_files(self.inputs.files("texts"), MAX_TEXTS),
        }
    }

    fn compare(
        &self,
        trained: &Trained,
        texts: &Texts,
        (before, after): (&[Said], &[Said]),
    ) -> Fidelity {
        let embeddings =
            |said: &[Said]| said.iter().map(|said| said.embedding.clone()).collect::<Vec<_>>();
        let (old, new) = (embeddings(before), embeddings(after));
        let labels = |said: &[Said]| said.iter().map(|said| said.labels.clone()).collect();
        let (Some(one), Some(other)): (Option<Vec<_>>, Option<Vec<_>>) =
            (labels(before), labels(after))
        else {
            return Fidelity::of_embeddings(self.target, &old, &new);
        };
        let truth = texts.truth(trained.labels());
        let answers = Answers { truth: &truth, trained: &one, compiled: &other };
        Fidelity::of_labels(self.target, &answers).with_cosines(&old, &new)
    }

    /// Runs the slow model over all texts, on as many threads as there are to use.
    fn run_all(
        &self,
        texts: &[Vec<u32>],
        run: &(dyn Fn(&[u32]) -> Said + Sync),
    ) -> Result<Vec<Said>, Stopped> {
        let count = Some(texts.len() as u64);
        let task = self.context.progress.begin("compare with the model", count, Unit::Items);
        let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            while let Some((at, text)) = {
                let at = next.fetch_add(1, Ordering::Relaxed);
                texts.get(at).map(|text| (at, text))
            } {
                self.context.cancel.check()?;
                let said = run(text);
                done.lock().unwrap_or_else(PoisonError::into_inner).push((at, said));
                task.advance(1);
            }
            Ok(())
        };
        thread::scope(|scope| {
            let others: Vec<_> = (1..self.context.threads).map(|_| scope.spawn(work)).collect();
            let own = work();
            let others = others.into_iter().map(|other| match other.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            others.fold(own, Result::and)
        })
        .map_err(Stopped::Interrupted)?;
        let mut said = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        said.sort_by_key(|(at, _)| *at);
        Ok(said.into_iter().map(|(_, said)| said).collect())
    }
}

impl Trained {
    fn labels(&self) -> &[String] {
        self.head.as_ref().map_or(&self.encoder.config().labels, |head| &head.labels)
    }

    fn say(&self, tokens: &[u32]) -> Said {
        let hidden = self.encoder.hidden(tokens);
        let mut embedding = pool(self.pooling, hidden.iter().map(Vec::as_slice));
        normalise(&mut embedding);
        let labels = match &self.head {
            Some(head) => Some(head.probabilities(&embedding)),
            None if self.encoder.config().head == HeadKind::SequenceClassification => {
                self.encoder.probabilities(&hidden).pop()
            }
            None => None,
        };
        Said { embedding, labels }
    }

    fn say_compiled(&self, compiled: &CompiledEncoder, tokens: &[u32]) -> Said {
        let mut embedding = compiled.embed(&[tokens], 1).pop().unwrap_or_default();
        normalise(&mut embedding);
        let labels = match &self.head {
            Some(head) => Some(head.probabilities(&embedding)),
            None if compiled.config().head == HeadKind::SequenceClassification => {
                compiled.classify(&[tokens], 1).pop().and_then(|mut rows| rows.pop())
            }
            None => None,
        };
        Said { embedding, labels }
    }
}

/// The target of that name.
pub(crate) fn target(name: &str) -> Result<Target, CompileError> {
    match name.parse() {
        Ok(target) => Ok(target),
        // The name stays where the best one could not be told.
        Err(_) if name == NATIVE => Target::native().map_err(CompileError::from),
        Err(error) => {
            let kind = CompileErrorKind::EncoderTarget(name.to_owned());
            Err(CompileError::new(kind).because(error))
        }
    }
}

/// Refuses a model that gives no numbers, or nothing but zeros: nothing can be said of how good
/// it is, and nobody could use it.
fn check_answers(whose: &'static str, said: &[Said]) -> Result<(), CompileError> {
    let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
    let sound = |said: &&Said| {
        finite(&said.embedding)
            && said.embedding.iter().any(|value| *value != 0.0)
            && said.labels.as_deref().is_none_or(finite)
    };
    let wrong = said.len() - said.iter().filter(sound).count();
    let kind = CompileErrorKind::NoNumbers { whose, wrong, of: said.len() };
    if wrong == 0 { Ok(()) } else { Err(CompileError::new(kind)) }
}

/// The first window of every text that has tokens; texts without are taken out.
fn first_windows(
    tokenizer: &TextTokenizer,
    encoder: &CompiledEncoder,
    texts: &mut Texts,
) -> Vec<Vec<u32>> {
    let (mut windows, mut kept) = (Vec::new(), Texts::default());
    for (text, label) in texts.texts.drain(..).zip(texts.labels.drain(..)) {
        if let Some(first) =
            tokenizer.windows(&text, encoder.max_tokens()).windows.into_iter().next()
        {
            windows.push(first);
            kept.texts.push(text);
            kept.labels.push(label);
        }
    }
    *texts = kept;
    windows
}
