//! Handling of an attempt's outcome: what the peer has, and what is sent next.

use std::time::Duration;

use crate::change::{Change, CommitPriority};
use crate::limits::PeerLimits;
use crate::model::{
    Ack, BatchId, DeadLetterReason, Index, ItemObjection, Millis, PeerState, PushFailure, PushResponse,
};
use crate::peer::effect::{EffectCollector, PeerEffect};
use crate::peer::outbound::attempt_log::AttemptLog;
use crate::peer::outbound::numbering::QueueNumbering;
use crate::peer::outbound::outbound_queue::OutboundQueue;
use crate::peer::outbound::outbox_window::IndexSpan;
use crate::peer::outbound::progress::DeliveryProgress;
use crate::peer::outbound::progress::next_move::NextMove;
use crate::peer::outbound::progress::state::{OutboundState, SendMode};
use crate::peer::outbound::rejected_batch::ContentRefusal;
use crate::peer::outbound::send::RequestComposer;

/// Returns whether the peer certainly accepted nothing of the request, not even ephemeral items.
const fn has_taken_nothing(outcome: &Result<PushResponse, PushFailure>) -> bool {
    matches!(
        outcome,
        Ok(PushResponse { ack: Ack::Wait(_), .. })
            | Err(PushFailure::Unreachable(_) | PushFailure::Troubled { status: 429, .. })
    )
}

/// Returns whether the peer has certainly read the receipts of the request.
const fn has_read_receipts(outcome: &Result<PushResponse, PushFailure>) -> bool {
    matches!(outcome, Ok(PushResponse { ack: Ack::Ok(_) | Ack::Taken | Ack::AcceptedUnparsedBody, .. }))
}

/// Pause after a 429 without `Retry-After`.
const WAIT_UNSAID: Duration = Duration::from_secs(60);

/// The outcome of an attempt, and the parts of the machine that it concerns.
pub(super) struct AttemptReply<'a> {
    pub(super) now: Millis,
    pub(super) limits: &'a PeerLimits,
    pub(super) queue: &'a mut OutboundQueue,
    pub(super) progress: &'a mut DeliveryProgress,
    pub(super) attempts: &'a mut AttemptLog,
    pub(super) requests: &'a mut RequestComposer,
}

impl AttemptReply<'_> {
    /// Handles the outcome of an attempt.
    pub(super) fn replied(
        &mut self,
        attempt: u64,
        outcome: Result<PushResponse, PushFailure>,
        out: &mut EffectCollector,
    ) -> NextMove {
        let Some((label, mode)) = self.progress.end_attempt(attempt) else { return NextMove::Rest };
        let span = mode.span();
        self.requests.ended(has_taken_nothing(&outcome));
        let told = self.requests.receipts.ended(has_read_receipts(&outcome));
        if told > 0 {
            out.effect(PeerEffect::CountReceipts("told", told));
        }
        if let Some(span) = span {
            if matches!(&outcome, Ok(PushResponse { ack: Ack::AcceptedUnparsedBody, .. }))
                && !self.attempts.has_unparsed_ack()
            {
                self.warn_unparsed_ack(out);
            }
            let ended = self.attempts.ended(&self.queue.server, self.now, (label, span), &outcome);
            ended.into_iter().for_each(|change| out.note(change));
        }
        match outcome {
            Ok(PushResponse { ack, window, refused, reason, receipts: _ }) => {
                if self.requests.labels.learn_window(window) {
                    out.moved(CommitPriority::Deferred);
                }
                match (ack, label) {
                    (Ack::Ok(seq), BatchId::SeqRange { last, .. }) if seq == last => {
                        self.delivered(span, None, &refused, out)
                    }
                    (Ack::Taken | Ack::AcceptedUnparsedBody, BatchId::Transaction { id, .. }) => {
                        self.requests.labels.on_transaction_acked();
                        self.delivered(span, Some(id), &refused, out)
                    }
                    (Ack::Hole { expected, conflict }, BatchId::SeqRange { .. }) => {
                        let follows = QueueNumbering { queue: self.queue }.on_hole(expected, conflict, out);
                        follows.unwrap_or_else(|| self.delivered(None, None, &[], out))
                    }
                    (Ack::Wait(time), _) => {
                        self.attempts.asked(reason.as_deref());
                        self.wait(time)
                    }
                    (ack, label) => NextMove::fail(format!("{ack} is no answer to {label}")),
                }
            }
            Err(failure) => self.on_failure(label, mode, &failure, out),
        }
    }

    /// Emits a notice: in this dialect any 200 counts as accepted, so a wrong server at the address would swallow all
    /// items silently.
    fn warn_unparsed_ack(&self, out: &mut EffectCollector) {
        let server = &self.queue.server;
        let text = format!(
            "{server} answers with status 200 and a body that is not JSON; in its dialect this counts as accepted. Check \
             that peers.server.\"{server}\".addresses lead to its gateway, and resend what was lost"
        );
        out.notice(server, text);
    }

    /// Clears the record of trouble, because the peer has processed what it was sent.
    fn clear_trouble(&mut self, out: &mut EffectCollector) {
        if self.progress.clear_trouble(self.now) {
            out.announce_state(&self.queue.server, PeerState::Sending, None);
        }
    }

    /// Handles the acknowledgement of a whole batch; `transaction` is its id, if it was a transaction.
    fn delivered(
        &mut self,
        span: Option<IndexSpan>,
        transaction: Option<u64>,
        refused: &[ItemObjection],
        out: &mut EffectCollector,
    ) -> NextMove {
        self.requests.rejected.forget_rejected();
        self.attempts.succeeded(self.now);
        self.clear_trouble(out);
        self.confirmed(out);
        if let Some(span) = span {
            self.queue.unconfirmed.taken(span.last);
            let took = self.progress.attempt_began().until(self.now);
            self.requests.rejected.accepted(span, took, self.limits.deadlines().total);
            self.queue.emit_delivery_events(self.now, span, refused, out);
            if let Some(id) = transaction {
                let server = self.queue.server.clone();
                out.change(Change::TransactionSent { server, id, first: span.first, last: span.last });
            }
            self.queue.ack(span.last, out);
            self.requests.labels.reserve(self.now);
            self.queue.trim_acknowledged(self.now, out);
        }
        NextMove::Proceed
    }

    /// Handles the answer to a confirmation probe that the peer has something under the item's number.
    fn confirmed(&mut self, out: &mut EffectCollector) {
        let Some((last, refused)) = self.queue.unconfirmed.confirmed() else { return };
        let first = self.queue.outbox.acked().next();
        let ended = self.attempts.confirmed(&self.queue.server, self.now, first, last);
        ended.into_iter().for_each(|change| out.note(change));
        if let Some((message, reason)) = refused {
            // The item does not become a dead letter: it keeps its number, or an item behind it would be sent under a
            // number that the peer knows already.
            let reason = format!("{reason}; it may have been taken before, when no answer came");
            self.queue.emit_delivery_event(message, DeadLetterReason::Refused.state(), Some(reason), out);
        }
        self.queue.ack(last, out);
    }

    fn on_failure(
        &mut self,
        label: BatchId,
        mode: SendMode,
        failure: &PushFailure,
        out: &mut EffectCollector,
    ) -> NextMove {
        let span = mode.span();
        let is_answer = matches!(failure, PushFailure::Refused { .. } | PushFailure::Troubled { status: 429, .. });
        if let (BatchId::SeqRange { .. }, Some(span), false) = (label, span, is_answer) {
            self.queue.unconfirmed.unanswered(span.last);
        }
        if matches!(failure, PushFailure::TimedOut) {
            self.requests.rejected.timed_out(span);
        }
        match (failure, label) {
            (PushFailure::Refused { status: 400 | 413 | 422, .. }, _) => self.on_refused_content(mode, failure, out),
            (PushFailure::Refused { .. }, _) => self.refused(),
            (PushFailure::Troubled { retry_after, status: 429, reason }, _) => {
                self.attempts.asked(Some(reason));
                self.wait(retry_after.unwrap_or(WAIT_UNSAID))
            }
            (PushFailure::Troubled { .. }, BatchId::Transaction { id, .. })
                if self.limits.drops_batch_on_error_status && self.requests.rejected.counts_as_content_error(id) =>
            {
                self.on_refused_content(mode, failure, out)
            }
            (PushFailure::Troubled { retry_after: Some(time), .. }, _) => {
                let not_before = Some(self.now.after(self.clamp_wait(*time)));
                NextMove::Fail { error: failure.into(), not_before }
            }
            _ => NextMove::fail(failure),
        }
    }

    /// Handles a request that was refused for its content: sends smaller ones, until a single item is found to be
    /// refused.
    fn on_refused_content(&mut self, mode: SendMode, failure: &PushFailure, out: &mut EffectCollector) -> NextMove {
        if self.requests.rejected.refuses_everything() {
            return self.refused();
        }
        self.requests.labels.discard_open_transaction();
        let too_large = matches!(failure, PushFailure::Refused { status: 413, .. });
        let halves = !self.limits.dialect.numbers_items();
        let refusal = self.requests.rejected.refused(mode, too_large, halves);
        if self.queue.unconfirmed.give_up() {
            // The peer refuses the confirmation probe.
            return NextMove::Proceed;
        }
        if let ContentRefusal::RejectItem(span) = refusal {
            return self.reject_item(span, failure.to_string(), out);
        }
        if mode.span().is_none() {
            self.progress.end_probing();
        }
        NextMove::Proceed
    }

    /// Handles a refusal that concerns us and not an item: suspends the peer, which is then probed slowly.
    fn refused(&mut self) -> NextMove {
        NextMove::Pause(self.progress.refuse(self.now, self.limits), CommitPriority::Now)
    }

    /// Handles the refusal of a single item: dead-letters it, or sends a confirmation probe first if the peer may have
    /// accepted it before.
    fn reject_item(&mut self, span: IndexSpan, reason: String, out: &mut EffectCollector) -> NextMove {
        if self.queue.unconfirmed.concerns(span.first)
            && let Some(row) = self.queue.outbox.unacknowledged(span.first).last()
        {
            self.queue.unconfirmed.ask_about_refused(span.first, row.submission.clone(), reason);
            return NextMove::Proceed;
        }
        self.park(span.first, reason, out)
    }

    /// Dead-letters a refused item: its number goes to the next item, and an event tells the messenger.
    pub(super) fn park(&mut self, index: Index, reason: String, out: &mut EffectCollector) -> NextMove {
        if !self.queue.park(index, &reason, out) {
            return NextMove::fail(reason);
        }
        self.requests.rejected.rejected();
        self.clear_trouble(out);
        self.requests.labels.reserve(self.now);
        NextMove::Proceed
    }

    fn wait(&self, asked: Duration) -> NextMove {
        let until = self.now.after(self.clamp_wait(asked));
        NextMove::Pause(OutboundState::Waiting { until }, CommitPriority::Now)
    }

    /// Clamps a wait that the peer asks for: at least one second, at most the operator's limit.
    fn clamp_wait(&self, asked: Duration) -> Duration {
        asked.clamp(Duration::from_secs(1), self.limits.wait_max.max(Duration::from_secs(1)))
    }
}
