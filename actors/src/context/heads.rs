//! The forward edges of a conversation: delivered PDUs that nobody has named as a parent yet. What we say next names them.

use crate::model::{Head, PduRef};

/// Parents of one PDU of ours.
pub(crate) const PARENTS_MAX: usize = 10;

/// The parents of what we say next, oldest depth first, and the depth it gets.
///
/// The depth is over the parents named, not over all edges: so every server computes the same one.
pub(super) fn parents(heads: &[Head]) -> (Vec<PduRef>, u64) {
    let named = &heads[..heads.len().min(PARENTS_MAX)];
    let depth = named.iter().map(|head| head.depth + 1).max().unwrap_or(0);
    (named.iter().map(|head| head.reference.clone()).collect(), depth)
}

/// A PDU was delivered: what it names is no edge any more; it is one itself, where `head` says so. Beyond `max` the shallowest
/// goes, which is told: it stays in the conversation, only nothing of ours will name it.
pub(super) fn advance(heads: &mut Vec<Head>, named: &[PduRef], head: Option<Head>, max: usize) -> bool {
    heads.retain(|head| !named.contains(&head.reference));
    if let Some(head) = head {
        let place = |other: &Head| (other.depth, &other.reference) < (head.depth, &head.reference);
        heads.insert(heads.partition_point(place), head);
    }
    let is_over = heads.len() > max.max(1);
    if is_over {
        heads.remove(0);
    }
    is_over
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(id: u64, depth: u64) -> Head {
        let origin = "red".parse().expect("valid");
        Head { reference: PduRef { origin, id: format!("{id:04}").parse().expect("valid") }, depth }
    }

    #[test]
    fn ten_edges_are_named_the_oldest_depth_first() {
        let mut heads = vec![];
        (0..12).rev().for_each(|n| assert!(!advance(&mut heads, &[], Some(head(n, n)), 100)));
        let (named, depth) = parents(&heads);
        assert_eq!((named.len(), depth), (10, 10));
        assert_eq!(named[0], head(0, 0).reference);
        advance(&mut heads, &named, Some(head(99, depth)), 100);
        assert_eq!(heads, [head(10, 10), head(99, 10), head(11, 11)]);
    }

    #[test]
    fn a_flood_of_edges_costs_a_bounded_row() {
        let mut heads = vec![];
        let forgotten = (0..500).filter(|n| advance(&mut heads, &[], Some(head(*n, *n)), 100)).count();
        assert_eq!((heads.len(), heads[0].depth, forgotten), (100, 400, 400));
    }

    #[test]
    fn the_first_word_has_no_parents_and_depth_0() {
        assert_eq!(parents(&[]), (vec![], 0));
    }
}
