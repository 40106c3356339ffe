//! Documents that arrive in a stream: enriched into an archive and another stream, each once,
//! whatever is killed. The server is NATS's own.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use async_nats::{
    ConnectOptions,
    jetstream::{self, context::GetStreamErrorKind, stream::Config},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    secured::{self, Certificate},
    support::{Ran, Workspace, reviews, run, signal, until, wait},
};

/// How often a follower is killed.
const KILLS: u64 = 60;
const MANIFEST: &str = "projects/reviews/project.toml";

/// A server on a free port, with a store of its own; it ends when dropped.
pub struct Server {
    folder: tempfile::TempDir,
    secret: Option<Secret>,
    child: Child,
    pub port: u16,
    runtime: Runtime,
    context: Option<jetstream::Context>,
}

/// Who may ask a server, which is reached by TLS only.
pub struct Secret {
    pub certificate: Certificate,
    pub user: &'static str,
    pub password: &'static str,
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(None)
    }

    pub fn start_with(secret: Option<Secret>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if let Some(Secret { certificate, .. }) = &secret {
            certificate.write(folder.path());
        }
        let child = serve(folder.path(), -1, secret.as_ref());
        let runtime = Runtime::new().unwrap();
        let mut server = Self { folder, secret, child, port: 0, runtime, context: None };
        let ports = server.folder.path().join(format!("nats-server_{}.ports", server.child.id()));
        until("the server tells its port", || {
            let text = fs::read_to_string(&ports).unwrap_or_default();
            let told: Value = serde_json::from_str(&text).unwrap_or_default();
            let address = told["nats"][0].as_str().unwrap_or_default().to_owned();
            server.port = address.rsplit(':').next().unwrap().parse().unwrap_or(0);
            server.port != 0
        });
        server.connect();
        server
    }

    fn connect(&mut self) {
        let address = format!("127.0.0.1:{}", self.port);
        let mut options = ConnectOptions::new();
        if let Some(Secret { user, password, .. }) = &self.secret {
            let _ = rustls::crypto::ring::default_provider().install_default();
            options = options.user_and_password((*user).into(), (*password).into());
            options = options.require_tls(true).add_root_certificates(self.authority());
        }
        let mut context = None;
        until("the server answers", || {
            context = self.runtime.block_on(async {
                let client = options.clone().connect(&address).await.ok()?;
                let context = jetstream::new(client);
                // That there is no such stream, only JetStream says.
                let told = context.get_stream("none").await.map(drop).err()?.kind();
                matches!(told, GetStreamErrorKind::JetStream(_)).then_some(context)
            });
            context.is_some()
        });
        self.context = context;
    }

    /// The certificate of who vouches for it.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join(secured::AUTHORITY)
    }

    fn context(&self) -> &jetstream::Context {
        self.context.as_ref().unwrap()
    }

    pub fn stream(&self, name: &str, subject: &str) {
        self.stream_of(name, subject, -1);
    }

    /// A stream that keeps so many messages, at most.
    pub fn stream_of(&self, name: &str, subject: &str, max_messages: i64) {
        // As short as can be: that nothing is there twice is not to be the server's doing.
        let duplicate_window = Duration::from_millis(100);
        let (name, subjects) = (name.into(), vec![subject.into()]);
        let config = Config { name, subjects, duplicate_window, max_messages, ..Config::default() };
        self.runtime.block_on(self.context().create_stream(config)).unwrap();
    }

    fn delete(&self, name: &str) {
        self.runtime.block_on(self.context().delete_stream(name)).unwrap();
    }

    pub fn publish(&self, subject: &str, payloads: &[impl AsRef<[u8]>]) {
        self.runtime.block_on(async {
            for payload in payloads {
                let payload = payload.as_ref().to_vec().into();
                let ack = self.context().publish(subject.to_owned(), payload).await.unwrap();
                ack.await.unwrap();
            }
        });
    }

    /// All messages of a stream, each with its id.
    fn messages(&self, stream: &str) -> Vec<(String, Value)> {
        self.runtime.block_on(async {
            let stream = self.context().get_stream(stream).await.unwrap();
            let last = stream.cached_info().state.last_sequence;
            let mut all = Vec::new();
            for sequence in 1..=last {
                let message = stream.get_raw_message(sequence).await.unwrap();
                let id = message.headers.get("Nats-Msg-Id").unwrap().to_string();
                all.push((id, serde_json::from_slice(&message.payload).unwrap()));
            }
            all
        })
    }

    pub fn url(&self, path: &str) -> String {
        format!("nats://127.0.0.1:{}/{path}", self.port)
    }

    fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn begin(&mut self) {
        self.child = serve(self.folder.path(), self.port.into(), self.secret.as_ref());
        self.connect();
    }

    /// Keeps a copy of the store, to which [`Server::go_back`] goes back.
    fn keep(&mut self) {
        self.stop();
        self.copy("store", "kept");
        self.begin();
    }

    fn go_back(&mut self) {
        self.stop();
        fs::remove_dir_all(self.folder.path().join("store")).unwrap();
        self.copy("kept", "store");
        self.begin();
    }

    fn copy(&self, from: &str, to: &str) {
        let folder = |name: &str| self.folder.path().join(name);
        let copied = Command::new("cp").arg("-r").arg(folder(from)).arg(folder(to)).status();
        assert!(copied.unwrap().success());
    }

    /// Ends the server at once, and starts it again after a while.
    fn restart(&mut self, away: Duration) {
        self.stop();
        std::thread::sleep(away);
        self.begin();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(folder: &Path, port: i32, secret: Option<&Secret>) -> Child {
    let mut command = Command::new("nats-server");
    if let Some(Secret { user, password, .. }) = secret {
        command.args(["--user", user, "--pass", password, "--tls", "--tlscert"]);
        command.arg(folder.join(secured::CHAIN)).arg("--tlskey").arg(folder.join(secured::KEY));
    }
    command
        .args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"])
        .arg(folder.join("store"))
        .arg("--ports_file_dir")
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("nats-server: {error}; scripts/tools.sh installs it"))
}

/// Documents with keys from a number on.
pub fn documents(first: usize, count: usize) -> Vec<String> {
    let texts = reviews(first + count);
    let rows = texts.lines().skip(1 + first).zip(first..);
    let document = |(line, row): (&str, usize)| {
        let (text, stars) = line.rsplit_once(',').unwrap();
        let key = format!("doc-{row}");
        json!({ "id": key, "text": text.trim_matches('"'), "stars": stars }).to_string()
    };
    rows.map(document).collect()
}

/// A workspace whose project `reviews` is trained, and an archive `mail` in a folder.
pub fn with_archive(before: usize) -> Workspace {
    let workspace = Workspace::with_reviews(240);
    workspace.edit(MANIFEST, "[serve]", "[backfill]\ninput = { content = \"text\" }\n\n[serve]");
    workspace.mesh(["run", "reviews"]).ok();
    if before > 0 {
        workspace.write("mail/before.jsonl", documents(0, before).join("\n"));
    }
    workspace.write(
        "archives/mail.toml",
        "[archive]\nname = \"mail\"\nurl = \"file:mail\"\nkey = \"id\"\n",
    );
    workspace
}

fn newer(workspace: &Workspace) {
    workspace.edit(MANIFEST, "model = \"linear\"", "model = \"linear\"\nlinear = { c = [0.001] }");
    workspace.mesh(["run", "reviews"]).ok();
    workspace.mesh(["model", "promote", "reviews", "2"]).ok();
}

/// `mesh backfill follow mail` with more.
pub fn follow(workspace: &Workspace, more: &[&str]) -> Command {
    let mut command = workspace.command(["backfill", "follow", "mail"]);
    command.args(more);
    command
}

pub fn followed(workspace: &Workspace, more: &[&str]) -> Value {
    let ran = run(follow(workspace, more).args(["--json", "--until-idle", "400ms"])).ok();
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", ran.out))
}

fn spawn(workspace: &Workspace, more: &[&str]) -> Child {
    follow(workspace, more).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// What readers see: by key the row; no key is there twice.
pub fn live(workspace: &Workspace) -> BTreeMap<String, Value> {
    workspace.mesh(["backfill", "export", "mail", "--output", "export.jsonl"]).ok();
    by_key(workspace.read("export.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()))
}

fn by_key(rows: impl Iterator<Item = Value>) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for row in rows {
        let key = row["id"].to_string();
        assert!(all.insert(key.clone(), row).is_none(), "{key} is there twice");
    }
    all
}

/// The versions that told, with how many rows are of each.
pub fn versions(rows: &BTreeMap<String, Value>) -> BTreeMap<String, usize> {
    let mut versions = BTreeMap::new();
    for row in rows.values() {
        *versions.entry(row["reviews.model_version"].to_string()).or_default() += 1;
    }
    versions
}

pub fn published(server: &Server, stream: &str) -> BTreeMap<String, Value> {
    let messages = server.messages(stream);
    let ids: std::collections::BTreeSet<&String> = messages.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), messages.len(), "an id is there twice");
    by_key(messages.iter().map(|(_, message)| message.clone()))
}

fn plan(workspace: &Workspace) -> Value {
    workspace.json(["backfill", "plan", "mail", "reviews", "--json"])["projects"][0].clone()
}

#[test]
fn documents_that_arrive_are_enriched_into_the_archive_and_another_stream() {
    let server = Server::start();
    let workspace = with_archive(100);
    server.stream("MAIL", "mail");
    server.stream("TOLD", "told.*");
    server.publish("mail", &documents(100, 300));
    let ends = ["--from", &server.url("MAIL"), "--to", &server.url("told.mail")];
    let project = ["--project", "reviews"];
    let report = followed(&workspace, &[&ends[..], &project, &["--batch", "64"]].concat());
    assert_eq!((&report["documents"], &report["published"]), (&json!(300), &json!(300)));
    assert_eq!(report["projects"]["reviews"]["counts"]["enriched"], 300, "{report}");
    assert_eq!(report["behind"], 0, "{report}");
    assert!(report["batches"].as_u64().unwrap() >= 5, "{report}");
    let rows = live(&workspace);
    assert_eq!(versions(&rows), [("1".into(), 300), ("null".into(), 100)].into());
    // The one and the other say the same.
    let told = published(&server, "TOLD");
    assert_eq!(told.len(), 300);
    for (key, message) in &told {
        assert_eq!(message, &rows[key]);
    }
    // Nothing is to be done but what was there before; then nothing at all.
    let before = plan(&workspace);
    assert_eq!((&before["todo"], &before["why"]["without an answer"]), (&json!(100), &json!(100)));
    let ran = workspace.json(["backfill", "run", "mail", "reviews", "--cutover", "--json"]);
    assert_eq!(ran["projects"]["reviews"]["kept"], 300, "{ran}");
    assert_eq!(plan(&workspace)["todo"], 0);
    assert_eq!(versions(&live(&workspace)), [("1".into(), 400)].into());
    // It goes on where it stopped; which projects tell is known from what is there.
    assert_eq!(followed(&workspace, &ends)["messages"], 0);
    server.publish("mail", &documents(400, 7));
    let report = followed(&workspace, &ends);
    assert_eq!((&report["messages"], &report["published"]), (&json!(7), &json!(7)), "{report}");
    assert_eq!(versions(&live(&workspace)), [("1".into(), 407)].into());
    // What nobody sees can be collected; what was followed is no part of that.
    workspace.mesh(["backfill", "collect", "mail", "--keep", "0", "--yes"]).ok();
    assert_eq!(versions(&live(&workspace)), [("1".into(), 407)].into());
    let shown = workspace.mesh(["backfill", "followed", "mail"]).ok().out;
    assert!(shown.contains("307 messages") && shown.contains("nothing was rejected"), "{shown}");
}

#[test]
fn dozens_of_kills_lose_no_document_and_double_none() {
    let server = Server::start();
    let workspace = with_archive(50);
    server.stream("MAIL", "mail");
    server.stream("TOLD", "told");
    let (from, to) = (server.url("mail"), server.url("told"));
    let args = ["--from", &from, "--to", &to, "--project", "reviews", "--linger", "5ms"];
    let args = [&args[..], &["--batch", "16"]].concat();
    let all = documents(50, 12_000);
    let batches = || {
        let head = fs::read_to_string(workspace.path("mail.enriched/_stream/head.json"));
        let head: Value = serde_json::from_str(&head.unwrap_or_default()).unwrap_or_default();
        head["batch"].as_u64().unwrap_or(0)
    };
    std::thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            for some in all.chunks(20) {
                server.publish("mail", some);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        for round in 0u64..KILLS {
            let before = batches();
            let mut child = spawn(&workspace, &args);
            until("it does some", || batches() > before);
            // A kill is later each time, so that some fall into every part of a batch.
            std::thread::sleep(Duration::from_micros(round * 1_733 % 37_000));
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            signal(&child, "KILL");
            wait(&mut child);
        }
        publisher.join().unwrap();
    });
    let killed = batches();
    assert!(killed > KILLS, "{killed} batches in {KILLS} kills");
    let report = followed(&workspace, &args);
    assert_eq!(report["refused"], 0, "{report}");
    let rows = live(&workspace);
    assert_eq!(versions(&rows), [("1".into(), 12_000), ("null".into(), 50)].into());
    let told = published(&server, "TOLD");
    assert_eq!(told.len(), 12_000);
    for (key, message) in &told {
        assert_eq!(message, &rows[key]);
    }
    // Nothing of what was killed lies about.
    let aside = fs::read_dir(workspace.path("mail/.stream"));
    assert_eq!(aside.map_or(0, Iterator::count), 0);
    let status = workspace.json(["backfill", "followed", "mail", "--json"]);
    assert_eq!((&status["messages"], &status["refused"]), (&json!(12_000), &json!(0)), "{status}");
}

#[test]
fn a_server_that_goes_away_and_comes_back_is_waited_for() {
    let mut server = Server::start();
    let workspace = with_archive(0);
    server.stream("MAIL", "mail");
    server.stream("TOLD", "told");
    let (from, to) = (server.url("mail"), server.url("told"));
    let args = ["--from", &from, "--to", &to, "--project", "reviews", "--batch", "20"];
    let mut child = spawn(&workspace, &args);
    let rows = || {
        let status = workspace.json(["backfill", "followed", "mail", "--json"]);
        status["documents"].as_u64().unwrap_or(0)
    };
    for round in 0..4 {
        server.publish("mail", &documents(round * 250, 250));
        let before = u64::try_from(round).unwrap() * 200;
        until("it is under way", || rows() > before);
        server.restart(Duration::from_millis(300));
    }
    until("all is followed", || rows() == 1_000);
    signal(&child, "TERM");
    assert_eq!(wait(&mut child), 0);
    followed(&workspace, &args);
    assert_eq!(versions(&live(&workspace)), [("1".into(), 1_000)].into());
    assert_eq!(versions(&published(&server, "TOLD")), [("1".into(), 1_000)].into());
}

#[test]
fn a_stream_that_lost_its_end_is_not_read_on_as_if_nothing_was_lost() {
    let mut server = Server::start();
    let workspace = with_archive(0);
    server.stream("MAIL", "mail");
    server.stream("TOLD", "told");
    let (from, to) = (server.url("mail"), server.url("told"));
    let args = ["--from", &from, "--to", &to, "--project", "reviews"];
    server.publish("mail", &documents(0, 20));
    // A copy of the server's store is what a power failure or an old backup leaves.
    server.keep();
    server.publish("mail", &documents(20, 10));
    followed(&workspace, &args);
    server.go_back();
    let told = |ran: Ran| ran.tells(["does not hold what was read of it", "--anew"]);
    told(run(follow(&workspace, &args).args(["--until-idle", "50ms"])).code(2));
    // Also when others have the numbers of what was lost.
    server.publish("mail", &documents(30, 40));
    told(run(follow(&workspace, &args).args(["--until-idle", "50ms"])).code(2));
    let report = followed(&workspace, &[&args[..], &["--anew"]].concat());
    assert_eq!((&report["refused"], &report["published"]), (&json!(20), &json!(40)), "{report}");
    assert_eq!(versions(&live(&workspace)), [("1".into(), 70)].into());
}

#[test]
fn messages_that_are_no_documents_are_refused_and_the_rest_goes_on() {
    let server = Server::start();
    let workspace = with_archive(10);
    server.stream("MAIL", "mail.>");
    server.stream("TOLD", "told");
    let long = json!({ "id": "long", "text": "word ".repeat(100_000) }).to_string();
    let bad: Vec<Vec<u8>> = [
        "{ not json".into(),
        r#"["a", "list"]"#.into(),
        json!({ "text": "no key" }).to_string(),
        json!({ "id": null, "text": "no key" }).to_string(),
        json!({ "id": "doc-3", "text": "of before" }).to_string(),
        json!({ "id": "doc-10", "text": "of the stream" }).to_string(),
        json!({ "id": "null", "text": null }).to_string(),
        json!({ "id": "none" }).to_string(),
        json!({ "id": "number", "text": 17 }).to_string(),
        json!({ "id": "blank", "text": " " }).to_string(),
        long,
        String::new(),
    ]
    .into_iter()
    .map(String::into_bytes)
    .chain([b"\xff\xfe".to_vec()])
    .collect();
    server.publish("mail.a", &documents(10, 5));
    server.publish("mail.a", &bad);
    server.publish("mail.b", &documents(15, 5));
    let (from, to) = (server.url("mail.a"), server.url("told"));
    let args = ["--from", &from, "--to", &to, "--project", "reviews"];
    let report = followed(&workspace, &args);
    // Of another subject of the stream is nothing.
    assert_eq!((&report["messages"], &report["documents"]), (&json!(18), &json!(10)), "{report}");
    let status = workspace.json(["backfill", "followed", "mail", "--json"]);
    let told = |refused: &Value| {
        let text = |name: &str| refused[name].as_str().unwrap_or("-").to_owned();
        (refused["sequence"].as_u64().unwrap_or(0), text("key"), text("reason"))
    };
    let refusals = status["refusals"].as_array().unwrap();
    let mut refused: Vec<_> = refusals.iter().map(told).collect();
    refused.sort();
    let refused: Vec<(u64, &str, &str)> =
        refused.iter().map(|(at, key, reason)| (*at, key.as_str(), reason.as_str())).collect();
    let expected = [
        (6, "-", "not-json"),
        (7, "-", "not-json"),
        (8, "-", "no-key"),
        (9, "-", "no-key"),
        (10, "doc-3", "double-key"),
        (11, "doc-10", "double-key"),
        (17, "-", "not-json"),
        (18, "-", "wrong-encoding"),
    ];
    assert_eq!(refused, expected);
    let rejects = status["rejects"]["reviews"].as_array().unwrap();
    let mut rejected: Vec<(&str, &str)> = rejects
        .iter()
        .map(|row| (row["key"].as_str().unwrap(), row["reason"].as_str().unwrap()))
        .collect();
    rejected.sort_unstable();
    let expected =
        [("blank", "empty-text"), ("none", "schema"), ("null", "schema"), ("number", "schema")];
    let short: Vec<_> = rejected.iter().copied().filter(|(key, _)| *key != "long").collect();
    assert_eq!(short, expected);
    // They are documents all the same, and told of as such.
    let message = &published(&server, "TOLD")["\"blank\""];
    assert_eq!(message["reviews.rejected"]["reason"], "empty-text", "{message}");
    server.publish("mail.a", &documents(20, 5));
    assert_eq!(followed(&workspace, &args)["projects"]["reviews"]["counts"]["enriched"], 5);
    let rows = live(&workspace);
    assert_eq!(rows.len(), 25);
    assert_eq!(published(&server, "TOLD").len(), 15);
    let told = run(follow(&workspace, &args).args(["--until-idle", "100ms"])).ok().out;
    assert!(told.contains("0 messages"), "{told}");
    let shown = workspace.mesh(["backfill", "followed", "mail"]).ok().out;
    for part in ["double-key", "wrong-encoding", "empty-text", "stream-00000001.jsonl row"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // A backfill finds those that have no answer, and no others.
    let plan = plan(&workspace);
    assert_eq!(plan["skipped"]["answered by this model"], rows.len() - 10 - rejected.len());
}

#[test]
fn a_version_that_is_promoted_is_taken_up_and_what_came_before_is_done_again() {
    let server = Server::start();
    let workspace = with_archive(0);
    server.stream("MAIL", "mail");
    workspace.edit(
        "archives/mail.toml",
        "[archive]",
        &format!(
            "[stream]\nfrom = \"{}\"\nprojects = [\"reviews\"]\n\n[archive]",
            server.url("mail")
        ),
    );
    let status = || workspace.json(["backfill", "followed", "mail", "--json"]);
    let told = |count: u64| {
        until("it is followed", || status()["documents"].as_u64() == Some(count));
    };
    let mut child = spawn(&workspace, &[]);
    server.publish("mail", &documents(0, 200));
    told(200);
    newer(&workspace);
    server.publish("mail", &documents(200, 100));
    told(300);
    assert_eq!(versions(&live(&workspace)), [("1".into(), 200), ("2".into(), 100)].into());
    let found = plan(&workspace);
    assert_eq!(found["why"], json!({ "of another version": 200 }), "{found}");
    // While those are done anew, more arrives; the run is killed, and goes on.
    let ran = workspace.json(["backfill", "run", "mail", "reviews", "--json"]);
    assert_eq!(ran["projects"]["reviews"]["enriched"], 200, "{ran}");
    server.publish("mail", &documents(300, 100));
    told(400);
    let diff = workspace.json(["backfill", "diff", "1", "--json"]);
    let report = &diff[0]["report"];
    assert_eq!((&report["compared"], &report["lost"]), (&json!(300), &json!(0)), "{report}");
    workspace.mesh(["backfill", "cutover", "1"]).ok();
    assert_eq!(versions(&live(&workspace)), [("2".into(), 400)].into());
    assert_eq!(plan(&workspace)["todo"], 0);
    // The way back leads to what was told when it arrived.
    workspace.mesh(["backfill", "rollback", "mail"]).ok();
    assert_eq!(versions(&live(&workspace)), [("1".into(), 200), ("2".into(), 200)].into());
    workspace.mesh(["backfill", "cutover", "1"]).ok();
    // Another one does not follow beside it.
    run(&mut follow(&workspace, &[])).code(1).tells(["another process follows a stream"]);
    server.publish("mail", &documents(400, 1));
    told(401);
    signal(&child, "INT");
    assert_eq!(wait(&mut child), 0);
    assert_eq!(versions(&live(&workspace)), [("2".into(), 401)].into());
}

#[test]
fn a_backfill_that_was_stopped_goes_on_though_documents_arrived_meanwhile() {
    let server = Server::start();
    let workspace = with_archive(60_000);
    server.stream("MAIL", "mail");
    let from = server.url("mail");
    let args = ["--from", &from, "--project", "reviews"];
    server.publish("mail", &documents(60_000, 10));
    followed(&workspace, &args);
    let mut child = workspace.command(["backfill", "run", "mail", "reviews", "--threads", "1"]);
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let done = || workspace.json(["backfill", "status", "--json"])[0]["done"].as_u64();
    until("it is under way", || done().is_some());
    signal(&child, "KILL");
    wait(&mut child);
    assert!(done().unwrap() < 60_010, "it was done before it could be killed");
    server.publish("mail", &documents(60_010, 10));
    followed(&workspace, &args);
    let ran = workspace.json(["backfill", "resume", "1", "--json"]);
    assert_eq!((&ran["rows"], &ran["projects"]["reviews"]["kept"]), (&json!(60_010), &json!(10)));
    workspace.mesh(["backfill", "cutover", "1"]).ok();
    assert_eq!(versions(&live(&workspace)), [("1".into(), 60_020)].into());
}

#[test]
fn documents_are_published_only_and_each_key_once() {
    let server = Server::start();
    let workspace = with_archive(0);
    server.stream("MAIL", "mail");
    server.stream("TOLD", "told");
    let (from, to) = (server.url("mail"), server.url("told"));
    let args = ["--from", &from, "--to", &to, "--project", "reviews", "--publish-only"];
    server.publish("mail", &documents(0, 50));
    assert_eq!(followed(&workspace, &args)["published"], 50);
    server.publish("mail", &documents(40, 20));
    let report = followed(&workspace, &args);
    assert_eq!((&report["published"], &report["refused"]), (&json!(10), &json!(10)), "{report}");
    assert_eq!(versions(&published(&server, "TOLD")), [("1".into(), 60)].into());
    assert!(!workspace.path("mail").exists());
    // Who lost the position finds what is published where it is published.
    fs::remove_dir_all(workspace.path("mail.enriched")).unwrap();
    let report = followed(&workspace, &args);
    assert_eq!((&report["messages"], &report["published"]), (&json!(70), &json!(0)), "{report}");
    assert_eq!(published(&server, "TOLD").len(), 60);
}

#[test]
fn documents_fit_into_the_columns_of_a_parquet_archive() {
    let server = Server::start();
    let workspace = with_archive(5);
    workspace.write(
        "archives/lines.toml",
        "[archive]\nname = \"lines\"\nurl = \"file:mail\"\nkey = \"id\"\n",
    );
    workspace.mesh(["backfill", "run", "lines", "reviews", "--cutover"]).ok();
    fs::create_dir_all(workspace.path("columns")).unwrap();
    workspace.mesh(["backfill", "export", "lines", "--output", "columns/first.parquet"]).ok();
    workspace.edit("archives/mail.toml", "file:mail", "file:columns");
    server.stream("MAIL", "mail");
    server.publish("mail", &documents(5, 20));
    server.publish("mail", &[r#"{"id": ["no", "text"], "text": "a key of a wrong type"}"#]);
    let from = server.url("mail");
    let report = followed(&workspace, &["--from", &from, "--project", "reviews", "--batch", "8"]);
    assert_eq!((&report["documents"], &report["refused"]), (&json!(20), &json!(1)), "{report}");
    let status = workspace.json(["backfill", "followed", "mail", "--json"]);
    assert_eq!(status["refusals"][0]["reason"], "wrong-columns", "{status}");
    workspace.edit("archives/mail.toml", "[archive]", "[input.reviews]\n\n[archive]");
    let found = plan(&workspace);
    assert_eq!(
        (&found["todo"], &found["skipped"]["answered by this model"]),
        (&json!(5), &json!(20))
    );
}

#[test]
fn what_cannot_be_followed_is_told() {
    let server = Server::start();
    let workspace = with_archive(3);
    server.stream("MAIL", "mail.*");
    let fails = |more: &[&str], code: i32| -> Ran {
        run(follow(&workspace, more).args(["--project", "reviews", "--until-idle", "50ms"]))
            .code(code)
    };
    let (from, nowhere) = (server.url("mail.a"), server.url("other"));
    fails(&[], 2).tells(["no stream is named", "--from nats://"]);
    fails(&["--from", "mail"], 2).tells(["is no place of a stream", "nats://host:4222/"]);
    fails(&["--from", &nowhere], 2).tells(["has no stream `other`"]);
    fails(&["--from", &from, "--to", &nowhere], 2).tells(["no stream of", "keeps the subject"]);
    fails(&["--from", &from, "--to", &from], 2).tells(["would be read from there again"]);
    fails(&["--from", &from, "--publish-only"], 2).tells(["neither kept nor published"]);
    fails(&["--from", "nats://127.0.0.1:1/mail"], 1).tells(["does not answer", "nats-server -js"]);
    server.publish("mail.a", &documents(3, 3));
    fails(&["--from", &from], 0);
    // Another stream is not taken for the one that was followed.
    server.stream("POST", "post");
    server.publish("post", &documents(4, 6));
    let post = server.url("post");
    fails(&["--from", &post], 2).tells(["it followed nats:MAIL", "--anew"]);
    fails(&["--from", &post, "--anew"], 0);
    assert_eq!(versions(&live(&workspace)), [("1".into(), 7), ("null".into(), 3)].into());
    // Nor one that was made anew under its name.
    server.delete("POST");
    server.stream("POST", "post");
    fails(&["--from", &post], 2).tells(["it followed nats:POST"]);
    // A file cannot be followed into.
    workspace.edit("archives/mail.toml", "file:mail", "file:mail/before.jsonl");
    fails(&["--from", &from], 2).tells(["is a single file"]);
    workspace.edit("archives/mail.toml", "[archive]", "[stream]\nfrom = \"mail\"\n\n[archive]");
    workspace.mesh(["check"]).code(1).tells(["`mail` is no place of a stream"]);
}
