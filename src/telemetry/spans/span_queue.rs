//! The way of spans to the collector: a bounded queue, and a task that sends batches of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actors::supervise::log_throttle::LogThrottle;
use opentelemetry::Context;
use opentelemetry_otlp::{Protocol, SpanExporter as OtlpExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use reqwest::redirect::Policy;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::span_rules::{SpanRules, SpanTotals};

/// Maximum number of spans in one request, as the libraries of OpenTelemetry send them.
const BATCH_MAX: usize = 512;

/// The queue of ended spans. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct SpanQueue {
    spans: mpsc::Sender<SpanData>,
    flushes: mpsc::Sender<oneshot::Sender<()>>,
    counts: Arc<SpanCounts>,
}

#[derive(Debug, Default)]
struct SpanCounts {
    exported: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

/// The task that sends spans.
struct SpanSender<E> {
    spans: mpsc::Receiver<SpanData>,
    flushes: mpsc::Receiver<oneshot::Sender<()>>,
    exporter: E,
    interval: Duration,
    timeout: Duration,
    counts: Arc<SpanCounts>,
    unsent: LogThrottle,
    batch: Vec<SpanData>,
    due: Instant,
}

impl SpanQueue {
    /// Starts the task on the runtime of the caller.
    pub(super) fn start(rules: &SpanRules, resource: &Resource) -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .build()
            .map_err(|error| error.to_string())?;
        let exporter = OtlpExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&rules.endpoint)
            .with_timeout(rules.timeout)
            .with_http_client(client)
            .build();
        let mut exporter = exporter.map_err(|error| error.to_string())?;
        exporter.set_resource(resource);
        Ok(Self::with(exporter, rules))
    }

    fn with<E: SpanExporter + 'static>(exporter: E, rules: &SpanRules) -> Self {
        let (spans, waiting) = mpsc::channel(rules.queue_max);
        let (flushes, asked) = mpsc::channel(1);
        let counts = Arc::<SpanCounts>::default();
        let unsent = LogThrottle::new(|endpoint, count, last| {
            tracing::warn!(endpoint, count, last, "spans cannot be sent to the collector; they are lost");
        });
        let sender = SpanSender {
            spans: waiting,
            flushes: asked,
            exporter,
            interval: rules.interval,
            timeout: rules.timeout,
            counts: Arc::clone(&counts),
            unsent,
            batch: Vec::new(),
            due: Instant::now(),
        };
        tokio::spawn(sender.run(rules.endpoint.clone()));
        Self { spans, flushes, counts }
    }

    /// Sends what waits, for at most this time.
    pub(super) async fn flush(&self, within: Duration) {
        let (done, told) = oneshot::channel();
        let flushed = async {
            if self.flushes.send(done).await.is_ok() {
                // The task ends with the runtime.
                let _ = told.await;
            }
        };
        if timeout(within, flushed).await.is_err() {
            tracing::warn!("the last spans were not sent in time");
        }
    }

    pub(super) fn totals(&self) -> SpanTotals {
        let SpanCounts { exported, dropped, failed } = &*self.counts;
        let [exported, dropped, failed] = [exported, dropped, failed].map(|count| count.load(Ordering::Relaxed));
        SpanTotals { exported, dropped, failed }
    }
}

impl SpanProcessor for SpanQueue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl<E: SpanExporter> SpanSender<E> {
    /// Runs until no gateway has the queue any more.
    async fn run(mut self, endpoint: String) {
        loop {
            let has_spans = !self.batch.is_empty();
            tokio::select! {
                biased;
                Some(done) = self.flushes.recv() => {
                    while let Ok(span) = self.spans.try_recv() {
                        self.add(span, &endpoint).await;
                    }
                    self.send(&endpoint).await;
                    // Whoever asked may have given up.
                    let _ = done.send(());
                }
                span = self.spans.recv() => match span {
                    Some(span) => self.add(span, &endpoint).await,
                    None => return self.send(&endpoint).await,
                },
                () = sleep_until(self.due), if has_spans => self.send(&endpoint).await,
            }
        }
    }

    async fn add(&mut self, span: SpanData, endpoint: &str) {
        if self.batch.is_empty() {
            self.due = Instant::now() + self.interval;
        }
        self.batch.push(span);
        if self.batch.len() >= BATCH_MAX || Instant::now() >= self.due {
            self.send(endpoint).await;
        }
    }

    /// Sends the batch, once.
    async fn send(&mut self, endpoint: &str) {
        let batch = std::mem::take(&mut self.batch);
        let count = batch.len() as u64;
        if count == 0 {
            return;
        }
        let why = match timeout(self.timeout, self.exporter.export(batch)).await {
            Ok(Ok(())) => {
                self.counts.exported.fetch_add(count, Ordering::Relaxed);
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_elapsed) => "no answer within otlp.timeout".to_owned(),
        };
        self.counts.failed.fetch_add(count, Ordering::Relaxed);
        self.unsent.note(endpoint, count, &why);
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{Span as _, Tracer, TracerProvider};
    use opentelemetry_sdk::error::OTelSdkError;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use parking_lot::Mutex;

    use super::*;

    /// A collector that takes batches after a time, or refuses them.
    #[derive(Debug, Clone)]
    struct ScriptedCollector {
        takes: bool,
        after: Duration,
        sizes: Arc<Mutex<Vec<usize>>>,
    }

    impl SpanExporter for ScriptedCollector {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            tokio::time::sleep(self.after).await;
            self.sizes.lock().push(batch.len());
            if self.takes { Ok(()) } else { Err(OTelSdkError::InternalFailure("status 500".to_owned())) }
        }
    }

    fn queue(takes: bool, after: Duration) -> (SpanQueue, SdkTracerProvider, Arc<Mutex<Vec<usize>>>) {
        let rules = SpanRules {
            endpoint: "http://127.0.0.1:4318/v1/traces".to_owned(),
            ratio: 1.0,
            queue_max: 4,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
        };
        let sizes = Arc::<Mutex<Vec<usize>>>::default();
        let queue = SpanQueue::with(ScriptedCollector { takes, after, sizes: sizes.clone() }, &rules);
        (queue.clone(), SdkTracerProvider::builder().with_span_processor(queue).build(), sizes)
    }

    fn end(provider: &SdkTracerProvider, count: usize) {
        (0..count).for_each(|_| provider.tracer("t").start("s").end());
    }

    #[tokio::test(start_paused = true)]
    async fn spans_go_in_batches_by_interval() {
        let (queue, provider, sizes) = queue(true, Duration::ZERO);
        end(&provider, 3);
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(sizes.lock().is_empty());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!((sizes.lock().clone(), queue.totals().exported), (vec![3], 3));
        end(&provider, 2);
        queue.flush(Duration::from_secs(1)).await;
        assert_eq!((sizes.lock().clone(), queue.totals().exported), (vec![3, 2], 5));
    }

    #[tokio::test(start_paused = true)]
    async fn full_queue_drops_and_counts() {
        let (queue, provider, _) = queue(true, Duration::ZERO);
        end(&provider, 7);
        assert_eq!(queue.totals(), SpanTotals { exported: 0, dropped: 3, failed: 0 });
        queue.flush(Duration::from_secs(1)).await;
        assert_eq!(queue.totals(), SpanTotals { exported: 4, dropped: 3, failed: 0 });
    }

    #[tokio::test(start_paused = true)]
    async fn refused_and_late_batches_are_lost() {
        for (takes, after) in [(false, Duration::ZERO), (true, Duration::from_secs(60))] {
            let (queue, provider, _) = queue(takes, after);
            end(&provider, 2);
            queue.flush(Duration::from_secs(30)).await;
            assert_eq!(queue.totals(), SpanTotals { exported: 0, dropped: 0, failed: 2 });
        }
    }
}
