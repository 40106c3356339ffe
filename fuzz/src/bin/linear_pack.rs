//! A compiled linear model.
#![no_main]

use mesh_engine::{CompiledLinear, TextClassifier};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let path = mesh_fuzz::file("linear.mesh", input);
    if let Ok(model) = CompiledLinear::open(&path) {
        model.scores(&["good and bad", ""]);
    }
});
