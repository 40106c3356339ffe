//! Followers that come too late, or are to be silent.

use serde_json::{Value, json};

use crate::{
    follow::{Server, documents, follow, followed, live, versions, with_archive},
    support::{Workspace, run},
};

fn status(workspace: &Workspace) -> Value {
    workspace.json(["backfill", "followed", "mail", "--json"])
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
