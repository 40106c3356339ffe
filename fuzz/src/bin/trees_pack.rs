//! Compiled trees.
#![no_main]

use mesh_engine::{CompiledTrees, Regressor};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let path = mesh_fuzz::file("trees.mesh", input);
    if let Ok(model) = CompiledTrees::open(&path) {
        model.tell(&vec![0.5; model.columns().min(1 << 16)]);
    }
});
