//! Fixtures that the tests of both crates share: a clock that moves with tokio's, a scripted transport, and a
//! configuration in which every server is a peer. The store is never faked: tests run the real one in memory.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::limits::{ContextLimits, PeerLimits};
use crate::model::{
    BadPdu, FetchRequest, GraphPosition, Membership, MembershipSource, Millis, OutboundBatch, Pdu, PduDraft,
    PushFailure, PushResponse, RequestDeadlines, ServerName,
};
use crate::ports::{Clock, Disk, PduText, PeerConfig, Task, Transport};
use crate::supervise::poll_now::poll_now;

/// Returns the value of a future that is ready at its first poll, as a read of rows in memory is.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    poll_now(pin!(future)).expect("it waits for nothing")
}

/// Wall time that moves with tokio's clock, so that both stand still and jump together under a paused runtime.
#[derive(Debug)]
pub struct TestClock {
    base: Millis,
    started: tokio::time::Instant,
    /// Offset of the wall time alone, like that of a wrong system clock.
    skew_ms: Arc<AtomicI64>,
    breaks: AtomicBool,
}

impl TestClock {
    /// Returns a clock whose time is now `base`.
    pub fn new(base: Millis) -> Self {
        Self { base, started: tokio::time::Instant::now(), skew_ms: Arc::default(), breaks: AtomicBool::new(false) }
    }

    /// Returns a clock with the same time that does not panic.
    pub fn unbroken(&self) -> Self {
        Self { base: self.base, started: self.started, skew_ms: self.skew_ms.clone(), breaks: AtomicBool::new(false) }
    }

    /// Makes the next reading panic. Actors read the clock inside their guard, so this acts as a bug in the machine.
    pub fn break_once(&self) {
        self.breaks.store(true, Ordering::SeqCst);
    }

    /// Returns whether the next reading panics.
    pub fn will_break(&self) -> bool {
        self.breaks.load(Ordering::SeqCst)
    }

    /// Cancels a panic of the next reading: the process that would have read the clock has ended.
    pub fn mend(&self) {
        self.breaks.store(false, Ordering::SeqCst);
    }

    /// Moves the wall time forward or back without any time passing.
    pub fn jump(&self, ms: i64) {
        self.skew_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Millis {
        assert!(!self.breaks.swap(false, Ordering::SeqCst), "the clock breaks, as the test asked");
        Millis(self.base.after(self.started.elapsed()).0.saturating_add_signed(self.skew_ms.load(Ordering::SeqCst)))
    }
}

type Script = dyn Fn(OutboundBatch) -> Task<Result<PushResponse, PushFailure>> + Send + Sync;

/// A transport that answers by script and remembers the batches.
pub struct ScriptedTransport {
    script: Box<Script>,
    carried: Mutex<Vec<OutboundBatch>>,
}

impl ScriptedTransport {
    /// Returns a transport with this script.
    pub fn new(
        script: impl Fn(OutboundBatch) -> Task<Result<PushResponse, PushFailure>> + Send + Sync + 'static,
    ) -> Self {
        Self { script: Box::new(script), carried: Mutex::default() }
    }

    /// Returns all batches that were sent so far, in order.
    pub fn carried(&self) -> Vec<OutboundBatch> {
        self.carried.lock().clone()
    }
}

impl Transport for ScriptedTransport {
    fn push(&self, frame: OutboundBatch) -> Task<Result<PushResponse, PushFailure>> {
        self.carried.lock().push(frame.clone());
        (self.script)(frame)
    }

    /// Returns an empty list of PDUs.
    fn fetch(
        &self,
        _: &ServerName,
        _: FetchRequest,
        _: RequestDeadlines,
    ) -> Task<Result<Vec<Result<Pdu, BadPdu>>, PushFailure>> {
        Box::pin(async { Ok(vec![]) })
    }
}

/// A disk with the free space that the test sets; without limit until then.
#[derive(Debug)]
pub struct TestDisk(AtomicU64);

impl Default for TestDisk {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl TestDisk {
    /// Sets the number of free bytes.
    pub fn leave(&self, free: u64) {
        self.0.store(free, Ordering::SeqCst);
    }
}

impl Disk for TestDisk {
    fn free(&self) -> Option<u64> {
        Some(self.0.load(Ordering::SeqCst))
    }
}

/// A configuration in which every server is a peer, with the same limits.
pub struct AllowAllPeers(pub Arc<PeerLimits>);

impl PeerConfig for AllowAllPeers {
    fn limits(&self, _: &ServerName) -> Option<Arc<PeerLimits>> {
        Some(self.0.clone())
    }

    fn listed(&self) -> Vec<ServerName> {
        vec![]
    }

    fn contexts(&self) -> Arc<ContextLimits> {
        Arc::new(ContextLimits::default())
    }
}

/// Composes a PDU that tests can identify by its id; a dialect writes the real text.
pub struct PlainText;

impl PduText for PlainText {
    fn compose(&self, _: &ServerName, draft: &PduDraft, _: &GraphPosition) -> Bytes {
        Bytes::from(format!("{{\"pdu_id\":\"{}\"}}", draft.id))
    }

    fn membership(&self, _: &str, _: MembershipSource<'_>) -> Option<Membership> {
        None
    }

    fn read(&self, _: &ServerName, _: &Bytes) -> Option<Pdu> {
        None
    }
}
