use crate::language_code;

/// The language of a text as an ISO 639 code of two letters where there is one, else of three;
/// nothing where it is not clear.
#[must_use]
pub fn language(text: &str) -> Option<&'static str> {
    let found = whatlang::detect(text).filter(whatlang::Info::is_reliable)?;
    Some(code(found.lang()))
}

fn code(lang: whatlang::Lang) -> &'static str {
    match lang.code() {
        // What is told apart is written Chinese and Persian, by the codes of the spoken ones.
        "cmn" => "zh",
        "pes" => "fa",
        code => language_code(code),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_language_has_a_code_of_two_letters() {
        let all = whatlang::Lang::all().iter().map(|lang| code(*lang));
        let codes: BTreeSet<_> = all.collect();
        assert_eq!(codes.len(), whatlang::Lang::all().len());
        assert!(codes.iter().all(|code| code.len() == 2), "{codes:?}");
        assert!(["en", "zh", "fa", "nb", "et"].iter().all(|code| codes.contains(code)));
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
