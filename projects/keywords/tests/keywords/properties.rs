//! What holds for every text.

use crate::support::{Trigrams, ask, example, tokens};
use mesh_core::Project;
use mesh_project_keywords::{Keywords, Parameters};
use mesh_text::{Stopwords, words};
use proptest::prelude::*;

/// Texts of words, stopwords, punctuation and other scripts, and plain noise.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z]{1,8}",
        3 => prop::sample::select(vec![
            "the", "of", "it’s", "New", "l'eau", "и", "дом", "的", "银行", "我们", "コンピューター",
            "ประเทศ", "می\u{200c}شود", "한국어", "İstanbul", "ẞ", "e\u{301}", "3.14", "1️⃣", "🅰",
        ]).prop_map(str::to_owned),
        2 => prop::sample::select(vec![
            ".", ", ", "\n", "\n\n", "-", "'", " & ", "\u{0}", "\u{ad}", "\u{200b}", "\u{feff}",
            "\u{2029}", "…", "。",
        ]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    prop_oneof![
        3 => prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.join(" ")),
        1 => prop::collection::vec(any::<char>(), 0..60).prop_map(String::from_iter),
        1 => "\\PC{0,60}",
    ]
}

fn parameters() -> impl Strategy<Value = Parameters> {
    let language = prop::sample::select(Stopwords::languages().collect::<Vec<_>>());
    let language = prop_oneof![1 => Just("en"), 1 => language];
    let given = prop::option::weighted(0.2, prop::collection::vec("\\PC{0,8}", 0..4));
    let numbers = (1_u8..=8, 1_u8..=8, 1_u32..15, 0_u32..30, 0.0..=1.0);
    (language, numbers, any::<(bool, bool)>(), given.clone(), given).prop_map(
        |(language, (one, other, top_n, more, diversity), (mmr, maxsum), seeds, candidates)| {
            Parameters {
                language: language.into(),
                keyphrase_ngram_range: [one.min(other), one.max(other)],
                top_n,
                diversity,
                use_mmr: mmr,
                use_maxsum: maxsum,
                nr_candidates: top_n + more,
                seed_keywords: seeds,
                candidates,
            }
        },
    )
}

proptest! {
    #[test]
    fn every_text_is_answered(text in text(), parameters in parameters()) {
        let Ok(answer) = ask(&text, parameters.clone()) else {
            prop_assert!(text.chars().all(|c| c.is_whitespace() || c.is_control()));
            return Ok(());
        };
        prop_assert!(answer.keywords.len() <= parameters.top_n as usize);
        let mut found = tokens(&answer);
        for keyword in &answer.keywords {
            prop_assert!(keyword.keyword_score.is_finite() && keyword.keyword_score.abs() <= 1.0);
        }
        let sorted = answer.keywords.is_sorted_by(|a, b| {
            let by_score = b.keyword_score.total_cmp(&a.keyword_score);
            by_score.then_with(|| a.keyword_token.cmp(&b.keyword_token)).is_lt()
        });
        prop_assert!(sorted);
        if parameters.candidates.is_none() {
            let stopwords = Stopwords::of(&parameters.language).unwrap();
            for keyword in &found {
                let ends = [words(keyword).next(), words(keyword).last()];
                for end in ends {
                    let end = end.unwrap();
                    prop_assert!(!stopwords.contains(end), "{} in {}", end, keyword);
                }
                prop_assert!(!stopwords.contains(keyword));
                prop_assert!(keyword.contains(char::is_alphabetic));
                prop_assert_eq!(keyword.to_lowercase(), *keyword);
            }
        }
        found.sort_unstable();
        prop_assert!(found.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn no_diversity_is_the_plain_ranking(text in text(), parameters in parameters()) {
        let plain = Parameters { use_mmr: false, use_maxsum: false, ..parameters };
        let mmr = Parameters { use_mmr: true, diversity: 0.0, ..plain.clone() };
        prop_assert_eq!(ask(&text, mmr), ask(&text, plain));
    }

    #[test]
    fn an_answer_is_the_same_in_any_batch(
        batch in prop::collection::vec((text(), parameters()), 1..6),
    ) {
        let batch: Vec<_> =
            batch.into_iter().map(|(text, parameters)| example(&text, parameters)).collect();
        let keywords = Keywords::new(Trigrams::default());
        let answers = keywords.predict(&batch);
        prop_assert_eq!(answers.len(), batch.len());
        for (one, answer) in batch.iter().zip(&answers) {
            let alone = keywords.predict(std::slice::from_ref(one));
            prop_assert_eq!(&alone[0], answer);
        }
    }
}
