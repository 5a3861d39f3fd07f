//! The ephemeral events that wait for one reader: the newest of each key, bounded per peer and in all.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::ephemeral_event::EphemeralEvent;

/// Maximum number of events that wait for a reader.
const EVENTS_MAX: usize = 1_000;

/// The events in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct ReaderBuffer(VecDeque<Arc<EphemeralEvent>>);

impl ReaderBuffer {
    /// Adds an event, in place of an older one with the same key. Beyond `of_peer` events of its peer, or [`EVENTS_MAX`] in all, the
    /// oldest is dropped. Returns the number of events that are dropped.
    pub(super) fn push(&mut self, event: Arc<EphemeralEvent>, of_peer: u32) -> u64 {
        let before = self.0.len();
        if event.key.is_some() {
            self.0.retain(|other| other.key != event.key || other.from != event.from);
        }
        let is_of_peer = |other: &&Arc<EphemeralEvent>| other.from == event.from;
        if self.0.iter().filter(is_of_peer).count() >= (of_peer as usize).max(1) {
            let oldest = self.0.iter().position(|other| other.from == event.from);
            oldest.and_then(|oldest| self.0.remove(oldest));
        } else if self.0.len() >= EVENTS_MAX {
            self.0.pop_front();
        }
        let dropped = before - self.0.len();
        self.0.push_back(event);
        dropped as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the events that have not expired.
    pub(super) fn take(&mut self, now: Instant) -> Vec<Arc<EphemeralEvent>> {
        let mut taken: Vec<_> = std::mem::take(&mut self.0).into();
        taken.retain(|event| event.until.is_none_or(|until| until > now));
        taken
    }
}
