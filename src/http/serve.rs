//! Runs an HTTP/1.1 server on a listener that is already bound.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::HttpService;
use actix_server::ServerBuilder;
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_factory, fn_service, map_config};
use actix_web::App;
use actix_web::dev::{AppConfig, Extensions, Server};
use actix_web::rt::net::{TcpStream, UnixStream};
use actix_web::web::ServiceConfig;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::http::error_middleware::ErrorMiddleware;
use crate::http::listener::bound_listener::BoundListener;
use crate::http::listener::caller_deadlines::RequestTimes;
use crate::http::listener::client_stream::ConnectionFacts;
use crate::http::listener::connection_admission::ConnectionAdmission;
use crate::http::listener::watched_socket::BlockedWrites;
use crate::http::serve::connection_rules::{ConnectionRules, Stream, serve_connection};
use crate::raw_targets::stream::RawTargets;

/// The limits of a server.
#[derive(Debug, Clone)]
pub struct ListenerLimits {
    /// Number of worker threads.
    pub workers: usize,
    /// Maximum number of connections per worker; further ones wait in the kernel's queue.
    pub connections_max: usize,
    /// Times that callers have. A connection may idle longer than peers keep their connections idle, so that the side that opens
    /// connections also closes them, and no request meets a closing socket.
    pub times: RequestTimes,
    /// Maximum time for requests in flight after a graceful stop.
    pub drain: Duration,
    /// TLS, and the limits that apply before a request is read.
    pub admission: Arc<ConnectionAdmission>,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            workers: 2,
            connections_max: 4_096,
            times: RequestTimes::default(),
            drain: Duration::from_secs(30),
            admission: Arc::default(),
        }
    }
}

/// The application of every listener, with its routes. It is a macro because the type cannot be named as a return type.
macro_rules! application {
    ($configure:expr) => {
        App::new().wrap(ErrorMiddleware).configure($configure.clone())
    };
}

/// Time after which the HTTP library closes an idle connection. It keeps connections open only if it has such a time; [`TimedStream`]
/// ends them before.
const LIBRARY_KEEP_ALIVE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Maximum time that a connection takes to close.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves the routes of `configure` on a bound listener. The caller knows the port, even if it asked for port 0.
///
/// The server runs while the returned future is polled, so the caller must spawn it. `handle().stop(true)` ends it
/// after the requests in flight, or after [`ListenerLimits::drain`]. The caller handles signals.
pub fn serve<F>(listener: impl Into<BoundListener>, limits: &ListenerLimits, configure: F) -> io::Result<Server>
where
    F: Fn(&mut ServiceConfig) + Clone + Send + 'static,
{
    serve_streams(listener.into(), limits, configure, |io| io)
}

/// The same, for listeners whose callers write a raw `#` into request targets.
pub fn serve_raw_targets<F>(
    listener: impl Into<BoundListener>,
    limits: &ListenerLimits,
    configure: F,
) -> io::Result<Server>
where
    F: Fn(&mut ServiceConfig) + Clone + Send + 'static,
{
    serve_streams(listener.into(), limits, configure, RawTargets::new)
}

/// A stream around a connection.
trait AroundConnection {
    /// Returns the facts about the connection.
    fn facts(&self) -> &ConnectionFacts;
}

impl<T: BlockedWrites> AroundConnection for Stream<T> {
    fn facts(&self) -> &ConnectionFacts {
        self.inner().facts()
    }
}

impl AroundConnection for RawTargets<Stream> {
    fn facts(&self) -> &ConnectionFacts {
        self.inner().facts()
    }
}

/// Returns the HTTP service of one listener for streams of type `$stream`. It is a macro because its type cannot be named.
macro_rules! http_service {
    ($stream:ty, $stops:expr, $local:expr, $configure:expr) => {{
        let stops = $stops;
        let app = application!($configure).into_factory().map_err(|error: actix_web::Error| error.error_response());
        HttpService::build()
            .keep_alive(LIBRARY_KEEP_ALIVE)
            // The library's deadline is for the first head alone.
            .client_request_timeout(Duration::ZERO)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .local_addr($local)
            .on_connect_ext(|io: &$stream, data: &mut Extensions| {
                data.insert(io.facts().clone());
            })
            // Without this signal a stop would wait for idle connections.
            .graceful_shutdown_signal(move || {
                let stops = stops.clone();
                async move { stops.notified().await }
            })
            .finish(map_config(app, |()| AppConfig::default()))
    }};
}

/// Returns the service for connections of one kind of socket. It is a macro because its type cannot be named.
macro_rules! service {
    ($socket:ty, $limits:expr, $stops:expr, $local:expr, $configure:expr, $wrap:expr) => {{
        let (limits, stops, local, configure, wrap) = ($limits.clone(), $stops.clone(), $local, $configure, $wrap);
        move || {
            let http = http_service!(S, stops.clone(), local, configure);
            let rules = Arc::new(ConnectionRules {
                admission: Arc::clone(&limits.admission),
                times: limits.times,
                stops: stops.clone(),
                wrap,
            });
            fn_factory(move || {
                let (http, rules) = (http.new_service(()), Arc::clone(&rules));
                async move {
                    let http = Rc::new(http.await?);
                    Ok::<_, ()>(fn_service::<_, _, _, _, _, ()>(move |io: $socket| {
                        serve_connection(io, Arc::clone(&rules), Rc::clone(&http))
                    }))
                }
            })
        }
    }};
}

/// Serves a listener as the library's `HttpServer` does. `HttpServer` itself does not allow our streams between socket and
/// parser.
fn serve_streams<F, S>(
    listener: BoundListener,
    limits: &ListenerLimits,
    configure: F,
    wrap: fn(Stream) -> S,
) -> io::Result<Server>
where
    F: Fn(&mut ServiceConfig) + Clone + Send + 'static,
    S: AsyncRead + AsyncWrite + AroundConnection + Unpin + 'static,
{
    let builder = ServerBuilder::default();
    let stops = builder.graceful_shutdown_signal();
    let builder = builder
        .workers(limits.workers.max(1))
        .max_concurrent_connections(limits.connections_max)
        .shutdown_timeout(crate::http::error::whole_seconds(limits.drain))
        .disable_signals();
    // An address for the library's own use: a Unix socket has none.
    let local = listener.address().unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
    let server = match listener {
        BoundListener::Tcp(listener) => {
            builder.listen("http", listener, service!(TcpStream, limits, stops, local, configure, wrap))?
        }
        BoundListener::Unix(listener, file) => {
            let file = Arc::new(file);
            let configure = move |config: &mut ServiceConfig| {
                // The socket file is removed when the last worker ends.
                config.app_data(Arc::clone(&file));
                configure(config);
            };
            builder.listen_uds("http", listener, service!(UnixStream, limits, stops, local, configure, wrap))?
        }
    };
    Ok(server.run())
}

mod connection_rules;
#[cfg(test)]
mod tests;
