//! Handling of an attempt's outcome: the second part of the outbound machine.

use std::time::Duration;

use crate::change::{Change, CommitPriority};
use crate::model::{
    Ack, AttemptError, BatchId, DeadLetterReason, FeedItem, Index, ItemObjection, Millis, PeerState, PushFailure,
    PushResponse, SubmissionId,
};
use crate::peer::effect::EffectCollector;
use crate::peer::outbound::outbox_window::IndexSpan;
use crate::peer::outbound::progress::state::{OutboundState, SendMode};
use crate::peer::outbound::rejected_batch::ContentRefusal;
use crate::peer::outbound::{Outbound, StepInput};

/// Returns whether the peer certainly accepted nothing of the request, not even ephemeral items.
const fn has_taken_nothing(outcome: &Result<PushResponse, PushFailure>) -> bool {
    matches!(
        outcome,
        Ok(PushResponse { ack: Ack::Wait(_), .. })
            | Err(PushFailure::Unreachable(_) | PushFailure::Troubled { status: 429, .. })
    )
}

/// Pause after a 429 without `Retry-After`.
const WAIT_UNSAID: Duration = Duration::from_secs(60);

impl Outbound {
    /// Handles the outcome of an attempt.
    pub fn replied(
        &mut self,
        at: StepInput,
        attempt: u64,
        outcome: Result<PushResponse, PushFailure>,
        out: &mut EffectCollector,
    ) {
        let Some((label, mode)) = self.progress.end_attempt(attempt) else { return };
        let span = mode.span();
        match has_taken_nothing(&outcome) {
            true => self.ephemeral.put_back(self.ring_limits()),
            false => self.ephemeral.let_go(),
        }
        if let Some(span) = span {
            if matches!(&outcome, Ok(PushResponse { ack: Ack::AcceptedUnparsedBody, .. }))
                && !self.attempts.has_unparsed_ack()
            {
                self.warn_unparsed_ack(out);
            }
            let ended = self.attempts.ended(&self.server, at.now, (label, span), &outcome);
            ended.into_iter().for_each(|change| out.note(change));
        }
        match outcome {
            Ok(PushResponse { ack, window, refused, reason }) => {
                if self.labels.learn_window(window) {
                    out.moved(CommitPriority::Deferred);
                }
                match (ack, label) {
                    (Ack::Ok(seq), BatchId::SeqRange { last, .. }) if seq == last => {
                        self.delivered(at, span, None, &refused, out);
                    }
                    (Ack::Taken | Ack::AcceptedUnparsedBody, BatchId::Transaction { id, .. }) => {
                        self.labels.on_transaction_acked();
                        self.delivered(at, span, Some(id), &refused, out);
                    }
                    (Ack::Hole { expected, conflict }, BatchId::SeqRange { .. }) => {
                        self.on_hole(at, expected, conflict, out);
                    }
                    (Ack::Wait(time), _) => {
                        self.attempts.asked(reason.as_deref());
                        let until = at.now.after(self.clamp_wait(time));
                        self.pause(at, OutboundState::Waiting { until }, CommitPriority::Now, out);
                    }
                    (ack, label) => self.fail(at, format!("{ack} is no answer to {label}"), out),
                }
            }
            Err(failure) => self.on_failure(at, label, mode, &failure, out),
        }
    }

    /// Emits a notice: in this dialect any 200 counts as accepted, so a wrong server at the address would swallow all
    /// items silently.
    fn warn_unparsed_ack(&self, out: &mut EffectCollector) {
        let server = &self.server;
        let text = format!(
            "{server} answers with status 200 and a body that is not JSON; in its dialect this counts as accepted. Check \
             that peers.server.\"{server}\".addresses lead to its gateway, and resend what was lost"
        );
        out.change(Change::FeedAppended(FeedItem::Notice { text, server: Some(server.clone()) }));
    }

    /// Clears the record of trouble, because the peer has processed what it was sent.
    fn clear_trouble(&mut self, at: StepInput, out: &mut EffectCollector) {
        if self.progress.clear_trouble(at.now) {
            self.announce_state(PeerState::Sending, None, out);
        }
    }

    /// Handles the acknowledgement of a whole batch; `transaction` is its id, if it was a transaction.
    pub(super) fn delivered(
        &mut self,
        at: StepInput,
        span: Option<IndexSpan>,
        transaction: Option<u64>,
        refused: &[ItemObjection],
        out: &mut EffectCollector,
    ) {
        self.rejected.forget_rejected();
        self.attempts.succeeded(at.now);
        self.clear_trouble(at, out);
        self.confirmed(at, out);
        if let Some(span) = span {
            self.unconfirmed.taken(span.last);
            self.rejected.accepted(span);
            self.emit_delivery_events(at, span, refused, out);
            if let Some(id) = transaction {
                let server = self.server.clone();
                out.change(Change::TransactionSent { server, id, first: span.first, last: span.last });
            }
            self.trim.acked(self.outbox.ack(span.last));
            self.labels.reserve(at.now);
            out.moved(CommitPriority::Deferred);
            self.trim_acknowledged(at, out);
        }
        self.proceed(at, out);
    }

    fn trim_acknowledged(&mut self, at: StepInput, out: &mut EffectCollector) {
        let Some(rows_max) = self.trim.take_due() else { return };
        let retain = u64::try_from(self.limits.retain.as_millis()).unwrap_or(u64::MAX);
        out.change(Change::OutboxTrimmed {
            server: self.server.clone(),
            upto: self.outbox.acked(),
            keep_items: self.limits.retain_items,
            queued_before: Millis(at.now.0.saturating_sub(retain)),
            rows_max,
        });
    }

    /// Handles the answer to a confirmation probe that the peer has something under the item's number.
    fn confirmed(&mut self, at: StepInput, out: &mut EffectCollector) {
        let Some((last, refused)) = self.unconfirmed.confirmed() else { return };
        let first = self.outbox.acked().next();
        let ended = self.attempts.confirmed(&self.server, at.now, first, last);
        ended.into_iter().for_each(|change| out.note(change));
        if let Some((message, reason)) = refused {
            // The item does not become a dead letter: it keeps its number, or an item behind it would be sent under a
            // number that the peer knows already.
            let reason = format!("{reason}; it may have been taken before, when no answer came");
            self.emit_delivery_event(message, DeadLetterReason::Refused.state(), Some(reason), out);
        }
        self.trim.acked(self.outbox.ack(last));
        out.moved(CommitPriority::Deferred);
    }

    /// Emits a delivery event for each message that had failed or waited long, and for each item that the peer refuses or
    /// parks. All other deliveries are visible in traces only.
    fn emit_delivery_events(
        &self,
        at: StepInput,
        span: IndexSpan,
        refused: &[ItemObjection],
        out: &mut EffectCollector,
    ) {
        let mut told: Option<&SubmissionId> = None;
        for row in self.outbox.unacknowledged(span.last) {
            let is_about = |objection: &&ItemObjection| span.first.0 + objection.place as u64 == row.index.0;
            if let Some(ItemObjection { fate, reason, .. }) = refused.iter().find(is_about) {
                let reason = match fate {
                    DeadLetterReason::ParkedByPeer => format!("{reason}: it lies in the quarantine of {}", self.server),
                    _ => reason.clone(),
                };
                self.dead_letter(row.index, row.index, *fate, &reason, out);
                self.emit_delivery_event(row.submission.clone(), fate.state(), Some(reason), out);
            } else if (row.again || row.queued.until(at.now) > self.limits.notify_after)
                && told.replace(&row.submission) != Some(&row.submission)
            {
                self.emit_delivery_event(row.submission.clone(), "acknowledged", None, out);
            }
        }
    }

    fn on_failure(
        &mut self,
        at: StepInput,
        label: BatchId,
        mode: SendMode,
        failure: &PushFailure,
        out: &mut EffectCollector,
    ) {
        let span = mode.span();
        let is_answer = matches!(failure, PushFailure::Refused { .. } | PushFailure::Troubled { status: 429, .. });
        if let (BatchId::SeqRange { .. }, Some(span), false) = (label, span, is_answer) {
            self.unconfirmed.unanswered(span.last);
        }
        if matches!(failure, PushFailure::TimedOut) {
            self.rejected.timed_out(span);
        }
        match (failure, label) {
            (PushFailure::Refused { status: 400 | 413 | 422, .. }, _) => {
                self.on_refused_content(at, mode, failure, out);
            }
            (PushFailure::Refused { .. }, _) => self.refused(at, out),
            (PushFailure::Troubled { retry_after, status: 429, reason }, _) => {
                self.attempts.asked(Some(reason));
                let until = at.now.after(self.clamp_wait(retry_after.unwrap_or(WAIT_UNSAID)));
                self.pause(at, OutboundState::Waiting { until }, CommitPriority::Now, out);
            }
            (PushFailure::Troubled { .. }, BatchId::Transaction { id, .. })
                if self.limits.drops_batch_on_error_status && self.rejected.counts_as_content_error(id) =>
            {
                self.on_refused_content(at, mode, failure, out);
            }
            (PushFailure::Troubled { retry_after: Some(time), .. }, _) => {
                let not_before = at.now.after(self.clamp_wait(*time));
                self.fail_until(at, failure.into(), Some(not_before), out);
            }
            _ => self.fail(at, failure, out),
        }
    }

    /// Handles a request that was refused for its content: sends smaller ones, until a single item is found to be
    /// refused.
    fn on_refused_content(&mut self, at: StepInput, mode: SendMode, failure: &PushFailure, out: &mut EffectCollector) {
        if self.rejected.refuses_everything() {
            return self.refused(at, out);
        }
        self.labels.discard_open_transaction();
        let too_large = matches!(failure, PushFailure::Refused { status: 413, .. });
        let halves = !self.limits.dialect.numbers_items();
        let refusal = self.rejected.refused(mode, too_large, halves);
        if self.unconfirmed.give_up() {
            // The peer refuses the confirmation probe.
            return self.proceed(at, out);
        }
        if let ContentRefusal::RejectItem(span) = refusal {
            return self.reject_item(at, span, failure.to_string(), out);
        }
        if mode.span().is_none() {
            self.progress.end_probing();
        }
        self.proceed(at, out);
    }

    /// Handles a refusal that concerns us and not an item: suspends the peer, which is then probed slowly.
    fn refused(&mut self, at: StepInput, out: &mut EffectCollector) {
        let state = self.progress.refuse(at.now, &self.limits);
        self.pause(at, state, CommitPriority::Now, out);
    }

    /// Handles the refusal of a single item: dead-letters it, or sends a confirmation probe first if the peer may have
    /// accepted it before.
    fn reject_item(&mut self, at: StepInput, span: IndexSpan, reason: String, out: &mut EffectCollector) {
        if self.unconfirmed.concerns(span.first)
            && let Some(row) = self.outbox.unacknowledged(span.first).last()
        {
            self.unconfirmed.ask_about_refused(span.first, row.submission.clone(), reason);
            return self.proceed(at, out);
        }
        self.park(at, span.first, reason, out);
    }

    /// Dead-letters a refused item: its number goes to the next item, and an event tells the messenger. Nothing is sent
    /// under that number before the commit; a crash before it leads to the same refusal again.
    pub(super) fn park(&mut self, at: StepInput, index: Index, reason: String, out: &mut EffectCollector) {
        let Some(row) = self.outbox.skip(index) else { return self.fail(at, reason, out) };
        self.rejected.rejected();
        self.dead_letter(index, index, DeadLetterReason::Parked, &reason, out);
        self.emit_delivery_event(row.submission, DeadLetterReason::Parked.state(), Some(reason), out);
        self.clear_trouble(at, out);
        self.labels.reserve(at.now);
        self.renumbering.assign();
        out.moved(CommitPriority::Now);
        self.proceed(at, out);
    }

    /// Clamps a wait that the peer asks for: at least one second, at most the operator's limit.
    fn clamp_wait(&self, asked: Duration) -> Duration {
        asked.clamp(Duration::from_secs(1), self.limits.wait_max.max(Duration::from_secs(1)))
    }

    /// Handles a failure that says nothing about the items (no connection, trouble, an invalid response): they are kept
    /// and sent again later.
    pub(super) fn fail(&mut self, at: StepInput, error: impl Into<AttemptError>, out: &mut EffectCollector) {
        self.fail_until(at, error.into(), None, out);
    }

    fn fail_until(
        &mut self,
        at: StepInput,
        error: AttemptError,
        not_before: Option<Millis>,
        out: &mut EffectCollector,
    ) {
        self.attempts.failed(error);
        let state = self.progress.fail(at.now, at.jitter_roll, not_before, &self.limits);
        self.pause(at, state, CommitPriority::Deferred, out);
    }
}
