use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// Words that are two, by the rules of the Penn Treebank: where the second begins.
const TWO_WORDS: [(&str, usize); 6] =
    [("cannot", 3), ("gimme", 3), ("gonna", 3), ("gotta", 3), ("lemme", 3), ("wanna", 3)];

/// What becomes of an ASCII character: 0 is dropped, a space parts words, the rest is kept.
const ASCII: [u8; 128] = {
    let mut table = [0; 128];
    let mut at = 0u8;
    while at < 128 {
        let becomes = match at {
            b'0'..=b'9' | b'a'..=b'z' | b'_' => at,
            b'A'..=b'Z' => at.to_ascii_lowercase(),
            b'\t'..=b'\r' | 0x1c..=0x1f | b' ' => b' ',
            _ => 0,
        };
        #[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
        {
            table[at as usize] = becomes;
        }
        at += 1;
    }
    table
};

/// The words of a text, parted by one space each, as programs in Python make them of English:
/// lower case, without what matches `[^\w\s]`, then cut by NLTK's `word_tokenize`.
///
/// What that comes to once no punctuation is left: words are parted by white space, and the few
/// that are two (`cannot`, `gonna`) are cut. Marks are dropped from letters that are decomposed,
/// as `\w` holds no marks; other scripts are cut at spaces too.
///
/// ```
/// use mesh_text::treebank_words;
///
/// assert_eq!(treebank_words(" It's the bank's\trate:\u{a0}we CANNOT pay 3.5% "),
///     "its the banks rate we can not pay 35");
/// ```
#[must_use]
pub fn treebank_words(text: &str) -> String {
    let mut words = Vec::with_capacity(text.len());
    let mut start = 0;
    if text.is_ascii() {
        for byte in text.bytes() {
            match ASCII.get(usize::from(byte)).copied().unwrap_or(0) {
                0 => {}
                b' ' => start = end_word(&mut words, start),
                kept => words.push(kept),
            }
        }
    } else {
        for c in text.to_lowercase().chars() {
            if is_space(c) {
                start = end_word(&mut words, start);
            } else if is_word(c) {
                words.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }
    end_word(&mut words, start);
    if words.last() == Some(&b' ') {
        words.pop();
    }
    // Whole characters were put in, so it is text: nothing is ever lost here.
    String::from_utf8(words).unwrap_or_default()
}

/// Ends the word that begins at a place, if there is one; gives where the next one begins.
fn end_word(words: &mut Vec<u8>, start: usize) -> usize {
    let word = words.get(start..).unwrap_or_default();
    if word.is_empty() {
        return start;
    }
    if let 5 | 6 = word.len()
        && let Some((_, cut)) = TWO_WORDS.iter().find(|(two, _)| two.as_bytes() == word)
    {
        words.insert(start + cut, b' ');
    }
    words.push(b' ');
    words.len()
}

/// Whether `\s` holds a character: Python counts four separators of ASCII as white space.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Whether `\w` holds a character.
fn is_word(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    let group = c.general_category_group();
    matches!(group, GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_those_of_python() {
        // By Python 3.11: re.sub(r"[^\w\s]", "", text.lower()), then NLTK 3.9.
        let cases = [
            ("", ""),
            (" .,; ", ""),
            ("Hello,  World!", "hello world"),
            ("a\u{1c}b\u{85}c\u{3000}d\u{200b}e", "a b c de"),
            ("snake_case x² ½ Ⅷ", "snake_case x² ½ ⅷ"),
            ("ΟΔΟΣ Straße İstanbul", "οδος straße istanbul"),
            ("cafe\u{301} naïve", "cafe naïve"),
            ("हिन्दी", "हनद"),
            ("日本語、中文。한국어", "日本語中文한국어"),
            ("Cannot gonna, wanna gotta lemme gimme", "can not gon na wan na got ta lem me gim me"),
            ("cannots can-not d'ye", "cannots can not dye"),
            ("ⓐ €5 😀 ok", "5 ok"),
        ];
        for (text, expected) in cases {
            assert_eq!(treebank_words(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn words_are_parted_by_one_space(text in "\\PC{0,60}|[a-zA-Z0-9 .,_\\t-]{0,60}") {
            let words = treebank_words(&text);
            prop_assert!(!words.starts_with(' ') && !words.ends_with(' '));
            prop_assert!(!words.contains("  "));
            // Letters that are none in lower case aside, words are words of themselves.
            prop_assert_eq!(treebank_words(&words), words.as_str());
            // Both ways to go through a text are one.
            if text.is_ascii() {
                let other = treebank_words(&format!("{text} é"));
                let joined = format!("{words} é");
                prop_assert_eq!(other, joined.trim_start());
            }
        }
    }
}
