//! What a backfill says when it cannot go on: its advice is followed, and works.

use std::{fs, process::Stdio};

use serde_json::{Value, json};

use crate::{
    backfill::{counts, documents, live, newer, versions, with_archive},
    support::{Workspace, run, signal, until, wait},
};

const MANIFEST: &str = "projects/reviews/project.toml";

/// So many documents, of which every `bad`th has no text.
fn with_empty(rows: usize, bad: usize) -> String {
    let text = |row: usize| if row.is_multiple_of(bad) { "" } else { "a fine box" };
    (0..rows).map(|row| format!("{}\n", json!({ "id": row, "text": text(row) }))).collect()
}

/// What can be done next with a backfill.
fn next(workspace: &Workspace, id: &str) -> Value {
    workspace.json(["backfill", "status", id, "--json"])[0]["next"].clone()
}

#[test]
fn an_archive_without_rows_is_enriched_made_live_and_exported() {
    let workspace = with_archive(10);
    workspace.write("empty.csv", "id,text\n");
    workspace.mesh(["new", "archive", "empty", "--data", "empty.csv", "--key", "id"]).ok();
    let plan = workspace.json(["backfill", "plan", "empty", "reviews", "--json"]);
    assert_eq!(plan["rows"], 0, "{plan}");
    let ran = workspace.json(["backfill", "run", "empty", "reviews", "--cutover", "--json"]);
    assert_eq!((&ran["rows"], &ran["state"]), (&json!(0), &json!("done")), "{ran}");
    workspace.mesh(["backfill", "diff", "1"]).ok();
    workspace.mesh(["backfill", "export", "empty", "--output", "none.jsonl"]).ok();
    assert_eq!(workspace.read("none.jsonl"), "");
    workspace.mesh(["backfill", "export", "empty", "--output", "none.parquet"]).ok();
    workspace.mesh(["new", "archive", "none", "--data", "none.parquet", "--key", "id"]).ok();
    let plan = workspace.json(["backfill", "plan", "none", "reviews", "--json"]);
    assert_eq!(plan["rows"], 0, "{plan}");
    // What comes later is told beside nothing.
    workspace.write("empty.csv", "id,text\n1,a fine box\n");
    let ran = workspace.json(["backfill", "run", "empty", "reviews", "--cutover", "--json"]);
    assert_eq!(counts(&ran)["enriched"], 1, "{ran}");
    workspace.mesh(["backfill", "rollback", "empty"]).ok();
    workspace.mesh(["backfill", "rollback", "empty"]).ok();
}

#[test]
fn rows_that_are_rejected_again_do_not_stop_those_who_do_them_again() {
    let workspace = with_archive(10);
    workspace.write("mail.jsonl", with_empty(1_000, 20));
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    // Some are mended, the others are rejected again.
    let mended =
        with_empty(1_000, 20).replace("\"id\":20,\"text\":\"\"", "\"id\":20,\"text\":\"ok\"");
    workspace.write("mail.jsonl", mended);
    let again = workspace.json(["backfill", "retry", "1", "--json"]);
    assert_eq!(counts(&again)["enriched"], 1, "{again}");
    assert_eq!((&counts(&again)["rejected"], &counts(&again)["kept"]), (&json!(49), &json!(950)));
    workspace.mesh(["backfill", "cutover", "2"]).ok();
    // Nor do they stop the runs that come after, which do them again with what is new.
    let more = workspace.read("mail.jsonl") + "{\"id\": 1000, \"text\": \"a fine box\"}\n";
    workspace.write("mail.jsonl", more);
    let later = workspace.json(["backfill", "run", "mail", "reviews", "--json"]);
    assert_eq!((&counts(&later)["enriched"], &counts(&later)["rejected"]), (&json!(1), &json!(49)));
    // A limit that is named counts.
    workspace
        .mesh(["backfill", "retry", "3", "--max-rejected", "0.015"])
        .code(1)
        .tells(["49 of 1001 rows were rejected, more than 1.5 per cent", "mesh backfill cancel 4"]);
    workspace.mesh(["backfill", "resume", "4", "--max-rejected", "1"]).ok();
}

#[test]
fn few_rows_are_not_made_live_if_most_of_them_are_rejected() {
    let workspace = with_archive(10);
    workspace.write("mail.jsonl", with_empty(29, 2));
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).code(1).tells([
        "15 of 29 rows were rejected, more than 10 per cent",
        "mesh backfill resume 1 --max-rejected 1",
    ]);
    workspace.mesh(["backfill", "cutover", "1"]).code(2).tells(["it is failed, not done"]);
    let ran = workspace.json(["backfill", "resume", "1", "--max-rejected", "1", "--json"]);
    assert_eq!(counts(&ran)["rejected"], 15, "{ran}");
    workspace.mesh(["backfill", "cutover", "1"]).ok();
}

#[test]
fn what_cannot_be_resumed_is_not_advised_to_be() {
    let workspace = with_archive(10);
    workspace.write("mail.jsonl", with_empty(29, 2));
    workspace.mesh(["backfill", "run", "mail", "reviews"]).code(1);
    assert_eq!(next(&workspace, "1"), json!(["mesh backfill resume 1", "mesh backfill cancel 1"]));
    // Something else is asked of the same archive: it may be gone on with.
    let other = ["backfill", "run", "mail", "reviews", "--where", "id > 3"];
    workspace.mesh(other).code(1).tells(["Go on with it: `mesh backfill resume 1`"]);
    workspace.write("mail.jsonl", documents(30));
    let refused = workspace.mesh(["backfill", "run", "mail", "reviews"]).code(1);
    assert!(!refused.err.contains("resume"), "{}", refused.err);
    refused.tells([
        "it cannot be gone on with, as this changed: the files of the archive",
        "Give it up, `mesh backfill cancel 1`, then begin anew",
    ]);
    assert_eq!(next(&workspace, "1"), json!(["mesh backfill cancel 1"]));
    workspace.mesh(["backfill", "cancel", "1"]).ok();
    // One that was given up leads to a new one.
    let anew = "`mesh backfill run mail reviews@1` begins anew";
    workspace.mesh(["backfill", "diff", "1"]).code(2).tells(["it is cancelled, not done", anew]);
    workspace.mesh(["backfill", "cutover", "1"]).code(2).tells(["it is cancelled, not done", anew]);
    workspace.mesh(["backfill", "resume", "1"]).code(2).tells(["it is cancelled", anew]);
    assert_eq!(next(&workspace, "1"), json!(["mesh backfill run mail reviews@1"]));
    workspace.mesh(["backfill", "run", "mail", "reviews"]).ok();
}

#[test]
fn the_command_that_begins_anew_can_be_pasted() {
    let workspace = with_archive(10);
    let filter = "text <> 'it costs $5' and lang <> '`id`'";
    let run_it = ["backfill", "run", "mail", "reviews@1", "--where", filter];
    let plan_it = ["backfill", "plan", "mail", "reviews@1", "--where", filter];
    let plan = workspace.mesh(plan_it).ok().out;
    workspace.mesh(run_it).ok();
    workspace.mesh(["backfill", "cancel", "1"]).ok();
    let anew = next(&workspace, "1")[0].as_str().unwrap().to_owned();
    assert!(plan.contains(&format!("next: {anew}")), "{anew}\n{plan}");
    // The shell gives the condition back as it was.
    let words = anew.replace("mesh backfill run", "printf '%s\\n'");
    let output = std::process::Command::new("bash").arg("-c").arg(&words).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(told.lines().last(), Some(filter), "{words}");
}

#[test]
fn what_is_damaged_is_done_anew_without_what_is_left_of_it() {
    let workspace = with_archive(300);
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    let folder = fs::read_dir(workspace.path("mail.enriched/reviews")).unwrap().next().unwrap();
    let folder = folder.unwrap().path();
    for file in ["part-00000.parquet", "generation.json"] {
        fs::write(folder.join(file), "{").unwrap();
        newer_by(&workspace, file);
        workspace
            .mesh(["backfill", "run", "mail", "reviews", "--where", "id > 3"])
            .code(1)
            .tells(["is damaged", "mesh backfill run --all-rows"]);
        let all = workspace.json(["backfill", "status", "--json"]);
        if all[0]["state"] == "failed" {
            workspace.mesh(["backfill", "cancel", &all[0]["id"].to_string()]).ok();
        }
        let all = ["backfill", "run", "mail", "reviews", "--all-rows", "--json"];
        let ran = workspace.json(all);
        assert_eq!(counts(&ran)["enriched"], 300, "{ran}");
        if file == "generation.json" {
            workspace.mesh(["backfill", "cutover", &ran["id"].to_string()]).ok();
        }
    }
    assert_eq!(live(&workspace, "mail").len(), 300);
}

/// Another version for each name.
fn newer_by(workspace: &Workspace, name: &str) {
    let c = if name.starts_with('p') { "0.001" } else { "0.002" };
    if name.starts_with('p') {
        workspace.edit(
            MANIFEST,
            "model = \"linear\"",
            "model = \"linear\"\nlinear = { c = [0.001] }",
        );
    } else {
        workspace.edit(MANIFEST, "0.001", c);
    }
    workspace.mesh(["run", "reviews"]).ok();
    let version = if name.starts_with('p') { "2" } else { "3" };
    workspace.mesh(["model", "promote", "reviews", version]).ok();
}

#[test]
fn what_tells_of_what_is_live_can_be_written_anew() {
    let workspace = with_archive(300);
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    let before = live(&workspace, "mail");
    let whole = workspace.read("mail.enriched/current.json");
    workspace.write("mail.enriched/current.json", &whole[..whole.len() / 2]);
    let told = workspace
        .mesh(["backfill", "plan", "mail", "reviews"])
        .code(1)
        .tells(["current.json is damaged", "mesh backfill status --json"]);
    assert!(!told.err.contains("newer"), "{}", told.err);
    let all = workspace.json(["backfill", "status", "--json"]);
    assert_eq!(all[0]["state"], "live");
    let generation = all[0]["generation"].as_str().unwrap();
    let anew = format!(
        "{{\"format\": 1, \"projects\": {{\"reviews\": {{\"generation\": \"{generation}\", \
         \"previous\": null}}}}}}"
    );
    workspace.write("mail.enriched/current.json", anew);
    assert_eq!(live(&workspace, "mail"), before);
    workspace.write("mail.enriched/current.json", "{\"format\": 2, \"projects\": []}");
    workspace
        .mesh(["backfill", "plan", "mail", "reviews"])
        .code(1)
        .tells(["a newer `mesh` wrote", "update this `mesh`"]);
}

#[test]
fn what_was_collected_is_not_called_damaged() {
    let workspace = with_archive(300);
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    newer(&workspace);
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    workspace.mesh(["backfill", "collect", "mail", "--keep", "0", "--yes"]).ok();
    for command in ["diff", "cutover"] {
        let told = workspace.mesh(["backfill", command, "1"]).code(2).tells([
            "what it left is gone, as `mesh backfill collect` removes what nobody sees",
            "`mesh backfill run mail reviews@1` does it anew",
        ]);
        assert!(!told.err.contains("damaged"), "{}", told.err);
    }
    workspace.mesh(["backfill", "diff", "2"]).code(2).tells(["what was live before it is gone"]);
    assert_eq!(versions(&live(&workspace, "mail")), [("2".into(), 300)].into());
}

#[test]
fn a_run_that_a_gate_refuses_names_its_backfill() {
    let workspace = with_archive(300);
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    newer(&workspace);
    workspace.edit(MANIFEST, "[backfill]", "[backfill]\ngate = { change = 0.0 }");
    workspace
        .mesh(["backfill", "run", "mail", "reviews", "--cutover"])
        .code(3)
        .tells(["`mesh backfill diff 2` shows", "`mesh backfill cutover 2 --force`"]);
}

#[test]
fn what_differs_is_what_is_live() {
    let workspace = with_archive(300);
    workspace.mesh(["backfill", "run", "mail", "reviews"]).ok();
    newer(&workspace);
    workspace.write("mail.jsonl", with_empty(29, 2));
    workspace.mesh(["backfill", "run", "mail", "reviews"]).code(1);
    workspace.write("mail.jsonl", with_empty(29, 2));
    let mut touch = std::process::Command::new("touch");
    assert!(
        touch
            .args(["-d", "2020-01-01"])
            .arg(workspace.path("mail.jsonl"))
            .status()
            .unwrap()
            .success()
    );
    let mut command = workspace.command(["backfill", "cancel", "2"]);
    run(&mut command).ok();
    workspace.mesh(["backfill", "run", "mail", "reviews"]).code(1);
    workspace.mesh(["backfill", "cutover", "1"]).ok();
    workspace
        .mesh(["backfill", "resume", "3"])
        .code(2)
        .tells(["changed: what is live", "mesh backfill cancel 3"]);
    assert_eq!(next(&workspace, "3"), json!(["mesh backfill cancel 3"]));
}

#[test]
fn a_run_that_was_killed_cannot_be_paused() {
    let workspace = with_archive(60_000);
    let mut command = workspace.command(["backfill", "run", "mail", "reviews", "--threads", "1"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("some chunks are done", || {
        let all = workspace.json(["backfill", "status", "--json"]);
        all[0]["done"].as_u64().is_some_and(|done| done > 0)
    });
    signal(&child, "KILL");
    wait(&mut child);
    workspace
        .mesh(["backfill", "pause", "1"])
        .code(2)
        .tells(["no process works on it", "`mesh backfill resume 1` goes on with it"]);
}

#[test]
fn what_is_said_of_a_backfill_is_about_it() {
    let workspace = with_archive(10);
    workspace.write("mail.jsonl", with_empty(100, 50));
    let plan = workspace.mesh(["backfill", "plan", "mail", "reviews"]).ok().out;
    assert!(plan.contains("in 1 chunk\n"), "{plan}");
    let ran = workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok().out;
    assert!(ran.contains("reviews was none") && !ran.contains("next:"), "{ran}");
    let rejects = workspace.mesh(["backfill", "rejects", "1"]).ok().out;
    assert!(rejects.contains("row (from 0)"), "{rejects}");
    assert_eq!(workspace.json(["backfill", "rejects", "1", "--json"])["reviews"][1]["row"], 50);
    // What each of two projects rejects is told apart.
    workspace.mesh(["new", "project", "copies", "--task", "near-duplicates"]).ok();
    let copies = "[backfill]\ninput = { content = \"text\" }\n\n[serve]";
    workspace.edit("projects/copies/project.toml", "[serve]", copies);
    let both = ["backfill", "run", "mail", "copies", "reviews", "--all-rows", "--max-rejected=1"];
    workspace.mesh(both).ok();
    let status = workspace.mesh(["backfill", "status", "2"]).ok().out;
    assert!(status.contains(" 0, 2 "), "{status}");
    let followed = workspace.json(["backfill", "followed", "mail", "--json"]);
    assert_eq!((&followed["messages"], &followed["refusals"]), (&json!(0), &json!([])));
    workspace
        .mesh(["backfill", "plan", "mail", "reviews", "--where", "id = 3 ; drop"])
        .code(2)
        .tells(["`;` at line 1, column 8 is too much"]);
}

#[test]
fn an_archive_is_not_made_of_what_is_not_there() {
    let workspace = with_archive(10);
    let new = |name: &str, more: &[&str]| {
        let mut command = workspace.command(["new", "archive", name, "--key", "id"]);
        run(command.args(more))
    };
    let data = ["--data", "mail.jsonl"];
    new("a b", &data).code(2).tells(["the archive name `a b` is not valid"]);
    new("x", &[&data[..], &["--truth", "revews=lang"]].concat())
        .code(2)
        .tells(["there is no project `revews`", "did you mean `reviews`"]);
    workspace.write("twice.csv", "id,text,text\n1,a,b\n");
    let made = new("x", &["--data", "twice.csv"]).ok();
    made.tells(["two columns of", "twice.csv have the name `text`: the first is read"]);
}
