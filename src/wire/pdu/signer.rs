//! Signs PDUs of ours, once, when they are composed. The signature is stored with the PDU and sent with it unchanged.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use actors::model::{Item, PduRef, Seq, ServerName};
use actors::ports::Clock;
use bytes::Bytes;
use uuid::Builder;

use crate::identity::key_ring::LiveKeyRing;
use crate::identity::pdu_signature::{HASHES, SIGNATURES, SigningMembers, sign_pdu};
use crate::wire::pdu::forward_text::{self, WrittenForward};

/// Signs PDUs with the key that is active.
///
/// A context's actor calls it, because what is signed contains the position in the graph, and the next PDU of the context may
/// refer to this one. One signature takes some twenty microseconds.
pub struct PduSigner {
    keys: LiveKeyRing,
    clock: Arc<dyn Clock>,
}

impl PduSigner {
    /// Returns a signer with these keys.
    pub fn new(keys: impl Into<LiveKeyRing>, clock: Arc<dyn Clock>) -> Self {
        Self { keys: keys.into(), clock }
    }

    /// Writes an item of ours as a signed forward; returns its id and its text. `None`: it cannot be signed, so it waits for the
    /// peer itself.
    pub(super) fn forward(
        &self,
        us: &ServerName,
        to: &ServerName,
        number: Seq,
        item: &Item,
    ) -> Option<(Box<str>, Bytes)> {
        let now = self.clock.now();
        let (keys, body) = (self.keys.current(), forward_text::body(item)?);
        let key = keys.active(UNIX_EPOCH + Duration::from_millis(now.0))?;
        let chance: [u8; 10] = std::array::from_fn(|_| fastrand::u8(..));
        let id = Builder::from_unix_timestamp_millis(now.0, &chance).into_uuid().to_string();
        let forward = WrittenForward { origin: us, destination: to, id: &id, sent: now, number, body: &body };
        match forward.signed_by(key) {
            Ok(text) => Some((id.into(), text)),
            Err(why) => {
                tracing::warn!(peer = %to, %number, %why, "an update cannot be signed, so no server can pass it on");
                None
            }
        }
    }

    /// Returns a PDU with its hash and our signature. One that cannot be signed stays as it is: its recipients accept it from us,
    /// and only a server that gets it from another one refuses it.
    pub(super) fn signed(&self, us: &ServerName, reference: &PduRef, pdu: Bytes) -> Bytes {
        let now = UNIX_EPOCH + Duration::from_millis(self.clock.now().0);
        let keys = self.keys.current();
        let (Some(key), Ok(text)) = (keys.active(now), str::from_utf8(&pdu)) else { return pdu };
        match sign_pdu(text, us, key) {
            Ok(members) => with_members(text, &members),
            Err(why) => {
                tracing::warn!(pdu = %reference, %why, "a PDU goes out unsigned, so no server can relay it");
                pdu
            }
        }
    }
}

fn with_members(pdu: &str, SigningMembers { hashes, signatures }: &SigningMembers) -> Bytes {
    let open = pdu.strip_suffix('}').expect("a PDU is an object that is not empty");
    format!("{open},\"{HASHES}\":{hashes},\"{SIGNATURES}\":{signatures}}}").into()
}
