use std::fmt;

use arrow_schema::FieldRef;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::Unusable;

/// Takes the values of some keys out of an object, as they are written.
#[derive(Clone, Copy)]
struct Pick<'n>(&'n [FieldRef]);

/// Which of the keys a key is.
struct Key<'n>(&'n [FieldRef]);

/// Takes the keys of an object, in their order.
struct Keys;

/// The values of some keys of the object that a line is, as they are written. Of a key that is
/// there twice, the last counts.
pub(super) fn pick<'a>(
    line: &'a [u8],
    keys: &[FieldRef],
) -> Result<Vec<Option<&'a str>>, Unusable> {
    parse(line, Pick(keys))
}

/// The keys of the object that a line is, in their order.
pub(super) fn keys(line: &[u8]) -> Result<Vec<String>, Unusable> {
    parse(line, Keys)
}

/// The values that say something: `null` says that there is none.
pub(super) fn told(mut values: Vec<Option<&str>>) -> Result<Vec<Option<&str>>, Unusable> {
    for value in &mut values {
        *value = value.filter(|value| *value != "null");
    }
    let sound = values.iter().flatten().all(|value| is_sound(value));
    if sound { Ok(values) } else { Err(Unusable::Encoding) }
}

/// Whether a value is text that can be told. JSON can write halves of characters, which are none.
fn is_sound(value: &str) -> bool {
    let suspect = value.contains("\\ud") || value.contains("\\uD");
    !suspect || serde_json::from_str::<serde_json::Value>(value).is_ok()
}

fn parse<'a, S: DeserializeSeed<'a>>(line: &'a [u8], seed: S) -> Result<S::Value, Unusable> {
    let text = std::str::from_utf8(line).map_err(|_| Unusable::Encoding)?;
    let mut from = serde_json::Deserializer::from_str(text);
    let parsed = seed.deserialize(&mut from).map_err(|_| Unusable::NotJson)?;
    from.end().map_err(|_| Unusable::NotJson)?;
    Ok(parsed)
}

impl<'de> DeserializeSeed<'de> for Pick<'_> {
    type Value = Vec<Option<&'de str>>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Pick<'_> {
    type Value = Vec<Option<&'de str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = vec![None; self.0.len()];
        while let Some(place) = map.next_key_seed(Key(self.0))? {
            match place.and_then(|place| values.get_mut(place)) {
                Some(value) => *value = Some(map.next_value::<&RawValue>()?.get()),
                None => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(values)
    }
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|other| other.name() == key))
    }
}

impl<'de> DeserializeSeed<'de> for Keys {
    type Value = Vec<String>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Keys {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut keys = Vec::new();
        while let Some((key, _)) = map.next_entry::<String, IgnoredAny>()? {
            keys.push(key);
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_schema::{DataType, Field};

    use super::*;

    #[test]
    fn values_are_as_they_are_written() {
        let name = |name| Arc::new(Field::new(name, DataType::Utf8, true));
        let names = [name("a"), name("é\"")];
        let cases = [
            ("{}", Ok([None, None])),
            (r#" {"a": 1.50 , "b": 2} "#, Ok([Some("1.50"), None])),
            (
                r#"{"\u00e9\"": [1,  {"x":null}], "a": null}"#,
                Ok([Some("null"), Some(r#"[1,  {"x":null}]"#)]),
            ),
            (r#"{"a": "x\n", "a": "y"}"#, Ok([Some("\"y\""), None])),
            (r#"{"a": 1"#, Err(Unusable::NotJson)),
            (r#"{"a": 1} x"#, Err(Unusable::NotJson)),
            (r#"["a"]"#, Err(Unusable::NotJson)),
            ("null", Err(Unusable::NotJson)),
            ("", Err(Unusable::NotJson)),
        ];
        for (line, expected) in cases {
            assert_eq!(pick(line.as_bytes(), &names), expected.map(Vec::from), "{line}");
        }
        assert_eq!(pick(b"{\"a\": \"\xff\"}", &names), Err(Unusable::Encoding));
        assert_eq!(keys(br#"{"b": 1, "a": {"c": 2}}"#).unwrap(), ["b", "a"]);
    }

    #[test]
    fn halves_of_characters_are_no_text() {
        for (value, expected) in
            [(r#""\ud83d\ude00""#, true), (r#""\ud83d""#, false), (r#"["\\ud83d"]"#, true)]
        {
            assert_eq!(is_sound(value), expected, "{value}");
        }
    }
}
