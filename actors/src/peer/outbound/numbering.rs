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
use crate::model::{BatchId, FeedItem, Index, Seq, ServerName};
use crate::peer::effect::EffectCollector;
use crate::peer::outbound::outbound_queue::OutboundQueue;
use crate::peer::outbound::outbox_window::HoleAt;
use crate::peer::outbound::progress::next_move::NextMove;

/// The numbering of a peer's queue, which its answers and its operator change.
pub(super) struct QueueNumbering<'a> {
    pub(super) queue: &'a mut OutboundQueue,
}

impl QueueNumbering<'_> {
    /// Handles a hole: the peer expects this number next; `conflict`: it holds other updates under our numbers. Returns what
    /// follows; `None`: the hole confirms that the peer has the items that it was asked about.
    pub(super) fn on_hole(&mut self, expected: Seq, conflict: bool, out: &mut EffectCollector) -> Option<NextMove> {
        let question = self.queue.unconfirmed.question();
        if question.is_some_and(|last| expected > self.queue.outbox.number(last)) {
            return None;
        }
        if expected == Seq(0) {
            return Some(NextMove::fail("the peer requests number 0, but numbers begin at 1".to_owned()));
        }
        // A hole that answers our own probe is expected.
        let holes = match question {
            Some(_) => 1,
            None => self.queue.renumbering.note_hole(self.queue.outbox.acked()),
        };
        Some(match self.follow(expected, conflict, out) {
            Err(reason) => NextMove::StopAheadOfUs(reason),
            Ok(()) if holes == 1 => NextMove::Proceed,
            // Accepted items of a resend clear the failures in between, but they are no progress.
            Ok(()) => NextMove::FailDespiteContact {
                reason: format!(
                    "the peer requests number {expected}, and has accepted nothing new since its last request"
                ),
                failures: holes - 2,
            },
        })
    }

    /// Continues with the items that the peer requests, under the requested number. `Err`: the number is not followed.
    fn follow(&mut self, expected: Seq, conflict: bool, out: &mut EffectCollector) -> Result<(), String> {
        let first = self.queue.first_unacknowledged();
        if conflict {
            self.check_number(first, expected)?;
            self.queue.unconfirmed.reset();
            self.renumber(first, expected, "it holds other updates under our numbers", out);
            return Ok(());
        }
        match self.queue.outbox.locate(expected) {
            HoleAt::Kept(index) => {
                // Indexes from the cursor to `last` were removed on purpose and already reported; a rewind into them is
                // not a gap.
                let is_news = self
                    .queue
                    .unconfirmed
                    .question()
                    .is_none_or(|last| index < self.queue.outbox.cursor() || last < index);
                self.queue.unconfirmed.expects(index);
                self.queue.renumbering.rewind_to(is_news.then_some(expected));
                self.queue.outbox.rewind(index);
            }
            HoleAt::Below(oldest) => {
                self.check_number(oldest, expected)?;
                self.queue.unconfirmed.expects(oldest);
                self.give_less(expected, oldest, out);
            }
            HoleAt::Between(next) => {
                self.check_number(next, expected)?;
                self.queue.unconfirmed.expects(next);
                self.renumber(next, expected, "it requests a number that no update has", out);
            }
            HoleAt::Above => {
                // A peer that holds more than we ever numbered already has the items that a rewind was resending.
                let first = self.queue.outbox.acked().next();
                self.check_number(first, expected)?;
                self.queue.unconfirmed.reset();
                self.renumber(first, expected, "it expects a number above any that we assigned", out);
            }
        }
        Ok(())
    }

    /// Checks that the items from `first` on may be numbered from `number` on.
    fn check_number(&self, first: Index, number: Seq) -> Result<(), String> {
        let (server, max) = (&self.queue.server, self.queue.limits.renumber_max);
        let above = number.since(self.queue.outbox.tail_number());
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
        number.0.saturating_add(self.queue.outbox.tail().since(first)) >= Seq::LIMIT.0
    }

    /// Handles a request for numbers that are no longer kept: continues with the oldest kept item, under the requested
    /// number.
    pub(super) fn give_less(&mut self, expected: Seq, oldest: Index, out: &mut EffectCollector) {
        let number = self.queue.outbox.number(oldest);
        if expected < number {
            let (from, server, last) = (self.queue.us.clone(), self.queue.server.clone(), Seq(number.0 - 1));
            out.change(Change::FeedAppended(FeedItem::UpdateGap { from, server, first: expected, last }));
        }
        self.renumber(oldest, expected, "it requests updates that are no longer kept", out);
    }

    fn renumber(&mut self, first: Index, number: Seq, why: &str, out: &mut EffectCollector) {
        let ours = (self.queue.outbox.number(first), self.queue.outbox.tail_number());
        self.number_anew(first, number, out);
        let what = match ours {
            (first, tail) if first > tail => format!("the next update is number {number}"),
            (first, tail) if first == tail => format!("update {first} is now number {number}"),
            (first, tail) => format!("updates {first} to {tail} are numbered from {number} on"),
        };
        let text = format!("{}: {why}; {what}", self.queue.server);
        out.numbering_notice(&self.queue.server, text);
    }

    fn number_anew(&mut self, first: Index, number: Seq, out: &mut EffectCollector) {
        self.queue.outbox.renumber(first, number);
        self.queue.renumbering.assign();
        out.moved(CommitPriority::Now);
    }

    /// Sets the number of our first item that the peer has not acknowledged, at an operator's command.
    pub(super) fn set_number(&mut self, number: Seq, yes: bool, out: &mut EffectCollector) -> Result<(), CommandError> {
        let first = self.queue.first_unacknowledged();
        let count = self.queue.outbox.tail().next().since(first);
        if number == Seq(0) || self.is_beyond_limit(first, number) {
            return Err(CommandError::NumberOutOfRange { number, count });
        }
        let (above, max) = (number.since(self.queue.outbox.tail_number()), self.queue.limits.renumber_max);
        if above > max && !yes {
            return Err(CommandError::NumberFarAbove { server: self.queue.server.clone(), number, above, max });
        }
        let before = self.queue.outbox.number(first);
        self.queue.unconfirmed.reset();
        self.queue.renumbering.forget_holes();
        self.number_anew(first, number, out);
        let server = &self.queue.server;
        let text = format!("{server}: updates from number {before} on are now numbered from {number} on, by command");
        out.notice(server, text);
        Ok(())
    }
}

/// Returns why the peer is suspended instead of being sent a request, if that has a number beyond the limit: the peer would
/// refuse each of its items for good.
pub(super) fn number_beyond_limit(server: &ServerName, label: BatchId) -> Option<String> {
    let BatchId::SeqRange { last, .. } = label else { return None };
    let limit = Seq::LIMIT;
    (last >= limit).then(|| {
        format!(
            "our next item to the peer has number {last}, and numbers stay below {limit}: ask its operator which number it \
             expects, then set it with `fernpost peer renumber {server} NUMBER`"
        )
    })
}
