//! Data that cannot be used, wholly or in part.

use std::fs;

use serde_json::Value;

use crate::support::{Workspace, reviews};

const FILE: &str = "projects/reviews/project.toml";

/// The rejected rows of the newest dataset: origin and reason.
fn rejected(workspace: &Workspace, digest: &str) -> Vec<(String, String)> {
    let path = workspace.path(&format!(".mesh/store/artifacts/{digest}/rejected.jsonl"));
    let rows = fs::read_to_string(path).unwrap();
    rows.lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            (row["origin"].as_str().unwrap().to_owned(), row["reason"].as_str().unwrap().to_owned())
        })
        .collect()
}

#[test]
fn bad_rows_are_rejected_with_their_reason_and_the_rest_goes_on() {
    let workspace = Workspace::with_reviews(300);
    let mut text = reviews(300).into_bytes();
    for bad in [
        &b"\"never closed,1\n"[..],
        b"wrong \xff\xfe encoding,1\n",
        b"one column\n",
        b"three,columns,1\n",
        b"\"\",1\n",
        b"unknown label,7\n",
        b"no label,\n",
        b"a \"\"quote\"\" inside,1\n",
        b"\"a line\nbreak that is fine\",5\n",
    ] {
        text.extend(bad);
    }
    workspace.write("reviews.csv", text);
    workspace.edit(
        FILE,
        "format = \"csv\"",
        "format = \"csv\"\nlabels = { allowed = [\"1\", \"3\", \"5\"] }",
    );
    let outcome = workspace.json(["run", "reviews:prepare", "--json"]);
    let step = &outcome[0]["steps"][0];
    let expected = [
        ("reviews.csv:302", "broken-quotes"),
        ("reviews.csv:303", "wrong-encoding"),
        ("reviews.csv:304", "missing-column"),
        ("reviews.csv:305", "extra-column"),
        ("reviews.csv:306", "empty-text"),
        ("reviews.csv:307", "unknown-label"),
        ("reviews.csv:308", "no-label"),
    ];
    let expected: Vec<_> = expected.map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec();
    assert_eq!(rejected(&workspace, step["output"].as_str().unwrap()), expected);
    let summary = &step["summary"];
    let rows: u64 =
        summary["rows"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    let count = |key: &str| summary[key].as_u64().unwrap();
    let dropped = summary["near_duplicates"]["dropped"].as_u64().unwrap();
    assert_eq!(
        rows + 7 + count("left_out") + count("duplicates") + dropped,
        count("read"),
        "{summary}"
    );
}

#[test]
fn too_many_bad_rows_fail_the_step_with_reasons() {
    let workspace = Workspace::with_reviews(300);
    workspace.write("reviews.csv", reviews(300) + &"only one column\n".repeat(40));
    workspace.mesh(["run", "reviews"]).code(1).tells([
        "40 of 340 rows cannot be used",
        "40 missing-column, such as reviews.csv:302: 1 columns instead of 2",
        "max_rejected",
    ]);
    assert_eq!(workspace.states("reviews"), ["failed", "absent", "absent"]);
    // Mended data is new data: no force is needed.
    workspace.write("reviews.csv", reviews(300));
    workspace.mesh(["run", "reviews"]).ok();
}

#[test]
fn what_cannot_become_a_dataset_is_told() {
    let cases: [(&str, String, &str, &str, &[&str]); 6] = [
        (
            "a column that is missing",
            "txt,stars\na,1\n".into(),
            "",
            "",
            &["has no column `text`", "did you mean `txt`?", "It has: txt, stars"],
        ),
        ("no rows", "text,stars\n".into(), "", "", &["holds no rows"]),
        (
            "one label",
            (0..40).map(|n| format!("text {n},1\n")).fold("text,stars\n".into(), |a, b| a + &b),
            "",
            "",
            &["all documents have the label `1`"],
        ),
        (
            "an empty split",
            "text,stars\na b,1\nc d,2\ne f,1\ng h,2\n".into(),
            "",
            "",
            &["split is empty", "larger share"],
        ),
        (
            "a file that is missing",
            String::new(),
            "reviews.csv",
            "other.csv",
            &["failed to fetch the source file:"],
        ),
        (
            "a format that it has not",
            "text,stars\na,1\n".into(),
            "format = \"csv\"",
            "format = \"parquet\"",
            &["reviews.csv cannot be read", "check `format`"],
        ),
    ];
    for (name, data, from, to, told) in cases {
        println!("{name}");
        let workspace = Workspace::with_reviews(60);
        if !data.is_empty() {
            workspace.write("reviews.csv", data);
        }
        if !from.is_empty() {
            workspace.edit(FILE, from, to);
        }
        let ran = workspace.mesh(["run", "reviews"]).code(1);
        told.iter().fold(ran, |ran, part| ran.tells([part]));
    }
}

#[test]
fn every_format_gives_the_same_documents() {
    let rows: Vec<(String, String)> = reviews(90)
        .lines()
        .skip(1)
        .map(|line| {
            let (text, label) = line.rsplit_once(',').unwrap();
            (text.trim_matches('"').to_owned(), label.to_owned())
        })
        .collect();
    let lines =
        |row: &dyn Fn(&(String, String)) -> String| rows.iter().map(row).collect::<String>();
    let count = |workspace: &Workspace| {
        let outcome = workspace.json(["run", "p:prepare", "--json"]);
        outcome[0]["steps"][0]["summary"]["rows"].clone()
    };
    let project = |workspace: &Workspace, data: &str| {
        workspace.mesh(["new", "project", "p", "--data", data]).ok();
        count(workspace)
    };
    let csv = Workspace::new();
    csv.write("d.csv", format!("text,label\n{}", lines(&|(t, l)| format!("\"{t}\",{l}\n"))));
    let expected = project(&csv, "d.csv");
    assert_eq!(expected["train"], 72, "{expected}");

    let tsv = Workspace::new();
    tsv.write("d.tsv", format!("label\ttext\n{}", lines(&|(t, l)| format!("{l}\t{t}\n"))));
    assert_eq!(project(&tsv, "d.tsv"), expected);

    let jsonl = Workspace::new();
    jsonl.write(
        "d.jsonl",
        lines(&|(t, l)| format!("{}\n", serde_json::json!({ "text": t, "label": l }))),
    );
    assert_eq!(project(&jsonl, "d.jsonl"), expected);

    // A dataset's own split is a Parquet file: what prepare wrote can be a source.
    let parquet = Workspace::new();
    let splits = csv.json(["run", "p:prepare", "--json"])[0]["steps"][0]["output"].clone();
    let path = format!(".mesh/store/artifacts/{}/train.parquet", splits.as_str().unwrap());
    parquet.write("d.parquet", fs::read(csv.path(&path)).unwrap());
    let from_parquet = project(&parquet, "d.parquet");
    let total: u64 = from_parquet.as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(total, 72);

    let folders = Workspace::new();
    for (row, (text, label)) in rows.iter().enumerate() {
        folders.write(&format!("d/{label}/{row}.txt"), text);
    }
    assert_eq!(project(&folders, "d"), expected);
}

#[test]
fn splits_keep_groups_times_and_given_files_apart() {
    let workspace = Workspace::new();
    let rows: String = (0..400)
        .map(|n| {
            format!(
                "text about thing {n} and {},{},g{},2024-01-{:02}T00:00:00Z\n",
                n * 31,
                n % 2,
                n / 8,
                n % 28 + 1
            )
        })
        .collect();
    workspace.write("d.csv", format!("text,label,shop,day\n{rows}"));
    workspace.mesh(["new", "project", "p", "--data", "d.csv"]).ok();
    let file = "projects/p/project.toml";
    let documents = |workspace: &Workspace| {
        let outcome = workspace.json(["run", "p:prepare", "--json"]);
        outcome[0]["steps"][0]["summary"]["rows"].clone()
    };
    workspace.edit(file, "label = \"label\"", "label = \"label\", group = \"shop\"");
    workspace.edit(file, "seed = 42", "seed = 42, method = \"grouped\"");
    let rows = documents(&workspace);
    // Groups have eight documents each: no split has a part of one.
    for split in ["train", "validation", "test"] {
        assert_eq!(rows[split].as_u64().unwrap() % 8, 0, "{rows}");
    }
    workspace.edit(file, "group = \"shop\"", "time = \"day\"");
    workspace.edit(file, "grouped", "by-time");
    let rows = documents(&workspace);
    assert_eq!(rows["train"].as_u64().unwrap(), 320, "{rows}");

    workspace.write("given/a-train.csv", workspace.read("d.csv"));
    workspace.write(
        "given/a-test.csv",
        "text,label\na wholly other text,1\ntext about thing 3 and 93,1\nyet another one,0\n",
    );
    workspace.edit(file, "d.csv\"", "given/*.csv\"");
    workspace.edit(
        file,
        "format = \"csv\"",
        "format = \"csv\"\nsplits = { train = \"*-train.csv\", test = \"*-test.csv\" }",
    );
    workspace.edit(file, ", method = \"by-time\"", "");
    workspace.edit(file, ", time = \"day\"", "");
    let rows = documents(&workspace);
    // The given test split stays whole; its copy in the training split goes.
    assert_eq!(rows["test"], 3, "{rows}");
    let total = rows["train"].as_u64().unwrap() + rows["validation"].as_u64().unwrap();
    assert_eq!(total, 399, "{rows}");
}
