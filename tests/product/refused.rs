//! Followers that are told too much they cannot take, too late, or to be silent.

use serde_json::{Value, json};

use crate::{
    follow::{Server, documents, follow, followed, live, published, versions, with_archive},
    support::{Ran, Workspace, run},
};

const MANIFEST: &str = "projects/reviews/project.toml";

fn status(workspace: &Workspace) -> Value {
    workspace.json(["backfill", "followed", "mail", "--json"])
}

/// A follower that is to fail.
fn fails(workspace: &Workspace, more: &[&str]) -> Ran {
    run(follow(workspace, more).args(["--until-idle", "400ms"])).code(1)
}

#[test]
fn a_follower_stops_when_too_many_messages_are_refused() {
    let server = Server::start();
    let workspace = with_archive(0);
    server.stream("MAIL", "mail");
    server.stream("TOLD", "told");
    let (from, to) = (server.url("mail"), server.url("told"));
    let args = ["--from", &from, "--to", &to, "--project", "reviews"];
    let with = |more: &[&'static str]| [&args[..], more].concat();
    server.publish("mail", &documents(0, 300));
    followed(&workspace, &args);
    // A document that is sent again does no harm.
    server.publish("mail", &documents(0, 300));
    let report = followed(&workspace, &args);
    assert_eq!((&report["messages"], &report["refused"]), (&json!(300), &json!(300)), "{report}");
    let keyless: Vec<String> =
        (0..120).map(|at| json!({ "text": format!("no key {at}") }).to_string()).collect();
    server.publish("mail", &keyless);
    server.publish("mail", &documents(300, 100));
    let before = status(&workspace);
    for _ in 0..2 {
        fails(&workspace, &args).tells([
            "failed to follow the stream by reviews: 120 of the last 220 messages were refused",
            "more than 10 per cent",
            "120 no-key, as message 601: it has no `id`",
            "the last 220 of them are left in the stream",
            "mesh backfill followed mail",
            "--max-rejected 1",
        ]);
        assert_eq!(status(&workspace), before, "what it stopped at is left in the stream");
    }
    // Nothing of it was lost.
    let report = followed(&workspace, &with(&["--max-rejected", "0.6"]));
    assert_eq!((&report["documents"], &report["refused"]), (&json!(100), &json!(120)), "{report}");
    assert_eq!(versions(&live(&workspace)), [("1".into(), 400)].into());
    assert_eq!(published(&server, "TOLD").len(), 400);
    assert_eq!(status(&workspace)["refusals"][0]["reason"], "no-key");
    // What a project cannot answer counts as well; each says how much that may be.
    let blank: Vec<String> =
        (0..150).map(|at| json!({ "id": format!("b-{at}"), "text": " " }).to_string()).collect();
    server.publish("mail", &blank);
    fails(&workspace, &args).tells(["150 of the last 150", "150 empty-text, as `b-0`: "]);
    workspace.edit(MANIFEST, "[backfill]", "[backfill]\nmax_rejected = 1.0");
    let report = followed(&workspace, &args);
    assert_eq!(report["projects"]["reviews"]["counts"]["rejected"], 150, "{report}");
}

#[test]
fn a_rollback_to_nothing_is_not_undone_by_a_follower() {
    let server = Server::start();
    let workspace = with_archive(0);
    server.stream("MAIL", "mail");
    let from = server.url("mail");
    let args = ["--from", &from, "--project", "reviews"];
    // Who has nothing to tell makes nothing live.
    assert_eq!(followed(&workspace, &args)["unseen"], json!([]));
    assert!(!workspace.path("mail.enriched/current.json").exists());
    server.publish("mail", &documents(0, 20));
    followed(&workspace, &args);
    assert_eq!(versions(&live(&workspace)), [("1".into(), 20)].into());
    workspace.mesh(["backfill", "rollback", "mail"]).ok();
    let silent = |messages: u64| {
        let report = followed(&workspace, &args);
        assert_eq!(
            (&report["messages"], &report["unseen"]),
            (&messages.into(), &json!(["reviews"]))
        );
        let export = ["backfill", "export", "mail", "reviews", "--output", "x.jsonl"];
        workspace.mesh(export).code(2);
    };
    silent(0);
    server.publish("mail", &documents(20, 5));
    silent(5);
    let told = run(follow(&workspace, &args).args(["--until-idle", "50ms"])).ok().out;
    assert!(told.contains("reviews was rolled back, and what it tells is not seen"), "{told}");
    // It is live again when somebody says so, and what arrives is seen beside it.
    workspace.mesh(["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    server.publish("mail", &documents(25, 3));
    assert_eq!(followed(&workspace, &args)["unseen"], json!([]));
    assert_eq!(versions(&live(&workspace)), [("1".into(), 28)].into());
}

#[test]
fn messages_that_a_stream_dropped_before_they_were_read_are_remembered() {
    let server = Server::start();
    let workspace = with_archive(0);
    server.stream_of("MAIL", "mail.*", 10);
    let from = server.url("mail.a");
    let args = ["--from", &from, "--project", "reviews"];
    server.publish("mail.a", &documents(0, 10));
    // What was dropped before it began is no loss of its.
    assert_eq!(followed(&workspace, &args)["missed"], 0);
    server.publish("mail.a", &documents(10, 35));
    assert_eq!(followed(&workspace, &args)["missed"], 25);
    assert_eq!(followed(&workspace, &args)["missed"], 0);
    // Of what another subject has, nothing is missed.
    server.publish("mail.b", &documents(45, 3));
    server.publish("mail.a", &documents(48, 3));
    assert_eq!(followed(&workspace, &args)["missed"], 0);
    let told = status(&workspace);
    assert_eq!((&told["missed"], &told["messages"]), (&json!(25), &json!(23)), "{told}");
    let shown = workspace.mesh(["backfill", "followed", "mail"]).ok().out;
    assert!(shown.contains("the stream no longer kept up to 25 messages"), "{shown}");
}
