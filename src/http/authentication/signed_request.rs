//! The parts of a request that a signature covers, copied, because the body is taken out of the request meanwhile.

use actix_web::HttpMessage;
use actix_web::dev::ServiceRequest;
use actix_web::http::header;

use crate::http::error_middleware::RequestedMethod;
use crate::identity::signature_base::SignedParts;

/// The parts of a request.
pub(super) struct SignedRequest {
    method: String,
    authority: String,
    target: String,
    headers: Vec<(String, String)>,
}

impl SignedRequest {
    /// Copies the parts.
    pub(super) fn of(request: &ServiceRequest) -> Self {
        let requested = request.extensions().get::<RequestedMethod>().map(|requested| requested.0.as_str().to_owned());
        let method = requested.unwrap_or_else(|| request.method().as_str().to_owned());
        let target = request.uri().path_and_query().map_or("", |target| target.as_str()).to_owned();
        // A header with a value that is not text is left out with all its lines: a signature that covers it fits nothing.
        let unreadable = |name: &header::HeaderName| request.headers().get_all(name).any(|line| line.to_str().is_err());
        let readable = request.headers().iter().filter(|(name, _)| !unreadable(name));
        let text = |value: &header::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let headers: Vec<_> = readable.map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        let authority = headers.iter().find(|(name, _)| name == "host").map(|(_, host)| host.clone());
        Self { method, authority: authority.unwrap_or_default(), target, headers }
    }

    /// Returns the value of a header, its lines joined; `None`: it is absent, or no text.
    pub(super) fn joined(&self, name: &str) -> Option<String> {
        let lines: Vec<&str> =
            self.headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect();
        (!lines.is_empty()).then(|| lines.join(", "))
    }

    /// Calls `judge` with the parts of the request over this scheme.
    pub(super) fn over<T>(&self, scheme: &str, judge: impl FnOnce(&SignedParts<'_>) -> T) -> T {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let Self { method, authority, target, .. } = self;
        judge(&SignedParts { method, scheme, authority, target, headers: &headers })
    }
}
