//! The words everything else is written in: names, numbers, frames, durable records.
//!
//! Nothing here knows JSON, sockets or redb, and nothing derives `Serialize`: each boundary owns its own mirror types.

mod feed;
mod frame;
mod names;
mod numbers;
mod record;

pub use feed::{FeedEntry, FeedItem, Parked, ParkedCode};
pub use frame::{Ack, Answered, Deadlines, Digest, InboundPush, OutFrame, PushFailure, Refusal, Strong};
pub use names::{BadName, BadSubmissionId, ServerName, SubmissionId};
pub use numbers::{Index, ItemNo, Millis, Position, Seq};
pub use record::{
    Attempt, Cause, InboundRecord, OutboundRecord, PeerRecord, PeerState, PeerStatus, Rest, Segment, Submission,
    SubmissionRecord,
};
