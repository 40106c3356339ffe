//! Words and phrases that say what a text is about.
//!
//! A keyword is a phrase of the text whose embedding is near the one of the whole text. The phrases
//! are runs of words that cross no punctuation and neither begin nor end with a stopword; of the
//! nearest ones those are answered that do not say the same again. The method is the one of KeyBERT
//! (Grootendorst, 2020), and of EmbedRank before it (Bennani-Smires et al., 2018).
//!
//! Parameters mean what they mean there, with these differences: stopwords inside a phrase stay
//! (`bank of england`); given candidates are scored whether the text has them or not;
//! `use_maxsum` goes before `use_mmr`, which is the default here, and answers all there are when
//! there are fewer than `top_n`; keywords are always sorted by score.
//!
//! A text is looked at up to 20,000 words, and 2,000 phrases of it are embedded at most: the most
//! frequent, the earlier ones first. In scripts that write no spaces most words are characters, and
//! so `keyphrase_ngram_range` counts characters.
//!
//! ```
//! use mesh_core::{Answer, Example, Project, Refusal};
//! use mesh_project_keywords::{Document, Embedder, Keywords, Parameters};
//!
//! /// Tells texts apart by how often they have each letter.
//! struct Letters;
//!
//! impl Embedder for Letters {
//!     fn embed(&self, texts: &[&str]) -> Vec<Result<Answer<Vec<f32>>, Refusal>> {
//!         let count = |text: &str, c| text.chars().filter(|other| *other == c).count() as f32;
//!         let vectors = texts.iter().map(|text| ('a'..='z').map(|c| count(text, c)).collect());
//!         let normalise = |vector: Vec<f32>| {
//!             let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
//!             Ok(vector.into_iter().map(|x| x / norm).collect::<Vec<_>>().into())
//!         };
//!         vectors.map(normalise).collect()
//!     }
//! }
//!
//! let keywords = Keywords::new(Letters);
//! let attributes = Document { content: "The bank raised its interest rates.".into() };
//! let parameters = Parameters { top_n: 1, ..Parameters::default() };
//! let answers = keywords.predict(&[Example { attributes, parameters }]);
//! let found = answers[0].as_ref().map_err(ToString::to_string)?;
//! assert_eq!(found.prediction.keywords[0].keyword_token, "raised its interest");
//! # Ok::<(), String>(())
//! ```

mod candidates;
mod contract;
mod embedder;
mod maxsum;
mod phrases;
mod select;

use std::{borrow::Cow, collections::HashMap};

use mesh_core::{Answer, Example, LoadError, ModelFiles, Project, Refusal, Usage};
use mesh_text::{Stopwords, unsupported};

pub use crate::{
    contract::{Document, Keyword, Parameters, Prediction},
    embedder::Embedder,
};
use crate::{
    phrases::Language,
    select::{Choice, Scored},
};

/// The project.
pub struct Keywords {
    embedder: Box<dyn Embedder>,
}

/// What an example asks for: its texts, all of which are to be embedded.
struct Question<'a> {
    document: &'a str,
    seeds: Vec<&'a str>,
    candidates: Vec<Cow<'a, str>>,
    parameters: &'a Parameters,
}

/// The embeddings of the texts of a batch.
struct Embeddings<'a> {
    rows: HashMap<&'a str, usize>,
    answers: Vec<Result<Answer<Vec<f32>>, Refusal>>,
}

impl Keywords {
    /// Keywords by the embeddings of that embedder.
    pub fn new(embedder: impl Embedder + 'static) -> Self {
        Self { embedder: Box::new(embedder) }
    }

    /// Embeds the texts of all questions, each different text once: first the documents, as the
    /// phrases of one that is refused are of no use.
    fn embed<'a>(&self, questions: &[&'a Question<'a>]) -> Embeddings<'a> {
        let mut embeddings = Embeddings { rows: HashMap::new(), answers: Vec::new() };
        let needed = || questions.iter().filter(|question| !question.candidates.is_empty());
        self.add(needed().map(|question| question.document), &mut embeddings);
        let read: Vec<_> =
            needed().filter(|question| embeddings.usage_of(question.document).is_ok()).collect();
        self.add(read.into_iter().flat_map(|question| question.phrases()), &mut embeddings);
        embeddings
    }

    fn add<'a>(&self, texts: impl Iterator<Item = &'a str>, embeddings: &mut Embeddings<'a>) {
        let Embeddings { rows, answers } = embeddings;
        let mut new = Vec::new();
        for text in texts {
            rows.entry(text).or_insert_with(|| {
                new.push(text);
                answers.len() + new.len() - 1
            });
        }
        if !new.is_empty() {
            answers.extend(self.embedder.embed(&new));
        }
    }
}

impl<'a> Question<'a> {
    fn of(example: &'a Example<Document, Parameters>) -> Result<Self, Refusal> {
        let Example { attributes: Document { content }, parameters } = example;
        let tag = parameters.language.as_str();
        let language = Language::of(tag).ok_or_else(|| unsupported(tag, Stopwords::languages()))?;
        parameters.check()?;
        Refusal::unless_readable(content)?;
        let candidates = match &parameters.candidates {
            Some(given) => candidates::given(given).map(Cow::Borrowed).collect(),
            None => {
                let range = parameters.words();
                let found = candidates::found(content, range, language);
                found.into_iter().map(Cow::Owned).collect()
            }
        };
        let seeds = candidates::given(parameters.seed_keywords.as_deref().unwrap_or_default());
        Ok(Self { document: content, seeds: seeds.collect(), candidates, parameters })
    }

    /// What is compared with the document.
    fn phrases(&self) -> impl Iterator<Item = &str> {
        self.seeds.iter().copied().chain(self.candidates.iter().map(|text| &**text))
    }

    /// Whether what was given with the request can be read. A phrase of the text itself that
    /// cannot is like nothing.
    fn check_given(&self, embeddings: &Embeddings<'_>) -> Result<(), Refusal> {
        let given = self.parameters.candidates.is_some();
        let candidates = self.candidates.iter().map(|text| ("candidates", &**text));
        let seeds = self.seeds.iter().map(|text| ("seed_keywords", *text));
        for (name, text) in seeds.chain(candidates.filter(|_| given)) {
            if let Err(refusal) = embeddings.usage_of(text) {
                let start: String = text.chars().take(40).collect();
                let detail = format!("`{name}` has `{start}`: {}", refusal.detail);
                return Err(Refusal::new(refusal.kind, detail));
            }
        }
        Ok(())
    }

    fn answer(&self, embeddings: &Embeddings<'_>) -> Result<Answer<Prediction>, Refusal> {
        if self.candidates.is_empty() {
            return Ok(Prediction { keywords: Vec::new() }.into());
        }
        let usage = embeddings.usage_of(self.document)?;
        self.check_given(embeddings)?;
        let seeds = self.seeds.iter().map(|seed| embeddings.of(seed));
        let document = select::guided(embeddings.of(self.document), seeds);
        let candidates = self.candidates.iter().map(|text| (&**text, embeddings.of(text)));
        let ranked = select::rank(&document, candidates);
        let choice = match self.parameters {
            Parameters { use_maxsum: true, nr_candidates, .. } => {
                Choice::Distant { pool: *nr_candidates as usize }
            }
            Parameters { use_mmr: true, diversity, .. } => {
                Choice::Diverse { diversity: *diversity }
            }
            _ => Choice::Nearest,
        };
        let chosen = select::choose(&ranked, self.parameters.top_n as usize, choice);
        let mut keywords: Vec<Keyword> = chosen.into_iter().map(Keyword::from).collect();
        keywords.sort_by(|a, b| {
            let by_score = b.keyword_score.total_cmp(&a.keyword_score);
            by_score.then_with(|| a.keyword_token.cmp(&b.keyword_token))
        });
        Ok(Answer { prediction: Prediction { keywords }, usage })
    }
}

impl Embeddings<'_> {
    /// The embedding of a text; empty, and so like nothing, if there is none.
    fn of(&self, text: &str) -> &[f32] {
        match self.rows.get(text).and_then(|&row| self.answers.get(row)) {
            Some(Ok(answer)) => &answer.prediction,
            _ => &[],
        }
    }

    /// What the embedding of a text took, or why there is none.
    fn usage_of(&self, text: &str) -> Result<Usage, Refusal> {
        match self.rows.get(text).and_then(|&row| self.answers.get(row)) {
            Some(Ok(answer)) => Ok(answer.usage),
            Some(Err(refusal)) => Err(refusal.clone()),
            None => Ok(Usage::default()),
        }
    }
}

impl From<Scored<'_>> for Keyword {
    fn from(scored: Scored<'_>) -> Self {
        // Adding zero makes a rounded -0 a 0.
        let keyword_score = (f64::from(scored.score) * 1e4).round() / 1e4 + 0.0;
        Self { keyword_token: scored.text.to_owned(), keyword_score }
    }
}

impl Project for Keywords {
    type Attributes = Document;
    type Parameters = Parameters;
    type Prediction = Prediction;

    fn load(files: &ModelFiles) -> Result<Self, LoadError> {
        Ok(Self { embedder: embedder::embedder(files)? })
    }

    fn sample() -> Document {
        Document {
            content: "The central bank raised its interest rates again. It expects inflation to \
                      fall next year."
                .into(),
        }
    }

    fn predict(
        &self,
        batch: &[Example<Document, Parameters>],
    ) -> Vec<Result<Answer<Prediction>, Refusal>> {
        let questions: Vec<_> = batch.iter().map(Question::of).collect();
        let embeddings = self.embed(&questions.iter().flatten().collect::<Vec<_>>());
        let answers = questions.iter().map(|question| match question {
            Ok(question) => question.answer(&embeddings),
            Err(refusal) => Err(refusal.clone()),
        });
        answers.collect()
    }
}
