//! Archives enriched anew: planned, run, killed, compared, made live, rolled back.

use std::{
    collections::BTreeMap,
    fs,
    process::{Child, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{Workspace, reviews, run, signal, until, wait};

const MANIFEST: &str = "projects/reviews/project.toml";

/// Documents with a key, a text, a language and their true label, as JSONL.
pub fn documents(rows: usize) -> String {
    let mut out = String::new();
    for (row, line) in reviews(rows).lines().skip(1).enumerate() {
        let (text, stars) = line.rsplit_once(',').unwrap();
        let lang = ["en", "de", "fr"][row % 3];
        let text = text.trim_matches('"');
        out.push_str(&json!({ "id": row, "text": text, "lang": lang, "stars": stars }).to_string());
        out.push('\n');
    }
    out
}

/// A workspace whose project `reviews` is trained, and an archive `mail` of so many documents.
pub fn with_archive(rows: usize) -> Workspace {
    let workspace = Workspace::with_reviews(240);
    workspace.edit(MANIFEST, "[serve]", "[backfill]\ninput = { content = \"text\" }\n\n[serve]");
    workspace.mesh(["run", "reviews"]).ok();
    workspace.write("mail.jsonl", documents(rows));
    workspace
        .mesh([
            "new",
            "archive",
            "mail",
            "--data",
            "mail.jsonl",
            "--key",
            "id",
            "--slice",
            "language=lang",
        ])
        .ok();
    workspace
}

/// Trains another version; it becomes production.
pub fn newer(workspace: &Workspace) {
    workspace.edit(MANIFEST, "model = \"linear\"", "model = \"linear\"\nlinear = { c = [0.001] }");
    workspace.mesh(["run", "reviews"]).ok();
    workspace.mesh(["model", "promote", "reviews", "2"]).ok();
}

/// What readers see: by key the row.
pub fn live(workspace: &Workspace, archive: &str) -> BTreeMap<String, Value> {
    let file = format!("{archive}-export.jsonl");
    workspace.mesh(["backfill", "export", archive, "--output", &file]).ok();
    let text = workspace.read(&file);
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let keyed = rows.iter().map(|row| (row["id"].to_string(), row.clone()));
    let map: BTreeMap<String, Value> = keyed.collect();
    assert_eq!(map.len(), rows.len(), "a key is there twice");
    map
}

/// The versions that told what readers see, with how many rows are of each.
pub fn versions(rows: &BTreeMap<String, Value>) -> BTreeMap<String, usize> {
    let mut versions = BTreeMap::new();
    for row in rows.values() {
        *versions.entry(row["reviews.model_version"].to_string()).or_default() += 1;
    }
    versions
}

pub fn counts(report: &Value) -> &Value {
    &report["projects"]["reviews"]
}

#[test]
fn an_archive_is_enriched_compared_made_live_and_rolled_back() {
    let workspace = with_archive(900);
    let plan = workspace.json(["backfill", "plan", "mail", "reviews", "--json"]);
    assert_eq!((&plan["rows"], &plan["projects"][0]["todo"]), (&json!(900), &json!(900)), "{plan}");
    assert_eq!(plan["projects"][0]["why"]["without an answer"], 900);
    assert!(plan["seconds"]["low"].as_f64() <= plan["seconds"]["value"].as_f64(), "{plan}");
    assert!(!workspace.path("mail.enriched/reviews").exists(), "a plan changes nothing");
    let ran = workspace.json(["backfill", "run", "mail", "reviews", "--json"]);
    assert_eq!((&ran["id"], &counts(&ran)["enriched"]), (&json!(1), &json!(900)), "{ran}");
    // Nobody sees it yet.
    workspace.mesh(["backfill", "export", "mail", "reviews", "--output", "x.jsonl"]).code(2);
    let diff = workspace.mesh(["backfill", "diff", "1"]).ok().out;
    assert!(diff.contains("nothing -> version 1") && diff.contains("900 gained"), "{diff}");
    workspace.mesh(["backfill", "cutover", "1"]).ok();
    let first = live(&workspace, "mail");
    assert_eq!(versions(&first), [("1".into(), 900)].into());
    // It is what the model says.
    workspace.write(
        "ask.jsonl",
        first
            .values()
            .map(|row| format!("{}\n", json!({ "content": row["text"] })))
            .collect::<String>(),
    );
    let told = workspace.mesh(["predict", "reviews", "--input", "ask.jsonl"]).ok().out;
    for (row, line) in first.values().zip(told.lines()) {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(row["reviews.labels"], line["prediction"]["labels"], "{row}");
    }

    // The same again has nothing to do; a newer version has all.
    let plan = workspace.json(["backfill", "plan", "mail", "reviews", "--json"]);
    assert_eq!(plan["projects"][0]["skipped"]["answered by this model"], 900, "{plan}");
    newer(&workspace);
    let plan = workspace.json(["backfill", "plan", "mail", "reviews", "--json"]);
    assert_eq!(plan["projects"][0]["why"]["of another version"], 900, "{plan}");
    let some = workspace.json([
        "backfill",
        "run",
        "mail",
        "reviews",
        "--where",
        "lang in ('de', 'fr') and id < 300",
        "--json",
    ]);
    assert_eq!((&counts(&some)["enriched"], &counts(&some)["kept"]), (&json!(200), &json!(700)));
    workspace.mesh(["backfill", "cutover", "2"]).ok();
    assert_eq!(versions(&live(&workspace, "mail")), [("1".into(), 700), ("2".into(), 200)].into());
    let rest = workspace.json(["backfill", "run", "mail", "reviews", "--json"]);
    assert_eq!((&counts(&rest)["enriched"], &counts(&rest)["kept"]), (&json!(700), &json!(200)));
    workspace.edit("archives/mail.toml", "[archive]", "[truth]\nreviews = \"stars\"\n\n[archive]");
    let diff = workspace.json(["backfill", "diff", "3", "--html", "diff.html", "--json"]);
    let report = &diff[0]["report"];
    assert_eq!((&report["compared"], &report["lost"]), (&json!(900), &json!(0)), "{report}");
    assert!(report["changed"].as_u64().unwrap() >= 600, "{report}");
    assert_eq!(report["slices"]["language"].as_array().unwrap().len(), 3);
    assert!(report["truth"]["accuracy_after"].is_f64() && report["truth"]["verdict"].is_string());
    assert_eq!(report["examples"].as_array().unwrap().len(), 10);
    assert!(workspace.read("diff.html").contains("<h2>By language</h2>"));
    let text = workspace.mesh(["backfill", "diff", "3"]).ok().out;
    for part in ["label flips", "labels before (rows) and after", "by language", "by length"] {
        assert!(text.contains(part), "{part}: {text}");
    }

    workspace.mesh(["backfill", "cutover", "3"]).ok().tells([]);
    assert_eq!(versions(&live(&workspace, "mail")), [("2".into(), 900)].into());
    workspace.mesh(["backfill", "cutover", "3"]).ok();
    workspace.mesh(["backfill", "rollback", "mail"]).ok();
    assert_eq!(versions(&live(&workspace, "mail")), [("1".into(), 700), ("2".into(), 200)].into());
    workspace.mesh(["backfill", "rollback", "mail", "reviews"]).ok();
    assert_eq!(live(&workspace, "mail"), first);
    let status = workspace.mesh(["backfill", "status"]).ok().out;
    assert!(status.contains("live") && status.contains("superseded"), "{status}");
    // What nobody sees can be collected; what is live stays.
    let shown = workspace.json(["backfill", "collect", "mail", "--json"]);
    assert_eq!(shown["generations"].as_array().unwrap().len(), 2, "{shown}");
    workspace.mesh(["backfill", "collect", "mail", "--yes"]).ok();
    assert_eq!(live(&workspace, "mail"), first);
    assert_eq!(fs::read_dir(workspace.path("mail.enriched/reviews")).unwrap().count(), 1);
    workspace.mesh(["backfill", "rollback", "mail"]).ok();
    workspace.mesh(["backfill", "rollback", "mail"]).code(2).tells(["it has no enrichment"]);
}

#[test]
fn documents_that_texts_name_in_json_are_found_again() {
    let workspace = with_archive(300);
    let named = |line: &str| {
        let mut row: Value = serde_json::from_str(line).unwrap();
        row["id"] = json!(format!("k\"{}\n\u{e9}", row["id"]));
        format!("{row}\n")
    };
    let lines: String = workspace.read("mail.jsonl").lines().map(named).collect();
    workspace.write("mail.jsonl", lines);
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    assert_eq!(versions(&live(&workspace, "mail")), [("1".into(), 300)].into());
    let plan = workspace.json(["backfill", "plan", "mail", "reviews", "--json"]);
    assert_eq!(plan["projects"][0]["skipped"]["answered by this model"], 300, "{plan}");
}

fn spawn(workspace: &Workspace, more: &[&str]) -> Child {
    let mut command = workspace.command(["backfill", "run", "mail", "reviews", "--threads", "2"]);
    command.args(more).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Rows of chunks that are in the ledger.
fn done(workspace: &Workspace, id: &str) -> u64 {
    workspace.json(["backfill", "status", id, "--json"])[0]["done"].as_u64().unwrap()
}

#[test]
fn a_hundred_kills_lose_no_row_and_double_none() {
    let workspace = with_archive(60_000);
    let mut kills = 0;
    // A kill is later each time, so that some fall into every part of a run.
    for round in 0u64.. {
        let mut child = spawn(&workspace, &[]);
        std::thread::sleep(Duration::from_millis(3 + round % 50 * 7));
        let ended = child.try_wait().unwrap().is_some();
        if !ended {
            signal(&child, "KILL");
            kills += 1;
        }
        wait(&mut child);
        if kills == 100 {
            break;
        }
        if ended {
            // It was done: the next one is of the same documents, all of them anew.
            let all = workspace.json(["backfill", "status", "--json"]);
            let id = all[0]["id"].to_string();
            workspace.mesh(["backfill", "cancel", &id]).ok();
        }
    }
    let ran = workspace.json(["backfill", "run", "mail", "reviews", "--json"]);
    assert_eq!(counts(&ran)["enriched"], 60_000, "{ran}");
    workspace.mesh(["backfill", "cutover", &ran["id"].to_string()]).ok();
    let rows = live(&workspace, "mail");
    assert_eq!(versions(&rows), [("1".into(), 60_000)].into());
    assert!(
        !workspace.path(".mesh/backfill").exists()
            || fs::read_dir(workspace.path(".mesh/backfill")).unwrap().next().is_none()
    );
}

#[test]
fn a_backfill_is_paused_resumed_and_given_up() {
    let workspace = with_archive(60_000);
    let mut child = spawn(&workspace, &[]);
    until("some chunks are done", || {
        let all = workspace.json(["backfill", "status", "--json"]);
        all[0]["done"].as_u64().is_some_and(|done| done > 0)
    });
    // Another one of the same archive does not go beside it.
    workspace.mesh(["backfill", "run", "mail", "reviews"]).code(1).tells(["another process works"]);
    workspace.mesh(["backfill", "pause", "1"]).ok();
    assert_eq!(wait(&mut child), 1);
    let paused = done(&workspace, "1");
    assert!(paused < 60_000, "it was done before it could be paused");
    let status = workspace.mesh(["backfill", "status", "1"]).ok().out;
    assert!(status.contains("paused") && status.contains("mesh backfill resume 1"), "{status}");
    // With other settings it is not mixed.
    workspace
        .mesh(["backfill", "run", "mail", "reviews", "--where", "lang = 'de'"])
        .code(1)
        .tells(["backfill 1 of mail is not finished", "--where: none, not lang = 'de'"]);
    workspace.mesh(["backfill", "cutover", "1"]).code(2).tells(["it is paused, not done"]);
    // Ctrl-C pauses too.
    let mut child =
        workspace.command(["backfill", "resume", "1"]).stderr(Stdio::null()).spawn().unwrap();
    until("it goes on", || done(&workspace, "1") > paused);
    signal(&child, "INT");
    assert!([0, 130].contains(&wait(&mut child)));
    let resumed = workspace.json(["backfill", "run", "mail", "reviews", "--json"]);
    assert_eq!(counts(&resumed)["enriched"], 60_000);
    assert!(resumed["resumed"].as_u64().unwrap() > 0, "{resumed}");
    workspace.mesh(["backfill", "cancel", "1"]).ok();
    assert!(!workspace.path("mail.enriched/reviews").join(resumed["id"].to_string()).exists());
    workspace.mesh(["backfill", "resume", "1"]).code(2).tells(["it is cancelled"]);
    workspace.mesh(["backfill", "cancel", "9"]).code(2).tells(["there is no backfill 9"]);
}

#[test]
fn rows_that_fail_are_kept_aside_and_done_alone() {
    let workspace = with_archive(600);
    let mut lines: Vec<String> =
        workspace.read("mail.jsonl").lines().map(ToOwned::to_owned).collect();
    lines[3] = json!({ "id": 3, "text": " ", "lang": "en" }).to_string();
    lines[4] = json!({ "id": 4, "text": null }).to_string();
    lines[5] = json!({ "id": 5, "text": 17 }).to_string();
    lines[6] = json!({ "id": null, "text": "no key" }).to_string();
    lines[7] = json!({ "id": 8, "text": "a key that is there twice" }).to_string();
    lines[9] = "{ not json".into();
    lines[10] = json!({ "text": "no key at all" }).to_string();
    workspace.write("mail.jsonl", lines.join("\n"));
    let ran = workspace.json(["backfill", "run", "mail", "reviews", "--json"]);
    assert_eq!(
        (&counts(&ran)["enriched"], &counts(&ran)["rejected"]),
        (&json!(593), &json!(7)),
        "{ran}"
    );
    let rejects = workspace.json(["backfill", "rejects", "1", "--json"]);
    let told: Vec<(u64, &str)> = rejects["reviews"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reject| (reject["row"].as_u64().unwrap(), reject["reason"].as_str().unwrap()))
        .collect();
    let expected = [
        (3, "empty-text"),
        (4, "schema"),
        (5, "schema"),
        (6, "no-key"),
        (8, "double-key"),
        (9, "not-json"),
        (10, "no-key"),
    ];
    assert_eq!(told, expected);
    let table = workspace.mesh(["backfill", "rejects", "1"]).ok().out;
    assert!(table.contains("double-key") && table.contains("mail.jsonl"), "{table}");
    workspace.mesh(["backfill", "cutover", "1"]).ok();
    // Nothing of it is mended: the same rows fail again, and no other is touched.
    let again = workspace.json(["backfill", "retry", "1", "--json"]);
    assert_eq!(
        (&counts(&again)["enriched"], &counts(&again)["kept"]),
        (&json!(0), &json!(593)),
        "{again}"
    );
    // What is mended in the archive is done, also before the cutover.
    lines[4] = json!({ "id": 4, "text": "a lovely box" }).to_string();
    workspace.write("mail.jsonl", lines.join("\n"));
    workspace.mesh(["backfill", "cancel", "2"]).ok();
    let mended = workspace.json(["backfill", "retry", "1", "--json"]);
    assert_eq!(
        (&counts(&mended)["enriched"], &counts(&mended)["kept"]),
        (&json!(1), &json!(593)),
        "{mended}"
    );
    workspace.mesh(["backfill", "cutover", &mended["id"].to_string()]).ok();
    assert_eq!(live_rows(&workspace), 594);
}

/// Rows of the export that readers see something of.
fn live_rows(workspace: &Workspace) -> usize {
    workspace.mesh(["backfill", "export", "mail", "--output", "rows.jsonl"]).ok();
    let text = workspace.read("rows.jsonl");
    text.lines().filter(|line| !line.contains("\"reviews.model_version\":null")).count()
}

#[test]
fn too_many_rejected_rows_stop_a_run() {
    let workspace = with_archive(10);
    let lines: Vec<String> = (0..5_000)
        .map(|row| {
            json!({ "id": row, "text": if row % 3 == 0 { "" } else { "a fine box" } }).to_string()
        })
        .collect();
    workspace.write("mail.jsonl", lines.join("\n"));
    workspace.mesh(["backfill", "run", "mail", "reviews"]).code(1).tells([
        "rows were rejected, more than 10 per cent",
        "--max-rejected",
        "mesh backfill rejects 1",
    ]);
    let status = workspace.mesh(["backfill", "status", "1"]).ok().out;
    assert!(status.contains("failed") && status.contains("it stopped"), "{status}");
    let ran = workspace.json(["backfill", "resume", "1", "--max-rejected", "0.5", "--json"]);
    assert_eq!(
        (&counts(&ran)["enriched"], &counts(&ran)["rejected"]),
        (&json!(3_333), &json!(1_667))
    );
}

#[test]
fn a_gate_refuses_a_cutover() {
    let workspace = with_archive(300);
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    newer(&workspace);
    workspace.mesh(["backfill", "run", "mail", "reviews"]).ok();
    workspace.edit(MANIFEST, "[backfill]", "[backfill]\ngate = { change = 0.0, lost = 0.0 }");
    workspace.mesh(["backfill", "cutover", "2"]).code(3).tells([
        "change of reviews is",
        "the gate allows 0",
        "--force",
    ]);
    assert_eq!(versions(&live(&workspace, "mail")), [("1".into(), 300)].into());
    let diff = workspace.mesh(["backfill", "diff", "2"]).ok().out;
    assert!(diff.contains("gate change refuses") && diff.contains("gate lost passes"), "{diff}");
    workspace.mesh(["backfill", "cutover", "2", "--force"]).ok();
    assert_eq!(versions(&live(&workspace, "mail")), [("2".into(), 300)].into());
}

#[test]
fn a_reader_in_the_middle_sees_all_old_or_all_new() {
    let workspace = with_archive(400);
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    newer(&workspace);
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    let mut seen = BTreeMap::new();
    let mover = std::thread::scope(|scope| {
        let mover = scope.spawn(|| {
            for round in 0..12 {
                if round % 2 == 0 {
                    workspace.mesh(["backfill", "rollback", "mail"]).ok();
                } else {
                    workspace.mesh(["backfill", "cutover", "2"]).ok();
                }
            }
        });
        while !mover.is_finished() {
            let found = versions(&live(&workspace, "mail"));
            assert_eq!(found.len(), 1, "a mixture: {found:?}");
            seen.extend(found);
        }
        mover.join()
    });
    mover.unwrap();
    assert_eq!(seen.values().sum::<usize>(), 400 * seen.len());
}

#[test]
fn archives_of_every_format() {
    let workspace = with_archive(10);
    let lines: Vec<Value> =
        documents(300).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut csv = String::from("id,text,lang\n");
    for (row, line) in lines.iter().enumerate() {
        csv.push_str(&format!(
            "{},\"{}\",{}\n",
            line["id"],
            line["text"].as_str().unwrap(),
            ["en", "de"][row % 2]
        ));
    }
    workspace.write("table.csv", &csv);
    workspace
        .write("tabs.tsv", csv.replace(", number", " number").replace(',', "\t").replace('"', ""));
    for (part, chunk) in lines.chunks(100).enumerate() {
        let text: Vec<String> = chunk.iter().map(ToString::to_string).collect();
        workspace.write(&format!("parts/day={part}/documents.jsonl"), text.join("\n"));
    }
    for (name, data) in [("comma", "table.csv"), ("tab", "tabs.tsv"), ("parts", "parts")] {
        workspace.mesh(["new", "archive", name, "--data", data, "--key", "id"]).ok();
        let ran = workspace.json(["backfill", "run", name, "reviews", "--json", "--cutover"]);
        assert!(ran["moved"][0]["to"].is_string(), "{ran}");
        let rows = workspace_live(&workspace, name);
        assert_eq!(rows.len(), 300, "{name}");
        assert!(rows.values().all(|row| row["reviews.labels"].is_array()), "{name}");
    }
    // What JSON tells of a document is exported as it is.
    let told = workspace_live(&workspace, "parts");
    for line in &lines {
        let row = &told[&line["id"].to_string()];
        let told = line.as_object().unwrap().iter().all(|(name, value)| row[name] == *value);
        assert!(told, "{line} became {row}");
    }
    // As Parquet, from what an export left; its own columns are those of the export.
    workspace.mesh(["backfill", "export", "comma", "--output", "all.parquet"]).ok();
    workspace.mesh(["new", "archive", "columns", "--data", "all.parquet", "--key", "id"]).ok();
    let plan = workspace.json([
        "backfill",
        "plan",
        "columns",
        "reviews",
        "--json",
        "--where",
        "\"reviews.model_version\" = 1 and lang = 'de'",
    ]);
    assert_eq!(plan["projects"][0]["todo"], 150, "{plan}");
    workspace.mesh(["backfill", "run", "columns", "reviews", "--cutover"]).ok();
    // The partitions are columns.
    let plan = workspace.json([
        "backfill",
        "plan",
        "parts",
        "reviews",
        "--json",
        "--all-rows",
        "--where",
        "day in ('0', '2')",
    ]);
    assert_eq!(plan["projects"][0]["todo"], 200, "{plan}");
}

fn workspace_live(workspace: &Workspace, name: &str) -> BTreeMap<String, Value> {
    let file = format!("{name}.jsonl");
    workspace.mesh(["backfill", "export", name, "--output", &file]).ok();
    let text = workspace.read(&file);
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| (row["id"].to_string(), row)).collect()
}

#[test]
fn documents_that_come_go_and_move_keep_what_was_told_of_them() {
    let workspace = with_archive(10);
    let all: Vec<String> = documents(400).lines().map(ToOwned::to_owned).collect();
    workspace.write("mail/one.jsonl", all[..200].join("\n"));
    workspace.write("mail/two.jsonl", all[200..390].join("\n"));
    workspace.edit("archives/mail.toml", "mail.jsonl", "mail");
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    // Another order, other files, some gone, some new.
    let mut moved: Vec<String> = all[20..].to_vec();
    moved.reverse();
    fs::remove_file(workspace.path("mail/one.jsonl")).unwrap();
    workspace.write("mail/two.jsonl", moved[..150].join("\n"));
    workspace.write("mail/three.jsonl", moved[150..].join("\n"));
    let ran = workspace.json(["backfill", "run", "mail", "reviews", "--json"]);
    assert_eq!(
        (&counts(&ran)["kept"], &counts(&ran)["enriched"]),
        (&json!(370), &json!(10)),
        "{ran}"
    );
    let diff = workspace.json(["backfill", "diff", "2", "--json"]);
    assert_eq!(
        (&diff[0]["report"]["same"], &diff[0]["report"]["gained"]),
        (&json!(370), &json!(10))
    );
    workspace.mesh(["backfill", "cutover", "2"]).ok();
    assert_eq!(live(&workspace, "mail").len(), 380);
}

#[test]
fn what_cannot_be_done_is_told() {
    let workspace = with_archive(300);
    let plan = |more: &[&str]| {
        let mut command = workspace.command(["backfill", "plan", "mail"]);
        run(command.args(more))
    };
    plan(&["revews"]).code(2).tells(["`revews`", "did you mean `reviews`"]);
    plan(&["reviews@7"]).code(1).tells(["version 7"]);
    plan(&["reviews@shadow"]).code(2).tells(["no `shadow`"]);
    plan(&["reviews", "reviews"]).code(2).tells(["twice"]);
    plan(&["reviews", "--where", "lagn = 'de'"]).code(2).tells(["no column `lagn`", "`lang`"]);
    plan(&["reviews", "--where", "lang ="]).code(2).tells(["failed to read the condition"]);
    workspace.mesh(["backfill", "plan", "mial", "reviews"]).code(2).tells(["did you mean `mail`"]);
    workspace.edit(MANIFEST, "content = \"text\"", "content = \"body\"");
    plan(&["reviews"]).code(2).tells(["no column `body`", "It has:", "[input.<project>]"]);
    workspace.edit(MANIFEST, "content = \"body\"", "conten = \"text\"");
    plan(&["reviews"]).code(2).tells(["no field `conten`", "did you mean `content`"]);
    workspace.edit(MANIFEST, "input = { conten = \"text\" }", "input = {}");
    workspace.mesh(["check"]).code(1).tells(["[backfill] needs an `input`"]);
    workspace.edit(
        MANIFEST,
        "input = {}",
        "input = { content = \"text\" }\ncolumns = { labels = \"id\" }",
    );
    plan(&["reviews"]).code(2).tells(["the column name `id` is taken"]);
    workspace.edit(MANIFEST, "labels = \"id\"", "label = \"topic\"");
    plan(&["reviews"]).code(2).tells(["no field `label`", "labels"]);
    workspace.edit(MANIFEST, "label = \"topic\"", "labels = \"stars\"");
    plan(&["reviews"]).ok();
    workspace.edit("archives/mail.toml", "key = \"id\"", "key = \"number\"");
    plan(&["reviews"]).code(2).tells(["no column `number`, its key"]);
    workspace.edit("archives/mail.toml", "key = \"number\"", "kye = \"id\"");
    plan(&["reviews"]).code(1).tells(["unknown key `kye` in [archive]"]);
    workspace.mesh(["check"]).code(1).tells(["unknown key `kye` in [archive]"]);
    workspace.edit("archives/mail.toml", "kye = \"id\"", "key = \"id\"");
    // An archive that changes after a run was begun is not mixed with what it was.
    let mut child = spawn(&workspace, &[]);
    wait(&mut child);
    workspace.mesh(["backfill", "cancel", "1"]).ok();
    workspace.write("mail.jsonl", documents(50_000));
    let mut child = spawn(&workspace, &[]);
    until("some chunks are done", || done_any(&workspace));
    signal(&child, "KILL");
    wait(&mut child);
    workspace.write("mail.jsonl", documents(40_000));
    workspace
        .mesh(["backfill", "resume", "2"])
        .code(2)
        .tells(["something changed", "files of the archive"]);
    workspace
        .mesh(["backfill", "run", "mail", "reviews"])
        .code(1)
        .tells(["backfill 2 of mail is not finished"]);
    workspace.mesh(["backfill", "cancel", "2"]).ok();
    // A file that is cut short.
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    workspace.mesh(["backfill", "export", "mail", "--output", "all.parquet"]).ok();
    let whole = fs::read(workspace.path("all.parquet")).unwrap();
    workspace.write("all.parquet", &whole[..whole.len() / 2]);
    workspace
        .mesh(["new", "archive", "cut", "--data", "all.parquet", "--key", "id"])
        .code(1)
        .tells(["all.parquet cannot be read", "cut short"]);
    // A generation that is damaged.
    let mut parts: Vec<_> = fs::read_dir(workspace.path("mail.enriched/reviews"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join("part-00000.parquet"))
        .collect();
    let part = parts.pop().unwrap();
    fs::write(&part, "no parquet").unwrap();
    workspace
        .mesh(["backfill", "export", "mail", "--output", "x.jsonl"])
        .code(1)
        .tells(["is damaged", "mesh backfill rollback"]);
}

fn done_any(workspace: &Workspace) -> bool {
    let all = workspace.json(["backfill", "status", "--json"]);
    all[0]["id"] == 2 && all[0]["done"].as_u64().is_some_and(|done| done > 0)
}

#[test]
fn several_projects_share_one_pass() {
    let workspace = with_archive(300);
    workspace.mesh(["new", "project", "copies", "--task", "near-duplicates"]).ok();
    workspace.edit(
        "projects/copies/project.toml",
        "[serve]",
        "[backfill]\ninput = { content = \"text\" }\nparameters = { language = \"lang\" }\n\n[serve]",
    );
    let ran = workspace.json(["backfill", "run", "mail", "copies", "reviews", "--json"]);
    assert_eq!(ran["projects"]["copies"]["enriched"], 300, "{ran}");
    assert_eq!(ran["projects"]["reviews"]["enriched"], 300, "{ran}");
    // One move for both.
    workspace.mesh(["backfill", "cutover", "1"]).ok();
    let rows = live(&workspace, "mail");
    assert!(rows.values().all(|row| row["copies.signature"].is_array()));
    assert_eq!(versions(&rows), [("1".into(), 300)].into());
    // A project of what another one told; both in one pass, and alone with what is live.
    let text = workspace.read(MANIFEST).replace("name = \"reviews\"", "name = \"opinions\"");
    let text = text.replace("content = \"text\"", "content = \"reviews.model\"");
    workspace.write("projects/opinions/project.toml", &text);
    workspace.mesh(["run", "opinions"]).ok();
    workspace
        .mesh(["backfill", "plan", "mail", "opinions"])
        .code(2)
        .tells(["reviews tells no `model`", "It tells: labels"]);
    workspace.edit("projects/opinions/project.toml", "reviews.model", "copies.labels");
    workspace
        .mesh(["backfill", "plan", "mail", "opinions"])
        .code(2)
        .tells(["copies tells no `labels`"]);
    workspace.edit("projects/opinions/project.toml", "copies.labels", "nobody.labels");
    workspace.mesh(["backfill", "plan", "mail", "opinions"]).code(2).tells(["no project `nobody`"]);
    // A list of labels is no text: each row is rejected with that reason, and the others go on.
    workspace.edit("projects/opinions/project.toml", "nobody.labels", "reviews.labels");
    let ran = workspace.json([
        "backfill",
        "run",
        "mail",
        "opinions",
        "reviews",
        "--all-rows",
        "--max-rejected",
        "1",
        "--json",
    ]);
    assert_eq!(ran["projects"]["opinions"]["rejected"], 300, "{ran}");
    assert_eq!(ran["projects"]["reviews"]["enriched"], 300, "{ran}");
    let rejects = workspace.json(["backfill", "rejects", "2", "--json"]);
    let detail = rejects["opinions"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("content"), "{detail}");
}

#[test]
fn a_running_service_answers_in_the_place_of_the_engine() {
    let workspace = with_archive(400);
    let mut lines: Vec<String> =
        workspace.read("mail.jsonl").lines().map(ToOwned::to_owned).collect();
    lines[3] = json!({ "id": 3, "text": " " }).to_string();
    lines[4] = json!({ "id": 4, "text": 17 }).to_string();
    workspace.write("mail.jsonl", lines.join("\n"));
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    let before = live(&workspace, "mail");
    let serving = workspace.serve();
    let url = format!("http://{}", serving.address);
    let through = |more: &[&str]| {
        let mut command =
            workspace.command(["backfill", "run", "mail", "reviews", "--all-rows", "--through"]);
        run(command.arg(&url).args(more))
    };
    let started = std::time::Instant::now();
    let ran = through(&["--max-rate", "500", "--json"]).ok();
    assert!(started.elapsed() > Duration::from_millis(390 * 2), "{:?}", started.elapsed());
    let ran: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&counts(&ran)["enriched"], &counts(&ran)["rejected"]), (&json!(398), &json!(2)));
    workspace.mesh(["backfill", "cutover", "2"]).ok();
    let after = live(&workspace, "mail");
    for (key, row) in &before {
        assert_eq!(row["reviews.labels"], after[key]["reviews.labels"], "{key}");
    }
    let rejects = workspace.json(["backfill", "rejects", "2", "--json"]);
    assert_eq!(rejects["reviews"][0]["reason"], "empty-text");
    assert!(rejects["reviews"][1]["detail"].as_str().unwrap().contains("content"), "{rejects}");
    // Answers of another version are not taken.
    newer(&workspace);
    until("the service has the new version", || {
        serving.get("/reviews/v1/bio").body.contains("\"version\":2")
    });
    through(&[]).ok();
    let mut older = workspace.command(["backfill", "run", "mail", "reviews@1", "--through"]);
    run(older.arg(&url).arg("--all-rows")).code(2).tells([
        "the service answers with version 2 of reviews, not with the version 1",
        "mesh model promote",
    ]);
    drop(serving);
    through(&["--where", "id < 100"]).code(1).tells(["failed to ask http://", "/ready"]);
    let mut nowhere = workspace.command(["backfill", "run", "mail", "reviews", "--max-rate", "5"]);
    run(&mut nowhere).code(2);
}
