/// The language of a text as an ISO 639 code of two letters where there is one, else of three;
/// nothing where it is not clear.
#[must_use]
pub fn language(text: &str) -> Option<&'static str> {
    let found = whatlang::detect(text).filter(whatlang::Info::is_reliable)?;
    let code = found.lang().code();
    let two = TWO_LETTERS.iter().find(|(three, _)| *three == code).map(|(_, two)| *two);
    Some(two.unwrap_or(code))
}

/// ISO 639-3 codes with their ISO 639-1 codes, for the languages that are told apart.
const TWO_LETTERS: &[(&str, &str)] = &[
    ("afr", "af"),
    ("aka", "ak"),
    ("amh", "am"),
    ("ara", "ar"),
    ("aze", "az"),
    ("bel", "be"),
    ("ben", "bn"),
    ("bul", "bg"),
    ("cat", "ca"),
    ("ces", "cs"),
    ("cmn", "zh"),
    ("cym", "cy"),
    ("dan", "da"),
    ("deu", "de"),
    ("ell", "el"),
    ("eng", "en"),
    ("epo", "eo"),
    ("est", "et"),
    ("fin", "fi"),
    ("fra", "fr"),
    ("guj", "gu"),
    ("heb", "he"),
    ("hin", "hi"),
    ("hrv", "hr"),
    ("hun", "hu"),
    ("hye", "hy"),
    ("ind", "id"),
    ("ita", "it"),
    ("jav", "jv"),
    ("jpn", "ja"),
    ("kan", "kn"),
    ("kat", "ka"),
    ("khm", "km"),
    ("kor", "ko"),
    ("lat", "la"),
    ("lav", "lv"),
    ("lit", "lt"),
    ("mal", "ml"),
    ("mar", "mr"),
    ("mkd", "mk"),
    ("mya", "my"),
    ("nep", "ne"),
    ("nld", "nl"),
    ("nob", "nb"),
    ("ori", "or"),
    ("pan", "pa"),
    ("pes", "fa"),
    ("pol", "pl"),
    ("por", "pt"),
    ("ron", "ro"),
    ("rus", "ru"),
    ("sin", "si"),
    ("slk", "sk"),
    ("slv", "sl"),
    ("sna", "sn"),
    ("spa", "es"),
    ("srp", "sr"),
    ("swe", "sv"),
    ("tam", "ta"),
    ("tel", "te"),
    ("tgl", "tl"),
    ("tha", "th"),
    ("tuk", "tk"),
    ("tur", "tr"),
    ("ukr", "uk"),
    ("urd", "ur"),
    ("uzb", "uz"),
    ("vie", "vi"),
    ("yid", "yi"),
    ("zul", "zu"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_language_has_one_code() {
        let three: BTreeSet<_> = TWO_LETTERS.iter().map(|(three, _)| three).collect();
        let two: BTreeSet<_> = TWO_LETTERS.iter().map(|(_, two)| two).collect();
        assert_eq!((three.len(), two.len()), (TWO_LETTERS.len(), TWO_LETTERS.len()));
        for lang in whatlang::Lang::all() {
            assert!(three.contains(&lang.code()), "{}", lang.code());
        }
    }

    #[test]
    fn what_is_no_language_has_no_code() {
        let french = "Le gouvernement a annoncé hier que les impôts ne seraient pas augmentés \
                      cette année, malgré les difficultés que rencontre le pays.";
        assert_eq!(language(french), Some("fr"));
        assert_eq!(language(""), None);
        assert_eq!(language("12345 !!"), None);
    }
}
