//! Moments of a run: of two, the larger is the later, and how far they lie apart in virtual time can be told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

/// A moment: the virtual time in milliseconds, and below that a count of all moments taken.
pub(crate) type Stamp = u64;

const COUNT_BITS: u32 = 24;

/// Hands out stamps. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Stamps(Arc<(AtomicU64, Instant)>);

impl Stamps {
    /// Time begins now.
    pub(crate) fn new() -> Self {
        Self(Arc::new((AtomicU64::new(0), Instant::now())))
    }

    /// A moment later than every one before.
    pub(crate) fn next(&self) -> Stamp {
        let count = self.0.0.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(count < 1 << COUNT_BITS, "a run takes fewer stamps");
        moment(self.now()) + count
    }

    /// Milliseconds of virtual time since the beginning.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.0.1.elapsed().as_millis()).expect("64 bits")
    }
}

/// The virtual time of a stamp in milliseconds.
pub(crate) const fn millis_of(stamp: Stamp) -> u64 {
    stamp >> COUNT_BITS
}

/// The first stamp that can be taken at this time.
pub(crate) const fn moment(ms: u64) -> Stamp {
    ms << COUNT_BITS
}

/// The moment so many milliseconds before this one; the beginning, where that lies before it.
pub(crate) const fn before(stamp: Stamp, ms: u64) -> Stamp {
    stamp.saturating_sub(moment(ms))
}
