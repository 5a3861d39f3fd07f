//! One actor per remote server. It owns the numbering of outbound items, the timer of the retries, and the position
//! reached in the peer's inbound sequence.
//!
//! ```text
//!   wire ---- accept_push, ----------> actor ----> machine ---+--- inbound    received: each update once, in order
//!             accept_transaction       (actix)     (pure)     +--- outbound   sent: states, retries
//!   journal - Wake (a hint) --------->    |                          +--- outbox   window, cursor, numbering
//!   timer, replies, rows ------------>    v effects
//!                          journal, archive, transport, timer
//! ```
//!
//! Start reading at `inbound` for what the peer sends (`inbound/classify_push.rs` has the whole rule for a push,
//! `inbound/dispatch.rs` the way of its PDUs to their contexts), and at `outbound`, which has the whole policy of delivery.

pub(crate) mod actor;
pub mod effect;
pub mod fetch_budget;
mod first_dialect;
mod handover;
pub mod inbound;
pub mod machine;
mod messages;
pub mod notices;
pub mod outbound;
pub mod rate_limit;
pub mod receipts;
pub(crate) mod shared;
pub(crate) mod shared_stats;
mod state_log;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use actix::{Recipient, WeakRecipient};
use tokio::sync::oneshot;

use crate::errors::{AdmissionError, CommandError, OutboxFullError, UnavailableError};
use crate::limits::{PeerLimits, PeerListing};
use crate::model::{
    ContextId, FetchRequest, InboundPush, InboundTransaction, Millis, PeerCommand, PeerQueueSize, PeerReceipts,
    PeerStatus, ServerName,
};
use crate::peer::effect::{PushReply, TransactionReply};
use crate::peer::fetch_budget::FetchCost;
use crate::peer::outbound::ephemeral_buffer::EphemeralItem;
use crate::peer::shared::PeerShared;
use crate::ports::OutboxGrown;
use crate::supervise::admission::AdmissionPermit;
use crate::supervise::mailbox::post_to;
use messages::PeerMessage;

/// A handle to a peer's actor. Callers fetch it per request and drop it afterwards, because a peer with a handle is not
/// evicted.
pub struct PeerHandle {
    mailbox: Recipient<PeerMessage>,
    shared: Arc<PeerShared>,
}

/// A handle that does not keep a stopping actor alive.
pub(crate) struct WeakPeer {
    mailbox: WeakRecipient<PeerMessage>,
    shared: Arc<PeerShared>,
}

impl WeakPeer {
    /// Returns a handle again, if the actor still runs.
    pub(crate) fn revive(&self) -> Option<Arc<PeerHandle>> {
        let mailbox = self.mailbox.upgrade().filter(Recipient::connected)?;
        Some(Arc::new(PeerHandle { mailbox, shared: self.shared.clone() }))
    }
}

/// Configuration key of the limit on items per second.
pub(crate) const RATE: &str = "peers.rate";

/// Configuration key of the limit on items per second of a stranger.
const STRANGERS_RATE: &str = "federation.strangers.rate";

impl PeerHandle {
    pub(crate) fn new(mailbox: Recipient<PeerMessage>, shared: Arc<PeerShared>) -> Self {
        Self { mailbox, shared }
    }

    /// Takes a permit for a batch, or returns the limit that is reached.
    pub(crate) fn acquire_permit(&self) -> Result<AdmissionPermit, AdmissionError> {
        self.shared.intake.enter()
    }

    /// Takes tokens for this number of items from the rate limiter, or returns the time until there are enough.
    pub(crate) fn pace(&self, items: usize) -> Result<(), AdmissionError> {
        let pace = self.shared.pace.load();
        let Some(pace) = pace.as_ref() else { return Ok(()) };
        let limits = self.shared.limits.load();
        let limit = if limits.listing == PeerListing::Stranger { STRANGERS_RATE } else { RATE };
        let value = limits.rate.into();
        let busy = |wait| AdmissionError::LimitReached { limit, value, wait };
        pace.ask(|bucket, now| bucket.take(now, items)).map_err(busy)
    }

    /// Takes a permit to hold a request until it is admitted, with the longest time to hold it. `None`: the peer's
    /// requests are not held, because it does not treat refusals as final.
    pub(crate) fn acquire_held_permit(&self) -> Option<Result<(AdmissionPermit, Duration), AdmissionError>> {
        self.shared.held().map(|held| Ok((held.enter()?, self.shared.limits.load().hold_max)))
    }

    /// Accepts a push. It answers after the commit of everything that the answer depends on.
    pub(crate) async fn accept_push(&self, push: InboundPush, permit: AdmissionPermit) -> PushReply {
        let (reply, answer) = oneshot::channel();
        post_to(&self.mailbox, PeerMessage::AcceptPush { push, reply, permit });
        answer.await.unwrap_or(Err(UnavailableError::OutcomeUnknown.into()))
    }

    /// Accepts updates of the peer that another server passed on. The message is posted at once, so that runs keep their order;
    /// the answer comes after the commit.
    pub(crate) fn accept_forwarded(
        &self,
        push: InboundPush,
        permit: AdmissionPermit,
    ) -> impl Future<Output = PushReply> + 'static {
        let (reply, answer) = oneshot::channel();
        post_to(&self.mailbox, PeerMessage::AcceptForwarded { push, reply, permit });
        async move { answer.await.unwrap_or(Err(UnavailableError::OutcomeUnknown.into())) }
    }

    /// Accepts a transaction. It answers after the commit of everything that the answer depends on.
    pub(crate) async fn accept_transaction(
        &self,
        transaction: InboundTransaction,
        permit: AdmissionPermit,
    ) -> TransactionReply {
        let (reply, answer) = oneshot::channel();
        post_to(&self.mailbox, PeerMessage::AcceptTransaction { transaction, reply, permit });
        answer.await.unwrap_or(Err(UnavailableError::OutcomeUnknown.into()))
    }

    /// Returns the status of the peer.
    pub async fn status(&self) -> Result<PeerStatus, UnavailableError> {
        let (reply, status) = oneshot::channel();
        post_to(&self.mailbox, PeerMessage::GetStatus { reply });
        status.await.map_err(|_| UnavailableError::OutcomeUnknown)
    }

    /// Runs an operator's command; answers with the peer's status after the commit. The number of commands under way is
    /// bounded by the requests that operators may have open.
    pub async fn order(&self, order: PeerCommand) -> Result<PeerStatus, CommandError> {
        let (reply, answer) = oneshot::channel();
        post_to(&self.mailbox, PeerMessage::RunCommand { order, reply });
        answer.await.unwrap_or(Err(UnavailableError::OutcomeUnknown.into()))
    }

    /// Checks that `items` more, of `bytes` in total, fit into the peer's outbox.
    ///
    /// Submissions that are being committed are not counted, so the limit may be exceeded by as many as the messenger's
    /// admission lets in.
    pub fn has_room(&self, items: usize, bytes: usize) -> Result<(), OutboxFullError> {
        self.shared.has_room(items as u64, bytes as u64)
    }

    /// Sends an ephemeral item to the peer. The actor's buffer bounds how many are kept; the number under way is
    /// bounded by the requests that the messenger may have open.
    pub fn weak(&self, fleeting: EphemeralItem) {
        self.send(PeerMessage::SendEphemeral(fleeting));
    }

    /// Tells the peer what our messenger has done with its items.
    pub(crate) fn tell_receipts(&self, receipts: PeerReceipts) {
        self.send(PeerMessage::TellReceipts(receipts));
    }

    /// Requests missing parents of a PDU that this peer sent; `of` is the server to ask.
    pub(crate) fn fetch(&self, context: ContextId, want: FetchRequest, of: ServerName) {
        self.send(PeerMessage::FetchPdus { context, want, of });
    }

    /// Asks the peer for PDUs, charged to the budget of `cause`.
    pub(crate) fn ask(&self, context: ContextId, want: FetchRequest, cause: ServerName) {
        self.send(PeerMessage::AskForPdus { context, want, cause });
    }

    /// Charges the cost of a finished fetch that the peer caused.
    pub(crate) fn charge_fetch(&self, spent: FetchCost) {
        self.send(PeerMessage::FetchCompleted(spent));
    }

    /// Reports that a server of the route has refused to pass on to the peer.
    pub(crate) fn relay_refused(&self, via: ServerName, code: String) {
        self.send(PeerMessage::RelayRefused { via, code });
    }

    /// Returns the number of items for which the outbox has room.
    pub(crate) fn room(&self) -> u64 {
        self.shared.room()
    }

    pub(crate) fn wake(&self, woken: OutboxGrown) {
        self.shared.gauge.outbox_grew(woken.tail, woken.queued_bytes);
        self.send(PeerMessage::OutboxGrown(woken));
    }

    /// Sends a message without waiting for a reply. The peer is marked busy first, because no handle keeps it from
    /// being evicted until the message arrives.
    fn send(&self, message: PeerMessage) {
        self.shared.gauge.busy();
        post_to(&self.mailbox, message);
    }

    /// Returns the place of the server in the configuration.
    pub(crate) fn listing(&self) -> PeerListing {
        self.shared.limits.load().listing
    }

    /// Returns the name of the server.
    pub(crate) fn server(&self) -> &ServerName {
        &self.shared.server
    }

    /// Applies limits of the configuration, unless the actor has them.
    pub(crate) fn change_limits(&self, limits: &Arc<PeerLimits>) {
        if self.shared.change_limits(limits) {
            self.send(PeerMessage::ChangeLimits(limits.clone()));
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.mailbox.connected()
    }

    /// Returns whether the peer can be evicted: it is idle, no request holds a permit, and nothing would be forgotten.
    pub(crate) fn is_free(&self, now: Millis) -> bool {
        self.shared.gauge.is_evictable(now) && self.shared.is_unused()
    }

    /// Records a look of the sweep for idle peers. Returns whether the peer was idle in this many looks in a row.
    pub(crate) fn note_look(&self, now: Millis, looks: u8) -> bool {
        self.shared.gauge.note_look(now, looks)
    }

    /// Returns whether the peer can be evicted because it was idle in this many looks of the sweep.
    pub(crate) fn is_rested(&self, now: Millis, looks: u8) -> bool {
        self.shared.gauge.was_idle_for(looks) && self.is_free(now)
    }

    /// Returns the state and the backlog after the last step, without asking the actor.
    pub(crate) fn state_and_backlog(&self) -> (&'static str, u64) {
        (self.shared.gauge.state(), self.shared.gauge.backlog())
    }

    /// Returns the queue of the peer after the last step, without asking the actor.
    pub(crate) fn queue_size(&self) -> PeerQueueSize {
        let gauge = &self.shared.gauge;
        let (state, backlog) = self.state_and_backlog();
        // A peer whose queue is empty may still have the time of its last item.
        let oldest = gauge.oldest().filter(|_| backlog > 0);
        let (server, backlog_bytes) = (self.shared.server.clone(), gauge.bytes());
        PeerQueueSize { server, state, backlog, backlog_bytes, acked: gauge.acked(), oldest }
    }

    /// Records a use of the peer; `count` rises with each use.
    pub(crate) fn touch(&self, count: u64) {
        self.shared.gauge.touch(count);
    }

    /// Returns the count of the last use.
    pub(crate) fn used(&self) -> u64 {
        self.shared.gauge.used()
    }

    /// Returns a handle that does not keep the actor alive.
    pub(crate) fn downgrade(&self) -> WeakPeer {
        WeakPeer { mailbox: self.mailbox.downgrade(), shared: self.shared.clone() }
    }
}
