//! `/admin/v1/queue`: unacknowledged items, by peer and age, and one by one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FixedText;
use super::pdus::PduName;

/// The number of unacknowledged items per peer and age; a page of peers, ordered by name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct QueueShapePage {
    /// Time from which the ages are counted.
    pub time: String,
    /// Names of the age buckets, youngest first: each is an upper limit, such as `5m`; the last one has none.
    pub buckets: Vec<FixedText>,
    /// Peers with unacknowledged items.
    pub peers: Vec<PeerShapeRow>,
    /// Peer after which the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The queue of one peer.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PeerShapeRow {
    /// Name of the peer.
    pub server: String,
    /// Number of items.
    pub total: u64,
    /// Number of items per age bucket.
    pub counts: Vec<u64>,
}

/// A page of a peer's unacknowledged items, oldest first.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct QueueItemsPage {
    /// Name of the peer.
    pub server: String,
    /// Time of the answer.
    pub time: String,
    /// The items of the page.
    pub items: Vec<QueueItemRow>,
    /// Index after which the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// An unacknowledged item.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct QueueItemRow {
    /// Index in the peer's queue.
    pub index: u64,
    /// Time at which it was queued.
    pub queued: String,
    /// `pdu` or `update`.
    pub kind: FixedText,
    /// Context of a PDU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Identity of a PDU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pdu: Option<PduName>,
    /// Submission that the item belongs to.
    pub submission: String,
    /// Size in bytes.
    pub size: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::golden::assert_round_trip;

    #[test]
    fn queue_shape_round_trips() {
        let shape = assert_round_trip::<QueueShapePage>(&[
            r#"{"time":"1970-01-11T00:00:00.000Z","buckets":["5m","1d+"],"peers":[]}"#,
            concat!(
                r#"{"time":"1970-01-11T00:00:00.000Z","buckets":["5m","1d+"],"#,
                r#""peers":[{"server":"blue.example","total":5,"counts":[4,1]}],"next":"blue.example"}"#
            ),
        ]);
        assert_eq!((shape.peers[0].total, shape.next.as_deref()), (5, Some("blue.example")));
    }

    #[test]
    fn queue_items_round_trip() {
        let page = assert_round_trip::<QueueItemsPage>(&[
            r#"{"server":"blue","time":"1970-01-11T00:00:00.000Z","items":[]}"#,
            concat!(
                r#"{"server":"blue","time":"1970-01-11T00:00:00.000Z","items":[{"index":1,"#,
                r##""queued":"1970-01-11T00:00:00.000Z","kind":"pdu","context":"#room","##,
                r#""pdu":{"origin":"red","pdu_id":"a"},"submission":"m-1","size":2},{"index":2,"#,
                r#""queued":"1970-01-11T00:00:00.000Z","kind":"update","submission":"m-2","size":16}],"next":2}"#
            ),
        ]);
        assert_eq!((&*page.items[0].kind, page.next), ("pdu", Some(2)));
    }
}
