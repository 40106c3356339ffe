//! `model.safetensors` beside the config of a tiny encoder.
#![no_main]

use std::{fs, path::Path};

use mesh_engine::ReferenceEncoder;

libfuzzer_sys::fuzz_target!(init: {
    let config = fs::read(Path::new("seeds/tiny/config.json")).expect("`make fuzz` makes seeds");
    mesh_fuzz::file("config.json", &config);
}, |input: &[u8]| {
    mesh_fuzz::file("model.safetensors", input);
    if let Ok(encoder) = ReferenceEncoder::read(mesh_fuzz::folder()) {
        encoder.hidden(&[2, 9, 3]);
    }
});
