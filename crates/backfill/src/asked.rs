//! What a model is asked of documents, and how it answers.

use std::{collections::BTreeMap, rc::Rc};

use crate::{
    answers::{Answered, Prediction, Reason},
    chunk::Chunk,
    inputs::{self, EnrichedRows, Sources},
    job::{Job, ProjectJob},
    keys::KeyHash,
    plan::ProjectPlan,
};

/// What documents are asked as.
pub(crate) struct Requests<'a> {
    project: &'a ProjectJob,
    sources: Sources<'a>,
}

/// What is asked of a model.
pub(crate) struct Asked {
    pub(crate) attributes: String,
    pub(crate) parameters: Option<String>,
}

impl<'a> Requests<'a> {
    /// What the documents of a chunk are asked as, with what others tell of them.
    pub(crate) fn new(
        job: &Job,
        project: &'a ProjectJob,
        chunk: &'a Chunk,
        enriched: &'a BTreeMap<String, EnrichedRows>,
    ) -> Self {
        let sources = Sources { documents: &chunk.batch, enriched, untyped: job.untyped() };
        Self { project, sources }
    }

    /// What a document is asked as.
    pub(crate) fn of(&self, row: usize) -> Asked {
        let ProjectPlan { input, parameters, .. } = &self.project.plan;
        let schema = &self.project.schema;
        let object = |mapping, schema| inputs::object(mapping, schema, self.sources, row);
        Asked {
            attributes: object(input, schema.attributes.as_value()),
            parameters: (!parameters.is_empty())
                .then(|| object(parameters, schema.parameters.as_value())),
        }
    }
}

impl Asked {
    /// What tells it from all else that the project is asked.
    pub(crate) fn id(&self, plan: &ProjectPlan) -> KeyHash {
        let parameters = self.parameters.as_deref().unwrap_or_default();
        KeyHash::of(&[plan.project.as_str(), &self.attributes, parameters].join("\u{1f}"))
    }
}

/// Asks a model; each request gets an answer or a reason.
pub(crate) fn predict(project: &ProjectJob, asked: &[&Asked]) -> Vec<Answered> {
    let parsed: Vec<_> = asked
        .iter()
        .map(|asked| project.predictor.parse(&asked.attributes, asked.parameters.as_deref()))
        .collect();
    let (mut inputs, mut wrong) = (Vec::new(), Vec::new());
    for parsed in parsed {
        match parsed {
            Ok(input) => {
                inputs.push(input);
                wrong.push(None);
            }
            Err(errors) => {
                let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
                wrong.push(Some(Reason { kind: "schema".into(), detail: told.join("; ") }));
            }
        }
    }
    let mut outcomes = project.predictor.predict_any(inputs).into_iter();
    let answered = |wrong: Option<Reason>| match wrong {
        Some(reason) => Err(reason),
        None => match outcomes.next() {
            Some(Ok(answer)) => Ok(Prediction::Unwritten(Rc::new(answer.prediction))),
            Some(Err(refusal)) => {
                Err(Reason { kind: refusal.kind.as_str().into(), detail: refusal.detail })
            }
            None => Err(no_answer()),
        },
    };
    wrong.into_iter().map(answered).collect()
}

pub(crate) fn no_answer() -> Reason {
    Reason { kind: "no-answer".into(), detail: "the model has no answer".into() }
}
