use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use mesh_core::{Alias, FieldError, Input, Outcome, Predictor, Unit};
use mesh_pipeline::deployed;
use serde_json::{Value, json, value::RawValue};

use crate::{
    args::Predict,
    context::Context,
    output,
    report::{self, CliError},
};
use mesh_core::Progress;

/// Lines answered in one call of the model.
const BATCH: usize = 256;

pub(crate) async fn predict(context: &Context, options: &Predict) -> Result<ExitCode, CliError> {
    let workspace = context.workspace().await?;
    let project = super::run::find(&workspace, &options.project)?;
    let registration = context.projects.registration(project.manifest())?;
    let model = deployed(&workspace, project, &Alias::production(), options.version).await?;
    let predictor = registration.load(&model.files)?;
    let text = options.text.as_ref().map(|text| json!({ "content": text }).to_string());
    if let Some(attributes) = text.as_ref().or(options.attributes.as_ref()) {
        return one(context, predictor.as_ref(), attributes, options.parameters.as_deref());
    }
    let input = options.input.as_deref().unwrap_or(Path::new("-"));
    let run = Many { context, predictor, parameters: options.parameters.as_deref() };
    run.answer(input)
}

fn one(
    context: &Context,
    predictor: &dyn Predictor,
    attributes: &str,
    parameters: Option<&str>,
) -> Result<ExitCode, CliError> {
    let input = predictor.parse(attributes, parameters).map_err(|errors| {
        let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
        let sample = predictor.schema().sample;
        CliError::usage("ask the model", format!("{}\nit answers: {sample}", told.join("; ")))
    })?;
    match predictor.predict(vec![input]).pop() {
        Some(Ok(answer)) => {
            let value: Value = serde_json::from_str(&answer.prediction).unwrap_or_default();
            match table(&value) {
                Some(table) if !context.global.json => output::line(table),
                _ => output::json(&value),
            }
            Ok(ExitCode::SUCCESS)
        }
        Some(Err(refusal)) => {
            if context.global.json {
                let kind = refusal.kind.as_str();
                output::json(&json!({ "refusal": { "type": kind, "detail": refusal.detail } }));
            } else {
                output::line(format!("refused: {}", refusal.detail));
            }
            Ok(ExitCode::from(report::FAILED))
        }
        None => Ok(ExitCode::from(report::FAILED)),
    }
}

/// Labels with scores, for people.
fn table(answer: &Value) -> Option<String> {
    let labels = answer.as_object().filter(|keys| keys.len() == 1)?.get("labels")?.as_array()?;
    let rows: Vec<_> = labels
        .iter()
        .map(|label| {
            let score = label.get("score")?.as_f64()?;
            Some(format!("{score:>7.4}  {}", label.get("label")?.as_str()?))
        })
        .collect::<Option<_>>()?;
    Some(rows.join("\n"))
}

struct Many<'a> {
    context: &'a Context,
    predictor: Arc<dyn Predictor>,
    parameters: Option<&'a str>,
}

type Line = (usize, Result<Input, Value>);

impl Many<'_> {
    /// Answers a file line by line; a line that cannot be answered gets its reason, and the
    /// rest goes on.
    fn answer(&self, path: &Path) -> Result<ExitCode, CliError> {
        let place = path.display();
        let read = |error| CliError::io("read", &place, error);
        let reader: Box<dyn BufRead> = match path.to_str() {
            Some("-") => Box::new(BufReader::new(io::stdin())),
            _ => Box::new(BufReader::new(File::open(path).map_err(read)?)),
        };
        let task = self.context.bars.begin("predict", None, Unit::Items);
        let mut out = BufWriter::new(io::stdout().lock());
        let mut failed = 0;
        let mut batch: Vec<Line> = Vec::with_capacity(BATCH);
        let mut lines = reader.split(b'\n').enumerate();
        loop {
            let next = lines.next();
            if let Some((index, line)) = next {
                let line = line.map_err(read)?;
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                batch.push((index + 1, self.parse(&line)));
                if batch.len() < BATCH {
                    continue;
                }
            } else if batch.is_empty() {
                break;
            }
            task.advance(batch.len() as u64);
            match self.flush(std::mem::take(&mut batch), &mut out) {
                Ok(count) => failed += count,
                // Whoever read our output wants no more of it.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
                Err(error) => return Err(CliError::io("write", "the answers", error)),
            }
            if self.context.cancel.is_cancelled() {
                return Ok(ExitCode::from(report::INTERRUPTED));
            }
        }
        match out.flush() {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(CliError::io("write", "the answers", error))
            }
            _ => Ok(ExitCode::from(if failed > 0 { report::FAILED } else { 0 })),
        }
    }

    fn parse(&self, line: &[u8]) -> Result<Input, Value> {
        let invalid = |reason: String| json!({ "type": "not-json", "detail": reason });
        let attributes: &RawValue =
            serde_json::from_slice(line).map_err(|error| invalid(error.to_string()))?;
        self.predictor.parse(attributes.get(), self.parameters).map_err(|errors: Vec<FieldError>| {
            json!({ "type": "schema", "detail": "the line does not fit the schema", "errors": errors })
        })
    }

    fn flush(&self, batch: Vec<Line>, out: &mut impl Write) -> io::Result<usize> {
        let mut inputs = Vec::new();
        let mut told: Vec<(usize, Option<Value>)> = Vec::with_capacity(batch.len());
        for (line, parsed) in batch {
            match parsed {
                Ok(input) => {
                    inputs.push(input);
                    told.push((line, None));
                }
                Err(reason) => told.push((line, Some(reason))),
            }
        }
        let mut answers = self.predictor.predict(inputs).into_iter();
        let mut failed = 0;
        for (line, reason) in told {
            let reason = match reason {
                Some(reason) => reason,
                None => match answers.next() {
                    Some(Outcome::Ok(answer)) => {
                        let prediction = answer.prediction;
                        writeln!(out, r#"{{"line":{line},"prediction":{prediction}}}"#)?;
                        continue;
                    }
                    Some(Outcome::Err(refusal)) => {
                        json!({ "type": refusal.kind.as_str(), "detail": refusal.detail })
                    }
                    None => json!({ "type": "internal", "detail": "no answer" }),
                },
            };
            failed += 1;
            writeln!(out, "{}", json!({ "line": line, "error": reason }))?;
        }
        Ok(failed)
    }
}
