//! The entries of the messenger's feed.

use bytes::Bytes;

use super::{ContextId, FeedPdu, Millis, ParkedCode, PduRef, Position, Seq, ServerName, SubmissionId};

/// A durable event for the messenger, before the store's writer assigns its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedItem {
    /// A strong update from a peer.
    Update {
        /// Peer that sent it.
        from: ServerName,
        /// Count of the updates accepted from this server, including this one; it never decreases. `<from>#<n>` is the
        /// event id.
        n: u64,
        /// Sequence number of the update on the wire.
        seq: Seq,
        /// Method by which the sender was authenticated.
        verified: &'static str,
        /// JSON text of the update as it was received.
        bytes: Bytes,
    },
    /// An item from a peer that cannot be delivered to the messenger and was quarantined.
    Parked(ParkedItem),
    /// A PDU of a context. This variant is only read: the delivery of a PDU writes it.
    Pdu(Box<FeedPdu>),
    /// Parents were given up; their children were delivered without them.
    Gap {
        /// Context of the gap.
        context: ContextId,
        /// Parents that were given up.
        missing: Vec<PduRef>,
        /// PDUs that were delivered without them.
        children: Vec<PduRef>,
    },
    /// A parent that was given up arrived later.
    GapFilled {
        /// Context of the gap.
        context: ContextId,
        /// Parents that have arrived now.
        missing: Vec<PduRef>,
        /// PDUs that had been delivered without them.
        children: Vec<PduRef>,
    },
    /// Strong updates that can no longer be delivered.
    UpdateGap {
        /// Server that sent the updates.
        from: ServerName,
        /// Peer that cannot receive them, or cannot send them.
        server: ServerName,
        /// Number of the first missing update.
        first: Seq,
        /// Number of the last missing update.
        last: Seq,
    },
    /// A change in the delivery of a submission.
    Delivery {
        /// Id of the submission.
        message: SubmissionId,
        /// Server that the change concerns.
        server: ServerName,
        /// New state: `refused`, `parked`, `expired` or `acknowledged`.
        state: &'static str,
        /// Reason, as our code or the peer's message.
        reason: Option<String>,
    },
    /// A peer was suspended, or sending to it was resumed.
    Peer {
        /// Peer whose state changed.
        server: ServerName,
        /// State of the peer, as `/v1/peers` shows it.
        state: &'static str,
        /// Cause of the suspension, if it is suspended.
        reason: Option<&'static str>,
    },
    /// A notice for operators and messengers.
    Notice {
        /// Text of the notice.
        text: String,
        /// Server that the notice is about, if any.
        server: Option<ServerName>,
    },
}

/// A [`FeedItem`] with its position, as read back from the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEntry {
    /// Position in the feed.
    pub position: Position,
    /// Time at which the event was written.
    pub time: Millis,
    /// Content of the event.
    pub item: FeedItem,
}

/// An event that the messenger refused, or that was given up for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedEvent {
    /// Position in the feed.
    pub position: Position,
    /// Reason as a message.
    pub reason: String,
    /// JSON of the event as it was pushed.
    pub bytes: Bytes,
}

/// A refused event that an operator released: it is pushed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleasedEvent {
    /// Number in the order of releases.
    pub number: u64,
    /// Position in the feed.
    pub position: Position,
    /// Position of the newest event at its release, after which it is pushed.
    pub after: Position,
    /// JSON of the event as it was pushed first.
    pub bytes: Bytes,
}

/// An inbound item in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedItem {
    /// Peer that sent the item.
    pub from: ServerName,
    /// Kind and identity of the item.
    pub what: ParkedWhat,
    /// Reason as an error code.
    pub code: ParkedCode,
    /// Reason as a message.
    pub reason: String,
    /// Method by which a PDU, or its sender, was authenticated, if the PDU may be accepted later.
    pub verified: Option<&'static str>,
    /// Bytes of the item as received.
    pub bytes: Bytes,
}

/// The kind and identity of a quarantined item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParkedWhat {
    /// Strong update with this sequence number.
    Update(Seq),
    /// Strong update with this sequence number that says it is of this server.
    Forward(Seq, ServerName),
    /// PDU, valid or not, with the fields that could be read.
    Pdu {
        /// Origin of the PDU.
        origin: Option<String>,
        /// Id of the PDU.
        id: Option<String>,
        /// Context of the PDU.
        context: Option<ContextId>,
    },
}
