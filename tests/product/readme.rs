//! Every command of the README, and of guides with commands, in order, in a copy of the
//! repository.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    cluster,
    database::Server,
    s3::Buckets,
    support::{repository, signal, wait},
};

/// The commands of a page: lines of `console` blocks that start with a prompt, and what goes into
/// them from the page, up to the word that ends it.
fn commands(page: &str) -> Vec<String> {
    let text = fs::read_to_string(repository().join(page)).unwrap();
    let (mut inside, mut until) = (false, None);
    let mut commands: Vec<String> = Vec::new();
    for line in text.lines() {
        if let Some(word) = &until {
            let command = commands.last_mut().unwrap();
            command.push('\n');
            command.push_str(line);
            if line == word {
                until = None;
            }
        } else if line.starts_with("```") {
            inside = line == "```console";
        } else if let (true, Some(command)) = (inside, line.strip_prefix("$ ")) {
            commands.push(command.to_owned());
            let word = command.split_once("<<'").and_then(|(_, rest)| rest.split_once('\''));
            until = word.map(|(word, _)| word.to_owned());
        }
    }
    commands
}

#[test]
fn the_commands_of_the_readme_work() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["Makefile", "mesh.toml", "projects", "scripts"] {
        copy(&repository().join(part), &folder.path().join(part));
    }
    // `make` would build a release; the tests have built the program already.
    let release = folder.path().join("target/release");
    fs::create_dir_all(&release).unwrap();
    symlink(env!("CARGO_BIN_EXE_mesh"), release.join("mesh")).unwrap();
    let mut server = None;
    let mut address = String::new();
    let mut shell = String::from("set -euo pipefail\n");
    for command in commands("README.md") {
        if command == "make up" {
            let mut child = Command::new("make")
                .args(["up", "CARGO=true"])
                .current_dir(folder.path())
                .env("MESH_HTTP_PORT", "0")
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut reader = BufReader::new(child.stdout.take().unwrap());
            while address.is_empty() {
                let mut line = String::new();
                assert!(reader.read_line(&mut line).unwrap() > 0, "`make up` ended");
                if let Some(found) = line.trim().strip_prefix("listening on http://") {
                    address = found.to_owned();
                }
            }
            std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
            server = Some(child);
            continue;
        }
        // A response that is a problem fails the command.
        let command = command.replace("curl -s", "curl -sf").replace("127.0.0.1:8080", &address);
        shell.push_str(&format!("echo '--' ; {command}\n"));
    }
    let output =
        Command::new("bash").arg("-c").arg(&shell).current_dir(folder.path()).output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{out}\n{err}\n{shell}");
    for expected in [
        r#""label":"sports""#,
        r#""label":"positive""#,
        r#""prompt_tokens":"#,
        r#""keyword_token":"interest rates"#,
        r#""language":"de""#,
        "# news-topic",
        "new version 1",
        "parameters.prepare.split.seed: 42 -> 7",
        "new version 2",
        "production was version 1, is version 2 now",
        "production was version 2, is version 1 now",
    ] {
        assert!(out.contains(expected), "{expected}\n{out}\n{err}");
    }
    let mut server = server.unwrap();
    signal(&server, "TERM");
    // `make` itself tells that its command was ended.
    wait(&mut server);
}

#[test]
fn the_commands_of_the_guide_to_models_of_ones_own_work() {
    let told = follow("docs/compile.md");
    for expected in ["new version 1", "calm", "angry"] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
}

#[test]
fn the_commands_of_the_guide_to_duplicates_work() {
    let told = follow("docs/dedup.md");
    // What the page says that they print, they print.
    let page = fs::read_to_string(repository().join("docs/dedup.md")).unwrap();
    let (_, shown) = page.split_once("```text\n").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    assert!(told.contains(shown), "{shown}\n{told}");
    for expected in [
        r#"{"first":0,"second":1,"similarity":1.0,"exact":true,"first_key":"t1","second_key":"t2"}"#,
        r#""exact":false,"first_key":"t1","second_key":"t4"}"#,
        r#"{"id": "t6", "text": null}"#,
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
}

#[test]
fn the_commands_of_the_guide_to_projects_work() {
    let told = follow("docs/projects.md");
    for expected in [
        "  5",
        r#""entity_text": "Grace""#,
        r#""predictions""#,
        "seasonal-naive",
        r#""embeddings""#,
        r#""keywords""#,
        r#""language": "de""#,
        "AAAAAHoQC+YAAAAACA8jAgAAAAAVKX9QAAAAAHqyEgMAAAAAIhuY/wAAAAAUT4vZAAAAAErnGNA=",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
}

#[test]
fn the_commands_of_the_guide_to_backfills_work() {
    let (server, buckets) = (Server::start(), Buckets::serve());
    let mail = buckets.root.path().join("bucket/mail");
    fs::create_dir(&mail).unwrap();
    for (part, first) in [("a.jsonl", 0), ("b.jsonl", 500)] {
        let row = |n: usize| format!("{{\"id\":\"m{n}\",\"text\":\"The bank lost {n} shares\"}}\n");
        let rows: String = (first..first + 500).map(row).collect();
        fs::write(mail.join(part), rows).unwrap();
    }
    let told = follow_with("docs/backfill.md", &["mesh.toml", "projects"], |shell| {
        server.name(shell);
        shell.envs(buckets.environment());
        shell.env("PATH", cluster::path());
    });
    for expected in [
        "100,000 without an answer",
        "backfill 1 of news: 100,000 documents",
        // What the killed run had done is not done again.
        " of 261 chunks done before",
        r#""news-topic.model_version":1"#,
        "100,000 of another version",
        "news-topic: version 1 -> version 2",
        "labels before (rows) and after (columns)",
        "by edition",
        "superseded",
        "1 removed",
        "nothing was rejected",
        r#""id":"m0","text":"The bank lost 0 shares""#,
        "backfill 3 of news: 100,000 documents",
        "100,000 enriched",
        "1,000 without an answer",
        "| sports   |             2",
        "_g_",
        "post: 51 messages",
        "50 enriched",
        "no-key",
        "nothing is to be done",
        "50 of another version",
        "1 message in",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
}

/// Runs the commands of a guide in a folder of their own, and gives what they print.
fn follow(page: &str) -> String {
    follow_with(page, &["docs/examples"], |_| {})
}

/// As [`follow`], with parts of the repository in the folder, and a shell that is made ready.
fn follow_with(page: &str, parts: &[&str], ready: impl Fn(&mut Command)) -> String {
    let folder = tempfile::tempdir().unwrap();
    for part in parts {
        let to = folder.path().join(part);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        copy(&repository().join(part), &to);
    }
    // What a guide starts in the background ends with it, also if a command fails.
    let mut shell =
        String::from("set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n");
    let (nats, scheduler) = (free_port().to_string(), free_port().to_string());
    for command in commands(page) {
        let command = command.replace("4222", &nats).replace("50050", &scheduler);
        shell.push_str(&format!("{command}\n"));
    }
    let mut command = Command::new("bash");
    let bin = Path::new(env!("CARGO_BIN_EXE_mesh")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    command.env("PATH", path);
    ready(&mut command);
    let command = command.arg("-c").arg(&shell).current_dir(folder.path());
    let output = command.output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{out}\n{err}\n{shell}");
    format!("{out}\n{err}")
}

/// A port that was free just now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}
