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

impl Ring {
    /// One more; over `max` the oldest goes.
    pub fn push(&mut self, fleeting: Fleeting, max: u32) {
        if fleeting.key.is_some() {
            self.items.retain(|other| other.key != fleeting.key);
        }
        self.items.push_back(fleeting);
        while self.items.len() > max as usize {
            self.items.pop_front();
        }
    }

    /// Take up to `max` that are still worth sending, and not more once they exceed `bytes`.
    pub fn take(&mut self, now: Millis, max: u32, bytes: u64) -> Vec<Edu> {
        self.items.retain(|fleeting| fleeting.until > now);
        let mut size = 0;
        let fits = |fleeting: &&Fleeting| {
            size += fleeting.edu.content.len() as u64;
            size <= bytes
        };
        let count = self.items.iter().take(max as usize).take_while(fits).count();
        self.items.drain(..count).map(|fleeting| fleeting.edu).collect()
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

    fn texts(edus: Vec<Edu>) -> Vec<String> {
        edus.into_iter().map(|edu| String::from_utf8(edu.content.to_vec()).expect("digits")).collect()
    }

    #[test]
    fn the_newest_of_a_key_wins_and_the_oldest_of_all_goes_first() {
        let mut ring = Ring::default();
        for fleeting in
            [typing(Some("a"), 1), typing(Some("b"), 2), typing(Some("a"), 3), typing(None, 4), typing(None, 5)]
        {
            ring.push(fleeting, 3);
        }
        assert_eq!(texts(ring.take(Millis(0), 10, 99)), ["3", "4", "5"]);
    }

    #[test]
    fn what_is_stale_is_not_sent() {
        let mut ring = Ring::default();
        assert_eq!(ring.until(), None);
        (1..=4).for_each(|n| ring.push(typing(None, n), 10));
        assert_eq!(ring.until(), Some(Millis(40)));
        assert_eq!(texts(ring.take(Millis(20), 1, 99)), ["3"]);
        assert_eq!(texts(ring.take(Millis(20), 9, 99)), ["4"]);
        assert_eq!(texts(ring.take(Millis(20), 9, 99)), Vec::<String>::new());
    }

    #[test]
    fn what_is_ephemeral_never_makes_a_request_too_large() {
        let mut ring = Ring::default();
        (1..=4).for_each(|n| ring.push(typing(None, n), 10));
        assert_eq!(texts(ring.take(Millis(0), 9, 3)), ["1", "2", "3"]);
        assert_eq!(texts(ring.take(Millis(0), 9, 3)), ["4"]);
    }
}
