//! The peers that cannot read Protobuf: they are written JSON until the gateway is restarted.

use std::collections::HashSet;

use actors::model::ServerName;
use parking_lot::Mutex;

use crate::http::body::encoded::BodyEncoding;

/// Peers that refused Protobuf; at most the peers that are configured for it.
#[derive(Debug, Default)]
pub(crate) struct ProtobufRefusals(Mutex<HashSet<ServerName>>);

impl ProtobufRefusals {
    /// Returns the encoding in which a peer is written that is configured for this one.
    pub(crate) fn encoding(&self, to: &ServerName, configured: BodyEncoding) -> BodyEncoding {
        match configured {
            BodyEncoding::Protobuf if !self.0.lock().contains(to) => BodyEncoding::Protobuf,
            _ => BodyEncoding::Json,
        }
    }

    /// Records that a peer refused Protobuf with this status. The log tells it once.
    pub(crate) fn note(&self, to: &ServerName, status: u16) {
        if self.0.lock().insert(to.clone()) {
            let words = "the peer refuses Protobuf and is sent JSON from now on; set encoding = \"json\" for it";
            tracing::warn!(peer = %to, status, "{words}");
        }
    }

    /// Returns whether this status of an answer may mean that a peer cannot read Protobuf.
    pub(crate) const fn is_refusal(status: u16) -> bool {
        matches!(status, 400 | 415)
    }
}
