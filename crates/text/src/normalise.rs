use mesh_core::manifest::{Normalise, UnicodeForm};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::html_text;

/// Brings a text into the form that a manifest asks for: HTML made text or entities decoded, Unicode
/// composed, white space collapsed, in this order.
#[must_use]
pub fn normalise(text: &str, options: &Normalise) -> String {
    let decoded = match options {
        Normalise { html: true, .. } if text.contains(['<', '&']) => html_text(text).into(),
        Normalise { html_entities: true, .. } if text.contains('&') => {
            html_escape::decode_html_entities(text)
        }
        _ => text.into(),
    };
    let composed: String = match options.unicode {
        UnicodeForm::Nfc if is_nfc_quick(decoded.chars()) == IsNormalized::Yes => decoded.into(),
        UnicodeForm::Nfc => decoded.nfc().collect(),
        UnicodeForm::Nfkc => decoded.nfkc().collect(),
        UnicodeForm::None => decoded.into(),
    };
    if !options.whitespace {
        return composed;
    }
    let mut collapsed = String::with_capacity(composed.len());
    for word in composed.split_whitespace() {
        if !collapsed.is_empty() {
            collapsed.push(' ');
        }
        collapsed.push_str(word);
    }
    collapsed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn twice_is_once(text in "\\PC{0,40}") {
            for unicode in [UnicodeForm::None, UnicodeForm::Nfc, UnicodeForm::Nfkc] {
                let options = Normalise { unicode, ..Normalise::default() };
                let once = normalise(&text, &options);
                prop_assert_eq!(normalise(&once, &options), once);
            }
        }
    }
}
