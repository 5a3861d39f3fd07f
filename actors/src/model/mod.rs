//! The domain types that all other modules use: names, counters, batches, durable records.
//!
//! The types know no JSON, sockets or redb and do not derive `Serialize`: each boundary owns its own mirror types.

mod attempt;
mod context;
mod dialect;
mod digest;
mod feed;
mod frame;
mod ids;
mod numbers;
mod pdu;
mod peer_command;
mod record;
mod state;
mod stored;
mod wording;

pub use crate::model::dialect::{DialectSpec, NumberingScheme};
pub use crate::model::digest::{Digest, DigestKey};
pub use crate::model::ids::{BadId, ContextId, PduId, PduRef};
pub use crate::model::ids::{BadName, BadSubmissionId, ServerName, SubmissionId};
pub use crate::model::peer_command::{PeerCommand, RemovalFate};
pub use crate::model::stored::{
    ContextSnapshot, CurrentState, DeadLetter, MembershipSource, OutboxRow, PduStatus, PduText, PeerSnapshot,
    QuarantinedPduRow, SentPage, ServedPdu, StagedPdu,
};
pub use attempt::push_failure::{ConnectCode, FailureCode, PushFailure, UnreachedReason};
pub use attempt::{Attempt, AttemptError, DELIVERED_SPANS_IN_ROW, DeliveredSpan};
pub use context::{
    ContextRecord, ContextStatus, DEPTH_BUILT_UPON_MAX, Delivery, FeedFlags, FeedPdu, Gap, Head, HeldPdu, JoinProgress,
    JoinStage, PduState, PendingParents, RepairOutcome, StoredPdu,
};
pub use feed::{FeedEntry, FeedItem, ParkedItem, ParkedWhat, RefusedEvent, ReleasedEvent};
pub use frame::forward::{
    ForwardFacts, ForwardMemory, ForwardOutcome, ForwardProof, ForwardRoute, RelayCode, StoredForward,
};
pub use frame::receipts::{PeerReceipts, ReceiptItem, RejectedItem};
pub use frame::strong::{ForwardedUpdate, HeldForward, StrongBody, StrongUpdate};
pub use frame::{
    Ack, BatchId, Edu, FetchRequest, InboundEphemeral, InboundPush, InboundTransaction, Item, ItemObjection, ItemTrace,
    OutboundBatch, PullResponse, PushNovelty, PushResponse, Receipt, RequestDeadlines, TransactionReceipt, UsedNonce,
};
pub use numbers::{Index, ItemNo, Millis, Position, Seq};
pub use pdu::group_message::{
    BridgedMessage, GroupId, GroupMessage, GroupSubmission, MessagePlace, NO_PLAIN_FORM, PlainCopy, PlainForm,
};
pub use pdu::parked_code::ParkedCode;
pub use pdu::pdu_proof::{MissingProof, PduProof, VERIFIED_AS_OWN, VERIFIED_AS_RELAYED, VERIFIED_BY_PDU_SIGNATURE};
pub use pdu::{BadPdu, ComposedPdu, GraphPosition, Pdu, PduDraft, PduVerdict, StateSlot};
pub use record::{
    DeadLetterReason, DeliveryState, HeldReceiptRecord, HeldRejection, InboundRecord, NumberSegment, OutboundRecord,
    PeerQueueSize, PeerRecord, PeerState, PeerStatus, RelayRecord, SeenTransaction, Submission, SubmissionRecord,
    SubmittedContent, SuspendReason,
};
pub use state::{Membership, MissingPrevState, PrevStateLink, StateEntry, StateKey};
pub use wording::{CountedNoun, NumberRange, ShortDuration};
