//! Archives that lie beside each other keep apart, and no document is written over.

use std::fs;

use serde_json::json;

use crate::{
    backfill::{live, with_archive},
    support::{Ran, Workspace},
};

/// A command that fails, and says why.
#[track_caller]
fn fails(ran: Ran, why: &str) -> Ran {
    let told = ran.err.split_whitespace().collect::<Vec<_>>().join(" ").replace("│ ", "");
    assert!(ran.code != 0 && told.contains(why), "{}", ran.err);
    ran
}

fn archive(workspace: &Workspace, name: &str, data: &str) {
    workspace.mesh(["new", "archive", name, "--data", data, "--key", "id"]).ok();
}

fn document(id: usize, text: &str) -> String {
    json!({ "id": id, "text": text }).to_string() + "\n"
}

#[test]
fn no_two_archives_share_a_folder_of_enrichments() {
    let workspace = with_archive(20);
    workspace.write("mail.csv", "id,text\n1,lovely\n2,lovely\n");
    archive(&workspace, "other", "mail.csv");
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    // `mail.csv` and `mail.jsonl` would both have `mail.enriched`.
    let shared = workspace.mesh(["backfill", "run", "other", "reviews", "--cutover"]);
    let shared = fails(shared, "keeps what is told of mail");
    assert!(shared.err.contains("`enrichments` in [archive]"), "{}", shared.err);
    fails(workspace.mesh(["backfill", "export", "other", "--output", "o.jsonl"]), "told of mail");
    fails(workspace.mesh(["backfill", "rollback", "other"]), "told of mail");
    workspace.edit(
        "archives/other.toml",
        "[archive]\n",
        "[archive]\nenrichments = \"file:others.enriched\"\n",
    );
    workspace.mesh(["backfill", "run", "other", "reviews", "--cutover"]).ok();
    assert_eq!((live(&workspace, "mail").len(), live(&workspace, "other").len()), (20, 2));

    // What is behind a dot in a folder's name is no ending.
    for (name, year) in [("old", "2025"), ("new", "2026")] {
        workspace.write(&format!("letters.{year}/a.jsonl"), document(1, year));
        archive(&workspace, name, &format!("letters.{year}"));
        workspace.mesh(["backfill", "run", name, "reviews", "--cutover"]).ok();
        assert!(workspace.path(&format!("letters.{year}.enriched/current.json")).exists());
    }
}

#[test]
fn an_archive_inside_of_another_leaves_it_as_it_is() {
    let workspace = with_archive(20);
    workspace.write("all/a.jsonl", document(1, "lovely"));
    workspace.write("all/b.jsonl", document(2, "awful"));
    archive(&workspace, "all", "all");
    archive(&workspace, "one", "all/a.jsonl");
    workspace.mesh(["backfill", "run", "one", "reviews", "--cutover"]).ok();
    assert!(workspace.path("all/a.enriched/current.json").exists());
    workspace.mesh(["backfill", "run", "all", "reviews", "--cutover"]).ok();
    assert_eq!(live(&workspace, "all").len(), 2);
}

#[test]
fn no_file_is_written_among_documents() {
    let workspace = with_archive(20);
    workspace.write("all/a.jsonl", document(1, "lovely"));
    archive(&workspace, "all", "all");
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    let before = workspace.read("mail.jsonl");
    for to in ["mail.jsonl", "./mail.jsonl", "all/new.jsonl", "all/a.jsonl", "all"] {
        let refused = workspace.mesh(["backfill", "export", "mail", "--output", to]);
        let refused = fails(refused, "is among the documents of");
        fails(refused, &format!("failed to write {to}: it is"));
        let refused = workspace.mesh(["backfill", "diff", "1", "--html", to]);
        fails(refused, "is among the documents of");
    }
    assert_eq!(workspace.read("mail.jsonl"), before);
    assert_eq!(fs::read_dir(workspace.path("all")).unwrap().count(), 1);
}

#[test]
fn no_rollback_leads_to_what_was_collected_and_what_stands_alone_comes_again() {
    let workspace = with_archive(20);
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    workspace.mesh(["backfill", "run", "mail", "reviews", "--all-rows", "--cutover"]).ok();
    workspace.mesh(["backfill", "collect", "mail", "--keep", "0", "--yes"]).ok();
    fails(workspace.mesh(["backfill", "rollback", "mail"]), "was collected");
    assert_eq!(live(&workspace, "mail").len(), 20);

    // The first one can be taken back: nothing was before it.
    let workspace = with_archive(20);
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    workspace.mesh(["backfill", "run", "mail", "reviews", "--all-rows", "--cutover"]).ok();
    workspace.mesh(["backfill", "rollback", "mail"]).ok();
    workspace.mesh(["backfill", "rollback", "mail"]).ok();
    // It kept nothing of the one before, so it needs nothing to be live.
    workspace.mesh(["backfill", "cutover", "2"]).ok();
    assert_eq!(live(&workspace, "mail").len(), 20);
}
