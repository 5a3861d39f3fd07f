//! A store on a disk in memory, and short ways to say what is handed over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use actors::change::Change;
use actors::model::{
    DeadLetter, DeadLetterReason, Digest, FeedItem, Index, Millis, ParkedCode, ParkedItem, ParkedWhat, PeerRecord, Seq,
    ServerName, Submission, SubmissionId, SubmittedContent,
};
use actors::ports::{
    Clock, CommitPriority, CommitTicket, FeedPage, Fence, Journal, OutboxGrown, Ownership, StoreReader,
};
use bytes::Bytes;
use fernpost::store::{OpenError, Store, StoreLocation, StoreOptions};

use crate::disk::Disk;

/// Wall time that stands until it is set.
#[derive(Default)]
pub(crate) struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::Relaxed))
    }
}

impl TestClock {
    pub(crate) fn set(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }
}

/// A store, its clock, and what it told after commits.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) clock: Arc<TestClock>,
    woken: Arc<Mutex<Vec<OutboxGrown>>>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::on(&Disk::new())
    }

    pub(crate) fn on(disk: &Disk) -> Self {
        Self::open(disk, |_| {}).unwrap()
    }

    pub(crate) fn with(change: impl FnOnce(&mut StoreOptions)) -> Self {
        Self::open(&Disk::new(), change).unwrap()
    }

    /// Opened so many minutes after the beginning of time.
    pub(crate) fn later(disk: &Disk, minutes: u64) -> Self {
        Self::open_at(minutes * 60_000, disk, |_| {}).unwrap()
    }

    pub(crate) fn open(disk: &Disk, change: impl FnOnce(&mut StoreOptions)) -> Result<Self, OpenError> {
        Self::open_at(0, disk, change)
    }

    fn open_at(now: u64, disk: &Disk, change: impl FnOnce(&mut StoreOptions)) -> Result<Self, OpenError> {
        let mut options = StoreOptions::new(StoreLocation::backend(disk.clone()), server("blue.example"));
        options.cache = 1 << 20;
        change(&mut options);
        let clock = Arc::new(TestClock(AtomicU64::new(now)));
        let woken = Arc::new(Mutex::new(Vec::new()));
        let told = woken.clone();
        let store = Store::open(options, clock.clone(), Arc::new(move |news| told.lock().unwrap().push(news)))?;
        Ok(Self { store, clock, woken })
    }

    pub(crate) fn fence(&self) -> Fence {
        self.store.claim(&red()).unwrap()
    }

    /// Hand over what somebody waits for.
    pub(crate) fn submit(&self, changes: Vec<Change>) -> CommitTicket {
        self.store.submit(self.fence(), changes, CommitPriority::Now)
    }

    /// Hand over what may ride.
    pub(crate) fn ride(&self, changes: Vec<Change>) -> CommitTicket {
        self.store.submit(self.fence(), changes, CommitPriority::Deferred)
    }

    /// Hand over, and wait for the disk.
    pub(crate) async fn commit(&self, changes: Vec<Change>) {
        self.submit(changes).committed().await.unwrap();
    }

    /// What the store told since the last time.
    pub(crate) async fn woken(&self) -> Vec<OutboxGrown> {
        // News follow the tickets of their group: the end of the next one is after them.
        self.commit(vec![notice("after")]).await;
        std::mem::take(&mut *self.woken.lock().unwrap())
    }

    pub(crate) async fn outbox(&self, server: &ServerName) -> Vec<(u64, Bytes)> {
        let rows = self.store.outbox_from(server, Index(0), 10_000, u64::MAX).await.unwrap();
        rows.into_iter().map(|row| (row.index.0, row.item.bytes().clone())).collect()
    }

    pub(crate) async fn feed(&self) -> Vec<(u64, FeedItem)> {
        let oldest = match self.store.feed_after(Default::default(), 10_000, u64::MAX).await.unwrap() {
            FeedPage::Entries(entries) => return entries.into_iter().map(|e| (e.position.0, e.item)).collect(),
            FeedPage::Gone { oldest } => oldest,
        };
        let after = actors::model::Position(oldest.0 - 1);
        match self.store.feed_after(after, 10_000, u64::MAX).await.unwrap() {
            FeedPage::Entries(entries) => entries.into_iter().map(|e| (e.position.0, e.item)).collect(),
            FeedPage::Gone { oldest } => panic!("{oldest} is said to be the oldest, and is not there"),
        }
    }
}

pub(crate) fn server(name: &str) -> ServerName {
    name.parse().unwrap()
}

pub(crate) fn red() -> ServerName {
    server("red.example")
}

pub(crate) fn green() -> ServerName {
    server("green.example")
}

pub(crate) fn id(text: &str) -> SubmissionId {
    text.parse().unwrap()
}

pub(crate) fn body(text: &str) -> Bytes {
    Bytes::from(format!("{{\"text\":\"{text}\"}}"))
}

/// A submission of updates named `name.0`, `name.1` ...
pub(crate) fn submitted(name: &str, servers: &[ServerName], updates: usize) -> Change {
    Change::Submitted(Submission {
        id: id(name),
        digest: Digest([7; 16]),
        accepted: Millis(0),
        servers: servers.to_vec(),
        left_out: vec![],
        what: SubmittedContent::Updates((0..updates).map(|n| body(&format!("{name}.{n}"))).collect()),
    })
}

pub(crate) fn notice(text: &str) -> Change {
    Change::FeedAppended(FeedItem::Notice { text: text.to_owned(), server: None })
}

pub(crate) fn update(n: u64) -> Change {
    let item = FeedItem::Update { from: red(), n, seq: Seq(n), verified: "certificate", bytes: body(&n.to_string()) };
    Change::FeedAppended(item)
}

pub(crate) fn parked(seq: u64) -> ParkedItem {
    let bytes = Bytes::from_static(b"12");
    ParkedItem {
        from: red(),
        what: ParkedWhat::Update(Seq(seq)),
        code: ParkedCode::NotAnObject,
        reason: "a number".to_owned(),
        bytes,
    }
}

/// This peer refuses the row of this index for good.
pub(crate) fn refused(server: ServerName, index: u64, keep: u64) -> Change {
    let (first, last, fate, reason) = (Index(index), Index(index), DeadLetterReason::Parked, format!("no to {index}"));
    Change::OutboxDeadLettered { server, first, last, fate, reason, keep }
}

/// What is told of it then.
pub(crate) fn letter(index: u64) -> DeadLetter {
    DeadLetter { index: Index(index), fate: DeadLetterReason::Parked, reason: format!("no to {index}") }
}

/// A record that says how far it has come.
pub(crate) fn moved(server: ServerName, acked: u64, expected: u64) -> Change {
    let mut record = PeerRecord::new(server);
    record.outbound.acked = Index(acked);
    record.inbound.expected = Seq(expected);
    record.inbound.taken = expected - 1;
    Change::PeerRecordUpdated(Box::new(record))
}

pub(crate) fn digest(n: u64) -> Digest {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    Digest(bytes)
}

/// Numbers `first..end` of red were taken; nothing below `forget_below` is wanted.
pub(crate) fn taken(first: u64, end: u64, forget_below: u64) -> Change {
    let digests = (first..end).map(digest).collect();
    Change::InboundDigestsStored { from: red(), first: Seq(first), digests, forget_below: Seq(forget_below) }
}
