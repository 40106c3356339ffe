//! Texts cut into sentences and windows.

/// Words in a window: somewhat more than the longest sentences that the model was trained on.
const WINDOW_WORDS: usize = 60;

/// The sentences of a text: cut after `.`, `!`, `?` and their kin, where white space follows,
/// and at line breaks.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        if rest.is_empty() {
            return None;
        }
        let mut ended = false;
        let end = rest.char_indices().find(|(_, c)| {
            let stop = (ended && c.is_whitespace()) || *c == '\n';
            ended = matches!(c, '.' | '!' | '?' | '…')
                || (ended && matches!(c, '"' | '\'' | ')' | '”'));
            stop
        });
        let (sentence, after) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        rest = after;
        Some(sentence)
    })
}

/// Runs of whole sentences of up to [`WINDOW_WORDS`] words. A longer sentence is cut by words.
pub(crate) fn windows(text: &str) -> impl Iterator<Item = &str> {
    let mut pieces = Vec::new();
    let mut start = None;
    let (mut end, mut words) = (0, 0);
    for sentence in sentences(text) {
        let at = sentence.as_ptr() as usize - text.as_ptr() as usize;
        let count = sentence.split_whitespace().count();
        if let Some(from) = start.filter(|_| words + count > WINDOW_WORDS) {
            pieces.push((from, end));
            (start, words) = (None, 0);
        }
        start.get_or_insert(at);
        (end, words) = (at + sentence.len(), words + count);
    }
    pieces.extend(start.map(|from| (from, end)));
    pieces.into_iter().filter_map(|(from, end)| text.get(from..end)).flat_map(by_words)
}

fn by_words(piece: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut from, mut words, mut inside) = (0, 0, false);
    for (at, c) in piece.char_indices() {
        if c.is_whitespace() {
            inside = false;
        } else if !inside {
            inside = true;
            words += 1;
            if words > WINDOW_WORDS {
                parts.extend(piece.get(from..at));
                (from, words) = (at, 1);
            }
        }
    }
    parts.extend(piece.get(from..));
    parts
}

/// The sentences that mention an entity as a word or words of their own: as it is written, else in
/// any case.
pub(crate) fn around<'a>(text: &'a str, entity: &str) -> Vec<&'a str> {
    let entity = entity.trim();
    if entity.is_empty() {
        return Vec::new();
    }
    let exact: Vec<_> = sentences(text).filter(|sentence| mentions(sentence, entity)).collect();
    if !exact.is_empty() {
        return exact;
    }
    let lower = entity.to_lowercase();
    sentences(text).filter(|sentence| mentions(&sentence.to_lowercase(), &lower)).collect()
}

/// Whether a sentence holds an entity, and not as a part of a longer word: `US` is not in `BUS`.
fn mentions(sentence: &str, entity: &str) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let (first, last) = (entity.chars().next(), entity.chars().next_back());
    sentence.match_indices(entity).any(|(at, _)| {
        let before = sentence.get(..at).and_then(|before| before.chars().next_back());
        let after = sentence.get(at + entity.len()..).and_then(|after| after.chars().next());
        !(is_word(first) && is_word(before) || is_word(last) && is_word(after))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sentences_end_where_people_end_them() {
        let text = "Mr X came. \"Really?\" He did! It cost 3.50 euros\nand more";
        let found: Vec<_> = sentences(text).collect();
        assert_eq!(
            found,
            ["Mr X came.", "\"Really?\"", "He did!", "It cost 3.50 euros", "and more"]
        );
        assert_eq!(around(text, "euros"), ["It cost 3.50 euros"]);
        assert_eq!(around(text, "HE DID"), ["He did!"]);
        assert!(around(text, "nobody").is_empty());
        assert!(around(text, "euro").is_empty() && around(text, "he d").is_empty());
        let text = "The BUS was late. Those in the US, in us all, and (US) liked it. Trust us.";
        assert_eq!(around(text, "US"), ["Those in the US, in us all, and (US) liked it."]);
        assert_eq!(around(text, "Us").len(), 2, "in any case, where it is not as written");
    }

    proptest! {
        #[test]
        fn windows_hold_every_word_once(text in "([a-zé]{1,5}[ .!\n]{1,2}){0,300}") {
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let found: Vec<_> = windows(&text).flat_map(words).collect();
            prop_assert_eq!(found, words(&text));
            for window in windows(&text) {
                prop_assert!(window.split_whitespace().count() <= WINDOW_WORDS);
            }
        }
    }
}
