use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{EngineError, map::read_small};

/// What a transformer encoder is made of: `config.json`, whatever its architecture calls things.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderConfig {
    /// Which family it is of.
    pub architecture: Architecture,
    /// What stands on the encoder.
    pub head: HeadKind,
    /// Tokens in the vocabulary.
    pub vocabulary: usize,
    /// Columns of a hidden state.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// Columns of the feed-forward part of a layer.
    pub intermediate: usize,
    /// Rows of the table of positions.
    pub positions: usize,
    /// The row of the first token's position.
    pub first_position: usize,
    /// Rows of the table of segments; 0 if there is none.
    pub segments: usize,
    /// What layer norm adds to the variance.
    pub epsilon: f32,
    /// What is between the two maps of the feed-forward part.
    pub activation: HiddenActivation,
    /// The labels of a classification head, in the order of its outputs.
    pub labels: Vec<String>,
}

/// Families of encoders that are known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// BERT (Devlin et al. 2018).
    Bert,
    /// DistilBERT (Sanh et al. 2019).
    Distilbert,
    /// RoBERTa (Liu et al. 2019).
    Roberta,
    /// XLM-RoBERTa (Conneau et al. 2019).
    XlmRoberta,
}

/// What stands on an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadKind {
    /// Nothing: hidden states.
    None,
    /// A label per text.
    SequenceClassification,
    /// A label per token.
    TokenClassification,
}

impl HeadKind {
    /// The head in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "no head",
            Self::SequenceClassification => "a head that labels texts",
            Self::TokenClassification => "a head that labels tokens",
        }
    }
}

/// Activations of the feed-forward part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HiddenActivation {
    /// GELU, the exact one.
    Gelu,
    /// GELU by way of tanh.
    GeluTanh,
    /// Rectified linear.
    Relu,
}

/// No config is longer than this: labels are its longest part.
const MAX_BYTES: u64 = 16 << 20;
/// Labels of a head, at most.
const MAX_LABELS: usize = 1 << 20;

impl EncoderConfig {
    /// The name of its file.
    pub const FILE: &str = "config.json";

    /// Reads the config of a model folder.
    ///
    /// # Errors
    /// When it is missing, no JSON, of an architecture unknown here, or contradicts itself.
    pub fn read(folder: &Path) -> Result<Self, EngineError> {
        let path = folder.join(Self::FILE);
        let bytes = read_small(&path, MAX_BYTES)?;
        let text = String::from_utf8_lossy(&bytes);
        Self::parse(&text).map_err(|reason| EngineError::foreign(&path, reason))
    }

    /// Parses a config.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let json: Map<String, Value> = serde_json::from_str(text)
            .map_err(|error| format!("it is not a JSON object: {error}"))?;
        let config = Fields(&json).config()?;
        config.check()?;
        Ok(config)
    }

    /// Columns of an attention head.
    #[must_use]
    pub const fn head_size(&self) -> usize {
        self.hidden / self.heads
    }

    /// The most tokens of a text, special ones included.
    #[must_use]
    pub const fn max_tokens(&self) -> usize {
        self.positions - self.first_position
    }

    /// Parameters of the encoder without its tables: what every token is multiplied with.
    #[must_use]
    pub const fn layer_parameters(&self) -> usize {
        self.layers * (4 * self.hidden * self.hidden + 2 * self.hidden * self.intermediate)
    }

    /// Whether it is consistent in itself: products of its dimensions do not overflow then.
    pub(super) fn check(&self) -> Result<(), String> {
        // Larger than any real encoder's, and small enough that no product of them overflows.
        let dimensions = [
            ("vocabulary", self.vocabulary, 1 << 24),
            ("hidden size", self.hidden, 1 << 16),
            ("layers", self.layers, 1 << 10),
            ("attention heads", self.heads, 1 << 12),
            ("intermediate size", self.intermediate, 1 << 18),
            ("positions", self.positions, 1 << 20),
        ];
        for (name, value, most) in dimensions {
            if value == 0 || value > most {
                return Err(format!("{name} cannot be {value}, only 1 to {most}"));
            }
        }
        if self.segments > 1 << 16 || self.labels.len() > MAX_LABELS {
            return Err("more segments or labels than any encoder has".into());
        }
        if !self.hidden.is_multiple_of(self.heads) {
            let Self { hidden, heads, .. } = self;
            return Err(format!("{heads} attention heads do not divide a hidden size of {hidden}"));
        }
        // Room for two special tokens and one of the text.
        if self.positions < self.first_position + 3 {
            return Err(format!("{} positions leave no room for a text", self.positions));
        }
        if !(self.epsilon.is_finite() && self.epsilon >= 0.0) {
            return Err(format!("layer norm cannot add {}", self.epsilon));
        }
        if self.head != HeadKind::None && self.labels.len() < 2 {
            return Err(format!("a classification head with {} labels", self.labels.len()));
        }
        Ok(())
    }
}

/// The fields of a config, looked up by the names that architectures give them.
struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    fn config(&self) -> Result<EncoderConfig, String> {
        let architecture = self.architecture()?;
        let distil = architecture == Architecture::Distilbert;
        let name = |usual, distilled| if distil { distilled } else { usual };
        if let Some(kind) = self.text("position_embedding_type")
            && kind != "absolute"
        {
            return Err(format!("positions are `{kind}`, only `absolute` ones are known"));
        }
        if self.0.get("is_decoder").and_then(Value::as_bool) == Some(true) {
            return Err("it is a decoder, only encoders are known".into());
        }
        if self.0.get("sinusoidal_pos_embds").and_then(Value::as_bool) == Some(true) {
            return Err("positions are sinusoidal, only learned ones are known".into());
        }
        let roberta = matches!(architecture, Architecture::Roberta | Architecture::XlmRoberta);
        let head = self.head()?;
        if let (HeadKind::SequenceClassification, Some(problem)) = (head, self.text("problem_type"))
            && problem != "single_label_classification"
        {
            return Err(format!(
                "`problem_type` is `{problem}`, only `single_label_classification` is known"
            ));
        }
        let segments = if distil { 0 } else { self.number_or("type_vocab_size", 2)? };
        let epsilon = match self.0.get("layer_norm_eps") {
            Some(value) => value.as_f64().ok_or("`layer_norm_eps` is no number")?,
            None => 1e-12,
        };
        #[expect(clippy::cast_possible_truncation, reason = "a small number, checked afterwards")]
        let epsilon = epsilon as f32;
        Ok(EncoderConfig {
            architecture,
            head,
            vocabulary: self.number("vocab_size")?,
            hidden: self.number(name("hidden_size", "dim"))?,
            layers: self.number(name("num_hidden_layers", "n_layers"))?,
            heads: self.number(name("num_attention_heads", "n_heads"))?,
            intermediate: self.number(name("intermediate_size", "hidden_dim"))?,
            positions: self.number_or("max_position_embeddings", 512)?,
            // RoBERTa counts positions from behind the padding's.
            first_position: if roberta {
                self.number_or("pad_token_id", 1)?.saturating_add(1)
            } else {
                0
            },
            segments,
            epsilon,
            activation: self.activation(name("hidden_act", "activation"))?,
            labels: if head == HeadKind::None { Vec::new() } else { self.labels()? },
        })
    }

    fn architecture(&self) -> Result<Architecture, String> {
        const KNOWN: &str = "bert, distilbert, roberta, xlm-roberta";
        match self.text("model_type") {
            Some("bert") => Ok(Architecture::Bert),
            Some("distilbert") => Ok(Architecture::Distilbert),
            Some("roberta") => Ok(Architecture::Roberta),
            Some("xlm-roberta") => Ok(Architecture::XlmRoberta),
            Some(other) => Err(format!("unknown architecture `{other}`; known are {KNOWN}")),
            None => Err(format!("it has no `model_type`; known are {KNOWN}")),
        }
    }

    fn head(&self) -> Result<HeadKind, String> {
        let name = self.0.get("architectures").and_then(|list| list.get(0)).and_then(Value::as_str);
        match name {
            None => Ok(HeadKind::None),
            Some(name) if name.ends_with("ForSequenceClassification") => {
                Ok(HeadKind::SequenceClassification)
            }
            Some(name) if name.ends_with("ForTokenClassification") => {
                Ok(HeadKind::TokenClassification)
            }
            Some(name)
                if name.ends_with("Model")
                    || name.ends_with("ForMaskedLM")
                    || name.ends_with("ForPreTraining") =>
            {
                Ok(HeadKind::None)
            }
            Some(other) => Err(format!(
                "unknown head `{other}`; known are ...Model, ...ForMaskedLM, ...ForPreTraining, \
                 ...ForSequenceClassification and ...ForTokenClassification"
            )),
        }
    }

    /// `id2label`, else `num_labels` names as the usual library makes them up.
    fn labels(&self) -> Result<Vec<String>, String> {
        let Some(names) = self.0.get("id2label").and_then(Value::as_object) else {
            let count = self.number_or("num_labels", 2)?;
            return Ok((0..count.min(MAX_LABELS + 1)).map(|i| format!("LABEL_{i}")).collect());
        };
        let label = |i: usize| match names.get(&i.to_string()) {
            Some(Value::String(label)) => Ok(label.clone()),
            Some(Value::Number(number)) => Ok(number.to_string()),
            _ => Err(format!("`id2label` has {} entries, and none for {i}", names.len())),
        };
        let labels: Vec<String> = (0..names.len()).map(label).collect::<Result<_, _>>()?;
        let mut distinct = labels.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() < labels.len() {
            return Err("`id2label` names a label twice".into());
        }
        Ok(labels)
    }

    fn activation(&self, key: &str) -> Result<HiddenActivation, String> {
        match self.text(key) {
            None | Some("gelu") => Ok(HiddenActivation::Gelu),
            Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast") => Ok(HiddenActivation::GeluTanh),
            Some("relu") => Ok(HiddenActivation::Relu),
            Some(other) => Err(format!(
                "unknown activation `{other}`; known are gelu, gelu_new, gelu_pytorch_tanh, relu"
            )),
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(Value::as_str)
    }

    fn number(&self, key: &str) -> Result<usize, String> {
        let value = self.0.get(key).ok_or_else(|| format!("it has no `{key}`"))?;
        let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
        number.ok_or_else(|| format!("`{key}` is {value}, not a count"))
    }

    fn number_or(&self, key: &str, default: usize) -> Result<usize, String> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(_) => self.number(key),
        }
    }
}
