//! The outbound half of a peer's state machine: the whole policy of delivery, without a clock, a socket or a disk.
//!
//! ```text
//!   Idle                       -- work -----------------------------------> Loading, Sending
//!   Loading                    -- rows were read, or none are left --------> Sending, Idle
//!   Loading                    -- the read failed -------------------------> BackingOff
//!   Sending                    -- taken, or asked for anew ----------------> Loading, Idle
//!   Sending                    -- "wait" ----------------------------------> Waiting
//!   Sending                    -- failed ----------------------------------> BackingOff
//!   Loading, Sending           -- failed too often, or refused ------------> Suspended
//!   Waiting                    -- timer, or retry -------------------------> Loading, Sending, Idle
//!   BackingOff                 -- timer, retry, or contact (once a period)--> Loading, Idle
//!   Suspended                  -- probe, contact (once a period), resume --> Loading, Sending, Idle
//!   Suspended                  -- the configuration allows it again -------> Waiting, BackingOff
//!   Idle, Waiting, BackingOff  -- an operator suspends, or a fault --------> Suspended
//!   Idle, Waiting, BackingOff  -- the configuration suspends --------------> Suspended
//! ```
//!
//! One request is in flight at a time; a reply counts only for the current attempt. A `wait` is kept exactly and is not
//! a failure. Only a response to an item of ours resets the failures, so that a peer that writes to us but cannot be
//! reached is not flooded with attempts.
//!
//! A peer that refuses a request for its content gets a smaller one, down to a single item without ephemeral ones. If
//! that is refused too, this item is dead-lettered, its number goes to the next item, and the others are sent. If the
//! peer may have accepted the item before, it is asked first.

use std::sync::Arc;

use crate::change::CommitPriority;
use crate::limits::PeerLimits;
use crate::model::{
    AttemptError, ContextId, FetchRequest, Index, Millis, OutboundRecord, OutboxRow, PeerReceipts, PeerState,
    PushFailure, PushResponse, Seq, ServerName, SuspendReason,
};
use crate::peer::effect::{EffectCollector, PeerEffect};
use crate::peer::outbound::attempt_log::AttemptLog;
use crate::peer::outbound::ephemeral_buffer::EphemeralItem;
use crate::peer::outbound::expiry_sweep::ExpirySweep;
use crate::peer::outbound::numbering::{QueueNumbering, number_beyond_limit};
use crate::peer::outbound::on_reply::AttemptReply;
use crate::peer::outbound::outbound_queue::OutboundQueue;
use crate::peer::outbound::outbox_window::Outbox;
use crate::peer::outbound::progress::DeliveryProgress;
use crate::peer::outbound::progress::next_move::NextMove;
use crate::peer::outbound::progress::state::OutboundState;
use crate::peer::outbound::receipts::received_receipts::ReceivedReceipts;
use crate::peer::outbound::relay::RelayRoute;
use crate::peer::outbound::send::{NextRequest, PushContent, RequestComposer};
use crate::peer::outbound::unconfirmed::UnconfirmedItems;

/// The inputs of a step that come from outside: the time and a random value.
#[derive(Debug, Clone, Copy)]
pub struct StepInput {
    /// Wall time of the step.
    pub now: Millis,
    /// Random value in 0..1, for the jitter.
    pub jitter_roll: f64,
}

/// The outbound half of a peer's machine. Each part owns its fields and returns what follows, which the machine performs.
#[derive(Debug, Clone)]
pub struct Outbound {
    limits: Arc<PeerLimits>,
    queue: OutboundQueue,
    /// The state, the failures, and the time of the next attempt.
    progress: DeliveryProgress,
    attempts: AttemptLog,
    requests: RequestComposer,
    expiry: ExpirySweep,
    relay: RelayRoute,
    /// Receipts that the peer has given.
    received: ReceivedReceipts,
    /// Limits with another dialect, which wait for the end of the request in flight.
    next_limits: Option<Arc<PeerLimits>>,
}

impl Outbound {
    /// Returns the machine in the state that was loaded from the store.
    pub fn new(
        us: ServerName,
        server: ServerName,
        limits: Arc<PeerLimits>,
        record: &OutboundRecord,
        tail: (Index, u64),
        last_error: Option<AttemptError>,
    ) -> Self {
        Self {
            queue: OutboundQueue::new(us, server, limits.clone(), record, tail),
            progress: DeliveryProgress::new(&limits, record),
            attempts: AttemptLog::new(limits.attempts_keep, record, last_error),
            requests: RequestComposer::new(limits.clone(), record),
            expiry: ExpirySweep::new(record.oldest_queued_at),
            relay: RelayRoute::new(&limits, &record.relay),
            received: ReceivedReceipts::new(record),
            limits,
            next_limits: None,
        }
    }

    /// Returns the durable state.
    pub fn record(&self) -> OutboundRecord {
        let mut record = OutboundRecord {
            oldest_queued_at: self.expiry.oldest_queued_at().filter(|_| self.is_paused()),
            settled: self.received.settled().to_vec(),
            held: self.received.held(),
            ..OutboundRecord::default()
        };
        self.queue.keep(&mut record);
        self.progress.keep(&mut record);
        self.requests.labels.keep(&mut record);
        self.attempts.keep(&mut record);
        record.relay = self.relay.record();
        record
    }

    /// Returns the state of the peer.
    pub const fn state(&self) -> PeerState {
        self.progress.state().reported()
    }

    /// Returns the cause for which nothing at all goes to the peer, if there is one.
    pub const fn shut(&self) -> Option<SuspendReason> {
        self.progress.state().shut()
    }

    /// Returns the time of the last state change.
    pub const fn since(&self) -> Millis {
        self.progress.since()
    }

    /// Returns the time of the next attempt, if a timer decides it.
    pub const fn next_attempt(&self) -> Option<Millis> {
        self.progress.state().next_attempt()
    }

    /// Returns the ranges of items that the peer's messenger has acknowledged, or that are dead letters.
    pub fn settled(&self) -> &[(u64, u64)] {
        self.received.settled()
    }

    /// Returns the outbox of the peer.
    pub const fn outbox(&self) -> &Outbox {
        &self.queue.outbox
    }

    /// Returns the number of failed attempts in a row.
    pub const fn failures(&self) -> u32 {
        self.progress.failures()
    }

    /// Returns the log of attempts.
    pub const fn attempts(&self) -> &AttemptLog {
        &self.attempts
    }

    /// Returns the transaction that is in flight or will be resent.
    pub fn open(&self) -> Option<(u64, Index, Index)> {
        self.requests.labels.open()
    }

    /// Returns the time at which the oldest unacknowledged item was queued, if it is known without reading the store.
    pub fn oldest(&self) -> Option<Millis> {
        match self.is_paused() {
            true => self.expiry.oldest_queued_at().filter(|_| self.queue.outbox.backlog() > 0),
            false => self.queue.outbox.oldest().map(|row| row.queued),
        }
    }

    /// Returns the number of our first item that the peer has not acknowledged, or of the next one to be queued. `None`:
    /// the dialect does not number items.
    pub fn next_number(&self) -> Option<Seq> {
        self.queue.next_number()
    }

    /// Returns whether sending is paused; then no rows are kept in memory.
    const fn is_paused(&self) -> bool {
        self.progress.state().is_paused()
    }

    /// Returns the time from which the outbound state can be evicted; `None`: there is something to send, or a time
    /// that only memory keeps.
    ///
    /// A peer with a scheduled attempt or probe is not evicted, because nothing else would start it at that time. A
    /// faulty peer is not evicted either, because a new actor would run into the same fault.
    pub fn free_from(&self) -> Option<Millis> {
        let is_quiet = match self.progress.state() {
            OutboundState::Idle => true,
            OutboundState::Suspended { cause, probe_at: None, .. } => *cause != SuspendReason::Faulty,
            _ => false,
        };
        let is_done =
            self.queue.outbox.backlog() == 0 && !self.expiry.is_running() && self.requests.receipts.is_empty();
        // Ephemeral items wait here only while they are too large to be sent along; eviction loses them.
        (is_quiet && is_done).then(|| self.requests.ephemeral.latest_expiry().unwrap_or_default())
    }

    /// Handles the start of the actor: continues from the stored state.
    pub fn started(&mut self, at: StepInput, out: &mut EffectCollector) {
        self.begin(at, out);
        self.announce_config(out);
    }

    /// Gives the limits to all parts.
    fn use_limits(&mut self, limits: &Arc<PeerLimits>) {
        self.limits = limits.clone();
        self.queue.change_limits(limits);
        self.requests.change_limits(limits);
        self.attempts.change_keep(limits.attempts_keep);
        self.relay.change_limits(limits);
        let scheme = limits.dialect.numbering;
        if self.requests.labels.change_scheme(scheme) {
            // As after a start, the peer may have accepted what is pending.
            self.queue.unconfirmed = UnconfirmedItems::at_start(scheme, self.queue.outbox.tail());
        }
    }

    /// Adopts the limits that have waited for the end of a request. It is called when nothing is in flight.
    fn adopt_next_limits(&mut self) {
        if let Some(next) = self.next_limits.take() {
            self.use_limits(&next);
        }
    }

    /// Announces that the configuration suspends the peer, or no longer does, unless this was announced before.
    fn announce_config(&mut self, out: &mut EffectCollector) {
        if !self.progress.note_config(self.queue.outbox.backlog() > 0) {
            return;
        }
        let reason = match self.state() {
            PeerState::Suspended(cause) => Some(cause),
            PeerState::Idle | PeerState::Sending | PeerState::Waiting | PeerState::BackingOff => None,
        };
        out.announce_state(&self.queue.server, self.state(), reason);
        out.moved(CommitPriority::Now);
    }

    /// Continues from a state that the store has kept.
    fn begin(&mut self, at: StepInput, out: &mut EffectCollector) {
        self.progress.clamp_deadlines(at.now, &self.limits);
        match self.next_attempt() {
            // A time that passed while nobody waited for it is due now; of a later one only the remainder is waited for.
            Some(due) if due <= at.now => self.resume_sending(at, out),
            None if !self.is_paused() => self.perform(at, NextMove::Proceed, out),
            _ => self.expiry.arm_or_sweep(&mut self.progress, &self.queue, out),
        }
    }

    /// Suspends the peer as faulty, until an operator resumes it or the process restarts.
    pub fn give_up(&mut self, at: StepInput) {
        self.progress.give_up(at.now);
    }

    /// Handles new items in the outbox.
    pub fn on_outbox_grown(
        &mut self,
        at: StepInput,
        tail: Index,
        bytes: u64,
        rows: Vec<OutboxRow>,
        out: &mut EffectCollector,
    ) {
        let first = self.queue.outbox.backlog() == 0 && tail > self.queue.outbox.tail();
        self.queue.outbox.grew(tail, bytes, if self.is_paused() { vec![] } else { rows });
        if matches!(self.progress.state(), OutboundState::Idle) {
            self.perform(at, NextMove::Proceed, out);
        } else if self.is_paused() && first {
            // This is the only pending item: set the timer to its expiry.
            self.expiry.first_queued(at.now);
            self.expiry.arm(&mut self.progress, &self.queue, out);
        }
    }

    /// Handles rows that were read from disk, or the error of the read.
    pub fn on_page_loaded(
        &mut self,
        at: StepInput,
        from: Index,
        rows: Result<Vec<OutboxRow>, String>,
        out: &mut EffectCollector,
    ) {
        if self.is_paused() {
            return self.expiry.on_page(at.now, (from, rows), &mut self.queue, &mut self.progress, out);
        }
        match rows {
            Ok(rows) => {
                let oldest = rows.first().map(|row| row.index);
                let gone = self.queue.outbox.loaded(from, rows);
                let target = self.queue.renumbering.take_rewind_target();
                if let (true, Some(number), Some(oldest)) = (gone, target, oldest) {
                    QueueNumbering { queue: &mut self.queue }.give_less(number, oldest, out);
                }
                if matches!(self.progress.state(), OutboundState::Loading) {
                    self.perform(at, NextMove::Proceed, out);
                }
            }
            Err(reason) if matches!(self.progress.state(), OutboundState::Loading) => {
                self.perform(at, NextMove::fail(reason), out);
            }
            Err(_) => {}
        }
    }

    /// Handles the firing of the timer.
    pub fn on_timer(&mut self, at: StepInput, out: &mut EffectCollector) {
        let now = self.progress.fire_timer(at.now);
        if self.next_attempt().is_some_and(|due| due <= now) {
            self.resume_sending(at, out);
        } else if self.expiry.next_expiry(&self.progress, &self.queue).is_some_and(|due| due <= now) {
            self.expiry.sweep(&self.queue.outbox, out);
        } else if self.is_paused() {
            self.expiry.arm(&mut self.progress, &self.queue, out);
        }
    }

    /// Resumes sending to a paused peer. One that was suspended as unreachable or refused is only probed.
    fn resume_sending(&mut self, at: StepInput, out: &mut EffectCollector) {
        self.progress.resume();
        if matches!(self.progress.state(), OutboundState::BackingOff { .. })
            && self.queue.outbox.cursor() > self.queue.outbox.tail()
        {
            // No durable item is pending, and ephemeral items alone cause no attempt at a peer that failed.
            self.requests.ephemeral.clear();
        }
        self.perform(at, NextMove::Proceed, out);
    }

    /// Handles a request from the peer, which shows that it runs: brings the next attempt forward, once per period.
    pub fn on_inbound_contact(&mut self, at: StepInput, out: &mut EffectCollector) {
        if self.progress.contact() {
            out.effect(PeerEffect::Disarm);
            self.resume_sending(at, out);
        }
    }

    /// Handles the outcome of an attempt.
    pub fn replied(
        &mut self,
        at: StepInput,
        attempt: u64,
        outcome: Result<PushResponse, PushFailure>,
        out: &mut EffectCollector,
    ) {
        if self.progress.is_in_flight(attempt) {
            self.relay.attempted(at.now, outcome.as_ref().err());
        }
        let receipts = match &outcome {
            Ok(response) => response.receipts.clone(),
            Err(_) => PeerReceipts::NONE,
        };
        let next = self.reply(at).replied(attempt, outcome, out);
        if self.limits.receipts && !receipts.is_empty() {
            self.queue.renumbering.commit_answer();
            self.received.take(receipts, &self.queue, out);
        }
        self.perform(at, next, out);
    }

    fn reply(&mut self, at: StepInput) -> AttemptReply<'_> {
        let Self { limits, queue, progress, attempts, requests, .. } = self;
        AttemptReply { now: at.now, limits, queue, progress, attempts, requests }
    }

    /// Performs what a part of the machine decided, until nothing more follows.
    fn perform(&mut self, at: StepInput, mut next: NextMove, out: &mut EffectCollector) {
        loop {
            next = match next {
                NextMove::Rest => return,
                NextMove::Proceed => self.proceed(at, out),
                NextMove::Park(index, reason) => self.reply(at).park(index, reason, out),
                NextMove::Pause(state, urgency) => return self.pause(at, state, urgency, out),
                NextMove::Fail { error, not_before } => {
                    self.attempts.failed(error);
                    let state = self.progress.fail(at.now, at.jitter_roll, not_before, &self.limits);
                    NextMove::Pause(state, CommitPriority::Deferred)
                }
                NextMove::FailDespiteContact { reason, failures } => {
                    self.attempts.failed(reason);
                    let state = self.progress.fail_despite_contact(at.now, at.jitter_roll, failures, &self.limits);
                    NextMove::Pause(state, CommitPriority::Deferred)
                }
                NextMove::StopAheadOfUs(reason) => {
                    self.attempts.failed(reason);
                    NextMove::Pause(OutboundState::suspended(SuspendReason::AheadOfUs, None), CommitPriority::Now)
                }
            };
        }
    }

    /// Sends the next request, reads the rows for it, or becomes idle; pauses if the configuration suspends the peer.
    fn proceed(&mut self, at: StepInput, out: &mut EffectCollector) -> NextMove {
        if self.progress.is_suspended_by_config() {
            return NextMove::Pause(OutboundState::Idle, CommitPriority::Deferred);
        }
        if !self.limits.relay.is_direct() {
            self.progress.rest(at.now);
            return NextMove::Rest;
        }
        self.adopt_next_limits();
        self.expiry.stop();
        self.queue.close_gap_at_cursor(out);
        if let Some((index, reason)) = self.queue.take_lacking() {
            return NextMove::Park(index, reason);
        }
        if self.queue.unconfirmed.question().is_none() && self.queue.expire_loaded(at.now, out) {
            self.requests.labels.reserve(at.now);
            self.queue.close_gap_at_cursor(out);
        }
        match self.requests.next(at.now, &mut self.queue, self.progress.is_probing(), out) {
            NextRequest::Push(push) => return self.push(at, push, out),
            NextRequest::Load(from) => {
                self.progress.load(at.now);
                out.effect(PeerEffect::Load(from));
            }
            NextRequest::Nothing => self.progress.rest(at.now),
        }
        NextMove::Rest
    }

    fn push(&mut self, at: StepInput, push: PushContent, out: &mut EffectCollector) -> NextMove {
        if let Some(reason) = number_beyond_limit(&self.queue.server, push.label) {
            return NextMove::StopAheadOfUs(reason);
        }
        let attempt = self.progress.begin_attempt(at.now, push.label, push.mode);
        let settled = self.queue.renumbering.take_uncommitted();
        out.effect(PeerEffect::Push { attempt, frame: self.requests.batch(self.queue.server.clone(), push), settled });
        NextMove::Rest
    }

    /// Pauses sending until a timer, contact from the peer or an operator resumes it.
    fn pause(&mut self, at: StepInput, state: OutboundState, urgency: CommitPriority, out: &mut EffectCollector) {
        self.adopt_next_limits();
        self.expiry.pause(self.queue.outbox.oldest().map(|row| row.queued), self.is_paused());
        self.queue.unload();
        self.requests.ephemeral.keep(|expiry| state.keeps_ephemeral(expiry));
        let announced = self.progress.pause(at.now, state);
        out.moved(urgency);
        if announced.is_some() {
            out.announce_state(&self.queue.server, self.state(), announced);
        }
        if self.progress.is_suspended_by_config() {
            self.announce_config(out);
        }
        self.expiry.arm_or_sweep(&mut self.progress, &self.queue, out);
    }

    /// Handles an ephemeral item. It never wakes a paused peer; it is sent with the next attempt if it has not expired by
    /// then.
    pub fn weak(&mut self, at: StepInput, fleeting: EphemeralItem, out: &mut EffectCollector) {
        self.requests.buffer(fleeting, self.progress.state());
        if matches!(self.progress.state(), OutboundState::Idle) {
            self.perform(at, NextMove::Proceed, out);
        }
    }

    /// Returns whether the peer may be asked for PDUs now.
    pub fn may_ask(&self) -> bool {
        !self.is_paused() && !self.progress.is_suspended_by_config() && self.limits.fetches
    }

    /// Asks the peer for PDUs on behalf of a context. A paused peer is not asked, because no request goes out to it.
    pub fn ask(&self, context: ContextId, want: FetchRequest, cause: ServerName, out: &mut EffectCollector) {
        out.effect(match self.may_ask() {
            true => PeerEffect::FetchFromPeer { context, want, cause },
            false => PeerEffect::FetchDeclined { of: self.queue.server.clone(), context, want, budget: None },
        });
    }

    /// Returns the size of the next page to read, in items and bytes. Rows that are read for a probe may stay in memory
    /// for long, so the page of a peer that is probed is the one item that the probe carries.
    pub fn page(&self) -> (u32, u64) {
        let items =
            if self.progress.is_probing() && !self.expiry.is_running() { 1 } else { 2 * self.limits.batch_items };
        (items, 2 * self.limits.batch_bytes)
    }
}

pub(crate) mod attempt_log;
pub mod batch_numbering;
mod commands;
pub mod ephemeral_buffer;
mod expiry_sweep;
mod numbering;
mod on_reply;
mod outbound_queue;
pub mod outbox_window;
mod progress;
pub mod receipts;
mod rejected_batch;
pub mod relay;
mod renumbering;
mod send;
#[cfg(test)]
mod tests;
mod unconfirmed;
