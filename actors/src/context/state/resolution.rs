//! State resolution: the current state of a key is a pure function of the set of its state PDUs, so that servers with
//! the same set agree, whatever the order of arrival.
//!
//! The PDUs of a key form a forest by the PDU that each one replaces. A PDU that nobody replaces wins its own tree.
//! Where several replace the same PDU, each begins a branch, which runs from the winner within it back to that PDU. The
//! best branch wins: the one with the highest power level, then with the most PDUs, then with the largest hex SHA-1
//! over the ids and origins from its new end down to the PDU that all of them replace. Roots compete last, by their
//! whole chains, in the same way. So forks are decided from the deepest up, and a direct replacement beats what it
//! replaces, whatever its power.
//!
//! Two laws that callers rely on:
//! - *A direct replacement of the current PDU is the new current PDU.* It makes each branch on which that PDU won
//!   longer and no weaker: a branch that won by power still does, one that won or tied by number now wins by number. So
//!   nothing needs to be read for it.
//! - *Without a current PDU, the next valid PDU is it*, because no other PDU counts.

use std::collections::HashMap;

use sha1::{Digest as _, Sha1};

use crate::model::{PduRef, PrevStateLink, StateEntry};

/// Index that stands for no PDU.
const NONE: usize = usize::MAX;

/// The best chain that ends at a PDU.
#[derive(Clone)]
struct StateChain {
    /// Index of its newest PDU.
    tip: usize,
    power: i64,
    count: u64,
    /// Hash over the PDUs of the chain so far.
    hash: Sha1,
}

impl StateChain {
    /// Returns the weight of the chain; larger wins. `hash` covers the chain and, if there is one, the PDU that all
    /// rivals replace.
    fn weight(&self, hash: Sha1) -> (i64, u64, [u8; 20]) {
        // The order of the bytes is that of their hex digits.
        (self.power, self.count, hash.finalize().into())
    }
}

/// The forest of one key; PDUs are named by their index in its list.
struct StateForest<'a> {
    pieces: Vec<&'a StateEntry>,
    /// Index of the PDU that each one replaces, or `NONE` if that is absent.
    parent: Vec<usize>,
    /// Roots: PDUs that replace nothing, or whose `prev_state` was given up.
    beginnings: Vec<usize>,
    /// PDUs whose `prev_state` is still missing, or that were cut from a cycle.
    loose: Vec<usize>,
}

impl<'a> StateForest<'a> {
    fn new(pieces: impl IntoIterator<Item = &'a StateEntry>) -> Self {
        let mut pieces: Vec<&StateEntry> =
            pieces.into_iter().filter(|piece| piece.bond != PrevStateLink::Foreign).collect();
        pieces.sort_unstable_by(|one, other| one.reference.cmp(&other.reference));
        pieces.dedup_by(|one, other| one.reference == other.reference);
        let places: HashMap<&PduRef, usize> =
            pieces.iter().enumerate().map(|(place, piece)| (&piece.reference, place)).collect();
        let (mut beginnings, mut loose) = (vec![], vec![]);
        let mut parent = vec![NONE; pieces.len()];
        for (place, piece) in pieces.iter().enumerate() {
            match piece.prev.as_ref().map(|prev| places.get(prev)) {
                Some(Some(&found)) => parent[place] = found,
                Some(None) if piece.bond == PrevStateLink::Sound => loose.push(place),
                Some(None) | None => beginnings.push(place),
            }
        }
        let mut forest = Self { pieces, parent, beginnings, loose };
        forest.cut_circles();
        forest
    }

    /// Cuts each cycle at its smallest reference, because a cycle has no root and every server must cut it at the same
    /// PDU.
    fn cut_circles(&mut self) {
        // 0: not visited; otherwise the number of the walk that visited the PDU.
        let mut walks = vec![0_usize; self.pieces.len()];
        for from in 0..self.pieces.len() {
            let (walk, mut place) = (from + 1, from);
            while place != NONE && walks[place] == 0 {
                walks[place] = walk;
                place = self.parent[place];
            }
            if place == NONE || walks[place] != walk {
                continue;
            }
            let (mut least, mut next) = (place, self.parent[place]);
            while next != place {
                least = least.min(next);
                next = self.parent[next];
            }
            self.parent[least] = NONE;
            self.loose.push(least);
        }
    }

    /// Returns each PDU once, after all that replace it.
    fn ends_first(&self) -> Vec<usize> {
        let mut waits_for = vec![0_usize; self.pieces.len()];
        self.parent.iter().filter(|parent| **parent != NONE).for_each(|parent| waits_for[*parent] += 1);
        let mut order: Vec<usize> = (0..self.pieces.len()).filter(|place| waits_for[*place] == 0).collect();
        let mut next = 0;
        while next < order.len() {
            let parent = self.parent[order[next]];
            next += 1;
            if parent != NONE {
                waits_for[parent] -= 1;
                if waits_for[parent] == 0 {
                    order.push(parent);
                }
            }
        }
        order
    }

    fn hashed(&self, hash: &Sha1, place: usize) -> Sha1 {
        let PduRef { origin, id } = &self.pieces[place].reference;
        hash.clone().chain_update(id.as_str()).chain_update(origin.as_str())
    }

    fn winner(&self) -> Option<usize> {
        // Best branch so far among those that replace each PDU.
        let mut best: Vec<Option<StateChain>> = vec![None; self.pieces.len()];
        let mut chains: Vec<Option<StateChain>> = vec![None; self.pieces.len()];
        for place in self.ends_first() {
            let power = self.pieces[place].power;
            let chain = match best[place].take() {
                None => StateChain { tip: place, power, count: 1, hash: self.hashed(&Sha1::new(), place) },
                Some(branch) => StateChain {
                    power: branch.power.max(power),
                    count: branch.count + 1,
                    hash: self.hashed(&branch.hash, place),
                    tip: branch.tip,
                },
            };
            let parent = self.parent[place];
            if parent == NONE {
                chains[place] = Some(chain);
                continue;
            }
            let weight = |chain: &StateChain| chain.weight(self.hashed(&chain.hash, parent));
            if best[parent].as_ref().is_none_or(|other| weight(&chain) > weight(other)) {
                best[parent] = Some(chain);
            }
        }
        let whole = |places: &[usize]| {
            let rivals = places.iter().filter_map(|place| chains[*place].as_ref());
            rivals.max_by_key(|chain| chain.weight(chain.hash.clone())).map(|chain| chain.tip)
        };
        whole(&self.beginnings).or_else(|| whole(&self.loose))
    }
}

/// Returns the current PDU of a key; `None` if no PDU counts.
///
/// A PDU whose `prev_state` is missing competes only if there is no root.
pub(crate) fn winner<'a>(pieces: impl IntoIterator<Item = &'a StateEntry>) -> Option<&'a StateEntry> {
    let forest = StateForest::new(pieces);
    forest.winner().map(|place| forest.pieces[place])
}

#[cfg(test)]
mod tests;
