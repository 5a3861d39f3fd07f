//! The tables against a sorted map, under random operations, commits, seals, checkpoints and openings.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::marker::PhantomData;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use redb::backends::InMemoryBackend;
use redb::{Database, TableDefinition, Value};

use crate::store::engine::checkpoint;
use crate::store::engine::engine_writer::EngineWriter;
use crate::store::engine::file::opening_table::OpeningTable;
use crate::store::engine::log::log_position::LogPosition;
use crate::store::engine::log::recovery;
use crate::store::engine::log::segment_log::SegmentLog;
use crate::store::engine::memtable::Generation;
use crate::store::engine::merged_range::MergedRow;
use crate::store::engine::read_snapshot::{MergedTable, ReadSnapshot};
use crate::store::engine::store_engine::{EngineLimits, StoreEngine};
use crate::store::engine::tests::MemoryLog;
use crate::store::schema::codec::columns::{OutboxValue, SeenValue};
use crate::store::schema::tables;
use crate::store::schema::tables::RowValue;

/// A table whose rows hold a text: in one kind the file has rows, in another one blocks of rows, and in the third one both.
trait ModelTable {
    type Columns: RowValue;
    const TABLE: TableDefinition<'static, (&'static str, u64), Self::Columns>;

    fn columns(text: &str) -> <Self::Columns as Value>::SelfType<'_>;

    fn text<'c>(columns: &'c <Self::Columns as Value>::SelfType<'_>) -> &'c str;
}

struct RowTable;

impl ModelTable for RowTable {
    type Columns = &'static str;
    const TABLE: TableDefinition<'static, (&'static str, u64), &'static str> = tables::REQUESTED_RECEIPTS;

    fn columns(text: &str) -> &str {
        text
    }

    fn text<'c>(columns: &'c &str) -> &'c str {
        columns
    }
}

struct BlockTable;

impl ModelTable for BlockTable {
    type Columns = OutboxValue<'static>;
    const TABLE: TableDefinition<'static, (&'static str, u64), OutboxValue<'static>> = tables::OUTBOX;

    fn columns(text: &str) -> OutboxValue<'_> {
        OutboxValue { queued: 1, queued_bytes: 2, again: false, item: 3, origin: "", id: text, submission: "s" }
    }

    fn text<'c>(columns: &'c OutboxValue<'_>) -> &'c str {
        columns.id
    }
}

struct RunTable;

impl ModelTable for RunTable {
    type Columns = SeenValue<'static>;
    const TABLE: TableDefinition<'static, (&'static str, u64), SeenValue<'static>> = tables::INBOUND_TRANSACTIONS;

    fn columns(text: &str) -> SeenValue<'_> {
        SeenValue { id: text, digest: &[7; 16], verdicts: b"[]" }
    }

    fn text<'c>(columns: &'c SeenValue<'_>) -> &'c str {
        columns.id
    }
}

/// A row that was read.
type ReadRow<T> = MergedRow<(&'static str, u64), <T as ModelTable>::Columns>;

const NAMES: [&str; 3] = ["blue", "green", "red"];

type ModelKey = (&'static str, u64);
type Model = BTreeMap<ModelKey, String>;

#[derive(Debug, Clone)]
enum ModelStep {
    Insert(ModelKey, String),
    /// Only if the key has no row.
    Append(ModelKey, String),
    /// As many rows, one after the other, except where a key has a row.
    AppendRun(ModelKey, u64),
    Replace(ModelKey, String),
    Remove(ModelKey),
    Take(ModelKey),
    RemoveRange(ModelKey, ModelKey),
    PopFirst,
    Look(Bound<ModelKey>, Bound<ModelKey>),
    Commit,
    Seal,
    Checkpoint,
    Reopen,
}

fn key() -> impl Strategy<Value = ModelKey> {
    (0..NAMES.len(), 0..40u64).prop_map(|(name, number)| (NAMES[name], number))
}

fn bound() -> impl Strategy<Value = Bound<ModelKey>> {
    prop_oneof![key().prop_map(Bound::Included), key().prop_map(Bound::Excluded), Just(Bound::Unbounded)]
}

fn step() -> impl Strategy<Value = ModelStep> {
    let text = "[a-z]{0,4}";
    prop_oneof![
        6 => (key(), text).prop_map(|(key, text)| ModelStep::Insert(key, text)),
        9 => (key(), text).prop_map(|(key, text)| ModelStep::Append(key, text)),
        4 => (key(), 2..30u64).prop_map(|(key, count)| ModelStep::AppendRun(key, count)),
        2 => (key(), text).prop_map(|(key, text)| ModelStep::Replace(key, text)),
        5 => key().prop_map(ModelStep::Remove),
        2 => key().prop_map(ModelStep::Take),
        3 => (key(), key()).prop_map(|(from, to)| ModelStep::RemoveRange(from, to)),
        1 => Just(ModelStep::PopFirst),
        3 => (bound(), bound()).prop_map(|(from, to)| ModelStep::Look(from, to)),
        4 => Just(ModelStep::Commit),
        2 => Just(ModelStep::Seal),
        2 => Just(ModelStep::Checkpoint),
        1 => Just(ModelStep::Reopen),
    ]
}

/// The engine, and what its rows should be.
struct ModelWorld<T> {
    engine: StoreEngine,
    writer: EngineWriter,
    log: MemoryLog,
    sealed: Option<Arc<Generation>>,
    /// The rows as the group in progress sees them, and as readers do.
    written: Model,
    visible: Model,
    /// An earlier view, which must not change.
    earlier: (Arc<ReadSnapshot>, Model),
    table: PhantomData<T>,
}

impl<T: ModelTable> ModelWorld<T> {
    fn new() -> Self {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).expect("memory");
        let write = database.begin_write().expect("memory");
        OpeningTable::open(&write, T::TABLE).expect("a table");
        write.open_table(tables::BLOCK_ROWS).expect("a table");
        let position = LogPosition::begin(0).expect("random bytes");
        position.write(&write).expect("memory");
        write.commit().expect("memory");
        Self::open(database, MemoryLog::default(), position, Model::new())
    }

    fn open(database: Database, log: MemoryLog, position: LogPosition, rows: Model) -> Self {
        let limits =
            EngineLimits { memtable: 1 << 20, checkpoint: Duration::MAX, log_max: 1 << 16, quick_repair: false };
        let writer =
            EngineWriter::new(SegmentLog::begin(Arc::new(log.clone()), &position, limits.log_max).expect("memory"));
        let engine = StoreEngine::new(database, position, limits).expect("memory");
        let earlier = (engine.snapshot(), rows.clone());
        Self { engine, writer, log, sealed: None, written: rows.clone(), visible: rows, earlier, table: PhantomData }
    }

    /// Ends without a word, and opens what is on disk.
    fn reopen(self) -> Self {
        let Self { engine, log, visible, earlier, .. } = self;
        drop(earlier);
        let StoreEngine { database, view, .. } = engine;
        drop(view);
        let write = database.begin_write().expect("memory");
        let meta = write.open_table(tables::META).expect("a table");
        let position = LogPosition::read(&meta).expect("readable").expect("a position");
        drop(meta);
        let lacking = recovery::replay(&log, &position.identity, position.number).expect("sound");
        checkpoint::write_rows(&write, &lacking).expect("memory");
        let position = LogPosition::begin(lacking.last).expect("random bytes");
        position.write(&write).expect("memory");
        write.commit().expect("memory");
        Self::open(database, log, position, visible)
    }

    fn write(&mut self, step: ModelStep) {
        let group = self.writer.begin(&self.engine);
        let mut table = group.open_table(T::TABLE).expect("a table");
        match step {
            ModelStep::Insert(key, text) => {
                table.insert(key, T::columns(&text)).expect("memory");
                self.written.insert(key, text);
            }
            ModelStep::Append(key, text) => {
                if let Entry::Vacant(unused) = self.written.entry(key) {
                    table.append(key, T::columns(&text)).expect("memory");
                    unused.insert(text);
                }
            }
            ModelStep::AppendRun((name, first), count) => {
                for number in first..first + count {
                    if let Entry::Vacant(unused) = self.written.entry((name, number)) {
                        table.append((name, number), T::columns("run")).expect("memory");
                        unused.insert("run".to_owned());
                    }
                }
            }
            ModelStep::Replace(key, text) => {
                let before = table.replace(key, T::columns(&text)).expect("memory");
                let before = before.map(|value| T::text(&value.value()).to_owned());
                assert_eq!(before, self.written.insert(key, text));
            }
            ModelStep::Remove(key) => {
                table.remove(key).expect("memory");
                self.written.remove(&key);
            }
            ModelStep::Take(key) => {
                let before = table.take(key).expect("memory").map(|value| T::text(&value.value()).to_owned());
                assert_eq!(before, self.written.remove(&key));
            }
            ModelStep::RemoveRange(from, to) => {
                table.remove_range(from, to).expect("memory");
                self.written.retain(|key, _| *key < from || *key >= to);
            }
            ModelStep::PopFirst => {
                let first = table.pop_first().expect("memory");
                let first = first.map(|(key, value)| (owned(key.value()), T::text(&value.value()).to_owned()));
                assert_eq!(first, self.written.pop_first());
            }
            ModelStep::Look(from, to) => {
                let rows = table.range::<(&str, u64)>((from, to)).expect("memory");
                assert_eq!(collected::<T>(rows), within(&self.written, from, to));
                let rows = table.range::<(&str, u64)>((from, to)).expect("memory").rev();
                let mut expected = within(&self.written, from, to);
                expected.reverse();
                assert_eq!(collected::<T>(rows), expected);
                assert_eq!(table.len().expect("memory"), self.written.len() as u64);
            }
            ModelStep::Commit | ModelStep::Seal | ModelStep::Checkpoint | ModelStep::Reopen => {}
        }
    }

    fn commit(&mut self) {
        self.writer.commit(&self.engine, 7).expect("memory");
        self.writer.recycle(&self.engine).expect("memory");
        self.visible = self.written.clone();
    }

    fn step(mut self, step: ModelStep) -> Self {
        match step {
            ModelStep::Commit => self.commit(),
            ModelStep::Seal => {
                if self.sealed.is_none() {
                    self.commit();
                    self.sealed = Some(self.writer.seal(&self.engine));
                    self.earlier = (self.engine.snapshot(), self.visible.clone());
                }
            }
            ModelStep::Checkpoint => {
                if let Some(sealed) = self.sealed.take() {
                    self.engine.checkpoint(&sealed, false).expect("memory");
                }
            }
            ModelStep::Reopen => self = self.reopen(),
            other => self.write(other),
        }
        let view = self.engine.snapshot();
        agree::<T>(&view.open_table(T::TABLE).expect("a table"), &self.visible);
        agree::<T>(&self.earlier.0.open_table(T::TABLE).expect("a table"), &self.earlier.1);
        self
    }
}

fn owned((name, number): (&str, u64)) -> ModelKey {
    (NAMES.into_iter().find(|known| *known == name).expect("a known name"), number)
}

fn collected<T: ModelTable>(rows: impl Iterator<Item = Result<ReadRow<T>, redb::Error>>) -> Vec<(ModelKey, String)> {
    let row = |row: Result<ReadRow<T>, redb::Error>| {
        let (key, value) = row.expect("memory");
        (owned(key.value()), T::text(&value.value()).to_owned())
    };
    rows.map(row).collect()
}

fn within(model: &Model, from: Bound<ModelKey>, to: Bound<ModelKey>) -> Vec<(ModelKey, String)> {
    use std::ops::RangeBounds;
    let range = (from, to);
    model.iter().filter(|(key, _)| range.contains(*key)).map(|(key, text)| (*key, text.clone())).collect()
}

fn agree<T: ModelTable>(table: &MergedTable<'_, (&'static str, u64), T::Columns>, model: &Model) {
    let all: Vec<_> = model.iter().map(|(key, text)| (*key, text.clone())).collect();
    assert_eq!(collected::<T>(table.iter().expect("memory")), all);
    let backwards: Vec<_> = all.iter().rev().cloned().collect();
    assert_eq!(collected::<T>(table.iter().expect("memory").rev()), backwards);
    assert_eq!(table.len().expect("memory"), all.len() as u64);
    let key = |row: Option<ReadRow<T>>| row.map(|(key, _)| owned(key.value()));
    assert_eq!(key(table.first().expect("memory")), all.first().map(|(key, _)| *key));
    assert_eq!(key(table.last().expect("memory")), all.last().map(|(key, _)| *key));
    for name in NAMES {
        for number in [0, 7, 21, 39] {
            let found = table.get((name, number)).expect("memory").map(|value| T::text(&value.value()).to_owned());
            assert_eq!(found.as_ref(), model.get(&(name, number)));
        }
        let rows = table.range(tables::all_of(name)).expect("memory");
        assert_eq!(collected::<T>(rows), within(model, Bound::Included((name, 0)), Bound::Included((name, u64::MAX))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn tables_agree_with_sorted_map(steps in prop::collection::vec(step(), 1..90)) {
        played::<RowTable>(steps);
    }

    #[test]
    fn blocks_agree_with_sorted_map(steps in prop::collection::vec(step(), 1..90)) {
        played::<BlockTable>(steps);
    }

    #[test]
    fn runs_agree_with_sorted_map(steps in prop::collection::vec(step(), 1..90)) {
        played::<RunTable>(steps);
    }
}

/// Regression: the first checkpoint made a block with rows of two servers, and no later row of the first one came into a block.
#[test]
fn runs_of_servers_stay_in_blocks() {
    let mut world = ModelWorld::<RunTable>::new();
    for first in [0, 20, 40] {
        for name in ["blue", "red"] {
            world = world.step(ModelStep::AppendRun((name, first), 19));
        }
        world = world.step(ModelStep::Seal).step(ModelStep::Checkpoint);
    }
    let view = world.engine.snapshot();
    let table = view.open_table(RunTable::TABLE).expect("a table");
    assert_eq!((table.file().rows_in_blocks(), table.file().len().expect("memory")), (114, 114));
}

fn played<T: ModelTable>(steps: Vec<ModelStep>) {
    let mut world = ModelWorld::<T>::new();
    for step in steps {
        world = world.step(step);
        let mut faults = Vec::new();
        let view = world.engine.snapshot();
        let table = view.open_table(T::TABLE).expect("a table");
        table.file().examine_blocks(|fault| faults.push(fault)).expect("memory");
        assert_eq!(faults, [""; 0]);
    }
}

#[test]
fn short_lived_rows_leave_no_trace() {
    let mut world = ModelWorld::<RowTable>::new();
    world = world.step(ModelStep::Append(("red", 1), "new".to_owned())).step(ModelStep::Commit);
    world = world.step(ModelStep::Remove(("red", 1))).step(ModelStep::Commit);
    let view = world.engine.snapshot();
    assert!(view.active.tables.iter().all(|table| table.is_empty()), "a removed new row is remembered");
}
