//! The way from a gateway into the network: it writes and reads the bytes that the real client does.

use std::sync::Arc;

use actors::model::{
    BadPdu, FetchRequest, OutboundBatch, Pdu, PullResponse, PushFailure, PushResponse, RequestDeadlines, ServerName,
};
use actors::ports::{Ports, Task, Transport};
use fernpost::wire::pdu::reference_context::StoreReferenceContext;
use fernpost::wire::pdu::relay_judge::RelayJudge;
use fernpost::wire::pdu::{PduReader, ReferenceContext};

use crate::keys::TrustingRelayJudge;
use crate::network::TestNetwork;
use crate::toy_dialect::TEST_DIALECTS;

/// The transport of one gateway.
pub struct NetworkTransport {
    network: Arc<TestNetwork>,
    facts: StoreReferenceContext,
    judge: Arc<dyn RelayJudge>,
}

impl NetworkTransport {
    /// Returns the way into the network for a gateway with these ports, whose peers and store are in place. It takes every
    /// server's word.
    pub fn of(network: &Arc<TestNetwork>, ports: &Ports) -> Self {
        let (us, contexts, roster) = (ports.us.clone(), ports.archive.contexts.clone(), ports.roster.clone());
        Self {
            network: network.clone(),
            facts: StoreReferenceContext { us, contexts, roster },
            judge: Arc::new(TrustingRelayJudge),
        }
    }

    /// Judges the PDUs of others by this judge.
    #[must_use]
    pub fn judged_by(self, judge: Arc<dyn RelayJudge>) -> Self {
        Self { judge, ..self }
    }
}

impl Transport for NetworkTransport {
    fn push(&self, batch: OutboundBatch) -> Task<Result<PushResponse, PushFailure>> {
        let (network, us) = (self.network.clone(), self.facts.us.clone());
        let dialect = TEST_DIALECTS.of(batch.dialect);
        let request = dialect.encode_push(&us, &batch, self.facts.habits(&batch.to));
        Box::pin(async move {
            let body = network.send((us, batch.to.clone()), request?, batch.deadlines).await?;
            dialect.decode_answer(&batch, &body)
        })
    }

    fn fetch(
        &self,
        from: &ServerName,
        want: FetchRequest,
        deadlines: RequestDeadlines,
    ) -> Task<Result<Vec<Result<Pdu, BadPdu>>, PushFailure>> {
        let (network, facts, from) = (self.network.clone(), self.facts.clone(), from.clone());
        let judge = self.judge.clone();
        let dialect = TEST_DIALECTS.of(facts.dialect(&from));
        Box::pin(async move {
            let way = (facts.us.clone(), from.clone());
            match network.send(way, dialect.encode_fetch(&want, facts.habits(&from)), deadlines).await {
                Ok(body) => dialect.decode_fetched(&want, &body, &PduReader::new(&from, &facts, &*judge)).await,
                Err(PushFailure::Refused { status, .. }) if dialect.means_not_found(&want, status) => Ok(vec![]),
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
        let (network, facts, from) = (self.network.clone(), self.facts.clone(), from.clone());
        let judge = self.judge.clone();
        let dialect = TEST_DIALECTS.of(facts.dialect(&from));
        Box::pin(async move {
            let way = (facts.us.clone(), from.clone());
            let body = network.send(way, dialect.encode_pull(&facts.us, after), deadlines).await?;
            dialect.decode_pull(&body, &PduReader::new(&from, &facts, &*judge)).await
        })
    }
}
