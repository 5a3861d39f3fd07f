//! Sends the core's requests to peers: a dialect writes and reads them, the egress client sends them.

use std::sync::Arc;

use actors::model::{
    BadPdu, FetchRequest, OutboundBatch, Pdu, PullResponse, PushFailure, PushResponse, RequestDeadlines, ServerName,
};
use actors::ports::{Task, Transport};

use super::pdu::relay_judge::RelayJudge;
use super::pdu::{PduReader, ReferenceContext};
use super::{DIALECTS, DialectList};
use crate::egress::EgressClient;

/// The transport that the core uses for requests to peers.
pub struct PeerTransport {
    egress: Arc<EgressClient>,
    us: ServerName,
    acquaintance: Arc<dyn ReferenceContext>,
    judge: Arc<dyn RelayJudge>,
    dialects: DialectList,
}

impl PeerTransport {
    /// Returns a transport over this client; responses are read with this reference context, and their PDUs judged.
    pub fn new(
        egress: Arc<EgressClient>,
        us: ServerName,
        acquaintance: Arc<dyn ReferenceContext>,
        judge: Arc<dyn RelayJudge>,
    ) -> Self {
        Self { egress, us, acquaintance, judge, dialects: DIALECTS }
    }
}

impl Transport for PeerTransport {
    fn push(&self, frame: OutboundBatch) -> Task<Result<PushResponse, PushFailure>> {
        let egress = Arc::clone(&self.egress);
        let dialect = self.dialects.of(frame.dialect);
        let request = dialect.encode_push(&self.us, &frame, self.acquaintance.habits(&frame.to));
        Box::pin(async move {
            let body = egress.send(&frame.to, request?, frame.deadlines).await?;
            dialect.decode_answer(&frame, &body)
        })
    }

    fn fetch(
        &self,
        from: &ServerName,
        want: FetchRequest,
        deadlines: RequestDeadlines,
    ) -> Task<Result<Vec<Result<Pdu, BadPdu>>, PushFailure>> {
        let egress = Arc::clone(&self.egress);
        let (acquaintance, judge, from) = (Arc::clone(&self.acquaintance), Arc::clone(&self.judge), from.clone());
        let dialect = self.dialects.of(acquaintance.dialect(&from));
        Box::pin(async move {
            let request = dialect.encode_fetch(&want, acquaintance.habits(&from));
            match egress.send(&from, request, deadlines).await {
                Ok(body) => dialect.decode_fetched(&want, &body, &PduReader::new(&from, &*acquaintance, &*judge)).await,
                Err(PushFailure::Refused { status, .. }) if dialect.means_not_found(&want, status) => Ok(Vec::new()),
                Err(failure) => Err(failure),
            }
        })
    }

    fn pull(
        &self,
        from: &ServerName,
        after: u64,
        deadlines: RequestDeadlines,
    ) -> Task<Result<PullResponse, PushFailure>> {
        let egress = Arc::clone(&self.egress);
        let (acquaintance, judge, from) = (Arc::clone(&self.acquaintance), Arc::clone(&self.judge), from.clone());
        let dialect = self.dialects.of(acquaintance.dialect(&from));
        let request = dialect.encode_pull(&self.us, after);
        Box::pin(async move {
            let body = egress.send(&from, request, deadlines).await?;
            dialect.decode_pull(&body, &PduReader::new(&from, &*acquaintance, &*judge)).await
        })
    }
}
