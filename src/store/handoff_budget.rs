//! The budget of bytes that the writer hands to actors in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A budget of bytes that may be handed to actors in memory after their commit, so that new rows are not read back from
/// disk. Bytes that go to several peers count once for each, so the bound holds whichever of them is dropped first.
#[derive(Debug)]
pub(crate) struct HandoffBudget {
    pub(crate) held: AtomicU64,
    pub(crate) max: u64,
}

/// Bytes that count against the budget until they are dropped.
pub(crate) struct WriterHandles {
    pub(crate) bytes: u64,
    pub(crate) recent: Arc<HandoffBudget>,
}

impl HandoffBudget {
    pub(crate) fn new(max: u64) -> Arc<Self> {
        Arc::new(Self { held: AtomicU64::new(0), max })
    }

    pub(crate) fn hold(self: &Arc<Self>, bytes: u64) -> Option<WriterHandles> {
        let within = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= self.max);
        self.held.fetch_update(Ordering::AcqRel, Ordering::Acquire, within).ok()?;
        Some(WriterHandles { bytes, recent: self.clone() })
    }
}

impl Drop for WriterHandles {
    fn drop(&mut self) {
        self.recent.held.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}
