//! The domain types that all other modules use: names, counters, batches, durable records.
//!
//! Nothing here knows JSON, sockets or redb, and nothing derives `Serialize`: each boundary owns its own mirror types.

mod attempt;
mod context;
mod feed;
mod frame;
mod load;
mod names;
mod numbers;
mod order;
mod pdu;
mod record;
mod size;
mod state;
mod wording;

pub use attempt::{Attempt, DELIVERED_SPANS_IN_ROW, DeliveredSpan};
pub use context::{
    ContextRecord, ContextStatus, DEPTH_BUILT_UPON_MAX, Delivery, FedPdu, Gap, Head, HeldPdu, Hold, Join, JoinStage,
    Shown, Standing, StoredPdu,
};
pub use feed::{FeedEntry, FeedItem, Parked, ParkedCode, ParkedWhat};
pub use frame::{
    Ack, Answered, Deadlines, Digest, Edu, InboundPush, InboundTransaction, Item, Label, Objection, OutFrame, Pulled,
    PushFailure, Receipt, Refusal, Strong, StrongBody, Taken, Want,
};
pub use load::{
    ContextLoad, CurrentState, Known, Letter, OutboxRow, PduText, PeerLoad, SentPage, ServedPdu, Spoken, StagedPdu,
    StrangersPdu,
};
pub use names::{BadName, BadSubmissionId, ServerName, SubmissionId};
pub use numbers::{Index, ItemNo, Millis, Position, Seq};
pub use order::Order;
pub use pdu::{BadId, BadPdu, Berth, Composed, ContextId, Draft, Pdu, PduId, PduRef, StateSlot, Verdict};
pub use record::{
    Cause, Fate, InboundRecord, OutboundRecord, PeerRecord, PeerState, PeerStatus, Rest, SeenTransaction, Segment,
    Submission, SubmissionRecord, Submitted,
};
pub use size::Size;
pub use state::{Bond, Membership, StateKey, StateLink, StatePiece};
pub use wording::{Counted, Lasting, Numbers};
