//! The weights of a logistic head, beside a description.
#![no_main]

use mesh_engine::LogisticHead;

libfuzzer_sys::fuzz_target!(init: {
    let text = br#"{"format":1,"labels":["a","b"],"temperature":1.0}"#;
    mesh_fuzz::file("head.json", text);
}, |input: &[u8]| {
    mesh_fuzz::file("head.safetensors", input);
    if let Ok(head) = LogisticHead::read(mesh_fuzz::folder()) {
        head.probabilities(&vec![0.5; head.dimension()]);
    }
});
