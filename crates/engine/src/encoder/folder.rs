use std::path::{Path, PathBuf};

use mesh_core::manifest::{ModelTable, Pooling};
use serde_json::Value;

use super::{
    EncoderConfig, EncoderOptions, ReferenceEncoder, TextTokenizer, weights::EncoderWeights,
};
use crate::{EngineError, map::read_small};

/// The folder of a pre-trained encoder, as everybody saves them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncoderFolder(PathBuf);

/// Longer descriptions are of no model known.
const MAX_BYTES: u64 = 1 << 20;

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
        let mut reason = format!("the model has no {}", absent.join(" and no "));
        if files.iter().any(|(name, _)| name.ends_with("pytorch_model.bin")) {
            // A pickle: code of strangers, which is not run here.
            reason += ", only a pytorch_model.bin; save it again with `safe_serialization=True`";
        }
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
    /// When the folder asks for something that is unknown here, one of these files is damaged, or
    /// the manifest asks for longer windows than the encoder has positions.
    pub fn options(
        &self,
        manifest: &ModelTable,
        config: &EncoderConfig,
    ) -> Result<EncoderOptions, EngineError> {
        const POOLING: &str = "1_Pooling/config.json";
        const LENGTH: &str = "sentence_bert_config.json";
        self.check_modules()?;
        let pooling = match (manifest.pooling, self.json(POOLING)?) {
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
        let longest = config.max_tokens();
        if let Some(wanted) = manifest.max_tokens.filter(|wanted| *wanted > longest) {
            let reason = format!(
                "`max_tokens` in [model] is {wanted}, this encoder knows {longest} positions"
            );
            return Err(EngineError::foreign(Path::new(EncoderConfig::FILE), reason));
        }
        let told = match self.json(LENGTH)?.and_then(|json| json.get("max_seq_length").cloned()) {
            None | Some(Value::Null) => None,
            Some(most) => Some(most.as_u64().filter(|most| *most >= 3).ok_or_else(|| {
                let reason = format!("`max_seq_length` is {most}, it starts at 3");
                EngineError::foreign(Path::new(LENGTH), reason)
            })?),
        };
        let told = told.and_then(|most| usize::try_from(most).ok());
        Ok(EncoderOptions { pooling, max_tokens: manifest.max_tokens.or(told) })
    }

    /// Checks that the folder asks for nothing behind the pooling that is unknown here, such as
    /// another linear map.
    fn check_modules(&self) -> Result<(), EngineError> {
        const MODULES: &str = "modules.json";
        const KNOWN: [&str; 3] = ["Transformer", "Pooling", "Normalize"];
        let wrong = |reason: String| Err(EngineError::foreign(Path::new(MODULES), reason));
        let Some(modules) = self.json(MODULES)? else { return Ok(()) };
        let Some(modules) = modules.as_array() else { return wrong("it is no list".into()) };
        for module in modules {
            let kind = module.get("type").and_then(Value::as_str).unwrap_or_default();
            let name = kind.rsplit('.').next().unwrap_or_default();
            if !KNOWN.contains(&name) {
                let known = KNOWN.join(", ");
                return wrong(format!("a module `{kind}` is not known; known are {known}"));
            }
        }
        Ok(())
    }

    /// One of the small files beside the model, if it is there.
    fn json(&self, file: &str) -> Result<Option<Value>, EngineError> {
        let path = self.0.join(file);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = read_small(&path, MAX_BYTES)?;
        let parsed = serde_json::from_slice(&bytes);
        let wrong = |error| EngineError::foreign(&path, format!("it is not JSON: {error}"));
        parsed.map(Some).map_err(wrong)
    }
}
