use mesh_core::{Example, LoadError, ModelFiles, Project, Refusal};
use mesh_engine::{CompiledLinear, TextClassifier};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One label per text, with a score for every label.
pub struct TextClassification {
    model: CompiledLinear,
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
    pub label: String,
    /// Its probability, 0 to 1; those of all labels add up to 1.
    pub score: f32,
}

impl Project for TextClassification {
    type Attributes = Text;
    type Parameters = NoParameters;
    type Prediction = Labels;

    fn load(model: &ModelFiles) -> Result<Self, LoadError> {
        Ok(Self { model: CompiledLinear::load(model)? })
    }

    fn sample() -> Text {
        Text { content: "The central bank left interest rates as they were.".into() }
    }

    fn predict(&self, batch: &[Example<Text, NoParameters>]) -> Vec<Result<Labels, Refusal>> {
        let texts: Vec<_> = batch.iter().map(|e| e.attributes.content.as_str()).collect();
        let scores = self.model.scores(&texts);
        let answer = |text: &str, scores: &[f32]| {
            if text.trim().is_empty() {
                return Err(Refusal::empty_text());
            }
            let names = self.model.labels().iter();
            let mut labels: Vec<_> = names
                .zip(scores)
                .map(|(label, score)| Label { label: label.clone(), score: *score })
                .collect();
            labels.sort_by(|a, b| b.score.total_cmp(&a.score));
            Ok(Labels { labels })
        };
        texts.iter().zip(&scores).map(|(text, scores)| answer(text, scores)).collect()
    }
}
