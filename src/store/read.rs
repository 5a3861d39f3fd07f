//! Typed reads of committed rows.
//!
//! Point reads run on the thread that polls them and are ready at the first poll: they take microseconds and never wait for
//! a sync, so a hop to another thread would cost more than it saves. Range reads run on a blocking thread. No read
//! transaction is held across an await.

mod attempts;
mod contexts;
mod dead_letters;
mod feed;
mod history;
mod inspect;
mod non_participants;
mod nonces;
mod pdus;
mod peers;
mod retention;
mod stage;
mod state;
mod strangers;
mod submissions;

use std::collections::HashMap;

use actors::model::{
    Attempt, ContextId, ContextRecord, DigestKey, FeedPdu, Index, Millis, PduRef, Position, ReleasedEvent, ServerName,
    StateEntry, StateKey, SubmissionId, SubmissionRecord, UsedNonce,
};
use actors::ports::{
    ArchiveError, ContextReader, ContextSnapshot, DeadLetter, FeedBounds, FeedPage, FeedReader, OutboxRow, PduStatus,
    PeerReader, PeerSnapshot, QuarantinedPduRow, SentPage, ServedPdu, StagedPdu, StatePage, SubmissionReader,
    SubmissionsPage, Task, TimelineMark,
};
use bytes::Bytes;
use tokio::sync::watch;

use crate::runtime::caught_panics::caught;
use crate::store::Store;
use crate::store::engine::read_snapshot::ReadSnapshot;
use crate::store::schema::codec::BadRow;
use crate::store::shared::StoreShared;

/// Maximum number of rows examined for one page, however few of them match.
pub(super) const WALK_MAX: usize = 10_000;

/// Error: a read failed. Callers only log it.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Redb(Box<redb::Error>),
    #[error(transparent)]
    Row(#[from] BadRow),
    #[error(
        "the engine panicked ({0}), as it does on a damaged store: stop the gateway and run `fernpost store verify`"
    )]
    Panic(String),
}

impl<E: Into<redb::Error>> From<E> for ReadError {
    fn from(error: E) -> Self {
        Self::Redb(Box::new(error.into()))
    }
}

impl From<ReadError> for ArchiveError {
    fn from(error: ReadError) -> Self {
        Self(error.to_string())
    }
}

type Read<T> = Result<T, ReadError>;

impl Store {
    /// Returns the nonces of all signatures that are not too old at this time, with an hour of slack. Their number is bounded by
    /// `peers.nonces_max` a key in ten minutes.
    pub async fn used_nonces(&self, now: Millis) -> Result<Vec<UsedNonce>, ArchiveError> {
        self.page(move |_, rows| nonces::used_nonces(rows, now)).await
    }

    /// Returns the servers whose records keep a dialect, with its name: those that no configuration named when they sent something.
    pub async fn kept_dialects(&self) -> Result<Vec<(ServerName, String)>, ArchiveError> {
        self.page(|_, rows| strangers::kept_dialects(rows)).await
    }

    /// Returns the number of rows that are keyed by servers for which `is_counted` holds, up to `most`.
    pub async fn rows_of_servers(
        &self,
        is_counted: impl Fn(&ServerName) -> bool + Send + 'static,
        most: u64,
    ) -> Result<u64, ArchiveError> {
        self.page(move |_, rows| strangers::rows_of_servers(rows, &is_counted, most)).await
    }

    /// Runs a read of single rows on the caller's thread.
    fn point<T: Send + 'static>(
        &self,
        read: impl FnOnce(&StoreShared, &ReadSnapshot) -> Read<T> + Send + 'static,
    ) -> Task<Result<T, ArchiveError>> {
        let shared = self.shared.clone();
        Box::pin(async move { Ok(run(&shared, read)?) })
    }

    /// Runs a read of single rows and of uncommitted changes on the caller's thread. The read begins its own transaction
    /// while it holds the lock of the uncommitted changes.
    fn uncommitted<T: Send + 'static>(
        &self,
        read: impl FnOnce(&StoreShared) -> Read<T> + Send + 'static,
    ) -> Task<Result<T, ArchiveError>> {
        let shared = self.shared.clone();
        Box::pin(async move { Ok(guarded(|| read(&shared))?) })
    }

    /// Runs a range read on a blocking thread. Only a few run at a time, because the disk does not serve more.
    fn page<T: Send + 'static>(
        &self,
        read: impl FnOnce(&StoreShared, &ReadSnapshot) -> Read<T> + Send + 'static,
    ) -> Task<Result<T, ArchiveError>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let turn = shared.reads.clone().acquire_owned().await.map_err(|error| ArchiveError(error.to_string()))?;
            let job = shared.clone();
            let run_in_turn = move || {
                // Held by the job, because a caller that gives up does not end it.
                let _turn = turn;
                run(&job, read)
            };
            let read = shared.lane.read(run_in_turn).await;
            Ok(read.map_err(|error| ArchiveError(error.to_string()))??)
        })
    }
}

fn run<T>(shared: &StoreShared, read: impl FnOnce(&StoreShared, &ReadSnapshot) -> Read<T>) -> Read<T> {
    guarded(|| read(shared, &shared.engine.snapshot()))
}

/// Runs a read and turns a panic of the engine, which trusts its file, into an error.
fn guarded<T>(read: impl FnOnce() -> Read<T>) -> Read<T> {
    caught(read).unwrap_or_else(|panic| Err(ReadError::Panic(panic)))
}

impl PeerReader for Store {
    fn are_known_forwards(&self, forwards: Vec<(ServerName, Box<str>)>) -> Task<Result<Vec<bool>, ArchiveError>> {
        self.point(move |shared, rows| peers::forwards::are_known(shared, rows, &forwards))
    }

    fn peer(&self, server: &ServerName) -> Task<Result<PeerSnapshot, ArchiveError>> {
        let server = server.clone();
        self.page(move |shared, rows| peers::peer(shared, rows, server))
    }

    fn outbox_from(
        &self,
        server: &ServerName,
        from: Index,
        items: u32,
        bytes: u64,
    ) -> Task<Result<Vec<OutboxRow>, ArchiveError>> {
        let server = server.clone();
        self.page(move |shared, rows| peers::outbox_from(shared, rows, &server, from.0, items as usize, bytes))
    }

    fn dead_letters(
        &self,
        server: &ServerName,
        first: Index,
        last: Index,
    ) -> Task<Result<Vec<DeadLetter>, ArchiveError>> {
        let server = server.clone();
        self.page(move |shared, rows| dead_letters::letters(shared, rows, &server, first.0, last.0))
    }

    fn attempts(&self, server: &ServerName, first: Index, last: Index) -> Task<Result<Vec<Attempt>, ArchiveError>> {
        let server = server.clone();
        self.page(move |shared, rows| attempts::attempts(shared, rows, &server, first.0, last.0))
    }

    fn old_deliveries(
        &self,
        before: Millis,
        after: Option<ServerName>,
    ) -> Task<Result<Option<(ServerName, Index)>, ArchiveError>> {
        self.page(move |shared, rows| attempts::old_deliveries(shared, rows, before.0, after.as_ref()))
    }

    fn sent_after(
        &self,
        server: &ServerName,
        after: u64,
        open: Option<(u64, Index, Index)>,
        items: u32,
        bytes: u64,
    ) -> Task<Result<SentPage, ArchiveError>> {
        let (server, room) = (server.clone(), (items as usize, bytes));
        self.page(move |shared, rows| peers::sent_after(shared, rows, &server, after, open, room))
    }

    fn peers_with_backlog(&self, listed: Vec<ServerName>) -> Task<Result<Vec<ServerName>, ArchiveError>> {
        self.page(move |shared, rows| peers::peers_behind(shared, rows, listed))
    }

    fn is_quarantined(
        &self,
        context: &ContextId,
        reference: &PduRef,
        from: &ServerName,
    ) -> Task<Result<bool, ArchiveError>> {
        let (context, reference, from) = (context.clone(), reference.clone(), from.clone());
        self.uncommitted(move |shared| non_participants::is_kept(shared, &context, &reference, &from))
    }

    fn quarantined_pdus_of(
        &self,
        context: &ContextId,
        participants: Vec<ServerName>,
        after: (u64, u64),
        limit: u32,
    ) -> Task<Result<Vec<QuarantinedPduRow>, ArchiveError>> {
        let context = context.clone();
        self.page(move |shared, rows| {
            non_participants::page(shared, rows, &context, &participants, after, limit as usize)
        })
    }
}

impl ContextReader for Store {
    fn context(&self, context: &ContextId) -> Task<Result<Option<ContextSnapshot>, ArchiveError>> {
        let context = context.clone();
        self.page(move |shared, rows| pdus::context(shared, rows, &context))
    }

    fn contexts_with_held_pdus(&self) -> Task<Result<Vec<ContextId>, ArchiveError>> {
        self.page(pdus::contexts_holding)
    }

    fn look_up(
        &self,
        context: &ContextId,
        arriving: Vec<PduRef>,
        parents: Vec<PduRef>,
    ) -> Task<Result<HashMap<PduRef, PduStatus>, ArchiveError>> {
        let context = context.clone();
        self.uncommitted(move |shared| pdus::look_up(shared, &context, &arriving, &parents))
    }

    fn release(&self, context: &ContextId, references: &[PduRef]) {
        self.shared.claims.release(context, references);
    }

    fn release_all(&self, context: &ContextId) {
        self.shared.claims.release_all(context);
    }

    fn pdu(&self, reference: &PduRef) -> Task<Result<Option<ServedPdu>, ArchiveError>> {
        let reference = reference.clone();
        self.point(move |shared, rows| pdus::pdu(shared, rows, &reference))
    }

    fn backfill(
        &self,
        context: &ContextId,
        asker: &ServerName,
        from: Vec<PduRef>,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<Vec<ServedPdu>, ArchiveError>> {
        let (context, asker) = (context.clone(), asker.clone());
        self.page(move |shared, rows| history::backfill(shared, rows, &context, &asker, from, limit as usize, bytes))
    }

    fn timeline(
        &self,
        context: &ContextId,
        before: Option<i64>,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<Vec<(i64, FeedPdu)>, ArchiveError>> {
        let context = context.clone();
        self.page(move |shared, rows| history::timeline(shared, rows, &context, before, limit as usize, bytes))
    }

    fn timeline_marks(
        &self,
        context: &ContextId,
        asker: &ServerName,
        below: Option<i64>,
        limit: u32,
    ) -> Task<Result<Vec<TimelineMark>, ArchiveError>> {
        let (context, asker) = (context.clone(), asker.clone());
        self.page(move |shared, rows| {
            history::marks::timeline_marks(shared, rows, &context, &asker, below, limit as usize)
        })
    }

    fn timeline_refs(&self, context: &ContextId, positions: Vec<i64>) -> Task<Result<Vec<PduRef>, ArchiveError>> {
        let context = context.clone();
        self.page(move |shared, rows| history::marks::timeline_refs(shared, rows, &context, &positions))
    }

    fn news_begin(&self, context: &ContextId) -> Task<Result<Option<Millis>, ArchiveError>> {
        let context = context.clone();
        self.page(move |shared, rows| history::marks::news_begin(shared, rows, &context))
    }

    fn context_record(&self, context: &ContextId) -> Task<Result<Option<ContextRecord>, ArchiveError>> {
        let context = context.clone();
        self.point(move |shared, rows| pdus::context_record(shared, rows, &context))
    }

    fn has_context(&self, context: &ContextId) -> Task<Result<bool, ArchiveError>> {
        let context = context.clone();
        self.point(move |shared, rows| pdus::has_context(shared, rows, &context))
    }

    fn state_holder(&self, context: &ContextId, key: &StateKey) -> Task<Result<Option<StateEntry>, ArchiveError>> {
        let (context, key) = (context.clone(), key.clone());
        self.uncommitted(move |shared| state::holder(shared, &context, &key))
    }

    fn state_set(&self, context: &ContextId, key: &StateKey) -> Task<Result<Vec<StateEntry>, ArchiveError>> {
        let (context, key) = (context.clone(), key.clone());
        self.uncommitted(move |shared| state::set(shared, &context, &key))
    }

    fn current_state(
        &self,
        context: &ContextId,
        after: Option<StateKey>,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<StatePage, ArchiveError>> {
        let context = context.clone();
        self.page(move |shared, rows| state::current(shared, rows, &context, after.as_ref(), limit as usize, bytes))
    }

    fn stage(
        &self,
        context: &ContextId,
        from: &ServerName,
        references: Vec<PduRef>,
    ) -> Task<Result<(u64, Vec<PduRef>), ArchiveError>> {
        let (context, from) = (context.clone(), from.clone());
        self.page(move |shared, rows| stage::of_server(shared, rows, &context, &from, references))
    }

    fn staged(
        &self,
        context: &ContextId,
        after: Option<&ServerName>,
        limit: u32,
        bytes: u64,
    ) -> Task<Result<Vec<StagedPdu>, ArchiveError>> {
        let (context, after) = (context.clone(), after.cloned());
        self.page(move |shared, rows| stage::page(shared, rows, &context, after.as_ref(), limit as usize, bytes))
    }
}

impl SubmissionReader for Store {
    fn digest_key(&self) -> DigestKey {
        self.shared.digest_key
    }

    fn submission(&self, id: &SubmissionId) -> Task<Result<Option<SubmissionRecord>, ArchiveError>> {
        let id = id.clone();
        self.point(move |shared, rows| submissions::submission(shared, rows, &id))
    }

    fn submitted_updates(&self, id: &SubmissionId) -> Task<Result<Option<Vec<Bytes>>, ArchiveError>> {
        let id = id.clone();
        self.page(move |shared, rows| submissions::submitted_updates(shared, rows, &id))
    }

    fn submissions_before(
        &self,
        before: Millis,
        after: Option<SubmissionId>,
    ) -> Task<Result<SubmissionsPage, ArchiveError>> {
        self.page(move |shared, rows| submissions::submissions_before(shared, rows, before.0, after.as_ref()))
    }
}

impl FeedReader for Store {
    fn feed_after(&self, after: Position, limit: u32, bytes: u64) -> Task<Result<FeedPage, ArchiveError>> {
        let read = move |shared: &StoreShared, rows: &ReadSnapshot| {
            feed::feed_after(shared, rows, after.0, limit as usize, bytes)
        };
        // A hop to another thread and back costs more than the newest events.
        match feed::are_in_memory(&self.shared, after.0) {
            true => self.point(read),
            false => self.page(read),
        }
    }

    fn released_events(&self, limit: u32, bytes: u64) -> Task<Result<Vec<ReleasedEvent>, ArchiveError>> {
        self.page(move |shared, rows| feed::refused_events::released_events(shared, rows, limit as usize, bytes))
    }

    fn refused_between(&self, after: Position, upto: Position) -> Task<Result<Vec<(Position, String)>, ArchiveError>> {
        self.page(move |shared, rows| feed::refused_events::refused_between(shared, rows, after.0, upto.0))
    }

    fn push_ids_reserved(&self) -> Task<Result<u64, ArchiveError>> {
        self.point(feed::push_ids_reserved)
    }

    fn feed_bounds(&self) -> watch::Receiver<FeedBounds> {
        self.shared.bounds.subscribe()
    }
}
