//! What tests of both crates share: a clock that moves with tokio's, a transport that does as it is told, a roster that lists
//! everybody. The store is never faked: tests run the real one in memory.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::limits::{ContextLimits, PeerLimits};
use crate::model::{
    Answered, BadPdu, Berth, Deadlines, Draft, Membership, Millis, OutFrame, Pdu, PushFailure, ServerName, Spoken, Want,
};
use crate::ports::{Clock, Disk, PduText, Roster, Task, Transport};

/// Wall time that moves with tokio's clock, so that both stand still and jump together under a paused runtime.
#[derive(Debug)]
pub struct TestClock {
    base: Millis,
    started: tokio::time::Instant,
    /// Moves wall time alone, as a wrong system clock does.
    skew_ms: Arc<AtomicI64>,
    breaks: AtomicBool,
}

impl TestClock {
    /// A clock that says `base` now.
    pub fn new(base: Millis) -> Self {
        Self { base, started: tokio::time::Instant::now(), skew_ms: Arc::default(), breaks: AtomicBool::new(false) }
    }

    /// The same time, on a clock that is not made to break.
    pub fn unbroken(&self) -> Self {
        Self { base: self.base, started: self.started, skew_ms: self.skew_ms.clone(), breaks: AtomicBool::new(false) }
    }

    /// The next reading panics. Actors read the clock inside their guard, so this is a bug in a machine, made at will.
    pub fn break_once(&self) {
        self.breaks.store(true, Ordering::SeqCst);
    }

    /// Whether the next reading panics.
    pub fn will_break(&self) -> bool {
        self.breaks.load(Ordering::SeqCst)
    }

    /// No reading panics that was to: the process that would have read it has ended.
    pub fn mend(&self) {
        self.breaks.store(false, Ordering::SeqCst);
    }

    /// Set wall time forward by so much, or back, without any time passing.
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

type Script = dyn Fn(OutFrame) -> Task<Result<Answered, PushFailure>> + Send + Sync;

/// A transport that answers as its script says and remembers what it carried.
pub struct ScriptedTransport {
    script: Box<Script>,
    carried: Mutex<Vec<OutFrame>>,
}

impl ScriptedTransport {
    /// A transport with this script.
    pub fn new(script: impl Fn(OutFrame) -> Task<Result<Answered, PushFailure>> + Send + Sync + 'static) -> Self {
        Self { script: Box::new(script), carried: Mutex::default() }
    }

    /// Everything carried so far, in order.
    pub fn carried(&self) -> Vec<OutFrame> {
        self.carried.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Transport for ScriptedTransport {
    fn push(&self, frame: OutFrame) -> Task<Result<Answered, PushFailure>> {
        self.carried.lock().unwrap_or_else(PoisonError::into_inner).push(frame.clone());
        (self.script)(frame)
    }

    /// Has nothing to give.
    fn fetch(&self, _: &ServerName, _: Want, _: Deadlines) -> Task<Result<Vec<Result<Pdu, BadPdu>>, PushFailure>> {
        Box::pin(async { Ok(vec![]) })
    }
}

/// A disk with as much room as the test says; as much as there can be, until it does.
#[derive(Debug)]
pub struct TestDisk(AtomicU64);

impl Default for TestDisk {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl TestDisk {
    /// So many bytes are free from now on.
    pub fn leave(&self, free: u64) {
        self.0.store(free, Ordering::SeqCst);
    }
}

impl Disk for TestDisk {
    fn free(&self) -> Option<u64> {
        Some(self.0.load(Ordering::SeqCst))
    }
}

/// A roster on which everybody stands, under the same limits.
pub struct Everybody(pub Arc<PeerLimits>);

impl Roster for Everybody {
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

/// Writes a PDU that tests can tell by its id; the real text is a dialect's.
pub struct PlainText;

impl PduText for PlainText {
    fn compose(&self, _: &ServerName, draft: &Draft, _: &Berth) -> Bytes {
        Bytes::from(format!("{{\"pdu_id\":\"{}\"}}", draft.id))
    }

    fn membership(&self, _: &str, _: Spoken<'_>) -> Option<Membership> {
        None
    }

    fn read(&self, _: &ServerName, _: &Bytes) -> Option<Pdu> {
        None
    }
}
