use mesh_core::{
    Answer, Contract, Example, FieldError, LoadError, ModelFiles, Project, Refusal,
    features::{Cell, FeatureSchema},
};
use mesh_engine::{CompiledTrees, Regressor, read_features};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A number per row of a table. Which fields a row has, the model tells.
pub struct Regression {
    model: CompiledTrees,
    schema: FeatureSchema,
}

/// The rows that are asked about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    /// The rows, each an object with the model's fields.
    pub input: Vec<Map<String, Value>>,
}

/// A regression takes no parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegressionParameters {}

/// The numbers.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Predictions {
    /// A number per row, in their order.
    pub predictions: Vec<f64>,
}

impl Regression {
    /// The cells of a row, or what is wrong with it.
    fn cells(&self, at: usize, row: &Map<String, Value>) -> Result<Vec<Cell>, Vec<FieldError>> {
        self.schema.read(row, &["data", "attributes", &format!("input[{at}]")])
    }
}

impl Project for Regression {
    type Attributes = Rows;
    type Parameters = RegressionParameters;
    type Prediction = Predictions;

    fn load(model: &ModelFiles) -> Result<Self, LoadError> {
        let folder = model.compiled.clone().unwrap_or_default();
        let fail = |error| LoadError::new(&model.manifest.project.name, error);
        let schema = read_features(&folder).map_err(fail)?;
        let model = CompiledTrees::open_for(&folder, &schema).map_err(fail)?;
        Ok(Self { model, schema })
    }

    fn sample() -> Rows {
        Rows { input: Vec::new() }
    }

    fn contract(&self) -> Option<Contract<Rows>> {
        let rows = json!({
            "type": "array",
            "description": "The rows; each gets a number.",
            "items": self.schema.json_schema(),
        });
        let attributes = json!({
            "type": "object",
            "properties": { "input": rows },
            "required": ["input"],
            "additionalProperties": false,
        });
        let row = self.schema.sample.clone().into_iter().collect();
        Some(Contract {
            attributes: attributes.try_into().ok()?,
            sample: Rows { input: vec![row] },
        })
    }

    fn check(&self, attributes: &Rows) -> Vec<FieldError> {
        let rows = attributes.input.iter().enumerate();
        rows.filter_map(|(at, row)| self.cells(at, row).err()).flatten().collect()
    }

    fn predict(
        &self,
        batch: &[Example<Rows, RegressionParameters>],
    ) -> Vec<Result<Answer<Predictions>, Refusal>> {
        let answer = |example: &Example<Rows, RegressionParameters>| {
            let mut rows = Vec::new();
            for (at, row) in example.attributes.input.iter().enumerate() {
                // What is wrong was told before.
                self.schema.encode(&self.cells(at, row).unwrap_or_default(), &mut rows);
            }
            let predictions = self.model.tell(&rows);
            match predictions.iter().all(|number| number.is_finite()) {
                true => Ok(Predictions { predictions }.into()),
                false => Err(Refusal::no_number()),
            }
        };
        batch.iter().map(answer).collect()
    }
}
