//! Store readers of which a test overrides single reads: all other reads go to the store.

use std::collections::HashMap;
use std::sync::Arc;

use actors::model::{
    Attempt, ContextId, ContextRecord, FeedPdu, Index, Millis, PduRef, ServerName, StateEntry, StateKey,
};
use actors::ports::{
    ArchiveError, ContextReader, ContextSnapshot, DeadLetter, OutboxRow, PduStatus, PeerReader, PeerSnapshot, Ports,
    QuarantinedPduRow, SentPage, ServedPdu, StagedPdu, StatePage, StoreReaders, Task, TimelineMark,
};

/// The reads that tests override. A further one gets a method here, and its call in `HookedReader`.
pub trait ReadHooks: Send + Sync + 'static {
    /// Reads the rows with which a peer starts.
    fn peer(&self, store: &dyn PeerReader, server: &ServerName) -> Task<Result<PeerSnapshot, ArchiveError>> {
        store.peer(server)
    }

    /// Reads which peers have something to send.
    fn peers_with_backlog(
        &self,
        store: &dyn PeerReader,
        listed: Vec<ServerName>,
    ) -> Task<Result<Vec<ServerName>, ArchiveError>> {
        store.peers_with_backlog(listed)
    }

    /// Given the read of a page of quarantined PDUs.
    fn quarantined_pdus(
        &self,
        page: Task<Result<Vec<QuarantinedPduRow>, ArchiveError>>,
    ) -> Task<Result<Vec<QuarantinedPduRow>, ArchiveError>> {
        page
    }

    /// Reads the rows with which a context starts.
    fn context(
        &self,
        store: &dyn ContextReader,
        context: &ContextId,
    ) -> Task<Result<Option<ContextSnapshot>, ArchiveError>> {
        store.context(context)
    }

    /// Reads which contexts hold PDUs back.
    fn contexts_with_held_pdus(&self, store: &dyn ContextReader) -> Task<Result<Vec<ContextId>, ArchiveError>> {
        store.contexts_with_held_pdus()
    }

    /// Called before each lookup, with the arriving PDUs. The lookup starts when the returned task has ended.
    fn before_look_up(&self, _arriving: &[PduRef]) -> Option<Task<()>> {
        None
    }

    /// Given the read of a context's record.
    fn context_record(
        &self,
        record: Task<Result<Option<ContextRecord>, ArchiveError>>,
    ) -> Task<Result<Option<ContextRecord>, ArchiveError>> {
        record
    }

    /// Puts these hooks between the ports and their store.
    fn install(self, ports: &mut Ports) -> Arc<Self>
    where
        Self: Sized,
    {
        let hooks = Arc::new(self);
        let StoreReaders { peers, contexts, .. } = ports.archive.clone();
        ports.archive.peers = Arc::new(HookedReader { store: peers, hooks: hooks.clone() });
        ports.archive.contexts = Arc::new(HookedReader { store: contexts, hooks: hooks.clone() });
        hooks
    }
}

/// A reader of one family of rows, with hooks.
struct HookedReader<R: ?Sized, H> {
    store: Arc<R>,
    hooks: Arc<H>,
}

impl<H: ReadHooks> PeerReader for HookedReader<dyn PeerReader, H> {
    fn peer(&self, server: &ServerName) -> Task<Result<PeerSnapshot, ArchiveError>> {
        self.hooks.peer(&*self.store, server)
    }

    fn outbox_from(
        &self,
        server: &ServerName,
        from: Index,
        items: u32,
        bytes: u64,
    ) -> Task<Result<Vec<OutboxRow>, ArchiveError>> {
        self.store.outbox_from(server, from, items, bytes)
    }

    fn dead_letters(
        &self,
        server: &ServerName,
        first: Index,
        last: Index,
    ) -> Task<Result<Vec<DeadLetter>, ArchiveError>> {
        self.store.dead_letters(server, first, last)
    }

    fn attempts(&self, server: &ServerName, first: Index, last: Index) -> Task<Result<Vec<Attempt>, ArchiveError>> {
        self.store.attempts(server, first, last)
    }

    fn old_deliveries(
        &self,
        before: Millis,
        after: Option<ServerName>,
    ) -> Task<Result<Option<(ServerName, Index)>, ArchiveError>> {
        self.store.old_deliveries(before, after)
    }

    fn sent_after(
        &self,
        server: &ServerName,
        after: u64,
        open: Option<(u64, Index, Index)>,
        items: u32,
        bytes: u64,
    ) -> Task<Result<SentPage, ArchiveError>> {
        self.store.sent_after(server, after, open, items, bytes)
    }

    fn peers_with_backlog(&self, listed: Vec<ServerName>) -> Task<Result<Vec<ServerName>, ArchiveError>> {
        self.hooks.peers_with_backlog(&*self.store, listed)
    }

    fn is_quarantined(
        &self,
        context: &ContextId,
        reference: &PduRef,
        from: &ServerName,
    ) -> Task<Result<bool, ArchiveError>> {
        self.store.is_quarantined(context, reference, from)
    }

    fn quarantined_pdus_of(
        &self,
        context: &ContextId,
        participants: Vec<ServerName>,
        after: (u64, u64),
        limit: u32,
    ) -> Task<Result<Vec<QuarantinedPduRow>, ArchiveError>> {
        self.hooks.quarantined_pdus(self.store.quarantined_pdus_of(context, participants, after, limit))
    }
}

impl<H: ReadHooks> ContextReader for HookedReader<dyn ContextReader, H> {
    fn context(&self, context: &ContextId) -> Task<Result<Option<ContextSnapshot>, ArchiveError>> {
        self.hooks.context(&*self.store, context)
    }

    fn contexts_with_held_pdus(&self) -> Task<Result<Vec<ContextId>, ArchiveError>> {
        self.hooks.contexts_with_held_pdus(&*self.store)
    }

    fn look_up(
        &self,
        context: &ContextId,
        arriving: Vec<PduRef>,
        parents: Vec<PduRef>,
    ) -> Task<Result<HashMap<PduRef, PduStatus>, ArchiveError>> {
        let Some(before) = self.hooks.before_look_up(&arriving) else {
            return self.store.look_up(context, arriving, parents);
        };
        let (store, context) = (self.store.clone(), context.clone());
        Box::pin(async move {
            before.await;
            store.look_up(&context, arriving, parents).await
        })
    }

    fn release(&self, context: &ContextId, references: &[PduRef]) {
        self.store.release(context, references);
    }

    fn release_all(&self, context: &ContextId) {
        self.store.release_all(context);
    }

    fn pdu(&self, reference: &PduRef) -> Task<Result<Option<ServedPdu>, ArchiveError>> {
        self.store.pdu(reference)
    }

    fn backfill(
        &self,
        context: &ContextId,
        asker: &ServerName,
        from: Vec<PduRef>,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<Vec<ServedPdu>, ArchiveError>> {
        self.store.backfill(context, asker, from, limit, bytes)
    }

    fn timeline(
        &self,
        context: &ContextId,
        before: Option<i64>,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<Vec<(i64, FeedPdu)>, ArchiveError>> {
        self.store.timeline(context, before, limit, bytes)
    }

    fn timeline_marks(
        &self,
        context: &ContextId,
        asker: &ServerName,
        below: Option<i64>,
        limit: u32,
    ) -> Task<Result<Vec<TimelineMark>, ArchiveError>> {
        self.store.timeline_marks(context, asker, below, limit)
    }

    fn timeline_refs(&self, context: &ContextId, positions: Vec<i64>) -> Task<Result<Vec<PduRef>, ArchiveError>> {
        self.store.timeline_refs(context, positions)
    }

    fn news_begin(&self, context: &ContextId) -> Task<Result<Option<Millis>, ArchiveError>> {
        self.store.news_begin(context)
    }

    fn context_record(&self, context: &ContextId) -> Task<Result<Option<ContextRecord>, ArchiveError>> {
        self.hooks.context_record(self.store.context_record(context))
    }

    fn state_holder(&self, context: &ContextId, key: &StateKey) -> Task<Result<Option<StateEntry>, ArchiveError>> {
        self.store.state_holder(context, key)
    }

    fn state_set(&self, context: &ContextId, key: &StateKey) -> Task<Result<Vec<StateEntry>, ArchiveError>> {
        self.store.state_set(context, key)
    }

    fn current_state(
        &self,
        context: &ContextId,
        after: Option<StateKey>,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<StatePage, ArchiveError>> {
        self.store.current_state(context, after, limit, bytes)
    }

    fn stage(
        &self,
        context: &ContextId,
        from: &ServerName,
        references: Vec<PduRef>,
    ) -> Task<Result<(u64, Vec<PduRef>), ArchiveError>> {
        self.store.stage(context, from, references)
    }

    fn staged(
        &self,
        context: &ContextId,
        after: Option<&ServerName>,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<Vec<StagedPdu>, ArchiveError>> {
        self.store.staged(context, after, limit, bytes)
    }
}
