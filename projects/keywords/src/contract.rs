use std::ops::RangeInclusive;

use mesh_core::{Refusal, RefusalKind};
use mesh_tasks::HasTexts;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::candidates::MAX_CANDIDATES;

/// The words of the longest keywords.
const MAX_WORDS: u8 = 8;

/// More seeds than anybody needs to say what they look for.
const MAX_SEEDS: usize = 100;

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The text. Keywords come from its first 20,000 words; how much of it tells what it is about
    /// is a matter of the model.
    pub content: String,
}

/// How it is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// The language of the text, whose stopwords no keyword begins or ends with: an ISO 639-1
    /// code.
    pub language: String,
    /// How many words a keyword has: from the first number to the second.
    #[schemars(inner(range(min = 1, max = MAX_WORDS)))]
    pub keyphrase_ngram_range: [u8; 2],
    /// How many keywords are answered, at most.
    #[schemars(range(min = 1))]
    pub top_n: u32,
    /// How different the keywords are with `use_mmr`: 0 takes the nearest to the text, 1 the least
    /// alike.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub diversity: f64,
    /// Whether keywords are chosen one by one, each near the text and unlike the ones before
    /// (maximal marginal relevance).
    pub use_mmr: bool,
    /// Whether, of the `nr_candidates` phrases nearest to the text, the `top_n` least alike are
    /// chosen (max sum distance); then `use_mmr` does not count.
    pub use_maxsum: bool,
    /// How many phrases `use_maxsum` chooses from: at least `top_n`.
    #[schemars(range(min = 1))]
    pub nr_candidates: u32,
    /// What the keywords should have to do with: the embedding of the text becomes three quarters
    /// its own and one quarter the mean of these. Scores are likenesses to that.
    #[serde(default)]
    #[schemars(length(max = MAX_SEEDS))]
    pub seed_keywords: Option<Vec<String>>,
    /// The phrases to choose from, whether the text has them or not, instead of those of the text.
    /// They are answered as they are given, of any number of words and with any stopwords.
    #[serde(default)]
    #[schemars(length(max = MAX_CANDIDATES))]
    pub candidates: Option<Vec<String>>,
}

/// The keywords of a document.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Prediction {
    /// The keywords, the highest score first; none if the text has no phrase that could be one.
    pub keywords: Vec<Keyword>,
}

/// A keyword.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Keyword {
    /// The word or phrase: in lower case, or as it was given.
    pub keyword_token: String,
    /// The cosine of its embedding and the one of the text, to four decimals.
    #[schemars(range(min = -1.0, max = 1.0))]
    pub keyword_score: f64,
}

impl HasTexts for Document {
    fn texts(&self) -> impl Iterator<Item = &str> {
        [self.content.as_str()].into_iter()
    }
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            language: "en".into(),
            keyphrase_ngram_range: [1, 3],
            top_n: 10,
            diversity: 0.35,
            use_mmr: true,
            use_maxsum: false,
            nr_candidates: 20,
            seed_keywords: None,
            candidates: None,
        }
    }
}

impl Parameters {
    /// How many words a keyword has.
    pub(crate) fn words(&self) -> RangeInclusive<usize> {
        let [from, to] = self.keyphrase_ngram_range.map(usize::from);
        from..=to
    }

    /// Whether the values can be followed; all that cannot are told at once.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let [from, to] = self.keyphrase_ngram_range;
        let longer =
            |list: &Option<Vec<String>>, most| list.as_ref().is_some_and(|l| l.len() > most);
        let rules = [
            (
                from < 1 || to < from || to > MAX_WORDS,
                format!("`keyphrase_ngram_range` must be two of 1 to {MAX_WORDS}, the lower first"),
            ),
            (self.top_n < 1, "`top_n` must be at least 1".into()),
            (
                !(0.0..=1.0).contains(&self.diversity),
                "`diversity` must be at least 0 and at most 1".into(),
            ),
            (self.nr_candidates < 1, "`nr_candidates` must be at least 1".into()),
            (
                self.use_maxsum && self.nr_candidates < self.top_n,
                "`nr_candidates` must be at least `top_n` with `use_maxsum`".into(),
            ),
            (
                longer(&self.seed_keywords, MAX_SEEDS),
                format!("`seed_keywords` must be at most {MAX_SEEDS}"),
            ),
            (
                longer(&self.candidates, MAX_CANDIDATES),
                format!("`candidates` must be at most {MAX_CANDIDATES}"),
            ),
        ];
        let broken: Vec<_> =
            rules.into_iter().filter(|(broken, _)| *broken).map(|(_, rule)| rule).collect();
        match broken.is_empty() {
            true => Ok(()),
            false => Err(Refusal::new(RefusalKind::InvalidParameter, broken.join("; "))),
        }
    }
}
