//! `Change`: one variant per durable fact. Actors submit changes to the journal; only the store knows tables.

use bytes::Bytes;

use crate::model::{
    Attempt, ContextId, ContextRecord, DeadLetterReason, DeliveredSpan, Delivery, Digest, FeedItem, ForwardMemory,
    ForwardRoute, Gap, GroupSubmission, Head, HeldForward, Index, Millis, MissingPrevState, ParkedItem, PduRef,
    PeerRecord, PendingParents, PlainCopy, Position, RefusedEvent, SeenTransaction, Seq, ServerName, StateEntry,
    StateKey, StoredPdu, Submission, SubmissionId, UsedNonce,
};

/// One durable fact. A batch of them is committed whole or not at all.
#[derive(Debug, Clone)]
pub enum Change {
    /// A submission was accepted. The writer stores each update once (a PDU is stored by its own change), appends a row
    /// to the outbox of each server, and notifies these peers after the commit: fan-out is part of the submission's own
    /// commit.
    Submitted(Submission),
    /// A submission of a PDU was accepted, or a PDU of another server was delivered, in a context that is a group for some
    /// servers: these get updates in place of the PDU.
    SubmittedToGroups(Box<GroupSubmission>),
    /// The record of a peer was updated. The peer's actor alone writes it, always whole.
    PeerRecordUpdated(Box<PeerRecord>),
    /// Acknowledged outbox rows of a peer are removed: at most `rows_max`, oldest first, of those up to `upto` that are
    /// more than `keep_items` behind it or were queued before `queued_before`.
    OutboxTrimmed {
        /// Peer whose outbox is trimmed.
        server: ServerName,
        /// Newest acknowledged index; nothing above it is removed.
        upto: Index,
        /// Number of acknowledged rows to keep, unless they are too old.
        keep_items: u64,
        /// Queue time before which acknowledged rows are removed.
        queued_before: Millis,
        /// Maximum number of rows removed per commit.
        rows_max: u32,
    },
    /// Items of a peer's outbox become dead letters with all their data (a refused item was sent, so its outbox row
    /// stays beside its letter). If the peer has more than `keep` dead letters, the oldest are removed.
    OutboxDeadLettered {
        /// Peer whose outbox the items are in.
        server: ServerName,
        /// Index of the first row; indexes without a row are skipped.
        first: Index,
        /// Index of the last row.
        last: Index,
        /// Reason for which they became dead letters.
        fate: DeadLetterReason,
        /// Reason as text, from the peer or from us.
        reason: String,
        /// Number of dead letters kept for this peer.
        keep: u64,
    },
    /// Items of a peer's outbox, which are those of one submission, are appended to the outbox of another peer, which is notified after
    /// the commit. Their submission records both.
    OutboxMoved {
        /// Peer whose outbox the items are in.
        server: ServerName,
        /// Index of the first row.
        first: Index,
        /// Index of the last row.
        last: Index,
        /// Peer to whose outbox they go.
        to: ServerName,
        /// Submission of the items.
        submission: SubmissionId,
    },
    /// A delivery attempt failed; it is kept for the traces of its items. If the peer has more than `keep` attempts, the
    /// oldest are removed.
    AttemptFailed {
        /// Peer whose outbox changes.
        server: ServerName,
        /// The failed attempt and its reason.
        attempt: Attempt,
        /// Maximum number of attempts that are kept for this peer.
        keep: u32,
    },
    /// A peer accepted these items; this is kept for their traces. The newest deliveries are in the peer's record until
    /// they fill a row.
    Delivered {
        /// Peer whose outbox changes.
        server: ServerName,
        /// Deliveries in the order of their times; never empty.
        spans: Vec<DeliveredSpan>,
    },
    /// Deliveries before this time are removed: at most `rows_max` rows, oldest first.
    DeliveriesForgotten {
        /// Peer whose outbox changes.
        server: ServerName,
        /// Time before which rows are removed.
        before: Millis,
        /// Maximum number of rows removed per commit.
        rows_max: u32,
    },
    /// A transaction was acknowledged by a peer: its id and the range of its items. It is kept as long as the rows of
    /// the items.
    TransactionSent {
        /// Peer that acknowledged it.
        server: ServerName,
        /// Id of the transaction.
        id: u64,
        /// Index of the first item.
        first: Index,
        /// Index of the last item.
        last: Index,
    },
    /// The peer's messenger has acknowledged these items of ours: whoever asked for a receipt gets an event.
    ItemsHandedOver {
        /// Peer whose messenger it is.
        server: ServerName,
        /// Ranges of indexes, both ends included.
        spans: Vec<(u64, u64)>,
    },
    /// The peer's messenger has refused an item of ours, which becomes a dead letter; an event reports it.
    ItemRejected {
        /// Peer whose messenger it is.
        server: ServerName,
        /// Index of the item.
        index: Index,
        /// Reason as the messenger gave it.
        reason: String,
        /// Number of dead letters kept for this peer.
        keep: u64,
    },
    /// Digests of strong updates that were accepted from a peer; they tell a repeat from another update.
    InboundDigestsStored {
        /// Peer that sent the updates.
        from: ServerName,
        /// Number of the first update.
        first: Seq,
        /// Digests in ascending order of the numbers, one per number.
        digests: Vec<Digest>,
        /// Number below which digests are deleted.
        forget_below: Seq,
    },
    /// A transaction of a peer was accepted. Only the newest `keep` transactions of the peer are remembered.
    TransactionSeen {
        /// Peer that sent the transaction.
        from: ServerName,
        /// Transaction with its verdicts.
        seen: SeenTransaction,
        /// Number of transactions to remember.
        keep: u32,
    },
    /// A signed request was accepted. Its nonce is remembered until the signature is too old, so that a copy of the request is
    /// refused, also after a crash.
    NonceUsed(UsedNonce),
    /// A forward goes to the outbox of its destination, which is notified after the commit, unless it is remembered: then nothing
    /// is stored. It is remembered from then on.
    ForwardPassedOn {
        /// Its two ends.
        route: ForwardRoute,
        /// Id that the origin gave to it.
        id: Box<str>,
        /// Time at which its origin wrote it, from which its stay in the outbox is counted.
        sent: Millis,
        /// Text that is sent on.
        text: Bytes,
        /// Number and age of the forwards of this origin that are remembered.
        memory: ForwardMemory,
    },
    /// Updates of ours for another server go to the outbox of a relay as forwards, which is notified after the commit.
    ForwardsQueued {
        /// Relay that is to pass them on.
        via: ServerName,
        /// Ourselves, and the server that is to get the updates.
        route: ForwardRoute,
        /// Ids and texts of the forwards, in order.
        forwards: Vec<(Box<str>, Bytes)>,
    },
    /// A forward for us was taken, and is remembered from then on.
    ForwardTaken {
        /// Server that wrote the update.
        origin: ServerName,
        /// Id that the origin gave to it.
        id: Box<str>,
        /// Number and age of the forwards of this origin that are remembered.
        memory: ForwardMemory,
    },
    /// Forwarded updates of a peer wait for the updates before them.
    ForwardsHeld {
        /// Peer that wrote the updates.
        from: ServerName,
        /// The updates with their numbers.
        updates: Vec<HeldForward>,
    },
    /// Forwarded updates of a peer no longer wait, because the expected number has passed theirs or they have no meaning any more.
    HeldForwardsDropped {
        /// Peer that wrote the updates.
        from: ServerName,
        /// Number below which they are removed.
        below: Seq,
    },
    /// A PDU is stored for the first time. A delivered one is also appended to the timeline, and to the feed if it is
    /// shown.
    PduStored(Box<StoredPdu>),
    /// A held PDU is delivered: into the timeline, and into the feed if it is shown.
    PduDelivered {
        /// Identity of the PDU.
        reference: PduRef,
        /// Context of the PDU.
        context: ContextId,
        /// Position and flags of the delivery.
        delivery: Delivery,
    },
    /// The set of parents that a held PDU waits for has changed.
    PduHeld {
        /// Identity of the PDU.
        reference: PduRef,
        /// Context of the PDU.
        context: ContextId,
        /// Parents that it waits for now.
        hold: PendingParents,
    },
    /// A delivered state PDU was recorded, or updated, as a candidate of its key.
    StateEventStored {
        /// Context of the PDU.
        context: ContextId,
        /// Key of the state entry.
        key: StateKey,
        /// Candidate as state resolution sees it.
        piece: StateEntry,
    },
    /// Another state PDU is the current state of a key.
    CurrentStateChanged {
        /// Context of the key.
        context: ContextId,
        /// Key of the state entry.
        key: StateKey,
        /// State PDU that is current; `None`: no valid candidate is left.
        current: Option<StateEntry>,
    },
    /// A state PDU that is in the feed already became the current state: it is emitted again.
    StateReemitted {
        /// Identity of the PDU.
        reference: PduRef,
    },
    /// State PDUs name a `prev_state` that is not delivered, or that was given up. An existing row of it is
    /// overwritten.
    MissingPrevStateAdded {
        /// Context of the state PDUs.
        context: ContextId,
        /// Missing PDU and the keys that name it.
        link: MissingPrevState,
    },
    /// A missing `prev_state` arrived.
    MissingPrevStateResolved {
        /// Context of the PDU.
        context: ContextId,
        /// Identity of the PDU.
        missing: PduRef,
    },
    /// The record of a context was updated. The context's actor alone writes it, always whole.
    ContextRecordUpdated(Box<ContextRecord>),
    /// A context was too busy to process these PDUs, so they are staged. A PDU that is staged already is skipped.
    Staged {
        /// Context that the change belongs to.
        context: ContextId,
        /// Peer that sent the PDUs.
        from: ServerName,
        /// Method by which the sender was authenticated.
        verified: &'static str,
        /// The PDUs in order, each with the text that would be stored.
        pdus: Vec<(PduRef, Bytes)>,
    },
    /// A staged PDU was processed by its context, or refused.
    StageLeft {
        /// Context that the change belongs to.
        context: ContextId,
        /// Peer that sent the item.
        from: ServerName,
        /// Number of the PDU among those staged for that server.
        number: u64,
        /// The PDU, because its number may have been assigned again.
        reference: PduRef,
    },
    /// A context has, or no longer has, unfinished work that no other row shows: a join, or quarantine that was not read to
    /// its end after servers were added. While it has, the context is started with the process.
    ContextWork {
        /// Context that the change belongs to.
        context: ContextId,
        /// True if the context has unfinished work.
        unfinished: bool,
    },
    /// A parent was given up, or one more child was delivered without it.
    GapOpened {
        /// Context of the gap.
        context: ContextId,
        /// Missing parent and the children that were delivered without it.
        gap: Gap,
    },
    /// A parent that was given up arrived later.
    GapClosed {
        /// Context of the gap.
        context: ContextId,
        /// Identity of the parent.
        missing: PduRef,
    },
    /// An event is appended to the messenger's feed. The writer assigns its position.
    FeedAppended(FeedItem),
    /// An inbound item is quarantined, and a feed event reports it. If the peer has more than `keep` rows, the oldest
    /// is removed.
    Quarantined {
        /// Item that goes to quarantine.
        parked: ParkedItem,
        /// Number of rows kept for this peer.
        keep: u64,
    },
    /// An inbound item is removed from quarantine: it was accepted later, or an operator discarded it.
    QuarantineRemoved {
        /// Peer that sent the item.
        server: ServerName,
        /// Number of the item in that peer's quarantine.
        number: u64,
    },
    /// A dead letter is deleted.
    DeadLetterDeleted {
        /// Peer that the item was for.
        server: ServerName,
        /// Index that the item had in the outbox.
        index: Index,
    },
    /// A dead letter is appended to its peer's outbox again, and the peer is notified.
    DeadLetterRequeued {
        /// Peer that the item is for.
        server: ServerName,
        /// Index that the item had in the outbox.
        index: Index,
    },
    /// A PDU whose recipient had been skipped is appended to that recipient's outbox, and the peer is notified.
    SkippedRecipientQueued {
        /// Peer that the item is for.
        server: ServerName,
        /// The submission that became the PDU.
        submission: SubmissionId,
    },
    /// An update is appended to the outbox of a skipped recipient, for which the context of the PDU is a group.
    SkippedCopyQueued {
        /// The submission that became the PDU.
        submission: SubmissionId,
        /// The recipient and its update.
        copy: PlainCopy,
    },
    /// The set of heads beyond those stored in the context's record has changed.
    OverflowHeadsChanged {
        /// Context of the heads.
        context: ContextId,
        /// Heads that are added.
        added: Vec<Head>,
        /// Heads that are removed.
        gone: Vec<PduRef>,
    },
    /// The messenger acknowledged everything up to a position.
    FeedAcked {
        /// Newest position that is acknowledged.
        upto: Position,
    },
    /// The messenger refused an event. If more than `keep` are refused, the oldest are removed.
    EventRefused {
        /// The event and the reason.
        event: RefusedEvent,
        /// Number of refused events that are kept.
        keep: u64,
    },
    /// A refused event is pushed again, after all events that the feed has now.
    RefusedEventReleased {
        /// Position of the event.
        position: Position,
    },
    /// A refused event is deleted.
    RefusedEventDropped {
        /// Position of the event.
        position: Position,
    },
    /// Released events up to this number were pushed.
    ReleasedEventsPushed {
        /// Number of the last one.
        upto: u64,
    },
    /// Transaction ids up to this one may have been used for pushes to the messenger.
    PushIdsReserved {
        /// Highest id that is reserved.
        upto: u64,
    },
    /// The messenger took acknowledgements back: what follows a position counts as unread.
    FeedRewound {
        /// Newest position that stays acknowledged.
        to: Position,
    },
    /// Acknowledged feed rows that were written before `before` are removed: at most `rows_max`, oldest first.
    FeedTrimmed {
        /// Time before which rows are removed.
        before: Millis,
        /// Maximum number of rows that one commit removes.
        rows_max: u32,
    },
    /// The texts of delivered PDUs and their timeline rows are pruned; of each PDU only its identity and depth remain.
    /// PDUs that were delivered since `before` are skipped.
    PduContentPruned {
        /// Context of the PDUs.
        context: ContextId,
        /// Timeline positions and identities of the PDUs.
        pdus: Vec<(i64, PduRef)>,
        /// Time of delivery from which PDUs are skipped.
        before: Millis,
    },
    /// Submissions are deleted, because the time in which they may be repeated has passed.
    SubmissionsPruned(Vec<SubmissionId>),
}

/// The commit priority of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitPriority {
    /// The batch is committed as soon as possible, because a caller waits for it.
    Now,
    /// The batch is deferred: it is committed together with the next urgent batch, or alone soon after. Losing it in a
    /// crash costs a repetition that the other side recognises, never a message.
    Deferred,
}
