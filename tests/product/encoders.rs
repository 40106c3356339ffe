//! Encoders: a folder of one's own served by a manifest alone, heads on them, gates, and models
//! that are no models.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{Workspace, predict_body, repository, reviews};

/// A workspace whose `my-model` is the tiny BERT classifier of the documentation.
pub fn with_model() -> Workspace {
    let workspace = Workspace::new();
    let script = repository().join("docs/examples/tiny_bert.py");
    let status =
        Command::new("python3").arg(script).arg(workspace.path("my-model")).output().unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    workspace.write("texts.txt", TEXTS);
    workspace
}

const TEXTS: &str = "i love the film a lot\nwe hate the late train\nthey like this is good\n\
                     the train was bad and late\nyou is good this a film\n";

/// A manifest of a pre-trained model. Speed is no matter of these tests.
pub fn manifest(name: &str, task: &str, more: &str) -> String {
    format!(
        "[project]\nname = \"{name}\"\ntask = \"{task}\"\ndescription = \"A test\"\n\
         [model]\nurl = \"file:../../my-model\"\n{more}\n\
         [compile]\ngate = {{ speedup = 0.0, agreement = 0.8, cosine = 0.99 }}\n\
         texts = {{ url = \"file:../../texts.txt\" }}\n[serve]\n"
    )
}

fn ask(attributes: Value, namespace: &str) -> String {
    json!({ "data": { "namespace": namespace, "attributes": attributes } }).to_string()
}

#[test]
fn a_classifier_of_ones_own_is_served_by_a_manifest_alone() {
    let workspace = with_model();
    workspace.write("projects/mood/project.toml", manifest("mood", "text-classification", ""));
    let ran = workspace.mesh(["run", "mood"]).ok();
    assert!(ran.err.contains("new version 1") || ran.out.contains("agreement"), "{ran:?}");
    assert_eq!(workspace.states("mood"), ["fresh"]);
    let answer = workspace.json(["predict", "mood", "--text", "i love this film", "--json"]);
    let labels = answer["labels"].as_array().unwrap();
    let names: Vec<_> = labels.iter().map(|label| label["label"].as_str().unwrap()).collect();
    assert!(names == ["calm", "angry"] || names == ["angry", "calm"], "{answer}");
    let sum: f64 = labels.iter().map(|label| label["score"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{answer}");
    assert!(workspace.mesh(["model", "show", "mood"]).ok().out.contains("2 layers of 32 columns"));
}

#[test]
fn long_texts_are_cut_or_refused_as_the_manifest_says_and_the_answer_tells() {
    let workspace = with_model();
    for (name, more) in [
        ("windows", "max_tokens = 40"),
        ("truncate", "max_tokens = 40\nlong_text = \"truncate\""),
        ("refuse", "max_tokens = 40\nlong_text = \"refuse\""),
    ] {
        let file = format!("projects/{name}/project.toml");
        workspace.write(&file, manifest(name, "embedding", more));
        workspace.mesh(["run", name]).ok();
    }
    let serving = workspace.serve();
    let long = "we love the film ".repeat(30);
    let told = |name: &str| {
        let body = ask(json!({ "content": long }), name);
        serving.post(&format!("/{name}/v1/predict"), &body)
    };
    let answer = told("windows");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains("x-mesh-long-text: windows=4"), "{}", answer.head);
    assert!(answer.head.contains("x-mesh-tokens: 122"), "{}", answer.head);
    assert!(told("truncate").head.contains("x-mesh-long-text: truncated=40"));
    let answer = told("refuse");
    assert_eq!(answer.status, 422);
    assert!(
        answer.body.contains("text-too-long") && answer.body.contains("122 tokens"),
        "{answer:?}"
    );
    let short = serving.post("/windows/v1/predict", ask(json!({ "content": "good" }), "windows"));
    assert!(!short.head.contains("x-mesh-long-text"), "{}", short.head);
    for (text, status) in [("", 422), (" \n", 422), ("\u{1}\u{2}", 422), ("😀😀", 200)] {
        let body = ask(json!({ "content": text }), "windows");
        assert_eq!(serving.post("/windows/v1/predict", &body).status, status, "{text:?}");
    }
    let much = "train ".repeat(170_000);
    let answer = serving.post("/windows/v1/predict", ask(json!({ "content": much }), "windows"));
    assert_eq!(answer.status, 422, "{}", answer.head);
    assert!(answer.body.contains("text-too-long"), "{}", answer.body);
}

#[test]
fn embeddings_are_answered_as_openais_clients_ask() {
    let workspace = with_model();
    workspace.write(
        "projects/vectors/project.toml",
        manifest("vectors", "embedding", "pooling = \"mean\""),
    );
    workspace.mesh(["run", "vectors"]).ok();
    let serving = workspace.serve();
    let own = serving.post(
        "/vectors/v1/predict",
        ask(json!({ "content": ["i love the film", "bad"] }), "vectors"),
    );
    let own: Value = serde_json::from_str(&own.body).unwrap();
    let own = &own["data"]["attributes"]["embeddings"];
    let asked = |more: Value| {
        let mut body = json!({ "model": "vectors", "input": ["i love the film", "bad"] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = serving.post("/v1/embeddings", body.to_string());
        let value: Value = serde_json::from_str(&answer.body).unwrap();
        (answer.status, value)
    };
    let (status, answer) = asked(json!({}));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["data"][0]["embedding"], own[0]);
    assert_eq!(answer["data"][1]["embedding"], own[1]);
    assert_eq!(answer["data"][1]["index"], 1);
    assert_eq!(answer["usage"], json!({ "prompt_tokens": 9, "total_tokens": 9 }));
    let (status, same) = asked(json!({ "encoding_format": null, "dimensions": null }));
    assert_eq!((status, &same["data"]), (200, &answer["data"]));
    let (_, encoded) = asked(json!({ "encoding_format": "base64" }));
    let first = own[0][0].as_f64().unwrap() as f32;
    assert_eq!(float_of_base64(encoded["data"][0]["embedding"].as_str().unwrap()), first);
    for (more, status, says) in [
        (json!({ "model": "other" }), 404, "the models here are vectors"),
        (json!({ "input": [] }), 422, "at least one text"),
        (json!({ "input": [1, 2] }), 422, "only texts are taken, not tokens"),
        (json!({ "dimensions": 7 }), 422, "this model has 32 dimensions"),
        (json!({ "encoding_format": "hex" }), 422, "hex"),
        (json!({ "input": ["a", ""] }), 422, "text 1"),
        (json!({ "colour": "red" }), 422, "colour"),
    ] {
        let (found, answer) = asked(more.clone());
        assert_eq!(found, status, "{more}: {answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(says), "{more}: {message}");
    }
    assert_eq!(serving.post("/v1/embeddings", "{").status, 400);
    let models: Value = serde_json::from_str(&serving.get("/v1/models").body).unwrap();
    assert_eq!(models["data"][0]["id"], "vectors");
    assert_eq!(serving.get("/v1/models/vectors").json(), models["data"][0]);
    assert_eq!(serving.get("/v1/models/other").status, 404);
}

/// The first of the little-endian f32 in a base64 text.
fn float_of_base64(text: &str) -> f32 {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = text.bytes().take(6).fold(0u64, |bits, digit| {
        bits << 6 | DIGITS.iter().position(|known| *known == digit).unwrap() as u64
    });
    let bytes = (bits >> 4).to_be_bytes();
    f32::from_le_bytes(bytes[4..].try_into().unwrap())
}

#[test]
fn a_vector_is_the_same_for_every_batch_and_nearly_for_every_target() {
    let workspace = with_model();
    workspace.write("projects/vectors/project.toml", manifest("vectors", "embedding", ""));
    workspace.mesh(["run", "vectors"]).ok();
    let texts = ["i love the film", "we hate the late train", "good", "the the the bad"];
    let vector = |value: &Value| -> Vec<f64> {
        value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    };
    let serving = workspace.serve();
    let asked = |content: Value| -> Value {
        let answer =
            serving.post("/vectors/v1/predict", ask(json!({ "content": content }), "vectors"));
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        answer["data"]["attributes"]["embeddings"].clone()
    };
    let together = asked(json!(texts));
    for (text, expected) in texts.iter().zip(together.as_array().unwrap()) {
        assert_eq!(&asked(json!(text)), expected, "{text}");
    }
    drop(serving);
    // Every CPU has the portable one.
    let mut command = workspace.command(["run", "vectors"]);
    let ran = crate::support::run(command.env("MESH_TARGET", "portable-f32")).ok();
    assert!(ran.out.contains("compile") || ran.err.contains("compile"), "{ran:?}");
    let mut command = workspace.command(["predict", "vectors", "--text", texts[0], "--json"]);
    let ran = crate::support::run(command.env("MESH_TARGET", "portable-f32")).ok();
    let plain: Value = serde_json::from_str(&ran.out).unwrap();
    let (a, b) = (vector(&plain["embeddings"]), vector(&together[0]));
    let cosine: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
    assert!(cosine > 0.999, "{cosine}");
    let listed = workspace.json(["model", "list", "vectors", "--json"]).to_string();
    assert!(listed.contains("portable-f32"), "{listed}");
    let mut command = workspace.command(["run", "vectors", "--force"]);
    let ran = crate::support::run(command.env("MESH_TARGET", "warp-f8")).code(1);
    ran.tells(["MESH_TARGET is `warp-f8`", "portable-f32, avx2-f32"]);
    // A pack that a version does not have is not replaced by another in silence.
    workspace.write("projects/plain/project.toml", manifest("plain", "embedding", ""));
    workspace.edit(
        "projects/plain/project.toml",
        "[compile]",
        "[compile]\ntargets = [\"portable-f32\"]",
    );
    workspace.mesh(["run", "plain"]).ok();
    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
        let mut command = workspace.command(["predict", "plain", "--text", texts[0]]);
        let ran = crate::support::run(command.env("MESH_TARGET", "avx2-f32")).code(1);
        ran.tells(["MESH_TARGET is `avx2-f32`: the model is compiled for portable-f32"]);
    }
}

#[test]
fn a_head_is_trained_on_an_encoder_and_the_better_family_is_kept() {
    let workspace = with_model();
    workspace.write("reviews.csv", reviews(90));
    workspace.write(
        "projects/stars/project.toml",
        "[project]\nname = \"stars\"\ntask = \"text-classification\"\ndescription = \"A test\"\n\
         [source]\nurl = \"file:../../reviews.csv\"\nformat = \"csv\"\n\
         columns = { text = \"text\", label = \"stars\" }\n\
         [prepare]\n[model]\nurl = \"file:../../my-model\"\n\
         [train]\nmodel = [\"linear\", \"encoder-head\"]\n\
         [compile]\ngate = { speedup = 0.0, agreement = 0.8 }\n[serve]\n",
    );
    workspace.mesh(["run", "stars"]).ok();
    let card = workspace.json(["model", "show", "stars", "--json"]);
    let families = card["card"]["families"].as_array().unwrap();
    let names: Vec<_> = families.iter().map(|row| row["model"].as_str().unwrap()).collect();
    assert_eq!(names, ["linear", "encoder-head"]);
    let scores: Vec<_> =
        families.iter().map(|row| row["validation_macro_f1"].as_f64().unwrap()).collect();
    let better = if scores[1] > scores[0] { "encoder-head" } else { "linear" };
    assert_eq!(card["card"]["model"], better, "{families:?}");
    workspace.mesh(["predict", "stars", "--text", "good"]).ok();
    // The head alone, too: what was embedded before is not embedded again.
    let file = "projects/stars/project.toml";
    workspace.edit(file, "[\"linear\", \"encoder-head\"]", "\"encoder-head\"");
    workspace.mesh(["run", "stars"]).ok();
    let card = workspace.json(["model", "show", "stars", "--version", "2", "--json"]);
    assert_eq!(card["card"]["model"], "encoder-head");
    workspace.mesh(["model", "promote", "stars", "2"]).ok();
    let answer = workspace.json(["predict", "stars", "--text", "good", "--json"]);
    assert_eq!(answer["labels"].as_array().unwrap().len(), 3, "{answer}");
}

#[test]
fn a_target_that_is_not_faithful_or_not_faster_is_refused_with_exit_code_3() {
    let workspace = with_model();
    let file = "projects/vectors/project.toml";
    workspace.write(file, manifest("vectors", "embedding", ""));
    workspace.edit(file, "speedup = 0.0", "speedup = 1e9");
    let ran = workspace.mesh(["run", "vectors"]).code(3);
    assert!(ran.err.contains("speedup of"), "{}", ran.err);
    workspace.edit(file, "speedup = 1e9", "speedup = 0.0");
    workspace.edit(file, "cosine = 0.99", "cosine = 1.0");
    let ran = workspace.mesh(["run", "vectors"]).code(3);
    assert!(ran.err.contains("cosine of") && !ran.err.contains("speedup of"), "{}", ran.err);
    assert!(workspace.mesh(["model", "list", "vectors"]).ok().out.contains("no version yet"));
    for (wrong, says) in [
        ("agreement = 1.5", "`agreement` cannot be 1.5"),
        ("speedup = -1", "`speedup` cannot be -1"),
    ] {
        workspace.write(file, manifest("vectors", "embedding", ""));
        let key = wrong.split(' ').next().unwrap();
        let old = if key == "speedup" { "speedup = 0.0" } else { "agreement = 0.8" };
        workspace.edit(file, old, wrong);
        workspace.mesh(["check"]).code(1).tells([says]);
    }
    workspace.write(file, manifest("vectors", "embedding", ""));
    workspace.edit(file, "[compile]", "[compile]\ntargets = []");
    workspace.mesh(["check"]).code(1).tells(["there is no target to compile for"]);
}

#[test]
fn what_is_refused_later_is_not_served_any_more_and_the_other_targets_are() {
    let workspace = with_model();
    let file = "projects/vectors/project.toml";
    workspace.write(file, manifest("vectors", "embedding", ""));
    workspace.edit(file, "[compile]", "[compile]\ntargets = [\"no-such\", \"portable-f32\"]");
    workspace.mesh(["check"]).code(1).tells(["there is no target `no-such`"]);
    workspace.edit(file, "\"no-such\", ", "");
    workspace.mesh(["run", "vectors"]).ok();
    workspace.mesh(["predict", "vectors", "--text", "i love it"]).ok();
    let compiled = || {
        let listed = workspace.json(["model", "list", "vectors", "--json"]);
        listed[0]["compiled"].as_array().unwrap().len()
    };
    assert_eq!(compiled(), 1);
    workspace.edit(file, "speedup = 0.0", "speedup = 1e9");
    workspace.mesh(["run", "vectors"]).code(3).tells(["is not served"]);
    assert_eq!(compiled(), 0);
    workspace.mesh(["predict", "vectors", "--text", "i love it"]).code(1);
    workspace.edit(file, "speedup = 1e9", "speedup = 0.0");
    workspace.mesh(["run", "vectors"]).ok();
    workspace.mesh(["predict", "vectors", "--text", "i love it"]).ok();
}

#[test]
fn neighbours_take_two_different_texts() {
    let workspace = with_model();
    // The same model without its head, which has labels to compare.
    let script = fs::read_to_string(repository().join("docs/examples/tiny_bert.py")).unwrap();
    let lines = script.lines().filter(|line| !line.contains("found[\"classifier."));
    let script = lines.collect::<Vec<_>>().join("\n");
    workspace.write("plain.py", script.replace("BertForSequenceClassification", "BertModel"));
    let folder = workspace.path("my-model");
    fs::remove_dir_all(&folder).unwrap();
    let made =
        Command::new("python3").arg(workspace.path("plain.py")).arg(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    workspace.write("projects/vectors/project.toml", manifest("vectors", "embedding", ""));
    workspace.write("texts.txt", "i love this good film\n".repeat(10));
    workspace.mesh(["run", "vectors"]).code(1).tells(["none has a neighbour", "[compile.texts]"]);
}

#[test]
fn a_model_for_texts_shorter_than_its_sample_is_served() {
    let workspace = with_model();
    let most = "max_tokens = 8\nlong_text = \"refuse\"";
    workspace.write("projects/vectors/project.toml", manifest("vectors", "embedding", most));
    workspace.mesh(["run", "vectors"]).ok();
    let serving = workspace.serve();
    serving.get("/vectors/v1/ready").json();
    let body = |text: &str| predict_body("vectors", text);
    assert_eq!(serving.post("/vectors/v1/predict", body("i love it")).status, 200);
    let long = "i love it ".repeat(20);
    serving.post("/vectors/v1/predict", body(&long)).is_problem(422, "text-too-long");
}

#[test]
fn a_fidelity_report_tells_likeness_and_speed_of_what_is_served() {
    let workspace = with_model();
    workspace.write("projects/vectors/project.toml", manifest("vectors", "embedding", ""));
    workspace.mesh(["run", "vectors"]).ok();
    let shown = workspace.json(["model", "show", "vectors", "--json"]);
    let report = &shown["version"]["compiled"][0]["report"];
    assert!(report["fidelity"]["cosine_min"].as_f64().unwrap() > 0.99, "{report}");
    assert!(report["speed"]["speedup"].as_f64().unwrap() > 0.0, "{report}");
    // Nobody has told what is right, so nothing can have dropped.
    assert_eq!(report["fidelity"]["accuracy_drop"], Value::Null);
    let shown = workspace.mesh(["model", "show", "vectors"]).ok().out;
    assert!(shown.contains("speedup") && shown.contains("served here"), "{shown}");
}

#[test]
fn models_that_are_none_are_told_with_what_to_do() {
    type Break = fn(&Workspace);
    let cases: [(&str, Break, &str); 17] = [
        ("cut", |w| cut(w, "my-model/model.safetensors"), "no valid safetensors file"),
        (
            "no weights",
            |w| fs::remove_file(w.path("my-model/model.safetensors")).unwrap(),
            "the model has no model.safetensors",
        ),
        (
            "no tokenizer",
            |w| fs::remove_file(w.path("my-model/tokenizer.json")).unwrap(),
            "the model has no tokenizer.json",
        ),
        (
            "unknown",
            |w| {
                w.edit(
                    "my-model/config.json",
                    "\"model_type\": \"bert\"",
                    "\"model_type\": \"llama\"",
                );
            },
            "known are bert, distilbert, roberta, xlm-roberta",
        ),
        (
            "larger tokenizer",
            |w| w.edit("my-model/tokenizer.json", "\"love\": 9", "\"love\": 9999"),
            "it does not fit the model: it knows 10000 tokens",
        ),
        (
            "other layers",
            |w| {
                w.edit(
                    "my-model/config.json",
                    "\"num_hidden_layers\": 2",
                    "\"num_hidden_layers\": 1",
                );
            },
            "tensors have no place in this model",
        ),
        (
            "no head",
            |w| w.edit("my-model/config.json", "BertForSequence", "BertForToken"),
            "cannot be done by an encoder with a head that labels tokens",
        ),
        (
            "several labels at once",
            |w| {
                let more = "{\"problem_type\": \"multi_label_classification\",";
                w.edit("my-model/config.json", "{", more);
            },
            "`problem_type` is `multi_label_classification`",
        ),
        ("huge", |w| fill(w, 1e30), "texts with what is not finite"),
        ("zeros", |w| fill(w, 0.0), "or with zeros alone"),
        (
            "special tokens",
            |w| w.edit("my-model/tokenizer.json", "\"ids\": [2]", "\"ids\": [5000]"),
            "it puts token 5000 around a text",
        ),
        (
            "texts that grow",
            |w| {
                let step = "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \".\"}, \
                            \"content\": \"aaaaaaaaaa\"}";
                let from = "\"normalizer\": {\"type\": \"BertNormalizer\"";
                let to = format!(
                    "\"normalizer\": {{\"type\": \"Sequence\", \"normalizers\": [{step}, {step}]}}, \
                     \"was\": {{\"type\": \"BertNormalizer\""
                );
                w.edit("my-model/tokenizer.json", from, &to);
            },
            "its normalizer may make a text 100 times as long",
        ),
        (
            "no unknown token",
            |w| {
                let (from, to) = ("\"unk_token\": \"[UNK]\"", "\"unk_token\": \"[NOPE]\"");
                w.edit("my-model/tokenizer.json", from, to);
            },
            "it has no token for what it does not know",
        ),
        (
            "another linear map",
            |w| {
                let modules = "[{\"type\": \"sentence_transformers.models.Dense\"}]";
                w.write("my-model/modules.json", modules);
            },
            "a module `sentence_transformers.models.Dense` is not known",
        ),
        (
            "damaged length",
            |w| w.write("my-model/sentence_bert_config.json", "{"),
            "sentence_bert_config.json: it is not JSON",
        ),
        (
            "windows that are too long",
            |w| {
                let file = "projects/mood/project.toml";
                w.edit(file, "[model]", "[model]\nmax_tokens = 65");
            },
            "`max_tokens` in [model] is 65, this encoder knows 64 positions",
        ),
        (
            "a pipe",
            |w| {
                fs::remove_file(w.path("my-model/model.safetensors")).unwrap();
                let pipe = w.path("my-model/model.safetensors");
                assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
            },
            "not a regular file",
        ),
    ];
    for (name, damage, says) in cases {
        let workspace = with_model();
        workspace.write("projects/mood/project.toml", manifest("mood", "text-classification", ""));
        damage(&workspace);
        eprintln!("{name}");
        workspace.mesh(["run", "mood"]).code(1).tells([says]);
    }
}

/// Sets all weights to one number.
fn fill(workspace: &Workspace, value: f32) {
    let path = workspace.path("my-model/model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + header..].as_chunks_mut::<4>().0.fill(value.to_le_bytes());
    fs::write(path, bytes).unwrap();
}

fn cut(workspace: &Workspace, name: &str) {
    let bytes = fs::read(workspace.path(name)).unwrap();
    fs::write(workspace.path(name), &bytes[..bytes.len() / 2]).unwrap();
}

#[test]
fn a_model_of_a_hub_is_a_folder_that_is_pinned_as_one() {
    let workspace = with_model();
    let files = workspace.path("hub/org/tiny/resolve/v1");
    fs::create_dir_all(&files).unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(workspace.path("my-model").join(file), files.join(file)).unwrap();
    }
    let mut server = Command::new("python3")
        .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"])
        .current_dir(workspace.path("hub"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port = line.split_whitespace().skip_while(|word| *word != "port").nth(1).unwrap();
    let endpoint = format!("http://127.0.0.1:{port}");
    let mesh = |args: [&str; 3]| {
        let mut command = workspace.command(args);
        crate::support::run(command.env("HF_ENDPOINT", &endpoint))
    };
    let pinned = mesh(["source", "pin", "hf://org/tiny@v1"]).ok().out;
    let pinned = pinned.trim();
    assert!(pinned.starts_with("sha256 = \"") && pinned.len() == 75, "{pinned}");
    let manifest =
        manifest("vectors", "embedding", pinned).replace("file:../../my-model", "hf://org/tiny@v1");
    let file = "projects/vectors/project.toml";
    workspace.write(file, &manifest);
    mesh(["run", "vectors", "--json"]).ok();
    mesh(["predict", "vectors", "--text=i love the film"]).ok();
    // Another digest, and no such model.
    workspace.write(file, manifest.replace(pinned, &format!("sha256 = \"{}\"", "0".repeat(64))));
    let digest = pinned.trim_start_matches("sha256 = ").trim_matches('"');
    mesh(["run", "vectors", "--json"]).code(1).tells(["its digest is wrong", digest]);
    let missing = mesh(["source", "pin", "hf://org/none@v1"]).code(1);
    missing.tells(["hf://org/none@v1/config.json", "it is not there"]);
    server.kill().unwrap();
    server.wait().unwrap();
}
