//! Every format gives the same documents.

use std::{fs, path::Path, sync::Arc};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use mesh_dataset::SplitName;
use parquet::arrow::ArrowWriter;

use crate::support::{Bench, Made, csv, rows};

/// The texts and labels of all splits, sorted.
fn documents(made: &Made) -> Vec<(String, Option<String>)> {
    let mut all: Vec<_> = made.all().map(|(_, d)| (d.text.clone(), d.label.clone())).collect();
    all.sort();
    all
}

pub(crate) fn parquet(path: &Path) {
    let rows = rows(50);
    type Row = (String, String, &'static str);
    let strings = |get: for<'a> fn(&'a Row) -> &'a str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(get)))
    };
    let number: ArrayRef = Arc::new(Int64Array::from_iter_values(0..50));
    let columns = [("n", number), ("text", strings(|r| &r.1)), ("label", strings(|r| r.2))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer =
        ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn all_formats_give_the_same_documents() {
    let lines = |line: &dyn Fn(&str, &str) -> String| -> String {
        rows(50).iter().map(|(_, text, label)| line(text, label)).collect()
    };
    let expected = documents(&Bench::new(&[("d.csv", csv(50))]).run("format = \"csv\"").unwrap());
    assert_eq!(expected.len(), 50);
    let cases = [
        (
            "TSV",
            "format = \"tsv\"",
            "d.tsv",
            format!("label\ttext\n{}", lines(&|t, l| format!("{l}\t{t}\r\n"))),
        ),
        (
            "a tab file with three header lines",
            "format = \"tsv\"\nskip_lines = 3\nheader = [\"label\", \"text\"]",
            "d.tab",
            format!(
                "label\ttext\nd\tstring\nclass\tmeta\n{}",
                lines(&|t, l| format!("{l}\t{t}\n"))
            ),
        ),
        (
            "CSV with a mark at its start, other columns and another delimiter",
            "format = \"csv\"\ndelimiter = \";\"\ncolumns = { text = \"body\", label = \"class\" }",
            "d.csv",
            format!("\u{feff}body;x;class\n{}", lines(&|t, l| format!("\"{t}\";1;{l}\n"))),
        ),
        (
            "no line end at the end, empty lines between",
            "format = \"csv\"\nheader = [\"text\", \"label\"]",
            "d.csv",
            lines(&|t, l| format!("\r\n{t},{l}")),
        ),
        (
            "JSONL",
            "format = \"jsonl\"",
            "d.jsonl",
            lines(&|t, l| {
                format!("{}\n\n", serde_json::json!({ "label": l, "text": t, "more": [1, {}] }))
            }),
        ),
    ];
    for (name, manifest, file, content) in cases {
        let made = Bench::new(&[(file, content)]).run(manifest).unwrap_or_else(|error| {
            panic!("{name}: {}", crate::support::tell(&error));
        });
        made.check();
        assert_eq!(documents(&made), expected, "{name}");
    }

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.parquet");
    parquet(&path);
    let bench = Bench::over(vec![("d.parquet".into(), path)]);
    let made = bench.run("format = \"parquet\"\ncolumns = { id = \"n\" }").unwrap();
    assert_eq!(documents(&made), expected, "Parquet");
    assert!(made.find("49").is_some());
}

#[test]
fn a_folder_names_the_label() {
    let files: Vec<(String, String)> = rows(50)
        .into_iter()
        .map(|(id, text, label)| (format!("data/{label}/{id}.txt"), text))
        .collect();
    let files: Vec<(&str, &String)> =
        files.iter().map(|(name, text)| (name.as_str(), text)).collect();
    let made = Bench::new(&files).run("format = \"folder-per-label\"").unwrap();
    made.check();
    assert_eq!(made.labels, ["a", "b"]);
    let (_, document) = made.find("data/a/id0.txt").unwrap();
    assert_eq!(document.origin, "data/a/id0.txt:1");
}

#[test]
fn lines_and_sentences_are_documents_without_labels() {
    let words = |n: usize| format!("alpha{n} beta{n} gamma{n}");
    let text: String = (0..40).map(|n| format!("{}\n\n", words(n))).collect();
    let conll: String = (0..40)
        .map(|n| {
            let tokens: String =
                words(n).split(' ').map(|token| format!("{token} NNP I-NP O\n")).collect();
            format!("-DOCSTART- -X- -X- O\n\n{tokens}\n\n")
        })
        .collect();
    let text = Bench::new(&[("d.txt", text)]).run("format = \"text\"").unwrap();
    let conll = Bench::new(&[("d.txt", conll)]).run("format = \"conll\"").unwrap();
    for made in [&text, &conll] {
        made.check();
        assert_eq!(made.statistics.read, 40);
        assert!(made.labels.is_empty());
    }
    assert_eq!(documents(&text), documents(&conll));
    assert_eq!(text.find("d.txt:3").unwrap().1.text, words(1));
    assert_eq!(conll.find("d.txt:10").unwrap().1.text, words(1));
}

#[test]
fn encodings() {
    let row =
        |n: usize| [b"caf\xe9 number ".as_slice(), format!("{n},l{}\n", n % 2).as_bytes()].concat();
    let rows: Vec<u8> = (0..40).flat_map(row).collect();
    let data = [b"text,label\n".to_vec(), rows, "café,a\n".into()].concat();
    let run = |encoding: &str| {
        Bench::new(&[("d.csv", &data)]).run(&format!("format = \"csv\"\nencoding = \"{encoding}\""))
    };
    let both = run("utf-8-or-latin-1").unwrap();
    assert!(both.all().all(|(_, d)| d.text.starts_with("café")));
    let latin = run("latin-1").unwrap();
    assert!(latin.all().any(|(_, d)| d.text == "cafÃ©"));
    assert!(crate::support::tell(&run("utf-8").unwrap_err()).contains("40 wrong-encoding"));
}

#[test]
fn texts_are_normalised_before_they_are_compared() {
    let data = format!("{}x,\"  Fish &amp;\n chips \",a\ny,Fish & chips,a\n", csv(50));
    let manifest = "format = \"csv\"\ncolumns = { id = \"id\" }\n[prepare]\nnormalise = { html_entities = true }";
    let made = Bench::new(&[("d.csv", data)]).run(manifest).unwrap();
    made.check();
    assert_eq!(made.find("x").unwrap().1.text, "Fish & chips");
    assert_eq!((made.find("y"), made.statistics.duplicates.dropped), (None, 1));
}

#[test]
fn statistics_count_what_is_there() {
    let made = Bench::new(&[("d.csv", csv(100))]).run("format = \"csv\"").unwrap();
    let train = &made.statistics.splits["train"];
    assert_eq!((train.rows, made.rows(SplitName::Train)), (80, 80));
    assert_eq!(train.labels.values().sum::<u64>(), 80);
    assert_eq!((train.words.min, train.words.p50, train.words.max), (8, 8, 8));
    let lengths: Vec<u64> =
        made.splits[&SplitName::Train].iter().map(|d| d.text.chars().count() as u64).collect();
    assert_eq!(train.characters.min, *lengths.iter().min().unwrap());
    assert_eq!(train.characters.max, *lengths.iter().max().unwrap());
    let mean = lengths.iter().sum::<u64>() as f64 / 80.0;
    assert!((train.characters.mean - mean).abs() < 1e-9);
    assert_eq!(made.statistics.languages.values().sum::<u64>(), 100);
    assert_eq!(made.summary["rows"]["train"], 80);
    assert_eq!(made.summary["labels"], serde_json::json!(["a", "b"]));
}
