//! Sentiment of a document and of the entities in it.
//!
//! The model knows single sentences. A document is cut into windows of whole sentences; its
//! probabilities are those of its windows, each weighing as much as it has words. The sentiment
//! of an entity is that of the sentences around its mentions.

mod windows;

use std::collections::HashMap;

use mesh_core::{
    Answer, Example, LoadError, LongTextUse, ModelFiles, Project, Refusal, RefusalKind, Usage,
};
use mesh_engine::{TextClassifier, load_classifier};
use mesh_tasks::HasTexts;
use mesh_text::Locale;
use miette::Diagnostic;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::windows::{around, windows};

/// The project.
pub struct Sentiment {
    model: Box<dyn TextClassifier>,
    /// Whether the model may be an encoder, which takes milliseconds for a window.
    reads_tokens: bool,
    negative: usize,
    positive: usize,
}

/// What is asked about.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The text.
    pub content: String,
    /// Entities whose sentiment is asked for too, as the project `ner` finds them.
    #[serde(default)]
    pub entities: Option<Vec<Entity>>,
}

/// An entity in the text.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entity {
    /// What kind of entity it is.
    #[serde(default)]
    pub entity_type: Option<String>,
    /// The entity as it stands in the text.
    pub entity_text: String,
    /// How sure the finder was.
    #[serde(default)]
    pub score: Option<f64>,
    /// The sentence that it is in, from 0.
    #[serde(default)]
    pub sentence_index: Option<u64>,
    /// Where it starts in its sentence, in characters.
    #[serde(default)]
    pub start: Option<u64>,
    /// Where it ends in its sentence, in characters.
    #[serde(default)]
    pub end: Option<u64>,
}

/// How it is asked.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// The language of the text; only `en` is known.
    pub language: String,
}

/// The sentiment of a document.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Prediction {
    /// The likeliest sentiment.
    pub label: Polarity,
    /// The probability of `negative`, 0 to 1.
    pub negative_prob: f32,
    /// The probability of `positive`, 0 to 1.
    pub positive_prob: f32,
    /// The entities that were given, each with its sentiment; null if none were given.
    pub entities: Option<Vec<EntitySentiment>>,
}

/// Sentiments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Polarity {
    /// Somebody dislikes something.
    Negative,
    /// Neither.
    Neutral,
    /// Somebody likes something.
    Positive,
}

/// An entity and its sentiment.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct EntitySentiment {
    /// As it was given.
    pub entity_type: Option<String>,
    /// As it was given.
    pub entity_text: String,
    /// As it was given.
    pub score: Option<f64>,
    /// As it was given.
    pub sentence_index: Option<u64>,
    /// As it was given.
    pub start: Option<u64>,
    /// As it was given.
    pub end: Option<u64>,
    /// The sentiment of all sentences that mention it; of the text, if none does.
    pub sentiment: Polarity,
}

/// Windows of a text that an encoder is given, at most: some seconds of work.
const MAX_ENCODED: usize = 256;

#[derive(Debug, Error, Diagnostic)]
#[error("its labels are {found}, not negative, neutral and positive")]
struct WrongLabels {
    found: String,
}

/// Probabilities of negative and positive.
#[derive(Debug, Clone, Copy, Default)]
struct Shares {
    negative: f32,
    positive: f32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { language: "en".into() }
    }
}

impl Shares {
    fn polarity(self) -> Polarity {
        let neutral = 1.0 - self.negative - self.positive;
        if self.negative >= self.positive && self.negative > neutral {
            Polarity::Negative
        } else if self.positive > neutral {
            Polarity::Positive
        } else {
            Polarity::Neutral
        }
    }
}

impl Sentiment {
    /// The sentiment of parts of a text together, each weighing as much as it has words. A part
    /// that says nothing, such as a row of symbols, does not count; if none does, the first one's
    /// refusal is the answer.
    fn shares<'a>(&self, parts: impl Iterator<Item = &'a str>) -> Result<Answer<Shares>, Refusal> {
        let parts: Vec<&str> = parts.collect();
        let mut sum = Shares::default();
        let mut usage = Usage::default();
        let (mut words, mut refused) = (0.0, None);
        for (part, answer) in parts.iter().zip(self.model.answers(&parts)) {
            let scores = match answer {
                Ok(answer) => {
                    usage = usage.and(answer.usage);
                    answer.prediction
                }
                Err(refusal) => {
                    refused.get_or_insert(refusal);
                    continue;
                }
            };
            #[expect(clippy::cast_precision_loss, reason = "a window has few words")]
            let weight = part.split_whitespace().count().max(1) as f32;
            words += weight;
            sum.negative += weight * scores.get(self.negative).copied().unwrap_or_default();
            sum.positive += weight * scores.get(self.positive).copied().unwrap_or_default();
        }
        match refused {
            Some(refusal) if words == 0.0 => Err(refusal),
            _ => {
                let Shares { negative, positive } = sum;
                let shares = Shares { negative: negative / words, positive: positive / words };
                if let (Some(_), 2..) = (usage.tokens, parts.len()) {
                    usage.long_text = Some(LongTextUse::Windows(parts.len()));
                }
                Ok(Answer { prediction: shares, usage })
            }
        }
    }

    /// The sentiment of the sentences that mention a name.
    fn of_name(&self, text: &str, document: Polarity, name: &str) -> Polarity {
        let near = around(text, name);
        // A name that is not in the text as it was given: all that is known is the whole.
        if near.is_empty() {
            return document;
        }
        let shares = self.shares(near.into_iter());
        shares.map_or(document, |answer| answer.prediction.polarity())
    }

    fn entities<'e>(
        &self,
        text: &str,
        document: Polarity,
        given: &'e [Entity],
    ) -> Vec<EntitySentiment> {
        // A name is mentioned several times, and each time is an entity.
        let mut known: HashMap<&'e str, Polarity> = HashMap::new();
        let entity = |entity: &'e Entity| {
            let name = entity.entity_text.as_str();
            let sentiment =
                *known.entry(name).or_insert_with(|| self.of_name(text, document, name));
            EntitySentiment::of(entity, sentiment)
        };
        given.iter().map(entity).collect()
    }

    fn answer(
        &self,
        example: &Example<Document, Parameters>,
    ) -> Result<Answer<Prediction>, Refusal> {
        let text = example.attributes.content.as_str();
        Locale::supported(&example.parameters.language, ["en"])?;
        Refusal::unless_readable(text)?;
        let windows: Vec<&str> = windows(text).collect();
        if self.reads_tokens && windows.len() > MAX_ENCODED {
            let detail = format!(
                "the text has {} windows of some sixty words, the most that is answered is \
                 {MAX_ENCODED}",
                windows.len()
            );
            return Err(Refusal::new(RefusalKind::TextTooLong, detail));
        }
        let Answer { prediction: shares, usage } = self.shares(windows.into_iter())?;
        let label = shares.polarity();
        let given = example.attributes.entities.as_deref();
        let entities = given.map(|given| self.entities(text, label, given));
        let Shares { negative: negative_prob, positive: positive_prob } = shares;
        let prediction = Prediction { label, negative_prob, positive_prob, entities };
        Ok(Answer { prediction, usage })
    }
}

impl EntitySentiment {
    fn of(entity: &Entity, sentiment: Polarity) -> Self {
        let Entity { entity_type, entity_text, score, sentence_index, start, end } = entity.clone();
        Self { entity_type, entity_text, score, sentence_index, start, end, sentiment }
    }
}

impl HasTexts for Document {
    fn texts(&self) -> impl Iterator<Item = &str> {
        [self.content.as_str()].into_iter()
    }
}

impl Project for Sentiment {
    type Attributes = Document;
    type Parameters = Parameters;
    type Prediction = Prediction;

    fn load(files: &ModelFiles) -> Result<Self, LoadError> {
        let model = load_classifier(files)?;
        let find = |label: &str| model.labels().iter().position(|known| known == label);
        match (find("negative"), find("neutral"), find("positive")) {
            (Some(negative), Some(_), Some(positive)) if model.labels().len() == 3 => {
                let reads_tokens = files.manifest.model.is_some();
                Ok(Self { model, reads_tokens, negative, positive })
            }
            _ => {
                let found = model.labels().join(", ");
                Err(LoadError::new(&files.manifest.project.name, WrongLabels { found }))
            }
        }
    }

    fn sample() -> Document {
        Document {
            content: "A wonderful film, and the music is even better.".into(),
            entities: None,
        }
    }

    fn predict(
        &self,
        batch: &[Example<Document, Parameters>],
    ) -> Vec<Result<Answer<Prediction>, Refusal>> {
        batch.iter().map(|example| self.answer(example)).collect()
    }
}
