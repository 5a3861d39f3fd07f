//! The PDUs that were delivered most recently, so that parents are normally found without a look-up.

use std::hash::Hash;
use std::num::NonZeroUsize;

use lru::LruCache;

use crate::model::PduRef;

/// Number of delivered PDUs that are remembered.
const REFERENCES_KEPT: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// Recently delivered PDUs, with their depths and whether they were delivered as history.
pub(crate) type RecentPdus = LruCache<PduRef, (u64, bool)>;

/// Returns an empty memory of delivered PDUs.
pub(crate) fn recent_pdus() -> RecentPdus {
    newest_entries(REFERENCES_KEPT)
}

/// Remembers this number of delivered PDUs more than usual.
pub(crate) fn keep_more(recent: &mut RecentPdus, more: usize) {
    recent.resize(REFERENCES_KEPT.saturating_add(more));
}

/// Returns an empty map of the entries written last, for reading by `peek`: a read makes no entry newer. It grows with its
/// entries, because many contexts have few.
pub(crate) fn newest_entries<K: Hash + Eq, V>(max: NonZeroUsize) -> LruCache<K, V> {
    let mut entries = LruCache::unbounded();
    entries.resize(max);
    entries
}
