//! Text for machines: normalisation, words, languages.
//!
//! ```
//! use mesh_core::manifest::Normalise;
//! use mesh_text::{language, normalise, word_count};
//!
//! let options = Normalise { html_entities: true, ..Normalise::default() };
//! assert_eq!(normalise("  Caf\u{65}\u{301}\n&amp; bar ", &options), "Café & bar");
//! assert_eq!(word_count("it's two"), 2);
//! let text = "The central bank left its interest rates where they were, and said that it would \
//!             look at them again in the autumn, when the new figures are there.";
//! assert_eq!(language(text), Some("en"));
//! ```

mod language;
mod normalise;
mod words;

pub use language::language;
pub use normalise::normalise;
pub use words::{word_count, words};
