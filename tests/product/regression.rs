//! Numbers: the project on real visits, and tables and series of one's own, good and bad.

use std::{fmt::Write as _, fs};

use serde_json::{Value, json};

use crate::support::{Workspace, repository};

pub const SERIES: &str = r#"[project]
name = "visits"
task = "regression"
description = "How many people come"
[source]
url = "file:visits.csv"
format = "csv"
columns = { label = "count", group = "shop", time = "day" }
[prepare]
max_rejected = 0.2
split = { train = 0.7, validation = 0.15, test = 0.15, method = "by-time" }
[prepare.features]
numbers = ["price"]
categories = ["shop"]
dates = ["day"]
[prepare.series]
horizon = 2
lags = [2, 7]
windows = [7]
[train]
model = "boosted-trees"
gate = { r2_gain = 0.0 }
[compile]
[serve]
"#;

/// Days of two shops: a week's pattern, and a price that moves it, which last week does not tell.
pub fn visits(noise_only: bool) -> String {
    let mut csv = String::from("day,shop,price,count\n");
    let mut random = 12345u64;
    for day in 0..300u32 {
        for (shop, base) in [("north", 200.0), ("south", 500.0)] {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let drawn = f64::from(u32::try_from(random >> 40).unwrap() % 1000) / 1000.0;
            let price = (drawn * 10.0).round();
            let known = base + 20.0 * f64::from(day % 7) - 15.0 * price;
            let count = if noise_only { 1000.0 * drawn } else { known };
            let price = if noise_only { 1.0 } else { price };
            let date = date(day);
            writeln!(csv, "{date},{shop},{price},{count:.1}").unwrap();
        }
    }
    csv
}

/// The day so many days after the first of 2024, which is a leap year.
fn date(day: u32) -> String {
    let months = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let (mut month, mut rest) = (0, day % 366);
    while rest >= months[month] {
        rest -= months[month];
        month += 1;
    }
    format!("2024-{:02}-{:02}", month + 1, rest + 1)
}

fn with_visits(csv: &str) -> Workspace {
    let workspace = Workspace::new();
    workspace.write("projects/visits/project.toml", SERIES);
    workspace.write("projects/visits/visits.csv", csv);
    workspace
}

fn ask(rows: Value) -> String {
    json!({ "data": { "namespace": "visits", "attributes": { "input": rows } } }).to_string()
}

#[test]
fn a_series_lives_its_whole_life() {
    let workspace = with_visits(&visits(false));
    let ran = workspace.json(["run", "visits", "--json"]);
    let steps = ran[0]["steps"].as_array().unwrap();
    let trained = &steps[1]["summary"];
    assert!(trained["metrics"]["r2"]["value"].as_f64().unwrap() > 0.9, "{ran}");
    assert!(trained["metrics"]["r2_gain"]["low"].as_f64().unwrap() > 0.0, "{ran}");
    assert_eq!(trained["baseline"]["kind"], "seasonal-naive");
    assert_eq!(steps[2]["summary"]["agreement"], 1.0, "{ran}");
    assert_eq!(steps[2]["unit"], "portable-f64");
    // The first week has no season before it.
    let read = steps[0]["summary"]["read"].as_u64().unwrap();
    assert_eq!((read, steps[0]["summary"]["left_out"].as_u64()), (600, Some(14)));
    assert!(workspace.mesh(["status"]).ok().out.contains("r2 0.9"));
    let card = workspace.mesh(["model", "show", "visits"]).ok().out;
    assert!(card.contains("| R2 |") && card.contains("`count_lag_7`"), "{card}");
    // Again, with another number of threads: nothing to do, or the same bytes.
    let again = workspace.json(["run", "visits", "--force", "--threads", "1", "--json"]);
    for (step, again) in steps.iter().zip(again[0]["steps"].as_array().unwrap()) {
        assert_eq!(step["output"], again["output"], "{again}");
    }

    let serving = workspace.serve();
    let openapi = serving.get("/visits/v1/openapi.json").json();
    let sample = &openapi["components"]["schemas"]["PredictRequest"]["examples"][0];
    let row = sample["data"]["attributes"]["input"][0].clone();
    let schema = &openapi["components"]["schemas"]["Attributes"]["properties"]["input"]["items"];
    assert_eq!(schema["properties"]["shop"]["enum"], json!(["north", "south"]));
    assert_eq!(schema["properties"]["price"]["minimum"], 0.0);
    assert!(schema["required"].as_array().unwrap().contains(&json!("count_lag_2")), "{schema}");
    let post = |rows: Value| serving.post("/visits/v1/predict", ask(rows));
    let predictions = |rows: Value| {
        let answer = post(rows);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["data"]["attributes"]["predictions"].as_array().unwrap().clone()
    };
    let mut other = row.clone();
    other["price"] = json!(9);
    let both = predictions(json!([row, other]));
    assert_eq!(both.len(), 2);
    // A row is told the same alone, and a price that is higher brings fewer.
    assert_eq!(predictions(json!([row])), both[..1]);
    assert_eq!(predictions(json!([other])), both[1..]);
    assert!(predictions(json!([])).is_empty());
    for (field, value, detail) in [
        ("price", Value::Null, "it is null, which it never was"),
        ("price", json!("9"), "expected a number"),
        ("price", json!(1e300), "is not in 0 to 20"),
        ("price", json!(-1), "is not in 0 to 20"),
        ("shop", json!("east"), "known are: north, south"),
        ("shop", json!(3), "expected a text"),
        ("day", json!("2024-02-30"), "expected a date"),
        ("day", json!("2099-01-01"), "the model was trained on 2024-01-08 to"),
        ("count_lag_2", json!([1]), "expected a number"),
        ("prize", json!(9), "known are: `price`"),
    ] {
        let mut wrong = row.clone();
        wrong[field] = value;
        let answer = post(json!([row, wrong]));
        assert_eq!(answer.status, 422, "{answer:?}");
        let problem = answer.json();
        assert_eq!(problem["errors"].as_array().unwrap().len(), 1, "{problem}");
        let loc: Vec<&str> = problem["errors"][0]["loc"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        assert_eq!(loc, ["data", "attributes", "input[1]", field]);
        assert!(problem["errors"][0]["msg"].as_str().unwrap().contains(detail), "{problem}");
    }
    let mut without = row.clone();
    without.as_object_mut().unwrap().remove("price");
    let problem = post(json!([without])).is_problem(422, "schema");
    assert_eq!(problem["errors"][0]["type"], "missing", "{problem}");
    for body in [
        ask(json!([row])).replace("\"price\":", "\"price\":1e999,\"x\":"),
        ask(json!([1])),
        ask(json!({})),
    ] {
        let answer = serving.post("/visits/v1/predict", body);
        assert!(matches!(answer.status, 400 | 422), "{answer:?}");
    }
    assert_eq!(serving.get("/visits/v1/ready").status, 200);
    let asked = r#"{"input": [{}]}"#;
    let told = workspace.mesh(["predict", "visits", "--attributes", asked]).code(2);
    told.tells(["`price`", "it answers"]);
}

#[test]
fn what_does_not_beat_its_baseline_is_refused() {
    // What happens is drawn anew each day: nothing tells it, so no model is left.
    let workspace = with_visits(&visits(true));
    workspace.edit("projects/visits/project.toml", "r2_gain = 0.0", "r2_gain = 0.9");
    workspace.mesh(["run", "visits"]).code(3).tells(["r2_gain", "demands at least 0.9"]);
    assert_eq!(workspace.json(["model", "list", "visits", "--json"]), json!([]));
}

#[test]
fn gaps_double_days_and_rubbish_have_reasons() {
    let mut csv: String = visits(false)
        .lines()
        .filter(|line| !line.starts_with("2024-03-1"))
        .fold(String::new(), |all, line| all + line + "\n");
    csv.push_str("2024-05-01,north,1,10\n");
    csv.push_str("2024-13-01,north,1,10\n");
    csv.push_str("tomorrow,north,1,10\n");
    csv.push_str("2024-11-01,north,inf,10\n");
    csv.push_str("2024-11-02,north,cheap,10\n");
    csv.push_str("2024-11-03,north,1,\n");
    csv.push_str("2024-11-04,north,1,NaN\n");
    csv.push_str("2024-11-05,north,1,1e999\n");
    let workspace = with_visits(&csv);
    let ran = workspace.json(["run", "visits:prepare", "--json"]);
    let summary = &ran[0]["steps"][0]["summary"];
    assert_eq!(summary["read"], 588, "{summary}");
    let expected = json!({ "double-day": 1, "not-a-date": 2, "not-finite": 2, "not-a-number": 1,
        "no-label": 2 });
    assert_eq!(summary["rejected"], expected, "{summary}");
    // The first seven days, and those whose day a week before is in the gap of ten days.
    assert_eq!(summary["left_out"], 28, "{summary}");
    let rows: u64 = summary["rows"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(rows + 28 + 8, 588, "{summary}");
}

#[test]
fn manifests_of_tables_that_cannot_be_are_told() {
    let workspace = with_visits(&visits(false));
    for (from, to, expected) in [
        ("lags = [2, 7]", "lags = [1, 7]", "a lag of 1 days is not known 2 days ahead"),
        ("horizon = 2", "horizon = 0", "1 to 1000"),
        ("numbers = [\"price\"]", "numbers = [\"count\"]", "cannot be a feature"),
        ("numbers = [\"price\"]", "numbers = [\"shop\"]", "named twice"),
        ("time = \"day\"", "id = \"day\"", "`time`"),
        ("\"boosted-trees\"", "\"linear\"", "does not do the task `regression`"),
        ("r2_gain", "macro_f1", "not measured of this model"),
        ("format = \"csv\"", "format = \"text\"", "needs a source with columns"),
    ] {
        workspace.write("projects/visits/project.toml", SERIES.replace(from, to));
        let told = workspace.mesh(["check"]);
        assert_ne!(told.code, 0, "{from} -> {to}");
        told.tells([expected]);
    }
    for (from, to, expected) in [
        ("numbers = [\"price\"]", "numbers = [\"prise\"]", "did you mean `price`?"),
        ("categories = [\"shop\"]", "categories = [\"shop\"]\nmax_categories = 1", "2 names"),
    ] {
        workspace.write("projects/visits/project.toml", SERIES.replace(from, to));
        workspace.mesh(["run", "visits"]).code(1).tells([expected]);
    }
}

#[test]
fn rows_without_days_are_told_too() {
    let workspace = Workspace::new();
    let mut lines = String::new();
    for row in 0..400 {
        let (size, kind) = (row % 20, ["a", "b", "c"][row % 3]);
        let amount = size as f64 * 3.0 + [0.0, 50.0, 10.0][row % 3];
        let line = json!({ "size": if row % 11 == 0 { Value::Null } else { size.into() },
            "kind": kind, "name": format!("row {row}"), "amount": amount });
        writeln!(lines, "{line}").unwrap();
    }
    workspace.write("things.jsonl", lines);
    workspace
        .mesh([
            "new",
            "project",
            "things",
            "--task",
            "regression",
            "--data",
            "things.jsonl",
            "--target",
            "amount",
        ])
        .ok();
    let manifest = workspace.read("projects/things/project.toml");
    for expected in [
        "numbers = [\"size\"]",
        "categories = [\"kind\"]",
        "# `name` is no feature: it has 400 names",
    ] {
        assert!(manifest.contains(expected), "{expected}\n{manifest}");
    }
    let ran = workspace.json(["run", "things", "--json"]);
    let trained = &ran[0]["steps"][1]["summary"];
    assert_eq!(trained["baseline"]["kind"], "mean", "{ran}");
    assert!(trained["metrics"]["r2"]["value"].as_f64().unwrap() > 0.8, "{ran}");
    // A size that was empty in some rows may be null, but has to be there.
    let asked = r#"{"input": [{"kind": "b", "size": 10}, {"kind": "b", "size": null},
        {"kind": "a", "size": 10}]}"#;
    let told = workspace.json(["predict", "things", "--attributes", asked, "--json"]);
    let told: Vec<f64> =
        told["predictions"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    assert_eq!(told.len(), 3);
    assert!((told[0] - 80.0).abs() < 10.0 && (told[2] - 30.0).abs() < 10.0, "{told:?}");
    let without = r#"{"input": [{"kind": "b"}]}"#;
    let ran = workspace.mesh(["predict", "things", "--attributes", without]);
    ran.code(2).tells(["data.attributes.input[0].size", "it is required"]);
    // Columns that are not there, and targets that are no numbers.
    let new = |args: [&str; 4]| {
        let all = ["new", "project", "other", "--task", "regression", "--data"];
        let mut command = workspace.command(all);
        crate::support::run(command.args(args))
    };
    new(["things.jsonl", "--target", "amont", "--json"]).code(2).tells(["did you mean `amount`?"]);
    new(["things.jsonl", "--target", "kind", "--json"]).code(2).tells(["column of numbers"]);
}

#[test]
fn visits_are_told_better_than_by_last_week() {
    let workspace = Workspace::new();
    let path = "projects/visitor-estimation/project.toml";
    workspace.write(path, fs::read(repository().join(path)).unwrap());
    let ran = workspace.json(["run", "visitor-estimation", "--json"]);
    let steps = &ran[0]["steps"];
    let gain = steps[1]["summary"]["metrics"]["r2_gain"]["low"].as_f64().unwrap();
    assert!(gain > 0.0, "{ran}");
    assert_eq!(steps[2]["summary"]["agreement"], 1.0, "{ran}");
    // The page that is left out: all its days.
    assert!(steps[0]["summary"]["left_out"].as_u64().unwrap() >= 550, "{ran}");
    assert!(workspace.serve().get("/visitor-estimation/v1/ready").status == 200);
}

#[test]
fn a_table_of_any_kind_becomes_a_project_or_is_told_why_not() {
    let workspace = Workspace::new();
    let new = |name: &str, file: &str, more: &[&str]| {
        let mut command = workspace.command(["new", "project", name, "--task", "regression"]);
        crate::support::run(command.args(["--data", file, "--target", "amount"]).args(more))
    };
    // Few different rows, each many times: all are observations. Parted as spreadsheets do it, with
    // a target that is no number in some rows, and days that are written otherwise.
    let mut csv = String::from("size;rooms;when;amount\n");
    for row in 0..2000usize {
        let (size, rooms) = (row % 7, row % 3);
        let amount = match row % 100 {
            0 => "unknown".to_owned(),
            1 => "inf".to_owned(),
            _ => (3 * size + rooms).to_string(),
        };
        writeln!(csv, "{size};{rooms};{:02}/{:02}/2024;{amount}", row % 12 + 1, row % 28 + 1)
            .unwrap();
    }
    workspace.write("homes.csv", &csv);
    let made = new("homes", "homes.csv", &[]).ok();
    assert!(
        made.out.contains("note: `when` is no feature: days are written as 2016-12-31"),
        "{made:?}"
    );
    let manifest = workspace.read("projects/homes/project.toml");
    for expected in ["delimiter = \";\"", "numbers = [\"size\", \"rooms\"]", "file:../../homes.csv"]
    {
        assert!(manifest.contains(expected), "{expected}\n{manifest}");
    }
    let ran = workspace.mesh(["run", "homes"]).ok();
    assert!(ran.out.contains(", 40 rejected"), "{ran:?}");
    let ran = workspace.json(["run", "homes", "--json"]);
    let rows = &ran[0]["steps"][0]["summary"]["rows"];
    let rows: Vec<u64> =
        ["train", "validation", "test"].map(|split| rows[split].as_u64().unwrap()).to_vec();
    assert_eq!(rows.iter().sum::<u64>(), 1960);
    assert!(rows[2] > 150 && rows[2] < 250, "{rows:?}");
    assert!(
        ran[0]["steps"][1]["summary"]["metrics"]["r2"]["value"].as_f64().unwrap() > 0.9,
        "{ran}"
    );
    // What cannot be told, or told by nothing.
    new("days", "homes.csv", &["--day", "when"])
        .code(2)
        .tells(["such as `01/01/2024`", "written as 2016-12-31"]);
    workspace.write("words.csv", "name,amount\n".to_owned() + &"a,b\n".repeat(50));
    new("words", "words.csv", &[]).code(2).tells(["holds other values than numbers, such as `b`"]);
    workspace.write("twice.csv", "x,x,amount\n1,2,3\n");
    new("twice", "twice.csv", &[]).code(1).tells(["twice.csv has two columns `x`"]);
    workspace.write("alone.csv", "amount\n1\n2\n");
    new("alone", "alone.csv", &[]).code(2).tells(["find a column of", "there is none"]);
    workspace.write("empty.csv", "");
    new("empty", "empty.csv", &[]).code(2).tells(["it is empty"]);
}
