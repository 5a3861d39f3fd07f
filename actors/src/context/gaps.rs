//! Parents that were given up, and who was delivered without them: known for good, so that one that comes after all is told
//! as what it is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::{Gap, PduRef};

/// Children listed for one parent: the list is there to tell people what to look at again, not to be complete.
const CHILDREN_MAX: usize = 100;

/// The gaps of a conversation.
#[derive(Default)]
pub(super) struct Gaps {
    open: BTreeMap<PduRef, Gap>,
    /// Those that are not as the disk has them.
    touched: BTreeSet<PduRef>,
    /// In the order in which they were given up; those of an earlier life in the order of their names.
    order: VecDeque<PduRef>,
}

impl Gaps {
    pub(super) fn load(gaps: Vec<Gap>) -> Self {
        let order = gaps.iter().map(|gap| gap.missing.clone()).collect();
        let open = gaps.into_iter().map(|gap| (gap.missing.clone(), gap)).collect();
        Self { open, touched: BTreeSet::new(), order }
    }

    pub(super) fn get(&self, reference: &PduRef) -> Option<&Gap> {
        self.open.get(reference)
    }

    /// It lies beyond the edge.
    pub(super) fn is_edge(&self, reference: &PduRef) -> bool {
        self.get(reference).is_some_and(|gap| gap.edge)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Those beyond the edge, the last by name first.
    pub(super) fn edges(&self) -> impl Iterator<Item = &PduRef> {
        self.open.values().rev().filter(|gap| gap.edge).map(|gap| &gap.missing)
    }

    pub(super) fn list(&self) -> Vec<Gap> {
        self.open.values().cloned().collect()
    }

    /// Nobody waits for it any longer. No child has been delivered without it yet: while that is so, its coming is no event.
    pub(super) fn give_up(&mut self, missing: PduRef, edge: bool) {
        self.touched.insert(missing.clone());
        if self.open.insert(missing.clone(), Gap { missing: missing.clone(), children: vec![], edge }).is_none() {
            self.order.push_back(missing);
        }
    }

    /// Forget those given up longest ago until no more than `kept` are left: their coming will be no event, and a child that
    /// names one looks for it anew. Returns which.
    pub(super) fn forget(&mut self, kept: usize) -> Vec<PduRef> {
        let mut forgotten = vec![];
        while self.open.len() > kept
            && let Some(oldest) = self.order.front().cloned()
        {
            forgotten.extend(self.close(&oldest).map(|gap| gap.missing));
        }
        forgotten
    }

    /// A child is delivered without it. Whether that is the first.
    pub(super) fn delivered_without(&mut self, missing: &PduRef, child: &PduRef) -> bool {
        let Some(gap) = self.open.get_mut(missing) else { return false };
        let first = gap.children.is_empty();
        if gap.children.len() < CHILDREN_MAX {
            gap.children.push(child.clone());
            self.touched.insert(missing.clone());
        }
        first
    }

    /// It came after all.
    pub(super) fn close(&mut self, reference: &PduRef) -> Option<Gap> {
        self.touched.remove(reference);
        if let Some(place) = self.order.iter().position(|other| other == reference) {
            self.order.remove(place);
        }
        self.open.remove(reference)
    }

    /// Those the disk must be told of.
    pub(super) fn take_touched(&mut self) -> Vec<Gap> {
        let touched = std::mem::take(&mut self.touched);
        touched.iter().filter_map(|missing| self.open.get(missing).cloned()).collect()
    }
}
