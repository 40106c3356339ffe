//! `config.json` of an encoder.
#![no_main]

use mesh_engine::EncoderConfig;

libfuzzer_sys::fuzz_target!(|input: &str| {
    if let Ok(config) = EncoderConfig::parse(input) {
        assert!(config.max_tokens() > 2 && config.head_size() > 0);
    }
});
