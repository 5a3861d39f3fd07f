//! A transport decorator that makes a push of traced items a span, whose `traceparent` goes to the peer.

use std::sync::Arc;

use actors::model::{
    BadPdu, FetchRequest, OutboundBatch, Pdu, PullResponse, PushFailure, PushResponse, RequestDeadlines, ServerName,
};
use actors::ports::{Task, Transport};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Span, SpanKind, Status};

use super::span_hub::{SpanHub, sent_with};

/// A transport whose pushes are spans of their items.
pub(super) struct TracedTransport {
    transport: Arc<dyn Transport>,
    hub: Arc<SpanHub>,
}

impl TracedTransport {
    /// Returns a decorator of this transport. It has to be the outermost, because others take the origins of the items.
    pub(super) fn new(transport: Arc<dyn Transport>, hub: Arc<SpanHub>) -> Self {
        Self { transport, hub }
    }
}

impl Transport for TracedTransport {
    fn push(&self, frame: OutboundBatch) -> Task<Result<PushResponse, PushFailure>> {
        let parents = self.hub.of_submissions(frame.traces.iter().map(|trace| &trace.submission));
        let items = i64::try_from(frame.items.len()).unwrap_or(i64::MAX);
        let facts = || vec![KeyValue::new("peer", frame.to.to_string()), KeyValue::new("items", items)];
        let span = if parents.is_empty() { None } else { self.hub.begin("push", SpanKind::Client, &parents, facts()) };
        let Some(mut span) = span else { return self.transport.push(frame) };
        let trace = self.hub.trusts(&frame.to).then(|| super::trace_parent::written(span.span_context()));
        let sent = self.transport.push(frame);
        Box::pin(sent_with(trace, async move {
            let outcome = sent.await;
            if let Err(failure) = &outcome {
                // Its words are not told, because those of a peer may repeat the text of an item.
                let code = failure.code().map_or_else(|| "NO_ANSWER".to_owned(), |code| code.to_string());
                span.set_status(Status::error(code));
            }
            outcome
        }))
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
