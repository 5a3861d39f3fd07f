//! The progress of delivery to one peer: its state, the attempts and their failures, and the time of the next one.
//!
//! This is the only place that changes the state, and each change goes through [`DeliveryProgress::enter`].

use std::time::Duration;

use crate::backoff;
use crate::limits::PeerLimits;
use crate::model::{BatchId, Millis, OutboundRecord, PeerState, SuspendReason};
use crate::peer::outbound::progress::announced_state::AnnouncedState;
use crate::peer::outbound::progress::attempt_timer::AttemptTimer;
use crate::peer::outbound::progress::state::{OutboundState, SendMode};

/// The state of delivery and what it depends on.
#[derive(Debug, Clone)]
pub(super) struct DeliveryProgress {
    state: OutboundState,
    /// Time of the last change of the reported state.
    since: Millis,
    /// Failed attempts in a row; an attempt that was brought forward is not counted.
    failures: u32,
    /// Number of the newest attempt within this incarnation.
    attempt: u64,
    /// Time at which it was begun.
    attempt_began: Millis,
    /// True if the peer was suspended and has accepted nothing since: the next push carries one item only.
    probing: bool,
    /// Earliest time of the next attempt that the peer asked for with its last failure.
    not_before: Option<Millis>,
    timer: AttemptTimer,
    /// Cause for which the configuration suspends the peer, unless an operator has resumed it since.
    by_config: Option<SuspendReason>,
    announced: AnnouncedState,
}

impl DeliveryProgress {
    /// Returns the progress that was loaded from the store.
    pub(super) fn new(limits: &PeerLimits, record: &OutboundRecord) -> Self {
        let by_config = limits.suspension();
        let state = match by_config {
            Some(cause) => OutboundState::of_this_process(cause, record.rest),
            None => OutboundState::of_store(record.rest),
        };
        Self {
            state,
            since: record.since,
            failures: record.failures,
            attempt: 0,
            attempt_began: Millis(0),
            probing: false,
            not_before: None,
            timer: AttemptTimer::default(),
            by_config,
            announced: AnnouncedState::new(record),
        }
    }

    /// Writes the durable part into the record.
    pub(super) const fn keep(&self, record: &mut OutboundRecord) {
        record.rest = self.state.durable();
        record.failures = self.failures;
        record.since = self.since;
        record.told_suspension = self.announced.by_config();
    }

    pub(super) const fn state(&self) -> &OutboundState {
        &self.state
    }

    pub(super) const fn since(&self) -> Millis {
        self.since
    }

    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns whether the peer is probed after a suspension.
    pub(super) const fn is_probing(&self) -> bool {
        self.probing
    }

    /// Limits the time of the next attempt to the longest delay of its kind. A later time was written before the clock
    /// was set back, and would pause the peer for as long as that.
    pub(super) fn clamp_deadlines(&mut self, now: Millis, limits: &PeerLimits) {
        let mut state = self.state;
        let (date, longest) = match &mut state {
            OutboundState::Waiting { until } => (until, limits.wait_max.max(Duration::from_secs(1))),
            OutboundState::BackingOff { until, .. } => (until, limits.backoff_max),
            OutboundState::Suspended { probe_at: Some(probe_at), .. } => (probe_at, limits.probe_every),
            _ => return,
        };
        *date = (*date).min(now.after(longest));
        self.enter(now, state);
    }

    /// Brings the time of the next attempt forward to what changed limits allow, but not before the time that the peer asked
    /// for. A longer delay counts from the next failure on.
    pub(super) fn shorten_deadlines(
        &mut self,
        now: Millis,
        jitter_roll: f64,
        before: &PeerLimits,
        limits: &PeerLimits,
    ) {
        let mut state = self.state;
        let (date, longest) = match &mut state {
            OutboundState::Waiting { until } => (until, limits.wait_max.max(Duration::from_secs(1))),
            OutboundState::BackingOff { until, .. } if before.backoff() != limits.backoff() => {
                (until, backoff::delay(&limits.backoff(), self.failures.max(1), jitter_roll))
            }
            OutboundState::Suspended { probe_at: Some(probe_at), .. } => (probe_at, limits.probe_every),
            _ => return,
        };
        *date = (*date).min(now.after(longest).max(self.not_before.unwrap_or_default()));
        self.enter(now, state);
    }

    /// Brings the time of the next attempt at a peer that cannot be reached forward to at most this time from now. Returns whether
    /// that changed it.
    pub(super) fn attempt_within(&mut self, now: Millis, longest: Duration) -> bool {
        let mut state = self.state;
        let date = match &mut state {
            OutboundState::BackingOff { until, .. } => until,
            OutboundState::Suspended { cause: SuspendReason::Unreachable, probe_at: Some(probe_at), .. } => probe_at,
            _ => return false,
        };
        let is_later = *date > now.after(longest);
        *date = (*date).min(now.after(longest));
        self.enter(now, state);
        is_later
    }

    /// Returns whether the configuration suspends the peer.
    pub(super) const fn is_suspended_by_config(&self) -> bool {
        self.by_config.is_some()
    }

    /// Follows a change of the configuration: suspends the peer, except while it is being sent to, or ends such a suspension.
    /// Returns whether one has ended.
    pub(super) fn follow_config(&mut self, now: Millis, limits: &PeerLimits) -> bool {
        self.by_config = limits.suspension();
        match (self.by_config, self.state) {
            // Only an operator or a restart ends that.
            (_, OutboundState::Suspended { cause: SuspendReason::Faulty, .. })
            // The pause of a peer that is being sent to follows, once its request in flight has finished.
            | (Some(_), OutboundState::Idle | OutboundState::Loading | OutboundState::Sending { .. }) => false,
            (Some(cause), state) => {
                self.enter(now, OutboundState::of_this_process(cause, state.durable()));
                false
            }
            (None, OutboundState::Suspended { underlying: Some(underlying), .. }) => {
                self.enter(now, OutboundState::of_store(underlying));
                true
            }
            (None, _) => false,
        }
    }

    /// Ends the suspension by the configuration at an operator's command, until the configuration of the peer changes.
    pub(super) const fn override_config(&mut self) {
        self.by_config = None;
    }

    /// Becomes idle, because nothing is left to send.
    pub(super) fn rest(&mut self, now: Millis) {
        self.enter(now, OutboundState::Idle);
    }

    /// Records that rows are being read for the next request.
    pub(super) fn load(&mut self, now: Millis) {
        self.enter(now, OutboundState::Loading);
    }

    /// Starts an attempt; returns its number.
    pub(super) fn begin_attempt(&mut self, now: Millis, label: BatchId, mode: SendMode) -> u64 {
        self.attempt += 1;
        self.attempt_began = now;
        self.not_before = None;
        let (attempt, original_retry_at) = (self.attempt, self.timer.take_original());
        self.enter(now, OutboundState::Sending { attempt, label, mode, original_retry_at });
        attempt
    }

    /// Returns the time at which the newest attempt was begun.
    pub(super) const fn attempt_began(&self) -> Millis {
        self.attempt_began
    }

    /// Returns whether this is the attempt in flight.
    pub(super) fn is_in_flight(&self, attempt: u64) -> bool {
        matches!(self.state, OutboundState::Sending { attempt: current, .. } if current == attempt)
    }

    /// Handles the end of an attempt; returns what it carried, or `None` if it is not the one in flight.
    pub(super) fn end_attempt(&mut self, attempt: u64) -> Option<(BatchId, SendMode)> {
        match self.state {
            OutboundState::Sending { attempt: current, label, mode, original_retry_at } if attempt == current => {
                self.timer.bring_forward(original_retry_at);
                Some((label, mode))
            }
            _ => None,
        }
    }

    /// Resumes sending. A peer that was suspended as unreachable or refused is only probed.
    pub(super) fn resume(&mut self) {
        self.probing |= matches!(
            self.state,
            OutboundState::Suspended { cause: SuspendReason::Unreachable | SuspendReason::Refused, .. }
        );
    }

    /// Handles contact from the peer; returns whether it brings the next attempt forward, which it does once per period.
    pub(super) const fn contact(&mut self) -> bool {
        let date = match self.state {
            OutboundState::BackingOff { until, contacted: false } => Some(until),
            OutboundState::Suspended { cause: SuspendReason::Unreachable, probe_at, contacted: false, .. } => probe_at,
            _ => None,
        };
        if date.is_some() {
            self.timer.bring_forward(date);
        }
        date.is_some()
    }

    /// Handles an operator's `retry`; returns whether an attempt is to be made now. If it fails, its original time stays,
    /// even one that the peer asked for.
    pub(super) const fn retry(&mut self) -> bool {
        let date = match self.state {
            OutboundState::Waiting { until } | OutboundState::BackingOff { until, .. } => Some(until),
            OutboundState::Suspended {
                cause: SuspendReason::Unreachable | SuspendReason::Refused | SuspendReason::AheadOfUs,
                probe_at,
                ..
            } => probe_at,
            OutboundState::Idle
            | OutboundState::Loading
            | OutboundState::Sending { .. }
            | OutboundState::Suspended { .. } => return false,
        };
        self.timer.bring_forward(date);
        true
    }

    /// Counts a failed attempt, once per period: one that was brought forward is not counted. Returns the pause that
    /// follows, which ends at `not_before` at the earliest.
    pub(super) fn fail(
        &mut self,
        now: Millis,
        jitter_roll: f64,
        not_before: Option<Millis>,
        limits: &PeerLimits,
    ) -> OutboundState {
        let original = self.timer.take_original();
        self.not_before = not_before;
        self.failures += u32::from(original.is_none());
        let contacted = original.is_some();
        if self.failures >= limits.failures_to_suspend {
            let probe_at = original.unwrap_or(now.after(limits.probe_every)).max(not_before.unwrap_or(now));
            let (cause, probe_at) = (SuspendReason::Unreachable, Some(probe_at));
            return OutboundState::Suspended { cause, probe_at, contacted, underlying: None };
        }
        let delay = now.after(backoff::delay(&limits.backoff(), self.failures.max(1), jitter_roll));
        let until = delay.max(original.unwrap_or(delay)).max(not_before.unwrap_or(delay));
        OutboundState::BackingOff { until, contacted }
    }

    /// Counts a failure of a peer that answers, and that has failed at least `failures` times before. Returns the pause that
    /// follows. Contact does not bring its end forward: the peer is reachable, and each of its own requests would otherwise
    /// start the next attempt.
    pub(super) fn fail_despite_contact(
        &mut self,
        now: Millis,
        jitter_roll: f64,
        failures: u32,
        limits: &PeerLimits,
    ) -> OutboundState {
        if !self.timer.is_brought_forward() {
            self.failures = self.failures.max(failures);
        }
        match self.fail(now, jitter_roll, None, limits) {
            OutboundState::BackingOff { until, .. } => OutboundState::BackingOff { until, contacted: true },
            OutboundState::Suspended { cause, probe_at, underlying, .. } => {
                OutboundState::Suspended { cause, probe_at, contacted: true, underlying }
            }
            state => state,
        }
    }

    /// Counts a refusal that concerns us and not an item; returns the suspension that follows.
    pub(super) fn refuse(&mut self, now: Millis, limits: &PeerLimits) -> OutboundState {
        self.failures += 1;
        OutboundState::suspended(SuspendReason::Refused, Some(now.after(limits.probe_every)))
    }

    /// Clears the record of failures, because the peer has processed a request. Returns whether the messenger is to be told
    /// that a suspension is over.
    pub(super) fn clear_trouble(&mut self, now: Millis) -> bool {
        self.timer.bring_forward(None);
        self.probing = false;
        if std::mem::take(&mut self.failures) > 0 {
            self.since = now;
        }
        self.announced.end_suspension()
    }

    /// Ends probing: the refused request carried no items, so nothing is left to probe with.
    pub(super) const fn end_probing(&mut self) {
        self.probing = false;
    }

    /// Pauses sending. Returns the cause of a suspension that the messenger is to be told of. If the configuration suspends the
    /// peer, the pause is what the store keeps meanwhile.
    pub(super) fn pause(&mut self, now: Millis, state: OutboundState) -> Option<SuspendReason> {
        self.timer.bring_forward(None);
        if let Some(cause) = self.by_config {
            self.enter(now, OutboundState::of_this_process(cause, state.durable()));
            return None;
        }
        self.enter(now, state);
        match self.state.reported() {
            PeerState::Suspended(cause) => self.announced.suspend(cause).then_some(cause),
            PeerState::Idle | PeerState::Sending | PeerState::Waiting | PeerState::BackingOff => None,
        }
    }

    /// Suspends the peer as faulty, until an operator resumes it or the process restarts.
    pub(super) fn give_up(&mut self, now: Millis) {
        self.enter(now, OutboundState::of_this_process(SuspendReason::Faulty, self.state.durable()));
    }

    /// Ends a suspension by an operator; returns whether the messenger is to be told.
    pub(super) const fn end_suspension(&mut self) -> bool {
        self.announced.end_suspension()
    }

    /// Returns whether the messenger is to be told that the configuration suspends the peer, for another cause than it knows, or
    /// no longer does.
    pub(super) fn note_config(&mut self, has_backlog: bool) -> bool {
        let is_news = self.announced.note_config(self.by_config, has_backlog);
        // A suspension of another cause that comes to light is news too.
        let is_suspended = match self.state.reported() {
            PeerState::Suspended(SuspendReason::Faulty) => false,
            PeerState::Suspended(cause) if self.by_config.is_none() => self.announced.suspend(cause),
            _ => false,
        };
        is_news || is_suspended
    }

    /// Sets the timer to the next attempt or to the next expiry, whichever comes first; returns the time.
    pub(super) fn set_timer(&mut self, expiry: Option<Millis>) -> Option<Millis> {
        self.timer.set([self.state.next_attempt(), expiry])
    }

    /// Handles the firing of the timer; returns the time that has been reached.
    pub(super) fn fire_timer(&mut self, now: Millis) -> Millis {
        self.timer.fired(now)
    }

    /// Enters a state; no other function does. An attempt during an outage keeps `since`, because the outage continues.
    fn enter(&mut self, now: Millis, state: OutboundState) {
        let before = self.state.reported();
        self.state = state;
        let goes_on = match self.state.reported() {
            PeerState::Sending => self.failures > 0,
            PeerState::BackingOff => self.failures > 1,
            PeerState::Suspended(cause) => self.announced.has_suspension(cause),
            PeerState::Idle | PeerState::Waiting => false,
        };
        if self.state.reported() != before && !goes_on {
            self.since = now;
        }
    }
}

mod announced_state;
mod attempt_timer;
pub(crate) mod next_move;
pub(crate) mod state;
#[cfg(test)]
mod tests;
