//! How the file of compiled trees is laid out: the one place that both the packer and the reader
//! take it from.
//!
//! Little-endian. Magic, u32 version, u32 length of the header, the header as JSON; then, each at
//! the next multiple of 64:
//!
//! 1. **base**: f64, what is added for every row.
//! 2. **roots**: per tree the u32 of its first node.
//! 3. **nodes**: 16 bytes each. f64 value: the threshold of a split, the number of a leaf, or, for
//!    a split by categories, the u32 start and u32 length of its set; u16 column; u16 flags; u32
//!    left child, the right one being next to it.
//! 4. **sets**: a bit per category.

use std::ops::Range;

use mesh_core::manifest::Scale;
use serde::{Deserialize, Serialize};

/// The first bytes of compiled trees.
pub(super) const MAGIC: &[u8; 8] = b"MESHTREE";
/// The version of the format.
pub(super) const VERSION: u32 = 1;
/// Sections start at multiples of this: a cache line.
const ALIGNMENT: usize = 64;
/// Bytes of a node.
pub(super) const NODE: usize = 16;
/// The node is a leaf.
pub(super) const LEAF: u16 = 1;
/// The node asks for categories.
pub(super) const CATEGORIES: u16 = 2;
/// A missing value goes right.
pub(super) const MISSING_RIGHT: u16 = 4;

/// The header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) columns: u32,
    pub(super) scale: Scale,
    /// The column whose number the trees add to.
    pub(super) start: Option<u32>,
    /// Columns that are asked for by what they are above the start.
    pub(super) relative: Vec<u32>,
    pub(super) trees: u32,
    pub(super) nodes: u32,
    /// Bytes of the sets of categories.
    pub(super) sets: u32,
}

/// Where the sections are.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) base: Range<usize>,
    pub(super) roots: Range<usize>,
    pub(super) nodes: Range<usize>,
    pub(super) sets: Range<usize>,
}

impl Header {
    /// Where the sections are that this header promises, if they can be anywhere.
    pub(super) fn layout(&self, header_bytes: usize) -> Option<Layout> {
        let section = |end: usize, count: u32, size: usize| {
            let start = end.checked_next_multiple_of(ALIGNMENT)?;
            Some(start..start.checked_add((count as usize).checked_mul(size)?)?)
        };
        let base = section((MAGIC.len() + 8).checked_add(header_bytes)?, 1, 8)?;
        let roots = section(base.end, self.trees, 4)?;
        let nodes = section(roots.end, self.nodes, NODE)?;
        let sets = section(nodes.end, self.sets, 1)?;
        Some(Layout { base, roots, nodes, sets })
    }
}
