//! Sends the core's requests to peers: a dialect writes and reads them, the egress client sends them.

use std::sync::Arc;

use actors::limits::InteropQuirks;
use actors::model::{
    BadPdu, FetchRequest, OutboundBatch, Pdu, PullResponse, PushFailure, PushResponse, RequestDeadlines, ServerName,
};
use actors::ports::{Task, Transport};
use bytes::Bytes;
use tokio::time::Instant;

use super::pdu::relay_judge::RelayJudge;
use super::pdu::{PduReader, ReferenceContext};
use super::{DIALECTS, DialectList};
use crate::egress::{EgressClient, EgressRequest, ProtobufRefusals};
use crate::http::body::encoded::{BodyEncoding, PROTOBUF_TYPE};
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
}

impl PeerTransport {
    /// Returns a transport over this client; responses are read with this reference context, and their PDUs judged.
    pub fn new(
        egress: Arc<EgressClient>,
        us: ServerName,
        acquaintance: Arc<dyn ReferenceContext>,
        judge: Arc<dyn RelayJudge>,
    ) -> Self {
        Self { egress, us, acquaintance, judge, dialects: DIALECTS, nesting: BodyNestingLimit::default() }
    }

    /// Limits the nesting of answers.
    #[must_use]
    pub fn nested_within(self, nesting: BodyNestingLimit) -> Self {
        Self { nesting, ..self }
    }

    /// Sends a request and returns the JSON of its answer.
    fn ask(
        &self,
        to: &ServerName,
        request: EgressRequest,
        deadlines: RequestDeadlines,
    ) -> impl Future<Output = Result<Bytes, PushFailure>> + use<> {
        let (egress, nesting, to) = (Arc::clone(&self.egress), self.nesting.clone(), to.clone());
        async move {
            let body = egress.send(&to, request, deadlines).await?;
            check_nesting(&nesting, &body)?;
            Ok(body)
        }
    }
}

fn check_nesting(nesting: &BodyNestingLimit, body: &[u8]) -> Result<(), PushFailure> {
    nesting.check(body).map_err(|deep| PushFailure::Unreadable(deep.to_string()))
}

impl Transport for PeerTransport {
    fn push(&self, frame: OutboundBatch) -> Task<Result<PushResponse, PushFailure>> {
        let dialect = self.dialects.of(frame.dialect);
        let habits = self.acquaintance.habits(&frame.to);
        let json = InteropQuirks { protobuf: false, ..habits };
        let configured = if habits.protobuf { BodyEncoding::Protobuf } else { BodyEncoding::Json };
        let first = match self.egress.protobuf_refusals.encoding(&frame.to, configured) {
            BodyEncoding::Protobuf => dialect.encode_push(&self.us, &frame, habits),
            BodyEncoding::Json => dialect.encode_push(&self.us, &frame, json),
        };
        // A dialect may write JSON all the same.
        let is_protobuf = first.as_ref().is_ok_and(|request| request.content_type == PROTOBUF_TYPE);
        let transport = self.clone();
        Box::pin(async move {
            let (egress, to) = (&transport.egress, &frame.to);
            let began = Instant::now();
            let body = match egress.send(to, first?, frame.deadlines).await {
                // A server without Protobuf cannot read the body at all, so the refusal says nothing about its items.
                Err(PushFailure::Refused { status, .. }) if is_protobuf && ProtobufRefusals::is_refusal(status) => {
                    egress.protobuf_refusals.note(to, status);
                    let request = dialect.encode_push(&transport.us, &frame, json)?;
                    let total = frame.deadlines.total.saturating_sub(began.elapsed());
                    egress.send(to, request, RequestDeadlines { total, ..frame.deadlines }).await?
                }
                answer => answer?,
            };
            if dialect.answers_in_json(&body) {
                check_nesting(&transport.nesting, &body)?;
            }
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
