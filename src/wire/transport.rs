//! Sends the core's requests to peers: a dialect writes and reads them, the egress client transfers them.

use std::sync::Arc;

use actors::model::{Answered, BadPdu, Deadlines, OutFrame, Pdu, Pulled, PushFailure, ServerName, Want};
use actors::ports::{Task, Transport};

use super::dialect_of;
use super::pdu::{Acquaintance, Reader};
use super::transactions::fetch;
use crate::egress::Egress;

/// The transport that the core uses for requests to peers.
pub struct PeerTransport {
    egress: Arc<Egress>,
    us: ServerName,
    acquaintance: Arc<dyn Acquaintance>,
}

impl PeerTransport {
    /// Returns a transport over this client; responses are read with these reference facts.
    pub fn new(egress: Arc<Egress>, us: ServerName, acquaintance: Arc<dyn Acquaintance>) -> Self {
        Self { egress, us, acquaintance }
    }
}

impl Transport for PeerTransport {
    fn push(&self, frame: OutFrame) -> Task<Result<Answered, PushFailure>> {
        let egress = Arc::clone(&self.egress);
        let dialect = dialect_of(&frame.label);
        let request = dialect.encode_push(&self.us, &frame, self.acquaintance.habits(&frame.to));
        Box::pin(async move {
            let body = egress.send(&frame.to, request?, frame.deadlines).await?;
            dialect.decode_answer(&frame, &body)
        })
    }

    fn fetch(
        &self,
        from: &ServerName,
        want: Want,
        deadlines: Deadlines,
    ) -> Task<Result<Vec<Result<Pdu, BadPdu>>, PushFailure>> {
        let egress = Arc::clone(&self.egress);
        let (acquaintance, from) = (Arc::clone(&self.acquaintance), from.clone());
        Box::pin(async move {
            let request = fetch::encode(&want, acquaintance.habits(&from));
            match egress.send(&from, request, deadlines).await {
                Ok(body) => fetch::decode(&want, &body, &Reader::new(&from, &*acquaintance)),
                Err(PushFailure::Refused { status, .. }) if fetch::says_none(&want, status) => Ok(Vec::new()),
                Err(failure) => Err(failure),
            }
        })
    }

    fn pull(&self, from: &ServerName, after: u64, deadlines: Deadlines) -> Task<Result<Pulled, PushFailure>> {
        let egress = Arc::clone(&self.egress);
        let (acquaintance, from) = (Arc::clone(&self.acquaintance), from.clone());
        let request = fetch::encode_pull(&self.us, after);
        Box::pin(async move {
            let body = egress.send(&from, request, deadlines).await?;
            fetch::decode_pull(&body, &Reader::new(&from, &*acquaintance))
        })
    }
}
