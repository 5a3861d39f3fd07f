//! Reads one strong update: its content is opaque unless it carries a PDU or is a forward.

use actors::model::{ParkedCode, Pdu, StrongBody, StrongUpdate};
use bytes::Bytes;

use crate::json::reader;
use crate::json::reader::digest;
use crate::json::scanned_update::{ScannedUpdate, UpdateKind};
use crate::json::scanner::ScannedValue;
use crate::wire::pdu::PduReader;
use crate::wire::pdu::forward_text::KIND;
use crate::wire::updates::{content, forward};

/// Reads a strong update that was found in a push. `before`: the PDU of the update before it.
pub(super) async fn read_scanned(
    body: &Bytes,
    update: &ScannedUpdate<'_>,
    pdus: &PduReader<'_>,
    before: Option<&Pdu>,
) -> StrongUpdate {
    let is_opaque = match update.kind {
        UpdateKind::Named(name) => name != "pdu" && name != KIND,
        UpdateKind::Nameless => true,
        UpdateKind::Unclear => false,
    };
    if let Some(pdu) = update.pdu {
        return content::with_pdu(body.slice_ref(update.text.as_bytes()), pdus.read_after(pdu, before).await);
    }
    let value = ScannedValue { text: update.text, depth: update.depth };
    match is_opaque {
        true => content::read_opaque(body.slice_ref(update.text.as_bytes()), value, pdus),
        false => read(body, value, pdus).await,
    }
}

/// Reads a strong update. A repeat is recognized by the digest of its bytes; if it carries a PDU, by the identity of
/// the PDU, because servers on the way may rewrite it.
pub(super) async fn read(body: &Bytes, update: ScannedValue<'_>, pdus: &PduReader<'_>) -> StrongUpdate {
    let bytes = body.slice_ref(update.text.as_bytes());
    if !bytes.starts_with(b"{") {
        let unsound = StrongBody::Unsound(ParkedCode::NotAnObject, "a strong update is a JSON object, this one is not");
        return StrongUpdate { digest: digest(&bytes), bytes, body: unsound };
    }
    if reader::has_string_member(update.text, "update", KIND) {
        let body = forward::read(body, update.text, pdus).await;
        return StrongUpdate { digest: digest(&bytes), bytes, body };
    }
    content::read(bytes, update, pdus).await
}
