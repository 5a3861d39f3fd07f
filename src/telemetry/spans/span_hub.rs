//! Begins spans, and finds the span that an item belongs to by what identifies the item: a submission by its id, what a peer sends by
//! the peer while its request is answered, an event by the update or the PDU in it.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use actors::change::Change;
use actors::model::{FeedEntry, FeedItem, PduRef, ServerName, SubmissionId};
use hyper::header::HeaderValue;
use lru::LruCache;
use opentelemetry::trace::{Link, Span as _, SpanContext, SpanKind, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span};
use parking_lot::Mutex;

use super::span_queue::SpanQueue;
use super::span_rules::{SpanRules, SpanTotals, TraceTrust};

/// Maximum number of submissions, and of events, whose traces are known: those of the last seconds under load. The spans of an older one
/// are not found, so its later pushes belong to no trace.
const KNOWN_MAX: NonZeroUsize = NonZeroUsize::new(16_384).expect("more than 0");

/// Maximum number of traces that one span belongs to: the first is its parent, the others are links.
const PARENTS_MAX: usize = 32;

tokio::task_local! {
    /// The trace of the request that is being answered.
    static RECEIVED: Option<(Arc<SpanHub>, SpanContext)>;
    /// The trace of the push that is being sent.
    static OUTGOING: Option<HeaderValue>;
}

/// An event whose trace is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum TracedEvent {
    Update(ServerName, u64),
    Pdu(PduRef),
}

/// The spans of one gateway.
pub(super) struct SpanHub {
    tracer: SdkTracer,
    queue: SpanQueue,
    trusts: TraceTrust,
    submissions: Mutex<LruCache<SubmissionId, SpanContext>>,
    /// Requests of peers that are being answered; of several of one peer the last. `intake_max` of each peer bounds them.
    receipts: Mutex<HashMap<ServerName, SpanContext>>,
    events: Mutex<LruCache<TracedEvent, SpanContext>>,
}

impl SpanHub {
    pub(super) fn start(rules: &SpanRules, us: &ServerName, trusts: TraceTrust) -> Result<Self, String> {
        // `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` are read here, and are weaker.
        let resource = Resource::builder()
            .with_service_name("fernpost")
            .with_attribute(KeyValue::new("service.instance.id", us.to_string()))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let queue = SpanQueue::start(rules, &resource)?;
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(rules.ratio))))
            .with_resource(resource)
            .with_span_processor(queue.clone())
            .build();
        Ok(Self {
            tracer: provider.tracer("fernpost"),
            queue,
            trusts,
            submissions: Mutex::new(LruCache::new(KNOWN_MAX)),
            receipts: Mutex::default(),
            events: Mutex::new(LruCache::new(KNOWN_MAX)),
        })
    }

    /// Begins a span of these traces; `None`: there is none, or it is not sampled.
    pub(super) fn begin(
        &self,
        name: &'static str,
        kind: SpanKind,
        parents: &[SpanContext],
        facts: Vec<KeyValue>,
    ) -> Option<Span> {
        let (first, others) = parents.split_first()?;
        let links = others.iter().take(PARENTS_MAX - 1).cloned().map(Link::with_context).collect();
        self.built(name, kind, facts, links, &Context::new().with_remote_span_context(first.clone()))
    }

    fn built(
        &self,
        name: &'static str,
        kind: SpanKind,
        facts: Vec<KeyValue>,
        links: Vec<Link>,
        within: &Context,
    ) -> Option<Span> {
        let builder = self.tracer.span_builder(name).with_kind(kind).with_attributes(facts).with_links(links);
        let span = self.tracer.build_with_context(builder, within);
        span.span_context().is_sampled().then_some(span)
    }

    /// Returns whether a peer is believed what it says about traces.
    pub(super) fn trusts(&self, server: &ServerName) -> bool {
        (self.trusts)(server)
    }

    /// Begins the trace of a submission; `None`: it is not sampled.
    pub(super) fn submission(&self, id: &SubmissionId) -> Option<Span> {
        let facts = vec![KeyValue::new("submission", id.as_str().to_owned())];
        let span = self.built("submission", SpanKind::Server, facts, vec![], &Context::new())?;
        self.submissions.lock().put(id.clone(), span.span_context().clone());
        Some(span)
    }

    /// Returns the traces of these submissions, each once.
    pub(super) fn of_submissions<'a>(&self, ids: impl Iterator<Item = &'a SubmissionId>) -> Vec<SpanContext> {
        let mut known = self.submissions.lock();
        let mut parents = Vec::new();
        if known.is_empty() {
            return parents;
        }
        for id in ids {
            if let Some(context) = known.get(id) {
                add(&mut parents, context);
            }
        }
        parents
    }

    /// Returns the traces to which these changes belong, and remembers those of the events among them.
    pub(super) fn of_changes(&self, changes: &[Change]) -> Vec<SpanContext> {
        let ids = changes.iter().filter_map(|change| match change {
            Change::Submitted(submission) => Some(&submission.id),
            Change::SubmittedToGroups(given) => Some(&given.submission.id),
            _ => None,
        });
        let mut parents = self.of_submissions(ids);
        let receipts = self.receipts.lock();
        if receipts.is_empty() {
            return parents;
        }
        for change in changes {
            let (from, event) = match change {
                Change::InboundDigestsStored { from, .. } => (from, None),
                Change::FeedAppended(FeedItem::Update { from, n, .. }) => {
                    (from, Some(TracedEvent::Update(from.clone(), *n)))
                }
                Change::PduStored(stored) => match &stored.sender {
                    Some(from) => (from, Some(TracedEvent::Pdu(stored.pdu.reference.clone()))),
                    None => continue,
                },
                _ => continue,
            };
            let Some(context) = receipts.get(from) else { continue };
            add(&mut parents, context);
            if let Some(event) = event {
                self.events.lock().put(event, context.clone());
            }
        }
        parents
    }

    /// Returns the traces to which these events belong, each once.
    pub(super) fn of_events(&self, entries: &[FeedEntry]) -> Vec<SpanContext> {
        let mut known = self.events.lock();
        let mut parents = Vec::new();
        if known.is_empty() {
            return parents;
        }
        for entry in entries {
            let event = match &entry.item {
                FeedItem::Update { from, n, .. } => TracedEvent::Update(from.clone(), *n),
                FeedItem::Pdu(pdu) => TracedEvent::Pdu(pdu.reference.clone()),
                _ => continue,
            };
            if let Some(context) = known.get(&event) {
                add(&mut parents, context);
            }
        }
        parents
    }

    /// Begins the span of a push to the messenger.
    pub(super) fn messenger_push(&self, parents: &[SpanContext]) -> Option<Span> {
        self.begin("messenger push", SpanKind::Client, parents, vec![])
    }

    /// Sends what waits, for at most this time.
    pub(super) async fn flush(&self, within: Duration) {
        self.queue.flush(within).await;
    }

    pub(super) fn totals(&self) -> SpanTotals {
        self.queue.totals()
    }
}

/// Adds a trace, unless it is there or there are enough.
fn add(parents: &mut Vec<SpanContext>, context: &SpanContext) {
    if parents.len() < PARENTS_MAX && !parents.iter().any(|other| other.span_id() == context.span_id()) {
        parents.push(context.clone());
    }
}

/// Answers a request within the trace that it names.
pub(super) fn received<F: Future>(
    trace: Option<(Arc<SpanHub>, SpanContext)>,
    call: F,
) -> impl Future<Output = F::Output> {
    RECEIVED.scope(trace, call)
}

/// The span of a request of a peer, while it is answered.
struct OpenReceipt {
    hub: Arc<SpanHub>,
    from: ServerName,
    span: Span,
}

impl Drop for OpenReceipt {
    fn drop(&mut self) {
        let mut receipts = self.hub.receipts.lock();
        if receipts.get(&self.from).is_some_and(|last| last.span_id() == self.span.span_context().span_id()) {
            receipts.remove(&self.from);
        }
    }
}

/// Accepts what a peer sent, as a span of the trace that its request names, if the peer is believed.
pub(super) async fn receipt<F: Future>(from: &ServerName, call: F) -> F::Output {
    let trace = RECEIVED.try_with(Clone::clone).ok().flatten();
    let _open = trace.filter(|(hub, _)| hub.trusts(from)).and_then(|(hub, context)| {
        let facts = vec![KeyValue::new("peer", from.to_string())];
        let span = hub.begin("receipt", SpanKind::Server, &[context], facts)?;
        hub.receipts.lock().insert(from.clone(), span.span_context().clone());
        Some(OpenReceipt { hub, from: from.clone(), span })
    });
    call.await
}

/// Sends a push whose requests carry this trace.
pub(super) fn sent_with<F: Future>(trace: Option<HeaderValue>, call: F) -> impl Future<Output = F::Output> {
    OUTGOING.scope(trace, call)
}

/// Returns the trace of the push that is being sent.
pub(super) fn outgoing() -> Option<HeaderValue> {
    OUTGOING.try_with(Clone::clone).ok().flatten()
}
