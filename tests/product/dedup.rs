//! Archives, and what is there twice in them.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    process::{Command, Stdio},
    sync::Arc,
};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use serde_json::{Value, json};

use crate::support::{Workspace, signal, until, wait};

const TEXT: &str = "the printer on the second floor prints every page twice since the update";

/// A folder without a workspace: none is needed.
fn folder() -> Workspace {
    let workspace = Workspace::new();
    fs::remove_file(workspace.path("mesh.toml")).unwrap();
    workspace
}

/// Names and texts: two copies, one that is nearly the same, one in capitals, four others.
fn documents() -> Vec<(String, String)> {
    let other = |number: usize| {
        let word = |at: usize| format!("w{}", (number * 7919 + at * 104_729) % 1009);
        (0..12).map(word).collect::<Vec<_>>().join(" ")
    };
    let mut texts: Vec<String> = (0..4).map(other).collect();
    texts.insert(1, TEXT.into());
    texts.insert(3, TEXT.into());
    texts.push(format!("Hello: {TEXT}"));
    texts.push(TEXT.to_uppercase());
    texts.into_iter().enumerate().map(|(at, text)| (format!("d{at}"), text)).collect()
}

fn jsonl(documents: &[(String, String)]) -> String {
    documents.iter().map(|(id, text)| format!("{}\n", json!({ "id": id, "text": text }))).collect()
}

fn separated(documents: &[(String, String)], delimiter: char) -> String {
    let row = |(id, text): &(String, String)| format!("{id}{delimiter}{text}\n");
    format!("id{delimiter}text\n{}", documents.iter().map(row).collect::<String>())
}

fn parquet(path: &std::path::Path, documents: &[(String, Option<String>)]) {
    let ids: StringArray = documents.iter().map(|(id, _)| Some(id)).collect();
    let texts: StringArray = documents.iter().map(|(_, text)| text.as_ref()).collect();
    let stars: Int64Array = (0..documents.len() as i64).map(Some).collect();
    let columns: [(&str, ArrayRef); 3] =
        [("id", Arc::new(ids)), ("text", Arc::new(texts)), ("stars", Arc::new(stars))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn some(documents: Vec<(String, String)>) -> Vec<(String, Option<String>)> {
    documents.into_iter().map(|(id, text)| (id, Some(text))).collect()
}

/// The rows of a Parquet file: id, text, stars.
fn rows(path: &std::path::Path) -> Vec<(String, Option<String>, i64)> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let mut rows = Vec::new();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let text = |at: usize| batch.column(at).as_any().downcast_ref::<StringArray>().unwrap();
        let stars = batch.column(2).as_any().downcast_ref::<Int64Array>().unwrap();
        for row in 0..batch.num_rows() {
            let texts = text(1);
            let content = texts.iter().nth(row).unwrap().map(ToOwned::to_owned);
            rows.push((text(0).value(row).to_owned(), content, stars.value(row)));
        }
    }
    rows
}

#[test]
fn duplicates_are_found_in_files_of_every_format() {
    let folder = folder();
    folder.write("a.jsonl", jsonl(&documents()));
    folder.write("a.csv", separated(&documents(), ','));
    folder.write("a.tsv", separated(&documents(), '\t'));
    parquet(&folder.path("a.parquet"), &some(documents()));
    let kept = ["d0", "d1", "d2", "d4", "d5"];
    let mut pairs = Vec::new();
    for ending in ["jsonl", "csv", "tsv", "parquet"] {
        let (archive, output) = (format!("a.{ending}"), format!("b.{ending}"));
        let before = fs::read(folder.path(&archive)).unwrap();
        let told = folder.json([
            "dedup",
            &archive,
            "--key",
            "id",
            "--output",
            &output,
            "--pairs",
            "pairs.jsonl",
            "--json",
        ]);
        let expected = json!({ "archive": archive, "files": 1, "passed_over": [], "rows": 8,
            "threshold": 0.8, "shingle": 5, "permutations": 128, "unusable": {},
            "exact_duplicates": 1, "near_duplicates": 2, "remaining": 5, "pairs": 3, "groups": 1,
            "crowded": 0, "written": { "pairs": "pairs.jsonl", "output": output } });
        assert_eq!(told, expected);
        assert_eq!(fs::read(folder.path(&archive)).unwrap(), before);
        pairs.push(folder.read("pairs.jsonl"));
        if ending != "parquet" {
            let lines: Vec<String> = folder.read(&archive).lines().map(ToOwned::to_owned).collect();
            let of = |id: &&str| lines.iter().find(|line| line.contains(id)).unwrap().clone();
            let mut expected: Vec<String> = kept.iter().map(of).collect();
            if ending != "jsonl" {
                expected.insert(0, lines[0].clone());
            }
            assert_eq!(folder.read(&output).lines().collect::<Vec<_>>(), expected);
        }
    }
    let all = documents();
    let expected: Vec<_> = [0, 1, 2, 4, 5]
        .map(|at: usize| (all[at].0.clone(), Some(all[at].1.clone()), at as i64))
        .to_vec();
    assert_eq!(rows(&folder.path("b.parquet")), expected);
    assert!(pairs.iter().all(|found| *found == pairs[0]), "{pairs:?}");
    let lines: Vec<Value> =
        pairs[0].lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // 13 words are 9 shingles, and one more word is one more shingle.
    let pair = |first: u64, second: u64, similarity: f64, exact: bool| {
        json!({ "first": first, "second": second, "similarity": similarity, "exact": exact,
            "first_key": format!("d{first}"), "second_key": format!("d{second}") })
    };
    let expected = [
        pair(1, 3, 1.0, true),
        pair(1, 6, 0.9, false),
        pair(1, 7, 1.0, false),
        pair(6, 7, 0.9, false),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn rows_that_cannot_be_compared_are_counted_and_kept_as_they_are() {
    let folder = folder();
    let good = json!({ "id": 1, "text": TEXT }).to_string();
    let mut archive = b"\xef\xbb\xbf".to_vec();
    archive.extend(format!("{good}\n{good}\n").bytes());
    let bad: [&[u8]; 11] = [
        b"{\"id\": 2, \"text\": null}\n",
        b"{\"id\": 3}\n",
        b"{\"id\": 3, \"text\": 5}\n",
        b"{\"id\": 3, \"text\": [\"a\"]}\n",
        b"{\"id\": 4, \"text\": \" ?! \"}\n",
        b"{\"id\": 4, \"text\": \" ?! \"}\n",
        b"{\"id\": 5, \"text\": \"cut\n",
        b"[1, 2]\n",
        b"{\"id\": 6, \"text\": \"\xff\xfe\"}\n",
        b"  {\"text\": \"\\ud800\"}\r\n",
        b"\x00\n",
    ];
    archive.extend(bad.concat());
    archive.extend(b"\n  \n");
    folder.write("a.jsonl", &archive);
    let told = folder.json(["dedup", "a.jsonl", "--output", "b.jsonl", "--json"]);
    let expected =
        json!({ "no-text": 2, "not-text": 3, "no-words": 2, "not-json": 3, "wrong-encoding": 1 });
    assert_eq!(told["unusable"], expected);
    assert_eq!((&told["rows"], &told["remaining"]), (&json!(13), &json!(12)));
    let kept = [format!("{good}\n").as_bytes(), &bad.concat()].concat();
    assert_eq!(fs::read(folder.path("b.jsonl")).unwrap(), kept);

    let rows: [&[u8]; 9] = [
        b"1,\"a quote that is never closed\n",
        b"2,\"two words\n\nwith an empty line between\"\r\n",
        b"3,one,too many\n",
        b"too few\n",
        b"4,\n",
        b"5,\"\xff\"\n",
        b"6,\"ends\" too early\n",
        b"7,a 5\" disk\n",
        b"8,\"never closed again",
    ];
    folder.write("a.csv", [b"id,text\n", rows.concat().as_slice()].concat());
    let told = folder.json(["dedup", "a.csv", "--output", "b.csv", "--json"]);
    let expected =
        json!({ "broken-quotes": 3, "wrong-columns": 2, "no-text": 1, "wrong-encoding": 1 });
    assert_eq!((&told["rows"], &told["unusable"]), (&json!(9), &expected));
    let kept = [b"id,text\n", rows.concat().as_slice(), b"\n"].concat();
    assert_eq!(fs::read(folder.path("b.csv")).unwrap(), kept);

    let mut documents = some(documents());
    documents[2].1 = None;
    documents[4].1 = Some("...".into());
    parquet(&folder.path("a.parquet"), &documents);
    let told = folder.json(["dedup", "a.parquet", "--output", "b.parquet", "--json"]);
    assert_eq!(told["unusable"], json!({ "no-text": 1, "no-words": 1 }));
    assert_eq!(told["remaining"], 5);
    let ran = folder.mesh(["dedup", "a.parquet"]).ok();
    assert!(ran.out.contains("kept as they are: 1 no-text, 1 no-words"), "{}", ran.out);
}

#[test]
fn options_that_cannot_be_are_told() {
    let folder = folder();
    folder.write("a.jsonl", jsonl(&documents()));
    let cases = [
        (["--threshold", "0"], "threshold of 0 cannot be"),
        (["--threshold", "1"], "lies between 0 and 1"),
        (["--threshold", "-0.5"], "threshold of -0.5"),
        (["--threshold", "NaN"], "threshold of NaN"),
        (["--threshold", "inf"], "threshold of inf"),
        (["--threshold", "high"], "invalid value 'high'"),
        (["--shingle", "0"], "shingle of 0 words"),
        (["--shingle", "10000"], "10000 words cannot be: it has 1 to 100"),
        (["--shingle", "-1"], "invalid value"),
        (["--permutations", "0"], "signature of 0 permutations"),
        (["--permutations", "1000000"], "it has 2 to 1024"),
        (["--text", "txt"], "did you mean `text`? It has: id, text"),
        (["--key", "idx"], "did you mean `id`?"),
        (["--pairs", "a.jsonl"], "a.jsonl is the archive itself"),
        (["--output", "a.jsonl"], "the archive is never changed"),
        (["--output", "b.parquet"], "b.parquet is no JSONL file by its name"),
    ];
    let before = folder.read("a.jsonl");
    for ([option, value], told) in cases {
        let option = format!("{option}={value}");
        folder.mesh(["dedup", "a.jsonl", &option]).code(2).tells([told]);
    }
    let both = ["dedup", "a.jsonl", "--pairs", "b.jsonl", "--output", "b.jsonl"];
    folder.mesh(both).code(2).tells(["two files"]);
    folder
        .mesh(["dedup", "a.jsonl", "--output", "no/b.jsonl"])
        .code(1)
        .tells(["cannot be written"]);
    let linked = folder.path("link.jsonl");
    std::os::unix::fs::symlink(folder.path("a.jsonl"), &linked).unwrap();
    folder.mesh(["dedup", "a.jsonl", "--output", "link.jsonl"]).code(2).tells(["itself"]);
    assert_eq!(folder.read("a.jsonl"), before);
    let error = folder.mesh(["dedup", "a.jsonl", "--text", "txt", "--json"]).code(2).out;
    let error: Value = serde_json::from_str(&error).unwrap();
    assert_eq!(error["exit_code"], 2);
}

#[test]
fn archives_that_cannot_be_read_are_told() {
    let folder = folder();
    parquet(&folder.path("whole.parquet"), &some(documents()));
    let whole = fs::read(folder.path("whole.parquet")).unwrap();
    for (at, share) in [0, 1, 4, 50, 90, 99].into_iter().enumerate() {
        folder.write("cut.parquet", &whole[..whole.len() * share / 100]);
        let ran = folder.mesh(["dedup", "cut.parquet", "--output", "b.parquet"]).code(1);
        ran.tells(["cut.parquet cannot be read", "cut short or damaged"]);
        assert!(!folder.path("b.parquet").exists(), "{at}");
    }
    // Whichever byte is wrong: an answer or an error, and no panic.
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        folder.write("cut.parquet", damaged);
        let ran = folder.mesh(["dedup", "cut.parquet"]);
        assert!([0, 1, 2].contains(&ran.code) && !ran.err.contains("panicked"), "{at}: {ran:?}");
    }
    folder
        .mesh(["dedup", "whole.parquet", "--text", "stars"])
        .code(2)
        .tells(["the column `stars` of whole.parquet holds Int64", "--text or --key"]);
    folder.mesh(["dedup", "nowhere.jsonl"]).code(1).tells(["nowhere.jsonl cannot be read"]);
    folder.write("a.txt", "a text");
    folder.mesh(["dedup", "a.txt"]).code(2).tells(["a.txt is none of Parquet, JSONL, CSV and TSV"]);
    fs::create_dir(folder.path("empty")).unwrap();
    folder.mesh(["dedup", "empty"]).code(2).tells(["empty holds no files of an archive"]);
    folder.write("mixed/a.csv", "text\n");
    folder.write("mixed/b.jsonl", "{}\n");
    folder.mesh(["dedup", "mixed"]).code(2).tells(["files of several formats"]);
    folder.write("unlike/a.csv", "id,text\n1,a\n");
    folder.write("unlike/b.csv", "text,id\na,1\n");
    folder.mesh(["dedup", "unlike"]).ok();
    folder
        .mesh(["dedup", "unlike", "--output", "c.csv"])
        .code(2)
        .tells(["unlike/b.csv has other columns than unlike/a.csv"]);
    folder
        .mesh(["dedup", "unlike", "--output", "unlike/c.csv"])
        .code(2)
        .tells(["would lie in its folder"]);
}

#[test]
fn empty_archives_have_no_rows() {
    let folder = folder();
    folder.write("a.jsonl", "");
    folder.write("a.csv", "id,text\n");
    parquet(&folder.path("a.parquet"), &[]);
    for ending in ["jsonl", "csv", "parquet"] {
        let (archive, output) = (format!("a.{ending}"), format!("b.{ending}"));
        let told = folder.json(["dedup", &archive, "--output", &output, "--json"]);
        assert_eq!((&told["rows"], &told["remaining"]), (&json!(0), &json!(0)));
        assert!(folder.path(&output).exists());
    }
    assert_eq!(folder.read("b.csv"), "id,text\n");
    assert_eq!(rows(&folder.path("b.parquet")), []);
    folder.write("a.tsv", "");
    folder.mesh(["dedup", "a.tsv"]).code(1).tells(["it is empty"]);
}

#[test]
fn a_folder_is_one_archive_in_the_order_of_its_names() {
    let folder = folder();
    let all = documents();
    folder.write("news/2.jsonl", jsonl(&all[4..]));
    folder.write("news/1.jsonl", jsonl(&all[..4]));
    folder.write("news/3.jsonl.gz", "passed over");
    folder.write("news/_SUCCESS", "");
    folder.write("whole.jsonl", jsonl(&all));
    let parts =
        folder.json(["dedup", "news", "--pairs", "a.jsonl", "--output", "c.jsonl", "--json"]);
    folder.mesh(["dedup", "whole.jsonl", "--pairs", "b.jsonl", "--output", "d.jsonl"]).ok();
    assert_eq!((&parts["files"], &parts["rows"]), (&json!(2), &json!(8)));
    assert_eq!(parts["passed_over"], json!(["news/3.jsonl.gz"]));
    assert_eq!(folder.read("a.jsonl"), folder.read("b.jsonl"));
    assert_eq!(folder.read("c.jsonl"), folder.read("d.jsonl"));
}

/// Many rows that differ in a few words, in an order without system.
fn many(rows: usize) -> String {
    let mut state = 1u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below
    };
    let mut text = String::new();
    for _ in 0..rows {
        let family = next(rows as u64 / 3);
        let own = next(6);
        let words: Vec<String> = (0..40)
            .map(|at| format!("w{}", if at == 39 { own } else { family * 40 + at }))
            .collect();
        text.push_str(&format!("{}\n", json!({ "text": words.join(" ") })));
    }
    text
}

#[test]
fn the_result_is_the_same_with_any_number_of_threads() {
    let folder = folder();
    folder.write("a.jsonl", many(6000));
    let mut results = Vec::new();
    for threads in ["1", "2", "7"] {
        let told = folder.json([
            "dedup",
            "a.jsonl",
            "--threads",
            threads,
            "--pairs",
            "pairs.jsonl",
            "--output",
            "b.jsonl",
            "--json",
        ]);
        assert!(told["pairs"].as_u64().unwrap() > 1000, "{told}");
        results.push((told, folder.read("pairs.jsonl"), folder.read("b.jsonl")));
    }
    assert!(results.iter().all(|result| *result == results[0]));
}

#[test]
fn a_text_that_is_there_thousands_of_times_with_another_number_takes_no_square_of_time() {
    let folder = folder();
    let row = |number: usize| {
        let words: Vec<String> = (0..60).map(|at| format!("word{at}")).collect();
        format!("{}\n", json!({ "text": format!("{} {number}", words.join(" ")) }))
    };
    folder.write("a.jsonl", (0..5000).map(row).collect::<String>());
    let told = folder.json(["dedup", "a.jsonl", "--json"]);
    assert_eq!((&told["remaining"], &told["groups"]), (&json!(1), &json!(1)), "{told}");
    assert!(told["crowded"].as_u64().unwrap() > 3000, "{told}");
    assert!(told["pairs"].as_u64().unwrap() < 5_200_000, "{told}");
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    let folder = folder();
    // A pipe gives rows for as long as somebody reads.
    let pipe = folder.path("endless.jsonl");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    folder.write("out/old.jsonl", "as it was");
    let args =
        ["dedup", "endless.jsonl", "--output", "out/old.jsonl", "--pairs", "out/pairs.jsonl"];
    let mut child = folder
        .command(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let writer = std::thread::spawn(move || {
        let mut pipe = OpenOptions::new().write(true).open(pipe).unwrap();
        let rows = many(3000);
        while pipe.write_all(rows.as_bytes()).is_ok() {}
    });
    until("the work goes on", || fs::read_dir(folder.path("out")).unwrap().count() == 3);
    signal(&child, "INT");
    assert_eq!(wait(&mut child), 130);
    writer.join().unwrap();
    let left: Vec<_> =
        fs::read_dir(folder.path("out")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left, [folder.path("out/old.jsonl")]);
    assert_eq!(folder.read("out/old.jsonl"), "as it was");
}
