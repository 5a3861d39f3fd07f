//! A transport decorator that shows the batches and their outcomes to the observer of deliveries.

use std::sync::Arc;

use actors::model::{
    BadPdu, FetchRequest, OutboundBatch, Pdu, PullResponse, PushFailure, PushResponse, RequestDeadlines, ServerName,
};
use actors::ports::{Task, Transport};
use tokio::time::Instant;

use crate::telemetry::deliveries::delivery_observer::DeliveryObserver;

/// A transport whose batches are observed.
pub struct ObservedTransport {
    transport: Arc<dyn Transport>,
    observer: DeliveryObserver,
}

impl ObservedTransport {
    /// Returns a decorator of this transport.
    pub fn new(transport: Arc<dyn Transport>, observer: DeliveryObserver) -> Self {
        Self { transport, observer }
    }
}

impl Transport for ObservedTransport {
    fn push(&self, mut frame: OutboundBatch) -> Task<Result<PushResponse, PushFailure>> {
        let begun = self.observer.begin(&mut frame);
        let sent = self.transport.push(frame);
        let Some(batch) = begun else { return sent };
        let observer = self.observer.clone();
        Box::pin(async move {
            let began = Instant::now();
            let outcome = sent.await;
            observer.end(batch, began.elapsed(), &outcome);
            outcome
        })
    }

    fn fetch(
        &self,
        from: &ServerName,
        want: FetchRequest,
        deadlines: RequestDeadlines,
    ) -> Task<Result<Vec<Result<Pdu, BadPdu>>, PushFailure>> {
        self.transport.fetch(from, want, deadlines)
    }

    fn pull(
        &self,
        from: &ServerName,
        after: u64,
        deadlines: RequestDeadlines,
    ) -> Task<Result<PullResponse, PushFailure>> {
        self.transport.pull(from, after, deadlines)
    }
}
