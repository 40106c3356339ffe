use mesh_core::{
    Answer, Example, LoadError, ModelFiles, Project, Refusal, RefusalKind, Usage, tags::spans,
};
use mesh_engine::{CompiledSequence, Tagging};
use mesh_text::{Locale, sentences, tokens};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{OneOrMany, Texts};

/// The entities in texts: names of people, places and whatever else the model was trained to find.
pub struct TokenClassification {
    model: CompiledSequence,
    languages: Vec<String>,
}

/// How it is asked.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TokenParameters {
    /// The language of the text: a code of ISO 639, or a locale such as `en-GB`.
    pub language: String,
}

/// The entities.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Entities {
    /// The entities of the text in their order, or a list of such lists, one per text.
    pub entities: OneOrMany<Vec<Entity>>,
}

/// An entity.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Entity {
    /// What kind of entity it is.
    pub entity_type: String,
    /// The entity as it stands in the text.
    pub entity_text: String,
    /// How sure the model is: the mean over its tokens of the probability of their tags.
    pub score: f32,
    /// The sentence that it is in, from 0.
    pub sentence_index: usize,
    /// Where it starts in its sentence, in characters.
    pub start: usize,
    /// Where it ends in its sentence, in characters.
    pub end: usize,
}

/// Tokens of one request, at most, where an encoder reads them: some seconds of work.
const MAX_ENCODED: usize = 20_000;

/// A sentence, cut into tokens.
struct Sentence<'a> {
    text: &'a str,
    /// Its place in its text.
    index: usize,
    tokens: Vec<(usize, &'a str)>,
}

impl Default for TokenParameters {
    fn default() -> Self {
        Self { language: "en".into() }
    }
}

impl<'a> Sentence<'a> {
    fn all(text: &'a str) -> impl Iterator<Item = Self> {
        let sentences = sentences(text).enumerate();
        sentences.map(|(index, (_, text))| Self { text, index, tokens: tokens(text) })
    }

    fn words(&self) -> Vec<&'a str> {
        self.tokens.iter().map(|(_, word)| *word).collect()
    }

    /// The entities that the tags of its tokens tell.
    fn entities(&self, tags: &[String], tagging: &Tagging) -> Vec<Entity> {
        let name = |tag: &usize| tags.get(*tag).map_or("", String::as_str);
        // Characters are counted once, from entity to entity.
        let (mut bytes, mut characters) = (0, 0);
        let mut count = |to: usize| {
            characters += self.text.get(bytes..to).map_or(0, |text| text.chars().count());
            bytes = to;
            characters
        };
        let entity = |span: mesh_core::tags::Span<'_>| {
            let (from, _) = *self.tokens.get(span.start)?;
            let (last, word) = *self.tokens.get(span.end.checked_sub(1)?)?;
            let to = last + word.len();
            let scores = tagging.scores.get(span.start..span.end)?;
            #[expect(clippy::cast_precision_loss, reason = "a few tokens")]
            let score = scores.iter().sum::<f32>() / scores.len().max(1) as f32;
            Some(Entity {
                entity_type: span.kind.to_owned(),
                entity_text: self.text.get(from..to)?.to_owned(),
                score,
                sentence_index: self.index,
                start: count(from),
                end: count(to),
            })
        };
        spans(tagging.tags.iter().map(name)).into_iter().filter_map(entity).collect()
    }
}

impl TokenClassification {
    /// The sentences of every text of an example.
    fn cut<'a>(
        &self,
        example: &'a Example<Texts, TokenParameters>,
    ) -> Result<Vec<Vec<Sentence<'a>>>, Refusal> {
        Locale::supported(&example.parameters.language, self.languages.iter().map(String::as_str))?;
        let texts = example.attributes.content.as_slice().iter();
        let cut: Vec<Vec<Sentence<'_>>> = texts.map(|text| Sentence::all(text).collect()).collect();
        let count: usize = cut.iter().flatten().map(|sentence| sentence.tokens.len()).sum();
        if self.model.encoder().is_some() && count > MAX_ENCODED {
            let detail = format!(
                "the text has {count} tokens, the most that is answered at once is {MAX_ENCODED}"
            );
            return Err(Refusal::new(RefusalKind::TextTooLong, detail));
        }
        Ok(cut)
    }
}

impl Project for TokenClassification {
    type Attributes = Texts;
    type Parameters = TokenParameters;
    type Prediction = Entities;

    fn load(model: &ModelFiles) -> Result<Self, LoadError> {
        let folder = model.compiled.clone().unwrap_or_default();
        let name = &model.manifest.project.name;
        let languages = model.manifest.project.languages.clone();
        let model = CompiledSequence::open(&folder).map_err(|error| LoadError::new(name, error))?;
        Ok(Self { model, languages })
    }

    fn sample() -> Texts {
        let text = "Ada Lovelace was born in London. She worked with Charles Babbage.";
        Texts { content: OneOrMany::One(text.into()) }
    }

    fn predict(
        &self,
        batch: &[Example<Texts, TokenParameters>],
    ) -> Vec<Result<Answer<Entities>, Refusal>> {
        let cut: Vec<_> = batch.iter().map(|example| self.cut(example)).collect();
        let sentences = cut.iter().flatten().flatten().flatten();
        let words: Vec<Vec<&str>> = sentences.map(Sentence::words).collect();
        let mut taggings = self.model.tag(&words, 1).into_iter();
        let tags = self.model.tags();
        let answer = |(example, cut): (&Example<Texts, TokenParameters>, Result<Vec<_>, _>)| {
            let mut count = 0;
            let cut = cut?;
            let lists = cut.iter().map(|text: &Vec<Sentence<'_>>| {
                let own = text.iter().zip(taggings.by_ref().take(text.len()));
                own.flat_map(|(sentence, tagging)| {
                    count += sentence.tokens.len();
                    sentence.entities(tags, &tagging)
                })
                .collect()
            });
            let mut lists: Vec<Vec<Entity>> = lists.collect();
            let entities = match &example.attributes.content {
                OneOrMany::One(_) => OneOrMany::One(lists.pop().unwrap_or_default()),
                OneOrMany::Many(_) => OneOrMany::Many(lists),
            };
            let usage = Usage { tokens: Some(count), long_text: None };
            Ok(Answer { prediction: Entities { entities }, usage })
        };
        batch.iter().zip(cut).map(answer).collect()
    }
}
