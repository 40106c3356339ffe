//! Kills, damage, two at once, full disks, foreign registries.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::support::{Workspace, run, signal, until, wait};

/// The only artifact file of that name in the store.
fn artifact_file(workspace: &Workspace, name: &str) -> std::path::PathBuf {
    let store = workspace.path(".mesh/store/artifacts");
    let folders = fs::read_dir(store).unwrap().map(|entry| entry.unwrap().path());
    folders.map(|folder| folder.join(name)).find(|path| path.exists()).unwrap()
}

fn outputs(outcome: &Value) -> Vec<String> {
    let steps = outcome[0]["steps"].as_array().unwrap();
    steps.iter().map(|step| step["output"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_kill_at_any_moment_leaves_nothing_half_done() {
    let rows = 12_000;
    let expected = outputs(&Workspace::with_reviews(rows).json(["run", "reviews", "--json"]));
    let workspace = Workspace::with_reviews(rows);
    let mut killed = 0;
    // Later each time: through prepare, train and compile.
    for pause in (0..).map(|round| Duration::from_millis(20 + round * 90)) {
        let mut child = workspace
            .command(["run", "reviews", "--json"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(pause);
        let ended = child.try_wait().unwrap().is_some();
        signal_if_running(&mut child);
        if ended {
            break;
        }
        killed += 1;
        // Whatever is in the store is whole.
        for folder in fs::read_dir(workspace.path(".mesh/store/artifacts")).unwrap() {
            let folder = folder.unwrap().path();
            assert!(folder.join("artifact.json").exists(), "{folder:?} is half-written");
        }
        workspace.mesh(["status"]).ok();
    }
    assert!(killed >= 3, "killed {killed} times only: the test needs more rows");
    assert_eq!(outputs(&workspace.json(["run", "reviews", "--json"])), expected);
    let plan = workspace.json(["gc", "--json"]);
    assert!(!plan["plan"]["leftovers"].as_array().unwrap().is_empty(), "{plan}");
    workspace.mesh(["gc", "--yes"]).ok();
    assert_eq!(fs::read_dir(workspace.path(".mesh/store/tmp")).unwrap().count(), 0);
}

fn signal_if_running(child: &mut std::process::Child) {
    let _ = child.kill();
    let _ = child.wait();
}

#[test]
fn ctrl_c_ends_a_run_cleanly() {
    let workspace = Workspace::with_reviews(60_000);
    let mut child = workspace
        .command(["run", "reviews"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let tmp = workspace.path(".mesh/store/tmp");
    until("a step is at work", || {
        fs::read_dir(&tmp).is_ok_and(|mut entries| entries.next().is_some())
    });
    signal(&child, "INT");
    assert_eq!(wait(&mut child), 130);
    assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0, "temporary files are left");
    assert_eq!(workspace.states("reviews")[0], "stale");
}

#[test]
fn two_at_once_do_the_work_once() {
    let workspace = Workspace::with_reviews(6_000);
    let start = || {
        let mut command = workspace.command(["run", "reviews", "--json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut both = Vec::new();
    for child in [start(), start()] {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        both.push(serde_json::from_slice::<Value>(&output.stdout).unwrap());
    }
    assert_eq!(outputs(&both[0]), outputs(&both[1]));
    let ran = |outcome: &Value, step: usize| outcome[0]["steps"][step]["ran"] == true;
    for step in 0..3 {
        assert!(ran(&both[0], step) != ran(&both[1], step), "{step}: {both:?}");
    }
    let versions = workspace.json(["model", "list", "reviews", "--json"]);
    assert_eq!(versions.as_array().unwrap().len(), 1);
}

#[test]
fn damage_is_found_named_and_mended() {
    let workspace = Workspace::with_reviews(300);
    let expected = outputs(&workspace.json(["run", "reviews", "--json"]));
    for file in ["linear.mesh", "weights.safetensors", "train.parquet"] {
        let path = artifact_file(&workspace, file);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x55;
        // Artifacts are not written to: the damage comes from below.
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        if file == "linear.mesh" {
            workspace
                .mesh(["predict", "reviews", "--text", "a"])
                .code(1)
                .tells(["`linear.mesh` is damaged", "mesh run"]);
        }
        let told = workspace.mesh(["run", "reviews"]).ok().out;
        assert!(told.contains(&format!("`{file}` is damaged or missing")), "{told}");
        assert_eq!(outputs(&workspace.json(["run", "reviews", "--json"])), expected, "{file}");
        workspace.mesh(["predict", "reviews", "--text", "lovely"]).ok();
    }
    fs::remove_dir_all(workspace.path(".mesh/store/artifacts")).unwrap();
    assert_eq!(workspace.states("reviews")[0], "stale");
    assert_eq!(outputs(&workspace.json(["run", "reviews", "--json"])), expected);
}

fn sqlite(workspace: &Workspace, script: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg("-c").arg(script).arg(workspace.path(".mesh/registry.db"));
    command
}

#[test]
fn a_registry_from_a_newer_version_is_told() {
    let workspace = Workspace::with_reviews(60);
    workspace.mesh(["status"]).ok();
    let script = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\n\
        c.execute(\"insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'later', 1, x'00', 0)\")\nc.commit()";
    run(&mut sqlite(&workspace, script)).ok();
    workspace.mesh(["status"]).code(1).tells(["a newer `mesh` wrote it: update this one"]);
}

#[test]
fn a_registry_that_is_none_is_told() {
    let workspace = Workspace::with_reviews(60);
    // What SQLite keeps beside the file would restore it.
    fs::remove_dir_all(workspace.path(".mesh")).unwrap();
    workspace.write(
        ".mesh/registry.db",
        "this is no database, but long enough to be looked at".repeat(40),
    );
    workspace.mesh(["status"]).code(1).tells(["registry", "damaged or no registry"]);
}

#[test]
fn a_registry_that_is_locked_is_told() {
    let workspace = Workspace::with_reviews(60);
    workspace.mesh(["status"]).ok();
    let script = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
        c.execute('begin exclusive')\nprint('locked', flush=True)\nsys.stdin.read()";
    let mut holder =
        sqlite(&workspace, script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut reader = std::io::BufReader::new(holder.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
    workspace.mesh(["run", "reviews"]).code(1).tells(["another program holds the registry"]);
    drop(holder.stdin.take());
    wait(&mut holder);
    workspace.mesh(["run", "reviews"]).ok();
}

#[test]
fn a_full_disk_is_told_and_nothing_is_lost() {
    let workspace = Workspace::with_reviews(20_000);
    // A file system of its own for the store, too small for the dataset; gone with the process.
    let script = "mkdir -p .mesh/store && mount -t tmpfs -o size=600k tmpfs .mesh/store && \
                  exec \"$0\" run reviews";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "bash", "-c", script]);
    command.arg(env!("CARGO_BIN_EXE_mesh")).current_dir(workspace.path("."));
    run(&mut command).code(1).tells(["the disk is full", "free some space"]);
    assert_eq!(workspace.states("reviews")[0], "failed");
    // With room again, it goes on.
    workspace.mesh(["run", "reviews"]).ok();
}
