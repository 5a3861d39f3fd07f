//! Pushes of a peer: classification, digests, quarantine and feed entries of their updates.

use std::sync::Arc;

use crate::change::{Change, CommitPriority};
use crate::errors::BatchError;
use crate::limits::{Numbering, PeerLimits};
use crate::model::{
    Ack, Digest, FeedItem, InboundPush, InboundRecord, NumberRange, ParkedCode, ParkedWhat, PduVerdict, PeerReceipts,
    PushNovelty, Receipt, Seq, ServerName, StrongBody,
};
use crate::peer::effect::{EffectCollector, PushReply};
use crate::peer::inbound::announced_once::AnnouncedOnce;
use crate::peer::inbound::batch::InboundBatch;
use crate::peer::inbound::batch_queue::{BatchInProgress, NewItems};
use crate::peer::inbound::classify_push::{Classified, PushClass, classify};
use crate::peer::inbound::forwards;
use crate::peer::inbound::groups::mapped_messages::{MappedMessages, number_at};
use crate::peer::inbound::parked::{ParkedNumbers, PeerQuarantine, parked_as, what, words};
use crate::peer::inbound::received_sequence::{NewDigests, ReceivedSequence};
use crate::peer::receipts::sent_numbers::SentNumbers;

/// The pushes of one peer.
#[derive(Debug, Clone)]
pub(super) struct InboundPushes {
    server: ServerName,
    limits: Arc<PeerLimits>,
    pub(super) sequence: ReceivedSequence,
    announced: AnnouncedOnce,
    /// Numbers of quarantined updates.
    parked: ParkedNumbers,
    /// Number of plain updates accepted from the peer.
    taken: u64,
    /// Numbers of the PDUs that came as updates, for receipts.
    pub(super) sent_numbers: SentNumbers,
}

impl InboundPushes {
    /// Returns the state that was loaded from the store.
    pub(super) fn new(
        server: ServerName,
        limits: Arc<PeerLimits>,
        record: &InboundRecord,
        digests: Vec<Digest>,
    ) -> Self {
        Self {
            sequence: ReceivedSequence::new(record, digests),
            announced: AnnouncedOnce::default(),
            parked: ParkedNumbers::new(&record.parked),
            taken: record.taken,
            sent_numbers: SentNumbers::default(),
            server,
            limits,
        }
    }

    /// Works with these limits from now on.
    pub(super) fn change_limits(&mut self, limits: &Arc<PeerLimits>) {
        self.limits = limits.clone();
    }

    /// Writes its part of the record.
    pub(super) fn keep(&self, record: &mut InboundRecord) {
        record.taken = self.taken;
        record.parked = self.parked.kept();
        self.sequence.keep(record);
    }

    /// Returns the peer.
    pub(super) const fn peer(&self) -> &ServerName {
        &self.server
    }

    /// Returns the number that the next update must have.
    pub(super) const fn expected(&self) -> Seq {
        self.sequence.expected()
    }

    /// Returns whether the number of the next update was answered with a hole or a conflict, which only memory holds.
    pub(super) fn is_in_question(&self) -> bool {
        let expected = self.expected();
        self.sequence.has_answered_probe(expected) || self.announced.is_in_conflict(expected)
    }

    /// Continues from this number, by a command of the operator or of the configuration. Digests of earlier updates are
    /// dropped, so they are no longer compared.
    pub(super) fn go_on_from(&mut self, number: Seq, out: &mut EffectCollector) {
        let number = number.clamp(Seq(1), Seq(Seq::LIMIT.0 - 1));
        let before = self.sequence.go_on_from(number);
        self.announced.forget_numbers();
        let (from, digests) = (self.server.clone(), vec![]);
        out.change(Change::InboundDigestsStored { from, first: Seq(1), digests, forget_below: number });
        self.notice(&format!("is expected to continue with number {number}, by command; the number was {before}"), out);
        out.moved(CommitPriority::Now);
    }

    /// Returns the messages of groups among the new entries of a batch that are messages of contexts here.
    pub(super) fn mapped(&self, batch: &InboundBatch, fresh: &NewItems) -> MappedMessages {
        match batch {
            InboundBatch::Push(push, _) | InboundBatch::Forwarded(push, _) => {
                MappedMessages::of(push, &fresh.places, fresh.pushes, &self.server, &self.limits.groups)
            }
            InboundBatch::Transaction(..) | InboundBatch::Pulled(..) => MappedMessages::default(),
        }
    }

    /// Returns the updates to dispatch; `Err`: the reply, because none is accepted as new.
    pub(super) fn receive(
        &mut self,
        push: &InboundPush,
        out: &mut EffectCollector,
    ) -> Result<NewItems, Box<PushReply>> {
        let (seq, count) = (push.seq, push.strong.len());
        if count > self.limits.intake_items as usize {
            return Err(Box::new(Err(BatchError::TooManyItems { count, max: self.limits.intake_items })));
        }
        let expected = self.sequence.expected();
        let Classified { what, pushes } = classify(push, &self.sequence, self.limits.numbering);
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
                return Ok(NewItems { places: fresh, pushes });
            }
            PushClass::Known => return Err(Box::new(Ok(self.receipt(push, pushes, &[])))),
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
                return Err(Box::new(Err(BatchError::Misnumbered { from_seq: push.from_seq, seq, count })));
            }
        };
        Err(Box::new(Ok(ack.into())))
    }

    /// Stores the digests of the updates under their numbers, or one digest of the push under its number.
    pub(super) fn store_digests(&mut self, push: &InboundPush, pushes: bool, out: &mut EffectCollector) {
        let NewDigests { first, digests, forget_below } = self.sequence.accept(push, pushes);
        out.change(Change::InboundDigestsStored { from: self.server.clone(), first, digests, forget_below });
    }

    /// Writes the new updates of a push into the feed or into quarantine.
    pub(super) fn feed(
        &mut self,
        push: &InboundPush,
        busy: &BatchInProgress,
        quarantine: &PeerQuarantine,
        out: &mut EffectCollector,
    ) {
        let number = |place| number_at(push, busy.numbers_pushes(), place);
        if let Some(first) = busy.fresh().first().copied().map(number) {
            self.parked.renumbered(first);
        }
        for &place in busy.fresh() {
            let strong = &push.strong[place];
            let seq = number(place);
            if let Some(code) = parked_as(&strong.body, busy.verdict(place)) {
                self.parked.note(seq, code);
            }
            // A PDU that came through a third server is named by its identity: its origin has no acknowledgement of ours for the
            // number.
            if let StrongBody::Pdu(pdu) = &strong.body
                && self.limits.receipts
                && !matches!(busy.batch(), InboundBatch::Forwarded(..))
            {
                self.sent_numbers.note(pdu.reference.clone(), seq);
            }
            match &strong.body {
                StrongBody::Group(_) if busy.mapped().get(place).is_some() => {
                    let (verdict, code) = busy.verdict(place);
                    quarantine.park_message(seq, &strong.bytes, verdict, code, out);
                }
                StrongBody::Plain | StrongBody::Group(_) => {
                    self.taken += 1;
                    let (from, bytes) = (self.server.clone(), strong.bytes.clone());
                    let item = FeedItem::Update { from, n: self.taken, seq, verified: push.verified, bytes };
                    out.change(Change::FeedAppended(item));
                }
                // The update consumes its number all the same: resending cannot correct it, and the updates behind it
                // must not wait.
                StrongBody::Unsound(code, reason) => {
                    let what = ParkedWhat::Update(seq);
                    quarantine.park(what, *code, (*reason).to_owned(), &strong.bytes, out);
                }
                StrongBody::BadPdu(bad) => {
                    let what = ParkedWhat::Pdu { origin: bad.origin.clone(), id: bad.id.clone(), context: None };
                    quarantine.park(what, ParkedCode::BadPdu, bad.reason.clone(), &strong.bytes, out);
                }
                StrongBody::Forward(forward) => {
                    let means = (&*self.limits, quarantine);
                    if let Some(code) = forwards::settle((forward, strong), seq, means, out) {
                        self.parked.note(seq, code);
                    }
                }
                StrongBody::Pdu(pdu) => match busy.verdict(place) {
                    (_, Some(code)) => quarantine.park(what(pdu), code, words(code), &strong.bytes, out),
                    (Some(PduVerdict::Refused { code: PduVerdict::SENDER_NOT_A_PARTICIPANT, reason }), None) => {
                        self.refuse_relayed(reason, out);
                    }
                    (Some(PduVerdict::Refused { code: PduVerdict::NOT_FOR_US, .. }), None) => {}
                    (Some(PduVerdict::Refused { code, reason }), None) => {
                        quarantine.park(what(pdu), ParkedCode::of_refusal(code), reason.clone(), &strong.bytes, out);
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
    /// the push. `fresh`: the places of its new updates.
    pub(super) fn receipt(&self, push: &InboundPush, pushes: bool, fresh: &[usize]) -> Receipt {
        let count = if pushes { 1 } else { push.strong.len() as u64 };
        let first = Seq((push.seq.0 + 1).saturating_sub(count));
        let (ack, parked) = (Ack::Ok(push.seq), self.parked.within(first, push.seq));
        let novelty = match push.strong.len() {
            0 => PushNovelty::Empty,
            count if count == fresh.len() => PushNovelty::New,
            _ => PushNovelty::Repeated(first),
        };
        Receipt { ack, parked, receipts: PeerReceipts::NONE, novelty }
    }

    fn notice(&self, text: &str, out: &mut EffectCollector) {
        out.notice(&self.server, format!("{} {text}", self.server));
    }
}
