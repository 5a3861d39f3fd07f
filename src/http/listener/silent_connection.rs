//! A connection that has said nothing yet: its socket, its entry in the table of connections, and one timer.
//!
//! A TLS session, an HTTP parser and their buffers take some 20 KB. They are made when the first byte is there, because anybody can
//! open connections and say nothing.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use crate::http::listener::client_stream::AcceptedSocket;
use crate::http::listener::connection_table::OpenConnection;

/// A connection of which nothing was read.
pub(crate) struct SilentConnection<T> {
    pub(super) io: T,
    /// Address of the caller; `None` for a Unix socket. It is asked for at once, because a socket that was reset has none.
    pub(super) caller: Option<SocketAddr>,
    /// Entry in the table of connections, if the listener has one.
    pub(super) entry: Option<Arc<OpenConnection>>,
    /// Time at which it was accepted; the deadlines count from it.
    pub(super) since: Instant,
}

/// The end of a connection's silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SilenceEnd {
    /// There is something to read, or the caller has closed its side.
    Readable,
    /// The deadline has passed.
    Late,
    /// It makes room for another connection, or the listener stops.
    Closed,
}

impl<T: AcceptedSocket> SilentConnection<T> {
    /// Waits for the first byte until this time, or until the listener stops.
    pub(super) async fn end_of_silence(&self, until: Instant, stop: impl Future<Output = ()>) -> SilenceEnd {
        let closed = async {
            match &self.entry {
                Some(entry) => entry.closed().cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // What has arrived is served, also if the listener stops in this moment.
            biased;
            // A socket that fails fails again when it is read.
            _ = poll_fn(|cx| self.io.poll_readable(cx)) => SilenceEnd::Readable,
            () = closed => SilenceEnd::Closed,
            () = stop => SilenceEnd::Closed,
            () = sleep_until(until) => SilenceEnd::Late,
        }
    }
}
