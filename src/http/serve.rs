//! Serving: one HTTP/1.1 server on a listener that is already bound.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpServer};

use super::guard;

/// What bounds a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Serving {
    /// Threads that serve.
    pub workers: usize,
    /// Connections a worker holds at once; further ones wait in the kernel's queue.
    pub connections_max: usize,
    /// How long a connection without a request stays open. Longer than peers keep theirs idle, so that the side that opens
    /// connections is the side that closes them, and no request meets a closing socket.
    pub keep_alive: Duration,
    /// How long the head of a request may take.
    pub head_timeout: Duration,
    /// How long requests under way may take once the server is stopped gracefully.
    pub drain: Duration,
}

impl Default for Serving {
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

/// How long a connection that was told to close may take to do so.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Serve what `configure` brings, on a bound listener; port 0 has become a port by then, and the caller knows which.
///
/// The server runs while the returned future is polled: spawn it. Its `handle().stop(true)` ends it, after the requests
/// under way or after [`Serving::drain`]. Signals are the caller's business.
pub fn serve<F>(listener: TcpListener, serving: Serving, configure: F) -> io::Result<Server>
where
    F: Fn(&mut ServiceConfig) + Clone + Send + 'static,
{
    let app = move || App::new().wrap(from_fn(guard::protect)).configure(configure.clone());
    let server = HttpServer::new(app)
        .workers(serving.workers.max(1))
        .max_connections(serving.connections_max)
        .keep_alive(serving.keep_alive)
        .client_request_timeout(serving.head_timeout)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .shutdown_timeout(super::refusal::whole_seconds(serving.drain))
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}
