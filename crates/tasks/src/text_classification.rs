use std::sync::Arc;

use mesh_core::{Answer, Example, LoadError, ModelFiles, Project, Refusal};
use mesh_engine::{TextClassifier, load_classifier};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::HasTexts;

/// One label per text, with a score for every label.
pub struct TextClassification {
    model: Box<dyn TextClassifier>,
    /// Its labels, shared by all answers.
    labels: Vec<Arc<str>>,
}

/// What is asked about.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// The text.
    pub content: String,
}

/// There is nothing to set.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NoParameters {}

/// All labels, the likeliest first.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Labels {
    /// Each label with its score.
    pub labels: Vec<Label>,
}

/// A label and how likely it is.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Label {
    /// The label.
    pub label: Arc<str>,
    /// Its probability, 0 to 1; those of all labels add up to 1.
    pub score: f32,
}

impl HasTexts for Text {
    fn texts(&self) -> impl Iterator<Item = &str> {
        [self.content.as_str()].into_iter()
    }
}

impl Project for TextClassification {
    type Attributes = Text;
    type Parameters = NoParameters;
    type Prediction = Labels;

    fn load(model: &ModelFiles) -> Result<Self, LoadError> {
        let model = load_classifier(model)?;
        let labels = model.labels().iter().map(|label| label.as_str().into()).collect();
        Ok(Self { model, labels })
    }

    fn sample() -> Text {
        Text { content: "The central bank left interest rates as they were.".into() }
    }

    fn predict(
        &self,
        batch: &[Example<Text, NoParameters>],
    ) -> Vec<Result<Answer<Labels>, Refusal>> {
        let texts: Vec<_> = batch.iter().map(|e| e.attributes.content.as_str()).collect();
        let labelled = |scores: Vec<f32>| {
            let labels = self.labels.iter().zip(scores);
            let mut labels: Vec<_> =
                labels.map(|(label, score)| Label { label: Arc::clone(label), score }).collect();
            labels.sort_by(|a, b| b.score.total_cmp(&a.score));
            Labels { labels }
        };
        let answers = texts.iter().zip(self.model.answers(&texts));
        answers
            .map(|(text, answer)| {
                Refusal::unless_readable(text)?;
                Ok(answer?.map(labelled))
            })
            .collect()
    }
}
