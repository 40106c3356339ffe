use mesh_core::{Refusal, manifest::LanguageTable};

use super::LanguageIdentifier;
use crate::{language_code, unsupported};

/// Refuses texts that are in none of a project's languages.
///
/// A text of few letters is let through, as they tell little, and one whose language is not clear.
#[derive(Debug)]
pub struct LanguageCheck<B> {
    model: LanguageIdentifier<B>,
    /// The languages that are answered.
    languages: Vec<String>,
    /// Of each language of the model its code, and whether it is answered.
    known: Vec<(String, bool)>,
    confidence: f64,
    min_letters: usize,
}

/// Characters of a text that its language is told by, at most.
const MAX_CHARACTERS: usize = 2_000;

impl<B: AsRef<[u8]>> LanguageCheck<B> {
    /// A check by a model of languages, for a project that answers these.
    #[must_use]
    pub fn new(
        model: LanguageIdentifier<B>,
        languages: Vec<String>,
        table: &LanguageTable,
    ) -> Self {
        let known = model.languages().iter().map(|code| {
            let code = language_code(code).to_owned();
            let answered = languages.contains(&code);
            (code, answered)
        });
        let known = known.collect();
        let LanguageTable { confidence, min_letters, .. } = *table;
        Self { model, languages, known, confidence, min_letters }
    }

    /// Refuses a text that is in another language.
    ///
    /// # Errors
    /// The refusal of an unsupported language: the same from every project.
    pub fn check(&self, text: &str) -> Result<(), Refusal> {
        let end = text.char_indices().nth(MAX_CHARACTERS).map_or(text.len(), |(at, _)| at);
        let text = text.get(..end).unwrap_or(text);
        let letters = text.chars().filter(|c| c.is_alphabetic()).map(char::len_utf8);
        if letters.sum::<usize>() < self.min_letters {
            return Ok(());
        }
        let found = self.model.top(text, 1).pop();
        let Some((code, score)) = found.and_then(|(at, score)| {
            self.known.get(at).filter(|(_, answered)| !answered).map(|(code, _)| (code, score))
        }) else {
            return Ok(());
        };
        if f64::from(score) < self.confidence {
            return Ok(());
        }
        Err(unsupported(code, self.languages.iter().map(String::as_str)))
    }
}
