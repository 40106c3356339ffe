use std::{collections::HashMap, fs, path::Path};

use mesh_core::manifest::Features;
use safetensors::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};

use super::{
    FeatureKind, Featurizer,
    scoring::{probabilities, term_weight},
};
use crate::{EngineError, EngineErrorKind, TextClassifier};

/// The version of the format of trained linear models.
pub const LINEAR_FORMAT: u32 = 2;

/// `model.json` of a trained linear model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearDescription {
    /// The version of this format: [`LINEAR_FORMAT`].
    pub format: u32,
    /// The labels, in the order of the weights.
    pub labels: Vec<String>,
    /// What a text is made into.
    pub features: Features,
    /// Decision values are divided by it before they become probabilities; 1 is uncalibrated.
    pub temperature: f32,
}

/// A trained linear model as the trainer left it: TF-IDF weighted n-grams, those of words and those
/// of characters each L2-normalised, times a weight per label.
///
/// Files: `model.json`, `vocabulary.txt` (a feature per line), `weights.safetensors` with
/// `weight` (features x outputs), `bias` (outputs) and `idf` (features), all f32. A binary model
/// has one output, the decision for the second label.
#[derive(Debug, Clone)]
pub struct LinearModel {
    /// What it is.
    pub description: LinearDescription,
    /// The features, in the order of the weights.
    pub vocabulary: Vec<String>,
    /// Inverse document frequencies.
    pub idf: Vec<f32>,
    /// Weights, features x outputs.
    pub weight: Vec<f32>,
    /// One per output.
    pub bias: Vec<f32>,
    index: HashMap<String, usize>,
}

const DESCRIPTION: &str = "model.json";
const VOCABULARY: &str = "vocabulary.txt";
const WEIGHTS: &str = "weights.safetensors";

struct Floats<'a>(&'a [f32], Vec<usize>);

impl LinearModel {
    /// Puts a model together; the parts must fit each other.
    ///
    /// # Errors
    /// When their sizes contradict each other.
    pub fn new(
        description: LinearDescription,
        vocabulary: Vec<String>,
        idf: Vec<f32>,
        (weight, bias): (Vec<f32>, Vec<f32>),
    ) -> Result<Self, EngineError> {
        let path = Path::new(WEIGHTS);
        let fail = |reason: String| Err(EngineError::format(path, reason));
        let labels = description.labels.len();
        if labels < 2 {
            return fail(format!("a classifier needs two labels, this one has {labels}"));
        }
        let outputs = if labels == 2 { 1 } else { labels };
        let expected = (vocabulary.len(), vocabulary.len() * outputs, outputs);
        let found = (idf.len(), weight.len(), bias.len());
        if expected != found {
            return fail(format!("idf, weight and bias have {found:?} values, not {expected:?}"));
        }
        let valid = |values: &[f32]| values.iter().all(|value| value.is_finite());
        if !(valid(&idf) && valid(&weight) && valid(&bias) && description.temperature > 0.0) {
            return fail("a weight is not a finite number, or the temperature not above 0".into());
        }
        let index = vocabulary.iter().cloned().zip(0..).collect();
        Ok(Self { description, vocabulary, idf, weight, bias, index })
    }

    /// Reads a model from the folder of its artifact.
    ///
    /// # Errors
    /// When a file is missing, damaged, newer, or does not fit the others.
    pub fn read(folder: &Path) -> Result<Self, EngineError> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).map_err(|error| EngineError::io(&path, error))
        };
        let path = folder.join(DESCRIPTION);
        let description: LinearDescription = serde_json::from_slice(&read(DESCRIPTION)?)
            .map_err(|error| EngineError::format(&path, error.to_string()))?;
        if description.format != LINEAR_FORMAT {
            let reason = format!("it has format {}", description.format);
            let kind = match description.format > LINEAR_FORMAT {
                true => EngineErrorKind::Newer,
                false => EngineErrorKind::Format,
            };
            return Err(EngineError::new(&path, kind, reason));
        }
        let text = String::from_utf8(read(VOCABULARY)?)
            .map_err(|error| EngineError::format(&folder.join(VOCABULARY), error.to_string()))?;
        let vocabulary = text.lines().map(str::to_owned).collect();
        let bytes = read(WEIGHTS)?;
        let path = folder.join(WEIGHTS);
        let tensors = SafeTensors::deserialize(&bytes)
            .map_err(|error| EngineError::format(&path, error.to_string()))?;
        let tensor = |name: &str| {
            let tensor = tensors
                .tensor(name)
                .map_err(|error| EngineError::format(&path, error.to_string()))?;
            if tensor.dtype() != Dtype::F32 {
                return Err(EngineError::format(&path, format!("`{name}` is not f32")));
            }
            let (values, _) = tensor.data().as_chunks::<4>();
            Ok(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect::<Vec<f32>>())
        };
        let weights = (tensor("weight")?, tensor("bias")?);
        Self::new(description, vocabulary, tensor("idf")?, weights)
    }

    /// Writes the model's files into a folder. The same model gives the same bytes.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), EngineError> {
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            fs::write(&path, bytes).map_err(|error| EngineError::io(&path, error))
        };
        let failed = |name: &str, error: String| EngineError::format(&folder.join(name), error);
        let description = serde_json::to_vec_pretty(&self.description)
            .map_err(|error| failed(DESCRIPTION, error.to_string()))?;
        write(DESCRIPTION, &description)?;
        let mut vocabulary = self.vocabulary.join("\n");
        vocabulary.push('\n');
        write(VOCABULARY, vocabulary.as_bytes())?;
        let tensors = [
            ("weight", Floats(&self.weight, vec![self.vocabulary.len(), self.outputs()])),
            ("bias", Floats(&self.bias, vec![self.outputs()])),
            ("idf", Floats(&self.idf, vec![self.vocabulary.len()])),
        ];
        let bytes = safetensors::serialize(tensors, None)
            .map_err(|error| failed(WEIGHTS, error.to_string()))?;
        write(WEIGHTS, &bytes)
    }

    /// How many decision values a text gets: one for two labels, else one per label.
    #[must_use]
    pub const fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// The weights of a feature, one per output.
    pub(crate) fn row(&self, feature: usize) -> &[f32] {
        let outputs = self.outputs();
        self.weight.get(feature * outputs..(feature + 1) * outputs).unwrap_or_default()
    }

    /// Adds what the features of one kind say to the decision values.
    fn add(&self, kind: FeatureKind, featurizer: &Featurizer, text: &str, decision: &mut [f32]) {
        let mut counts: HashMap<usize, u32> = HashMap::new();
        featurizer.named(text, &mut |hash, name| {
            if FeatureKind::of(name) != kind {
                return;
            }
            let found = if self.description.features.hash_buckets == 0 {
                self.index.get(name)
            } else {
                self.index.get(&bucket_name(hash))
            };
            if let Some(feature) = found {
                *counts.entry(*feature).or_default() += 1;
            }
        });
        let mut features: Vec<_> = counts.into_iter().collect();
        features.sort_unstable();
        let sublinear = self.description.features.sublinear_tf;
        let values: Vec<(usize, f32)> = features
            .into_iter()
            .map(|(feature, count)| {
                let idf = self.idf.get(feature).copied().unwrap_or_default();
                (feature, term_weight(count, sublinear) * idf)
            })
            .collect();
        let norm = values.iter().map(|(_, value)| value * value).sum::<f32>().sqrt();
        let scale = if norm > 0.0 { 1.0 / norm } else { 0.0 };
        for (feature, value) in values {
            for (sum, weight) in decision.iter_mut().zip(self.row(feature)) {
                *sum += weight * value * scale;
            }
        }
    }

    fn score(&self, featurizer: &Featurizer, text: &str) -> Vec<f32> {
        let mut decision = self.bias.clone();
        for kind in FeatureKind::ALL {
            self.add(kind, featurizer, text, &mut decision);
        }
        for value in &mut decision {
            *value /= self.description.temperature;
        }
        probabilities(decision, self.description.labels.len(), &mut Vec::new())
    }
}

/// What stands in the vocabulary for a bucket of hashed features.
pub(crate) fn bucket_name(hash: u64) -> String {
    format!("h\t{hash:016x}")
}

/// The hash that a line of the vocabulary stands for.
pub(crate) fn vocabulary_hash(featurizer: &Featurizer, name: &str) -> Option<u64> {
    match name.strip_prefix("h\t") {
        Some(hash) => u64::from_str_radix(hash, 16).ok(),
        None => featurizer.hash_of(name),
    }
}

impl TextClassifier for LinearModel {
    fn labels(&self) -> &[String] {
        &self.description.labels
    }

    fn scores(&self, texts: &[&str]) -> Vec<Vec<f32>> {
        let featurizer = Featurizer::new(&self.description.features);
        texts.iter().map(|text| self.score(&featurizer, text)).collect()
    }
}

impl View for Floats<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.1
    }

    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        self.0.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
    }

    fn data_len(&self) -> usize {
        self.0.len() * 4
    }
}
