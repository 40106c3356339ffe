use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    sync::{LazyLock, OnceLock},
};

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::Locale;

/// The stopwords of a language: words like `the` and `of`, which hold a text together and say
/// nothing of what it is about.
///
/// The lists are those of [Stopwords ISO](https://github.com/stopwords-iso), which collects the
/// ones in use. The English one also has words that search engines could not afford to index
/// (`new`, `system`, `world`): these carry meaning, and are no stopwords here. The other lists are
/// as they come; some hold a noun or two (`дом` in Russian). A list is built when it is first asked
/// for, and once.
///
/// ```
/// use mesh_text::Stopwords;
///
/// let english = Stopwords::of("en").ok_or("no list")?;
/// assert!(english.contains("The") && english.contains("don’t"));
/// assert!(!english.contains("new") && !english.contains("York"));
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Stopwords(&'static HashSet<Cow<'static, str>>);

/// A list as it lies in the binary, and once it is asked for, as a set.
struct List {
    words: &'static str,
    set: OnceLock<HashSet<Cow<'static, str>>>,
}

/// Written by the build script: a line per language, its code and its words parted by tabs.
static TEXT: &str = include_str!(concat!(env!("OUT_DIR"), "/stopwords.tsv"));

static LISTS: LazyLock<BTreeMap<&'static str, List>> = LazyLock::new(|| {
    let split = TEXT.lines().filter_map(|line| line.split_once('\t'));
    split.map(|(code, words)| (code, List { words, set: OnceLock::new() })).collect()
});

/// Other codes of languages that have a list: Bokmål and Nynorsk share one, Filipino is Tagalog,
/// and two codes that the standard has renamed are still about.
const ALIASES: &[(&str, &str)] =
    &[("fil", "tl"), ("in", "id"), ("iw", "he"), ("nb", "no"), ("nn", "no")];

/// Words of a list that carry meaning, so that they are none: what texts are about (`research`),
/// and what names and terms begin with (`New York`, `high court`, `second world war`).
const MEANINGFUL: &[(&str, &str)] = &[(
    "en",
    "act ad ai area areas big bill bottom caption cases cause causes changes computer copy date \
     detail downing early edu effect face faces fact facts fire fix free front full general good \
     goods great group grouping groups hell help high higher home homepage html http index \
     information inner interest interests invention join keys large length line long low lower \
     man member members men microsoft mill near net netscape new novel number numbers old open \
     opening order orders page pages parts past place places point points problem problems \
     research results right ring room rooms second seconds section self serious show side sides \
     site small state states system test text thick thin thought thoughts tip top tv uk un value \
     web webpage website width words work working works world year years young zero",
)];

impl Stopwords {
    /// The stopwords of a language by a tag as [`Locale`] takes them; of `pt-BR` the language
    /// counts. Nothing where there is no list.
    #[must_use]
    pub fn of(language: &str) -> Option<Self> {
        let locale: Locale = language.parse().ok()?;
        let code = locale.language();
        let alias = ALIASES.iter().find(|(other, _)| *other == code);
        let code = alias.map_or(code, |(_, code)| code);
        let list = LISTS.get(code)?;
        Some(Self(list.set.get_or_init(|| build(code, list.words))))
    }

    /// Whether a word is a stopword, in any case and with either apostrophe.
    #[must_use]
    pub fn contains(self, word: &str) -> bool {
        self.0.contains(&*fold(word))
    }

    /// How many there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no list is empty")]
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// The codes of the languages that have a list, sorted.
    pub fn languages() -> impl ExactSizeIterator<Item = &'static str> {
        LISTS.keys().copied()
    }
}

fn build(code: &str, words: &'static str) -> HashSet<Cow<'static, str>> {
    let meaningful = MEANINGFUL.iter().filter(|(language, _)| *language == code);
    let meaningful: HashSet<&str> =
        meaningful.flat_map(|(_, words)| words.split_whitespace()).collect();
    let words = words.split('\t').filter(|word| !meaningful.contains(word));
    // Some lists hold punctuation, which is no word.
    words.filter(|word| word.contains(char::is_alphanumeric)).map(fold).collect()
}

/// One form for what is one word: lower case, composed, with a straight apostrophe.
fn fold(word: &str) -> Cow<'_, str> {
    let plain = |c: char| match c.is_ascii() {
        true => !c.is_ascii_uppercase(),
        false => c != '’' && !c.is_uppercase(),
    };
    if word.chars().all(plain) && is_nfc_quick(word.chars()) == IsNormalized::Yes {
        return word.into();
    }
    word.nfc().collect::<String>().to_lowercase().replace('’', "'").into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::language;

    #[test]
    fn fifty_languages_and_more_have_a_list() {
        let languages: Vec<_> = Stopwords::languages().collect();
        assert!(languages.len() >= 50, "{}", languages.len());
        assert!(languages.is_sorted());
        for code in languages {
            assert_eq!(code.len(), 2, "{code}");
            let list = Stopwords::of(code).unwrap();
            assert!(list.len() >= 25, "{code}: {}", list.len());
        }
    }

    #[test]
    fn words_of_several_languages() {
        let cases = [
            ("en", "the", "bank"),
            ("de", "und", "Haus"),
            ("fr", "dans", "maison"),
            ("es", "pero", "casa"),
            ("ru", "что", "поезд"),
            ("el", "και", "σπίτι"),
            ("ar", "من", "بيت"),
            ("hi", "और", "किताब"),
            ("ja", "これ", "家"),
            ("zh", "我们", "银行"),
        ];
        for (code, stopword, word) in cases {
            let list = Stopwords::of(code).unwrap();
            assert!(list.contains(stopword), "{code} {stopword}");
            assert!(list.contains(&stopword.to_uppercase()), "{code} {stopword}");
            assert!(!list.contains(word), "{code} {word}");
        }
    }

    #[test]
    fn tags_and_other_codes_find_their_list() {
        let list = |code: &str| Stopwords::of(code).map(|list| std::ptr::from_ref(list.0));
        for (one, other) in [("EN", "en"), ("pt-BR", "pt"), ("zh_Hant", "zh"), ("nb", "no")] {
            assert!(list(one).is_some(), "{one}");
            assert_eq!(list(one), list(other), "{one} {other}");
        }
        for none in ["", "xx", "english", "-en", "e"] {
            assert!(Stopwords::of(none).is_none(), "{none}");
        }
        // What is told of a text finds its list: Norwegian is told as Bokmål.
        let text = "Regjeringen sier at den ikke vil heve skattene neste år, selv om det har blitt \
                    mye dyrere å bygge veier og sykehus enn noen hadde regnet med.";
        assert_eq!(language(text), Some("nb"));
    }

    #[test]
    fn words_with_meaning_are_no_stopwords() {
        let english = Stopwords::of("en").unwrap();
        for (_, words) in MEANINGFUL {
            let words: Vec<_> = words.split_whitespace().collect();
            assert!(words.is_sorted_by(|a, b| a < b));
            let listed: HashSet<&str> = LISTS["en"].words.split('\t').collect();
            for word in words {
                assert!(listed.contains(word) && !english.contains(word), "{word}");
            }
        }
        for word in ["also", "would", "however", "isn't", "ISN’T", "us"] {
            assert!(english.contains(word), "{word}");
        }
    }

    #[test]
    fn no_list_holds_punctuation() {
        for code in Stopwords::languages() {
            let list = Stopwords::of(code).unwrap();
            assert!(list.0.iter().all(|word| word.contains(char::is_alphanumeric)), "{code}");
        }
    }

    proptest! {
        #[test]
        fn case_and_composition_make_no_difference(word in "\\PC{0,8}") {
            let decomposed: String = word.nfd().collect();
            for code in ["en", "ar", "vi"] {
                let list = Stopwords::of(code).unwrap();
                prop_assert_eq!(list.contains(&word), list.contains(&decomposed));
                prop_assert_eq!(list.contains(&word), list.contains(&word.to_lowercase()));
            }
        }
    }
}
