use std::{fmt, str::FromStr};

use icu_locale_core::LanguageIdentifier as Tag;
use isolang::Language;
use mesh_core::{Refusal, RefusalKind};
use thiserror::Error;

/// A language, with the script and the region that it is written in, if they are told: `en`,
/// `en-GB`, `zh-Hans`, `pt_BR`.
///
/// By BCP 47 and ISO 639, in any case, with hyphens or underscores. A language has its code of two
/// letters where there is one: `eng` is `en`.
///
/// ```
/// use mesh_text::Locale;
///
/// let locale: Locale = "ZH_hans_cn".parse()?;
/// assert_eq!(locale.to_string(), "zh-Hans-CN");
/// assert_eq!((locale.language(), locale.script()), ("zh", Some("Hans")));
/// assert_eq!(Locale::supported("en-GB", ["de", "en"])?.region(), Some("GB"));
/// let refusal = Locale::supported("fr", ["de", "en"]).unwrap_err();
/// assert_eq!(refusal.detail, "the language `fr` is not supported; supported are: de, en");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Locale {
    language: String,
    tag: Tag,
}

/// What was given is no language tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a language tag is a code of ISO 639, with a script and a region if need be, such as `en`, `pt-BR` or `zh-Hans`"
)]
pub struct LocaleError;

/// Longest tag that is looked at, in bytes.
const MAX_TAG: usize = 64;

impl Locale {
    /// The code of the language: of two letters where there is one, else of three.
    #[must_use]
    pub fn language(&self) -> &str {
        &self.language
    }

    /// The script, by its code of four letters.
    #[must_use]
    pub fn script(&self) -> Option<&str> {
        self.tag.script.as_ref().map(|script| script.as_str())
    }

    /// The region, by its code of two letters or three digits.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.tag.region.as_ref().map(|region| region.as_str())
    }

    /// The locale of a tag whose language is among some.
    ///
    /// # Errors
    /// The refusal of a language that is not: the same from every project. It names those that
    /// are.
    pub fn supported<'a>(
        tag: &str,
        languages: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, Refusal> {
        let languages: Vec<&str> = languages.into_iter().collect();
        let locale = tag.parse::<Self>().ok();
        let locale = locale.filter(|locale| languages.contains(&locale.language()));
        locale.ok_or_else(|| unsupported(tag, languages))
    }
}

/// The refusal of a language that a project does not know: the same from every project.
pub fn unsupported<'a>(tag: &str, languages: impl IntoIterator<Item = &'a str>) -> Refusal {
    let what = match tag.parse::<Locale>() {
        Ok(locale) => format!("the language `{}` is not supported", locale.language()),
        Err(error) => format!("the language is none: {error}"),
    };
    let languages: Vec<&str> = languages.into_iter().collect();
    let detail = format!("{what}; supported are: {}", languages.join(", "));
    Refusal::new(RefusalKind::UnsupportedLanguage, detail)
}

impl FromStr for Locale {
    type Err = LocaleError;

    fn from_str(tag: &str) -> Result<Self, LocaleError> {
        if tag.len() > MAX_TAG {
            return Err(LocaleError);
        }
        let mut tag: Tag = tag.replace('_', "-").parse().map_err(|_| LocaleError)?;
        if tag.language.is_unknown() {
            return Err(LocaleError);
        }
        let language = language_code(tag.language.as_str()).to_owned();
        // Two tags of one locale are the same.
        tag.language = language.parse().map_err(|_| LocaleError)?;
        tag.variants.clear();
        Ok(Self { language, tag })
    }
}

/// The code of two letters of a language that is given by one of three, if it has one.
#[must_use]
pub fn language_code(code: &str) -> &str {
    Language::from_639_3(code).and_then(|language| language.to_639_1()).unwrap_or(code)
}

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.language)?;
        for part in [self.script(), self.region()].into_iter().flatten() {
            write!(f, "-{part}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tags_as_people_write_them() {
        let cases = [
            ("en", Some("en")),
            ("EN", Some("en")),
            ("eng", Some("en")),
            ("en-GB", Some("en-GB")),
            ("pt_BR", Some("pt-BR")),
            ("zh-Hans", Some("zh-Hans")),
            ("zh_hant_tw", Some("zh-Hant-TW")),
            ("es-419", Some("es-419")),
            ("gsw", Some("gsw")),
            ("cmn", Some("cmn")),
            ("", None),
            ("e", None),
            ("english language", None),
            ("und", None),
            ("en--GB", None),
            ("日本", None),
        ];
        for (tag, expected) in cases {
            let found = tag.parse::<Locale>().ok().map(|locale| locale.to_string());
            assert_eq!(found.as_deref(), expected, "{tag}");
        }
    }

    proptest! {
        #[test]
        fn what_is_told_is_understood(tag in "\\PC{0,12}|[a-z]{2,3}([-_][A-Za-z]{2,4}){0,2}") {
            if let Ok(locale) = tag.parse::<Locale>() {
                prop_assert_eq!(locale.to_string().parse::<Locale>(), Ok(locale));
            }
        }
    }
}
