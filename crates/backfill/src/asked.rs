//! What a model is asked of documents, and how it answers.

use std::{borrow::Cow, collections::BTreeMap};

use mesh_archive::{is_text, text_of};
use mesh_core::{FieldError, Input, manifest::InputColumn};

use crate::{
    answers::{Answered, Prediction, Reason},
    chunk::Chunk,
    inputs::{Column, EnrichedRows, InputHash, Sources, column_of, push_fields},
    job::{Job, ProjectJob},
    keys::KeyHash,
};

/// What documents are asked as.
pub(crate) struct Requests<'a> {
    project: &'a ProjectJob,
    sources: Sources<'a>,
    /// The attributes with their columns, if all are texts of the documents, there is nothing else,
    /// and a model of this process is asked: it need not be told by JSON.
    texts: Option<Vec<(&'a str, Column<'a>)>>,
}

/// What is asked of a model: the JSON of attributes and parameters.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The row of the document.
    row: usize,
    pub(crate) attributes: &'a str,
    pub(crate) parameters: Option<&'a str>,
}

/// What is asked of many documents, in one text: each would need room of its own. Texts of the
/// documents are not kept twice.
#[derive(Default)]
pub(crate) struct AskedList {
    text: String,
    places: Vec<AskedPlace>,
}

/// Where something is that is asked.
#[derive(Clone, Copy)]
struct AskedPlace {
    row: usize,
    start: usize,
    /// Where its parameters begin, if there are any.
    parameters: Option<usize>,
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
        let text = |(attribute, column): (&'a String, &'a InputColumn)| {
            let InputColumn::Column(name) = column else { return None };
            let column = column_of(sources.documents, name)?;
            is_text(column.1).then_some((attribute.as_str(), column))
        };
        // In CSV a text may stand for a number.
        let here = project.remote.is_none() && !sources.untyped;
        let only = here && project.plan.parameters.is_empty();
        let texts = only.then(|| project.plan.input.iter().map(text).collect()).flatten();
        Self { project, sources, texts }
    }

    /// Parses what is asked.
    fn parse(&self, asked: &Asked<'_>) -> Result<Input, Vec<FieldError>> {
        let predictor = &self.project.predictor;
        let texts = self.texts.as_ref().and_then(|texts| {
            let text = |(attribute, (column, field)): &(&'a str, Column<'a>)| {
                let Cow::Borrowed(text) = text_of(*column, field, asked.row)? else { return None };
                Some((*attribute, text))
            };
            texts.iter().map(text).collect::<Option<Vec<_>>>()
        });
        match texts.and_then(|texts| predictor.parse_texts(&texts)) {
            Some(input) => Ok(input),
            None if self.texts.is_some() => {
                let mut list = AskedList::default();
                let place = list.write(self, asked.row);
                predictor.parse(list.part(place, list.text.len()).attributes, None)
            }
            None => predictor.parse(asked.attributes, asked.parameters),
        }
    }

    /// What tells apart what a document is asked as.
    pub(crate) fn hash(&self, row: usize) -> InputHash {
        let mut list = AskedList::default();
        let place = list.write(self, row);
        let Asked { attributes, parameters, .. } = list.part(place, list.text.len());
        InputHash::of(attributes, parameters.unwrap_or_default())
    }
}

impl AskedList {
    /// Adds what a document is asked as. Gives its hash; and, if others may ask the same, what tells it
    /// from all else that a project is asked.
    pub(crate) fn push(
        &mut self,
        requests: &Requests<'_>,
        row: usize,
        is_alone: bool,
    ) -> (InputHash, Option<KeyHash>) {
        let place = self.write(requests, row);
        self.places.push(place);
        let Asked { attributes, parameters, .. } = self.part(place, self.text.len());
        let parameters = parameters.unwrap_or_default();
        let hash = InputHash::of(attributes, parameters);
        let project = requests.project.plan.project.as_str();
        let id =
            (!is_alone).then(|| KeyHash::of_parts([project, APART, attributes, APART, parameters]));
        if requests.texts.is_some() {
            self.text.truncate(place.start);
        }
        (hash, id)
    }

    /// Writes what a document is asked as.
    fn write(&mut self, requests: &Requests<'_>, row: usize) -> AskedPlace {
        let Requests { project: ProjectJob { plan, schema, .. }, sources, .. } = requests;
        let start = self.text.len();
        let attributes = schema.attributes.as_value();
        push_fields(&mut self.text, &plan.input, attributes, *sources, row);
        let parameters = (!plan.parameters.is_empty()).then_some(self.text.len());
        if parameters.is_some() {
            let schema = schema.parameters.as_value();
            push_fields(&mut self.text, &plan.parameters, schema, *sources, row);
        }
        AskedPlace { row, start, parameters }
    }

    /// Takes away what was added last.
    pub(crate) fn pop(&mut self) {
        if let Some(AskedPlace { start, .. }) = self.places.pop() {
            self.text.truncate(start);
        }
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn get(&self, at: usize) -> Option<Asked<'_>> {
        let end = self.places.get(at + 1).map_or(self.text.len(), |next| next.start);
        Some(self.part(*self.places.get(at)?, end))
    }

    fn part(&self, place: AskedPlace, end: usize) -> Asked<'_> {
        let AskedPlace { row, start, parameters } = place;
        let text = |start, end| self.text.get(start..end).unwrap_or_default();
        Asked {
            row,
            attributes: text(start, parameters.unwrap_or(end)),
            parameters: parameters.map(|start| text(start, end)),
        }
    }
}

/// What stands between the parts that an input is told by.
const APART: &str = "\u{1f}";

/// Asks a model; each request gets an answer or a reason.
pub(crate) fn predict(requests: &Requests<'_>, asked: &[Asked<'_>]) -> Vec<Answered> {
    let predictor = &requests.project.predictor;
    let (mut inputs, mut wrong) =
        (Vec::with_capacity(asked.len()), Vec::with_capacity(asked.len()));
    for asked in asked {
        match requests.parse(asked) {
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
    let mut outcomes = predictor.predict_any(inputs).into_iter();
    let answered = |wrong: Option<Reason>| match wrong {
        Some(reason) => Err(reason),
        None => match outcomes.next() {
            Some(Ok(answer)) => Ok(Prediction::Unwritten(answer.prediction)),
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
