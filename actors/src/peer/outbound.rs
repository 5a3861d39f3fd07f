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
//! One request is in flight at a time. A reply counts only for the attempt that is current. `wait` is obeyed to the moment
//! and is no failure; only a success out clears failures, so a peer that writes to us while it cannot be reached does not
//! get hammered.

use std::sync::Arc;
use std::time::Duration;

use crate::backoff;
use crate::change::Change;
use crate::limits::PeerLimits;
use crate::model::{
    Ack, Answered, Cause, FeedItem, Index, Millis, OutFrame, OutboundRecord, PeerState, PushFailure, Rest, Seq,
    ServerName,
};
use crate::peer::attempts::Attempts;
use crate::peer::effect::{Effect, Out};
use crate::peer::outbox::{HoleAt, Next, Outbox, Room, Span};
use crate::ports::{OutboxRow, Urgency};

/// When a step happens, and what the dice say: both come from outside.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Wall time.
    pub now: Millis,
    /// A number in 0..1.
    pub roll: f64,
}

/// A hole may move our numbers up by at most this much; a peer that claims more is not believed.
const RENUMBER_MAX: u64 = 1_000_000;

/// Acknowledged rows are trimmed when this many have gathered, and at least this many at a time.
const TRIM_EVERY: u64 = 256;

#[derive(Debug, Clone)]
enum State {
    Idle,
    /// Reading the next rows; nothing is in flight.
    Loading,
    /// A request is in flight. `forwarded`: it was brought forward by contact, this was the date.
    Sending {
        attempt: u64,
        span: Span,
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
    Suspended {
        cause: Cause,
        probe_at: Option<Millis>,
        contacted: bool,
    },
}

/// The outbound half of a peer's machine.
#[derive(Debug, Clone)]
pub struct Outbound {
    server: ServerName,
    limits: Arc<PeerLimits>,
    outbox: Outbox,
    state: State,
    since: Millis,
    failures: u32,
    window: Option<u32>,
    /// The newest attempt; numbers them within this life of the actor.
    attempt: u64,
    /// Strong updates a push, at most, after what the peer could not take; grows back.
    cap: u32,
    /// The hole answered last without progress since: the same once more means two confused servers, not a resend.
    hole: Option<Seq>,
    /// The next push carries numbers that the journal does not hold yet.
    renumbered: bool,
    /// A rewind went below what may still be kept, for this number; the read will tell.
    sought: Option<Seq>,
    acked_since_trim: u64,
    forwarded: Option<Millis>,
    /// What the messenger was last told about a suspension; each probe that fails is not news.
    told: Option<Cause>,
    attempts: Attempts,
}

impl Outbound {
    /// The machine as the store left it.
    pub fn new(server: ServerName, limits: Arc<PeerLimits>, record: &OutboundRecord, tail: Index) -> Self {
        let room = Room { rows: 2 * limits.batch_items as usize, bytes: 2 * limits.batch_bytes };
        let state = match record.rest {
            _ if limits.paused => State::Suspended { cause: Cause::Admin, probe_at: None, contacted: true },
            Rest::Ready => State::Idle,
            Rest::Waiting { until } => State::Waiting { until },
            Rest::BackingOff { until } => State::BackingOff { until, contacted: false },
            Rest::Suspended { cause, probe_at } => State::Suspended { cause, probe_at, contacted: false },
        };
        Self {
            outbox: Outbox::new(record.acked, tail, record.segments.clone(), room),
            state,
            since: record.since,
            failures: record.failures,
            window: record.window,
            attempt: 0,
            cap: limits.batch_items,
            hole: None,
            renumbered: false,
            sought: None,
            acked_since_trim: TRIM_EVERY,
            forwarded: None,
            told: match record.rest {
                Rest::Suspended { cause, .. } => Some(cause),
                _ => None,
            },
            attempts: Attempts::new(limits.attempts_keep),
            server,
            limits,
        }
    }

    /// The durable half.
    pub fn record(&self) -> OutboundRecord {
        let rest = match self.state {
            State::Idle | State::Loading | State::Sending { .. } => Rest::Ready,
            State::Waiting { until } => Rest::Waiting { until },
            State::BackingOff { until, .. } => Rest::BackingOff { until },
            // Faults are of this process, and a pause is of the configuration: neither outlives it.
            State::Suspended { cause: Cause::Faulty | Cause::Admin, .. } => Rest::Ready,
            State::Suspended { cause, probe_at, .. } => Rest::Suspended { cause, probe_at },
        };
        OutboundRecord {
            acked: self.outbox.acked(),
            segments: self.outbox.segments().to_vec(),
            window: self.window,
            rest,
            failures: self.failures,
            since: self.since,
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

    /// The latest attempts.
    pub const fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// The actor has loaded: go on from where the store says.
    pub fn started(&mut self, at: Moment, out: &mut Out) {
        match self.next_attempt() {
            // A due date that has passed while we were down is due now; one that has not is waited for, the remainder only.
            Some(due) if due > at.now => out.effect(Effect::Arm(due)),
            Some(_) => self.proceed(at, out),
            None if matches!(self.state, State::Idle) => self.proceed(at, out),
            None => {}
        }
    }

    /// The actor is given up: refuse until an operator, or a restart of the process, says otherwise.
    pub fn give_up(&mut self, at: Moment) {
        self.enter(at, State::Suspended { cause: Cause::Faulty, probe_at: None, contacted: true });
    }

    /// Items were queued.
    pub fn woken(&mut self, at: Moment, tail: Index, rows: Vec<OutboxRow>, out: &mut Out) {
        let writing = matches!(self.state, State::Idle | State::Loading | State::Sending { .. });
        self.outbox.grew(tail, if writing { rows } else { vec![] });
        if matches!(self.state, State::Idle) {
            self.proceed(at, out);
        }
    }

    /// Rows came from disk, or could not be read.
    pub fn loaded(&mut self, at: Moment, from: Index, rows: Result<Vec<OutboxRow>, String>, out: &mut Out) {
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
        if self.next_attempt().is_some() {
            self.proceed(at, out);
        }
    }

    /// The peer has written to us: it lives. This brings the next attempt forward, once a period.
    pub fn contact(&mut self, at: Moment, out: &mut Out) {
        let date = match self.state {
            State::BackingOff { until, contacted: false } => Some(until),
            State::Suspended { cause: Cause::Unreachable, probe_at, contacted: false } => probe_at,
            _ => None,
        };
        if let Some(date) = date {
            self.forwarded = Some(date);
            out.effect(Effect::Disarm);
            self.proceed(at, out);
        }
    }

    /// An attempt has an outcome.
    pub fn replied(&mut self, at: Moment, attempt: u64, outcome: Result<Answered, PushFailure>, out: &mut Out) {
        let State::Sending { attempt: current, span, forwarded } = self.state else { return };
        if attempt != current {
            return;
        }
        self.forwarded = forwarded;
        self.attempts.note(at.now, span.first, span.last, &outcome);
        match outcome {
            Ok(Answered { ack, window }) => {
                if window.is_some() && window != self.window {
                    self.window = window;
                    out.moved(Urgency::Rides);
                }
                match ack {
                    Ack::Ok(seq) if seq == span.last_number => self.delivered(at, span, out),
                    Ack::Ok(seq) => self.fail(at, format!("ok for {seq} in answer to {}", span.last_number), out),
                    Ack::Hole { expected, conflict } => self.on_hole(at, expected, conflict, out),
                    Ack::Wait(time) => {
                        let until = at.now.after(self.patience(time));
                        self.rest(at, State::Waiting { until }, Urgency::Now, out);
                    }
                }
            }
            Err(failure) => self.on_failure(at, span, &failure, out),
        }
    }

    fn delivered(&mut self, at: Moment, span: Span, out: &mut Out) {
        self.hole = None;
        self.forwarded = None;
        if std::mem::take(&mut self.failures) > 0 {
            self.since = at.now;
        }
        if self.told.take().is_some() {
            let state = PeerState::Sending.as_str();
            out.change(Change::Fed(FeedItem::Peer { server: self.server.clone(), state, reason: None }));
        }
        self.cap = (self.cap + self.cap.div_ceil(4)).min(self.limits.batch_items);
        self.acked_since_trim += self.outbox.ack(span.last);
        out.moved(Urgency::Rides);
        if self.acked_since_trim >= TRIM_EVERY {
            let rows_max = u32::try_from(2 * self.acked_since_trim).unwrap_or(u32::MAX);
            self.acked_since_trim = 0;
            let retain = u64::try_from(self.limits.retain.as_millis()).unwrap_or(u64::MAX);
            out.change(Change::OutboxTrimmed {
                server: self.server.clone(),
                upto: self.outbox.acked(),
                keep_items: self.limits.retain_items,
                queued_before: Millis(at.now.0.saturating_sub(retain)),
                rows_max,
            });
        }
        self.proceed(at, out);
    }

    fn on_hole(&mut self, at: Moment, expected: Seq, conflict: bool, out: &mut Out) {
        if self.hole.replace(expected) == Some(expected) {
            return self.fail(at, format!("the peer asks for {expected} again and again"), out);
        }
        let unacked = self.outbox.acked().next();
        if conflict {
            self.renumber(unacked, expected, "it holds other updates under our numbers", out);
            return self.proceed(at, out);
        }
        match self.outbox.locate(expected) {
            HoleAt::Kept(index) => {
                self.sought = Some(expected);
                self.outbox.rewind(index);
                self.proceed(at, out);
            }
            HoleAt::Below(oldest) => {
                self.give_less(expected, oldest, out);
                self.proceed(at, out);
            }
            HoleAt::Above(by) if by <= RENUMBER_MAX => {
                self.renumber(unacked, expected, "it holds more than we ever numbered", out);
                self.proceed(at, out);
            }
            HoleAt::Above(_) => {
                self.rest(
                    at,
                    State::Suspended { cause: Cause::AheadOfUs, probe_at: None, contacted: true },
                    Urgency::Now,
                    out,
                );
            }
        }
    }

    /// The peer asks for numbers we no longer have: go on with the oldest item we do have, under the number it asks for.
    fn give_less(&mut self, expected: Seq, oldest: Index, out: &mut Out) {
        self.renumber(oldest, expected, "it asks for updates that are no longer kept", out);
    }

    fn renumber(&mut self, first: Index, number: Seq, why: &str, out: &mut Out) {
        self.outbox.renumber(first, number);
        self.renumbered = true;
        out.moved(Urgency::Now);
        let text =
            format!("{}: {why}; from our item {first} on, updates to it are numbered from {number}", self.server);
        out.change(Change::Fed(FeedItem::Notice { text, server: Some(self.server.clone()) }));
    }

    fn on_failure(&mut self, at: Moment, span: Span, failure: &PushFailure, out: &mut Out) {
        let several = span.count() > 1;
        match failure {
            PushFailure::Refused { status: 413, .. } if several => {
                self.cap = u32::try_from(span.count() / 2).unwrap_or(u32::MAX).max(1);
                self.proceed(at, out);
            }
            PushFailure::Refused { status: 400, .. } if several => {
                self.cap = 1;
                self.proceed(at, out);
            }
            PushFailure::Refused { .. } => {
                let probe_at = Some(at.now.after(self.limits.probe_every));
                self.failures += 1;
                let state = State::Suspended { cause: Cause::Refused, probe_at, contacted: true };
                self.rest(at, state, Urgency::Now, out);
            }
            PushFailure::Troubled { retry_after: Some(time), status: 429, .. } => {
                let until = at.now.after(self.patience(*time));
                self.rest(at, State::Waiting { until }, Urgency::Now, out);
            }
            PushFailure::TimedOut => {
                self.cap = u32::try_from(span.count() / 2).unwrap_or(u32::MAX).max(1);
                self.fail(at, failure.to_string(), out);
            }
            PushFailure::Unreachable(_) | PushFailure::Troubled { .. } | PushFailure::Unreadable(_) => {
                self.fail(at, failure.to_string(), out);
            }
        }
    }

    /// How long a peer's word keeps us away: never longer than the operator allows, and never not at all.
    fn patience(&self, asked: Duration) -> Duration {
        asked.clamp(Duration::from_secs(1), self.limits.wait_max.max(Duration::from_secs(1)))
    }

    /// Distance, trouble or nonsense: try again later. Never costs an item its life.
    fn fail(&mut self, at: Moment, reason: String, out: &mut Out) {
        self.attempts.failed(reason);
        // The counter moves once a period: an attempt that contact brought forward is not one more.
        let forwarded = self.forwarded.take();
        self.failures += u32::from(forwarded.is_none());
        let contacted = forwarded.is_some();
        let state = if self.failures >= self.limits.failures_to_suspend {
            let probe_at = forwarded.unwrap_or(at.now.after(self.limits.probe_every));
            State::Suspended { cause: Cause::Unreachable, probe_at: Some(probe_at), contacted }
        } else {
            let delay = at.now.after(backoff::delay(&self.limits.backoff, self.failures.max(1), at.roll));
            State::BackingOff { until: forwarded.map_or(delay, |date| date.max(delay)), contacted }
        };
        self.rest(at, state, Urgency::Rides, out);
    }

    /// Leave the peer alone until a clock, contact or an operator says otherwise.
    fn rest(&mut self, at: Moment, state: State, urgency: Urgency, out: &mut Out) {
        self.forwarded = None;
        self.outbox.unload();
        self.enter(at, state);
        out.moved(urgency);
        if let PeerState::Suspended(cause) = self.state()
            && self.told.replace(cause) != Some(cause)
        {
            let (state, reason) = (self.state().as_str(), Some(cause.as_str()));
            out.change(Change::Fed(FeedItem::Peer { server: self.server.clone(), state, reason }));
        }
        match self.next_attempt() {
            Some(due) => out.effect(Effect::Arm(due)),
            None => out.effect(Effect::Disarm),
        }
    }

    /// Send what is next, or read it, or be idle.
    fn proceed(&mut self, at: Moment, out: &mut Out) {
        // A peer that never said how much it takes reads a number as every text does only when it stands for one update.
        let items = self.window.map_or(1, |window| window.min(self.cap)).max(1);
        match self.outbox.next(items, self.limits.batch_bytes) {
            Next::Send(span, rows) => {
                self.attempt += 1;
                let attempt = self.attempt;
                let forwarded = self.forwarded.take();
                self.enter(at, State::Sending { attempt, span, forwarded });
                let frame = OutFrame {
                    to: self.server.clone(),
                    last: span.last_number,
                    first: self.window.map(|_| span.first_number),
                    strong: rows.into_iter().map(|row| row.bytes).collect(),
                    deadlines: self.limits.deadlines,
                };
                let settled = std::mem::take(&mut self.renumbered);
                out.effect(Effect::Push { attempt, frame, settled });
            }
            Next::Load(from) => {
                self.enter(at, State::Loading);
                out.effect(Effect::Load(from));
            }
            Next::Nothing => self.enter(at, State::Idle),
        }
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

#[cfg(test)]
mod tests;
