use std::{borrow::Cow, fs, path::Path};

use mesh_core::manifest::Scale;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use super::{Regressor, from_scale, to_scale};
use crate::{EngineError, EngineErrorKind};

/// A sum of decision trees.
///
/// Files: `trees.json`, and `trees.safetensors` with `base` (1, f64), `roots` (trees, u32: the
/// first node of each), and per node `column` (u32, the greatest for a leaf), `value` (f64: the
/// threshold of a split, the number of a leaf), `children` (3, u32: left, right, and where a
/// missing value goes), `set` (2, u32: where a split's categories start in `sets` and in how many
/// bytes), and `sets` (u8: a bit per category, set for those that go left).
#[derive(Debug, Clone, PartialEq)]
pub struct TreeModel {
    /// Columns of a row.
    pub columns: usize,
    /// The scale on which the trees tell.
    pub scale: Scale,
    /// The column to whose number, on that scale, the trees add; without one to zero.
    pub start: Option<usize>,
    /// Columns that trees are asked for by what they are above the start, on the scale.
    pub relative: Vec<usize>,
    /// What is added for every row.
    pub base: f64,
    /// The first node of each tree.
    pub roots: Vec<u32>,
    /// The nodes of all trees; children come after their parents.
    pub nodes: Vec<TreeNode>,
}

/// A node of a tree.
#[derive(Debug, Clone, PartialEq)]
pub enum TreeNode {
    /// The end: what is added.
    Leaf(f64),
    /// A question.
    Split {
        /// The column that is asked.
        column: usize,
        /// What is asked.
        branch: Branch,
        /// Where to go if the answer is yes.
        left: u32,
        /// Where to go if the answer is no.
        right: u32,
        /// Where to go if there is no value.
        missing: u32,
    },
}

/// What a node asks of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Branch {
    /// Whether it is below a number.
    Below(f64),
    /// Whether it is one of some categories: a bit for each, in bytes, the lowest first.
    In(Vec<u8>),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format: u32,
    columns: usize,
    scale: Scale,
    start: Option<usize>,
    relative: Vec<usize>,
}

const FORMAT: u32 = 1;
/// The column of a leaf.
const LEAF: u32 = u32::MAX;

impl TreeModel {
    /// The description's file.
    pub const FILE: &str = "trees.json";
    /// The file of the trees.
    pub const TREES: &str = "trees.safetensors";

    /// Reads a model from its folder.
    ///
    /// # Errors
    /// When a file is missing or damaged, or the trees are none.
    pub fn read(folder: &Path) -> Result<Self, EngineError> {
        let path = folder.join(Self::FILE);
        let text = fs::read_to_string(&path).map_err(|error| EngineError::io(&path, error))?;
        let Description { format, columns, scale, start, relative } =
            serde_json::from_str(&text)
                .map_err(|error| EngineError::format(&path, error.to_string()))?;
        if format > FORMAT {
            let reason = format!("it has format {format}");
            return Err(EngineError::new(&path, EngineErrorKind::Newer, reason));
        }
        let path = folder.join(Self::TREES);
        let bytes = fs::read(&path).map_err(|error| EngineError::io(&path, error))?;
        let tensors = SafeTensors::deserialize(&bytes)
            .map_err(|error| EngineError::format(&path, error.to_string()))?;
        let wrong = |reason: &str| EngineError::format(&path, reason);
        let data = |name: &str, dtype| {
            let view = tensors.tensor(name).ok().filter(|view| view.dtype() == dtype);
            view.map(|view| view.data())
                .ok_or_else(|| wrong("a tensor is missing, or of another type"))
        };
        let integers = |name: &str| {
            let values = data(name, Dtype::U32)?.as_chunks::<4>().0.iter();
            Ok::<_, EngineError>(values.map(|b| u32::from_le_bytes(*b)).collect::<Vec<_>>())
        };
        let floats = |name: &str| {
            let values = data(name, Dtype::F64)?.as_chunks::<8>().0.iter();
            Ok::<_, EngineError>(values.map(|b| f64::from_le_bytes(*b)).collect::<Vec<_>>())
        };
        let (column, value) = (integers("column")?, floats("value")?);
        let (children, set, sets) =
            (integers("children")?, integers("set")?, data("sets", Dtype::U8)?);
        let mut nodes = Vec::with_capacity(column.len());
        let each = column.iter().zip(&value);
        let each = each.zip(children.as_chunks::<3>().0).zip(set.as_chunks::<2>().0);
        for (((column, value), [left, right, missing]), [from, length]) in each {
            let branch = match (*from as usize, *length as usize) {
                (_, 0) => Some(Branch::Below(*value)),
                (from, length) => {
                    sets.get(from..from.saturating_add(length)).map(|s| Branch::In(s.to_vec()))
                }
            };
            let branch = branch.ok_or_else(|| wrong("a split's categories are not there"))?;
            nodes.push(match *column {
                LEAF => TreeNode::Leaf(*value),
                column => TreeNode::Split {
                    column: column as usize,
                    branch,
                    left: *left,
                    right: *right,
                    missing: *missing,
                },
            });
        }
        let base = floats("base")?.first().copied().ok_or_else(|| wrong("there is no base"))?;
        let whole = nodes.len() == column.len();
        let model =
            Self { columns, scale, start, relative, base, roots: integers("roots")?, nodes };
        match whole.then(|| model.check()) {
            Some(Ok(())) => Ok(model),
            Some(Err(reason)) => Err(wrong(reason)),
            None => Err(wrong("its tensors do not fit each other")),
        }
    }

    /// Whether the trees are trees: every way ends at a leaf, every column and number is one.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let count = self.nodes.len();
        if self.start.is_some_and(|start| start >= self.columns) || !self.base.is_finite() {
            return Err("its start is none");
        }
        let relative = self.relative.iter().all(|column| *column < self.columns);
        if !relative || (self.start.is_none() && !self.relative.is_empty()) {
            return Err("a column is above a start that there is not");
        }
        if self.roots.iter().any(|root| *root as usize >= count) {
            return Err("a tree starts nowhere");
        }
        for (at, node) in self.nodes.iter().enumerate() {
            match node {
                TreeNode::Leaf(value) if !value.is_finite() => return Err("a leaf is not finite"),
                TreeNode::Leaf(_) => {}
                TreeNode::Split { column, branch, left, right, missing } => {
                    if *column >= self.columns {
                        return Err("a split asks for a column that there is not");
                    }
                    if matches!(branch, Branch::Below(number) if number.is_nan()) {
                        return Err("a split asks for no number");
                    }
                    // A child comes after its parent, so no way goes round in circles.
                    let ahead = |child: &u32| (at + 1..count).contains(&(*child as usize));
                    if ![left, right].into_iter().all(ahead) || ![left, right].contains(&missing) {
                        return Err("a split leads to a node that there is not");
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes the model into its folder.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), EngineError> {
        let description = Description {
            format: FORMAT,
            columns: self.columns,
            scale: self.scale,
            start: self.start,
            relative: self.relative.clone(),
        };
        let json = serde_json::to_string_pretty(&description);
        let path = folder.join(Self::FILE);
        fs::write(&path, json.unwrap_or_default())
            .map_err(|error| EngineError::io(&path, error))?;
        let (mut column, mut value, mut sets) = (Vec::new(), Vec::new(), Vec::new());
        let (mut children, mut set) = (Vec::new(), Vec::new());
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        for node in &self.nodes {
            match node {
                TreeNode::Leaf(number) => {
                    column.push(LEAF);
                    value.push(*number);
                    children.extend([0; 3]);
                    set.extend([0; 2]);
                }
                TreeNode::Split { column: asked, branch, left, right, missing } => {
                    column.push(count(*asked));
                    children.extend([*left, *right, *missing]);
                    match branch {
                        Branch::Below(number) => {
                            value.push(*number);
                            set.extend([0; 2]);
                        }
                        Branch::In(bits) => {
                            value.push(0.0);
                            set.extend([count(sets.len()), count(bits.len())]);
                            sets.extend_from_slice(bits);
                        }
                    }
                }
            }
        }
        let path = folder.join(Self::TREES);
        let (nodes, base) = (column.len(), [self.base]);
        let parts: [(&str, Dtype, Vec<usize>, &[u8]); 7] = [
            ("base", Dtype::F64, vec![1], bytemuck::cast_slice(&base)),
            ("roots", Dtype::U32, vec![self.roots.len()], bytemuck::cast_slice(&self.roots)),
            ("column", Dtype::U32, vec![nodes], bytemuck::cast_slice(&column)),
            ("value", Dtype::F64, vec![nodes], bytemuck::cast_slice(&value)),
            ("children", Dtype::U32, vec![nodes, 3], bytemuck::cast_slice(&children)),
            ("set", Dtype::U32, vec![nodes, 2], bytemuck::cast_slice(&set)),
            ("sets", Dtype::U8, vec![sets.len()], &sets),
        ];
        let views: Result<Vec<_>, _> = parts
            .into_iter()
            .map(|(name, dtype, shape, bytes)| Ok((name, TensorView::new(dtype, shape, bytes)?)))
            .collect();
        let bytes = views.and_then(|views| safetensors::serialize(views, None));
        let bytes = bytes.map_err(|error| EngineError::format(&path, error.to_string()))?;
        fs::write(&path, bytes).map_err(|error| EngineError::io(&path, error))
    }

    /// What the trees of a row add to, on the scale, and the row as they are asked for it.
    #[must_use]
    pub fn asked<'a>(&self, row: &'a [f64]) -> (f64, Cow<'a, [f64]>) {
        asked((self.start, &self.relative), self.scale, row)
    }

    /// What the trees of a row add to; and what is added to it: the base, then by each tree. All
    /// on the scale.
    pub fn parts<'a>(&'a self, row: &'a [f64]) -> (f64, impl Iterator<Item = f64> + 'a) {
        let (start, row) = self.asked(row);
        let leaves = self.roots.iter().map(move |root| self.leaf(*root, &row));
        (start, std::iter::once(self.base).chain(leaves))
    }

    fn leaf(&self, root: u32, row: &[f64]) -> f64 {
        let mut at = root;
        // Children come after their parents: there is an end.
        loop {
            match self.nodes.get(at as usize) {
                Some(TreeNode::Split { column, branch, left, right, missing }) => {
                    let value = row.get(*column).copied().unwrap_or(f64::NAN);
                    at = match branch {
                        _ if value.is_nan() => *missing,
                        Branch::Below(number) if value < *number => *left,
                        Branch::In(bits) if has(bits, value) => *left,
                        _ => *right,
                    };
                }
                Some(TreeNode::Leaf(value)) => return *value,
                None => return 0.0,
            }
        }
    }
}

/// What the trees of a row add to, and the row as they are asked for it.
pub(super) fn asked<'a>(
    (start, relative): (Option<usize>, &[usize]),
    scale: Scale,
    row: &'a [f64],
) -> (f64, Cow<'a, [f64]>) {
    let Some(start) = start.and_then(|start| row.get(start).copied()) else {
        return (0.0, row.into());
    };
    let start = to_scale(scale, start);
    if relative.is_empty() {
        return (start, row.into());
    }
    let mut row = row.to_vec();
    for column in relative {
        if let Some(value) = row.get_mut(*column) {
            *value = to_scale(scale, *value) - start;
        }
    }
    (start, row.into())
}

/// Whether a category is among those of a set.
pub(super) fn has(bits: &[u8], category: f64) -> bool {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    let category = category as usize;
    bits.get(category / 8).is_some_and(|byte| byte >> (category % 8) & 1 == 1)
}

impl Regressor for TreeModel {
    fn columns(&self) -> usize {
        self.columns
    }

    fn tell(&self, rows: &[f64]) -> Vec<f64> {
        let tell = |row: &[f64]| {
            let (start, parts) = self.parts(row);
            from_scale(self.scale, parts.sum::<f64>() + start)
        };
        rows.chunks_exact(self.columns.max(1)).map(tell).collect()
    }
}
