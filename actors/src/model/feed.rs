//! What the messenger's feed holds.

use bytes::Bytes;

use super::{ContextId, FedPdu, Millis, PduRef, Position, Seq, ServerName, SubmissionId};

/// One durable fact for the messenger, before the writer gives it a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedItem {
    /// A strong update a peer sent.
    Update {
        /// Who sent it.
        from: ServerName,
        /// Which one this is among those ever taken from that server; never goes back. `<from>#<n>` is its id.
        n: u64,
        /// Its number on the wire.
        seq: Seq,
        /// How the sender was proved.
        verified: &'static str,
        /// The update's JSON text, as it came.
        bytes: Bytes,
    },
    /// Something a peer sent that cannot be given to the messenger; it lies in quarantine.
    Parked(Parked),
    /// A PDU of a conversation. Only ever read: a delivery is what puts it there.
    Pdu(Box<FedPdu>),
    /// Parents were given up; their children were delivered without them.
    Gap {
        /// In which conversation.
        context: ContextId,
        /// Which parents.
        missing: Vec<PduRef>,
        /// Delivered without them.
        children: Vec<PduRef>,
    },
    /// A parent that was given up came after all.
    GapFilled {
        /// In which conversation.
        context: ContextId,
        /// Which parents.
        missing: Vec<PduRef>,
        /// Delivered without them before.
        children: Vec<PduRef>,
    },
    /// Strong updates that cannot be had any more.
    UpdateGap {
        /// Who sent them.
        from: ServerName,
        /// The peer it is about: the one that cannot have them, or that cannot send them.
        server: ServerName,
        /// The number of the first.
        first: Seq,
        /// The number of the last.
        last: Seq,
    },
    /// News about something the messenger submitted.
    Delivery {
        /// The submitted id.
        message: SubmissionId,
        /// At which server.
        server: ServerName,
        /// `refused`, `parked`, `expired` or `acknowledged`.
        state: &'static str,
        /// Why, in a word of ours or in the peer's.
        reason: Option<String>,
    },
    /// A peer was suspended, or is back.
    Peer {
        /// Which one.
        server: ServerName,
        /// Its state, as `/v1/peers` shows it.
        state: &'static str,
        /// Why, where it is suspended.
        reason: Option<&'static str>,
    },
    /// Something an operator or a messenger should know.
    Notice {
        /// In words.
        text: String,
        /// About whom.
        server: Option<ServerName>,
    },
}

/// A [`FeedItem`] with its place, as read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEntry {
    /// Its place in the feed.
    pub position: Position,
    /// When it was put there.
    pub time: Millis,
    /// What it says.
    pub item: FeedItem,
}

/// An inbound item in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// Who sent it.
    pub from: ServerName,
    /// What it is.
    pub what: ParkedWhat,
    /// Why, for programs.
    pub code: ParkedCode,
    /// Why, for people.
    pub reason: String,
    /// What came.
    pub bytes: Bytes,
}

/// What lies in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParkedWhat {
    /// A strong update that came under this number.
    Update(Seq),
    /// A PDU, sound or not, as far as it could be read.
    Pdu {
        /// Its origin.
        origin: Option<String>,
        /// Its id.
        id: Option<String>,
        /// Its conversation.
        context: Option<ContextId>,
    },
}

/// Why an item is in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParkedCode {
    /// A strong update that is not a JSON object.
    NotAnObject,
    /// A PDU that came as a strong update and was refused.
    BadPdu,
    /// A PDU whose origin, or whose sender, does not take part in its conversation.
    NotAParticipant,
    /// A PDU its conversation's actor died on, twice.
    Poison,
    /// A PDU of a conversation whose actor has been given up.
    ContextFaulty,
}

impl ParkedCode {
    /// The code as the messenger and the operator see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAnObject => "NOT_AN_OBJECT",
            Self::BadPdu => "BAD_PDU",
            Self::NotAParticipant => "NOT_A_PARTICIPANT",
            Self::Poison => "POISON",
            Self::ContextFaulty => "CONTEXT_FAULTY",
        }
    }
}
