//! Changes of an operator to the outbound half while it runs: the configuration, and the commands suspend, resume, retry, drop
//! and renumber; and the way through third servers.
//!
//! The configuration suspends a peer that it does not name, that it denies, or that is `paused`. Items stay pending until they
//! expire, and the stored state stays unchanged, so that a peer that may be sent to again continues from there. A request in
//! flight is finished first. The messenger is notified of both, once.

use std::sync::Arc;

use crate::change::CommitPriority;
use crate::errors::CommandError;
use crate::limits::PeerLimits;
use crate::model::{
    BatchId, Index, OutboxRow, RemovalFate, Seq, ServerName, ShortDuration, SubmissionId, SuspendReason,
};
use crate::peer::effect::{EffectCollector, PeerEffect};
use crate::peer::outbound::numbering::QueueNumbering;
use crate::peer::outbound::progress::next_move::NextMove;
use crate::peer::outbound::progress::state::OutboundState;
use crate::peer::outbound::relay::{QueueFacts, RelayEvent, RelayedItem};
use crate::peer::outbound::{Outbound, StepInput};

impl Outbound {
    /// Handles other limits. Delays that they shorten end sooner; requests and timers go on.
    pub fn change_limits(&mut self, at: StepInput, limits: &Arc<PeerLimits>, out: &mut EffectCollector) {
        let before = self.limits.clone();
        self.next_limits = None;
        if matches!(self.progress.state(), OutboundState::Sending { .. }) && before.dialect != limits.dialect {
            // The answer to the request in flight is read by the rules of its dialect.
            self.use_limits(&Arc::new(PeerLimits { dialect: before.dialect, ..(**limits).clone() }));
            self.next_limits = Some(limits.clone());
        } else {
            self.use_limits(limits);
        }
        self.follow_config(at, &before, out);
    }

    /// Suspends the peer or continues, as the configuration says.
    fn follow_config(&mut self, at: StepInput, before: &PeerLimits, out: &mut EffectCollector) {
        if self.progress.follow_config(at.now, &self.limits) {
            out.effect(PeerEffect::Disarm);
            self.begin(at, out);
            self.announce_config(out);
            return out.moved(CommitPriority::Deferred);
        }
        match self.progress.state() {
            OutboundState::Idle | OutboundState::Loading if self.progress.is_suspended_by_config() => {
                // Nothing is in flight but a read of rows.
                out.effect(PeerEffect::Abort);
                self.perform(at, NextMove::Pause(OutboundState::Idle, CommitPriority::Deferred), out);
            }
            OutboundState::Idle | OutboundState::Loading | OutboundState::Sending { .. } => {}
            OutboundState::Waiting { .. } | OutboundState::BackingOff { .. } | OutboundState::Suspended { .. } => {
                let state = *self.progress.state();
                self.requests.ephemeral.keep(|expiry| state.keeps_ephemeral(expiry));
                self.progress.shorten_deadlines(at.now, at.jitter_roll, before, &self.limits);
                self.announce_config(out);
                self.reschedule(at, out);
            }
        }
    }

    /// Sets the timer anew for a paused peer, or makes the attempt that is due.
    fn reschedule(&mut self, at: StepInput, out: &mut EffectCollector) {
        if self.next_attempt().is_some_and(|due| due <= at.now) {
            out.effect(PeerEffect::Disarm);
            self.resume_sending(at, out);
        } else if !self.expiry.is_running() {
            // While a page is read, the timer is set when it arrives.
            self.expiry.arm_or_sweep(&mut self.progress, &self.queue, out);
        }
    }

    /// Suspends sending until [`resume`](Self::resume), also across restarts. A request in flight is aborted; whether
    /// the peer accepted it shows when it is sent again.
    pub fn suspend(&mut self, at: StepInput, out: &mut EffectCollector) {
        if matches!(self.progress.state(), OutboundState::Loading | OutboundState::Sending { .. }) {
            out.effect(PeerEffect::Abort);
        }
        let suspended = OutboundState::suspended(SuspendReason::Admin, None);
        self.perform(at, NextMove::Pause(suspended, CommitPriority::Now), out);
    }

    /// Ends a suspension, whatever its cause. The failures stay counted, so that a peer that is still unreachable is
    /// suspended again at once.
    pub fn resume(&mut self, at: StepInput, out: &mut EffectCollector) {
        let &OutboundState::Suspended { cause, .. } = self.progress.state() else { return };
        self.progress.override_config();
        self.begin_anew();
        out.effect(PeerEffect::Disarm);
        self.resume_sending(at, out);
        out.moved(CommitPriority::Now);
        // The end of an operator's suspension is announced at once, that of any other when the peer has accepted
        // something.
        let is_news = cause == SuspendReason::Admin && self.progress.end_suspension();
        if self.progress.note_config(self.queue.outbox.backlog() > 0) || is_news {
            out.announce_state(&self.queue.server, self.state(), None);
        }
    }

    /// Starts the next attempt now. If it fails, the original time of the attempt stays, even one that the peer asked
    /// for.
    pub fn retry(&mut self, at: StepInput, out: &mut EffectCollector) {
        if !self.progress.retry() {
            return;
        }
        self.begin_anew();
        out.effect(PeerEffect::Disarm);
        self.resume_sending(at, out);
    }

    /// Resets the last hole and the count of rejected items.
    fn begin_anew(&mut self) {
        self.queue.renumbering.forget_holes();
        self.requests.rejected.forget_rejected();
    }

    /// Takes items out at an operator's command. A request that carries any of them is aborted. Whether the peer accepted
    /// it is then unknown, so the peer is asked before the numbers are reused.
    pub fn drop_items(
        &mut self,
        at: StepInput,
        message: SubmissionId,
        (first, last): (Index, Index),
        fate: &RemovalFate,
        out: &mut EffectCollector,
    ) {
        let Some(part) = self.queue.unacknowledged_part(first, last) else { return };
        // A submission is moved whole, and not if a third server may bring a part of it.
        let is_relayed = self.relay.relayed().is_some_and(|(_, upto)| *upto >= first);
        if matches!(fate, RemovalFate::MoveTo(_)) && (part != (first, last) || is_relayed) {
            return;
        }
        let (first, last) = part;
        let in_flight = match self.progress.state() {
            OutboundState::Sending { label, mode, .. } => mode.span().map(|span| (*label, span)),
            _ => None,
        };
        let carried = in_flight.filter(|(_, span)| span.first <= last && first <= span.last);
        let stops = carried.is_some() || matches!(self.progress.state(), OutboundState::Loading);
        if stops {
            out.effect(PeerEffect::Abort);
            self.requests.labels.discard_open_transaction();
        }
        if let Some((BatchId::SeqRange { .. }, span)) = carried {
            self.queue.unconfirmed.unanswered(span.last);
        }
        self.queue.drop_items(message, (first, last), fate, out);
        if stops {
            self.perform(at, NextMove::Proceed, out);
        }
    }

    /// Sets the number of our first item that the peer has not acknowledged. The request in flight is discarded, because it
    /// has the old number.
    pub fn set_number(
        &mut self,
        at: StepInput,
        number: Seq,
        yes: bool,
        out: &mut EffectCollector,
    ) -> Result<(), CommandError> {
        QueueNumbering { queue: &mut self.queue }.set_number(number, yes, out)?;
        match self.progress.state() {
            OutboundState::Loading | OutboundState::Sending { .. } => out.effect(PeerEffect::Abort),
            OutboundState::Suspended { cause: SuspendReason::AheadOfUs, .. } => out.effect(PeerEffect::Disarm),
            _ => return Ok(()),
        }
        self.resume_sending(at, out);
        Ok(())
    }

    /// Decides whether the peer is reached through third servers now, and what to do for it. It is called after each event.
    pub fn relay(&mut self, at: StepInput, out: &mut EffectCollector) {
        let facts = self.queue_facts();
        let was_active = self.relay.is_active();
        if let Some(work) = self.relay.step(at.now, facts) {
            out.effect(PeerEffect::Relay(work));
        }
        if self.relay.is_active() != was_active {
            out.moved(CommitPriority::Deferred);
        }
        if self.relay.is_active() && self.progress.attempt_within(at.now, self.limits.relay.probe) {
            self.reschedule(at, out);
        }
        if let Some(due) = self.relay.new_due(self.queue_facts()) {
            out.effect(PeerEffect::RelayAt(due));
        }
    }

    /// Handles what came of the work for third servers.
    pub fn on_relay_event(&mut self, at: StepInput, event: RelayEvent, out: &mut EffectCollector) {
        let acked = self.queue.outbox.acked();
        let work = match event {
            RelayEvent::Due => None,
            RelayEvent::Loaded(from, rows, vias) => {
                let outbox = &self.queue.outbox;
                let kept = rows.unwrap_or_default().into_iter().filter(|row| !outbox.has_left(row.index));
                let item =
                    |row: OutboxRow| RelayedItem { index: row.index, number: outbox.number(row.index), item: row.item };
                let items = kept.filter(|row| row.index > acked).map(item).collect();
                self.relay.loaded(at.now, from, items, &vias, acked)
            }
            RelayEvent::Queued(via, upto) => {
                // The peer may get them by the relay, before it acknowledges them to us.
                self.queue.unconfirmed.unanswered(upto);
                if self.relay.queued(&via, upto) {
                    out.moved(CommitPriority::Deferred);
                }
                None
            }
            RelayEvent::Refused(via, code) => {
                if self.relay.refused(at.now, &via) {
                    let (server, retry) = (&self.queue.server, ShortDuration(self.limits.relay.retry));
                    let text = format!(
                        "{via} does not pass on what we send to {server}: {code}. It is not asked again for {retry} (relay.retry), \
                         and what is queued for {server} waits for another way"
                    );
                    out.notice(server, text);
                }
                None
            }
        };
        out.effects.extend(work.map(PeerEffect::Relay));
    }

    /// Returns the server through which unacknowledged items went, and the index of the newest of them.
    pub fn relayed(&self) -> Option<(ServerName, Index)> {
        self.relay.relayed().cloned()
    }

    fn queue_facts(&self) -> QueueFacts {
        let may_send = match self.progress.state() {
            OutboundState::Suspended { cause, .. } => *cause == SuspendReason::Unreachable,
            OutboundState::Waiting { .. } => false,
            OutboundState::Idle
            | OutboundState::Loading
            | OutboundState::Sending { .. }
            | OutboundState::BackingOff { .. } => !self.progress.is_suspended_by_config(),
        };
        let outbox = &self.queue.outbox;
        QueueFacts { acked: outbox.acked(), tail: outbox.tail(), may_send }
    }
}
