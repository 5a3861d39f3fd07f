//! One timer slot with an epoch. A late firing of a cancelled timer is harmless, because a firing names its epoch and
//! only the current epoch counts.

use std::time::Duration;

use super::task::{IsolatedTask, spawn_abortable};

/// A slot that holds at most one pending timer.
#[derive(Debug, Default)]
pub struct Timer {
    epoch: u64,
    pending: Option<IsolatedTask>,
}

impl Timer {
    /// Replaces the pending timer: `fire` is called with the new epoch after `delay`.
    pub fn arm(&mut self, delay: Duration, fire: impl FnOnce(u64) + 'static) {
        self.epoch += 1;
        let epoch = self.epoch;
        self.pending = Some(spawn_abortable(tokio::time::sleep(delay), move |_| fire(epoch)));
    }

    /// Returns whether a timer is pending.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Cancels the pending timer; a firing that is already in the mailbox is ignored.
    pub fn disarm(&mut self) {
        self.epoch += 1;
        self.pending = None;
    }

    /// Returns whether this firing belongs to the pending timer, and clears the slot if so.
    pub fn fired(&mut self, epoch: u64) -> bool {
        let current = self.epoch == epoch && self.pending.is_some();
        if current {
            self.pending = None;
        }
        current
    }
}
