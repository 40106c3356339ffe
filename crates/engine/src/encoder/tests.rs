//! Encoders of every architecture, made on the spot: compiled ones against the reference, and
//! files of strangers.

use std::{collections::BTreeMap, fs, path::Path};

use proptest::prelude::*;
use safetensors::{Dtype, View};
use serde_json::json;

use super::*;
use crate::{EngineErrorKind, Target};

/// A tensor of a made-up model.
#[derive(Clone)]
struct Made {
    shape: Vec<usize>,
    bytes: Vec<u8>,
    dtype: Dtype,
}

impl View for Made {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        self.bytes.as_slice().into()
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

const VOCABULARY: usize = 50;
const HIDDEN: usize = 40;
const INTERMEDIATE: usize = 72;
const POSITIONS: usize = 90;
const LAYERS: usize = 2;
const HEADS: usize = 5;
const LABELS: usize = 3;

struct Model {
    config: serde_json::Value,
    tensors: BTreeMap<String, Made>,
}

struct Family {
    name: &'static str,
    prefix: &'static str,
    head: &'static str,
}

const FAMILIES: [Family; 6] = [
    Family { name: "bert", prefix: "", head: "BertModel" },
    Family { name: "bert", prefix: "bert.", head: "BertForSequenceClassification" },
    Family {
        name: "distilbert",
        prefix: "distilbert.",
        head: "DistilBertForSequenceClassification",
    },
    Family { name: "distilbert", prefix: "distilbert.", head: "DistilBertForTokenClassification" },
    Family { name: "roberta", prefix: "roberta.", head: "RobertaForSequenceClassification" },
    Family { name: "xlm-roberta", prefix: "roberta.", head: "XLMRobertaForTokenClassification" },
];

impl Model {
    fn of(family: &Family) -> Self {
        let distil = family.name == "distilbert";
        let config = if distil {
            json!({
                "model_type": "distilbert", "architectures": [family.head], "vocab_size": VOCABULARY,
                "dim": HIDDEN, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": INTERMEDIATE,
                "max_position_embeddings": POSITIONS, "activation": "gelu",
                "id2label": { "0": "a", "1": "b", "2": "c" },
            })
        } else {
            json!({
                "model_type": family.name, "architectures": [family.head], "vocab_size": VOCABULARY,
                "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
                "intermediate_size": INTERMEDIATE, "max_position_embeddings": POSITIONS,
                "type_vocab_size": 2, "layer_norm_eps": 1e-5, "hidden_act": "gelu", "pad_token_id": 1,
                "id2label": { "0": "a", "1": "b", "2": "c" },
            })
        };
        let mut model = Self { config, tensors: BTreeMap::new() };
        let prefix = family.prefix;
        let embeddings = format!("{prefix}embeddings.");
        model.matrix(&format!("{embeddings}word_embeddings.weight"), &[VOCABULARY, HIDDEN]);
        model.matrix(&format!("{embeddings}position_embeddings.weight"), &[POSITIONS, HIDDEN]);
        if !distil {
            model.matrix(&format!("{embeddings}token_type_embeddings.weight"), &[2, HIDDEN]);
            model.matrix(&format!("{prefix}pooler.dense.weight"), &[HIDDEN, HIDDEN]);
            model.matrix(&format!("{prefix}pooler.dense.bias"), &[HIDDEN]);
        }
        model.norm(&format!("{embeddings}LayerNorm"));
        for layer in 0..LAYERS {
            let (path, maps, norms) = if distil {
                let maps = [
                    "attention.q_lin",
                    "attention.k_lin",
                    "attention.v_lin",
                    "attention.out_lin",
                    "ffn.lin1",
                    "ffn.lin2",
                ];
                (
                    format!("{prefix}transformer.layer.{layer}."),
                    maps,
                    ["sa_layer_norm", "output_layer_norm"],
                )
            } else {
                let maps = [
                    "attention.self.query",
                    "attention.self.key",
                    "attention.self.value",
                    "attention.output.dense",
                    "intermediate.dense",
                    "output.dense",
                ];
                (
                    format!("{prefix}encoder.layer.{layer}."),
                    maps,
                    ["attention.output.LayerNorm", "output.LayerNorm"],
                )
            };
            for (at, map) in maps.iter().enumerate() {
                let (inputs, outputs) = match at {
                    4 => (HIDDEN, INTERMEDIATE),
                    5 => (INTERMEDIATE, HIDDEN),
                    _ => (HIDDEN, HIDDEN),
                };
                model.linear(&format!("{path}{map}"), inputs, outputs);
            }
            norms.iter().for_each(|norm| model.norm(&format!("{path}{norm}")));
        }
        match (family.head, distil) {
            (head, _) if head.ends_with("Model") => {}
            (head, false) if head.ends_with("SequenceClassification") && family.name != "bert" => {
                model.linear("classifier.dense", HIDDEN, HIDDEN);
                model.linear("classifier.out_proj", HIDDEN, LABELS);
            }
            (head, true) if head.ends_with("SequenceClassification") => {
                model.linear("pre_classifier", HIDDEN, HIDDEN);
                model.linear("classifier", HIDDEN, LABELS);
            }
            _ => model.linear("classifier", HIDDEN, LABELS),
        }
        model
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize) {
        self.matrix(&format!("{name}.weight"), &[outputs, inputs]);
        self.matrix(&format!("{name}.bias"), &[outputs]);
    }

    fn norm(&mut self, name: &str) {
        self.matrix(&format!("{name}.weight"), &[HIDDEN]);
        self.matrix(&format!("{name}.bias"), &[HIDDEN]);
    }

    /// Random values, drawn by the tensor's name.
    fn matrix(&mut self, name: &str, shape: &[usize]) {
        let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let bytes = (0..shape.iter().product()).flat_map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let value = (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
            (value * 0.6).to_le_bytes()
        });
        let made = Made { shape: shape.to_vec(), bytes: bytes.collect(), dtype: Dtype::F32 };
        self.tensors.insert(name.to_owned(), made);
    }

    fn write(&self, folder: &Path) {
        fs::write(folder.join("config.json"), self.config.to_string()).unwrap();
        fs::write(folder.join("model.safetensors"), self.bytes()).unwrap();
    }

    fn bytes(&self) -> Vec<u8> {
        safetensors::serialize(self.tensors.clone(), None).unwrap()
    }

    fn read(&self) -> Result<ReferenceEncoder, crate::EngineError> {
        let folder = tempfile::tempdir().unwrap();
        self.write(folder.path());
        ReferenceEncoder::read(folder.path())
    }
}

fn compile(reference: &ReferenceEncoder, target: Target) -> CompiledEncoder {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(CompiledEncoder::FILE);
    fs::write(&path, pack_encoder(reference, target, &EncoderOptions::default())).unwrap();
    CompiledEncoder::open(&path).unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let (mut a, mut b) = (a.to_vec(), b.to_vec());
    normalise(&mut a);
    normalise(&mut b);
    a.iter().zip(&b).map(|(a, b)| a * b).sum()
}

fn texts() -> Vec<Vec<u32>> {
    let text = |length: u32, seed: u32| (0..length).map(|i| (i * 7 + seed * 13) % 50).collect();
    vec![text(1, 1), text(3, 2), text(33, 3), text(64, 4), text(80, 5), text(7, 6), text(95, 7)]
}

#[test]
fn compiled_encoders_answer_like_the_reference() {
    for family in &FAMILIES {
        let reference = Model::of(family).read().unwrap();
        for target in Target::available() {
            let compiled = compile(&reference, target);
            // One text is longer than RoBERTa's positions: they are counted, not overrun.
            let texts = texts();
            let hidden = compiled.hidden(&texts, 1);
            let classified = compiled.classify(&texts, 1);
            let least =
                if target.layout() == crate::kernel::Layout::F32 { 0.999_999 } else { 0.999 };
            for ((text, hidden), classified) in texts.iter().zip(&hidden).zip(&classified) {
                let expected = reference.hidden(text);
                assert_eq!(hidden.len(), expected.len());
                for (found, expected) in hidden.iter().zip(&expected) {
                    let cosine = cosine(found, expected);
                    assert!(cosine >= least, "{} {target}: cosine {cosine}", family.head);
                }
                let logits = reference.logits(&expected);
                assert_eq!(classified.len(), logits.len(), "{}", family.head);
                for (found, mut expected) in classified.iter().zip(logits) {
                    reference::softmax(&mut expected);
                    for (found, expected) in found.iter().zip(&expected) {
                        let off = (found - expected).abs();
                        assert!(off < 0.02, "{} {target}: {found}, not {expected}", family.head);
                    }
                }
            }
        }
    }
}

#[test]
fn an_answer_is_the_same_bits_alone_in_a_batch_and_with_threads() {
    let reference = Model::of(&FAMILIES[0]).read().unwrap();
    for target in Target::available() {
        let compiled = compile(&reference, target);
        let many: Vec<Vec<u32>> = texts().into_iter().cycle().take(60).collect();
        let alone: Vec<Vec<f32>> =
            many.iter().flat_map(|text| compiled.embed(std::slice::from_ref(text), 1)).collect();
        for threads in [1, 2, 5] {
            assert_eq!(compiled.embed(&many, threads), alone, "{target} with {threads} threads");
        }
    }
}

#[test]
fn weights_of_16_bits_are_read() {
    for dtype in [Dtype::F16, Dtype::BF16] {
        let mut model = Model::of(&FAMILIES[0]);
        for made in model.tensors.values_mut() {
            let values = made.bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
            made.bytes = match dtype {
                Dtype::F16 => values.flat_map(|v| half::f16::from_f32(v).to_le_bytes()).collect(),
                _ => values.flat_map(|v| half::bf16::from_f32(v).to_le_bytes()).collect(),
            };
            made.dtype = dtype;
        }
        let exact = Model::of(&FAMILIES[0]).read().unwrap();
        let (found, expected) =
            (model.read().unwrap().hidden(&[3, 4, 5]), exact.hidden(&[3, 4, 5]));
        assert!(cosine(&found[0], &expected[0]) > 0.999);
    }
}

#[test]
fn what_is_wrong_with_a_model_folder_is_said() {
    struct Case {
        name: &'static str,
        change: fn(&mut Model),
        says: &'static str,
    }
    let cases = [
        Case {
            name: "missing tensor",
            change: |m| drop(m.tensors.remove("encoder.layer.1.output.dense.bias")),
            says: "no tensor `encoder.layer.1.output.dense.bias`",
        },
        Case {
            name: "extra layer",
            change: |m| m.linear("encoder.layer.2.output.dense", 4, 4),
            says: "2 tensors have no place in this model: encoder.layer.2",
        },
        Case {
            name: "another shape",
            change: |m| m.config["intermediate_size"] = json!(80),
            says: "the config makes it [80, 40]",
        },
        Case {
            name: "unknown architecture",
            change: |m| m.config["model_type"] = json!("llama"),
            says: "unknown architecture `llama`; known are bert, distilbert, roberta, xlm-roberta",
        },
        Case {
            name: "heads that do not divide",
            change: |m| m.config["num_attention_heads"] = json!(7),
            says: "7 attention heads do not divide a hidden size of 40",
        },
        Case {
            name: "a dimension beyond all",
            change: |m| m.config["hidden_size"] = json!(u64::MAX),
            says: "hidden size cannot be",
        },
        Case {
            name: "relative positions",
            change: |m| m.config["position_embedding_type"] = json!("relative_key"),
            says: "only `absolute` ones are known",
        },
        Case {
            name: "integers",
            change: |m| {
                let made = m.tensors.get_mut("embeddings.LayerNorm.bias").unwrap();
                made.dtype = Dtype::I32;
            },
            says: "is of type I32; known are F32, F16 and BF16",
        },
        Case {
            name: "not a number",
            change: |m| {
                let made = m.tensors.get_mut("embeddings.LayerNorm.bias").unwrap();
                made.bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
            },
            says: "holds numbers that are not finite",
        },
        Case {
            name: "no embeddings at all",
            change: |m| m.tensors.retain(|name, _| !name.contains("word_embeddings")),
            says: "no tensor `embeddings.word_embeddings.weight`",
        },
    ];
    for Case { name, change, says } in cases {
        let mut model = Model::of(&FAMILIES[0]);
        change(&mut model);
        let error = model.read().expect_err(name);
        assert_eq!(error.kind, EngineErrorKind::Foreign, "{name}");
        assert!(error.to_string().contains(says), "{name}: {error}");
    }
}

#[test]
fn hostile_headers_are_errors_and_take_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    Model::of(&FAMILIES[0]).write(folder.path());
    let whole = fs::read(folder.path().join("model.safetensors")).unwrap();
    let header = |json: &str| {
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend(json.as_bytes());
        bytes
    };
    let tensor = r#""embeddings.word_embeddings.weight""#;
    let cases = [
        ("nothing", Vec::new()),
        ("half a length", vec![1, 2, 3]),
        ("a length beyond the file", u64::MAX.to_le_bytes().to_vec()),
        ("a cut file", whole[..whole.len() / 2].to_vec()),
        ("a cut header", whole[..40].to_vec()),
        ("more than the header says", [whole.as_slice(), &[0; 16]].concat()),
        ("no JSON", header("{nonsense")),
        (
            "huge offsets",
            header(&format!(
                r#"{{{tensor}:{{"dtype":"F32","shape":[4],"data_offsets":[0,18446744073709551615]}}}}"#
            )),
        ),
        (
            "offsets backwards",
            header(&format!(r#"{{{tensor}:{{"dtype":"F32","shape":[4],"data_offsets":[16,0]}}}}"#)),
        ),
        (
            "a shape that overflows",
            header(&format!(
                r#"{{{tensor}:{{"dtype":"F32","shape":[4294967296,4294967296,16],"data_offsets":[0,0]}}}}"#
            )),
        ),
    ];
    for (name, bytes) in cases {
        fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
        let error = ReferenceEncoder::read(folder.path()).expect_err(name);
        assert!(
            matches!(error.kind, EngineErrorKind::Foreign | EngineErrorKind::Io),
            "{name}: {error}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any damage to the header is an error or changes nothing that is read.
    #[test]
    fn damaged_weights_never_panic(at in 0usize..4000, value: u8) {
        let folder = tempfile::tempdir().unwrap();
        let model = Model::of(&FAMILIES[0]);
        model.write(folder.path());
        let mut bytes = model.bytes();
        bytes[at] = value;
        fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
        let _ = ReferenceEncoder::read(folder.path());
    }

    /// Damage to a compiled encoder's description is found when it is opened.
    #[test]
    fn damaged_packs_never_panic(at in 0usize..900, value: u8, cut in prop::option::of(0usize..100_000)) {
        let reference = Model::of(&FAMILIES[1]).read().unwrap();
        let mut bytes = pack_encoder(&reference, Target::PortableF32, &EncoderOptions::default());
        bytes[at] = value;
        bytes.truncate(cut.unwrap_or(usize::MAX));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CompiledEncoder::FILE);
        fs::write(&path, bytes).unwrap();
        if let Ok(encoder) = CompiledEncoder::open(&path) {
            let _ = encoder.classify(&[[1, 2, 3]], 1);
        }
    }

    #[test]
    fn configs_of_any_values_never_panic(key in "[a-z_]{1,24}", number: u64, text in "\\PC{0,12}") {
        let model = Model::of(&FAMILIES[0]);
        let known: Vec<String> = model.config.as_object().unwrap().keys().cloned().collect();
        for name in known.into_iter().chain([key]) {
            for value in [json!(number), json!(text), json!(null), json!([]), json!(-1.5)] {
                let mut config = model.config.clone();
                config[&name] = value;
                let _ = EncoderConfig::parse(&config.to_string());
            }
        }
    }
}
