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
use std::time::Duration;

use crate::change::{Change, CommitPriority};
use crate::limits::PeerLimits;
use crate::model::{
    ContextId, DeliveryState, FeedItem, FetchRequest, Index, Millis, OutboundRecord, OutboxRow, PeerState, Seq,
    ServerName, SuspendReason,
};
use crate::peer::effect::{EffectCollector, PeerEffect};
use crate::peer::outbound::attempt_log::AttemptLog;
use crate::peer::outbound::batch_numbering::BatchNumbering;
use crate::peer::outbound::bisect::Bisection;
use crate::peer::outbound::ephemeral_buffer::{EphemeralBuffer, EphemeralItem, RingLimits};
use crate::peer::outbound::outbox_window::{Outbox, WindowRoom};
use crate::peer::outbound::repeated_holes::RepeatedHoles;
use crate::peer::outbound::state::OutboundState;
use crate::peer::outbound::unconfirmed::UnconfirmedItems;

/// The inputs of a step that come from outside: the time and a random value.
#[derive(Debug, Clone, Copy)]
pub struct StepInput {
    /// Wall time of the step.
    pub now: Millis,
    /// Random value in 0..1, for the jitter.
    pub jitter_roll: f64,
}

/// Number of items rejected in a row after which the peer is suspended and the rest of its queue is kept.
const PARKED_IN_A_ROW_MAX: u32 = 100;

/// Number of newly acknowledged rows after which the outbox is trimmed.
const TRIM_EVERY: u64 = 256;

/// The outbound half of a peer's machine.
#[derive(Debug, Clone)]
pub struct Outbound {
    us: ServerName,
    server: ServerName,
    limits: Arc<PeerLimits>,
    outbox: Outbox,
    state: OutboundState,
    since: Millis,
    failures: u32,
    labels: BatchNumbering,
    /// Ephemeral items to send with the next push.
    ring: EphemeralBuffer,
    /// Ephemeral items of the request in flight that no newer item replaces: they are sent with the next one if the peer
    /// accepts nothing.
    riding: Vec<EphemeralItem>,
    /// Number of the newest attempt within this incarnation.
    attempt: u64,
    /// Adaptive batch size: maximum number of strong updates per push. It shrinks when the peer could not take a batch,
    /// and grows back slowly.
    batch_cap: u32,
    /// Bisection of a batch that was refused.
    search: Bisection,
    /// True if the peer was suspended and has accepted nothing since: the next push carries one item only.
    probing: bool,
    /// Items that the peer may have accepted although no response came.
    unconfirmed: UnconfirmedItems,
    /// Time that the timer is set to.
    armed: Option<Millis>,
    /// Time at which the oldest unacknowledged item was queued, as far as it is known while no rows are in memory.
    oldest: Option<Millis>,
    /// First index of the page that is being read to find expired items.
    sweeping: Option<Index>,
    /// Index up to which no index is assigned again.
    newest: Index,
    /// True if the next push must not carry ephemeral items, to find out whether an item is refused for its own
    /// content.
    bare: bool,
    /// Holes that the peer answered since it last took something new: more than one are failures.
    holes: RepeatedHoles,
    /// True if the next push carries numbers that are not committed yet.
    renumbered: bool,
    /// Number that a rewind looks for below what may still be kept; the read shows whether it exists.
    rewind_target: Option<Seq>,
    acked_since_trim: u64,
    forwarded: Option<Millis>,
    /// Number of items rejected since the peer last accepted one.
    parked_in_a_row: u32,
    /// Cause of the suspension that was last announced to the messenger, so that failed probes do not announce it
    /// again.
    announced_suspension: Option<SuspendReason>,
    /// The messenger was told that the configuration no longer names the peer.
    told_not_listed: bool,
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
        last_error: Option<String>,
    ) -> Self {
        let room = WindowRoom { rows: 2 * limits.batch_items as usize, bytes: 2 * limits.batch_bytes };
        let state = match record.rest {
            beneath if !limits.listed => OutboundState::by_configuration(SuspendReason::NotListed, beneath),
            beneath if limits.paused => OutboundState::by_configuration(SuspendReason::Admin, beneath),
            DeliveryState::Ready => OutboundState::Idle,
            DeliveryState::Waiting { until } => OutboundState::Waiting { until },
            DeliveryState::BackingOff { until } => OutboundState::BackingOff { until, contacted: false },
            DeliveryState::Suspended { cause, probe_at } => {
                OutboundState::Suspended { cause, probe_at, contacted: false, underlying: None }
            }
        };
        Self {
            us,
            outbox: Outbox::new(record.acked, tail, record.segments.clone(), room)
                .weighing(record.acked_bytes, queued_bytes)
                .spreading(limits.one_a_context),
            state,
            since: record.since,
            failures: record.failures,
            labels: BatchNumbering::new(limits.speech, record),
            ring: EphemeralBuffer::default(),
            riding: vec![],
            attempt: 0,
            batch_cap: limits.batch_items,
            search: Bisection::default(),
            probing: false,
            unconfirmed: UnconfirmedItems::at_start(limits.speech, tail),
            armed: None,
            oldest: record.oldest_queued_at,
            sweeping: None,
            newest: record.highest_index_assigned,
            told_not_listed: record.told_not_listed,
            bare: false,
            holes: RepeatedHoles::default(),
            renumbered: false,
            rewind_target: None,
            acked_since_trim: TRIM_EVERY,
            forwarded: None,
            parked_in_a_row: 0,
            announced_suspension: match record.rest {
                DeliveryState::Suspended { cause, .. } => Some(cause),
                _ => None,
            },
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
            rest: self.durable_rest(),
            failures: self.failures,
            since: self.since,
            acked_bytes: self.outbox.acked_bytes(),
            oldest_queued_at: self.oldest.filter(|_| self.is_paused()),
            highest_index_assigned: self.newest,
            told_not_listed: self.told_not_listed,
            ..OutboundRecord::default()
        };
        self.labels.keep(&mut record);
        self.attempts.keep(&mut record);
        record
    }

    const fn durable_rest(&self) -> DeliveryState {
        match self.state {
            OutboundState::Idle | OutboundState::Loading | OutboundState::Sending { .. } => DeliveryState::Ready,
            OutboundState::Waiting { until } => DeliveryState::Waiting { until },
            OutboundState::BackingOff { until, .. } => DeliveryState::BackingOff { until },
            OutboundState::Suspended { underlying: Some(beneath), .. } => beneath,
            OutboundState::Suspended { cause, probe_at, underlying: None, .. } => {
                DeliveryState::Suspended { cause, probe_at }
            }
        }
    }

    /// Returns the state of the peer.
    pub const fn state(&self) -> PeerState {
        match self.state {
            OutboundState::Idle => PeerState::Idle,
            OutboundState::Loading | OutboundState::Sending { .. } => PeerState::Sending,
            OutboundState::Waiting { .. } => PeerState::Waiting,
            OutboundState::BackingOff { .. } => PeerState::BackingOff,
            OutboundState::Suspended { cause, .. } => PeerState::Suspended(cause),
        }
    }

    /// Returns the time of the last state change.
    pub const fn since(&self) -> Millis {
        self.since
    }

    /// Returns the time of the next attempt, if a timer decides it.
    pub const fn next_attempt(&self) -> Option<Millis> {
        match self.state {
            OutboundState::Waiting { until } | OutboundState::BackingOff { until, .. } => Some(until),
            OutboundState::Suspended { probe_at, .. } => probe_at,
            OutboundState::Idle | OutboundState::Loading | OutboundState::Sending { .. } => None,
        }
    }

    /// Returns the outbox of the peer.
    pub const fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Returns the number of failed attempts in a row.
    pub const fn failures(&self) -> u32 {
        self.failures
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
            true => self.oldest.filter(|_| self.outbox.backlog() > 0),
            false => self.outbox.oldest().map(|row| row.queued),
        }
    }

    /// Returns whether sending is paused; then no rows are kept in memory.
    const fn is_paused(&self) -> bool {
        !matches!(self.state, OutboundState::Idle | OutboundState::Loading | OutboundState::Sending { .. })
    }

    /// Handles the start of the actor: continues from the stored state.
    pub fn started(&mut self, at: StepInput, out: &mut EffectCollector) {
        self.clamp_deadlines(at.now);
        match self.next_attempt() {
            // A time that passed while the process was down is due now; of a later one only the remainder is waited
            // for.
            Some(due) if due <= at.now => self.resume_sending(at, out),
            None if !self.is_paused() => self.proceed(at, out),
            _ => self.arm_or_sweep(out),
        }
        self.tell_listing(out);
    }

    /// Limits the time of the next attempt to the longest delay of its kind. A later time was written before the clock
    /// was set back, and would pause the peer for as long as that.
    fn clamp_deadlines(&mut self, now: Millis) {
        let limits = self.limits.clone();
        let (date, longest) = match &mut self.state {
            OutboundState::Waiting { until } => (until, limits.wait_max.max(Duration::from_secs(1))),
            OutboundState::BackingOff { until, .. } => (until, limits.backoff.max),
            OutboundState::Suspended { probe_at: Some(probe_at), .. } => (probe_at, limits.probe_every),
            _ => return,
        };
        *date = (*date).min(now.after(longest));
    }

    /// Suspends the peer as faulty, until an operator resumes it or the process restarts.
    pub fn give_up(&mut self, at: StepInput) {
        let beneath = Some(self.durable_rest());
        self.set_state(
            at,
            OutboundState::Suspended {
                cause: SuspendReason::Faulty,
                probe_at: None,
                contacted: true,
                underlying: beneath,
            },
        );
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
        if matches!(self.state, OutboundState::Idle) {
            self.proceed(at, out);
        } else if self.is_paused() && first {
            // This is the only item that waits: set the timer to its expiry.
            self.oldest = Some(at.now);
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
                if let (true, Some(number), Some(oldest)) = (gone, self.rewind_target.take(), oldest) {
                    self.give_less(number, oldest, out);
                }
                if matches!(self.state, OutboundState::Loading) {
                    self.proceed(at, out);
                }
            }
            Err(reason) if matches!(self.state, OutboundState::Loading) => self.fail(at, reason, out),
            Err(_) => {}
        }
    }

    /// Handles the firing of the timer.
    pub fn on_timer(&mut self, at: StepInput, out: &mut EffectCollector) {
        // The time that the timer was set to has been reached, even if the wall clock was set back meanwhile.
        let now = at.now.max(self.armed.take().unwrap_or(at.now));
        if self.next_attempt().is_some_and(|due| due <= now) {
            self.resume_sending(at, out);
        } else if self.expiry().is_some_and(|due| due <= now) {
            self.sweep(out);
        } else if self.is_paused() {
            self.arm(out);
        }
    }

    /// Resumes sending to a paused peer. One that was suspended as unreachable or refused is only probed.
    fn resume_sending(&mut self, at: StepInput, out: &mut EffectCollector) {
        self.probing |= matches!(
            self.state,
            OutboundState::Suspended { cause: SuspendReason::Unreachable | SuspendReason::Refused, .. }
        );
        if matches!(self.state, OutboundState::BackingOff { .. }) && self.outbox.cursor() > self.outbox.tail() {
            // Nothing durable is to be sent: what is ephemeral alone causes no attempt at a peer that failed.
            self.ring.clear();
        }
        self.proceed(at, out);
    }

    /// Handles a request from the peer, which shows that it runs: brings the next attempt forward, once per period.
    pub fn on_inbound_contact(&mut self, at: StepInput, out: &mut EffectCollector) {
        let date = match self.state {
            OutboundState::BackingOff { until, contacted: false } => Some(until),
            OutboundState::Suspended { cause: SuspendReason::Unreachable, probe_at, contacted: false, .. } => probe_at,
            _ => None,
        };
        if let Some(date) = date {
            self.forwarded = Some(date);
            out.effect(PeerEffect::Disarm);
            self.resume_sending(at, out);
        }
    }

    /// Pauses sending until a timer, contact from the peer or an operator resumes it.
    fn pause(&mut self, at: StepInput, state: OutboundState, urgency: CommitPriority, out: &mut EffectCollector) {
        self.forwarded = None;
        self.sweeping = None;
        self.oldest = self.outbox.oldest().map(|row| row.queued).or(self.oldest.filter(|_| self.is_paused()));
        self.unconfirmed.cancel_probe();
        self.outbox.unload();
        self.riding = vec![];
        match state {
            OutboundState::Waiting { until } | OutboundState::BackingOff { until, .. } => self.ring.keep_beyond(until),
            _ => self.ring.clear(),
        }
        self.set_state(at, state);
        out.moved(urgency);
        if let PeerState::Suspended(cause) = self.state()
            && self.announced_suspension.replace(cause) != Some(cause)
        {
            let (state, reason) = (self.state().as_str(), Some(cause.as_str()));
            out.change(Change::FeedAppended(FeedItem::Peer { server: self.server.clone(), state, reason }));
        }
        self.arm_or_sweep(out);
    }

    /// Our messenger has something ephemeral. It never wakes a peer that is being left alone, and rides on the next attempt where
    /// it is still worth sending then.
    pub fn weak(&mut self, at: StepInput, fleeting: EphemeralItem, out: &mut EffectCollector) {
        if fleeting.key.is_some() {
            // If the peer does not accept the older item that is in flight, it is not sent again, even if the newer one
            // has been dropped for want of room by then.
            self.riding.retain(|older| older.key != fleeting.key);
        }
        let stays = match self.state {
            OutboundState::Idle | OutboundState::Loading | OutboundState::Sending { .. } => true,
            OutboundState::Waiting { until } | OutboundState::BackingOff { until, .. } => fleeting.until > until,
            OutboundState::Suspended { .. } => false,
        };
        if stays {
            self.ring.push(fleeting, self.ring_limits());
        } else {
            // It would have expired by then, and the item that it replaces is out of date.
            self.ring.forget(fleeting.key.as_deref());
        }
        if matches!(self.state, OutboundState::Idle) {
            self.proceed(at, out);
        }
    }

    fn ring_limits(&self) -> RingLimits {
        RingLimits { items: self.limits.weak_items, bytes: self.limits.batch_bytes }
    }

    /// Returns whether the peer may be asked for PDUs now.
    pub fn may_ask(&self) -> bool {
        let reachable =
            matches!(self.state, OutboundState::Idle | OutboundState::Loading | OutboundState::Sending { .. });
        reachable && self.limits.fetches
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
        let items = if self.probing && self.sweeping.is_none() { 1 } else { 2 * self.limits.batch_items };
        (items, 2 * self.limits.batch_bytes)
    }

    /// Sets the state; no other function does. An attempt during an outage keeps `since`, because the outage goes on.
    fn set_state(&mut self, at: StepInput, state: OutboundState) {
        let before = self.state();
        self.state = state;
        let goes_on = match self.state() {
            PeerState::Sending => self.failures > 0,
            PeerState::BackingOff => self.failures > 1,
            PeerState::Suspended(cause) => self.announced_suspension == Some(cause),
            PeerState::Idle | PeerState::Waiting => false,
        };
        if self.state() != before && !goes_on {
            self.since = at.now;
        }
    }
}

pub(crate) mod attempt_log;
pub mod batch_numbering;
mod bisect;
mod commands;
mod dead_lettering;
pub mod ephemeral_buffer;
mod free;
mod listing;
mod numbering;
mod on_reply;
pub mod outbox_window;
mod repeated_holes;
mod send;
mod state;
#[cfg(test)]
mod tests;
mod unconfirmed;
