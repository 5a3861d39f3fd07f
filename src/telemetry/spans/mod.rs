//! The spans of items on their way, for OTLP: from the submission here to the push to the messenger there.
//!
//! ```text
//!   submission            the messenger's request, until it is answered
//!    |- commit            the batch of the journal with it
//!    `- push              the request to a peer; its `traceparent` goes with it
//!        `- receipt       the request there, until it is answered
//!            |- commit
//!            `- messenger push
//! ```
//!
//! The code that items pass calls [`ItemSpans`] and the two functions below. Without the feature `otlp` these do nothing and are
//! compiled to nothing; with it, and without an endpoint, they ask one pointer. An actor in between sees nothing of it: spans find each
//! other by what identifies the items (`span_hub`), in maps of bounded size.

#[cfg(feature = "otlp")]
mod span_hub;
#[cfg(feature = "otlp")]
mod span_queue;
mod span_rules;
#[cfg(feature = "otlp")]
mod trace_parent;
#[cfg(feature = "otlp")]
mod traced_journal;
#[cfg(feature = "otlp")]
mod traced_transport;

use std::sync::Arc;
use std::time::Duration;

use actors::model::{FeedEntry, ServerName, SubmissionId};
use actors::ports::{Journal, Transport};
use hyper::HeaderMap;
use hyper::header::HeaderValue;

pub use span_rules::{SpanRules, SpanTotals, TraceTrust};

#[cfg(feature = "otlp")]
use span_hub::SpanHub;

/// Header that carries a trace between servers (W3C Trace Context).
pub const TRACEPARENT: &str = "traceparent";

/// The spans of items. Clones share them; by default there are none.
#[derive(Clone, Default)]
pub struct ItemSpans {
    #[cfg(feature = "otlp")]
    hub: Option<Arc<SpanHub>>,
}

/// Spans that end when this is dropped.
#[must_use = "spans end when it is dropped"]
#[derive(Default)]
pub struct OpenSpans {
    #[cfg(feature = "otlp")]
    _spans: Vec<opentelemetry_sdk::trace::Span>,
}

/// The traces to which the events of a batch belong.
#[derive(Clone, Default)]
pub struct EventTraces {
    #[cfg(feature = "otlp")]
    parents: Vec<opentelemetry::trace::SpanContext>,
}

impl ItemSpans {
    /// Starts the export by these rules, on the runtime of the caller. It fails if the endpoint cannot be used.
    #[cfg(feature = "otlp")]
    pub fn start(rules: &SpanRules, us: &ServerName, trusts: TraceTrust) -> Result<Self, String> {
        Ok(Self { hub: Some(Arc::new(SpanHub::start(rules, us, trusts)?)) })
    }

    /// Returns no spans: the settings refuse an endpoint in this build.
    #[cfg(not(feature = "otlp"))]
    pub fn start(_rules: &SpanRules, _us: &ServerName, _trusts: TraceTrust) -> Result<Self, String> {
        Ok(Self::default())
    }

    /// Returns a journal whose commits are spans of what they commit.
    pub fn journal(&self, journal: Arc<dyn Journal>) -> Arc<dyn Journal> {
        #[cfg(feature = "otlp")]
        if let Some(hub) = &self.hub {
            return Arc::new(traced_journal::TracedJournal::new(journal, Arc::clone(hub)));
        }
        journal
    }

    /// Returns a transport whose pushes are spans of their items.
    pub fn transport(&self, transport: Arc<dyn Transport>) -> Arc<dyn Transport> {
        #[cfg(feature = "otlp")]
        if let Some(hub) = &self.hub {
            return Arc::new(traced_transport::TracedTransport::new(transport, Arc::clone(hub)));
        }
        transport
    }

    /// Begins the trace of each of these submissions. They are known by their ids from now on.
    #[cfg(feature = "otlp")]
    pub fn submission<'a>(&self, ids: impl IntoIterator<Item = &'a SubmissionId>) -> OpenSpans {
        let Some(hub) = &self.hub else { return OpenSpans::default() };
        OpenSpans { _spans: ids.into_iter().filter_map(|id| hub.submission(id)).collect() }
    }

    /// Begins no trace.
    #[cfg(not(feature = "otlp"))]
    pub fn submission<'a>(&self, _ids: impl IntoIterator<Item = &'a SubmissionId>) -> OpenSpans {
        OpenSpans::default()
    }

    /// Answers a request of a peer with these headers. Their trace goes on in the receipt of what it brings.
    #[cfg(feature = "otlp")]
    pub fn received<F: Future>(
        &self,
        trace: Option<ReceivedTrace>,
        call: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        let received = self.hub.clone().zip(trace.map(|ReceivedTrace(context)| context));
        span_hub::received(received, call)
    }

    /// Answers a request of a peer.
    #[cfg(not(feature = "otlp"))]
    pub fn received<F: Future>(
        &self,
        _trace: Option<ReceivedTrace>,
        call: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        call
    }

    /// Returns the traces to which these events belong.
    pub fn of_events(&self, entries: &[FeedEntry]) -> EventTraces {
        #[cfg(feature = "otlp")]
        if let Some(hub) = &self.hub {
            return EventTraces { parents: hub.of_events(entries) };
        }
        #[cfg(not(feature = "otlp"))]
        let _ = entries;
        EventTraces::default()
    }

    /// Begins the span of a push of these events to the messenger.
    pub fn messenger_push(&self, events: &EventTraces) -> OpenSpans {
        #[cfg(feature = "otlp")]
        if let Some(hub) = &self.hub {
            return OpenSpans { _spans: hub.messenger_push(&events.parents).into_iter().collect() };
        }
        #[cfg(not(feature = "otlp"))]
        let _ = events;
        OpenSpans::default()
    }

    /// Sends what waits, for at most this time.
    #[cfg_attr(
        not(feature = "otlp"),
        expect(clippy::unused_async, reason = "there is nothing to wait for without the feature")
    )]
    pub async fn flush(&self, within: Duration) {
        #[cfg(feature = "otlp")]
        if let Some(hub) = &self.hub {
            hub.flush(within).await;
        }
        #[cfg(not(feature = "otlp"))]
        let _ = within;
    }

    /// Returns the numbers of spans; `None`: nothing is exported.
    pub fn totals(&self) -> Option<SpanTotals> {
        #[cfg(feature = "otlp")]
        return self.hub.as_ref().map(|hub| hub.totals());
        #[cfg(not(feature = "otlp"))]
        None
    }
}

/// A trace that a request names; it is believed once its sender is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedTrace(#[cfg(feature = "otlp")] opentelemetry::trace::SpanContext);

impl ReceivedTrace {
    /// Returns the sampled trace of one valid `traceparent`. `lines` has its lines; several are as good as none.
    pub fn of<'a>(lines: impl FnOnce() -> (Option<&'a [u8]>, bool)) -> Option<Self> {
        #[cfg(feature = "otlp")]
        return match lines() {
            (Some(line), false) => trace_parent::read(line).map(Self),
            _ => None,
        };
        #[cfg(not(feature = "otlp"))]
        {
            let _ = lines;
            None
        }
    }
}

/// Accepts what a peer sent, as a span of the trace that its request names, if the peer is believed.
#[cfg(feature = "otlp")]
pub fn receipt<F: Future>(from: &ServerName, call: F) -> impl Future<Output = F::Output> {
    span_hub::receipt(from, call)
}

/// Accepts what a peer sent.
#[cfg(not(feature = "otlp"))]
pub fn receipt<F: Future>(_from: &ServerName, call: F) -> impl Future<Output = F::Output> {
    call
}

/// Adds the trace of the push that is being sent, if it has one, to its request.
pub fn write_trace(headers: &mut HeaderMap<HeaderValue>) {
    #[cfg(feature = "otlp")]
    if let Some(trace) = span_hub::outgoing() {
        headers.insert(TRACEPARENT, trace);
    }
    #[cfg(not(feature = "otlp"))]
    let _ = headers;
}

#[cfg(all(test, not(feature = "otlp")))]
mod tests {
    use super::*;

    #[test]
    fn spans_are_nothing_without_feature() {
        let sizes =
            [size_of::<ItemSpans>(), size_of::<OpenSpans>(), size_of::<EventTraces>(), size_of::<ReceivedTrace>()];
        assert_eq!(sizes, [0; 4]);
        let call = std::future::ready(());
        let received = ItemSpans::default().received(ReceivedTrace::of(|| (Some(b"00"), false)), call);
        assert_eq!(size_of_val(&received), size_of::<std::future::Ready<()>>());
    }
}
