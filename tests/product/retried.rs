//! What was rejected stays known until it is mended, and is done again then.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    backfill::{counts, live, newer, with_archive},
    support::Workspace,
};

/// The lines of the archive with some in the place of others.
fn rewrite(workspace: &Workspace, lines: &[(usize, Value)]) {
    let text = workspace.read("mail.jsonl");
    let mut all: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    for (at, line) in lines {
        all[*at] = line.as_str().map_or_else(|| line.to_string(), ToOwned::to_owned);
    }
    workspace.write("mail.jsonl", all.join("\n"));
}

/// What became of the rows of a run: enriched, kept, left, rejected, and rejected before.
fn told(report: &Value) -> [u64; 5] {
    ["enriched", "kept", "skipped", "rejected", "rejected_before"]
        .map(|name| counts(report)[name].as_u64().unwrap_or_default())
}

fn retry(workspace: &Workspace, of: &Value) -> Value {
    workspace.json(["backfill", "retry", &of["id"].to_string(), "--json"])
}

fn cutover(workspace: &Workspace, of: &Value) {
    workspace.mesh(["backfill", "cutover", &of["id"].to_string()]).ok();
}

/// The rejected rows of a run, each with its reason.
fn rejects(workspace: &Workspace, of: &Value) -> Vec<(u64, String)> {
    let all = workspace.json(["backfill", "rejects", &of["id"].to_string(), "--json"]);
    let told = |row: &Value| {
        assert_eq!(row["file"], "mail.jsonl", "{row}");
        (row["row"].as_u64().unwrap(), row["reason"].as_str().unwrap().to_owned())
    };
    all["reviews"].as_array().unwrap().iter().map(told).collect()
}

#[test]
fn rejected_rows_that_a_filter_leaves_out_stay_rejected_until_they_are_mended() {
    let workspace = with_archive(300);
    rewrite(
        &workspace,
        &[
            (3, json!({ "id": 3, "text": null, "lang": "de" })),
            (7, json!({ "id": 7, "text": " ", "lang": "de" })),
        ],
    );
    let ran = workspace.json(["backfill", "run", "mail", "reviews", "--cutover", "--json"]);
    assert_eq!(told(&ran), [298, 0, 0, 2, 0]);
    newer(&workspace);
    let filter = ["--where", "id > 200", "--json"];
    let [clause, sql, as_json] = filter;
    let plan = workspace.json(["backfill", "plan", "mail", "reviews", clause, sql, as_json]);
    let skipped = &plan["projects"][0]["skipped"];
    assert_eq!(skipped, &json!({ "not selected": 199, "rejected before": 2 }));
    // They are no fault of a run that does not look at them.
    let some = workspace.json([
        "backfill",
        "run",
        "mail",
        "reviews",
        clause,
        sql,
        "--max-rejected",
        "0",
        as_json,
    ]);
    assert_eq!(told(&some), [99, 199, 0, 2, 2], "{some}");
    let expected = vec![(3, "schema".to_owned()), (7, "empty-text".to_owned())];
    assert_eq!(rejects(&workspace, &some), expected);
    let shown = workspace.mesh(["backfill", "status", &some["id"].to_string()]).ok().out;
    assert!(shown.contains("99 enriched, 199 kept, 2 rejected before"), "{shown}");
    cutover(&workspace, &some);
    let plan = workspace.json(["backfill", "plan", "mail", "reviews", "--json"]);
    assert_eq!(plan["projects"][0]["why"]["rejected before"], 2, "{plan}");
    // Each is done by a retry when it is mended, however many runs passed it over.
    rewrite(&workspace, &[(7, json!({ "id": 7, "text": "a lovely box", "lang": "de" }))]);
    let again = retry(&workspace, &some);
    assert_eq!(told(&again), [1, 298, 0, 1, 0], "{again}");
    assert_eq!(rejects(&workspace, &again), [(3, "schema".to_owned())]);
    cutover(&workspace, &again);
    assert_eq!(live(&workspace, "mail")["7"]["reviews.model_version"], 2);
}

#[test]
fn rows_that_had_no_key_are_done_by_a_retry_once_they_have_one() {
    let workspace = with_archive(300);
    let mended = [
        (7, json!({ "id": 7, "text": "a lovely box" })),
        (9, json!({ "id": 9, "text": "a broken box" })),
        (10, json!({ "id": 10, "text": "an empty box" })),
    ];
    rewrite(
        &workspace,
        &[
            (7, json!({ "id": 8, "text": "a key that is there twice" })),
            (9, json!("{ \"id\": 9, \"te")),
            (10, json!({ "text": "no key" })),
        ],
    );
    let ran = workspace.json(["backfill", "run", "mail", "reviews", "--cutover", "--json"]);
    assert_eq!(told(&ran), [297, 0, 0, 3, 0]);
    // Nothing is mended: nothing is done.
    let again = retry(&workspace, &ran);
    assert_eq!(again["state"], "unchanged", "{again}");
    // What was told of the key 8 was of the other text: that is for a run, as all that changed.
    rewrite(&workspace, &mended);
    let again = retry(&workspace, &ran);
    assert_eq!(told(&again), [3, 297, 0, 0, 0], "{again}");
    cutover(&workspace, &again);
    let rows = live(&workspace, "mail");
    assert!(rows.values().all(|row| row["reviews.model_version"] == 1));
}

#[test]
fn a_retry_does_none_of_the_rows_that_were_never_to_be_done() {
    let workspace = with_archive(300);
    rewrite(&workspace, &[(9, json!("{ \"id\": 9, \"te")), (200, json!({ "text": "no key" }))]);
    let filter = ["--where", "id < 100"];
    let run = ["backfill", "run", "mail", "reviews", filter[0], filter[1], "--cutover", "--json"];
    let ran = workspace.json(run);
    assert_eq!(told(&ran), [99, 0, 199, 2, 0], "{ran}");
    let both =
        [(9, json!({ "id": 9, "text": "a box" })), (200, json!({ "id": 200, "text": "two" }))];
    rewrite(&workspace, &both);
    let again = retry(&workspace, &ran);
    assert_eq!(told(&again), [2, 99, 199, 0, 0], "{again}");
    cutover(&workspace, &again);
    let rows = live(&workspace, "mail");
    let done: BTreeSet<u64> = rows
        .values()
        .filter(|row| !row["reviews.model_version"].is_null())
        .map(|row| row["id"].as_u64().unwrap())
        .collect();
    assert_eq!(done, (0..100).chain([200]).collect());
}
