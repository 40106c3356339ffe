//! What a model is asked of documents, and how it answers.

use std::{collections::BTreeMap, rc::Rc};

use crate::{
    answers::{Answered, Prediction, Reason},
    chunk::Chunk,
    inputs::{EnrichedRows, Sources, push_fields},
    job::{Job, ProjectJob},
    keys::KeyHash,
};

/// What documents are asked as.
pub(crate) struct Requests<'a> {
    project: &'a ProjectJob,
    sources: Sources<'a>,
}

/// What is asked of a model: the JSON of attributes and parameters.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) attributes: &'a str,
    pub(crate) parameters: Option<&'a str>,
}

/// What is asked of many documents, in one text: each would need room of its own.
#[derive(Default)]
pub(crate) struct AskedList {
    text: String,
    /// Where each begins, and where its parameters do, if there are any.
    places: Vec<(usize, Option<usize>)>,
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

    /// What tells apart what a document is asked as.
    pub(crate) fn id(&self, row: usize) -> KeyHash {
        let mut list = AskedList::default();
        list.push(self, row)
    }
}

impl AskedList {
    /// A list for so many bytes of documents: what is asked is not much longer.
    pub(crate) fn with_room(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes + bytes / 8), places: Vec::new() }
    }

    /// Adds what a document is asked as; gives what tells it from all else that a project is asked.
    pub(crate) fn push(&mut self, requests: &Requests<'_>, row: usize) -> KeyHash {
        let Requests { project: ProjectJob { plan, schema, .. }, sources } = requests;
        let start = self.text.len();
        let attributes = schema.attributes.as_value();
        push_fields(&mut self.text, &plan.input, attributes, *sources, row);
        let parameters = (!plan.parameters.is_empty()).then_some(self.text.len());
        if parameters.is_some() {
            let schema = schema.parameters.as_value();
            push_fields(&mut self.text, &plan.parameters, schema, *sources, row);
        }
        self.places.push((start, parameters));
        let Asked { attributes, parameters } = self.part(start, parameters, self.text.len());
        let parameters = parameters.unwrap_or_default();
        KeyHash::of_parts([plan.project.as_str(), APART, attributes, APART, parameters])
    }

    /// Takes away what was added last.
    pub(crate) fn pop(&mut self) {
        if let Some((start, _)) = self.places.pop() {
            self.text.truncate(start);
        }
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn get(&self, at: usize) -> Option<Asked<'_>> {
        let (start, parameters) = *self.places.get(at)?;
        let end = self.places.get(at + 1).map_or(self.text.len(), |(start, _)| *start);
        Some(self.part(start, parameters, end))
    }

    fn part(&self, start: usize, parameters: Option<usize>, end: usize) -> Asked<'_> {
        let text = |start, end| self.text.get(start..end).unwrap_or_default();
        Asked {
            attributes: text(start, parameters.unwrap_or(end)),
            parameters: parameters.map(|start| text(start, end)),
        }
    }
}

/// What stands between the parts that an input is told by.
const APART: &str = "\u{1f}";

/// Asks a model; each request gets an answer or a reason.
pub(crate) fn predict(project: &ProjectJob, asked: &[Asked<'_>]) -> Vec<Answered> {
    let parse = |Asked { attributes, parameters }: &Asked<'_>| {
        project.predictor.parse(attributes, *parameters)
    };
    let parsed: Vec<_> = asked.iter().map(parse).collect();
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
