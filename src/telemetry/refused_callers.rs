//! The number of requests that were refused because of their caller, for `/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Requests refused since the start: those whose caller did not prove a name (401), and those whose caller may not do what it asks
/// (403). Clones share the numbers.
#[derive(Debug, Clone, Default)]
pub struct RefusedCallers(Arc<[AtomicU64; 2]>);

const STATUSES: [(u16, &str); 2] = [(401, "401"), (403, "403")];

impl RefusedCallers {
    /// Counts an answer, if it has one of these statuses.
    pub fn count(&self, status: u16) {
        if let Some(place) = STATUSES.iter().position(|(one, _)| *one == status) {
            self.0[place].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the numbers by status.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        STATUSES.iter().zip(self.0.iter()).map(|((_, status), count)| (*status, count.load(Ordering::Relaxed)))
    }
}
