//! An archive as a table: what is read of it at once, is read of it in parts.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    error::Error,
    fs::{self, File},
    path::Path,
    sync::{Arc, Mutex},
};

use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    types::Int32Type,
};
use mesh_archive::{
    ArchiveError, ArchiveErrorKind, Format, Location, Marks, Rows, Table, Unusable, Watch, json_of,
    text_of,
};
use mesh_core::{Cancel, NoProgress};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
use proptest::prelude::*;
use tempfile::TempDir;

#[path = "table/objects.rs"]
mod objects;

/// A row: its file, its number, and its values or why it has none.
type Row = (usize, u64, Result<Vec<Option<String>>, Unusable>);

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn table(path: &Path) -> Table {
    Table::open(&Location::Local(path.to_owned()), None).unwrap()
}

fn rows_of(rows: &Rows, asked: &[String], all: &mut Vec<Row>) {
    let schema = rows.batch.schema();
    let found: Vec<_> = schema.fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(found, asked);
    for row in 0..rows.batch.num_rows() {
        let columns = rows.batch.columns().iter().zip(schema.fields());
        let values = columns.map(|(column, field)| {
            text_of(column.as_ref(), field, row).map(|text| text.into_owned())
        });
        let values: Vec<_> = values.collect();
        let broken = rows.broken.iter().find(|(other, _)| *other == row);
        assert!(broken.is_none() || values.iter().all(Option::is_none), "{values:?}");
        let values = broken.map_or(Ok(values), |(_, reason)| Err(*reason));
        all.push((rows.file, rows.first + row as u64, values));
    }
}

fn scan(table: &Table, asked: &[&str]) -> Result<(Vec<Row>, Marks), ArchiveError> {
    let (asked, mut all) = (names(asked), Vec::new());
    let watch = Watch { progress: &NoProgress, cancel: &Cancel::new() };
    let marks = table.scan(&asked, watch, "read", &mut |rows| {
        rows_of(&rows, &asked, &mut all);
        Ok(())
    })?;
    // Several threads find the same, in whatever order.
    let unordered = Mutex::new(Vec::new());
    let again = table.scan_unordered(&asked, watch, "read", &|rows| {
        rows_of(&rows, &asked, &mut unordered.lock().unwrap());
        Ok(())
    })?;
    let mut unordered = unordered.into_inner().unwrap();
    unordered.sort_by_key(|(file, row, _)| (*file, *row));
    assert_eq!((unordered, &again), (all.clone(), &marks));
    Ok((all, marks))
}

fn read(table: &Table, asked: &[&str], marks: &Marks, most: u64) -> Result<Vec<Row>, ArchiveError> {
    let (asked, mut all, mut views) = (names(asked), Vec::new(), Vec::new());
    for span in marks.spans(most) {
        table.read(&asked, &span, &mut |rows| {
            rows_of(&rows, &asked, &mut all);
            Ok(())
        })?;
        table.read_views(&asked, &span, &mut |rows| {
            rows_of(&rows, &asked, &mut views);
            Ok(())
        })?;
    }
    assert_eq!(views, all);
    Ok(all)
}

/// The values of all rows, which are the same when they are read in parts.
fn values(table: &Table, asked: &[&str]) -> Vec<Result<Vec<Option<String>>, Unusable>> {
    let (all, marks) = scan(table, asked).unwrap();
    assert_eq!(marks.rows(), all.len() as u64);
    for most in [1, 2, 128, 1000] {
        assert_eq!(read(table, asked, &marks, most).unwrap(), all, "{most}");
    }
    all.into_iter().map(|(_, _, values)| values).collect()
}

fn some(values: &[&str]) -> Result<Vec<Option<String>>, Unusable> {
    let value = |value: &&str| (!value.is_empty()).then(|| value.to_string());
    Ok(values.iter().map(value).collect())
}

fn parquet(path: &Path, columns: &[(&str, ArrayRef)]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.iter().map(|(name, column)| (*name, column.clone(), true)),
    );
    let batch = batch.unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(100))
        .set_data_page_row_count_limit(10)
        .set_write_batch_size(5)
        .build();
    let to = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(to, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[test]
fn folders_are_columns_and_what_is_aside_is_passed_over() {
    let folder = folder(&[
        ("lang=en/b.csv", "id,text\n1,one\n"),
        ("lang=en/a.csv", "text,id\ntwo,2\n"),
        ("lang=d%65/day=1/a.csv", "id,text\n3,drei\n"),
        ("lang=__HIVE_DEFAULT_PARTITION__/a.csv", "id,text\n4,\n"),
        ("_tmp/a.csv", "x\n"),
        (".a.csv", "x\n"),
        ("_SUCCESS", ""),
        ("README.md", "x"),
        ("lang=en/c.csv.gz", "x"),
    ]);
    let table = table(folder.path());
    assert_eq!(table.passed_over(), ["README.md", "lang=en/c.csv.gz"]);
    let found: Vec<_> = table.files().iter().map(|file| file.name.as_str()).collect();
    let expected = [
        "lang=__HIVE_DEFAULT_PARTITION__/a.csv",
        "lang=d%65/day=1/a.csv",
        "lang=en/a.csv",
        "lang=en/b.csv",
    ];
    assert_eq!(found, expected);
    let schema = table.schema().unwrap();
    let found: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(found, ["id", "text", "lang", "day"]);
    assert_eq!(table.format(), Format::Csv);
    assert_eq!(table.rows().unwrap(), None);
    let found = values(&table, &["lang", "text", "id", "lang", "day"]);
    let expected = [
        some(&["", "", "4", "", ""]),
        some(&["de", "drei", "3", "de", "1"]),
        some(&["en", "two", "2", "en", ""]),
        some(&["en", "one", "1", "en", ""]),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_folder_tells_what_its_files_tell_otherwise() {
    for (first, others) in [("a.jsonl", "lang=en/b.jsonl"), ("lang=de/a.jsonl", "lang=en/b.jsonl")]
    {
        let folder = folder(&[
            (first, "{\"id\": 1, \"lang\": \"fr\"}\n"),
            (others, "{\"id\": 2, \"lang\": \"fr\"}\n"),
        ]);
        let table = table(folder.path());
        let schema = table.schema().unwrap();
        let found: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(found, ["id", "lang"]);
        let first = if first.contains("de") { "de" } else { "" };
        assert_eq!(values(&table, &["id", "lang"]), [some(&["1", first]), some(&["2", "en"])]);
    }
}

#[test]
fn what_is_no_table_is_told() {
    let nothing = folder(&[("README.md", "x"), ("_a.csv", "x")]);
    let mixed = folder(&[("a.csv", "x\n1\n"), ("b/a.jsonl", "{}\n"), ("c", "x\n2\n")]);
    let open = |path: &Path, format| {
        Table::open(&Location::Local(path.to_owned()), format).map_err(|error| error.kind)
    };
    let told = |path: &Path| path.display().to_string();
    let found = open(nothing.path(), None).unwrap_err();
    assert_eq!(found, ArchiveErrorKind::Empty(told(nothing.path())));
    let found = open(mixed.path(), None).unwrap_err();
    assert_eq!(found, ArchiveErrorKind::Mixed(told(mixed.path())));
    assert_eq!(open(mixed.path(), Some(Format::Jsonl)).unwrap().files()[0].name, "b/a.jsonl");
    let unnamed = mixed.path().join("c");
    assert_eq!(open(&unnamed, None).unwrap_err(), ArchiveErrorKind::Format(told(&unnamed)));
    assert_eq!(values(&open(&unnamed, Some(Format::Csv)).unwrap(), &["x"]), [some(&["2"])]);
    let missing = mixed.path().join("d");
    assert_eq!(open(&missing, None).unwrap_err(), ArchiveErrorKind::Read(told(&missing)));
}

#[test]
fn a_link_to_a_folder_above_is_not_followed_without_end() {
    let folder = folder(&[("a/b.csv", "x\n1\n")]);
    std::os::unix::fs::symlink(folder.path(), folder.path().join("a/c")).unwrap();
    assert_eq!(table(folder.path()).files().len(), 1);
}

#[test]
fn files_may_be_empty() {
    let lines = folder(&[("a.jsonl", ""), ("b.jsonl", "\n{\"x\": 1}\n\n"), ("c.jsonl", "\n")]);
    assert_eq!(values(&table(lines.path()), &["x"]), [some(&["1"])]);
    let header = folder(&[("a.csv", "x\n")]);
    assert!(values(&table(header.path()), &["x"]).is_empty());
    for name in ["a.csv", "a.parquet"] {
        let empty = folder(&[(name, "")]);
        let path = empty.path().join(name);
        let error = scan(&table(&path), &["x"]).unwrap_err();
        assert_eq!(error.kind, ArchiveErrorKind::Read(path.display().to_string()));
    }
    let none = folder(&[]);
    parquet(&none.path().join("a.parquet"), &[("x", ints(&[]))]);
    let none = table(none.path());
    assert!(values(&none, &["x"]).is_empty());
    assert_eq!(none.rows().unwrap(), Some(0));
}

#[test]
fn lines_of_json_keep_their_values_and_bad_lines_their_place() {
    let text = concat!(
        "\u{feff}{\"id\": 5, \"text\": \"a\\n\\\"b\\\"\", \"tags\": [1, {\"x\": null}]}\r\n",
        "{\"id\": \"5\", \"text\": null}\n",
        "{\"id\": 1.50\n",
        "\n",
        "[1]\n",
        "{\"text\": \"\\ud83d\"}\n",
        "{\"text\": \"plain\", \"other\": \"\\ud83d\"}",
    );
    let folder = folder(&[("a.jsonl", text)]);
    let table = table(folder.path());
    let asked = ["id", "text", "tags"];
    let expected = [
        some(&["5", "a\n\"b\"", "[1, {\"x\": null}]"]),
        some(&["5", "", ""]),
        Err(Unusable::NotJson),
        Err(Unusable::NotJson),
        Err(Unusable::Encoding),
        some(&["", "plain", ""]),
    ];
    assert_eq!(values(&table, &asked), expected);
    let mut ids = Vec::new();
    let watch = Watch { progress: &NoProgress, cancel: &Cancel::new() };
    let scanned = table.scan(&names(&["id"]), watch, "read", &mut |rows| {
        let (column, schema) = (rows.batch.column(0), rows.batch.schema());
        ids.extend((0..3).map(|row| json_of(column.as_ref(), schema.field(0), row)));
        Ok(())
    });
    scanned.unwrap();
    assert_eq!(ids, [Some("5".into()), Some("\"5\"".into()), None]);
    let schema = table.schema().unwrap();
    let found: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(found, ["id", "text", "tags", "other"]);
}

#[test]
fn a_key_is_missing_if_no_row_has_it() {
    let lines = "{\"a\": 1}\n".repeat(200);
    let folder =
        folder(&[("0.jsonl", "\n"), ("a.jsonl", lines.as_str()), ("b.jsonl", "{\"b\": null}\n")]);
    let table = table(folder.path());
    assert_eq!(scan(&table, &["a", "b"]).unwrap().0.len(), 201);
    let error = scan(&table, &["a", "c"]).unwrap_err();
    let file = folder.path().join("a.jsonl").display().to_string();
    assert_eq!(error.kind, ArchiveErrorKind::NoColumn { file, column: "c".into() });
}

#[test]
fn records_of_several_lines_and_broken_ones() {
    let text = concat!(
        "\u{feff}id,\"te\nxt\",n\r\n",
        "1,\"two\r\nlines, and \"\"quotes\"\"\",x\r\n",
        "\r\n",
        "2,,y\n",
        "3,\"never closed,z\n",
        "4,plain\n",
        "5,\"a\"b,c\n",
        "6,end,z",
    );
    let folder = folder(&[("a.csv", text)]);
    let expected = [
        some(&["1", "two\nlines, and \"quotes\""]),
        some(&["2", ""]),
        Err(Unusable::Quotes),
        Err(Unusable::Ragged),
        Err(Unusable::Quotes),
        some(&["6", "end"]),
    ];
    assert_eq!(values(&table(folder.path()), &["id", "te\nxt"]), expected);
    fs::write(folder.path().join("a.csv"), b"a,b\n\xff,1\nx,\xff\n").unwrap();
    let table = table(folder.path());
    assert_eq!(values(&table, &["a"]), [Err(Unusable::Encoding), some(&["x"])]);
}

#[test]
fn parts_of_parquet_files_are_found() {
    let folder = folder(&[]);
    let all: Vec<i64> = (0..350).collect();
    let words: Vec<String> = all.iter().map(|n| format!("w{}", n % 7)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let kinds: ArrayRef = Arc::new(words.iter().copied().collect::<DictionaryArray<Int32Type>>());
    let columns = [("n", ints(&all)), ("word", texts(&words)), ("kind", kinds.clone())];
    parquet(&folder.path().join("day=1/a.parquet"), &columns);
    parquet(&folder.path().join("day=2/a.parquet"), &columns[..2]);
    let path = folder.path().join("day=1/a.parquet");
    let first = table(&path);
    assert_eq!(first.rows().unwrap(), Some(350));
    let schema = first.schema().unwrap();
    assert_eq!(schema.field(2).data_type(), kinds.data_type());
    let asked = ["kind", "n", "word", "n"];
    let (scanned, marks) = scan(&first, &asked).unwrap();
    for most in [1, 7, 99, 100, 101, 333, 1000] {
        assert_eq!(read(&first, &asked, &marks, most).unwrap(), scanned, "{most}");
    }
    for (row, (_, number, values)) in scanned.iter().enumerate() {
        let n = row.to_string();
        assert_eq!((*number, values), (row as u64, &some(&[words[row], &n, words[row], &n])));
    }
    let both = table(folder.path());
    assert_eq!(both.rows().unwrap(), Some(700));
    let (found, marks) = scan(&both, &["day"]).unwrap();
    assert_eq!(read(&both, &["day"], &marks, 300).unwrap(), found);
    assert_eq!(found.iter().filter(|(_, _, values)| *values == some(&["2"])).count(), 350);
    let error = scan(&both, &["n", "kind"]).unwrap_err();
    let file = folder.path().join("day=2/a.parquet").display().to_string();
    assert_eq!(error.kind, ArchiveErrorKind::NoColumn { file, column: "kind".into() });
    assert!(matches!(scan(&both, &["m"]).unwrap_err().kind, ArchiveErrorKind::NoColumn { .. }));
}

#[test]
fn types_that_change_between_files_become_the_first() {
    let folder = folder(&[]);
    let path = |name: &str| folder.path().join(name);
    parquet(&path("a.parquet"), &[("n", ints(&[1])), ("s", texts(&["x"]))]);
    let small: ArrayRef = Arc::new(Int32Array::from(vec![Some(2), None]));
    parquet(&path("b.parquet"), &[("s", texts(&["y", "z"])), ("n", small)]);
    parquet(&path("c.parquet"), &[("n", texts(&["3"])), ("s", ints(&[4]))]);
    let found = values(&table(folder.path()), &["n", "s"]);
    assert_eq!(found, [some(&["1", "x"]), some(&["2", "y"]), some(&["", "z"]), some(&["3", "4"])]);
    let halves: ArrayRef = Arc::new(Float64Array::from(vec![3.0, 3.5]));
    for (lost, name) in [(halves, "Float64"), (texts(&["3", "x"]), "Utf8")] {
        parquet(&path("d.parquet"), &[("n", lost)]);
        let error = scan(&table(folder.path()), &["n"]).unwrap_err();
        let expected = ArchiveErrorKind::OtherType {
            file: path("d.parquet").display().to_string(),
            column: "n".into(),
            found: name.into(),
            expected: "Int64".into(),
        };
        assert_eq!(error.kind, expected);
    }
}

#[test]
fn a_file_cut_short_is_named() {
    let folder = folder(&[]);
    let path = folder.path().join("a.parquet");
    parquet(&path, &[("n", ints(&(0..1000).collect::<Vec<_>>()))]);
    let whole = fs::read(&path).unwrap();
    for length in [0, 3, 20, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = scan(&table(&path), &["n"]).unwrap_err();
        assert_eq!(error.kind, ArchiveErrorKind::Read(path.display().to_string()), "{length}");
    }
}

#[test]
fn a_file_that_changed_is_not_read() {
    let folder = folder(&[("a.csv", "x\n1\n2\n"), ("b.jsonl", "{\"x\": 1}\n")]);
    parquet(&folder.path().join("c.parquet"), &[("x", ints(&[1, 2, 3]))]);
    for name in ["a.csv", "b.jsonl", "c.parquet"] {
        let path = folder.path().join(name);
        let table = table(&path);
        let (_, marks) = scan(&table, &["x"]).unwrap();
        let was = path.metadata().unwrap().modified().unwrap();
        let changed = |table: &Table| {
            let error = read(table, &["x"], &marks, 1000).unwrap_err();
            assert_eq!(error.kind, ArchiveErrorKind::Changed, "{name}");
            assert!(error.source().unwrap().to_string().contains(name));
            assert_eq!(scan(table, &["x"]).unwrap_err().kind, ArchiveErrorKind::Changed, "{name}");
        };
        let later = was + std::time::Duration::from_nanos(1000);
        File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        changed(&table);
        let mut bytes = fs::read(&path).unwrap();
        bytes.push(b'\n');
        fs::write(&path, bytes).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(was).unwrap();
        changed(&table);
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_not_taken() {
    let folder = folder(&[("a.csv", "x\n1\n2\n")]);
    let path = folder.path().join("a.csv");
    let table = table(&path);
    let (_, marks) = scan(&table, &["x"]).unwrap();
    let asked = names(&["x"]);
    let read = table.read(&asked, &marks.spans(10)[0], &mut |_| {
        fs::write(&path, "x\n1\n3\n4\n").unwrap();
        Ok(())
    });
    assert_eq!(read.unwrap_err().kind, ArchiveErrorKind::Changed);
}

#[test]
fn spans_of_another_table_are_refused() {
    let folder = folder(&[("a.csv", "x\n1\n2\n")]);
    let table = table(folder.path());
    let (_, marks) = scan(&table, &["x"]).unwrap();
    for (file, rows) in [(1, 1), (0, 3)] {
        let mut span = marks.spans(10)[0].clone();
        (span.file, span.rows) = (file, rows);
        let error = table.read(&names(&["x"]), &span, &mut |_| Ok(())).unwrap_err();
        assert_eq!(error.kind, ArchiveErrorKind::Changed);
    }
}

#[test]
fn what_takes_the_rows_may_fail_and_reading_may_be_stopped() {
    let folder = folder(&[("a.csv", "x\n1\n2\n")]);
    let table = table(folder.path());
    let cancel = Cancel::new();
    let watch = Watch { progress: &NoProgress, cancel: &cancel };
    let scanned = table.scan(&names(&["x"]), watch, "read", &mut |_| {
        cancel.cancel();
        cancel.check().map_err(Into::into)
    });
    assert_eq!(scanned.unwrap_err().kind, ArchiveErrorKind::Interrupted);
    let scanned = table.scan(&names(&["x"]), watch, "read", &mut |_| unreachable!());
    assert_eq!(scanned.unwrap_err().kind, ArchiveErrorKind::Interrupted);
}

#[test]
fn marks_are_stored() {
    let folder = folder(&[("a.tsv", &format!("x\ty\n{}", "a\tb\n".repeat(1000)))]);
    let table = table(folder.path());
    let (all, marks) = scan(&table, &["y"]).unwrap();
    let stored = serde_json::to_string(&marks).unwrap();
    let marks: Marks = serde_json::from_str(&stored).unwrap();
    assert_eq!(read(&table, &["y"], &marks, 300).unwrap(), all);
    assert_eq!(marks.spans(300)[1].first, 256);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn spans_of_any_text_are_what_the_whole_has(
        parts in prop::collection::vec(
            prop_oneof![4 => "[ab]{0,2},[ab]{0,2}\r?\n", 1 => "[ab,\"\n\r]{0,5}"],
            0..500,
        ),
        bom: bool,
        most in 1u64..600,
    ) {
        let bom = if bom { "\u{feff}" } else { "" };
        let folder = folder(&[("a.csv", &format!("{bom}x,y\n{}", parts.concat()))]);
        let table = table(folder.path());
        let (all, marks) = scan(&table, &["x", "y"]).unwrap();
        prop_assert_eq!(marks.rows(), all.len() as u64);
        prop_assert_eq!(read(&table, &["x", "y"], &marks, most).unwrap(), all);
    }
}
