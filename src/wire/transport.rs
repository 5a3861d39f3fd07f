//! Requests to peers: a dialect writes and reads them, the gate outward carries them.

use std::sync::Arc;

use actors::model::{Answered, BadPdu, Deadlines, OutFrame, Pdu, PushFailure, ServerName, Want};
use actors::ports::{Task, Transport};

use super::{DIALECTS, Dialect};
use crate::egress::Egress;

/// Which dialect a peer is written to in; asked at every push, so that a reload counts at once.
pub type DialectOf = Arc<dyn (Fn(&ServerName) -> &'static dyn Dialect) + Send + Sync>;

/// The core's way to its peers.
pub struct PeerTransport {
    egress: Arc<Egress>,
    dialect_of: DialectOf,
}

impl PeerTransport {
    /// Every peer is written to in the default dialect.
    pub fn new(egress: Arc<Egress>) -> Self {
        Self::choosing(egress, Arc::new(|_| DIALECTS[0]))
    }

    /// Each peer is written to in the dialect chosen for it.
    pub fn choosing(egress: Arc<Egress>, dialect_of: DialectOf) -> Self {
        Self { egress, dialect_of }
    }
}

impl Transport for PeerTransport {
    fn push(&self, frame: OutFrame) -> Task<Result<Answered, PushFailure>> {
        let egress = Arc::clone(&self.egress);
        let dialect = (self.dialect_of)(&frame.to);
        Box::pin(async move {
            let request = dialect.encode_push(&frame);
            let body = egress.post(&frame.to, request, frame.deadlines).await?;
            dialect.decode_answer(&body)
        })
    }

    fn fetch(&self, _: &ServerName, _: Want, _: Deadlines) -> Task<Result<Vec<Result<Pdu, BadPdu>>, PushFailure>> {
        Box::pin(async { Err(PushFailure::Unreachable("not built".to_owned())) })
    }
}
