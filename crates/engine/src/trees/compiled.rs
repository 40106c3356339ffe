use std::path::Path;

use memmap2::Mmap;
use mesh_core::features::FeatureSchema;

use super::{
    Regressor, from_scale,
    layout::{CATEGORIES, Header, LEAF, Layout, MAGIC, MISSING_RIGHT, NODE, VERSION},
    model::{asked, has},
};
use crate::{EngineError, EngineErrorKind, map::map};

/// Boosted trees packed into one file, memory-mapped: nothing is copied when it is loaded.
#[derive(Debug)]
pub struct CompiledTrees {
    map: Mmap,
    header: Header,
    layout: Layout,
    base: f64,
    relative: Vec<usize>,
}

/// Longest header that is read.
const MAX_HEADER: usize = 1 << 16;
/// Trees that a row goes through at once.
const TOGETHER: usize = 8;

/// The sections of the file.
#[derive(Clone, Copy)]
struct Trees<'a> {
    roots: &'a [[u8; 4]],
    nodes: &'a [[u8; NODE]],
    sets: &'a [u8],
}

/// A node, as it is asked.
#[derive(Clone, Copy)]
struct Node {
    value: [u8; 8],
    column: u16,
    flags: u16,
    child: u32,
}

impl CompiledTrees {
    /// The name of its file in a compiled artifact.
    pub const FILE: &str = "trees.mesh";

    /// Opens packed trees. Every node is checked here: what a file claims is never trusted later.
    ///
    /// # Errors
    /// When the file is not one of packed trees, cut, newer, or contradicts itself.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let map = map(path)?;
        let (header, layout) = read_header(path, &map)?;
        let fail = |reason: &str| EngineError::format(path, reason);
        let base = map.get(layout.base.clone()).and_then(|bytes| bytes.first_chunk());
        let base = f64::from_le_bytes(*base.ok_or_else(|| fail("it is cut"))?);
        let relative = header.relative.iter().map(|column| *column as usize).collect();
        let model = Self { map, header, layout, base, relative };
        model.check().map_err(fail)?;
        Ok(model)
    }

    /// Opens the packed trees of a folder, for rows of these fields.
    ///
    /// # Errors
    /// When they cannot be opened, or are for rows of another width.
    pub fn open_for(folder: &Path, schema: &FeatureSchema) -> Result<Self, EngineError> {
        let path = folder.join(Self::FILE);
        let model = Self::open(&path)?;
        match model.columns() == schema.columns().len() {
            true => Ok(model),
            false => Err(EngineError::format(&path, "its columns are not those of its fields")),
        }
    }

    fn check(&self) -> Result<(), &'static str> {
        let Trees { roots, nodes, sets } = self.trees();
        let start = self.header.start.is_none_or(|start| start < self.header.columns);
        if !start || !self.base.is_finite() {
            return Err("its start is none");
        }
        let relative = self.header.relative.iter().all(|column| *column < self.header.columns);
        if !relative || (self.header.start.is_none() && !self.relative.is_empty()) {
            return Err("a column is above a start that there is not");
        }
        if roots.iter().any(|root| u32::from_le_bytes(*root) as usize >= nodes.len()) {
            return Err("a tree starts nowhere");
        }
        for (at, node) in nodes.iter().enumerate() {
            let Node { value, column, flags, child } = Node::of(node);
            let number = f64::from_le_bytes(value);
            if flags & LEAF != 0 {
                if !number.is_finite() {
                    return Err("a leaf is not finite");
                }
                continue;
            }
            let child = child as usize;
            // A child comes after its parent, so no way goes round in circles.
            if u32::from(column) >= self.header.columns || child <= at || child + 1 >= nodes.len() {
                return Err("a split leads to a node that there is not");
            }
            if flags & CATEGORIES == 0 {
                if number.is_nan() {
                    return Err("a split asks for no number");
                }
            } else if set(sets, value).is_none() {
                return Err("a split's categories are not there");
            }
        }
        Ok(())
    }

    fn trees(&self) -> Trees<'_> {
        let section =
            |range: &std::ops::Range<usize>| self.map.get(range.clone()).unwrap_or_default();
        Trees {
            roots: section(&self.layout.roots).as_chunks().0,
            nodes: section(&self.layout.nodes).as_chunks().0,
            sets: section(&self.layout.sets),
        }
    }
}

impl Node {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "parts of a word")]
    fn of(bytes: &[u8; NODE]) -> Self {
        // The fields as words, by their places: the loads are single ones.
        let word = u64::from_le_bytes(*bytes.last_chunk().unwrap_or(&[0; 8]));
        let value = *bytes.first_chunk().unwrap_or(&[0; 8]);
        let [column, flags] = [word as u16, (word >> 16) as u16];
        Self { value, column, flags, child: (word >> 32) as u32 }
    }
}

impl Trees<'_> {
    /// Adds to a sum what each tree adds for a row, one tree after the other.
    ///
    /// Some trees are gone through at once, a step of each in turn, so that the processor waits for
    /// none of them; when one is at its leaf, the next takes its place. What is added is kept in
    /// `leaves` until all before it are known.
    fn sum<const SETS: bool>(&self, base: f64, row: &[f64], leaves: &mut Vec<f64>) -> f64 {
        leaves.clear();
        leaves.resize(self.roots.len(), 0.0);
        let mut waiting = self.roots.iter().zip(0usize..);
        let mut next = || waiting.next().map(|(root, tree)| (u32::from_le_bytes(*root), tree));
        let mut open: [Option<(u32, usize)>; TOGETHER] = std::array::from_fn(|_| next());
        let mut count = open.iter().flatten().count();
        while count > 0 {
            for place in &mut open {
                let Some((at, tree)) = place else { continue };
                let Some(bytes) = self.nodes.get(*at as usize) else { return base };
                let node = Node::of(bytes);
                if node.flags & LEAF == 0 {
                    *at = node.child.wrapping_add(u32::from(self.goes_right::<SETS>(&node, row)));
                    continue;
                }
                if let Some(leaf) = leaves.get_mut(*tree) {
                    *leaf = f64::from_le_bytes(node.value);
                }
                *place = next();
                count -= usize::from(place.is_none());
            }
        }
        leaves.iter().fold(base, |sum, leaf| sum + leaf)
    }

    #[inline]
    fn goes_right<const SETS: bool>(&self, node: &Node, row: &[f64]) -> bool {
        let value = row.get(usize::from(node.column)).copied().unwrap_or(f64::NAN);
        if SETS && node.flags & CATEGORIES != 0 && !value.is_nan() {
            return !set(self.sets, node.value).is_some_and(|bits| has(bits, value));
        }
        let right = value >= f64::from_le_bytes(node.value);
        right | (value.is_nan() & (node.flags & MISSING_RIGHT != 0))
    }
}

/// The categories of a split.
fn set(sets: &[u8], value: [u8; 8]) -> Option<&[u8]> {
    let [from, length]: [[u8; 4]; 2] = bytemuck::cast(value);
    let [from, length] = [from, length].map(|number| u32::from_le_bytes(number) as usize);
    sets.get(from..from.checked_add(length)?)
}

impl Regressor for CompiledTrees {
    fn columns(&self) -> usize {
        self.header.columns as usize
    }

    fn tell(&self, rows: &[f64]) -> Vec<f64> {
        let (trees, scale, mut leaves) = (self.trees(), self.header.scale, Vec::new());
        let start = self.header.start.map(|start| start as usize);
        let tell = |row: &[f64]| {
            let (start, row) = asked((start, &self.relative), scale, row);
            let sum = match trees.sets {
                [] => trees.sum::<false>(self.base, &row, &mut leaves),
                _ => trees.sum::<true>(self.base, &row, &mut leaves),
            };
            from_scale(scale, sum + start)
        };
        rows.chunks_exact(self.columns().max(1)).map(tell).collect()
    }
}

/// Reads the header, and checks that all it promises is there.
fn read_header(path: &Path, bytes: &[u8]) -> Result<(Header, Layout), EngineError> {
    let fail = |reason: &str| EngineError::format(path, reason);
    let number = |bytes: &[u8]| {
        let (head, _) = bytes.split_first_chunk::<4>()?;
        Some(u32::from_le_bytes(*head))
    };
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| fail("it is no file of compiled trees"))?;
    let version = number(rest).ok_or_else(|| fail("it is cut"))?;
    if version != VERSION {
        let reason = format!("it has version {version}, this program reads {VERSION}");
        let kind = match version > VERSION {
            true => EngineErrorKind::Newer,
            false => EngineErrorKind::Format,
        };
        return Err(EngineError::new(path, kind, reason));
    }
    let rest = rest.get(4..).unwrap_or_default();
    let length = number(rest).ok_or_else(|| fail("it is cut"))? as usize;
    if length > MAX_HEADER {
        return Err(fail("its header is too long"));
    }
    let text = rest.get(4..4 + length).ok_or_else(|| fail("it is cut"))?;
    let header: Header = serde_json::from_slice(text)
        .map_err(|error| EngineError::format(path, format!("its header is damaged: {error}")))?;
    let layout = header.layout(length).ok_or_else(|| fail("its header contradicts itself"))?;
    if layout.sets.end > bytes.len() {
        return Err(fail("it is cut"));
    }
    Ok((header, layout))
}
