//! The page of every project, in a browser: every page in both themes and on a phone, and what
//! somebody does there.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    backfill::documents,
    encoders, entities, ner, regression,
    show_backfills::serve_with_key,
    support::{Answer, Serving, Workspace, repository, reviews, run, wait},
};

/// A small project of every task, with markup where people write.
fn workspace() -> Workspace {
    let workspace = encoders::with_model();
    let labelled = reviews(600)
        .replace(",1\n", ",\"<img src=x onerror=window.ran=1>\"\n")
        .replace(",3\n", ",so-so\n")
        .replace(",5\n", ",great\n");
    workspace.write("reviews.csv", labelled);
    workspace.mesh(["new", "project", "reviews", "--data", "reviews.csv", "--label", "stars"]).ok();
    let manifest = "projects/reviews/project.toml";
    let described = "description = \"<b>bold</b><script>window.ran=1</script>\"\n";
    let lines: String = workspace
        .read(manifest)
        .lines()
        .map(|line| match line.starts_with("description") {
            true => described.to_owned(),
            false => format!("{line}\n"),
        })
        .collect();
    workspace.write(manifest, lines);
    let chosen = "\n[show]\npanels = [\"answer\", \"targets\", \"metrics\"]\n\
                  words = { text = \"Sentence <i>\", intro = \"<script>window.ran=1</script>\" }\n";
    let names = ner::manifest("model = \"crf\"", "") + chosen;
    workspace.write("projects/names/project.toml", names);
    workspace.write("projects/names/names.txt", ner::conll("bio"));
    workspace.write("projects/sentiment/project.toml", entities::SENTIMENT_MANIFEST);
    workspace.write("projects/sentiment/opinions.csv", entities::opinions());
    workspace.write("projects/visits/project.toml", regression::SERIES);
    workspace.write("projects/visits/visits.csv", regression::visits(false));
    workspace
        .write("projects/vectors/project.toml", encoders::manifest("vectors", "embedding", ""));
    let lsh = fs::read_to_string(repository().join("projects/lsh/project.toml")).unwrap();
    workspace.write("projects/lsh/project.toml", lsh);
    workspace.edit(manifest, "[serve]", BACKFILL);
    workspace.mesh(["run", "--all"]).ok();
    // Another version, as a candidate, and an archive that one told of and the other is to.
    let relabelled = |line: &str| match line.contains("usual") {
        true => line.replace(",so-so", ",great"),
        false => line.to_owned(),
    };
    let lines: Vec<String> = workspace.read("reviews.csv").lines().map(relabelled).collect();
    workspace.write("reviews.csv", lines.join("\n"));
    workspace.mesh(["run", "reviews"]).ok();
    workspace.mesh(["model", "promote", "reviews", "2", "--alias", "candidate"]).ok();
    // One that has no model yet.
    workspace.mesh(["new", "project", "late", "--data", "reviews.csv", "--label", "stars"]).ok();
    let empty = json!({ "id": "empty", "text": " ", "lang": "en", "stars": "1" });
    workspace.write("mail.jsonl", format!("{}{empty}\n", documents(2_000)));
    let archive = ["new", "archive", "mail", "--data", "mail.jsonl", "--key", "id"];
    run(workspace.command(archive).args(["--slice", "language=lang"])).ok();
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    workspace.mesh(["backfill", "run", "mail", "reviews@2"]).ok();
    workspace
}

const BACKFILL: &str = "[backfill]\ninput = { content = \"text\" }\n\n[serve]";

fn node(script: &str, args: &[&str]) -> Child {
    let mut command = Command::new(repository().join("scripts/web.sh"));
    command.arg("node").arg(repository().join("tests/browser").join(script)).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

fn screenshots() -> PathBuf {
    repository().join("target/screenshots")
}

/// Walks, and does to the server what the walk asks for.
fn walk(workspace: &Workspace, what: &str) {
    let mut serving = Some(serve_with_key(workspace));
    let mut backfill = None;
    let address = serving.as_ref().unwrap().address.clone();
    let port = address.rsplit_once(':').unwrap().1.to_owned();
    let base = format!("http://{address}");
    let mut walk = node("walk.mjs", &[&base, screenshots().to_str().unwrap(), what]);
    let mut answers = walk.stdin.take().unwrap();
    for line in BufReader::new(walk.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.as_str() {
            "kill" => drop(serving.take()),
            "start" => {
                let again = workspace.command(["serve", "--port", &port, "--json"]);
                serving = Some(Serving::start(again));
            }
            "backfill" => {
                let through = ["--all-rows", "--through", &base, "--max-rate", "700", "--quiet"];
                let mut command = workspace.command(["backfill", "run", "mail", "reviews"]);
                backfill = Some(command.args(through).stdout(Stdio::null()).spawn().unwrap());
            }
            "run" => {
                workspace.mesh(["run", "late"]).ok();
            }
            "forget" => forget(workspace, "reviews", "2"),
            "count" => {
                let open = connections(&port);
                assert!(open <= 12, "two hundred tabs hold {open} connections");
            }
            other => panic!("the walk asks for {other}"),
        }
        writeln!(answers, "done").unwrap();
    }
    assert_eq!(wait(&mut walk), 0, "the walk failed: what it says is above");
    if let Some(mut backfill) = backfill {
        assert_eq!(wait(&mut backfill), 0);
    }
}

/// The connections to a port of this machine that are open.
fn connections(port: &str) -> usize {
    let local = format!("0100007F:{:04X}", port.parse::<u16>().unwrap());
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let open = |line: &&str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields[1] == local && fields[3] == "01"
    };
    table.lines().skip(1).filter(open).count()
}

/// Removes what was compiled for a version from the store.
fn forget(workspace: &Workspace, project: &str, version: &str) {
    let shown = workspace.json(["model", "show", project, "--version", version, "--json"]);
    let digest = shown["version"]["compiled"][0]["digest"].as_str().unwrap().to_owned();
    fs::remove_dir_all(workspace.path(&format!(".mesh/store/artifacts/{digest}"))).unwrap();
}

#[test]
fn every_page_is_whole_in_both_themes_and_on_a_phone_and_taken_away() {
    let workspace = workspace();
    walk(&workspace, "look");
    // Those that are taken away open without a server, whatever was written.
    for project in ["lsh", "names", "reviews", "sentiment", "vectors", "visits"] {
        workspace.mesh(["show", "export", project, "--out", &format!("{project}.html")]).ok();
    }
    let folder = format!("file://{}", workspace.path("").display());
    let mut exported = node("walk.mjs", &[&folder, screenshots().to_str().unwrap(), "exported"]);
    assert_eq!(wait(&mut exported), 0, "the walk failed: what it says is above");
}

#[test]
fn the_pages_do_what_people_ask_and_live_through_an_outage() {
    walk(&workspace(), "use");
}

#[test]
fn two_hundred_tabs_are_one_stream() {
    let workspace = Workspace::with_reviews(60);
    workspace.mesh(["run", "reviews"]).ok();
    walk(&workspace, "tabs");
}

fn memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_thousand_open_pages_cost_little_and_a_server_ends_beneath_them() {
    let workspace = Workspace::with_reviews(60);
    workspace.mesh(["run", "reviews"]).ok();
    let serving = workspace.serve();
    serving.get("/api/v1/mesh");
    let before = memory(serving.child.id());
    let mut pages = node("pages.mjs", &[&serving.address, "1000"]);
    let mut told = String::new();
    BufReader::new(pages.stdout.take().unwrap()).read_line(&mut told).unwrap();
    assert_eq!(told, "ticked\n");
    let more = memory(serving.child.id()).saturating_sub(before);
    println!("1,000 open pages take {more} kB");
    assert!(more < 50_000, "1,000 open pages take {more} kB");
    // Streams that never end by themselves do not keep it from draining.
    assert_eq!(serving.terminate(), 0);
    pages.kill().unwrap();
    pages.wait().unwrap();
}

#[test]
fn the_json_that_the_page_draws_is_for_everybody() {
    let workspace = Workspace::with_reviews(300);
    workspace.mesh(["run", "reviews"]).ok();
    let serving = workspace.serve();
    let get = |path: &str| {
        let answer = serving.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    };
    // A program that asks for `/` gets JSON, a browser the page.
    assert_eq!(get("/")["projects"][0]["predict"], "/reviews/v1/predict");
    let page =
        serving.raw(b"GET / HTTP/1.1\r\nhost: a\r\naccept: text/html\r\nconnection: close\r\n\r\n");
    assert!(page.body.starts_with("<!doctype html>"), "{page:?}");
    assert!(page.head.contains("content-security-policy: default-src 'self'"), "{page:?}");
    assert!(!page.head.contains("unsafe"), "{page:?}");

    let project = &get("/api/v1/mesh")["projects"][0];
    assert_eq!(project["steps"].as_array().unwrap().len(), 3);
    assert_eq!((&project["production"], &project["ready"]), (&json!(1), &json!(true)));
    let (value, low) = (&project["headline"]["value"], &project["headline"]["low"]);
    assert!(low.as_f64().unwrap() <= value.as_f64().unwrap());
    let examples = get("/api/v1/projects/reviews/examples?limit=6");
    assert_eq!(examples["split"], "test");
    let labels: Vec<_> =
        examples["examples"].as_array().unwrap().iter().map(|e| e["label"].as_str()).collect();
    assert_eq!(labels.len(), 6);
    assert!(["1", "3", "5"].iter().all(|label| labels.contains(&Some(label))), "{labels:?}");

    // It is compressed for who takes it so, as browsers do.
    let packed = serving.raw(
        b"GET /api/v1/projects/reviews/versions/1 HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip, \
          br\r\nconnection: close\r\n\r\n",
    );
    assert!(packed.head.contains("content-encoding: gzip"), "{}", packed.head);
    let length = |answer: &Answer| -> usize {
        let value = answer.head.split("content-length: ").nth(1).unwrap();
        value.lines().next().unwrap().parse().unwrap()
    };
    let plain = serving.get("/api/v1/projects/reviews/versions/1");
    assert!(length(&packed) < length(&plain) / 2, "{} {}", packed.head, plain.head);
    let version = get("/api/v1/projects/reviews/versions/1");
    let examination = get("/api/v1/projects/reviews/versions/1/examination");
    assert_eq!(examination["rows"], version["card"]["metrics"]["rows"]);
    let all: u64 = examination["confusion"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| row.as_array().unwrap())
        .map(|cell| cell.as_u64().unwrap())
        .sum();
    assert_eq!(examination["rows"], all);
    let cell = get("/api/v1/projects/reviews/versions/1/examination/texts?truth=5&given=5");
    assert_eq!(cell["count"], examination["confusion"][2][2]);
    let graph = get("/api/v1/projects/reviews/versions/1/lineage");
    let kinds: Vec<_> =
        graph["nodes"].as_array().unwrap().iter().map(|node| node["kind"].as_str()).collect();
    for kind in ["source", "dataset", "model", "compiled", "service"] {
        assert!(kinds.contains(&Some(kind)), "{graph}");
    }
    let model = version["record"]["model"].as_str().unwrap();
    let artifact = get(&format!("/api/v1/artifacts/{model}"));
    assert_eq!(artifact["kind"], "model");
    let card = get(&format!("/api/v1/artifacts/{model}/files/card.json"));
    assert_eq!(card["project"], "reviews");

    let live = serving.connect();
    (&live).write_all(b"GET /api/v1/live HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let lines = "{\"attributes\":{\"content\":\"lovely\"}}\n\n{\"attributes\":{}}\nno json\n";
    let answer = serving.post("/api/v1/projects/reviews/batch", lines);
    assert_eq!(answer.status, 200, "{answer:?}");
    for part in
        ["\"prediction\":{\"labels\":[{\"label\":\"5\"", "problem:schema", "problem:not-json"]
    {
        assert!(answer.body.contains(part), "{part}: {}", answer.body);
    }
    // What was asked is seen in the traffic, once.
    let lines = BufReader::new(live).lines().map(|line| line.unwrap());
    let ticks = lines.skip_while(|line| line != "event: tick").take(40);
    let mut seen = (0, 0);
    for line in ticks {
        let tick = line.strip_prefix("data: ").map(serde_json::from_str::<Value>);
        let Some(Ok(tick)) = tick else { continue };
        let count = |name: &str| tick["reviews"][name].as_u64().unwrap_or_default();
        seen = (seen.0 + count("answered"), seen.1 + count("failed"));
        if seen.0 + seen.1 >= 2 {
            break;
        }
    }
    assert_eq!(seen, (1, 1));
}

#[test]
fn what_is_not_there_is_told_and_nothing_else_is_given() {
    let workspace = Workspace::with_reviews(60);
    workspace.mesh(["run", "reviews"]).ok();
    let serving = workspace.serve();
    let digest = "0".repeat(64);
    for path in [
        "/api/v1/projects/nobody".to_owned(),
        "/api/v1/projects/reviews/versions/7".to_owned(),
        "/api/v1/projects/reviews/versions/one".to_owned(),
        "/api/v1/projects/reviews/versions/7/lineage".to_owned(),
        "/api/v1/projects/reviews/versions/7/examination".to_owned(),
        "/api/v1/artifacts/..".to_owned(),
        format!("/api/v1/artifacts/{digest}"),
        "/assets/show/nothing.js".to_owned(),
        "/assets/show/..%2fsecret".to_owned(),
    ] {
        serving.get(&path).is_problem(404, "not-found");
    }
    let version = serving.get("/api/v1/projects/reviews/versions/1").json();
    let model = version["record"]["model"].as_str().unwrap();
    // Only files that the artifact's manifest names, and only texts.
    for file in
        ["weights.safetensors", "..%2f..%2f..%2fregistry.db", "%2fetc%2fhostname", "no.json"]
    {
        serving
            .get(&format!("/api/v1/artifacts/{model}/files/{file}"))
            .is_problem(404, "not-found");
    }
}
