//! The pushes of peers as direct routes, in every dialect.

use std::rc::Rc;
use std::sync::Arc;

use actix_web::dev::{Extensions, ServiceRequest};
use actix_web::http::header::HeaderValue;
use actix_web::web::Data;

use crate::http::authentication::CallerChecks;
use crate::http::body::encoded_errors::EncodedPaths;
use crate::http::drain::DrainGate;
use crate::http::error_middleware::direct_routes::{DirectRoutes, LaterAnswer};
use crate::http::head_limit::HeadLimit;
use crate::telemetry::spans::{ItemSpans, ReceivedTrace, TRACEPARENT};
use crate::wire::updates::UpdatesDialect;
use crate::wire::{DIALECTS, Dialect, DialectServices};

/// The direct routes of the peers' listener, which do what [`routes`](super::routes) and the three middlewares around it do.
pub struct DirectPushes {
    head: HeadLimit,
    checks: CallerChecks,
    gate: DrainGate,
    /// Spans of what peers send.
    spans: ItemSpans,
    /// The services of the dialects, in the form in which handlers find them.
    data: Rc<Extensions>,
}

impl DirectPushes {
    /// Returns the direct routes to these services behind these checks.
    pub fn new(services: &DialectServices, head: HeadLimit, checks: CallerChecks, gate: DrainGate) -> Self {
        let mut data = Extensions::new();
        data.insert(Data::from(Arc::clone(&services.intake)));
        data.insert(Data::from(Arc::clone(&services.admission)));
        data.insert(Data::from(Arc::clone(&services.judge)));
        data.insert(EncodedPaths(UpdatesDialect.path_prefix()));
        data.insert(services.body);
        data.insert(services.nesting.clone());
        Self { head, checks, gate, spans: ItemSpans::default(), data: Rc::new(data) }
    }

    /// Adds the spans of what peers send.
    #[must_use]
    pub fn tracing(self, spans: ItemSpans) -> Self {
        Self { spans, ..self }
    }
}

impl DirectRoutes for DirectPushes {
    fn answer(self: Rc<Self>, mut request: ServiceRequest) -> Result<LaterAnswer, ServiceRequest> {
        let found = DIALECTS.0.iter().find_map(|dialect| dialect.push_handler(request.method(), request.path()));
        let Some(handler) = found else { return Err(request) };
        Ok(Box::pin(async move {
            if let Some(answer) = self.head.refusal(&request) {
                return Ok(request.into_response(answer));
            }
            request.add_data_container(Rc::clone(&self.data));
            let push = async |request: ServiceRequest| match self.gate.enter(&request) {
                Ok(_under_way) => {
                    let trace = ReceivedTrace::of(|| {
                        let mut lines = request.headers().get_all(TRACEPARENT).map(HeaderValue::as_bytes);
                        (lines.next(), lines.next().is_some())
                    });
                    Ok(self.spans.received(trace, handler(request)).await)
                }
                Err(answer) => Ok(request.into_response(*answer)),
            };
            self.checks.meet(request, push).await
        }))
    }
}
