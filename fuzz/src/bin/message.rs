//! A message of a stream: what is kept of it as a document, the reader of archives reads back.
#![no_main]

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use mesh_archive::{ArchiveError, Format, Location, Table, Watch, line_of, rows_of};
use mesh_core::{Cancel, NoProgress};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let line = match line_of(input) {
        Ok(line) => line,
        Err(no) => return assert!(!no.reason.is_empty() && !no.detail.is_empty()),
    };
    assert_eq!(line_of(line.as_bytes()).as_ref(), Ok(&line), "it is a document again");
    // Between two others, it is one row, and one that can be read.
    let file = format!("{{\"id\":1}}\n{line}\n{{\"id\":3}}\n");
    let place = Location::Local(mesh_fuzz::file("documents.jsonl", file.as_bytes()));
    let table = Table::open(&place, Some(Format::Jsonl)).expect("a file of JSONL");
    let watch = Watch { progress: &NoProgress, cancel: &Cancel::new() };
    let mut rows = 0;
    let mut sink = |found: mesh_archive::Rows| {
        assert!(found.broken.is_empty(), "{:?}", found.broken);
        rows += found.batch.num_rows();
        Ok::<(), ArchiveError>(())
    };
    table.scan(&["id".to_owned()], watch, "read", &mut sink).expect("three documents");
    assert_eq!(rows, 3);
    // In columns it fits or does not; beside one that does, as alone.
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Float32, true)));
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("text", DataType::Utf8, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), true),
        Field::new("list", list, true),
    ]));
    if let Ok(alone) = rows_of(&[&line], &schema) {
        assert_eq!(alone.num_rows(), 1);
        let both = rows_of(&["{\"id\":1}", &line], &schema).expect("each of them fits");
        assert_eq!(both.slice(1, 1), alone);
    }
});
