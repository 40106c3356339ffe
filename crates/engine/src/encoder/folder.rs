use std::{
    fs,
    path::{Path, PathBuf},
};

use mesh_core::manifest::{ModelTable, Pooling};
use serde_json::Value;

use super::{
    EncoderConfig, EncoderOptions, ReferenceEncoder, TextTokenizer, weights::EncoderWeights,
};
use crate::EngineError;

/// The folder of a pre-trained encoder, as everybody saves them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncoderFolder(PathBuf);

impl EncoderFolder {
    /// Finds the folder among files that were fetched, each with its name and its place: the one
    /// that holds a config, a tokenizer and weights.
    ///
    /// # Errors
    /// When none does; the missing files are named.
    pub fn find(files: &[(String, PathBuf)]) -> Result<Self, EngineError> {
        const NEEDED: [&str; 3] = [EncoderWeights::FILE, EncoderConfig::FILE, TextTokenizer::FILE];
        let folders: Vec<&Path> = files
            .iter()
            .filter(|(_, path)| path.file_name().is_some_and(|name| name == EncoderWeights::FILE))
            .filter_map(|(_, path)| path.parent())
            .collect();
        let missing = |folder: &Path| NEEDED.map(|name| (name, folder.join(name).is_file()));
        if let Some(folder) =
            folders.iter().find(|folder| missing(folder).iter().all(|(_, there)| *there))
        {
            return Ok(Self((*folder).to_owned()));
        }
        let absent = match folders.first() {
            None => vec![EncoderWeights::FILE],
            Some(folder) => {
                let absent = missing(folder).into_iter().filter(|(_, there)| !there);
                absent.map(|(name, _)| name).collect()
            }
        };
        let reason = format!("the model has no {}", absent.join(" and no "));
        Err(EngineError::foreign(Path::new(absent.first().unwrap_or(&"")), reason))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The tokenizer's file.
    #[must_use]
    pub fn tokenizer(&self) -> PathBuf {
        self.0.join(TextTokenizer::FILE)
    }

    /// Reads config and weights.
    ///
    /// # Errors
    /// When a file is damaged, or the two contradict each other.
    pub fn read(&self) -> Result<ReferenceEncoder, EngineError> {
        ReferenceEncoder::read(&self.0)
    }

    /// What the manifest says of it, else what the folder says, else what is usual. The files are
    /// those of the library that most sentence encoders are made with.
    ///
    /// # Errors
    /// When the folder asks for a pooling that is unknown here.
    pub fn options(&self, manifest: &ModelTable) -> Result<EncoderOptions, EngineError> {
        let json = |file: &str| -> Option<Value> {
            serde_json::from_str(&fs::read_to_string(self.0.join(file)).ok()?).ok()
        };
        const POOLING: &str = "1_Pooling/config.json";
        let pooling = match (manifest.pooling, json(POOLING)) {
            (Some(told), _) => told,
            (None, None) => Pooling::Mean,
            (None, Some(modes)) => {
                let is = |mode: &str| modes.get(mode).and_then(Value::as_bool) == Some(true);
                match (is("pooling_mode_cls_token"), is("pooling_mode_mean_tokens")) {
                    (true, false) => Pooling::Cls,
                    (false, true) => Pooling::Mean,
                    _ => {
                        let reason = "known poolings are the mean and the first token; set \
                                      `pooling` in [model] to choose one of them";
                        return Err(EngineError::foreign(Path::new(POOLING), reason));
                    }
                }
            }
        };
        let max_tokens = manifest.max_tokens.or_else(|| {
            let most = json("sentence_bert_config.json")?.get("max_seq_length")?.as_u64()?;
            usize::try_from(most).ok()
        });
        Ok(EncoderOptions { pooling, max_tokens })
    }
}
