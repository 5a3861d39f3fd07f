//! The listener for peers: requests from the network pass the real handlers of a gateway.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::Request;
use actix_web::body::{BoxBody, MessageBody, to_bytes};
use actix_web::dev::{Extensions, Service, ServiceRequest, ServiceResponse};
use actix_web::http::{Method as HttpMethod, header};
use actix_web::middleware::{Next, from_fn};
use actix_web::test::{TestRequest, init_service};
use actix_web::web::Data;
use actix_web::{App, Error, HttpMessage};
use actors::gateway::Gateway;
use fernpost::egress::EgressMethod;
use fernpost::http::authentication::{ORIGIN_HEADER, PeerAuthPolicy};
use fernpost::http::body::BodyLimit;
use fernpost::http::error_middleware::ErrorMiddleware;
use fernpost::wire::FederationCore;
use fernpost::wire::pdu::relay_judge::RelayJudge;
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use crate::keys::TrustingRelayJudge;
use crate::network::{GatewayAnswer, InboundCall, TestNetwork};
use crate::peers::{PeersByAddress, address};
use crate::toy_dialect::TEST_DIALECTS;

/// The service that answers for all gateways of a thread; each request has the state of its own gateway.
type Answering = &'static dyn Fn(Request) -> Answered;

type Answered = Pin<Box<dyn Future<Output = Result<ServiceResponse<BoxBody>, Error>>>>;

thread_local! {
    /// The paths are compiled once, because this takes longer than everything else at a gateway's start. The service is
    /// never dropped: at the end of its thread it would access thread-local data of the HTTP library that may be gone.
    static APP: Cell<Option<Answering>> = const { Cell::new(None) };
}

async fn app() -> Answering {
    if let Some(app) = APP.get() {
        return app;
    }
    let app = App::new().wrap(ErrorMiddleware).wrap(from_fn(stand_on)).configure(|config| TEST_DIALECTS.paths(config));
    let service = init_service(app).await;
    let app: Answering = Box::leak(Box::new(move |request| {
        let answered = service.call(request);
        Box::pin(async move { Ok(answered.await?.map_into_boxed_body()) }) as Answered
    }));
    APP.set(Some(app));
    app
}

/// Adds the state of its gateway to a request.
async fn stand_on(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let ground = request.extensions().get::<Rc<Extensions>>().cloned();
    request.add_data_container(ground.expect("each request brings it"));
    next.call(request).await
}

/// The listener of one gateway.
pub struct PeerListener {
    app: Answering,
    ground: Rc<Extensions>,
}

impl PeerListener {
    /// Returns the listener of this gateway. Each of its peers is known by the address that [`address`] returns.
    pub async fn of(gateway: &Gateway, judge: Arc<dyn RelayJudge>) -> Self {
        let intake: Arc<dyn FederationCore> = Arc::new(gateway.clone());
        let admission: Arc<dyn PeerAuthPolicy> = Arc::new(PeersByAddress(gateway.ports().roster.clone()));
        let mut ground = Extensions::new();
        ground.insert(Data::from(intake));
        ground.insert(Data::from(admission));
        ground.insert(Data::from(judge));
        ground.insert(BodyLimit::default());
        Self { app: app().await, ground: Rc::new(ground) }
    }

    /// Makes the gateway reachable in the network until the tasks of this thread end. It takes every server's word.
    pub async fn join(gateway: &Gateway, network: &TestNetwork) {
        let (door, calls) = mpsc::unbounded_channel();
        network.open(gateway.ports().us.clone(), door);
        spawn_local(Self::of(gateway, Arc::new(TrustingRelayJudge)).await.serve(calls));
    }

    /// Responds to the calls, each in a task of its own.
    pub async fn serve(self, mut calls: mpsc::UnboundedReceiver<InboundCall>) {
        while let Some(call) = calls.recv().await {
            let request = written(&call).to_request();
            request.extensions_mut().insert(self.ground.clone());
            let asked = (self.app)(request);
            spawn_local(answer(call, asked));
        }
    }
}

async fn answer(call: InboundCall, asked: Answered) {
    let response = match asked.await {
        Ok(response) => response.into_parts().1,
        Err(error) => error.error_response(),
    };
    let status = response.status().as_u16();
    let seconds = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = to_bytes(response.into_body()).await.map_err(|_| "a body that breaks off").unwrap();
    // The caller may have disconnected.
    let _ = call.answer.send(GatewayAnswer { status, retry_after: seconds.map(Duration::from_secs), body });
}

/// Returns a request as it is read from a socket.
fn written(call: &InboundCall) -> TestRequest {
    let method = match call.request.method {
        EgressMethod::Get => HttpMethod::GET,
        EgressMethod::Post => HttpMethod::POST,
        EgressMethod::Put => HttpMethod::PUT,
    };
    let request = TestRequest::default().method(method).uri(&call.request.path);
    let request =
        request.insert_header((ORIGIN_HEADER, call.from.as_str())).peer_addr((address(&call.from), 5000).into());
    request.set_payload(call.request.body.clone())
}
