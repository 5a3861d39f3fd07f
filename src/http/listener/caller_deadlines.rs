//! The deadlines of the requests of a connection, for each request anew: a state machine without a clock.
//!
//! The HTTP library has a deadline for the first head of a connection only, and none for a body that no handler reads.

use std::time::Duration;

use tokio::time::Instant;

use crate::http::listener::request_framing::{RequestFraming, RequestPart};

/// The times that a caller has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestTimes {
    /// Maximum time from the first byte of a head to its end.
    pub head: Duration,
    /// Time after which a connection without a request is closed.
    pub idle: Duration,
    /// Maximum time for a body.
    pub body: Duration,
}

impl Default for RequestTimes {
    /// Returns the defaults of the federation listener, which hold for every listener without keys of its own.
    fn default() -> Self {
        Self { head: Duration::from_secs(10), idle: Duration::from_secs(75), body: Duration::from_secs(30) }
    }
}

/// Time between the deadline of a body and its end: a handler that reads the body refuses it in that time, and its answer is better
/// than a body that breaks off.
const HANDLER_FIRST: Duration = Duration::from_secs(1);

/// Time in which the rest of a body is still taken after the request was answered. A connection that is closed while bytes arrive
/// may lose the answer.
const REST_TIME: Duration = Duration::from_secs(1);

/// Bytes of such a rest that are read; beyond them nothing is read until its time is over. It is twice the default of the limits of
/// bodies, because many clients write a whole body before they read the answer that refuses it.
const REST_MAX: usize = 16 << 20;

/// A deadline that has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MissedDeadline {
    /// No request began.
    Idle,
    /// The head did not end.
    Head,
    /// The body did not end, and the request is not answered.
    Body,
    /// The body did not end after the answer.
    Rest,
}

/// The deadline of what a connection waits for.
#[derive(Debug)]
pub(super) struct CallerDeadlines {
    times: RequestTimes,
    framing: RequestFraming,
    /// Time at which the current part of a request began, or something was last written after one.
    since: Instant,
    /// Time at which the answer came before the end of the body, and the bytes read since.
    answered_early: Option<(Instant, usize)>,
}

impl CallerDeadlines {
    /// Returns the deadlines of a connection that is open from now on.
    pub(super) fn new(times: RequestTimes, now: Instant) -> Self {
        Self { times, framing: RequestFraming::default(), since: now, answered_early: None }
    }

    /// Records bytes that were received.
    pub(super) fn received(&mut self, bytes: &[u8], now: Instant) {
        let before = self.framing.reached();
        self.framing.scan(bytes, |_| ());
        let after = self.framing.reached();
        if before != after {
            // Empty lines between requests change nothing, so they keep no connection open.
            self.since = now;
            self.answered_early = None;
        } else if let Some((_, read)) = &mut self.answered_early {
            *read += bytes.len();
        }
    }

    /// Records that some of an answer was taken.
    pub(super) fn written(&mut self, now: Instant) {
        if self.framing.reached().1 == RequestPart::Between {
            self.since = now;
        }
    }

    /// Returns the number of requests that have arrived whole.
    pub(super) fn arrived(&self) -> u64 {
        match self.framing.reached() {
            (heads, RequestPart::Between | RequestPart::Head) => heads,
            // A line that is no request ends no head.
            (heads, RequestPart::Body | RequestPart::Endless) => heads.saturating_sub(1),
        }
    }

    /// Returns the next deadline if so many requests are answered; none while a handler works.
    pub(super) fn next(&mut self, answered: u64, now: Instant) -> Option<(Instant, MissedDeadline)> {
        let RequestTimes { head, idle, body } = self.times;
        Some(match self.framing.reached() {
            (heads, RequestPart::Between) if heads > answered => return None,
            (_, RequestPart::Between) => (self.since + idle, MissedDeadline::Idle),
            (_, RequestPart::Head) => (self.since + head, MissedDeadline::Head),
            (heads, RequestPart::Body) if heads <= answered => {
                let (began, _) = *self.answered_early.get_or_insert((now, 0));
                (began + REST_TIME, MissedDeadline::Rest)
            }
            (heads, RequestPart::Endless) if heads <= answered => (self.since + body, MissedDeadline::Rest),
            (_, RequestPart::Body | RequestPart::Endless) => (self.since + body + HANDLER_FIRST, MissedDeadline::Body),
        })
    }

    /// Returns whether no more is read of the body, because the request was answered and the rest is long.
    pub(super) fn is_rest_long(&self) -> bool {
        self.answered_early.is_some_and(|(_, read)| read > REST_MAX)
    }

    /// Returns the limits.
    pub(super) fn times(&self) -> RequestTimes {
        self.times
    }
}
