//! Batches of events: cut from the feed, written once, and sent as often as needed.

use actors::model::{FeedEntry, Position};
use actors::ports::ArchiveError;
use bytes::Bytes;

use crate::messenger::events::render::render_event;

/// A batch under its transaction id. A retry sends the same bytes.
#[derive(Debug, Clone)]
pub(crate) struct EventBatch {
    /// Transaction id.
    pub(crate) txn: u64,
    /// The body of the request.
    pub(crate) events: WrittenEvents,
}

/// The body of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WrittenEvents {
    /// Positions of the events, in order.
    pub(crate) positions: Vec<Position>,
    /// `{"events":[..]}`.
    pub(crate) body: Bytes,
}

const HEAD: &[u8] = b"{\"events\":[";
const END: &[u8] = b"]}";

/// Writes the events as the feed shows them to a reader: as many as fit into so many bytes, and at least one.
pub(crate) fn write_events(entries: &[FeedEntry], bytes_max: u64) -> Result<WrittenEvents, ArchiveError> {
    let mut body = Vec::from(HEAD);
    let mut positions = Vec::with_capacity(entries.len());
    for entry in entries {
        let before = body.len();
        if !positions.is_empty() {
            body.push(b',');
        }
        render_event(&mut body, entry)?;
        if !positions.is_empty() && (body.len() + END.len()) as u64 > bytes_max {
            body.truncate(before);
            break;
        }
        positions.push(entry.position);
    }
    body.extend_from_slice(END);
    Ok(WrittenEvents { positions, body: body.into() })
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
