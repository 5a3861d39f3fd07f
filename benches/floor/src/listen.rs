//! Listening with TLS: each connection goes through the handshake and then to the same routes.

use actix_http::{HttpService, Protocol};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, map_config};
use actix_web::App;
use actix_web::dev::AppConfig;
use actix_web::rt::spawn;
use actix_web::web::ServiceConfig;
use std::io::{Error, Result};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Serves the routes to callers that have a certificate, on the thread that polls this, until the process ends.
pub(crate) async fn serve_tls(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    routes: impl FnOnce(&mut ServiceConfig),
) -> Result<()> {
    let app = App::new().configure(routes).into_factory().map_err(|error: actix_web::Error| error.error_response());
    let service = HttpService::<TlsStream<TcpStream>, _, _>::build()
        .keep_alive(Duration::from_secs(120))
        .client_request_timeout(Duration::ZERO)
        .finish(map_config(app, |()| AppConfig::default()));
    let service = Rc::new(service.new_service(()).await.map_err(|()| Error::other("the routes cannot be served"))?);
    loop {
        let (socket, caller) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let (service, acceptor) = (service.clone(), acceptor.clone());
        spawn(async move {
            // A caller without a certificate learns it from the handshake.
            let Ok(stream) = acceptor.accept(socket).await else { return };
            // The end of a connection is no error of the relay.
            let _ = service.call((stream, Protocol::Http1, Some(caller))).await;
        });
    }
}
