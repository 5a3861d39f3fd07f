//! The ephemeral events that wait for one reader: the newest of each key, bounded per peer and in all.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::ephemeral_event::EphemeralEvent;

/// Maximum number of events that wait for a reader.
const EVENTS_MAX: usize = 1_000;

/// Maximum bytes of these events. A stream holds at most 256 KiB, and the other half of them are the two chunks that it has written.
pub(super) const BYTES_MAX: usize = 128 << 10;

/// Maximum bytes of one event. A larger one is never shown: it would be a chunk of a stream that is larger than all others.
pub(super) const EVENT_BYTES_MAX: usize = 63 << 10;

/// The events in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct ReaderBuffer {
    events: VecDeque<Arc<EphemeralEvent>>,
}

/// The number of events that a new one pushes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PushedOut {
    /// Events with its key.
    pub(super) replaced: usize,
    /// The oldest events, beyond a bound.
    pub(super) oldest: usize,
}

impl ReaderBuffer {
    /// Adds an event of at most [`EVENT_BYTES_MAX`], in place of an older one with the same key. Beyond `of_peer` events of its peer, or the
    /// bounds of all, the oldest are dropped.
    pub(super) fn push(&mut self, event: Arc<EphemeralEvent>, of_peer: u32) -> PushedOut {
        let before = self.events.len();
        if event.key.is_some() {
            self.events.retain(|other| other.key != event.key || other.from != event.from);
        }
        let kept = self.events.len();
        let is_of_peer = |other: &&Arc<EphemeralEvent>| other.from == event.from;
        if self.events.iter().filter(is_of_peer).count() >= (of_peer as usize).max(1) {
            let oldest = self.events.iter().position(|other| other.from == event.from);
            oldest.and_then(|oldest| self.events.remove(oldest));
        }
        let mut bytes: usize = self.events.iter().map(|event| event.text.len()).sum();
        while self.events.len() >= EVENTS_MAX || bytes + event.text.len() > BYTES_MAX {
            let Some(oldest) = self.events.pop_front() else { break };
            bytes -= oldest.text.len();
        }
        let oldest = kept - self.events.len();
        self.events.push_back(event);
        PushedOut { replaced: before - kept, oldest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Drops the events that have expired; returns their number.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        let before = self.events.len();
        self.events.retain(|event| event.until.is_none_or(|until| until > now));
        before - self.events.len()
    }

    /// Takes the oldest events, as long as their texts have at most this many bytes, but at least one.
    pub(super) fn take(&mut self, bytes_max: usize) -> Vec<Arc<EphemeralEvent>> {
        let mut bytes = 0;
        let fits = |event: &&Arc<EphemeralEvent>| {
            bytes += event.text.len();
            bytes <= bytes_max
        };
        let count = self.events.iter().take_while(fits).count().max(1).min(self.events.len());
        self.events.drain(..count).collect()
    }
}
