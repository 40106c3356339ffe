//! The phrases that keywords are chosen from.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    ops::RangeInclusive,
};

use mesh_text::Stopwords;

use crate::phrases::{Language, Word, join, phrases};

/// Each is embedded, and compared with those that are chosen: more would cost seconds.
pub(crate) const MAX_CANDIDATES: usize = 2_000;

/// The candidates of a text: each run of so many words of a phrase, once, in lower case, unless
/// it begins or ends with a stopword or is all numbers. Of more than [`MAX_CANDIDATES`] the most
/// frequent stay, the earlier ones first.
pub(crate) fn found(text: &str, words: RangeInclusive<usize>, language: Language) -> Vec<String> {
    let mut counts: HashMap<String, (Reverse<usize>, usize)> = HashMap::new();
    for phrase in phrases(text, language) {
        for start in 0..phrase.len() {
            let runs = words.clone().map_while(|count| phrase.get(start..start + count));
            for run in runs.filter(|run| stands_alone(run, language.stopwords)) {
                let next = counts.len();
                let (Reverse(count), _) = counts.entry(join(run)).or_insert((Reverse(0), next));
                *count += 1;
            }
        }
    }
    let mut candidates: Vec<_> = counts.into_iter().collect();
    candidates.sort_unstable_by_key(|(_, rank)| *rank);
    candidates.truncate(MAX_CANDIDATES);
    candidates.into_iter().map(|(text, _)| text).collect()
}

/// Phrases that are given: trimmed, each once, and none that is empty.
pub(crate) fn given(phrases: &[String]) -> impl Iterator<Item = &str> {
    let mut seen = HashSet::new();
    let phrases = phrases.iter().map(|phrase| phrase.trim());
    phrases.filter(move |phrase| !phrase.is_empty() && seen.insert(*phrase))
}

fn stands_alone(run: &[Word], stopwords: Stopwords) -> bool {
    let is_stop = |word: Option<&Word>| word.is_none_or(|word| word.stop);
    let tells = |word: &Word| word.lettered && !word.stop;
    if is_stop(run.first()) || is_stop(run.last()) || !run.iter().any(tells) {
        return false;
    }
    // A stopword can be several words (`per que`), or several characters where there are no
    // spaces (`我们`).
    let stop = |words: &[Word]| stopwords.contains(&join(words));
    let ends = (2..=run.len()).map(|count| run.split_at_checked(count));
    let starts = (0..run.len().saturating_sub(1)).map(|start| run.split_at_checked(start));
    !ends.flatten().any(|(head, _)| stop(head)) && !starts.flatten().any(|(_, tail)| stop(tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(language: &str, text: &str, words: RangeInclusive<usize>) -> Vec<String> {
        let mut found = found(text, words, Language::of(language).unwrap());
        found.sort();
        found
    }

    #[test]
    fn candidates_have_no_stopword_at_an_end() {
        let text = "The Bank of England, in 2020 and 2021: the bank's 3 offers!";
        let expected =
            ["3 offers", "bank", "bank 3", "bank 3 offers", "bank of england", "england", "offers"];
        assert_eq!(sorted("en", text, 1..=3), expected);
        assert_eq!(sorted("en", text, 2..=2), ["3 offers", "bank 3"]);
        assert!(sorted("en", "it is what it is, 1234 5.6 🙂 \u{0}", 1..=8).is_empty());
    }

    #[test]
    fn stopwords_of_several_characters_count() {
        assert_eq!(sorted("zh", "我们银行", 1..=4), ["行", "银", "银行"]);
        assert!(sorted("ca", "per que", 1..=2).is_empty());
    }

    #[test]
    fn the_most_frequent_and_earliest_stay() {
        let numbered: Vec<_> = (0..MAX_CANDIDATES + 5).map(|i| format!("word{i}.")).collect();
        let text = format!("{} Bank. Bank.", numbered.join(" "));
        let found = found(&text, 1..=1, Language::of("en").unwrap());
        assert_eq!(found.len(), MAX_CANDIDATES);
        assert_eq!(found[..2], ["bank", "word0"]);
        assert_eq!(found[MAX_CANDIDATES - 1], format!("word{}", MAX_CANDIDATES - 2));
    }

    #[test]
    fn given_phrases_come_once() {
        let phrases = [" Bank ", "", "bank", "Bank", " "].map(str::to_owned);
        assert_eq!(given(&phrases).collect::<Vec<_>>(), ["Bank", "bank"]);
    }
}
