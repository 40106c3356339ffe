//! What every command promises.

use std::{fs, process::Stdio};

use crate::support::{Workspace, mesh, repository, run};

#[test]
fn every_command_has_help_with_examples() {
    let commands: [&[&str]; 10] = [
        &["up"],
        &["run"],
        &["status"],
        &["check"],
        &["predict"],
        &["dedup"],
        &["serve"],
        &["gc"],
        &["init"],
        &["new", "project"],
    ];
    for command in commands {
        let ran = run(mesh().args(command).arg("--help")).ok();
        assert!(ran.out.contains("Examples:"), "{command:?}\n{}", ran.out);
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(mesh().args(["completions", shell])).ok().out.contains("mesh"));
    }
}

#[test]
fn the_schemas_for_editors_are_those_of_the_program() {
    let files = [
        ("project", "docs/schema/project.schema.json"),
        ("workspace", "docs/schema/workspace.schema.json"),
        ("archive", "docs/schema/archive.schema.json"),
        ("reference", "docs/manifest.md"),
    ];
    for (manifest, file) in files {
        let path = repository().join(file);
        let told = run(mesh().args(["schema", manifest])).ok().out;
        assert_eq!(fs::read_to_string(path).unwrap(), told, "run `make schemas`");
    }
}

#[test]
fn wrong_usage_is_exit_code_2_with_a_way_on() {
    let workspace = Workspace::with_reviews(60);
    workspace.mesh(["run", "reviws"]).code(2).tells(["`reviws`", "did you mean `reviews`?"]);
    workspace.mesh(["run", "reviews:bake"]).code(2).tells(["prepare, train and compile"]);
    workspace.mesh(["run"]).code(2);
    workspace.mesh(["init", "."]).code(2).tells(["there is one already"]);
    workspace
        .mesh(["new", "project", "more", "--data", "reviews.csv", "--text", "txt"])
        .code(2)
        .tells(["find the column `txt`", "did you mean `text`? It has: text, stars"]);
    workspace
        .mesh(["new", "project", "reviews", "--data", "reviews.csv", "--label", "stars"])
        .code(2)
        .tells(["is there already"]);
    workspace
        .mesh(["new", "project", "more", "--data", "nowhere.csv"])
        .code(1)
        .tells(["nowhere.csv"]);
    workspace.mesh(["predict", "reviews", "--text", "a"]).code(1).tells(["mesh run reviews"]);
    workspace.mesh(["model", "show", "reviews"]).code(2).tells(["model list"]);
    let error = workspace.mesh(["run", "reviws", "--json"]).code(2).out;
    let error: serde_json::Value = serde_json::from_str(&error).unwrap();
    assert_eq!(error["exit_code"], 2);
    assert!(error["error"]["help"].as_str().unwrap().contains("reviews"), "{error}");
}

#[test]
fn lines_are_answered_one_by_one_and_bad_ones_get_a_reason() {
    let workspace = Workspace::with_reviews(300);
    workspace.mesh(["run", "reviews"]).ok();
    let lines = [
        r#"{"content": "a perfect delight"}"#,
        "not json",
        "",
        r#"{"content": 3}"#,
        r#"{"text": "a"}"#,
        r#"{"content": "  "}"#,
        "\u{1}\u{0}",
        r#"{"content": "awful waste, refund"}"#,
    ];
    workspace.write("in.jsonl", lines.join("\n"));
    let ran = workspace.mesh(["predict", "reviews", "--input", "in.jsonl"]).code(1);
    let told: Vec<serde_json::Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = told
        .iter()
        .map(|line| {
            (line["line"].as_u64().unwrap(), line["error"]["type"].as_str().unwrap_or("ok"))
        })
        .collect();
    let expected = [
        (1, "ok"),
        (2, "not-json"),
        (4, "schema"),
        (5, "schema"),
        (6, "empty-text"),
        (7, "not-json"),
        (8, "ok"),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(told[0]["prediction"]["labels"][0]["label"], "5");
    assert_eq!(told[6]["prediction"]["labels"][0]["label"], "1");
    // One at a time gives the same bytes as all together.
    let one = workspace.mesh(["predict", "reviews", "--text", "a perfect delight", "--json"]).ok();
    let one: serde_json::Value = serde_json::from_str(&one.out).unwrap();
    assert_eq!(one, told[0]["prediction"]);
}

#[test]
fn a_closed_pipe_is_no_error() {
    let workspace = Workspace::with_reviews(90);
    let mut child = workspace
        .command(["schema", "project"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn the_doctor_looks_at_the_machine() {
    let workspace = Workspace::new();
    let findings = workspace.json(["doctor", "--json"]);
    let what: Vec<_> =
        findings.as_array().unwrap().iter().map(|f| f["what"].as_str().unwrap()).collect();
    for wanted in ["cpu", "memory", "disk", "pip", "hub token", "S3 credentials", "workspace"] {
        assert!(what.contains(&wanted), "{findings}");
    }
}

#[test]
fn programs_are_told_wrong_usage_too() {
    let workspace = Workspace::with_reviews(60);
    for command in [["nonsense", "--json", ""], ["predict", "reviews", "--json"]] {
        let ran = workspace.mesh(command).code(2);
        let told: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(told["exit_code"], 2, "{told}");
        assert!(told["error"]["message"].is_string(), "{told}");
    }
    for threads in ["0", "100000", "many"] {
        workspace.mesh(["dedup", "reviews.csv", "--threads", threads]).code(2).tells(["--threads"]);
    }
}

#[test]
fn columns_that_are_not_there_are_found_before_anything_runs() {
    let workspace = Workspace::with_reviews(60);
    workspace.mesh(["check"]).ok();
    workspace.edit("projects/reviews/project.toml", "label = \"stars\"", "label = \"strs\"");
    workspace.mesh(["check"]).code(1).tells(["no column `strs`", "did you mean `stars`?"]);
}

#[test]
fn what_cannot_be_printed_is_no_success() {
    let workspace = Workspace::with_reviews(60);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ran = workspace.command(["status"]).stdout(full).output().unwrap();
    assert_eq!(ran.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("standard output"), "{ran:?}");
}
