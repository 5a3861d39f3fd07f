//! Strong updates of the updates dialect, as they are received.

use bytes::Bytes;

use crate::model::frame::forward::{ForwardFacts, ForwardOutcome, ForwardProof, ForwardRoute};
use crate::model::{BadPdu, Digest, GroupMessage, Millis, ParkedCode, Pdu, Seq};

/// A strong update as it was received.
#[derive(Debug, Clone)]
pub struct StrongUpdate {
    /// JSON text of the update; it is never rewritten.
    pub bytes: Bytes,
    /// Digest that identifies the update.
    pub digest: Digest,
    /// Content of the update, as far as the core parses it.
    pub body: StrongBody,
}

/// The content of a strong update.
#[derive(Debug, Clone)]
pub enum StrongBody {
    /// An update for the messenger; the core does not parse it.
    Plain,
    /// `{"update":"message","peer":{"type":"group",..},..}`: a message of a group, for the messenger unless the group is mapped
    /// to a context.
    Group(Box<GroupMessage>),
    /// `{"update":"pdu","pdu":{..}}`: a PDU of a context.
    Pdu(Box<Pdu>),
    /// An update of that form whose `pdu` is not a valid PDU.
    BadPdu(BadPdu),
    /// An update that cannot be accepted, with the code and the reason. It still consumes its sequence number, because resending
    /// cannot correct it.
    Unsound(ParkedCode, &'static str),
    /// An update of the updates dialect that travels through servers: `{"update":"forward",..}`.
    Forward(Box<ForwardedUpdate>),
}

/// A forward as it was received, with the facts that decide what becomes of it.
#[derive(Debug, Clone)]
pub struct ForwardedUpdate {
    /// Its two ends.
    pub route: ForwardRoute,
    /// Id that the origin gave to it.
    pub id: Box<str>,
    /// Number of servers that have sent it.
    pub hops: u64,
    /// Time at which the origin wrote it.
    pub sent: Millis,
    /// Number of the update in the origin's sequence to the destination.
    pub number: Seq,
    /// Result of the check of its signature.
    pub proof: ForwardProof,
    /// Facts about its two ends.
    pub facts: ForwardFacts,
    /// The update, if we are the destination.
    pub update: Option<Box<StrongUpdate>>,
    /// Its text with one more hop, as it is passed on.
    pub onward: Bytes,
    /// True if it was taken or passed on before.
    pub is_known: bool,
    /// Its outcome, once it is judged and, if it is for us, the actor of its origin has answered.
    pub outcome: Option<ForwardOutcome>,
}

/// A forwarded update that waits here for the updates before it.
#[derive(Debug, Clone)]
pub struct HeldForward {
    /// Number of the update in the origin's sequence.
    pub number: Seq,
    /// The update.
    pub update: StrongUpdate,
}
