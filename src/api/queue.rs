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

/// The body of a purge: the selection of unacknowledged items, and the place to continue from. An absent key and null are the same.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueSelection {
    /// Only PDUs of this context.
    #[serde(default)]
    pub context: Option<String>,
    /// Only items that were queued longer ago than this, such as `1h`.
    #[serde(default)]
    pub older_than: Option<String>,
    /// Only items that were queued before this time: `time` of the preview, so that no item is selected that it did not count.
    #[serde(default)]
    pub before: Option<String>,
    /// True: nothing is changed, and the numbers are those of the items that match.
    #[serde(default)]
    pub dry_run: bool,
    /// `next` of the answer before.
    #[serde(default)]
    pub after: Option<u64>,
}

/// The body of a move: the other peer, the selection of unacknowledged items, and the place to continue from. An absent key and null are
/// the same.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueMoveRequest {
    /// Peer to whose queue the items go.
    pub to: String,
    /// Only PDUs of this context.
    #[serde(default)]
    pub context: Option<String>,
    /// Only items that were queued longer ago than this, such as `1h`.
    #[serde(default)]
    pub older_than: Option<String>,
    /// Only items that were queued before this time: `time` of the preview.
    #[serde(default)]
    pub before: Option<String>,
    /// True: nothing is changed, and the numbers are those of the items that would be moved.
    #[serde(default)]
    pub dry_run: bool,
    /// `next` of the answer before.
    #[serde(default)]
    pub after: Option<u64>,
}

/// The result of a move for a page of the queue; of the command line, for all of it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct QueueMoveResult {
    /// Peer that the items were for.
    pub server: String,
    /// Peer that they are for now.
    pub to: String,
    /// Time of the answer.
    pub time: String,
    /// True if nothing was changed.
    pub dry_run: bool,
    /// Number of items that were moved, or may be moved.
    pub items: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Number of submissions that they belong to.
    pub messages: u64,
    /// Number of forwards of other servers, which match and stay.
    pub forwards: u64,
    /// Items that match and stay, by reason.
    pub stay: Vec<StayingItems>,
    /// Index to continue from, if items remain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// Items that stay in their queue for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StayingItems {
    /// Code of the reason, for programs.
    pub code: FixedText,
    /// Reason, for people.
    pub reason: String,
    /// Number of the items.
    pub items: u64,
}

/// The result of a purge for a page of the queue; of the command line, for all of it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct QueuePurgeResult {
    /// Name of the peer.
    pub server: String,
    /// Time of the answer.
    pub time: String,
    /// True if nothing was changed.
    pub dry_run: bool,
    /// Number of items that left the queue, or match.
    pub items: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Number of submissions that they belong to.
    pub messages: u64,
    /// Number of forwards of other servers, which match and stay.
    pub forwards: u64,
    /// Time at which the oldest of the items was queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<String>,
    /// Index to continue from, if items remain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
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
    fn queue_purge_round_trips() {
        let asked: QueueSelection = serde_json::from_str(r#"{"older_than":"1h","dry_run":true}"#).expect("a body");
        assert_eq!((asked.older_than.as_deref(), asked.dry_run, asked.after), (Some("1h"), true, None));
        let result = assert_round_trip::<QueuePurgeResult>(&[
            concat!(
                r#"{"server":"blue","time":"1970-01-11T00:00:00.000Z","dry_run":true,"items":0,"bytes":0,"#,
                r#""messages":0,"forwards":0}"#
            ),
            concat!(
                r#"{"server":"blue","time":"1970-01-11T00:00:00.000Z","dry_run":false,"items":3,"bytes":30,"#,
                r#""messages":2,"forwards":1,"oldest":"1970-01-01T00:00:00.000Z","next":9}"#
            ),
        ]);
        assert_eq!((result.items, result.next), (3, Some(9)));
    }

    #[test]
    fn queue_move_round_trips() {
        let asked: QueueMoveRequest = serde_json::from_str(r#"{"to":"green"}"#).expect("a body");
        assert_eq!((asked.to.as_str(), asked.dry_run), ("green", false));
        let result = assert_round_trip::<QueueMoveResult>(&[concat!(
            r#"{"server":"blue","to":"green","time":"1970-01-11T00:00:00.000Z","dry_run":false,"items":3,"bytes":30,"#,
            r#""messages":2,"forwards":0,"stay":[{"code":"NARROWED","reason":"no","items":1}],"next":9}"#
        )]);
        assert_eq!((&*result.stay[0].code, result.next), ("NARROWED", Some(9)));
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
