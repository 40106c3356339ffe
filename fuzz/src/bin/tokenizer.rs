//! `tokenizer.json` of an encoder.
#![no_main]

use mesh_engine::TextTokenizer;

libfuzzer_sys::fuzz_target!(init: {
    // Panics of the library that parses it are caught by ours: only what escapes is a crash.
    std::panic::set_hook(Box::new(|_| {}));
}, |input: &[u8]| {
    let path = mesh_fuzz::file("tokenizer.json", input);
    if let Ok(tokenizer) = TextTokenizer::read(&path, 1_000) {
        let windows = tokenizer.windows("I love this film, 😀 no?", 8);
        assert!(windows.windows.iter().flatten().all(|token| *token < 1_000));
    }
});
