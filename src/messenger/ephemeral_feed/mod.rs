//! Ephemeral items of peers, shown to the messenger while it listens: no item is on disk, and none is replayed.
//!
//! ```text
//! core (EphemeralSink) --> EphemeralFeed --> ReaderBuffer of each reader: a stream, or push
//!                               |
//!                               +--> ShownItems: items that end at their expiry, such as typing
//! ```

mod ephemeral_event;
mod reader_buffer;
mod shown_items;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use actors::model::{InboundEphemeral, ServerName};
use actors::ports::{Clock, EphemeralSink, PeerConfig};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use self::ephemeral_event::EphemeralItemRead;
use self::reader_buffer::{BYTES_MAX, ReaderBuffer};
use self::shown_items::ShownItems;

pub(crate) use self::ephemeral_event::EphemeralEvent;
pub(crate) use self::ephemeral_event::read_lifetime;

/// The ephemeral items that peers send, for all readers of the messenger.
pub struct EphemeralFeed {
    roster: Arc<dyn PeerConfig>,
    clock: Arc<dyn Clock>,
    state: Mutex<FeedState>,
    /// Notified when an item expires earlier than all others.
    earlier: Notify,
    dropped: AtomicU64,
}

struct FeedState {
    shown: ShownItems,
    readers: Vec<Weak<ReaderShared>>,
}

struct ReaderShared {
    buffer: Mutex<ReaderBuffer>,
    arrived: Notify,
}

/// One reader of ephemeral items. It gets those that come while it exists.
pub(crate) struct EphemeralReader(Arc<ReaderShared>);

impl EphemeralFeed {
    /// Returns a feed in which items of these kinds end at their expiry.
    pub fn new(roster: Arc<dyn PeerConfig>, clock: Arc<dyn Clock>, ends: Vec<String>) -> Self {
        let state = FeedState { shown: ShownItems::new(ends), readers: Vec::new() };
        Self { roster, clock, state: Mutex::new(state), earlier: Notify::new(), dropped: AtomicU64::new(0) }
    }

    /// Returns a new reader.
    pub(crate) fn reader(&self) -> EphemeralReader {
        let shared = Arc::new(ReaderShared { buffer: Mutex::default(), arrived: Notify::new() });
        let mut state = self.state.lock();
        state.readers.retain(|reader| reader.strong_count() > 0);
        state.readers.push(Arc::downgrade(&shared));
        EphemeralReader(shared)
    }

    /// Returns the number of items that no reader got, because a newer one replaced them, a buffer was full, or they expired.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Ends items at their expiry, as long as it is polled.
    pub async fn run(self: Arc<Self>) {
        loop {
            let next = self.state.lock().shown.next_expiry();
            tokio::select! {
                () = self.earlier.notified() => {}
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => self.end_expired(),
            }
        }
    }

    fn end_expired(&self) {
        let mut state = self.state.lock();
        let ended = state.shown.expire(Instant::now());
        let time = self.clock.now();
        for (from, item) in ended {
            let weak_items = self.roster.limits_of(&from).weak_items;
            self.hand_out(&mut state.readers, &Arc::new(item.ended(&from, time)), weak_items);
        }
    }

    fn hand_out(&self, readers: &mut Vec<Weak<ReaderShared>>, event: &Arc<EphemeralEvent>, weak_items: u32) {
        readers.retain(|reader| {
            let Some(reader) = reader.upgrade() else { return false };
            let dropped = reader.buffer.lock().push(Arc::clone(event), weak_items);
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
            reader.arrived.notify_one();
            true
        });
    }
}

impl EphemeralSink for EphemeralFeed {
    fn show(&self, from: &ServerName, items: Vec<InboundEphemeral>) {
        let limits = self.roster.limits_of(from);
        let (now, time) = (Instant::now(), self.clock.now());
        let mut state = self.state.lock();
        let FeedState { shown, readers } = &mut *state;
        if readers.is_empty() {
            // Nobody has been shown a start, so nobody needs the end.
            self.dropped.fetch_add(items.len() as u64, Ordering::Relaxed);
            return;
        }
        let skipped = items.len().saturating_sub(limits.weak_items as usize);
        self.dropped.fetch_add(skipped as u64, Ordering::Relaxed);
        for item in items.into_iter().skip(skipped) {
            let item = EphemeralItemRead::new(item);
            let until = now + item.lifetime(limits.weak_ttl);
            let event = Arc::new(item.event(from, time, until));
            if event.text.len() > BYTES_MAX {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let replaced = shown.arrive(from, item, until, limits.weak_items);
            self.hand_out(readers, &event, limits.weak_items);
            for replaced in replaced {
                self.hand_out(readers, &Arc::new(replaced.ended(from, time)), limits.weak_items);
            }
        }
        if shown.next_expiry().is_some() {
            self.earlier.notify_one();
        }
    }
}

impl EphemeralReader {
    /// Waits until there are items.
    pub(crate) async fn arrived(&self) {
        loop {
            let arrived = self.0.arrived.notified();
            if !self.0.buffer.lock().is_empty() {
                return;
            }
            arrived.await;
        }
    }

    /// Takes the items that have not expired, oldest first.
    pub(crate) fn take(&self) -> Vec<Arc<EphemeralEvent>> {
        self.0.buffer.lock().take(Instant::now())
    }
}

#[cfg(test)]
mod tests;
