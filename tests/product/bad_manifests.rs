//! Manifests with mistakes: file, line, key, and what was probably meant.

use crate::support::Workspace;

struct Case {
    name: &'static str,
    from: &'static str,
    to: &'static str,
    told: &'static [&'static str],
}

const FILE: &str = "projects/reviews/project.toml";

#[test]
fn mistakes_are_told_with_line_key_and_suggestion() {
    let cases = [
        Case {
            name: "typo in a key",
            from: "description =",
            to: "descripton =",
            told: &[
                "projects/reviews/project.toml, line 6",
                "unknown key `descripton` in [project]",
                "did you mean `description`?",
            ],
        },
        Case {
            name: "typo in a nested key",
            from: "seed = 42",
            to: "sed = 42",
            told: &["line 14", "unknown key `sed` in [prepare.split]", "did you mean `seed`?"],
        },
        Case {
            name: "typo in a table",
            from: "[serve]",
            to: "[server]",
            told: &["unknown key `server`", "did you mean `serve`?"],
        },
        Case {
            name: "a task that is not known",
            from: "task = \"text-classification\"",
            to: "task = \"text-clasification\"",
            told: &["line 5", "did you mean `text-classification`?"],
        },
        Case {
            name: "a value of a wrong type",
            from: "seed = 42",
            to: "seed = \"many\"",
            told: &["line 14", "invalid type: string \"many\"", "prepare.split.seed"],
        },
        Case {
            name: "shares that do not add up",
            from: "test = 0.1",
            to: "test = 0.3",
            told: &["line 14", "must add up to 1"],
        },
        Case {
            name: "a missing key",
            from: "model = \"linear\"",
            to: "",
            told: &["`model` is missing in [train]"],
        },
        Case { name: "no TOML", from: "[prepare]", to: "[prepare", told: &["line 13"] },
        Case {
            name: "a name that is none",
            from: "name = \"reviews\"",
            to: "name = \"Re views\"",
            told: &["line 4", "lower-case letters"],
        },
        Case {
            name: "another name than the folder's",
            from: "name = \"reviews\"",
            to: "name = \"other\"",
            told: &["line 4", "the name of the folder, `reviews`"],
        },
        Case {
            name: "a source that is not pinned",
            from: "url = \"file:",
            to: "url = \"https://example.org/",
            told: &["`sha256` is missing"],
        },
        Case {
            name: "a gate that is no metric",
            from: "model = \"linear\"",
            to: "model = \"linear\"\ngate = { makro_f1 = 0.5 }",
            told: &["makro_f1", "did you mean `macro_f1`?"],
        },
        Case {
            name: "a share as per cents",
            from: "[prepare]",
            to: "[prepare]\nmax_rejected = 5",
            told: &["line 14", "`max_rejected` lies in 0 to 1", "0.05 is 5 per cent"],
        },
        Case {
            name: "a share below zero",
            from: "train = 0.8",
            to: "train = -0.2",
            told: &["line 14", "lies in 0 to 1, this one is -0.2"],
        },
        Case {
            name: "too long a list",
            from: "model = \"linear\"",
            to: "model = \"linear\"\nlinear = { features = { word_ngrams = [1, 2, 3] } }",
            told: &["line 18", "expected [shortest, longest], found 3 numbers"],
        },
        Case {
            name: "a queue without a place",
            from: "[serve]",
            to: "[serve]\nmax_queue = 0",
            told: &["line 24", "`max_queue` lies in 1 to 1000000"],
        },
        Case {
            name: "a target that is none",
            from: "targets = [\"native\"]",
            to: "targets = [\"natve\"]",
            told: &["there is no target `natve`", "did you mean `native`?"],
        },
    ];
    let workspace = Workspace::with_reviews(60);
    let good = workspace.read(FILE);
    for Case { name, from, to, told } in cases {
        workspace.write(FILE, &good);
        workspace.edit(FILE, from, to);
        println!("{name}");
        let ran = workspace.mesh(["check"]).code(1);
        told.iter().fold(ran, |ran, part| ran.tells([part]));
        workspace.mesh(["run", "reviews"]).code(2).tells(["its manifest cannot be read"]);
        // The others still work.
        workspace.mesh(["status"]).code(1);
    }
}

#[test]
fn all_unknown_keys_are_told_at_once() {
    let workspace = Workspace::with_reviews(60);
    workspace.edit(FILE, "seed = 42", "sed = 42, trian = 0.1");
    workspace.edit(FILE, "[serve]", "[serve]\nmax_queu = 1");
    workspace.mesh(["check"]).code(1).tells(["3 problems", "`sed`", "`trian`", "`max_queu`"]);
}

#[test]
fn a_broken_mesh_toml_is_told() {
    let workspace = Workspace::new();
    workspace.edit("mesh.toml", "port = 8080", "prt = 8080");
    workspace.mesh(["status"]).code(1).tells(["mesh.toml, line 12", "did you mean `port`?"]);
    let nowhere = tempfile::tempdir().unwrap();
    let mut command = crate::support::mesh();
    let ran = crate::support::run(command.arg("status").current_dir(nowhere.path()));
    ran.code(2).tells(["there is no mesh.toml", "mesh init"]);
}
