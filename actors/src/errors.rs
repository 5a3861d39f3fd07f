//! The errors of requests, one type for each boundary. A variant is an error that callers handle differently.
//!
//! ```text
//!   AdmissionError -> UnavailableError -+-> PeerError -+-> BatchError     a peer's batch
//!                                       |              +-> SubmitError    updates of the messenger
//!                                       |              +-> CommandError   an operator's command
//!                                       +-> ContextError -> ComposeError <- DraftError
//! ```

use std::time::Duration;

use bytesize::ByteSize;

use crate::model::{ContextId, CountedNoun, Seq, ServerName, SubmissionId};

/// A limit is reached and nothing was accepted; the caller should retry after `wait`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
    /// A limit of the configuration is reached.
    #[error("{limit} is reached ({value})")]
    LimitReached {
        /// The configuration key of the limit.
        limit: &'static str,
        /// Value of the limit.
        value: u64,
        /// Time after which to retry.
        wait: Duration,
    },
    /// The disk is nearly full.
    #[error(
        "the disk has {} left ({free} bytes), and store.min_free is {}: nothing is accepted until there is room",
        ByteSize(*.free), ByteSize(*.min_free)
    )]
    DiskLow {
        /// Free bytes on the disk.
        free: u64,
        /// Limit that `store.min_free` sets.
        min_free: u64,
        /// Time after which to retry.
        wait: Duration,
    },
}

impl AdmissionError {
    /// Returns the configuration key of the limit.
    pub const fn limit(&self) -> &'static str {
        match self {
            Self::LimitReached { limit, .. } => limit,
            Self::DiskLow { .. } => "store.min_free",
        }
    }

    /// Returns the time after which to retry.
    pub const fn wait(&self) -> Duration {
        match self {
            Self::LimitReached { wait, .. } | Self::DiskLow { wait, .. } => *wait,
        }
    }
}

/// The request cannot be served now, whatever it is. Repeating it later is safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnavailableError {
    /// A limit is reached and nothing was accepted.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// The actor stopped while it handled the request, so the request may have been executed.
    #[error("the outcome is unknown; repeat the request")]
    OutcomeUnknown,
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}

/// A peer's actor cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The actor cannot be reached now.
    #[error(transparent)]
    Unavailable(#[from] UnavailableError),
    /// The name does not belong to a configured peer.
    #[error("{0} is not a peer of this server")]
    UnknownPeer(ServerName),
    /// The configuration denies the name.
    #[error("{0} is denied by federation.deny")]
    Denied(ServerName),
}

/// A batch of a peer is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The actor of the sender cannot be reached.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The peer's actor crashed too often and is suspended as faulty; an operator must resume it.
    #[error("the state of {0} is faulty; see the log, then resume it")]
    Faulty(ServerName),
    /// The batch has more items than the limit allows.
    #[error("a request holds at most {} (peers.intake_items), this one has {count}", CountedNoun((*.max).into(), "item"))]
    TooManyItems {
        /// Number of items in the batch.
        count: usize,
        /// Maximum number of items.
        max: u32,
    },
    /// The range does not match the number of updates, or it begins below 1.
    #[error(
        "seq {seq} does not fit {}{}",
        CountedNoun(*.count as u64, "strong update"), .from_seq.map(|n| format!(" from {n}")).unwrap_or_default()
    )]
    Misnumbered {
        /// `from_seq` of the push.
        from_seq: Option<Seq>,
        /// `seq` of the push.
        seq: Seq,
        /// Number of strong updates in the push.
        count: usize,
    },
}

impl BatchError {
    /// Returns the limit that is reached, if it is one.
    pub const fn admission(&self) -> Option<&AdmissionError> {
        match self {
            Self::Peer(PeerError::Unavailable(UnavailableError::Admission(limit))) => Some(limit),
            Self::Peer(_) | Self::Faulty(_) | Self::TooManyItems { .. } | Self::Misnumbered { .. } => None,
        }
    }
}

/// The outbox of a peer is full, because the peer has not accepted its items for too long; nothing was accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the outbox of {server} is full: the limit is {limit} ({key}); retry when the peer has accepted items, or raise the limit"
)]
pub struct OutboxFullError {
    /// Peer whose outbox is full.
    pub server: ServerName,
    /// The configuration key of the limit.
    pub key: &'static str,
    /// Value of the limit.
    pub limit: u64,
}

/// Updates of the messenger are not queued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The actor of a recipient cannot be reached.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The outbox of a recipient is full.
    #[error(transparent)]
    OutboxFull(#[from] OutboxFullError),
}

/// An operator's command is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The actor of the peer cannot be reached.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The peer's actor is suspended as faulty; only a resume helps.
    #[error("the state of {0} is faulty; see the log, then resume it")]
    Faulty(ServerName),
    /// The outbox has no room for the items that the command would queue.
    #[error(transparent)]
    OutboxFull(#[from] OutboxFullError),
    /// An operator requests a number far above the one in use, without confirmation.
    #[error(
        "number {number} is {above} above the last one in use with {server}, and renumber_max is {max}: all numbers between are \
         skipped for good; to order it all the same add --yes (\"yes\": true)"
    )]
    NumberFarAbove {
        /// Peer whose numbering is changed.
        server: ServerName,
        /// The number that the operator requested.
        number: Seq,
        /// Distance to the last number in use.
        above: u64,
        /// Value of `renumber_max`.
        max: u64,
    },
    /// The number is one that no update may have.
    #[error("numbers of updates go from 1 to {}: {number} for the first of {count} is beyond that", Seq::LIMIT.0 - 1)]
    NumberOutOfRange {
        /// Number of the first item.
        number: Seq,
        /// Number of items that would be numbered.
        count: u64,
    },
    /// The submission is unknown, or it was not queued for this server.
    #[error("submission {0} is unknown, or has no items for this peer")]
    UnknownSubmission(SubmissionId),
}

/// An operation on a context is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// The context's actor, or that of a peer it needs, cannot be reached now.
    #[error(transparent)]
    Unavailable(#[from] UnavailableError),
    /// A server that the operation needs is not a configured peer.
    #[error("{0} is not a peer of this server")]
    UnknownPeer(ServerName),
    /// A server that the operation needs is denied by the configuration.
    #[error("{0} is denied by federation.deny")]
    Denied(ServerName),
    /// The context does not exist.
    #[error("there is no context {0}")]
    UnknownContext(ContextId),
    /// The context's actor crashed too often and is suspended as faulty.
    #[error("the context {0} is faulty; see the log, then restart")]
    Faulty(ContextId),
    /// The context would have more participants than allowed.
    #[error(
        "a context has at most {} (contexts.participants_max), these are {count}",
        CountedNoun((*.max).into(), "participant")
    )]
    TooManyParticipants {
        /// Number of participants that the context would have.
        count: usize,
        /// Maximum number of participants.
        max: u32,
    },
}

/// One message is not composed; the others of the same call may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// A server was named that is not a participant of the context.
    #[error("{server} does not take part in {context}")]
    NotAParticipant {
        /// Server that was named.
        server: ServerName,
        /// Context that it does not participate in.
        context: ContextId,
    },
    /// A message is narrowed to a server that does not support narrowed messages.
    #[error(
        "{server} does not honour \"to\", and would pass the message on: only peers whose profile is \"fernpost\" can be named; \
         leave {server} out, or name all participants"
    )]
    ToNotHonoured {
        /// Server that does not support narrowed messages.
        server: ServerName,
    },
    /// State cannot be narrowed, because all participants must have the same state.
    #[error("state cannot be narrowed by \"to\": name all participants of {0}, or none")]
    StateNarrowed(ContextId),
    /// A state message of the local messenger has less power than the current state that it would replace.
    #[error(
        "power_level {own} is below {current}, that of the state it would replace (contexts.state.enforce_power); \
         submit it with {current} or more"
    )]
    PowerTooLow {
        /// Power level of the submitted message.
        own: i64,
        /// Power level of the current state.
        current: i64,
    },
}

/// A message is not composed, alone or with its whole call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// The whole call is refused.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// This message is refused.
    #[error(transparent)]
    Draft(#[from] DraftError),
}

impl From<PeerError> for ContextError {
    fn from(error: PeerError) -> Self {
        match error {
            PeerError::Unavailable(error) => Self::Unavailable(error),
            PeerError::UnknownPeer(server) => Self::UnknownPeer(server),
            PeerError::Denied(server) => Self::Denied(server),
        }
    }
}

/// Implements `From` for an error that flows into another through a third.
macro_rules! flows_through {
    ( $( $from:ident => $via:ident => $to:ident; )+ ) => {
        $( impl From<$from> for $to {
            fn from(error: $from) -> Self {
                $via::from(error).into()
            }
        } )+
    };
}

flows_through! {
    AdmissionError => UnavailableError => PeerError;
    AdmissionError => PeerError => BatchError;
    AdmissionError => PeerError => SubmitError;
    AdmissionError => PeerError => CommandError;
    AdmissionError => UnavailableError => ContextError;
    UnavailableError => PeerError => BatchError;
    UnavailableError => PeerError => SubmitError;
    UnavailableError => PeerError => CommandError;
}
