//! The entities that one project finds, and what another tells of them: `ner` and `sentiment`, as
//! their own manifests say.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};

use crate::{
    ner::conll,
    support::{Workspace, repository, run},
};

const SENTIMENT: &str = "projects/sentiment/project.toml";

/// A small model in the place of the project's own.
pub const SENTIMENT_MANIFEST: &str = "[project]\nname = \"sentiment\"\n\
     task = \"text-classification\"\ndescription = \"A test\"\n\
     [source]\nurl = \"file:opinions.csv\"\nformat = \"csv\"\n\
     columns = { text = \"text\", label = \"label\" }\n\
     [prepare]\ndeduplicate = { exact = false, near = { enabled = false } }\n\
     [train]\nmodel = \"linear\"\n[compile]\n[serve]\n";

/// Texts with their sentiment, as a table.
pub fn opinions() -> String {
    let words = [
        ("negative", ["awful", "terrible", "broken", "hated"]),
        ("neutral", ["usual", "plain", "monday", "average"]),
        ("positive", ["lovely", "wonderful", "great", "loved"]),
    ];
    let mut table = String::from("text,label\n");
    for row in 0..240 {
        let (label, of) = words[row % 3];
        let (one, two) = (of[row / 3 % 4], of[(row / 12 + 1) % 4]);
        table.push_str(&format!("it was {one} and {two} number {row},{label}\n"));
    }
    table
}

/// What the manifest of a project of the repository says about backfills.
fn backfill_of(project: &str) -> String {
    let path = repository().join("projects").join(project).join("project.toml");
    let text = fs::read_to_string(path).unwrap();
    text[text.find("[backfill]").unwrap()..].to_owned()
}

fn text(id: usize) -> String {
    let person = ["Anna Weber", "Tom Hill", "Omar Said"][id % 3];
    let (one, two) = [("awful", "lovely"), ("wonderful", "terrible")][id % 2];
    format!(
        "{person} left them in Oslo and it was {one} and {one}. Maria met nobody in Lima and it was {two} {two}."
    )
}

/// A workspace with small models in the place of `ner` and `sentiment`, and an archive.
fn workspace() -> Workspace {
    let workspace = Workspace::new();
    let ner = crate::ner::manifest("model = \"crf\"", "").replace("\"names\"", "\"ner\"");
    workspace.write("projects/ner/project.toml", format!("{ner}\n{}", backfill_of("ner")));
    workspace.write("projects/ner/names.txt", conll("bio"));
    workspace.write(SENTIMENT, format!("{SENTIMENT_MANIFEST}{}", backfill_of("sentiment")));
    workspace.write("projects/sentiment/opinions.csv", opinions());
    workspace.mesh(["run", "--all"]).ok();
    let lines = (0..60).map(|id| format!("{}\n", json!({ "id": id, "text": text(id) })));
    workspace.write("news.jsonl", lines.collect::<String>());
    workspace.mesh(["new", "archive", "news", "--data", "news.jsonl", "--key", "id"]).ok();
    workspace
}

fn live(workspace: &Workspace) -> BTreeMap<u64, Value> {
    workspace.mesh(["backfill", "export", "news", "--output", "all.jsonl"]).ok();
    let text = workspace.read("all.jsonl");
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| (row["id"].as_u64().unwrap(), row)).collect()
}

/// The names that sentiment tells something of in a row, with what.
fn opinions_of(row: &Value) -> Vec<(String, String)> {
    let told = |entity: &Value| {
        let text = |name: &str| entity[name].as_str().unwrap().to_owned();
        (text("entity_text"), text("sentiment"))
    };
    row["sentiment.entities"].as_array().unwrap().iter().map(told).collect()
}

fn counts(ran: &Value, project: &str) -> [u64; 3] {
    let counts = &ran["projects"][project];
    ["enriched", "kept", "rejected"].map(|name| counts[name].as_u64().unwrap())
}

#[test]
fn sentiment_takes_the_entities_of_ner_in_one_pass() {
    let workspace = workspace();
    // In whatever order they are named.
    let all = ["backfill", "run", "news", "sentiment", "ner", "--cutover", "--json"];
    let ran = workspace.json(all);
    assert_eq!([counts(&ran, "ner"), counts(&ran, "sentiment")], [[60, 0, 0]; 2], "{ran}");
    assert_eq!(ran["without"], json!({}));
    let before = live(&workspace);
    for (id, row) in &before {
        let (one, two) = [("negative", "positive"), ("positive", "negative")][*id as usize % 2];
        let person = ["Anna Weber", "Tom Hill", "Omar Said"][*id as usize % 3];
        let expected = [(person, one), ("Oslo", one), ("Maria", two), ("Lima", two)];
        let expected = expected.map(|(name, told)| (name.to_owned(), told.to_owned()));
        assert_eq!(opinions_of(row), expected, "{row}");
        // All else is as `ner` told it.
        for (given, told) in row["ner.entities"]
            .as_array()
            .unwrap()
            .iter()
            .zip(row["sentiment.entities"].as_array().unwrap())
        {
            for name in ["entity_type", "sentence_index", "start", "end"] {
                assert_eq!(given[name], told[name], "{name}: {row}");
            }
        }
    }
    let plan = || {
        let plan = workspace.json(["backfill", "plan", "news", "ner", "sentiment", "--json"]);
        [0, 1].map(|at| plan["projects"][at]["why"].clone())
    };
    assert_eq!(plan(), [json!({}), json!({})]);

    // Who takes what another tells is done again where that is another: a text that changes changes
    // both, and it is not known before whether it does.
    let edit = |id: u64, to: &str| {
        let lines = (0..60).map(|at| {
            let text = if at == id { to.to_owned() } else { text(at as usize) };
            format!("{}\n", json!({ "id": at, "text": text }))
        });
        workspace.write("news.jsonl", lines.collect::<String>());
    };
    edit(4, "Maria met nobody in Berlin and it was awful.");
    assert_eq!(plan(), [json!({ "changed": 1 }), json!({ "takes what is told anew": 1 })]);
    let ran = workspace.json(all);
    assert_eq!([counts(&ran, "ner"), counts(&ran, "sentiment")], [[1, 59, 0]; 2], "{ran}");
    let after = live(&workspace);
    let names: Vec<String> = opinions_of(&after[&4]).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["Maria", "Berlin"], "{}", after[&4]);
    let moved = before.iter().filter(|(id, row)| after[id] != **row).map(|(id, _)| *id);
    assert_eq!(moved.collect::<Vec<_>>(), [4]);
    // `ner` alone, anew, and live: the same answers change nothing for `sentiment`.
    workspace.mesh(["backfill", "run", "news", "ner", "--all-rows", "--cutover"]).ok();
    let ran = workspace.json(["backfill", "run", "news", "sentiment", "--json"]);
    assert_eq!(ran["state"], "unchanged", "{ran}");
    // Another version of it tells otherwise: all that takes it is another question.
    workspace.edit(
        "projects/ner/project.toml",
        "model = \"crf\"",
        "model = \"crf\"\ncrf = { l2 = [0.05] }",
    );
    workspace.mesh(["run", "ner"]).ok();
    workspace.mesh(["model", "promote", "ner", "2"]).ok();
    let [ner, sentiment] = plan();
    assert_eq!(ner, json!({ "of another version": 60 }));
    assert_eq!(sentiment, json!({ "takes what is told anew": 60 }));
    workspace.mesh(["backfill", "run", "news", "ner", "--cutover"]).ok();
    let plan = workspace.json(["backfill", "plan", "news", "sentiment", "--json"]);
    assert_eq!(plan["projects"][0]["why"], json!({ "changed": 60 }), "{plan}");
    let ran = workspace.json(["backfill", "run", "news", "sentiment", "--cutover", "--json"]);
    assert_eq!(counts(&ran, "sentiment"), [60, 0, 0], "{ran}");
    let last = live(&workspace);
    assert!(last.iter().all(|(id, row)| opinions_of(row) == opinions_of(&after[id])));
    assert_ne!(
        last[&1]["sentiment.entities"][0]["score"],
        after[&1]["sentiment.entities"][0]["score"]
    );
}

#[test]
fn sentiment_alone_does_without_entities_and_a_mistake_is_told() {
    let workspace = workspace();
    let plan = workspace.mesh(["backfill", "plan", "news", "sentiment"]).ok().out;
    assert!(plan.contains("without `entities`: ner has told nothing here"), "{plan}");
    let ran = workspace.json(["backfill", "run", "news", "sentiment", "--cutover", "--json"]);
    assert_eq!(counts(&ran, "sentiment"), [60, 0, 0], "{ran}");
    assert_eq!(ran["without"], json!({ "sentiment": { "entities": "ner.entities" } }));
    let rows = live(&workspace);
    assert!(rows.values().all(|row| row["sentiment.entities"].is_null()));
    assert!(rows.values().all(|row| row["sentiment.label"].is_string()));
    // Once there are entities, it is asked something else.
    workspace.mesh(["backfill", "run", "news", "ner", "--cutover"]).ok();
    let plan = workspace.json(["backfill", "plan", "news", "sentiment", "--json"]);
    assert_eq!(plan["projects"][0]["why"], json!({ "changed": 60 }), "{plan}");
    let ran = workspace.json(["backfill", "run", "news", "sentiment", "--cutover", "--json"]);
    assert_eq!((&ran["without"], counts(&ran, "sentiment")), (&json!({}), [60, 0, 0]), "{ran}");
    assert!(live(&workspace).values().all(|row| opinions_of(row).len() == 4));

    let wrong = |from: &str, to: &str, told: [&str; 3]| {
        workspace.edit(SENTIMENT, from, to);
        for projects in [&["sentiment"][..], &["ner", "sentiment"]] {
            let mut command = workspace.command(["backfill", "plan", "news"]);
            run(command.args(projects)).code(2).tells(told);
        }
        workspace.edit(SENTIMENT, to, from);
    };
    let it_tells = "It tells: entities";
    wrong(
        "ner.entities",
        "ner.entitys",
        ["ner tells no `entitys`", "did you mean `entities`", it_tells],
    );
    let none = "no such column, and no project `ners`";
    wrong("ner.entities", "ners.entities", ["takes `ners.entities`", none, "did you mean `ner`"]);
    // Also before anything is live, and where nothing but the manifest knows of it.
    workspace.mesh(["backfill", "rollback", "news"]).ok();
    fs::remove_dir_all(workspace.path("news.enriched")).unwrap();
    wrong(
        "ner.entities",
        "ner.entitys",
        ["ner tells no `entitys`", "did you mean `entities`", it_tells],
    );
    wrong("ner.entities", "ners.entities", ["takes `ners.entities`", none, "did you mean `ner`"]);
    // What it cannot do without is not left out.
    workspace.edit(SENTIMENT, "content = \"text\"", "content = \"ner.entities\"");
    workspace
        .mesh(["backfill", "plan", "news", "sentiment"])
        .code(2)
        .tells(["ner has told nothing yet", "name both: ner sentiment"]);
}
