//! Ephemeral items for one peer: bounded, ageing, newest wins per key, dropped first. Never on disk.

use std::collections::VecDeque;

use crate::model::{Edu, Millis};

/// One ephemeral item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleeting {
    /// The newest item of a key is the only one; without a key every item is its own.
    pub key: Option<String>,
    /// It is not worth sending after this.
    pub until: Millis,
    /// What it is.
    pub edu: Edu,
}

/// The ring.
#[derive(Debug, Clone, Default)]
pub struct Ring {
    items: VecDeque<Fleeting>,
}

/// How much a ring holds; beyond it the oldest goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingLimits {
    /// Items.
    pub items: u32,
    /// Bytes of them: what one request carries, as more could not go along at once.
    pub bytes: u64,
}

impl Ring {
    /// One more, the newest.
    pub fn push(&mut self, fleeting: Fleeting, limits: RingLimits) {
        self.forget(fleeting.key.as_deref());
        self.items.push_back(fleeting);
        self.trim(limits);
    }

    /// A newer item of this key takes the place of what is here, and is not kept itself.
    pub fn forget(&mut self, key: Option<&str>) {
        if key.is_some() {
            self.items.retain(|other| other.key.as_deref() != key);
        }
    }

    /// Items come back that were taken and did not arrive: they are older than all that is here, and give way to it.
    pub fn put_back(&mut self, taken: Vec<Fleeting>, limits: RingLimits) {
        for fleeting in taken.into_iter().rev() {
            let is_replaced = fleeting.key.is_some() && self.items.iter().any(|newer| newer.key == fleeting.key);
            if !is_replaced {
                self.items.push_front(fleeting);
            }
        }
        self.trim(limits);
    }

    fn trim(&mut self, limits: RingLimits) {
        let size = |fleeting: &Fleeting| fleeting.edu.content.len() as u64;
        let mut bytes: u64 = self.items.iter().map(size).sum();
        while self.items.len() > limits.items as usize || bytes > limits.bytes {
            let Some(oldest) = self.items.pop_front() else { return };
            bytes -= size(&oldest);
        }
    }

    /// Keep only those that are still worth sending after `date`.
    pub fn keep_beyond(&mut self, date: Millis) {
        self.items.retain(|fleeting| fleeting.until > date);
        if self.items.is_empty() {
            self.clear();
        }
    }

    /// Take up to `max` that are still worth sending, and not more once they exceed `bytes`.
    pub fn take(&mut self, now: Millis, max: u32, bytes: u64) -> Vec<Fleeting> {
        self.items.retain(|fleeting| fleeting.until > now);
        let mut size = 0;
        let fits = |fleeting: &&Fleeting| {
            size += fleeting.edu.content.len() as u64;
            size <= bytes
        };
        let count = self.items.iter().take(max as usize).take_while(fits).count();
        self.items.drain(..count).collect()
    }

    /// When the last of them is not worth sending any more.
    pub fn until(&self) -> Option<Millis> {
        self.items.iter().map(|fleeting| fleeting.until).max()
    }

    /// Forget all.
    pub fn clear(&mut self) {
        self.items = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn typing(key: Option<&str>, n: u64) -> Fleeting {
        let edu = Edu { kind: "typing".into(), content: Bytes::from(n.to_string()) };
        Fleeting { key: key.map(str::to_owned), until: Millis(n * 10), edu }
    }

    fn texts(taken: Vec<Fleeting>) -> Vec<String> {
        let text = |fleeting: Fleeting| String::from_utf8(fleeting.edu.content.to_vec()).expect("digits");
        taken.into_iter().map(text).collect()
    }

    fn room_for(items: u32) -> RingLimits {
        RingLimits { items, bytes: 99 }
    }

    #[test]
    fn the_newest_of_a_key_wins_and_the_oldest_of_all_goes_first() {
        let mut ring = Ring::default();
        for fleeting in
            [typing(Some("a"), 1), typing(Some("b"), 2), typing(Some("a"), 3), typing(None, 4), typing(None, 5)]
        {
            ring.push(fleeting, room_for(3));
        }
        assert_eq!(texts(ring.take(Millis(0), 10, 99)), ["3", "4", "5"]);
    }

    #[test]
    fn what_is_stale_is_not_sent() {
        let mut ring = Ring::default();
        assert_eq!(ring.until(), None);
        (1..=4).for_each(|n| ring.push(typing(None, n), room_for(10)));
        assert_eq!(ring.until(), Some(Millis(40)));
        assert_eq!(texts(ring.take(Millis(20), 1, 99)), ["3"]);
        assert_eq!(texts(ring.take(Millis(20), 9, 99)), ["4"]);
        assert_eq!(texts(ring.take(Millis(20), 9, 99)), Vec::<String>::new());
    }

    #[test]
    fn what_is_ephemeral_never_makes_a_request_too_large() {
        let mut ring = Ring::default();
        (1..=4).for_each(|n| ring.push(typing(None, n), room_for(10)));
        assert_eq!(texts(ring.take(Millis(0), 9, 3)), ["1", "2", "3"]);
        assert_eq!(texts(ring.take(Millis(0), 9, 3)), ["4"]);
    }

    #[test]
    fn bytes_bound_the_ring_too() {
        let mut ring = Ring::default();
        let limits = RingLimits { items: 10, bytes: 3 };
        (1..=5).for_each(|n| ring.push(typing(None, n), limits));
        assert_eq!(texts(ring.take(Millis(0), 10, 99)), ["3", "4", "5"]);
        ring.push(typing(None, 1_000), limits);
        assert_eq!(ring.until(), None, "one that no request carries is not kept");
    }

    #[test]
    fn returned_items_give_way_to_newer_ones() {
        let mut ring = Ring::default();
        for fleeting in [typing(Some("a"), 1), typing(None, 2), typing(Some("b"), 3)] {
            ring.push(fleeting, room_for(10));
        }
        let taken = ring.take(Millis(0), 10, 99);
        ring.push(typing(Some("a"), 4), room_for(10));
        ring.put_back(taken.clone(), room_for(10));
        assert_eq!(texts(ring.take(Millis(0), 10, 99)), ["2", "3", "4"]);
        ring.push(typing(None, 4), room_for(10));
        ring.put_back(taken, room_for(2));
        assert_eq!(texts(ring.take(Millis(0), 10, 99)), ["3", "4"], "the oldest goes");
    }

    #[test]
    fn what_ends_before_the_date_is_dropped() {
        let mut ring = Ring::default();
        (1..=4).for_each(|n| ring.push(typing(None, n), room_for(10)));
        ring.keep_beyond(Millis(20));
        assert_eq!(texts(ring.take(Millis(0), 10, 99)), ["3", "4"]);
    }
}
