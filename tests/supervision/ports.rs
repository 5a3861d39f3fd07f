//! Ports around the store and the wire that note when they are called, and fail when told.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use actors::change::Change;
use actors::model::{
    Attempt, BadPdu, ContextId, ContextRecord, FeedPdu, FetchRequest, Index, Millis, OutboundBatch, Pdu, PduRef,
    Position, PushFailure, PushResponse, RequestDeadlines, ServerName, StateEntry, StateKey, SubmissionId,
    SubmissionRecord,
};
use actors::ports::{
    ArchiveError, CommitPriority, CommitTicket, ContextSnapshot, DeadLetter, FeedBounds, FeedPage, Fence, Journal,
    OutboxRow, PduStatus, PeerSnapshot, QuarantinedPduRow, QueueDepth, SentPage, ServedPdu, StagedPdu, StatePage,
    StoreReader, SubmissionsPage, Task, Transport,
};
use bytes::Bytes;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

/// The archive, with the times at which peers were loaded.
pub(crate) struct Observed {
    archive: Arc<dyn StoreReader>,
    since: Instant,
    loads: Mutex<Vec<(ServerName, u64)>>,
    behind: Option<Vec<ServerName>>,
    unreadable: Option<ServerName>,
    failures: AtomicU32,
}

impl Observed {
    /// Around this archive, which stays in use for all that is not said otherwise.
    pub(crate) fn new(archive: Arc<dyn StoreReader>) -> Self {
        let (since, loads, failures) = (Instant::now(), Mutex::default(), AtomicU32::new(0));
        Self { archive, since, loads, behind: None, unreadable: None, failures }
    }

    /// These peers are said to have a backlog.
    pub(crate) fn with_behind(self, behind: Vec<ServerName>) -> Self {
        Self { behind: Some(behind), ..self }
    }

    /// The rows of this peer cannot be read.
    pub(crate) fn with_unreadable(self, server: ServerName) -> Self {
        Self { unreadable: Some(server), ..self }
    }

    /// So many reads of who has work fail first.
    pub(crate) fn with_failures(self, count: u32) -> Self {
        Self { failures: AtomicU32::new(count), ..self }
    }

    fn fails(&self) -> bool {
        self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    /// When a peer was loaded, in milliseconds.
    pub(crate) fn loads_of(&self, server: &ServerName) -> Vec<u64> {
        self.loads.lock().unwrap().iter().filter(|(loaded, _)| loaded == server).map(|(_, at)| *at).collect()
    }

    /// When any peer was loaded, in milliseconds.
    pub(crate) fn loads(&self) -> Vec<u64> {
        self.loads.lock().unwrap().iter().map(|(_, at)| *at).collect()
    }
}

impl StoreReader for Observed {
    fn peer(&self, server: &ServerName) -> Task<Result<PeerSnapshot, ArchiveError>> {
        let at = u64::try_from(self.since.elapsed().as_millis()).unwrap();
        self.loads.lock().unwrap().push((server.clone(), at));
        if self.unreadable.as_ref() == Some(server) {
            return Box::pin(async { Err(ArchiveError("a row makes no sense".to_owned())) });
        }
        self.archive.peer(server)
    }

    fn outbox_from(
        &self,
        server: &ServerName,
        from: Index,
        items: u32,
        bytes: u64,
    ) -> Task<Result<Vec<OutboxRow>, ArchiveError>> {
        self.archive.outbox_from(server, from, items, bytes)
    }

    fn dead_letters(
        &self,
        server: &ServerName,
        first: Index,
        last: Index,
    ) -> Task<Result<Vec<DeadLetter>, ArchiveError>> {
        self.archive.dead_letters(server, first, last)
    }

    fn attempts(&self, server: &ServerName, first: Index, last: Index) -> Task<Result<Vec<Attempt>, ArchiveError>> {
        self.archive.attempts(server, first, last)
    }

    fn old_deliveries(
        &self,
        before: Millis,
        after: Option<ServerName>,
    ) -> Task<Result<Option<(ServerName, Index)>, ArchiveError>> {
        self.archive.old_deliveries(before, after)
    }

    fn sent_after(
        &self,
        server: &ServerName,
        after: u64,
        open: Option<(u64, Index, Index)>,
        items: u32,
        bytes: u64,
    ) -> Task<Result<SentPage, ArchiveError>> {
        self.archive.sent_after(server, after, open, items, bytes)
    }

    fn peers_with_backlog(&self, listed: Vec<ServerName>) -> Task<Result<Vec<ServerName>, ArchiveError>> {
        if self.fails() {
            return Box::pin(async { Err(ArchiveError("the disk is slow to wake".to_owned())) });
        }
        match self.behind.clone() {
            Some(behind) => Box::pin(async { Ok(behind) }),
            None => self.archive.peers_with_backlog(listed),
        }
    }

    fn context(&self, context: &ContextId) -> Task<Result<Option<ContextSnapshot>, ArchiveError>> {
        self.archive.context(context)
    }

    fn contexts_with_held_pdus(&self) -> Task<Result<Vec<ContextId>, ArchiveError>> {
        if self.fails() {
            return Box::pin(async { Err(ArchiveError("the disk is slow to wake".to_owned())) });
        }
        self.archive.contexts_with_held_pdus()
    }

    fn look_up(
        &self,
        context: &ContextId,
        arriving: &[PduRef],
        parents: &[PduRef],
    ) -> Result<HashMap<PduRef, PduStatus>, ArchiveError> {
        self.archive.look_up(context, arriving, parents)
    }

    fn release(&self, context: &ContextId, references: &[PduRef]) {
        self.archive.release(context, references);
    }

    fn release_all(&self, context: &ContextId) {
        self.archive.release_all(context);
    }

    fn pdu(&self, reference: &PduRef) -> Result<Option<ServedPdu>, ArchiveError> {
        self.archive.pdu(reference)
    }

    fn backfill(
        &self,
        context: &ContextId,
        asker: &ServerName,
        from: Vec<PduRef>,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<Vec<ServedPdu>, ArchiveError>> {
        self.archive.backfill(context, asker, from, limit, bytes)
    }

    fn timeline(
        &self,
        context: &ContextId,
        before: Option<i64>,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<Vec<(i64, FeedPdu)>, ArchiveError>> {
        self.archive.timeline(context, before, limit, bytes)
    }

    fn context_record(&self, context: &ContextId) -> Result<Option<ContextRecord>, ArchiveError> {
        self.archive.context_record(context)
    }

    fn state_holder(&self, context: &ContextId, key: &StateKey) -> Result<Option<StateEntry>, ArchiveError> {
        self.archive.state_holder(context, key)
    }

    fn state_set(&self, context: &ContextId, key: &StateKey) -> Result<Vec<StateEntry>, ArchiveError> {
        self.archive.state_set(context, key)
    }

    fn current_state(
        &self,
        context: &ContextId,
        after: Option<StateKey>,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<StatePage, ArchiveError>> {
        self.archive.current_state(context, after, limit, bytes)
    }

    fn is_quarantined(&self, context: &ContextId, reference: &PduRef, from: &ServerName) -> Result<bool, ArchiveError> {
        self.archive.is_quarantined(context, reference, from)
    }

    fn quarantined_pdus_of(
        &self,
        context: &ContextId,
        participants: Vec<ServerName>,
        after: (u64, u64),
        limit: u32,
    ) -> Task<Result<Vec<QuarantinedPduRow>, ArchiveError>> {
        self.archive.quarantined_pdus_of(context, participants, after, limit)
    }

    fn stage(
        &self,
        context: &ContextId,
        from: &ServerName,
        references: Vec<PduRef>,
    ) -> Task<Result<(u64, Vec<PduRef>), ArchiveError>> {
        self.archive.stage(context, from, references)
    }

    fn staged(
        &self,
        context: &ContextId,
        after: Option<&ServerName>,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<Vec<StagedPdu>, ArchiveError>> {
        self.archive.staged(context, after, limit, bytes)
    }

    fn submission(&self, id: &SubmissionId) -> Task<Result<Option<SubmissionRecord>, ArchiveError>> {
        self.archive.submission(id)
    }

    fn submitted_updates(&self, id: &SubmissionId) -> Task<Result<Option<Vec<Bytes>>, ArchiveError>> {
        self.archive.submitted_updates(id)
    }

    fn submissions_before(
        &self,
        before: Millis,
        after: Option<SubmissionId>,
    ) -> Task<Result<SubmissionsPage, ArchiveError>> {
        self.archive.submissions_before(before, after)
    }

    fn feed_after(&self, after: Position, limit: u32, bytes: u64) -> Task<Result<FeedPage, ArchiveError>> {
        self.archive.feed_after(after, limit, bytes)
    }

    fn feed_bounds(&self) -> watch::Receiver<FeedBounds> {
        self.archive.feed_bounds()
    }
}

/// The journal, which panics in the hands of a peer's actor when told. That call is made outside the actor's guard.
pub(crate) struct Brittle {
    journal: Arc<dyn Journal>,
    panics: AtomicU32,
}

impl Brittle {
    /// Sound until it is told.
    pub(crate) fn new(journal: Arc<dyn Journal>) -> Self {
        Self { journal, panics: AtomicU32::new(0) }
    }

    /// The next batch of a peer's actor panics, before it is handed over.
    pub(crate) fn break_once(&self) {
        self.panics.store(1, Ordering::SeqCst);
    }
}

impl Journal for Brittle {
    fn submit(&self, fence: Fence, changes: Vec<Change>, urgency: CommitPriority) -> CommitTicket {
        let by_peer = changes.iter().any(|change| matches!(change, Change::PeerRecordUpdated(_)));
        assert!(!by_peer || self.panics.swap(0, Ordering::SeqCst) == 0, "the journal breaks, as the test asked");
        self.journal.submit(fence, changes, urgency)
    }

    fn barrier(&self) -> CommitTicket {
        self.journal.barrier()
    }

    fn pressure(&self) -> QueueDepth {
        self.journal.pressure()
    }
}

/// One prepared answer.
pub(crate) type Reply = fn(&OutboundBatch) -> Result<PushResponse, PushFailure>;

/// A peer that gives one prepared answer after the other, then takes everything; with the times at which it was asked.
pub(crate) struct Prepared {
    since: Instant,
    replies: Mutex<VecDeque<Reply>>,
    asked: Mutex<Vec<(u64, OutboundBatch)>>,
    pushes: Semaphore,
}

impl Prepared {
    pub(crate) fn new<const N: usize>(replies: [Reply; N]) -> Arc<Self> {
        Arc::new(Self {
            since: Instant::now(),
            replies: Mutex::new(replies.into()),
            asked: Mutex::default(),
            pushes: Semaphore::new(0),
        })
    }

    /// When it was pushed to, in milliseconds since it was made.
    pub(crate) fn times(&self) -> Vec<u64> {
        self.asked.lock().unwrap().iter().map(|(at, _)| *at).collect()
    }

    /// What it was pushed.
    pub(crate) fn frames(&self) -> Vec<OutboundBatch> {
        self.asked.lock().unwrap().iter().map(|(_, frame)| frame.clone()).collect()
    }

    /// Wait for so many more pushes.
    pub(crate) async fn pushed(&self, count: u32) {
        self.pushes.acquire_many(count).await.unwrap().forget();
    }
}

impl Transport for Prepared {
    fn push(&self, frame: OutboundBatch) -> Task<Result<PushResponse, PushFailure>> {
        let at = u64::try_from(self.since.elapsed().as_millis()).unwrap();
        let reply = self.replies.lock().unwrap().pop_front().unwrap_or(crate::rig::taken);
        self.asked.lock().unwrap().push((at, frame.clone()));
        self.pushes.add_permits(1);
        Box::pin(async move { reply(&frame) })
    }

    fn fetch(
        &self,
        _: &ServerName,
        _: FetchRequest,
        _: RequestDeadlines,
    ) -> Task<Result<Vec<Result<Pdu, BadPdu>>, PushFailure>> {
        Box::pin(async { Ok(vec![]) })
    }
}
