use unicode_segmentation::UnicodeSegmentation;

use crate::sentences::is_abbreviation;

/// The tokens of a sentence, each with the byte at which it starts: words and marks, as datasets of
/// tagged sentences have them (the rules of the Penn Treebank, in short).
///
/// Marks stand alone but inside of words (`Saint-Denis`, `AT&T`), numbers (`1,000.50`) and at the end
/// of abbreviations (`U.S.`); an English clitic is a token (`Germany`, `'s`). What belongs together
/// for the eye is never cut: a letter with its accents, an emoji with its joiners.
pub fn tokens(sentence: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (start, chunk) in sentence.unicode_chunks() {
        cut(start, chunk, &mut found);
    }
    found
}

trait Chunks {
    /// Runs of what is not white space, each with the byte at which it starts.
    fn unicode_chunks(&self) -> impl Iterator<Item = (usize, &str)>;
}

impl Chunks for str {
    fn unicode_chunks(&self) -> impl Iterator<Item = (usize, &str)> {
        let base = self.as_ptr() as usize;
        self.split_whitespace().map(move |chunk| (chunk.as_ptr() as usize - base, chunk))
    }
}

fn cut<'a>(start: usize, chunk: &'a str, found: &mut Vec<(usize, &'a str)>) {
    let pieces: Vec<(usize, &str)> = chunk.grapheme_indices(true).collect();
    let piece = |at: usize| pieces.get(at).map(|(_, piece)| *piece);
    // The word that is being read starts here.
    let mut word: Option<usize> = None;
    let mut at = 0;
    while let Some(&(from, own)) = pieces.get(at) {
        if is_word(own) {
            word.get_or_insert(from);
            at += 1;
            continue;
        }
        let (before, after) = (at.checked_sub(1).and_then(piece), piece(at + 1));
        if word.is_some() && joins(own, before, after) {
            at += 1;
            continue;
        }
        let end = from + own.len();
        if let Some(begin) = word.take() {
            let closed = chunk.get(begin..end).unwrap_or_default();
            if own == "." && is_abbreviation(closed) {
                found.push((start + begin, closed));
                at += 1;
                continue;
            }
            push_word(start + begin, chunk.get(begin..from).unwrap_or_default(), found);
        }
        // `--` and `...` are one mark.
        let run = pieces.iter().skip(at).take_while(|(_, next)| *next == own).count();
        let run = if matches!(own, "." | "-") { run } else { 1 };
        let end = pieces.get(at + run).map_or(chunk.len(), |(end, _)| *end);
        found.push((start + from, chunk.get(from..end).unwrap_or_default()));
        at += run;
    }
    if let Some(begin) = word {
        push_word(start + begin, chunk.get(begin..).unwrap_or_default(), found);
    }
}

/// Whether a piece is a letter or a digit, with whatever marks are on it.
fn is_word(piece: &str) -> bool {
    piece.chars().next().is_some_and(char::is_alphanumeric)
}

/// Whether a mark between two pieces is part of a word or number.
fn joins(mark: &str, before: Option<&str>, after: Option<&str>) -> bool {
    let (Some(before), Some(after)) = (before, after) else { return false };
    let digit = |piece: &str| piece.chars().next().is_some_and(char::is_numeric);
    match mark {
        "-" | "." | "'" | "’" | "&" | "/" | "_" | "@" | "+" | "\u{2010}" | "\u{2011}" => {
            is_word(before) && is_word(after)
        }
        "," | ":" => digit(before) && digit(after),
        _ => false,
    }
}

/// Adds a word, and its clitic as a token of its own.
fn push_word<'a>(start: usize, word: &'a str, found: &mut Vec<(usize, &'a str)>) {
    const CLITICS: [&str; 7] = ["n't", "'s", "'re", "'ve", "'ll", "'m", "'d"];
    let clitic = CLITICS.iter().find_map(|clitic| {
        let at = word.chars().count().checked_sub(clitic.chars().count())?;
        let at = word.char_indices().nth(at).filter(|(at, _)| *at > 0)?.0;
        let tail = word.get(at..)?.replace('’', "'");
        tail.eq_ignore_ascii_case(clitic).then_some(at)
    });
    let (stem, tail) = word.split_at_checked(clitic.unwrap_or(word.len())).unwrap_or((word, ""));
    found.push((start, stem));
    if !tail.is_empty() {
        found.push((start + stem.len(), tail));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Vec<&str> {
        tokens(text).into_iter().map(|(_, token)| token).collect()
    }

    #[test]
    fn words_and_marks() {
        let cases: [(&str, &[&str]); 12] = [
            ("EU rejects German call.", &["EU", "rejects", "German", "call", "."]),
            ("Germany's (West) team", &["Germany", "'s", "(", "West", ")", "team"]),
            (
                "The U.S. don’t pay $1,000.50!",
                &["The", "U.S.", "do", "n’t", "pay", "$", "1,000.50", "!"],
            ),
            (
                "Mr. O'Brien of AT&T, Saint-Denis...",
                &["Mr.", "O'Brien", "of", "AT&T", ",", "Saint-Denis", "..."],
            ),
            ("at 10:30 -- \"quoted\"", &["at", "10:30", "--", "\"", "quoted", "\""]),
            ("👩‍👩‍👧 Jose\u{301} 🇩🇪🇫🇷", &["👩‍👩‍👧", "Jose\u{301}", "🇩🇪", "🇫🇷"]),
            ("ذهب أحمد، إلى دمشق.", &["ذهب", "أحمد", "،", "إلى", "دمشق", "."]),
            ("Ann,Bob;Eve", &["Ann", ",", "Bob", ";", "Eve"]),
            ("'s", &["'", "s"]),
            ("don't", &["do", "n't"]),
            ("\u{200b}\u{301}", &["\u{200b}", "\u{301}"]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(of(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn tokens_are_the_text_without_its_white_space(text in "\\PC{0,60}") {
            let mut end = 0;
            for (start, token) in tokens(&text) {
                prop_assert!(start >= end && !token.is_empty());
                prop_assert!(text[end..start].trim().is_empty(), "{:?}", text);
                prop_assert_eq!(&text[start..start + token.len()], token);
                end = start + token.len();
            }
            prop_assert!(text[end..].trim().is_empty());
        }
    }
}
