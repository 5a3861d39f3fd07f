//! The machine that writes to one peer. The whole policy of delivery, without a clock, a socket or a disk.
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
//! One request is in flight at a time; a reply counts only for the attempt that is current. `wait` is obeyed to the moment and
//! is no failure; only what it says to an item of ours clears failures, so one that writes to us unreached is not hammered.
//!
//! A peer that refuses a request for what is in it gets a smaller one, down to a single item and nothing beside it. If that is
//! refused too, the item is the culprit: it is parked, its number goes to the next, and the others flow. Where the peer may have
//! taken it before, it is asked first.

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

/// When a step happens, and what the dice say: both come from outside.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Wall time.
    pub now: Millis,
    /// A number in 0..1.
    pub roll: f64,
}

/// A peer that refuses this many items one after the other is suspended, and keeps the rest of its queue.
const PARKED_IN_A_ROW_MAX: u32 = 100;

/// Acknowledged rows are trimmed when this many have gathered, and at least this many at a time.
const TRIM_EVERY: u64 = 256;

#[derive(Debug, Clone)]
enum State {
    Idle,
    /// Reading the next rows; nothing is in flight.
    Loading,
    /// A request is in flight. `bare`: nothing ephemeral rides on it. `forwarded`: it was brought forward by contact, this was
    /// the date.
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
    /// `contacted`: the peer has been heard of in this period; once is enough.
    BackingOff {
        until: Millis,
        contacted: bool,
    },
    /// `beneath`: the cause is of this process or of its configuration; this is what the disk says meanwhile.
    Suspended {
        cause: Cause,
        probe_at: Option<Millis>,
        contacted: bool,
        beneath: Option<Rest>,
    },
}

impl State {
    /// Left alone for this cause, which contact does not change.
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
    /// Ephemeral items that ride with the next push.
    ring: Ring,
    /// Those that ride on the request in flight: they go with the next one where the peer takes nothing.
    riding: Vec<Fleeting>,
    /// The newest attempt; numbers them within this life of the actor.
    attempt: u64,
    /// Strong updates a push, at most, after what the peer could not take; grows back.
    cap: u32,
    /// Where the culprit of a batch that was refused is looked for.
    search: Search,
    /// The peer was suspended and has taken nothing since: it gets one item, and not a batch.
    probing: bool,
    /// What the peer may have taken without our hearing of it.
    doubt: Doubt,
    /// What the timer was armed for.
    armed: Option<Millis>,
    /// When the oldest unacknowledged item was queued, as far as it is known while nothing is in memory.
    oldest: Option<Millis>,
    /// A page is being read from here on for the items whose time is over.
    sweeping: Option<Index>,
    /// No index up to here is given again.
    newest: Index,
    /// The next push carries nothing ephemeral: it is to show whether an item is refused for its own sake.
    bare: bool,
    /// Holes that the peer answered since it last took something new: more than one are failures.
    holes: Holes,
    /// The next push carries numbers that the journal does not hold yet.
    renumbered: bool,
    /// A rewind went below what may still be kept, for this number; the read will tell.
    sought: Option<Seq>,
    acked_since_trim: u64,
    forwarded: Option<Millis>,
    /// Items parked since the peer last took one.
    parked_in_a_row: u32,
    /// What the messenger was last told about a suspension; each probe that fails is not news.
    told: Option<Cause>,
    /// The messenger was told that the configuration no longer names the peer.
    told_not_listed: bool,
    attempts: Attempts,
}

impl Outbound {
    /// The machine as the store left it.
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

    /// The durable half.
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

    /// What it is doing.
    pub const fn state(&self) -> PeerState {
        match self.state {
            State::Idle => PeerState::Idle,
            State::Loading | State::Sending { .. } => PeerState::Sending,
            State::Waiting { .. } => PeerState::Waiting,
            State::BackingOff { .. } => PeerState::BackingOff,
            State::Suspended { cause, .. } => PeerState::Suspended(cause),
        }
    }

    /// Since when.
    pub const fn since(&self) -> Millis {
        self.since
    }

    /// When a clock will move it.
    pub const fn next_attempt(&self) -> Option<Millis> {
        match self.state {
            State::Waiting { until } | State::BackingOff { until, .. } => Some(until),
            State::Suspended { probe_at, .. } => probe_at,
            State::Idle | State::Loading | State::Sending { .. } => None,
        }
    }

    /// The queue.
    pub const fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Attempts failed in a row.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// What is known of attempts.
    pub const fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// The transaction on its way, or to be sent again.
    pub fn open(&self) -> Option<(u64, Index, Index)> {
        self.labels.open()
    }

    /// When the oldest unacknowledged item was queued, where it is known without reading the disk.
    pub fn oldest(&self) -> Option<Millis> {
        match self.rests() {
            true => self.oldest.filter(|_| self.outbox.backlog() > 0),
            false => self.outbox.oldest().map(|row| row.queued),
        }
    }

    /// Nothing is written to the peer, and nothing is kept in memory for it.
    const fn rests(&self) -> bool {
        !matches!(self.state, State::Idle | State::Loading | State::Sending { .. })
    }

    /// The actor has loaded: go on from where the store says.
    pub fn started(&mut self, at: Moment, out: &mut Out) {
        self.bring_nearer(at.now);
        match self.next_attempt() {
            // A due date that has passed while we were down is due now; one that has not is waited for, the remainder only.
            Some(due) if due <= at.now => self.go_on(at, out),
            None if !self.rests() => self.proceed(at, out),
            _ => self.watch(out),
        }
        self.tell_listing(out);
    }

    /// No date lies further ahead than its kind allows. One that seems to was written before the clock was set back, and would
    /// keep us away for as long as that.
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

    /// The actor is given up: refuse until an operator, or a restart of the process, says otherwise.
    pub fn give_up(&mut self, at: Moment) {
        let beneath = Some(self.durable_rest());
        self.enter(at, State::Suspended { cause: Cause::Faulty, probe_at: None, contacted: true, beneath });
    }

    /// Items were queued.
    pub fn woken(&mut self, at: Moment, tail: Index, bytes: u64, rows: Vec<OutboxRow>, out: &mut Out) {
        let first = self.outbox.backlog() == 0 && tail > self.outbox.tail();
        self.outbox.grew(tail, bytes, if self.rests() { vec![] } else { rows });
        if matches!(self.state, State::Idle) {
            self.proceed(at, out);
        } else if self.rests() && first {
            // The only item that waits; a clock sees to it that it does not wait for ever.
            self.oldest = Some(at.now);
            self.arm(out);
        }
    }

    /// Rows came from disk, or could not be read.
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

    /// The timer went off.
    pub fn due(&mut self, at: Moment, out: &mut Out) {
        // What was waited for has passed, also where the wall clock was set back meanwhile.
        let now = at.now.max(self.armed.take().unwrap_or(at.now));
        if self.next_attempt().is_some_and(|due| due <= now) {
            self.go_on(at, out);
        } else if self.expiry().is_some_and(|due| due <= now) {
            self.sweep(out);
        } else if self.rests() {
            self.arm(out);
        }
    }

    /// The time has come for a peer that was left alone. One that was suspended is only looked in on.
    fn go_on(&mut self, at: Moment, out: &mut Out) {
        self.probing |= matches!(self.state, State::Suspended { cause: Cause::Unreachable | Cause::Refused, .. });
        if matches!(self.state, State::BackingOff { .. }) && self.outbox.cursor() > self.outbox.tail() {
            // Nothing durable is to be sent: what is ephemeral alone causes no attempt at a peer that failed.
            self.ring.clear();
        }
        self.proceed(at, out);
    }

    /// The peer has written to us: it lives. This brings the next attempt forward, once a period.
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

    /// Leave the peer alone until a clock, contact or an operator says otherwise.
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
        } else {
            // It would be over by then, and so is what it replaces.
            self.ring.forget(fleeting.key.as_deref());
        }
        if matches!(self.state, State::Idle) {
            self.proceed(at, out);
        }
    }

    fn ring_limits(&self) -> RingLimits {
        RingLimits { items: self.limits.weak_items, bytes: self.limits.batch_bytes }
    }

    /// Whether it may be asked for something now.
    pub fn may_ask(&self) -> bool {
        let reachable = matches!(self.state, State::Idle | State::Loading | State::Sending { .. });
        reachable && self.limits.fetches
    }

    /// A conversation misses something the peer may have. All that goes out goes through one gate: a peer that is being left
    /// alone is not asked either.
    pub fn ask(&self, context: ContextId, want: Want, cause: ServerName, out: &mut Out) {
        out.effect(match self.may_ask() {
            true => Effect::Get { context, want, cause },
            false => Effect::NotAsked { of: self.server.clone(), context, want },
        });
    }

    /// How much of the queue to read next, in items and bytes. What is read for a probe may wait long for its turn to go out: of a
    /// peer that was given up it is the one item that the probe carries.
    pub fn page(&self) -> (u32, u64) {
        let items = if self.probing && self.sweeping.is_none() { 1 } else { 2 * self.limits.batch_items };
        (items, 2 * self.limits.batch_bytes)
    }

    /// The one place where the state changes. A try amid trouble does not end the trouble: `since` stays what it was.
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
