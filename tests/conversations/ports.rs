//! The archive with an eye on it: told of each look-up, and of each load of a conversation.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use actors::model::{
    Attempt, ContextId, ContextRecord, FeedPdu, Index, Millis, PduRef, Position, ServerName, StateEntry, StateKey,
    SubmissionId, SubmissionRecord,
};
use actors::ports::{
    ArchiveError, ContextSnapshot, DeadLetter, FeedBounds, FeedPage, OutboxRow, PduStatus, PeerSnapshot,
    QuarantinedPduRow, SentPage, ServedPdu, StagedPdu, StatePage, StoreReader, SubmissionsPage, Task,
};
use bytes::Bytes;
use tokio::sync::watch;

/// The question that a conversation asks before it accepts PDUs.
pub(crate) struct LookUp<'a> {
    pub(crate) arriving: &'a [PduRef],
}

/// A conversation that is slow to load for as long as that is said.
#[derive(Clone)]
pub(crate) struct Slow {
    pub(crate) context: ContextId,
    pub(crate) is_slow: watch::Receiver<bool>,
}

type Seen = dyn Fn(&LookUp<'_>) + Send + Sync;

/// The archive, watched.
pub(crate) struct Watched {
    archive: Arc<dyn StoreReader>,
    seen: Box<Seen>,
    loads: Arc<Mutex<Vec<ContextId>>>,
    strangers_held: Arc<AtomicBool>,
    slow: Option<Slow>,
}

impl Watched {
    /// Around this archive; `seen` is called before each look-up.
    pub(crate) fn new(archive: Arc<dyn StoreReader>, seen: impl Fn(&LookUp<'_>) + Send + Sync + 'static) -> Self {
        Self { archive, seen: Box::new(seen), loads: Arc::default(), strangers_held: Arc::default(), slow: None }
    }

    /// Each load of a conversation is noted here.
    pub(crate) fn noting(self, loads: Arc<Mutex<Vec<ContextId>>>) -> Self {
        Self { loads, ..self }
    }

    /// Every load of this conversation waits.
    pub(crate) fn with_slow(self, slow: Slow) -> Self {
        Self { slow: Some(slow), ..self }
    }

    /// While this is set, no read of what lies in quarantine ends.
    pub(crate) fn holding_strangers(self, strangers_held: Arc<AtomicBool>) -> Self {
        Self { strangers_held, ..self }
    }
}

impl StoreReader for Watched {
    fn peer(&self, server: &ServerName) -> Task<Result<PeerSnapshot, ArchiveError>> {
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

    fn peers_with_backlog(&self, listed: Vec<ServerName>) -> Task<Result<Vec<ServerName>, ArchiveError>> {
        self.archive.peers_with_backlog(listed)
    }

    fn context(&self, context: &ContextId) -> Task<Result<Option<ContextSnapshot>, ArchiveError>> {
        self.loads.lock().unwrap().push(context.clone());
        let load = self.archive.context(context);
        let Some(mut slow) = self.slow.clone().filter(|slow| slow.context == *context) else { return load };
        Box::pin(async move {
            // Whoever made it slow may have gone.
            let _ = slow.is_slow.wait_for(|is_slow| !is_slow).await;
            load.await
        })
    }

    fn contexts_with_held_pdus(&self) -> Task<Result<Vec<ContextId>, ArchiveError>> {
        self.archive.contexts_with_held_pdus()
    }

    fn look_up(
        &self,
        context: &ContextId,
        arriving: &[PduRef],
        parents: &[PduRef],
    ) -> Result<HashMap<PduRef, PduStatus>, ArchiveError> {
        (self.seen)(&LookUp { arriving });
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
        if self.strangers_held.load(Ordering::SeqCst) {
            return Box::pin(std::future::pending());
        }
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
