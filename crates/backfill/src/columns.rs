//! The columns of an enrichment: what a project's predictions are in a table.

use std::{collections::BTreeMap, error::Error as StdError, sync::Arc};

use arrow_array::{ArrayRef, StringArray};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use mesh_core::ProjectSchema;
use serde_arrow::ArrayBuilder;
use serde_json::Value;

use crate::{BackfillError, BackfillErrorKind, answers::Prediction};

/// The column of a row's model version.
pub const MODEL_VERSION: &str = "model_version";
/// The column of the digest of what answered.
pub const MODEL_DIGEST: &str = "model_digest";
/// The column of the time of the answer.
pub const ENRICHED_AT: &str = "enriched_at";
/// The column of the hash of what the model was asked; null in rows of an older `mesh`, which did not
/// note it.
pub const INPUT_DIGEST: &str = "input_digest";
/// What stands beside the prediction in each row, in the order of the columns.
pub(crate) const STAMP: [&str; 4] = [MODEL_VERSION, MODEL_DIGEST, ENRICHED_AT, INPUT_DIGEST];
/// Marks a column of a table in which a prediction lies as it is: as JSON.
pub(crate) const WHOLE: &str = "prediction";

/// How predictions become columns.
#[derive(Debug, Clone)]
pub(crate) struct PredictionColumns {
    /// The columns, by their names in an answer.
    fields: Fields,
    /// Their names in the enrichment.
    names: Vec<String>,
    /// Whether there is but one column, which holds the answer as it is.
    whole: bool,
}

impl PredictionColumns {
    /// The columns of a project's predictions, some with other names. What has no form as columns
    /// is one column of JSON, `prediction`.
    ///
    /// # Errors
    /// When a name is of no field, or two columns would have one.
    pub(crate) fn of(
        project: &str,
        schema: &ProjectSchema,
        renamed: &BTreeMap<String, String>,
        key: &str,
    ) -> Result<Self, BackfillError> {
        let root = schema.prediction.as_value();
        let properties = root.get("properties").and_then(Value::as_object);
        let fields: Option<Vec<Field>> = properties.and_then(|all| {
            let field = |(name, schema): (&String, &Value)| {
                Some(Field::new(name, data_type(schema, root, 0)?, true))
            };
            all.iter().map(field).collect()
        });
        let (fields, whole) = match fields {
            Some(fields) if !fields.is_empty() => (fields, false),
            _ => (vec![Field::new(WHOLE, DataType::Utf8, true)], true),
        };
        let action = || format!("name the columns of {project}");
        let known: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
        if let Some(name) = renamed.keys().find(|name| !known.contains(&name.as_str())) {
            let what = format!("there is no field `{name}` in its predictions");
            let help = format!("`columns` in [backfill] may rename: {}", known.join(", "));
            return Err(BackfillError::usage(action(), what, help));
        }
        if STAMP.contains(&key) {
            let what = format!("the key `{key}` has the name of a column of every enrichment");
            let help = "name another column of the documents by `key` in [archive], or give it \
                        another name there: they are not changed here";
            return Err(BackfillError::usage(action(), what, help));
        }
        let name = |name: &&str| renamed.get(*name).cloned().unwrap_or_else(|| (*name).to_owned());
        let names: Vec<String> = known.iter().map(name).collect();
        let reserved = |name: &str| name == key || STAMP.contains(&name);
        for (at, name) in names.iter().enumerate() {
            if reserved(name) || names.iter().take(at).any(|other| other == name) {
                let what = format!("the column name `{name}` is taken");
                let help = format!(
                    "rename it in [backfill] of {project}: columns = {{ {name} = \"{project}_{name}\" }}"
                );
                return Err(BackfillError::usage(action(), what, help));
            }
        }
        Ok(Self { fields: fields.into(), names, whole })
    }

    /// The names of the columns.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The fields of an answer, each with its column.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let names = self.names.iter().map(String::as_str);
        self.fields.iter().map(|field| field.name().as_str()).zip(names)
    }

    /// The columns of an enrichment whose documents are named by a column.
    pub(crate) fn schema(&self, key: &Field) -> SchemaRef {
        let mut fields = vec![Field::new(key.name(), key.data_type().clone(), false)];
        let named = self.fields.iter().zip(&self.names);
        fields.extend(named.map(|(field, name)| field.as_ref().clone().with_name(name)));
        fields.push(Field::new(MODEL_VERSION, DataType::UInt32, false));
        fields.push(Field::new(MODEL_DIGEST, DataType::Utf8, false));
        let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        fields.push(Field::new(ENRICHED_AT, time, false));
        // The last one: views on tables of an older `mesh` can get a column at their end.
        fields.push(Field::new(INPUT_DIGEST, DataType::Utf8, true));
        Arc::new(Schema::new(fields))
    }

    /// Predictions as columns, row by row.
    ///
    /// # Errors
    /// When one does not fit the schema of its project.
    pub(crate) fn decode(
        &self,
        predictions: &[&Prediction],
    ) -> Result<Vec<ArrayRef>, BackfillError> {
        if self.whole {
            let column = StringArray::from_iter_values(predictions.iter().map(|one| one.json()));
            return Ok(vec![Arc::new(column)]);
        }
        let made = || -> Result<Vec<ArrayRef>, Box<dyn StdError + Send + Sync>> {
            let mut columns = ArrayBuilder::from_arrow(&self.fields)?;
            columns.reserve(predictions.len());
            for prediction in predictions {
                match prediction {
                    Prediction::Unwritten(any) => any.push_to(&mut columns)?,
                    Prediction::Json(text) => {
                        columns.push(serde_json::from_str::<Value>(text)?)?;
                    }
                }
            }
            Ok(columns.into_arrow()?)
        };
        made().map_err(|error| {
            let kind = BackfillErrorKind::Damaged("a prediction".into());
            BackfillError::new("make columns of predictions", kind)
                .because(error)
                .help("the project answers otherwise than its schema says: a mistake in its code")
        })
    }
}

/// Schemas in schemas, at most: a prediction that refers to itself has no form as columns.
const MAX_DEPTH: usize = 16;

/// The type of a column that holds what a JSON schema describes; nothing if it has no such form.
fn data_type(schema: &Value, root: &Value, depth: usize) -> Option<DataType> {
    if depth > MAX_DEPTH {
        return None;
    }
    let inner = |schema: &Value| data_type(schema, root, depth + 1);
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return inner(root.pointer(reference.strip_prefix('#')?)?);
    }
    if let Some(options) =
        ["anyOf", "oneOf"].iter().find_map(|key| schema.get(*key)).and_then(Value::as_array)
    {
        let is_null = |option: &&Value| option.get("type").and_then(Value::as_str) != Some("null");
        let options: Vec<&Value> = options.iter().filter(is_null).collect();
        let types: Option<Vec<DataType>> = options.iter().map(|option| inner(option)).collect();
        let types = types?;
        let first = types.first()?;
        // A document is one text, and so its answer has the form for one.
        let many =
            |other: &DataType| matches!(other, DataType::List(item) if item.data_type() == first);
        let alike = types.iter().all(|other| other == first || many(other));
        return alike.then(|| first.clone());
    }
    if schema.get("enum").is_some() || schema.get("const").is_some() {
        let text = |value: &Value| value.is_string() || value.is_null();
        let listed = schema.get("enum").and_then(Value::as_array);
        let all = listed.is_none_or(|values| values.iter().all(text))
            && schema.get("const").is_none_or(text);
        return all.then_some(DataType::Utf8);
    }
    let kind = match schema.get("type")? {
        Value::String(kind) => kind.as_str(),
        Value::Array(kinds) => {
            let mut kinds = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
            kinds.next().filter(|_| kinds.next().is_none())?
        }
        _ => return None,
    };
    let format = schema.get("format").and_then(Value::as_str);
    match kind {
        "string" => Some(DataType::Utf8),
        "boolean" => Some(DataType::Boolean),
        "integer" => Some(DataType::Int64),
        "number" if format == Some("float") => Some(DataType::Float32),
        "number" => Some(DataType::Float64),
        "array" => {
            let item = inner(schema.get("items")?)?;
            Some(DataType::List(Arc::new(Field::new_list_field(item, true))))
        }
        "object" => {
            let properties = schema.get("properties")?.as_object()?;
            let field =
                |(name, schema): (&String, &Value)| Some(Field::new(name, inner(schema)?, true));
            let fields: Option<Vec<Field>> = properties.iter().map(field).collect();
            fields.filter(|fields| !fields.is_empty()).map(|fields| DataType::Struct(fields.into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn columns(prediction: Value) -> PredictionColumns {
        let schema = |value: Value| schemars_of(value);
        let schema = ProjectSchema {
            attributes: schema(json!({})),
            parameters: schema(json!({})),
            prediction: schema(prediction),
            sample: json!({}),
        };
        PredictionColumns::of("reviews", &schema, &BTreeMap::new(), "id").unwrap()
    }

    fn schemars_of<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    fn decode(
        columns: &PredictionColumns,
        predictions: &[Prediction],
    ) -> Result<Vec<ArrayRef>, BackfillError> {
        columns.decode(&predictions.iter().collect::<Vec<_>>())
    }

    #[test]
    fn predictions_become_columns() {
        let columns = columns(json!({
            "type": "object",
            "properties": {
                "label": { "oneOf": [{ "const": "bad", "type": "string" }, { "const": "good", "type": "string" }] },
                "score": { "type": "number", "format": "float" },
                "vectors": { "anyOf": [
                    { "type": "array", "items": { "type": "number", "format": "float" } },
                    { "type": "array", "items": { "type": "array", "items": { "type": "number", "format": "float" } } },
                ] },
                "spans": { "anyOf": [{ "type": "array", "items": { "$ref": "#/$defs/Span" } }, { "type": "null" }] },
            },
            "$defs": { "Span": { "type": "object", "properties": { "text": { "type": "string" }, "at": { "type": ["integer", "null"] } } } },
        }));
        let key = Field::new("id", DataType::Int64, false);
        let types: Vec<String> = columns
            .schema(&key)
            .fields()
            .iter()
            .map(|field| format!("{} {}", field.name(), field.data_type()))
            .collect();
        assert_eq!(types[..3], ["id Int64", "label Utf8", "score Float32"]);
        let rows = [
            r#"{"label":"good","score":0.5,"vectors":[1.0,2.0],"spans":[{"text":"a","at":null}]}"#,
            r#"{"label":"bad","score":0.25,"vectors":[3.0],"spans":null}"#,
        ];
        let decoded = decode(&columns, &rows.map(|row| Prediction::Json(row.into()))).unwrap();
        assert_eq!(decoded.len(), 4);
        assert!(decoded.iter().all(|column| column.len() == 2));
        assert!(decoded[2].is_null(1));
        // What was never JSON becomes the same, also among others.
        let unwritten = |row: &str| {
            let value: Value = serde_json::from_str(row).unwrap();
            Prediction::Unwritten(Box::new(value))
        };
        let mixed = [unwritten(rows[0]), Prediction::Json(rows[1].into())];
        assert_eq!(decode(&columns, &mixed).unwrap(), decoded);
        let mixed = [Prediction::Json(rows[0].into()), unwritten(rows[1])];
        assert_eq!(decode(&columns, &mixed).unwrap(), decoded);
        for wrong in ["{\"score\":\"high\"}", "{\"vectors\":1}", "{\"spans\":[{\"at\":0.5}]}", "3"]
        {
            assert!(decode(&columns, &[unwritten(wrong)]).is_err(), "{wrong}");
            assert!(decode(&columns, &[Prediction::Json(wrong.into())]).is_err(), "{wrong}");
        }
        assert!(decode(&columns, &[Prediction::Json("{".into())]).is_err());
    }

    #[test]
    fn what_has_no_columns_is_json() {
        for prediction in [
            json!({ "type": "object", "additionalProperties": { "type": "number" } }),
            json!({ "type": "object", "properties": { "a": { "$ref": "#" } } }),
            json!({ "type": "object", "properties": { "a": true } }),
        ] {
            let columns = columns(prediction);
            assert!(columns.whole);
            assert_eq!(decode(&columns, &[Prediction::Json("{}".into())]).unwrap()[0].len(), 1);
        }
    }
}
