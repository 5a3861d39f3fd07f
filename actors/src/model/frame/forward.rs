//! An update of one server for another that travels through a third one.

use bytes::Bytes;

use crate::model::{Digest, Millis, ParkedCode, Seq, ServerName};
use crate::word_enum::word_enum;

/// The two ends of a forward.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForwardRoute {
    /// Server that wrote the update.
    pub origin: ServerName,
    /// Server that is to get it.
    pub destination: ServerName,
}

/// The outcome of a forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardOutcome {
    /// It goes to the outbox of its destination.
    PassOn,
    /// The sequence of its origin has it.
    Taken,
    /// It was taken or passed on before.
    Known,
    /// It goes nowhere, with the code and the reason.
    Refused(RelayCode, String),
}

/// The proof of a forward's origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardProof {
    /// Its sender is its origin, and proved its name with the request; only the destination verifies it.
    Sender,
    /// Its origin has signed it.
    Signature,
    /// The signature is not that of its origin, with the reason.
    Wrong(String),
    /// No key of its origin that could verify it is known here, with the reason.
    KeysUnknown(String),
}

/// The facts of the configuration about the two ends of a forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ForwardFacts {
    /// True if its origin is this server.
    pub is_from_us: bool,
    /// True if its destination is this server.
    pub is_for_us: bool,
    /// True if the way from its origin to its destination is allowed (`relay.allow`).
    pub is_allowed: bool,
    /// True if its destination is a peer.
    pub is_listed: bool,
    /// True if its destination is a peer that takes numbered updates.
    pub is_peer: bool,
}

word_enum! {
    /// The reason for which a forward goes nowhere; the words are the codes that its sender reads.
    pub enum RelayCode {
        /// The configuration does not allow the way from its origin to its destination.
        NotAllowed = "RELAY_NOT_ALLOWED",
        /// It has passed as many servers as a forward may.
        Hops = "RELAY_HOPS",
        /// It would come back to where it was.
        Loop = "RELAY_LOOP",
        /// It has not the form of a forward.
        BadForward = "BAD_FORWARD",
        /// Its signature is not that of its origin.
        BadSignature = "BAD_SIGNATURE",
        /// No key of its origin is known here.
        KeysUnknown = "KEYS_UNKNOWN",
        /// Its destination is no peer here that takes numbered updates.
        UnknownDestination = "UNKNOWN_DESTINATION",
        /// It is for us, and it cannot be kept until the updates before it are here.
        NotKept = "RELAY_NOT_KEPT",
    }
}

impl RelayCode {
    /// Returns the code under which such a forward goes to quarantine; `None`: it is not stored, because its origin still has
    /// the update.
    pub const fn parked(self) -> Option<ParkedCode> {
        match self {
            Self::BadForward => Some(ParkedCode::BadForward),
            Self::BadSignature => Some(ParkedCode::BadSignature),
            Self::KeysUnknown => Some(ParkedCode::KeysUnknown),
            Self::NotAllowed | Self::Hops | Self::Loop | Self::UnknownDestination | Self::NotKept => None,
        }
    }
}

/// A forwarded update that waits, as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredForward {
    /// Number of the update in the origin's sequence.
    pub number: Seq,
    /// Digest that identifies the update.
    pub digest: Digest,
    /// True if the bytes are those of a PDU, and not those of the whole update.
    pub is_pdu: bool,
    /// The PDU in the form in which it would be stored, or the update.
    pub bytes: Bytes,
}

/// The memory of forwards that were taken or passed on, so that none is twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForwardMemory {
    /// Number of forwards of one origin that are remembered.
    pub items: u64,
    /// Time before which they are forgotten.
    pub before: Millis,
}
