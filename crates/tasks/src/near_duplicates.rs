use mesh_core::{
    Answer, Example, LoadError, ModelFiles, Panel, PanelContent, PanelLine, Project, Refusal,
    RefusalKind,
};
use mesh_minhash::{Datasketch, MAX_PERMUTATIONS, MAX_SHINGLE, Options, OptionsError, Words};
use mesh_text::{Locale, Stopwords, treebank_words, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Text;

/// A signature per text: texts that share one of its strings are likely near-duplicates. There is
/// no model, the code is all.
pub struct NearDuplicates;

/// How it is asked.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NearDuplicatesParameters {
    /// The language of the text: en, fr, de, it, es, ca, pt, zh, ja or ko. It changes the
    /// signature only with `corrected`.
    pub language: String,
    /// Words in a shingle.
    #[schemars(range(min = 1, max = 100))]
    pub shingle_list: u32,
    /// The Jaccard similarity that the strings are made for: between 0 and 1, both excluded.
    #[schemars(extend("exclusiveMinimum" = 0.0, "exclusiveMaximum" = 1.0))]
    pub threshold: f64,
    /// Permutations of the signature.
    #[schemars(range(min = 2, max = 1024))]
    pub num_perm: u32,
    /// Whether stopwords of the language are removed, and words are told apart in scripts without
    /// spaces. Signatures made with it are not to be compared with others.
    pub corrected: bool,
}

/// The signature.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct BandKeys {
    /// A string per band, in base64; null for a text of fewer words than a shingle.
    pub signature: Option<Vec<String>>,
}

/// The languages that are answered.
const LANGUAGES: [&str; 10] = ["en", "fr", "de", "it", "es", "ca", "pt", "zh", "ja", "ko"];

impl Default for NearDuplicatesParameters {
    fn default() -> Self {
        Self {
            language: "en".into(),
            shingle_list: 5,
            threshold: 0.6,
            num_perm: 128,
            corrected: false,
        }
    }
}

impl Project for NearDuplicates {
    type Attributes = Text;
    type Parameters = NearDuplicatesParameters;
    type Prediction = BandKeys;

    const PANELS: &'static [&'static str] = &["likeness", "shingles"];

    fn load(_: &ModelFiles) -> Result<Self, LoadError> {
        Ok(Self)
    }

    fn sample() -> Text {
        Text { content: "Call functions to generate hash signatures for each article".into() }
    }

    fn predict(
        &self,
        batch: &[Example<Text, NearDuplicatesParameters>],
    ) -> Vec<Result<Answer<BandKeys>, Refusal>> {
        let answer = |example: &Example<Text, NearDuplicatesParameters>| {
            let (text, parameters) = (&example.attributes.content, &example.parameters);
            let locale = Locale::supported(&parameters.language, LANGUAGES)?;
            let hasher = Datasketch::new(parameters.options()).map_err(refusal)?;
            let words = parameters.words(text, &locale);
            Ok(BandKeys { signature: hasher.keys(&words) }.into())
        };
        batch.iter().map(answer).collect()
    }

    fn panels(
        &self,
        example: &Example<Text, NearDuplicatesParameters>,
        _: &BandKeys,
    ) -> Vec<Panel> {
        let parameters = &example.parameters;
        let hasher = Datasketch::new(parameters.options()).ok();
        let likeness = hasher.map(|hasher| parameters.likeness(hasher.bands()));
        let locale = Locale::supported(&parameters.language, LANGUAGES).ok();
        let words = locale.map(|locale| parameters.words(&example.attributes.content, &locale));
        likeness.into_iter().chain(words.map(|words| parameters.shingles(&words))).collect()
    }
}

/// Points of the line that tells how alike texts must be.
const POINTS: u32 = 50;
/// Runs of words that are shown.
const SHINGLES: usize = 12;

impl NearDuplicatesParameters {
    fn words(&self, text: &str, locale: &Locale) -> Words {
        match self.corrected {
            true => content_words(text, locale),
            false => Words::spaced(treebank_words(text)),
        }
    }

    /// The chance that two texts share a string, by how alike they are: `1 - (1 - s^r)^b` for b
    /// bands of r values (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, 3.4).
    fn likeness(&self, (bands, rows): (usize, usize)) -> Panel {
        let whole = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        let alike: Vec<f64> =
            (0..=POINTS).map(|point| f64::from(point) / f64::from(POINTS)).collect();
        let chance = |s: &f64| Some(1.0 - (1.0 - s.powi(whole(rows))).powi(whole(bands)));
        let place = alike.iter().position(|s| *s >= self.threshold - 1e-9);
        Panel {
            name: "likeness",
            title: "How alike texts must be".into(),
            note: format!(
                "The chance that two texts share a string, by the share of their runs of {} words \
                 that both have: {bands} strings of {rows} values each. The threshold is marked.",
                self.shingle_list
            ),
            content: PanelContent::Line {
                points: alike.iter().map(|s| format!("{:.0}%", s * 100.0)).collect(),
                lines: vec![PanelLine {
                    name: "chance".into(),
                    values: alike.iter().map(chance).collect(),
                }],
                place,
            },
        }
    }

    fn shingles(&self, words: &Words) -> Panel {
        let length = self.options().shingle;
        let all = words.shingles(length).count();
        let rows = words.shingles(length).take(SHINGLES).enumerate();
        Panel {
            name: "shingles",
            title: "Runs of words".into(),
            note: match all {
                0 => format!("The text has fewer than {length} words, so it has no signature."),
                _ => format!("The first of the {all} runs that the signature is made of."),
            },
            content: PanelContent::Table {
                columns: vec![String::new(), format!("{length} words")],
                rows: rows.map(|(at, run)| vec![(at + 1).to_string(), run.to_owned()]).collect(),
            },
        }
    }

    fn options(&self) -> Options {
        let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        Options {
            shingle: size(self.shingle_list),
            threshold: self.threshold,
            permutations: size(self.num_perm),
        }
    }
}

/// The words of a text in lower case, by the rules of Unicode, without stopwords.
fn content_words(text: &str, locale: &Locale) -> Words {
    let text = text.to_lowercase();
    let stopwords = Stopwords::of(locale.language());
    let kept = |word: &&str| !stopwords.is_some_and(|list| list.contains(word));
    words(&text).filter(kept).collect()
}

/// The refusal of parameters that cannot be followed, by their names in a request.
fn refusal(error: OptionsError) -> Refusal {
    let detail = match error {
        OptionsError::Shingle(words) => {
            format!("`shingle_list` is {words}; a shingle has 1 to {MAX_SHINGLE} words")
        }
        OptionsError::Threshold(threshold) => {
            format!("`threshold` is {threshold}; it lies between 0 and 1, both excluded")
        }
        OptionsError::Permutations(count) => {
            format!("`num_perm` is {count}; it lies in 2 to {MAX_PERMUTATIONS}")
        }
        other => other.to_string(),
    };
    Refusal::new(RefusalKind::InvalidParameter, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(content: &str, parameters: NearDuplicatesParameters) -> Result<BandKeys, Refusal> {
        let example = Example { attributes: Text { content: content.into() }, parameters };
        NearDuplicates.predict(&[example]).pop().unwrap().map(|answer| answer.prediction)
    }

    #[test]
    fn case_and_punctuation_do_not_matter_and_words_do() {
        let sample = NearDuplicates::sample().content;
        let plain = ask(&sample, NearDuplicatesParameters::default()).unwrap();
        let signature = plain.signature.clone().unwrap();
        assert_eq!(signature.len(), 18);
        assert_eq!(signature[0].len(), 76);
        let loud = format!("  {}!! ", sample.to_uppercase());
        assert_eq!(ask(&loud, NearDuplicatesParameters::default()).unwrap(), plain);
        let french = NearDuplicatesParameters { language: "fr-FR".into(), ..Default::default() };
        assert_eq!(ask(&sample, french).unwrap(), plain);
        let other = sample.replace("article", "text");
        assert_ne!(ask(&other, NearDuplicatesParameters::default()).unwrap(), plain);
    }

    #[test]
    fn the_corrected_mode_removes_stopwords_and_cuts_chinese() {
        let corrected = |language: &str| NearDuplicatesParameters {
            language: language.into(),
            shingle_list: 3,
            corrected: true,
            ..Default::default()
        };
        let one = ask("The bank left its rates unchanged on Monday", corrected("en")).unwrap();
        let two = ask("A bank left rates unchanged, Monday", corrected("en")).unwrap();
        assert!(one.signature.is_some());
        assert_eq!(one, two);
        let chinese = "中央银行星期一维持利率不变";
        assert!(ask(chinese, corrected("zh")).unwrap().signature.is_some());
        // As it is in the field, a text without spaces is one word.
        assert_eq!(ask(chinese, NearDuplicatesParameters::default()).unwrap().signature, None);
    }
}
