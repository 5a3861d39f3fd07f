//! Ephemeral items for one peer: bounded and ageing; the newest per key is kept, and they are never on disk.

use std::collections::VecDeque;

use crate::model::{Edu, Millis};

/// An ephemeral item for one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EphemeralItem {
    /// Key of the item: only the newest item of a key is kept. `None`: the item replaces no other.
    pub key: Option<String>,
    /// Expiry: the item is not sent after this time.
    pub until: Millis,
    /// Content of the item.
    pub edu: Edu,
    /// True if the time that is left is sent as `ttl` in the content, an object without one.
    pub states_ttl: bool,
}

impl EphemeralItem {
    /// Returns the item as it is sent at this time.
    fn sent(&self, now: Millis) -> Edu {
        let mut edu = self.edu.clone();
        if let (true, Some((b'}', rest))) = (self.states_ttl, edu.content.split_last()) {
            let comma = if rest.trim_ascii_end() == b"{" { "" } else { "," };
            let ttl = format!("{comma}\"ttl\":\"{}ms\"}}", now.until(self.until).as_millis());
            edu.content = [rest, ttl.as_bytes()].concat().into();
        }
        edu
    }
}

/// The bounded buffer of ephemeral items.
#[derive(Debug, Clone, Default)]
pub struct EphemeralBuffer {
    /// Boxed while there are any, because most peers have none, and a waiting peer takes little memory.
    kept: Option<Box<KeptItems>>,
}

/// The items of a buffer.
#[derive(Debug, Clone, Default)]
struct KeptItems {
    items: VecDeque<EphemeralItem>,
    /// Items of the request in flight that no newer item replaces: they are sent with the next one if the peer accepts
    /// nothing.
    in_flight: Vec<EphemeralItem>,
}

/// Limits of the buffer; beyond them the oldest item is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingLimits {
    /// Maximum number of items.
    pub items: u32,
    /// Maximum bytes: the size of one request, because more could not be sent at once.
    pub bytes: u64,
}

impl EphemeralBuffer {
    /// Changes what is kept, if anything is, and frees its memory if nothing is left.
    fn change<T: Default>(&mut self, change: impl FnOnce(&mut KeptItems) -> T) -> T {
        let changed = self.kept.as_deref_mut().map(change).unwrap_or_default();
        self.kept.take_if(|kept| kept.items.is_empty() && kept.in_flight.is_empty());
        changed
    }

    /// Adds the newest item.
    pub fn push(&mut self, fleeting: EphemeralItem, limits: RingLimits) {
        self.kept.get_or_insert_default();
        self.change(|kept| {
            kept.forget(fleeting.key.as_deref());
            kept.items.push_back(fleeting);
            kept.trim(limits);
        });
    }

    /// Removes the item of a key that is replaced by a newer item which is not buffered itself. If the older item is in
    /// flight and the peer does not accept it, it is not sent again, even if the newer one has been dropped by then.
    pub fn forget(&mut self, key: Option<&str>) {
        self.change(|kept| kept.forget(key));
    }

    /// Returns the items of the request in flight to the buffer, because the peer accepted nothing. They are older than all
    /// others, so they are dropped first. No newer item of their keys arrived meanwhile.
    pub fn put_back(&mut self, limits: RingLimits) {
        self.change(|kept| {
            for fleeting in std::mem::take(&mut kept.in_flight).into_iter().rev() {
                kept.items.push_front(fleeting);
            }
            kept.trim(limits);
        });
    }

    /// Drops the items of the request in flight, whether the peer accepted them or the outcome is unknown.
    pub fn let_go(&mut self) {
        self.change(|kept| kept.in_flight = vec![]);
    }

    /// Keeps only items that expire at a time which `is_kept` finds late enough, and none in flight.
    pub fn keep(&mut self, is_kept: impl Fn(Millis) -> bool) {
        self.change(|kept| {
            kept.in_flight = vec![];
            kept.items.retain(|fleeting| is_kept(fleeting.until));
        });
    }

    /// Puts up to `max` items that have not expired in flight, and no more than fit into `bytes`; returns their content.
    pub fn take(&mut self, now: Millis, max: u32, bytes: u64) -> Vec<Edu> {
        self.change(|kept| kept.take(now, max, bytes))
    }

    /// Returns the latest expiry of all items.
    pub fn latest_expiry(&self) -> Option<Millis> {
        self.kept.as_ref()?.items.iter().map(|fleeting| fleeting.until).max()
    }

    /// Drops all items of the buffer.
    pub fn clear(&mut self) {
        self.change(|kept| kept.items = VecDeque::new());
    }
}

impl KeptItems {
    fn forget(&mut self, key: Option<&str>) {
        if key.is_some() {
            self.items.retain(|other| other.key.as_deref() != key);
            self.in_flight.retain(|other| other.key.as_deref() != key);
        }
    }

    fn trim(&mut self, limits: RingLimits) {
        let size = |fleeting: &EphemeralItem| fleeting.edu.content.len() as u64;
        let mut bytes: u64 = self.items.iter().map(size).sum();
        while self.items.len() > limits.items as usize || bytes > limits.bytes {
            let Some(oldest) = self.items.pop_front() else { return };
            bytes -= size(&oldest);
        }
    }

    fn take(&mut self, now: Millis, max: u32, bytes: u64) -> Vec<Edu> {
        self.items.retain(|fleeting| fleeting.until > now);
        let mut size = 0;
        let fits = |fleeting: &&EphemeralItem| {
            size += fleeting.edu.content.len() as u64;
            size <= bytes
        };
        let count = self.items.iter().take(max as usize).take_while(fits).count();
        self.in_flight = self.items.drain(..count).collect();
        self.in_flight.iter().map(|fleeting| fleeting.sent(now)).collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn typing(key: Option<&str>, n: u64) -> EphemeralItem {
        let edu = Edu { kind: "typing".into(), content: Bytes::from(n.to_string()) };
        EphemeralItem { key: key.map(str::to_owned), until: Millis(n * 10), edu, states_ttl: false }
    }

    fn texts(taken: Vec<Edu>) -> Vec<String> {
        let text = |edu: Edu| String::from_utf8(edu.content.to_vec()).expect("digits");
        taken.into_iter().map(text).collect()
    }

    fn room_for(items: u32) -> RingLimits {
        RingLimits { items, bytes: 99 }
    }

    #[test]
    fn ephemeral_buffer_keeps_newest_per_key() {
        let mut ring = EphemeralBuffer::default();
        for fleeting in
            [typing(Some("a"), 1), typing(Some("b"), 2), typing(Some("a"), 3), typing(None, 4), typing(None, 5)]
        {
            ring.push(fleeting, room_for(3));
        }
        assert_eq!(texts(ring.take(Millis(0), 10, 99)), ["3", "4", "5"]);
    }

    #[test]
    fn time_left_is_sent_as_ttl() {
        for (content, expected) in [
            (r#"{"update":"typing"}"#, r#"{"update":"typing","ttl":"15ms"}"#),
            ("{ }", r#"{ "ttl":"15ms"}"#),
            (r#"{"a":{}}"#, r#"{"a":{},"ttl":"15ms"}"#),
        ] {
            let edu = Edu { kind: "typing".into(), content: Bytes::from_static(content.as_bytes()) };
            let mut ring = EphemeralBuffer::default();
            ring.push(EphemeralItem { key: None, until: Millis(20), edu, states_ttl: true }, room_for(1));
            assert_eq!(texts(ring.take(Millis(5), 1, 99)), [expected]);
        }
    }

    #[test]
    fn expired_ephemeral_is_not_sent() {
        let mut ring = EphemeralBuffer::default();
        assert_eq!(ring.latest_expiry(), None);
        (1..=4).for_each(|n| ring.push(typing(None, n), room_for(10)));
        assert_eq!(ring.latest_expiry(), Some(Millis(40)));
        assert_eq!(texts(ring.take(Millis(20), 1, 99)), ["3"]);
        assert_eq!(texts(ring.take(Millis(20), 9, 99)), ["4"]);
        assert_eq!(texts(ring.take(Millis(20), 9, 99)), Vec::<String>::new());
    }

    #[test]
    fn ephemeral_fits_remaining_request_bytes() {
        let mut ring = EphemeralBuffer::default();
        (1..=4).for_each(|n| ring.push(typing(None, n), room_for(10)));
        assert_eq!(texts(ring.take(Millis(0), 9, 3)), ["1", "2", "3"]);
        assert_eq!(texts(ring.take(Millis(0), 9, 3)), ["4"]);
    }

    #[test]
    fn bytes_bound_the_ring_too() {
        let mut ring = EphemeralBuffer::default();
        let limits = RingLimits { items: 10, bytes: 3 };
        (1..=5).for_each(|n| ring.push(typing(None, n), limits));
        assert_eq!(texts(ring.take(Millis(0), 10, 99)), ["3", "4", "5"]);
        ring.push(typing(None, 1_000), limits);
        assert_eq!(ring.latest_expiry(), None, "one that no request carries is not kept");
    }

    #[test]
    fn returned_items_yield_to_newer() {
        let mut ring = EphemeralBuffer::default();
        for fleeting in [typing(Some("a"), 1), typing(None, 2), typing(Some("b"), 3)] {
            ring.push(fleeting, room_for(10));
        }
        ring.take(Millis(0), 10, 99);
        ring.push(typing(Some("c"), 4), room_for(10));
        ring.put_back(room_for(10));
        assert_eq!(texts(ring.take(Millis(0), 3, 99)), ["1", "2", "3"]);
        ring.put_back(room_for(2));
        assert_eq!(texts(ring.take(Millis(0), 10, 99)), ["3", "4"], "the oldest goes");
        ring.let_go();
        ring.put_back(room_for(2));
        assert_eq!(texts(ring.take(Millis(0), 10, 99)), [""; 0], "what was let go does not return");
    }

    #[test]
    fn newer_item_replaces_one_in_flight() {
        let mut ring = EphemeralBuffer::default();
        ring.push(typing(Some("a"), 1), room_for(10));
        ring.push(typing(Some("b"), 2), room_for(10));
        ring.take(Millis(0), 10, 99);
        ring.push(typing(Some("a"), 3), room_for(10));
        ring.forget(Some("b"));
        ring.put_back(room_for(10));
        assert_eq!(texts(ring.take(Millis(0), 10, 99)), ["3"]);
    }

    #[test]
    fn what_ends_before_date_is_dropped() {
        let mut ring = EphemeralBuffer::default();
        (1..=4).for_each(|n| ring.push(typing(None, n), room_for(10)));
        ring.keep(|until| until > Millis(20));
        assert_eq!(texts(ring.take(Millis(0), 10, 99)), ["3", "4"]);
    }
}
