use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use mesh_core::manifest::Features;
use mesh_engine::{FeatureKind, FeatureScratch, Featurizer};

use crate::Matrix;

/// Learns which features matter, and turns texts into rows of TF-IDF values: those of words have
/// length 1, and those of characters.
#[derive(Debug, Clone)]
pub struct Vectorizer {
    options: Features,
    featurizer: Featurizer,
    index: Index,
    vocabulary: Vec<String>,
    idf: Vec<f32>,
}

/// Counts in how many documents each feature is, and learns names of those that are kept.
pub(crate) struct Counter {
    options: Features,
    featurizer: Featurizer,
    documents: u32,
    counts: HashMap<u64, u32, BuildHasherDefault<Passing>>,
    scratch: FeatureScratch,
    hashes: Vec<u64>,
}

/// Names features that are kept.
pub(crate) struct Namer {
    counter: Counter,
    names: HashMap<u64, String, BuildHasherDefault<Passing>>,
    kept: usize,
}

type Index = HashMap<u64, u32, BuildHasherDefault<Passing>>;

/// The hashes of features are spread already.
#[derive(Debug, Default, Clone)]
pub(crate) struct Passing(u64);

impl Hasher for Passing {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Counter {
    pub(crate) fn new(options: &Features) -> Self {
        Self {
            options: options.clone(),
            featurizer: Featurizer::new(options),
            documents: 0,
            counts: HashMap::default(),
            scratch: FeatureScratch::default(),
            hashes: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, text: &str) {
        self.documents += 1;
        self.hashes.clear();
        self.featurizer.hashes(text, &mut self.scratch, |hash| self.hashes.push(hash));
        self.hashes.sort_unstable();
        self.hashes.dedup();
        for hash in &self.hashes {
            *self.counts.entry(*hash).or_default() += 1;
        }
    }

    /// Forgets what is too rare or too common.
    pub(crate) fn prune(mut self) -> Namer {
        let (least, documents) = (self.options.min_documents, f64::from(self.documents));
        let most = self.options.max_document_share * documents;
        self.counts.retain(|_, count| *count >= least && f64::from(*count) <= most);
        let kept = self.counts.len();
        Namer { counter: self, names: HashMap::default(), kept }
    }
}

impl Namer {
    /// How many features are kept.
    pub(crate) const fn kept(&self) -> usize {
        self.kept
    }

    /// Learns the names of features of a text; cheap once most are known.
    pub(crate) fn add(&mut self, text: &str) {
        if self.names.len() == self.kept {
            return;
        }
        let Self { counter, names, .. } = self;
        if counter.options.hash_buckets > 0 {
            return;
        }
        let mut news = false;
        counter.featurizer.hashes(text, &mut counter.scratch, |hash| {
            news |= counter.counts.contains_key(&hash) && !names.contains_key(&hash);
        });
        if news {
            counter.featurizer.named(text, &mut |hash, name| {
                if counter.counts.contains_key(&hash) {
                    names.entry(hash).or_insert_with(|| name.to_owned());
                }
            });
        }
    }

    /// Puts the features in the order of how many documents have them, then of their names: what
    /// is used most lies close together, which caches reward in training and in prediction.
    pub(crate) fn finish(self) -> Vectorizer {
        let Self { counter, mut names, .. } = self;
        let documents = f64::from(counter.documents);
        let mut features: Vec<(String, u64, u32)> = counter
            .counts
            .into_iter()
            .map(|(hash, count)| {
                let name = names.remove(&hash).unwrap_or_else(|| format!("h\t{hash:016x}"));
                (name, hash, count)
            })
            .collect();
        features.sort_unstable_by(|a, b| b.2.cmp(&a.2).then_with(|| a.0.cmp(&b.0)));
        let mut index = Index::default();
        let mut vocabulary = Vec::with_capacity(features.len());
        let mut idf = Vec::with_capacity(features.len());
        for ((name, hash, count), column) in features.into_iter().zip(0..) {
            index.insert(hash, column);
            vocabulary.push(name);
            // As if one more document had every feature (scikit-learn's `smooth_idf`).
            #[expect(clippy::cast_possible_truncation, reason = "a small number")]
            idf.push((((1.0 + documents) / (1.0 + f64::from(count))).ln() + 1.0) as f32);
        }
        let (options, featurizer) = (counter.options, counter.featurizer);
        Vectorizer { options, featurizer, index, vocabulary, idf }
    }
}

impl Vectorizer {
    /// Learns from texts that can be gone through twice.
    pub fn fit<'a>(options: &Features, texts: impl Iterator<Item = &'a str> + Clone) -> Self {
        let mut counter = Counter::new(options);
        texts.clone().for_each(|text| counter.add(text));
        let mut namer = counter.prune();
        texts.for_each(|text| namer.add(text));
        namer.finish()
    }

    /// The features, in the order of the columns.
    #[must_use]
    pub fn vocabulary(&self) -> &[String] {
        &self.vocabulary
    }

    /// Inverse document frequencies, in the order of the columns.
    #[must_use]
    pub fn idf(&self) -> &[f32] {
        &self.idf
    }

    /// Adds the rows of texts to a matrix.
    pub fn transform<'a>(&self, texts: impl Iterator<Item = &'a str>, matrix: &mut Matrix) {
        let mut scratch = FeatureScratch::default();
        let mut columns: Vec<u32> = Vec::new();
        let mut row: Vec<(u32, f32)> = Vec::new();
        for text in texts {
            row.clear();
            for kind in FeatureKind::ALL {
                columns.clear();
                self.featurizer.hashes_of(kind, text, &mut scratch, |hash| {
                    columns.extend(self.index.get(&hash));
                });
                columns.sort_unstable();
                self.weigh(&columns, &mut row);
            }
            row.sort_unstable_by_key(|(column, _)| *column);
            // Words and characters may share a bucket.
            row.dedup_by(|next, kept| {
                let same = next.0 == kept.0;
                kept.1 += if same { next.1 } else { 0.0 };
                same
            });
            matrix.push(row.iter().copied());
        }
    }

    /// Adds the columns of one kind, which are sorted, to a row, with values of length 1.
    fn weigh(&self, columns: &[u32], row: &mut Vec<(u32, f32)>) {
        let (start, mut squares) = (row.len(), 0.0f32);
        for same in columns.chunk_by(|a, b| a == b) {
            let Some(column) = same.first() else { continue };
            #[expect(clippy::cast_precision_loss, reason = "a text has fewer words")]
            let count = same.len() as f32;
            let frequency = if self.options.sublinear_tf { 1.0 + count.ln() } else { count };
            let value = frequency * self.idf.get(*column as usize).copied().unwrap_or_default();
            squares += value * value;
            row.push((*column, value));
        }
        let scale = if squares > 0.0 { 1.0 / squares.sqrt() } else { 0.0 };
        row.iter_mut().skip(start).for_each(|(_, value)| *value *= scale);
    }
}
