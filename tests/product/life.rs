//! The whole life of projects: real data, one's own data, versions.

use std::fs;

use serde_json::Value;

use crate::support::{Workspace, predict_body, repository, until};

/// The two projects of the repository, on their real data.
#[test]
fn the_projects_of_the_repository_live() {
    let workspace = Workspace::new();
    for project in ["news-topic", "sentiment"] {
        let manifest = repository().join("projects").join(project).join("project.toml");
        workspace.write(&format!("projects/{project}/project.toml"), fs::read(manifest).unwrap());
    }
    let ran = workspace.json(["run", "--all", "--json"]);
    let steps = |project: &str| {
        let found = ran.as_array().unwrap().iter().find(|found| found["project"] == project);
        found.unwrap()["steps"].as_array().unwrap().clone()
    };
    let news = steps("news-topic");
    assert_eq!(news.len(), 3);
    // 98 exact duplicates are known of this set; some of them are near-duplicates of others.
    assert!(news[0]["summary"]["duplicates"].as_u64().unwrap() >= 98, "{}", news[0]);
    assert_eq!(news[0]["summary"]["read"], 2225);
    let f1 = &news[1]["summary"]["metrics"]["macro_f1"];
    assert!(f1["value"].as_f64().unwrap() > 0.95 && f1["low"].as_f64() < f1["high"].as_f64());
    assert!(news[2]["summary"]["agreement"].as_f64().unwrap() >= 0.995);
    assert_eq!(steps("sentiment")[0]["summary"]["read"], 23_703);

    let again = workspace.json(["run", "--all", "--json"]);
    let all = again.as_array().unwrap().iter().flat_map(|p| p["steps"].as_array().unwrap());
    assert!(all.clone().all(|step| step["ran"] == false), "{again}");
    workspace.mesh(["check"]).ok();

    let serving = workspace.serve();
    let answer = serving.post(
        "/news-topic/v1/predict",
        predict_body("news-topic", "The striker scored in the cup final"),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains("x-mesh-model-version: 1"), "{answer:?}");
    let labels = answer.json()["data"]["attributes"]["labels"].clone();
    assert_eq!(labels[0]["label"], "sports");
    assert_eq!(labels.as_array().unwrap().len(), 5);
    let scores: Vec<f64> =
        labels.as_array().unwrap().iter().map(|l| l["score"].as_f64().unwrap()).collect();
    assert!(scores.windows(2).all(|pair| pair[0] >= pair[1]), "{scores:?}");
    assert!((scores.iter().sum::<f64>() - 1.0).abs() < 1e-4);
    sentiment(&serving);
}

fn sentiment(serving: &crate::support::Serving) {
    let ask = |attributes: Value, parameters: Value| {
        let body = serde_json::json!({ "data": { "namespace": "sentiment",
            "attributes": attributes, "parameters": parameters } });
        serving.post("/sentiment/v1/predict", body.to_string())
    };
    let text =
        "The food was wonderful and delicious. But Smith was terrible, awful and disgusting.";
    let entities = serde_json::json!([
        { "entity_text": "Smith", "entity_type": "PER" }, { "entity_text": "food" }]);
    let answer = ask(serde_json::json!({ "content": text, "entities": entities }), Value::Null);
    assert_eq!(answer.status, 200, "{answer:?}");
    let given = answer.json()["data"]["attributes"].clone();
    let mut keys: Vec<_> = given.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["entities", "label", "negative_prob", "positive_prob"]);
    assert_eq!(given["entities"][0]["sentiment"], "negative", "{given}");
    assert_eq!(given["entities"][0]["entity_type"], "PER");
    assert_eq!(given["entities"][1]["sentiment"], "positive", "{given}");

    let plain = ask(serde_json::json!({ "content": "I love it, it is great!" }), Value::Null);
    let plain = plain.json()["data"]["attributes"].clone();
    assert_eq!(plain["label"], "positive");
    assert_eq!(plain["entities"], Value::Null);

    let long =
        format!("{} {}", "I love this great film. ".repeat(500), "It was on Monday. ".repeat(20));
    let long = ask(serde_json::json!({ "content": long }), Value::Null);
    assert_eq!(long.json()["data"]["attributes"]["label"], "positive", "{long:?}");

    let german =
        ask(serde_json::json!({ "content": "Gut" }), serde_json::json!({ "language": "de" }));
    let problem = german.is_problem(422, "unsupported-language");
    assert!(problem["detail"].as_str().unwrap().contains("en"), "{problem}");
    let empty = ask(serde_json::json!({ "content": " \n " }), Value::Null);
    empty.is_problem(422, "empty-text");
}

#[test]
fn a_csv_becomes_an_api_and_gets_a_newer_version() {
    let workspace = Workspace::with_reviews(600);
    assert_eq!(workspace.states("reviews"), ["absent", "absent", "absent"]);
    workspace.mesh(["run", "reviews"]).ok();
    assert_eq!(workspace.states("reviews"), ["fresh", "fresh", "fresh"]);

    // A parameter of train changed: prepare stays fresh, and the reason is told.
    workspace.edit(
        "projects/reviews/project.toml",
        "model = \"linear\"",
        "model = \"linear\"\nseed = 7\nlinear = { c = [0.5] }",
    );
    assert_eq!(workspace.states("reviews"), ["fresh", "stale", "stale"]);
    let told = workspace.mesh(["run", "reviews", "--explain"]).ok().out;
    assert!(told.contains("parameters.train.seed: 42 -> 7"), "{told}");
    assert!(told.contains("parameters.train.linear.c"), "{told}");
    let outcome = workspace.json(["run", "reviews", "--json"]);
    let ran: Vec<_> =
        outcome[0]["steps"].as_array().unwrap().iter().map(|step| step["ran"] == true).collect();
    assert_eq!(ran, [false, true, true]);

    // The first version answers until the second is promoted; a service follows both ways.
    let serving = workspace.serve();
    let version = || {
        let body = predict_body("reviews", "a perfect delight");
        let answer = serving.post("/reviews/v1/predict", body);
        assert_eq!(answer.status, 200, "{answer:?}");
        let line = answer.head.lines().find(|line| line.starts_with("x-mesh-model-version"));
        line.unwrap().split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(version(), "1");
    let listed = workspace.json(["model", "list", "reviews", "--json"]);
    assert_eq!(listed[0]["version"], 2);
    assert_eq!(listed[0]["aliases"][0], "candidate");
    workspace.mesh(["model", "promote", "reviews", "2"]).ok();
    until("version 2 answers", || version() == "2");
    workspace.mesh(["model", "rollback", "reviews"]).ok();
    until("version 1 answers again", || version() == "1");
    workspace.mesh(["model", "rollback", "reviews"]).code(1).tells(["nothing to go back to"]);
    workspace.mesh(["model", "promote", "reviews", "9"]).code(1).tells(["version 9", "model list"]);

    // Back to the old parameters: nothing runs, and the model is version 1 again.
    workspace.edit("projects/reviews/project.toml", "\nseed = 7\nlinear = { c = [0.5] }", "");
    let outcome = workspace.json(["run", "reviews", "--json"]);
    assert!(outcome[0]["steps"].as_array().unwrap().iter().all(|step| step["ran"] == false));
    assert_eq!(outcome[0]["steps"][1]["version"], serde_json::json!([1, false]));
}

#[test]
fn the_same_data_gives_the_same_bytes_with_any_number_of_threads() {
    let outputs = ["1", "2"].map(|threads| {
        let workspace = Workspace::with_reviews(900);
        let outcome = workspace.json(["run", "reviews", "--json", "--threads", threads]);
        let steps = outcome[0]["steps"].as_array().unwrap().clone();
        steps.iter().map(|step| step["output"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    });
    assert_eq!(outputs[0], outputs[1]);
}

#[test]
fn a_gate_that_is_not_reached_refuses_and_registers_nothing() {
    let workspace = Workspace::with_reviews(300);
    // Labels that the texts do not tell.
    let noise: String =
        (0..300).map(|row| format!("text of row {row},{}\n", row * 7 % 3)).collect();
    workspace.write("reviews.csv", format!("text,stars\n{noise}"));
    workspace.edit(
        "projects/reviews/project.toml",
        "# gate = { macro_f1 = 0.8 }    # below it, train fails",
        "gate = { macro_f1 = 0.9 }",
    );
    workspace
        .mesh(["run", "reviews"])
        .code(3)
        .tells(["macro_f1 is", "the gate demands at least 0.9"]);
    assert_eq!(workspace.json(["model", "list", "reviews", "--json"]), serde_json::json!([]));
    assert_eq!(workspace.states("reviews"), ["fresh", "failed", "absent"]);

    let workspace = Workspace::with_reviews(300);
    workspace.edit(
        "projects/reviews/project.toml",
        "targets = [\"native\"]",
        "targets = [\"native\"]\ngate = { speedup = 1e9 }",
    );
    workspace
        .mesh(["run", "reviews"])
        .code(3)
        .tells(["speedup of portable-f16 is", "the gate demands"]);
    let listed = workspace.json(["model", "list", "reviews", "--json"]);
    assert_eq!(listed[0]["compiled"], serde_json::json!([]));
    workspace
        .mesh(["predict", "reviews", "--text", "a"])
        .code(1)
        .tells(["no version is `production` yet"]);
    // A service of it starts, and says that it is not ready.
    let serving = workspace.serve();
    serving.get("/reviews/v1/ready").is_problem(503, "not-ready");
    assert_eq!(serving.get("/reviews/v1/live").status, 200);

    // Once something can be served it is in production, and the service follows.
    workspace.edit("projects/reviews/project.toml", "gate = { speedup = 1e9 }", "");
    workspace.edit(
        "projects/reviews/project.toml",
        "model = \"linear\"",
        "model = \"linear\"\nseed = 7",
    );
    workspace.mesh(["run", "reviews"]).ok();
    let listed = workspace.json(["model", "list", "reviews", "--json"]);
    let production = serde_json::json!("production");
    assert_eq!(listed[0]["version"], 2);
    assert!(listed[0]["aliases"].as_array().unwrap().contains(&production), "{listed}");
    workspace.mesh(["predict", "reviews", "--text", "lovely"]).ok();
    until("version 2 answers", || serving.get("/reviews/v1/ready").status == 200);
}

#[test]
fn projects_of_the_same_data_share_what_their_steps_leave() {
    let workspace = Workspace::with_reviews(300);
    workspace
        .mesh([
            "new",
            "project",
            "again",
            "--data",
            "reviews.csv",
            "--text",
            "text",
            "--label",
            "stars",
        ])
        .ok();
    workspace.mesh(["run", "--all"]).ok();
    let outcome = workspace.json(["run", "--all", "--force", "--json"]);
    let outputs = |at: usize| -> Vec<String> {
        let steps = outcome[at]["steps"].as_array().unwrap();
        steps.iter().map(|step| step["output"].to_string()).collect()
    };
    // One dataset; the models tell the names of their projects.
    assert_eq!(outputs(0)[0], outputs(1)[0]);
    for project in ["again", "reviews"] {
        assert_eq!(workspace.states(project), ["fresh", "fresh", "fresh"]);
        let listed = workspace.json(["model", "list", project, "--json"]);
        assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    }
}

#[test]
fn a_workspace_can_be_moved() {
    let workspace = Workspace::with_reviews(300);
    let manifest = workspace.read("projects/reviews/project.toml");
    assert!(manifest.contains("url = \"file:../../reviews.csv\""), "{manifest}");
    workspace.mesh(["run", "reviews"]).ok();
}

#[test]
fn garbage_is_shown_and_then_removed() {
    let workspace = Workspace::with_reviews(300);
    workspace.mesh(["run", "reviews"]).ok();
    workspace.mesh(["gc"]).ok();
    workspace.edit("projects/reviews/project.toml", "seed = 42", "seed = 1");
    workspace.mesh(["run", "reviews:prepare"]).ok();
    workspace.edit("projects/reviews/project.toml", "seed = 1", "seed = 2");
    workspace.mesh(["run", "reviews:prepare"]).ok();
    let plan = workspace.json(["gc", "--json"]);
    // The dataset of seed 1 is in no version and not fresh; that of version 1 is under an alias.
    assert_eq!(plan["plan"]["artifacts"].as_array().unwrap().len(), 1, "{plan}");
    assert_eq!(plan["removed"], false);
    let removed = workspace.json(["gc", "--yes", "--json"]);
    assert_eq!(removed["plan"]["artifacts"], plan["plan"]["artifacts"]);
    assert_eq!(workspace.json(["gc", "--json"])["plan"]["artifacts"], serde_json::json!([]));
    workspace.mesh(["predict", "reviews", "--text", "lovely"]).ok();
}
