//! The number of streams that are open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the streams. Clones share the count.
#[derive(Debug, Clone, Default)]
pub struct OpenStreams(Arc<AtomicUsize>);

/// A stream that is counted until it is dropped.
pub(super) struct CountedStream(OpenStreams);

impl OpenStreams {
    /// Returns the number of streams that are open.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts a stream.
    pub(super) fn enter(&self) -> CountedStream {
        self.0.fetch_add(1, Ordering::Relaxed);
        CountedStream(self.clone())
    }
}

impl Drop for CountedStream {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
