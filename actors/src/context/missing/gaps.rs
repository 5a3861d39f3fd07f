//! Parents that were given up, with the children that were delivered without them. They are remembered, so that a
//! parent that arrives later is reported as late.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::{Gap, PduRef};

/// Maximum number of children listed for one parent: the list shows people what to read again and need not be complete.
const CHILDREN_MAX: usize = 100;

/// The gaps of a context.
#[derive(Default)]
pub(crate) struct Gaps {
    open: BTreeMap<PduRef, Gap>,
    /// Gaps that differ from their rows in the store.
    touched: BTreeSet<PduRef>,
    /// Missing parents in the order in which they were given up; those of an earlier incarnation in the order of their
    /// names.
    order: VecDeque<PduRef>,
}

impl Gaps {
    pub(crate) fn load(gaps: Vec<Gap>) -> Self {
        let order = gaps.iter().map(|gap| gap.missing.clone()).collect();
        let open = gaps.into_iter().map(|gap| (gap.missing.clone(), gap)).collect();
        Self { open, touched: BTreeSet::new(), order }
    }

    pub(crate) fn get(&self, reference: &PduRef) -> Option<&Gap> {
        self.open.get(reference)
    }

    /// Returns whether the parent lies beyond the history edge.
    pub(crate) fn is_edge(&self, reference: &PduRef) -> bool {
        self.get(reference).is_some_and(|gap| gap.edge)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Returns the missing parents beyond the history edge, in descending order of their names.
    pub(crate) fn edges(&self) -> impl Iterator<Item = &PduRef> {
        self.open.values().rev().filter(|gap| gap.edge).map(|gap| &gap.missing)
    }

    pub(crate) fn list(&self) -> Vec<Gap> {
        self.open.values().cloned().collect()
    }

    /// Records that a parent was given up. As long as no child was delivered without it, its arrival is no event.
    pub(crate) fn give_up(&mut self, missing: PduRef, edge: bool) {
        self.touched.insert(missing.clone());
        if self.open.insert(missing.clone(), Gap { missing: missing.clone(), children: vec![], edge }).is_none() {
            self.order.push_back(missing);
        }
    }

    /// Removes the gaps that were given up longest ago, until at most `kept` are left, and returns their parents. The
    /// later arrival of such a parent is no event, and a new child that names it fetches it again.
    pub(crate) fn forget(&mut self, kept: usize) -> Vec<PduRef> {
        let mut forgotten = vec![];
        while self.open.len() > kept
            && let Some(oldest) = self.order.front().cloned()
        {
            forgotten.extend(self.close(&oldest).map(|gap| gap.missing));
        }
        forgotten
    }

    /// Records that a child is delivered without the parent. Returns whether it is the first.
    pub(crate) fn delivered_without(&mut self, missing: &PduRef, child: &PduRef) -> bool {
        let Some(gap) = self.open.get_mut(missing) else { return false };
        let first = gap.children.is_empty();
        if gap.children.len() < CHILDREN_MAX {
            gap.children.push(child.clone());
            self.touched.insert(missing.clone());
        }
        first
    }

    /// Removes the gap of a parent that arrived.
    pub(crate) fn close(&mut self, reference: &PduRef) -> Option<Gap> {
        self.touched.remove(reference);
        if let Some(place) = self.order.iter().position(|other| other == reference) {
            self.order.remove(place);
        }
        self.open.remove(reference)
    }

    /// Returns the gaps that must be written to the store.
    pub(crate) fn take_touched(&mut self) -> Vec<Gap> {
        let touched = std::mem::take(&mut self.touched);
        touched.iter().filter_map(|missing| self.open.get(missing).cloned()).collect()
    }
}
