use mesh_core::{Answer, Example, LoadError, ModelFiles, Project, Refusal, Usage};
use mesh_engine::{TextEncoder, normalise};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::HasTexts;

/// A vector per text: similar texts have similar vectors.
pub struct Embedding {
    encoder: TextEncoder,
}

/// What is asked about.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    /// A text, or a list of texts.
    pub content: OneOrMany<String>,
}

/// How it is asked.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EmbeddingParameters {
    /// Whether vectors are scaled to length 1: their products are cosines then.
    pub normalize: bool,
}

/// The vectors.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Vectors {
    /// The vector of the text, or a list of one per text for a list.
    pub embeddings: OneOrMany<Vec<f32>>,
}

/// One value, or a list of them: an answer has the form of its question.
#[derive(Debug, Clone, PartialEq)]
pub enum OneOrMany<T> {
    /// One value.
    One(T),
    /// A list.
    Many(Vec<T>),
}

/// Texts in one request, at most: what is more is asked in several.
const MAX_TEXTS: usize = 2_048;

impl Default for EmbeddingParameters {
    fn default() -> Self {
        Self { normalize: true }
    }
}

impl<T> OneOrMany<T> {
    /// The values.
    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

impl HasTexts for Texts {
    fn texts(&self) -> impl Iterator<Item = &str> {
        self.content.as_slice().iter().map(String::as_str)
    }
}

impl Project for Embedding {
    type Attributes = Texts;
    type Parameters = EmbeddingParameters;
    type Prediction = Vectors;

    fn load(model: &ModelFiles) -> Result<Self, LoadError> {
        Ok(Self { encoder: TextEncoder::load(model)? })
    }

    fn sample() -> Texts {
        let text = "The central bank left interest rates as they were.";
        Texts { content: OneOrMany::One(text.into()) }
    }

    fn predict(
        &self,
        batch: &[Example<Texts, EmbeddingParameters>],
    ) -> Vec<Result<Answer<Vectors>, Refusal>> {
        let texts = batch.iter().flat_map(|e| e.attributes.content.as_slice());
        let texts: Vec<&str> = texts.map(String::as_str).collect();
        let mut answers = self.encoder.embed(&texts).into_iter();
        batch
            .iter()
            .map(|example| {
                let count = example.attributes.content.as_slice().len();
                // All of them, whatever is wrong with one: the next example's come after.
                let answers: Vec<_> = answers.by_ref().take(count).collect();
                together(example, answers)
            })
            .collect()
    }
}

/// The answer to one example from those to its texts; the first refusal refuses it all.
fn together(
    example: &Example<Texts, EmbeddingParameters>,
    answers: Vec<Result<Answer<Vec<f32>>, Refusal>>,
) -> Result<Answer<Vectors>, Refusal> {
    let many = matches!(example.attributes.content, OneOrMany::Many(_));
    let mut usage = Usage::default();
    let mut vectors = Vec::with_capacity(answers.len());
    for (at, answer) in answers.into_iter().enumerate() {
        let Answer { prediction: mut vector, usage: more } = answer.map_err(|mut refusal| {
            if many {
                refusal.detail = format!("text {at}: {}", refusal.detail);
            }
            refusal
        })?;
        if example.parameters.normalize {
            normalise(&mut vector);
        }
        usage = usage.and(more);
        vectors.push(vector);
    }
    let embeddings = match (many, vectors.pop()) {
        (false, Some(only)) => OneOrMany::One(only),
        (_, last) => {
            vectors.extend(last);
            OneOrMany::Many(vectors)
        }
    };
    Ok(Answer { prediction: Vectors { embeddings }, usage })
}

impl<T: Serialize> Serialize for OneOrMany<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(value) => value.serialize(serializer),
            Self::Many(values) => values.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for OneOrMany<String> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = OneOrMany<String>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(OneOrMany::One(text.to_owned()))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(
                self,
                mut list: A,
            ) -> Result<Self::Value, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                    if texts.len() > MAX_TEXTS {
                        return Err(de::Error::custom(format_args!(
                            "more than {MAX_TEXTS} texts in one request; send several"
                        )));
                    }
                }
                Ok(OneOrMany::Many(texts))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({
            "anyOf": [one, { "type": "array", "items": one, "maxItems": MAX_TEXTS }]
        })
    }
}
