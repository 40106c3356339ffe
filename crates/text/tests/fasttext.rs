//! Language models of fastText, read, packed and opened: made on the spot, and damaged.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests"
)]

use mesh_text::{FastText, LanguageIdentifier, LanguageModelErrorKind, pack_identifier};
use proptest::prelude::*;

/// A model as fastText writes it.
#[derive(Debug, Clone)]
struct Model {
    dimension: i32,
    word_ngrams: i32,
    /// 1 hierarchical, 2 negative samples, 3 softmax, 4 one versus all.
    loss: i32,
    buckets: i32,
    characters: (i32, i32),
    words: Vec<&'static str>,
    labels: Vec<(&'static str, i64)>,
    /// Buckets that were kept; all of them without.
    kept: Option<Vec<(i32, i32)>>,
    quantised: bool,
    seed: u64,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            dimension: 16,
            word_ngrams: 1,
            loss: 1,
            buckets: 1000,
            characters: (2, 4),
            words: vec!["</s>", "the", "der", "straße", "le"],
            labels: vec![("__label__en", 50), ("__label__de", 30), ("__label__fr", 7)],
            kept: None,
            quantised: false,
            seed: 1,
        }
    }
}

impl Model {
    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut state = self.seed | 1;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            state >> 33
        };
        let (shortest, longest) = self.characters;
        for number in [
            793_712_314,
            12,
            self.dimension,
            5,
            5,
            1,
            5,
            self.word_ngrams,
            self.loss,
            3,
            self.buckets,
            shortest,
            longest,
            100,
        ] {
            out.extend(i32::to_le_bytes(number));
        }
        out.extend(1e-4f64.to_le_bytes());
        let (words, labels) = (self.words.len(), self.labels.len());
        for number in [words + labels, words, labels] {
            out.extend((number as i32).to_le_bytes());
        }
        out.extend(1234i64.to_le_bytes());
        out.extend(self.kept.as_ref().map_or(-1, |kept| kept.len() as i64).to_le_bytes());
        let entries = self.words.iter().map(|word| (*word, 9, 0u8));
        for (word, count, kind) in entries.chain(self.labels.iter().map(|(l, n)| (*l, *n, 1))) {
            out.extend(word.bytes().chain([0]));
            out.extend(i64::to_le_bytes(count));
            out.push(kind);
        }
        for (bucket, place) in self.kept.iter().flatten() {
            out.extend(bucket.to_le_bytes());
            out.extend(place.to_le_bytes());
        }
        let rows = words + self.kept.as_ref().map_or(self.buckets as usize, Vec::len);
        let columns = self.dimension as usize;
        let mut floats = |out: &mut Vec<u8>, count: usize| {
            for _ in 0..count {
                out.extend(((random() % 2000) as f32 / 1000.0 - 1.0).to_le_bytes());
            }
        };
        out.push(u8::from(self.quantised));
        if self.quantised {
            // Codes of parts of two values, and norms.
            let parts = columns.div_ceil(2);
            out.push(1);
            out.extend((rows as i64).to_le_bytes());
            out.extend((columns as i64).to_le_bytes());
            out.extend(((rows * parts) as i32).to_le_bytes());
            out.extend((0..rows * parts).map(|at| (at * 31 % 256) as u8));
            let last = if columns.is_multiple_of(2) { 2 } else { 1 };
            for number in [columns, parts, 2, last] {
                out.extend((number as i32).to_le_bytes());
            }
            floats(&mut out, columns * 256);
            out.extend((0..rows).map(|at| (at * 7 % 256) as u8));
            for number in [1i32, 1, 1, 1] {
                out.extend(number.to_le_bytes());
            }
            floats(&mut out, 256);
        } else {
            out.extend((rows as i64).to_le_bytes());
            out.extend((columns as i64).to_le_bytes());
            floats(&mut out, rows * columns);
        }
        out.push(0);
        out.extend((labels as i64).to_le_bytes());
        out.extend((columns as i64).to_le_bytes());
        floats(&mut out, labels * columns);
        out
    }
}

/// Bytes that start where numbers may.
fn aligned(bytes: &[u8]) -> Vec<u64> {
    let mut words = vec![0u64; bytes.len().div_ceil(8)];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks(8)) {
        let mut eight = [0; 8];
        eight[..chunk.len()].copy_from_slice(chunk);
        *word = u64::from_ne_bytes(eight);
    }
    words
}

/// What both forms of a model say must be the same.
fn compare(bytes: &[u8], texts: &[&str]) {
    let model = FastText::read(bytes).unwrap();
    let packed = pack_identifier(&model).unwrap();
    assert_eq!(packed, pack_identifier(&model).unwrap());
    let words = aligned(&packed);
    let opened: &[u8] = &bytemuck::cast_slice(&words)[..packed.len()];
    let identifier = LanguageIdentifier::open(opened).unwrap();
    assert_eq!(identifier.languages(), model.labels());
    let all = identifier.top_of_all(texts, 3);
    for (text, together) in texts.iter().zip(all) {
        let (plain, alone) = (model.top(text, 3), identifier.top(text, 3));
        assert_eq!(alone, together, "{text}");
        assert_eq!(plain.len(), alone.len(), "{text}");
        for (plain, packed) in plain.iter().zip(&alone) {
            assert!((plain.1 - packed.1).abs() < 1e-4, "{text}: {plain:?} {packed:?}");
        }
    }
}

const TEXTS: [&str; 9] = [
    "",
    "the straße",
    "Der Weg ist das Ziel",
    "le 🙂 chat",
    "日本語のテキスト",
    "the </s> der",
    "__label__en the __label__zz",
    "tab\tand\nline",
    "e\u{301}a\u{300}",
];

#[test]
fn every_kind_of_model_is_the_same_when_packed() {
    let base = Model::default;
    let kept: Vec<(i32, i32)> = (0..300).map(|at| (at * 3, at)).collect();
    let cases = [
        base(),
        Model { loss: 2, ..base() },
        Model { loss: 3, ..base() },
        Model { loss: 4, ..base() },
        Model { kept: Some(kept.clone()), quantised: true, ..base() },
        Model { kept: Some(Vec::new()), ..base() },
        Model { dimension: 5, quantised: true, ..base() },
        Model { word_ngrams: 3, kept: Some(kept), ..base() },
        Model { characters: (0, 0), buckets: 0, ..base() },
        Model { characters: (1, 2), ..base() },
        Model { words: vec!["the"], labels: vec![("__label__en", 1)], ..base() },
        Model { labels: vec![("__label__a", 1), ("__label__b", 1)], loss: 3, ..base() },
    ];
    for model in cases {
        compare(&model.bytes(), &TEXTS);
    }
}

#[test]
fn what_is_no_model_says_so() {
    let good = Model::default().bytes();
    let with = |at: usize, number: i32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        bytes
    };
    let cases: [(Vec<u8>, &str); 12] = [
        (Vec::new(), "it is no fastText model"),
        (b"not a model, but long enough to be one".to_vec(), "it is no fastText model"),
        (with(4, 11), "version 11"),
        (with(8, 0), "dimension"),
        (with(8, 5000), "dimension"),
        (with(8, -1), "dimension"),
        (with(32, 9), "loss"),
        (with(36, 1), "word vectors"),
        (with(40, -5), "buckets"),
        (with(64, 1_000_000), "contradicts itself"),
        (good[..good.len() - 1].to_vec(), "cut"),
        (good[..100].to_vec(), "cut"),
    ];
    for (bytes, reason) in cases {
        let error = FastText::read(&bytes).unwrap_err();
        assert_eq!(error.kind, LanguageModelErrorKind::Foreign);
        assert!(error.to_string().contains(reason), "{error}, not {reason}");
    }
}

#[test]
fn a_packed_model_that_is_damaged_is_not_opened() {
    let model = FastText::read(&Model::default().bytes()).unwrap();
    let packed = pack_identifier(&model).unwrap();
    let open = |bytes: &[u8]| {
        let words = aligned(bytes);
        let opened: &[u8] = &bytemuck::cast_slice(&words)[..bytes.len()];
        LanguageIdentifier::open(opened).map(drop).map_err(|error| error.kind)
    };
    assert_eq!(open(&packed), Ok(()));
    assert_eq!(open(&packed[..packed.len() - 1]), Err(LanguageModelErrorKind::Damaged));
    assert_eq!(open(b"MESHLANG"), Err(LanguageModelErrorKind::Damaged));
    assert_eq!(open(b""), Err(LanguageModelErrorKind::Damaged));
    let mut newer = packed;
    newer[8] = 9;
    assert_eq!(open(&newer), Err(LanguageModelErrorKind::Version));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_gets_the_same_answer(text in "\\PC{0,80}", seed: u64, quantised: bool) {
        let kept = Some((0..500).map(|at| (at * 2, at)).collect());
        let model = Model { seed, quantised, kept, word_ngrams: 2, ..Model::default() };
        compare(&model.bytes(), &[&text]);
    }

    #[test]
    fn a_damaged_file_is_an_error_or_a_model(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        quantised: bool,
    ) {
        let mut bytes = Model { quantised, ..Model::default() }.bytes();
        // What stands before the numbers, where all sizes are.
        for (at, byte) in &changes {
            let at = at.index(300);
            bytes[at] = *byte;
        }
        if let Ok(model) = FastText::read(&bytes) {
            let _ = model.top("the straße", 2);
            if let Ok(packed) = pack_identifier(&model) {
                let words = aligned(&packed);
                let opened: &[u8] = &bytemuck::cast_slice(&words)[..packed.len()];
                let _ = LanguageIdentifier::open(opened).unwrap().top("the straße", 2);
            }
        }
    }

    #[test]
    fn a_damaged_packed_model_is_an_error_or_a_model(
        at in any::<prop::sample::Index>(), byte: u8,
    ) {
        let model = FastText::read(&Model::default().bytes()).unwrap();
        let mut packed = pack_identifier(&model).unwrap();
        let at = at.index(packed.len());
        packed[at] = byte;
        let words = aligned(&packed);
        let opened: &[u8] = &bytemuck::cast_slice(&words)[..packed.len()];
        if let Ok(identifier) = LanguageIdentifier::open(opened) {
            let _ = identifier.top("the straße und der Weg", 3);
        }
    }
}
