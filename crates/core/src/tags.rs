//! Tags of tokens: how entities in sentences are written down, from prepare to metrics.
//!
//! Between steps tags are BIO: `B-PER` starts an entity, `I-PER` goes on with it, `O` is none.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a source writes entities down (Ramshaw and Marcus 1995; Tjong Kim Sang and Veenstra 1999).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TagScheme {
    /// `B-` starts every entity, `I-` goes on with it (also called IOB2).
    #[default]
    Bio,
    /// `I-` is inside an entity, `B-` starts one right behind another of its type (also called
    /// IOB1).
    Iob,
    /// As `bio`, with `E-` for the last token of an entity and `S-` for an entity of one token.
    Bioes,
}

/// An entity among the tokens of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span<'a> {
    /// Its first token.
    pub start: usize,
    /// Behind its last token.
    pub end: usize,
    /// What kind of entity it is.
    pub kind: &'a str,
}

/// Entities that are right, were given, and are there, as the scorer of CoNLL (`conlleval`) counts
/// them: an entity is right if its tokens and its kind are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EntityCounts {
    /// Entities that are both given and there.
    pub correct: u64,
    /// Entities that were given.
    pub predicted: u64,
    /// Entities that are there.
    pub actual: u64,
}

/// A tag that cannot stand where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongTag {
    /// The token, from 0.
    pub token: usize,
    /// The tag.
    pub tag: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// The tag of a token outside of all entities.
pub const OUTSIDE: &str = "O";

impl fmt::Display for WrongTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tag `{}` of token {}: {}", self.tag, self.token + 1, self.reason)
    }
}

/// A tag's prefix, and the kind of entity; nothing for `O`.
fn parts(tag: &str) -> Option<(char, &str)> {
    let (prefix, kind) = tag.split_once('-')?;
    Some((prefix.chars().next()?, kind))
}

/// Whether a BIO tag may follow another, or start a sentence: `I-` only goes on with its kind.
#[must_use]
pub fn may_follow(before: Option<&str>, tag: &str) -> bool {
    match parts(tag) {
        Some(('I', kind)) => before.and_then(parts).is_some_and(|(_, other)| other == kind),
        _ => true,
    }
}

/// The entities of a sentence with BIO tags. An `I-` that goes on with nothing starts an entity, as
/// the scorer of CoNLL (`conlleval`) has it.
#[must_use]
pub fn spans<'a>(tags: impl IntoIterator<Item = &'a str>) -> Vec<Span<'a>> {
    let mut found: Vec<Span<'a>> = Vec::new();
    for (token, tag) in tags.into_iter().enumerate() {
        let Some((prefix, kind)) = parts(tag) else { continue };
        match found.last_mut() {
            Some(last) if prefix == 'I' && last.end == token && last.kind == kind => {
                last.end = token + 1;
            }
            _ => found.push(Span { start: token, end: token + 1, kind }),
        }
    }
    found
}

/// The tags of a sentence as BIO, checked.
///
/// # Errors
/// The first tag that the scheme does not have, or does not have there.
pub fn to_bio(tags: &[&str], scheme: TagScheme) -> Result<Vec<String>, WrongTag> {
    let mut bio = Vec::with_capacity(tags.len());
    // The entity that may go on: its kind.
    let mut open: Option<&str> = None;
    for (token, tag) in tags.iter().enumerate() {
        let wrong = |reason| WrongTag { token, tag: (*tag).to_owned(), reason };
        if *tag == OUTSIDE {
            if scheme == TagScheme::Bioes && open.is_some() {
                return Err(wrong("the entity before it has no end"));
            }
            open = None;
            bio.push(OUTSIDE.to_owned());
            continue;
        }
        let (prefix, kind) = parts(tag).filter(|(_, kind)| !kind.is_empty()).ok_or_else(|| {
            wrong("a tag is `O`, or a letter, a hyphen and a kind of entity, such as `B-PER`")
        })?;
        let goes_on = open == Some(kind);
        let starts = match (scheme, prefix) {
            (TagScheme::Bioes, 'B' | 'S') if open.is_some() => {
                return Err(wrong("the entity before it has no end"));
            }
            (_, 'B') | (TagScheme::Bioes, 'S') => true,
            (TagScheme::Iob, 'I') => !goes_on,
            (TagScheme::Bio, 'I') | (TagScheme::Bioes, 'I' | 'E') if goes_on => false,
            (_, 'I') | (TagScheme::Bioes, 'E') => {
                return Err(wrong("it goes on with no entity of its kind"));
            }
            _ => return Err(wrong("its letter is not one of the scheme")),
        };
        bio.push(format!("{}-{kind}", if starts { 'B' } else { 'I' }));
        let ended = scheme == TagScheme::Bioes && matches!(prefix, 'E' | 'S');
        open = (!ended).then_some(kind);
    }
    if let (TagScheme::Bioes, Some(_)) = (scheme, open) {
        let token = tags.len().saturating_sub(1);
        let tag = tags.last().copied().unwrap_or_default().to_owned();
        return Err(WrongTag { token, tag, reason: "the entity has no end" });
    }
    Ok(bio)
}

impl EntityCounts {
    /// Counts the entities of a sentence: `truth` are those that are there, `given` those of a
    /// model; only those for which `counts` is true.
    #[must_use]
    pub fn of(truth: &[Span<'_>], given: &[Span<'_>], counts: impl Fn(&Span<'_>) -> bool) -> Self {
        let count = |spans: &[Span<'_>]| spans.iter().filter(|span| counts(span)).count() as u64;
        let correct = given.iter().filter(|span| counts(span) && truth.contains(span)).count();
        Self { correct: correct as u64, predicted: count(given), actual: count(truth) }
    }

    /// The share of given entities that are right.
    #[must_use]
    pub fn precision(&self) -> f64 {
        ratio(self.correct, self.predicted)
    }

    /// The share of entities that were found.
    #[must_use]
    pub fn recall(&self) -> f64 {
        ratio(self.correct, self.actual)
    }

    /// The harmonic mean of the two.
    #[must_use]
    pub fn f1(&self) -> f64 {
        ratio(2 * self.correct, self.predicted + self.actual)
    }
}

impl std::ops::Add for EntityCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            correct: self.correct + other.correct,
            predicted: self.predicted + other.predicted,
            actual: self.actual + other.actual,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of entities")]
fn ratio(count: u64, of: u64) -> f64 {
    count as f64 / of.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bio(tags: &str, scheme: TagScheme) -> Result<String, String> {
        let tags: Vec<_> = tags.split(' ').collect();
        to_bio(&tags, scheme).map(|tags| tags.join(" ")).map_err(|error| error.to_string())
    }

    #[test]
    fn schemes_become_one() {
        let cases = [
            ("B-PER I-PER O B-LOC", TagScheme::Bio, "B-PER I-PER O B-LOC"),
            ("I-PER I-PER B-PER O I-LOC I-ORG", TagScheme::Iob, "B-PER I-PER B-PER O B-LOC B-ORG"),
            ("B-PER E-PER S-LOC O", TagScheme::Bioes, "B-PER I-PER B-LOC O"),
        ];
        for (given, scheme, expected) in cases {
            assert_eq!(bio(given, scheme).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_sequence_is_told() {
        for (given, scheme, says) in [
            ("O I-PER", TagScheme::Bio, "`I-PER` of token 2: it goes on with no entity"),
            ("B-LOC I-PER", TagScheme::Bio, "goes on with no entity"),
            ("B-LOC X", TagScheme::Bio, "`X` of token 2: a tag is"),
            ("B-", TagScheme::Bio, "a tag is"),
            ("Q-LOC", TagScheme::Iob, "its letter"),
            ("S-LOC", TagScheme::Bio, "its letter"),
            ("B-LOC O", TagScheme::Bioes, "no end"),
            ("B-LOC", TagScheme::Bioes, "no end"),
            ("O E-LOC", TagScheme::Bioes, "goes on with no entity"),
        ] {
            let error = bio(given, scheme).unwrap_err();
            assert!(error.contains(says), "{given}: {error}");
        }
    }

    #[test]
    fn spans_are_those_of_conlleval() {
        let found = spans("B-PER I-PER I-LOC O I-ORG B-ORG".split(' '));
        let told: Vec<_> = found.iter().map(|s| (s.start, s.end, s.kind)).collect();
        assert_eq!(told, [(0, 2, "PER"), (2, 3, "LOC"), (4, 5, "ORG"), (5, 6, "ORG")]);
        assert!(may_follow(Some("B-PER"), "I-PER") && may_follow(Some("I-PER"), "I-PER"));
        let truth = spans("B-PER I-PER O B-LOC B-ORG".split(' '));
        let given = spans("B-PER O O B-LOC B-LOC".split(' '));
        let counts = EntityCounts::of(&truth, &given, |_| true);
        assert_eq!(counts, EntityCounts { correct: 1, predicted: 3, actual: 3 });
        assert!((counts.f1() - 1.0 / 3.0).abs() < 1e-12);
        let places = EntityCounts::of(&truth, &given, |span| span.kind == "LOC");
        assert_eq!((places.precision(), places.recall()), (0.5, 1.0));
        assert!(!may_follow(Some("B-LOC"), "I-PER") && !may_follow(None, "I-PER"));
        assert!(may_follow(None, "O") && may_follow(Some("I-LOC"), "B-LOC"));
    }
}
