//! The sorted tree against a sorted map, at sizes of several levels.

use std::collections::BTreeMap;
use std::ops::Bound;

use fastrand::Rng;

use crate::store::engine::row_tree::{Row, RowCursor, RowState, RowTree};

fn row(number: u32) -> Row {
    Row::new(&number.to_be_bytes(), &number.to_le_bytes(), RowState::Written)
}

fn numbers(rows: impl Iterator<Item = Row>) -> Vec<u32> {
    rows.map(|row| u32::from_be_bytes(row.key().try_into().expect("four bytes"))).collect()
}

fn agree(tree: &RowTree, model: &BTreeMap<u32, ()>) {
    let all: Vec<u32> = model.keys().copied().collect();
    assert_eq!(numbers(RowCursor::forward(tree, Bound::Unbounded)), all);
    let mut backwards = numbers(RowCursor::backward(tree, Bound::Unbounded));
    backwards.reverse();
    assert_eq!(backwards, all);
    assert_eq!(tree.is_empty(), all.is_empty());
}

#[test]
fn tree_agrees_with_sorted_map() {
    for seed in 0..8 {
        let (mut chance, mut tree, mut model) = (Rng::with_seed(seed), RowTree::new(|a, b| a.cmp(b)), BTreeMap::new());
        let mut copies = Vec::new();
        for round in 0..2_500u32 {
            let number = if seed % 2 == 0 { round } else { chance.u32(..3_000) };
            match chance.u8(..10) {
                0..6 => assert_eq!(tree.insert(row(number)).is_some(), model.insert(number, ()).is_some()),
                6..9 => {
                    let number = chance.u32(..=number);
                    assert_eq!(tree.remove(&number.to_be_bytes()).is_some(), model.remove(&number).is_some());
                }
                _ if chance.u8(..8) == 0 => {
                    let (from, length) = (chance.u32(..3_000), chance.u32(..200));
                    let (first, end) = (from.to_be_bytes(), (from + length).to_be_bytes());
                    let size = tree.remove_range(&first, &end);
                    let gone = model.range(from..from + length).count();
                    assert_eq!(size, gone * row(0).size());
                    model.retain(|number, ()| !(from..from + length).contains(number));
                }
                _ => {
                    let key = chance.u32(..3_000);
                    let bytes = key.to_be_bytes();
                    let from = numbers(RowCursor::forward(&tree, Bound::Excluded(&bytes)).take(40));
                    assert_eq!(from, model.range(key + 1..).take(40).map(|(key, ())| *key).collect::<Vec<_>>());
                    let to = numbers(RowCursor::backward(&tree, Bound::Included(&bytes)).take(40));
                    assert_eq!(to, model.range(..=key).rev().take(40).map(|(key, ())| *key).collect::<Vec<_>>());
                    assert_eq!(tree.get(&bytes).is_some(), model.contains_key(&key));
                }
            }
            if round % 400 == 0 {
                copies.push((tree.clone(), model.clone()));
            }
        }
        agree(&tree, &model);
        for (tree, model) in copies {
            agree(&tree, &model);
        }
    }
}
