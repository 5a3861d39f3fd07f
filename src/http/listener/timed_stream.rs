//! A connection with deadlines: for each head, each body, the time between requests, and an answer that the caller does not take.
//!
//! It has one timer and no task. The timer is set only when a deadline is earlier than the one it is set to; if it wakes the
//! connection too early, it is set again.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::http::listener::caller_deadlines::{CallerDeadlines, MissedDeadline, RequestTimes};
use crate::http::listener::client_stream::ConnectionFacts;
use crate::http::listener::connection_progress::ConnectionProgress;
use crate::http::listener::watched_socket::BlockedWrites;

/// Time after which a connection is closed whose caller takes no byte of an answer. The socket's buffer is full then, so the caller has
/// stopped reading; a network that loses packets delivers some within this time.
const BLOCKED_MAX: Duration = Duration::from_secs(30);

/// Time after a missed deadline in which the HTTP library may close the connection itself. It reads nothing, and so learns of no
/// deadline, while a handler reads its body slowly.
const UNREAD_MAX: Duration = Duration::from_secs(1);

/// A byte that no request head may contain: the parser refuses the head, in its order after earlier requests.
const END_OF_LATE_HEAD: &[u8] = b"\0";

/// A stream that ends, or fails, when a deadline has passed.
#[derive(Debug)]
pub struct TimedStream<T> {
    io: T,
    facts: ConnectionFacts,
    deadlines: CallerDeadlines,
    timer: Option<Pin<Box<Sleep>>>,
    /// The task that the timer wakes.
    woken: Option<Waker>,
    /// True if nothing more is read.
    is_ended: bool,
}

impl<T: BlockedWrites> TimedStream<T> {
    /// Wraps a connection from its first byte on.
    pub fn new(io: T, facts: ConnectionFacts, times: RequestTimes) -> Self {
        let deadlines = CallerDeadlines::new(times, Instant::now());
        Self { io, facts, deadlines, timer: None, woken: None, is_ended: false }
    }

    /// Returns the facts about the connection.
    pub fn facts(&self) -> &ConnectionFacts {
        &self.facts
    }

    fn progress(&self) -> &Arc<ConnectionProgress> {
        &self.facts.progress
    }

    /// Returns the deadline that passed at least `ago`, and sets the timer to the next one.
    fn missed(&mut self, cx: &mut Context<'_>, ago: Duration) -> io::Result<Option<MissedDeadline>> {
        let now = Instant::now();
        let blocked = self.io.blocked_since().map(|since| since + BLOCKED_MAX);
        if blocked.is_some_and(|at| at <= now) {
            return Err(io::Error::new(ErrorKind::TimedOut, "the caller takes no byte of the answer"));
        }
        let answered = self.progress().answered();
        let next = (!self.is_ended).then(|| self.deadlines.next(answered, now)).flatten();
        let next = next.map(|(at, what)| (at + ago, what));
        if let Some((at, what)) = next
            && at <= now
        {
            return Ok(Some(what));
        }
        if let Some(at) = next.map(|(at, _)| at).into_iter().chain(blocked).min() {
            self.wake_at(cx, at);
        }
        Ok(None)
    }

    fn wake_at(&mut self, cx: &mut Context<'_>, at: Instant) {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() > at {
            timer.as_mut().reset(at);
            self.woken = None;
        }
        // It wakes the task of its last poll, which is that of this one as a rule; a request comes here several times.
        if !timer.is_elapsed() && self.woken.as_ref().is_some_and(|woken| woken.will_wake(cx.waker())) {
            return;
        }
        self.woken = None;
        // A timer that was set to an earlier deadline has passed; this one has not.
        while timer.as_mut().poll(cx).is_ready() {
            timer.as_mut().reset(at);
            if at <= Instant::now() {
                cx.waker().wake_by_ref();
                return;
            }
        }
        self.woken = Some(cx.waker().clone());
    }

    /// Ends what is read because of a missed deadline.
    fn end(&mut self, missed: MissedDeadline, buf: &mut ReadBuf<'_>) {
        let RequestTimes { head, body, .. } = self.deadlines.times();
        self.is_ended = true;
        match missed {
            MissedDeadline::Idle | MissedDeadline::Rest => {}
            MissedDeadline::Head => {
                self.progress().count("federation.header_timeout");
                self.progress().head_is_late(head);
                buf.put_slice(END_OF_LATE_HEAD);
            }
            MissedDeadline::Body => {
                self.progress().count("federation.body_timeout");
                self.progress().body_is_late(body);
            }
        }
    }

    /// Fails if the connection ought to have been closed by the reader.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.missed(cx, UNREAD_MAX)? {
            None => Ok(()),
            Some(_) => Err(io::Error::new(ErrorKind::TimedOut, "the deadline of the request has passed")),
        }
    }
}

impl<T: AsyncRead + BlockedWrites + Unpin> AsyncRead for TimedStream<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let missed = this.missed(cx, Duration::ZERO)?;
        if this.is_ended {
            return Poll::Ready(Ok(()));
        }
        if let Some(missed) = missed {
            this.end(missed, buf);
            return Poll::Ready(Ok(()));
        }
        if this.deadlines.is_rest_long() {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        let came = &buf.filled()[before..];
        this.is_ended = came.is_empty();
        if this.is_ended {
            this.progress().end();
        }
        this.deadlines.received(came, Instant::now());
        this.progress().arrived(this.deadlines.arrived());
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + BlockedWrites + Unpin> TimedStream<T> {
    fn wrote<R>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        match written {
            Poll::Ready(Ok(_)) => self.deadlines.written(Instant::now()),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.check(cx)?,
        }
        written
    }
}

impl<T: AsyncWrite + BlockedWrites + Unpin> AsyncWrite for TimedStream<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, buf);
        this.wrote(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        // The library flushes in every turn, also in those in which it does not read.
        this.check(cx)?;
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let closed = Pin::new(&mut this.io).poll_shutdown(cx);
        if closed.is_pending() {
            this.check(cx)?;
        }
        closed
    }
}
