//! Documents whose inputs change under their keys.

use std::{fs, sync::Arc};

use arrow_array::RecordBatch;
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use serde_json::{Value, json};

use crate::{
    backfill::{counts, live, with_archive},
    support::Workspace,
};

/// As an export names a document.
const SEVENTH: &str = "7";

/// Writes another value into a field of a document.
fn rewrite(workspace: &Workspace, id: usize, field: &str, value: &str) {
    let line = |line: &str| {
        let mut row: Value = serde_json::from_str(line).unwrap();
        if row["id"] == id {
            row[field] = json!(value);
        }
        format!("{row}\n")
    };
    let all: String = workspace.read("mail.jsonl").lines().map(line).collect();
    workspace.write("mail.jsonl", all);
}

fn plan(workspace: &Workspace, more: [&str; 2]) -> Value {
    let [first, second] = more;
    let plan = workspace.json(["backfill", "plan", "mail", "reviews", "--json", first, second]);
    plan["projects"][0].clone()
}

fn stale(workspace: &Workspace) -> Value {
    let plan = workspace.json(["backfill", "plan", "mail", "reviews", "--json"]);
    plan["projects"][0].clone()
}

#[test]
fn a_text_that_changes_under_its_key_is_done_again() {
    let workspace = with_archive(300);
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    let before = live(&workspace, "mail");
    let digests = || before.values().map(|row| row["reviews.input_digest"].as_str().unwrap());
    assert!(digests().all(|d| d.len() == 16 && d.chars().all(|c| c.is_ascii_hexdigit())));
    assert_eq!(digests().collect::<std::collections::BTreeSet<_>>().len(), 300);
    assert_eq!(stale(&workspace)["todo"], 0);
    // What no model is asked may change.
    rewrite(&workspace, 8, "lang", "it");
    assert_eq!(stale(&workspace)["skipped"], json!({ "answered by this model": 300 }));

    rewrite(&workspace, 7, "text", "awful, broken, a waste: never again");
    let told = stale(&workspace);
    assert_eq!(told["why"], json!({ "changed": 1 }), "{told}");
    assert_eq!(told["skipped"], json!({ "answered by this model": 299 }), "{told}");
    let shown = workspace.mesh(["backfill", "plan", "mail", "reviews"]).ok().out;
    assert!(shown.contains("1 changed"), "{shown}");
    // Where it is not selected it stays, and is not forgotten.
    let some = workspace.json([
        "backfill",
        "run",
        "mail",
        "reviews",
        "--where",
        "id > 100",
        "--cutover",
        "--json",
    ]);
    assert_eq!((&counts(&some)["enriched"], &counts(&some)["kept"]), (&json!(0), &json!(300)));
    assert_eq!(stale(&workspace)["why"], json!({ "changed": 1 }));
    let ran = workspace.json(["backfill", "run", "mail", "reviews", "--json"]);
    assert_eq!((&counts(&ran)["enriched"], &counts(&ran)["kept"]), (&json!(1), &json!(299)));
    let id = ran["id"].to_string();
    let diff = workspace.json(["backfill", "diff", &id, "--json"]);
    assert_eq!(diff[0]["inputs_changed"], 1, "{diff}");
    let diff = workspace.mesh(["backfill", "diff", &id]).ok().out;
    assert!(diff.contains("0 rejected, 1 with another input"), "{diff}");
    workspace.mesh(["backfill", "cutover", &id]).ok();
    let after = live(&workspace, "mail");
    for (key, row) in &before {
        let told = |name: &str| row[name] == after[key][name];
        let same = ["reviews.labels", "reviews.enriched_at", "reviews.input_digest"].map(told);
        assert_eq!(same, [key != SEVENTH; 3], "{key}: {row}, {}", after[key]);
    }
    assert_eq!(stale(&workspace)["todo"], 0);
    // What it was again is told again, and the same.
    let text = before[SEVENTH]["text"].as_str().unwrap();
    rewrite(&workspace, 7, "text", text);
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    let again = live(&workspace, "mail");
    for name in ["reviews.labels", "reviews.input_digest"] {
        assert_eq!(again[SEVENTH][name], before[SEVENTH][name]);
    }
}

#[test]
fn a_change_that_makes_a_text_unusable_takes_its_answer_away() {
    let workspace = with_archive(200);
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    rewrite(&workspace, 5, "text", " ");
    let ran = workspace.json(["backfill", "run", "mail", "reviews", "--cutover", "--json"]);
    let told = |name: &str| counts(&ran)[name].as_u64().unwrap();
    assert_eq!(["enriched", "kept", "rejected"].map(told), [0, 199, 1], "{ran}");
    assert!(live(&workspace, "mail")["5"]["reviews.labels"].is_null());
}

/// Takes the digests of inputs out of all parts, as an older `mesh` wrote them.
fn as_before_digests(workspace: &Workspace) {
    let generations = fs::read_dir(workspace.path("mail.enriched/reviews")).unwrap();
    let files = generations.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    let parts = files.map(|file| file.unwrap().path());
    for part in parts.filter(|path| path.extension().is_some_and(|ending| ending == "parquet")) {
        let file = fs::File::open(&part).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        let batches: Vec<RecordBatch> = reader.map(|batch| older(&batch.unwrap())).collect();
        let mut writer =
            ArrowWriter::try_new(fs::File::create(&part).unwrap(), batches[0].schema(), None)
                .unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.close().unwrap();
    }
}

fn older(batch: &RecordBatch) -> RecordBatch {
    let schema = Arc::clone(batch.schema_ref());
    let columns: Vec<usize> = (0..schema.fields().len())
        .filter(|at| schema.field(*at).name() != "input_digest")
        .collect();
    assert_eq!(columns.len() + 1, schema.fields().len());
    batch.project(&columns).unwrap()
}

#[test]
fn rows_of_an_older_mesh_are_trusted_and_counted_apart() {
    let workspace = with_archive(300);
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    as_before_digests(&workspace);
    assert!(live(&workspace, "mail")[SEVENTH]["reviews.input_digest"].is_null());
    rewrite(&workspace, 7, "text", "awful, broken, a waste: never again");
    // Nobody knows what was asked then.
    let told = stale(&workspace);
    let kept = json!({ "answered by this model, input not noted": 300 });
    assert_eq!((&told["todo"], &told["skipped"]), (&json!(0), &kept), "{told}");
    // What is done anew is known from then on, beside what is not.
    let some = ["--where", "id < 100"];
    workspace
        .mesh(["backfill", "run", "mail", "reviews", "--all-rows", "--cutover", some[0], some[1]])
        .ok();
    let told = stale(&workspace);
    let kept = json!({
        "answered by this model": 100, "answered by this model, input not noted": 200
    });
    assert_eq!((&told["todo"], &told["skipped"]), (&json!(0), &kept), "{told}");
    rewrite(&workspace, 7, "text", "lovely, great, perfect");
    rewrite(&workspace, 207, "text", "lovely, great, perfect");
    assert_eq!(plan(&workspace, some)["why"], json!({ "changed": 1 }));
    let ran = workspace.json(["backfill", "run", "mail", "reviews", "--cutover", "--json"]);
    assert_eq!((&counts(&ran)["enriched"], &counts(&ran)["kept"]), (&json!(1), &json!(299)));
}

#[test]
fn the_plan_tells_how_large_it_will_be_also_of_what_is_kept() {
    let workspace = with_archive(900);
    let size = |command: [&str; 2]| {
        let [action, filter] = command;
        workspace.json(["backfill", action, "mail", "reviews", "--where", filter, "--json"])
    };
    let differs = |filter: &str| {
        let (plan, ran) = (size(["plan", filter]), size(["run", filter]));
        let (told, is) = (plan["bytes"]["value"].as_f64().unwrap(), ran["bytes"].as_f64().unwrap());
        workspace.mesh(["backfill", "cutover", &ran["id"].to_string()]).ok();
        (told / is - 1.0).abs()
    };
    assert!(differs("id >= 0") < 0.1);
    crate::backfill::newer(&workspace);
    assert!(differs("id < 45") < 0.1);
    assert!(differs("id < 600") < 0.1);
}
