//! Items that were shown to the messenger and end at their expiry, such as typing: a start without an end would be shown for ever.

use std::collections::HashMap;

use actors::model::ServerName;
use tokio::time::Instant;

use super::ephemeral_event::EphemeralItemRead;
use super::reader_buffer::BYTES_MAX;

/// The items that have not ended, by peer and key.
#[derive(Debug)]
pub(super) struct ShownItems {
    /// Kinds that end.
    ends: Vec<String>,
    by_peer: HashMap<ServerName, HashMap<Box<str>, ShownItem>>,
    /// A time at or before the earliest expiry.
    next: Option<Instant>,
}

#[derive(Debug)]
struct ShownItem {
    item: EphemeralItemRead,
    until: Instant,
}

impl ShownItems {
    /// Returns no items. Only items of these kinds end.
    pub(super) fn new(ends: Vec<String>) -> Self {
        Self { ends, by_peer: HashMap::new(), next: None }
    }

    /// Records an item that is shown until then. Returns the items that end for it: at most `most` items of a peer and
    /// [`BYTES_MAX`] of their bytes are recorded, and those that would end first make room.
    pub(super) fn arrive(
        &mut self,
        from: &ServerName,
        item: EphemeralItemRead,
        until: Instant,
        most: u32,
    ) -> Vec<EphemeralItemRead> {
        let ends = item.kind.as_deref().is_some_and(|kind| self.ends.iter().any(|end| end == kind));
        let Some(key) = item.key.clone().filter(|_| ends) else { return Vec::new() };
        if item.is_end {
            if let Some(items) = self.by_peer.get_mut(from) {
                items.remove(&key);
            }
            return Vec::new();
        }
        let items = self.by_peer.entry(from.clone()).or_default();
        let mut replaced = Vec::new();
        items.remove(&key);
        let mut bytes: usize = items.values().map(|shown| shown.item.size()).sum();
        while items.len() >= (most as usize).max(1) || bytes + item.size() > BYTES_MAX {
            let first = items.iter().min_by_key(|(_, shown)| shown.until).map(|(key, _)| key.clone());
            let Some(ended) = first.and_then(|first| items.remove(&first)) else { break };
            bytes -= ended.item.size();
            replaced.push(ended.item);
        }
        items.insert(key, ShownItem { item, until });
        self.next = Some(self.next.map_or(until, |next| next.min(until)));
        replaced
    }

    /// Returns a time at or before the earliest expiry; `None`: there are no items.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.next
    }

    /// Removes and returns the items that have expired.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<(ServerName, EphemeralItemRead)> {
        let mut ended = Vec::new();
        for (from, items) in &mut self.by_peer {
            let expired = items.extract_if(|_, shown| shown.until <= now);
            ended.extend(expired.map(|(_, shown)| (from.clone(), shown.item)));
        }
        self.by_peer.retain(|_, items| !items.is_empty());
        self.next = self.by_peer.values().flat_map(HashMap::values).map(|shown| shown.until).min();
        ended
    }
}
