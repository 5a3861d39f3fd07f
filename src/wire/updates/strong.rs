//! Reads one strong update: its content is opaque unless it carries a PDU or is a forward.

use actors::model::{BadPdu, ParkedCode, Pdu, StrongBody, StrongUpdate};
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::http::json_error;
use crate::json::nesting::{NESTING_MAX, nests_deeper_than};
use crate::json::reader;
use crate::json::reader::digest;
use crate::wire::pdu::forward_text::KIND;
use crate::wire::pdu::{PduReader, identity};
use crate::wire::updates::forward;

/// Maximum nesting of an update: the remaining levels are for the answer in which the messenger reads it.
const UPDATE_NESTING_MAX: usize = NESTING_MAX - 2;

/// Reads a strong update. A repeat is recognized by the digest of its bytes; if it carries a PDU, by the identity of
/// the PDU, because servers on the way may rewrite it.
pub(super) async fn read(body: &Bytes, raw: &RawValue, pdus: &PduReader<'_>) -> StrongUpdate {
    let bytes = body.slice_ref(raw.get().as_bytes());
    if !bytes.starts_with(b"{") {
        let unsound = StrongBody::Unsound(ParkedCode::NotAnObject, "a strong update is a JSON object, this one is not");
        return StrongUpdate { digest: digest(&bytes), bytes, body: unsound };
    }
    if reader::has_string_member(raw.get(), "update", KIND) {
        let body = forward::read(body, raw, pdus).await;
        return StrongUpdate { digest: digest(&bytes), bytes, body };
    }
    read_content(bytes, raw, pdus).await
}

/// Reads a strong update that is no forward.
pub(super) async fn read_content(bytes: Bytes, raw: &RawValue, pdus: &PduReader<'_>) -> StrongUpdate {
    if !reader::has_string_member(raw.get(), "update", "pdu") {
        let body = match nests_deeper_than(UPDATE_NESTING_MAX, &bytes) {
            true => StrongBody::Unsound(ParkedCode::TooDeep, "a strong update nests at most 98 levels deep"),
            false => StrongBody::Plain,
        };
        return StrongUpdate { digest: digest(&bytes), bytes, body };
    }
    match pdu(raw.get(), pdus).await {
        Ok(pdu) => StrongUpdate { digest: identity(&pdu), bytes, body: StrongBody::Pdu(Box::new(pdu)) },
        Err(bad) => StrongUpdate { digest: digest(&bytes), bytes, body: StrongBody::BadPdu(bad) },
    }
}

/// Reads the PDU of an update that carries one.
async fn pdu(update: &str, pdus: &PduReader<'_>) -> Result<Pdu, BadPdu> {
    let bad = |code, reason: String| BadPdu { id: None, origin: None, code, reason };
    let members = reader::members(update).map_err(|error| bad("BAD_KEYS", json_error::words(&error)))?;
    if let Some(key) = reader::first_duplicate_key(&members) {
        let shown: String = key.chars().take(40).collect();
        return Err(bad("DUPLICATE_KEY", format!("the key {shown:?} of the update is there twice")));
    }
    let text = reader::get(&members, "pdu").ok_or_else(|| bad("MISSING_KEY", "pdu is missing".to_owned()))?;
    pdus.read(text).await
}
