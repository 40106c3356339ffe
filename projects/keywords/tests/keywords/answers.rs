//! What is answered, and what is refused.

use crate::support::{Trigrams, ask, example, tokens, trigrams};
use mesh_core::{Answer, Project, Refusal, RefusalKind};
use mesh_project_keywords::{Embedder, Keywords, Parameters, Prediction};
use mesh_text::Stopwords;
use serde_json::json;

const TEXT: &str = "The central bank raised its interest rates. Higher interest rates make loans \
                    dearer, and the bank expects that inflation will fall. Inflation was at a \
                    record; the bank's governor said that rates could rise again.";

fn parameters(value: serde_json::Value) -> Parameters {
    serde_json::from_value(value).unwrap()
}

#[test]
fn keywords_come_from_phrases_with_the_highest_score_first() {
    let answer = ask(TEXT, Parameters::default()).unwrap();
    assert_eq!(answer.keywords.len(), 10);
    for keyword in &answer.keywords {
        assert!(keyword.keyword_token.split(' ').count() <= 3, "{keyword:?}");
        assert_eq!((keyword.keyword_score * 1e4).round() / 1e4, keyword.keyword_score);
        // No phrase crosses the end of a sentence.
        assert!(!keyword.keyword_token.contains("rates higher"), "{keyword:?}");
    }
    assert!(answer.keywords.is_sorted_by(|a, b| a.keyword_score >= b.keyword_score));
}

#[test]
fn the_plain_ranking_is_the_cosine() {
    let plain =
        parameters(json!({"use_mmr": false, "top_n": 500, "keyphrase_ngram_range": [1, 1]}));
    let answer = ask(TEXT, plain).unwrap();
    let mut expected = [
        "central",
        "bank",
        "raised",
        "interest",
        "rates",
        "higher",
        "loans",
        "dearer",
        "expects",
        "inflation",
        "fall",
        "record",
        "governor",
        "rise",
    ]
    .map(|word| {
        let pairs = trigrams(TEXT).into_iter().zip(trigrams(word));
        let cosine: f64 = pairs.map(|(a, b)| f64::from(a) * f64::from(b)).sum();
        ((cosine * 1e4).round() / 1e4, word)
    });
    expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    let found = answer.keywords.iter().map(|k| (k.keyword_score, k.keyword_token.as_str()));
    let found: Vec<_> = found.collect();
    assert_eq!(found, expected);
}

#[test]
fn the_ways_to_choose_differ() {
    let ways = [
        json!({"use_mmr": false, "top_n": 5}),
        json!({"diversity": 0.9, "top_n": 5}),
        json!({"use_maxsum": true, "top_n": 5}),
    ];
    let mut answers: Vec<_> = ways.map(|way| ask(TEXT, parameters(way)).unwrap()).into();
    assert!(answers.iter().all(|answer| answer.keywords.len() == 5));
    answers.dedup();
    assert_eq!(answers.len(), 3);
    // Max sum is asked for expressly, and goes before what is the default.
    let both = json!({"use_maxsum": true, "use_mmr": true, "top_n": 5});
    assert_eq!(ask(TEXT, parameters(both)).unwrap(), answers[2]);
}

#[test]
fn max_sum_with_few_candidates_answers_them_all() {
    let few = parameters(json!({"use_maxsum": true, "top_n": 20, "nr_candidates": 20}));
    assert_eq!(ask("Interest rates", few).unwrap().keywords.len(), 3);
}

#[test]
fn seeds_pull_keywords_their_way() {
    let one = json!({"top_n": 1, "keyphrase_ngram_range": [1, 1]});
    let mut guided = one.clone();
    guided["seed_keywords"] = json!(["governors", " "]);
    let score = |value, word: &str| {
        let mut parameters = parameters(value);
        parameters.candidates = Some(vec![word.into()]);
        ask(TEXT, parameters).unwrap().keywords[0].keyword_score
    };
    assert!(score(guided.clone(), "governor") > score(one.clone(), "governor"));
    let mut none = one.clone();
    none["seed_keywords"] = json!([]);
    assert_eq!(ask(TEXT, parameters(none)), ask(TEXT, parameters(one)));
}

#[test]
fn given_candidates_are_all_scored_as_they_are() {
    let given =
        parameters(json!({"candidates": ["Inflation", "the bank", "2021", "", "Inflation "]}));
    let answer = ask(TEXT, given).unwrap();
    let mut found = tokens(&answer);
    found.sort_unstable();
    assert_eq!(found, ["2021", "Inflation", "the bank"]);
    let none = parameters(json!({"candidates": []}));
    assert!(ask(TEXT, none).unwrap().keywords.is_empty());
}

#[test]
fn texts_without_a_phrase_have_no_keywords() {
    for text in ["the of and", "🙂 🎉🇩🇪 1️⃣", "\u{0}\u{1b}\u{200b}", "?!", "12 345.6", "\u{ad}"]
    {
        let answer = ask(text, Parameters::default());
        assert!(
            answer.as_ref().is_ok_and(|answer| answer.keywords.is_empty()),
            "{text}: {answer:?}"
        );
    }
}

#[test]
fn other_languages_have_other_stopwords() {
    let two = |language: &str| parameters(json!({"language": language, "top_n": 50}));
    let german = ask("Die Zinsen der Bank steigen.", two("de-AT")).unwrap();
    assert!(tokens(&german).contains(&"zinsen der bank"));
    assert!(!tokens(&german).iter().any(|token| token.starts_with("die")));
    let japanese = ask("コンピューターを作る。", two("ja")).unwrap();
    assert!(tokens(&japanese).contains(&"コンピューターを作"));
}

#[test]
fn what_cannot_be_followed_is_refused_with_what_can() {
    let cases = [
        (json!({"top_n": 0}), "`top_n`"),
        (json!({"keyphrase_ngram_range": [3, 1]}), "`keyphrase_ngram_range`"),
        (json!({"keyphrase_ngram_range": [0, 1]}), "`keyphrase_ngram_range`"),
        (json!({"keyphrase_ngram_range": [1, 9]}), "1 to 8"),
        (json!({"diversity": 1.01}), "`diversity`"),
        (json!({"diversity": -0.01}), "`diversity`"),
        (json!({"nr_candidates": 0}), "`nr_candidates`"),
        (json!({"use_maxsum": true, "top_n": 21}), "`nr_candidates` must be at least `top_n`"),
        (json!({"candidates": vec!["a"; 2_001]}), "2000"),
        (json!({"seed_keywords": vec!["a"; 101]}), "100"),
    ];
    for (value, detail) in cases {
        let refusal = ask(TEXT, parameters(value)).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::InvalidParameter);
        assert!(refusal.detail.contains(detail), "{refusal}");
    }
    let refusal = ask(TEXT, parameters(json!({"top_n": 0, "diversity": 2}))).unwrap_err();
    assert!(refusal.detail.contains("`top_n`") && refusal.detail.contains("`diversity`"));
    // Without max sum the number of its candidates does not matter.
    assert!(ask(TEXT, parameters(json!({"top_n": 21}))).is_ok());

    let refusal = ask(TEXT, parameters(json!({"language": "xx"}))).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::UnsupportedLanguage);
    assert!(Stopwords::languages().all(|language| refusal.detail.contains(language)));
    assert_eq!(ask(" \n", Parameters::default()).unwrap_err().kind, RefusalKind::EmptyText);
}

#[test]
fn a_batch_is_embedded_at_once_and_each_text_once() {
    let batch = [
        example(TEXT, Parameters::default()),
        example("", Parameters::default()),
        example("Interest rates!", parameters(json!({"seed_keywords": ["bank", "money"]}))),
        example("the", Parameters::default()),
        example(TEXT, parameters(json!({"use_maxsum": true}))),
        example(TEXT, parameters(json!({"top_n": 0}))),
    ];
    let embedder = Trigrams::default();
    let keywords = Keywords::new(embedder.clone());
    let answers = keywords.predict(&batch);
    let calls = embedder.calls();
    // The documents, then their phrases.
    assert_eq!(calls.len(), 2);
    let mut texts = calls.concat();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), calls.iter().map(Vec::len).sum::<usize>());
    assert!(texts.iter().any(|text| text == "money") && !texts.iter().any(|text| text == "the"));

    assert_eq!(answers.len(), batch.len());
    for (one, answer) in batch.iter().zip(&answers) {
        assert_eq!(&keywords.predict(std::slice::from_ref(one))[0], answer);
    }
    // What needs no embedding does not ask for any.
    let before = embedder.calls().len();
    assert!(keywords.predict(&[]).is_empty());
    assert!(keywords.predict(&batch[3..4])[0].is_ok());
    assert_eq!(embedder.calls().len(), before);
}

#[test]
fn the_sample_is_answered() {
    let answer = ask(&Keywords::sample().content, Parameters::default()).unwrap();
    assert_eq!(answer.keywords.len(), 10);
}

#[test]
fn what_cannot_be_read_is_told_if_it_was_given() {
    let long = "x ".repeat(40_000);
    for given in [json!({"seed_keywords": [long]}), json!({"candidates": ["bank", long]})] {
        let key = given.as_object().unwrap().keys().next().unwrap().clone();
        let refusal = ask_refusing_long(TEXT, parameters(given)).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::TextTooLong);
        assert!(refusal.detail.starts_with(&format!("`{key}` has `x x ")), "{}", refusal.detail);
    }
}

fn ask_refusing_long(text: &str, parameters: Parameters) -> Result<Prediction, Refusal> {
    struct Short(Trigrams);
    impl Embedder for Short {
        fn embed(&self, texts: &[&str]) -> Vec<Result<Answer<Vec<f32>>, Refusal>> {
            let embed = |text: &&str| match text.len() > 1000 {
                true => Err(Refusal::new(RefusalKind::TextTooLong, "it is too long")),
                false => self.0.embed(&[*text]).remove(0),
            };
            texts.iter().map(embed).collect()
        }
    }
    let keywords = Keywords::new(Short(Trigrams::default()));
    let answer = keywords.predict(&[example(text, parameters)]).remove(0);
    answer.map(|answer| answer.prediction)
}
