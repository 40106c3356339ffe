//! What is an archive's and what is not, and what of it `--where` selects.

use serde_json::{Value, json};

use crate::{
    backfill::{documents, live, with_archive},
    s3::Buckets,
    support::{Workspace, run},
};

fn archive(workspace: &Workspace, name: &str, data: &str) {
    workspace.mesh(["new", "archive", name, "--data", data, "--key", "id"]).ok();
}

/// What `--where` selects of an archive.
fn selected(workspace: &Workspace, name: &str, sql: &str) -> Value {
    let plan = ["backfill", "plan", name, "reviews", "--where", sql, "--json"];
    workspace.json(plan)["projects"][0]["todo"].clone()
}

#[test]
fn files_that_are_no_documents_are_told() {
    let workspace = with_archive(10);
    workspace.write("all/a.jsonl", documents(20));
    workspace.write("all/more/c.jsonl.gz", "compressed");
    workspace.write("all/notes.txt", "none of them");
    workspace.write("all/_SUCCESS", "");
    archive(&workspace, "all", "all");
    let plan = workspace.mesh(["backfill", "plan", "all", "reviews"]).ok().out;
    assert!(plan.contains("passed over: 2 files") && plan.contains("more/c.jsonl.gz"), "{plan}");
    let plan = workspace.json(["backfill", "plan", "all", "reviews", "--json"]);
    assert_eq!(plan["passed_over"], json!(["more/c.jsonl.gz", "notes.txt"]));
    let data = "all/more/c.jsonl.gz";
    workspace.mesh(["new", "archive", "packed", "--data", data, "--key", "id"]).code(1).tells([
        "c.jsonl.gz is none of Parquet",
        "it is compressed as a whole",
        "unpack it",
    ]);
}

#[test]
fn a_folder_is_a_column_before_that_of_its_files() {
    let workspace = with_archive(10);
    workspace.write("mix/a.jsonl", json!({ "id": 1, "text": "a box" }).to_string());
    let line = json!({ "id": 900, "text": "eine Kiste", "lang": "de" });
    workspace.write("mix/lang=en/p.jsonl", line.to_string());
    archive(&workspace, "mix", "mix");
    let ran = workspace.mesh(["backfill", "run", "mix", "reviews", "--cutover"]).ok();
    let told = ran.tells(["p.jsonl has a column `lang` of its own, which is not read"]).err;
    assert_eq!(told.matches("of its own").count(), 1, "{told}");
    let rows = live(&workspace, "mix");
    assert_eq!((&rows["1"]["lang"], &rows["900"]["lang"]), (&Value::Null, &json!("en")));
}

#[test]
fn texts_are_compared_with_numbers_only_where_they_may_be_some() {
    let workspace = with_archive(30);
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    for (name, file) in [("table", "all.csv"), ("columns", "all.parquet")] {
        workspace.mesh(["backfill", "export", "mail", "--output", file]).ok();
        archive(&workspace, name, file);
    }
    assert_eq!(selected(&workspace, "table", "id >= 20"), 10);
    assert_eq!(selected(&workspace, "columns", "id >= '20' and lang = 'de'"), 5);
    let refused = |sql: &str| {
        let mut command = workspace.command(["backfill", "plan", "columns", "reviews", "--where"]);
        run(command.arg(sql)).code(2)
    };
    refused("text > 5").tells(["`text` holds text, which cannot be compared with a number"]);
    refused("text").tells(["`text` holds text, which cannot be compared with true or false"]);
    refused("id >= '1' = true").tells(["`id >= '1'` is a condition", "and, or, not"]);
    refused("\"reviews.enriched_at\" > 5").tells(["`reviews.enriched_at` holds times", "date '"]);
    refused(&"id = '1' or ".repeat(2000)).tells(["the most is 16384", "say it by less"]);
}

#[test]
fn what_is_asked_of_a_service_that_is_not_there_is_told() {
    let workspace = with_archive(10);
    let through = |more: &[&str]| {
        let mut command = workspace.command(["backfill", "run", "mail", "reviews", "--through"]);
        run(command.arg("http://127.0.0.1:1").args(more))
    };
    let refused = through(&[]).code(1).tells(["then give the same command again"]);
    assert!(!refused.err.contains("resume"), "{}", refused.err);
    through(&["--in-flight", "0"]).code(2).tells(["expected 1 to 1024 requests or tasks"]);
}

#[test]
fn a_bucket_that_is_not_there_is_told_once_and_plainly() {
    let (workspace, buckets) = (with_archive(10), Buckets::serve());
    let new = ["new", "archive", "far", "--data", "s3://nowhere/mail", "--key", "id"];
    let refused = run(&mut buckets.with(&workspace, new)).code(1);
    let refused = refused.tells(["there is no such bucket", "AWS_ENDPOINT_URL"]);
    assert_eq!(refused.err.matches("NoSuchBucket").count(), 1, "{}", refused.err);
    assert!(!refused.err.contains("<Code>"), "{}", refused.err);
}
