//! Asking a peer for PDUs: the GETs from the asking side.

use actors::model::{BadPdu, Pdu, PduRef, PushFailure, Want};
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::PREFIX;
use super::envelope::Envelope;
use crate::egress::{Answer, Request};
use crate::wire::pdu::Reader;

/// The most bytes of an answer. A PDU may be larger than a batch, and hardly ever is.
pub const FETCHED_BYTES_MAX: usize = 4 << 20;

/// All that means something in a path is written as it is nowhere else: an id may hold any character.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Write the request.
pub fn encode(want: &Want) -> Request {
    let Want::Pdu(PduRef { origin, id }) = want;
    let segment = |text| utf8_percent_encode(text, SEGMENT);
    let path = format!("{PREFIX}/pdu/{}/{}/", segment(origin.as_str()), segment(id.as_str()));
    Request::get(path, Answer::Needed { bytes_max: FETCHED_BYTES_MAX })
}

/// Read the body of a 200. What was not asked for is left out: a peer's answer is no way past its intake.
pub fn decode(want: &Want, body: &Bytes, reader: &Reader<'_>) -> Result<Vec<Result<Pdu, BadPdu>>, PushFailure> {
    let Want::Pdu(wanted) = want;
    let unreadable = |error: super::envelope::BadTransaction| PushFailure::Unreadable(error.to_string());
    let pdus = Envelope::read(body).and_then(|envelope| {
        let pdus = envelope.pdus(1)?;
        Ok(pdus.into_iter().map(|pdu| reader.read(pdu)).collect::<Vec<_>>())
    });
    let is_wanted = |pdu: &Result<Pdu, BadPdu>| pdu.as_ref().map_or(true, |pdu| pdu.reference == *wanted);
    Ok(pdus.map_err(unreadable)?.into_iter().filter(is_wanted).collect())
}
