//! A PDU: one durable item of a context, ordered by its parents.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::ids::{ContextId, PduId, PduRef};
use crate::model::pdu::pdu_proof::PduProof;
use crate::model::{Digest, Membership, Millis, ServerName, SubmissionId};

pub(super) mod group_message;
pub(super) mod parked_code;
pub(super) mod pdu_proof;

/// A PDU, parsed as far as the core needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pdu {
    /// Identity of the PDU.
    pub reference: PduRef,
    /// Context that the PDU belongs to.
    pub context: ContextId,
    /// Parents: the PDUs that the author had seen.
    pub prev: Vec<PduRef>,
    /// Depth that its origin states: it is kept, passed on and shown, and never trusted for order.
    pub depth: Option<u64>,
    /// Type of the PDU (`pdu_type`).
    pub kind: Arc<str>,
    /// State that the PDU sets; `None` for a PDU that is not state.
    pub state: Option<StateSlot>,
    /// The recipients, its author included; `None`: all participants. State is for all participants.
    pub to: Option<Vec<ServerName>>,
    /// The whole PDU as one JSON object in normal form: booleans and integers where the protocol demands them, no null
    /// keys, `prev_pdus` always present with `[origin, id]` pairs, `depth` only if it was stated. `content` and unknown
    /// keys are kept byte for byte.
    pub bytes: Bytes,
    /// The proof that the PDU is of its origin.
    pub proof: PduProof,
}

impl Pdu {
    /// Returns whether the PDU may be sent to this server. No PDU names a narrowed one as a parent.
    pub fn is_for(&self, server: &ServerName) -> bool {
        self.to.as_ref().is_none_or(|to| to.contains(server))
    }
}

/// The state fields of a state PDU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateSlot {
    /// State key; together with the type of the PDU it names the state entry. It may be empty.
    pub key: String,
    /// Power level that the PDU states for its author; state resolution compares it.
    pub power_level: i64,
    /// PDU that this one replaces (`prev_state`).
    pub prev: Option<PduRef>,
    /// Membership that the content states; filled in by the context, `None` before that.
    pub member: Option<Membership>,
}

/// An entry of a batch that is not a valid PDU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPdu {
    /// Id of the entry, if it can be read.
    pub id: Option<String>,
    /// Origin of the entry, if it can be read.
    pub origin: Option<String>,
    /// Reason as an error code.
    pub code: &'static str,
    /// Reason as a message.
    pub reason: String,
}

/// The result for one PDU of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PduVerdict {
    /// The PDU was stored and delivered.
    Accepted,
    /// The PDU was stored and waits for its parents.
    Held,
    /// The PDU had been stored before.
    Duplicate,
    /// The PDU is in quarantine and need not be sent again.
    Parked {
        /// Reason as an error code.
        code: &'static str,
    },
    /// The PDU was refused and not stored.
    Refused {
        /// Reason as an error code.
        code: &'static str,
        /// Reason as a message.
        reason: String,
    },
}

impl PduVerdict {
    /// The code of a PDU that is narrowed to other servers, in an unknown context.
    pub const NOT_FOR_US: &str = "NOT_FOR_US";
    /// The code of a PDU that was sent by a server that neither participates in its context nor created it.
    pub const SENDER_NOT_A_PARTICIPANT: &str = "SENDER_NOT_A_PARTICIPANT";
}

/// A message that the local messenger submitted, before it has a position in the context's graph.
#[derive(Debug, Clone)]
pub struct PduDraft {
    /// True if a delivery event is to report what the recipients' messengers acknowledge.
    pub receipt: bool,
    /// Id that the messenger gave to the submission.
    pub submission: SubmissionId,
    /// Digest of the submission; it tells a repeat from another submission under the same id.
    pub digest: Digest,
    /// Time at which the submission was accepted.
    pub accepted: Millis,
    /// Id of the PDU to be composed. Ids rise with time, so that keys are written to the store in order.
    pub id: PduId,
    /// Type of the PDU (`pdu_type`).
    pub kind: Arc<str>,
    /// Content as it was submitted.
    pub content: Bytes,
    /// State key and power level of the author; `None` if the message is not state.
    pub state: Option<(String, i64)>,
    /// Recipients of a narrowed message, unless they are all participants; such a PDU is never a parent.
    pub to: Option<Vec<ServerName>>,
    /// Further top-level keys, each with its JSON text.
    pub extra: Vec<(String, Bytes)>,
}

/// The graph position that a draft gets when it is composed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphPosition {
    /// Context of the PDU.
    pub context: ContextId,
    /// Parents of the PDU.
    pub prev: Vec<PduRef>,
    /// Emitted depth: one more than the greatest that a parent emits.
    pub depth: u64,
    /// For a state PDU: the PDU that it replaces.
    pub prev_state: Option<PduRef>,
    /// Recipients of a narrowed PDU, sorted, this server included.
    pub to: Option<Vec<ServerName>>,
    /// True if the PDU is signed.
    pub sign: bool,
}

/// A draft that was composed into a PDU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComposedPdu {
    /// Identity of the PDU.
    pub reference: PduRef,
    /// Servers that the PDU is sent to.
    pub peers: Vec<ServerName>,
}
