//! A WHERE of SQL, evaluated on batches of Arrow.
//!
//! `sqlparser` reads it, Arrow's kernels evaluate it; what is ours is which part of SQL it is, and
//! what a comparison means where columns are text whatever they hold, as in CSV and JSONL.
//!
//! ```
//! use std::sync::Arc;
//! use arrow_array::{Int64Array, RecordBatch, StringArray};
//! use mesh_filter::Filter;
//!
//! let languages = StringArray::from(vec![Some("en"), Some("de"), None]);
//! let stars = Int64Array::from(vec![5, 4, 5]);
//! let batch = RecordBatch::try_from_iter([
//!     ("lang", Arc::new(languages) as _),
//!     ("stars", Arc::new(stars) as _),
//! ])?;
//! let filter = Filter::parse("lang in ('en', 'fr') or stars between 1 and 4")?;
//! assert_eq!(filter.columns(), ["lang", "stars"]);
//! filter.check(&batch.schema())?;
//! let selected = filter.select(&batch)?;
//! assert_eq!(selected.iter().collect::<Vec<_>>(), [Some(true), Some(true), None]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod compare;
mod error;
mod parse;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, new_null_array};
use arrow_schema::{DataType, Schema};

pub use error::{FilterError, FilterErrorKind};

use compare::{Kind, Side, compare, like};
use parse::{Node, Operand, Test};

/// What selects rows.
#[derive(Debug, Clone)]
pub struct Filter {
    sql: String,
    columns: Vec<String>,
    node: Node,
    /// The columns whose texts stand for nothing else.
    texts: Vec<String>,
}

impl Filter {
    /// Parses a condition, such as `lang = 'en' and not (score < 0.2 or text is null)`.
    ///
    /// # Errors
    /// When it is no SQL, or of a part of SQL that is not followed: functions, arithmetic,
    /// subqueries.
    pub fn parse(sql: &str) -> Result<Self, FilterError> {
        let node = parse::parse(sql)?;
        let mut columns = Vec::new();
        node.columns(&mut columns);
        Ok(Self { sql: sql.trim().to_owned(), columns, node, texts: Vec::new() })
    }

    /// The same, where some columns hold text whatever it says: they are not compared with numbers.
    /// A text of any other column may stand for one.
    #[must_use]
    pub fn with_texts(self, is_text: impl Fn(&str) -> bool) -> Self {
        let texts = self.columns.iter().filter(|name| is_text(name)).cloned().collect();
        Self { texts, ..self }
    }

    /// The columns that it reads, each once, in the order in which they are named.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The condition as it was given.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Checks that the columns are there, and can be compared with what they are compared with.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn check(&self, schema: &Schema) -> Result<(), FilterError> {
        let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        if let Some(column) = self.columns.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(FilterError::no_column(column, &known));
        }
        // No row at all shows it as well as many do.
        self.select(&RecordBatch::new_empty(schema.clone().into())).map(drop)
    }

    /// Which rows of a batch it selects: those that are true, neither those that are false nor
    /// those that are null.
    ///
    /// # Errors
    /// When a column is not there, or cannot be compared.
    pub fn select(&self, batch: &RecordBatch) -> Result<BooleanArray, FilterError> {
        evaluate(&self.node, Rows { batch, texts: &self.texts })
    }
}

/// What is selected among.
#[derive(Clone, Copy)]
struct Rows<'a> {
    batch: &'a RecordBatch,
    texts: &'a [String],
}

fn evaluate(node: &Node, rows: Rows<'_>) -> Result<BooleanArray, FilterError> {
    let batch = rows.batch;
    let all = |parts: &[Node], join: compare::Join| {
        let mut result: Option<BooleanArray> = None;
        for part in parts {
            let part = evaluate(part, rows)?;
            result = Some(match result {
                None => part,
                Some(before) => join(&before, &part).map_err(FilterError::arrow)?,
            });
        }
        Ok(result.unwrap_or_else(|| BooleanArray::from(vec![true; batch.num_rows()])))
    };
    match node {
        Node::And(parts) => all(parts, arrow_arith::boolean::and_kleene),
        Node::Or(parts) => all(parts, arrow_arith::boolean::or_kleene),
        Node::Not(inner) => {
            let inner = evaluate(inner, rows)?;
            arrow_arith::boolean::not(&inner).map_err(FilterError::arrow)
        }
        Node::Constant(value) => Ok(BooleanArray::from(vec![*value; batch.num_rows()])),
        Node::Test(test) => evaluate_test(test, rows),
    }
}

fn evaluate_test(test: &Test, rows: Rows<'_>) -> Result<BooleanArray, FilterError> {
    let batch = rows.batch;
    match test {
        Test::Compare(left, operator, right) => {
            compare(&side(left, rows)?, *operator, &side(right, rows)?)
        }
        Test::In(operand, list) => {
            let column = side(operand, rows)?;
            let mut result: Option<BooleanArray> = None;
            for literal in list {
                let one = compare(&column, parse::Operator::Eq, &Side::Literal(literal))?;
                result = Some(match result {
                    None => one,
                    Some(before) => arrow_arith::boolean::or_kleene(&before, &one)
                        .map_err(FilterError::arrow)?,
                });
            }
            Ok(result.unwrap_or_else(|| BooleanArray::from(vec![false; batch.num_rows()])))
        }
        Test::Like(operand, pattern, case) => like(&side(operand, rows)?, pattern, *case),
        Test::IsNull(operand) => match side(operand, rows)? {
            Side::Column(column) => {
                arrow_arith::boolean::is_null(&column.array).map_err(FilterError::arrow)
            }
            Side::Literal(literal) => {
                let null = matches!(literal, parse::Literal::Null);
                Ok(BooleanArray::from(vec![null; batch.num_rows()]))
            }
        },
        Test::Truth(name) => {
            let column = column(name, rows)?;
            compare(
                &Side::Column(column),
                parse::Operator::Eq,
                &Side::Literal(&parse::Literal::Bool(true)),
            )
        }
    }
}

fn side<'a>(operand: &'a Operand, rows: Rows<'_>) -> Result<Side<'a>, FilterError> {
    match operand {
        Operand::Literal(literal) => Ok(Side::Literal(literal)),
        Operand::Column(name) => Ok(Side::Column(column(name, rows)?)),
    }
}

fn column(name: &str, Rows { batch, texts }: Rows<'_>) -> Result<compare::Column, FilterError> {
    let schema = batch.schema();
    let Some((at, field)) = schema.column_with_name(name) else {
        let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        return Err(FilterError::no_column(name, &known));
    };
    let array = batch.columns().get(at).cloned();
    let array: ArrayRef =
        array.unwrap_or_else(|| new_null_array(&DataType::Utf8, batch.num_rows()));
    let json = field.metadata().get("mesh").is_some_and(|kind| kind == "json");
    let kind = match json {
        true => Kind::Json,
        false if texts.iter().any(|text| text == name) => Kind::Text,
        false => Kind::Plain,
    };
    compare::Column::new(name, array, kind)
}
