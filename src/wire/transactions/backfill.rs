//! `GET /matrix/federation/v1/backfill/{context}/?v=<id>,<origin>&v=..&limit=N`: PDUs that the caller misses, and their
//! ancestors, for participants of the context. It is also served as `paginate`, its first name.

use actix_web::{HttpRequest, HttpResponse, web};
use actors::model::PduRef;
use url::form_urlencoded;

use super::read::{self, reply, unreadable};
use crate::http::authentication::VerifiedCaller;
use crate::http::error::ApiError;
use crate::wire::FederationCore;

/// Maximum bytes of PDUs in one response: less than any caller reads, even with one more PDU.
const BYTES_MAX: u64 = 2 << 20;

/// Returns at most `limit` PDUs. The named ones are included, because the caller misses them.
pub(super) async fn backfill(
    caller: VerifiedCaller,
    request: HttpRequest,
    path: web::Path<String>,
    intake: web::Data<dyn FederationCore>,
) -> Result<HttpResponse, ApiError> {
    let BackfillQuery { from, limit } = BackfillQuery::read(request.query_string())?;
    let context = read::context(&caller, &request, &path, &**intake).await?;
    let limit = limit.min(intake.history().backfill_max);
    let pdus = intake.backfill(&context, &caller.server, from, limit, BYTES_MAX).await;
    let pdus = pdus.map_err(|error| unreadable(&error))?;
    Ok(reply(&**intake, &caller.server, pdus))
}

/// The query of a backfill request, parsed.
#[derive(Debug, PartialEq)]
struct BackfillQuery {
    /// PDUs to start from: each pair in both of its readings, of which at most one names a PDU.
    from: Vec<PduRef>,
    limit: u32,
}

impl BackfillQuery {
    fn read(query: &str) -> Result<Self, ApiError> {
        let bad = |words: &'static str| ApiError::bad_request("BAD_QUESTION", words);
        let (mut from, mut limit, mut named) = (Vec::new(), None, false);
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "v" => {
                    named = true;
                    let pairs = readings(&value);
                    if pairs.is_empty() {
                        return Err(bad("a v is not <pdu id>,<origin>"));
                    }
                    from.extend(pairs);
                }
                // If the key is repeated, the last one counts.
                "limit" => limit = Some(value.into_owned()),
                _ => {}
            }
        }
        if !named {
            return Err(bad("v is missing: <pdu id>,<origin> of a PDU to begin at"));
        }
        let limit = limit.ok_or_else(|| bad("limit is missing"))?;
        if limit.is_empty() || !limit.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(bad("limit is not a number of PDUs"));
        }
        // A number that does not fit asks for the maximum.
        Ok(Self { from, limit: limit.parse().unwrap_or(u32::MAX) })
    }
}

/// Returns both readings of a pair. A server name contains no comma, an id may: if the id comes first, the last comma
/// separates, and if the origin comes first, the first one does.
fn readings(pair: &str) -> Vec<PduRef> {
    let reading = |origin: &str, id: &str| Some(PduRef { origin: origin.parse().ok()?, id: id.parse().ok()? });
    let id_first = pair.rsplit_once(',').and_then(|(id, origin)| reading(origin, id));
    let origin_first = pair.split_once(',').and_then(|(origin, id)| reading(origin, id));
    id_first.into_iter().chain(origin_first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(query: &str) -> Vec<String> {
        BackfillQuery::read(query).expect("a question").from.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn backfill_pairs_read_either_order() {
        assert_eq!(named("v=$a1%2Cgreen.example&limit=3"), ["green.example/$a1"]);
        assert_eq!(named("v=a1%2Cgreen.example&limit=3"), ["green.example/a1", "a1/green.example"]);
        assert_eq!(named("v=green.example%2C$a&limit=3"), ["green.example/$a"]);
        assert_eq!(named("limit=1&v=$a,b,green&v=x,y"), ["green/$a,b", "y/x", "x/y"]);
    }

    #[test]
    fn backfill_uses_last_limit() {
        let limit = |query: &str| BackfillQuery::read(query).expect("a question").limit;
        assert_eq!(limit("v=a,b&limit=3&limit=7"), 7);
        assert_eq!(limit("v=a,b&limit=0"), 0);
        assert_eq!(limit("v=a,b&limit=99999999999999999999"), u32::MAX);
    }

    #[test]
    fn invalid_backfill_query_is_refused() {
        for query in ["", "limit=1", "v=a,b", "v=&limit=1", "v=a&limit=1", "v=$,$&limit=1"] {
            assert!(BackfillQuery::read(query).is_err(), "{query}");
        }
        for limit in ["", "-1", "1.5", "x", "%201", "0x10"] {
            assert!(BackfillQuery::read(&format!("v=a,b&limit={limit}")).is_err(), "{limit}");
        }
    }
}
