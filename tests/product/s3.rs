//! The store and sources on S3: a real server with credentials, on loopback.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use s3s_fs::FileSystem;

use crate::{
    follow::{Server, documents},
    support::{Workspace, reviews, run},
};

const KEY: &str = "AKIATEST";
const SECRET: &str = "a secret that is long enough";

/// A server whose buckets are folders.
pub struct Buckets {
    pub root: tempfile::TempDir,
    address: String,
}

impl Buckets {
    pub fn serve() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("bucket")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let mut builder = S3ServiceBuilder::new(FileSystem::new(root.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = builder.build();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let service = service.clone();
                    tokio::spawn(async move {
                        let builder = Builder::new(TokioExecutor::new());
                        let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                    });
                }
            });
        });
        Self { root, address }
    }

    /// The file that an object is.
    pub fn file(&self, object: &str) -> PathBuf {
        self.root.path().join("bucket").join(object)
    }

    /// Something before the server that may say that it is busy.
    pub fn behind_a_front(&self) -> Front {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (refuse, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let front = Front { address, refuse, refused };
        let (refuse, refused) = (Arc::clone(&front.refuse), Arc::clone(&front.refused));
        let server = self.address.trim_start_matches("http://").to_owned();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (server, refuse) = (server.clone(), Arc::clone(&refuse));
                let refused = Arc::clone(&refused);
                std::thread::spawn(move || {
                    // Whoever goes away in the middle is none of ours to mind.
                    let _ = pass(client?, &server, || {
                        let busy = refuse.load(Ordering::SeqCst);
                        refused.fetch_add(usize::from(busy), Ordering::SeqCst);
                        busy
                    });
                    Ok::<(), std::io::Error>(())
                });
            }
        });
        front
    }

    /// A command with the server's address and the credentials.
    pub fn with<const N: usize>(&self, workspace: &Workspace, args: [&str; N]) -> Command {
        let mut command = workspace.command(args);
        command.envs(self.environment());
        command
    }

    /// What names the server to a command.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL", self.address.clone()),
            ("AWS_ACCESS_KEY_ID", KEY.into()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.into()),
            ("AWS_REGION", "eu-west-1".into()),
        ]
    }
}

/// What stands before a server, and answers in its place that it is busy.
pub struct Front {
    address: String,
    refuse: Arc<AtomicBool>,
    refused: Arc<AtomicUsize>,
}

impl Front {
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn refuse(&self, busy: bool) {
        self.refuse.store(busy, Ordering::SeqCst);
    }

    /// How many requests it refused.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }
}

/// Passes one request on, and its answer back; or refuses it.
fn pass(client: TcpStream, server: &str, busy: impl Fn() -> bool) -> std::io::Result<()> {
    let mut from = BufReader::new(client.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    let mut client = client;
    if busy() {
        let answer =
            "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        return client.write_all(answer.as_bytes());
    }
    let mut server = TcpStream::connect(server)?;
    // One request for a connection: so each is refused or passed by itself.
    server.write_all(format!("{head}connection: close\r\n\r\n").as_bytes())?;
    server.write_all(&body)?;
    std::io::copy(&mut server, &mut client).map(drop)
}

#[test]
fn artifacts_live_in_a_bucket() {
    let buckets = Buckets::serve();
    let workspace = Workspace::with_reviews(300);
    workspace.edit("mesh.toml", ".mesh/store", "s3://bucket/models");
    run(&mut buckets.with(&workspace, ["run", "reviews"])).ok();
    let stored = buckets.root.path().join("bucket/models/artifacts");
    assert_eq!(fs::read_dir(&stored).unwrap().count(), 3);

    // Another machine: nothing is here but the registry.
    fs::remove_dir_all(workspace.path(".mesh/cache")).unwrap();
    run(&mut buckets.with(&workspace, ["predict", "reviews", "--text", "lovely"])).ok();
    let again = run(&mut buckets.with(&workspace, ["run", "reviews"])).ok();
    assert_eq!(again.out.matches("fresh").count(), 3, "{}", again.out);

    // Damage in the bucket is found when it is read.
    fs::remove_dir_all(workspace.path(".mesh/cache")).unwrap();
    let compiled = fs::read_dir(&stored).unwrap().map(|entry| entry.unwrap().path());
    let compiled =
        compiled.map(|folder| folder.join("linear.mesh")).find(|path| path.exists()).unwrap();
    let mut bytes = fs::read(&compiled).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&compiled, bytes).unwrap();
    run(&mut buckets.with(&workspace, ["predict", "reviews", "--text", "lovely"]))
        .code(1)
        .tells(["`linear.mesh` is damaged"]);

    run(&mut buckets.with(&workspace, ["gc", "--yes"])).ok();
    let mut wrong = buckets.with(&workspace, ["run", "reviews", "--force"]);
    run(wrong.env("AWS_SECRET_ACCESS_KEY", "another")).code(1).tells(["failed to"]);
}

#[test]
fn a_source_is_an_object_and_credentials_come_from_a_profile() {
    let buckets = Buckets::serve();
    let workspace = Workspace::new();
    workspace.write("data.csv", reviews(150));
    fs::copy(workspace.path("data.csv"), buckets.root.path().join("bucket/data.csv")).unwrap();
    let pinned = workspace.mesh(["source", "pin", "data.csv"]).ok().out;
    workspace.write(
        "projects/p/project.toml",
        format!(
            "[project]\nname = \"p\"\ntask = \"text-classification\"\ndescription = \"d\"\n\n\
             [source]\nurl = \"s3://bucket/data.csv\"\n{pinned}format = \"csv\"\n\
             columns = {{ label = \"stars\" }}\n\n[prepare]\n"
        ),
    );
    workspace.write(
        "home/.aws/credentials",
        format!("[work]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"),
    );
    let mut command = workspace.command(["run", "p"]);
    command
        .env("AWS_ENDPOINT_URL", &buckets.address)
        .env("HOME", workspace.path("home"))
        .env("AWS_PROFILE", "work")
        .env_remove("AWS_ACCESS_KEY_ID");
    run(&mut command).ok();
    workspace.edit("projects/p/project.toml", "bucket/data.csv", "bucket/other.csv");
    // Pinned by the same digest it is here already; with another it has to be fetched.
    let digest = pinned.split('"').nth(1).unwrap().to_owned();
    workspace.edit("projects/p/project.toml", &digest, &digest.replace(&digest[..8], "00000000"));
    run(&mut command).code(1).tells(["it is not there"]);
}

#[test]
fn an_archive_and_its_enrichments_lie_in_a_bucket() {
    let buckets = Buckets::serve();
    let workspace = Workspace::with_reviews(240);
    let manifest = "projects/reviews/project.toml";
    workspace.edit(manifest, "[serve]", "[backfill]\ninput = { content = \"text\" }\n\n[serve]");
    workspace.mesh(["run", "reviews"]).ok();
    let rows: Vec<String> = reviews(900).lines().map(ToOwned::to_owned).collect();
    for (part, rows) in rows[1..].chunks(300).enumerate() {
        let keyed = rows.iter().enumerate().map(|(row, line)| format!("{part}-{row},{line}\n"));
        let folder = buckets.root.path().join(format!("bucket/mail/part={part}"));
        fs::create_dir_all(&folder).unwrap();
        let text = format!("id,text,stars\n{}", keyed.collect::<String>());
        fs::write(folder.join("rows.csv"), text).unwrap();
    }
    let with = |args: &[&str]| {
        let mut command = buckets.with(&workspace, []);
        run(command.args(args))
    };
    let shows = |args: &[&str], expected: &str| {
        let out = with(args).ok().out;
        assert!(out.contains(expected), "{expected}: {out}");
    };
    with(&["new", "archive", "mail", "--data", "s3://bucket/mail", "--key", "id"]).ok();
    shows(&["backfill", "plan", "mail", "reviews"], "900 without an answer");
    shows(&["backfill", "run", "mail", "reviews"], "900 enriched");
    let stored = buckets.root.path().join("bucket/mail.enriched");
    assert!(!stored.join("current.json").exists());
    with(&["backfill", "cutover", "1"]).ok();
    assert!(stored.join("current.json").exists());
    let some = ["backfill", "run", "mail", "reviews", "--all-rows", "--where", "part = '1'"];
    shows(&some, "300 enriched, 600 kept");
    shows(&["backfill", "diff", "2"], "compared 900: 900 the same");
    with(&["backfill", "cutover", "2"]).ok();
    with(&["backfill", "rollback", "mail"]).ok();
    shows(&["backfill", "export", "mail", "--output", "all.jsonl"], "900 enriched");
    shows(&["backfill", "collect", "mail", "--yes"], "1 removed");
    shows(&["backfill", "collect", "mail"], "nothing to remove");
    shows(&["backfill", "export", "mail", "--output", "all.jsonl"], "900 enriched");
    // Nobody who may not write is told that it worked.
    let mut wrong = buckets.with(&workspace, ["backfill", "rollback", "mail"]);
    run(wrong.env("AWS_SECRET_ACCESS_KEY", "another")).code(1).tells(["failed to"]);
}

#[test]
fn documents_of_a_stream_arrive_in_a_bucket() {
    let (buckets, server) = (Buckets::serve(), Server::start());
    let workspace = Workspace::with_reviews(240);
    let manifest = "projects/reviews/project.toml";
    workspace.edit(manifest, "[serve]", "[backfill]\ninput = { content = \"text\" }\n\n[serve]");
    workspace.mesh(["run", "reviews"]).ok();
    let about = "[archive]\nname = \"mail\"\nurl = \"s3://bucket/mail\"\nkey = \"id\"\n";
    let stream = format!("[stream]\nfrom = \"{}\"\nprojects = [\"reviews\"]\n", server.url("mail"));
    workspace.write("archives/mail.toml", format!("{about}{stream}"));
    server.stream("MAIL", "mail");
    let shows = |args: &[&str], expected: &str| {
        let out = run(buckets.with(&workspace, []).args(args)).ok().out;
        assert!(out.contains(expected), "{expected}: {out}");
    };
    let follow = ["backfill", "follow", "mail", "--batch", "25", "--until-idle", "400ms"];
    server.publish("mail", &documents(0, 60));
    shows(&follow, "60 documents, 0 behind");
    server.publish("mail", &documents(50, 20));
    shows(&follow, "10 documents, 0 behind");
    shows(&["backfill", "plan", "mail", "reviews"], "nothing is to be done");
    shows(&["backfill", "export", "mail", "--output", "all.jsonl"], "70 enriched");
    let stored = buckets.root.path().join("bucket/mail");
    let files = fs::read_dir(stored).unwrap().map(|file| file.unwrap().file_name());
    let files: Vec<_> = files.filter(|file| file != ".stream").collect();
    assert_eq!(files.len(), 4, "{files:?}");
}
