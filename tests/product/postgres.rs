//! A table of PostgreSQL as an archive: a real server, killed and restarted as machines are.

use std::{
    collections::BTreeMap,
    fs,
    process::{Child, Stdio},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, Row, postgres::PgConnectOptions};

use crate::{
    database::{PASSWORD, Server, USER},
    support::{Ran, Workspace, reviews, run, signal, until, wait},
};

const MANIFEST: &str = "projects/reviews/project.toml";

/// Rows for COPY: a key, a text, a language and the true label.
fn rows(first: usize, count: usize) -> String {
    let mut out = String::new();
    for (row, line) in reviews(count).lines().skip(1).enumerate() {
        let (text, stars) = line.rsplit_once(',').unwrap();
        let (text, lang) = (text.trim_matches('"'), ["en", "de", "fr"][row % 3]);
        out.push_str(&format!("{}\t{text}\t{lang}\t{stars}\n", first + row));
    }
    out
}

/// A server with a table `mail` of so many documents, and a workspace with it as an archive and a
/// trained project `reviews`.
pub fn with_table(count: usize) -> (Server, Workspace) {
    with_table_of(Server::start(), count)
}

pub fn with_table_of(server: Server, count: usize) -> (Server, Workspace) {
    server.sql(&format!(
        "CREATE TABLE mail (id bigint PRIMARY KEY, text text, lang text, stars text);\n\
         COPY mail FROM STDIN;\n{}\\.\n",
        rows(0, count)
    ));
    let workspace = Workspace::with_reviews(240);
    workspace.edit(MANIFEST, "[serve]", "[backfill]\ninput = { content = \"text\" }\n\n[serve]");
    workspace.mesh(["run", "reviews"]).ok();
    let url = server.url("public.mail");
    let new = ["new", "archive", "mail", "--url", &url, "--key", "id", "--slice", "language=lang"];
    run(&mut server.with(&workspace, new)).ok();
    (server, workspace)
}

/// Trains another version; it becomes production.
pub fn newer(workspace: &Workspace) {
    workspace.edit(MANIFEST, "model = \"linear\"", "model = \"linear\"\nlinear = { c = [0.001] }");
    workspace.mesh(["run", "reviews"]).ok();
    workspace.mesh(["model", "promote", "reviews", "2"]).ok();
}

pub fn mesh<const N: usize>(server: &Server, workspace: &Workspace, args: [&str; N]) -> Ran {
    run(&mut server.with(workspace, args))
}

pub fn told<const N: usize>(server: &Server, workspace: &Workspace, args: [&str; N]) -> Value {
    let ran = mesh(server, workspace, args).ok();
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", ran.out))
}

/// The versions that readers of the view see, with how many rows are of each.
pub const VERSIONS: &str = "SELECT model_version, count(*) FROM mail_reviews GROUP BY 1 ORDER BY 1";
/// Tables and views that are there beside the documents.
const THERE: &str = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace \
                     AND relkind IN ('r', 'v') AND relname <> 'mail' ORDER BY 1";

#[test]
fn a_table_is_enriched_compared_made_live_and_rolled_back() {
    let (server, workspace) = with_table(900);
    let mesh = |args: [&str; 4]| mesh(&server, &workspace, args);
    server.sql(
        "UPDATE mail SET text = NULL WHERE id = 3; UPDATE mail SET text = ' ' WHERE id = 4;
         UPDATE mail SET text = E'a lovely \\t \\\\ box' WHERE id = 5",
    );
    let plan = told(&server, &workspace, ["backfill", "plan", "mail", "reviews", "--json"]);
    assert_eq!((&plan["rows"], &plan["projects"][0]["todo"]), (&json!(900), &json!(900)), "{plan}");
    assert_eq!(server.sql(THERE), "", "a plan changes nothing");
    let ran = told(&server, &workspace, ["backfill", "run", "mail", "reviews", "--json"]);
    let counts = &ran["projects"]["reviews"];
    assert_eq!((&counts["enriched"], &counts["rejected"]), (&json!(898), &json!(2)), "{ran}");
    let rejects = told(&server, &workspace, ["backfill", "rejects", "1", "--json"]);
    let reject = |at: usize| {
        let reject = &rejects["reviews"][at];
        ["key", "file", "reason"].map(|name| reject[name].as_str().unwrap().to_owned())
    };
    assert_eq!(reject(0), ["3", "public.mail", "schema"]);
    assert_eq!(reject(1), ["4", "public.mail", "empty-text"]);
    assert!(!server.sql(THERE).contains("mail_reviews\n"), "nobody sees it yet");
    let diff = told(&server, &workspace, ["backfill", "diff", "1", "--json"]);
    assert_eq!(diff[0]["report"]["gained"], 898, "{diff}");
    mesh(["backfill", "cutover", "1", "--json"]).ok();
    assert_eq!(server.sql(VERSIONS), "1|898");
    assert!(!workspace.path("mail.enriched/current.json").exists(), "two truths are none");
    // It is what the model says.
    let first =
        server.sql("SELECT id, text FROM mail WHERE id NOT IN (3, 4, 5) ORDER BY id LIMIT 20");
    let texts = first.lines().map(|line| line.split_once('|').unwrap().1);
    let asked = texts.map(|text| format!("{}\n", json!({ "content": text }))).collect::<String>();
    workspace.write("ask.jsonl", asked);
    let said = workspace.mesh(["predict", "reviews", "--input", "ask.jsonl"]).ok().out;
    let labels = server
        .sql("SELECT labels FROM mail_reviews WHERE id NOT IN (3, 4, 5) ORDER BY id LIMIT 20");
    assert_eq!(said.lines().count(), 20);
    for (line, labels) in said.lines().zip(labels.lines()) {
        let line: Value = serde_json::from_str(line).unwrap();
        let names = |labels: &Value| -> Vec<String> {
            labels.as_array().unwrap().iter().map(|label| label["label"].to_string()).collect()
        };
        let labels: Value = serde_json::from_str(labels).unwrap();
        assert_eq!(names(&line["prediction"]["labels"]), names(&labels));
    }

    // Documents that came since are the only ones to be done, wherever their keys are.
    server.sql("INSERT INTO mail SELECT id * 10 - 5000, text, lang, stars FROM mail WHERE id < 30 AND id > 5");
    let plan = told(&server, &workspace, ["backfill", "plan", "mail", "reviews", "--json"]);
    assert_eq!(plan["projects"][0]["skipped"]["answered by this model"], 898, "{plan}");
    assert_eq!(plan["projects"][0]["why"]["without an answer"], 24, "{plan}");
    server.sql("DELETE FROM mail WHERE id < 0");

    // Another version: readers notice nothing until the cutover, and may then do what they might.
    server.sql(
        "CREATE ROLE reader; GRANT SELECT ON mail_reviews TO reader;
         CREATE VIEW of_readers AS SELECT id, model_version FROM mail_reviews",
    );
    newer(&workspace);
    let run = told(&server, &workspace, ["backfill", "run", "mail", "reviews", "--json"]);
    assert_eq!(run["projects"]["reviews"]["enriched"], 898, "{run}");
    assert_eq!(server.sql(VERSIONS), "1|898");
    let diff = told(&server, &workspace, ["backfill", "diff", "2", "--json"]);
    assert_eq!(diff[0]["report"]["compared"], 898, "{diff}");
    mesh(["backfill", "cutover", "2", "--json"]).ok();
    assert_eq!(server.sql(&format!("SET ROLE reader; {VERSIONS}")), "2|898");
    assert_eq!(server.sql("SELECT DISTINCT model_version FROM of_readers"), "2");
    mesh(["backfill", "rollback", "mail", "--json"]).ok();
    assert_eq!(server.sql(VERSIONS), "1|898");
    mesh(["backfill", "cutover", "2", "--json"]).ok();
    let exported = mesh(["backfill", "export", "mail", "--output=all.jsonl"]).ok().out;
    assert!(exported.contains("900 rows") && exported.contains("898 enriched"), "{exported}");
    let row: Value =
        serde_json::from_str(workspace.read("all.jsonl").lines().next().unwrap()).unwrap();
    let now = server.sql("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD')");
    assert_eq!(
        row["reviews.enriched_at"].as_str().map(|at| &at[..10]),
        Some(now.as_str()),
        "{row}"
    );
    // A table that somebody removed is loaded anew.
    server.sql(&format!("DROP VIEW of_readers; DROP TABLE {} CASCADE", generations(&server)[0].0));
    mesh(["backfill", "rollback", "mail", "--json"]).ok();
    assert_eq!(server.sql(VERSIONS), "1|898");
    mesh(["backfill", "cutover", "2", "--json"]).ok();
    let collected = told(
        &server,
        &workspace,
        ["backfill", "collect", "mail", "--keep", "0", "--yes", "--json"],
    );
    assert_eq!(collected["generations"].as_array().unwrap().len(), 1, "{collected}");
    assert!(collected["bytes"].as_u64().unwrap() > 0, "{collected}");
    assert_eq!(generations(&server).len(), 1);
    assert_eq!(fs::read_dir(workspace.path("mail.enriched/reviews")).unwrap().count(), 1);
    assert_eq!(server.sql(VERSIONS), "2|898");
    // What was before it is gone: readers keep what they have.
    mesh(["backfill", "rollback", "mail", "--json"]).code(2);
    assert_eq!(server.sql(VERSIONS), "2|898");
    holds_no_password(&workspace);
}

#[test]
fn a_text_that_is_updated_is_done_again() {
    let (server, workspace) = with_table(600);
    let run = |more: &[&str]| {
        let mut command = server.with(&workspace, ["backfill", "run", "mail", "reviews", "--json"]);
        let ran = run(command.args(more)).ok();
        serde_json::from_str::<Value>(&ran.out).unwrap()["projects"]["reviews"].clone()
    };
    let enriched = |counts: &Value| (counts["enriched"].clone(), counts["kept"].clone());
    run(&[]);
    // Also where the backfill is not live yet, and the same would be planned again.
    server.sql("UPDATE mail SET text = 'an awful waste' WHERE id = 7");
    assert_eq!(enriched(&run(&["--cutover"])), (json!(600), json!(0)));
    // As an older `mesh` left it, with a view that others built upon.
    let table = &generations(&server).pop().unwrap().0;
    server.sql(&format!(
        "DROP VIEW mail_reviews; ALTER TABLE {table} DROP COLUMN input_digest;
         CREATE VIEW mail_reviews AS SELECT * FROM {table};
         CREATE VIEW of_readers AS SELECT id, model_version FROM mail_reviews"
    ));
    server.sql(
        "UPDATE mail SET text = 'a lovely box' WHERE id IN (8, 9);
         UPDATE mail SET lang = 'it' WHERE id = 10; UPDATE mail SET text = text WHERE id = 11",
    );
    let plan = told(&server, &workspace, ["backfill", "plan", "mail", "reviews", "--json"]);
    let project = &plan["projects"][0];
    assert_eq!(project["why"], json!({ "changed": 2 }), "{plan}");
    assert_eq!(project["skipped"], json!({ "answered by this model": 598 }), "{plan}");
    let before = server.sql("SELECT id, enriched_at FROM mail_reviews ORDER BY id");
    assert_eq!(enriched(&run(&["--cutover"])), (json!(2), json!(598)));
    let digests = "SELECT count(DISTINCT input_digest), count(*) FROM mail_reviews \
                   WHERE input_digest ~ '^[0-9a-f]{16}$'";
    assert_eq!(server.sql(digests), "599|600", "two texts are the same");
    let after = server.sql("SELECT id, enriched_at FROM mail_reviews ORDER BY id");
    let changed = before.lines().zip(after.lines()).filter(|(one, two)| one != two);
    let changed: Vec<&str> = changed.map(|(one, _)| one.split_once('|').unwrap().0).collect();
    assert_eq!(changed, ["8", "9"]);
    // The way back shows what is not known as such, and takes nothing from whoever built on it.
    mesh(&server, &workspace, ["backfill", "rollback", "mail"]).ok();
    assert_eq!(server.sql("SELECT count(*), count(input_digest) FROM mail_reviews"), "600|0");
    mesh(&server, &workspace, ["backfill", "cutover", "3"]).ok();
    assert_eq!(server.sql("SELECT count(*) FROM of_readers"), "600");
    let plan = told(&server, &workspace, ["backfill", "plan", "mail", "reviews", "--json"]);
    assert_eq!(plan["projects"][0]["todo"], 0, "{plan}");
}

/// The tables of generations that are there, and how many rows they have.
fn generations(server: &Server) -> Vec<(String, u64)> {
    let told = server.sql("SELECT relation, rows FROM mesh_generations ORDER BY loaded_at");
    let generation = |line: &str| {
        let (name, rows) = line.split_once('|').unwrap();
        assert_eq!(server.sql(&format!("SELECT count(*) FROM {name}")), rows);
        (name.to_owned(), rows.parse().unwrap())
    };
    told.lines().map(generation).collect()
}

/// No file of a workspace holds the password.
fn holds_no_password(workspace: &Workspace) {
    let mut folders = vec![workspace.path("")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            let found = bytes.windows(PASSWORD.len()).any(|bytes| bytes == PASSWORD.as_bytes());
            assert!(!found, "{}", path.display());
            files += 1;
        }
    }
    assert!(files > 10, "only {files} files were looked at");
}

/// Asks a view on a connection of its own.
struct Reader {
    runtime: tokio::runtime::Runtime,
    connection: PgConnection,
}

impl Reader {
    fn new(server: &Server) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(server.port)
            .username(USER)
            .password(PASSWORD)
            .database("postgres");
        let connection = runtime.block_on(PgConnection::connect_with(&options)).unwrap();
        Self { runtime, connection }
    }

    /// The versions in the view, with how many rows are of each.
    fn versions(&mut self) -> Vec<(i64, i64)> {
        let query = sqlx::query(VERSIONS).persistent(false);
        let rows = self.runtime.block_on(query.fetch_all(&mut self.connection)).unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

#[test]
fn a_reader_in_the_middle_sees_one_version() {
    let (server, workspace) = with_table(600);
    mesh(&server, &workspace, ["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    newer(&workspace);
    mesh(&server, &workspace, ["backfill", "run", "mail", "reviews"]).ok();
    let over = AtomicBool::new(false);
    let looks = AtomicUsize::new(0);
    let seen = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut reader = Reader::new(&server);
                    let mut seen: BTreeMap<i64, usize> = BTreeMap::new();
                    while !over.load(Ordering::Relaxed) {
                        let versions = reader.versions();
                        assert_eq!(versions.len(), 1, "a mixture: {versions:?}");
                        assert_eq!(versions[0].1, 600, "{versions:?}");
                        *seen.entry(versions[0].0).or_default() += 1;
                        looks.fetch_add(1, Ordering::Relaxed);
                    }
                    seen
                })
            })
            .collect();
        for _ in 0..5 {
            let before = looks.load(Ordering::Relaxed);
            mesh(&server, &workspace, ["backfill", "cutover", "2"]).ok();
            until("readers looked", || looks.load(Ordering::Relaxed) > before + 10);
            mesh(&server, &workspace, ["backfill", "rollback", "mail"]).ok();
            let before = looks.load(Ordering::Relaxed);
            until("readers looked", || looks.load(Ordering::Relaxed) > before + 10);
        }
        over.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
    });
    for seen in seen {
        assert!(seen.keys().eq([1, 2].iter()), "{seen:?}");
    }
    // Whoever reads for long is waited for, and then it is said.
    let mut long = Reader::new(&server);
    let lock = sqlx::raw_sql("BEGIN; SELECT count(*) FROM mail_reviews");
    long.runtime.block_on(lock.execute(&mut long.connection)).unwrap();
    let mut child = server
        .with(&workspace, ["backfill", "cutover", "2"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    assert!(child.try_wait().unwrap().is_none(), "it did not wait for the reader");
    assert_eq!(Reader::new(&server).versions(), [(1, 600)], "another reader is not held up");
    let end = sqlx::raw_sql("COMMIT");
    long.runtime.block_on(end.execute(&mut long.connection)).unwrap();
    assert_eq!(wait(&mut child), 0);
    assert_eq!(long.versions(), [(2, 600)]);
}

fn spawn(server: &Server, workspace: &Workspace, args: &[&str]) -> Child {
    let mut command = server.with(workspace, []);
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn kills_lose_no_key_and_double_none_while_the_table_is_written() {
    let (server, workspace) = with_table(20_000);
    let mut kills = 0;
    let mut seed = 88_172_645_463_325_252u64;
    let mut next = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let mut came = 0;
    while kills < 12 {
        let mut child =
            spawn(&server, &workspace, &["backfill", "run", "mail", "reviews", "--threads", "2"]);
        std::thread::sleep(Duration::from_millis(30 + next(900)));
        // The table is written all the time: before, between and behind what is there.
        server.sql(&format!(
            "INSERT INTO mail SELECT {} - n, 'a lovely box', 'en', '5' FROM generate_series(0, 9) n;
             INSERT INTO mail VALUES ({}, 'an awful box', 'de', '1');
             DELETE FROM mail WHERE id = {}",
            -1 - 10 * came,
            1_000_000 + came,
            19_000 + came
        ));
        came += 1;
        if child.try_wait().unwrap().is_none() {
            signal(&child, "KILL");
            kills += 1;
        }
        wait(&mut child);
        let all = told(&server, &workspace, ["backfill", "status", "--json"]);
        if all[0]["state"] == "done" {
            let id = all[0]["id"].to_string();
            mesh(&server, &workspace, ["backfill", "cancel", &id]).ok();
        }
    }
    let ran = told(&server, &workspace, ["backfill", "run", "mail", "reviews", "--json"]);
    let id = ran["id"].to_string();
    // Kills around the cutover and the rollback: what readers see is what the row says, always.
    for round in 0..12 {
        let cutover = ["backfill", "cutover", &id];
        let rollback = ["backfill", "rollback", "mail"];
        let args: &[&str] = if round % 2 == 0 { &cutover } else { &rollback };
        let mut child = spawn(&server, &workspace, args);
        std::thread::sleep(Duration::from_millis(20 + next(150)));
        let _ = child.kill();
        wait(&mut child);
        until("the server noticed", || {
            server.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'mesh'")
                == "0"
        });
        let live = server.sql(
            "SELECT coalesce((SELECT current->'projects'->'reviews'->>'generation' \
             FROM mesh_enrichments), 'nothing')",
        );
        let shown = server.sql("SELECT count(*) FROM pg_views WHERE viewname = 'mail_reviews'");
        assert_eq!(shown, if live == "nothing" { "0" } else { "1" }, "round {round}: {live}");
    }
    mesh(&server, &workspace, ["backfill", "cutover", &id]).ok();
    let status = told(&server, &workspace, ["backfill", "status", &id, "--json"]);
    assert_eq!(status[0]["state"], "live", "{status}");
    // Every document that was there all along is there once: a primary key sees to the second.
    let missing = server.sql(
        "SELECT count(*) FROM mail LEFT JOIN mail_reviews USING (id) \
         WHERE id BETWEEN 0 AND 19999 AND model_version IS NULL",
    );
    assert_eq!(missing, "0");
    assert_eq!(server.sql("SELECT count(*) - count(DISTINCT id) FROM mail_reviews"), "0");
    assert_eq!(generations(&server).len(), 1, "what was given up is gone");
    // What came since is found, and all is there.
    let args = ["backfill", "run", "mail", "reviews", "--cutover"];
    mesh(&server, &workspace, args).ok();
    let missing = server.sql(
        "SELECT count(*) FROM mail LEFT JOIN mail_reviews USING (id) WHERE model_version IS NULL",
    );
    assert_eq!(missing, "0");
    let gone = server
        .sql("SELECT count(*) FROM mail_reviews LEFT JOIN mail USING (id) WHERE text IS NULL");
    assert_eq!(gone, "0", "what is gone from the documents is gone from the enrichment");
}

fn until_begun(server: &Server, workspace: &Workspace) {
    until("some chunks are done", || {
        let all = told(server, workspace, ["backfill", "status", "--json"]);
        all[0]["done"].as_u64().is_some_and(|done| done > 0)
    });
}

#[test]
fn a_server_that_is_restarted_is_waited_for_and_one_that_stays_away_stops_the_run() {
    let (mut server, workspace) = with_table(40_000);
    let args = ["backfill", "run", "mail", "reviews", "--threads", "1"];
    let mut child = spawn(&server, &workspace, &args);
    until_begun(&server, &workspace);
    server.stop();
    std::thread::sleep(Duration::from_millis(800));
    assert!(child.try_wait().unwrap().is_none(), "it did not wait for the server");
    server.resume();
    assert_eq!(wait(&mut child), 0);
    mesh(&server, &workspace, ["backfill", "cutover", "1"]).ok();
    assert_eq!(server.sql(VERSIONS), "1|40000");

    newer(&workspace);
    let mut again = server.with(&workspace, args);
    let mut child = again.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the second has begun", || {
        assert!(child.try_wait().unwrap().is_none(), "it ended before");
        let all = told(&server, &workspace, ["backfill", "status", "--json"]);
        all[0]["id"] == 2 && all[0]["done"].as_u64().is_some_and(|done| done > 0)
    });
    server.stop();
    let stopped = Instant::now();
    let output = child.wait_with_output().unwrap();
    let waited = stopped.elapsed().as_secs();
    assert!((55..90).contains(&waited), "it waited {waited} s");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    let (code, out) = (output.status.code().unwrap(), String::new());
    Ran { code, out, err }
        .code(1)
        .tells(["no server answers at 127.0.0.1", "what is done stays done"]);
    // What needs no server says what to do; what needs it says that it is not there.
    let status = mesh(&server, &workspace, ["backfill", "status", "2"]).ok().out;
    assert!(status.contains("mesh backfill resume 2"), "{status}");
    mesh(&server, &workspace, ["backfill", "rollback", "mail"])
        .code(1)
        .tells(["no server answers"]);
    server.resume();
    let resumed = told(&server, &workspace, ["backfill", "resume", "2", "--json"]);
    assert!(resumed["resumed"].as_u64().unwrap() > 0, "{resumed}");
    assert_eq!(resumed["projects"]["reviews"]["enriched"], 40_000, "{resumed}");
    mesh(&server, &workspace, ["backfill", "cutover", "2"]).ok();
    assert_eq!(server.sql(VERSIONS), "2|40000");
}

#[test]
fn keys_may_be_of_any_type_and_missing() {
    let (server, workspace) = with_table(10);
    // A key that is unique, and missing in some rows; texts as keys, with all that quotes them.
    server.sql(
        "CREATE TABLE \"Odd Mail\" (\"the \"\"key\"\"\" text UNIQUE, text text, at timestamptz, more json);
         INSERT INTO \"Odd Mail\" SELECT NULL, 'a lovely box', now() FROM generate_series(1, 300);
         INSERT INTO \"Odd Mail\" SELECT E'k\\\\''\"' || n || E'\\té', 'an awful box ' || n, now()
           FROM generate_series(1, 700) n;
         INSERT INTO \"Odd Mail\" VALUES ('json', 'a box', now(), E'{\"a\": \\n 1}'),
           ('', 'a box', now(), NULL);
         CREATE TABLE dated (id timestamptz PRIMARY KEY, text text);
         INSERT INTO dated SELECT '2024-01-01'::timestamptz + n * '1.000001 second'::interval, 'a box ' || n
           FROM generate_series(1, 500) n;
         CREATE TABLE named (id uuid PRIMARY KEY, text text);
         INSERT INTO named SELECT md5(n::text)::uuid, 'a box ' || n FROM generate_series(1, 500) n;
         CREATE TABLE priced (id numeric(12, 3) PRIMARY KEY, text text) PARTITION BY RANGE (id);
         CREATE TABLE priced_low PARTITION OF priced FOR VALUES FROM (MINVALUE) TO (100);
         CREATE TABLE priced_high PARTITION OF priced FOR VALUES FROM (100) TO (MAXVALUE);
         INSERT INTO priced SELECT n * 1.5, 'a box ' || n FROM generate_series(1, 500) n",
    );
    let odd = server.url("Odd%20Mail");
    for (name, url, key) in [
        ("odd", odd.as_str(), "the \"key\""),
        ("dated", &server.url("public.dated"), "id"),
        ("named", &server.url("named"), "id"),
        ("priced", &server.url("priced"), "id"),
    ] {
        mesh(&server, &workspace, ["new", "archive", name, "--data", url, "--key", key]).ok();
    }
    let run = |archive: &str| {
        let args =
            ["backfill", "run", archive, "reviews", "--max-rejected", "1", "--cutover", "--json"];
        let ran = told(&server, &workspace, args);
        let counts = &ran["projects"]["reviews"];
        (counts["enriched"].as_u64().unwrap(), counts["rejected"].as_u64().unwrap())
    };
    assert_eq!(run("odd"), (701, 301));
    let rejects =
        told(&server, &workspace, ["backfill", "rejects", "1", "--limit", "1000", "--json"]);
    let rejects = rejects["reviews"].as_array().unwrap();
    assert_eq!(rejects.iter().filter(|reject| reject["reason"] == "no-key").count(), 301);
    let lost = "SELECT count(*) FROM \"Odd Mail\" d LEFT JOIN \"Odd Mail_reviews\" e \
                USING (\"the \"\"key\"\"\") WHERE d.\"the \"\"key\"\"\" <> '' AND e.labels IS NULL";
    assert_eq!(server.sql(lost), "0");
    for archive in ["dated", "named", "priced"] {
        assert_eq!(run(archive), (500, 0), "{archive}");
        let joined = format!("SELECT count(*) FROM {archive} JOIN {archive}_reviews USING (id)");
        assert_eq!(server.sql(&joined), "500", "{archive}");
    }
    // Again there is nothing to do.
    let plan = told(&server, &workspace, ["backfill", "plan", "dated", "reviews", "--json"]);
    assert_eq!(plan["projects"][0]["todo"], 0, "{plan}");
    // A part of the table, by columns that are no input.
    let some = ["backfill", "run", "mail", "reviews", "--where", "lang = 'de'", "--json"];
    let ran = told(&server, &workspace, some);
    assert_eq!(ran["projects"]["reviews"]["enriched"], 3, "{ran}");
}

#[test]
fn what_a_server_or_a_table_does_not_allow_is_said() {
    let (mut server, workspace) = with_table(10);
    server.sql(&format!(
        "CREATE TABLE loose (id bigint, text text);
         CREATE TABLE paired (id bigint, part int, text text, PRIMARY KEY (id, part));
         CREATE TABLE partly (id bigint, text text); CREATE UNIQUE INDEX ON partly (id) WHERE id > 0;
         CREATE VIEW seen AS SELECT * FROM mail;
         CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}'; GRANT SELECT ON mail TO guest;
         CREATE TABLE taken (id bigint PRIMARY KEY, text text); CREATE TABLE taken_reviews (a int)"
    ));
    let new = |name: &str, url: &str, key: &str| {
        mesh(&server, &workspace, ["new", "archive", name, "--data", url, "--key", key])
    };
    for table in ["loose", "paired", "partly", "seen"] {
        new("x", &server.url(table), "id").code(2).tells([
            &format!("no unique index of public.{table} is on the column `id` alone"),
            "CREATE UNIQUE INDEX",
        ]);
    }
    new("x", &server.url("mails"), "id").code(2).tells(["has no table `mails`", "?table="]);
    new("x", &server.url("private.mail"), "id").code(2).tells(["has no table `private.mail`"]);
    new("x", &server.url("mail"), "idd").code(2).tells(["no column `idd`", "did you mean `id`"]);
    let elsewhere = server.url("mail").replace("/postgres?", "/nowhere?");
    new("x", &elsewhere, "id").code(2).tells(["has no database `nowhere`"]);
    let open = server.url("mail").replace('@', ":hunter2@");
    let refused = new("x", &open, "id").code(1).tells(["`url` holds a password", "PGPASSWORD"]);
    assert!(!refused.err.contains("hunter2@"), "{}", refused.err);
    new("x", "postgres://me@db/news", "id").code(1).tells(["`url` names no table"]);
    assert!(!workspace.path("archives/x.toml").exists());

    let mut wrong = server.with(&workspace, ["backfill", "plan", "mail", "reviews"]);
    run(wrong.env("PGPASSWORD", "another"))
        .code(1)
        .tells(["does not let the user `mesh` in", "PGPASSWORD"]);
    // Who may read and no more is told before anything is done, with what the owner can do.
    new("guests", &server.url("mail").replace("mesh@", "guest@"), "id").ok();
    mesh(&server, &workspace, ["backfill", "plan", "guests", "reviews"]).ok();
    mesh(&server, &workspace, ["backfill", "run", "guests", "reviews"]).code(1).tells([
        "the user `guest` may not create tables and views in the schema public",
        "GRANT USAGE, CREATE ON SCHEMA \"public\" TO \"guest\"",
    ]);
    assert_eq!(told(&server, &workspace, ["backfill", "status", "--json"]), json!([]));
    // What has the name of a view is somebody else's.
    new("taken", &server.url("taken"), "id").ok();
    mesh(&server, &workspace, ["backfill", "run", "taken", "reviews"])
        .code(2)
        .tells(["the name public.taken_reviews is taken"]);
    // It stays an archive for those who look at manifests.
    workspace.mesh(["check"]).ok();
    let schema = workspace.mesh(["schema", "archive"]).ok().out;
    assert!(schema.contains("postgres://user@host"), "{schema}");
    // The key's index goes away, and the table, and the server.
    server.sql("ALTER TABLE mail DROP CONSTRAINT mail_pkey");
    mesh(&server, &workspace, ["backfill", "plan", "mail", "reviews"])
        .code(2)
        .tells(["no unique index of public.mail"]);
    server.stop();
    mesh(&server, &workspace, ["backfill", "plan", "mail", "reviews"])
        .code(1)
        .tells(["no server answers at 127.0.0.1", "start it"]);
}
