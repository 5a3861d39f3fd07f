//! `POST /http/v1/updates`: accepts a push of a peer.

use actors::errors::{AdmissionError, BatchError, PeerError, UnavailableError};
use std::time::Duration;

use actix_web::{HttpResponse, web};

use bytes::Bytes;

use super::{answer, envelope, protobuf};
use crate::http::authentication::VerifiedCaller;
use crate::http::body::encoded::{BodyEncoding, EncodedBody};
use crate::http::error::{ApiError, FAULTY_WAIT, RESTART_WAIT, RefusedByLimit};
use crate::wire::FederationCore;
use crate::wire::pdu::PduReader;
use crate::wire::pdu::relay_judge::RelayJudge;

/// Accepts a push. The caller is authenticated before the body is read, so an unknown caller's body costs nothing.
pub(super) async fn post_updates(
    caller: VerifiedCaller,
    body: EncodedBody,
    intake: web::Data<dyn FederationCore>,
    judge: web::Data<dyn RelayJudge>,
) -> Result<HttpResponse, ApiError> {
    let window = intake.window(&caller.server);
    let pdus = PduReader::new(&caller.server, &**intake, &**judge);
    let EncodedBody { bytes, encoding, nesting } = body;
    let mut push = match encoding {
        BodyEncoding::Json => envelope::decode_within(&bytes, (window, &nesting), &pdus, caller.proof).await?,
        BodyEncoding::Protobuf => protobuf::push::decode(&bytes, window, &nesting, &pdus, caller.proof).await?,
    };
    push.nonce = caller.nonce;
    let (body, limit) = match intake.accept(&caller.server, push).await {
        Ok(receipt) => match encoding {
            BodyEncoding::Json => (answer::encode(&receipt, window).into(), None),
            BodyEncoding::Protobuf => (protobuf::answer::encode(&receipt, window), None),
        },
        Err(error) => {
            let (reason, limit) = (error.to_string(), error.admission().map(AdmissionError::limit));
            let wait = wait_for(error)?;
            (encode_wait(encoding, wait, &reason), limit)
        }
    };
    let mut answer = HttpResponse::Ok().content_type(encoding.content_type()).body(body);
    if let Some(limit) = limit {
        answer.extensions_mut().insert(RefusedByLimit(limit));
    }
    Ok(answer)
}

/// Writes a `wait`. Protobuf has no field for the reason.
pub(super) fn encode_wait(encoding: BodyEncoding, wait: Duration, reason: &str) -> Bytes {
    match encoding {
        BodyEncoding::Json => answer::encode_wait(wait, reason).into(),
        BodyEncoding::Protobuf => protobuf::answer::encode_wait(wait),
    }
}

/// Returns the `wait` for an error that will pass; any other becomes an error status.
fn wait_for(error: BatchError) -> Result<Duration, ApiError> {
    match error {
        BatchError::Peer(PeerError::Unavailable(error)) => Ok(match error {
            UnavailableError::Admission(limit) => limit.wait(),
            UnavailableError::OutcomeUnknown | UnavailableError::Stopping => RESTART_WAIT,
        }),
        BatchError::Faulty(_) => Ok(FAULTY_WAIT),
        BatchError::Peer(PeerError::UnknownPeer(_) | PeerError::Denied(_)) => {
            Err(ApiError::forbidden(error.to_string()))
        }
        BatchError::TooManyItems { .. } | BatchError::Misnumbered { .. } => Err(error.into()),
    }
}

impl From<envelope::BadPush> for ApiError {
    fn from(bad: envelope::BadPush) -> Self {
        use envelope::BadPush;
        match bad {
            BadPush::NotJson(_) => Self::bad_request("NOT_JSON", bad.to_string()),
            BadPush::NotProtobuf(_) => Self::bad_request("NOT_PROTOBUF", bad.to_string()),
            BadPush::TooDeep(_) => Self::bad_request("NESTS_TOO_DEEP", bad.to_string()),
            BadPush::NotAPush(_) => Self::bad_request("NOT_A_PUSH", bad.to_string()),
            BadPush::TooLong { count, max } => BatchError::TooManyItems { count, max }.into(),
        }
    }
}
