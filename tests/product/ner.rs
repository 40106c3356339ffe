//! Taggers: sentences with tags become a model that finds entities in texts.

use std::fs;

use serde_json::{Value, json};

use crate::support::Workspace;

const PEOPLE: [&str; 8] =
    ["Anna Weber", "Tom Hill", "Maria", "Li Wei", "Omar Said", "Eva Novak", "Jon", "Ida Lind"];
const PLACES: [&str; 8] =
    ["Berlin", "New York", "Lagos", "Saint-Denis", "Oslo", "Lima", "South Korea", "Paris"];

/// Sentences with the tags of their entities, in columns.
pub fn conll(scheme: &str) -> String {
    let mut lines = String::from("-DOCSTART- O\n\n");
    for (at, person) in (0..60).zip(PEOPLE.iter().cycle()) {
        let place = PLACES[(at * 5 + at / 8) % PLACES.len()];
        let verb = ["met", "saw", "left", "phoned"][at % 4];
        let mut tagged = |text: &str, kind: &str| {
            for (word, token) in text.split(' ').enumerate() {
                let tag = match (kind, scheme, word) {
                    ("O", ..) => "O".to_owned(),
                    (_, "bio", 0) => format!("B-{kind}"),
                    _ => format!("I-{kind}"),
                };
                lines.push_str(&format!("{token}\tNN\t{tag}\n"));
            }
        };
        tagged(person, "PER");
        tagged(verb, "O");
        tagged(["nobody", "somebody", "them"][at % 3], "O");
        tagged("in", "O");
        tagged(place, "LOC");
        tagged(".", "O");
        lines.push('\n');
    }
    lines
}

pub fn manifest(train: &str, more: &str) -> String {
    format!(
        "[project]\nname = \"names\"\ntask = \"token-classification\"\ndescription = \"A test\"\n\
         languages = [\"en\", \"de\"]\n{more}\n\
         [source]\nurl = \"file:names.txt\"\nformat = \"conll\"\n\
         header = [\"token\", \"pos\", \"tag\"]\n\
         columns = {{ text = \"token\", label = \"tag\" }}\n\
         [prepare]\ndeduplicate = {{ exact = false, near = {{ enabled = false }} }}\n\
         [train]\n{train}\n[compile]\ngate = {{ agreement = 0.9, speedup = 0.0 }}\n[serve]\n"
    )
}

fn with_names(train: &str) -> Workspace {
    let workspace = Workspace::new();
    workspace.write("projects/names/project.toml", manifest(train, ""));
    workspace.write("projects/names/names.txt", conll("bio"));
    workspace
}

#[test]
fn a_tagger_is_trained_compiled_and_asked() {
    let workspace = with_names("model = \"crf\"\ngate = { f1 = 0.8 }");
    workspace.mesh(["run", "names"]).ok();
    assert_eq!(workspace.states("names"), ["fresh", "fresh", "fresh"]);
    let card = &workspace.json(["model", "show", "names", "--json"])["card"];
    assert!(card["metrics"]["f1"]["value"].as_f64().unwrap() > 0.8, "{card}");
    assert!(card["metrics"]["kinds"]["PER"]["support"].as_u64().unwrap() > 0, "{card}");
    assert!(card["metrics"]["baseline"]["f1"].is_f64(), "{card}");
    let status = workspace.mesh(["status"]).ok().out;
    assert!(status.contains("f1 "), "{status}");
    // The same data and seed give the same model, whatever the number of threads.
    let before = card.clone();
    workspace.mesh(["run", "names:train", "--force", "--threads", "3"]).ok();
    let again = workspace.json(["model", "show", "names", "--json"]);
    assert_eq!((&again["card"], &again["version"]["version"]), (&before, &json!(1)));

    let serving = workspace.serve();
    let asked = |content: Value, parameters: Value| {
        let attributes = json!({ "content": content });
        let data = json!({
            "namespace": "names", "attributes": attributes, "parameters": parameters
        });
        serving.post("/names/v1/predict", json!({ "data": data }).to_string())
    };
    let entities = |content: Value| -> Value {
        let answer = asked(content, json!({}));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["data"]["attributes"]["entities"].clone()
    };
    let text = "Anna Weber left them in Berlin. Omar Said met 👩‍👩‍👧 in New York.";
    let found = entities(json!(text));
    let told: Vec<_> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["entity_text"].as_str().unwrap(), e["entity_type"].as_str().unwrap()))
        .collect();
    let expected =
        [("Anna Weber", "PER"), ("Berlin", "LOC"), ("Omar Said", "PER"), ("New York", "LOC")];
    assert_eq!(told, expected, "{found}");
    let sentences = ["Anna Weber left them in Berlin.", "Omar Said met 👩‍👩‍👧 in New York."];
    for entity in found.as_array().unwrap() {
        assert_eq!(entity.as_object().unwrap().len(), 6, "{entity}");
        let number = |key: &str| entity[key].as_u64().unwrap() as usize;
        let sentence: Vec<char> = sentences[number("sentence_index")].chars().collect();
        let slice: String = sentence[number("start")..number("end")].iter().collect();
        assert_eq!(slice, entity["entity_text"].as_str().unwrap());
        assert!((0.0..=1.0).contains(&entity["score"].as_f64().unwrap()), "{entity}");
    }
    assert_eq!(entities(json!("")), json!([]));
    let list = entities(json!(["Jon left Oslo.", "", "Maria saw Tom Hill in Lima."]));
    assert_eq!(list[1], json!([]));
    assert_eq!(list[0], entities(json!("Jon left Oslo.")));
    assert_eq!(list[2], entities(json!("Maria saw Tom Hill in Lima.")));
    // Whatever the script: an answer, and offsets that fit.
    for text in [
        "ذهب أحمد إلى دمشق.",
        "今天 Anna Weber 在 Berlin。",
        "e\u{301}\u{302} \u{200f}Jon\u{200f}",
        "\u{0}\u{1}",
        "🇩🇪🇫🇷 👍🏽",
        "a\tb\u{a0}c",
        "'s",
        ". . .",
    ] {
        for entity in entities(json!(text)).as_array().unwrap() {
            let wanted = entity["entity_text"].as_str().unwrap();
            assert!(text.contains(wanted), "{text}: {entity}");
        }
    }
    let long = format!("Jon met {} in Oslo", "Maria and ".repeat(5_000));
    let answer = asked(json!(long), json!({}));
    assert_eq!(answer.status, 200, "{}", answer.head);
    assert!(answer.head.contains("x-mesh-tokens: 10004"), "{}", answer.head);
    assert_eq!(asked(json!("Jon"), json!({ "language": "de-AT" })).status, 200);
    let refused = asked(json!("Jon"), json!({ "language": "fr" }));
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("unsupported-language"), "{}", refused.body);
    assert!(refused.body.contains("en, de") || refused.body.contains("de, en"), "{}", refused.body);
    assert_eq!(asked(json!([1]), json!({})).status, 422);
}

#[test]
fn schemes_are_converted_and_wrong_sequences_are_rejected() {
    let workspace = with_names("model = \"crf\"");
    workspace.write("projects/names/names.txt", conll("iob"));
    let file = "projects/names/project.toml";
    // `I-` starts nothing in BIO: every row is rejected, which the step does not accept.
    workspace.mesh(["run", "names:prepare"]).code(1).tells(["rejected"]);
    workspace.edit(
        file,
        "[prepare]",
        "labels = { scheme = \"iob\", rename = { LOC = \"PLACE\" } }\n[prepare]",
    );
    workspace.mesh(["run", "names:prepare"]).ok();
    // One sentence with another number of tags, one whose tag goes on with nothing.
    let bad = "Jon NN B-PER\nleft NN\n\nOslo NN I-LOC\n\nA\u{a0}b\tNN\tO\n\n";
    let good = conll("bio");
    workspace.write("projects/names/names.txt", format!("{bad}{good}"));
    workspace.edit(file, "scheme = \"iob\", ", "");
    workspace.edit(file, "[train]", "[train]\n# more\n");
    workspace.edit(file, "[prepare]", "[prepare]\nmax_rejected = 0.2");
    let ran = workspace.json(["run", "names:prepare", "--json"]);
    let prepared = &ran[0]["steps"][0]["summary"];
    let rejected = &prepared["rejected"];
    assert_eq!(rejected["missing-column"], 1, "{prepared}");
    assert_eq!(rejected["not-a-sequence"], 2, "{prepared}");
    assert_eq!(prepared["labels"], json!(["PER", "PLACE"]));
}

#[test]
fn vectors_of_an_encoder_are_used_where_they_help() {
    let workspace = with_names("model = [\"crf\", \"crf-encoder\"]");
    let script = crate::support::repository().join("docs/examples/tiny_bert.py");
    let made = std::process::Command::new("python3")
        .arg(script)
        .arg(workspace.path("my-model"))
        .output()
        .unwrap();
    assert!(made.status.success());
    let model = "[model]\nurl = \"file:../../my-model\"";
    let file = "projects/names/project.toml";
    workspace.write(file, manifest("model = [\"crf\", \"crf-encoder\"]", model));
    workspace.mesh(["run", "names"]).ok();
    let card = &workspace.json(["model", "show", "names", "--json"])["card"];
    let families: Vec<_> =
        card["families"].as_array().unwrap().iter().map(|row| &row["model"]).collect();
    assert_eq!(families, ["crf", "crf-encoder"]);
    // The encoder's family alone, so that it is what is served.
    workspace.write(file, manifest("model = \"crf-encoder\"", model));
    workspace.mesh(["run", "names"]).ok();
    workspace.mesh(["model", "promote", "names", "2"]).ok();
    let answer = workspace.json(["predict", "names", "--text", "Anna Weber left Oslo.", "--json"]);
    assert_eq!(answer["entities"][0]["entity_text"], "Anna Weber", "{answer}");
    // What was compiled is checked when it is opened.
    let compiled = workspace.json(["model", "show", "names", "--version", "2", "--json"]);
    let digest = compiled["version"]["compiled"][0]["digest"].as_str().unwrap().to_owned();
    let packed = workspace.path(&format!(".mesh/store/artifacts/{digest}/sequence.mesh"));
    let bytes = fs::read(&packed).unwrap();
    fs::write(&packed, &bytes[..bytes.len() / 2]).unwrap();
    workspace.mesh(["predict", "names", "--text", "Jon"]).code(1).tells(["sequence.mesh"]);
}

#[test]
fn families_and_gates_that_do_not_fit_the_task_are_told() {
    let workspace = with_names("model = \"linear\"");
    workspace.mesh(["check"]).code(1).tells(["`linear` does not do the task"]);
    let file = "projects/names/project.toml";
    workspace.write(file, manifest("model = \"crf\"\ngate = { accuracy = 0.5 }", ""));
    workspace.mesh(["check"]).code(1).tells(["`accuracy` is not measured"]);
    workspace.write(file, manifest("model = \"crf-encoder\"", ""));
    workspace.mesh(["check"]).code(1).tells(["`crf-encoder` needs a [model]"]);
    workspace.write(file, manifest("model = \"crf\"\ngate = { f1 = 1.0 }", ""));
    let mut noisy = conll("bio");
    noisy = noisy.replacen("Maria\tNN\tB-PER", "Maria\tNN\tO", 4);
    workspace.write("projects/names/names.txt", noisy);
    let ran = workspace.mesh(["run", "names"]);
    assert!(ran.err.contains("f1 is") || ran.code == 0, "{ran:?}");
}
