//! The OpenAPI 3.1 document of a project.

use mesh_core::{ProjectSchema, manifest::ProjectManifest};
use serde_json::{Map, Value, json};

/// The document: every route of the project, its schemas and an example.
pub(crate) fn document(manifest: &ProjectManifest, schema: &ProjectSchema) -> Value {
    let project = &manifest.project;
    let mut components = Map::new();
    add(&mut components, "Attributes", schema.attributes.as_value());
    add(&mut components, "Parameters", schema.parameters.as_value());
    add(&mut components, "Prediction", schema.prediction.as_value());
    components.insert("Problem".into(), problem());
    components.insert("PredictRequest".into(), request(project.name.as_str(), schema));
    components.insert("PredictResponse".into(), response(manifest));
    let base = format!("/{}/v{}", project.name, project.api);
    let health = |summary: &str, key: &str| {
        let properties = json!({ key: { "const": true } });
        json!({ "get": { "summary": summary, "operationId": key, "responses": {
            "200": content("Yes", "application/json", json!({
                "type": "object", "properties": properties, "required": [key],
                "additionalProperties": false })),
            "503": problem_response("Not now"),
        }}})
    };
    let mut paths = Map::new();
    paths.insert(format!("{base}/predict"), predict_path());
    paths.insert(format!("{base}/live"), health("Whether the process answers", "live"));
    paths.insert(
        format!("{base}/ready"),
        health("Whether the model is loaded and answers", "ready"),
    );
    paths.insert(format!("{base}/bio"), json!({ "get": {
        "summary": "What the model is", "operationId": "bio", "responses": {
            "200": content("The model's name and card", "application/json", json!({ "type": "object" })),
            "503": problem_response("No model is loaded"),
        }}}));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": project.name,
            "description": project.description,
            "version": format!("{}.0.0", project.api),
        },
        "paths": paths,
        "components": { "schemas": components },
    })
}

fn predict_path() -> Value {
    let mut responses = Map::new();
    let mut answer = content(
        "The prediction",
        "application/json",
        json!({ "$ref": "#/components/schemas/PredictResponse" }),
    );
    if let Some(answer) = answer.as_object_mut() {
        answer.insert(
            "headers".into(),
            json!({ "x-mesh-model-version": {
            "description": "The version of the model that answered",
            "schema": { "type": "integer", "minimum": 1 } } }),
        );
    }
    responses.insert("200".into(), answer);
    for (status, description) in [
        ("400", "The body is not JSON"),
        ("408", "The request came too slowly"),
        ("413", "The body is too large"),
        ("415", "The body is not application/json"),
        ("422", "The request does not fit the schema, or the project refuses to answer it"),
        ("429", "Too many requests wait; try again after `Retry-After` seconds"),
        ("503", "No model is loaded, or the service is shutting down"),
        ("504", "The answer took too long"),
    ] {
        responses.insert(status.into(), problem_response(description));
    }
    json!({ "post": {
        "summary": "Predict",
        "operationId": "predict",
        "requestBody": { "required": true, "content": { "application/json": {
            "schema": { "$ref": "#/components/schemas/PredictRequest" } } } },
        "responses": responses,
    }})
}

fn request(name: &str, schema: &ProjectSchema) -> Value {
    json!({
        "type": "object",
        "required": ["data"],
        "additionalProperties": false,
        "properties": { "data": {
            "type": "object",
            "required": ["namespace", "attributes"],
            "additionalProperties": false,
            "properties": {
                "identifier": { "type": ["string", "null"], "description": "Echoed in the response" },
                "namespace": { "const": name },
                "attributes": { "$ref": "#/components/schemas/Attributes" },
                "parameters": { "anyOf": [
                    { "$ref": "#/components/schemas/Parameters" }, { "type": "null" } ] },
            },
        } },
        "examples": [{ "data": {
            "identifier": "doc-1", "namespace": name, "attributes": schema.sample } }],
    })
}

fn response(manifest: &ProjectManifest) -> Value {
    json!({
        "type": "object",
        "required": ["version", "data"],
        "additionalProperties": false,
        "properties": {
            "version": { "const": manifest.project.api },
            "data": {
                "type": "object",
                "required": ["identifier", "namespace", "attributes"],
                "additionalProperties": false,
                "properties": {
                    "identifier": { "type": ["string", "null"] },
                    "namespace": { "const": manifest.project.name },
                    "attributes": { "$ref": "#/components/schemas/Prediction" },
                },
            },
        },
    })
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": { "type": "string", "format": "uri" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "errors": { "type": "array", "items": {
                "type": "object",
                "required": ["loc", "msg", "type"],
                "properties": {
                    "loc": { "type": "array", "items": { "type": "string" } },
                    "msg": { "type": "string" },
                    "type": { "enum": ["missing", "unknown", "invalid"] },
                },
            } },
        },
    })
}

fn content(description: &str, media: &str, schema: Value) -> Value {
    json!({ "description": description, "content": { media: { "schema": schema } } })
}

fn problem_response(description: &str) -> Value {
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    content(description, "application/problem+json", schema)
}

/// Adds a schema under a name; what it defines for itself goes beside it, under its name.
fn add(components: &mut Map<String, Value>, name: &str, schema: &Value) {
    let mut schema = schema.clone();
    let definitions = schema.as_object_mut().and_then(|schema| {
        schema.remove("$schema");
        schema.remove("title");
        schema.remove("$defs")
    });
    if let Some(Value::Object(definitions)) = definitions {
        for (inner, mut definition) in definitions {
            redirect(&mut definition, name);
            components.insert(format!("{name}.{inner}"), definition);
        }
    }
    redirect(&mut schema, name);
    components.insert(name.to_owned(), schema);
}

fn redirect(value: &mut Value, name: &str) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(target) if key == "$ref" => {
                        *target =
                            target.replace("#/$defs/", &format!("#/components/schemas/{name}."));
                    }
                    other => redirect(other, name),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| redirect(value, name)),
        _ => {}
    }
}
