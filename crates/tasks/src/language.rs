use mesh_core::{Answer, Example, LoadError, ModelFiles, Project, Refusal, RefusalKind};
use mesh_engine::MappedFile;
use mesh_text::{LANGUAGE_FILE, LanguageIdentifier, language_code};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Text;

/// The languages that a text may be in, the likeliest first.
pub struct Language {
    model: LanguageIdentifier<MappedFile>,
    /// The code of each language of the model, of two letters where there is one.
    codes: Vec<String>,
}

/// How it is asked.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LanguageParameters {
    /// How many languages are answered, at most.
    #[schemars(range(min = 1, max = 1000))]
    pub top: u32,
}

/// The languages.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Languages {
    /// Each language with its score, the likeliest first; none for a text of which the model
    /// knows nothing.
    pub languages: Vec<LanguageScore>,
}

/// A language and how likely it is.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct LanguageScore {
    /// Its code: of ISO 639-1 where there is one, else of ISO 639-3.
    pub language: String,
    /// Its probability, 0 to 1.
    pub score: f32,
}

/// Languages in one answer, at most.
const MAX_TOP: u32 = 1_000;

impl Default for LanguageParameters {
    fn default() -> Self {
        Self { top: 1 }
    }
}

impl Language {
    fn answer(&self, top: Vec<(usize, f32)>) -> Languages {
        let named = |(at, score): (usize, f32)| {
            let language = self.codes.get(at).cloned().unwrap_or_default();
            // Rounding may lead a little above it.
            LanguageScore { language, score: score.clamp(0.0, 1.0) }
        };
        Languages { languages: top.into_iter().map(named).collect() }
    }
}

impl Project for Language {
    type Attributes = Text;
    type Parameters = LanguageParameters;
    type Prediction = Languages;

    fn load(model: &ModelFiles) -> Result<Self, LoadError> {
        let name = &model.manifest.project.name;
        let path = model.compiled.clone().unwrap_or_default().join(LANGUAGE_FILE);
        let map = MappedFile::open(&path).map_err(|error| LoadError::new(name, error))?;
        let model = LanguageIdentifier::open(map).map_err(|error| LoadError::new(name, error))?;
        let codes = model.languages().iter().map(|code| language_code(code).to_owned()).collect();
        Ok(Self { model, codes })
    }

    fn sample() -> Text {
        Text { content: "Où est la bibliothèque, s'il vous plaît ?".into() }
    }

    fn predict(
        &self,
        batch: &[Example<Text, LanguageParameters>],
    ) -> Vec<Result<Answer<Languages>, Refusal>> {
        let answer = |example: &Example<Text, LanguageParameters>| {
            let top = example.parameters.top;
            if !(1..=MAX_TOP).contains(&top) {
                let detail = format!("`top` is {top}; it lies in 1 to {MAX_TOP}");
                return Err(Refusal::new(RefusalKind::InvalidParameter, detail));
            }
            let text = example.attributes.content.as_str();
            Refusal::unless_readable(text)?;
            Ok(self.answer(self.model.top(text, top as usize)).into())
        };
        batch.iter().map(answer).collect()
    }
}
