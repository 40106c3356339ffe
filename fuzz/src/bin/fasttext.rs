//! A model of fastText, and what it is packed into.
#![no_main]

use mesh_text::{FastText, LanguageIdentifier, pack_identifier};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(model) = FastText::read(input) else { return };
    let _ = model.top("a straße 😀", 2);
    let Ok(packed) = pack_identifier(&model) else { return };
    let place = mesh_fuzz::Aligned::new(&packed);
    let identifier = LanguageIdentifier::open(place.bytes()).expect("what was packed opens");
    let _ = identifier.top("a straße 😀", 2);
});
