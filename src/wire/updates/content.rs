//! Reads the content of a strong update that is no forward: it is opaque unless it carries a PDU.

use actors::model::{BadPdu, ParkedCode, Pdu, StrongBody, StrongUpdate};
use bytes::Bytes;

use crate::http::json_error;
use crate::json::nesting::NESTING_MAX;
use crate::json::reader;
use crate::json::reader::digest;
use crate::json::scanner::ScannedValue;
use crate::wire::pdu::{PduReader, identity};
use crate::wire::updates::group_message::group_message;

/// Maximum nesting of an update: the remaining levels are for the answer in which the messenger reads it.
const UPDATE_NESTING_MAX: usize = NESTING_MAX - 2;

/// Reads a strong update that is no forward.
pub(super) async fn read(bytes: Bytes, update: ScannedValue<'_>, pdus: &PduReader<'_>) -> StrongUpdate {
    if !reader::has_string_member(update.text, "update", "pdu") {
        return read_opaque(bytes, update, pdus);
    }
    let pdu = pdu(update.text, pdus).await;
    with_pdu(bytes, pdu)
}

/// Returns a strong update that carries a PDU.
pub(super) fn with_pdu(bytes: Bytes, pdu: Result<Pdu, BadPdu>) -> StrongUpdate {
    match pdu {
        Ok(pdu) => StrongUpdate { digest: identity(&pdu), bytes, body: StrongBody::Pdu(Box::new(pdu)) },
        Err(bad) => StrongUpdate { digest: digest(&bytes), bytes, body: StrongBody::BadPdu(bad) },
    }
}

/// Reads a strong update that is neither a forward nor carries a PDU.
pub(super) fn read_opaque(bytes: Bytes, update: ScannedValue<'_>, pdus: &PduReader<'_>) -> StrongUpdate {
    let body = match update.nests_deeper_than(UPDATE_NESTING_MAX) {
        true => StrongBody::Unsound(ParkedCode::TooDeep, "a strong update nests at most 98 levels deep"),
        false => match pdus.maps_groups().then(|| group_message(&bytes, update.text, pdus.sender)).flatten() {
            Some(message) => StrongBody::Group(Box::new(message)),
            None => StrongBody::Plain,
        },
    };
    StrongUpdate { digest: pdus.acquaintance.digest(&bytes), bytes, body }
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
    pdus.read_scanned(text).await
}
