/// The words of a text: runs of letters, digits and underscores.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// How many words a text has.
#[must_use]
pub fn word_count(text: &str) -> usize {
    words(text).count()
}
