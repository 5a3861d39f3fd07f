//! Messages of a peer's actor: those from outside, in one enum, so that a handle need not know the actor type; and those of
//! the tasks that the actor starts.

use std::sync::Arc;

use actix::Message;
use tokio::sync::oneshot;

use crate::limits::PeerLimits;
use crate::model::{
    ContextId, FetchRequest, InboundPush, InboundTransaction, PeerCommand, PeerReceipts, PeerStatus, ServerName,
};
use crate::peer::effect::{BatchReply, CommandReply, PushReply, TransactionReply};
use crate::peer::fetch_budget::FetchCost;
use crate::peer::machine::PeerEvent;
use crate::peer::outbound::ephemeral_buffer::EphemeralItem;
use crate::ports::OutboxGrown;
use crate::supervise::admission::AdmissionPermit;
use crate::supervise::reply_table::{ReadyReply, ReplyTable, drop_in_order};

/// The replies that a peer's actor owes. If a channel is dropped without a reply, the caller is told that the outcome is unknown.
#[derive(Default)]
pub(crate) struct PeerReplies {
    pub(crate) pushes: ReplyTable<PushReply>,
    pub(crate) transactions: ReplyTable<TransactionReply>,
    pub(crate) commands: ReplyTable<CommandReply>,
}

impl PeerReplies {
    /// Returns the reply to send to a batch, or `None` if its channel was dropped before.
    pub(crate) fn ready(&mut self, reply: BatchReply) -> Option<ReadyReply> {
        match reply {
            BatchReply::Push(token, reply) => self.pushes.ready(token, reply),
            BatchReply::Transaction(token, reply) => self.transactions.ready(token, reply),
        }
    }

    /// Drops all channels, in the order of their requests.
    pub(crate) fn clear(&mut self) {
        let mut dropped = vec![];
        let Self { pushes, transactions, commands } = self;
        pushes.drain_into(&mut dropped);
        transactions.drain_into(&mut dropped);
        commands.drain_into(&mut dropped);
        drop_in_order(dropped);
    }
}

/// A message from outside the actor. [`PeerHandle`](super::PeerHandle) sends it.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) enum PeerMessage {
    /// Accept a push of the peer.
    AcceptPush {
        /// Push that the peer sent.
        push: InboundPush,
        /// Channel of the reply.
        reply: oneshot::Sender<PushReply>,
        /// Admission permit of the request.
        permit: AdmissionPermit,
    },
    /// Accept updates of the peer that another server passed on.
    AcceptForwarded {
        /// Updates, as a push of the peer.
        push: InboundPush,
        /// Channel of the reply.
        reply: oneshot::Sender<PushReply>,
        /// Admission permit of the request.
        permit: AdmissionPermit,
    },
    /// Accept a transaction of the peer.
    AcceptTransaction {
        /// Transaction that the peer sent.
        transaction: InboundTransaction,
        /// Channel of the reply.
        reply: oneshot::Sender<TransactionReply>,
        /// Admission permit of the request.
        permit: AdmissionPermit,
    },
    /// The peer's outbox has grown. It is a hint that may be lost.
    OutboxGrown(OutboxGrown),
    /// Send an ephemeral item to the peer.
    SendEphemeral(EphemeralItem),
    /// Tell the peer what our messenger has done with its items.
    TellReceipts(PeerReceipts),
    /// A context misses parents of a PDU that this peer sent. Nobody waits for a reply: the result goes to the context.
    FetchPdus {
        /// Context that misses the parents.
        context: ContextId,
        /// Request for the parents.
        want: FetchRequest,
        /// Server that may have them.
        of: ServerName,
    },
    /// Ask the peer for PDUs.
    AskForPdus {
        /// Context that gets the result.
        context: ContextId,
        /// Request to send to the server.
        want: FetchRequest,
        /// Server whose budget is charged.
        cause: ServerName,
    },
    /// A server of the route has refused to pass on to the peer.
    RelayRefused {
        /// The server.
        via: ServerName,
        /// Its code.
        code: String,
    },
    /// A fetch that the peer caused has finished.
    FetchCompleted(FetchCost),
    /// Work with these limits from now on.
    ChangeLimits(Arc<PeerLimits>),
    /// Return the status of the peer.
    GetStatus {
        /// Channel of the reply.
        reply: oneshot::Sender<PeerStatus>,
    },
    /// Run an operator's command.
    RunCommand {
        /// Command to run for the peer.
        order: PeerCommand,
        /// Channel of the reply.
        reply: oneshot::Sender<CommandReply>,
    },
}

/// A task that the actor started has finished.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct TaskFinished {
    /// Incarnation that started the task; completions of an earlier incarnation are ignored.
    pub(crate) life: u64,
    /// Event that the task results in.
    pub(crate) event: PeerEvent,
}
