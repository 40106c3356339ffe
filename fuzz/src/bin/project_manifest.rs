//! `project.toml`.
#![no_main]

use mesh_core::manifest::ProjectManifest;

libfuzzer_sys::fuzz_target!(|input: &str| {
    let _ = ProjectManifest::parse("project.toml", input);
});
