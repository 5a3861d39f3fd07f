//! Pushes of a peer: classification, digests, quarantine and feed entries of their updates.

use crate::change::{Change, CommitPriority};
use crate::errors::BatchError;
use crate::limits::Numbering;
use crate::model::{
    Ack, FeedItem, InboundPush, NumberRange, ParkedCode, ParkedWhat, PduVerdict, Receipt, Seq, StrongBody,
};
use crate::peer::effect::{BatchReply, EffectCollector, PeerEffect, PushReply};
use crate::peer::inbound::batch_queue::BatchInProgress;
use crate::peer::inbound::classify_push::{Classified, PushClass, classify};
use crate::peer::inbound::dispatch::UnknownContexts;
use crate::peer::inbound::parked::{parked_as, what, words};
use crate::peer::inbound::received_sequence::NewDigests;
use crate::peer::inbound::{Inbound, InboundBatch, NewItems};
use crate::reply_token::ReplyToken;

impl Inbound {
    pub(super) fn take_push(
        &mut self,
        push: InboundPush,
        token: ReplyToken<PushReply>,
        strange: UnknownContexts,
        out: &mut EffectCollector,
    ) {
        let nonce = push.nonce.clone();
        if let Some(reply) = self.classify_push(push, token, strange, out) {
            out.changes.extend(nonce.map(Change::NonceUsed));
            out.effect(PeerEffect::Answer(BatchReply::Push(token, reply)));
        }
    }

    /// Returns the reply, or `None` if the new items of the push were dispatched.
    fn classify_push(
        &mut self,
        push: InboundPush,
        token: ReplyToken<PushReply>,
        strange: UnknownContexts,
        out: &mut EffectCollector,
    ) -> Option<PushReply> {
        let (seq, count) = (push.seq, push.strong.len());
        if count > self.limits.intake_items as usize {
            return Some(Err(BatchError::PushTooLong { count, max: self.limits.intake_items }));
        }
        let expected = self.sequence.expected();
        let Classified { what, pushes } = classify(&push, &self.sequence, self.limits.numbering);
        if self.limits.numbering == Numbering::Auto && self.sequence.learn_numbering(pushes) {
            out.moved(CommitPriority::Deferred);
        }
        let ack = match what {
            PushClass::Take { fresh, sender_rewound: went_back } => {
                if went_back {
                    let words = "sent a new update under number";
                    let text = format!("{} {words} {seq}, below {expected}: restored from a backup?", self.server);
                    out.numbering_notice(&self.server, text);
                }
                let fresh = NewItems { places: fresh, pushes, strange };
                self.dispatch_batch(InboundBatch::Push(push, token), fresh, out);
                return None;
            }
            PushClass::Known => return Some(Ok(self.receipt(&push, pushes))),
            PushClass::TooOld => {
                if self.announced.note_too_old() {
                    let text = format!(
                        "sent updates up to number {seq} again, too far below {expected} to compare: dropped. If it was restored \
                         from a backup, set its next number with `fernpost peer expect`"
                    );
                    self.notice(&text, out);
                }
                Ack::Ok(seq)
            }
            PushClass::Hole => {
                if count == 0 {
                    self.sequence.answer_hole(seq);
                }
                Ack::Hole { expected, conflict: false }
            }
            PushClass::Conflict => {
                if self.announced.note_conflict(expected) {
                    let first = seq.0 + 1 - count as u64;
                    let kept_from = self.sequence.kept_from();
                    let what = if count == 1 { "a different update" } else { "different updates" };
                    let text = format!(
                        "{} reused {} for {what}; it is asked to continue with number {expected}. Updates before \
                         {kept_from} cannot be compared",
                        self.server,
                        NumberRange(Seq(first), seq),
                    );
                    out.numbering_notice(&self.server, text);
                }
                Ack::Hole { expected, conflict: true }
            }
            PushClass::Misnumbered => {
                return Some(Err(BatchError::Misnumbered { from_seq: push.from_seq, seq, count }));
            }
        };
        Some(Ok(ack.into()))
    }

    /// Stores the digests of the updates under their numbers, or one digest of the push under its number.
    pub(super) fn store_digests(&mut self, push: &InboundPush, pushes: bool, out: &mut EffectCollector) {
        let NewDigests { first, digests, forget_below } = self.sequence.accept(push, pushes);
        out.change(Change::InboundDigestsStored { from: self.server.clone(), first, digests, forget_below });
    }

    pub(super) fn feed(&mut self, push: &InboundPush, busy: &BatchInProgress, out: &mut EffectCollector) {
        let number = |place: &usize| match busy.numbers_pushes() {
            true => push.seq,
            false => Seq(push.seq.0 + 1 + *place as u64 - push.strong.len() as u64),
        };
        if let Some(first) = busy.fresh().first().map(number) {
            self.parked.renumbered(first);
        }
        for &place in busy.fresh() {
            let strong = &push.strong[place];
            let seq = number(&place);
            if let Some(code) = parked_as(&strong.body, busy.verdict(place)) {
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
                StrongBody::Pdu(pdu) => match busy.verdict(place) {
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

    /// Refuses a PDU that the peer neither created nor may relay. The update uses its number, and the PDU is not stored,
    /// because a stored copy would block the copy that its origin sends. The answer to a push names no PDU, so our
    /// messenger is notified, but once only, because a peer may send any number of them.
    fn refuse_relayed(&mut self, reason: &str, out: &mut EffectCollector) {
        if self.announced.note_relayed() {
            let text = format!("sent a PDU that is refused and not stored, as all further ones will be: {reason}");
            self.notice(&text, out);
        }
    }

    /// Returns the receipt of a push that is or was accepted, with its quarantined updates. `pushes`: its number is that of
    /// the push.
    pub(crate) fn receipt(&self, push: &InboundPush, pushes: bool) -> Receipt {
        let count = if pushes { 1 } else { push.strong.len() as u64 };
        let first = Seq((push.seq.0 + 1).saturating_sub(count));
        Receipt { ack: Ack::Ok(push.seq), parked: self.parked.within(first, push.seq) }
    }
}
