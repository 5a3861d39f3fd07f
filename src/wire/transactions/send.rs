//! `PUT /matrix/federation/v1/send/{id}/`: a peer's transaction.

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

/// The envelope says who sent it, so it is read before its sender is known for certain; nothing in it is judged before that,
/// and an address that is nobody's is turned away before the body.
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

/// Here "not now" is a status; what the core says in the words of pushes is said in those of transactions.
fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::PushTooLong { count, max } => BadTransaction::TooLong { count, max }.into(),
        Refusal::UnknownPeer(_) => Problem::forbidden(refusal.to_string()),
        // To a sender 429 is a wait, which it obeys, and 503 a failure, after so many of which it gives us up.
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
