//! Group commit: one writer commits all batches that were queued during the previous sync with one sync, and starts the
//! checkpoints. The writer is a thread that waits for the queue itself, or, where the store has no thread of its own, a task.

use std::sync::Arc;
use std::time::Duration;

use actors::ports::OutboxGrown;
use tokio::task::JoinError;
use tokio::time::Instant;

use crate::runtime::caught_panics;
use crate::runtime::caught_panics::{ExpectedPanics, caught_as};
use crate::store::counters::RowCounts;
use crate::store::engine::log::segment_log::SegmentOrder;
use crate::store::engine::memtable::Generation;
use crate::store::error::StoreFailure;
use crate::store::pending::{claims, uncommitted_state};
use crate::store::shared::{StoreShared, StoreState};
use crate::store::write::apply::{AppliedGroup, WriteBatch};
use crate::store::write::cache::WriterMemory;
use crate::store::write::queue::{NextWork, QueueEntry, QueueWork};

/// The exit code of a process that aborts while it commits.
const WRONG: i32 = 1;

/// Maximum time that a deferred batch waits for an urgent one.
const DEFER_MAX: Duration = Duration::from_millis(100);

/// Runs the writer's task, which ends with the queue or with the first group that fails. Commits run on the store's
/// executor.
pub(crate) fn run(shared: Arc<StoreShared>, memory: WriterMemory) -> impl Future<Output = ()> {
    // The guard is created here, outside the future, because a task that is dropped before its first poll must report
    // it too.
    let abandoned = StopOnDrop(shared);
    async move { write(&abandoned.0, memory).await }
}

async fn write(shared: &Arc<StoreShared>, mut memory: WriterMemory) {
    if shared.lane.has_commit_thread() {
        return write_on_thread(shared, memory).await;
    }
    let mut ride_until = None;
    loop {
        if let Err(failure) = start_checkpoint(shared, &mut memory) {
            return stop(shared, failure);
        }
        let seals_at = memory.engine.seals_at(&shared.engine);
        match shared.queue.next() {
            NextWork::Commit if memory.engine.must_wait(&shared.engine) => shared.queue.changed().await,
            NextWork::Commit => {
                ride_until = None;
                let job = shared.clone();
                let drained = shared.lane.commit(move || drain(&job, memory)).await;
                match drained {
                    Ok(Some(back)) => memory = back,
                    Ok(None) => return,
                    Err(error) => return stop(shared, ended(shared, error)),
                }
            }
            NextWork::HoldDeferred => {
                let until = *ride_until.get_or_insert_with(|| Instant::now() + DEFER_MAX);
                tokio::select! {
                    biased;
                    () = shared.queue.changed() => {}
                    () = tokio::time::sleep_until(until) => shared.queue.flush(),
                    () = until_sealed(seals_at) => {}
                }
            }
            NextWork::Idle => {
                tokio::select! {
                    biased;
                    () = shared.queue.changed() => {}
                    () = until_sealed(seals_at) => {}
                }
            }
            NextWork::End => break,
        }
    }
    close(shared, memory).await;
}

/// Runs the writer on the thread of the commits until the queue ends: a task in between would be one more wake-up for each
/// group.
async fn write_on_thread(shared: &Arc<StoreShared>, memory: WriterMemory) {
    let job = shared.clone();
    match shared.lane.commit(move || serve(&job, memory)).await {
        Ok(Some(memory)) => close(shared, memory).await,
        Ok(None) => {}
        Err(error) => stop(shared, ended(shared, error)),
    }
}

/// Returns the failure of a job that did not return.
fn ended(shared: &StoreShared, error: JoinError) -> StoreFailure {
    match error.try_into_panic() {
        Ok(payload) => StoreFailure::panic(&shared.place, &caught_panics::message(&*payload)),
        Err(_) => StoreFailure::abandoned(&shared.place),
    }
}

/// Commits groups, and waits for more, until the queue ends. `None` means that the journal has stopped. It blocks.
fn serve(shared: &Arc<StoreShared>, mut memory: WriterMemory) -> Option<WriterMemory> {
    let mut ride_until = None;
    loop {
        if shared.queue.next() == NextWork::Commit {
            ride_until = None;
        }
        memory = drain(shared, memory)?;
        let seals_at = memory.engine.seals_at(&shared.engine);
        let until = match shared.queue.next() {
            NextWork::Commit if memory.engine.must_wait(&shared.engine) => None,
            NextWork::Commit => continue,
            NextWork::HoldDeferred => {
                let until = *ride_until.get_or_insert_with(|| Instant::now() + DEFER_MAX);
                if until <= Instant::now() {
                    ride_until = None;
                    shared.queue.flush();
                    continue;
                }
                Some(seals_at.map_or(until, |at| at.min(until)))
            }
            NextWork::Idle => seals_at,
            NextWork::End => return Some(memory),
        };
        shared.queue.wait_for_news(until);
    }
}

/// Completes when the generation is due because of its age.
async fn until_sealed(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Seals the generation if it is due, and starts the checkpoint of it.
fn start_checkpoint(shared: &Arc<StoreShared>, memory: &mut WriterMemory) -> Result<(), StoreFailure> {
    memory.engine.recycle(&shared.engine).map_err(|error| StoreFailure::disk(&shared.place, &error))?;
    if let Some(order) = memory.engine.order_segment() {
        shared.runtime.spawn(create_segment(shared.clone(), order));
    }
    if memory.engine.is_due(&shared.engine) {
        let sealed = memory.engine.seal(&shared.engine);
        shared.runtime.spawn(checkpoint(shared.clone(), sealed, false));
    }
    Ok(())
}

/// Creates a segment of the log before it is needed.
async fn create_segment(shared: Arc<StoreShared>, order: SegmentOrder) {
    // The runtime may end before the job; then nothing needs the segment.
    if let Ok(Err(error)) = shared.lane.read(move || order.create()).await {
        stop(&shared, StoreFailure::disk(&shared.place, &redb::Error::Io(error)));
        shared.queue.wake();
    }
}

/// Writes a sealed generation into the file, and wakes the writer, which may wait for that.
async fn checkpoint(shared: Arc<StoreShared>, sealed: Arc<Generation>, is_last: bool) {
    let job = shared.clone();
    let run = move || {
        let expected = expected_panics(&job);
        match caught_as(expected, || job.engine.checkpoint(&sealed, is_last)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(StoreFailure::checkpoint(&job.place, &error)),
            Err(panic) => Err(StoreFailure::panic(&job.place, &panic)),
        }
    };
    // The runtime may end before the job; the log has everything.
    match shared.lane.checkpoint(run).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(failure)) => stop(&shared, failure),
    }
    shared.queue.wake();
}

/// Writes everything into the file, so that the next opening needs no log.
async fn close(shared: &Arc<StoreShared>, mut memory: WriterMemory) {
    while shared.engine.is_checkpointing() && shared.is_open() {
        shared.queue.changed().await;
    }
    if !shared.is_open() {
        return;
    }
    let sealed = memory.engine.seal(&shared.engine);
    checkpoint(shared.clone(), sealed, true).await;
    drop(memory);
    shared.state.send_if_modified(|state| {
        let is_open = matches!(state, StoreState::Open);
        if is_open {
            *state = StoreState::Closed;
        }
        is_open
    });
}

/// Stops the journal if the writer's task is dropped while the journal is open: tickets must not hang, and the journal
/// must not seem to work.
struct StopOnDrop(Arc<StoreShared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if self.0.is_open() {
            stop(&self.0, StoreFailure::abandoned(&self.0.place));
        }
    }
}

fn stop(shared: &StoreShared, failure: StoreFailure) {
    shared.queue.kill();
    if !shared.is_open() {
        return;
    }
    tracing::error!(%failure, "the journal has stopped");
    shared.state.send_replace(StoreState::Failed(failure));
}

/// Commits groups until none is due. `None` means that the journal has stopped.
fn drain(shared: &Arc<StoreShared>, mut memory: WriterMemory) -> Option<WriterMemory> {
    loop {
        if let Err(failure) = start_checkpoint(shared, &mut memory) {
            stop(shared, failure);
            return None;
        }
        if memory.engine.must_wait(&shared.engine) {
            return Some(memory);
        }
        let Some(entries) = shared.queue.take() else { return Some(memory) };
        let committed = caught_as(expected_panics(shared), || commit(shared, &mut memory, entries));
        let failure = match committed {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => StoreFailure::disk(&shared.place, &error),
            Err(panic) => StoreFailure::panic(&shared.place, &panic),
        };
        stop(shared, failure);
        return None;
    }
}

/// A panic of the writer or of a checkpoint is a bug of ours, or the engine met a damaged store; the engine may panic again
/// during cleanup.
fn expected_panics(shared: &StoreShared) -> ExpectedPanics {
    let last = format!("fernpost ends: {}", StoreFailure::panic(&shared.place, "it aborts the process"));
    ExpectedPanics { reported: true, last: Some((last, WRONG)) }
}

/// Commits one group: it writes, waits for the disk, and only then notifies anybody. An early return drops the tickets,
/// which makes them fail.
fn commit(shared: &StoreShared, memory: &mut WriterMemory, mut entries: Vec<QueueEntry>) -> Result<(), redb::Error> {
    shared.queue.settled(&entries);
    entries.retain(|entry| is_current(shared, entry));
    let mut applied = None;
    let (mut stored, mut moved) = (Vec::new(), Vec::new());
    if entries.iter().any(|entry| matches!(entry.work, QueueWork::Batch { rows: 1.., .. })) {
        let WriterMemory { cache, engine } = memory;
        let (now, write) = (shared.clock.now(), engine.begin(&shared.engine));
        let mut group = WriteBatch::new(&write, cache, now);
        for entry in &mut entries {
            if let QueueWork::Batch { changes, .. } = &mut entry.work {
                stored.extend(claims::references(changes));
                moved.extend(uncommitted_state::moves(changes));
                changes.drain(..).try_for_each(|change| group.apply(change))?;
            }
        }
        applied = Some(group.finish()?);
        drop(write);
        engine.commit(&shared.engine, now.0)?;
    }
    let counts = applied.as_ref().map(|applied| RowCounts { commits: 1, ..applied.counts }).unwrap_or_default();
    shared.counters.add(&RowCounts { groups: 1, ..counts });
    shared.claims.on_commit(&stored);
    shared.under_way.settled(moved);
    // The bounds and the outboxes are published before the tickets complete: a caller that learns of a commit finds the
    // feed as that commit left it, and its next submission is counted against the outbox with this one.
    let bounds = memory.cache.feed.bounds();
    shared.bounds.send_if_modified(|old| std::mem::replace(old, bounds) != bounds);
    if let Some(applied) = applied {
        notify_outboxes(shared, applied);
    }
    for entry in entries {
        entry.done.complete();
    }
    Ok(())
}

/// Refuses a batch of an owner that has been replaced: its ticket fails, the others are not affected.
fn is_current(shared: &StoreShared, entry: &QueueEntry) -> bool {
    match &entry.work {
        QueueWork::Batch { fence, changes, .. } if *fence != shared.fence => {
            shared.claims.on_commit(&claims::references(changes).collect::<Vec<_>>());
            shared.under_way.settled(uncommitted_state::moves(changes).collect());
            let (epoch, current) = (fence.epoch, shared.fence.epoch);
            tracing::error!(slot = fence.slot, epoch, current, "a batch of an owner that has been replaced is refused");
            false
        }
        _ => true,
    }
}

fn notify_outboxes(shared: &StoreShared, applied: AppliedGroup) {
    for (server, grown) in applied.grown {
        let bytes = grown.rows.iter().map(|row| row.item.bytes().len() as u64).sum();
        let held = shared.recent.hold(bytes);
        let rows = if held.is_some() { grown.rows } else { Vec::new() };
        (shared.wake)(OutboxGrown {
            server,
            tail: grown.tail,
            queued_bytes: grown.queued_bytes,
            rows,
            held: held.map(|held| Arc::new(held) as _),
        });
    }
}
