//! Texts cut into phrases: runs of words that stand together.

use mesh_core::manifest::Normalise;
use mesh_text::{Stopwords, normalise, word_indices};

/// The words of a text that are looked at: some fifty pages.
const MAX_WORDS: usize = 20_000;

/// What is longer is an address or noise, and no word.
const MAX_LETTERS: usize = 64;

/// A language, as far as it matters for words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Language {
    /// Its stopwords.
    pub(crate) stopwords: Stopwords,
    /// Whether words lean on the next one with an apostrophe (`l'eau`).
    elides: bool,
    /// Whether `'s` at the end of a word makes it a possessive.
    possessive: bool,
}

/// A word of a phrase.
#[derive(Debug)]
pub(crate) struct Word {
    /// The word in lower case.
    pub(crate) text: String,
    /// Whether it stands after the word before with no space between.
    pub(crate) glued: bool,
    /// Whether it is a stopword.
    pub(crate) stop: bool,
    /// Whether it has a letter: it is no number.
    pub(crate) lettered: bool,
}

impl Language {
    /// A language by its code, if there are stopwords for it.
    pub(crate) fn of(code: &str) -> Option<Self> {
        let is = |languages: &[&str]| {
            let language = code.split(['-', '_']).next().unwrap_or_default();
            languages.iter().any(|other| other.eq_ignore_ascii_case(language))
        };
        Some(Self {
            stopwords: Stopwords::of(code)?,
            elides: is(&["fr", "it", "ca"]),
            possessive: is(&["en"]),
        })
    }

    /// A word as it stands in keywords.
    fn word(self, word: &str, glued: bool) -> Word {
        let mut text = word.to_lowercase();
        if !self.stopwords.contains(&text) {
            if let Some(owner) = text.strip_suffix("'s").filter(|_| self.possessive) {
                text = owner.to_owned();
            }
            if let Some((head, tail)) = text.split_once('\'').filter(|_| self.elides)
                && (self.stopwords.contains(head) || head.chars().count() == 1)
            {
                text = tail.to_owned();
            }
        }
        let stop = self.stopwords.contains(&text);
        let lettered = text.contains(char::is_alphabetic);
        Word { text, glued, stop, lettered }
    }
}

/// The phrases of a text. Punctuation parts them, and so do empty lines, symbols and controls;
/// a hyphen, an apostrophe and an `&` between two words do not.
pub(crate) fn phrases(text: &str, language: Language) -> Vec<Vec<Word>> {
    let text = plain(text);
    let mut phrases: Vec<Vec<Word>> = Vec::new();
    let mut before = "";
    let mut end = 0;
    for (start, word) in word_indices(&text).take(MAX_WORDS).filter(|(_, word)| is_word(word)) {
        let gap = text.get(end..start).unwrap_or_default();
        let glued = gap.is_empty() || (before.ends_with(is_cjk) && word.starts_with(is_cjk));
        let word_here = language.word(word, glued);
        match phrases.last_mut().filter(|_| joins(gap)) {
            Some(phrase) => phrase.push(word_here),
            None => phrases.push(vec![word_here]),
        }
        before = word;
        end = start + word.len();
    }
    phrases
}

/// Words as they stand in keywords: with no space where the text has none, or where the script
/// needs none.
pub(crate) fn join(words: &[Word]) -> String {
    let mut joined = String::new();
    for word in words {
        if !joined.is_empty() && !word.glued {
            joined.push(' ');
        }
        joined.push_str(&word.text);
    }
    joined
}

/// The text without what cannot be seen, and with one apostrophe and one hyphen.
fn plain(text: &str) -> String {
    let visible = text.chars().filter_map(|c| match c {
        // Soft hyphens, marks of writing direction, joiners of words, byte order marks. Joiners of
        // letters stay: Persian and the scripts of India need them.
        '\u{ad}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' => None,
        '\u{2060}'..='\u{206f}' | '\u{feff}' => None,
        '\u{200b}' => Some(' '),
        '’' => Some('\''),
        '\u{2010}' | '\u{2011}' => Some('-'),
        c => Some(c),
    });
    let options = Normalise { whitespace: false, ..Normalise::default() };
    normalise(&visible.collect::<String>(), &options)
}

/// Whether a piece of a text is a word: some emoji count as letters or digits.
fn is_word(piece: &str) -> bool {
    let emoji = |c: char| matches!(c, '\u{fe0f}' | '\u{20e3}' | '\u{1f100}'..='\u{1f1ff}');
    !piece.contains(emoji) && piece.chars().nth(MAX_LETTERS).is_none()
}

/// Whether two words with that between them stand together.
fn joins(gap: &str) -> bool {
    if gap.contains('\u{2029}') || gap.matches('\n').count() > 1 {
        return false;
    }
    match gap.trim() {
        "" | "&" => true,
        "-" => gap.len() == 1,
        "'" => gap.starts_with('\''),
        _ => false,
    }
}

/// Whether it is of a script that writes no spaces: Han, Hiragana, Katakana.
const fn is_cjk(c: char) -> bool {
    matches!(c,
        '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{ff66}'..='\u{ff9f}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_end_where_thoughts_do() {
        let cases: [(&str, &str, &[&str]); 14] = [
            ("en", "One two, three. Four: five", &["one two", "three", "four", "five"]),
            ("en", "hard\nwrapped\n\nNext", &["hard wrapped", "next"]),
            ("en", "state-of-the-art – or not", &["state of the art", "or not"]),
            ("en", "workers' rights 'and' R&D", &["workers rights", "and r d"]),
            ("en", "The company’s 3.5 profits", &["the company 3.5 profits"]),
            ("en", "It’s o\u{ad}pen\u{feff} (not shut)", &["it's open", "not shut"]),
            ("en", "a\u{0}b \u{200b}c🙂d 1️⃣ 🅰 e", &["a", "b c", "d", "e"]),
            ("en", "see https://example.com/a_b", &["see https", "example.com", "a_b"]),
            ("en", "x \u{2029}y z", &["x", "y z"]),
            ("fr", "L’économie d'Europe, aujourd'hui", &["économie europe", "aujourd'hui"]),
            ("de", "Größe der Cafe\u{301}s", &["größe der cafés"]),
            ("zh", "北京大学，iPhone手机 的", &["北京大学", "iphone手机的"]),
            ("ja", "コンピューターを\n作る。", &["コンピューターを作る"]),
            ("ko", "한국어 텍스트!", &["한국어 텍스트"]),
        ];
        for (language, text, expected) in cases {
            let found = phrases(text, Language::of(language).unwrap());
            let found: Vec<_> = found.iter().map(|words| join(words)).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn endless_words_and_texts_are_cut() {
        let language = Language::of("en").unwrap();
        let text = format!("before {} after", "x".repeat(MAX_LETTERS + 1));
        let found: Vec<_> = phrases(&text, language).iter().map(|words| join(words)).collect();
        assert_eq!(found, ["before", "after"]);
        let found = phrases(&"word ".repeat(MAX_WORDS + 10), language);
        assert_eq!(found.iter().map(Vec::len).sum::<usize>(), MAX_WORDS);
    }
}
