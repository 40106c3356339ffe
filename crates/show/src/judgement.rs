//! Predictions of labels, read from their JSON, whichever task made them.

use serde::Deserialize;

/// The label that was given, its score, and the scores of the others.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Judgement {
    pub(crate) label: String,
    pub(crate) score: f64,
    scores: Vec<(String, f64)>,
}

/// The answers of all tasks that give one label, each with what it has.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    labels: Vec<Labelled>,
    #[serde(default)]
    languages: Vec<Labelled>,
    label: Option<String>,
    negative_prob: Option<f64>,
    positive_prob: Option<f64>,
}

#[derive(Deserialize)]
struct Labelled {
    #[serde(alias = "language")]
    label: String,
    score: f64,
}

impl Judgement {
    /// Reads a prediction; nothing if it gives no label.
    pub(crate) fn read(prediction: &str) -> Option<Self> {
        let answer: Answer = serde_json::from_str(prediction).ok()?;
        let mut scores: Vec<_> =
            answer.labels.into_iter().chain(answer.languages).map(|l| (l.label, l.score)).collect();
        if let (Some(negative), Some(positive)) = (answer.negative_prob, answer.positive_prob) {
            let neutral = (1.0 - negative - positive).max(0.0);
            let named = [("negative", negative), ("neutral", neutral), ("positive", positive)];
            scores.extend(named.map(|(label, score)| (label.to_owned(), score)));
        }
        let label = answer.label.or_else(|| {
            let best = scores.iter().max_by(|a, b| a.1.total_cmp(&b.1));
            best.map(|(label, _)| label.clone())
        })?;
        let score =
            scores.iter().find(|(known, _)| *known == label).map_or(0.0, |(_, score)| *score);
        Some(Self { label, score, scores })
    }

    /// The score of a label; 0 if it was not told.
    pub(crate) fn score_of(&self, label: &str) -> f64 {
        self.scores.iter().find(|(known, _)| known == label).map_or(0.0, |(_, score)| *score)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_that_gives_a_label_is_read() {
        struct Case {
            prediction: &'static str,
            label: &'static str,
            score: f64,
        }
        for Case { prediction, label, score } in [
            Case {
                prediction: r#"{"labels":[{"label":"a","score":0.75},{"label":"b","score":0.25}]}"#,
                label: "a",
                score: 0.75,
            },
            Case {
                prediction: r#"{"label":"neutral","negative_prob":0.25,"positive_prob":0.25,"entities":null}"#,
                label: "neutral",
                score: 0.5,
            },
            Case {
                prediction: r#"{"languages":[{"language":"de","score":0.5}]}"#,
                label: "de",
                score: 0.5,
            },
        ] {
            let read = Judgement::read(prediction).unwrap();
            assert_eq!((read.label.as_str(), read.score), (label, score));
            assert_eq!(read.score_of(label), score);
            assert_eq!(read.score_of("nothing"), 0.0);
        }
        assert_eq!(Judgement::read(r#"{"keywords":[]}"#), None);
        assert_eq!(Judgement::read("{"), None);
    }
}
