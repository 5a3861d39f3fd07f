//! Generates the ids of our own PDUs: unique and rising, so that the rows of one context are written next to each
//! other.

use actors::model::{Millis, PduId};
use parking_lot::Mutex;
use uuid::Builder;

/// Random bytes that are taken from the system at once, because a system call for each id costs more than the id.
const POOL_BYTES: usize = 1024;

/// Bits of the counter, which takes the place of random bits.
const COUNTER_BITS: u32 = 42;

/// A generator of PDU ids. All workers share one, so that later ids are larger, also within a millisecond and after the
/// clock was set back.
pub(crate) struct PduIdGenerator(Mutex<IdSequence>);

struct IdSequence {
    /// Time of the newest id; it never goes back.
    millis: u64,
    /// Number of the newest id. It begins at random in each millisecond.
    counter: u64,
    pool: [u8; POOL_BYTES],
    used: usize,
}

impl PduIdGenerator {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(IdSequence { millis: 0, counter: 0, pool: [0; POOL_BYTES], used: POOL_BYTES }))
    }

    /// Returns the next id: a version 7 UUID as 32 lower-case hex digits.
    pub(crate) fn next(&self, now: Millis) -> PduId {
        let (millis, bits) = self.0.lock().next(now.0);
        let id = Builder::from_unix_timestamp_millis(millis, &bits).into_uuid();
        let mut text = [0; 32];
        id.as_simple().encode_lower(&mut text).parse().expect("32 hex digits are an id")
    }
}

impl IdSequence {
    /// Returns the time and the other bits of the next id: the counter, then random bits. Version and variant overwrite four bits of
    /// the first byte and two of the third.
    fn next(&mut self, now: u64) -> (u64, [u8; 10]) {
        self.counter += 1;
        if now > self.millis || self.counter >> COUNTER_BITS > 0 {
            self.millis = now.max(self.millis + 1);
            // The first bit is left for those that follow.
            self.counter = u64::from_be_bytes(self.random()) >> (u64::BITS - COUNTER_BITS + 1);
        }
        let counter = self.counter.to_be_bytes();
        // Twelve bits lie before the variant, and six in the byte with it.
        let above = self.counter >> 30;
        let [high, low] = [(above >> 8) as u8, above as u8];
        let [a, b, c, d]: [u8; 4] = self.random();
        (self.millis, [high, low, counter[4] & 0x3f, counter[5], counter[6], counter[7], a, b, c, d])
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        if self.used + N > POOL_BYTES {
            getrandom::fill(&mut self.pool).expect("the system has random bytes");
            self.used = 0;
        }
        let bytes = std::array::from_fn(|at| self.pool[self.used + at]);
        self.used += N;
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pdu_ids_rise_despite_clock() {
        let ids = PduIdGenerator::new();
        let times = [1_718_454_896_007, 1_718_454_896_007, 1_718_454_896_008, 1_718_454_890_000, 0];
        let given: Vec<_> = times.iter().flat_map(|time| [ids.next(Millis(*time)), ids.next(Millis(*time))]).collect();
        assert!(given.windows(2).all(|pair| pair[0] < pair[1]), "{given:?}");
        for id in &given {
            assert_eq!(id.as_str().len(), 32);
            assert!(id.as_str().bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{id}");
            assert_eq!(&id.as_str()[12..13], "7");
        }
        assert!(given[0].as_str().starts_with("01901be4c587"), "the time comes first: {}", given[0]);
    }

    #[test]
    fn pdu_ids_rise_past_full_counter() {
        let ids = PduIdGenerator::new();
        let first = ids.next(Millis(7));
        ids.0.lock().counter = (1 << COUNTER_BITS) - 2;
        let given = [first, ids.next(Millis(7)), ids.next(Millis(7)), ids.next(Millis(7))];
        assert!(given.windows(2).all(|pair| pair[0] < pair[1]), "{given:?}");
        assert_eq!(given.map(|id| id.as_str()[11..12].to_owned()), ["7", "7", "8", "8"]);
    }
}
