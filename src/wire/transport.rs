//! Sends the core's requests to peers: a dialect writes and reads them, the egress client sends them.

use std::collections::HashSet;
use std::sync::Arc;

use actors::limits::InteropQuirks;
use actors::model::{
    BadPdu, FetchRequest, OutboundBatch, Pdu, PullResponse, PushFailure, PushResponse, RequestDeadlines, ServerName,
};
use actors::ports::{Task, Transport};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::pdu::relay_judge::RelayJudge;
use super::pdu::{PduReader, ReferenceContext};
use super::{DIALECTS, DialectList};
use crate::egress::{EgressClient, EgressRequest};
use crate::json::nesting::BodyNestingLimit;

/// The transport that the core uses for requests to peers. Clones share their state.
#[derive(Clone)]
pub struct PeerTransport {
    egress: Arc<EgressClient>,
    us: ServerName,
    acquaintance: Arc<dyn ReferenceContext>,
    judge: Arc<dyn RelayJudge>,
    dialects: DialectList,
    nesting: BodyNestingLimit,
    /// Peers that refused Protobuf; at most the peers that are configured for it.
    json_only: Arc<Mutex<HashSet<ServerName>>>,
}

impl PeerTransport {
    /// Returns a transport over this client; responses are read with this reference context, and their PDUs judged.
    pub fn new(
        egress: Arc<EgressClient>,
        us: ServerName,
        acquaintance: Arc<dyn ReferenceContext>,
        judge: Arc<dyn RelayJudge>,
    ) -> Self {
        Self {
            egress,
            us,
            acquaintance,
            judge,
            dialects: DIALECTS,
            nesting: BodyNestingLimit::default(),
            json_only: Arc::default(),
        }
    }

    /// Limits the nesting of answers.
    #[must_use]
    pub fn nested_within(self, nesting: BodyNestingLimit) -> Self {
        Self { nesting, ..self }
    }

    /// Records that a peer cannot read Protobuf: it is written JSON until the gateway is restarted.
    fn note_json_only(&self, to: &ServerName, status: u16) {
        if self.json_only.lock().insert(to.clone()) {
            let words = "the peer refuses Protobuf and is sent JSON from now on; set encoding = \"json\" for it";
            tracing::warn!(peer = %to, status, "{words}");
        }
    }

    /// Sends a request and returns the body of its answer.
    fn ask(
        &self,
        to: &ServerName,
        request: EgressRequest,
        deadlines: RequestDeadlines,
    ) -> impl Future<Output = Result<Bytes, PushFailure>> + use<> {
        let (egress, nesting, to) = (Arc::clone(&self.egress), self.nesting.clone(), to.clone());
        async move {
            let body = egress.send(&to, request, deadlines).await?;
            nesting.check(&body).map_err(|deep| PushFailure::Unreadable(deep.to_string()))?;
            Ok(body)
        }
    }
}

impl Transport for PeerTransport {
    fn push(&self, frame: OutboundBatch) -> Task<Result<PushResponse, PushFailure>> {
        let dialect = self.dialects.of(frame.dialect);
        let habits = self.acquaintance.habits(&frame.to);
        let json = InteropQuirks { protobuf: false, ..habits };
        let is_protobuf = habits.protobuf && !self.json_only.lock().contains(&frame.to);
        let first = match is_protobuf {
            true => dialect.encode_push(&self.us, &frame, habits),
            false => dialect.encode_push(&self.us, &frame, json),
        };
        let asked = first.map(|request| self.ask(&frame.to, request, frame.deadlines));
        let transport = is_protobuf.then(|| self.clone());
        Box::pin(async move {
            let began = Instant::now();
            let body = match (asked?.await, transport) {
                // A server without Protobuf cannot read the body at all, so the refusal says nothing about its items.
                (Err(PushFailure::Refused { status: status @ (400 | 415), .. }), Some(transport)) => {
                    transport.note_json_only(&frame.to, status);
                    let request = dialect.encode_push(&transport.us, &frame, json)?;
                    let total = frame.deadlines.total.saturating_sub(began.elapsed());
                    transport.ask(&frame.to, request, RequestDeadlines { total, ..frame.deadlines }).await?
                }
                (answer, _) => answer?,
            };
            dialect.decode_answer(&frame, &body)
        })
    }

    fn fetch(
        &self,
        from: &ServerName,
        want: FetchRequest,
        deadlines: RequestDeadlines,
    ) -> Task<Result<Vec<Result<Pdu, BadPdu>>, PushFailure>> {
        let (acquaintance, judge, from) = (Arc::clone(&self.acquaintance), Arc::clone(&self.judge), from.clone());
        let dialect = self.dialects.of(acquaintance.dialect(&from));
        let asked = self.ask(&from, dialect.encode_fetch(&want, acquaintance.habits(&from)), deadlines);
        Box::pin(async move {
            match asked.await {
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
        let (acquaintance, judge, from) = (Arc::clone(&self.acquaintance), Arc::clone(&self.judge), from.clone());
        let dialect = self.dialects.of(acquaintance.dialect(&from));
        let asked = self.ask(&from, dialect.encode_pull(&self.us, after), deadlines);
        Box::pin(async move {
            let body = asked.await?;
            dialect.decode_pull(&body, &PduReader::new(&from, &*acquaintance, &*judge)).await
        })
    }
}
