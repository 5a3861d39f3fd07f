//! Answers of a peer about our sequence numbers, and the limits within which we follow them: holes, conflicts, numbers
//! above ours, and an operator's `renumber`.
//!
//! A hole costs the peer one short answer, and us a resend of all kept items, or a renumbering with its commit. So only the
//! first one is followed at once. Each further one before the acknowledged index has passed its maximum counts as a
//! failure, whatever its number: it is followed at the next attempt, after the backoff.
//!
//! A renumbering starts at most `renumber_max` above our newest number, and all numbers stay below [`Seq::LIMIT`]. Beyond
//! either the peer is suspended `ahead_of_us`, until an operator sets the number here
//! ([`PeerCommand::Renumber`](crate::model::PeerCommand)) or at the peer.

use crate::change::{Change, CommitPriority};
use crate::errors::CommandError;
use crate::model::{BatchId, FeedItem, Index, Seq, SuspendReason};
use crate::peer::effect::{EffectCollector, PeerEffect};
use crate::peer::outbound::outbox_window::HoleAt;
use crate::peer::outbound::progress::state::OutboundState;
use crate::peer::outbound::{Outbound, StepInput};

impl Outbound {
    /// Handles a hole: the peer expects this number next; `conflict`: it holds other updates under our numbers.
    pub(super) fn on_hole(&mut self, at: StepInput, expected: Seq, conflict: bool, out: &mut EffectCollector) {
        if self.unconfirmed.question().is_some_and(|last| expected > self.outbox.number(last)) {
            return self.delivered(at, None, None, &[], out);
        }
        if expected == Seq(0) {
            return self.fail(at, "the peer requests number 0, but numbers begin at 1".to_owned(), out);
        }
        // A hole that answers our own probe is expected.
        let holes = match self.unconfirmed.question() {
            Some(_) => 1,
            None => self.renumbering.note_hole(self.outbox.acked()),
        };
        if let Err(reason) = self.follow(expected, conflict, out) {
            return self.stop_ahead_of_us(at, reason, out);
        }
        if holes == 1 {
            return self.proceed(at, out);
        }
        self.attempts.failed(format!(
            "the peer requests number {expected}, and has accepted nothing new since its last request"
        ));
        // Accepted items of a resend clear the failures in between, but they are no progress.
        let state = self.progress.fail_despite_contact(at.now, at.jitter_roll, holes - 2, &self.limits);
        self.pause(at, state, CommitPriority::Deferred, out);
    }

    /// Continues with the items that the peer requests, under the requested number. `Err`: the number is not followed.
    fn follow(&mut self, expected: Seq, conflict: bool, out: &mut EffectCollector) -> Result<(), String> {
        let first = self.first_unacknowledged();
        if conflict {
            self.check_number(first, expected)?;
            self.unconfirmed.reset();
            self.renumber(first, expected, "it holds other updates under our numbers", out);
            return Ok(());
        }
        match self.outbox.locate(expected) {
            HoleAt::Kept(index) => {
                // Indexes from the cursor to `last` were removed on purpose and already reported; a rewind into them is
                // not a gap.
                let is_news =
                    self.unconfirmed.question().is_none_or(|last| index < self.outbox.cursor() || last < index);
                self.unconfirmed.expects(index);
                self.renumbering.rewind_to(is_news.then_some(expected));
                self.outbox.rewind(index);
            }
            HoleAt::Below(oldest) => {
                self.check_number(oldest, expected)?;
                self.unconfirmed.expects(oldest);
                self.give_less(expected, oldest, out);
            }
            HoleAt::Between(next) => {
                self.check_number(next, expected)?;
                self.unconfirmed.expects(next);
                self.renumber(next, expected, "it requests a number that no update has", out);
            }
            HoleAt::Above => {
                // A peer that holds more than we ever numbered already has the items that a rewind was resending.
                let first = self.outbox.acked().next();
                self.check_number(first, expected)?;
                self.unconfirmed.reset();
                self.renumber(first, expected, "it expects a number above any that we assigned", out);
            }
        }
        Ok(())
    }

    /// Returns the first item that the peer has not acknowledged. During a rewind this is the next item of the rewind, because
    /// the peer asked for it again; a numbering from behind it would drop the rest of the rewind, and nobody would be notified.
    fn first_unacknowledged(&self) -> Index {
        self.outbox.acked().next().min(self.outbox.cursor())
    }

    /// Checks that the items from `first` on may be numbered from `number` on.
    fn check_number(&self, first: Index, number: Seq) -> Result<(), String> {
        let (server, max) = (&self.server, self.limits.renumber_max);
        let above = number.since(self.outbox.tail_number());
        if above > max || self.is_beyond_limit(first, number) {
            return Err(format!(
                "the peer requests number {number}, which is {above} above our newest; it is not followed (renumber_max = {max}, \
                 and numbers stay below {}): have the right number set at the peer and resume {server}, or set it here with \
                 `fernpost peer renumber {server} NUMBER`",
                Seq::LIMIT
            ));
        }
        Ok(())
    }

    /// Returns whether the newest item would get a number beyond the limit.
    fn is_beyond_limit(&self, first: Index, number: Seq) -> bool {
        number.0.saturating_add(self.outbox.tail().since(first)) >= Seq::LIMIT.0
    }

    /// Suspends the peer instead of sending a request with a number beyond the limit, because the peer would refuse each of
    /// its items for good.
    pub(super) fn refuses_label(&mut self, at: StepInput, label: BatchId, out: &mut EffectCollector) -> bool {
        let BatchId::SeqRange { last, .. } = label else { return false };
        if last < Seq::LIMIT {
            return false;
        }
        let (server, limit) = (&self.server, Seq::LIMIT);
        let reason = format!(
            "our next item to the peer has number {last}, and numbers stay below {limit}: ask its operator which number it \
             expects, then set it with `fernpost peer renumber {server} NUMBER`"
        );
        self.stop_ahead_of_us(at, reason, out);
        true
    }

    fn stop_ahead_of_us(&mut self, at: StepInput, reason: String, out: &mut EffectCollector) {
        self.attempts.failed(reason);
        self.pause(at, OutboundState::suspended(SuspendReason::AheadOfUs, None), CommitPriority::Now, out);
    }

    /// Handles a request for numbers that are no longer kept: continues with the oldest kept item, under the requested
    /// number.
    pub(super) fn give_less(&mut self, expected: Seq, oldest: Index, out: &mut EffectCollector) {
        let number = self.outbox.number(oldest);
        if expected < number {
            let (from, server, last) = (self.us.clone(), self.server.clone(), Seq(number.0 - 1));
            out.change(Change::FeedAppended(FeedItem::UpdateGap { from, server, first: expected, last }));
        }
        self.renumber(oldest, expected, "it requests updates that are no longer kept", out);
    }

    fn renumber(&mut self, first: Index, number: Seq, why: &str, out: &mut EffectCollector) {
        let ours = (self.outbox.number(first), self.outbox.tail_number());
        self.number_anew(first, number, out);
        let what = match ours {
            (first, tail) if first > tail => format!("the next update is number {number}"),
            (first, tail) if first == tail => format!("update {first} is now number {number}"),
            (first, tail) => format!("updates {first} to {tail} are numbered from {number} on"),
        };
        let text = format!("{}: {why}; {what}", self.server);
        out.numbering_notice(&self.server, text);
    }

    fn number_anew(&mut self, first: Index, number: Seq, out: &mut EffectCollector) {
        self.outbox.renumber(first, number);
        self.renumbering.assign();
        out.moved(CommitPriority::Now);
    }

    /// Sets the number of our first item that the peer has not acknowledged, at an operator's command. The request in
    /// flight is discarded, because it has the old number.
    pub fn set_number(
        &mut self,
        at: StepInput,
        number: Seq,
        yes: bool,
        out: &mut EffectCollector,
    ) -> Result<(), CommandError> {
        let first = self.first_unacknowledged();
        let count = self.outbox.tail().next().since(first);
        if number == Seq(0) || self.is_beyond_limit(first, number) {
            return Err(CommandError::NumberOutOfRange { number, count });
        }
        let (above, max) = (number.since(self.outbox.tail_number()), self.limits.renumber_max);
        if above > max && !yes {
            return Err(CommandError::NumberFarAbove { server: self.server.clone(), number, above, max });
        }
        let before = self.outbox.number(first);
        let goes_on = match self.progress.state() {
            OutboundState::Loading | OutboundState::Sending { .. } => {
                out.effect(PeerEffect::Abort);
                true
            }
            OutboundState::Suspended { cause: SuspendReason::AheadOfUs, .. } => {
                out.effect(PeerEffect::Disarm);
                true
            }
            _ => false,
        };
        self.unconfirmed.reset();
        self.renumbering.forget_holes();
        self.number_anew(first, number, out);
        let text =
            format!("{}: updates from number {before} on are now numbered from {number} on, by command", self.server);
        out.change(Change::FeedAppended(FeedItem::Notice { text, server: Some(self.server.clone()) }));
        if goes_on {
            self.resume_sending(at, out);
        }
        Ok(())
    }

    /// Returns the number of our first item that the peer has not acknowledged, or of the next one to be queued. `None`:
    /// the dialect does not number items.
    pub fn next_number(&self) -> Option<Seq> {
        self.limits.dialect.numbers_items().then(|| self.outbox.number(self.first_unacknowledged()))
    }
}
