//! What it means to compare columns with each other and with values.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Datum, Decimal128Array, Float64Array, LargeStringArray, Scalar,
    StringArray, new_null_array,
};
use arrow_cast::{CastOptions, cast, cast_with_options};
use arrow_ord::cmp;
use arrow_schema::{ArrowError, DataType};
use arrow_string::like as patterns;

use crate::{
    FilterError,
    parse::{Case, Literal, Operator},
};

/// How two conditions become one.
pub(crate) type Join = fn(&BooleanArray, &BooleanArray) -> Result<BooleanArray, ArrowError>;

/// What is compared.
pub(crate) enum Side<'a> {
    Column(Column),
    Literal(&'a Literal),
}

/// What a column of text holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Values of any type, as they are written.
    Plain,
    /// Values of any type, as JSON.
    Json,
    /// Text, whatever it says.
    Text,
}

/// A column that can be compared.
pub(crate) struct Column {
    name: String,
    pub(crate) array: ArrayRef,
    family: Family,
}

/// What a column holds, as far as comparing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Text,
    /// Text that may stand for a number, as in CSV.
    Untyped,
    Integer,
    Number,
    Bool,
    Time,
    Other,
}

/// Whole numbers of any type, exactly.
const WIDE: DataType = DataType::Decimal128(38, 0);

impl Column {
    /// A column: dictionaries are unpacked, and what JSON quotes is unquoted.
    pub(crate) fn new(name: &str, array: ArrayRef, kind: Kind) -> Result<Self, FilterError> {
        let array = match array.data_type() {
            DataType::Dictionary(_, values) => cast(&array, values).map_err(FilterError::arrow)?,
            _ => array,
        };
        let (array, family) = match array.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                let text = cast(&array, &DataType::LargeUtf8).map_err(FilterError::arrow)?;
                let text = if kind == Kind::Json { unquoted(&text) } else { text };
                (text, if kind == Kind::Text { Family::Text } else { Family::Untyped })
            }
            // What is no text in it is null.
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
                let text = cast(&array, &DataType::LargeUtf8).map_err(FilterError::arrow)?;
                (text, Family::Text)
            }
            DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
            | DataType::UInt64 => (array, Family::Integer),
            DataType::Float16
            | DataType::Float32
            | DataType::Float64
            | DataType::Decimal128(..)
            | DataType::Decimal256(..) => (array, Family::Number),
            DataType::Boolean => (array, Family::Bool),
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => (array, Family::Time),
            _ => (array, Family::Other),
        };
        Ok(Self { name: name.to_owned(), array, family })
    }

    fn to(&self, kind: &DataType) -> Result<ArrayRef, FilterError> {
        cast(&self.array, kind).map_err(FilterError::arrow)
    }

    fn against(&self, what: &str) -> FilterError {
        let holds = match self.family {
            Family::Text | Family::Untyped => "text".to_owned(),
            Family::Integer | Family::Number => "numbers".to_owned(),
            Family::Bool => "true and false".to_owned(),
            Family::Time => "times".to_owned(),
            Family::Other => format!("values of the type {}", self.array.data_type()),
        };
        let name = mesh_core::printable(&self.name);
        FilterError::types(format!("`{name}` holds {holds}, which cannot be compared with {what}"))
    }
}

/// Compares two sides; null where one of them is.
pub(crate) fn compare(
    left: &Side<'_>,
    operator: Operator,
    right: &Side<'_>,
) -> Result<BooleanArray, FilterError> {
    match (left, right) {
        (Side::Column(column), Side::Literal(literal)) => with_literal(column, operator, literal),
        (Side::Literal(literal), Side::Column(column)) => {
            with_literal(column, turned(operator), literal)
        }
        (Side::Column(one), Side::Column(two)) => columns(one, operator, two),
        (Side::Literal(_), Side::Literal(_)) => {
            Err(FilterError::unsupported("a value compared with a value"))
        }
    }
}

/// The operator with its sides changed.
const fn turned(operator: Operator) -> Operator {
    match operator {
        Operator::Lt => Operator::Gt,
        Operator::LtEq => Operator::GtEq,
        Operator::Gt => Operator::Lt,
        Operator::GtEq => Operator::LtEq,
        same => same,
    }
}

fn with_literal(
    column: &Column,
    operator: Operator,
    literal: &Literal,
) -> Result<BooleanArray, FilterError> {
    let scalar = |array: ArrayRef| Scalar::new(array);
    let number = |value: f64| {
        let found = column.to(&DataType::Float64)?;
        apply(operator, &found, &scalar(Arc::new(Float64Array::from(vec![value]))))
    };
    match (column.family, literal) {
        (_, Literal::Null) => {
            let null = new_null_array(&DataType::Boolean, column.array.len());
            Ok(null
                .as_any()
                .downcast_ref::<BooleanArray>()
                .cloned()
                .unwrap_or_else(|| BooleanArray::from(vec![false; column.array.len()])))
        }
        (Family::Text | Family::Untyped, Literal::Text(text) | Literal::Time(text)) => {
            let text = LargeStringArray::from(vec![text.as_str()]);
            apply(operator, &column.array, &scalar(Arc::new(text)))
        }
        (Family::Integer, Literal::Integer(value)) => {
            let value = Decimal128Array::from(vec![i128::from(*value)])
                .with_precision_and_scale(38, 0)
                .map_err(FilterError::arrow)?;
            apply(operator, &column.to(&WIDE)?, &scalar(Arc::new(value)))
        }
        #[expect(clippy::cast_precision_loss, reason = "numbers with a fraction, or text")]
        (Family::Untyped | Family::Number, Literal::Integer(value)) => number(*value as f64),
        (Family::Untyped | Family::Number | Family::Integer, Literal::Number(value)) => {
            number(*value)
        }
        (Family::Untyped | Family::Bool, Literal::Bool(value)) => {
            let found = column.to(&DataType::Boolean)?;
            apply(operator, &found, &scalar(Arc::new(BooleanArray::from(vec![*value]))))
        }
        (Family::Time, Literal::Text(text) | Literal::Time(text)) => {
            let given: ArrayRef = Arc::new(StringArray::from(vec![text.as_str()]));
            let options = CastOptions { safe: false, ..CastOptions::default() };
            let time = cast_with_options(&given, column.array.data_type(), &options);
            let time = time.map_err(|_| {
                let text: String = text.chars().take(40).collect();
                let what = format!("'{}', which is no time", mesh_core::printable(&text));
                column.against(&what)
            })?;
            apply(operator, &column.array, &scalar(time))
        }
        (_, Literal::Text(_)) => Err(column.against("text")),
        (_, Literal::Time(_)) => Err(column.against("a time")),
        (_, Literal::Bool(_)) => Err(column.against("true or false")),
        (_, Literal::Integer(_) | Literal::Number(_)) => Err(column.against("a number")),
    }
}

fn columns(one: &Column, operator: Operator, two: &Column) -> Result<BooleanArray, FilterError> {
    let kind = match (one.family, two.family) {
        (Family::Text | Family::Untyped, Family::Text | Family::Untyped) => DataType::LargeUtf8,
        (Family::Integer, Family::Integer) => WIDE,
        (Family::Bool, Family::Bool) => DataType::Boolean,
        (Family::Time, Family::Time) => one.array.data_type().clone(),
        (
            Family::Integer | Family::Number | Family::Untyped,
            Family::Integer | Family::Number | Family::Untyped,
        ) => DataType::Float64,
        _ => {
            let what = format!("the column `{}`", mesh_core::printable(&two.name));
            return Err(one.against(&what));
        }
    };
    apply(operator, &one.to(&kind)?, &two.to(&kind)?)
}

fn apply(
    operator: Operator,
    left: &dyn Datum,
    right: &dyn Datum,
) -> Result<BooleanArray, FilterError> {
    let found = match operator {
        Operator::Eq => cmp::eq(left, right),
        Operator::NotEq => cmp::neq(left, right),
        Operator::Lt => cmp::lt(left, right),
        Operator::LtEq => cmp::lt_eq(left, right),
        Operator::Gt => cmp::gt(left, right),
        Operator::GtEq => cmp::gt_eq(left, right),
    };
    found.map_err(FilterError::arrow)
}

/// Compares text with a pattern of SQL.
pub(crate) fn like(
    side: &Side<'_>,
    pattern: &str,
    case: Case,
) -> Result<BooleanArray, FilterError> {
    let Side::Column(column) = side else {
        return Err(FilterError::unsupported("a value compared with a pattern"));
    };
    if !matches!(column.family, Family::Text | Family::Untyped) {
        return Err(column.against("a pattern"));
    }
    let pattern = Scalar::new(LargeStringArray::from(vec![pattern]));
    let found = match case {
        Case::Sensitive => patterns::like(&column.array, &pattern),
        Case::Insensitive => patterns::ilike(&column.array, &pattern),
    };
    found.map_err(FilterError::arrow)
}

/// Values of JSON as text: what is quoted without quotes, `null` as null.
fn unquoted(array: &ArrayRef) -> ArrayRef {
    let Some(texts) = array.as_any().downcast_ref::<LargeStringArray>() else {
        return Arc::clone(array);
    };
    let plain = |json: Option<&str>| {
        let json = json?.trim();
        match json {
            "null" => None,
            _ if json.starts_with('"') => serde_json::from_str::<String>(json).ok(),
            _ => Some(json.to_owned()),
        }
    };
    Arc::new(texts.iter().map(plain).collect::<LargeStringArray>())
}
