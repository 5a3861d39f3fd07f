//! Ephemeral items of peers, shown to the messenger while it listens: no item is on disk, and none is replayed.
//!
//! ```text
//! core (EphemeralSink) --> EphemeralFeed --> ReaderBuffer of each reader: a stream, or push
//!                               |
//!                               +--> ShownItems: items that end at their expiry, such as typing
//! ```

mod dropped_items;
mod ephemeral_event;
mod reader_buffer;
mod shown_items;

use std::sync::{Arc, Weak};

use actors::model::{InboundEphemeral, ServerName};
use actors::ports::{Clock, EphemeralSink, PeerConfig};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use self::dropped_items::{DropReason, DroppedItems};
use self::ephemeral_event::EphemeralItemRead;
use self::reader_buffer::{EVENT_BYTES_MAX, PushedOut, ReaderBuffer};
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
    dropped: Arc<DroppedItems>,
}

struct FeedState {
    shown: ShownItems,
    readers: Vec<Weak<ReaderShared>>,
}

struct ReaderShared {
    buffer: Mutex<ReaderBuffer>,
    arrived: Notify,
    dropped: Arc<DroppedItems>,
}

/// One reader of ephemeral items. It gets those that come while it exists.
pub(crate) struct EphemeralReader(Arc<ReaderShared>);

impl EphemeralFeed {
    /// Returns a feed in which items of these kinds end at their expiry.
    pub fn new(roster: Arc<dyn PeerConfig>, clock: Arc<dyn Clock>, ends: Vec<String>) -> Self {
        let state = FeedState { shown: ShownItems::new(ends), readers: Vec::new() };
        Self { roster, clock, state: Mutex::new(state), earlier: Notify::new(), dropped: Arc::default() }
    }

    /// Returns a new reader.
    pub(crate) fn reader(&self) -> EphemeralReader {
        let dropped = Arc::clone(&self.dropped);
        let shared = Arc::new(ReaderShared { buffer: Mutex::default(), arrived: Notify::new(), dropped });
        let mut state = self.state.lock();
        state.readers.retain(|reader| reader.strong_count() > 0);
        state.readers.push(Arc::downgrade(&shared));
        EphemeralReader(shared)
    }

    /// Returns the number of items that were not shown, by reason.
    pub fn dropped(&self) -> Vec<(&'static str, u64)> {
        self.dropped.counts()
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
            hand_out(&mut state.readers, &Arc::new(item.ended(&from, time)), weak_items);
        }
    }
}

fn hand_out(readers: &mut Vec<Weak<ReaderShared>>, event: &Arc<EphemeralEvent>, weak_items: u32) {
    readers.retain(|reader| {
        let Some(reader) = reader.upgrade() else { return false };
        let PushedOut { replaced, oldest } = reader.buffer.lock().push(Arc::clone(event), weak_items);
        reader.dropped.count(DropReason::Replaced, replaced);
        reader.dropped.count(DropReason::Full, oldest);
        reader.arrived.notify_one();
        true
    });
}

impl EphemeralSink for EphemeralFeed {
    fn show(&self, from: &ServerName, items: Vec<InboundEphemeral>) {
        let limits = self.roster.limits_of(from);
        let (now, time) = (Instant::now(), self.clock.now());
        let mut state = self.state.lock();
        let FeedState { shown, readers } = &mut *state;
        readers.retain(|reader| reader.strong_count() > 0);
        if readers.is_empty() {
            // Nobody has been shown a start, so nobody needs the end.
            self.dropped.count(DropReason::NoReader, items.len());
            return;
        }
        let skipped = items.len().saturating_sub(limits.weak_items as usize);
        self.dropped.count(DropReason::TooMany, skipped);
        for item in items.into_iter().skip(skipped) {
            let item = EphemeralItemRead::new(item);
            let until = now + item.lifetime(limits.weak_ttl);
            let event = Arc::new(item.event(from, time, until));
            if event.text.len() > EVENT_BYTES_MAX {
                self.dropped.count(DropReason::TooLarge, 1);
                continue;
            }
            let replaced = shown.arrive(from, item, until, limits.weak_items);
            hand_out(readers, &event, limits.weak_items);
            for replaced in replaced {
                hand_out(readers, &Arc::new(replaced.ended(from, time)), limits.weak_items);
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

    /// Takes the oldest items that have not expired: at most so many bytes, or one item. The others wait on.
    pub(crate) fn take(&self, bytes_max: usize) -> Vec<Arc<EphemeralEvent>> {
        let mut buffer = self.0.buffer.lock();
        self.0.dropped.count(DropReason::Expired, buffer.expire(Instant::now()));
        buffer.take(bytes_max)
    }

    /// Counts items that were taken, and that the messenger did not get.
    pub(crate) fn not_taken(&self, items: usize) {
        self.0.dropped.count(DropReason::NotTaken, items);
    }
}

#[cfg(test)]
mod tests;
