//! Sources from servers: a web server that cuts, a hub, packages, archives in archives.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Mutex},
};

use crate::support::{Workspace, repository, reviews, run};

/// A web server of one file, that cuts the first transfers and serves ranges.
struct Files {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Files {
    /// `cuts` transfers end after half of what was asked for. With a token, requests without it
    /// are refused.
    fn serve(
        path: &'static str,
        content: Vec<u8>,
        mut cuts: usize,
        token: Option<&'static str>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let head = head(&stream);
                seen.lock().unwrap().push(head.clone());
                let lower = head.to_lowercase();
                let allowed =
                    token.is_none_or(|t| lower.contains(&format!("authorization: bearer {t}")));
                let status = match (head.split(' ').nth(1) == Some(path), allowed) {
                    (_, false) => "401 Unauthorized",
                    (false, _) => "404 Not Found",
                    _ => "",
                };
                if !status.is_empty() {
                    let _ = write!(
                        stream,
                        "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    );
                    continue;
                }
                let range = lower.lines().find_map(|line| line.strip_prefix("range: bytes="));
                let from: usize =
                    range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap());
                let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
                let rest = &content[from..];
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    rest.len()
                );
                let sent = if cuts > 0 { rest.len() / 2 } else { rest.len() };
                cuts = cuts.saturating_sub(1);
                let _ = stream.write_all(&rest[..sent]);
            }
        });
        Self { address, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn head(stream: &TcpStream) -> String {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines.take_while(|line| !line.is_empty()).map(|line| line + "\n").collect()
}

fn digest(workspace: &Workspace, file: &str) -> String {
    let pinned = workspace.mesh(["source", "pin", file]).ok().out;
    pinned.trim().trim_start_matches("sha256 = ").trim_matches('"').to_owned()
}

/// A project whose source is at a URL.
fn project(url: &str, data: &[u8]) -> (Workspace, String) {
    let workspace = Workspace::new();
    workspace.write("data", data);
    let sha256 = digest(&workspace, "data");
    workspace.write(
        "projects/p/project.toml",
        format!(
            "[project]\nname = \"p\"\ntask = \"text-classification\"\ndescription = \"d\"\n\n\
             [source]\nurl = \"{url}\"\nsha256 = \"{sha256}\"\nformat = \"csv\"\n\
             columns = {{ label = \"stars\" }}\n\n[prepare]\n\n[train]\nmodel = \"linear\"\n"
        ),
    );
    (workspace, sha256)
}

#[test]
fn a_cut_transfer_goes_on_and_is_not_fetched_again() {
    let data = reviews(3000).into_bytes();
    let files = Files::serve("/some/reviews.csv?version=1", data.clone(), 2, None);
    let (workspace, _) = project(&format!("{}/some/reviews.csv?version=1", files.address), &data);
    workspace.mesh(["run", "p"]).ok();
    let ranges: Vec<_> =
        files.requests().iter().map(|head| head.to_lowercase().contains("range: bytes=")).collect();
    assert_eq!(ranges, [false, true, true]);
    workspace.mesh(["run", "p:prepare", "--force"]).ok();
    assert_eq!(files.requests().len(), 3, "it was fetched again");
}

#[test]
fn what_was_changed_in_the_cache_is_fetched_anew() {
    let data = reviews(300).into_bytes();
    let files = Files::serve("/reviews.csv", data.clone(), 0, None);
    let (workspace, sha256) = project(&format!("{}/reviews.csv", files.address), &data);
    workspace.mesh(["run", "p"]).ok();
    let states = || {
        workspace.json(["run", "p:prepare", "--force", "--json"])[0]["steps"][0]["output"].clone()
    };
    let before = states();
    let kept = format!(".mesh/sources/files/{sha256}/reviews.csv");
    workspace.write(&kept, &data[..data.len() / 2]);
    assert_eq!(states(), before);
    assert_eq!(files.requests().len(), 2);
    assert_eq!(workspace.read(&kept).into_bytes(), data);
}

#[test]
fn what_was_changed_of_an_unpacked_archive_is_unpacked_anew() {
    let workspace = Workspace::with_reviews(300);
    let data = workspace.read("reviews.csv");
    let mut packed =
        Command::new("gzip").arg("-k").arg(workspace.path("reviews.csv")).spawn().unwrap();
    assert!(packed.wait().unwrap().success());
    workspace.edit("projects/reviews/project.toml", "reviews.csv\"", "reviews.csv.gz\"");
    let run = || {
        workspace.json(["run", "reviews:prepare", "--force", "--json"])[0]["steps"][0]["output"]
            .clone()
    };
    let before = run();
    let folder = workspace.path(".mesh/sources/unpacked");
    let mut entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let folder = entries.find(|path| path.is_dir()).unwrap();
    let unpacked = folder.join("reviews.csv");
    std::fs::write(&unpacked, &data[..data.len() / 2]).unwrap();
    assert_eq!(run(), before);
    assert_eq!(std::fs::read_to_string(&unpacked).unwrap(), data);
}

#[test]
fn a_wrong_digest_names_both() {
    let data = reviews(100).into_bytes();
    let files = Files::serve("/a.csv", reviews(99).into_bytes(), 0, None);
    let (workspace, pinned) = project(&format!("{}/a.csv", files.address), &data);
    workspace.write("other", reviews(99));
    let found = digest(&workspace, "other");
    let told = [format!("expected {pinned}"), format!("found {found}")];
    let ran = workspace.mesh(["run", "p"]).code(1);
    ran.tells([&told[0], &told[1]]);
    // A transfer of the wrong bytes is not gone on with.
    workspace.mesh(["run", "p"]).code(1).tells([&told[1]]);
}

#[test]
fn what_is_missing_or_refused_is_told() {
    let data = reviews(100).into_bytes();
    let files = Files::serve("/a.csv", data.clone(), 0, Some("secret"));
    let (workspace, _) = project(&format!("{}/a.csv", files.address), &data);
    workspace.mesh(["run", "p"]).code(1).tells(["access is denied (401 Unauthorized)"]);
    let files = Files::serve("/a.csv", data.clone(), 0, None);
    let (workspace, _) = project(&format!("{}/b.csv", files.address), &data);
    workspace.mesh(["run", "p"]).code(1).tells(["it is not there"]);
    let (workspace, _) = project("file:nowhere.csv", &data);
    workspace.mesh(["run", "p"]).code(1).tells(["failed to fetch the source file:nowhere.csv"]);
}

#[test]
fn a_hub_is_asked_by_its_layout_with_the_token() {
    let data = reviews(200).into_bytes();
    let files = Files::serve(
        "/datasets/org/name/resolve/v1.0/data/train.csv",
        data.clone(),
        1,
        Some("hf_abc"),
    );
    let (workspace, _) = project("hf://datasets/org/name@v1.0/data/train.csv", &data);
    let mut command = workspace.command(["run", "p"]);
    command.env("HF_ENDPOINT", &files.address);
    run(&mut command).code(1).tells(["access is denied"]);
    run(command.env("HF_TOKEN", "hf_abc")).ok();
}

#[test]
fn a_path_goes_on_inside_archives() {
    let workspace = Workspace::new();
    workspace.write("in/data/a.csv", reviews(120));
    let script = "tar czf inner.tar.gz -C in data && python3 -m zipfile -c outer.zip inner.tar.gz";
    run(Command::new("bash").arg("-c").arg(script).current_dir(workspace.path("."))).ok();
    let (_, sha256) = (0, digest(&workspace, "outer.zip"));
    let manifest = |url: &str| {
        format!(
            "[project]\nname = \"p\"\ntask = \"text-classification\"\ndescription = \"d\"\n\n\
             [source]\nurl = \"{url}\"\nsha256 = \"{sha256}\"\nformat = \"csv\"\n\
             columns = {{ label = \"stars\" }}\n\n[prepare]\n"
        )
    };
    workspace
        .write("projects/p/project.toml", manifest("file:../../outer.zip/inner.tar.gz/data/*.csv"));
    let rows = workspace.json(["run", "p", "--json"])[0]["steps"][0]["summary"]["read"].clone();
    assert_eq!(rows, 120);
    workspace.write(
        "projects/p/project.toml",
        manifest("file:../../outer.zip/inner.tar.gz/other/*.csv"),
    );
    workspace.mesh(["run", "p"]).code(1).tells(["holds nothing at `other/*.csv`", "data/a.csv"]);
    // An archive that is cut, with the digest of what it is.
    let bytes = std::fs::read(workspace.path("outer.zip")).unwrap();
    workspace.write("outer.zip", &bytes[..bytes.len() / 2]);
    let cut = digest(&workspace, "outer.zip");
    let text = manifest("file:../../outer.zip/inner.tar.gz/data/*.csv").replace(&sha256, &cut);
    workspace.write("projects/p/project.toml", text);
    workspace.mesh(["run", "p"]).code(1).tells(["the archive outer.zip cannot be unpacked"]);
}

#[test]
fn a_package_with_another_digest_is_refused() {
    let workspace = Workspace::new();
    let manifest =
        std::fs::read_to_string(repository().join("projects/news-topic/project.toml")).unwrap();
    workspace.write("projects/news-topic/project.toml", manifest.replace("92c3f2eb", "00000000"));
    workspace.mesh(["run", "news-topic"]).code(1).tells([
        "expected 00000000d8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
        "found 92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
    ]);
    workspace.write("projects/news-topic/project.toml", manifest.replace("1.0.0/", "9.9.9/"));
    workspace.mesh(["run", "news-topic"]).code(1).tells(["it is not there", "pip index versions"]);
}
