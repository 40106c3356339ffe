//! Backfills on a cluster: real schedulers and executors, killed as machines are.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use serde_json::{Value, json};

use crate::{
    backfill::{documents, live, newer, versions, with_archive},
    database,
    s3::Buckets,
    support::{Ran, Workspace, repository, run, signal, until, wait},
};

/// The folder with `mesh-cluster`, which is built if it is not: by a profile that is quick to build.
pub fn folder() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let mesh = PathBuf::from(env!("CARGO_BIN_EXE_mesh"));
        let target = mesh.ancestors().nth(2).unwrap();
        let cargo = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--profile", "cluster-quick", "-p", "mesh-cluster"])
            .arg("--target-dir")
            .arg(target)
            .current_dir(repository())
            .status();
        assert!(cargo.unwrap().success(), "mesh-cluster cannot be built");
        target.join("cluster-quick")
    });
    built.clone()
}

/// The path with `mesh` and `mesh-cluster` on it.
pub fn path() -> String {
    let mesh = PathBuf::from(env!("CARGO_BIN_EXE_mesh"));
    let mesh = mesh.parent().unwrap().display();
    format!("{}:{mesh}:{}", folder().display(), std::env::var("PATH").unwrap())
}

/// A scheduler and two executors of a thread each; all end when it is dropped.
struct Cluster {
    address: String,
    parts: Vec<Child>,
    environment: Vec<(String, String)>,
}

impl Cluster {
    fn start(environment: &[(&str, &str)]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let environment = environment.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let mut cluster =
            Self { address: format!("127.0.0.1:{port}"), parts: Vec::new(), environment };
        cluster.scheduler();
        cluster.executor();
        cluster.executor();
        cluster
    }

    fn url(&self) -> String {
        format!("df://{}", self.address)
    }

    fn add(&mut self, arguments: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
        command.env("PATH", path()).arg("cluster").args(arguments).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.parts.push(command.spawn().unwrap());
    }

    fn scheduler(&mut self) {
        let address = self.address.clone();
        self.add(&["scheduler", "--listen", &address]);
    }

    fn executor(&mut self) {
        let url = self.url();
        self.add(&["executor", "--scheduler", &url, "--threads", "1"]);
    }

    fn kill(&mut self, part: usize) {
        let mut child = self.parts.remove(part);
        signal(&child, "KILL");
        wait(&mut child);
    }

    fn command(&self, workspace: &Workspace, more: &[&str]) -> Command {
        let mut command = workspace.command(["backfill", "run", "mail", "reviews", "--engine"]);
        command.arg(self.url()).args(more).env("PATH", path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn run(&self, workspace: &Workspace, more: &[&str]) -> Ran {
        run(&mut self.command(workspace, more))
    }

    fn spawn(&self, workspace: &Workspace, more: &[&str]) -> Child {
        let mut command = self.command(workspace, more);
        command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for part in &mut self.parts {
            let _ = part.kill();
            let _ = part.wait();
        }
    }
}

/// What readers see, in the order of the archive, without the moment at which it was answered.
fn timeless(workspace: &Workspace) -> Vec<Value> {
    workspace.mesh(["backfill", "export", "mail", "--output", "all.jsonl"]).ok();
    let row = |line: &str| {
        let mut row: Value = serde_json::from_str(line).unwrap();
        row.as_object_mut().unwrap().remove("reviews.enriched_at");
        row
    };
    workspace.read("all.jsonl").lines().map(row).collect()
}

/// Parts that there are of all generations.
fn parts(workspace: &Workspace) -> usize {
    let folder = workspace.path("mail.enriched/reviews");
    let generations = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = generations.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten());
    files.flatten().filter(|file| file.file_name().to_string_lossy().contains("part-")).count()
}

fn last(workspace: &Workspace) -> Value {
    workspace.json(["backfill", "status", "--json"])[0].clone()
}

#[test]
fn a_cluster_leaves_what_one_process_leaves() {
    let workspace = with_archive(2000);
    let mut text = documents(2000);
    text.push_str(
        "{\"id\": 5, \"text\": \"a key that was there\"}\n{\"id\": 9000, \"text\": null}\n",
    );
    text.push_str("{\"id\": 9001, \"text\": \" \"}\nno JSON\n");
    text.push_str(&documents(300).replace("{\"id\":", "{\"id\":77"));
    workspace.write("mail.jsonl", text);
    let alone = workspace.json(["backfill", "run", "mail", "reviews", "--cutover", "--json"]);
    let expected = timeless(&workspace);
    assert_eq!(expected.len(), 2304);
    let rejects = workspace.json(["backfill", "rejects", "1", "--json"]);

    let cluster = Cluster::start(&[]);
    let ran = cluster.run(&workspace, &["--all-rows", "--cutover", "--json"]).ok().out;
    let ran: Value = serde_json::from_str(&ran).unwrap();
    for name in ["rows", "enriched", "rejected", "skipped", "kept"] {
        let of = |ran: &Value| ran["projects"]["reviews"][name].clone();
        assert_eq!(of(&ran), of(&alone), "{name}: {ran}");
    }
    assert_eq!(ran["chunks"], alone["chunks"]);
    assert!(timeless(&workspace) == expected);
    assert_eq!(workspace.json(["backfill", "rejects", "2", "--json"]), rejects);
    assert_eq!(fs::read_dir(workspace.path("mail.enriched/reviews")).unwrap().count(), 2);
    for folder in fs::read_dir(workspace.path("mail.enriched/reviews")).unwrap() {
        assert!(!folder.unwrap().path().join("shared.json").exists(), "it is of no use any more");
    }
    // The same cluster knows a newer version too, and rows that stay.
    newer(&workspace);
    let some = cluster.run(&workspace, &["--where", "lang = 'de'", "--cutover", "--json"]).ok().out;
    let some: Value = serde_json::from_str(&some).unwrap();
    let kept = some["projects"]["reviews"]["kept"].as_u64().unwrap();
    let rows = timeless(&workspace);
    let of = |version: u64| rows.iter().filter(move |row| row["reviews.model_version"] == version);
    assert_eq!(of(1).count(), usize::try_from(kept).unwrap());
    assert!(of(2).count() > 700 && of(2).all(|row| row["lang"] == "de"));
}

#[test]
fn whatever_is_killed_every_key_is_there_once() {
    let workspace = with_archive(60_000);
    let mut cluster = Cluster::start(&[]);
    let ended = |workspace: &Workspace, child: &mut Child| {
        assert_eq!(wait(child), 0, "{:?}", last(workspace));
        let id = last(workspace)["id"].to_string();
        workspace.mesh(["backfill", "cutover", &id]).ok();
        assert_eq!(versions(&live(workspace, "mail")), [("1".into(), 60_000)].into());
    };
    // An executor: the other one does what it had.
    let before = parts(&workspace);
    let mut child = cluster.spawn(&workspace, &[]);
    until("some chunks are done", || parts(&workspace) > before + 40);
    cluster.kill(1);
    ended(&workspace, &mut child);
    cluster.executor();

    // The scheduler: all that it knew is lost with it, and asked again of the next one.
    let before = parts(&workspace);
    let mut child = cluster.spawn(&workspace, &["--all-rows"]);
    until("some chunks are done", || parts(&workspace) > before + 40);
    cluster.kill(0);
    assert!(child.try_wait().unwrap().is_none(), "it waits for another one");
    cluster.scheduler();
    ended(&workspace, &mut child);

    // The run: what executors still do is found by the next one.
    let mut done = 0;
    for kill in 1..=5 {
        let before = parts(&workspace);
        let mut child = cluster.spawn(&workspace, &["--all-rows"]);
        until("some chunks are done", || parts(&workspace) > before + 10 * kill);
        signal(&child, "KILL");
        wait(&mut child);
        let now = last(&workspace)["done"].as_u64().unwrap();
        assert!(now >= done, "{now} after {done}");
        done = now;
    }
    let mut child = cluster.spawn(&workspace, &["--all-rows"]);
    ended(&workspace, &mut child);
}

#[test]
fn a_run_on_a_cluster_is_paused_resumed_and_given_up() {
    let workspace = with_archive(60_000);
    let cluster = Cluster::start(&[]);
    let mut child = cluster.spawn(&workspace, &[]);
    until("some chunks are done", || parts(&workspace) > 40);
    workspace.mesh(["backfill", "pause", "1"]).ok();
    assert_eq!(wait(&mut child), 1);
    assert_eq!(last(&workspace)["state"], "paused");
    // It is gone on with here, in the place of the cluster.
    let ran = workspace.json(["backfill", "resume", "1", "--json"]);
    assert_eq!(ran["projects"]["reviews"]["enriched"], 60_000, "{ran}");
    assert!(ran["resumed"].as_u64().unwrap() > 0, "{ran}");
    let mut child = cluster.spawn(&workspace, &["--all-rows"]);
    until("it runs", || last(&workspace)["state"] == "running");
    signal(&child, "INT");
    let ended = wait(&mut child);
    assert!(ended == 130 || ended == 0, "{ended}");
    for id in ["1", "2"] {
        workspace.mesh(["backfill", "cancel", id]).ok();
    }
    assert_eq!(parts(&workspace), 0);
}

#[test]
fn what_a_cluster_needs_and_has_not_is_told() {
    let workspace = with_archive(600);
    let engine = |url: &str, path: String| {
        let mut command = workspace.command(["backfill", "run", "mail", "reviews", "--engine"]);
        run(command.arg(url).env("PATH", path))
    };
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    engine(&format!("df://{free}"), path()).code(1).tells([
        "no scheduler answers there",
        "`mesh cluster scheduler`",
        "what is done stays done",
    ]);
    engine("http://127.0.0.1:1", path()).code(2).tells(["df://host:50050"]);
    engine("df://127.0.0.1:1", "/usr/bin".into()).code(2).tells(["`make cluster` builds it"]);
    let missing = run(workspace.command(["cluster", "scheduler"]).env("PATH", "/usr/bin"));
    missing.code(2).tells(["`make cluster` builds it"]);
    let cluster = |arguments: &[&str]| {
        run(workspace.command(["cluster"]).args(arguments).env("PATH", path()))
    };
    assert!(cluster(&["--help"]).ok().out.contains("Start an executor"));
    cluster(&["executor", "--scheduler", "nowhere"]).code(2).tells(["write df://host:50050"]);
    let mesh = ["executor", "--mesh", "/nowhere/mesh"];
    cluster(&mesh).code(1).tells(["failed to start the worker", "--mesh"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let ran = cluster(&["scheduler", "--listen", &taken]);
    ran.code(1).tells(["failed to start the scheduler at", "choose another by --listen"]);
}

#[test]
fn a_cluster_whose_executors_are_gone_says_so_and_goes_on_with_a_new_one() {
    let workspace = with_archive(600);
    let mut cluster = Cluster::start(&[]);
    let log = workspace.path("run.log");
    // Both go before the run begins: their scheduler does not know it yet.
    let until_ready = cluster.run(&workspace, &[]);
    until_ready.ok();
    cluster.kill(2);
    cluster.kill(1);
    let mut command = cluster.command(&workspace, &["--all-rows"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
    let mut child = command.spawn().unwrap();
    let told = || fs::read_to_string(&log).unwrap();
    until("it says so", || told().contains("its scheduler has no executors"));
    assert!(told().contains(&format!("`mesh cluster executor --scheduler {}`", cluster.url())));
    cluster.executor();
    assert_eq!(wait(&mut child), 0, "{}", told());
    assert_eq!(told().matches("has done nothing").count(), 1, "{}", told());
    workspace.mesh(["backfill", "cutover", "2"]).ok();
    assert_eq!(live(&workspace, "mail").len(), 600);
}

/// What a worker answers to tasks, one after another.
fn worker(tasks: &[String]) -> Vec<Value> {
    let mut worker = crate::support::mesh();
    worker.args(["backfill", "worker"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut worker = worker.spawn().unwrap();
    let mut input = worker.stdin.take().unwrap();
    for task in tasks {
        input.write_all(format!("{task}\n").as_bytes()).unwrap();
    }
    drop(input);
    let output = worker.wait_with_output().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_worker_answers_whatever_it_is_told() {
    let workspace = with_archive(300);
    let task = |root: &str, chunks: Value| {
        let archive =
            json!({ "archive": { "name": "mail", "url": "file:mail.jsonl", "key": "id" } });
        let task = json!({ "root": root, "archive": archive, "project": "reviews",
            "generation": "g-0", "chunks": chunks });
        json!({ "id": 7, "task": task }).to_string()
    };
    let here = workspace.path("").display().to_string();
    let nowhere = workspace.path("nowhere").display().to_string();
    for (line, expected) in [
        (task(&nowhere, json!([0])), "nowhere/mail.jsonl"),
        (task(&here, json!([0])), "shared.json cannot be read"),
        (json!({ "id": 7, "task": {} }).to_string(), "missing field `root`"),
        (json!({ "id": 7, "task": [1, "\u{0}"] }).to_string(), "is damaged"),
    ] {
        let answers = worker(&["rubbish".into(), String::new(), line]);
        assert_eq!(answers.len(), 1, "{answers:?}");
        let failed = &answers[0]["answer"]["failed"];
        assert_eq!(answers[0]["id"], 7);
        assert!(failed["message"].as_str().unwrap().contains(expected), "{expected}: {failed}");
    }
    assert!(!workspace.path("nowhere").exists(), "nothing is made where nothing is");
}

#[test]
fn an_archive_and_its_models_in_a_bucket_are_of_all_machines() {
    let buckets = Buckets::serve();
    let environment = buckets.environment();
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let workspace = with_archive(1);
    workspace.edit("mesh.toml", ".mesh/store", "s3://bucket/models");
    run(&mut buckets.with(&workspace, ["run", "reviews"])).ok();
    workspace.edit("archives/mail.toml", "file:mail.jsonl", "s3://bucket/mail.jsonl");
    fs::write(buckets.root.path().join("bucket/mail.jsonl"), documents(3000)).unwrap();
    let cache = workspace.path("elsewhere").display().to_string();
    let mut all = environment.clone();
    all.push(("XDG_CACHE_HOME", &cache));
    let cluster = Cluster::start(&all);
    let ran = cluster.run(&workspace, &["--cutover", "--json"]).ok().out;
    let ran: Value = serde_json::from_str(&ran).unwrap();
    assert_eq!(ran["projects"]["reviews"]["enriched"], 3000, "{ran}");
    // The executors fetched the model, by its digest, and nothing else.
    let fetched = workspace.path("elsewhere/mesh/.mesh/cache/artifacts");
    assert_eq!(fs::read_dir(fetched).unwrap().count(), 1);
    let export = ["backfill", "export", "mail", "--output", "all.jsonl"];
    run(&mut buckets.with(&workspace, export)).ok();
    assert_eq!(workspace.read("all.jsonl").matches("reviews.model_version\":1").count(), 3000);
}

#[test]
fn a_table_of_a_database_is_enriched_on_a_cluster() {
    let server = database::Server::start();
    server.sql(
        "CREATE TABLE mail (id bigint PRIMARY KEY, text text);
         INSERT INTO mail SELECT n, 'a lovely box arrived, number ' || n FROM generate_series(1, 3000) n",
    );
    let workspace = with_archive(1);
    let url = server.url("public.mail");
    fs::remove_file(workspace.path("archives/mail.toml")).unwrap();
    let new = ["new", "archive", "mail", "--url", &url, "--key", "id"];
    run(&mut server.with(&workspace, new)).ok();
    let cluster = Cluster::start(&[("PGPASSWORD", database::PASSWORD)]);
    cluster.run(&workspace, &["--cutover"]).ok();
    let told = "SELECT model_version, count(*), count(DISTINCT id) FROM mail_reviews GROUP BY 1";
    assert_eq!(server.sql(told), "1|3000|3000");
}

#[test]
fn a_machine_that_cannot_do_its_part_says_so() {
    let workspace = with_archive(3000);
    let mut cluster = Cluster::start(&[]);
    cluster.kill(2);
    cluster.kill(1);
    // One that has the folder of the workspace under no such path.
    let mesh = env!("CARGO_BIN_EXE_mesh");
    let script = format!("#!/bin/sh\nsed -u 's#\"root\":\"[^\"]*#&/away#' | {mesh} \"$@\"\n");
    workspace.write("worker.sh", script);
    let file = workspace.path("worker.sh");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let (url, file) = (cluster.url(), file.display().to_string());
    cluster.add(&["executor", "--scheduler", &url, "--mesh", &file]);
    cluster.run(&workspace, &[]).code(1).tells(["failed to work on", "away/mail.jsonl"]);
    assert_eq!(last(&workspace)["state"], "failed");
    cluster.kill(1);
    cluster.executor();
    cluster.run(&workspace, &["--cutover"]).ok();
    assert_eq!(versions(&live(&workspace, "mail")), [("1".into(), 3000)].into());
}

#[test]
fn an_executor_says_once_that_its_scheduler_is_not_there_and_leaves_nothing_when_it_is_killed() {
    let refused = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
        run(command.env("PATH", path()).args(["cluster", "executor"]).args(arguments)).code(2)
    };
    refused(&["--threads", "0"]).tells(["invalid value '0'", "--threads"]);
    refused(&["--scheduler", "http://127.0.0.1:50050"]).tells(["write df://host:50050"]);

    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (url, temporary) = (format!("df://127.0.0.1:{port}"), tempfile::tempdir().unwrap());
    let folders = || {
        let names = fs::read_dir(temporary.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("mesh-cluster-")).count()
    };
    let start = |log: &str| {
        let log = fs::File::create(temporary.path().join(log)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
        command.env("PATH", path()).env("TMPDIR", temporary.path()).stderr(log);
        command.args(["cluster", "executor", "--scheduler", &url, "--threads", "1"]);
        command.stdin(Stdio::null()).spawn().unwrap()
    };
    let told = |log: &str| fs::read_to_string(temporary.path().join(log)).unwrap();
    let mut first = start("first.log");
    until("it says so", || told("first.log").contains("no scheduler answers at"));
    // Long enough that it looks for the scheduler again, some times.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let log = told("first.log");
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains(&url) && log.contains("mesh cluster scheduler --listen"), "{log}");
    assert_eq!(folders(), 1);
    signal(&first, "KILL");
    wait(&mut first);
    assert_eq!(folders(), 1, "who is killed removes nothing");
    let mut second = start("second.log");
    until("it says so", || told("second.log").contains("no scheduler answers at"));
    assert_eq!(folders(), 1, "what is left of the killed one is gone");
    signal(&second, "TERM");
    assert_eq!(wait(&mut second), 0);
    assert_eq!(folders(), 0);
    // Where nothing was begun, nothing is to be resumed.
    let workspace = with_archive(10);
    let mut command = workspace.command(["backfill", "run", "mail", "reviews", "--engine", &url]);
    let refused = run(command.env("PATH", path())).code(1).tells(["give the same command again"]);
    assert!(!refused.err.contains("resume"), "{}", refused.err);
}
