//! The server of one page: files, calls and the stream.

use std::net::TcpListener;
use std::sync::Arc;

use actix_web::dev::Server;
use actix_web::error::{Error, JsonPayloadError, QueryPayloadError};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, JsonConfig, QueryConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, ResponseError};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::tools::demo::network::DemoNetwork;
use crate::tools::demo::page::error::PageError;
use crate::tools::demo::page::messenger::PageMessenger;
use crate::tools::demo::page::{calls, files, guard, stream};

/// Maximum streams of one page server, one for each open page.
pub(super) const STREAMS_MAX: usize = 32;

/// Maximum bytes of a call's body.
const BODY_MAX: usize = 64 << 10;

/// A server of the demo and the address of its page.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ServerAddress {
    pub(super) name: &'static str,
    pub(super) page: String,
}

/// The server of the page at one place of the demo's names.
#[derive(Debug, Clone)]
pub(super) struct PageServer {
    pub(super) at: usize,
    pub(super) servers: Arc<[ServerAddress]>,
    pub(super) network: DemoNetwork,
    /// Permits for streams.
    pub(super) streams: Arc<Semaphore>,
    messenger: String,
}

impl PageServer {
    /// Returns the server; `messenger` is the URL of the messenger API.
    pub(super) fn new(at: usize, servers: Vec<ServerAddress>, messenger: String, network: DemoNetwork) -> Self {
        let streams = Arc::new(Semaphore::new(STREAMS_MAX));
        Self { at, servers: servers.into(), network, streams, messenger }
    }

    /// Returns the name of the server.
    pub(super) fn name(&self) -> &'static str {
        self.servers[self.at].name
    }

    /// Serves the page. The server runs while the returned future is polled.
    pub(super) fn serve(self, listener: TcpListener) -> std::io::Result<Server> {
        let app = move || {
            App::new()
                .wrap(from_fn(guard::guard))
                .app_data(Data::new(self.clone()))
                .app_data(Data::new(PageMessenger::new(&self.messenger)))
                .app_data(JsonConfig::default().limit(BODY_MAX).error_handler(unreadable_body))
                .app_data(QueryConfig::default().error_handler(unreadable_query))
                .configure(files::configure)
                .configure(calls::configure)
                .route("/api/stream", web::get().to(stream::get))
                .default_service(web::to(no_route))
        };
        Ok(HttpServer::new(app).workers(1).disable_signals().shutdown_timeout(1).listen(listener)?.run())
    }
}

async fn no_route() -> HttpResponse {
    PageError::NoRoute.error_response()
}

fn unreadable_body(error: JsonPayloadError, _: &HttpRequest) -> Error {
    PageError::Unreadable(error.to_string()).into()
}

fn unreadable_query(error: QueryPayloadError, _: &HttpRequest) -> Error {
    PageError::Unreadable(error.to_string()).into()
}
