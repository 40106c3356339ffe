//! Writes a valid file for every target that reads one of ours, beside the tiny encoder that
//! `docs/examples/tiny_bert.py` wrote to `seeds/tiny`.

use std::{error::Error, fs, path::Path};

use mesh_core::manifest::{Features, Precision};
use mesh_engine::{
    EncoderOptions, LINEAR_FORMAT, LinearDescription, LinearModel, LogisticHead, ReferenceEncoder,
    Target, pack, pack_encoder,
};

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
    let head = LogisticHead {
        labels: vec!["a".into(), "b".into()],
        temperature: 1.0,
        weight: vec![0.5; 8],
        bias: vec![0.0; 2],
    };
    let folder = seeds.join("head");
    fs::create_dir_all(&folder)?;
    head.write(&folder)?;
    seed("logistic_head", "tiny", &fs::read(folder.join(LogisticHead::WEIGHTS))?)
}
