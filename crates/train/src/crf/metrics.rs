//! How good a tagger is: entities as the scorer of CoNLL counts them.

use std::collections::{BTreeMap, HashMap};

use mesh_core::tags::{EntityCounts, OUTSIDE, Span, spans};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::data::Split;
use crate::{ClassMetrics, Estimate};

/// What a tagger reached on sentences whose entities are known. An entity is right if its tokens
/// and its kind are (`conlleval`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaggerMetrics {
    /// Sentences that were measured on.
    pub sentences: usize,
    /// Their tokens.
    pub tokens: usize,
    /// The share of given entities that are right.
    pub precision: Estimate,
    /// The share of entities that were found.
    pub recall: Estimate,
    /// The harmonic mean of the two.
    pub f1: Estimate,
    /// Per kind of entity.
    pub kinds: BTreeMap<String, ClassMetrics>,
    /// What finding the names of the training split reaches.
    pub baseline: TaggerBaseline,
}

/// What finding the names of the training split reaches: the longest runs of words that are an
/// entity there, each with its most frequent kind.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaggerBaseline {
    /// Its precision.
    pub precision: f64,
    /// Its recall.
    pub recall: f64,
    /// Its F1.
    pub f1: f64,
}

/// A split, and the tags that it was given.
pub(super) struct Tagged<'a> {
    pub(super) split: &'a Split,
    pub(super) tags: &'a [String],
    /// Of all tokens, one after the other.
    pub(super) given: &'a [u16],
}

const RESAMPLES: usize = 1000;

impl<'a> Tagged<'a> {
    /// Per sentence the entities that are there, and those that were given.
    fn entities(&self) -> impl Iterator<Item = (Vec<Span<'a>>, Vec<Span<'a>>)> {
        let name = |tag: &u16| self.tags.get(usize::from(*tag)).map_or(OUTSIDE, String::as_str);
        let mut from = 0;
        self.split.sentences.iter().map(move |sentence| {
            let to = from + sentence.tags.len();
            let given = self.given.get(from..to).unwrap_or_default();
            from = to;
            (spans(sentence.tags.iter().map(name)), spans(given.iter().map(name)))
        })
    }

    fn counts(&self) -> Vec<EntityCounts> {
        self.entities().map(|(truth, given)| EntityCounts::of(&truth, &given, |_| true)).collect()
    }

    pub(super) fn f1(&self) -> f64 {
        self.counts().into_iter().fold(EntityCounts::default(), |a, b| a + b).f1()
    }

    /// All figures, with 95% intervals from a bootstrap over sentences.
    pub(super) fn measure(&self, baseline: &[u16], seed: u64) -> TaggerMetrics {
        let counts = self.counts();
        let sum = |counts: &mut dyn Iterator<Item = EntityCounts>| {
            counts.fold(EntityCounts::default(), |a, b| a + b)
        };
        let all = sum(&mut counts.iter().copied());
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let samples: Vec<EntityCounts> = (0..RESAMPLES)
            .map(|_| {
                let mut drawn = (0..counts.len()).map(|_| {
                    let at = generator.random_range(0..counts.len());
                    counts.get(at).copied().unwrap_or_default()
                });
                sum(&mut drawn)
            })
            .collect();
        let estimate = |of: fn(&EntityCounts) -> f64| {
            let mut drawn: Vec<f64> = samples.iter().map(of).collect();
            drawn.sort_by(f64::total_cmp);
            let at = |share: usize| drawn.get(RESAMPLES * share / 1000).copied();
            let value = of(&all);
            Estimate { value, low: at(25).unwrap_or(value), high: at(974).unwrap_or(value) }
        };
        let mut kinds: BTreeMap<String, ClassMetrics> = BTreeMap::new();
        for kind in self.tags.iter().filter_map(|tag| tag.strip_prefix("B-")) {
            let own = self
                .entities()
                .map(|(truth, given)| EntityCounts::of(&truth, &given, |span| span.kind == kind));
            let counts = own.fold(EntityCounts::default(), |a, b| a + b);
            let (precision, recall, f1) = (counts.precision(), counts.recall(), counts.f1());
            let metrics = ClassMetrics { precision, recall, f1, support: counts.actual };
            kinds.insert(kind.to_owned(), metrics);
        }
        let seen = Tagged { given: baseline, ..*self }.counts();
        let seen = sum(&mut seen.into_iter());
        TaggerMetrics {
            sentences: counts.len(),
            tokens: self.given.len(),
            precision: estimate(EntityCounts::precision),
            recall: estimate(EntityCounts::recall),
            f1: estimate(EntityCounts::f1),
            kinds,
            baseline: TaggerBaseline {
                precision: seen.precision(),
                recall: seen.recall(),
                f1: seen.f1(),
            },
        }
    }
}

/// The tags that somebody gives who knows the names of the training split and nothing else: the
/// baseline of the CoNLL shared task.
pub(super) fn names_seen(train: &Split, test: &Split, tags: &[String]) -> Vec<u16> {
    let name = |tag: &u16| tags.get(usize::from(*tag)).map_or(OUTSIDE, String::as_str);
    let mut kinds: HashMap<String, BTreeMap<&str, u32>> = HashMap::new();
    let mut longest = 0;
    for sentence in &train.sentences {
        let words = sentence.words();
        for span in spans(sentence.tags.iter().map(name)) {
            let words = words.get(span.start..span.end).unwrap_or_default();
            longest = longest.max(words.len());
            *kinds.entry(words.join(" ")).or_default().entry(span.kind).or_default() += 1;
        }
    }
    let known: HashMap<String, &str> = kinds
        .into_iter()
        .filter_map(|(words, kinds)| {
            let most = kinds.into_iter().rev().max_by_key(|(_, count)| *count)?;
            Some((words, most.0))
        })
        .collect();
    let place = |tag: String| {
        u16::try_from(tags.iter().position(|known| *known == tag).unwrap_or(0)).unwrap_or(0)
    };
    let mut given = Vec::new();
    for sentence in &test.sentences {
        let words = sentence.words();
        let mut at = 0;
        while at < words.len() {
            let found = (1..=longest.min(words.len() - at)).rev().find_map(|length| {
                let kind = known.get(&words.get(at..at + length)?.join(" "))?;
                Some((length, *kind))
            });
            match found {
                Some((length, kind)) => {
                    given.push(place(format!("B-{kind}")));
                    given.extend((1..length).map(|_| place(format!("I-{kind}"))));
                    at += length;
                }
                None => {
                    given.push(0);
                    at += 1;
                }
            }
        }
    }
    given
}
