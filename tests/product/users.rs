//! A table of PostgreSQL that several users enrich, and what others build on it.

use serde_json::json;

use crate::{
    database::{PASSWORD, Server},
    postgres::{VERSIONS, mesh, newer, told, with_table},
    support::Workspace,
};

/// Another user of the table, who goes on with the archive in the place of the first one.
fn with_user(server: &Server, workspace: &Workspace, grants: &str) {
    server.sql(&format!("CREATE ROLE other LOGIN PASSWORD '{PASSWORD}'; {grants}"));
    workspace.edit("archives/mail.toml", "mesh@", "other@");
}

#[test]
fn a_second_user_is_told_what_is_missing_before_anything_is_done() {
    let (server, workspace) = with_table(300);
    mesh(&server, &workspace, ["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    with_user(
        &server,
        &workspace,
        "GRANT USAGE, CREATE ON SCHEMA public TO other; GRANT SELECT ON mail TO other",
    );
    mesh(&server, &workspace, ["backfill", "plan", "mail", "reviews"]).code(1).tells([
        "the user `other` may not tell which enrichments are live",
        "GRANT SELECT ON \"public\".mesh_enrichments TO \"other\"",
    ]);
    server.sql("GRANT SELECT ON mesh_enrichments, mesh_generations TO other");
    newer(&workspace);
    mesh(&server, &workspace, ["backfill", "plan", "mail", "reviews"]).ok();
    let refused = mesh(&server, &workspace, ["backfill", "run", "mail", "reviews"]);
    let refused = refused.code(1).tells([
        "the user `other` may not read and write public.mesh_enrichments",
        "GRANT INSERT, UPDATE ON \"public\".mesh_enrichments TO \"other\"",
        "GRANT INSERT, UPDATE, DELETE ON \"public\".mesh_generations TO \"other\"",
        "ALTER VIEW \"public\".\"mail_reviews\" OWNER TO \"other\"",
    ]);
    let all = told(&server, &workspace, ["backfill", "status", "--json"]);
    assert_eq!(all.as_array().unwrap().len(), 1, "nothing was begun: {all}");
    // What it says is what is needed.
    let flat = |text: &str| text.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
    let told = flat(&refused.err);
    let (_, statements) = told.split_once("let the owner do this: ").unwrap();
    server.sql(statements);
    let reader = "GRANT SELECT ON mail_reviews TO reader; SET ROLE reader; ";
    assert_eq!(server.sql(&format!("CREATE ROLE reader; {reader}{VERSIONS}")), "1|300");
    mesh(&server, &workspace, ["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    assert_eq!(server.sql(&format!("SET ROLE reader; {VERSIONS}")), "2|300");
    mesh(&server, &workspace, ["backfill", "rollback", "mail"]).ok();
    assert_eq!(server.sql(&format!("SET ROLE reader; {VERSIONS}")), "1|300");
}

#[test]
fn users_of_one_role_take_turns() {
    let (server, workspace) = with_table(300);
    with_user(
        &server,
        &workspace,
        "CREATE ROLE first LOGIN; GRANT first TO other;
         GRANT USAGE, CREATE ON SCHEMA public TO first, other; GRANT SELECT ON mail TO other",
    );
    mesh(&server, &workspace, ["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    // The view is of the one, and the tables are of the other: readers do not notice.
    server.sql("ALTER VIEW mail_reviews OWNER TO first; CREATE ROLE reader; GRANT SELECT ON mail_reviews TO reader");
    newer(&workspace);
    mesh(&server, &workspace, ["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    assert_eq!(server.sql(&format!("SET ROLE reader; {VERSIONS}")), "2|300");
}

#[test]
fn what_is_built_on_a_view_is_named_when_it_is_in_the_way() {
    let (server, workspace) = with_table(300);
    mesh(&server, &workspace, ["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    server.sql("CREATE VIEW of_readers AS SELECT id, model_version FROM mail_reviews");
    let refused = mesh(&server, &workspace, ["backfill", "rollback", "mail"]).code(1);
    assert!(!refused.err.contains("at line"), "{}", refused.err);
    refused.tells([
        "others are built on what would go",
        "view of_readers depends on view mail_reviews",
        "drop what is built on it",
        "nothing was changed",
    ]);
    assert_eq!(server.sql(VERSIONS), "1|300");
    server.sql("DROP VIEW of_readers");
    mesh(&server, &workspace, ["backfill", "rollback", "mail"]).ok();
}

#[test]
fn a_table_without_rows_is_enriched_and_made_live() {
    let (server, workspace) = with_table(0);
    let ran =
        told(&server, &workspace, ["backfill", "run", "mail", "reviews", "--cutover", "--json"]);
    assert_eq!((&ran["rows"], &ran["state"]), (&json!(0), &json!("done")), "{ran}");
    assert_eq!(server.sql("SELECT count(*) FROM mail_reviews"), "0");
    server.sql("INSERT INTO mail VALUES (1, 'a lovely box', 'en', '5')");
    mesh(&server, &workspace, ["backfill", "run", "mail", "reviews", "--cutover"]).ok();
    assert_eq!(server.sql(VERSIONS), "1|1");
}
