//! Forwarded updates of a peer that wait for the updates before them, and the part of a forwarded run that is new.
//!
//! A forward may overtake an update that its origin sent on another way. It is kept, on disk and in memory, until the numbers
//! before it have come by any way. At the limit it is not kept: its origin has it until we acknowledge it to the origin itself.

use std::collections::BTreeMap;

use crate::change::Change;
use crate::model::{HeldForward, InboundPush, PduProof, Seq, ServerName, StrongBody, StrongUpdate};
use crate::peer::effect::EffectCollector;
use crate::peer::inbound::forwards::forward_run::forwarded_push;
use crate::peer::inbound::received_sequence::ReceivedSequence;

/// Maximum size of the updates that are kept of one peer, in bytes.
const BYTES_MAX: usize = 16 << 20;

/// The part of a forwarded run that its numbers show.
#[derive(Debug)]
pub(in crate::peer::inbound) enum ForwardedPart {
    /// These updates are the next ones.
    New(Box<InboundPush>),
    /// Nothing of it is new.
    Known,
    /// The numbers are in use for other updates: the origin has to renumber, and does so when it reaches us itself.
    Differs,
    /// Updates before it are missing.
    Above,
}

/// Splits a forwarded run at the number that is expected. Updates older than the digests count as known.
pub(in crate::peer::inbound) fn new_part(push: &InboundPush, received: &ReceivedSequence) -> ForwardedPart {
    let first = push.seq.0 + 1 - push.strong.len() as u64;
    let expected = received.expected().0;
    if first > expected {
        return ForwardedPart::Above;
    }
    let mut numbered = (first..).zip(&push.strong);
    let is_other = |(number, strong): (u64, &StrongUpdate)| {
        number < expected && received.digest(number).is_some() && !received.holds(number, strong)
    };
    if numbered.any(is_other) {
        return ForwardedPart::Differs;
    }
    let known = usize::try_from(expected - first).unwrap_or(usize::MAX);
    match push.strong.get(known..).unwrap_or_default() {
        [] => ForwardedPart::Known,
        new => ForwardedPart::New(Box::new(forwarded_push(Seq(expected), new.to_vec()))),
    }
}

/// The forwarded updates of one peer that wait.
#[derive(Debug, Clone)]
pub(in crate::peer::inbound) struct HeldForwards {
    from: ServerName,
    /// Maximum number of updates.
    most: u32,
    /// Boxed while there are any, because most peers have none, and a waiting peer takes little memory.
    waiting: Option<Box<WaitingUpdates>>,
}

/// Updates that wait.
#[derive(Debug, Clone, Default)]
struct WaitingUpdates {
    by_number: BTreeMap<Seq, StrongUpdate>,
    bytes: usize,
}

impl WaitingUpdates {
    fn insert(&mut self, number: Seq, update: StrongUpdate) {
        self.bytes += update.bytes.len();
        if let Some(before) = self.by_number.insert(number, update) {
            self.bytes -= before.bytes.len();
        }
    }
}

impl HeldForwards {
    pub(in crate::peer::inbound) const fn new(from: ServerName, most: u32) -> Self {
        Self { from, most, waiting: None }
    }

    /// Adds those that were loaded from the store.
    pub(in crate::peer::inbound) fn load(&mut self, loaded: Vec<HeldForward>) {
        for HeldForward { number, update } in loaded {
            self.waiting.get_or_insert_default().insert(number, update);
        }
    }

    /// Changes the maximum number of updates.
    pub(in crate::peer::inbound) const fn change_most(&mut self, most: u32) {
        self.most = most;
    }

    fn has(&self, number: Seq) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.by_number.contains_key(&number))
    }

    /// Keeps a run; returns whether it could be kept as a whole.
    pub(in crate::peer::inbound) fn keep(&mut self, push: &InboundPush, out: &mut EffectCollector) -> bool {
        let first = push.seq.0 + 1 - push.strong.len() as u64;
        let new: Vec<(Seq, &StrongUpdate)> =
            (first..).map(Seq).zip(&push.strong).filter(|(number, _)| !self.has(*number)).collect();
        let bytes: usize = new.iter().map(|(_, update)| update.bytes.len()).sum();
        // The store does not keep why another one is refused, nor the proof of a PDU that its origin had of a third server, nor
        // that an update is a message of a group.
        let is_sound = |(_, update): &(Seq, &StrongUpdate)| match &update.body {
            StrongBody::Plain => true,
            StrongBody::Pdu(pdu) => pdu.proof == PduProof::Sender,
            StrongBody::Group(_) | StrongBody::BadPdu(_) | StrongBody::Unsound(..) | StrongBody::Forward(_) => false,
        };
        let (count, size) = self.waiting.as_ref().map_or((0, 0), |waiting| (waiting.by_number.len(), waiting.bytes));
        let fits = count + new.len() <= self.most as usize && size + bytes <= BYTES_MAX;
        if !fits || !new.iter().all(is_sound) {
            return false;
        }
        let updates = new.iter().map(|(number, update)| HeldForward { number: *number, update: (*update).clone() });
        let updates: Vec<HeldForward> = updates.collect();
        if !updates.is_empty() {
            out.change(Change::ForwardsHeld { from: self.from.clone(), updates: updates.clone() });
        }
        self.load(updates);
        true
    }

    /// Returns the updates that follow each other from the expected number on. They stay until it has passed them.
    pub(in crate::peer::inbound) fn next_run(&self, expected: Seq) -> Option<InboundPush> {
        let later = self.waiting.as_ref()?.by_number.range(expected..);
        let follows = later.zip(expected.0..).take_while(|((number, _), next)| number.0 == *next);
        let run: Vec<StrongUpdate> = follows.map(|((_, update), _)| update.clone()).collect();
        (!run.is_empty()).then(|| forwarded_push(expected, run))
    }

    /// Forgets the updates below the expected number.
    pub(in crate::peer::inbound) fn passed(&mut self, expected: Seq, out: &mut EffectCollector) {
        let Some(waiting) = &mut self.waiting else { return };
        if waiting.by_number.first_key_value().is_none_or(|(first, _)| *first >= expected) {
            return;
        }
        waiting.by_number = waiting.by_number.split_off(&expected);
        waiting.bytes = waiting.by_number.values().map(|update| update.bytes.len()).sum();
        self.waiting.take_if(|waiting| waiting.by_number.is_empty());
        out.change(Change::HeldForwardsDropped { from: self.from.clone(), below: expected });
    }

    /// Forgets all updates, because the numbers no longer mean what they did.
    pub(in crate::peer::inbound) fn clear(&mut self, out: &mut EffectCollector) {
        self.passed(Seq(u64::MAX), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::InboundRecord;
    use crate::peer::inbound::tests::{letter_digest, letter_push};

    fn forwarded(first: u64, letters: &str) -> InboundPush {
        letter_push(Some(first), first + letters.len() as u64 - 1, letters)
    }

    fn part(first: u64, letters: &str) -> String {
        let record = InboundRecord { expected: Seq(6), ..InboundRecord::default() };
        let received = ReceivedSequence::new(&record, "cde".chars().map(letter_digest).collect());
        match new_part(&forwarded(first, letters), &received) {
            ForwardedPart::New(push) => {
                let letters = push.strong.iter().map(|update| update.digest.0[0] as char).collect::<String>();
                format!("new {letters} from {}", push.seq.0 + 1 - push.strong.len() as u64)
            }
            other => format!("{other:?}").to_lowercase(),
        }
    }

    /// We hold c, d, e under 3 to 5; the digests of 1 and 2 are gone.
    #[test]
    fn forwarded_run_splits_at_expected() {
        for (first, letters, expected) in [
            (6, "f", "new f from 6"),
            (4, "defg", "new fg from 6"),
            (4, "de", "known"),
            (1, "xyc", "known"),
            (4, "xe", "differs"),
            (4, "xef", "differs"),
            (7, "g", "above"),
        ] {
            assert_eq!(part(first, letters), expected, "{letters} from {first}");
        }
    }

    #[test]
    fn held_updates_wait_for_their_turn() {
        let mut out = EffectCollector::default();
        let mut held = HeldForwards::new("a".parse().expect("valid"), 3);
        assert!(held.keep(&forwarded(4, "de"), &mut out) && held.keep(&forwarded(5, "e"), &mut out));
        assert!(!held.keep(&forwarded(7, "gh"), &mut out), "the fourth is one too many");
        assert!(held.keep(&forwarded(7, "g"), &mut out));
        assert!(held.next_run(Seq(3)).is_none());
        let run = held.next_run(Seq(4)).expect("4 and 5");
        assert_eq!((run.from_seq, run.seq), (Some(Seq(4)), Seq(5)));
        held.passed(Seq(6), &mut out);
        assert!(held.next_run(Seq(6)).is_none() && held.next_run(Seq(7)).is_some());
        held.clear(&mut out);
        assert!(held.next_run(Seq(7)).is_none());
        let count = |held: fn(&Change) -> bool| out.changes.iter().filter(|change| held(change)).count();
        let stored = count(|change| matches!(change, Change::ForwardsHeld { .. }));
        assert_eq!((stored, count(|change| matches!(change, Change::HeldForwardsDropped { .. }))), (2, 2));
    }
}
