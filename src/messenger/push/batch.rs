//! Batches of events: cut from the feed, written once, and sent as often as needed.

use actors::model::{FeedEntry, Position, ReleasedEvent};
use actors::ports::ArchiveError;
use bytes::Bytes;

use crate::messenger::events::render::{EventTimes, render_event};
use crate::telemetry::spans::EventTraces;

/// A batch under its transaction id. A retry sends the same bytes.
#[derive(Clone)]
pub(crate) struct EventBatch {
    /// Transaction id.
    pub(crate) txn: u64,
    /// The body of the request.
    pub(crate) events: WrittenEvents,
    /// Number of the last event among the released ones; 0 for a batch of the feed.
    pub(crate) released_upto: u64,
    /// Traces to which its events belong.
    pub(crate) traces: EventTraces,
}

/// The body of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WrittenEvents {
    /// Positions of the events, in order.
    pub(crate) positions: Vec<Position>,
    /// `{"events":[..]}`.
    pub(crate) body: Bytes,
    /// JSON of each event, as a reader sees it.
    events: Vec<Bytes>,
}

impl WrittenEvents {
    /// Returns the JSON of the event at this position.
    pub(crate) fn event(&self, position: Position) -> Option<Bytes> {
        let place = self.positions.iter().position(|one| *one == position)?;
        self.events.get(place).cloned()
    }
}

const HEAD: &[u8] = b"{\"events\":[";
const END: &[u8] = b"]}";

/// Writes the events as the feed shows them to a reader: as many as fit into so many bytes, and at least one.
pub(crate) fn write_events(entries: &[FeedEntry], bytes_max: u64) -> Result<WrittenEvents, ArchiveError> {
    let mut body = Vec::from(HEAD);
    let (mut positions, mut spans) = (Vec::with_capacity(entries.len()), Vec::with_capacity(entries.len()));
    let mut times = EventTimes::default();
    for entry in entries {
        let before = body.len();
        if !positions.is_empty() {
            body.push(b',');
        }
        let start = body.len();
        render_event(&mut body, entry, &mut times)?;
        if !positions.is_empty() && (body.len() + END.len()) as u64 > bytes_max {
            body.truncate(before);
            break;
        }
        positions.push(entry.position);
        spans.push(start..body.len());
    }
    body.extend_from_slice(END);
    let body = Bytes::from(body);
    let events = spans.into_iter().map(|span| body.slice(span)).collect();
    Ok(WrittenEvents { positions, body, events })
}

/// Writes events that were refused before, each with `"released":true` as its last member.
pub(crate) fn write_released(released: &[ReleasedEvent]) -> WrittenEvents {
    let mut body = Vec::from(HEAD);
    for (place, event) in released.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        body.extend_from_slice(event.bytes.strip_suffix(b"}").unwrap_or(&event.bytes));
        body.extend_from_slice(b",\"released\":true}");
    }
    body.extend_from_slice(END);
    WrittenEvents {
        positions: released.iter().map(|event| event.position).collect(),
        body: body.into(),
        events: released.iter().map(|event| event.bytes.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use actors::model::{FeedItem, Millis};

    use super::*;
    use crate::messenger::events::render::render;

    fn entries(count: u64) -> Vec<FeedEntry> {
        let item = |n: u64| FeedItem::Notice { text: "x".repeat(n as usize * 10), server: None };
        (1..=count).map(|n| FeedEntry { position: Position(n), time: Millis(n), item: item(n) }).collect()
    }

    #[test]
    fn pushed_events_equal_polled_ones() {
        let entries = entries(3);
        let polled = render(Position(0), &entries).expect("sound");
        let written = write_events(&entries, u64::MAX).expect("sound");
        let polled = String::from_utf8(polled).expect("text");
        assert_eq!(String::from_utf8_lossy(&written.body), polled.replace(",\"next\":3}", "}"));
        assert_eq!(written.positions, [1, 2, 3].map(Position));
        let last = String::from_utf8(written.event(Position(3)).expect("in the batch").to_vec()).expect("text");
        assert!(polled.contains(&format!("{last}],\"next\"")) && last.starts_with('{'), "{last}");
        assert_eq!(written.event(Position(4)), None);
    }

    #[test]
    fn released_event_keeps_its_position() {
        let bytes = Bytes::from_static(br#"{"position":7,"kind":"notice"}"#);
        let event = ReleasedEvent { number: 1, position: Position(7), after: Position(9), bytes: bytes.clone() };
        let written = write_released(&[event.clone(), event]);
        let one = r#"{"position":7,"kind":"notice","released":true}"#;
        assert_eq!(String::from_utf8_lossy(&written.body), format!("{{\"events\":[{one},{one}]}}"));
        assert_eq!(written.event(Position(7)), Some(bytes), "as it was refused");
    }

    #[test]
    fn batch_ends_before_its_byte_limit() {
        let entries = entries(5);
        let three = write_events(&entries[..3], u64::MAX).expect("sound");
        let size = three.body.len() as u64;
        assert_eq!(write_events(&entries, size), Ok(three), "exactly full");
        assert_eq!(write_events(&entries, size - 1).expect("sound").positions.len(), 2);
        assert_eq!(write_events(&entries, 1).expect("sound").positions.len(), 1, "a larger event goes alone");
    }
}
