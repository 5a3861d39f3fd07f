//! What the messenger's feed holds.

use bytes::Bytes;

use super::{Millis, Position, Seq, ServerName};

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
    /// Its number on the wire.
    pub seq: Seq,
    /// Why, for programs.
    pub code: ParkedCode,
    /// Why, for people.
    pub reason: String,
    /// What came.
    pub bytes: Bytes,
}

/// Why an item is in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParkedCode {
    /// A strong update that is not a JSON object.
    NotAnObject,
}

impl ParkedCode {
    /// The code as the messenger and the operator see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAnObject => "NOT_AN_OBJECT",
        }
    }
}
