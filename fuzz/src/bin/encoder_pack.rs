//! A compiled encoder.
#![no_main]

use mesh_engine::CompiledEncoder;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let path = mesh_fuzz::file("encoder.mesh", input);
    if let Ok(encoder) = CompiledEncoder::open(&path) {
        encoder.classify(&[[2, 9, 3]], 1);
        encoder.embed(&[vec![2, 9, 3], vec![]], 1);
    }
});
