//! The rows that the relay has taken and may not forget: on disk, written by one thread, and the same rows in memory.

use bytes::Bytes;
use redb::{Database, Durability, ReadableTable, TableDefinition};
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rows");
/// Rows written by one commit: enough that a sync costs nothing a row, few enough that nobody waits long for it.
const COMMIT_MAX: usize = 4096;
/// Requests that may wait for the writer.
const JOBS_MAX: usize = 16_384;
/// Rows held; past it the sender is told to come back, since a peer that is down must not fill the memory.
const ROWS_MAX: usize = 200_000;
/// Removals alone that are worth a commit of their own while others keep it from falling idle.
const FORGOTTEN_MAX: u64 = 2000;
/// The time for which removals alone wait for another commit to carry them.
const RIDE: Duration = Duration::from_millis(200);

enum Job {
    Append(Vec<Bytes>, oneshot::Sender<()>),
    Forget(u64),
}

#[derive(Default)]
struct Rows {
    /// Number of the front row, or of the next one to come.
    first: u64,
    held: VecDeque<Bytes>,
}

/// Numbered rows, from the first one not yet forgotten to the last one committed.
pub(crate) struct Journal {
    jobs: SyncSender<Job>,
    rows: Mutex<Rows>,
    /// The number of the last committed row; readers wait on it.
    tail: watch::Sender<u64>,
}

impl Journal {
    /// Takes up what the database holds and starts the writer.
    pub(crate) fn open(db: Database) -> Result<Arc<Journal>, redb::Error> {
        let mut rows = Rows::default();
        let write = db.begin_write()?;
        for row in write.open_table(ROWS)?.iter()? {
            let (number, bytes) = row?;
            if rows.held.is_empty() {
                rows.first = number.value();
            }
            rows.held.push_back(Bytes::copy_from_slice(bytes.value()));
        }
        write.commit()?;
        rows.first = rows.first.max(1);
        let (first, next) = (rows.first, rows.first + rows.held.len() as u64);
        let (jobs, queue) = sync_channel(JOBS_MAX);
        let journal = Arc::new(Journal { jobs, rows: Mutex::new(rows), tail: watch::Sender::new(next - 1) });
        let (fresh, waiting) = (Vec::new(), Vec::new());
        let mut writer = Writer { db, journal: journal.clone(), first, wanted: first, next, fresh, waiting };
        std::thread::spawn(move || {
            if let Err(error) = writer.run(&queue) {
                eprintln!("floor: the journal cannot be written: {error}");
                std::process::exit(1); // what was taken and not written is unanswered: the sender asks again
            }
        });
        Ok(journal)
    }

    /// Commits `rows`; true once they are on disk, false at once when there is no room for them.
    pub(crate) async fn append(&self, rows: Vec<Bytes>) -> bool {
        let (done, committed) = oneshot::channel();
        if self.lock().held.len() > ROWS_MAX || self.jobs.try_send(Job::Append(rows, done)).is_err() {
            return false;
        }
        committed.await.is_ok()
    }

    /// Up to `limit` rows following number `after`, as soon as there are any; with the number of the first.
    pub(crate) async fn read(&self, after: u64, limit: usize) -> (u64, Vec<Bytes>) {
        let waited = self.tail.subscribe().wait_for(|tail| *tail > after).await.map(|_| ());
        waited.expect("the journal outlives the borrow of it that waits here");
        let rows = self.lock();
        let skip = (after + 1).saturating_sub(rows.first);
        let held = rows.held.iter().skip(skip as usize).take(limit).cloned();
        (rows.first + skip, held.collect())
    }

    /// Drops everything up to `upto`: from memory now, from disk with the next commit.
    pub(crate) fn forget(&self, upto: u64) {
        let mut rows = self.lock();
        let gone = (upto + 1).saturating_sub(rows.first).min(rows.held.len() as u64);
        rows.first += gone;
        rows.held.drain(..gone as usize);
        // When the writer is that far behind, a later call says the same and more.
        let _ = self.jobs.try_send(Job::Forget(rows.first));
    }

    /// The number of the last row forgotten.
    pub(crate) fn forgotten(&self) -> u64 {
        self.lock().first - 1
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().expect("nothing panics while it holds the rows")
    }
}

struct Writer {
    db: Database,
    journal: Arc<Journal>,
    /// Number of the first row on disk.
    first: u64,
    /// First number still wanted: what lies between `first` and it goes with the next commit.
    wanted: u64,
    /// Number of the next row to write.
    next: u64,
    /// The rows of the next commit, and those who wait for it.
    fresh: Vec<Bytes>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Writer {
    fn run(&mut self, queue: &Receiver<Job>) -> Result<(), redb::Error> {
        loop {
            let riding = self.wanted > self.first;
            let job = if riding { queue.recv_timeout(RIDE) } else { queue.recv().map_err(Into::into) };
            match job {
                Ok(job) => self.take(job),
                Err(RecvTimeoutError::Timeout) => self.commit()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            while self.fresh.len() < COMMIT_MAX
                && let Ok(job) = queue.try_recv()
            {
                self.take(job);
            }
            if !self.waiting.is_empty() || self.wanted - self.first >= FORGOTTEN_MAX {
                self.commit()?;
            }
        }
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Append(rows, done) => {
                self.fresh.extend(rows);
                self.waiting.push(done);
            }
            Job::Forget(wanted) => self.wanted = self.wanted.max(wanted),
        }
    }

    fn commit(&mut self) -> Result<(), redb::Error> {
        let mut write = self.db.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        {
            let mut table = write.open_table(ROWS)?;
            // One walk over the leaves: cheaper than a descent for each row removed.
            table.retain_in(self.first..self.wanted, |_, _| false)?;
            self.first = self.wanted;
            for row in &self.fresh {
                table.insert(self.next, &row[..])?;
                self.next += 1;
            }
        }
        write.commit()?;
        if !self.fresh.is_empty() {
            self.journal.lock().held.extend(self.fresh.drain(..));
            self.journal.tail.send_replace(self.next - 1);
        }
        for done in self.waiting.drain(..) {
            let _ = done.send(()); // whoever asked may have hung up; the rows are taken all the same
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Database, Journal};
    use redb::backends::InMemoryBackend;
    use std::sync::Arc;

    fn journal() -> Arc<Journal> {
        Journal::open(Database::builder().create_with_backend(InMemoryBackend::new()).unwrap()).unwrap()
    }

    fn rows(names: &[&'static str]) -> Vec<Bytes> {
        names.iter().map(|name| Bytes::from_static(name.as_bytes())).collect()
    }

    #[tokio::test]
    async fn rows_are_numbered_in_order() {
        let journal = journal();
        assert!(journal.append(rows(&["a", "b"])).await);
        assert!(journal.append(rows(&["c"])).await);
        assert_eq!(journal.read(0, 2).await, (1, rows(&["a", "b"])));
        assert_eq!(journal.read(2, 2).await, (3, rows(&["c"])));
    }

    #[tokio::test]
    async fn forgotten_row_frees_no_number() {
        let journal = journal();
        assert!(journal.append(rows(&["a", "b"])).await);
        journal.forget(1);
        assert_eq!(journal.read(0, 9).await, (2, rows(&["b"])));
        journal.forget(99);
        assert_eq!(journal.forgotten(), 2);
        assert!(journal.append(rows(&["c"])).await);
        assert_eq!(journal.read(journal.forgotten(), 9).await, (3, rows(&["c"])));
    }

    #[tokio::test]
    async fn reader_waits_for_next_row() {
        let journal = journal();
        let (read, taken) = tokio::join!(journal.read(0, 9), journal.append(rows(&["a"])));
        assert!(taken);
        assert_eq!(read, (1, rows(&["a"])));
    }

    #[tokio::test]
    async fn empty_append_is_answered() {
        assert!(journal().append(Vec::new()).await);
    }
}
