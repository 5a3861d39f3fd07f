//! The way of an accepted connection to the HTTP library: it waits for the first byte, then makes the TLS handshake, then has requests.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use actix_http::Protocol;
use actix_http::error::DispatchError;
use actix_server::GracefulShutdownSignal;
use actix_service::Service;

use crate::http::listener::caller_deadlines::RequestTimes;
use crate::http::listener::client_stream::{AcceptedSocket, ClientStream, ConnectionFacts};
use crate::http::listener::connection_admission::ConnectionAdmission;
use crate::http::listener::timed_stream::TimedStream;
use crate::http::listener::watched_socket::BlockedWrites;
use crate::http::refused_head::RefusedHeads;

/// A connection with deadlines, on which the refusals of the HTTP library get a reason.
pub(super) type Stream<T = ClientStream> = RefusedHeads<TimedStream<T>>;

/// Returns a connection with deadlines.
pub(super) fn timed<T: BlockedWrites>(io: T, facts: ConnectionFacts, times: RequestTimes) -> Stream<T> {
    let progress = Arc::clone(&facts.progress);
    RefusedHeads::new(TimedStream::new(io, facts, times), progress)
}

/// The rules for the connections of a listener.
pub(super) struct ConnectionRules<S> {
    /// TLS, and the limits that apply before a request is read.
    pub(super) admission: Arc<ConnectionAdmission>,
    /// Times that callers have.
    pub(super) times: RequestTimes,
    /// The stop of the listener.
    pub(super) stops: GracefulShutdownSignal,
    /// The stream around the connection that the listener's dialects need.
    pub(super) wrap: fn(Stream) -> S,
}

/// Serves a connection from its acceptance on.
///
/// The future is small until the first byte is there: what handshake and requests need is a future of its own on the heap, because a
/// future is as large as its largest state.
pub(super) async fn serve_connection<T, S, H>(
    io: T,
    rules: Arc<ConnectionRules<S>>,
    http: Rc<H>,
) -> Result<(), DispatchError>
where
    T: AcceptedSocket,
    H: Service<(S, Protocol, Option<SocketAddr>), Response = (), Error = DispatchError>,
{
    let ConnectionRules { admission, times, stops, .. } = &*rules;
    let Some(silent) = admission.enter(io) else { return Ok(()) };
    if !admission.is_heard(&silent, times.idle, stops.notified()).await {
        return Ok(());
    }
    let heard = async {
        let Some((stream, caller)) = Box::pin(admission.begin(silent)).await else { return Ok(()) };
        let facts = stream.facts().clone();
        let stream = (rules.wrap)(timed(stream, facts, *times));
        http.call((stream, Protocol::Http1, caller)).await
    };
    Box::pin(heard).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix_server::ServerBuilder;
    use actix_service::fn_service;
    use actix_web::rt::net::UnixStream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;

    use super::*;
    use crate::http::listener::connection_table::{ConnectionLimits, ConnectionTable};
    use crate::telemetry::limit_counts::LimitCounts;

    /// Most bytes of a connection's future while nothing was read.
    const SILENT_MAX: usize = 1024;

    fn rules(table: Option<&ConnectionTable>) -> Arc<ConnectionRules<Stream>> {
        let mut admission = ConnectionAdmission::default();
        if let Some(table) = table {
            admission = admission.limited_by(table.clone(), Arc::new(|_| false), LimitCounts::default());
        }
        Arc::new(ConnectionRules {
            admission: Arc::new(admission),
            times: RequestTimes::default(),
            stops: ServerBuilder::default().graceful_shutdown_signal(),
            wrap: |stream| stream,
        })
    }

    /// Serves a socket by a service that reads one byte and fails; returns true if it was called.
    async fn reaches_http(socket: UnixStream, rules: Arc<ConnectionRules<Stream>>) -> bool {
        let http = fn_service::<_, _, _, _, _, ()>(async |(mut stream, ..): (Stream, Protocol, Option<SocketAddr>)| {
            assert_eq!(stream.read_u8().await.expect("a byte"), b'G');
            Err(DispatchError::InternalError)
        });
        let serving = serve_connection(socket, rules, Rc::new(http));
        assert!(size_of_val(&serving) < SILENT_MAX, "{}", size_of_val(&serving));
        serving.await.is_err()
    }

    #[actix_web::test]
    async fn silent_connection_ends_when_idle() {
        tokio::time::pause();
        let (mut outside, inside) = UnixStream::pair().expect("sockets");
        let began = Instant::now();
        assert!(!reaches_http(inside, rules(None)).await);
        assert_eq!(began.elapsed().as_secs(), 75);
        assert_eq!(outside.read_to_end(&mut Vec::new()).await.expect("closed"), 0);
    }

    #[actix_web::test]
    async fn first_byte_begins_request() {
        let (mut outside, inside) = UnixStream::pair().expect("sockets");
        let served = actix_web::rt::spawn(reaches_http(inside, rules(None)));
        tokio::task::yield_now().await;
        assert!(!served.is_finished());
        outside.write_all(b"G").await.expect("sent");
        assert!(served.await.expect("no panic"));
    }

    #[actix_web::test]
    async fn silent_connection_makes_room() {
        let limits = ConnectionLimits { connections_max: 1, per_address: 1 };
        let table = ConnectionTable::new(limits, LimitCounts::default());
        let rules = rules(Some(&table));
        let [(_silent, first), (mut heard, second)] = [(); 2].map(|()| UnixStream::pair().expect("sockets"));
        let first = actix_web::rt::spawn(reaches_http(first, Arc::clone(&rules)));
        while table.is_empty() {
            tokio::task::yield_now().await;
        }
        let second = actix_web::rt::spawn(reaches_http(second, rules));
        let ended = tokio::time::timeout(Duration::from_secs(20), first).await;
        assert!(!ended.expect("it makes room").expect("no panic"));
        heard.write_all(b"G").await.expect("sent");
        assert!(second.await.expect("no panic") && table.is_empty());
    }
}
