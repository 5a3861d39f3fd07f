//! A storage backend that gathers the writes between two syncs and writes neighbouring pages with one call.
//!
//! redb writes each changed page by a call of its own, in an order that has nothing to do with the file. A call costs several times
//! what copying a page costs, and the pages that a checkpoint adds lie side by side. Nothing is weakened by waiting: what was written
//! since the last sync may be lost in a crash, in any part and order, and redb relies on nothing else.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use redb::{BackendError, StorageBackend};

/// Bytes that are gathered before they are written without a sync.
const GATHERED_MAX: usize = 4 << 20;

/// Maximum bytes of one call.
const RUN_MAX: usize = 256 << 10;

/// Pages that were written and are not in the inner backend yet, by offset. They do not overlap.
type GatheredPages = BTreeMap<u64, Box<[u8]>>;

/// The inner backend with the writes that are gathered.
#[derive(Debug)]
pub(crate) struct GatheringBackend<B> {
    inner: B,
    /// Held by whatever changes the inner backend, so that writes reach it in their order.
    turn: Mutex<GatheredSize>,
    pages: RwLock<GatheredPages>,
    /// True while there may be pages, so that a read normally takes no lock.
    has_pages: AtomicBool,
}

/// Number of bytes that are gathered.
#[derive(Debug, Default)]
struct GatheredSize(usize);

impl<B: StorageBackend> GatheringBackend<B> {
    pub(crate) fn new(inner: B) -> Self {
        Self { inner, turn: Mutex::default(), pages: RwLock::default(), has_pages: AtomicBool::new(false) }
    }

    /// Writes what is gathered. Readers find it here until it is in the inner backend.
    fn write_gathered(&self, size: &mut GatheredSize) -> io::Result<()> {
        if size.0 == 0 {
            return Ok(());
        }
        {
            let pages = self.pages.read();
            let (mut run, mut begin) = (Vec::with_capacity(size.0.min(RUN_MAX)), 0);
            for (offset, page) in &*pages {
                if begin + run.len() as u64 != *offset || run.len() + page.len() > RUN_MAX {
                    self.write_run(begin, &run)?;
                    run.clear();
                    begin = *offset;
                }
                run.extend_from_slice(page);
            }
            self.write_run(begin, &run)?;
        }
        self.pages.write().clear();
        self.has_pages.store(false, Ordering::Release);
        size.0 = 0;
        Ok(())
    }

    fn write_run(&self, begin: u64, run: &[u8]) -> io::Result<()> {
        if run.is_empty() { Ok(()) } else { self.inner.write(begin, run) }
    }
}

/// Returns these bytes if a gathered page holds all of them, or an error if gathered pages hold only a part of them.
fn find_gathered(pages: &GatheredPages, offset: u64, length: usize) -> Result<Option<&[u8]>, PartlyGathered> {
    let end = offset + length as u64;
    let Some((begin, page)) = pages.range(..end).next_back() else { return Ok(None) };
    if begin + page.len() as u64 <= offset {
        return Ok(None);
    }
    let from = offset.checked_sub(*begin).ok_or(PartlyGathered)? as usize;
    page.get(from..from + length).map(Some).ok_or(PartlyGathered)
}

/// Error: some of the bytes are gathered and some are not, or they are in several pages.
struct PartlyGathered;

impl<B: StorageBackend> StorageBackend for GatheringBackend<B> {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.has_pages.load(Ordering::Acquire) {
            let found = find_gathered(&self.pages.read(), offset, out.len())
                .map(|bytes| bytes.map(|bytes| out.copy_from_slice(bytes)).is_some());
            match found {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(PartlyGathered) => self.write_gathered(&mut self.turn.lock())?,
            }
        }
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut turn = self.turn.lock();
        self.write_gathered(&mut turn)?;
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut turn = self.turn.lock();
        self.write_gathered(&mut turn)?;
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut turn = self.turn.lock();
        let is_new = find_gathered(&self.pages.read(), offset, data.len()).is_ok_and(|bytes| bytes.is_none());
        let replaces = !is_new && self.pages.read().get(&offset).is_some_and(|page| page.len() == data.len());
        if !is_new && !replaces {
            // A page that was given back is part of a page of another size now.
            self.write_gathered(&mut turn)?;
        }
        if !replaces {
            turn.0 += data.len();
        }
        self.has_pages.store(true, Ordering::Release);
        self.pages.write().insert(offset, data.into());
        if turn.0 > GATHERED_MAX { self.write_gathered(&mut turn) } else { Ok(()) }
    }

    fn close(&self) -> io::Result<()> {
        let mut turn = self.turn.lock();
        let written = self.write_gathered(&mut turn);
        // The locks are released whatever happened.
        let closed = self.inner.close();
        written.and(closed)
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;

    use super::*;

    /// A backend in memory that notes the writes that it gets.
    #[derive(Debug, Clone, Default)]
    struct NotedBackend(Arc<NotedState>);

    #[derive(Debug, Default)]
    struct NotedState {
        bytes: InMemoryBackend,
        writes: Mutex<Vec<(u64, usize)>>,
    }

    impl StorageBackend for NotedBackend {
        fn len(&self) -> io::Result<u64> {
            self.0.bytes.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.bytes.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.0.bytes.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.0.writes.lock().push((offset, data.len()));
            self.0.bytes.write(offset, data)
        }
    }

    fn gathering(length: u64) -> (GatheringBackend<NotedBackend>, NotedBackend) {
        let inner = NotedBackend::default();
        inner.set_len(length).expect("in memory");
        (GatheringBackend::new(inner.clone()), inner)
    }

    #[test]
    fn neighbouring_writes_become_one() {
        let (backend, inner) = gathering(100);
        for (offset, page) in [(20, "ccc"), (10, "aaa"), (13, "bb"), (23, "d"), (40, "e"), (13, "BB")] {
            backend.write(offset, page.as_bytes()).expect("in memory");
        }
        assert!(inner.0.writes.lock().is_empty(), "nothing is written before the sync");
        let mut found = [0; 2];
        backend.read(13, &mut found).expect("gathered");
        assert_eq!(&found, b"BB");
        backend.sync_data().expect("in memory");
        assert_eq!(*inner.0.writes.lock(), [(10, 5), (20, 4), (40, 1)]);
        backend.sync_data().expect("in memory");
        assert_eq!(inner.0.writes.lock().len(), 3, "nothing is written twice");
    }

    #[test]
    fn gathered_bytes_are_bounded() {
        let (backend, inner) = gathering(8 << 20);
        let page = vec![7; 64 << 10];
        for number in 0..=64 {
            backend.write(number * (page.len() as u64), &page).expect("in memory");
        }
        let writes = inner.0.writes.lock();
        assert_eq!(writes.iter().map(|(_, length)| length).sum::<usize>(), 65 * page.len());
        assert!(writes.iter().all(|(_, length)| *length <= RUN_MAX), "{writes:?}");
    }

    #[derive(Debug, Clone)]
    enum Operation {
        Write(u64, Vec<u8>),
        Read(u64, usize),
        Sync,
    }

    fn operations() -> impl Strategy<Value = Vec<Operation>> {
        let one = prop_oneof![
            6 => (0_u64..60, prop::collection::vec(any::<u8>(), 1..5)).prop_map(|(at, text)| Operation::Write(at, text)),
            3 => (0_u64..60, 1_usize..5).prop_map(|(at, length)| Operation::Read(at, length)),
            1 => Just(Operation::Sync),
        ];
        prop::collection::vec(one, 1..60)
    }

    proptest! {
        #[test]
        fn gathered_reads_equal_direct_reads(operations in operations()) {
            let (backend, inner) = gathering(64);
            let mut expected = vec![0_u8; 64];
            for operation in operations {
                match operation {
                    Operation::Write(at, text) => {
                        expected[at as usize..at as usize + text.len()].copy_from_slice(&text);
                        backend.write(at, &text).expect("in memory");
                    }
                    Operation::Read(at, length) => {
                        let mut found = vec![0; length];
                        backend.read(at, &mut found).expect("in range");
                        prop_assert_eq!(&found[..], &expected[at as usize..at as usize + length]);
                    }
                    Operation::Sync => {
                        backend.sync_data().expect("in memory");
                        let mut found = vec![0; 64];
                        inner.read(0, &mut found).expect("in range");
                        prop_assert_eq!(&found, &expected);
                    }
                }
            }
        }
    }
}
