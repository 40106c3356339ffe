//! Messages of serde in the words of those who write JSON and TOML.

/// Names of Rust's types, and what people call them.
const WORDS: [(&str, &str); 16] = [
    ("a sequence", "a list"),
    ("sequence", "list"),
    ("a map", "an object"),
    ("map", "object"),
    ("a borrowed string", "a string"),
    ("u8", "a whole number, 0 to 255"),
    ("u16", "a whole number, 0 to 65535"),
    ("u32", "a whole number, 0 or more"),
    ("u64", "a whole number, 0 or more"),
    ("usize", "a whole number, 0 or more"),
    ("i8", "a whole number"),
    ("i16", "a whole number"),
    ("i32", "a whole number"),
    ("i64", "a whole number"),
    ("f32", "a number"),
    ("f64", "a number"),
];

/// A message without the names of Rust's types. What stands in quotes is somebody's and stays.
pub(crate) fn plain(message: &str) -> String {
    let Some((found, expected)) = message.rsplit_once("expected ") else {
        return message.to_owned();
    };
    let found = match found.strip_prefix("invalid type: ") {
        Some(kind) => {
            let word = WORDS.iter().find(|(rust, _)| kind.strip_prefix(*rust) == Some(", "));
            word.map_or_else(|| found.to_owned(), |(_, word)| format!("invalid type: {word}, "))
        }
        None => found.to_owned(),
    };
    let expected =
        match (expected.split_once(' '), WORDS.iter().find(|(rust, _)| *rust == expected)) {
            (_, Some((_, word))) => *word,
            (Some(("struct", _)), _) => "an object",
            _ => expected,
        };
    format!("{found}expected {expected}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_rust_are_not_told() {
        for (message, told) in [
            ("invalid type: map, expected a sequence", "invalid type: object, expected a list"),
            (
                "invalid type: integer `3`, expected struct Entity",
                "invalid type: integer `3`, expected an object",
            ),
            (
                "invalid value: integer `-1`, expected u16",
                "invalid value: integer `-1`, expected a whole number, 0 to 65535",
            ),
            (
                "invalid type: string \"u8\", expected f64",
                "invalid type: string \"u8\", expected a number",
            ),
            ("missing field `a`", "missing field `a`"),
        ] {
            assert_eq!(plain(message), told);
        }
    }
}
