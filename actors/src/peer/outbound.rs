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
//!   Idle, Waiting, BackingOff  -- an operator suspends, or a fault --------> Suspended
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

use crate::change::{Change, CommitPriority};
use crate::limits::PeerLimits;
use crate::model::{
    AttemptError, ContextId, FeedItem, FetchRequest, Index, Millis, OutboundRecord, OutboxRow, PeerState, ServerName,
    SuspendReason,
};
use crate::peer::effect::{EffectCollector, PeerEffect};
use crate::peer::outbound::attempt_log::AttemptLog;
use crate::peer::outbound::batch_numbering::BatchNumbering;
use crate::peer::outbound::ephemeral_buffer::{EphemeralBuffer, EphemeralItem, RingLimits};
use crate::peer::outbound::expiry_sweep::ExpirySweep;
use crate::peer::outbound::outbox_window::trim_schedule::TrimSchedule;
use crate::peer::outbound::outbox_window::{Outbox, WindowRoom};
use crate::peer::outbound::progress::DeliveryProgress;
use crate::peer::outbound::progress::state::OutboundState;
use crate::peer::outbound::rejected_batch::RejectedBatch;
use crate::peer::outbound::renumbering::Renumbering;
use crate::peer::outbound::unconfirmed::UnconfirmedItems;

/// The inputs of a step that come from outside: the time and a random value.
#[derive(Debug, Clone, Copy)]
pub struct StepInput {
    /// Wall time of the step.
    pub now: Millis,
    /// Random value in 0..1, for the jitter.
    pub jitter_roll: f64,
}

/// The outbound half of a peer's machine. Each part owns its fields; the steps in this folder let them work together.
#[derive(Debug, Clone)]
pub struct Outbound {
    us: ServerName,
    server: ServerName,
    limits: Arc<PeerLimits>,
    outbox: Outbox,
    /// The state, the failures, and the time of the next attempt.
    progress: DeliveryProgress,
    labels: BatchNumbering,
    /// Ephemeral items to send with the next push, and those in flight.
    ephemeral: EphemeralBuffer,
    /// Consequences of a refusal for content.
    rejected: RejectedBatch,
    /// Items that the peer may have accepted although no response came.
    unconfirmed: UnconfirmedItems,
    renumbering: Renumbering,
    expiry: ExpirySweep,
    trim: TrimSchedule,
    /// Index up to which no index is assigned again.
    newest: Index,
    attempts: AttemptLog,
}

impl Outbound {
    /// Returns the machine in the state that was loaded from the store.
    pub fn new(
        us: ServerName,
        server: ServerName,
        limits: Arc<PeerLimits>,
        record: &OutboundRecord,
        (tail, queued_bytes): (Index, u64),
        last_error: Option<AttemptError>,
    ) -> Self {
        let room = WindowRoom { rows: 2 * limits.batch_items as usize, bytes: 2 * limits.batch_bytes };
        Self {
            us,
            outbox: Outbox::new(record.acked, tail, record.segments.clone(), room)
                .weighing(record.acked_bytes, queued_bytes)
                .spreading(limits.one_a_context),
            progress: DeliveryProgress::new(&limits, record),
            labels: BatchNumbering::new(limits.dialect.numbering, record),
            ephemeral: EphemeralBuffer::default(),
            rejected: RejectedBatch::new(&limits),
            unconfirmed: UnconfirmedItems::at_start(limits.dialect.numbering, tail),
            renumbering: Renumbering::default(),
            expiry: ExpirySweep::new(record.oldest_queued_at),
            trim: TrimSchedule::new(),
            newest: record.highest_index_assigned,
            attempts: AttemptLog::new(limits.attempts_keep, record, last_error),
            server,
            limits,
        }
    }

    /// Returns the durable state.
    pub fn record(&self) -> OutboundRecord {
        let mut record = OutboundRecord {
            acked: self.outbox.acked(),
            segments: self.outbox.segments().to_vec(),
            acked_bytes: self.outbox.acked_bytes(),
            oldest_queued_at: self.expiry.oldest_queued_at().filter(|_| self.is_paused()),
            highest_index_assigned: self.newest,
            ..OutboundRecord::default()
        };
        self.progress.keep(&mut record);
        self.labels.keep(&mut record);
        self.attempts.keep(&mut record);
        record
    }

    /// Returns the state of the peer.
    pub const fn state(&self) -> PeerState {
        self.progress.state().reported()
    }

    /// Returns the time of the last state change.
    pub const fn since(&self) -> Millis {
        self.progress.since()
    }

    /// Returns the time of the next attempt, if a timer decides it.
    pub const fn next_attempt(&self) -> Option<Millis> {
        self.progress.state().next_attempt()
    }

    /// Returns the outbox of the peer.
    pub const fn outbox(&self) -> &Outbox {
        &self.outbox
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
        self.labels.open()
    }

    /// Returns the time at which the oldest unacknowledged item was queued, if it is known without reading the store.
    pub fn oldest(&self) -> Option<Millis> {
        match self.is_paused() {
            true => self.expiry.oldest_queued_at().filter(|_| self.outbox.backlog() > 0),
            false => self.outbox.oldest().map(|row| row.queued),
        }
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
        let is_done = self.outbox.backlog() == 0 && !self.expiry.is_running();
        // Ephemeral items wait here only while they are too large to be sent along; eviction loses them.
        (is_quiet && is_done).then(|| self.ephemeral.latest_expiry().unwrap_or_default())
    }

    /// Handles the start of the actor: continues from the stored state.
    pub fn started(&mut self, at: StepInput, out: &mut EffectCollector) {
        self.progress.clamp_deadlines(at.now, &self.limits);
        match self.next_attempt() {
            // A time that passed while the process was down is due now; of a later one only the remainder is waited
            // for.
            Some(due) if due <= at.now => self.resume_sending(at, out),
            None if !self.is_paused() => self.proceed(at, out),
            _ => self.arm_or_sweep(out),
        }
        self.tell_listing(out);
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
        let first = self.outbox.backlog() == 0 && tail > self.outbox.tail();
        self.outbox.grew(tail, bytes, if self.is_paused() { vec![] } else { rows });
        if matches!(self.progress.state(), OutboundState::Idle) {
            self.proceed(at, out);
        } else if self.is_paused() && first {
            // This is the only pending item: set the timer to its expiry.
            self.expiry.first_queued(at.now);
            self.arm(out);
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
            return self.on_expiry_page(at, from, rows, out);
        }
        match rows {
            Ok(rows) => {
                let oldest = rows.first().map(|row| row.index);
                let gone = self.outbox.loaded(from, rows);
                if let (true, Some(number), Some(oldest)) = (gone, self.renumbering.take_rewind_target(), oldest) {
                    self.give_less(number, oldest, out);
                }
                if matches!(self.progress.state(), OutboundState::Loading) {
                    self.proceed(at, out);
                }
            }
            Err(reason) if matches!(self.progress.state(), OutboundState::Loading) => self.fail(at, reason, out),
            Err(_) => {}
        }
    }

    /// Handles the firing of the timer.
    pub fn on_timer(&mut self, at: StepInput, out: &mut EffectCollector) {
        let now = self.progress.fire_timer(at.now);
        if self.next_attempt().is_some_and(|due| due <= now) {
            self.resume_sending(at, out);
        } else if self.next_expiry().is_some_and(|due| due <= now) {
            self.sweep(out);
        } else if self.is_paused() {
            self.arm(out);
        }
    }

    /// Resumes sending to a paused peer. One that was suspended as unreachable or refused is only probed.
    fn resume_sending(&mut self, at: StepInput, out: &mut EffectCollector) {
        self.progress.resume();
        if matches!(self.progress.state(), OutboundState::BackingOff { .. })
            && self.outbox.cursor() > self.outbox.tail()
        {
            // No durable item is pending, and ephemeral items alone cause no attempt at a peer that failed.
            self.ephemeral.clear();
        }
        self.proceed(at, out);
    }

    /// Handles a request from the peer, which shows that it runs: brings the next attempt forward, once per period.
    pub fn on_inbound_contact(&mut self, at: StepInput, out: &mut EffectCollector) {
        if self.progress.contact() {
            out.effect(PeerEffect::Disarm);
            self.resume_sending(at, out);
        }
    }

    /// Pauses sending until a timer, contact from the peer or an operator resumes it.
    fn pause(&mut self, at: StepInput, state: OutboundState, urgency: CommitPriority, out: &mut EffectCollector) {
        self.expiry.pause(self.outbox.oldest().map(|row| row.queued), self.is_paused());
        self.unconfirmed.cancel_probe();
        self.outbox.unload();
        self.ephemeral.keep(|expiry| state.keeps_ephemeral(expiry));
        let announced = self.progress.pause(at.now, state);
        out.moved(urgency);
        if announced.is_some() {
            self.announce_state(self.state(), announced, out);
        }
        self.arm_or_sweep(out);
    }

    /// Notifies the messenger of the peer's state.
    fn announce_state(&self, state: PeerState, reason: Option<SuspendReason>, out: &mut EffectCollector) {
        let (server, state, reason) = (self.server.clone(), state.as_str(), reason.map(SuspendReason::as_str));
        out.change(Change::FeedAppended(FeedItem::Peer { server, state, reason }));
    }

    /// Handles an ephemeral item. It never wakes a paused peer; it is sent with the next attempt if it has not expired by
    /// then.
    pub fn weak(&mut self, at: StepInput, fleeting: EphemeralItem, out: &mut EffectCollector) {
        if self.progress.state().keeps_ephemeral(fleeting.until) {
            self.ephemeral.push(fleeting, self.ring_limits());
        } else {
            // It would have expired by then, and the item that it replaces is out of date.
            self.ephemeral.forget(fleeting.key.as_deref());
        }
        if matches!(self.progress.state(), OutboundState::Idle) {
            self.proceed(at, out);
        }
    }

    fn ring_limits(&self) -> RingLimits {
        RingLimits { items: self.limits.weak_items, bytes: self.limits.batch_bytes }
    }

    /// Returns whether the peer may be asked for PDUs now.
    pub fn may_ask(&self) -> bool {
        !self.is_paused() && self.limits.fetches
    }

    /// Asks the peer for PDUs on behalf of a context. A paused peer is not asked, because no request goes out to it.
    pub fn ask(&self, context: ContextId, want: FetchRequest, cause: ServerName, out: &mut EffectCollector) {
        out.effect(match self.may_ask() {
            true => PeerEffect::FetchFromPeer { context, want, cause },
            false => PeerEffect::FetchDeclined { of: self.server.clone(), context, want },
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
mod dead_lettering;
pub mod ephemeral_buffer;
mod expiry_sweep;
mod listing;
mod numbering;
mod on_reply;
pub mod outbox_window;
mod progress;
mod rejected_batch;
mod renumbering;
mod send;
#[cfg(test)]
mod tests;
mod unconfirmed;
