//! Metrics of deliveries, peers, the store and the process, which are written anew at each scrape.

use std::sync::Arc;

use actors::gateway::Gateway;
use actors::model::{Millis, PeerQueueSize};

use crate::admin::metrics::metric_text::MetricKind::{Counter, Gauge};
use crate::admin::metrics::metric_text::MetricText;
use crate::admin::metrics::{backup_lines, peer_lines, process_lines, verify_lines};
use crate::comparison::VerifyMetrics;
use crate::maintenance::scheduled_backup::BackupSchedule;
use crate::store::Store;
use crate::telemetry::deliveries::DeliveryObserver;
use crate::telemetry::peer_clocks::PeerClocks;
use crate::telemetry::refused_callers::RefusedCallers;
use crate::telemetry::spans::{ItemSpans, SpanTotals};

/// The maximum number of peers with labels of their own, read anew for each scrape because a reload changes it.
pub type NamedPeersMax = Arc<dyn Fn() -> u32 + Send + Sync>;

/// The parts of a gateway that are observed.
pub struct ObservedParts {
    /// Observer of deliveries.
    pub observer: DeliveryObserver,
    /// Store.
    pub store: Store,
    /// Clocks of the peers.
    pub clocks: PeerClocks,
    /// Maximum number of peers with labels.
    pub named_max: NamedPeersMax,
    /// Callers that were refused because of their identity.
    pub refused_callers: RefusedCallers,
    /// Scheduled backups.
    pub backups: BackupSchedule,
    /// Comparisons of histories.
    pub verify: Arc<VerifyMetrics>,
    /// Spans of items.
    pub spans: ItemSpans,
    /// Start of the gateway.
    pub began: Millis,
}

impl ObservedParts {
    /// Appends all metrics.
    pub(super) async fn write(&self, gateway: &Gateway, out: &mut String) {
        self.write_deliveries(gateway, out);
        let mut text = MetricText(out);
        self.write_peers(gateway, &mut text).await;
        self.write_store(gateway, &mut text).await;
        backup_lines::write(&self.backups, gateway.ports().clock.now(), &mut text);
        verify_lines::write(&self.verify, &mut text);
        process_lines::write(self.began, &mut text);
    }

    fn write_deliveries(&self, gateway: &Gateway, out: &mut String) {
        let metrics = self.observer.metrics();
        let mut text = MetricText(out);
        let outbound =
            "Items of ours since the start, by their fates; an item for two peers counts twice from queued on.";
        text.counts(("fernpost_outbound_items_total", outbound), "result", metrics.outbound.counts());
        let inbound =
            "Items of peers since the start: accepted, held until those before them arrive, or in quarantine.";
        text.counts(("fernpost_inbound_items_total", inbound), "result", metrics.inbound.counts());
        let attempts = "Requests to peers with items since the start, by result.";
        text.counts(("fernpost_attempts_total", attempts), "result", metrics.attempts.counts());
        let gaps = "Messages of peers that were given up as missing since the start, and those that arrived later.";
        text.counts(("fernpost_gaps_total", gaps), "result", metrics.gaps.counts());
        let callers = "Requests to the federation listener refused since the start because of the caller, by status.";
        text.counts(("fernpost_refused_callers_total", callers), "status", self.refused_callers.counts());
        if let Some(log) = self.observer.log() {
            let help =
                "Records of the log of deliveries lost since the start, because it could not be written in time.";
            text.one(Counter, "fernpost_delivery_records_lost_total", help, log.lost() as f64);
        }
        if let Some(SpanTotals { exported, dropped, failed }) = self.spans.totals() {
            let help =
                "Spans since the start: taken by the collector, dropped because the queue was full, or not sent.";
            let counts = [("exported", exported), ("dropped", dropped), ("failed", failed)];
            text.counts(("fernpost_otlp_spans_total", help), "result", counts.into_iter());
        }
        let help = "Time from the acceptance of an item to its acknowledgement by the peer.";
        metrics.acknowledgement.write("fernpost_acknowledgement_seconds", help, out);
        metrics.request.write("fernpost_request_seconds", "Time of a request with items.", out);
        let help = "Time from the arrival of a batch of a peer to the commit that puts its items into the feed.";
        gateway.feed_times().write("fernpost_feed_seconds", help, out);
    }

    async fn write_peers(&self, gateway: &Gateway, text: &mut MetricText<'_>) {
        let named_max = (self.named_max)() as usize;
        let (mut gauges, now) = (gateway.peer_queues(), gateway.ports().clock.now());
        read_ages(gateway, &mut gauges, named_max).await;
        let bytes: u64 = gauges.iter().map(|gauge| gauge.backlog_bytes).sum();
        text.one(Gauge, "fernpost_outbox_bytes", "Size of the items pending for peers.", bytes as f64);
        let oldest = gauges.iter().filter_map(|gauge| gauge.oldest).min();
        let age = oldest.map_or(0.0, |oldest| oldest.until(now).as_secs_f64());
        let help = "Age of the oldest item pending for any peer, 0 if none is.";
        text.one(Gauge, "fernpost_outbound_oldest_unacked_seconds", help, age);
        let listed = gateway.ports().roster.listed();
        peer_lines::write((&listed, &gauges), (&self.clocks, named_max, now), text);
    }

    async fn write_store(&self, gateway: &Gateway, text: &mut MetricText<'_>) {
        let ports = gateway.ports();
        let pressure = ports.journal.pressure();
        let help = "Rows that wait for their commit.";
        text.one(Gauge, "fernpost_store_queue_rows", help, pressure.rows as f64);
        let help = "Rows waiting for their commit from which requests are told to wait: store.queue_rows.";
        text.one(Gauge, "fernpost_store_queue_rows_max", help, pressure.rows_max as f64);
        if let Some(free) = ports.disk.free() {
            text.one(Gauge, "fernpost_disk_free_bytes", "Free space on the disk of server.data_dir.", free as f64);
        }
        let min_free = ports.roster.overload().min_free as f64;
        let help = "Free space below which requests are refused: store.min_free.";
        text.one(Gauge, "fernpost_disk_min_free_bytes", help, min_free);
        let figures = match self.store.figures().await {
            Ok(figures) => figures,
            Err(error) => return tracing::error!(%error, "the store cannot be measured"),
        };
        let (commits, written) = (figures.counts.commits as f64, figures.counts.rows_written as f64);
        text.one(Counter, "fernpost_store_commits_total", "Transactions committed since the start.", commits);
        text.one(Counter, "fernpost_store_rows_written_total", "Rows written since the start.", written);
        if let Some(bytes) = figures.file_bytes {
            text.one(Gauge, "fernpost_store_file_bytes", "Size of the store's file.", bytes as f64);
        }
        let help = "Items of peers in quarantine.";
        text.one(Gauge, "fernpost_quarantine_items", help, figures.quarantine_items as f64);
        text.one(
            Gauge,
            "fernpost_dead_letters",
            "Items of ours that left their queue undelivered.",
            figures.dead_letters as f64,
        );
    }
}

/// Queues that are read for their age even if fewer peers have labels of their own: the others share the largest age.
const AGES_READ: usize = 64;

/// Reads the ages of queues that are not in memory because their peers are paused: of at most `reads_max` or [`AGES_READ`], whichever
/// is more.
async fn read_ages(gateway: &Gateway, queues: &mut [PeerQueueSize], reads_max: usize) {
    let unknown = queues.iter_mut().filter(|queue| queue.backlog > 0 && queue.oldest.is_none());
    for queue in unknown.take(reads_max.max(AGES_READ)) {
        let peers = &gateway.ports().archive.peers;
        match peers.outbox_from(&queue.server, queue.acked.next(), 1, 0).await {
            Ok(rows) => queue.oldest = rows.first().map(|row| row.queued),
            // The other figures are useful without the age.
            Err(error) => tracing::error!(peer = %queue.server, %error, "the age of a queue cannot be read"),
        }
    }
}
