//! A temporary workspace, the binary, and a plain HTTP client.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// How long anything may take before a test gives up.
pub const DEADLINE: Duration = Duration::from_secs(120);

pub struct Workspace {
    folder: tempfile::TempDir,
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A server that is ended when dropped.
pub struct Serving {
    pub child: Child,
    pub address: String,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub fn mesh() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
    for name in ["MESH_WORKSPACE", "MESH_LOG", "MESH_HTTP_PORT", "HF_ENDPOINT", "HF_TOKEN"] {
        command.env_remove(name);
    }
    command.env("NO_COLOR", "1");
    command
}

impl Workspace {
    pub fn new() -> Self {
        let workspace = Self { folder: tempfile::tempdir().unwrap() };
        workspace.mesh(["init", "."]).ok();
        workspace
    }

    /// A workspace with a project `reviews` of three labels.
    pub fn with_reviews(rows: usize) -> Self {
        let workspace = Self::new();
        workspace.write("reviews.csv", reviews(rows));
        workspace
            .mesh(["new", "project", "reviews", "--data", "reviews.csv", "--label", "stars"])
            .ok();
        workspace
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Replaces text in a file; it must be there.
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{name} holds no {from:?}:\n{text}");
        self.write(name, text.replace(from, to));
    }

    pub fn command<const N: usize>(&self, args: [&str; N]) -> Command {
        let mut command = mesh();
        command.current_dir(self.folder.path()).args(args);
        command
    }

    pub fn mesh<const N: usize>(&self, args: [&str; N]) -> Ran {
        run(&mut self.command(args))
    }

    pub fn json<const N: usize>(&self, args: [&str; N]) -> Value {
        let ran = self.mesh(args).ok();
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", ran.out))
    }

    /// Serves the workspace on a free port.
    pub fn serve(&self) -> Serving {
        Serving::start(self.command(["serve", "--port", "0", "--json"]))
    }

    /// The states of a project's steps, in order.
    pub fn states(&self, project: &str) -> Vec<String> {
        let status = self.json(["status", "--json"]);
        let projects = status["projects"].as_array().unwrap();
        let found = projects.iter().find(|found| found["project"] == project).unwrap();
        let steps = found["steps"].as_array().unwrap();
        steps.iter().map(|step| step["state"].as_str().unwrap().to_owned()).collect()
    }
}

pub fn run(command: &mut Command) -> Ran {
    let output = command.stdin(Stdio::null()).output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Ran {
    #[track_caller]
    pub fn ok(self) -> Self {
        self.code(0)
    }

    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\nstdout:\n{}\nstderr:\n{}", self.out, self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }

    /// Every part is somewhere in what was told on standard error, line breaks aside.
    #[track_caller]
    pub fn tells<const N: usize>(self, parts: [&str; N]) -> Self {
        // Reports wrap lines and draw bars at their start.
        let flat = |text: &str| {
            let plain: String =
                text.chars().map(|c| if "│├╰─▶·╭×".contains(c) { ' ' } else { c }).collect();
            plain.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let told = flat(&self.err);
        for part in parts {
            assert!(told.contains(&flat(part)), "not told: {part:?}\n{}", self.err);
        }
        self
    }
}

impl Serving {
    #[expect(clippy::zombie_processes, reason = "waited for when dropped")]
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut text = String::new();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        loop {
            let read = reader.read_line(&mut text).unwrap();
            assert!(read > 0, "the server ended: {text}");
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                let listening = value["listening"].as_str().unwrap();
                let address = listening.trim_start_matches("http://").to_owned();
                // The pipe must stay open, or the server's next line fails.
                std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
                return Self { child, address };
            }
        }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.raw(format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes())
    }

    pub fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        let body = body.as_ref();
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend(body);
        self.raw(&request)
    }

    /// Sends bytes as they are, and reads until the server closes.
    pub fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        // A server that refuses early may close before all is sent.
        let _ = stream.write_all(bytes);
        Answer::read(&mut stream)
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Asks to end, as a supervisor does, and waits for it.
    pub fn terminate(mut self) -> i32 {
        signal(&self.child, "TERM");
        wait(&mut self.child)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    pub fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The answer is a problem of this status and type.
    #[track_caller]
    pub fn is_problem(&self, status: u16, kind: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.head.contains("content-type: application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:mesh:problem:{kind}"), "{self:?}");
        assert_eq!(problem["status"], status);
        for key in ["title", "detail"] {
            assert!(!problem[key].as_str().unwrap().is_empty(), "{self:?}");
        }
        problem
    }
}

pub fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
}

/// Waits for a process to end; gives its exit code.
pub fn wait(child: &mut Child) -> i32 {
    let mut code = None;
    until("the process ends", || {
        code = child.try_wait().unwrap().map(|status| status.code().unwrap_or(-1));
        code.is_some()
    });
    code.unwrap()
}

/// Waits for a condition, and fails after [`DEADLINE`].
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A CSV of texts that tell their stars, with some noise; the same for the same count.
pub fn reviews(rows: usize) -> String {
    let words = [
        ["awful", "broken", "refund", "angry", "waste", "never"],
        ["average", "okay", "fine", "usual", "expected", "plain"],
        ["lovely", "great", "perfect", "delight", "best", "happy"],
    ];
    let noise = ["the", "box", "arrived", "monday", "colour", "blue", "second", "order", "shop"];
    let mut state = 88_172_645_463_325_252u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let mut text = "text,stars\n".to_owned();
    for row in 0..rows {
        let label = row % 3;
        let mut line: Vec<&str> = (0..6).map(|_| noise[next(noise.len())]).collect();
        line.push(words[label][next(6)]);
        line.push(words[label][next(6)]);
        text.push_str(&format!("\"{}, number {row}\",{}\n", line.join(" "), label * 2 + 1));
    }
    text
}

pub fn predict_body(project: &str, content: &str) -> String {
    serde_json::json!({ "data": { "identifier": "doc-1", "namespace": project,
        "attributes": { "content": content } } })
    .to_string()
}
