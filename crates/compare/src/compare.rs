use std::collections::{BTreeMap, BTreeSet};

use mesh_core::manifest::TaskName;
use serde_json::Value;

/// What of a task's predictions is compared.
#[derive(Debug, Clone, Copy)]
pub struct Comparison {
    task: TaskName,
}

/// How two predictions for one document differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The label before, where the task tells one.
    pub before: Option<String>,
    /// The label after.
    pub after: Option<String>,
    /// How much changed: 0 is nothing. Of labels half the distance of the probabilities, 0 to 1; of
    /// entities and keywords the share that one has and the other has not; of vectors 1 less their
    /// cosine; of numbers the distance.
    pub size: f64,
    /// By how much the score of the label after has changed, or the number; where there is one.
    pub drift: Option<f64>,
}

/// Labels with their scores, the likeliest first.
type Scores = Vec<(String, f64)>;

impl Comparison {
    /// The comparison of a task's predictions.
    #[must_use]
    pub const fn of(task: TaskName) -> Self {
        Self { task }
    }

    /// Whether the task tells labels, which may flip.
    #[must_use]
    pub const fn has_labels(self) -> bool {
        matches!(self.task, TaskName::TextClassification | TaskName::Language)
    }

    /// Compares two predictions, as the project answers them. What is none of its task counts as
    /// changed altogether, unless both are the same.
    #[must_use]
    pub fn compare(self, before: &Value, after: &Value) -> Change {
        let found = match self.task {
            TaskName::TextClassification => labels(before, after, classes),
            TaskName::Language => labels(before, after, languages),
            TaskName::TokenClassification => sets(before, after, entities),
            TaskName::Keywords => sets(before, after, keywords),
            TaskName::Embedding => vectors(before, after),
            TaskName::NearDuplicates => signatures(before, after),
            TaskName::Regression => numbers(before, after),
            _ => None,
        };
        found.unwrap_or_else(|| {
            let size = f64::from(u8::from(before != after));
            Change { before: None, after: None, size, drift: None }
        })
    }
}

fn labels(before: &Value, after: &Value, read: fn(&Value) -> Option<Scores>) -> Option<Change> {
    let (before, after) = (read(before)?, read(after)?);
    let one: BTreeMap<&str, f64> =
        before.iter().map(|(name, score)| (name.as_str(), *score)).collect();
    let two: BTreeMap<&str, f64> =
        after.iter().map(|(name, score)| (name.as_str(), *score)).collect();
    let score = |scores: &BTreeMap<&str, f64>, name: &str| scores.get(name).copied().unwrap_or(0.0);
    let all: BTreeSet<&str> = one.keys().chain(two.keys()).copied().collect();
    let distance: f64 = all.iter().map(|name| (score(&one, name) - score(&two, name)).abs()).sum();
    let label = |scores: &Scores| scores.first().map(|(name, _)| name.clone());
    let drift = after.first().map(|(name, now)| now - score(&one, name));
    Some(Change { before: label(&before), after: label(&after), size: distance / 2.0, drift })
}

/// The labels of a classification; of a sentiment the three that it has.
fn classes(prediction: &Value) -> Option<Scores> {
    if let Some(labels) = prediction.get("labels").and_then(Value::as_array) {
        let score = |label: &Value| {
            Some((label.get("label")?.as_str()?.to_owned(), label.get("score")?.as_f64()?))
        };
        return labels.iter().map(score).collect();
    }
    let label = prediction.get("label")?.as_str()?;
    let negative = prediction.get("negative_prob")?.as_f64()?;
    let positive = prediction.get("positive_prob")?.as_f64()?;
    let mut all = vec![
        ("negative".to_owned(), negative),
        ("neutral".to_owned(), 1.0 - negative - positive),
        ("positive".to_owned(), positive),
    ];
    // What the project said is the label, however near another one is.
    all.sort_by_key(|(name, _)| name != label);
    Some(all)
}

fn languages(prediction: &Value) -> Option<Scores> {
    let score = |language: &Value| {
        Some((language.get("language")?.as_str()?.to_owned(), language.get("score")?.as_f64()?))
    };
    prediction.get("languages")?.as_array()?.iter().map(score).collect()
}

fn sets(
    before: &Value,
    after: &Value,
    read: fn(&Value) -> Option<BTreeSet<String>>,
) -> Option<Change> {
    let (before, after) = (read(before)?, read(after)?);
    let both = before.intersection(&after).count();
    let any = before.union(&after).count();
    #[expect(clippy::cast_precision_loss, reason = "some entities or keywords")]
    let alike = if any == 0 { 1.0 } else { both as f64 / any as f64 };
    Some(Change { before: None, after: None, size: 1.0 - alike, drift: None })
}

fn entities(prediction: &Value) -> Option<BTreeSet<String>> {
    let entity = |entity: &Value| {
        let part = |key: &str| entity.get(key).map(ToString::to_string);
        let keys = ["entity_type", "entity_text", "sentence_index", "start", "end"];
        keys.into_iter().map(part).collect::<Option<Vec<_>>>().map(|parts| parts.join("\u{1f}"))
    };
    prediction.get("entities")?.as_array()?.iter().map(entity).collect()
}

fn keywords(prediction: &Value) -> Option<BTreeSet<String>> {
    let token = |keyword: &Value| Some(keyword.get("keyword_token")?.as_str()?.to_owned());
    prediction.get("keywords")?.as_array()?.iter().map(token).collect()
}

fn floats(values: &Value) -> Option<Vec<f64>> {
    values.as_array()?.iter().map(Value::as_f64).collect()
}

fn vectors(before: &Value, after: &Value) -> Option<Change> {
    let read = |prediction: &Value| floats(prediction.get("embeddings")?);
    let (one, two) = (read(before)?, read(after)?);
    if one.len() != two.len() {
        return None;
    }
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let length = product(&one, &one).sqrt() * product(&two, &two).sqrt();
    let cosine = if one == two { 1.0 } else { product(&one, &two) / length };
    let size = if cosine.is_nan() { 1.0 } else { (1.0 - cosine).max(0.0) };
    Some(Change { before: None, after: None, size, drift: None })
}

fn signatures(before: &Value, after: &Value) -> Option<Change> {
    let (one, two) = (before.get("signature")?, after.get("signature")?);
    let size = match (one.as_array(), two.as_array()) {
        (Some(one), Some(two)) if one.len() == two.len() && !one.is_empty() => {
            let differing = one.iter().zip(two).filter(|(one, two)| one != two).count();
            #[expect(clippy::cast_precision_loss, reason = "some bands")]
            let share = differing as f64 / one.len() as f64;
            share
        }
        _ => f64::from(u8::from(one != two)),
    };
    Some(Change { before: None, after: None, size, drift: None })
}

fn numbers(before: &Value, after: &Value) -> Option<Change> {
    let read = |prediction: &Value| floats(prediction.get("predictions")?)?.first().copied();
    let drift = read(after)? - read(before)?;
    Some(Change { before: None, after: None, size: drift.abs(), drift: Some(drift) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn size(task: TaskName, before: &Value, after: &Value) -> f64 {
        Comparison::of(task).compare(before, after).size
    }

    #[test]
    fn changes_by_task() {
        let class = |a: f64| json!({ "labels": [{ "label": "a", "score": a }, { "label": "b", "score": 1.0 - a }] });
        let sentiment = |label: &str, negative: f64, positive: f64| json!({ "label": label, "negative_prob": negative, "positive_prob": positive, "entities": null });
        let entity = |text: &str| json!({ "entity_type": "PER", "entity_text": text, "score": 0.5, "sentence_index": 0, "start": 0, "end": 3 });
        let cases = [
            (TaskName::TextClassification, class(0.9), class(0.6), 0.3),
            (
                TaskName::TextClassification,
                sentiment("negative", 0.8, 0.1),
                sentiment("positive", 0.1, 0.8),
                0.7,
            ),
            (
                TaskName::Language,
                json!({"languages": [{"language": "en", "score": 1.0}]}),
                json!({"languages": [{"language": "de", "score": 0.5}]}),
                0.75,
            ),
            (
                TaskName::TokenClassification,
                json!({"entities": [entity("Ada"), entity("Tom")]}),
                json!({"entities": [entity("Ada")]}),
                0.5,
            ),
            (TaskName::TokenClassification, json!({"entities": []}), json!({"entities": []}), 0.0),
            (
                TaskName::Keywords,
                json!({"keywords": [{"keyword_token": "a", "keyword_score": 1.0}]}),
                json!({"keywords": [{"keyword_token": "b", "keyword_score": 1.0}]}),
                1.0,
            ),
            (
                TaskName::Embedding,
                json!({"embeddings": [1.0, 0.0]}),
                json!({"embeddings": [0.0, 2.0]}),
                1.0,
            ),
            (
                TaskName::Embedding,
                json!({"embeddings": [0.1, 0.2]}),
                json!({"embeddings": [0.1, 0.2]}),
                0.0,
            ),
            (
                TaskName::NearDuplicates,
                json!({"signature": ["a", "b"]}),
                json!({"signature": ["a", "c"]}),
                0.5,
            ),
            (
                TaskName::NearDuplicates,
                json!({"signature": null}),
                json!({"signature": ["a"]}),
                1.0,
            ),
            (TaskName::NearDuplicates, json!({"signature": null}), json!({"signature": null}), 0.0),
            (
                TaskName::Regression,
                json!({"predictions": [5.0]}),
                json!({"predictions": [3.5]}),
                1.5,
            ),
            (TaskName::Regression, json!({"predictions": "?"}), json!({"predictions": [3.5]}), 1.0),
            (TaskName::Embedding, json!({"embeddings": [1.0]}), json!(null), 1.0),
        ];
        for (task, before, after, expected) in cases {
            let found = size(task, &before, &after);
            assert!((found - expected).abs() < 1e-9, "{task}: {before} {after}: {found}");
            assert!((size(task, &after, &before) - expected).abs() < 1e-9, "{task}");
            assert!(size(task, &before, &before) < 1e-9, "{task}: {before}");
        }
        let change = Comparison::of(TaskName::TextClassification).compare(&class(0.9), &class(0.4));
        assert_eq!((change.before.as_deref(), change.after.as_deref()), (Some("a"), Some("a")));
        assert!((change.drift.unwrap() + 0.5).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn distances_are_symmetric(one in prop::collection::vec(-1.0f64..1.0, 3), two in prop::collection::vec(-1.0f64..1.0, 3)) {
            let value = |vector: &[f64]| json!({ "embeddings": vector });
            let found = size(TaskName::Embedding, &value(&one), &value(&two));
            prop_assert!(found >= 0.0);
            prop_assert!((found - size(TaskName::Embedding, &value(&two), &value(&one))).abs() < 1e-12);
            prop_assert!(size(TaskName::Embedding, &value(&one), &value(&one)) < 1e-12);
        }
    }
}
