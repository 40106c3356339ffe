use std::{fs, sync::Arc};

use mesh_archive::{ArchiveErrorKind, Location, Table};
use object_store::{ObjectStoreExt, memory::InMemory, path::Path as ObjectPath};

use super::{folder, ints, parquet, read, scan, some, table, texts};

#[test]
fn objects_are_read_as_files_are() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let store = Arc::new(InMemory::new());
    let put = |path: &str, bytes: Vec<u8>| {
        runtime.block_on(store.put(&ObjectPath::from(path), bytes.into())).unwrap();
    };
    let location = |path: &str| Location::Objects {
        store: store.clone(),
        path: ObjectPath::from(path),
        runtime: runtime.handle().clone(),
    };
    let local = folder(&[]);
    // Longer than a block, and pages of a few rows.
    let long = |n: u64| (0..1000).map(|at| format!("{} ", n * at * 7919 % 10_007)).collect();
    let long: Vec<String> = (0..1500).map(long).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    let columns = [("n", ints(&(0..1500).collect::<Vec<_>>())), ("text", texts(&long))];
    let path = local.path().join("a.parquet");
    parquet(&path, &columns);
    let rows = |at: usize| format!("{{\"n\": {at}, \"text\": \"{}\"}}\n", long[at]);
    let lines: String = (0..1500).map(rows).collect();
    put("news/lang=en/a.parquet", fs::read(&path).unwrap());
    put("news/lang=de/a.parquet", fs::read(&path).unwrap());
    put("news/_SUCCESS", Vec::new());
    put("newspaper/a.parquet", Vec::new());
    put("lines/a.jsonl", lines.into_bytes());
    let expected = scan(&table(&path), &["n", "text"]).unwrap().0;
    for (at, files) in [("news/lang=en/a.parquet", 1), ("news", 2), ("lines", 1)] {
        let table = Table::open(&location(at), None).unwrap();
        assert_eq!(table.files().len(), files, "{at}");
        let (found, marks) = scan(&table, &["n", "text"]).unwrap();
        let last = found[found.len() - 1500..].iter().map(|row| &row.2);
        assert!(last.eq(expected.iter().map(|row| &row.2)), "{at}");
        assert_eq!(read(&table, &["n", "text"], &marks, 400).unwrap(), found, "{at}");
    }
    let news = Table::open(&location("news"), None).unwrap();
    assert_eq!(news.files()[0].name, "lang=de/a.parquet");
    let (found, marks) = scan(&news, &["lang"]).unwrap();
    assert_eq!(found[0].2, some(&["de"]));
    put("news/lang=en/a.parquet", fs::read(&path).unwrap());
    assert_eq!(read(&news, &["n"], &marks, 2000).unwrap_err().kind, ArchiveErrorKind::Changed);
    for (at, expected) in [
        ("nothing", ArchiveErrorKind::Empty("nothing".into())),
        ("news/_SUCCESS", ArchiveErrorKind::Format("news/_SUCCESS".into())),
        ("", ArchiveErrorKind::Mixed(String::new())),
    ] {
        assert_eq!(Table::open(&location(at), None).unwrap_err().kind, expected);
    }
}
