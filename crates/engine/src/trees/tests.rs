use std::fs;

use proptest::prelude::*;

use super::*;

const COLUMNS: usize = 4;

/// Trees as a trainer would leave them: every node but the last ones may split.
fn model() -> impl Strategy<Value = TreeModel> {
    let split = (0..COLUMNS, -3.0f64..3.0, any::<bool>(), prop::option::of(any::<[u8; 2]>()));
    let node = (any::<bool>(), -1.0f64..1.0, split);
    let tree = prop::collection::vec(node, 1..30);
    let trees = prop::collection::vec(tree, 0..20);
    let options = (any::<bool>(), prop::option::of(0..COLUMNS), -2.0f64..2.0);
    (trees, options).prop_map(|(trees, (log, start, base))| {
        let (mut roots, mut nodes) = (Vec::new(), Vec::new());
        for tree in trees {
            let first = nodes.len() as u32;
            roots.push(first);
            let mut next = 1;
            let wanted = tree.len() as u32;
            let mut made = Vec::new();
            for (splits, leaf, (column, number, right, set)) in tree {
                if made.len() as u32 >= next {
                    break;
                }
                if splits && next + 2 <= wanted {
                    let (left, other) = (first + next, first + next + 1);
                    let branch = set.map_or(Branch::Below(number), |set| Branch::In(set.to_vec()));
                    let missing = if right { other } else { left };
                    made.push(TreeNode::Split { column, branch, left, right: other, missing });
                    next += 2;
                } else {
                    made.push(TreeNode::Leaf(leaf));
                }
            }
            nodes.extend(made);
        }
        let scale = if log { Scale::Log } else { Scale::Plain };
        let relative = start.map_or_else(Vec::new, |start| vec![(start + 1) % COLUMNS]);
        TreeModel { columns: COLUMNS, scale, start, relative, base, roots, nodes }
    })
}

fn rows() -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![-4.0f64..4.0, (0..20u32).prop_map(f64::from), Just(f64::NAN)];
    prop::collection::vec(value, COLUMNS..COLUMNS * 8)
}

fn bits(numbers: &[f64]) -> Vec<u64> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

proptest! {
    #[test]
    fn packed_trees_tell_the_same_bits(model in model(), rows in rows()) {
        prop_assert_eq!(model.check(), Ok(()));
        let folder = tempfile::tempdir().unwrap();
        model.write(folder.path()).unwrap();
        let read = TreeModel::read(folder.path()).unwrap();
        prop_assert_eq!(&read, &model);
        let path = folder.path().join(CompiledTrees::FILE);
        fs::write(&path, pack_trees(&model).unwrap()).unwrap();
        let compiled = CompiledTrees::open(&path).unwrap();
        let told = compiled.tell(&rows);
        prop_assert_eq!(bits(&told), bits(&model.tell(&rows)));
        // A row alone is told the same.
        for (row, told) in rows.chunks_exact(COLUMNS).zip(&told) {
            prop_assert_eq!(bits(&compiled.tell(row)), bits(&[*told]));
        }
    }

    /// Whatever becomes of the bytes: an error, or trees that tell numbers.
    #[test]
    fn damaged_files_are_told(model in model(), at: prop::sample::Index, to: u8, rows in rows()) {
        let mut bytes = pack_trees(&model).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = to;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CompiledTrees::FILE);
        fs::write(&path, &bytes).unwrap();
        if let Ok(compiled) = CompiledTrees::open(&path) {
            compiled.tell(&rows);
        }
        fs::write(&path, &bytes[..at]).unwrap();
        prop_assert!(at == 0 || CompiledTrees::open(&path).is_err() || at == bytes.len());
    }
}

#[test]
fn scales_lead_there_and_back() {
    for number in [0.0, 0.5, 7.0, 1e6] {
        assert!((from_scale(Scale::Log, to_scale(Scale::Log, number)) - number).abs() < 1e-6);
    }
    assert_eq!(from_scale(Scale::Log, -3.0), 0.0);
    assert_eq!(to_scale(Scale::Plain, -3.0), -3.0);
}
