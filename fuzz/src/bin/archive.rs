//! Files of documents: JSONL, CSV, TSV and Parquet, by the first byte. Whatever is read in spans is
//! what the whole scan gave.
#![no_main]

use mesh_archive::{ArchiveError, Format, Location, Rows, Table, Watch, json_of, text_of};
use mesh_core::{Cancel, NoProgress};

const FORMATS: [Format; 4] = [Format::Jsonl, Format::Csv, Format::Tsv, Format::Parquet];

/// The cells of rows, as text and as JSON, or why a row has none.
fn cells(rows: &Rows, all: &mut Vec<String>) {
    let schema = rows.batch.schema();
    for row in 0..rows.batch.num_rows() {
        let values = schema.fields().iter().zip(rows.batch.columns()).map(|(field, column)| {
            let text = text_of(column.as_ref(), field, row);
            format!("{text:?} {:?}", json_of(column.as_ref(), field, row))
        });
        let broken = rows.broken.iter().find(|(at, _)| *at == row).map(|(_, why)| why);
        all.push(format!("{broken:?} {}", values.collect::<Vec<_>>().join("\n")));
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    // What the readers of Parquet panic with is caught by ours.
    mesh_fuzz::let_panics_be_caught();
    let Some((which, bytes)) = input.split_first() else { return };
    let format = FORMATS[usize::from(*which) % FORMATS.len()];
    let place = Location::Local(mesh_fuzz::file("documents", bytes));
    let Ok(table) = Table::open(&place, Some(format)) else { return };
    let Ok(schema) = table.schema() else { return };
    let columns: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let watch = Watch { progress: &NoProgress, cancel: &Cancel::new() };
    let mut scanned = Vec::new();
    let found = table.scan(&columns, watch, "read", &mut |rows| {
        cells(&rows, &mut scanned);
        Ok::<(), ArchiveError>(())
    });
    let Ok(marks) = found else { return };
    assert_eq!(marks.rows(), scanned.len() as u64);
    let mut read = Vec::new();
    for span in marks.spans(7) {
        let mut sink = |rows: Rows| {
            cells(&rows, &mut read);
            Ok::<(), ArchiveError>(())
        };
        table.read(&columns, &span, &mut sink).expect("what was scanned is read again");
    }
    assert_eq!(read, scanned);
});
