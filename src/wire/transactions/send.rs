//! `PUT /matrix/federation/v1/send/{id}/`: accepts a transaction of a peer.

use actix_web::http::StatusCode;
use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, web};
use actors::errors::{BatchError, PeerError, UnavailableError};
use actors::model::{BadPdu, ForwardRoute, Pdu, RelayCode, ServerName};

use super::answer::{self, AnnouncedLimits, PduIdentity};
use super::envelope::{BadTransaction, TransactionEnvelope, is_id};
use crate::http::authentication::{CallerClaim, PeerAuthPolicy};
use crate::http::body::{BodyLimit, RequestBody};
use crate::http::error::ApiError;
use crate::wire::FederationCore;
use crate::wire::pdu::PduReader;
use crate::wire::pdu::relay_judge::RelayJudge;

/// Accepts a transaction. The envelope names the sender, so it is read before the sender is authenticated; items are
/// checked only after that. An address that belongs to no peer is refused before the body is read.
pub(super) async fn put_transaction(
    arrival: CallerClaim,
    id: web::Path<String>,
    limit: BodyLimit,
    body: RequestBody,
    admission: web::Data<dyn PeerAuthPolicy>,
    intake: web::Data<dyn FederationCore>,
    judge: web::Data<dyn RelayJudge>,
) -> Result<HttpResponse, ApiError> {
    accept(arrival, id.into_inner(), limit, body, (admission, intake, judge)).await
}

/// The services that a transaction needs.
type Services = (web::Data<dyn PeerAuthPolicy>, web::Data<dyn FederationCore>, web::Data<dyn RelayJudge>);

/// Accepts a transaction under an id that was read already.
pub(super) async fn accept(
    arrival: CallerClaim,
    id: String,
    limit: BodyLimit,
    body: RequestBody,
    (admission, intake, judge): Services,
) -> Result<HttpResponse, ApiError> {
    if !is_id(&id) {
        let words = "the id of a transaction is 1 to 255 bytes without control characters";
        return Err(ApiError::bad_request("BAD_TRANSACTION_ID", words));
    }
    let envelope = TransactionEnvelope::read(&body.0)?;
    let caller = arrival.verify_origin(&**admission, &envelope.origin()?)?;
    let max = intake.window(&caller.server);
    let reader = PduReader::new(&caller.server, &**intake, &**judge);
    let mut transaction = envelope.transaction(id, max, &reader, caller.proof).await?;
    transaction.nonce = caller.nonce;
    let (relay_to, refused_relays) = relays(&caller.server, envelope.relay_to(), &**intake);
    transaction.relay_to = relay_to;
    let named: Vec<PduIdentity> = transaction.pdus.iter().map(named).collect();
    drop(envelope);
    let receipt = intake.accept_transaction(&caller.server, transaction).await.map_err(refused)?;
    debug_assert_eq!(receipt.verdicts.len(), named.len(), "one verdict a PDU");
    let answer = answer::encode(named.iter().zip(&receipt.verdicts), AnnouncedLimits { pdus: max, bytes: limit.bytes });
    let answer = answer::with_refused_relays(answer, &refused_relays);
    let answer = answer::with_receipts(answer, &receipt.receipts);
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(answer))
}

/// Returns the servers to which PDUs of this one are passed on, and the others, each with the code. We are none of either.
fn relays(
    origin: &ServerName,
    wanted: Vec<ServerName>,
    intake: &dyn FederationCore,
) -> (Vec<ServerName>, Vec<(String, &'static str)>) {
    let (mut allowed, mut refused) = (vec![], vec![]);
    for destination in wanted {
        let route = ForwardRoute { origin: origin.clone(), destination };
        let facts = intake.forward_facts(&route);
        let code = match () {
            () if facts.is_for_us => continue,
            () if route.destination == route.origin => RelayCode::Loop,
            () if !facts.is_allowed => RelayCode::NotAllowed,
            () if !facts.is_listed => RelayCode::UnknownDestination,
            () => {
                allowed.push(route.destination);
                continue;
            }
        };
        refused.push((route.destination.to_string(), code.as_str()));
    }
    (allowed, refused)
}

fn named(pdu: &Result<Pdu, BadPdu>) -> PduIdentity {
    match pdu {
        Ok(pdu) => {
            PduIdentity { id: Some(pdu.reference.id.to_string()), origin: Some(pdu.reference.origin.to_string()) }
        }
        Err(bad) => PduIdentity { id: bad.id.clone(), origin: bad.origin.clone() },
    }
}

/// Converts an error of the core: this dialect reports "not now" as a status, and its errors speak of transactions.
fn refused(error: BatchError) -> ApiError {
    match error {
        BatchError::TooManyItems { count, max } => BadTransaction::TooLong { count, max }.into(),
        BatchError::Peer(PeerError::UnknownPeer(_) | PeerError::Denied(_)) => ApiError::forbidden(error.to_string()),
        // A sender waits after a 429, as `Retry-After` says; a 503 counts as a failure, and after several of these it
        // gives up.
        BatchError::Peer(PeerError::Unavailable(UnavailableError::Admission(limit))) => {
            ApiError::from(limit).with_status(StatusCode::TOO_MANY_REQUESTS)
        }
        BatchError::Peer(PeerError::Unavailable(UnavailableError::OutcomeUnknown | UnavailableError::Stopping))
        | BatchError::Faulty(_)
        | BatchError::Misnumbered { .. } => error.into(),
    }
}

impl From<BadTransaction> for ApiError {
    fn from(bad: BadTransaction) -> Self {
        let words = bad.to_string();
        match bad {
            BadTransaction::NotJson(_) => Self::bad_request("NOT_JSON", words),
            BadTransaction::NotATransaction(_) => Self::bad_request("NOT_A_TRANSACTION", words),
            BadTransaction::TooLong { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_MANY_PDUS", words).by_limit("peers.intake_items")
            }
        }
    }
}
