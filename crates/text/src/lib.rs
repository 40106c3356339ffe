//! Text for machines: normalisation, sentences, tokens, words, stopwords, languages, and the fields
//! of tables as text.
//!
//! ```
//! use mesh_core::manifest::Normalise;
//! use mesh_text::{Stopwords, language, normalise, word_count};
//!
//! let options = Normalise { html_entities: true, ..Normalise::default() };
//! assert_eq!(normalise("  Caf\u{65}\u{301}\n&amp; bar ", &options), "Café & bar");
//! assert_eq!(word_count("it's two"), 2);
//! let text = "The central bank left its interest rates where they were, and said that it would \
//!             look at them again in the autumn, when the new figures are there.";
//! assert_eq!(language(text), Some("en"));
//! assert!(Stopwords::of("en").is_some_and(|list| list.contains("The")));
//! ```

mod fasttext;
mod fields;
mod html;
mod identify;
mod language;
mod locale;
mod normalise;
mod sentences;
mod stopwords;
mod tokens;
mod treebank;
mod words;

pub use fasttext::{FastText, LanguageModelError, LanguageModelErrorKind};
pub use fields::{BrokenQuotes, Dialect, FieldSplitter};
pub use html::html_text;
pub use identify::{LANGUAGE_FILE, LanguageCheck, LanguageIdentifier, pack_identifier};
pub use language::language;
pub use locale::{Locale, LocaleError, language_code, unsupported};
pub use normalise::normalise;
pub use sentences::sentences;
pub use stopwords::Stopwords;
pub use tokens::tokens;
pub use treebank::treebank_words;
pub use words::{word_count, word_indices, words};
