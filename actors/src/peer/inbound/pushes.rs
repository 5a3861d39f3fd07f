//! Pushes of a peer: classification, digests, quarantine and feed entries of their updates.

use crate::change::{Change, CommitPriority};
use crate::limits::Numbering;
use crate::model::{
    Ack, BatchOutcome, FeedItem, InboundPush, NumberRange, ParkedCode, ParkedWhat, PduVerdict, Receipt, Refusal, Seq,
    StrongBody,
};
use crate::peer::effect::{EffectCollector, ReplyToken};
use crate::peer::inbound::classify_push::{Classified, DIGESTS_MAX, PushClass, ReceivedState, classify, digest_of};
use crate::peer::inbound::dispatch::UnknownContexts;
use crate::peer::inbound::parked::{parked_as, what, words};
use crate::peer::inbound::{BatchInProgress, Inbound, InboundBatch, NewItems};

impl Inbound {
    /// Returns the reply, or `None` if the batch is still in progress.
    pub(super) fn take_push(
        &mut self,
        token: Option<ReplyToken>,
        push: InboundPush,
        strange: UnknownContexts,
        out: &mut EffectCollector,
    ) -> Option<Result<BatchOutcome, Refusal>> {
        let (seq, count) = (push.seq, push.strong.len());
        if count > self.limits.intake_items as usize {
            return Some(Err(Refusal::PushTooLong { count, max: self.limits.intake_items }));
        }
        let held = ReceivedState {
            expected: self.expected,
            digests: self.digests.make_contiguous(),
            numbering: self.limits.numbering,
            pushes: self.pushes,
            ranges: self.ranges,
            probe_answered_with_hole: self.holed,
        };
        let Classified { what, pushes } = classify(&push, held);
        if self.limits.numbering == Numbering::Auto && pushes != self.pushes {
            self.pushes = pushes;
            out.moved(CommitPriority::Deferred);
        }
        let ack = match what {
            PushClass::Take { fresh, next: _, sender_rewound: went_back } => {
                if went_back {
                    let words = "sent something new under number";
                    let text =
                        format!("{} {words} {seq}, below {}: restored from a backup?", self.server, self.expected);
                    out.numbering_notice(&self.server, text);
                }
                return self.dispatch_batch(
                    token,
                    InboundBatch::Push(push),
                    NewItems { places: fresh, pushes, strange },
                    out,
                );
            }
            PushClass::Known => return Some(Ok(self.receipt(&push, pushes))),
            PushClass::TooOld => {
                if !std::mem::replace(&mut self.told_too_old, true) {
                    let text = format!(
                        "sent updates up to number {seq} again, too far below {} to compare: dropped. If it was restored from a \
                         backup, tell which number it goes on from",
                        self.expected
                    );
                    self.notice(&text, out);
                }
                Ack::Ok(seq)
            }
            PushClass::Hole => {
                if count == 0 && seq == self.expected {
                    self.holed = Some(seq);
                }
                Ack::Hole { expected: self.expected, conflict: false }
            }
            PushClass::Conflict => {
                if self.announced_conflict.replace(self.expected) != Some(self.expected) {
                    let first = seq.0 + 1 - count as u64;
                    let kept_from = self.expected.0 - self.digests.len() as u64;
                    let what = if count == 1 { "a different update" } else { "different updates" };
                    let text = format!(
                        "{} reused {} for {what}; it is asked to continue with number {}. Updates before {kept_from} \
                         cannot be compared",
                        self.server,
                        NumberRange(Seq(first), seq),
                        self.expected
                    );
                    out.numbering_notice(&self.server, text);
                }
                Ack::Hole { expected: self.expected, conflict: true }
            }
            PushClass::Misnumbered => {
                return Some(Err(Refusal::Misnumbered { from_seq: push.from_seq, seq, count }));
            }
        };
        Some(Ok(BatchOutcome::Push(ack.into())))
    }

    /// Stores the digests of the updates under their numbers, or one digest of the push under its number.
    pub(super) fn store_digests(&mut self, push: &InboundPush, pushes: bool, out: &mut EffectCollector) {
        let (first, digests) = match pushes {
            true => (push.seq, vec![digest_of(push)]),
            false => {
                let first = Seq(push.seq.0 + 1 - push.strong.len() as u64);
                (first, push.strong.iter().map(|strong| strong.digest).collect())
            }
        };
        let kept_from = Seq(self.expected.0 - self.digests.len() as u64);
        self.digests.truncate(usize::try_from(first.since(kept_from)).unwrap_or(usize::MAX));
        self.digests.extend(digests.iter().copied());
        while self.digests.len() > DIGESTS_MAX {
            self.digests.pop_front();
        }
        self.expected = push.seq.next();
        self.ranges |= push.from_seq.is_some();
        let forget_below = Seq(self.expected.0 - self.digests.len() as u64);
        out.change(Change::InboundDigestsStored { from: self.server.clone(), first, digests, forget_below });
    }

    pub(super) fn feed(&mut self, push: &InboundPush, busy: &BatchInProgress, out: &mut EffectCollector) {
        let number = |place: &usize| match busy.pushes {
            true => push.seq,
            false => Seq(push.seq.0 + 1 + *place as u64 - push.strong.len() as u64),
        };
        if let Some(first) = busy.fresh.first().map(number) {
            self.parked.renumbered(first);
        }
        for &place in &busy.fresh {
            let strong = &push.strong[place];
            let seq = number(&place);
            if let Some(code) = parked_as(&strong.body, busy.dispatch.verdict(place)) {
                self.parked.note(seq, code);
            }
            match &strong.body {
                StrongBody::Plain => {
                    self.taken += 1;
                    let (from, bytes) = (self.server.clone(), strong.bytes.clone());
                    let item = FeedItem::Update { from, n: self.taken, seq, verified: push.verified, bytes };
                    out.change(Change::FeedAppended(item));
                }
                // The update consumes its number all the same: resending cannot correct it, and the updates behind it
                // must not wait.
                StrongBody::NotAnObject(reason) => {
                    let what = ParkedWhat::Update(seq);
                    self.quarantine(what, ParkedCode::NotAnObject, (*reason).to_owned(), strong, out);
                }
                StrongBody::BadPdu(bad) => {
                    let what = ParkedWhat::Pdu { origin: bad.origin.clone(), id: bad.id.clone(), context: None };
                    self.quarantine(what, ParkedCode::BadPdu, bad.reason.clone(), strong, out);
                }
                StrongBody::Pdu(pdu) => match busy.dispatch.verdict(place) {
                    (_, Some(code)) => self.quarantine(what(pdu), code, words(code), strong, out),
                    (Some(PduVerdict::Refused { code: PduVerdict::SENDER_NOT_A_PARTICIPANT, reason }), None) => {
                        self.refuse_relayed(reason, out);
                    }
                    (Some(PduVerdict::Refused { code: PduVerdict::NOT_FOR_US, .. }), None) => {}
                    (Some(PduVerdict::Refused { reason, .. }), None) => {
                        self.quarantine(what(pdu), ParkedCode::BadPdu, reason.clone(), strong, out);
                    }
                    _ => {}
                },
            }
        }
    }
}

impl Inbound {
    /// The push is taken, or was before: what of it is in quarantine. `pushes`: its number is its own.
    pub(crate) fn receipt(&self, push: &InboundPush, pushes: bool) -> BatchOutcome {
        let count = if pushes { 1 } else { push.strong.len() as u64 };
        let first = Seq((push.seq.0 + 1).saturating_sub(count));
        BatchOutcome::Push(Receipt { ack: Ack::Ok(push.seq), parked: self.parked.within(first, push.seq) })
    }
}
