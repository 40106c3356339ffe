//! What somebody probably meant.

/// The least likeness (of Jaro and Winkler, 0 to 1) of what is worth a question.
const LIKENESS: f64 = 0.75;

/// Of the known names the one that a given one is most like, if it is like one at all; of equals
/// the last.
///
/// ```
/// assert_eq!(mesh_core::nearest("lable", ["text", "label"]), Some("label"));
/// assert_eq!(mesh_core::nearest("price", ["text", "label"]), None);
/// ```
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(given, known), known))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

/// A text for a terminal: what would steer it is shown as `\u{fffd}`. For what comes from data.
#[must_use]
pub fn printable(text: &str) -> String {
    let plain = |c: char| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().map(plain).collect()
}

/// A text as one word of a shell's command line.
///
/// ```
/// assert_eq!(mesh_core::shell_word("news-topic@2"), "news-topic@2");
/// assert_eq!(mesh_core::shell_word("price < $5"), "'price < $5'");
/// ```
#[must_use]
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// The beginning of a help: a question whether the nearest name was meant, and a space; nothing
/// where no name is near.
///
/// ```
/// let help = format!("{}Known: text, label", mesh_core::did_you_mean("lable", ["text", "label"]));
/// assert_eq!(help, "did you mean `label`? Known: text, label");
/// ```
pub fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(given, known).map_or_else(String::new, |known| format!("did you mean `{known}`? "))
}
