//! `GET /metrics`: metrics in the format of Prometheus.
//!
//! Metrics are computed only when they are scraped: the core keeps its sums up to date, and a scrape copies them. No label names a
//! context, and only `metrics.peers_max` peers have labels, so the number of lines is bounded.

mod backup_lines;
mod metric_text;
mod observed_parts;
mod peer_lines;
mod process_lines;
mod verify_lines;

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use actors::gateway::{Gateway, GatewayMetrics};
use metrics::{counter, describe_counter, describe_gauge, gauge, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use crate::admin::certificates::CertificateEnds;
use crate::messenger::OpenStreams;
use crate::messenger::ephemeral_feed::EphemeralFeed;
use crate::messenger::push::{PushHandle, PushStatus};
use crate::openapi::api_operation::{ApiOperation, plain_text};
use crate::openapi::refusals::EVERY;
use crate::openapi::routes::{TrailingSlash, resources};
use crate::rpc::CallRegister;
use crate::telemetry;
use crate::telemetry::limit_counts::LimitCounts;

pub use observed_parts::{NamedPeersMax, ObservedParts};

/// Content type of the text format.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics of one gateway. Clones share one recorder.
#[derive(Clone)]
pub struct MetricsRecorder(Arc<CountedPeers>, Option<Arc<ObservedParts>>);

struct CountedPeers {
    gateway: Gateway,
    ends: CertificateEnds,
    limits: LimitCounts,
    push: Option<PushHandle>,
    calls: Arc<CallRegister>,
    streams: OpenStreams,
    ephemeral: Arc<EphemeralFeed>,
    /// Recorder of this gateway; it is not the global one, because several gateways may run in one process.
    recorder: PrometheusRecorder,
}

impl MetricsRecorder {
    /// Returns the metrics of a running gateway.
    pub fn new(
        gateway: Gateway,
        ends: CertificateEnds,
        limits: LimitCounts,
        push: Option<PushHandle>,
        calls: Arc<CallRegister>,
        (streams, ephemeral): (OpenStreams, Arc<EphemeralFeed>),
    ) -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        with_local_recorder(&recorder, describe);
        Self(Arc::new(CountedPeers { gateway, ends, limits, push, calls, streams, ephemeral, recorder }), None)
    }

    /// Adds the metrics of deliveries, single peers, the store and the process.
    #[must_use]
    pub fn observing(self, parts: ObservedParts) -> Self {
        Self(self.0, Some(Arc::new(parts)))
    }

    async fn text(&self) -> String {
        let CountedPeers { gateway, ends, limits, push, calls, streams, ephemeral, recorder } = &*self.0;
        with_local_recorder(recorder, || {
            record(gateway, limits);
            if let Some(push) = push {
                record_push(push.status());
            }
            for (direction, result, count) in calls.metrics().results() {
                counter!("fernpost_rpc_total", "direction" => direction, "result" => result).absolute(count);
            }
            gauge!("fernpost_streams").set(streams.count() as f64);
            for (reason, count) in ephemeral.dropped() {
                counter!("fernpost_ephemeral_dropped_total", "reason" => reason).absolute(count);
            }
            for end in ends.ends() {
                gauge!("fernpost_certificate_end_seconds", "subject" => end.subject).set((end.ends.0 / 1000) as f64);
            }
        });
        let mut text = recorder.handle().render();
        calls.metrics().write_times(&mut text);
        if let Some(observed) = &self.1 {
            observed.write(gateway, &mut text).await;
        }
        text
    }
}

fn describe() {
    describe_gauge!("fernpost_context_open_heads", "Most heads of any context in memory.");
    describe_gauge!("fernpost_context_open_heads_max", "Maximum heads of a context: contexts.heads_max.");
    describe_counter!(
        "fernpost_context_heads_forgotten_total",
        "Heads forgotten since the start, because a context reached contexts.heads_max."
    );
    describe_gauge!("fernpost_peers", "Peers in memory, by state; a peer without work is not in memory.");
    describe_gauge!("fernpost_peers_max", "Maximum peers in memory, unless more have work: peers.resident_max.");
    describe_counter!(
        "fernpost_peers_evicted_total",
        "Peers that left memory since the start, after peers.idle_after or for others."
    );
    describe_gauge!("fernpost_outbox_items", "Items pending for peers.");
    describe_gauge!("fernpost_certificate_end_seconds", "End of a certificate of ours, in seconds since 1970.");
    describe_counter!("fernpost_limits_total", "Requests and connections refused since the start, by limit.");
    describe_counter!("fernpost_log_lines_lost_total", "Log lines lost, because the log could not be written.");
    describe_counter!("fernpost_relayed_total", "Forwards since the start, by our part in them and the result.");
    describe_gauge!("fernpost_feed_unread_events", "Events that the messenger has not acknowledged.");
    describe_counter!("fernpost_push_batches_total", "Batches pushed to the messenger since the start, by result.");
    describe_counter!("fernpost_push_events_total", "Pushed events that the messenger took since the start.");
    describe_counter!("fernpost_push_parked_total", "Pushed events that went to quarantine since the start.");
    describe_counter!("fernpost_rpc_total", "Calls between messengers since the start, by direction and result.");
    describe_counter!(
        "fernpost_receipts_total",
        "Receipts of items since the start, told to peers and by them, by result."
    );
    describe_gauge!("fernpost_streams", "Streams of events that the messenger has open.");
    describe_counter!(
        "fernpost_ephemeral_dropped_total",
        "Ephemeral items of peers since the start that were not shown to the messenger, by reason."
    );
    describe_gauge!("fernpost_push_backoff_seconds", "Delay before the next push; 0 while none is delayed.");
}

fn record_push(push: &PushStatus) {
    for (result, count) in push.batches() {
        counter!("fernpost_push_batches_total", "result" => result).absolute(count);
    }
    counter!("fernpost_push_events_total").absolute(push.events());
    counter!("fernpost_push_parked_total").absolute(push.parked());
    gauge!("fernpost_push_backoff_seconds").set(push.backoff().as_secs_f64());
}

fn record(gateway: &Gateway, limits: &LimitCounts) {
    let GatewayMetrics { peers, evicted, outbox_items, open_heads, heads_forgotten, refusals, relayed, receipts } =
        gateway.metrics();
    for (role, result, count) in relayed {
        counter!("fernpost_relayed_total", "role" => role, "result" => result).absolute(count);
    }
    // Limits of the gateway and of its core: no key is counted by both.
    for (limit, count) in limits.counts().into_iter().chain(refusals) {
        counter!("fernpost_limits_total", "limit" => limit).absolute(count);
    }
    for (result, count) in receipts {
        counter!("fernpost_receipts_total", "result" => result).absolute(count);
    }
    let roster = &gateway.ports().roster;
    let feed = *gateway.ports().archive.feed.feed_bounds().borrow();
    gauge!("fernpost_context_open_heads").set(open_heads);
    gauge!("fernpost_context_open_heads_max").set(roster.contexts().heads_max);
    counter!("fernpost_context_heads_forgotten_total").absolute(heads_forgotten);
    for (state, count) in peers {
        gauge!("fernpost_peers", "state" => state).set(count as f64);
    }
    counter!("fernpost_peers_evicted_total").absolute(evicted);
    gauge!("fernpost_peers_max").set(roster.peers_resident_max());
    gauge!("fernpost_outbox_items").set(outbox_items as f64);
    counter!("fernpost_log_lines_lost_total").absolute(telemetry::lost());
    gauge!("fernpost_feed_unread_events").set(feed.unread() as f64);
}

/// Adds the route; like health it needs no token.
pub fn configure(config: &mut web::ServiceConfig, metrics: MetricsRecorder) {
    config.app_data(web::Data::new(metrics));
    for resource in resources(&operations(), TrailingSlash::Ignored) {
        config.service(resource);
    }
}

/// Returns the operation.
pub(super) fn operations() -> Vec<ApiOperation> {
    vec![
        ApiOperation::get("/metrics", "Read the metrics.", |route| route.to(get))
            .open()
            .answers_in(200, "The metrics, in the text format of Prometheus.", vec![("text/plain", plain_text)])
            .refuses(&[EVERY]),
    ]
}

async fn get(metrics: web::Data<MetricsRecorder>) -> HttpResponse {
    HttpResponse::Ok().content_type(FORMAT).body(metrics.text().await)
}
