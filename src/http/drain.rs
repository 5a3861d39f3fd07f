//! Connection draining: when the gateway stops, requests in flight are counted and finished; later ones get a response
//! that asks for a retry, for as long as the listeners run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};
use tokio::sync::Notify;

use crate::http::body::encoded::BodyEncoding;

/// The drain state that all listeners of a gateway share.
#[derive(Clone, Default)]
pub struct DrainSignal(Arc<DrainShared>);

#[derive(Default)]
struct DrainShared {
    closed: AtomicBool,
    under_way: AtomicUsize,
    ended: Notify,
}

/// Returns the response to a request for a path, in an encoding, while draining; `None` serves the request.
pub type DrainingResponse = fn(&str, BodyEncoding) -> Option<HttpResponse>;

/// The drain state with the response of one listener, for [`count_in_flight`]. It is put into the application's data.
#[derive(Clone)]
pub struct DrainGate {
    closing: DrainSignal,
    draining_response: DrainingResponse,
}

/// A request in flight, counted until it is dropped.
pub struct InFlightRequest(DrainSignal);

impl DrainSignal {
    /// Returns the state for a listener on which `later` gives the responses while draining.
    pub fn door(&self, later: DrainingResponse) -> DrainGate {
        DrainGate { closing: self.clone(), draining_response: later }
    }

    /// Starts draining: no new request is served from now on.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
    }

    /// Completes when no request is in flight.
    pub async fn idle(&self) {
        while self.0.under_way.load(Ordering::SeqCst) > 0 {
            self.0.ended.notified().await;
        }
    }

    fn enter(&self) -> InFlightRequest {
        self.0.under_way.fetch_add(1, Ordering::SeqCst);
        InFlightRequest(self.clone())
    }
}

impl DrainGate {
    /// Counts a request until the result is dropped; the error is the response while draining.
    pub fn enter(&self, request: &ServiceRequest) -> Result<InFlightRequest, Box<HttpResponse>> {
        let is_closed = self.closing.0.closed.load(Ordering::SeqCst);
        let answer = || (self.draining_response)(request.path(), BodyEncoding::of(request.headers()));
        match is_closed.then(answer).flatten() {
            Some(answer) => Err(Box::new(answer)),
            None => Ok(self.closing.enter()),
        }
    }
}

impl Drop for InFlightRequest {
    fn drop(&mut self) {
        // `notify_one` stores a permit when nobody waits yet; `idle` re-checks the counter after each wake-up.
        if self.0.0.under_way.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.0.ended.notify_one();
        }
    }
}

/// Middleware for a scope. A request counts from the time its head is read, or a signed one from the time it is authenticated, which
/// needs its body. While draining it is refused.
pub async fn count_in_flight(
    gate: web::Data<DrainGate>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let _under_way = match gate.enter(&request) {
        Ok(under_way) => under_way,
        Err(answer) => return Ok(request.into_response(*answer)),
    };
    next.call(request).await.map(ServiceResponse::map_into_boxed_body)
}
