//! Runs an HTTP/1.1 server on a listener that is already bound.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use actix_http::HttpService;
use actix_http::Protocol;
use actix_http::error::DispatchError;
use actix_server::ServerBuilder;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::App;
use actix_web::dev::{AppConfig, Server};
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::web::ServiceConfig;
use tokio::io::{AsyncRead, AsyncWrite};

use super::refused_head::RefusedHeads;
use crate::http::error_middleware;
use crate::raw_targets::stream::RawTargets;

/// The limits of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerHandle {
    /// Number of worker threads.
    pub workers: usize,
    /// Maximum number of connections per worker; further ones wait in the kernel's queue.
    pub connections_max: usize,
    /// Time after which an idle connection is closed. It is longer than peers keep their connections idle, so that the
    /// side that opens connections also closes them, and no request meets a closing socket.
    pub keep_alive: Duration,
    /// Maximum time for the head of a request.
    pub head_timeout: Duration,
    /// Maximum time for requests in flight after a graceful stop.
    pub drain: Duration,
}

impl Default for ListenerHandle {
    fn default() -> Self {
        Self {
            workers: 2,
            connections_max: 4_096,
            keep_alive: Duration::from_secs(75),
            head_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(30),
        }
    }
}

/// The application of every listener, with its routes. It is a macro because the type cannot be named as a return type.
macro_rules! application {
    ($configure:expr) => {
        App::new().wrap(from_fn(error_middleware::error_middleware)).configure($configure.clone())
    };
}

/// Maximum time that a connection takes to close.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves the routes of `configure` on a bound listener. The caller knows the port, even if it asked for port 0.
///
/// The server runs while the returned future is polled, so the caller must spawn it. `handle().stop(true)` ends it
/// after the requests in flight, or after [`ListenerHandle::drain`]. The caller handles signals.
pub fn serve<F>(listener: TcpListener, serving: ListenerHandle, configure: F) -> io::Result<Server>
where
    F: Fn(&mut ServiceConfig) + Clone + Send + 'static,
{
    serve_streams(listener, serving, configure, |io| io)
}

/// The same, for listeners whose callers write a raw `#` into request targets.
pub fn serve_raw_targets<F>(listener: TcpListener, serving: ListenerHandle, configure: F) -> io::Result<Server>
where
    F: Fn(&mut ServiceConfig) + Clone + Send + 'static,
{
    serve_streams(listener, serving, configure, RawTargets::new)
}

/// A connection on which the refusals of the HTTP library get a reason.
type Stream = RefusedHeads<TcpStream>;

/// Serves a listener as the library's `HttpServer` does. `HttpServer` itself does not allow our streams between socket and
/// parser.
fn serve_streams<F, S>(
    listener: TcpListener,
    serving: ListenerHandle,
    configure: F,
    wrap: fn(Stream) -> S,
) -> io::Result<Server>
where
    F: Fn(&mut ServiceConfig) + Clone + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let builder = ServerBuilder::default();
    let stops = builder.graceful_shutdown_signal();
    let local = listener.local_addr()?;
    let service = move || {
        let stops = stops.clone();
        let app = application!(configure).into_factory().map_err(|error: actix_web::Error| error.error_response());
        let http = HttpService::build()
            .keep_alive(serving.keep_alive)
            .client_request_timeout(serving.head_timeout)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .local_addr(local)
            // Without this signal a stop would wait for idle connections.
            .graceful_shutdown_signal(move || {
                let stops = stops.clone();
                async move { stops.notified().await }
            })
            .finish(map_config(app, |()| AppConfig::default()));
        fn_service(move |io: TcpStream| async move {
            // A failure only costs latency.
            let _ = io.set_nodelay(true);
            let caller = io.peer_addr().ok();
            let stream = wrap(RefusedHeads::new(io, serving.head_timeout));
            Ok::<_, DispatchError>((stream, Protocol::Http1, caller))
        })
        .and_then(http)
    };
    let server = builder
        .workers(serving.workers.max(1))
        .max_concurrent_connections(serving.connections_max)
        .shutdown_timeout(crate::http::error::whole_seconds(serving.drain))
        .disable_signals()
        .listen("http", listener, service)?;
    Ok(server.run())
}
