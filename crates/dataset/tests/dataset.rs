//! Datasets that are written and read back, and files that are none.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{fs, path::Path};

use mesh_dataset::{
    Column, Dataset, DatasetError, DatasetErrorKind, DatasetSchema, Document, SplitName,
    SplitWriter, Statistics, read_split,
};
use proptest::prelude::*;

fn write(path: &Path, documents: &[Document]) -> Result<u64, DatasetError> {
    let mut writer = SplitWriter::create(path)?;
    for document in documents {
        writer.write(document)?;
    }
    writer.finish()
}

fn read(path: &Path) -> Vec<Document> {
    read_split(path).unwrap().map(Result::unwrap).collect()
}

fn document() -> impl Strategy<Value = Document> {
    (".{0,12}", ".{0,40}", prop::option::of("[a-c]"), "[a-z]{1,8}:[0-9]{1,4}")
        .prop_map(|(id, text, label, origin)| Document { id, text, label, origin })
}

fn kind(error: &DatasetError) -> (DatasetErrorKind, String) {
    (error.kind, format!("{error}"))
}

proptest! {
    #[test]
    fn what_is_written_is_read(documents in prop::collection::vec(document(), 0..40)) {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("1.parquet"), folder.path().join("2.parquet"));
        prop_assert_eq!(write(&one, &documents).unwrap(), documents.len() as u64);
        write(&two, &documents).unwrap();
        prop_assert!(fs::read(&one).unwrap() == fs::read(&two).unwrap(), "other bytes");
        prop_assert_eq!(read(&one), documents);
    }

    #[test]
    fn damaged_files_are_errors(at in 0.0..1.0f64, byte in any::<u8>(), cut in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.parquet");
        let document = Document { id: "1".into(), text: "a text".into(), ..Document::default() };
        write(&path, &vec![document; 20]).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let at = (at * bytes.len() as f64) as usize;
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] = byte;
        }
        fs::write(&path, bytes).unwrap();
        // Any outcome is fine but a panic.
        if let Ok(documents) = read_split(&path) {
            assert!(documents.take(1000).count() < 1000, "reading has no end");
        }
    }
}

#[test]
fn many_and_long_documents_are_streamed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train.parquet");
    let document = |n: usize| Document {
        id: n.to_string(),
        text: if n.is_multiple_of(1000) { "long ".repeat(400_000) } else { format!("text {n}") },
        label: n.is_multiple_of(2).then(|| "even".to_owned()),
        origin: format!("d.csv:{n}"),
    };
    let mut writer = SplitWriter::create(&path).unwrap();
    (0..70_000).for_each(|n| writer.write(&document(n)).unwrap());
    assert_eq!(writer.finish().unwrap(), 70_000);
    let mut rows = 0;
    for (n, found) in read_split(&path).unwrap().enumerate() {
        assert_eq!(found.unwrap(), document(n));
        rows += 1;
    }
    assert_eq!(rows, 70_000);
}

/// What the first version wrote is read for ever.
#[test]
fn a_dataset_of_format_1_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1");
    let dataset = Dataset::open_folder(&folder).unwrap();
    assert_eq!(dataset.schema(), &DatasetSchema::documents(vec!["bad".into(), "good".into()]));
    assert_eq!(SplitName::ALL.map(|split| dataset.rows(split)), [8, 1, 1]);
    assert_eq!(dataset.statistics().read, 13);
    for split in SplitName::ALL {
        let documents: Vec<_> = dataset.read(split).unwrap().map(Result::unwrap).collect();
        assert_eq!(documents.len() as u64, dataset.rows(split));
        for document in documents {
            assert!(document.text.starts_with("A meal ") && document.origin.starts_with("d.csv:"));
            assert!(dataset.schema().labels.contains(&document.label.unwrap()));
        }
    }
}

#[test]
fn what_is_no_dataset_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let open = || kind(&Dataset::open_folder(folder.path()).unwrap_err());
    let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    assert_eq!(open(), (DatasetErrorKind::Io, "failed to read schema.json".into()));
    put(Dataset::SCHEMA, "{");
    assert_eq!(open(), (DatasetErrorKind::Format, "failed to read schema.json".into()));
    put(Dataset::SCHEMA, "{\"format\": 2, \"a new key\": true}");
    assert_eq!(open(), (DatasetErrorKind::Newer, "failed to read schema.json".into()));
    let schema = DatasetSchema::documents(Vec::new());
    put(Dataset::SCHEMA, &serde_json::to_string(&schema).unwrap());
    put(Dataset::STATISTICS, "{\"no such key\": 1}");
    assert_eq!(open(), (DatasetErrorKind::Format, "failed to read statistics.json".into()));
    put(Dataset::STATISTICS, &serde_json::to_string(&Statistics::default()).unwrap());
    let dataset = Dataset::open_folder(folder.path()).unwrap();
    let missing = dataset.read(SplitName::Train).map(drop).unwrap_err();
    assert_eq!(kind(&missing), (DatasetErrorKind::Io, "failed to open train.parquet".into()));
    put("train.parquet", "PAR1 but not really");
    let damaged = dataset.read(SplitName::Train).map(drop).unwrap_err();
    assert_eq!(damaged.kind, DatasetErrorKind::Format);
}

#[test]
fn a_full_disk_is_told() {
    let documents = vec![Document { text: "a text".into(), ..Document::default() }; 10];
    let error = write(Path::new("/dev/full"), &documents).unwrap_err();
    assert_eq!(error.kind, DatasetErrorKind::DiskFull);
    let nowhere = SplitWriter::create(Path::new("/nowhere/train.parquet")).map(drop).unwrap_err();
    assert_eq!(kind(&nowhere), (DatasetErrorKind::Io, "failed to create train.parquet".into()));
}

#[test]
fn splits_have_their_usual_names() {
    for split in SplitName::ALL {
        assert_eq!(split.as_str().parse(), Ok(split));
        assert_eq!(split.file_name(), format!("{split}.parquet"));
    }
    for (given, split) in [("dev", SplitName::Validation), ("training", SplitName::Train)] {
        assert_eq!(given.parse(), Ok(split));
    }
    assert!("holdout".parse::<SplitName>().unwrap_err().contains("`holdout` is not a split"));
    let columns: Vec<Column> = DatasetSchema::documents(Vec::new()).columns;
    assert_eq!(columns.len(), 4);
}
