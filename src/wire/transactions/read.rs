//! `GET /matrix/federation/v1/pdu/{origin}/{id}/`: one PDU, for those who take part in its conversation.

use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, web};
use actors::model::{PduRef, Refusal, ServerName};
use actors::ports::{ArchiveError, ServedPdu};

use super::envelope::encode_reply;
use crate::http::identity::Caller;
use crate::http::refusal::Problem;
use crate::wire::Intake;

/// What may not be seen is answered as what is not there: whether it exists is not told.
pub(super) async fn pdu(
    caller: Caller,
    path: web::Path<(String, String)>,
    intake: web::Data<dyn Intake>,
) -> Result<HttpResponse, Problem> {
    let (first, second) = path.into_inner();
    // Servers that read a pair in the wrong order ask for it in that order.
    for (origin, id) in [(&first, &second), (&second, &first)] {
        let (Ok(origin), Ok(id)) = (origin.parse(), id.parse()) else { continue };
        if let Some(pdu) =
            seen_by(&caller.server, &PduRef { origin, id }, &**intake).map_err(|error| unreadable(&error))?
        {
            let pairs = intake.habits(&caller.server).pairs;
            let reply = encode_reply(intake.us(), intake.now(), &[(pdu.bytes, pdu.depth)], pairs);
            return Ok(HttpResponse::Ok().content_type(ContentType::json()).body(reply));
        }
    }
    Err(Problem::not_found("NOT_FOUND", "there is no such PDU in a context you take part in"))
}

fn seen_by(asker: &ServerName, reference: &PduRef, intake: &dyn Intake) -> Result<Option<ServedPdu>, ArchiveError> {
    let Some(pdu) = intake.pdu(reference)?.filter(|pdu| pdu.delivered) else { return Ok(None) };
    Ok(intake.takes_part(&pdu.context, asker)?.then_some(pdu))
}

/// Not a 404: whoever asks would take it as a definite answer.
fn unreadable(error: &ArchiveError) -> Problem {
    tracing::error!(%error, "a PDU that a peer asks for cannot be read");
    Refusal::OutcomeUnknown.into()
}
