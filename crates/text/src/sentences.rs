use unicode_segmentation::UnicodeSegmentation;

/// The sentences of a text, each with the byte at which it starts, without the white space around.
///
/// Boundaries are those of Unicode (UAX #29), which knows the marks of all scripts, such as `。` of
/// Chinese and Japanese; a line break ends a sentence too, unless the line is seen to go on in the
/// next one: that begins in lower case, or the line ends in a comma or a short word in lower case
/// (`the Bank of`). On top of that a sentence goes on behind an abbreviation (`Dr. Who`), an initial (`J. Smith`) and an acronym (`U.S. Army`).
pub fn sentences(text: &str) -> impl Iterator<Item = (usize, &str)> {
    // An opening bracket or quote belongs to what it opens.
    let opened =
        |start: usize| text.get(..start).map_or(start, |t| t.trim_end_matches(OPENING).len());
    let starts = text.split_sentence_bound_indices().skip(1).map(move |(start, _)| opened(start));
    let mut ends = starts.chain([text.len()]).peekable();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let (start, mut last) = (from, from);
            let mut end = ends.next()?;
            while let Some(next) = ends.peek()
                && goes_on(part(last, end), part(end, *next))
            {
                (last, end) = (end, *next);
                ends.next();
            }
            from = end;
            let sentence = part(start, end);
            let trimmed = sentence.trim_start();
            let start = start + sentence.len() - trimmed.len();
            let trimmed = trimmed.trim_end();
            if !trimmed.is_empty() {
                return Some((start, trimmed));
            }
        }
    })
}

/// What opens a quotation or a remark.
const OPENING: [char; 10] = ['(', '[', '“', '‘', '«', '「', '『', '（', '《', '【'];

/// Whether what ends like this goes on with what comes next.
fn goes_on(before: &str, next: &str) -> bool {
    let ended = before.trim_end_matches([' ', '\t', '\u{a0}']);
    if let Some(line) = ended.strip_suffix('\n') {
        return is_wrapped(line.trim_end(), next.trim_start_matches([' ', '\t', '\u{a0}']));
    }
    // What somebody said goes on with who said it.
    let quoted = ended.ends_with(['"', '\'', '”', '’', '»']);
    let particle = ended.ends_with(['」', '』']) && next.starts_with(['と', 'っ']);
    if particle || (quoted && next.starts_with(char::is_lowercase)) {
        return true;
    }
    if next.trim().is_empty() || !ended.ends_with('.') {
        return false;
    }
    let last = ended.split_whitespace().next_back().unwrap_or_default();
    is_abbreviation(last.trim_start_matches(['(', '[', '"', '\'', '“', '‘', '«']))
}

/// Whether a line that is broken goes on in the next one.
fn is_wrapped(line: &str, next: &str) -> bool {
    let last = line.split_whitespace().next_back().unwrap_or_default();
    let is_lower = |word: &str| !word.is_empty() && word.chars().all(char::is_lowercase);
    let short = is_lower(last) && last.chars().count() <= SHORT;
    let goes_on = line.ends_with(|c: char| c.is_alphanumeric() || c == ',');
    let begun = next.starts_with(char::is_lowercase);
    goes_on && !next.is_empty() && (short || begun || line.ends_with(','))
}

/// Characters of words that stand before another one, such as `the` and `von`.
const SHORT: usize = 3;

/// Whether a word with a period at its end is short for something, and the period part of it.
pub(crate) fn is_abbreviation(word: &str) -> bool {
    let Some(stem) = word.strip_suffix('.') else { return false };
    let mut letters = stem.split('.').map(|part| {
        let mut chars = part.chars();
        (chars.next(), chars.next())
    });
    // `J.` and `U.S.`, but not `I.`, which is a word at the end of a sentence.
    let initials =
        letters.all(|(first, more)| first.is_some_and(char::is_alphabetic) && more.is_none());
    let upper = stem.chars().next().is_some_and(char::is_uppercase);
    let acronym = initials && (upper || stem.contains('.')) && stem != "I";
    acronym || ABBREVIATIONS.binary_search(&stem).is_ok()
}

/// Abbreviations behind which a sentence goes on, mostly titles, of languages in Latin script;
/// sorted.
const ABBREVIATIONS: [&str; 82] = [
    "Adm", "Apr", "Asst", "Aug", "Av", "Ave", "Brig", "Bros", "Capt", "Cmdr", "Co", "Col", "Corp",
    "Dec", "Dept", "Dipl", "Dott", "Dr", "Dra", "Drs", "Feb", "Fig", "Fr", "Ft", "Gen", "Gov",
    "Hon", "Hr", "Hrn", "Inc", "Ing", "Jan", "Jr", "Lt", "Ltd", "Maj", "Mar", "Messrs", "Mme",
    "Mr", "Mrs", "Ms", "Mt", "Nov", "Nr", "Oct", "Okt", "Pfc", "Pres", "Prof", "Pvt", "Rep",
    "Reps", "Rev", "Rs", "Sec", "Sen", "Sens", "Sep", "Sept", "Sgt", "Sig", "Sr", "Sra", "St",
    "Sta", "Ste", "Str", "Supt", "Vol", "approx", "bzw", "ca", "cf", "eg", "etc", "ie", "no", "pp",
    "usw", "vol", "vs",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sentences_of_several_scripts() {
        let cases: [(&str, &[&str]); 12] = [
            ("Rates fell. Shares rose!  Why?", &["Rates fell.", "Shares rose!", "Why?"]),
            ("Mr. Smith met Dr. Who. They left.", &["Mr. Smith met Dr. Who.", "They left."]),
            (
                "J. R. Tolkien wrote. The U.S. Army read.",
                &["J. R. Tolkien wrote.", "The U.S. Army read."],
            ),
            (
                "It cost 3.50 euros. \"Really?\" he said.",
                &["It cost 3.50 euros.", "\"Really?\" he said."],
            ),
            ("今天下雨。我们在家。", &["今天下雨。", "我们在家。"]),
            ("雨が降った！「本当？」と聞いた。", &["雨が降った！", "「本当？」と聞いた。"]),
            ("One line\nAnother line", &["One line", "Another line"]),
            ("One line.\nanother line", &["One line.", "another line"]),
            (
                "The Bank of\nEngland, which\r\nis old,\nLondon",
                &["The Bank of\nEngland, which\r\nis old,\nLondon"],
            ),
            ("of\n\nEngland\n1\n2", &["of", "England", "1", "2"]),
            ("So am I. You too.", &["So am I.", "You too."]),
            (" \n ", &[]),
        ];
        for (text, expected) in cases {
            let found: Vec<_> = sentences(text).map(|(_, sentence)| sentence).collect();
            assert_eq!(found, expected, "{text}");
        }
        assert!(ABBREVIATIONS.is_sorted());
    }

    proptest! {
        #[test]
        fn nothing_but_white_space_is_lost(text in "\\PC{0,80}") {
            let mut end = 0;
            for (start, sentence) in sentences(&text) {
                prop_assert!(text[end..start].trim().is_empty());
                prop_assert_eq!(&text[start..start + sentence.len()], sentence);
                end = start + sentence.len();
            }
            prop_assert!(text[end..].trim().is_empty());
        }
    }
}
