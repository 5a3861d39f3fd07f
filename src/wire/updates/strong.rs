//! Reads one strong update: its content is opaque unless it carries a PDU or is a forward.

use actors::model::{ParkedCode, StrongBody, StrongUpdate};
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::json::reader;
use crate::json::reader::digest;
use crate::wire::pdu::PduReader;
use crate::wire::pdu::forward_text::KIND;
use crate::wire::updates::{content, forward};

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
    content::read(bytes, raw, pdus).await
}
