//! What an attempt's outcome means: the second half of the outbound machine.

use std::time::Duration;

use super::{Moment, Outbound, PARKED_IN_A_ROW_MAX, RENUMBER_MAX, State, TRIM_EVERY};
use crate::backoff;
use crate::change::Change;
use crate::change::Urgency;
use crate::model::{Ack, Answered, Cause, FeedItem, Index, Label, Millis, PeerState, PushFailure, Seq};
use crate::peer::effect::Out;
use crate::peer::outbox::{HoleAt, Span};

impl Outbound {
    /// An attempt has an outcome.
    pub fn replied(&mut self, at: Moment, attempt: u64, outcome: Result<Answered, PushFailure>, out: &mut Out) {
        let State::Sending { attempt: current, label, span, bare, forwarded } = self.state else { return };
        if attempt != current {
            return;
        }
        self.forwarded = forwarded;
        if let Some(span) = span {
            self.attempts.note(at.now, span, &outcome);
        }
        match outcome {
            Ok(Answered { ack, window, .. }) => {
                if self.labels.showed(window) {
                    out.moved(Urgency::Rides);
                }
                match (ack, label) {
                    (Ack::Ok(seq), Label::Numbers { last, .. }) if seq == last => self.delivered(at, span, out),
                    (Ack::Taken, Label::Transaction { .. }) => {
                        self.labels.taken();
                        self.delivered(at, span, out);
                    }
                    (Ack::Hole { expected, conflict }, Label::Numbers { .. }) => {
                        self.on_hole(at, expected, conflict, out);
                    }
                    (Ack::Wait(time), _) => {
                        let until = at.now.after(self.patience(time));
                        self.rest(at, State::Waiting { until }, Urgency::Now, out);
                    }
                    (ack, label) => self.fail(at, format!("{ack:?} is no answer to {label:?}"), out),
                }
            }
            Err(failure) => self.on_failure(at, span, bare, &failure, out),
        }
    }

    /// The peer has judged what it was sent: there is no trouble between us, and things move.
    fn heard(&mut self, at: Moment, out: &mut Out) {
        self.hole = None;
        self.forwarded = None;
        if std::mem::take(&mut self.failures) > 0 {
            self.since = at.now;
        }
        if self.told.take().is_some() {
            let state = PeerState::Sending.as_str();
            out.change(Change::Fed(FeedItem::Peer { server: self.server.clone(), state, reason: None }));
        }
    }

    fn delivered(&mut self, at: Moment, span: Option<Span>, out: &mut Out) {
        self.parked_in_a_row = 0;
        self.heard(at, out);
        self.cap = (self.cap + self.cap.div_ceil(4)).min(self.limits.batch_items);
        if let Some(span) = span {
            self.acked_since_trim += self.outbox.ack(span.last);
            self.labels.reserve(at.now);
            out.moved(Urgency::Rides);
        }
        if span.is_some() && self.acked_since_trim >= TRIM_EVERY {
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
                self.rest(at, State::suspended(Cause::AheadOfUs, None), Urgency::Now, out);
            }
        }
    }

    /// The peer asks for numbers we no longer have: go on with the oldest item we do have, under the number it asks for.
    pub(super) fn give_less(&mut self, expected: Seq, oldest: Index, out: &mut Out) {
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

    fn on_failure(&mut self, at: Moment, span: Option<Span>, bare: bool, failure: &PushFailure, out: &mut Out) {
        let count = span.map_or(1, |span| u32::try_from(span.count()).unwrap_or(u32::MAX));
        let half = (count / 2).max(1);
        if matches!(failure, PushFailure::TimedOut) {
            self.cap = self.cap.min(half);
        }
        match failure {
            PushFailure::Refused { status: status @ (400 | 413 | 422), .. } => {
                self.labels.abandon();
                self.bare = true;
                match span {
                    Some(span) if count == 1 && bare => return self.park(at, span.first, failure.to_string(), out),
                    Some(_) if count > 1 => self.cap = self.cap.min(if *status == 413 { half } else { 1 }),
                    // What is ephemeral was all there was, or may have been what is refused: it is gone, and not missed.
                    Some(_) | None => {}
                }
                self.proceed(at, out);
            }
            PushFailure::Refused { .. } => self.refused(at, out),
            PushFailure::Troubled { retry_after: Some(time), status: 429, .. } => {
                let until = at.now.after(self.patience(*time));
                self.rest(at, State::Waiting { until }, Urgency::Now, out);
            }
            PushFailure::TimedOut
            | PushFailure::Unreachable(_)
            | PushFailure::Troubled { .. }
            | PushFailure::Unreadable(_) => {
                self.fail(at, failure.to_string(), out);
            }
        }
    }

    /// The peer refuses us: leave it alone, and look in on it now and then.
    fn refused(&mut self, at: Moment, out: &mut Out) {
        let probe_at = Some(at.now.after(self.limits.probe_every));
        self.failures += 1;
        self.rest(at, State::suspended(Cause::Refused, probe_at), Urgency::Now, out);
    }

    /// The peer refuses this item and no other: it leaves, its number goes to the next one, and the messenger is told. Until that
    /// is on disk nothing is sent under the number; a crash before it ends in the same refusal again.
    fn park(&mut self, at: Moment, index: Index, reason: String, out: &mut Out) {
        if self.parked_in_a_row >= PARKED_IN_A_ROW_MAX {
            // Whoever refuses everything refuses us, and not an item: a proxy in between, most likely.
            return self.refused(at, out);
        }
        let Some(row) = self.outbox.skip(index) else { return self.fail(at, reason, out) };
        self.parked_in_a_row += 1;
        let (server, keep) = (self.server.clone(), self.limits.quarantine_items);
        out.change(Change::OutboundParked { server: server.clone(), index, reason: reason.clone(), keep });
        let (message, state, reason) = (row.submission, "parked", Some(reason));
        out.change(Change::Fed(FeedItem::Delivery { message, server, state, reason }));
        self.heard(at, out);
        self.labels.reserve(at.now);
        self.renumbered = true;
        out.moved(Urgency::Now);
        self.proceed(at, out);
    }

    /// How long a peer's word keeps us away: never longer than the operator allows, and never not at all.
    fn patience(&self, asked: Duration) -> Duration {
        asked.clamp(Duration::from_secs(1), self.limits.wait_max.max(Duration::from_secs(1)))
    }

    /// Distance, trouble or nonsense: try again later. Never costs an item its life.
    pub(super) fn fail(&mut self, at: Moment, reason: String, out: &mut Out) {
        self.attempts.failed(reason);
        // The counter moves once a period: an attempt that contact brought forward is not one more.
        let forwarded = self.forwarded.take();
        self.failures += u32::from(forwarded.is_none());
        let contacted = forwarded.is_some();
        let state = if self.failures >= self.limits.failures_to_suspend {
            let probe_at = forwarded.unwrap_or(at.now.after(self.limits.probe_every));
            State::Suspended { cause: Cause::Unreachable, probe_at: Some(probe_at), contacted, beneath: None }
        } else {
            let delay = at.now.after(backoff::delay(&self.limits.backoff, self.failures.max(1), at.roll));
            State::BackingOff { until: forwarded.map_or(delay, |date| date.max(delay)), contacted }
        };
        self.rest(at, state, Urgency::Rides, out);
    }
}
