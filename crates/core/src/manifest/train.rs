use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Gate, TaskName, TrainModels, source::Labels};

/// `[train]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainTable {
    /// Which family of models; with several, the validation split decides.
    pub model: TrainModels,
    /// The seed of everything random.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// What the model must reach on the test split; below it the step fails with exit code 3.
    #[serde(default)]
    pub gate: Gate<Metric>,
    /// Options of `model = "linear"`.
    #[serde(default)]
    pub linear: LinearOptions,
    /// Options of `model = "encoder-head"`.
    #[serde(default)]
    pub encoder_head: EncoderHeadOptions,
    /// Options of `model = "crf"` and `model = "crf-encoder"`.
    #[serde(default)]
    pub crf: CrfOptions,
    /// Options of `model = "boosted-trees"`.
    #[serde(default)]
    pub boosted_trees: BoostedTreesOptions,
}

/// Families of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TrainModel {
    /// Multinomial logistic regression on TF-IDF weighted n-grams.
    Linear,
    /// Multinomial logistic regression on the embeddings of the encoder in `[model]`, which stays
    /// as it is.
    EncoderHead,
    /// A linear-chain conditional random field on words, affixes, shapes and their neighbours.
    Crf,
    /// The same, with the vectors of the words from the encoder in `[model]`, which stays as it is.
    CrfEncoder,
    /// Gradient-boosted trees on the columns of a table.
    BoostedTrees,
}

/// Metrics that a gate can demand, measured on the test split.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metric {
    /// The share of texts with the right label.
    Accuracy,
    /// The mean over labels of the harmonic mean of precision and recall.
    MacroF1,
    /// The harmonic mean of precision and recall of entities, for `token-classification`.
    F1,
    /// The share of the variance that is told, for `regression`.
    R2,
    /// By how much that is above the baseline's, for `regression`: the lower end of its 95%
    /// interval, so that 0 demands to beat the baseline by more than chance explains.
    R2Gain,
}

/// `[train.linear]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LinearOptions {
    /// What a text is made into.
    pub features: Features,
    /// Inverse strengths of the regularisation to try, as scikit-learn's `C`. With more than
    /// one, macro-F1 on the validation split decides, and log loss where that cannot tell.
    pub c: Vec<f64>,
    /// How much each label's documents weigh.
    pub class_weight: ClassWeight,
    /// Whether probabilities are calibrated on the validation split.
    pub calibrate: bool,
    /// Whether the model is fitted once more, with what was chosen, on the training and the
    /// validation split together.
    pub refit: bool,
    /// The most passes of the solver over the training split.
    pub max_iterations: usize,
    /// The solver stops when the duality gap is below this share of the objective.
    pub tolerance: f64,
}

/// `[train.encoder_head]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EncoderHeadOptions {
    /// Inverse strengths of the regularisation to try, as scikit-learn's `C`.
    pub c: Vec<f64>,
    /// How much each label's documents weigh.
    pub class_weight: ClassWeight,
    /// Whether probabilities are calibrated on the validation split.
    pub calibrate: bool,
    /// Whether the model is fitted once more, with what was chosen, on the training and the
    /// validation split together.
    pub refit: bool,
    /// The most passes of the solver over the training split.
    pub max_iterations: usize,
    /// The solver stops when the duality gap is below this share of the objective.
    pub tolerance: f64,
}

/// `[train.crf]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CrfOptions {
    /// Strengths of the regularisation to try: half of it times the sum of the squared weights is
    /// added to the loss. With more than one, entity F1 on the validation split decides.
    pub l2: Vec<f64>,
    /// Features of fewer tokens than this are left out.
    pub min_count: u32,
    /// Whether the model is fitted once more, with what was chosen, on the training and the
    /// validation split together.
    pub refit: bool,
    /// The most steps of the solver.
    pub max_iterations: usize,
    /// The solver stops when ten steps together lower the loss by less than this share.
    pub tolerance: f64,
}

/// `[train.boosted_trees]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BoostedTreesOptions {
    /// The scale on which numbers are fitted and R2 is measured.
    pub scale: Scale,
    /// What the trees add to.
    pub start: TreesStart,
    /// Differences from the start beyond this share of the training split's, in size, count no more
    /// than those at it: below 1, outliers have less of a say.
    #[schemars(range(min = 0.5, max = 1.0))]
    pub clip: f64,
    /// The most leaves of a tree, each to try. With more than one, the validation split decides.
    pub max_leaves: Vec<usize>,
    /// The fewest rows of a leaf.
    pub min_leaf_rows: u32,
    /// How much of what is left each tree takes away.
    pub learning_rate: f64,
    /// The most trees. The validation split decides how many of them are kept.
    pub max_trees: usize,
    /// Whether the model is fitted once more, with what was chosen, on the training and the
    /// validation split together.
    pub refit: bool,
}

/// The scale on which numbers are fitted and R2 is measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Scale {
    /// As they are.
    #[default]
    Plain,
    /// ln(1 + y), for numbers from 0 on that grow by factors, such as counts.
    Log,
}

/// What boosted trees add to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TreesStart {
    /// One number for all rows.
    #[default]
    Constant,
    /// The seasonal-naive baseline of the row, which needs a `[prepare.series]`. What else is
    /// known of the days before is told by how far it is above the baseline, on the scale.
    Baseline,
}

/// `features = { ... }` in `[train.linear]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Features {
    /// The shortest and the longest run of words that is a feature; `[0, 0]` for none.
    #[serde(deserialize_with = "two")]
    pub word_ngrams: [usize; 2],
    /// The shortest and the longest run of characters inside a word that is a feature, the
    /// word's edges counted as a character; `[0, 0]` for none. Left out, it is `[3, 5]` where
    /// the texts of the training split have 50 words at most in the mean, else none.
    #[serde(deserialize_with = "two_or_none")]
    pub char_ngrams: Option<[usize; 2]>,
    /// Features in fewer documents than this are left out.
    pub min_documents: u32,
    /// Features in a larger share of documents than this are left out.
    pub max_document_share: f64,
    /// Features are hashed into this many buckets, a power of two, instead of kept in a
    /// vocabulary; 0 keeps the vocabulary.
    pub hash_buckets: u32,
    /// Texts are lower-cased.
    pub lowercase: bool,
    /// A term that occurs n times counts 1 + ln(n) instead of n.
    pub sublinear_tf: bool,
}

/// How much each label's documents weigh in training.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ClassWeight {
    /// Each document the same.
    #[default]
    None,
    /// Each label the same: a document weighs inversely to its label's frequency.
    Balanced,
}

const fn default_seed() -> u64 {
    42
}

/// A list of exactly two numbers: serde's arrays take longer lists too, and drop the rest.
fn two<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[usize; 2], D::Error> {
    let list = Vec::<usize>::deserialize(deserializer)?;
    let length = list.len();
    <[usize; 2]>::try_from(list).map_err(|_| {
        de::Error::custom(format!("expected [shortest, longest], found {length} numbers"))
    })
}

fn two_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[usize; 2]>, D::Error> {
    #[derive(Deserialize)]
    struct Two(#[serde(deserialize_with = "two")] [usize; 2]);
    Ok(Option::<Two>::deserialize(deserializer)?.map(|Two(two)| two))
}

impl TrainTable {
    /// What is wrong with its values: the key and a sentence.
    pub(super) fn conflict(&self) -> Option<(&'static str, String)> {
        let features = &self.linear.features;
        let range = |[low, high]: [usize; 2]| low <= high && high <= 8 && (low > 0 || high == 0);
        let chars = features.char_ngrams.unwrap_or_default();
        let none = features.word_ngrams[1] == 0 && chars[1] == 0;
        if !range(features.word_ngrams) || !range(chars) || none {
            let message = "`word_ngrams` and `char_ngrams` are [shortest, longest], 1 to 8, and \
                           only one of them may be [0, 0]";
            return Some(("train.linear.features", message.into()));
        }
        if !(features.max_document_share > 0.0 && features.max_document_share <= 1.0) {
            let message = "`max_document_share` lies between 0 and 1, 1 included";
            return Some(("train.linear.features.max_document_share", message.into()));
        }
        let rounds = [
            ("train.linear.max_iterations", self.linear.max_iterations),
            ("train.encoder_head.max_iterations", self.encoder_head.max_iterations),
            ("train.crf.max_iterations", self.crf.max_iterations),
        ];
        if let Some((key, _)) = rounds.iter().find(|(_, rounds)| *rounds == 0) {
            return Some((*key, "`max_iterations` starts at 1".into()));
        }
        if features.hash_buckets != 0 && !features.hash_buckets.is_power_of_two() {
            let message = "`hash_buckets` must be 0 or a power of two";
            return Some(("train.linear.features.hash_buckets", message.into()));
        }
        for (key, list) in
            [("train.linear.c", &self.linear.c), ("train.encoder_head.c", &self.encoder_head.c)]
        {
            if list.is_empty() || list.iter().any(|c| !(*c > 0.0 && c.is_finite())) {
                return Some((key, "`c` must list at least one number above 0".into()));
            }
        }
        if self.crf.l2.is_empty() || self.crf.l2.iter().any(|l2| !(*l2 > 0.0 && l2.is_finite())) {
            return Some(("train.crf.l2", "`l2` must list at least one number above 0".into()));
        }
        let trees = &self.boosted_trees;
        let leaves = trees.max_leaves.iter().all(|leaves| (2..=4096).contains(leaves));
        if trees.max_leaves.is_empty() || !leaves {
            let message = "`max_leaves` must list at least one number, each 2 to 4096";
            return Some(("train.boosted_trees.max_leaves", message.into()));
        }
        if !(1..=10_000).contains(&trees.max_trees) {
            let message = "`max_trees` lies in 1 to 10000";
            return Some(("train.boosted_trees.max_trees", message.into()));
        }
        if !(trees.learning_rate > 0.0 && trees.learning_rate <= 1.0) {
            let message = "`learning_rate` lies between 0 and 1";
            return Some(("train.boosted_trees.learning_rate", message.into()));
        }
        if !(0.5..=1.0).contains(&trees.clip) {
            return Some(("train.boosted_trees.clip", "`clip` lies in 0.5 to 1".into()));
        }
        let measured = |metric: &Metric| self.model.families().iter().all(|f| f.measures(*metric));
        if let Some((metric, _)) = self.gate.iter().find(|(metric, _)| !measured(metric)) {
            let message = format!("`{metric}` is not measured of this model");
            return Some(("train.gate", message));
        }
        self.gate
            .iter()
            .find(|(_, value)| !(0.0..=1.0).contains(*value))
            .map(|(metric, _)| ("train.gate", format!("`{metric}` must lie between 0 and 1")))
    }
}

impl Labels {
    /// What is wrong with its values: the key and a sentence.
    pub(super) fn conflict(&self) -> Option<(&'static str, String)> {
        match (&self.bins, &self.names) {
            (None, None) => None,
            (Some(bins), Some(names)) if names.len() == bins.len() + 1 => {
                let ascending = bins.windows(2).all(|pair| pair.first() < pair.last());
                let finite = bins.iter().all(|limit| limit.is_finite());
                let message = || "`bins` must be ascending numbers".to_owned();
                (!ascending || !finite).then(|| ("source.labels.bins", message()))
            }
            (bins, names) => {
                let count = |length: Option<usize>| length.unwrap_or(0);
                let (bins, names) =
                    (count(bins.as_ref().map(Vec::len)), count(names.as_ref().map(Vec::len)));
                let message =
                    format!("{bins} limits in `bins` need {} `names`, not {names}", bins + 1);
                Some(("source.labels", message))
            }
        }
    }
}

impl Metric {
    /// The metric as it is written in manifests and cards.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::MacroF1 => "macro_f1",
            Self::F1 => "f1",
            Self::R2 => "r2",
            Self::R2Gain => "r2_gain",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Default for LinearOptions {
    fn default() -> Self {
        Self {
            features: Features::default(),
            c: vec![1.0, 10.0, 100.0],
            class_weight: ClassWeight::default(),
            calibrate: true,
            refit: true,
            max_iterations: 200,
            tolerance: 1e-3,
        }
    }
}

impl Default for EncoderHeadOptions {
    fn default() -> Self {
        Self {
            c: vec![1.0, 10.0, 100.0],
            class_weight: ClassWeight::default(),
            calibrate: true,
            refit: true,
            max_iterations: 200,
            tolerance: 1e-3,
        }
    }
}

impl TrainModel {
    /// The family as it is written in manifests and cards.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::EncoderHead => "encoder-head",
            Self::Crf => "crf",
            Self::CrfEncoder => "crf-encoder",
            Self::BoostedTrees => "boosted-trees",
        }
    }

    /// Whether it is trained on the encoder in `[model]`.
    #[must_use]
    pub const fn takes_encoder(self) -> bool {
        matches!(self, Self::EncoderHead | Self::CrfEncoder)
    }

    /// Whether it does a task.
    #[must_use]
    pub const fn does(self, task: TaskName) -> bool {
        match self {
            Self::Crf | Self::CrfEncoder => matches!(task, TaskName::TokenClassification),
            Self::BoostedTrees => matches!(task, TaskName::Regression),
            Self::Linear | Self::EncoderHead => {
                !matches!(task, TaskName::TokenClassification | TaskName::Regression)
            }
        }
    }

    /// Whether a metric is measured of it.
    #[must_use]
    pub const fn measures(self, metric: Metric) -> bool {
        match self {
            Self::Crf | Self::CrfEncoder => matches!(metric, Metric::F1),
            Self::BoostedTrees => matches!(metric, Metric::R2 | Metric::R2Gain),
            Self::Linear | Self::EncoderHead => {
                matches!(metric, Metric::Accuracy | Metric::MacroF1)
            }
        }
    }
}

impl fmt::Display for TrainModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Default for CrfOptions {
    fn default() -> Self {
        Self { l2: vec![1.0], min_count: 1, refit: true, max_iterations: 100, tolerance: 1e-3 }
    }
}

impl Default for BoostedTreesOptions {
    fn default() -> Self {
        Self {
            scale: Scale::default(),
            start: TreesStart::default(),
            clip: 1.0,
            max_leaves: vec![4, 8, 16, 32],
            min_leaf_rows: 20,
            learning_rate: 0.05,
            max_trees: 500,
            refit: true,
        }
    }
}

impl Default for Features {
    fn default() -> Self {
        Self {
            word_ngrams: [1, 2],
            char_ngrams: None,
            min_documents: 2,
            max_document_share: 1.0,
            hash_buckets: 0,
            lowercase: true,
            sublinear_tf: true,
        }
    }
}
