//! Helpers for the operator's calls: the peer in the path, the page size, and a log line for each change.

use std::fmt;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::UNIX_EPOCH;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use actors::gateway::Gateway;
use actors::model::{Millis, ServerName};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::http::bearer::operator_role::OperatorRole;
use crate::http::bearer::operator_tokens::{OperatorCaller, check_role};
use crate::http::error::ApiError;
use crate::http::json_error;

/// Default number of rows on a page, and below, the maximum.
const PAGE: u32 = 100;
const PAGE_MAX: u32 = 1_000;

/// Maximum bytes of a call's body: it only contains a number or a word.
pub(super) const BODY_MAX: usize = 64 * 1024;

/// Similarity from which a listed name is suggested for a misspelt one.
const NEAR: f64 = 0.8;

/// Returns the number of rows on a page.
pub(super) fn page(limit: Option<u32>) -> u32 {
    limit.unwrap_or(PAGE).clamp(1, PAGE_MAX)
}

/// Returns the time that lies this age before now.
pub(super) fn older_than(gateway: &Gateway, age: &str) -> Result<Millis, ApiError> {
    let bad = |why| ApiError::bad_request("BAD_FILTER", format!("{age:?} is no age, such as \"90m\" or \"7d\": {why}"));
    let age = humantime::parse_duration(age).map_err(bad)?;
    let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    Ok(Millis(gateway.ports().clock.now().0.saturating_sub(age)))
}

/// Parses a time that an earlier answer stated.
pub(super) fn stated_time(text: &str) -> Result<Millis, ApiError> {
    let since = humantime::parse_rfc3339(text).ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let time = since.and_then(|since| u64::try_from(since.as_millis()).ok());
    time.map(Millis)
        .ok_or_else(|| ApiError::bad_request("BAD_FILTER", format!("{text:?} is not the `time` of an answer")))
}

/// Parses the name of a peer; the error suggests a similar one.
pub(super) fn peer(gateway: &Gateway, text: &str) -> Result<ServerName, ApiError> {
    let listed = gateway.peers();
    let name: Option<ServerName> = text.parse().ok();
    match name {
        // A peer that is not listed may exist all the same: the configuration interface decides.
        Some(name) if listed.contains(&name) || gateway.ports().roster.limits(&name).is_some() => Ok(name),
        _ => Err(unknown_peer(text, &listed)),
    }
}

/// Parses the name of any server, because it may have been a peer before.
pub(super) fn server(gateway: &Gateway, text: &str) -> Result<ServerName, ApiError> {
    text.parse().map_err(|_| unknown_peer(text, &gateway.peers()))
}

fn unknown_peer(text: &str, listed: &[ServerName]) -> ApiError {
    let likeness = |name: &&ServerName| strsim::jaro_winkler(text, name.as_str());
    let nearest = listed.iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    let words = match nearest.filter(|name| likeness(name) >= NEAR) {
        Some(near) => format!("{text} is not a peer of this gateway; did you mean {near}?"),
        None => format!("{text} is not a peer of this gateway; see `fernpost peer list`"),
    };
    ApiError::not_found("UNKNOWN_PEER", words)
}

/// The JSON object in the body of a call, whatever its content type.
pub(super) struct OperatorBody<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest for OperatorBody<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = Bytes::from_request(request, payload);
        Box::pin(async move {
            let unreadable = |why: String| ApiError::bad_request("BAD_BODY", format!("the body cannot be read: {why}"));
            let body = body.await.map_err(|error| match error.as_error() {
                Some(PayloadError::Overflow) => {
                    let words = format!("the body exceeds the limit of {BODY_MAX} bytes");
                    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", words)
                }
                _ => unreadable(error.to_string()),
            })?;
            json_error::object(&body).map(Self).map_err(unreadable)
        })
    }
}

/// The caller of an operator's call: its address, and its token's name and role.
pub(super) struct OperatorCall(Option<SocketAddr>, Option<OperatorCaller>);

impl FromRequest for OperatorCall {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self(request.peer_addr(), request.extensions().get().cloned())))
    }
}

impl OperatorCall {
    /// Returns the address of the caller and the name of its token, for the log.
    pub(super) fn origin(&self) -> String {
        let address = self.0.map_or_else(|| "this process".to_owned(), |address| address.to_string());
        match self.1.as_ref().and_then(|caller| caller.name.as_deref()) {
            Some(name) => format!("{address} ({name})"),
            None => address,
        }
    }

    /// Returns an error unless the caller has this role, for a handler that needs more than its operation.
    pub(super) fn check_role(&self, role: OperatorRole) -> Result<(), ApiError> {
        check_role(self.1.as_ref(), role)
    }

    /// Logs that this was requested, and its result.
    pub(super) fn log_action(&self, action: &'static str, target: &dyn fmt::Display, outcome: Result<(), &ApiError>) {
        let from = self.origin();
        match outcome {
            Ok(()) => tracing::info!(from, action, %target, "admin request"),
            Err(problem) => tracing::warn!(from, action, %target, %problem, "admin request rejected"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_peer_suggests_nearest_name() {
        let listed: Vec<ServerName> =
            ["blue.example", "green.example"].map(|name| name.parse().expect("a name")).into();
        let said = |text: &str| unknown_peer(text, &listed).to_string();
        assert_eq!(said("bleu.example"), "bleu.example is not a peer of this gateway; did you mean blue.example?");
        assert!(said("x").ends_with("see `fernpost peer list`"));
        assert!(unknown_peer("x", &[]).to_string().contains("peer list"));
    }

    #[test]
    fn page_size_is_clamped() {
        assert_eq!([page(None), page(Some(0)), page(Some(7)), page(Some(u32::MAX))], [100, 1, 7, 1_000]);
    }
}
