//! Single values of the columns of a table, as text and as JSON.

use std::{borrow::Cow, io, sync::Arc};

use arrow_array::{Array, ArrayRef, cast::AsArray, downcast_dictionary_array, make_array};
use arrow_cast::{
    base64::{BASE64_STANDARD, Engine},
    display::{ArrayFormatter, FormatOptions},
};
use arrow_json::writer::{Encoder, EncoderFactory, EncoderOptions, NullableEncoder, make_encoder};
use arrow_schema::{ArrowError, DataType, Field, FieldRef};
use serde::Serializer as _;
use serde_json::{
    Serializer,
    ser::{CharEscape, CompactFormatter, Formatter},
};

/// The metadata of a column whose values are JSON.
pub(crate) const JSON: (&str, &str) = ("mesh", "json");

/// The value of a row as text: of JSON the text itself if it is a string, of bytes what they are
/// in UTF-8, of numbers and all else how they are printed. `None` if it is null, no such row is
/// there, or it has no text form. `field` is that of the column in its batch.
#[must_use]
pub fn text_of<'a>(column: &'a dyn Array, field: &Field, row: usize) -> Option<Cow<'a, str>> {
    let (column, row) = plain(column, row)?;
    let Some(text) = as_str(column, row) else {
        if is_binary(column.data_type()) {
            return std::str::from_utf8(as_bytes(column, row)?).ok().map(Cow::Borrowed);
        }
        let value = in_offset(column.slice(row, 1))?;
        let options = FormatOptions::default();
        let formatter = ArrayFormatter::try_new(value.as_ref(), &options).ok()?;
        return formatter.value(0).try_to_string().ok().map(Cow::Owned);
    };
    if !is_json(field) || !text.starts_with('"') {
        return Some(Cow::Borrowed(text));
    }
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(text) if !text.contains('\\') => Some(Cow::Borrowed(text)),
        _ => serde_json::from_str(text).ok().map(Cow::Owned),
    }
}

/// Whether the values of a column are texts, and not JSON in a text.
#[must_use]
pub fn is_text(field: &Field) -> bool {
    use DataType::{LargeUtf8, Utf8, Utf8View};
    matches!(field.data_type(), Utf8 | LargeUtf8 | Utf8View) && !is_json(field)
}

/// Whether the values of a column are bytes, which may be text or not.
#[must_use]
pub fn is_bytes(field: &Field) -> bool {
    match field.data_type() {
        DataType::Dictionary(_, values) => is_binary(values),
        of => is_binary(of),
    }
}

/// The value of a row of a column of bytes. `None` if it is null, no such row is there, or the
/// column is another.
#[must_use]
pub fn bytes_of(column: &dyn Array, row: usize) -> Option<&[u8]> {
    let (column, row) = plain(column, row)?;
    as_bytes(column, row)
}

/// The value of a row as JSON: dates and times as strings of RFC 3339 (without a zone, if the
/// column has none), values inside of lists and structs that are null as `null`; bytes as the text
/// that they are in UTF-8, inside of lists and structs in Base64. `None` if it is null, no such row
/// is there, or it has no JSON form: bytes that are no text, and numbers that are not finite.
/// `field` is that of the column in its batch.
#[must_use]
pub fn json_of(column: &dyn Array, field: &Field, row: usize) -> Option<String> {
    let mut json = String::new();
    push_json(&mut json, column, field, row).then_some(json)
}

/// As [`json_of`], at the end of other text. Whether there is something: else nothing is added.
#[must_use]
pub fn push_json(out: &mut String, column: &dyn Array, field: &Field, row: usize) -> bool {
    let Some((column, row)) = plain(column, row) else { return false };
    match as_str(column, row) {
        Some(json) if is_json(field) => out.push_str(json),
        Some(text) => push_json_text(out, text),
        None if is_binary(column.data_type()) => {
            let text = as_bytes(column, row).map(std::str::from_utf8);
            let Some(Ok(text)) = text else { return false };
            push_json_text(out, text);
        }
        None => match encoded(column, row) {
            Some(json) => out.push_str(&json),
            None => return false,
        },
    }
    true
}

/// Adds a text as a string of JSON.
pub fn push_json_text(out: &mut String, text: &str) {
    // Most texts stand as they are, and this is seen of many bytes at a time.
    if !text.bytes().fold(false, |any, byte| any | is_escaped(byte)) {
        out.reserve(text.len() + 2);
        out.push('"');
        out.push_str(text);
        out.push('"');
        return;
    }
    // Neither does what writes nor does what forms fail.
    let _ = Serializer::with_formatter(io::sink(), Pushed(out)).serialize_str(text);
}

/// Whether a byte of a text stands otherwise in JSON.
const fn is_escaped(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// Strings of JSON at the end of a text, not copied from bytes, of which it would have to be seen
/// that they are text.
struct Pushed<'a>(&'a mut String);

/// Bytes of an escape of JSON: `\u001f`.
const LONGEST_ESCAPE: usize = 6;

impl Formatter for Pushed<'_> {
    fn begin_string<W: io::Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.0.push('"');
        Ok(())
    }

    fn end_string<W: io::Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.0.push('"');
        Ok(())
    }

    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        _: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        self.0.push_str(fragment);
        Ok(())
    }

    fn write_char_escape<W: io::Write + ?Sized>(
        &mut self,
        _: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        let mut bytes = [0; LONGEST_ESCAPE];
        let mut room = bytes.as_mut_slice();
        CompactFormatter.write_char_escape(&mut room, escape)?;
        let written = LONGEST_ESCAPE - room.len();
        self.0.extend(bytes.into_iter().take(written).map(char::from));
        Ok(())
    }
}

/// Bytes inside of lists and structs, where JSON has nothing for them.
#[derive(Debug)]
struct InBase64;

/// A column of bytes, each value to be written in Base64.
struct Base64<'a>(&'a dyn Array);

impl EncoderFactory for InBase64 {
    fn make_default_encoder<'a>(
        &self,
        _: &'a FieldRef,
        array: &'a dyn Array,
        _: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder = || NullableEncoder::new(Box::new(Base64(array)), array.nulls().cloned());
        Ok(is_binary(array.data_type()).then(encoder))
    }
}

impl Encoder for Base64<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let text = BASE64_STANDARD.encode(as_bytes(self.0, row).unwrap_or_default());
        out.push(b'"');
        out.extend(text.bytes());
        out.push(b'"');
    }
}

/// A value that is no text as JSON.
fn encoded(column: &dyn Array, row: usize) -> Option<String> {
    let value = in_offset(column.slice(row, 1))?;
    let field = Arc::new(Field::new("value", value.data_type().clone(), true));
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let options = options.with_encoder_factory(Arc::new(InBase64));
    let mut encoder = make_encoder(&field, value.as_ref(), &options).ok()?;
    let mut json = Vec::new();
    encoder.encode(0, &mut json);
    // What is not finite is written so.
    String::from_utf8(json).ok().filter(|json| json != "null")
}

/// The column and row that hold a value that is not null: of a dictionary, its values.
fn plain(column: &dyn Array, row: usize) -> Option<(&dyn Array, usize)> {
    if row >= column.len() || column.is_null(row) || *column.data_type() == DataType::Null {
        return None;
    }
    if !matches!(column.data_type(), DataType::Dictionary(..)) {
        return Some((column, row));
    }
    downcast_dictionary_array!(
        column => plain(column.values().as_ref(), column.key(row)?),
        _ => None
    )
}

/// Times of the zone `UTC` as those of its offset: what writes them knows no zones by their names.
fn in_offset(column: ArrayRef) -> Option<ArrayRef> {
    let DataType::Timestamp(unit, Some(zone)) = column.data_type() else { return Some(column) };
    if !["UTC", "Etc/UTC", "Z"].contains(&zone.as_ref()) {
        return Some(column);
    }
    let kind = DataType::Timestamp(*unit, Some("+00:00".into()));
    Some(make_array(column.to_data().into_builder().data_type(kind).build().ok()?))
}

fn as_str(column: &dyn Array, row: usize) -> Option<&str> {
    match column.data_type() {
        DataType::Utf8 => Some(column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Some(column.as_string::<i64>().value(row)),
        DataType::Utf8View => Some(column.as_string_view().value(row)),
        _ => None,
    }
}

fn as_bytes(column: &dyn Array, row: usize) -> Option<&[u8]> {
    match column.data_type() {
        DataType::Binary => Some(column.as_binary::<i32>().value(row)),
        DataType::LargeBinary => Some(column.as_binary::<i64>().value(row)),
        DataType::BinaryView => Some(column.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => Some(column.as_fixed_size_binary().value(row)),
        _ => None,
    }
}

fn is_json(field: &Field) -> bool {
    field.metadata().get(JSON.0).is_some_and(|kind| kind == JSON.1)
}

fn is_binary(of: &DataType) -> bool {
    use DataType::{Binary, BinaryView, FixedSizeBinary, LargeBinary};
    matches!(of, Binary | LargeBinary | BinaryView | FixedSizeBinary(_))
}

#[cfg(test)]
mod tests {
    use arrow_array::{
        BinaryArray, BooleanArray, Decimal128Array, DictionaryArray, Float64Array, Int64Array,
        ListArray, NullArray, StringArray, StructArray, TimestampMillisecondArray,
        types::{Int8Type, Int64Type},
    };

    use super::*;

    #[test]
    fn values_have_forms() {
        let list = |values: Vec<Option<i64>>| {
            ListArray::from_iter_primitive::<Int64Type, _, _>([Some(values)])
        };
        let of = |name: &str, values: ArrayRef| {
            StructArray::from(vec![(
                Arc::new(Field::new(name, values.data_type().clone(), true)),
                values,
            )])
        };
        let time = || TimestampMillisecondArray::from(vec![1_500]);
        let words: DictionaryArray<Int8Type> = ["a\"b"].into_iter().collect();
        let number = Decimal128Array::from(vec![1_50]).with_precision_and_scale(5, 2).unwrap();
        let cases: Vec<(ArrayRef, Option<&str>, Option<&str>)> = vec![
            (Arc::new(StringArray::from(vec!["a\n"])), Some("a\n"), Some(r#""a\n""#)),
            (Arc::new(StringArray::from(vec![None::<&str>])), None, None),
            (Arc::new(words), Some("a\"b"), Some(r#""a\"b""#)),
            (Arc::new(Int64Array::from(vec![-7])), Some("-7"), Some("-7")),
            (Arc::new(Float64Array::from(vec![1.5])), Some("1.5"), Some("1.5")),
            (Arc::new(Float64Array::from(vec![f64::NAN])), Some("NaN"), None),
            (Arc::new(Float64Array::from(vec![f64::INFINITY])), Some("inf"), None),
            (Arc::new(BooleanArray::from(vec![true])), Some("true"), Some("true")),
            (Arc::new(number), Some("1.50"), Some("1.50")),
            (Arc::new(NullArray::new(1)), None, None),
            (Arc::new(list(vec![Some(1), None])), Some("[1, ]"), Some("[1,null]")),
            (
                Arc::new(of("a", Arc::new(Int64Array::from(vec![None])))),
                Some("{a: }"),
                Some(r#"{"a":null}"#),
            ),
            (Arc::new(BinaryArray::from_vec(vec![b"ab"])), Some("ab"), Some(r#""ab""#)),
            (Arc::new(BinaryArray::from_vec(vec![b"\xff"])), None, None),
            (
                Arc::new(of("a", Arc::new(BinaryArray::from_vec(vec![b"x"])))),
                Some("{a: 78}"),
                Some(r#"{"a":"eA=="}"#),
            ),
            (
                Arc::new(time()),
                Some("1970-01-01T00:00:01.500"),
                Some(r#""1970-01-01T00:00:01.500""#),
            ),
            (
                Arc::new(time().with_timezone("UTC")),
                Some("1970-01-01T00:00:01.500Z"),
                Some(r#""1970-01-01T00:00:01.500Z""#),
            ),
            (
                Arc::new(time().with_timezone("+00:00")),
                Some("1970-01-01T00:00:01.500Z"),
                Some(r#""1970-01-01T00:00:01.500Z""#),
            ),
        ];
        for (column, text, json) in cases {
            let field = Field::new("x", column.data_type().clone(), true);
            assert_eq!(text_of(column.as_ref(), &field, 0).as_deref(), text, "{column:?}");
            assert_eq!(json_of(column.as_ref(), &field, 0).as_deref(), json, "{column:?}");
            assert_eq!(text_of(column.as_ref(), &field, 1), None);
            assert_eq!(json_of(column.as_ref(), &field, 1), None);
        }
    }

    #[test]
    fn json_is_kept_and_its_strings_are_read() {
        let field = Field::new("x", DataType::Utf8, true)
            .with_metadata(std::collections::HashMap::from([(JSON.0.into(), JSON.1.into())]));
        for (json, text) in [
            (r#""5""#, "5"),
            ("5", "5"),
            (r#""""#, ""),
            (r#""a\u00e9\"\n""#, "aé\"\n"),
            (r#"["a"]"#, r#"["a"]"#),
        ] {
            let column = StringArray::from(vec![json]);
            assert_eq!(text_of(&column, &field, 0).as_deref(), Some(text));
            assert_eq!(json_of(&column, &field, 0).as_deref(), Some(json));
        }
    }
}
