//! What several projects, and several workspaces, leave in one place; and documents that changed since
//! they were enriched.

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};

use crate::{
    backfill::{documents, live, newer, with_archive},
    database::Server,
    postgres::{mesh, told, with_table},
    support::{Workspace, run},
};

/// A second project that learns and tells the same, `ratings`.
fn second_project(workspace: &Workspace) {
    let manifest = workspace.read("projects/reviews/project.toml");
    let manifest = manifest.replacen("name = \"reviews\"", "name = \"ratings\"", 1);
    workspace.write("projects/ratings/project.toml", manifest);
    workspace.mesh(["run", "ratings"]).ok();
}

/// The projects that readers see something of.
fn seen(workspace: &Workspace) -> BTreeSet<String> {
    let rows = live(workspace, "mail");
    let fields = rows.values().flat_map(|row| row.as_object().unwrap().keys());
    fields.filter_map(|field| Some(field.split_once('.')?.0.to_owned())).collect()
}

fn set<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(ToOwned::to_owned).collect()
}

#[test]
fn a_rollback_takes_back_the_last_cutover_and_no_more() {
    let workspace = with_archive(40);
    second_project(&workspace);
    let moved = workspace.mesh(["backfill", "run", "mail", "reviews", "ratings", "--cutover"]);
    moved.ok();
    newer(&workspace);
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    let versions = || {
        let row = live(&workspace, "mail").remove("7").unwrap();
        [&row["reviews.model_version"], &row["ratings.model_version"]].map(Value::to_string)
    };
    assert_eq!(versions(), ["2", "1"]);
    let back = workspace.json(["backfill", "rollback", "mail", "--json"]);
    assert_eq!(back.as_array().unwrap().len(), 1, "{back}");
    assert_eq!((&back[0]["project"], versions()), (&json!("reviews"), ["1".into(), "1".into()]));
    // The one before was of both.
    workspace.mesh(["backfill", "rollback", "mail"]).ok();
    assert_eq!(seen(&workspace), set([]));
    // One alone comes back by the other's side, and the rest of a backfill is not forgotten.
    workspace.mesh(["backfill", "cutover", "1"]).ok();
    workspace.mesh(["backfill", "rollback", "mail", "ratings"]).ok();
    assert_eq!(seen(&workspace), set(["reviews"]));
    let again = workspace.json(["backfill", "cutover", "1", "--json"]);
    assert_eq!((&again[0]["project"], again.as_array().unwrap().len()), (&json!("ratings"), 1));
    assert_eq!(seen(&workspace), set(["ratings", "reviews"]));
    assert_eq!(workspace.json(["backfill", "cutover", "1", "--json"]), json!([]));
}

#[test]
fn projects_are_of_one_backfill_in_whatever_order_they_are_named() {
    let workspace = with_archive(40);
    second_project(&workspace);
    let one = workspace.json(["backfill", "run", "mail", "reviews", "ratings", "--json"]);
    let two = workspace.json(["backfill", "run", "mail", "ratings", "reviews", "--json"]);
    assert_eq!((&one["id"], &one["chunks"]), (&two["id"], &two["resumed"]), "{two}");
}

#[test]
fn documents_that_moved_are_compared_all_the_same() {
    let workspace = with_archive(900);
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    newer(&workspace);
    workspace.mesh(["backfill", "run", "mail", "reviews"]).ok();
    let compared = || {
        let diff = workspace.json(["backfill", "diff", "2", "--json"]);
        let report = &diff[0]["report"];
        ["compared", "lost", "gained"].map(|name| report[name].as_u64().unwrap())
    };
    assert_eq!(compared(), [900, 0, 0]);
    // New ones in front, and then some that are erased.
    let all = workspace.read("mail.jsonl");
    let front: String =
        (5000..5039).map(|id| format!("{}\n", json!({ "id": id, "text": "new" }))).collect();
    workspace.write("mail.jsonl", front + &all);
    assert_eq!(compared(), [900, 0, 0]);
    let some: Vec<&str> = all.lines().skip(13).collect();
    workspace.write("mail.jsonl", some.join("\n") + "\n");
    assert_eq!(compared(), [887, 0, 0]);
    let mut mixed: Vec<&str> = all.lines().collect();
    mixed.reverse();
    workspace.write("mail.jsonl", mixed.join("\n") + "\n");
    assert_eq!(compared(), [900, 0, 0]);
    // A gate looks at all of them, too.
    workspace.edit(
        "projects/reviews/project.toml",
        "[backfill]\n",
        "[backfill]\ngate = { change = 0.0 }\n",
    );
    workspace.mesh(["backfill", "cutover", "2"]).code(3).tells(["change of reviews is"]);
    assert_eq!(compared(), [900, 0, 0]);
}

#[test]
fn where_nothing_is_to_be_done_nothing_is_written() {
    let workspace = with_archive(60);
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    let generations = || fs::read_dir(workspace.path("mail.enriched/reviews")).unwrap().count();
    let told = workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok().out;
    assert!(told.contains("mail: nothing is to be done by reviews version 1"), "{told}");
    let told = workspace.json(["backfill", "run", "mail", "reviews", "--json"]);
    assert_eq!((&told["id"], &told["state"]), (&Value::Null, &json!("unchanged")), "{told}");
    let told = workspace.mesh(["backfill", "retry", "1"]).ok().out;
    assert!(told.contains("nothing is to be done"), "{told}");
    assert_eq!(generations(), 1);
    let plan = workspace.mesh(["backfill", "plan", "mail", "reviews"]).ok().out;
    assert!(plan.contains("nothing is to be done") && !plan.contains("leaves"), "{plan}");
    // What went is to be forgotten, and what came is to be told of.
    workspace.write("mail.jsonl", documents(61));
    let told = workspace.json(["backfill", "run", "mail", "reviews", "--json"]);
    assert_eq!(told["projects"]["reviews"]["kept"], 60, "{told}");
    assert_eq!(generations(), 2);
}

#[test]
fn a_backfill_is_begun_anew_with_the_version_that_it_had() {
    let workspace = with_archive(40);
    newer(&workspace);
    workspace.mesh(["backfill", "run", "mail", "reviews@1"]).ok();
    workspace.mesh(["backfill", "cancel", "1"]).ok();
    workspace
        .mesh(["backfill", "resume", "1"])
        .code(2)
        .tells(["`mesh backfill run mail reviews@1` begins anew"]);
}

#[test]
fn a_key_that_has_the_name_of_a_stamp_is_refused() {
    let workspace = with_archive(10);
    let renamed = workspace.read("mail.jsonl").replace("\"id\"", "\"model_version\"");
    workspace.write("other.jsonl", renamed);
    let new = ["new", "archive", "other", "--data", "other.jsonl", "--key", "model_version"];
    workspace.mesh(new).ok();
    workspace.mesh(["backfill", "run", "other", "reviews"]).code(2).tells([
        "the key `model_version` has the name of a column of every enrichment",
        "[archive]",
    ]);
}

/// A workspace beside another, with its models and its archive in the same places.
fn beside(first: &Workspace) -> Workspace {
    let second = Workspace::new();
    for name in ["projects/reviews/project.toml", "reviews.csv"] {
        second.write(name, fs::read(first.path(name)).unwrap());
    }
    second.mesh(["run", "reviews"]).ok();
    let place = |name: &str| format!("file:{}", first.path(name).display());
    let manifest =
        first.read("archives/mail.toml").replace("file:mail.jsonl", &place("mail.jsonl"));
    second.write("archives/mail.toml", manifest);
    second
}

#[test]
fn what_another_workspace_made_is_not_collected_and_holes_do_not_come_live() {
    let first = with_archive(600);
    let second = beside(&first);
    first.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    newer(&first);
    first.mesh(["backfill", "run", "mail", "reviews"]).ok();
    let kept = second.json(["backfill", "collect", "mail", "--keep", "0", "--yes", "--json"]);
    assert_eq!(
        (&kept["generations"], kept["foreign"][0][0].as_str()),
        (&json!([]), Some("reviews"))
    );
    let told = second.mesh(["backfill", "collect", "mail", "--keep", "0"]).ok().out;
    assert!(told.contains("no backfill of this workspace made it (--foreign)"), "{told}");
    first.mesh(["backfill", "cutover", "2"]).ok();
    assert_eq!(live(&first, "mail").len(), 600);
    // Whoever says so removes it, and then it does not come live.
    first.mesh(["backfill", "rollback", "mail"]).ok();
    let gone = second.json(["backfill", "collect", "mail", "--foreign", "--yes", "--json"]);
    assert_eq!(gone["generations"].as_array().unwrap().len(), 1, "{gone}");
    first.mesh(["backfill", "cutover", "2"]).code(2).tells(["what it left is gone"]);
}

#[test]
fn a_part_that_is_gone_does_not_come_live() {
    let workspace = with_archive(600);
    let ran = workspace.json(["backfill", "run", "mail", "reviews", "--json"]);
    assert!(ran["chunks"].as_u64() > Some(1), "{ran}");
    let generation = fs::read_dir(workspace.path("mail.enriched/reviews")).unwrap().next().unwrap();
    let part = generation.unwrap().path().join("part-00001.parquet");
    let bytes = fs::read(&part).unwrap();
    let refused = |workspace: &Workspace| {
        let ran = workspace.mesh(["backfill", "cutover", "1"]);
        let told = ran.err.split_whitespace().filter(|word| *word != "│").collect::<String>();
        assert!(ran.code != 0 && told.contains("part-00001.parquetisdamaged"), "{}", ran.err);
    };
    fs::remove_file(&part).unwrap();
    refused(&workspace);
    fs::write(&part, &bytes[..bytes.len() / 2]).unwrap();
    refused(&workspace);
    fs::write(&part, &bytes).unwrap();
    workspace.mesh(["backfill", "cutover", "1"]).ok();
}

#[test]
fn a_table_that_is_enriched_elsewhere_too_is_told_so() {
    let (server, first) = with_table(60);
    let second = Workspace::new();
    for name in ["projects/reviews/project.toml", "reviews.csv", "archives/mail.toml"] {
        second.write(name, fs::read(first.path(name)).unwrap());
    }
    second.mesh(["run", "reviews"]).ok();
    mesh(&server, &first, ["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    let ran = run(&mut server.with(&second, ["backfill", "plan", "mail", "reviews"]));
    let ran = ran.code(2).tells(["was made elsewhere", "`enrichments` in [archive]", "--all-rows"]);
    assert!(!ran.err.contains("rollback"), "{}", ran.err);
    let all = ["backfill", "run", "mail", "reviews", "--all-rows", "--cutover"];
    mesh(&server, &second, all).ok();
    // The way back leads to a table, wherever its parts are.
    let back = told(&server, &second, ["backfill", "rollback", "mail", "--json"]);
    assert_eq!(seen_in(&server), back[0]["to"].as_str().unwrap());
    assert_eq!(server.sql("SELECT count(*) FROM mail_reviews"), "60");
    // It is told what is live whoever made it so.
    let plan = told(&server, &first, ["backfill", "plan", "mail", "reviews", "--json"]);
    assert_eq!(plan["projects"][0]["todo"], 0, "{plan}");
}

/// The generation of `reviews` that readers of the table see.
fn seen_in(server: &Server) -> String {
    server.sql("SELECT current->'projects'->'reviews'->>'generation' FROM mesh_enrichments")
}
