//! Opens the store: checks the owner and the schema, replays the log, raises the epoch and finds the ends of the tables.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actors::model::ServerName;
use actors::ports::Clock;
use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, ReadableTable, StorageBackend, Table, TableDefinition, Value, WriteTransaction,
};

use crate::runtime::caught_panics::{ExpectedPanics, caught_as};
use crate::runtime::durable_file::sync_folder_of;
use crate::store::delivery_clock::DeliveryClock;
use crate::store::engine::checkpoint;
use crate::store::engine::engine_writer::EngineWriter;
use crate::store::engine::file::opening_table::OpeningTable;
use crate::store::engine::gathering_backend::GatheringBackend;
use crate::store::engine::log::log_backend::{LogBackend, LogFolder};
use crate::store::engine::log::log_position::LogPosition;
use crate::store::engine::log::recovery;
use crate::store::engine::log::segment_log::SegmentLog;
use crate::store::engine::store_engine::{EngineLimits, StoreEngine};
use crate::store::error::OpenError;
use crate::store::executor::BlockingExecutor;
use crate::store::marker::{self, StoreMarker};
use crate::store::migration;
use crate::store::migration::kept_copy::StoreFiles;
use crate::store::offline::adopt_backup;
use crate::store::position_jumps::PositionJumps;
use crate::store::schema::tables;
use crate::store::schema::tables::{RowKey, RowValue, TableVisitor};
use crate::store::schema::version::{SCHEMA, SCHEMA_KEY};
use crate::store::write::cache::{WriterCache, WriterMemory};
use crate::store::write::context::latest_pdu_ids::LatestPduIds;
use crate::store::write::feed::FeedEnds;
use crate::store::write::peer::non_participants;
use crate::store::write::peer_tails::PeerTails;
use crate::store::write::queue::GroupLimits;
use crate::store::write::writer_context::WaitingOrder;

/// The ending of the name of the log's folder, which is beside the store's file and has its name otherwise.
const LOG: &str = "journal";

/// Returns the folder of the log of the store at `path`.
pub(crate) fn log_folder(path: &Path) -> PathBuf {
    path.with_extension(LOG)
}

/// The exit code of a process that aborts while it opens its store.
const COULD_NOT_RUN: i32 = 2;

/// The bytes of a page to the bytes of memory that it takes, as the allocator has it: redb keeps sixteen bytes with each page, whose size
/// is a power of two, and the next size of a block is a quarter larger.
const PAGE_IN_MEMORY: (usize, usize) = (4, 5);

/// The name of the store's file in its folder.
pub const FILE: &str = "fernpost.redb";

/// Options for opening a store.
#[derive(Debug)]
pub struct StoreOptions {
    /// Location of the store.
    pub place: StoreLocation,
    /// Server that owns the store. A store of another server does not open.
    pub server: ServerName,
    /// Bytes of memory of redb's page cache.
    pub cache: usize,
    /// Maximum bytes of new rows that are handed to actors in memory, so that they need not read them back from disk.
    pub recent: u64,
    /// Maximum number of batches in one commit.
    pub group_max: usize,
    /// Maximum number of rows in one commit; a larger batch is committed alone.
    pub group_rows: u64,
    /// Number of queued rows from which new requests are told to wait.
    pub queue_rows: u64,
    /// Maximum bytes of rows that are in memory because no checkpoint holds them yet.
    pub memtable: u64,
    /// Maximum age of a row that no checkpoint holds.
    pub checkpoint: Duration,
    /// Maximum bytes of the log; when it is full, nothing is taken in.
    pub log_max: u64,
    /// If true, each checkpoint saves allocator state: this costs a little per checkpoint, and the store opens at once after
    /// a crash, however large the file is.
    pub quick_repair: bool,
    /// Executor of commits, checkpoints and range reads.
    pub lane: BlockingExecutor,
    /// If true, the state of the folder is accepted even if store and marker do not fit, because the operator confirmed it.
    pub as_found: bool,
}

impl StoreOptions {
    /// Returns the compiled defaults.
    pub fn new(place: StoreLocation, server: ServerName) -> Self {
        Self {
            place,
            server,
            cache: 32 << 20,
            recent: 16 << 20,
            group_max: 256,
            group_rows: 4_096,
            queue_rows: 16_384,
            memtable: 32 << 20,
            checkpoint: Duration::from_secs(1),
            log_max: 256 << 20,
            quick_repair: true,
            lane: BlockingExecutor::default(),
            as_found: false,
        }
    }

    pub(crate) fn group_limits(&self) -> GroupLimits {
        GroupLimits { batches: self.group_max.max(1), rows: self.group_rows }
    }

    fn engine_limits(&self) -> EngineLimits {
        let (memtable, checkpoint, log_max) = (self.memtable, self.checkpoint, self.log_max);
        EngineLimits { memtable, checkpoint, log_max, quick_repair: self.quick_repair }
    }
}

type Opener = Box<dyn FnOnce(&Builder) -> Result<Database, DatabaseError> + Send>;

/// A place for a whole store that is not a file: the file, and beside it the log.
pub trait LoggedBackend: StorageBackend {
    /// Returns the storage of the log.
    fn log(&self) -> Arc<dyn LogBackend>;
}

/// The location of a store.
pub struct StoreLocation(BackendKind);

enum BackendKind {
    File(PathBuf),
    Other(Opener, Arc<dyn LogBackend>),
}

impl StoreLocation {
    /// A file, which is created if it does not exist; its folder must exist.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(BackendKind::File(path.into()))
    }

    /// Another place, for example one in memory.
    pub fn backend(backend: impl LoggedBackend) -> Self {
        let log = backend.log();
        Self(BackendKind::Other(Box::new(|builder| builder.create_with_backend(GatheringBackend::new(backend))), log))
    }
}

impl std::fmt::Debug for StoreLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

impl StoreLocation {
    fn name(&self) -> String {
        match &self.0 {
            BackendKind::File(path) => path.display().to_string(),
            BackendKind::Other(..) => "(not a file)".to_owned(),
        }
    }

    fn path(&self) -> Option<PathBuf> {
        match &self.0 {
            BackendKind::File(path) => Some(path.clone()),
            BackendKind::Other(..) => None,
        }
    }

    fn log(&self) -> Arc<dyn LogBackend> {
        match &self.0 {
            BackendKind::File(path) => Arc::new(LogFolder::new(log_folder(path))),
            BackendKind::Other(_, log) => log.clone(),
        }
    }

    fn open(self, builder: &Builder) -> Result<Database, redb::Error> {
        match self.0 {
            BackendKind::Other(opener, _) => Ok(opener(builder)?),
            BackendKind::File(path) => {
                // Only the owner may read the file, because it contains private messages.
                let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
                let is_new = match made {
                    Ok(_) => true,
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
                    Err(error) => return Err(redb::Error::Io(error)),
                };
                let file = OpenOptions::new().read(true).write(true).open(&path)?;
                let database = builder.create_with_backend(GatheringBackend::new(FileBackend::new(file)?))?;
                if is_new {
                    sync_folder_of(&path)?;
                }
                Ok(database)
            }
        }
    }
}

/// The result of opening a store.
pub(crate) struct OpenedStore {
    pub(crate) engine: StoreEngine,
    pub(crate) place: String,
    /// Path of the file; `None` for another backend.
    pub(crate) file: Option<PathBuf>,
    pub(crate) epoch: u64,
    pub(crate) memory: WriterMemory,
    /// Lowest start value of the counters of updates from peers: 0, except in a store that was restored from a backup.
    pub(crate) counted_from: u64,
}

/// Opens the store. redb trusts what it reads, and panics on some damaged files.
pub(crate) fn open(options: StoreOptions, clock: &dyn Clock) -> Result<OpenedStore, OpenError> {
    let unreadable = OpenError::unreadable(&options.place.name());
    let last = Some((format!("fernpost cannot start: {unreadable}"), COULD_NOT_RUN));
    let opened = caught_as(ExpectedPanics { last, ..ExpectedPanics::default() }, || opened(options, clock));
    opened.unwrap_or(Err(unreadable))
}

fn opened(options: StoreOptions, clock: &dyn Clock) -> Result<OpenedStore, OpenError> {
    let (place, file) = (options.place.name(), options.place.path());
    let marker = file.as_deref().map(|file| marker::admit(file, options.as_found)).transpose()?;
    let unusable = |error: redb::Error| OpenError::from_redb(&place, error);
    let mut builder = Database::builder();
    builder.set_cache_size(options.cache / PAGE_IN_MEMORY.1 * PAGE_IN_MEMORY.0);
    builder.set_repair_callback(|repair| tracing::info!(progress = repair.progress(), "the store is being repaired"));
    let (limits, log) = (options.engine_limits(), options.place.log());
    let database = options.place.open(&builder).map_err(unusable)?;
    let files = file.as_ref().map(|file| StoreFiles { file: file.clone(), log: log_folder(file) });
    let database = migration::migrate(database, files.as_ref(), &builder, (&place, &options.server))?;

    let mut transaction = database.begin_write().map_err(|error| unusable(error.into()))?;
    transaction.set_quick_repair(options.quick_repair);
    let epoch = stamp(&transaction, &place, &options.server)?;
    let position = replay(&transaction, &*log, options.as_found).map_err(|error| match error {
        ReplayError::Missing => {
            let folder = file.as_deref().map_or_else(|| place.clone(), |file| log_folder(file).display().to_string());
            OpenError::LogMissing { place: place.clone(), folder }
        }
        ReplayError::Redb(error) => unusable(error),
    })?;
    let mut memory = ends(&transaction, epoch).map_err(unusable)?;
    let counted_from = adopt_backup::settle(&transaction, &mut memory, clock, marker.map_or(0, StoreMarker::earlier))
        .map_err(unusable)?;
    if let Some((key, value)) = memory.deliveries.persist_if_ahead() {
        let mut meta = transaction.open_table(tables::META).map_err(|error| unusable(error.into()))?;
        meta.insert(key, value.as_str()).map_err(|error| unusable(error.into()))?;
    }
    // The log has a segment before the file says that there is a log.
    SegmentLog::provide(&*log, limits.log_max).map_err(|error| unusable(redb::Error::Io(error)))?;
    transaction.commit().map_err(|error| unusable(error.into()))?;
    let log = SegmentLog::begin(log, &position, limits.log_max);
    let log = log.map_err(|error| unusable(redb::Error::Io(error)))?;
    let memory = WriterMemory { cache: memory, engine: EngineWriter::new(log) };
    let engine = StoreEngine::new(database, position, limits).map_err(unusable)?;
    if let (Some(file), Some(marker)) = (&file, marker) {
        marker::opened(file, marker).map_err(|error| unusable(redb::Error::Io(error)))?;
    }
    Ok(OpenedStore { engine, place, file, epoch, memory, counted_from })
}

/// Error: the log cannot be replayed.
enum ReplayError {
    /// The store was not closed, and there is no log.
    Missing,
    Redb(redb::Error),
}

impl<E: Into<redb::Error>> From<E> for ReplayError {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

/// Writes the groups of the log that the file lacks into the file, and returns the position for a new log. `as_found`: a
/// missing log is accepted.
fn replay(transaction: &WriteTransaction, log: &dyn LogBackend, as_found: bool) -> Result<LogPosition, ReplayError> {
    let Some(position) = LogPosition::read(&transaction.open_table(tables::META)?)? else {
        let position = LogPosition::begin(0)?;
        position.write(transaction)?;
        return Ok(position);
    };
    let mut last = position.number;
    if log.segments()?.is_empty() {
        if !position.is_closed && !as_found {
            return Err(ReplayError::Missing);
        }
    } else {
        let lacking = recovery::replay(log, &position.identity, position.number)?;
        tracing::debug!(from = position.number, to = lacking.last, "the log is replayed");
        checkpoint::write_rows(transaction, &lacking)?;
        last = lacking.last;
    }
    let next = LogPosition::begin(last)?;
    next.write(transaction)?;
    Ok(next)
}

/// Writes the version and the owner, which were compared before, and raises the epoch, as every opening does.
fn stamp(transaction: &WriteTransaction, place: &str, own: &ServerName) -> Result<u64, OpenError> {
    let unusable = |error: redb::Error| OpenError::from_redb(place, error);
    let mut meta = transaction.open_table(tables::META).map_err(|error| unusable(error.into()))?;
    let schema = SCHEMA.to_string();
    let epoch = text(&meta, "epoch").map_err(unusable)?.map_or(Ok(0), |epoch| epoch.parse::<u64>());
    let epoch = epoch.map_err(|_| unusable(redb::Error::Corrupted("the epoch is no number".to_owned())))? + 1;
    for (key, value) in [(SCHEMA_KEY, schema.as_str()), ("server", own.as_str()), ("epoch", &epoch.to_string())] {
        meta.insert(key, value).map_err(|error| unusable(error.into()))?;
    }
    Ok(epoch)
}

fn text(meta: &Table<'_, &str, &str>, key: &str) -> Result<Option<String>, redb::Error> {
    Ok(meta.get(key)?.map(|value| value.value().to_owned()))
}

/// Reads the ends of the feed and of the item numbers. It opens, and thereby creates, every table, so that no reader
/// finds one missing.
fn ends(transaction: &WriteTransaction, epoch: u64) -> Result<WriterCache, redb::Error> {
    tables::each(&mut CreatedStore(transaction))?;
    transaction.open_table(tables::BLOCK_ROWS)?;
    non_participants::take_over(transaction)?;
    let feed_acked = transaction.open_table(tables::FEED_CURSOR)?.get(tables::MESSENGER)?.map_or(0, |row| row.value());
    let newest = last_number(transaction, tables::FEED)?;
    let meta = transaction.open_table(tables::META)?;
    let (deliveries, jumps) = (DeliveryClock::behind(&meta)?, PositionJumps::read(&meta)?);
    let item = last_number(transaction, tables::ITEMS)?;
    Ok(WriterCache {
        feed: FeedEnds::new(newest, feed_acked, jumps),
        next_item: item + 1,
        order: WaitingOrder::new(epoch),
        deliveries,
        latest_pdu_ids: LatestPduIds::default(),
        tails: PeerTails::default(),
    })
}

/// Returns the greatest key of a table of numbers; 0 if it has no row.
fn last_number<V: Value + 'static>(
    transaction: &WriteTransaction,
    table: TableDefinition<'static, u64, V>,
) -> Result<u64, redb::Error> {
    let last = OpeningTable::open(transaction, table)?.last(None)?;
    Ok(last.map_or(0, |key| <u64 as Value>::from_bytes(&key)))
}

/// Opens each table, which creates it.
struct CreatedStore<'t>(&'t WriteTransaction);

impl TableVisitor for CreatedStore<'_> {
    type Error = redb::Error;

    fn visit<K: RowKey, V: RowValue>(&mut self, table: TableDefinition<'static, K, V>) -> Result<(), redb::Error> {
        OpeningTable::open(self.0, table)?;
        Ok(())
    }
}
