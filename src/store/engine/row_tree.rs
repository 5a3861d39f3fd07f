//! A sorted tree of rows that shares its nodes between copies, so that a snapshot costs one reference.
//!
//! The writer changes its copy while readers keep older ones: a node that a reader can see is copied before it changes. A
//! locked map would be cheaper to change, but a read of many rows would then hold up the commits behind it.

use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;

/// Maximum number of entries of a node. A change copies the nodes on its path, so small nodes are copied faster, and large
/// ones are searched faster.
const NODE_MAX: usize = 32;

/// Bytes that a row occupies beside its key and its value.
const ROW_OVERHEAD: usize = 64;

/// The order of encoded keys: that of the table's key type.
pub(crate) type KeyOrder = fn(&[u8], &[u8]) -> Ordering;

/// The relation of a row in memory to rows with the same key in older generations and in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowState {
    /// No older row can be seen below this one, so its removal leaves no trace.
    New,
    /// An older row may lie below.
    Written,
    /// The row is removed; an older one may lie below.
    Removed,
}

/// An encoded row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The key, followed by the value.
    data: Arc<[u8]>,
    key_len: u32,
    pub(crate) state: RowState,
}

impl Row {
    pub(crate) fn new(key: &[u8], value: &[u8], state: RowState) -> Self {
        let key_len = u32::try_from(key.len()).expect("a key has less than 4 GiB");
        // One allocation: an iterator of known length is written into the shared slice itself.
        let mut data: Arc<[u8]> = std::iter::repeat_n(0, key.len() + value.len()).collect();
        if let Some(bytes) = Arc::get_mut(&mut data) {
            let (first, second) = bytes.split_at_mut(key.len());
            first.copy_from_slice(key);
            second.copy_from_slice(value);
        }
        Self { data, key_len, state }
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.data[..self.key_len as usize]
    }

    pub(crate) fn value(&self) -> &[u8] {
        &self.data[self.key_len as usize..]
    }

    /// Returns the bytes of memory that the row occupies.
    pub(crate) fn size(&self) -> usize {
        self.data.len() + ROW_OVERHEAD
    }
}

#[derive(Debug, Clone)]
enum TreeNode {
    Leaf(Vec<Row>),
    Branch(Vec<TreeChild>),
}

/// A node below a branch. All its keys are at or above `first`, and those of the child before it are below; the `first` of
/// the leftmost child is not used.
#[derive(Debug, Clone)]
struct TreeChild {
    first: Arc<[u8]>,
    node: Arc<TreeNode>,
}

/// The rows, in the order of their keys. A clone is a snapshot.
#[derive(Debug, Clone)]
pub(crate) struct RowTree {
    order: KeyOrder,
    root: Arc<TreeNode>,
    rows: usize,
}

impl RowTree {
    pub(crate) fn new(order: KeyOrder) -> Self {
        Self { order, root: Arc::new(TreeNode::Leaf(Vec::new())), rows: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(crate) fn order(&self) -> KeyOrder {
        self.order
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&Row> {
        let mut node = &*self.root;
        loop {
            match node {
                TreeNode::Branch(children) => node = &children[child_of(children, key, self.order)].node,
                TreeNode::Leaf(rows) => {
                    let found = rows.binary_search_by(|row| (self.order)(row.key(), key));
                    return found.ok().map(|at| &rows[at]);
                }
            }
        }
    }

    /// Inserts a row, and returns the row that it replaces.
    pub(crate) fn insert(&mut self, row: Row) -> Option<Row> {
        let (replaced, split) = insert_below(&mut self.root, row, self.order);
        if let Some(right) = split {
            let left = TreeChild { first: Arc::from([]), node: self.root.clone() };
            self.root = Arc::new(TreeNode::Branch(vec![left, right]));
        }
        self.rows += usize::from(replaced.is_none());
        replaced
    }

    /// Removes a row, and returns it.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<Row> {
        // The path is copied only if there is something to remove.
        self.get(key)?;
        let removed = remove_below(&mut self.root, key, self.order);
        self.shrink_root();
        self.rows -= usize::from(removed.is_some());
        removed
    }

    /// Removes the rows from `from` to before `to`, and returns the bytes that they occupied.
    pub(crate) fn remove_range(&mut self, from: &[u8], to: &[u8]) -> usize {
        let mut cursor = RowCursor::forward(self, Bound::Included(from));
        if cursor.next().is_none_or(|row| (self.order)(row.key(), to).is_ge()) {
            return 0;
        }
        drop(cursor);
        let mut removed = RemovedRows::default();
        remove_range_below(&mut self.root, from, to, self.order, &mut removed);
        self.shrink_root();
        self.rows -= removed.rows;
        removed.bytes
    }

    /// Removes levels of the tree that have become unnecessary.
    fn shrink_root(&mut self) {
        while let TreeNode::Branch(children) = &*self.root {
            match children.as_slice() {
                [] => self.root = Arc::new(TreeNode::Leaf(Vec::new())),
                [child] => self.root = child.node.clone(),
                _ => break,
            }
        }
    }

    /// Returns the last row whose key is at most this one.
    pub(crate) fn at_or_before(&self, key: &[u8]) -> Option<Row> {
        if self.is_empty() {
            return None;
        }
        RowCursor::backward(self, Bound::Included(key)).next()
    }
}

fn child_of(children: &[TreeChild], key: &[u8], order: KeyOrder) -> usize {
    children[1..].partition_point(|child| order(&child.first, key).is_le())
}

fn insert_below(node: &mut Arc<TreeNode>, row: Row, order: KeyOrder) -> (Option<Row>, Option<TreeChild>) {
    match Arc::make_mut(node) {
        TreeNode::Leaf(rows) => {
            let last = rows.last().map(|last| order(last.key(), row.key()));
            let place = match last {
                // Most keys rise.
                None | Some(Ordering::Less) => Err(rows.len()),
                _ => rows.binary_search_by(|other| order(other.key(), row.key())),
            };
            match place {
                Ok(at) => (Some(std::mem::replace(&mut rows[at], row)), None),
                Err(at) => {
                    make_room(rows);
                    rows.insert(at, row);
                    let split = split(rows, at).map(|right: Vec<Row>| TreeChild {
                        first: right[0].key().into(),
                        node: Arc::new(TreeNode::Leaf(right)),
                    });
                    (None, split)
                }
            }
        }
        TreeNode::Branch(children) => {
            let at = child_of(children, row.key(), order);
            let (replaced, new) = insert_below(&mut children[at].node, row, order);
            let split = new.and_then(|new| {
                make_room(children);
                children.insert(at + 1, new);
                split(children, at + 1)
            });
            let split = split.map(|right: Vec<TreeChild>| TreeChild {
                first: right[0].first.clone(),
                node: Arc::new(TreeNode::Branch(right)),
            });
            (replaced, split)
        }
    }
}

/// Makes room for one more entry. A vector that doubles would have room for twice the greatest node.
fn make_room<T>(entries: &mut Vec<T>) {
    if entries.len() == entries.capacity() {
        entries.reserve_exact((NODE_MAX + 1).saturating_sub(entries.len()).max(1));
    }
}

/// Splits a node that has become too large. One that grew at its end keeps what it has, so that nodes of rising keys are
/// full.
fn split<T>(entries: &mut Vec<T>, grown_at: usize) -> Option<Vec<T>> {
    let at_end = grown_at + 1 == entries.len();
    (entries.len() > NODE_MAX).then(|| entries.split_off(if at_end { grown_at } else { NODE_MAX / 2 }))
}

fn remove_below(node: &mut Arc<TreeNode>, key: &[u8], order: KeyOrder) -> Option<Row> {
    match Arc::make_mut(node) {
        TreeNode::Leaf(rows) => {
            let found = rows.binary_search_by(|row| order(row.key(), key));
            found.ok().map(|at| rows.remove(at))
        }
        TreeNode::Branch(children) => {
            let at = child_of(children, key, order);
            let removed = remove_below(&mut children[at].node, key, order);
            if children[at].node.is_empty() {
                children.remove(at);
            }
            removed
        }
    }
}

#[derive(Default)]
struct RemovedRows {
    rows: usize,
    bytes: usize,
}

fn remove_range_below(node: &mut Arc<TreeNode>, from: &[u8], to: &[u8], order: KeyOrder, removed: &mut RemovedRows) {
    match Arc::make_mut(node) {
        TreeNode::Leaf(rows) => {
            let first = rows.partition_point(|row| order(row.key(), from).is_lt());
            let end = rows.partition_point(|row| order(row.key(), to).is_lt());
            for row in rows.drain(first..end.max(first)) {
                removed.rows += 1;
                removed.bytes += row.size();
            }
        }
        TreeNode::Branch(children) => {
            let (first, last) = (child_of(children, from, order), child_of(children, to, order));
            for child in &mut children[first..=last] {
                remove_range_below(&mut child.node, from, to, order, removed);
            }
            children.retain(|child| !child.node.is_empty());
        }
    }
}

impl TreeNode {
    fn is_empty(&self) -> bool {
        match self {
            Self::Leaf(rows) => rows.is_empty(),
            Self::Branch(children) => children.is_empty(),
        }
    }
}

/// A walk over the rows of a snapshot in one direction.
#[derive(Debug, Clone)]
pub(crate) struct RowCursor {
    tree: RowTree,
    leaf: Arc<TreeNode>,
    /// Forward: the next row of the leaf. Backward: the number of rows of the leaf that are left.
    at: usize,
    /// Forward: the first key that the leaves after this one may hold. Backward: the key below which the leaves before it
    /// lie.
    beyond: Option<Arc<[u8]>>,
    is_backward: bool,
}

impl RowCursor {
    /// Begins at the first row within the bound and goes to greater keys.
    pub(crate) fn forward(tree: &RowTree, from: Bound<&[u8]>) -> Self {
        let (leaf, at, beyond) = descend(tree, from, false);
        Self { tree: tree.clone(), leaf, at, beyond, is_backward: false }
    }

    /// Begins at the last row within the bound and goes to smaller keys.
    pub(crate) fn backward(tree: &RowTree, to: Bound<&[u8]>) -> Self {
        let (leaf, at, beyond) = descend(tree, to, true);
        Self { tree: tree.clone(), leaf, at, beyond, is_backward: true }
    }

    /// Moves to another place, in the same direction.
    pub(crate) fn seek(&mut self, to: Bound<&[u8]>) {
        (self.leaf, self.at, self.beyond) = descend(&self.tree, to, self.is_backward);
    }

    fn row_in_leaf(&self) -> Option<&Row> {
        let TreeNode::Leaf(rows) = &*self.leaf else { return None };
        if self.is_backward { self.at.checked_sub(1).map(|at| &rows[at]) } else { rows.get(self.at) }
    }

    /// Returns the next row without moving on.
    pub(crate) fn peek(&mut self) -> Option<&Row> {
        while self.row_in_leaf().is_none() {
            let beyond = self.beyond.take()?;
            self.seek(if self.is_backward { Bound::Excluded(&beyond) } else { Bound::Included(&beyond) });
        }
        self.row_in_leaf()
    }

    /// Moves to the next row.
    pub(crate) fn advance(&mut self) {
        self.at = if self.is_backward { self.at.saturating_sub(1) } else { self.at + 1 };
    }
}

impl Iterator for RowCursor {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let row = self.peek()?.clone();
        self.advance();
        Some(row)
    }
}

/// Finds the leaf of a bound, the place in it, and the bound of the leaves beyond.
fn descend(tree: &RowTree, bound: Bound<&[u8]>, is_backward: bool) -> (Arc<TreeNode>, usize, Option<Arc<[u8]>>) {
    let (mut node, mut beyond) = (&tree.root, None);
    while let TreeNode::Branch(children) = &**node {
        let at = match bound {
            // The child that begins with the key has nothing below it.
            Bound::Excluded(key) if is_backward => {
                children[1..].partition_point(|child| (tree.order)(&child.first, key).is_lt())
            }
            Bound::Included(key) | Bound::Excluded(key) => child_of(children, key, tree.order),
            Bound::Unbounded if is_backward => children.len() - 1,
            Bound::Unbounded => 0,
        };
        let neighbour = if is_backward { (at > 0).then(|| &children[at]) } else { children.get(at + 1) };
        if let Some(neighbour) = neighbour {
            beyond = Some(neighbour.first.clone());
        }
        node = &children[at].node;
    }
    let TreeNode::Leaf(rows) = &**node else { unreachable!("the loop ends at a leaf") };
    let below = |key, is_included: bool| {
        rows.partition_point(|row| {
            let order = (tree.order)(row.key(), key);
            if is_included { order.is_le() } else { order.is_lt() }
        })
    };
    let at = match bound {
        Bound::Included(key) => below(key, is_backward),
        Bound::Excluded(key) => below(key, !is_backward),
        Bound::Unbounded if is_backward => rows.len(),
        Bound::Unbounded => 0,
    };
    (node.clone(), at, beyond)
}
