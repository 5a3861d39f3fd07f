//! The current state of a key, by example and for every order of arrival.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use super::winner;
use crate::context::tests::harness::at;
use crate::model::{PduRef, PrevStateLink, StateEntry};

/// `C<A` replaces A, `B<A*7` has power 7, `D<X!` has given its link up, `E<Y~` has a foreign link.
fn piece(text: &str) -> StateEntry {
    let (text, power) =
        text.split_once('*').map_or((text, 0), |(text, power)| (text, power.parse().expect("a number")));
    let bond = match text.chars().last() {
        Some('!') => PrevStateLink::GivenUp,
        Some('~') => PrevStateLink::Foreign,
        _ => PrevStateLink::Sound,
    };
    let text = text.trim_end_matches(['!', '~']);
    let (name, prev) = text.split_once('<').map_or((text, None), |(name, prev)| (name, Some(prev)));
    let named = |name: &str| at(&format!("example.com/{name}"));
    StateEntry { reference: named(name), power, prev: prev.map(named), bond, member: None }
}

fn holds(texts: &str) -> String {
    let pieces: Vec<StateEntry> = texts.split_whitespace().map(piece).collect();
    let mut backwards: Vec<&StateEntry> = pieces.iter().collect();
    backwards.reverse();
    let id = |winner: Option<&StateEntry>| winner.map_or(String::new(), |piece| piece.reference.id.to_string());
    assert_eq!(id(winner(&pieces)), id(winner(backwards)), "{texts}");
    id(winner(&pieces))
}

#[test]
fn state_resolution_matches_examples() {
    for (texts, expected, why) in [
        ("", "", "nobody holds what nobody set"),
        ("A", "A", "the first"),
        ("A*9 B<A*1", "B", "a direct replacement wins whatever its power"),
        ("A B<A C<A", "C", "equal in power and number: the SHA-1 over the branch and what it replaces decides"),
        ("A B<A*1 C<A", "B", "the higher power"),
        ("A*50 B<A*1 C<A*2", "C", "the power of what all replace counts for nobody"),
        ("A B<A*5 C<A*9 D<B*9", "D", "the highest on the branch, and then the number of PDUs"),
        ("A B<A C<A D<B", "D", "the longer branch"),
        ("A B<A*5 C<A D<C E<D", "B", "power comes before number"),
        ("A B<A C<B*1 D<B*2 E<C F<C*3 G<A*9", "G", "the deepest fork first, and its winner's branch against the next"),
        ("A B<A C<B*1 D<B*2 G<A*1", "D", "the winner of a fork fights for all below it"),
        ("A*1 B*2", "B", "beginnings by their whole chains"),
        ("A*3 C<A B*2 D<B*3 E<D", "E", "the highest on the chain, its beginning included, then its number"),
        ("A C<X*9", "A", "what lacks its link does not compete with what has a beginning"),
        ("C<X*9 D<C", "D", "and holds the key where nothing has"),
        ("A C<X!*9", "C", "once the link was given up it is a beginning"),
        ("A B<A X<A C<X!*9", "C", "and if the link comes after all, it is what it says"),
        ("A C<A~*9", "A", "what replaces a PDU of another key counts for nothing"),
        ("A C<X~*9 D<C!*3", "D", "and what replaces that has no beginning to stand on, unless given up"),
        ("C<X~", "", "nothing that counts"),
        ("A<B B<A*9", "B", "a circle is cut above its smallest"),
        ("A<B B<A*9 Z", "Z", "and competes with nothing that has a beginning"),
        ("A<A", "A", "the smallest circle"),
    ] {
        assert_eq!(holds(texts), expected, "{texts}: {why}");
    }
}

/// Digests computed elsewhere, over the branches `C`, `A` and `B`, `A`: e1f83319.. is larger than 2643e4f3...
#[test]
fn state_tie_matches_published_example() {
    use sha1::{Digest as _, Sha1};
    let hex = |text: &str| Sha1::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(hex("Cexample.comAexample.com").starts_with("e1f83319"));
    assert!(hex("Bexample.comAexample.com").starts_with("2643e4f3"));
    assert_eq!(holds("A B<A C<A"), "C");
}

/// A chain of `prev` may have any length, because its author decides it.
#[test]
fn long_state_chain_never_overflows() {
    let name = |n: u32| at(&format!("red/{n}"));
    let one = |n: u32| StateEntry {
        reference: name(n),
        power: 0,
        prev: n.checked_sub(1).map(name),
        bond: PrevStateLink::Sound,
        member: None,
    };
    let mut pieces: Vec<StateEntry> = (0..100_000).map(one).collect();
    assert_eq!(winner(&pieces).map(|piece| &piece.reference), Some(&name(99_999)));
    // The same chain as one cycle.
    pieces[0].prev = Some(name(99_999));
    assert_eq!(winner(&pieces).map(|piece| &piece.reference), Some(&name(99_999)));
    // The same PDUs as a fan: all replace the first.
    pieces.iter_mut().for_each(|piece| piece.prev = Some(name(0)));
    (pieces[0].prev, pieces[77_777].power) = (None, 1);
    assert_eq!(winner(&pieces).map(|piece| &piece.reference), Some(&name(77_777)));
}

/// State resolution as the rule is written, by recursion.
mod as_written {
    use sha1::{Digest as _, Sha1};

    use crate::model::{PduRef, StateEntry};

    type Set = [StateEntry];

    fn successors<'a>(set: &'a Set, of: &'a PduRef) -> impl Iterator<Item = &'a StateEntry> {
        set.iter().filter(move |piece| piece.prev.as_ref() == Some(of))
    }

    /// Returns the chain from the winner's end down to `from`.
    fn chain<'a>(set: &'a Set, from: &'a StateEntry) -> Vec<&'a StateEntry> {
        let branches = successors(set, &from.reference).map(|successor| chain(set, successor));
        let best = branches.max_by_key(|branch| weight(branch, Some(from)));
        let mut chain = best.unwrap_or_default();
        chain.push(from);
        chain
    }

    fn weight(branch: &[&StateEntry], replaced: Option<&StateEntry>) -> (i64, usize, String) {
        let power = branch.iter().map(|piece| piece.power).max().unwrap_or(i64::MIN);
        let texts = branch.iter().copied().chain(replaced);
        let text: String = texts.map(|piece| format!("{}{}", piece.reference.id, piece.reference.origin)).collect();
        (power, branch.len(), Sha1::digest(text).iter().map(|byte| format!("{byte:02x}")).collect())
    }

    pub(super) fn winner(set: &Set) -> Option<PduRef> {
        let is_here = |prev: &PduRef| set.iter().any(|piece| piece.reference == *prev);
        let rooted = set.iter().filter(|piece| piece.prev.is_none());
        let loose = set.iter().filter(|piece| piece.prev.as_ref().is_some_and(|prev| !is_here(prev)));
        let rooted = best(set, rooted.collect());
        rooted.or_else(|| best(set, loose.collect())).map(|piece| piece.reference.clone())
    }

    fn best<'a>(set: &'a Set, beginnings: Vec<&'a StateEntry>) -> Option<&'a StateEntry> {
        let chains = beginnings.into_iter().map(|beginning| chain(set, beginning));
        chains.max_by_key(|chain| weight(chain, None)).map(|chain| chain[0])
    }
}

/// Generates forests of up to 40 PDUs, some with links that lead nowhere; powers are few, so that ties are many.
fn forest() -> impl Strategy<Value = Vec<StateEntry>> {
    let one = (prop::option::weighted(0.9, any::<Index>()), 0..3_i64, prop::bool::weighted(0.1), 0..3_usize);
    prop::collection::vec(one, 1..40).prop_map(|seeds| {
        let name = |n: usize| at(&format!("{}/{n:02}", ["red", "green", "blue"][n % 3]));
        let one = |(n, (prev, power, lost, _)): (usize, (Option<Index>, i64, bool, usize))| {
            let prev =
                prev.filter(|_| n > 0).map(|index| if lost { at(&format!("grey/{n}")) } else { name(index.index(n)) });
            StateEntry { reference: name(n), power, prev, bond: PrevStateLink::Sound, member: None }
        };
        seeds.into_iter().enumerate().map(one).collect()
    })
}

proptest! {
    #[test]
    fn state_resolution_matches_reference(set in forest()) {
        prop_assert_eq!(winner(&set).map(|piece| piece.reference.clone()), as_written::winner(&set));
    }

    /// Whatever the order of arrival, resolving step by step with the two shortcuts gives the result of the whole set.
    #[test]
    fn state_resolution_ignores_arrival_order(set in forest(), order in Just(()).prop_perturb(|(), mut rng| {
        (0..40).map(|_| rng.random::<u32>()).collect::<Vec<_>>()
    })) {
        let mut order: Vec<(u32, &StateEntry)> = order.into_iter().zip(&set).collect();
        order.sort_unstable_by_key(|(place, _)| *place);
        let mut here: BTreeMap<&PduRef, &StateEntry> = BTreeMap::new();
        let mut holder: Option<PduRef> = None;
        for (_, piece) in order {
            let is_named = here.values().any(|other| other.prev.as_ref() == Some(&piece.reference));
            here.insert(&piece.reference, piece);
            let is_direct = holder.is_none() || piece.prev == holder;
            holder = match is_direct && !is_named {
                true => Some(piece.reference.clone()),
                false => winner(here.values().copied()).map(|piece| piece.reference.clone()),
            };
            let whole = winner(here.values().copied()).map(|piece| piece.reference.clone());
            prop_assert_eq!(&holder, &whole);
        }
        prop_assert_eq!(holder, winner(&set).map(|piece| piece.reference.clone()));
    }
}
