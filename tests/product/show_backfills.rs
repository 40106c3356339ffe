//! Backfills on the page: what is told of them, and the two moves that need the admin key.

use serde_json::{Value, json};

use crate::{
    backfill::{documents, live, newer, versions, with_archive},
    support::{Answer, Serving, Workspace},
};

pub const KEY: &str = "an admin key of some length";

/// A live backfill, and one by a newer version that is done.
pub fn with_backfills(rows: usize) -> Workspace {
    let workspace = with_archive(rows);
    let empty = json!({ "id": rows, "text": "", "lang": "en", "stars": "1" });
    workspace.write("mail.jsonl", format!("{}{empty}\n", documents(rows)));
    workspace.edit("archives/mail.toml", "[archive]", "[truth]\nreviews = \"stars\"\n\n[archive]");
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    newer(&workspace);
    workspace.mesh(["backfill", "run", "mail", "reviews"]).ok();
    workspace
}

pub fn serve_with_key(workspace: &Workspace) -> Serving {
    let mut command = workspace.command(["serve", "--port", "0", "--json"]);
    command.env("MESH_ADMIN_KEY", KEY);
    Serving::start(command)
}

fn ask(serving: &Serving, path: &str, key: &str) -> Answer {
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\
         content-length: 0\r\n\r\n"
    );
    serving.raw(request.as_bytes())
}

fn states(serving: &Serving) -> Vec<(u64, String)> {
    let told = serving.get("/api/v1/backfills").json();
    let all = told["backfills"].as_array().unwrap().iter();
    all.map(|told| (told["id"].as_u64().unwrap(), told["state"].as_str().unwrap().into())).collect()
}

#[test]
fn backfills_are_made_live_and_rolled_back_by_who_has_the_key() {
    let workspace = with_backfills(600);
    let serving = serve_with_key(&workspace);
    let listed = serving.get("/api/v1/backfills").json();
    assert_eq!(
        (&listed["admin"], &listed["archives"][0]["archive"]),
        (&json!(true), &json!("mail"))
    );
    assert_eq!(states(&serving), [(2, "done".to_owned()), (1, "live".to_owned())]);

    let one = serving.get("/api/v1/backfills/2").json();
    assert_eq!(
        (&one["done"], &one["rows"], &one["rejected"]),
        (&json!(601), &json!(601), &json!(1))
    );
    assert_eq!(one["counts"]["reviews"]["enriched"], 600);
    assert_eq!(one["plan"]["projects"][0]["version"], 2);
    let rejects = serving.get("/api/v1/backfills/2/rejects").json();
    assert_eq!(
        (&rejects["reviews"][0]["key"], &rejects["reviews"][0]["reason"]),
        (&json!("600"), &json!("empty-text"))
    );
    // The page and the command line tell the same.
    let told = serving.get("/api/v1/backfills/2/differences").json();
    let known = workspace.json(["backfill", "diff", "2", "--examples", "10", "--json"]);
    assert_eq!(told, known);
    assert_eq!((&told[0]["before"], &told[0]["report"]["compared"]), (&json!(1), &json!(600)));

    // Whoever has no key, or a wrong one, changes nothing.
    let cutover = "/api/v1/backfills/2/cutover";
    let refused = serving.post(cutover, "");
    refused.is_problem(401, "key");
    assert!(refused.head.contains("www-authenticate: bearer"), "{refused:?}");
    for wrong in ["", "an admin key of some lengt", "an admin key of some length!"] {
        ask(&serving, cutover, wrong).is_problem(401, "key");
        ask(&serving, "/api/v1/backfills/1/rollback", wrong).is_problem(401, "key");
    }
    assert_eq!(states(&serving), [(2, "done".to_owned()), (1, "live".to_owned())]);
    assert_eq!(versions(&live(&workspace, "mail")).keys().next().unwrap(), "1");

    let moved = ask(&serving, cutover, KEY);
    assert_eq!(moved.status, 200, "{moved:?}");
    assert_eq!(moved.json()["moved"][0]["project"], "reviews");
    assert_eq!(states(&serving), [(2, "live".to_owned()), (1, "superseded".to_owned())]);
    assert_eq!(versions(&live(&workspace, "mail"))["2"], 600);
    // What is live is not made live again, and what is not live is not rolled back.
    assert_eq!(ask(&serving, cutover, KEY).json()["moved"], json!([]));
    ask(&serving, "/api/v1/backfills/1/rollback", KEY).is_problem(409, "conflict");
    let back = ask(&serving, "/api/v1/backfills/2/rollback", KEY);
    assert_eq!(back.status, 200, "{back:?}");
    assert_eq!(versions(&live(&workspace, "mail"))["1"], 600);

    for path in ["9", "one", "9/rejects", "9/differences"] {
        serving.get(&format!("/api/v1/backfills/{path}")).is_problem(404, "not-found");
    }
    ask(&serving, "/api/v1/backfills/9/cutover", KEY).is_problem(404, "not-found");
}

#[test]
fn a_gate_refuses_from_the_page_too_and_without_a_key_nothing_moves() {
    let workspace = with_backfills(300);
    let manifest = "projects/reviews/project.toml";
    workspace.edit(manifest, "[backfill]", "[backfill]\ngate = { rejected = 0.001 }");
    let serving = serve_with_key(&workspace);
    let refused = ask(&serving, "/api/v1/backfills/2/cutover", KEY).is_problem(409, "conflict");
    assert!(refused["detail"].as_str().unwrap().contains("rejected of reviews is 0.0033"));
    let told = serving.get("/api/v1/backfills/2/differences").json();
    assert_eq!(told[0]["gates"][0]["passes"], false);
    drop(serving);

    let serving = workspace.serve();
    assert_eq!(serving.get("/api/v1/backfills").json()["admin"], false);
    ask(&serving, "/api/v1/backfills/1/rollback", KEY).is_problem(401, "key");
    ask(&serving, "/api/v1/backfills/1/rollback", "").is_problem(401, "key");
    drop(serving);

    // A key that is guessed is refused before anything listens; another variable may hold it.
    let mut short = workspace.command(["serve", "--port", "0"]);
    crate::support::run(short.env("MESH_ADMIN_KEY", "short"))
        .code(1)
        .tells(["MESH_ADMIN_KEY is too short", "at least 16 characters"]);
    workspace.write("mesh.toml", "[show]\nadmin_key_env = \"OUR_KEY\"\n");
    let mut ours = workspace.command(["serve", "--port", "0", "--json"]);
    let serving = Serving::start({
        ours.env("OUR_KEY", KEY);
        ours
    });
    assert_eq!(ask(&serving, "/api/v1/backfills/1/rollback", KEY).status, 200);
}

#[test]
fn a_backfill_that_runs_is_told_to_open_pages() {
    let workspace = with_archive(4_000);
    let serving = workspace.serve();
    let stream = serving.connect();
    std::io::Write::write_all(&mut &stream, b"GET /api/v1/live HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    let through = format!("http://{}", serving.address);
    let mut command = workspace.command(["backfill", "run", "mail", "reviews", "--through"]);
    let mut run = command.args([&through, "--max-rate", "1000", "--quiet"]).spawn().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(stream));
    let mut told = lines.map(|line| line.unwrap()).skip_while(|line| line != "event: backfills");
    let mut seen: Vec<Value> = Vec::new();
    // From that it runs, past how far it is, to that nothing runs.
    loop {
        let line = told.next().unwrap();
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let Ok(Value::Array(now)) = serde_json::from_str(data) else { continue };
        match (now.first(), seen.is_empty()) {
            (Some(one), _) => seen.push(one.clone()),
            (None, true) => {}
            (None, false) => break,
        }
    }
    assert!(seen.iter().any(|one| one["working"] == true && one["rows"] == 4_000), "{seen:?}");
    let rates: Vec<f64> = seen.iter().filter_map(|one| one["rate"].as_f64()).collect();
    assert!(rates.iter().any(|rate| (100.0..4_000.0).contains(rate)), "{seen:?}");
    assert!(seen.iter().any(|one| one["seconds_left"].as_f64().is_some()), "{seen:?}");
    assert_eq!(crate::support::wait(&mut run), 0);
}
