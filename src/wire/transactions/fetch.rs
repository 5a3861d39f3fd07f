//! GET requests to peers for PDUs, and their responses.

use std::collections::{HashMap, VecDeque};

use actors::limits::InteropQuirks;
use actors::model::{BadPdu, ContextId, FetchRequest, Pdu, PduRef, PullResponse, PushFailure, ServerName};
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::envelope::TransactionEnvelope;
use super::prefix::PREFIX;
use crate::egress::{EgressAnswer, EgressRequest};
use crate::raw_targets;
use crate::wire::pdu::PduReader;

/// Maximum number of PDUs in one page of missed transactions.
const PULLED_MAX: u32 = 1000;

/// Characters that are encoded in a path segment: all that have a meaning there, because ids may contain any character.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Writes the request to a peer with these interop quirks. All servers decode queries, so these are always encoded.
pub fn encode(want: &FetchRequest, habits: InteropQuirks) -> EgressRequest {
    let segment = |text| raw_targets::path::segment(text, habits, SEGMENT);
    let argument = |text| utf8_percent_encode(text, SEGMENT);
    let path = match want {
        FetchRequest::Pdu(PduRef { origin, id }) => {
            format!("{PREFIX}/pdu/{}/{}/", segment(origin.as_str()), segment(id.as_str()))
        }
        FetchRequest::State(context) => format!("{PREFIX}/state/{}/", segment(context.as_str())),
        FetchRequest::Backfill { context, from, limit } | FetchRequest::History { context, from, limit } => {
            let mut path = format!("{PREFIX}/backfill/{}/?limit={limit}", segment(context.as_str()));
            for PduRef { origin, id } in from {
                path.push_str(&format!("&v={}%2C{}", argument(id.as_str()), argument(origin.as_str())));
            }
            path
        }
    };
    raw_targets::path::request(EgressRequest::get(path, EgressAnswer::Needed), habits)
}

/// Writes the request for all transactions of the peer after this one.
pub fn encode_pull(us: &ServerName, after: u64) -> EgressRequest {
    let path = format!("{PREFIX}/pull/?origin={}&v={after}", utf8_percent_encode(us.as_str(), SEGMENT));
    EgressRequest::get(path, EgressAnswer::Needed)
}

/// Reads the response to a pull. Old servers answer `null` if they have nothing, and give neither the last transaction
/// nor `more`.
pub async fn decode_pull(body: &Bytes, reader: &PduReader<'_>) -> Result<PullResponse, PushFailure> {
    if body.trim_ascii() == b"null" {
        return Ok(PullResponse::default());
    }
    let unreadable = |error: super::envelope::BadTransaction| PushFailure::Unreadable(error.to_string());
    let envelope = TransactionEnvelope::read(body).map_err(unreadable)?;
    let pdus = reader.read_all(envelope.pdus(PULLED_MAX).map_err(unreadable)?).await;
    Ok(PullResponse { pdus, upto: envelope.number(), more: envelope.has_more() })
}

/// Returns whether this status means that the peer has nothing: no such PDU, or none that we may see; or no such path,
/// for which old servers answer 400. For a state request it means that we do not participate, which is not the same as
/// an empty state.
pub const fn means_not_found(want: &FetchRequest, status: u16) -> bool {
    matches!(status, 400 | 404 | 405) && !matches!(want, FetchRequest::State(_))
}

/// Reads the body of a 200. PDUs that were not requested are dropped, because a response must not bypass the checks on
/// what the peer sends by itself.
pub async fn decode(
    want: &FetchRequest,
    body: &Bytes,
    reader: &PduReader<'_>,
) -> Result<Vec<Result<Pdu, BadPdu>>, PushFailure> {
    let unreadable = |error: super::envelope::BadTransaction| PushFailure::Unreadable(error.to_string());
    let envelope = TransactionEnvelope::read(body).map_err(unreadable)?;
    match want {
        FetchRequest::Pdu(wanted) => {
            for text in envelope.first_pdus(BESIDE_MAX).map_err(unreadable)? {
                let pdu = reader.read_scanned(text).await;
                if is_about(&pdu, wanted) {
                    return Ok(vec![pdu]);
                }
            }
            Ok(vec![])
        }
        FetchRequest::State(context) => {
            let pdus = reader.read_all(envelope.first_pdus(STATE_PDUS_MAX).map_err(unreadable)?).await;
            let is_state = |pdu: &Result<Pdu, BadPdu>| {
                pdu.as_ref().map_or(true, |pdu| pdu.context == *context && pdu.state.is_some())
            };
            Ok(pdus.into_iter().filter(is_state).collect())
        }
        FetchRequest::Backfill { context, from, limit } | FetchRequest::History { context, from, limit } => {
            // Servers of 2014 return more than the limit, and some PDUs twice.
            let most = limit.saturating_mul(2).saturating_add(NAMED_ON_TOP);
            let pdus = envelope.first_pdus(most).map_err(unreadable)?;
            Ok(stretch(context, from, *limit as usize, reader.read_all(pdus).await.into_iter()))
        }
    }
}

/// Maximum number of PDUs read from the response to a request for one.
const BESIDE_MAX: u32 = 1_000;

/// Returns whether this is the wanted PDU, even if it is invalid.
fn is_about(pdu: &Result<Pdu, BadPdu>, wanted: &PduRef) -> bool {
    match pdu {
        Ok(pdu) => pdu.reference == *wanted,
        Err(bad) => {
            let origin = bad.origin.as_deref().and_then(|origin| origin.parse().ok());
            bad.id.as_deref() == Some(wanted.id.as_str()) && origin.as_ref() == Some(&wanted.origin)
        }
    }
}

/// Maximum number of state PDUs read from one response.
const STATE_PDUS_MAX: u32 = 10_000;

/// Number of PDUs read from a response beyond twice the limit.
const NAMED_ON_TOP: u32 = 20;

/// Returns the requested PDUs of a response and their ancestors, nearest first, each once; drops all others.
fn stretch(
    context: &ContextId,
    from: &[PduRef],
    limit: usize,
    pdus: impl Iterator<Item = Result<Pdu, BadPdu>>,
) -> Vec<Result<Pdu, BadPdu>> {
    let mut given: HashMap<PduRef, Pdu> = HashMap::new();
    for pdu in pdus.flatten().filter(|pdu| pdu.context == *context) {
        given.entry(pdu.reference.clone()).or_insert(pdu);
    }
    let mut ahead: VecDeque<PduRef> = from.iter().cloned().collect();
    let mut kept = Vec::new();
    while let Some(next) = ahead.pop_front().filter(|_| kept.len() < limit.max(from.len())) {
        let Some(pdu) = given.remove(&next) else { continue };
        ahead.extend(pdu.prev.iter().cloned());
        kept.push(Ok(pdu));
    }
    kept
}
