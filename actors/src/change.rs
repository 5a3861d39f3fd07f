//! `Change`: every durable fact, in domain words. Actors hand changes over; only the store knows tables.

use crate::model::{
    Digest, FeedItem, Index, Millis, Parked, PeerRecord, Position, Seq, ServerName, Submission, SubmissionId,
};

/// One durable fact. A batch of them is committed whole or not at all.
#[derive(Debug, Clone)]
pub enum Change {
    /// A submission was accepted. The writer stores each update once, gives every server's outbox a row for it, and wakes
    /// those peers after the commit: fan-out is part of the submission's own commit.
    Submitted(Submission),
    /// A peer's record is now this. Written whole, by its peer actor alone.
    PeerMoved(Box<PeerRecord>),
    /// Acknowledged outbox rows of a peer that need not be kept: at most `rows_max` from the oldest on, those below `upto`
    /// that are more than `keep_items` behind it or were queued before `queued_before`.
    OutboxTrimmed {
        /// Whose outbox.
        server: ServerName,
        /// The newest acknowledged index; nothing above it is touched.
        upto: Index,
        /// This many acknowledged rows are kept unless they are too old.
        keep_items: u64,
        /// Older acknowledged rows go.
        queued_before: Millis,
        /// How many rows one commit may remove.
        rows_max: u32,
    },
    /// Strong updates of a peer were taken under these numbers: what they were, for telling a repeat from something else.
    Taken {
        /// Whose.
        from: ServerName,
        /// The number of the first.
        first: Seq,
        /// One digest a number, ascending.
        digests: Vec<Digest>,
        /// Digests of numbers below this are forgotten.
        forget_below: Seq,
    },
    /// Something for the messenger. The writer gives it the next position of the feed.
    Fed(FeedItem),
    /// An inbound item goes to quarantine, and the messenger is told; over `keep` rows of that peer the oldest goes.
    Quarantined {
        /// The item.
        parked: Parked,
        /// Rows kept for this peer.
        keep: u64,
    },
    /// The messenger has everything up to here.
    FeedAcked {
        /// The newest position it has.
        upto: Position,
    },
    /// Acknowledged feed rows put there before `before` need not be kept: at most `rows_max`, oldest first.
    FeedTrimmed {
        /// Older rows go.
        before: Millis,
        /// How many rows one commit may remove.
        rows_max: u32,
    },
    /// Submissions whose time to be repeated has passed.
    SubmissionsForgotten(Vec<SubmissionId>),
}
