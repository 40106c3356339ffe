//! Growing trees: forust's, with splits of categories made of theirs.

use forust_ml::{
    GradientBooster, Matrix as Columns, gradientbooster::GrowPolicy, objective::ObjectiveType,
    tree::Tree,
};
use mesh_core::{features::FeatureColumn, manifest::BoostedTreesOptions};
use mesh_engine::{Branch, TreeNode};

use crate::{TrainError, TrainErrorKind};

/// What trees are grown on.
pub(super) struct Growth<'a> {
    pub(super) columns: &'a [FeatureColumn],
    pub(super) options: &'a BoostedTreesOptions,
    pub(super) max_leaves: usize,
    pub(super) trees: usize,
    pub(super) seed: u64,
}

/// Trees: the first node of each, and the nodes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Grown {
    pub(super) roots: Vec<u32>,
    pub(super) nodes: Vec<TreeNode>,
}

/// Categories of a column, in the order of what is left for them in the mean: the best split of
/// them in two is one of this order (Fisher, "On grouping for maximum homogeneity", 1958). Without
/// categories nothing.
type Order = Option<Vec<usize>>;

impl Growth<'_> {
    /// Grows trees that tell `left` of the rows. One thread: the sums have one order.
    pub(super) fn grow(&self, rows: &[f64], left: &[f64]) -> Result<Grown, TrainError> {
        let (width, count) = (self.columns.len(), left.len());
        let orders: Vec<Order> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| order(rows, left, (at, width), column))
            .collect();
        let mut by_column = Vec::with_capacity(rows.len());
        for (at, order) in orders.iter().enumerate() {
            let values =
                rows.chunks_exact(width).map(|row| row.get(at).copied().unwrap_or(f64::NAN));
            by_column.extend(values.map(|value| ranked(order.as_deref(), value)));
        }
        let fail = |error: forust_ml::errors::ForustError| {
            TrainError::new(TrainErrorKind::Trees).because(error)
        };
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "options")]
        let (rate, least) = (self.options.learning_rate as f32, self.options.min_leaf_rows as f32);
        let mut booster = GradientBooster::default()
            .set_objective_type(ObjectiveType::SquaredLoss)
            .set_iterations(self.trees)
            .set_learning_rate(rate)
            .set_max_leaves(self.max_leaves)
            .set_max_depth(self.max_leaves)
            .set_min_leaf_weight(least)
            .set_base_score(0.0)
            .set_initialize_base_score(false)
            .set_parallel(false)
            .set_seed(self.seed);
        booster.grow_policy = GrowPolicy::LossGuide;
        let columns = Columns::new(&by_column, count, width);
        booster.fit(&columns, left, &vec![1.0; count], None).map_err(fail)?;
        let mut grown = Grown::default();
        for tree in &booster.trees {
            grown.add(tree, &orders).ok_or_else(|| TrainError::new(TrainErrorKind::Trees))?;
        }
        Ok(grown)
    }
}

impl Grown {
    /// Adds a tree; nothing if it is none.
    fn add(&mut self, tree: &Tree, orders: &[Order]) -> Option<()> {
        let first = self.nodes.len();
        // Nodes in the order of ours, each with its place in theirs.
        let mut queue = vec![0];
        let mut next = 0;
        self.roots.push(u32::try_from(first).ok()?);
        while let Some(at) = queue.get(next).copied() {
            let node = tree.nodes.get(at)?;
            next += 1;
            if node.is_leaf {
                self.nodes.push(TreeNode::Leaf(node.weight_value.into()));
                continue;
            }
            let left = u32::try_from(first + queue.len()).ok()?;
            let right = left.checked_add(1)?;
            let column = node.split_feature;
            let branch = match orders.get(column)? {
                None => Branch::Below(node.split_value),
                Some(order) => Branch::In(below(order, node.split_value)),
            };
            let missing = if node.missing_node == node.right_child { right } else { left };
            queue.extend([node.left_child, node.right_child]);
            self.nodes.push(TreeNode::Split { column, branch, left, right, missing });
        }
        Some(())
    }
}

/// The categories of a column in their order, if it has some.
fn order(rows: &[f64], left: &[f64], (at, width): (usize, usize), column: &FeatureColumn) -> Order {
    let count = column.categories?;
    let mut sums = vec![(0.0, 0u32); count];
    for (row, left) in rows.chunks_exact(width).zip(left) {
        if let Some((sum, rows)) = row.get(at).and_then(|value| sums.get_mut(category(*value)?)) {
            *sum += left;
            *rows += 1;
        }
    }
    let mean = |at: usize| {
        sums.get(at).filter(|(_, rows)| *rows > 0).map_or(0.0, |(sum, rows)| sum / f64::from(*rows))
    };
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| mean(*a).total_cmp(&mean(*b)).then(a.cmp(b)));
    Some(order)
}

fn category(value: f64) -> Option<usize> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list"
    )]
    let place = value as usize;
    (!value.is_nan()).then_some(place)
}

/// A value as trees are grown on it: of a category, its place in the order.
fn ranked(order: Option<&[usize]>, value: f64) -> f64 {
    let Some(order) = order else { return value };
    let rank = category(value).and_then(|known| order.iter().position(|other| *other == known));
    rank.and_then(|rank| u32::try_from(rank).ok()).map_or(f64::NAN, f64::from)
}

/// The categories whose places in the order are below a threshold, a bit for each.
fn below(order: &[usize], threshold: f64) -> Vec<u8> {
    let mut bits = vec![0u8; order.len().div_ceil(8)];
    for (rank, category) in (0u32..).zip(order) {
        if f64::from(rank) < threshold
            && let Some(byte) = bits.get_mut(category / 8)
        {
            *byte |= 1 << (category % 8);
        }
    }
    bits
}
