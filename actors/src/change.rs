//! `Change`: every durable fact, in domain words. Actors hand changes over; only the store knows tables.

use bytes::Bytes;

use crate::model::{
    Attempt, ContextId, ContextRecord, DeliveredSpan, Delivery, Digest, Fate, FeedItem, Gap, Head, Hold, Index, Millis,
    Parked, PduRef, PeerRecord, Position, SeenTransaction, Seq, ServerName, StateKey, StateLink, StatePiece, StoredPdu,
    Submission, SubmissionId,
};

/// One durable fact. A batch of them is committed whole or not at all.
#[derive(Debug, Clone)]
pub enum Change {
    /// A submission was accepted. The writer stores each update once (a PDU is stored by its own change), gives every server's outbox a row for it, and wakes
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
    /// A peer will not have these items: their outbox rows, with all that they say, become dead letters (a refused one was
    /// sent, and stays beside its letter). Over `keep` rows of that peer the oldest dead letters go.
    OutboxLeft {
        /// Whose outbox.
        server: ServerName,
        /// The first row; places without one are passed over.
        first: Index,
        /// The last row.
        last: Index,
        /// What became of them.
        fate: Fate,
        /// Why, in the peer's words or in ours.
        reason: String,
        /// Dead letters kept for this peer.
        keep: u64,
    },
    /// An attempt to deliver came to nothing: for the trace of what it carried. Over `keep` of that peer the oldest go.
    AttemptFailed {
        /// Whose outbox.
        server: ServerName,
        /// What was tried, and what came of it.
        attempt: Attempt,
        /// How many are kept for this peer.
        keep: u32,
    },
    /// A peer took these items: for their trace. The newest deliveries stand in its record until a row of them is full.
    Delivered {
        /// Whose outbox.
        server: ServerName,
        /// In the order of their times; never empty.
        spans: Vec<DeliveredSpan>,
    },
    /// Deliveries before this time are forgotten: at most `rows_max` rows from the oldest on.
    DeliveriesForgotten {
        /// Whose outbox.
        server: ServerName,
        /// Older rows go.
        before: Millis,
        /// How many rows one commit may remove.
        rows_max: u32,
    },
    /// A transaction of ours was acknowledged: what it carried. Kept as long as the rows of its items.
    TransactionSent {
        /// By whom.
        server: ServerName,
        /// Its id.
        id: u64,
        /// Its first item.
        first: Index,
        /// Its last item.
        last: Index,
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
    /// A transaction of a peer was taken; beyond the newest `keep` of that peer they are forgotten.
    TransactionSeen {
        /// Whose.
        from: ServerName,
        /// Which, and what it got.
        seen: SeenTransaction,
        /// How many are remembered.
        keep: u32,
    },
    /// A PDU is stored for the first time. Delivered, it also goes into the timeline, and into the feed if it is shown.
    PduStored(Box<StoredPdu>),
    /// A held PDU is delivered: into the timeline, and into the feed if it is shown.
    PduDelivered {
        /// Which one.
        reference: PduRef,
        /// Its conversation.
        context: ContextId,
        /// Where it goes.
        delivery: Delivery,
    },
    /// A held PDU waits for these now.
    PduHeld {
        /// Which one.
        reference: PduRef,
        /// Its conversation.
        context: ContextId,
        /// For what.
        hold: Hold,
    },
    /// A delivered state PDU counts among those of its key in this way from now on.
    StateKept {
        /// Its conversation.
        context: ContextId,
        /// The key.
        key: StateKey,
        /// What counts of it.
        piece: StatePiece,
    },
    /// Another state PDU holds the key.
    StateMoved {
        /// Its conversation.
        context: ContextId,
        /// The key.
        key: StateKey,
        /// The PDU that holds it; `None`: none that counts is left.
        current: Option<StatePiece>,
    },
    /// A state PDU that was told before has come to hold its key: the messenger is told again.
    StateAgain {
        /// Which one.
        reference: PduRef,
    },
    /// State PDUs name this one as replaced, and it was not delivered; or it was given up. Written over where it is known.
    LinkOpened {
        /// In which conversation.
        context: ContextId,
        /// Which one, and in which keys.
        link: StateLink,
    },
    /// It came after all.
    LinkClosed {
        /// In which conversation.
        context: ContextId,
        /// Which one.
        missing: PduRef,
    },
    /// A conversation's record is now this. Written whole, by its context actor alone.
    ContextMoved(Box<ContextRecord>),
    /// A conversation was too busy to take these PDUs: they wait in its stage. One that is there already is passed over.
    Staged {
        /// Which conversation.
        context: ContextId,
        /// Who sent them.
        from: ServerName,
        /// How that was proved.
        verified: &'static str,
        /// Which ones, in order, and each as it would be stored.
        pdus: Vec<(PduRef, Bytes)>,
    },
    /// A staged PDU was taken by its conversation, or refused.
    StageLeft {
        /// Which conversation.
        context: ContextId,
        /// Who sent it.
        from: ServerName,
        /// Its number among the staged ones of that server.
        number: u64,
        /// Which one: the number may have been given again.
        reference: PduRef,
    },
    /// A conversation has unfinished work that no other row tells of, or no longer: a join, or PDUs of servers that were let in
    /// and whose quarantine was not looked through to its end. It is started with the process while it has.
    ContextWork {
        /// Which conversation.
        context: ContextId,
        /// It has.
        unfinished: bool,
    },
    /// A parent was given up, or one more child was delivered without it.
    GapOpened {
        /// In which conversation.
        context: ContextId,
        /// Which parent, and who was delivered without it.
        gap: Gap,
    },
    /// A parent that was given up came after all.
    GapClosed {
        /// In which conversation.
        context: ContextId,
        /// Which parent.
        missing: PduRef,
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
    /// An inbound item leaves quarantine: it was taken after all, or an operator will not have it.
    QuarantineLeft {
        /// Who sent it.
        server: ServerName,
        /// Its number there.
        number: u64,
    },
    /// A dead letter is forgotten.
    DeadLetterLeft {
        /// Whom it was for.
        server: ServerName,
        /// The index it had in the outbox.
        index: Index,
    },
    /// A dead letter goes back to the end of its peer's outbox, and the peer is woken.
    DeadLetterRequeued {
        /// Whom it is for.
        server: ServerName,
        /// The index it had in the outbox.
        index: Index,
    },
    /// A PDU for which a server was left out goes to the end of its outbox after all, and the peer is woken.
    LeftOutQueued {
        /// Whom it is for.
        server: ServerName,
        /// The submission that became the PDU.
        submission: SubmissionId,
    },
    /// Open ends of a conversation beyond those that its record holds on disk.
    HeadsMoved {
        /// Of which conversation.
        context: ContextId,
        /// Those that stand there from now on.
        added: Vec<Head>,
        /// Those that do so no longer.
        gone: Vec<PduRef>,
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
    /// The texts of delivered PDUs are forgotten, and so are their places in the timeline: what stays of each is that it is known,
    /// and how deep it lies. Those delivered since `before` are passed over.
    PdusForgotten {
        /// Their conversation.
        context: ContextId,
        /// Their places, and which ones.
        pdus: Vec<(i64, PduRef)>,
        /// Only older ones go.
        before: Millis,
    },
    /// Submissions whose time to be repeated has passed.
    SubmissionsForgotten(Vec<SubmissionId>),
}

/// Whether a batch needs a commit for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Somebody waits for it.
    Now,
    /// It may ride with the next batch that somebody waits for, and is committed by itself soon after: losing it in a crash
    /// costs a repetition that the other side recognises, never a message.
    Rides,
}
