use std::path::Path;

use super::{
    Branch, CompiledTrees, TreeModel, TreeNode,
    layout::{CATEGORIES, Header, LEAF, MAGIC, MISSING_RIGHT, VERSION},
};
use crate::EngineError;

/// Packs a model into the bytes of [`CompiledTrees`]: the nodes of a tree level by level, so that
/// the first questions of a tree share cache lines, and siblings side by side.
///
/// # Errors
/// When the model has more columns or nodes than the format can name.
pub fn pack_trees(model: &TreeModel) -> Result<Vec<u8>, EngineError> {
    let fail = |reason: &str| EngineError::format(Path::new(CompiledTrees::FILE), reason);
    let (mut roots, mut nodes, mut sets) = (Vec::new(), Vec::new(), Vec::new());
    let count = |count: usize| u32::try_from(count).map_err(|_| fail("the trees are too large"));
    for root in &model.roots {
        roots.extend(count(nodes.len())?.to_le_bytes());
        // Nodes in the order of the file, each with its place in the model.
        let first = nodes.len();
        nodes.push([0u8; 16]);
        let mut queue = vec![*root];
        let mut next = 0;
        while let Some(at) = queue.get(next).copied() {
            let node = match model.nodes.get(at as usize) {
                None => return Err(fail("a split leads to a node that there is not")),
                Some(TreeNode::Leaf(value)) => node(value.to_le_bytes(), 0, LEAF, 0),
                Some(TreeNode::Split { column, branch, left, right, missing }) => {
                    let column = u16::try_from(*column).map_err(|_| fail("too many columns"))?;
                    let mut flags = if missing == right { MISSING_RIGHT } else { 0 };
                    let value = match branch {
                        Branch::Below(number) => number.to_le_bytes(),
                        Branch::In(bits) => {
                            flags |= CATEGORIES;
                            let set = [count(sets.len())?, count(bits.len())?];
                            sets.extend_from_slice(bits);
                            bytemuck::cast(set.map(u32::to_le_bytes))
                        }
                    };
                    let child = count(nodes.len())?;
                    queue.extend([*left, *right]);
                    nodes.extend([[0u8; 16]; 2]);
                    node(value, column, flags, child)
                }
            };
            if let Some(place) = nodes.get_mut(first + next) {
                *place = node;
            }
            next += 1;
        }
    }
    let header = Header {
        columns: count(model.columns)?,
        scale: model.scale,
        start: model.start.map(count).transpose()?,
        relative: model.relative.iter().map(|column| count(*column)).collect::<Result<_, _>>()?,
        trees: count(model.roots.len())?,
        nodes: count(nodes.len())?,
        sets: count(sets.len())?,
    };
    let json = serde_json::to_vec(&header).unwrap_or_default();
    let layout = header.layout(json.len()).ok_or_else(|| fail("the trees are too large"))?;
    let mut bytes = Vec::with_capacity(layout.sets.end);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(count(json.len())?.to_le_bytes());
    bytes.extend(json);
    bytes.resize(layout.base.start, 0);
    bytes.extend(model.base.to_le_bytes());
    bytes.resize(layout.roots.start, 0);
    bytes.extend(roots);
    bytes.resize(layout.nodes.start, 0);
    bytes.extend(nodes.into_iter().flatten());
    bytes.resize(layout.sets.start, 0);
    bytes.extend(sets);
    Ok(bytes)
}

fn node(value: [u8; 8], column: u16, flags: u16, child: u32) -> [u8; 16] {
    let mut node = [0; 16];
    let parts = value.into_iter().chain(column.to_le_bytes());
    let parts = parts.chain(flags.to_le_bytes()).chain(child.to_le_bytes());
    node.iter_mut().zip(parts).for_each(|(to, byte)| *to = byte);
    node
}
