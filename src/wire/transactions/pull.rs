//! `GET /matrix/federation/v1/pull/?origin=<caller>&v=<transaction>&v=..`: PDUs that the caller was sent after the
//! named transactions, for a caller that has missed one.

use actix_web::http::header::ContentType;
use actix_web::{HttpRequest, HttpResponse, web};
use actors::model::ServerName;
use bytes::Bytes;
use url::form_urlencoded;

use super::envelope::encode_page;
use super::read::unreadable;
use crate::http::authentication::VerifiedCaller;
use crate::http::error::ApiError;
use crate::wire::FederationCore;

/// Maximum bytes of PDUs in one response.
const BYTES_MAX: u64 = 2 << 20;

/// Returns whole transactions in the order in which they were sent. PDUs of contexts that the caller has left are
/// omitted, even though they were sent once.
pub(super) async fn pull(
    caller: VerifiedCaller,
    request: HttpRequest,
    intake: web::Data<dyn FederationCore>,
) -> Result<HttpResponse, ApiError> {
    let PullQuery { origin, after } = PullQuery::read(request.query_string())?;
    if origin != caller.server {
        let words = format!("{} may pull only transactions that were sent to it", caller.server);
        return Err(ApiError::forbidden(words));
    }
    let items = intake.history().pull_max;
    let page = intake.sent_after(&caller.server, after, items, BYTES_MAX).await?;
    let mut pdus: Vec<(Bytes, u64)> = Vec::with_capacity(page.pdus.len());
    for (_, reference, _) in &page.pdus {
        let stored = intake.pdu(reference).await.map_err(|error| unreadable(&error))?;
        let Some(pdu) = stored.filter(|pdu| pdu.is_for(&caller.server)) else { continue };
        if intake.takes_part(&pdu.context, &caller.server).await.map_err(|error| unreadable(&error))? {
            pdus.push((pdu.bytes, pdu.depth));
        }
    }
    let page = page.last.filter(|_| page.more);
    let body = encode_page(intake.us(), intake.now(), &pdus, intake.habits(&caller.server).pairs, page);
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(body))
}

/// The query of a pull request, parsed.
#[derive(Debug, PartialEq)]
struct PullQuery {
    origin: ServerName,
    /// Largest of the named transactions; 0 is before the first.
    after: u64,
}

impl PullQuery {
    fn read(query: &str) -> Result<Self, ApiError> {
        let bad = |words: &'static str| ApiError::bad_request("BAD_QUESTION", words);
        let (mut origin, mut after) = (None, None);
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "v" if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) => {
                    return Err(bad("a v is not the decimal id of a transaction"));
                }
                // A number that does not fit is after everything ever sent.
                "v" => after = after.max(Some(value.parse().unwrap_or(u64::MAX))),
                "origin" => origin = Some(value.into_owned()),
                _ => {}
            }
        }
        let after = after.ok_or_else(|| bad("v is missing: the id of a transaction that you have, or 0"))?;
        let origin = origin.ok_or_else(|| bad("origin is missing: your own name"))?;
        let origin = origin.parse().map_err(|_| bad("origin is not the name of a server"))?;
        Ok(Self { origin, after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_uses_largest_transaction_id() {
        let after = |query: &str| PullQuery::read(query).expect("a question").after;
        assert_eq!(after("origin=red&v=9&v=10&v=2"), 10);
        assert_eq!(after("v=0&origin=red"), 0);
        assert_eq!(after("v=99999999999999999999&origin=red"), u64::MAX);
    }

    #[test]
    fn invalid_pull_query_is_refused() {
        for query in
            ["", "origin=red", "v=1", "origin=red&v=", "origin=red&v=-1", "origin=red&v=7&v=x", "origin=a/b&v=1"]
        {
            assert!(PullQuery::read(query).is_err(), "{query}");
        }
    }
}
