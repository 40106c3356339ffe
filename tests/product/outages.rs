//! Backfills where the ground gives way: full disks, missing rights, models that are gone, a store
//! that does not answer, a clock that goes backwards.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    backfill::{counts, live, newer, versions, with_archive},
    s3::Buckets,
    support::{Ran, Workspace, mesh, reviews, run, signal, until, wait},
};

/// Steps of a script in a name space of mounts of its own, where `$mesh` is the program: `step a
/// plan ...` runs a command of it and keeps what it did under that name.
fn steps(workspace: &Workspace, script: &str) -> BTreeMap<String, Ran> {
    let kept = tempfile::tempdir().unwrap();
    let prelude = r#"set -eu; mesh=$0; kept=$1
        step() { name=$1; shift; code=0
            "$mesh" "$@" >"$kept/$name.out" 2>"$kept/$name.err" || code=$?
            echo "$code" >"$kept/$name.code"; }
        fill() { dd if=/dev/zero of="$1" bs=1k 2>"$kept/dd" || true; }
        "#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "bash", "-c", &format!("{prelude}{script}")]);
    command.arg(env!("CARGO_BIN_EXE_mesh")).arg(kept.path());
    command.current_dir(workspace.path(".")).env("NO_COLOR", "1");
    run(&mut command).ok();
    let read = |name: &str, ending: &str| {
        fs::read_to_string(kept.path().join(format!("{name}.{ending}"))).unwrap()
    };
    let files = fs::read_dir(kept.path()).unwrap().map(|file| file.unwrap().file_name());
    let names = files.filter_map(|file| Some(file.to_str()?.strip_suffix(".code")?.to_owned()));
    let ran = |name: String| {
        let code = read(&name, "code").trim().parse().unwrap();
        (name.clone(), Ran { code, out: read(&name, "out"), err: read(&name, "err") })
    };
    names.map(ran).collect()
}

fn take(steps: &mut BTreeMap<String, Ran>, name: &str) -> Ran {
    steps.remove(name).unwrap()
}

#[test]
fn a_full_disk_stops_a_run_and_a_cutover_and_nothing_is_lost() {
    let workspace = with_archive(20_000);
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    newer(&workspace);
    // Enrichments on a disk of their own, which is too small for another generation.
    let mut steps = steps(
        &workspace,
        r#"mv mail.enriched before && mkdir mail.enriched
        mount -t tmpfs -o size=40m tmpfs mail.enriched && cp -a before/. mail.enriched
        fill mail.enriched/filler && truncate -s -300k mail.enriched/filler
        step run backfill run mail reviews
        step status backfill status --json
        step seen backfill export mail --output seen.jsonl
        rm mail.enriched/filler
        step resume backfill resume 2 --json
        fill mail.enriched/filler
        step cutover backfill cutover 2
        step still backfill export mail --output still.jsonl
        rm mail.enriched/filler
        step again backfill cutover 2
        rm -r before && cp -a mail.enriched before
        umount mail.enriched && rmdir mail.enriched && mv before mail.enriched"#,
    );
    let full = ["cannot be written", "mail.enriched", "the disk is full: make room, then go on"];
    take(&mut steps, "run").code(1).tells(full);
    let status: Value = serde_json::from_str(&take(&mut steps, "status").ok().out).unwrap();
    assert_eq!(status[0]["state"], "failed", "{status}");
    assert!(status[0]["error"].as_str().unwrap().contains("No space left"), "{status}");
    assert!(status[0]["done"].as_u64().unwrap() > 0, "the test fills the disk too early: {status}");
    let resumed: Value = serde_json::from_str(&take(&mut steps, "resume").ok().out).unwrap();
    assert_eq!(counts(&resumed)["enriched"], 20_000, "{resumed}");
    assert!(resumed["resumed"].as_u64().unwrap() > 0, "{resumed}");
    take(&mut steps, "cutover").code(1).tells(["current.json cannot be written", full[2]]);
    // Readers saw the old one, as a whole, until there was room.
    for name in ["seen", "still"] {
        take(&mut steps, name).ok();
        let rows = workspace.read(&format!("{name}.jsonl"));
        let of_first = |row: &&str| row.contains("\"reviews.model_version\":1,");
        assert_eq!(rows.lines().filter(of_first).count(), 20_000, "{name}");
    }
    take(&mut steps, "again").ok();
    assert_eq!(versions(&live(&workspace, "mail")), [("2".into(), 20_000)].into());
}

#[test]
fn a_full_disk_under_the_ledger_is_told_and_the_run_goes_on_behind_it() {
    let workspace = with_archive(20_000);
    // All of the workspace is on the disk that fills up, and so is what is put aside.
    let mut steps = steps(
        &workspace,
        r#"mkdir disk && mount -t tmpfs -o size=60m tmpfs disk
        cp -a .mesh archives projects mesh.toml mail.jsonl disk && cd disk
        # What connections share grows from nothing.
        python3 -c 'import sqlite3; sqlite3.connect(".mesh/registry.db").execute("select 1 from runs")'
        fill filler
        step none backfill run mail reviews
        truncate -s -500k filler
        step run backfill run mail reviews
        step status backfill status --json
        rm filler
        step resume backfill resume 1 --json
        fill filler
        step cutover backfill cutover 1
        rm filler
        step again backfill cutover 1
        step export backfill export mail --output ../all.jsonl
        # So many keys that not all of them are kept in memory.
        cat mail.jsonl mail.jsonl > twice.jsonl && sed s/mail/twice/ archives/mail.toml > archives/twice.toml
        mkdir small && mount -t tmpfs -o size=64k tmpfs small
        export TMPDIR=$PWD/small
        step aside backfill plan twice reviews"#,
    );
    take(&mut steps, "none").code(1).tells(["registry.db", "the disk is full: free some space"]);
    take(&mut steps, "run").code(1).tells(["the disk is full"]);
    let status: Value = serde_json::from_str(&take(&mut steps, "status").ok().out).unwrap();
    assert_eq!(status[0]["working"], false, "{status}");
    let resumed: Value = serde_json::from_str(&take(&mut steps, "resume").ok().out).unwrap();
    assert_eq!(counts(&resumed)["enriched"], 20_000, "{resumed}");
    take(&mut steps, "cutover").code(1).tells(["the disk is full"]);
    take(&mut steps, "again").ok();
    take(&mut steps, "export").ok();
    let mut keys: Vec<u64> = Vec::new();
    for line in workspace.read("all.jsonl").lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        assert_eq!(row["reviews.model_version"], 1, "{row}");
        keys.push(row["id"].as_u64().unwrap());
    }
    keys.sort_unstable();
    assert_eq!(keys, (0..20_000).collect::<Vec<_>>());
    take(&mut steps, "aside").code(1).tells(["disk/small cannot be written", "TMPDIR"]);
}

#[test]
fn a_disk_that_may_only_be_read_is_told() {
    let workspace = with_archive(600);
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    newer(&workspace);
    let mut steps = steps(
        &workspace,
        r#"mount --bind mail.enriched mail.enriched && mount -o remount,ro,bind mail.enriched
        step plan backfill plan mail reviews
        step run backfill run mail reviews
        step rollback backfill rollback mail
        step export backfill export mail --output seen.jsonl
        umount mail.enriched
        step resume backfill resume 2 --json
        mount --bind mail.enriched mail.enriched && mount -o remount,ro,bind mail.enriched
        step cutover backfill cutover 2
        umount mail.enriched
        mount --bind .mesh .mesh && mount -o remount,ro,bind .mesh
        step ledger backfill run mail reviews"#,
    );
    take(&mut steps, "plan").ok();
    let told = ["mail.enriched", "cannot be written", "see that who runs this may write there"];
    for name in ["run", "rollback", "cutover"] {
        take(&mut steps, name).code(1).tells(told);
    }
    take(&mut steps, "export").ok();
    let resumed: Value = serde_json::from_str(&take(&mut steps, "resume").ok().out).unwrap();
    assert_eq!(counts(&resumed)["enriched"], 600, "{resumed}");
    take(&mut steps, "ledger").code(1).tells([".mesh/", "may be written"]);
    assert_eq!(versions(&live(&workspace, "mail")), [("1".into(), 600)].into());
    workspace.mesh(["backfill", "cutover", "2"]).ok();
    assert_eq!(versions(&live(&workspace, "mail")), [("2".into(), 600)].into());
}

/// A command of a user who owns nothing.
fn nobody(workspace: &Workspace, program: &Path, args: &[&str]) -> Ran {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program).args(args);
    run(command.current_dir(workspace.path(".")).env("HOME", "/tmp").env("NO_COLOR", "1"))
}

#[test]
fn who_may_not_read_or_write_is_told() {
    let workspace = with_archive(600);
    // Only root can be somebody else; who is not is somebody without rights already.
    if fs::metadata("/proc/self").map(|me| std::os::unix::fs::MetadataExt::uid(&me)).unwrap() != 0 {
        return;
    }
    let program = workspace.path("mesh-of-all");
    fs::copy(env!("CARGO_BIN_EXE_mesh"), &program).unwrap();
    let mode = |name: &str, mode: &str| {
        let mut command = Command::new("chmod");
        run(command.args(["-R", mode]).arg(workspace.path(name))).ok();
    };
    mode(".", "a+rX");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let backfill = |args: &[&str]| {
        let all: Vec<&str> = ["backfill"].iter().chain(args).copied().collect();
        nobody(&workspace, &program, &all)
    };
    backfill(&["run", "mail", "reviews"]).code(1).tells([".mesh", "may be written"]);
    mode(".mesh", "a+rwX");
    fs::remove_dir_all(workspace.path("mail.enriched")).unwrap();
    backfill(&["run", "mail", "reviews"])
        .code(1)
        .tells(["mail.enriched cannot be written", "see that the folder may be written"]);
    fs::create_dir(workspace.path("mail.enriched")).unwrap();
    backfill(&["plan", "mail", "reviews"]).ok();
    backfill(&["run", "mail", "reviews"]).code(1).tells([
        "archive.json",
        "cannot be written",
        "see that who runs this may write there",
    ]);
    mode("mail.enriched", "a+rwX");
    mode("mail.jsonl", "a-r");
    backfill(&["resume", "1"]).code(1).tells(["mail.jsonl cannot be read", "see to its rights"]);
    mode("mail.jsonl", "a+r");
    backfill(&["resume", "1"]).ok();
    mode("mail.enriched", "a-w");
    backfill(&["cutover", "1"])
        .code(1)
        .tells(["current.json cannot be written", "may write there"]);
    mode("mail.enriched", "a+w");
    backfill(&["cutover", "1"]).ok();
    mode("mail.enriched", "a-rx");
    backfill(&["export", "mail", "--output", "/dev/null.jsonl"])
        .code(1)
        .tells(["archive.json cannot be read", "see that who runs this may read there"]);
    mode("mail.enriched", "a+rX");
    assert_eq!(versions(&live(&workspace, "mail")), [("1".into(), 600)].into());
}

/// Folders of compiled models.
fn compiled(workspace: &Workspace) -> Vec<std::path::PathBuf> {
    let store = fs::read_dir(workspace.path(".mesh/store/artifacts")).unwrap();
    let folders = store.map(|folder| folder.unwrap().path());
    folders.filter(|folder| folder.join("linear.mesh").exists()).collect()
}

#[test]
fn a_model_that_is_gone_between_plan_and_resume_is_told_and_made_again_or_given_up() {
    let workspace = with_archive(60_000);
    let args = ["backfill", "run", "mail", "reviews"];
    let begin = |id: u64| {
        let mut command = workspace.command(args);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("some chunks are done", || {
            let all = workspace.json(["backfill", "status", "--json"]);
            all[0]["id"] == id && all[0]["done"].as_u64().is_some_and(|done| done > 0)
        });
        signal(&child, "KILL");
        wait(&mut child);
    };
    workspace.mesh(["backfill", "plan", "mail", "reviews"]).ok();
    let first = compiled(&workspace).pop().unwrap();
    fs::remove_dir_all(&first).unwrap();
    workspace.mesh(args).code(1).tells(["it is not in the store", "`mesh run` makes it again"]);
    workspace.mesh(["run", "reviews"]).ok();
    begin(1);
    fs::remove_dir_all(&first).unwrap();
    let told = ["failed to go on with backfill 1", "it is not in the store", "`mesh run` makes it"];
    workspace.mesh(["backfill", "resume", "1"]).code(1).tells(told);
    // It is made again, the same: the run goes on with it.
    workspace.mesh(["run", "reviews"]).ok();
    let ran = workspace.json(["backfill", "resume", "1", "--json"]);
    assert!(ran["resumed"].as_u64().unwrap() > 0, "{ran}");
    workspace.mesh(["backfill", "cutover", "1"]).ok();
    assert_eq!(versions(&live(&workspace, "mail")), [("1".into(), 60_000)].into());

    // One whose manifest is another by now cannot be made again: what it began is given up.
    newer(&workspace);
    begin(2);
    let second = compiled(&workspace).into_iter().find(|folder| *folder != first).unwrap();
    workspace.edit("projects/reviews/project.toml", "c = [0.001]", "c = [0.1]");
    workspace.mesh(["run", "reviews"]).ok();
    workspace.mesh(["model", "promote", "reviews", "3"]).ok();
    fs::remove_dir_all(&second).unwrap();
    workspace
        .mesh(["backfill", "resume", "2"])
        .code(1)
        .tells(["failed to go on with backfill 2", "or give it up, `mesh backfill cancel 2`"]);
    workspace.mesh(args).code(1).tells(["backfill 2 of mail is not finished", "cancel 2"]);
    assert_eq!(versions(&live(&workspace, "mail")), [("1".into(), 60_000)].into());
    workspace.mesh(["backfill", "cancel", "2"]).ok();
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    assert_eq!(versions(&live(&workspace, "mail")), [("3".into(), 60_000)].into());
    workspace.mesh(["backfill", "plan", "mail", "reviews@9"]).code(1).tells(["version 9"]);
}

#[test]
fn a_store_that_is_busy_for_a_while_is_waited_for_and_one_that_stays_so_stops_the_run() {
    let buckets = Buckets::serve();
    let front = buckets.behind_a_front();
    let workspace = Workspace::with_reviews(240);
    let manifest = "projects/reviews/project.toml";
    workspace.edit(manifest, "[serve]", "[backfill]\ninput = { content = \"text\" }\n\n[serve]");
    workspace.mesh(["run", "reviews"]).ok();
    let rows = reviews(6_000);
    let keyed = rows.lines().skip(1).enumerate().map(|(row, line)| format!("{row},{line}\n"));
    let text = format!("id,text,stars\n{}", keyed.collect::<String>());
    fs::create_dir_all(buckets.file("mail")).unwrap();
    fs::write(buckets.file("mail/rows.csv"), text).unwrap();
    let command = |args: &[&str]| {
        let mut command = buckets.with(&workspace, []);
        command.env("AWS_ENDPOINT_URL", front.address()).args(args);
        command
    };
    let with = |args: &[&str]| run(&mut command(args));
    with(&["new", "archive", "mail", "--data", "s3://bucket/mail", "--key", "id"]).ok();
    let parts = || {
        let generations = fs::read_dir(buckets.file("mail.enriched/reviews"));
        let folders = generations.into_iter().flatten().map(|folder| folder.unwrap().path());
        folders.map(|folder| fs::read_dir(folder).unwrap().count()).sum::<usize>()
    };
    // It says that it is busy in the middle of a run, a hundred times and for all who ask.
    let mut child = command(&["backfill", "run", "mail", "reviews"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("some is written", || parts() > 2);
    front.refuse(true);
    until("it is refused", || front.refused() > 5);
    front.refuse(false);
    assert_eq!(wait(&mut child), 0, "it waits");
    with(&["backfill", "cutover", "1"]).ok();

    // For good: it gives up by itself, and says what did not answer, and how.
    let before = parts();
    let child = command(&["backfill", "run", "mail", "reviews", "--all-rows"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("some is written", || parts() > before + 2);
    front.refuse(true);
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    Ran { code: output.status.code().unwrap(), out: String::new(), err }.code(1).tells([
        "failed to",
        "mail",
        "503 Service Unavailable",
        "see that the store answers",
    ]);
    let status = workspace.json(["backfill", "status", "2", "--json"]);
    assert_eq!(status[0]["state"], "failed", "{status}");
    front.refuse(false);
    let ran: Value =
        serde_json::from_str(&with(&["backfill", "resume", "2", "--json"]).ok().out).unwrap();
    assert_eq!(counts(&ran)["enriched"], 6_000, "{ran}");
    with(&["backfill", "cutover", "2"]).ok();
    with(&["backfill", "export", "mail", "--output", "all.jsonl"]).ok();
    let text = workspace.read("all.jsonl");
    let mut keys: Vec<u64> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|row| row["reviews.model_version"] == 1)
        .map(|row| row["id"].as_str().unwrap().parse().unwrap())
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, (0..6_000).collect::<Vec<_>>());
}

/// A command whose clock is elsewhere, and goes on from there.
fn at(workspace: &Workspace, time: &str, args: &[&str]) -> Ran {
    let mut command = Command::new("faketime");
    command.args(["--exclude-monotonic", "-f", time]).arg(env!("CARGO_BIN_EXE_mesh")).args(args);
    let plain = mesh();
    let removed = plain.get_envs().filter(|(_, value)| value.is_none());
    for (name, _) in removed {
        command.env_remove(name);
    }
    run(command.current_dir(workspace.path(".")).env("NO_COLOR", "1"))
}

#[test]
fn a_clock_that_is_set_back_changes_no_order() {
    let workspace = with_archive(400);
    let year = |row: &Value| row["reviews.enriched_at"].as_str().unwrap()[..4].to_owned();
    let years = |workspace: &Workspace| {
        let mut years: BTreeMap<String, usize> = BTreeMap::new();
        live(workspace, "mail").values().for_each(|row| *years.entry(year(row)).or_default() += 1);
        years
    };
    let args = ["backfill", "run", "mail", "reviews", "--cutover"];
    at(&workspace, "@2040-01-01 00:00:00", &args).ok();
    assert_eq!(years(&workspace), [("2040".into(), 400)].into());
    // A version that is trained earlier by the clock is the newer one, and so is what it tells.
    workspace.edit(
        "projects/reviews/project.toml",
        "model = \"linear\"",
        "model = \"linear\"\nlinear = { c = [0.001] }",
    );
    at(&workspace, "@2030-01-01 00:00:00", &["run", "reviews"]).ok();
    at(&workspace, "@2029-01-01 00:00:00", &["model", "promote", "reviews", "2"]).ok();
    let some = ["backfill", "run", "mail", "reviews", "--where", "id < 100", "--cutover"];
    at(&workspace, "@2028-01-01 00:00:00", &some).ok();
    assert_eq!(years(&workspace), [("2028".into(), 100), ("2040".into(), 300)].into());
    let rows = live(&workspace, "mail");
    assert_eq!(versions(&rows), [("1".into(), 300), ("2".into(), 100)].into());
    let status = workspace.json(["backfill", "status", "--json"]);
    assert_eq!((&status[0]["id"], &status[1]["id"]), (&json!(2), &json!(1)), "{status}");
    // What is left is known by its version, and the ways back and forth by what was live.
    let plan =
        at(&workspace, "@2027-01-01 00:00:00", &["backfill", "plan", "mail", "reviews", "--json"]);
    let plan: Value = serde_json::from_str(&plan.ok().out).unwrap();
    assert_eq!(plan["projects"][0]["why"], json!({ "of another version": 300 }), "{plan}");
    at(&workspace, "@2026-01-01 00:00:00", &["backfill", "rollback", "mail"]).ok();
    assert_eq!(versions(&live(&workspace, "mail")), [("1".into(), 400)].into());
    at(&workspace, "@2025-01-01 00:00:00", &["backfill", "cutover", "2"]).ok();
    assert_eq!(live(&workspace, "mail"), rows);
    // Nor is what is live taken for the oldest.
    at(
        &workspace,
        "@2024-01-01 00:00:00",
        &["backfill", "collect", "mail", "--keep", "0", "--yes"],
    )
    .ok();
    assert_eq!(live(&workspace, "mail"), rows);
    at(&workspace, "@2023-01-01 00:00:00", &["model", "rollback", "reviews"]).ok();
    let shown = workspace.json(["model", "list", "reviews", "--json"]);
    let production = shown.as_array().unwrap().iter().find(|version| {
        version["aliases"].as_array().unwrap().iter().any(|alias| alias == "production")
    });
    assert_eq!(production.unwrap()["version"], 1, "{shown}");
    // A run that was killed goes on with the clock set back, and a text that changed is noticed.
    let edited = workspace.read("mail.jsonl").replacen("\"text\":\"", "\"text\":\"awful ", 1);
    workspace.write("mail.jsonl", edited);
    let at_last = at(
        &workspace,
        "@1985-01-01 00:00:00",
        &["backfill", "plan", "mail", "reviews@2", "--json"],
    );
    let plan: Value = serde_json::from_str(&at_last.ok().out).unwrap();
    assert_eq!(
        plan["projects"][0]["why"],
        json!({ "changed": 1, "of another version": 300 }),
        "{plan}"
    );
}
