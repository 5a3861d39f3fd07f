//! The outbound half of a peer's state machine: the whole policy of delivery, without a clock, a socket or a disk.
//!
//! ```text
//!             work                 ok
//!      Idle ---------> Sending <---------+
//!        ^                | | \          |
//!        |  nothing left  | |  \ failed  | timer, or contact (once a period)
//!        +----------------+ |   +----> BackingOff ---- too often ----> Suspended
//!                   "wait"  |                                            | ^
//!                           +--------> Waiting --- timer ---> Sending    +-+ probe
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

use crate::change::{Change, Urgency};
use crate::limits::PeerLimits;
use crate::model::{
    Cause, ContextId, FeedItem, Index, Label, Millis, OutboundRecord, OutboxRow, PeerState, Rest, Seq, ServerName, Want,
};
use crate::peer::attempts::Attempts;
use crate::peer::effect::{Effect, Out};
use crate::peer::label::Labels;
use crate::peer::outbox::{Outbox, Room, Span};
use crate::peer::weak::{Fleeting, Ring, RingLimits};
use doubt::Doubt;
use numbering::Holes;
use search::Search;

/// The inputs of a step that come from outside: the time and a random value.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Wall time of the step.
    pub now: Millis,
    /// Random value in 0..1, for the jitter.
    pub roll: f64,
}

/// Number of items rejected in a row after which the peer is suspended and the rest of its queue is kept.
const PARKED_IN_A_ROW_MAX: u32 = 100;

/// Number of newly acknowledged rows after which the outbox is trimmed.
const TRIM_EVERY: u64 = 256;

#[derive(Debug, Clone)]
enum State {
    Idle,
    /// The next rows are being read; nothing is in flight.
    Loading,
    /// A request is in flight. `bare`: it carries no ephemeral items. `forwarded`: the original time of the attempt, if
    /// contact brought it forward.
    Sending {
        attempt: u64,
        label: Label,
        span: Option<Span>,
        bare: bool,
        forwarded: Option<Millis>,
    },
    Waiting {
        until: Millis,
    },
    /// `contacted`: the peer has contacted us in this period; only the first contact brings the attempt forward.
    BackingOff {
        until: Millis,
        contacted: bool,
    },
    /// `beneath`: the state that the store keeps meanwhile, if the cause lies in this process or its configuration.
    Suspended {
        cause: Cause,
        probe_at: Option<Millis>,
        contacted: bool,
        beneath: Option<Rest>,
    },
}

impl State {
    /// Returns a suspension that contact from the peer does not end.
    const fn suspended(cause: Cause, probe_at: Option<Millis>) -> Self {
        Self::Suspended { cause, probe_at, contacted: true, beneath: None }
    }
}

/// The outbound half of a peer's machine.
#[derive(Debug, Clone)]
pub struct Outbound {
    us: ServerName,
    server: ServerName,
    limits: Arc<PeerLimits>,
    outbox: Outbox,
    state: State,
    since: Millis,
    failures: u32,
    labels: Labels,
    /// Ephemeral items to send with the next push.
    ring: Ring,
    /// Those that ride on the request in flight: they go with the next one where the peer takes nothing.
    riding: Vec<Fleeting>,
    /// Number of the newest attempt within this incarnation.
    attempt: u64,
    /// Adaptive batch size: maximum number of strong updates per push. It shrinks when the peer could not take a batch,
    /// and grows back slowly.
    cap: u32,
    /// Bisection of a batch that was refused.
    search: Search,
    /// True if the peer was suspended and has accepted nothing since: the next push carries one item only.
    probing: bool,
    /// Items that the peer may have accepted although no response came.
    doubt: Doubt,
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
    holes: Holes,
    /// True if the next push carries numbers that are not committed yet.
    renumbered: bool,
    /// Number that a rewind looks for below what may still be kept; the read shows whether it exists.
    sought: Option<Seq>,
    acked_since_trim: u64,
    forwarded: Option<Millis>,
    /// Number of items rejected since the peer last accepted one.
    parked_in_a_row: u32,
    /// Cause of the suspension that was last announced to the messenger, so that failed probes do not announce it
    /// again.
    told: Option<Cause>,
    /// The messenger was told that the configuration no longer names the peer.
    told_not_listed: bool,
    attempts: Attempts,
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
        let room = Room { rows: 2 * limits.batch_items as usize, bytes: 2 * limits.batch_bytes };
        let state = match record.rest {
            beneath if !limits.listed => State::by_configuration(Cause::NotListed, beneath),
            beneath if limits.paused => State::by_configuration(Cause::Admin, beneath),
            Rest::Ready => State::Idle,
            Rest::Waiting { until } => State::Waiting { until },
            Rest::BackingOff { until } => State::BackingOff { until, contacted: false },
            Rest::Suspended { cause, probe_at } => {
                State::Suspended { cause, probe_at, contacted: false, beneath: None }
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
            labels: Labels::new(limits.speech, record),
            ring: Ring::default(),
            riding: vec![],
            attempt: 0,
            cap: limits.batch_items,
            search: Search::default(),
            probing: false,
            doubt: Doubt::at_start(limits.speech, tail),
            armed: None,
            oldest: record.oldest,
            sweeping: None,
            newest: record.newest,
            told_not_listed: record.told_not_listed,
            bare: false,
            holes: Holes::default(),
            renumbered: false,
            sought: None,
            acked_since_trim: TRIM_EVERY,
            forwarded: None,
            parked_in_a_row: 0,
            told: match record.rest {
                Rest::Suspended { cause, .. } => Some(cause),
                _ => None,
            },
            attempts: Attempts::new(limits.attempts_keep, record, last_error),
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
            oldest: self.oldest.filter(|_| self.rests()),
            newest: self.newest,
            told_not_listed: self.told_not_listed,
            ..OutboundRecord::default()
        };
        self.labels.keep(&mut record);
        self.attempts.keep(&mut record);
        record
    }

    const fn durable_rest(&self) -> Rest {
        match self.state {
            State::Idle | State::Loading | State::Sending { .. } => Rest::Ready,
            State::Waiting { until } => Rest::Waiting { until },
            State::BackingOff { until, .. } => Rest::BackingOff { until },
            State::Suspended { beneath: Some(beneath), .. } => beneath,
            State::Suspended { cause, probe_at, beneath: None, .. } => Rest::Suspended { cause, probe_at },
        }
    }

    /// Returns the state of the peer.
    pub const fn state(&self) -> PeerState {
        match self.state {
            State::Idle => PeerState::Idle,
            State::Loading | State::Sending { .. } => PeerState::Sending,
            State::Waiting { .. } => PeerState::Waiting,
            State::BackingOff { .. } => PeerState::BackingOff,
            State::Suspended { cause, .. } => PeerState::Suspended(cause),
        }
    }

    /// Returns the time of the last state change.
    pub const fn since(&self) -> Millis {
        self.since
    }

    /// Returns the time of the next attempt, if a timer decides it.
    pub const fn next_attempt(&self) -> Option<Millis> {
        match self.state {
            State::Waiting { until } | State::BackingOff { until, .. } => Some(until),
            State::Suspended { probe_at, .. } => probe_at,
            State::Idle | State::Loading | State::Sending { .. } => None,
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

    /// What is known of attempts.
    pub const fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// Returns the transaction that is in flight or will be resent.
    pub fn open(&self) -> Option<(u64, Index, Index)> {
        self.labels.open()
    }

    /// Returns the time at which the oldest unacknowledged item was queued, if it is known without reading the store.
    pub fn oldest(&self) -> Option<Millis> {
        match self.rests() {
            true => self.oldest.filter(|_| self.outbox.backlog() > 0),
            false => self.outbox.oldest().map(|row| row.queued),
        }
    }

    /// Returns whether sending is paused; then no rows are kept in memory.
    const fn rests(&self) -> bool {
        !matches!(self.state, State::Idle | State::Loading | State::Sending { .. })
    }

    /// Handles the start of the actor: continues from the stored state.
    pub fn started(&mut self, at: Moment, out: &mut Out) {
        self.bring_nearer(at.now);
        match self.next_attempt() {
            // A time that passed while the process was down is due now; of a later one only the remainder is waited
            // for.
            Some(due) if due <= at.now => self.go_on(at, out),
            None if !self.rests() => self.proceed(at, out),
            _ => self.watch(out),
        }
        self.tell_listing(out);
    }

    /// Limits the time of the next attempt to the longest delay of its kind. A later time was written before the clock
    /// was set back, and would pause the peer for as long as that.
    fn bring_nearer(&mut self, now: Millis) {
        let limits = self.limits.clone();
        let (date, longest) = match &mut self.state {
            State::Waiting { until } => (until, limits.wait_max.max(Duration::from_secs(1))),
            State::BackingOff { until, .. } => (until, limits.backoff.max),
            State::Suspended { probe_at: Some(probe_at), .. } => (probe_at, limits.probe_every),
            _ => return,
        };
        *date = (*date).min(now.after(longest));
    }

    /// Suspends the peer as faulty, until an operator resumes it or the process restarts.
    pub fn give_up(&mut self, at: Moment) {
        let beneath = Some(self.durable_rest());
        self.enter(at, State::Suspended { cause: Cause::Faulty, probe_at: None, contacted: true, beneath });
    }

    /// Handles new items in the outbox.
    pub fn woken(&mut self, at: Moment, tail: Index, bytes: u64, rows: Vec<OutboxRow>, out: &mut Out) {
        let first = self.outbox.backlog() == 0 && tail > self.outbox.tail();
        self.outbox.grew(tail, bytes, if self.rests() { vec![] } else { rows });
        if matches!(self.state, State::Idle) {
            self.proceed(at, out);
        } else if self.rests() && first {
            // This is the only item that waits: set the timer to its expiry.
            self.oldest = Some(at.now);
            self.arm(out);
        }
    }

    /// Handles rows that were read from disk, or the error of the read.
    pub fn loaded(&mut self, at: Moment, from: Index, rows: Result<Vec<OutboxRow>, String>, out: &mut Out) {
        if self.rests() {
            return self.swept(at, from, rows, out);
        }
        match rows {
            Ok(rows) => {
                let oldest = rows.first().map(|row| row.index);
                let gone = self.outbox.loaded(from, rows);
                if let (true, Some(number), Some(oldest)) = (gone, self.sought.take(), oldest) {
                    self.give_less(number, oldest, out);
                }
                if matches!(self.state, State::Loading) {
                    self.proceed(at, out);
                }
            }
            Err(reason) if matches!(self.state, State::Loading) => self.fail(at, reason, out),
            Err(_) => {}
        }
    }

    /// Handles the firing of the timer.
    pub fn due(&mut self, at: Moment, out: &mut Out) {
        // The time that the timer was set to has been reached, even if the wall clock was set back meanwhile.
        let now = at.now.max(self.armed.take().unwrap_or(at.now));
        if self.next_attempt().is_some_and(|due| due <= now) {
            self.go_on(at, out);
        } else if self.expiry().is_some_and(|due| due <= now) {
            self.sweep(out);
        } else if self.rests() {
            self.arm(out);
        }
    }

    /// Resumes sending to a paused peer. One that was suspended as unreachable or refused is only probed.
    fn go_on(&mut self, at: Moment, out: &mut Out) {
        self.probing |= matches!(self.state, State::Suspended { cause: Cause::Unreachable | Cause::Refused, .. });
        if matches!(self.state, State::BackingOff { .. }) && self.outbox.cursor() > self.outbox.tail() {
            // Nothing durable is to be sent: what is ephemeral alone causes no attempt at a peer that failed.
            self.ring.clear();
        }
        self.proceed(at, out);
    }

    /// Handles a request from the peer, which shows that it runs: brings the next attempt forward, once per period.
    pub fn contact(&mut self, at: Moment, out: &mut Out) {
        let date = match self.state {
            State::BackingOff { until, contacted: false } => Some(until),
            State::Suspended { cause: Cause::Unreachable, probe_at, contacted: false, .. } => probe_at,
            _ => None,
        };
        if let Some(date) = date {
            self.forwarded = Some(date);
            out.effect(Effect::Disarm);
            self.go_on(at, out);
        }
    }

    /// Pauses sending until a timer, contact from the peer or an operator resumes it.
    fn rest(&mut self, at: Moment, state: State, urgency: Urgency, out: &mut Out) {
        self.forwarded = None;
        self.sweeping = None;
        self.oldest = self.outbox.oldest().map(|row| row.queued).or(self.oldest.filter(|_| self.rests()));
        self.doubt.put_off();
        self.outbox.unload();
        self.riding = vec![];
        match state {
            State::Waiting { until } | State::BackingOff { until, .. } => self.ring.keep_beyond(until),
            _ => self.ring.clear(),
        }
        self.enter(at, state);
        out.moved(urgency);
        if let PeerState::Suspended(cause) = self.state()
            && self.told.replace(cause) != Some(cause)
        {
            let (state, reason) = (self.state().as_str(), Some(cause.as_str()));
            out.change(Change::Fed(FeedItem::Peer { server: self.server.clone(), state, reason }));
        }
        self.watch(out);
    }

    /// Our messenger has something ephemeral. It never wakes a peer that is being left alone, and rides on the next attempt where
    /// it is still worth sending then.
    pub fn weak(&mut self, at: Moment, fleeting: Fleeting, out: &mut Out) {
        let stays = match self.state {
            State::Idle | State::Loading | State::Sending { .. } => true,
            State::Waiting { until } | State::BackingOff { until, .. } => fleeting.until > until,
            State::Suspended { .. } => false,
        };
        if stays {
            self.ring.push(fleeting, self.ring_limits());
        }
        if matches!(self.state, State::Idle) {
            self.proceed(at, out);
        }
    }

    fn ring_limits(&self) -> RingLimits {
        RingLimits { items: self.limits.weak_items, bytes: self.limits.batch_bytes }
    }

    /// Returns whether the peer may be asked for PDUs now.
    pub fn may_ask(&self) -> bool {
        let reachable = matches!(self.state, State::Idle | State::Loading | State::Sending { .. });
        reachable && self.limits.fetches
    }

    /// Asks the peer for PDUs on behalf of a context. A paused peer is not asked, because no request goes out to it.
    pub fn ask(&self, context: ContextId, want: Want, cause: ServerName, out: &mut Out) {
        out.effect(match self.may_ask() {
            true => Effect::Get { context, want, cause },
            false => Effect::NotAsked { of: self.server.clone(), context, want },
        });
    }

    /// Returns the size of the next page to read, in items and bytes. Rows that are read for a probe may stay in memory
    /// for long, so the page of a peer that is probed is the one item that the probe carries.
    pub fn page(&self) -> (u32, u64) {
        let items = if self.probing && self.sweeping.is_none() { 1 } else { 2 * self.limits.batch_items };
        (items, 2 * self.limits.batch_bytes)
    }

    /// Sets the state; no other function does. An attempt during an outage keeps `since`, because the outage goes on.
    fn enter(&mut self, at: Moment, state: State) {
        let before = self.state();
        self.state = state;
        let goes_on = match self.state() {
            PeerState::Sending => self.failures > 0,
            PeerState::BackingOff => self.failures > 1,
            PeerState::Suspended(cause) => self.told == Some(cause),
            PeerState::Idle | PeerState::Waiting => false,
        };
        if self.state() != before && !goes_on {
            self.since = at.now;
        }
    }
}

mod doubt;
mod free;
mod leave;
mod listing;
mod numbering;
mod orders;
mod outcome;
mod search;
mod send;
#[cfg(test)]
mod tests;
