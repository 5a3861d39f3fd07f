//! The server of one page: files, calls and the stream.

use std::net::TcpListener;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, JsonConfig, QueryConfig};
use actix_web::{App, HttpResponse, HttpServer, ResponseError};

use crate::tools::demo::page::error::PageError;
use crate::tools::demo::page::messenger::PageMessenger;
use crate::tools::demo::page::state::PageState;
use crate::tools::demo::page::{calls, files, guard, stream};

/// Maximum bytes of a call's body.
const BODY_MAX: usize = 64 << 10;

/// Serves a page; `messenger` is the URL of the messenger API. The server runs while the returned future is polled.
pub(super) fn serve(state: PageState, messenger: String, listener: TcpListener) -> std::io::Result<Server> {
    let app = move || {
        App::new()
            .wrap(from_fn(guard::guard))
            .app_data(Data::new(state.clone()))
            .app_data(Data::new(PageMessenger::new(&messenger)))
            .app_data(JsonConfig::default().limit(BODY_MAX).error_handler(|error, _| PageError::from(error).into()))
            .app_data(QueryConfig::default().error_handler(|error, _| PageError::from(error).into()))
            .configure(files::configure)
            .configure(calls::configure)
            .route("/api/stream", web::get().to(stream::get))
            .default_service(web::to(no_route))
    };
    Ok(HttpServer::new(app).workers(1).disable_signals().shutdown_timeout(1).listen(listener)?.run())
}

async fn no_route() -> HttpResponse {
    PageError::NoRoute.error_response()
}
