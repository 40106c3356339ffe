//! From SQL to conditions that can be evaluated.

use sqlparser::{
    ast::{BinaryOperator, DataType, Expr, InTarget, UnaryOperator, Value},
    dialect::GenericDialect,
    parser::{Parser, ParserError},
    tokenizer::Token,
};

use crate::{FilterError, FilterErrorKind};

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Constant(bool),
    Test(Test),
}

/// A condition without others in it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Test {
    Compare(Operand, Operator, Operand),
    In(Operand, Vec<Literal>),
    /// With the pattern as Arrow has it: a backslash before what is meant as it is.
    Like(Operand, String, Case),
    IsNull(Operand),
    /// A column that is true.
    Truth(String),
}

/// Whether case matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Sensitive,
    Insensitive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    Column(String),
    Literal(Literal),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text(String),
    /// A day or a moment, as it was written.
    Time(String),
}

/// Longest condition, in bytes: a chain of so many `and` can still be taken apart on any thread.
const MAX_LENGTH: usize = 16 << 10;
/// Conditions in conditions, at most.
const MAX_DEPTH: usize = 40;

pub(crate) fn parse(sql: &str) -> Result<Node, FilterError> {
    let text = sql.trim().trim_end_matches(';').trim_end();
    let text = match text.split_once(char::is_whitespace) {
        Some((word, rest)) if word.eq_ignore_ascii_case("where") => rest.trim_start(),
        None if text.eq_ignore_ascii_case("where") => "",
        _ => text,
    };
    if text.is_empty() {
        return Err(FilterError::new(FilterErrorKind::Empty));
    }
    if text.len() > MAX_LENGTH {
        let what = format!("it has {} bytes, the most is {MAX_LENGTH}", text.len());
        return Err(FilterError::new(FilterErrorKind::TooLarge(what)));
    }
    let dialect = GenericDialect {};
    let parser = Parser::new(&dialect).with_recursion_limit(MAX_DEPTH);
    let mut parser = parser.try_with_sql(text).map_err(syntax)?;
    let expression = parser.parse_expr().map_err(syntax)?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        let at = rest.span.start;
        let place = format!("line {}, column {}", at.line, at.column);
        let what = format!("`{}` at {place} is too much", rest.token);
        return Err(FilterError::new(FilterErrorKind::Syntax(mesh_core::printable(&what))));
    }
    node(&expression, 0)
}

fn syntax(error: ParserError) -> FilterError {
    let kind = match error {
        ParserError::RecursionLimitExceeded => too_deep(),
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => {
            FilterErrorKind::Syntax(mesh_core::printable(&text))
        }
    };
    FilterError::new(kind)
}

fn too_deep() -> FilterErrorKind {
    FilterErrorKind::TooLarge("too many conditions lie in each other".into())
}

fn node(expression: &Expr, depth: usize) -> Result<Node, FilterError> {
    if depth > MAX_DEPTH * 2 {
        return Err(FilterError::new(too_deep()));
    }
    let inner = |expression: &Expr| node(expression, depth + 1);
    let not = |negated: bool, node: Node| if negated { Node::Not(Box::new(node)) } else { node };
    match expression {
        Expr::Nested(nested) => inner(nested),
        Expr::BinaryOp { op: BinaryOperator::And, .. } => {
            let parts = chain(expression, &BinaryOperator::And);
            parts.into_iter().map(inner).collect::<Result<_, _>>().map(Node::And)
        }
        Expr::BinaryOp { op: BinaryOperator::Or, .. } => {
            let parts = chain(expression, &BinaryOperator::Or);
            parts.into_iter().map(inner).collect::<Result<_, _>>().map(Node::Or)
        }
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => Ok(not(true, inner(expr)?)),
        Expr::BinaryOp { left, op, right } => {
            let operator = operator(op).ok_or_else(|| FilterError::unsupported(expression))?;
            match (operand(left)?, operand(right)?) {
                (Operand::Literal(_), Operand::Literal(_)) => Err(no_column(expression)),
                (left, right) => Ok(Node::Test(Test::Compare(left, operator, right))),
            }
        }
        Expr::In { expr, target: InTarget::List(list), negated, global: false } => {
            let list: Result<Vec<Literal>, _> = list
                .iter()
                .map(|item| match operand(item)? {
                    Operand::Literal(literal) => Ok(literal),
                    Operand::Column(_) => Err(FilterError::unsupported(format!("in ({item})"))),
                })
                .collect();
            Ok(not(*negated, Node::Test(Test::In(column(expr)?, list?))))
        }
        Expr::Between { expr, negated, low, high } => {
            let least = Test::Compare(column(expr)?, Operator::GtEq, operand(low)?);
            let most = Test::Compare(column(expr)?, Operator::LtEq, operand(high)?);
            Ok(not(*negated, Node::And(vec![Node::Test(least), Node::Test(most)])))
        }
        Expr::Like { negated, any: false, expr, pattern, escape_char } => {
            let pattern = like_pattern(pattern, escape_char.as_deref())?;
            let test = Test::Like(column(expr)?, pattern, Case::Sensitive);
            Ok(not(*negated, Node::Test(test)))
        }
        Expr::ILike { negated, any: false, expr, pattern, escape_char } => {
            let pattern = like_pattern(pattern, escape_char.as_deref())?;
            let test = Test::Like(column(expr)?, pattern, Case::Insensitive);
            Ok(not(*negated, Node::Test(test)))
        }
        Expr::IsNull(expr) => Ok(Node::Test(Test::IsNull(column(expr)?))),
        Expr::IsNotNull(expr) => Ok(not(true, Node::Test(Test::IsNull(column(expr)?)))),
        other => match operand(other)? {
            Operand::Column(name) => Ok(Node::Test(Test::Truth(name))),
            Operand::Literal(Literal::Bool(value)) => Ok(Node::Constant(value)),
            Operand::Literal(_) => Err(FilterError::unsupported(other)),
        },
    }
}

/// The parts of `a and b and c`, which lie in each other on the left.
fn chain<'a>(expression: &'a Expr, operator: &BinaryOperator) -> Vec<&'a Expr> {
    let mut parts = Vec::new();
    let mut next = expression;
    while let Expr::BinaryOp { left, op, right } = next
        && op == operator
    {
        parts.push(right.as_ref());
        next = left;
    }
    parts.push(next);
    parts.reverse();
    parts
}

const fn operator(operator: &BinaryOperator) -> Option<Operator> {
    match operator {
        BinaryOperator::Eq => Some(Operator::Eq),
        BinaryOperator::NotEq => Some(Operator::NotEq),
        BinaryOperator::Lt => Some(Operator::Lt),
        BinaryOperator::LtEq => Some(Operator::LtEq),
        BinaryOperator::Gt => Some(Operator::Gt),
        BinaryOperator::GtEq => Some(Operator::GtEq),
        _ => None,
    }
}

/// An operand that is a column.
fn column(expression: &Expr) -> Result<Operand, FilterError> {
    let found = operand(expression)?;
    match found {
        Operand::Column(_) => Ok(found),
        Operand::Literal(_) => Err(no_column(expression)),
    }
}

fn no_column(expression: &Expr) -> FilterError {
    let what: String = expression.to_string().chars().take(60).collect();
    let what = format!("no column stands in `{}`", mesh_core::printable(&what));
    FilterError::new(FilterErrorKind::Syntax(what))
}

fn operand(expression: &Expr) -> Result<Operand, FilterError> {
    match expression {
        Expr::Identifier(name) => Ok(Operand::Column(name.value.clone())),
        Expr::Nested(nested) => match nested.as_ref() {
            Expr::Nested(_) => Err(FilterError::unsupported("((value))")),
            inner => operand(inner),
        },
        Expr::Value(value) => literal(&value.value).map(Operand::Literal),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match operand(expr)? {
            Operand::Literal(Literal::Integer(value)) => {
                Ok(Operand::Literal(Literal::Integer(value.wrapping_neg())))
            }
            Operand::Literal(Literal::Number(value)) => {
                Ok(Operand::Literal(Literal::Number(-value)))
            }
            _ => Err(FilterError::unsupported(expression)),
        },
        Expr::TypedString(typed) => match (&typed.data_type, &typed.value.value) {
            (DataType::Date | DataType::Timestamp(..), Value::SingleQuotedString(text)) => {
                Ok(Operand::Literal(Literal::Time(text.clone())))
            }
            _ => Err(FilterError::unsupported(expression)),
        },
        Expr::BinaryOp { op, .. }
            if operator(op).is_some() || matches!(op, BinaryOperator::And | BinaryOperator::Or) =>
        {
            Err(FilterError::nested(expression))
        }
        other => Err(FilterError::unsupported(other)),
    }
}

fn literal(value: &Value) -> Result<Literal, FilterError> {
    match value {
        Value::Null => Ok(Literal::Null),
        Value::Boolean(value) => Ok(Literal::Bool(*value)),
        Value::SingleQuotedString(text) => Ok(Literal::Text(text.clone())),
        Value::Number(text, _) => match text.parse::<i64>() {
            Ok(value) => Ok(Literal::Integer(value)),
            Err(_) => text.parse().map(Literal::Number).map_err(|_| FilterError::unsupported(text)),
        },
        other => Err(FilterError::unsupported(other)),
    }
}

/// A pattern with a backslash before what is meant as it is.
fn like_pattern(pattern: &Expr, escape: Option<&Expr>) -> Result<String, FilterError> {
    let text = |expression: &Expr| match operand(expression)? {
        Operand::Literal(Literal::Text(text)) => Ok(text),
        _ => Err(FilterError::unsupported(format!("like {expression}"))),
    };
    let given = text(pattern)?;
    let Some(escape) = escape.map(text).transpose()? else { return Ok(given) };
    let mut escapes = escape.chars();
    let (Some(escape), None) = (escapes.next(), escapes.next()) else {
        return Err(FilterError::unsupported(format!("escape '{escape}'")));
    };
    let mut out = String::new();
    let mut chars = given.chars();
    while let Some(next) = chars.next() {
        match next {
            c if c == escape => {
                out.push('\\');
                out.extend(chars.next());
            }
            '\\' => out.push_str("\\\\"),
            c => out.push(c),
        }
    }
    Ok(out)
}

impl Node {
    /// The columns in it, each once.
    pub(crate) fn columns(&self, out: &mut Vec<String>) {
        let mut add = |name: &String| {
            if !out.contains(name) {
                out.push(name.clone());
            }
        };
        let mut operand = |operand: &Operand| {
            if let Operand::Column(name) = operand {
                add(name);
            }
        };
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.columns(out)),
            Self::Not(inner) => inner.columns(out),
            Self::Constant(_) => {}
            Self::Test(Test::Compare(left, _, right)) => {
                operand(left);
                operand(right);
            }
            Self::Test(Test::In(one, _) | Test::Like(one, ..) | Test::IsNull(one)) => operand(one),
            Self::Test(Test::Truth(name)) => add(name),
        }
    }
}
