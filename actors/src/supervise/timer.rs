//! One timer slot with an epoch. actix's own `run_later` runs a closure now and then after it was cancelled; this does not
//! matter here: a firing names its epoch, and only the current one counts.

use std::time::Duration;

use super::task::{Isolated, isolated};

/// A slot that holds at most one pending timer.
#[derive(Debug, Default)]
pub struct Timer {
    epoch: u64,
    pending: Option<Isolated>,
}

impl Timer {
    /// Replace whatever is pending: `fire` is called with the new epoch after `delay`.
    pub fn arm(&mut self, delay: Duration, fire: impl FnOnce(u64) + 'static) {
        self.epoch += 1;
        let epoch = self.epoch;
        self.pending = Some(isolated(tokio::time::sleep(delay), move |_| fire(epoch)));
    }

    /// Nothing is pending any more, and a firing already on its way no longer counts.
    pub fn disarm(&mut self) {
        self.epoch += 1;
        self.pending = None;
    }

    /// Whether this firing is the one waited for; takes it.
    pub fn fired(&mut self, epoch: u64) -> bool {
        let current = self.epoch == epoch && self.pending.is_some();
        if current {
            self.pending = None;
        }
        current
    }
}
