use unicode_segmentation::UnicodeSegmentation;

/// The words of a text by the Unicode rules of word boundaries (UAX #29), without what is between
/// them. Scripts that write no spaces between words give shorter pieces: for Chinese, characters.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.unicode_words()
}

/// The words of a text like [`words`], each with the byte at which it starts.
pub fn word_indices(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.unicode_word_indices()
}

/// How many words a text has.
#[must_use]
pub fn word_count(text: &str) -> usize {
    words(text).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_of_several_scripts() {
        let cases: [(&str, &[&str]); 6] = [
            ("it's two", &["it's", "two"]),
            ("well-kept, 3.14 (pi)!", &["well", "kept", "3.14", "pi"]),
            ("Größe über alles", &["Größe", "über", "alles"]),
            ("中文字", &["中", "文", "字"]),
            ("?! ... :-)", &[]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text).collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn words_stand_where_they_are_said_to() {
        let text = "Größe, 3.14 – 中文";
        let found: Vec<_> = word_indices(text).collect();
        assert_eq!(found, [(0, "Größe"), (9, "3.14"), (18, "中"), (21, "文")]);
        assert_eq!(
            found.into_iter().map(|(_, word)| word).collect::<Vec<_>>(),
            words(text).collect::<Vec<_>>()
        );
    }

    proptest! {
        /// The library has a path of its own for ASCII: a letter beyond it must change nothing.
        #[test]
        fn ascii_is_cut_like_the_rest(text in "[ -~]{0,60}") {
            let longer = format!("{text} é");
            prop_assert_eq!(word_count(&text) + 1, word_count(&longer));
        }
    }
}
