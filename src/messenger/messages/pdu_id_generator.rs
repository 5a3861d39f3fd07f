//! Generates the ids of our own PDUs: unique and rising, so that the rows of one context are written next to each
//! other.

use std::sync::Mutex;

use actors::model::{Millis, PduId};
use uuid::{ContextV7, Timestamp, Uuid};

/// A generator of PDU ids. All workers share one, so that later ids are larger, also within a millisecond and after the
/// clock was set back.
pub(crate) struct PduIdGenerator(Mutex<ContextV7>);

impl PduIdGenerator {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(ContextV7::new()))
    }

    /// Returns the next id: a version 7 UUID as 32 lower-case hex digits.
    pub(crate) fn next(&self, now: Millis) -> PduId {
        let nanos = u32::try_from(now.0 % 1000).unwrap_or(0) * 1_000_000;
        let id = Uuid::new_v7(Timestamp::from_unix(&self.0, now.0 / 1000, nanos));
        id.simple().to_string().parse().expect("32 hex digits are an id")
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
}
