//! Who holds a key: a pure function of the set of its state PDUs, so that servers that have the same set agree, whatever the
//! order in which it came.
//!
//! The PDUs of a key form a forest by the PDU each replaces. A PDU nobody replaces stands for itself. Where several replace
//! the same one, each begins a branch, which runs from the PDU that wins within it back to it, and the best branch wins: the
//! highest power level on it, then the number of its PDUs, then the hex SHA-1 over the ids and origins from its new end down
//! to the PDU all of them replace; larger wins. Beginnings compete last, by their whole chains, in the same way. So forks are
//! decided from the deepest up, and a direct replacement beats what it replaces whatever its power.
//!
//! Two laws that callers rely on:
//! - *A direct replacement of the holder is the new holder.* It makes each branch on which the holder won longer and no
//!   weaker: where that branch won by power it still does, where it won or tied by number it now wins by number. So nothing
//!   needs to be read for it.
//! - *Without a holder, the next sound PDU is it*: nothing counts beside it.

use std::collections::HashMap;

use sha1::{Digest as _, Sha1};

use crate::model::{Bond, PduRef, StatePiece};

/// No such place.
const NONE: usize = usize::MAX;

/// The best chain that ends at a PDU, seen from its new end.
#[derive(Clone)]
struct Chain {
    /// Its new end.
    tip: usize,
    power: i64,
    count: u64,
    /// Over what the chain consists of so far.
    hash: Sha1,
}

impl Chain {
    /// Larger wins. `hash` is over the chain and, where there is one, the PDU that all rivals replace.
    fn weight(&self, hash: Sha1) -> (i64, u64, [u8; 20]) {
        // Bytes are in the order of their hex digits.
        (self.power, self.count, hash.finalize().into())
    }
}

/// The forest of one key, by places in the list of its PDUs.
struct Forest<'a> {
    pieces: Vec<&'a StatePiece>,
    /// The PDU each replaces, where it is here and counts.
    parent: Vec<usize>,
    /// Those that replace nothing, or whose link was given up.
    beginnings: Vec<usize>,
    /// Those whose link is still looked for, or leads in a circle.
    loose: Vec<usize>,
}

impl<'a> Forest<'a> {
    fn new(pieces: impl IntoIterator<Item = &'a StatePiece>) -> Self {
        let mut pieces: Vec<&StatePiece> = pieces.into_iter().filter(|piece| piece.bond != Bond::Foreign).collect();
        pieces.sort_unstable_by(|one, other| one.reference.cmp(&other.reference));
        pieces.dedup_by(|one, other| one.reference == other.reference);
        let places: HashMap<&PduRef, usize> =
            pieces.iter().enumerate().map(|(place, piece)| (&piece.reference, place)).collect();
        let (mut beginnings, mut loose) = (vec![], vec![]);
        let mut parent = vec![NONE; pieces.len()];
        for (place, piece) in pieces.iter().enumerate() {
            match piece.prev.as_ref().map(|prev| places.get(prev)) {
                Some(Some(&found)) => parent[place] = found,
                Some(None) if piece.bond == Bond::Sound => loose.push(place),
                Some(None) | None => beginnings.push(place),
            }
        }
        let mut forest = Self { pieces, parent, beginnings, loose };
        forest.cut_circles();
        forest
    }

    /// A circle has no beginning; it is cut above its smallest reference, which every server finds to be the same.
    fn cut_circles(&mut self) {
        // 0: not seen; else the number of the walk that has seen it.
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

    /// Each PDU once, after all that replace it.
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
        // The best branch so far above each PDU.
        let mut best: Vec<Option<Chain>> = vec![None; self.pieces.len()];
        let mut chains: Vec<Option<Chain>> = vec![None; self.pieces.len()];
        for place in self.ends_first() {
            let power = self.pieces[place].power;
            let chain = match best[place].take() {
                None => Chain { tip: place, power, count: 1, hash: self.hashed(&Sha1::new(), place) },
                Some(branch) => Chain {
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
            let weight = |chain: &Chain| chain.weight(self.hashed(&chain.hash, parent));
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

/// The PDU that holds the key of these; none where there are none that count.
///
/// One whose link is lacking competes only where nothing with a beginning exists.
pub(super) fn winner<'a>(pieces: impl IntoIterator<Item = &'a StatePiece>) -> Option<&'a StatePiece> {
    let forest = Forest::new(pieces);
    forest.winner().map(|place| forest.pieces[place])
}

#[cfg(test)]
mod tests;
