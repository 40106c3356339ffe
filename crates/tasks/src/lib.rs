//! The tasks of the library: what a project predicts that is a manifest and nothing else.
//!
//! ```
//! let tasks = mesh_tasks::registrations();
//! assert!(tasks.iter().any(|task| task.name() == "text-classification"));
//! ```

mod embedding;
mod in_languages;
mod language;
mod near_duplicates;
mod regression;
mod text_classification;
mod token_classification;

use mesh_core::{Registration, manifest::TaskName};

pub use embedding::{Embedding, EmbeddingParameters, OneOrMany, Texts, Vectors};
pub use in_languages::{HasTexts, InLanguages};
pub use language::{Language, LanguageParameters, LanguageScore, Languages};
pub use near_duplicates::{BandKeys, NearDuplicates, NearDuplicatesParameters};
pub use regression::{Predictions, Regression, RegressionParameters, Rows};
pub use text_classification::{Label, Labels, Text, TextClassification};
pub use token_classification::{Entities, Entity, TokenClassification, TokenParameters};

/// The tasks, each under its name.
#[must_use]
pub fn registrations() -> Vec<Registration> {
    vec![
        Registration::of::<InLanguages<Embedding>>(TaskName::Embedding.as_str()),
        Registration::of::<Language>(TaskName::Language.as_str()),
        Registration::of::<NearDuplicates>(TaskName::NearDuplicates.as_str()),
        Registration::of::<Regression>(TaskName::Regression.as_str()),
        Registration::of::<InLanguages<TextClassification>>(TaskName::TextClassification.as_str()),
        Registration::of::<InLanguages<TokenClassification>>(
            TaskName::TokenClassification.as_str(),
        ),
    ]
}
