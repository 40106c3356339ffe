//! Conditions, as SQL has them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::{collections::HashMap, sync::Arc};

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, DictionaryArray, Float64Array, Int64Array, ListArray,
    RecordBatch, StringArray, TimestampMillisecondArray, UInt64Array,
    types::{Int32Type, Int64Type},
};
use arrow_schema::{Field, Schema};
use mesh_filter::{Filter, FilterErrorKind};
use miette::Diagnostic;
use proptest::prelude::*;

fn batch() -> RecordBatch {
    let json = StringArray::from(vec![
        Some("\"en\""),
        Some("5"),
        Some("null"),
        None,
        Some("\"a \\\"b\\\"\""),
        Some("true"),
    ]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "lang",
            Arc::new(StringArray::from(vec![
                Some("en"),
                Some("de"),
                None,
                Some("EN"),
                Some("5"),
                Some(""),
            ])),
        ),
        (
            "stars",
            Arc::new(Int64Array::from(vec![
                Some(1),
                Some(5),
                Some(3),
                None,
                Some(-2),
                Some(i64::MAX),
            ])),
        ),
        ("big", Arc::new(UInt64Array::from(vec![0, 1, 2, 3, 4, u64::MAX]))),
        (
            "score",
            Arc::new(Float64Array::from(vec![
                Some(0.5),
                Some(1.0),
                None,
                Some(0.25),
                Some(f64::NAN),
                Some(-1.0),
            ])),
        ),
        (
            "good",
            Arc::new(BooleanArray::from(vec![
                Some(true),
                Some(false),
                None,
                Some(true),
                Some(true),
                Some(false),
            ])),
        ),
        ("day", Arc::new(Date32Array::from(vec![0, 1, 19_000, 20_000, 20_001, 30_000]))),
        ("at", Arc::new(TimestampMillisecondArray::from(vec![0, 1, 2, 86_400_000, 4, 5]))),
        (
            "kind",
            Arc::new(
                ["a", "b", "a", "c", "a", "b"].into_iter().collect::<DictionaryArray<Int32Type>>(),
            ),
        ),
        ("a \"column\"", Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5, 6]))),
        (
            "list",
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
                Some(vec![Some(1)]);
                6
            ])),
        ),
    ];
    let mut fields: Vec<Field> = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), true))
        .collect();
    let mut arrays: Vec<ArrayRef> = columns.into_iter().map(|(_, column)| column).collect();
    let field = Field::new("json", arrow_schema::DataType::Utf8, true);
    fields.push(field.with_metadata(HashMap::from([("mesh".into(), "json".into())])));
    arrays.push(Arc::new(json));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

/// What a condition is for each row: 1, 0, or `-` for null.
fn told(sql: &str) -> String {
    let filter = Filter::parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let batch = batch();
    filter.check(&batch.schema()).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let selected = filter.select(&batch).unwrap();
    selected.iter().map(|row| row.map_or('-', |row| if row { '1' } else { '0' })).collect()
}

#[test]
fn conditions() {
    let cases = [
        ("lang = 'en'", "10-000"),
        ("where lang = 'en';", "10-000"),
        ("'en' = lang", "10-000"),
        ("lang <> 'en'", "01-111"),
        ("lang != 'en' or lang is null", "011111"),
        ("lang is null", "001000"),
        ("lang is not null", "110111"),
        ("not lang = 'en'", "01-111"),
        ("lang in ('en', 'de')", "11-000"),
        ("lang not in ('en', 'de')", "00-111"),
        ("lang in ('en', null)", "1-----"),
        ("lang not in ('en', null)", "0-----"),
        ("lang = null", "------"),
        ("lang like 'e%'", "10-000"),
        ("lang ilike 'e_'", "10-100"),
        ("lang not like '%e%'", "00-111"),
        ("lang like 'e!%' escape '!'", "00-000"),
        ("stars > 2", "011-01"),
        ("2 < stars", "011-01"),
        ("stars between 1 and 3", "101-00"),
        ("stars not between 1 and 3", "010-11"),
        ("stars = -2", "000-10"),
        ("stars >= 9223372036854775807", "000-01"),
        ("stars = 9223372036854775806", "000-00"),
        ("big > 9223372036854775806", "000001"),
        ("stars > 2.5", "011-01"),
        ("score < 0.5", "00-101"),
        ("score = 1", "01-000"),
        ("stars > score", "11--01"),
        ("stars = big", "000-00"),
        ("good", "10-110"),
        ("not good", "01-001"),
        ("good = true and stars > 0", "10--00"),
        ("good or stars > 2", "111111"),
        ("(good)", "10-110"),
        ("day >= '2022-01-08'", "001111"),
        ("day between date '1970-01-01' and date '1970-01-02'", "110000"),
        ("at = timestamp '1970-01-02 00:00:00'", "000100"),
        ("kind = 'a'", "101010"),
        ("kind in ('b', 'c')", "010101"),
        ("\"a \"\"column\"\"\" > 3", "000111"),
        ("list is null", "000000"),
        ("lang > 4", "----1-"),
        ("lang = 5", "----1-"),
        ("json = 'en'", "10--00"),
        ("json = 5", "-1----"),
        ("json = 'a \"b\"'", "00--10"),
        ("json = true", "-----1"),
        ("json is null", "001100"),
        ("true", "111111"),
        ("false or lang = 'de'", "01-000"),
        ("lang = 'en' and stars = 1 and good", "100000"),
    ];
    for (sql, expected) in cases {
        // NaN lies above all numbers, as in Arrow and PostgreSQL.
        assert_eq!(told(sql), expected, "{sql}");
    }
}

#[test]
fn conditions_that_cannot_be_followed_are_told() {
    let cases = [
        ("", "it is empty"),
        ("where ", "it is empty"),
        ("lang =", "xpected"),
        ("lang = 'en", "nterminated"),
        ("lang = 'en' order by lang", "`order` at"),
        ("lang = 'en'; drop table x", "too much"),
        ("length(lang) > 3", "`length(lang)` is not supported"),
        ("stars + 1 > 2", "`stars + 1` is not supported"),
        ("exists (select 1)", "is not supported"),
        ("lang in (select 1)", "is not supported"),
        ("case when good then 1 end = 1", "is not supported"),
        ("1 = 1", "no column stands in `1 = 1`"),
        ("'x'", "`'x'` is not supported"),
        ("lang || 'a' = 'b'", "is not supported"),
        ("ner.entities is null", "`ner.entities` is not supported"),
        ("stars >= 1 = true", "`stars >= 1` is a condition, and stands in the place of a column"),
        ("(stars = 1) is null", "`stars = 1` is a condition"),
    ];
    for (sql, expected) in cases {
        let error = Filter::parse(sql).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(expected), "{sql}: {error}");
    }
    let help = |sql: &str| {
        let error = Filter::parse(sql).and_then(|filter| filter.check(&batch().schema()));
        error.unwrap_err().help().map(|help| help.to_string()).unwrap_or_default()
    };
    assert!(help("day = 5").contains("date '2026-01-31'"), "{}", help("day = 5"));
    assert!(help("stars = 1 = true").contains("put conditions together with and"));
    assert!(help(&"good and ".repeat(9000)).contains("say it by less"));
    let schema = batch().schema();
    let cases = [
        ("lagn = 'en'", "there is no column `lagn`"),
        ("stars = 'en'", "`stars` holds numbers, which cannot be compared with text"),
        ("stars = true", "cannot be compared with true or false"),
        ("day = 5", "`day` holds times, which cannot be compared with a number"),
        ("day = 'yesterday'", "'yesterday', which is no time"),
        ("stars like 'a%'", "cannot be compared with a pattern"),
        ("list = 1", "values of the type List"),
        ("good = stars", "cannot be compared with the column `stars`"),
        ("stars", "cannot be compared with true or false"),
    ];
    for (sql, expected) in cases {
        let error = Filter::parse(sql).unwrap().check(&schema).unwrap_err();
        assert!(error.to_string().contains(expected), "{sql}: {error}");
    }
    let error = Filter::parse("lagn = 'en'").unwrap().check(&schema).unwrap_err();
    assert_eq!(error.kind, FilterErrorKind::NoColumn("lagn".into()));
}

#[test]
fn text_that_is_no_number_is_not_compared_with_one() {
    let schema = batch().schema();
    let check =
        |sql: &str| Filter::parse(sql).unwrap().with_texts(|name| name == "lang").check(&schema);
    for sql in ["lang > 4", "lang", "not lang", "lang = true", "lang in ('a', 5)", "stars < lang"] {
        let error = check(sql).unwrap_err().to_string();
        assert!(error.contains("cannot be compared with"), "{sql}: {error}");
    }
    for sql in ["lang > '4'", "lang like 'a%'", "lang = json", "json > 4", "lang is null"] {
        check(sql).unwrap();
    }
}

#[test]
fn what_is_deep_or_long_is_refused_and_what_is_not_is_followed() {
    let too_large = |sql: &str| {
        let error = Filter::parse(sql).unwrap_err();
        assert!(matches!(error.kind, FilterErrorKind::TooLarge(_)), "{error}");
    };
    too_large(&format!("{}good{}", "(".repeat(1000), ")".repeat(1000)));
    assert!(Filter::parse(&format!("{}good", "not ".repeat(1000))).is_err());
    too_large(&vec!["good"; 100_000].join(" and "));
    assert!(Filter::parse(&format!("stars = {}1", "- ".repeat(2000))).is_err());
    let many = vec!["stars > 0"; 1000].join(" and ");
    assert_eq!(told(&many), "111-01");
    let list = (0..2000).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    assert_eq!(told(&format!("stars in ({list})")), "111-00");
    assert_eq!(told(&format!("{}good{}", "(".repeat(10), ")".repeat(10))), "10-110");
}

/// A condition on `stars` and `lang`, and what it is for a row.
#[derive(Debug, Clone)]
enum Plain {
    Stars(&'static str, i64),
    Lang(&'static str, &'static str),
    Null(bool),
    And(Box<Plain>, Box<Plain>),
    Or(Box<Plain>, Box<Plain>),
    Not(Box<Plain>),
}

impl Plain {
    fn sql(&self) -> String {
        match self {
            Self::Stars(operator, value) => format!("stars {operator} {value}"),
            Self::Lang(operator, value) => format!("lang {operator} '{value}'"),
            Self::Null(true) => "lang is null".into(),
            Self::Null(false) => "stars is not null".into(),
            Self::And(one, two) => format!("({} and {})", one.sql(), two.sql()),
            Self::Or(one, two) => format!("({} or {})", one.sql(), two.sql()),
            Self::Not(inner) => format!("not ({})", inner.sql()),
        }
    }

    fn of(&self, stars: Option<i64>, lang: Option<&str>) -> Option<bool> {
        fn holds<T: PartialOrd>(operator: &str, one: T, two: T) -> bool {
            match operator {
                "=" => one == two,
                "<>" => one != two,
                "<" => one < two,
                "<=" => one <= two,
                ">" => one > two,
                _ => one >= two,
            }
        }
        match self {
            Self::Stars(operator, value) => Some(holds(operator, stars?, *value)),
            Self::Lang(operator, value) => Some(holds(operator, lang?, *value)),
            Self::Null(true) => Some(lang.is_none()),
            Self::Null(false) => Some(stars.is_some()),
            Self::And(one, two) => match (one.of(stars, lang), two.of(stars, lang)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(one, two) => match (one.of(stars, lang), two.of(stars, lang)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::Not(inner) => inner.of(stars, lang).map(|value| !value),
        }
    }
}

fn plain() -> impl Strategy<Value = Plain> {
    let operator = || prop::sample::select(vec!["=", "<>", "<", "<=", ">", ">="]);
    let leaf = prop_oneof![
        (operator(), -3i64..6).prop_map(|(operator, value)| Plain::Stars(operator, value)),
        (operator(), prop::sample::select(vec!["en", "de", "", "5"]))
            .prop_map(|(operator, value)| Plain::Lang(operator, value)),
        any::<bool>().prop_map(Plain::Null),
    ];
    leaf.prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Plain::And(a.into(), b.into())),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Plain::Or(a.into(), b.into())),
            inner.prop_map(|a| Plain::Not(a.into())),
        ]
    })
}

proptest! {
    #[test]
    fn conditions_are_what_sql_says(plain in plain()) {
        let stars = [Some(1), Some(5), Some(3), None, Some(-2), Some(i64::MAX)];
        let langs = [Some("en"), Some("de"), None, Some("EN"), Some("5"), Some("")];
        let expected: String = stars
            .into_iter()
            .zip(langs)
            .map(|(stars, lang)| match plain.of(stars, lang) {
                None => '-',
                Some(true) => '1',
                Some(false) => '0',
            })
            .collect();
        prop_assert_eq!(told(&plain.sql()), expected);
    }

    #[test]
    fn rubbish_never_panics(sql in "\\PC{0,40}|(lang|stars|and|or|not|in|\\(|\\)|'a'|=|like|5|-| ){0,20}") {
        if let Ok(filter) = Filter::parse(&sql) {
            let _ = filter.check(&batch().schema());
        }
    }
}
