//! One actor per remote server. It owns the numbers of what we send there, the clock of its retries, and the place we have
//! reached in what it sends us.
//!
//! ```text
//!   wire ---- PeerHandle::accept ----> shell ----> machine ---+--- inbound    what comes: each update once, in order
//!   journal - Wake (a hint) ---------> (actix)     (pure)     +--- outbound   what goes: states, retries
//!   timer, replies, rows ------------>    |                          +--- outbox   window, cursor, numbering
//!                                         v effects
//!                          journal, archive, transport, timer
//! ```
//!
//! Start reading at [`outbound`]: it is the whole policy of delivery. [`place`] is the whole rule of receiving.

mod attempts;
pub mod budget;
#[cfg(test)]
mod conversation;
pub mod dispatch;
pub mod effect;
pub mod inbound;
pub mod label;
pub mod machine;
mod messages;
pub mod outbound;
pub mod outbox;
pub mod place;
pub mod rate;
pub(crate) mod shell;
pub mod weak;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::Addr;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::limits::PeerLimits;
use crate::model::{ContextId, Millis, Order, PeerStatus, Refusal, ServerName, Taken, Want};
use crate::ports::Woken;
use crate::supervise::intake::{Intake, Permit};
use crate::supervise::post::post;
use budget::Spent;
use inbound::Frame;
use messages::{Accept, Ask, Charge, Fetch, Ordered, Status, Wake, Weak};
use rate::Bucket;
use shell::{Gauge, PeerActor};
use weak::Fleeting;

/// The way to a peer's actor. Fetched for each request and dropped with it.
pub struct PeerHandle {
    server: ServerName,
    address: Addr<PeerActor>,
    intake: Intake,
    /// Requests held until there is room, of a peer that takes every refusal for good.
    held: Option<Intake>,
    /// Where the configuration sets a pace. Boxed: it seldom does.
    pace: Option<Box<Pace>>,
    gauge: Arc<Gauge>,
    limits: Arc<PeerLimits>,
}

/// The pace at which items may come.
struct Pace {
    bucket: Mutex<Bucket>,
    /// The bucket's time begins here: wall time may be set.
    born: Instant,
}

/// What the operator calls the limit on items a second.
pub(crate) const RATE: &str = "peers.rate";

impl PeerHandle {
    pub(crate) fn new(
        server: ServerName,
        address: Addr<PeerActor>,
        gauge: Arc<Gauge>,
        limits: Arc<PeerLimits>,
    ) -> Self {
        let intake = || Intake::new("peers.intake_max", limits.intake_max);
        let bucket = || Mutex::new(Bucket::new(limits.rate, limits.batch_items, Millis(0)));
        let pace = (limits.rate > 0).then(|| Box::new(Pace { bucket: bucket(), born: Instant::now() }));
        let held = limits.answers_late.then(intake);
        Self { server, address, intake: intake(), held, pace, gauge, limits }
    }

    /// The right to bring a batch, or which limit it meets.
    pub(crate) fn enter(&self) -> Result<Permit, Refusal> {
        self.intake.enter()
    }

    /// Whether so many items more may come now.
    pub(crate) fn pace(&self, items: usize) -> Result<(), Refusal> {
        let Some(Pace { bucket, born }) = self.pace.as_deref() else { return Ok(()) };
        let now = Millis(u64::try_from(born.elapsed().as_millis()).unwrap_or(u64::MAX));
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = |wait| Refusal::Busy { limit: RATE, value: self.limits.rate.into(), wait };
        bucket.take(now, items).map_err(busy)
    }

    /// For a peer that takes every refusal for good: the right to be held until there is room, and for how long at most.
    pub(crate) fn hold(&self) -> Option<Result<(Permit, Duration), Refusal>> {
        self.held.as_ref().map(|held| Ok((held.enter()?, self.limits.hold_max)))
    }

    /// Take a batch. Answers after the commit of all the answer rests on.
    pub(crate) async fn accept(&self, frame: Frame, permit: Permit) -> Result<Taken, Refusal> {
        let (reply, answer) = oneshot::channel();
        post(&self.address, Accept { frame, reply, permit });
        answer.await.unwrap_or(Err(Refusal::OutcomeUnknown))
    }

    /// The peer as it stands.
    pub async fn status(&self) -> Result<PeerStatus, Refusal> {
        self.seen(false).await
    }

    /// The same without its attempts: whoever lists a thousand peers does not copy twenty of each.
    pub async fn brief(&self) -> Result<PeerStatus, Refusal> {
        self.seen(true).await
    }

    async fn seen(&self, brief: bool) -> Result<PeerStatus, Refusal> {
        let (reply, status) = oneshot::channel();
        post(&self.address, Status { reply, brief });
        status.await.map_err(|_| Refusal::OutcomeUnknown)
    }

    /// Do what an operator orders; answers with the peer as it stands once that is on disk. How many orders are on the way is
    /// bounded by the requests an operator may have open.
    pub async fn order(&self, order: Order) -> Result<PeerStatus, Refusal> {
        let (reply, answer) = oneshot::channel();
        post(&self.address, Ordered { order, reply });
        answer.await.unwrap_or(Err(Refusal::OutcomeUnknown))
    }

    /// Whether `items` more, of `bytes` in all, may be queued for the peer.
    ///
    /// Submissions being committed are not counted: the bound may be passed by as many as the messenger's door lets in.
    pub fn has_room(&self, items: usize, bytes: usize) -> Result<(), Refusal> {
        let full = |key, limit| Err(Refusal::OutboxFull { server: self.server.clone(), key, limit });
        if self.gauge.backlog() + items as u64 > self.limits.outbox_items {
            return full("peers.outbox_items", self.limits.outbox_items);
        }
        if self.gauge.bytes() + bytes as u64 > self.limits.outbox_bytes {
            return full("peers.outbox_bytes", self.limits.outbox_bytes);
        }
        Ok(())
    }

    /// Something ephemeral for the peer. The actor's ring bounds how many are kept; how many are on the way there is bounded by
    /// the requests the messenger may have open.
    pub fn weak(&self, fleeting: Fleeting) {
        post(&self.address, Weak(fleeting));
    }

    /// A PDU of this peer's lacks parents; `of` is to be asked for them.
    pub(crate) fn fetch(&self, context: ContextId, want: Want, of: ServerName) {
        post(&self.address, Fetch { context, want, of });
    }

    /// The peer is to be asked, at the cost of `cause`.
    pub(crate) fn ask(&self, context: ContextId, want: Want, cause: ServerName) {
        post(&self.address, Ask { context, want, cause });
    }

    /// A fetch that the peer caused has ended.
    pub(crate) fn spent(&self, spent: Spent) {
        post(&self.address, Charge(spent));
    }

    pub(crate) fn wake(&self, woken: Woken) {
        post(&self.address, Wake(woken));
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.address.connected()
    }
}
