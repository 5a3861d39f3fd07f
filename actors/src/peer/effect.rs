//! The effects of a peer's state machine, and the collector that a step writes them into.

use crate::change::Change;
use crate::change::CommitPriority;
use crate::errors::{BatchError, CommandError};
use crate::model::{
    BridgedMessage, ContextId, FeedItem, FetchRequest, Index, Millis, OutboundBatch, Pdu, PeerReceipts, PeerState,
    PeerStatus, Receipt, ServerName, SuspendReason, TransactionReceipt,
};
use crate::peer::inbound::dispatch::ContextGroup;
use crate::peer::inbound::forwards::forward_run::ForwardRun;
use crate::peer::notices::HourlyNotice;
use crate::peer::outbound::relay::RelayWork;
use crate::reply_token::ReplyToken;

/// The reply to a push.
pub type PushReply = Result<Receipt, BatchError>;

/// The reply to a transaction.
pub type TransactionReply = Result<TransactionReceipt, BatchError>;

/// The reply to a command.
pub type CommandReply = Result<PeerStatus, CommandError>;

/// The reply to a batch, with its token.
#[derive(Debug, Clone, PartialEq)]
pub enum BatchReply {
    /// To a push.
    Push(ReplyToken<PushReply>, PushReply),
    /// To a transaction.
    Transaction(ReplyToken<TransactionReply>, TransactionReply),
}

/// A `pull` request for missed transactions of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pull {
    /// Newest transaction before the missed ones that we hold.
    pub after: u64,
    /// Number of pages requested so far, including this one.
    pub page: u32,
    /// True if the pull follows a restore of our store, and not unknown `prev_ids`.
    pub catch_up: bool,
}

/// The part of this server in a forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayRole {
    /// It wrote the update.
    Origin,
    /// It passes the update on.
    Relay,
    /// The update is for it.
    Destination,
}

impl RelayRole {
    /// Returns the role as metrics name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Relay => "relay",
            Self::Destination => "destination",
        }
    }
}

/// An action for the actor; the effects of a step are performed in order.
#[derive(Debug, Clone)]
pub enum PeerEffect {
    /// Submit this batch to the journal at once.
    Commit(Vec<Change>, CommitPriority),
    /// Send the reply once everything submitted so far is on disk.
    Answer(BatchReply),
    /// Answer an operator's command with the peer's status once everything submitted so far is on disk.
    Report(ReplyToken<CommandReply>),
    /// Refuse an operator's command.
    Decline(ReplyToken<CommandReply>, CommandError),
    /// Restart from the store with an empty crash history; the command is answered after the load.
    Restart(ReplyToken<CommandReply>),
    /// Pass PDUs to their context; the outcome returns as the event `Dispatched`.
    Dispatch {
        /// PDUs of the batch, by position, and their context.
        group: ContextGroup,
        /// Method by which the sender was authenticated.
        verified: &'static str,
        /// PDUs to pass on.
        pdus: Vec<Pdu>,
        /// True if earlier PDUs of this peer were staged: if they still are, these are staged after them.
        after_staged: bool,
    },
    /// Pass messages of groups to their context, which composes them; the outcome returns as the event `Dispatched`.
    DispatchMessages {
        /// Messages of the batch, by position, and their context.
        group: ContextGroup,
        /// Method by which the sender was authenticated.
        verified: &'static str,
        /// Messages to pass on.
        messages: Vec<BridgedMessage>,
        /// True if earlier PDUs of this peer were staged: while they are, the batch has to wait.
        after_staged: bool,
    },
    /// Do this for the delivery through third servers; what came of it returns as the event `Relay`.
    Relay(RelayWork),
    /// Set the timer of the delivery through third servers to this time; `None`: cancel it.
    RelayAt(Option<Millis>),
    /// Tell the actor of this server that the peer does not pass on to it, with the code.
    TellRelayRefused(ServerName, String),
    /// Give forwards to the actor of their origin; its answer returns as the event `Forwarded`.
    HandOver(ForwardRun),
    /// Count a forward under the part that this server has in it, and the result.
    CountForward(RelayRole, &'static str),
    /// Notify the context, once the batch of this step is on disk, that it stages PDUs of the context.
    TellStaged(ContextId),
    /// Fetch PDUs from the peer on behalf of a context, which gets the result.
    FetchFromPeer {
        /// Context that gets the result.
        context: ContextId,
        /// Request to send to the server.
        want: FetchRequest,
        /// Server whose budget is charged.
        cause: ServerName,
    },
    /// Ask the peer for its transactions after this one; the response returns as the event `Pulled`.
    Pull(Pull),
    /// Let another peer's actor ask, charged to this peer's budget.
    DelegateFetch {
        /// Server that will be asked.
        of: ServerName,
        /// Context that gets the result.
        context: ContextId,
        /// Request to send to the server.
        want: FetchRequest,
    },
    /// Notify the context that no server is asked now.
    FetchDeclined {
        /// Server that would have been asked.
        of: ServerName,
        /// Context that wanted the PDUs.
        context: ContextId,
        /// Request that is not sent.
        want: FetchRequest,
        /// Configuration key of the budget that is exhausted, if that is the reason.
        budget: Option<&'static str>,
    },
    /// Send a batch. `settled` delays it until everything submitted so far is on disk, because its numbers are new.
    Push {
        /// Number of the attempt; outcomes of other attempts are ignored.
        attempt: u64,
        /// Batch to send to the peer.
        frame: OutboundBatch,
        /// True if the numbers in the batch depend on a commit of this step.
        settled: bool,
    },
    /// Look for these PDUs among the items from one index to another; what is found returns as the event `ItemsFound`.
    FindItems {
        /// First index.
        from: Index,
        /// Last index.
        upto: Index,
        /// Receipts that name PDUs by their identity.
        receipts: PeerReceipts,
    },
    /// Count receipts by their result.
    CountReceipts(&'static str, u64),
    /// Abort the request and the outbox read in flight.
    Abort,
    /// Read outbox rows from here on.
    Load(Index),
    /// Set the timer to this time; it replaces any earlier one.
    Arm(Millis),
    /// Cancel the timer, if it is set.
    Disarm,
    /// Set the timer of the pulls to this time; `None`: cancel it.
    AskAt(Option<Millis>),
}

/// Collects the effects of one step. The batch always becomes the first effect, because the others may depend on it.
#[derive(Debug, Default)]
pub struct EffectCollector {
    pub(crate) changes: Vec<Change>,
    pub(crate) moved: Option<CommitPriority>,
    /// Changes for which no caller waits; alone they are deferred.
    pub(crate) notes: Vec<Change>,
    pub(crate) effects: Vec<PeerEffect>,
    /// Time of the step.
    pub(crate) now: Millis,
    /// Limiter of the notices about the peer's numbering. The machine lends it to each step.
    pub(crate) numbering: HourlyNotice,
}

impl EffectCollector {
    /// Adds a durable change.
    pub fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Adds the reply to a batch, if somebody waits for it.
    pub fn answer(&mut self, reply: Option<BatchReply>) {
        self.effects.extend(reply.map(PeerEffect::Answer));
    }

    /// Adds a change for which no caller waits, and which does not make the others urgent.
    pub fn note(&mut self, change: Change) {
        self.notes.push(change);
    }

    /// Adds a notice about the peer for the messenger.
    pub fn notice(&mut self, server: &ServerName, text: String) {
        self.change(Change::FeedAppended(FeedItem::Notice { text, server: Some(server.clone()) }));
    }

    /// Adds the event that tells the messenger of the peer's state.
    pub fn announce_state(&mut self, server: &ServerName, state: PeerState, reason: Option<SuspendReason>) {
        let (server, state, reason) = (server.clone(), state.as_str(), reason.map(SuspendReason::as_str));
        self.change(Change::FeedAppended(FeedItem::Peer { server, state, reason }));
    }

    /// Adds a notice about the peer's numbering. Of several within an hour only the first is raised, and the next one
    /// states their number.
    pub fn numbering_notice(&mut self, server: &ServerName, text: String) {
        let text = match self.numbering.admit(self.now) {
            None => return,
            Some(0) => text,
            Some(left_out) => format!("{text} (and {left_out} more notices about its numbering since the last one)"),
        };
        self.notice(server, text);
    }

    /// Marks the peer's record as changed, so that it is written with this priority.
    pub fn moved(&mut self, urgency: CommitPriority) {
        self.moved = match (self.moved, urgency) {
            (Some(CommitPriority::Now), _) | (_, CommitPriority::Now) => Some(CommitPriority::Now),
            _ => Some(CommitPriority::Deferred),
        };
    }

    /// Adds an effect of the step.
    pub fn effect(&mut self, effect: PeerEffect) {
        self.effects.push(effect);
    }
}
