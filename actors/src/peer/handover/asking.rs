//! Requests to one peer, outside its actor: pushes, and questions for PDUs.

use std::sync::Arc;

use tokio::time::Instant;

use crate::model::{
    ContextId, FetchRequest, OutboundBatch, PullResponse, PushFailure, PushResponse, RequestDeadlines, ServerName,
};
use crate::peer::effect::Pull;
use crate::peer::fetch_budget::FetchCost;
use crate::peer::handover::unknown_contexts;
use crate::peer::inbound::dispatch::UnknownContexts;
use crate::ports::Ports;
use crate::router::registry::{ActorRegistry, LookupPurpose};
use crate::supervise::admission::AdmissionPermit;

/// Sends a batch; `settled`: once everything submitted so far is on disk.
pub(crate) fn push(
    ports: &Ports,
    batch: OutboundBatch,
    settled: bool,
) -> impl Future<Output = Result<PushResponse, PushFailure>> + 'static {
    let (transport, barrier) = (ports.transport.clone(), settled.then(|| ports.journal.barrier()));
    async move {
        if let Some(barrier) = barrier {
            let lost = |_| PushFailure::Unreachable("the journal has stopped".into());
            barrier.committed().await.map_err(lost)?;
        }
        // `push` is called inside the task, so that a panic before it returns a future is isolated too.
        transport.push(batch).await
    }
}

/// Asks a peer for its transactions after this one; returns them with the contexts that they would create.
pub(crate) fn pull(
    ports: Arc<Ports>,
    server: ServerName,
    pull: Pull,
    deadlines: RequestDeadlines,
    permit: AdmissionPermit,
) -> impl Future<Output = (Result<PullResponse, PushFailure>, UnknownContexts)> + 'static {
    let asked = ports.transport.pull(&server, pull.after, deadlines);
    async move {
        let pulled = asked.await.inspect_err(|failure| {
            tracing::debug!(peer = %server, after = pull.after, %failure, "a fetch from the peer failed");
        });
        drop(permit);
        let pdus = pulled.iter().flat_map(|pulled| pulled.pdus.iter().flatten());
        let contexts = unknown_contexts(ports.archive.contexts.clone(), pdus.map(|pdu| &pdu.context)).await;
        (pulled, UnknownContexts { contexts, most: ports.roster.contexts().adopt_max })
    }
}

/// Fetches PDUs from a peer for a context, which gets the result; the cost is charged to the peer that caused the fetch.
pub(crate) async fn fetch(
    ports: Arc<Ports>,
    routes: ActorRegistry,
    server: ServerName,
    deadlines: RequestDeadlines,
    permit: AdmissionPermit,
    (context, want, cause): (ContextId, FetchRequest, ServerName),
) {
    // The monotonic clock is used, because a wall clock that is set forward would use up the budget.
    let began = Instant::now();
    let asked = ports.transport.fetch(&server, want.clone(), deadlines).await;
    drop(permit);
    let pdus = asked.inspect_err(|failure| {
        tracing::debug!(peer = %server, %context, %failure, "a fetch from the peer failed");
    });
    let pdus = pdus.map_err(|failure| failure.to_string());
    if let Ok(cause) = routes.peer(&cause, LookupPurpose::Deliver).await {
        let sound = || pdus.iter().flatten().flatten();
        let bytes = sound().map(|pdu| pdu.bytes.len() as u64).sum();
        cause.charge_fetch(FetchCost { items: sound().count() as u64, bytes, time: began.elapsed() });
    }
    routes.fetched(&context, want, server, pdus).await;
}
