//! The log of deliveries: one JSON record for each fate of an item, apart from the log of the process.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actors::model::{ContextId, Item, ItemTrace, Millis, PduRef, ServerName, SubmissionId};
use parking_lot::Mutex;

use crate::telemetry::deliveries::record::{DeliveryRecord, rfc3339};
use crate::telemetry::deliveries::record_file::RecordFile;
use crate::telemetry::sink::{LogSink, SinkKind};

/// The output of the log of deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryLogOutput {
    /// The stderr of the process.
    Stderr,
    /// A file, which is appended to.
    File(PathBuf),
}

/// Maximum bytes of records that wait for the log's thread; more are lost and counted.
const WAITING_BYTES_MAX: usize = 8 << 20;

/// The thread of the log, and the words for its lost records.
const SINK: SinkKind = SinkKind {
    thread: "deliveries",
    bytes_max: WAITING_BYTES_MAX,
    tell_lost: |records| {
        tracing::warn!(records, "records of the log of deliveries are lost, because it could not be written in time");
    },
};

/// The log of deliveries. Clones share one.
#[derive(Clone)]
pub struct DeliveryLog(Arc<SharedLog>);

struct SharedLog {
    sink: LogSink,
    is_moved: Arc<AtomicBool>,
    /// Attempts at peers since the last one that succeeded. It has an entry for a peer only while it is sent to or fails.
    attempts: Mutex<HashMap<ServerName, AttemptsInRow>>,
}

#[derive(Default)]
struct AttemptsInRow {
    count: u64,
    /// Attempt that failed, until the actor has decided when the next one is made.
    failed: Option<FailedAttempt>,
}

/// An attempt that failed.
struct FailedAttempt {
    items: Vec<NamedItem>,
    time: Millis,
    code: String,
    latency: Duration,
}

/// The names of an item of ours.
#[derive(Debug, Clone)]
pub(super) struct NamedItem {
    message: SubmissionId,
    pdu: Option<PduRef>,
    context: Option<ContextId>,
    queued: Millis,
}

impl NamedItem {
    /// Returns the names of the items of a batch.
    pub(super) fn of_batch(items: &[Item], traces: &[ItemTrace]) -> Vec<Self> {
        let named = |(item, trace): (&Item, &ItemTrace)| Self {
            message: trace.submission.clone(),
            pdu: match item {
                Item::Pdu(reference, _) => Some(reference.clone()),
                Item::Update(_) | Item::Forward(..) => None,
            },
            context: trace.context.clone(),
            queued: trace.queued,
        };
        items.iter().zip(traces).map(named).collect()
    }

    fn record<'a>(&'a self, kind: &'static str, time: Millis, peer: &'a ServerName) -> DeliveryRecord<'a> {
        let record = DeliveryRecord::new(kind, time).message(&self.message).pdu(self.pdu.as_ref());
        record.peer(peer).context(self.context.as_ref())
    }

    /// Returns the time since the item was accepted.
    fn age_ms(&self, now: Millis) -> Option<u64> {
        u64::try_from(self.queued.until(now).as_millis()).ok()
    }
}

impl DeliveryLog {
    /// Starts the log. It fails if its file cannot be opened, or if the system cannot start a thread.
    pub fn start(output: &DeliveryLogOutput) -> io::Result<Self> {
        let is_moved = Arc::new(AtomicBool::new(false));
        let sink = match output {
            DeliveryLogOutput::Stderr => LogSink::start(SINK, File::from(io::stderr().as_fd().try_clone_to_owned()?))?,
            DeliveryLogOutput::File(path) => LogSink::start(SINK, RecordFile::open(path, is_moved.clone())?)?,
        };
        Ok(Self(Arc::new(SharedLog { sink, is_moved, attempts: Mutex::default() })))
    }

    /// Opens the file again before the next record, because it may have been moved.
    pub fn reopen(&self) {
        self.0.is_moved.store(true, Ordering::Relaxed);
    }

    /// Waits until all records are written or lost, for at most `patience`.
    pub fn flush(&self, patience: Duration) {
        self.0.sink.flush(patience);
    }

    /// Returns the number of records that were lost since the start.
    pub fn lost(&self) -> u64 {
        self.0.sink.lost()
    }

    pub(super) fn write(&self, record: &DeliveryRecord<'_>) {
        self.0.sink.push(record.line().as_bytes());
    }

    /// Writes that a batch is sent.
    pub(super) fn begin_attempt(&self, peer: &ServerName, time: Millis, items: &[NamedItem]) {
        let mut attempts = self.0.attempts.lock();
        let row = attempts.entry(peer.clone()).or_default();
        let failed = row.failed.take().map(|failed| (row.count, failed));
        row.count += 1;
        let count = row.count;
        drop(attempts);
        if let Some((count, failed)) = failed {
            self.write_deferred(peer, count, failed, None);
        }
        for item in items {
            self.write(&DeliveryRecord { attempt: Some(count), ..item.record("attempt", time, peer) });
        }
    }

    /// Writes that a batch was acknowledged, without the items at these places, to which the peer objects.
    pub(super) fn attempt_succeeded(
        &self,
        peer: &ServerName,
        (time, latency): (Millis, Duration),
        items: &[NamedItem],
        objections: &[usize],
    ) {
        let count = self.0.attempts.lock().remove(peer).map(|row| row.count);
        let taken = items.iter().enumerate().filter(|(place, _)| !objections.contains(place));
        for (_, item) in taken {
            let record = item.record("delivered", time, peer);
            let (latency_ms, age_ms) = (u64::try_from(latency.as_millis()).ok(), item.age_ms(time));
            self.write(&DeliveryRecord { attempt: count, latency_ms, age_ms, ..record });
        }
    }

    /// Keeps an attempt that failed until the time of the next one is known.
    pub(super) fn attempt_failed(
        &self,
        peer: &ServerName,
        (time, latency): (Millis, Duration),
        items: Vec<NamedItem>,
        code: String,
    ) {
        let mut attempts = self.0.attempts.lock();
        let row = attempts.entry(peer.clone()).or_default();
        row.failed = Some(FailedAttempt { items, time, code, latency });
    }

    /// Writes that items of the last failed attempt wait, if one was kept; `next`: the time of the next attempt.
    pub(super) fn attempt_deferred(&self, peer: &ServerName, next: Option<Millis>) {
        let mut attempts = self.0.attempts.lock();
        let failed = attempts.get_mut(peer).and_then(|row| Some((row.count, row.failed.take()?)));
        drop(attempts);
        if let Some((count, failed)) = failed {
            self.write_deferred(peer, count, failed, next);
        }
    }

    fn write_deferred(&self, peer: &ServerName, count: u64, failed: FailedAttempt, next: Option<Millis>) {
        let FailedAttempt { items, time, code, latency } = failed;
        for item in &items {
            self.write(&DeliveryRecord {
                attempt: Some(count),
                latency_ms: u64::try_from(latency.as_millis()).ok(),
                age_ms: item.age_ms(time),
                next_try: next.map(rfc3339),
                ..item.record("deferred", time, peer).code(code.as_str())
            });
        }
    }
}
