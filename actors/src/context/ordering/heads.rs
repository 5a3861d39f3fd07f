//! The heads of a context (forward extremities): delivered PDUs that no PDU names as a parent yet. The next local PDU names
//! them.

use std::collections::BTreeSet;

use crate::change::Change;
use crate::model::{ContextId, Head, PduRef};

/// Maximum number of parents of a local PDU.
pub(crate) const PARENTS_MAX: usize = 10;

/// Maximum number of heads in the record, which is written whole with each commit; further heads have rows of their own.
const HEADS_IN_RECORD: usize = 100;

/// The heads of one context.
pub(crate) struct ContextHeads {
    /// The heads, by ascending depth.
    list: Vec<Head>,
    /// Maximum number of heads.
    max: usize,
    /// Heads that have rows of their own.
    overflow: BTreeSet<PduRef>,
    /// Number of heads that were forgotten and not reported yet.
    forgotten: u64,
}

impl ContextHeads {
    /// Returns the heads that were loaded from the store.
    pub(crate) fn load(list: Vec<Head>, max: u32) -> Self {
        let overflow = list.iter().skip(HEADS_IN_RECORD).map(|head| head.reference.clone()).collect();
        Self { list, max: max as usize, overflow, forgotten: 0 }
    }

    /// Changes the maximum number of heads. The next delivery removes those beyond a lower one.
    pub(crate) const fn change_max(&mut self, max: u32) {
        self.max = max as usize;
    }

    pub(crate) fn list(&self) -> &[Head] {
        &self.list
    }

    /// Returns the heads that the record holds.
    pub(crate) fn in_record(&self) -> &[Head] {
        &self.list[..self.list.len().min(HEADS_IN_RECORD)]
    }

    /// Returns the parents of the next local PDU.
    pub(crate) fn parents(&self) -> NamedParents {
        parents(&self.list)
    }

    /// Updates the heads after a delivery; `head` is set if the PDU becomes a head.
    pub(crate) fn advance(&mut self, named: &[PduRef], head: Option<Head>) {
        self.forgotten += advance(&mut self.list, named, head, self.max);
    }

    /// Makes this the only head if it states a greater depth than all others; returns whether it does.
    pub(crate) fn begin_at(&mut self, newest: Head) -> bool {
        let before = self.list.iter().map(|head| head.emitted).max();
        let is_newer = Some(newest.emitted) > before;
        if is_newer {
            self.list = vec![newest];
        }
        is_newer
    }

    /// Returns the number of heads that were forgotten since the last call.
    pub(crate) fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }

    /// Returns the change of the rows, if there is one; usually no head has a row of its own.
    pub(crate) fn changed(&mut self, context: &ContextId) -> Option<Change> {
        let beyond = self.list.get(HEADS_IN_RECORD..).unwrap_or_default();
        if beyond.is_empty() && self.overflow.is_empty() {
            return None;
        }
        let now: BTreeSet<PduRef> = beyond.iter().map(|head| head.reference.clone()).collect();
        let added: Vec<Head> = beyond.iter().filter(|head| !self.overflow.contains(&head.reference)).cloned().collect();
        let gone: Vec<PduRef> = self.overflow.difference(&now).cloned().collect();
        self.overflow = now;
        let is_other = !added.is_empty() || !gone.is_empty();
        is_other.then(|| Change::OverflowHeadsChanged { context: context.clone(), added, gone })
    }
}

/// The parents of our next PDU, and its two depths.
#[derive(Debug, PartialEq)]
pub(crate) struct NamedParents {
    /// Parents, by ascending depth.
    pub(crate) prev: Vec<PduRef>,
    /// Computed depth, which decides order and limits.
    pub(crate) depth: u64,
    /// Emitted depth: one more than the greatest that a parent emits, because we may not hold that parent's ancestors.
    pub(crate) emitted: u64,
}

/// Returns the parents of the next local PDU.
///
/// The depths are computed from the named parents and not from all heads, so that every server computes the same one.
fn parents(heads: &[Head]) -> NamedParents {
    let named = &heads[..heads.len().min(PARENTS_MAX)];
    let over = |depth: fn(&Head) -> u64| named.iter().map(|head| depth(head) + 1).max().unwrap_or(0);
    let prev = named.iter().map(|head| head.reference.clone()).collect();
    NamedParents { prev, depth: over(|head| head.depth), emitted: over(|head| head.emitted) }
}

/// Updates the heads after a delivery: removes those that the PDU names, and adds `head`. Above `max` the shallowest
/// heads are removed and counted; they stay in the context, but no local PDU will name them.
fn advance(heads: &mut Vec<Head>, named: &[PduRef], head: Option<Head>, max: usize) -> u64 {
    heads.retain(|head| !named.contains(&head.reference));
    if let Some(head) = head {
        let place = |other: &Head| (other.depth, &other.reference) < (head.depth, &head.reference);
        heads.insert(heads.partition_point(place), head);
    }
    let excess = heads.len().saturating_sub(max.max(1));
    heads.drain(..excess);
    excess as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(id: u64, depth: u64) -> Head {
        let origin = "red".parse().expect("valid");
        Head::of(PduRef { origin, id: format!("{id:04}").parse().expect("valid") }, depth, None)
    }

    #[test]
    fn ten_shallowest_heads_become_parents() {
        let mut heads = vec![];
        (0..12).rev().for_each(|n| assert_eq!(advance(&mut heads, &[], Some(head(n, n)), 100), 0));
        let NamedParents { prev, depth, emitted } = parents(&heads);
        assert_eq!((prev.len(), depth, emitted), (10, 10, 10));
        assert_eq!(prev[0], head(0, 0).reference);
        advance(&mut heads, &prev, Some(head(99, depth)), 100);
        assert_eq!(heads, [head(10, 10), head(99, 10), head(11, 11)]);
    }

    #[test]
    fn head_count_is_bounded() {
        let mut heads = vec![];
        let forgotten: u64 = (0..500).map(|n| advance(&mut heads, &[], Some(head(n, n)), 100)).sum();
        assert_eq!((heads.len(), heads[0].depth, forgotten), (100, 400, 400));
        assert_eq!((advance(&mut heads, &[], None, 60), heads.len()), (40, 60), "under a lower limit");
    }

    #[test]
    fn first_pdu_has_no_parents() {
        assert_eq!(parents(&[]), NamedParents { prev: vec![], depth: 0, emitted: 0 });
    }

    #[test]
    fn emitted_depth_follows_parent_depth() {
        let of =
            |depth, stated| Head { emitted: Head::of(head(1, 0).reference, depth, stated).emitted, ..head(1, depth) };
        for (stated, emitted) in
            [(None, 6), (Some(41), 42), (Some(0), 1), (Some((1 << 31) - 1), 1 << 31), (Some(1 << 31), 6)]
        {
            let NamedParents { depth, emitted: found, .. } = parents(&[of(5, stated)]);
            assert_eq!((depth, found), (6, emitted), "{stated:?}");
        }
    }
}
