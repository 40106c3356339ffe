//! What an export holds of documents, and of what is told of them.

use std::{collections::BTreeMap, fs, fs::File, os::unix::fs::PermissionsExt, sync::Arc};

use arrow_array::{ArrayRef, BinaryArray, RecordBatch};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use serde_json::{Value, json};

use crate::{
    backfill::{counts, documents, live, versions, with_archive},
    support::{Workspace, run},
};

fn archive(workspace: &Workspace, name: &str, data: &str) {
    workspace.mesh(["new", "archive", name, "--data", data, "--key", "id"]).ok();
}

fn enrich(workspace: &Workspace, name: &str) -> Value {
    workspace.json(["backfill", "run", name, "reviews", "--cutover", "--json"])
}

/// Writes a file of Parquet whose texts are plain bytes, as old writers leave them.
fn write(workspace: &Workspace, name: &str, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = File::create(workspace.path(name)).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn bytes(values: &[&[u8]]) -> ArrayRef {
    Arc::new(BinaryArray::from_vec(values.to_vec()))
}

fn columns(workspace: &Workspace, file: &str) -> Vec<String> {
    let file = File::open(workspace.path(file)).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    builder.schema().fields().iter().map(|field| field.name().clone()).collect()
}

#[test]
fn an_archive_of_an_export_has_what_is_live_under_its_own_names() {
    let workspace = with_archive(30);
    enrich(&workspace, "mail");
    workspace.mesh(["backfill", "export", "mail", "--output", "all.parquet"]).ok();
    archive(&workspace, "again", "all.parquet");
    workspace.mesh(["backfill", "run", "again", "reviews", "--all-rows", "--cutover"]).ok();
    let told =
        workspace.mesh(["backfill", "export", "again", "--output", "twice.parquet"]).ok().out;
    let names = "its own column `reviews.labels` is `documents.reviews.labels` there";
    assert!(told.contains(names), "{told}");
    archive(&workspace, "thrice", "twice.parquet");
    enrich(&workspace, "thrice");
    let row = live(&workspace, "thrice").remove("\"7\"").unwrap();
    let now = &row["reviews.enriched_at"];
    for (name, before) in [
        ("documents.documents.reviews.enriched_at", "documents.reviews.enriched_at"),
        ("documents.reviews.enriched_at", "reviews.enriched_at"),
    ] {
        assert!(row[name].is_string() && row[before].is_string(), "{row}");
    }
    let first = &live(&workspace, "mail")["7"]["reviews.enriched_at"];
    assert_eq!(&row["documents.reviews.enriched_at"], first, "{row}");
    assert!(now.as_str() > first.as_str(), "what is live has the name: {row}");
}

#[test]
fn texts_that_are_plain_bytes_are_texts_and_other_bytes_are_base64() {
    let workspace = with_archive(10);
    let texts: Vec<Vec<u8>> =
        (0..20).map(|id| format!("a lovely box, \u{e9}dition {id}").into_bytes()).collect();
    let mut texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
    let keys: Vec<Vec<u8>> = (0..20).map(|id| format!("k{id}").into_bytes()).collect();
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let vectors: Vec<[u8; 4]> = (0..20u32).map(|id| (id * 77_777_777).to_be_bytes()).collect();
    let vectors: Vec<&[u8]> = vectors.iter().map(<[u8; 4]>::as_slice).collect();
    let of = |texts: &[&[u8]]| {
        vec![("id", bytes(&keys)), ("text", bytes(texts)), ("vector", bytes(&vectors))]
    };
    write(&workspace, "old.parquet", of(&texts));
    archive(&workspace, "old", "old.parquet");
    let ran = enrich(&workspace, "old");
    assert_eq!(counts(&ran)["enriched"], 20, "{ran}");
    let rows = live(&workspace, "old");
    let row = &rows["\"k3\""];
    assert_eq!(row["text"], "a lovely box, \u{e9}dition 3");
    assert_eq!(row["vector"], "DehiUw==", "{row}");
    assert!(row["reviews.labels"].is_array(), "{row}");
    let plan =
        ["backfill", "plan", "old", "reviews", "--all-rows", "--where", "text like '%3'", "--json"];
    assert_eq!(workspace.json(plan)["projects"][0]["todo"], 2);
    // A text that is none is told, by its key.
    texts[3] = b"\xff\xfe";
    write(&workspace, "old.parquet", of(&texts));
    let ran = workspace.json(["backfill", "run", "old", "reviews", "--all-rows", "--json"]);
    assert_eq!(counts(&ran)["rejected"], 1, "{ran}");
    let rejects = workspace.json(["backfill", "rejects", &ran["id"].to_string(), "--json"]);
    let reject = &rejects["reviews"][0];
    assert_eq!((&reject["key"], &reject["reason"]), (&json!("k3"), &json!("wrong-encoding")));
}

#[test]
fn an_export_tells_why_nothing_is_told_of_a_document() {
    let workspace = with_archive(300);
    let mut lines: Vec<String> =
        workspace.read("mail.jsonl").lines().map(ToOwned::to_owned).collect();
    lines[3] = json!({ "id": 3, "text": " ", "lang": "en" }).to_string();
    lines[7] = json!({ "id": 6, "text": "a key that is there twice" }).to_string();
    lines[9] = "{ not json".into();
    workspace.write("mail.jsonl", lines.join("\n"));
    enrich(&workspace, "mail");
    let rejected = |file: &str| -> BTreeMap<usize, String> {
        let ran = workspace.mesh(["backfill", "export", "mail", "--output", file]).ok();
        assert!(ran.out.contains("297 enriched by reviews"), "{}", ran.out);
        let text = workspace.read(file);
        let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let told = rows.enumerate().filter_map(|(at, row)| {
            let why = row["reviews.rejected"].as_object()?;
            assert!(row["reviews.labels"].is_null() && why["detail"].is_string(), "{row}");
            Some((at, why["reason"].as_str().unwrap().to_owned()))
        });
        told.collect()
    };
    let expected = [(3, "empty-text"), (7, "double-key"), (9, "not-json")];
    assert_eq!(rejected("all.jsonl"), expected.map(|(at, why)| (at, why.to_owned())).into());
    // In a file that is another one now, by their keys.
    lines.swap(3, 200);
    lines.swap(0, 100);
    workspace.write("mail.jsonl", lines.join("\n") + "\n");
    assert_eq!(rejected("moved.jsonl"), [(200, "empty-text".to_owned())].into());
    workspace.mesh(["backfill", "export", "mail", "--output", "all.parquet"]).ok();
    assert!(columns(&workspace, "all.parquet").contains(&"reviews.rejected".to_owned()));
}

#[test]
fn an_export_is_a_table_that_is_an_archive_again() {
    let workspace = with_archive(10);
    let odd = "a \"lovely\" box,\nand a second line ";
    let lines = documents(10) + &json!({ "id": 10, "text": odd, "lang": null }).to_string();
    workspace.write("mail.jsonl", &lines);
    enrich(&workspace, "mail");
    workspace.mesh(["backfill", "export", "mail", "--output", "all.csv"]).ok();
    archive(&workspace, "table", "all.csv");
    let (first, again) = (live(&workspace, "mail"), live(&workspace, "table"));
    assert_eq!(again.len(), 11);
    let row = &again["\"10\""];
    assert_eq!((&row["text"], &row["lang"]), (&json!(odd), &Value::Null), "{row}");
    let labels: Value = serde_json::from_str(row["reviews.labels"].as_str().unwrap()).unwrap();
    assert_eq!(labels, first["10"]["reviews.labels"]);
    workspace.mesh(["backfill", "export", "mail", "--output", "all.tsv"]).code(2).tells([".csv"]);
}

#[test]
fn an_export_has_all_columns_whatever_the_first_documents_have() {
    let workspace = with_archive(10);
    workspace.write("mail/b.jsonl", documents(20));
    workspace.edit("archives/mail.toml", "mail.jsonl", "mail");
    enrich(&workspace, "mail");
    // Nothing is told of the file that is read first now.
    workspace.write("mail/a.jsonl", json!({ "id": 99, "text": "new" }).to_string());
    let ran = workspace.mesh(["backfill", "export", "mail", "--output", "all.parquet"]).ok();
    assert!(ran.out.contains("wrote 21 rows") && ran.out.contains("20 enriched"), "{}", ran.out);
    assert!(columns(&workspace, "all.parquet").contains(&"reviews.labels".to_owned()));
    assert_eq!(versions(&live(&workspace, "mail")), [("1".into(), 20), ("null".into(), 1)].into());
    let row = live(&workspace, "mail").remove("99").unwrap();
    assert!(row.as_object().unwrap().contains_key("reviews.labels"), "{row}");
}

#[test]
fn an_archive_without_documents_is_live_and_exported() {
    let workspace = with_archive(10);
    workspace.write("mail.csv", "id,text,lang\n");
    workspace.edit("archives/mail.toml", "mail.jsonl", "mail.csv");
    enrich(&workspace, "mail");
    for (file, header) in [("none.csv", "reviews.labels"), ("none.jsonl", "")] {
        let ran = workspace.mesh(["backfill", "export", "mail", "--output", file]).ok();
        assert!(ran.out.contains("wrote 0 rows"), "{}", ran.out);
        assert!(ran.out.contains("0 enriched by reviews"), "{}", ran.out);
        assert!(workspace.read(file).contains(header));
    }
}

#[test]
fn an_export_has_the_rights_of_any_new_file() {
    let workspace = with_archive(10);
    enrich(&workspace, "mail");
    for (mask, expected) in [("022", 0o644), ("007", 0o660)] {
        let mesh = workspace.command(["backfill", "export", "mail", "--output", "all.jsonl"]);
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("umask {mask}; exec \"$@\""), "sh"]).arg(mesh.get_program());
        run(shell.args(mesh.get_args()).current_dir(workspace.path("."))).ok();
        let mode = fs::metadata(workspace.path("all.jsonl")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, expected, "umask {mask}");
    }
}
