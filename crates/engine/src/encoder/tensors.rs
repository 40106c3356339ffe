//! `model.safetensors`: tensors of strangers, every size checked before it is believed.

use std::{collections::BTreeSet, path::Path};

use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Map, Value};

use crate::{EngineError, map::map};

/// An open file of tensors. What is taken is copied as f32; nothing else is kept in memory.
pub(super) struct TensorFile<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
    prefix: String,
    unread: BTreeSet<String>,
}

/// Longest header that is read: some hundred bytes a tensor, and its parts take more in memory.
const MAX_HEADER: u64 = 4 << 20;

/// A matrix of rows by columns, or a vector in one row.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Tensor {
    pub(super) values: Vec<f32>,
    pub(super) columns: usize,
}

/// Opens the file; the map must outlive the tensors.
pub(super) fn open(path: &Path) -> Result<Mmap, EngineError> {
    map(path)
}

impl<'a> TensorFile<'a> {
    /// Reads the header. The `safetensors` crate checks what it claims: its length, that offsets
    /// lie in the file, follow each other without gaps, and fit shapes and types.
    ///
    /// `anchor` is the name of a tensor that every model of the architecture has: what stands
    /// before it is the prefix of all names.
    pub(super) fn parse(path: &'a Path, map: &'a Mmap, anchor: &str) -> Result<Self, EngineError> {
        let wrong = |reason: String| EngineError::foreign(path, reason);
        let header = map.first_chunk::<8>().map_or(0, |length| u64::from_le_bytes(*length));
        if header > MAX_HEADER {
            return Err(wrong(format!(
                "its header claims {header} bytes, more than the {MAX_HEADER} of any model known"
            )));
        }
        let tensors = SafeTensors::deserialize(map).map_err(|error| {
            let which = suspect(map).map(|name| format!(" (tensor `{name}`)")).unwrap_or_default();
            wrong(format!("it is no valid safetensors file: {error}{which}"))
        })?;
        let unread: BTreeSet<String> = tensors.names().into_iter().map(str::to_owned).collect();
        let prefix = unread.iter().find_map(|name| {
            let prefix = name.strip_suffix(anchor)?;
            (prefix.is_empty() || prefix.ends_with('.')).then(|| prefix.to_owned())
        });
        let prefix = prefix.ok_or_else(|| {
            let some: Vec<_> = unread.iter().take(3).map(String::as_str).collect();
            wrong(format!("it has no tensor `{anchor}`; it starts with {}", some.join(", ")))
        })?;
        Ok(Self { path, tensors, prefix, unread })
    }

    /// Takes a tensor below the prefix, of this shape.
    pub(super) fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, EngineError> {
        let full = format!("{}{name}", self.prefix);
        // Models converted from old checkpoints have the older names.
        let older = full
            .replace("LayerNorm.weight", "LayerNorm.gamma")
            .replace("LayerNorm.bias", "LayerNorm.beta");
        let found = if self.unread.contains(&full) { full } else { older };
        self.take_named(&found, shape)
    }

    /// Takes a tensor by its whole name.
    pub(super) fn take_named(
        &mut self,
        name: &str,
        shape: &[usize],
    ) -> Result<Tensor, EngineError> {
        let wrong = |reason| EngineError::foreign(self.path, reason);
        let view = self
            .tensors
            .tensor(name)
            .map_err(|_| wrong(format!("it has no tensor `{name}`, which the config promises")))?;
        if view.shape() != shape {
            let found = view.shape();
            return Err(wrong(format!(
                "tensor `{name}` is {found:?}, the config makes it {shape:?}"
            )));
        }
        let values = floats(&view).ok_or_else(|| {
            let dtype = view.dtype();
            wrong(format!("tensor `{name}` is of type {dtype:?}; known are F32, F16 and BF16"))
        })?;
        if !values.iter().all(|value| value.is_finite()) {
            return Err(wrong(format!("tensor `{name}` holds numbers that are not finite")));
        }
        self.unread.remove(name);
        Ok(Tensor { values, columns: shape.last().copied().unwrap_or(1) })
    }

    /// Checks that nothing is left over that matters: a model with more than its config says
    /// would answer wrongly.
    pub(super) fn finish(self) -> Result<(), EngineError> {
        let matters = |name: &&String| !IGNORED.iter().any(|part| name.contains(part));
        let left: Vec<&str> = self.unread.iter().filter(matters).map(String::as_str).collect();
        if left.is_empty() {
            return Ok(());
        }
        let some = left.iter().take(3).copied().collect::<Vec<_>>().join(", ");
        let reason = format!("{} tensors have no place in this model: {some}", left.len());
        Err(EngineError::foreign(self.path, reason))
    }
}

/// Parts of names of tensors that an encoder may carry and does not need: buffers, the poolers
/// and heads of its pre-training.
const IGNORED: [&str; 7] =
    ["position_ids", "token_type_ids", "pooler.", "cls.", "lm_head", "vocab_", "predictions."];

/// The tensor whose entry in the header does not fit the file or itself: the crate's own errors do
/// not always name it.
fn suspect(bytes: &[u8]) -> Option<String> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let header: Map<String, Value> = serde_json::from_slice(rest.get(..length)?).ok()?;
    let room = (rest.len() - length) as u64;
    let fits = |entry: &Value| -> Option<bool> {
        let numbers = |key: &str| -> Option<Vec<u64>> {
            entry.get(key)?.as_array()?.iter().map(Value::as_u64).collect()
        };
        let (shape, offsets) = (numbers("shape")?, numbers("data_offsets")?);
        let &[start, end] = offsets.as_slice() else { return Some(false) };
        let dtype: Dtype = serde_json::from_value(entry.get("dtype")?.clone()).ok()?;
        let values = shape.iter().try_fold(1u64, |product, side| product.checked_mul(*side))?;
        let bits = values.checked_mul(dtype.bitsize() as u64)?;
        Some(end <= room && end.checked_sub(start)?.checked_mul(8)? == bits)
    };
    let mut entries = header.into_iter().filter(|(name, _)| name != "__metadata__");
    entries.find(|(_, entry)| fits(entry) != Some(true)).map(|(name, _)| name)
}

fn floats(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let data = view.data();
    let pairs = || data.as_chunks::<2>().0.iter();
    match view.dtype() {
        Dtype::F32 => {
            Some(data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
        }
        Dtype::F16 => Some(pairs().map(|b| f16::from_le_bytes(*b).to_f32()).collect()),
        Dtype::BF16 => Some(pairs().map(|b| bf16::from_le_bytes(*b).to_f32()).collect()),
        _ => None,
    }
}
