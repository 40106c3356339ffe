//! A PostgreSQL server of a test's own: on loopback, in a temporary folder, with a password.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{
    secured::Certificate,
    support::{Workspace, signal, until, wait},
};

pub const USER: &str = "mesh";
pub const PASSWORD: &str = "hunter2-of-the-tests";

/// A server that is ended when dropped.
pub struct Server {
    folder: tempfile::TempDir,
    pub port: u16,
    settings: &'static [&'static str],
    child: Option<Child>,
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// A server that is reached by TLS only, with a certificate.
    pub fn start_secured(certificate: &Certificate) -> Self {
        Self::start_with(Some(certificate))
    }

    fn start_with(certificate: Option<&Certificate>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if let Some(certificate) = certificate {
            for (name, text) in [("tls.crt", &certificate.chain), ("tls.key", &certificate.key)] {
                fs::write(folder.path().join(name), text).unwrap();
            }
            let mode = fs::Permissions::from_mode(0o600);
            fs::set_permissions(folder.path().join("tls.key"), mode).unwrap();
        }
        let words = folder.path().join("password");
        fs::write(&words, PASSWORD).unwrap();
        if is_root() {
            let mut chown = Command::new("chown");
            assert!(chown.args(["-R", "nobody"]).arg(folder.path()).status().unwrap().success());
        }
        let made = unprivileged("initdb")
            .args(["--no-sync", "--encoding", "UTF8", "--locale", "C", "--username", USER])
            .args(["--auth", "scram-sha-256", "--pwfile"])
            .arg(&words)
            .arg("--pgdata")
            .arg(folder.path().join("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut settings: &[&str] = &[];
        if certificate.is_some() {
            settings = &[
                "-c",
                "ssl=on",
                "-c",
                "ssl_cert_file=../tls.crt",
                "-c",
                "ssl_key_file=../tls.key",
            ];
            let rules = folder.path().join("data/pg_hba.conf");
            fs::write(rules, "hostssl all all 127.0.0.1/32 scram-sha-256\n").unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { folder, port, settings, child: None };
        server.resume();
        server
    }

    /// Starts it, and waits until it answers.
    pub fn resume(&mut self) {
        let child = unprivileged("postgres")
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .arg("-k")
            .arg(self.folder.path())
            .args(["-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
            .args(["-c", "max_connections=40", "-c", "shared_buffers=32MB"])
            .args(self.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        until("the server answers", || self.psql("SELECT 1").is_ok());
    }

    /// Stops it: connections are cut off.
    pub fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        signal(&child, "INT");
        wait(&mut child);
    }

    /// What a script prints, without frills: values between `|`.
    #[track_caller]
    pub fn sql(&self, script: &str) -> String {
        self.psql(script).unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    fn psql(&self, script: &str) -> Result<String, String> {
        let mut command = Command::new(program("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"]);
        self.name(&mut command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that cannot connect reads nothing.
        let _ = child.stdin.take().unwrap().write_all(script.as_bytes());
        let output = child.wait_with_output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap().trim_end().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Tells a command where the server is, as people do.
    pub fn name(&self, command: &mut Command) {
        command
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", USER)
            .env("PGDATABASE", "postgres")
            .env("PGPASSWORD", PASSWORD);
    }

    /// The address of a table.
    pub fn url(&self, table: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/postgres?table={table}", self.port)
    }

    /// A command of the program, which knows the password and nothing else.
    pub fn with<const N: usize>(&self, workspace: &Workspace, args: [&str; N]) -> Command {
        let mut command = workspace.command(args);
        command.env("PGPASSWORD", PASSWORD);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = Command::new("kill").args(["-s", "QUIT", &child.id().to_string()]).status();
            let _ = child.wait();
        }
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A program of the server, which refuses to be run as root.
fn unprivileged(name: &str) -> Command {
    if !is_root() {
        return Command::new(program(name));
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).arg(program(name));
    // Whoever runs the tests may be in a folder that nobody may see.
    command.current_dir("/");
    command
}

/// Debian keeps the server's programs off the path, by version.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<PathBuf> = versions
        .map(|version| version.unwrap().path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| Path::new(name).to_owned())
}
