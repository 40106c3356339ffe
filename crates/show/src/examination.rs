//! A version's answers to its test split, text by text: what metrics are made of.
//!
//! The card says how good a model is; it holds no texts. Here the compiled model of any version is
//! asked the test split anew, so that a cell of the confusion matrix can be opened and the worst
//! mistakes be read. It is done when somebody looks, one version at a time, and kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError},
};

use mesh_core::{Input, ModelVersion, Predictor, manifest::TaskName};
use mesh_dataset::{Dataset, SplitName};
use serde_json::{Value, json};

use crate::{
    error::Fault,
    examples,
    judgement::Judgement,
    models,
    state::{Shown, State},
};

/// Documents that are asked, at most; spread evenly if the split has more.
const MAX_DOCUMENTS: u64 = 3_000;
/// Documents that are asked at once.
const BATCH: usize = 64;
/// Characters of a text that are kept to be read.
const SHOWN_CHARACTERS: usize = 600;
/// Texts of one cell, and mistakes, that are told.
pub(crate) const SHOWN: usize = 50;
const BINS: usize = 10;
/// Examinations that are kept.
const KEPT: usize = 8;

/// What a version answered to its test split.
#[derive(Debug)]
pub(crate) struct Examination {
    version: ModelVersion,
    /// Documents of the split.
    of: u64,
    labels: Vec<String>,
    rows: Vec<Row>,
    refused: usize,
}

#[derive(Debug)]
struct Row {
    text: String,
    words: usize,
    origin: String,
    truth: String,
    given: String,
    score: f64,
    truth_score: f64,
}

/// The examination of a version, made if it was not yet.
pub(crate) async fn of(
    state: &State,
    shown: &Shown,
    version: ModelVersion,
) -> Result<Arc<Examination>, Fault> {
    let project = shown.folder.manifest();
    if !matches!(project.project.task, TaskName::TextClassification | TaskName::Language) {
        let reason = "only answers that are one label are examined text by text";
        return Err(Fault::absent(reason));
    }
    let key = (project.project.name.clone(), version);
    let known = || {
        let known = state.examinations.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&key).cloned()
    };
    if let Some(examination) = known() {
        return Ok(examination);
    }
    // The semaphore is never closed.
    let _turn = state.examining.acquire().await.ok();
    if let Some(examination) = known() {
        return Ok(examination);
    }
    let model = models::model(state, shown, version, None).await?;
    let Some(dataset) = examples::dataset_of(state, shown, version).await? else {
        let reason = "the dataset that it was tested on is not in the store any more";
        return Err(Fault::absent(reason));
    };
    let examined =
        tokio::task::spawn_blocking(move || examine(model.predictor.as_ref(), &dataset, version));
    let examination = Arc::new(examined.await??);
    let mut kept = state.examinations.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= KEPT {
        kept.pop_first();
    }
    kept.insert(key, Arc::clone(&examination));
    Ok(examination)
}

fn examine(
    predictor: &dyn Predictor,
    dataset: &Dataset,
    version: ModelVersion,
) -> Result<Examination, Fault> {
    let of = dataset.rows(SplitName::Test);
    let every = usize::try_from(of.div_ceil(MAX_DOCUMENTS).max(1)).unwrap_or(1);
    let mut documents = dataset.read(SplitName::Test)?.step_by(every);
    let mut examination = Examination {
        version,
        of,
        labels: dataset.schema().labels.clone(),
        rows: Vec::new(),
        refused: 0,
    };
    loop {
        let batch: Vec<_> = documents.by_ref().take(BATCH).collect::<Result<_, _>>()?;
        if batch.is_empty() {
            return Ok(examination);
        }
        let mut asked = Vec::new();
        let mut inputs: Vec<Input> = Vec::new();
        for document in batch {
            let attributes = json!({ "content": document.text }).to_string();
            match predictor.parse(&attributes, None) {
                Ok(input) => {
                    inputs.push(input);
                    asked.push(document);
                }
                Err(_) => examination.refused += 1,
            }
        }
        for (document, answer) in asked.into_iter().zip(predictor.predict(inputs)) {
            let judged = answer.ok().and_then(|answer| Judgement::read(&answer.prediction));
            let (Some(judged), Some(truth)) = (judged, document.label) else {
                examination.refused += 1;
                continue;
            };
            examination.rows.push(Row {
                words: document.text.split_whitespace().count(),
                text: shortened(&document.text),
                origin: document.origin,
                truth_score: judged.score_of(&truth),
                score: judged.score,
                given: judged.label,
                truth,
            });
        }
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN_CHARACTERS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

impl Row {
    fn is_right(&self) -> bool {
        self.truth == self.given
    }

    fn told(&self) -> Value {
        json!({ "text": self.text, "truth": self.truth, "given": self.given,
            "score": self.score, "truth_score": self.truth_score, "origin": self.origin })
    }
}

impl Examination {
    /// All of it but the texts: confusion, calibration, slices, and the worst mistakes.
    pub(crate) fn report(&self) -> Value {
        let mut labels = self.labels.clone();
        // A model may give labels that the test split has not.
        let given = self.rows.iter().map(|row| &row.given);
        let mut more: Vec<_> = given.filter(|label| !labels.contains(label)).cloned().collect();
        more.sort();
        more.dedup();
        labels.extend(more);
        let mut mistakes: Vec<&Row> = self.rows.iter().filter(|row| !row.is_right()).collect();
        mistakes.sort_by(|a, b| (b.score - b.truth_score).total_cmp(&(a.score - a.truth_score)));
        json!({
            "version": self.version,
            "rows": self.rows.len(),
            "of": self.of,
            "refused": self.refused,
            "right": self.rows.iter().filter(|row| row.is_right()).count(),
            "labels": labels,
            "confusion": self.confusion(&labels),
            "calibration": self.calibration(),
            "slices": self.slices(),
            "mistakes": mistakes.iter().take(SHOWN).map(|row| row.told()).collect::<Vec<_>>(),
        })
    }

    /// The cells of the confusion matrix that have texts.
    pub(crate) fn cells(&self) -> BTreeSet<(&str, &str)> {
        self.rows.iter().map(|row| (row.truth.as_str(), row.given.as_str())).collect()
    }

    /// The texts of one cell of the confusion matrix, the surest answers first, at most so many.
    pub(crate) fn texts(&self, truth: &str, given: &str, most: usize) -> Value {
        let mut rows: Vec<&Row> =
            self.rows.iter().filter(|row| row.truth == truth && row.given == given).collect();
        rows.sort_by(|a, b| b.score.total_cmp(&a.score));
        let told: Vec<_> = rows.iter().take(most).map(|row| row.told()).collect();
        json!({ "count": rows.len(), "texts": told })
    }

    fn confusion(&self, labels: &[String]) -> Vec<Vec<u64>> {
        let mut cells: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for row in &self.rows {
            *cells.entry((&row.truth, &row.given)).or_default() += 1;
        }
        let cell = |truth: &str, given: &str| cells.get(&(truth, given)).copied().unwrap_or(0);
        let row = |truth: &String| labels.iter().map(|given| cell(truth, given)).collect();
        labels.iter().map(row).collect()
    }

    /// How often answers of about one score are right.
    fn calibration(&self) -> Vec<Value> {
        let mut bins = vec![(0usize, 0usize, 0.0); BINS];
        for row in &self.rows {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a score from 0 to 1"
            )]
            let place = ((row.score.clamp(0.0, 1.0) * BINS as f64) as usize).min(BINS - 1);
            if let Some((count, right, sum)) = bins.get_mut(place) {
                *count += 1;
                *right += usize::from(row.is_right());
                *sum += row.score;
            }
        }
        let told = |(count, right, sum): &(usize, usize, f64)| {
            (*count > 0).then(|| {
                let (share, low, high) = wilson(*right, *count);
                #[expect(clippy::cast_precision_loss, reason = "a count of documents")]
                let confidence = sum / *count as f64;
                json!({ "count": count, "confidence": confidence, "accuracy": share,
                    "low": low, "high": high })
            })
        };
        bins.iter().filter_map(told).collect()
    }

    /// How often answers are right by the file that documents are from, and by their length.
    fn slices(&self) -> Vec<Value> {
        let mut slices = Vec::new();
        let file = |row: &Row| {
            let path = row.origin.rsplit_once(':').map_or(row.origin.as_str(), |(path, _)| path);
            path.to_owned()
        };
        let mut files: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
        for row in &self.rows {
            files.entry(file(row)).or_default().push(row);
        }
        // A file per document, or one file, tells nothing.
        if (2..=12).contains(&files.len()) {
            slices.extend(files.iter().map(|(name, rows)| slice("file", name, rows)));
        }
        let mut by_length: Vec<&Row> = self.rows.iter().collect();
        by_length.sort_by_key(|row| row.words);
        let quarter = by_length.len().div_ceil(4).max(1);
        let mut rest = by_length.as_slice();
        while let Some(last) = rest.get(quarter.min(rest.len()).saturating_sub(1)) {
            // Texts of one length are in one slice.
            let (rows, after) = rest.split_at(rest.partition_point(|row| row.words <= last.words));
            let first = rows.first().map_or(0, |row| row.words);
            slices.push(slice("words", &format!("{first}–{}", last.words), rows));
            rest = after;
        }
        slices
    }
}

fn slice(by: &str, name: &str, rows: &[&Row]) -> Value {
    let right = rows.iter().filter(|row| row.is_right()).count();
    let (share, low, high) = wilson(right, rows.len());
    json!({ "by": by, "name": name, "rows": rows.len(), "accuracy": share,
        "low": low, "high": high })
}

/// A share and its 95% interval by Wilson's score, which holds for few rows and near 0 and 1.
fn wilson(right: usize, rows: usize) -> (f64, f64, f64) {
    const Z: f64 = 1.959_963_984_540_054;
    if rows == 0 {
        return (0.0, 0.0, 1.0);
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of documents")]
    let (right, rows) = (right as f64, rows as f64);
    let share = right / rows;
    let denominator = 1.0 + Z * Z / rows;
    let middle = (share + Z * Z / (2.0 * rows)) / denominator;
    let half =
        Z * (share * (1.0 - share) / rows + Z * Z / (4.0 * rows * rows)).sqrt() / denominator;
    (share, (middle - half).max(0.0), (middle + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(truth: &str, given: &str, score: f64, words: usize) -> Row {
        Row {
            text: format!("{truth} as {given}"),
            words,
            origin: format!("{truth}.txt:{words}"),
            truth: truth.into(),
            given: given.into(),
            score,
            truth_score: if truth == given { score } else { 1.0 - score },
        }
    }

    #[test]
    fn all_is_counted_and_the_surest_mistake_is_the_worst() {
        let rows = vec![
            row("a", "a", 0.95, 1),
            row("a", "b", 0.6, 2),
            row("b", "a", 0.9, 3),
            row("b", "c", 0.55, 4),
        ];
        let labels = vec!["a".to_owned(), "b".to_owned()];
        let examination =
            Examination { version: ModelVersion::FIRST, of: 4, labels, rows, refused: 0 };
        let report = examination.report();
        assert_eq!(report["labels"], json!(["a", "b", "c"]));
        assert_eq!(report["confusion"], json!([[1, 1, 0], [1, 0, 1], [0, 0, 0]]));
        assert_eq!(report["right"], 1);
        assert_eq!(report["mistakes"][0]["text"], "b as a");
        let counted = report["calibration"].as_array().unwrap();
        assert_eq!(counted.iter().map(|bin| bin["count"].as_u64().unwrap()).sum::<u64>(), 4);
        // Two files, and four lengths.
        assert_eq!(report["slices"].as_array().unwrap().len(), 6);
        assert_eq!(examination.texts("b", "a", SHOWN)["count"], 1);
        assert_eq!(examination.texts("b", "b", SHOWN)["texts"], json!([]));
    }

    #[test]
    fn intervals_are_those_of_wilson() {
        // Of the table in Newcombe (1998), method 3: 81 of 263.
        let (_, low, high) = wilson(81, 263);
        assert!((low - 0.2553).abs() < 5e-5 && (high - 0.3662).abs() < 5e-5, "{low} {high}");
        assert_eq!(wilson(0, 0), (0.0, 0.0, 1.0));
        assert!(wilson(5, 5).1 > 0.5);
    }
}
