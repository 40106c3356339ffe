//! A packed language model.
#![no_main]

use mesh_text::LanguageIdentifier;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let place = mesh_fuzz::Aligned::new(input);
    if let Ok(identifier) = LanguageIdentifier::open(place.bytes()) {
        let _ = identifier.top("a straße 😀", 2);
    }
});
