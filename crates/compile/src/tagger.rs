//! Compiling models that tag tokens.

use std::{collections::HashMap, fs};

use mesh_core::{
    Inputs, StepContext, StepOutput, Unit,
    manifest::ModelTable,
    tags::{EntityCounts, OUTSIDE, spans},
};
use mesh_dataset::Dataset;
use mesh_engine::{
    ChainRoom, CompiledEncoder, CompiledSequence, EncoderFolder, ReferenceEncoder, SequenceModel,
    Target, TextTokenizer, WordWindows, pack_encoder, pack_sequence,
};

use crate::{
    CompileError, CompileErrorKind, Fidelity, Speed,
    drop::MetricDrop,
    encoder,
    step::{Stopped, input, write_error},
    texts::Texts,
};

/// The target of a model without an encoder: the packed form is the same for every CPU.
pub(crate) const TARGET: &str = "portable-f32";
/// Sentences that the two models are compared on, at most.
const MAX_SENTENCES: usize = 5_000;
/// The same with an encoder, as the uncompiled one is slow.
const MAX_ENCODED: usize = 256;
/// Sentences that speed is measured on with an encoder.
const SPEED_SENTENCES: usize = 4;

/// The uncompiled model.
struct Trained {
    model: SequenceModel,
    rows: HashMap<u64, usize>,
    /// The encoder with its tokenizer and its longest window.
    encoder: Option<(ReferenceEncoder, TextTokenizer, usize)>,
}

/// Packs the trained model, with its encoder if it has one, and compares the two.
pub(crate) fn compile(
    target: &str,
    table: Option<&ModelTable>,
    inputs: &Inputs,
    output: &StepOutput,
    context: &StepContext,
) -> Result<(Fidelity, Speed), Stopped> {
    let model = SequenceModel::read(input(inputs, "model")?.path()).map_err(CompileError::from)?;
    let (bytes, report) = pack_sequence(&model);
    let path = output.dir.join(CompiledSequence::FILE);
    fs::write(path, bytes).map_err(|error| write_error(&error))?;
    let encoder = match (table, model.dimension) {
        (Some(table), 1..) => Some(pack(encoder::target(target)?, table, inputs, output)?),
        _ if target == TARGET => None,
        _ => return Err(CompileError::new(CompileErrorKind::LanguageTarget(target.into())).into()),
    };
    let compiled = CompiledSequence::open(&output.dir).map_err(CompileError::from)?;
    let dataset = Dataset::open(input(inputs, "dataset")?).map_err(CompileError::from)?;
    let most = if encoder.is_some() { MAX_ENCODED } else { MAX_SENTENCES };
    let texts = Texts::of_dataset(&dataset, most)?;
    let target = compiled.encoder().map_or(TARGET, |encoder| encoder.target().as_str());
    let rows = model.rows();
    let trained = Trained { model, rows, encoder };
    let sentences: Vec<Vec<&str>> =
        texts.texts.iter().map(|text| text.split(' ').collect()).collect();
    let count = Some(sentences.len() as u64);
    let task = context.progress.begin("compare with the model", count, Unit::Items);
    let mut before = Vec::with_capacity(sentences.len());
    for sentence in &sentences {
        context.cancel.check().map_err(Stopped::Interrupted)?;
        before.push(trained.tag(sentence));
        task.advance(1);
    }
    let after: Vec<Vec<usize>> =
        compiled.tag(&sentences, context.threads).into_iter().map(|said| said.tags).collect();
    let mut fidelity = compare(target, &trained.model.tags, &texts, (&before, &after));
    fidelity.pack = Some(report);
    let every = match trained.encoder {
        Some(_) => sentences.len().div_ceil(SPEED_SENTENCES).max(1),
        None => 1,
    };
    let some: Vec<Vec<&str>> = sentences.into_iter().step_by(every).collect();
    let slow = |some: &[Vec<&str>]| some.iter().for_each(|words| drop(trained.tag(words)));
    let fast = |some: &[Vec<&str>]| drop(compiled.tag(some, 1));
    Ok((fidelity, Speed::measure(&slow, &fast, &some)))
}

/// Packs the encoder; gives the uncompiled one.
fn pack(
    target: Target,
    table: &ModelTable,
    inputs: &Inputs,
    output: &StepOutput,
) -> Result<(ReferenceEncoder, TextTokenizer, usize), CompileError> {
    let folder = EncoderFolder::find(inputs.files("encoder"))?;
    let encoder = folder.read()?;
    let options = folder.options(table, encoder.config())?;
    let bytes = pack_encoder(&encoder, target, &options);
    fs::write(output.dir.join(CompiledEncoder::FILE), bytes)
        .map_err(|error| write_error(&error))?;
    let file = output.dir.join(TextTokenizer::FILE);
    fs::copy(folder.tokenizer(), &file).map_err(|error| write_error(&error))?;
    let tokenizer = TextTokenizer::read(&file, encoder.config().vocabulary)?;
    let most = options.max_tokens(encoder.config());
    Ok((encoder, tokenizer, most))
}

impl Trained {
    fn tag(&self, words: &[&str]) -> Vec<usize> {
        let vectors = match &self.encoder {
            None => Vec::new(),
            Some((encoder, tokenizer, most)) => {
                let cut = WordWindows::new(tokenizer, words, *most);
                let hidden: Vec<_> =
                    cut.windows.iter().map(|window| encoder.hidden(window)).collect();
                cut.vectors(&hidden, encoder.config().hidden)
            }
        };
        let scores = self.model.scores(&self.rows, words, &vectors);
        let chain = self.model.chain();
        chain.map(|chain| chain.best(&scores, &mut ChainRoom::default())).unwrap_or_default()
    }
}

fn compare(
    target: &str,
    tags: &[String],
    texts: &Texts,
    (before, after): (&[Vec<usize>], &[Vec<usize>]),
) -> Fidelity {
    let name = |tag: &usize| tags.get(*tag).map_or(OUTSIDE, String::as_str);
    let pairs = before.iter().flatten().zip(after.iter().flatten());
    let (same, tokens) =
        pairs.fold((0, 0), |(same, all), (a, b)| (same + usize::from(a == b), all + 1));
    let labelled = texts.labels.iter().all(Option::is_some);
    let counts = texts.labels.iter().flatten().zip(before.iter().zip(after));
    let counts: Vec<[EntityCounts; 2]> = counts
        .map(|(truth, (before, after))| {
            let truth = spans(truth.split(' '));
            [before, after]
                .map(|given| EntityCounts::of(&truth, &spans(given.iter().map(name)), |_| true))
        })
        .collect();
    let f1_drop = labelled.then(|| MetricDrop::entity_f1(&counts));
    Fidelity::of_tokens(target, (same, tokens), before.len(), f1_drop)
}
