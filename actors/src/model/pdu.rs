//! A PDU: one durable item of a conversation, ordered by its parents.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;

use super::{Digest, Membership, Millis, ServerName, SubmissionId};

/// Why a text is no id of a context or a PDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is 1 to 255 bytes without control characters")]
pub struct BadId(&'static str);

const ID_BYTES_MAX: usize = 255;

macro_rules! opaque_id {
    ($(#[$doc:meta])* $name:ident, $noun:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                let sound = (1..=ID_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
                if sound { Ok(Self(text.into())) } else { Err(BadId($noun)) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

opaque_id! {
    /// The id of a conversation. Opaque: whoever begins one chooses it.
    ContextId, "a context's name"
}
opaque_id! {
    /// The id its origin gave a PDU. Unique only together with the origin.
    PduId, "an id"
}

/// What identifies a PDU: who made it, and the id given there.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PduRef {
    /// The server that made it.
    pub origin: ServerName,
    /// The id it gave.
    pub id: PduId,
}

impl fmt::Display for PduRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.origin, self.id)
    }
}

impl fmt::Debug for PduRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A PDU, as far as the core reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pdu {
    /// Which one.
    pub reference: PduRef,
    /// Its conversation.
    pub context: ContextId,
    /// The PDUs its author had seen.
    pub prev: Vec<PduRef>,
    /// Its depth as its origin states it: kept, passed on, shown, and never trusted for order.
    pub depth: Option<u64>,
    /// Its type.
    pub kind: Arc<str>,
    /// Which piece of state it sets, where it sets one.
    pub state: Option<StateSlot>,
    /// The servers it is for, its author included; `None`: everybody who takes part. State is for everybody.
    pub to: Option<Vec<ServerName>>,
    /// The whole PDU as one JSON object: booleans and integers where the text asks for them, no null keys, `prev_pdus` always,
    /// `[origin, id]` in each pair, `depth` where it was stated; `content` and unknown keys byte for byte as they came.
    pub bytes: Bytes,
}

impl Pdu {
    /// Whether it may be given to this server. One that is for some servers only is nobody's parent.
    pub fn is_for(&self, server: &ServerName) -> bool {
        self.to.as_ref().is_none_or(|to| to.contains(server))
    }
}

/// The state a PDU sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateSlot {
    /// The key, beside the PDU's type; may be empty.
    pub key: String,
    /// How much its author's word weighs.
    pub power_level: i64,
    /// The PDU it replaces.
    pub prev: Option<PduRef>,
    /// What it says of a membership; known only where its conversation has looked.
    pub member: Option<Membership>,
}

/// Something in a batch that is no PDU, or not a sound one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPdu {
    /// Its id, where one can be read.
    pub id: Option<String>,
    /// Its origin, where one can be read.
    pub origin: Option<String>,
    /// Why, for programs.
    pub code: &'static str,
    /// Why, for people.
    pub reason: String,
}

/// What became of one PDU of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Stored and delivered.
    Accepted,
    /// Stored, and waiting for its parents.
    Held,
    /// Stored before.
    Duplicate,
    /// In quarantine; need not be sent again.
    Parked {
        /// Why, for programs.
        code: &'static str,
    },
    /// Not taken.
    Refused {
        /// Why, for programs.
        code: &'static str,
        /// Why, for people.
        reason: String,
    },
}

impl Verdict {
    /// The code of a PDU that is for other servers only, in a conversation that nothing is known of here.
    pub const NOT_FOR_US: &str = "NOT_FOR_US";
    /// The code of a PDU that was handed over by a server that takes no part in its conversation and did not make it.
    pub const SENDER_NOT_A_PARTICIPANT: &str = "SENDER_NOT_A_PARTICIPANT";
}

/// A message of our own messenger, before it has its place in the conversation.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The messenger's id for it.
    pub submission: SubmissionId,
    /// What identifies the submission, for telling a repeat from something else.
    pub digest: Digest,
    /// When it came.
    pub accepted: Millis,
    /// The PDU id it gets: rising over time, so that keys are written in order.
    pub id: PduId,
    /// Its type.
    pub kind: Arc<str>,
    /// Its content, as it was submitted.
    pub content: Bytes,
    /// Makes it state: the key, and the author's power.
    pub state: Option<(String, i64)>,
    /// Deliver to these participants only, unless that is all of them; such a PDU is never anybody's parent.
    pub to: Option<Vec<ServerName>>,
    /// Further top-level keys and their JSON texts.
    pub extra: Vec<(String, Bytes)>,
}

/// The place a draft gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Berth {
    /// Its conversation.
    pub context: ContextId,
    /// Its parents.
    pub prev: Vec<PduRef>,
    /// The depth it emits: one more than the deepest that a parent emits.
    pub depth: u64,
    /// For state: the PDU it replaces.
    pub prev_state: Option<PduRef>,
    /// Where it is narrowed: the servers it is for, sorted, we among them.
    pub to: Option<Vec<ServerName>>,
}

/// A draft that has become a PDU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// Which PDU.
    pub reference: PduRef,
    /// Whom it goes to.
    pub peers: Vec<ServerName>,
}
