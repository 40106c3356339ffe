//! Writes a valid file for every target that reads one of ours, beside the tiny encoder that
//! `docs/examples/tiny_bert.py` wrote to `seeds/tiny`.

use std::{error::Error, fs, path::Path, sync::Arc};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use mesh_core::manifest::{Features, Precision, Scale};
use mesh_engine::{
    Branch, EncoderOptions, LINEAR_FORMAT, LinearDescription, LinearModel, LogisticHead,
    ReferenceEncoder, Target, TreeModel, TreeNode, pack, pack_encoder, pack_trees,
};
use mesh_text::{FastText, pack_identifier};
use parquet::arrow::ArrowWriter;

fn main() -> Result<(), Box<dyn Error>> {
    let seeds = Path::new("seeds");
    let tiny = seeds.join("tiny");
    let seed = |target: &str, name: &str, bytes: &[u8]| -> Result<(), Box<dyn Error>> {
        let folder = seeds.join(target);
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join(name), bytes)?)
    };
    seed("encoder_config", "tiny", &fs::read(tiny.join("config.json"))?)?;
    seed("tokenizer", "tiny", &fs::read(tiny.join("tokenizer.json"))?)?;
    seed("safetensors", "tiny", &fs::read(tiny.join("model.safetensors"))?)?;
    seed("project_manifest", "news", &fs::read("../projects/news-topic/project.toml")?)?;
    seed("fasttext", "tiny", &fasttext())?;
    seed("language_pack", "tiny", &pack_identifier(&FastText::read(&fasttext())?)?)?;
    let encoder = ReferenceEncoder::read(&tiny)?;
    let packed = pack_encoder(&encoder, Target::PortableF32, &EncoderOptions::default());
    seed("encoder_pack", "tiny", &packed)?;
    let description = LinearDescription {
        format: LINEAR_FORMAT,
        labels: vec!["bad".into(), "good".into()],
        features: Features::default(),
        temperature: 1.0,
    };
    let vocabulary = vec!["w\tgood".to_owned(), "w\tbad".to_owned()];
    let weights = (vec![1.0, -1.0], vec![0.1]);
    let linear = LinearModel::new(description, vocabulary, vec![1.0, 2.0], weights)?;
    seed("linear_pack", "tiny", &pack(&linear, Precision::F16).0)?;
    let (branch, left, right) = (Branch::Below(0.5), 1, 2);
    let split = TreeNode::Split { column: 1, branch, left, right, missing: 1 };
    let nodes = vec![split, TreeNode::Leaf(1.0), TreeNode::Leaf(2.0)];
    let (scale, start, relative) = (Scale::Log, Some(0), vec![1]);
    let (columns, base, roots) = (2, 0.1, vec![0]);
    let trees = TreeModel { columns, scale, start, relative, base, roots, nodes };
    seed("trees_pack", "tiny", &pack_trees(&trees)?)?;
    let head = LogisticHead {
        labels: vec!["a".into(), "b".into()],
        temperature: 1.0,
        weight: vec![0.5; 8],
        bias: vec![0.0; 2],
    };
    let folder = seeds.join("head");
    fs::create_dir_all(&folder)?;
    head.write(&folder)?;
    seed("logistic_head", "tiny", &fs::read(folder.join(LogisticHead::WEIGHTS))?)?;
    for (which, name, bytes) in documents()? {
        seed("archive", name, &[&[which], bytes.as_slice()].concat())?;
    }
    for (name, sql) in FILTERS {
        seed("filter", name, sql.as_bytes())?;
    }
    let message =
        r#"{"id": 2, "text": "a \u00df \n", "at": "2024-05-01T10:00:00Z", "list": [1.5, null]}"#;
    seed("message", "document", message.as_bytes())
}

const FILTERS: [(&str, &str); 4] = [
    ("compared", "t = 'a' and i >= 1 or f between -1.5 and 2e3 and not b"),
    ("listed", "j in ('a', 1e3) or t not in ('12') and i is not null"),
    ("like", "t like '%\\_%' escape '\\' or \"j\" not ilike 'A_'"),
    ("times", "d > '2001-01-01T00:00:00Z' or d is null or b = true"),
];

/// Documents in every format, after the number that the target knows it by.
fn documents() -> Result<Vec<(u8, &'static str, Vec<u8>)>, Box<dyn Error>> {
    let jsonl =
        "{\"id\": 1, \"text\": \"a \\u00df\"}\n\nno json\n{\"id\": null, \"more\": [1, {}]}";
    let csv = "id,text\n1,\"a \"\"b\"\"\nc\"\n2,d,e\n3,\"open\n4,\u{ff}\n";
    let texts = StringArray::from(vec![Some("a"), None, Some("c")]);
    let numbers = Int64Array::from(vec![1, 2, 3]);
    let batch = RecordBatch::try_from_iter([
        ("id", Arc::new(numbers) as ArrayRef),
        ("text", Arc::new(texts) as ArrayRef),
    ])?;
    let mut parquet = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut parquet, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(vec![
        (0, "jsonl", jsonl.into()),
        (1, "csv", csv.into()),
        (2, "tsv", csv.replace(',', "\t").into()),
        (3, "parquet", parquet),
    ])
}

/// A small model as fastText writes it: two words, two labels, four buckets of which two are kept.
fn fasttext() -> Vec<u8> {
    let mut out = Vec::new();
    // Magic, version, dimension, window, epochs, least count, negative samples, word n-grams,
    // loss, kind, buckets, shortest and longest run of characters, rate of updates.
    for number in [793_712_314, 12, 2, 5, 5, 1, 5, 2, 1, 3, 4, 1, 2, 100] {
        out.extend(i32::to_le_bytes(number));
    }
    out.extend(1e-4f64.to_le_bytes());
    for number in [4, 2, 2] {
        out.extend(i32::to_le_bytes(number));
    }
    out.extend(9i64.to_le_bytes());
    out.extend(2i64.to_le_bytes());
    for (word, kind) in [("</s>", 0), ("a", 0), ("__label__en", 1), ("__label__de", 1)] {
        out.extend(word.bytes().chain([0]));
        out.extend(7i64.to_le_bytes());
        out.push(kind);
    }
    for number in [1, 0, 3, 1] {
        out.extend(i32::to_le_bytes(number));
    }
    for rows in [4i64, 2] {
        out.push(0);
        out.extend(rows.to_le_bytes());
        out.extend(2i64.to_le_bytes());
        out.extend((0..rows * 2).flat_map(|at| (at as f32 * 0.25 - 0.5).to_le_bytes()));
    }
    out
}
