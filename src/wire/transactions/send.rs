//! `PUT /matrix/federation/v1/send/{id}/`: accepts a transaction of a peer.

use actix_web::http::StatusCode;
use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, web};
use actors::model::{BadPdu, Pdu, Refusal};

use super::answer::{self, Limits, Named};
use super::envelope::{BadTransaction, Envelope, is_id};
use crate::http::body::{Body, BodyLimit};
use crate::http::identity::{Admission, Arrival};
use crate::http::refusal::Problem;
use crate::wire::Intake;
use crate::wire::pdu::Reader;

/// Accepts a transaction. The envelope names the sender, so it is read before the sender is authenticated; items are
/// checked only after that. An address that belongs to no peer is refused before the body is read.
pub(super) async fn take(
    arrival: Arrival,
    id: web::Path<String>,
    limit: BodyLimit,
    body: Body,
    admission: web::Data<dyn Admission>,
    intake: web::Data<dyn Intake>,
) -> Result<HttpResponse, Problem> {
    let id = id.into_inner();
    if !is_id(&id) {
        let words = "the id of a transaction is 1 to 255 bytes without control characters";
        return Err(Problem::bad_request("BAD_TRANSACTION_ID", words));
    }
    let envelope = Envelope::read(&body.0)?;
    let caller = arrival.claiming(&**admission, &envelope.origin()?)?;
    let max = intake.window(&caller.server);
    let reader = Reader::new(&caller.server, &**intake);
    let transaction = envelope.transaction(id, max, &reader, caller.proof)?;
    let named: Vec<Named> = transaction.pdus.iter().map(named).collect();
    drop(envelope);
    let verdicts = intake.accept_transaction(&caller.server, transaction).await.map_err(refused)?;
    debug_assert_eq!(verdicts.len(), named.len(), "one verdict a PDU");
    let answer = answer::encode(named.iter().zip(&verdicts), Limits { pdus: max, bytes: limit.bytes });
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(answer))
}

fn named(pdu: &Result<Pdu, BadPdu>) -> Named {
    match pdu {
        Ok(pdu) => Named { id: Some(pdu.reference.id.to_string()), origin: Some(pdu.reference.origin.to_string()) },
        Err(bad) => Named { id: bad.id.clone(), origin: bad.origin.clone() },
    }
}

/// Converts a refusal of the core: this dialect reports "not now" as a status, and its errors speak of transactions.
fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::PushTooLong { count, max } => BadTransaction::TooLong { count, max }.into(),
        Refusal::UnknownPeer(_) => Problem::forbidden(refusal.to_string()),
        // A sender waits after a 429, as `Retry-After` says; a 503 counts as a failure, and after several of these it
        // gives up.
        Refusal::Busy { wait, .. } => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "BUSY", refusal.to_string()).retry_after(wait)
        }
        Refusal::DiskLow { wait, .. } => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "DISK_LOW", refusal.to_string()).retry_after(wait)
        }
        other => other.into(),
    }
}

impl From<BadTransaction> for Problem {
    fn from(bad: BadTransaction) -> Self {
        let words = bad.to_string();
        match bad {
            BadTransaction::NotJson(_) => Self::bad_request("NOT_JSON", words),
            BadTransaction::NotATransaction(_) => Self::bad_request("NOT_A_TRANSACTION", words),
            BadTransaction::TooLong { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_MANY_PDUS", words),
        }
    }
}
