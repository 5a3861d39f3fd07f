//! Printed traces of comparisons, and the property that every difference is found in few calls.

use std::collections::BTreeSet;

use proptest::prelude::{Strategy, any};
use proptest::{prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::comparison::compared_set::PduMark;
use crate::comparison::range_answers::{LISTED_MAX, RangeAnswer, WAYS, answers};

const SALT: CompareSalt = [9; 16];

/// A PDU of these tests: its number is its id and its position.
fn pdu(number: u64) -> PduRef {
    PduRef { origin: "red".parse().expect("valid"), id: number.to_string().parse().expect("valid") }
}

/// Returns a set of PDUs; ten share each time.
fn set(numbers: impl IntoIterator<Item = u64>) -> ComparedSet {
    let mark = |number: u64| {
        let bound = RangeBound { at: Millis(number / 10), tag: tag_of(&SALT, &pdu(number)) };
        PduMark { bound, position: i64::try_from(number).expect("small") }
    };
    ComparedSet::new(numbers.into_iter().map(mark).collect())
}

const TO: Millis = Millis(1 << 40);

/// The peer of a comparison.
struct TestPeer {
    set: ComparedSet,
    from: Millis,
    ranges_max: usize,
    ids_max: usize,
}

impl TestPeer {
    fn of(numbers: impl IntoIterator<Item = u64>) -> Self {
        Self { set: set(numbers), from: Millis(0), ranges_max: 64, ids_max: 1000 }
    }

    fn reply(&self, asked: &[AskedRange]) -> CompareReply {
        let range = ComparedRange { from: RangeBound::before(self.from), to: RangeBound::before(TO) };
        let ranges =
            answers(&self.set, asked, (self.ranges_max, self.ids_max)).into_iter().map(|answer| match answer {
                RangeAnswer::Equal => RangeReply::Equal,
                RangeAnswer::Listed(marks) => {
                    RangeReply::Ids(marks.iter().map(|mark| pdu(mark.position.unsigned_abs())).collect())
                }
                RangeAnswer::Split(parts) => RangeReply::Parts(parts),
                RangeAnswer::Later => RangeReply::Later,
            });
        CompareReply { from: self.from, to: TO, whole: self.set.digest(range), ranges: ranges.collect() }
    }
}

fn word(reply: &RangeReply) -> String {
    match reply {
        RangeReply::Equal => "equal".to_owned(),
        RangeReply::Ids(ids) => format!("{} ids", ids.len()),
        RangeReply::Parts(parts) => format!("{} parts", parts.len()),
        RangeReply::Later => "later".to_owned(),
    }
}

/// Runs a comparison to its end, and returns it with its trace.
fn compared(ours: ComparedSet, peer: &TestPeer, limits: VerifyLimits) -> (CompareEffect, Vec<String>) {
    let mut trace = vec![];
    let (mut machine, mut effect) = CompareMachine::begin(SALT, ours, (Millis(0), TO), limits);
    while let CompareEffect::Ask(asked) = &effect {
        let counts: Vec<String> = asked.iter().map(|range| range.digest.count.to_string()).collect();
        let reply = peer.reply(asked);
        let replies: Vec<String> = reply.ranges.iter().map(word).collect();
        trace.push(format!("ask about [{}]: {} there, [{}]", counts.join(" "), reply.whole.count, replies.join(", ")));
        effect = machine.answered(reply);
    }
    (effect, trace)
}

fn ended(effect: CompareEffect) -> CompareResult {
    match effect {
        CompareEffect::End(result) => result,
        other => panic!("it has not ended: {other:?}"),
    }
}

#[test]
fn equal_sets_need_one_call() {
    let (end, trace) = compared(set(0..5000), &TestPeer::of(0..5000), VerifyLimits::default());
    assert_eq!(trace, ["ask about []: 5000 there, []"]);
    let result = ended(end);
    assert_eq!((result.here, result.there, result.calls, result.is_complete), (5000, 5000, 1, true));
    assert_eq!((result.missing_here.count, result.missing_there.count), (0, 0));
}

#[test]
fn one_difference_is_found_by_levels() {
    let (end, trace) =
        compared(set((0..5000).filter(|number| *number != 777)), &TestPeer::of(0..5000), VerifyLimits::default());
    assert_eq!(
        trace,
        [
            "ask about []: 5000 there, []",
            "ask about [4999]: 5000 there, [16 parts]",
            "ask about [312]: 5000 there, [16 parts]",
            "ask about [19]: 5000 there, [20 ids]",
        ]
    );
    let result = ended(end);
    assert_eq!((result.missing_here.listed, result.missing_there.count), (vec![pdu(777)], 0));
}

#[test]
fn pdu_missing_there_is_found() {
    let (end, trace) = compared(set(0..10), &TestPeer::of(0..9), VerifyLimits::default());
    assert_eq!(trace, ["ask about []: 9 there, []", "ask about [10]: 9 there, [9 ids]"]);
    let result = ended(end);
    assert_eq!((result.missing_here.count, result.missing_there.listed), (0, vec![9]));
    let (end, _) = compared(set(0..2000), &TestPeer::of([]), VerifyLimits::default());
    let result = ended(end);
    assert_eq!((result.missing_there.count, result.missing_there.listed.len()), (2000, 1000), "a bounded list");
}

#[test]
fn peer_shortens_window() {
    let peer = TestPeer { from: Millis(100), ..TestPeer::of(1000..2000) };
    let (end, trace) = compared(set(0..2000), &peer, VerifyLimits::default());
    assert_eq!(trace.len(), 1);
    let result = ended(end);
    assert_eq!((result.from, result.here, result.missing_there.count), (Millis(100), 1000, 0));
}

#[test]
fn full_answers_are_asked_again() {
    let peer = TestPeer { ranges_max: 2, ids_max: 1, ..TestPeer::of((0..1000).filter(|number| number % 100 != 0)) };
    let (end, trace) = compared(set(0..1000), &peer, VerifyLimits::default());
    assert!(trace.iter().any(|line| line.contains("later")), "{trace:?}");
    let result = ended(end);
    assert_eq!((result.is_complete, result.missing_there.count), (true, 10));
}

#[test]
fn calls_are_bounded() {
    let limits = VerifyLimits { calls_max: 3, ..VerifyLimits::default() };
    let (end, trace) = compared(set((0..5000).filter(|number| *number != 777)), &TestPeer::of(0..5000), limits);
    assert_eq!(trace.len(), 3);
    let result = ended(end);
    assert_eq!((result.is_complete, result.calls, result.missing_here.count), (false, 3, 0));
}

#[test]
fn senseless_replies_end_comparison() {
    let opened = |from: u64, count: u64| CompareReply {
        from: Millis(from),
        to: TO,
        whole: RangeDigest { count, sum: 1 },
        ranges: vec![],
    };
    let begun = || CompareMachine::begin(SALT, set(0..100), (Millis(5), TO), VerifyLimits::default()).0;
    assert_eq!(begun().answered(opened(4, 9)), CompareEffect::Fail(BadReply::OtherWindow), "more than was asked for");
    let part = |at: u64| RangePart { to: RangeBound::before(Millis(at)), digest: RangeDigest::default() };
    let parts = |ends: &[u64]| vec![RangeReply::Parts(ends.iter().map(|at| part(*at)).collect())];
    for (ranges, bad) in [
        (vec![], BadReply::OtherRanges),
        (vec![RangeReply::Later], BadReply::NoProgress),
        (parts(&[TO.0]), BadReply::BadParts),
        (parts(&[7, 7, TO.0]), BadReply::BadParts),
        (parts(&[7, 8]), BadReply::BadParts),
        (parts(&[4, TO.0]), BadReply::BadParts),
        (parts(&[7, TO.0 + 1]), BadReply::BadParts),
    ] {
        let mut machine = begun();
        assert!(matches!(machine.answered(opened(5, 9)), CompareEffect::Ask(asked) if asked.len() == 1));
        assert_eq!(machine.answered(CompareReply { ranges, ..opened(5, 9) }), CompareEffect::Fail(bad));
        assert_eq!(machine.answered(opened(5, 9)), CompareEffect::Fail(BadReply::OtherRanges), "it has ended");
    }
    let mut machine = begun();
    machine.answered(opened(5, 9));
    assert_eq!(machine.answered(opened(6, 9)), CompareEffect::Fail(BadReply::OtherWindow), "the window has moved");
}

/// A peer lists as many ids as its answer may hold. A search of our PDUs for each of them would take minutes here.
#[test]
fn long_list_of_ids_ends() {
    const OURS: u64 = 50_000;
    let (mut machine, _) = CompareMachine::begin(SALT, set(0..OURS), (Millis(0), TO), VerifyLimits::default());
    let opened =
        CompareReply { from: Millis(0), to: TO, whole: RangeDigest { count: 2 * OURS, sum: 1 }, ranges: vec![] };
    assert!(matches!(machine.answered(opened.clone()), CompareEffect::Ask(asked) if asked.len() == 1));
    let ranges = vec![RangeReply::Ids((OURS / 2..2 * OURS).map(pdu).collect())];
    let result = ended(machine.answered(CompareReply { ranges, ..opened }));
    assert_eq!((result.missing_here.count, result.missing_there.count), (OURS, OURS / 2));
}

/// Returns the number of levels of parts below a set of this size, the lists included.
fn levels(size: usize) -> u32 {
    let (mut levels, mut left) = (1, size);
    while left > LISTED_MAX {
        (levels, left) = (levels + 1, left.div_ceil(WAYS));
    }
    levels
}

/// Two sets with some differences: their size, numbers that we lack, and numbers that the peer lacks.
fn sets_that_differ() -> impl Strategy<Value = (u64, BTreeSet<u64>, BTreeSet<u64>)> {
    (1_u64..4000, any::<u64>(), 0_usize..20, 0_usize..20).prop_map(|(size, seed, here, there)| {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut some = |count: usize| -> BTreeSet<u64> { (0..count).map(|_| chance.u64(0..size)).collect() };
        let here = some(here);
        let there = some(there).difference(&here).copied().collect();
        (size, here, there)
    })
}

proptest! {
    #[test]
    fn every_difference_is_found_soon((size, lacking, lacked) in sets_that_differ()) {
        let ours = set((0..size).filter(|number| !lacking.contains(number)));
        let peer = TestPeer::of((0..size).filter(|number| !lacked.contains(number)));
        let (end, trace) = compared(ours, &peer, VerifyLimits::default());
        let result = ended(end);
        prop_assert!(result.is_complete);
        let here: BTreeSet<u64> =
            result.missing_here.listed.iter().map(|pdu| pdu.id.as_str().parse().expect("a number")).collect();
        let there: BTreeSet<u64> = result.missing_there.listed.iter().map(|place| place.unsigned_abs()).collect();
        prop_assert_eq!((here.len() as u64, there.len() as u64), (result.missing_here.count, result.missing_there.count));
        prop_assert_eq!((here, there), (lacking, lacked));
        // Forty differences never fill a call of 64 ranges, so each level needs one call.
        prop_assert!(trace.len() as u32 <= 1 + levels(size as usize), "{} calls for {size}", trace.len());
    }

    #[test]
    fn small_answers_find_every_difference(
        (size, lacking, lacked) in sets_that_differ(),
        ranges_max in 1_usize..5,
        ids_max in 1_usize..40,
    ) {
        let ours = set((0..size).filter(|number| !lacking.contains(number)));
        let theirs = (0..size).filter(|number| !lacked.contains(number));
        let peer = TestPeer { ranges_max, ids_max, ..TestPeer::of(theirs) };
        let limits = VerifyLimits { calls_max: 1000, ..VerifyLimits::default() };
        let result = ended(compared(ours, &peer, limits).0);
        let counts = (result.missing_here.count, result.missing_there.count);
        prop_assert!(result.is_complete);
        prop_assert_eq!(counts, (lacking.len() as u64, lacked.len() as u64));
    }
}
