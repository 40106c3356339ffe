//! Sources that cannot be used, in part or at all.

use std::{collections::BTreeMap, fs};

use proptest::prelude::*;

use crate::{
    formats::parquet,
    support::{Bench, CSV, csv},
};

/// Bad rows after 300 good ones, and what they are counted as.
struct Case {
    name: &'static str,
    manifest: &'static str,
    bad: &'static [u8],
    /// Reasons by the line that they are at, after the good ones.
    reasons: &'static [(u64, &'static str)],
    /// Good rows among the bad ones.
    good: u64,
}

#[test]
fn bad_rows_are_rejected_with_reason_and_place() {
    let cases = [
        Case {
            name: "columns",
            manifest: "",
            bad: b"x,text\nx,text,a,more\n",
            reasons: &[(0, "missing-column"), (1, "extra-column")],
            good: 0,
        },
        Case {
            name: "a quote that is never closed",
            manifest: "",
            bad: b"x,\"text,a\ny,good one,a\n",
            reasons: &[(0, "broken-quotes")],
            good: 1,
        },
        Case {
            name: "a quote that the next quote closes",
            manifest: "",
            bad: b"x,\"text,a\ny,\"good one\",a\nz,\"two\nlines\",a\n",
            reasons: &[(0, "broken-quotes")],
            good: 2,
        },
        Case {
            name: "something after a quote",
            manifest: "",
            bad: b"x,\"te\"xt,a\n",
            reasons: &[(0, "broken-quotes")],
            good: 0,
        },
        Case {
            name: "a quote inside a plain field is no quote",
            manifest: "",
            bad: b"x,a 5\" disk,a\ny,a 3\" disk,b\n",
            reasons: &[],
            good: 2,
        },
        Case {
            name: "encoding",
            manifest: "",
            bad: b"x,\xff\xfe,a\n",
            reasons: &[(0, "wrong-encoding")],
            good: 0,
        },
        Case {
            name: "empty text",
            manifest: "",
            bad: b"x, ,a\ny,,a\n",
            reasons: &[(0, "empty-text"), (1, "empty-text")],
            good: 0,
        },
        Case {
            name: "empty label",
            manifest: "",
            bad: b"x,text,\n",
            reasons: &[(0, "no-label")],
            good: 0,
        },
        Case {
            name: "unknown label",
            manifest: "labels = { allowed = [\"a\", \"b\"] }",
            bad: b"x,text,c\n",
            reasons: &[(0, "unknown-label")],
            good: 0,
        },
        Case {
            name: "length",
            manifest: "[prepare]\nmin_characters = 5\nmax_characters = 200",
            bad: b"x,abcd,a\ny,abcde,a\n",
            reasons: &[(0, "too-short")],
            good: 1,
        },
    ];
    for Case { name, manifest, bad, reasons, good } in cases {
        let data = [csv(300).as_bytes(), bad].concat();
        let made = Bench::new(&[("d.csv", data)]).run(&format!("{CSV}{manifest}")).unwrap();
        made.check();
        let found: Vec<_> =
            made.rejected.iter().map(|r| (r.origin.clone(), r.reason.clone())).collect();
        let expected: Vec<_> = reasons
            .iter()
            .map(|(line, reason)| (format!("d.csv:{}", 302 + line), (*reason).to_owned()))
            .collect();
        assert_eq!(found, expected, "{name}");
        assert_eq!(made.statistics.read, 300 + good + reasons.len() as u64, "{name}");
        for row in &made.rejected {
            assert!(!row.detail.is_empty() && row.start.chars().count() <= 120, "{name}: {row:?}");
        }
    }
}

#[test]
fn numbers_become_labels_and_a_bin_without_name_is_left_out() {
    let values = ["-3", "-0.5", "0", "0.5", "0.51", "2", "no number", "nan"];
    let rows: String = (0..160)
        .map(|n| format!("text number {n} of many,{}\n", values[n % 6]))
        .chain(values[6..].iter().map(|v| format!("other,{v}\n")))
        .collect();
    let manifest = "format = \"csv\"\nheader = [\"text\", \"label\"]\n\
                    labels = { bins = [-0.5, 0.5], names = [\"bad\", \"\", \"good\"] }";
    let made = Bench::new(&[("d.csv", rows)]).run(manifest).unwrap();
    made.check();
    assert_eq!(made.labels, ["bad", "good"]);
    assert_eq!(made.statistics.rejected, BTreeMap::from([("not-a-number".to_owned(), 2)]));
    // -0.5, 0 and 0.5: a value on a limit belongs to the bin nearer to zero.
    assert_eq!(made.statistics.left_out, 81);
}

#[test]
fn values_of_other_columns() {
    let line = |n: usize, time: &str, split: &str| {
        format!(
            "{{\"text\":\"document {n} of several\",\"label\":\"l{}\",\"day\":{time},\"part\":{split}}}\n",
            n % 2
        )
    };
    let good: String = (0..200)
        .map(|n| line(n, "\"2024-01-01\"", ["\"train\"", "\"dev\"", "\"test\""][n % 3]))
        .collect();
    let bad = [
        (line(900, "\"soon\"", "\"train\""), "not-a-time"),
        (line(901, "null", "\"train\""), "no-time"),
        (line(902, "3", "\"other\""), "unknown-split"),
        (line(903, "3", "null"), "no-split"),
        ("{\"text\":7}\n".to_owned(), "no-label"),
        ("{\"txt\":\"b\",\"label\":\"a\"}\n".to_owned(), "no-text"),
        ("[1]\n".to_owned(), "not-json"),
        ("{\"text\":\n".to_owned(), "not-json"),
        (format!("{}\n", "[".repeat(2000)), "not-json"),
    ];
    let data = good + &bad.iter().map(|(line, _)| line.as_str()).collect::<String>();
    let manifest = "format = \"jsonl\"\ncolumns = { time = \"day\", split = \"part\" }";
    let made = Bench::new(&[("d.jsonl", data)]).run(manifest).unwrap();
    made.check();
    let found: Vec<_> = made.rejected.iter().map(|row| row.reason.as_str()).collect();
    assert_eq!(found, bad.map(|(_, reason)| reason));
    assert!(made.rejected[5].detail.contains("the row has: label, txt"), "{:?}", made.rejected[5]);
}

#[test]
fn what_cannot_become_a_dataset_is_told() {
    let one_label = csv(50).replace(",b\n", ",a\n");
    let csv = csv(50);
    let cases: [(&str, String, String, &[&str]); 10] = [
        (
            "too many rejected",
            csv.clone() + &"x\n".repeat(40),
            CSV.into(),
            &[
                "40 of 90 rows",
                "40 missing-column",
                "d.csv:52: 1 columns instead of 3",
                "max_rejected",
            ],
        ),
        (
            "a column that is not there",
            csv.clone(),
            format!("{CSV}[source.columns]\ntext = \"txt\"")
                .replace("columns = { id = \"id\" }\n", ""),
            &["d.csv has no column `txt`", "did you mean `text`?", "id, text, label"],
        ),
        ("no rows", "id,text,label\n".into(), CSV.into(), &["no rows"]),
        ("nothing", String::new(), CSV.into(), &["no rows"]),
        ("one label", one_label, CSV.into(), &["all documents have the label `a`"]),
        (
            "few rows",
            csv.lines().take(4).collect::<Vec<_>>().join("\n"),
            CSV.into(),
            &["split is empty"],
        ),
        ("no Parquet", csv.clone(), "format = \"parquet\"".into(), &["d.csv cannot be read"]),
        (
            "no file for a split",
            csv.clone(),
            format!("{CSV}splits = {{ train = \"*.csv\", test = \"test/*\" }}"),
            &["no file of the source matches `test/*`"],
        ),
        ("a delimiter that is none", csv.clone(), format!("{CSV}delimiter = \"€\""), &["ASCII"]),
        ("a broken header", format!("\"id,{csv}"), CSV.into(), &["its header: "]),
    ];
    for (name, data, manifest, told) in cases {
        let failure = Bench::new(&[("d.csv", data)]).failure(&manifest);
        for part in told {
            assert!(failure.contains(part), "{name}: {part} is not in\n{failure}");
        }
    }
    let missing = Bench::over(vec![("d.csv".into(), "/nowhere/d.csv".into())]);
    assert!(missing.failure(CSV).contains("d.csv cannot be read"));
}

#[test]
fn a_very_long_line_is_rejected_and_not_held() {
    let data = csv(100) + "x," + &"long ".repeat(4 << 20) + ",a\nlast,one more,a\n";
    let made = Bench::new(&[("d.csv", data)]).run(CSV).unwrap();
    made.check();
    assert_eq!(made.rejected[0].reason, "too-long");
    assert_eq!(made.rejected[0].origin, "d.csv:102");
    assert!(made.find("last").is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn foreign_bytes_never_break_a_reader(
        parts in prop::collection::vec(prop_oneof![
            3 => prop::collection::vec(any::<u8>(), 0..20),
            2 => "[a-z,\"\n\t;{}:\\[\\]]{0,20}".prop_map(String::into_bytes),
            1 => Just(b"\"text\":\"a b c\",\"label\":\"x\"".to_vec()),
        ], 0..60),
        format in prop::sample::select(vec!["csv", "tsv", "jsonl", "conll", "text", "folder-per-label", "parquet"]),
    ) {
        let bench = Bench::new(&[("x/d", parts.concat())]);
        let header = if ["csv", "tsv"].contains(&format) { "header = [\"text\", \"label\"]\n" } else { "" };
        // Any outcome is fine but a panic and a row that is lost.
        let manifest = format!("format = \"{format}\"\n{header}[prepare]\nmax_rejected = 1.0\nsplit = {{ train = 1.0, validation = 0.0, test = 0.0 }}");
        if let Ok(made) = bench.run(&manifest) {
            made.check();
        }
    }

    #[test]
    fn a_damaged_parquet_file_never_breaks_the_reader(
        damages in prop::collection::vec((0.0..1.0f64, any::<u8>()), 1..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.parquet");
        parquet(&path);
        let mut bytes = fs::read(&path).unwrap();
        for (at, byte) in damages {
            let at = (at * bytes.len() as f64) as usize;
            bytes[at] = byte;
        }
        fs::write(&path, bytes).unwrap();
        let bench = Bench::over(vec![("d.parquet".into(), path)]);
        if let Ok(made) = bench.run("format = \"parquet\"\n[prepare]\nmax_rejected = 1.0") {
            made.check();
        }
    }
}
