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
pub(crate) mod gauge;
mod handover;
pub mod inbound;
pub mod label;
pub mod machine;
mod messages;
pub mod notices;
pub mod outbound;
pub mod outbox;
pub mod place;
pub mod rate;
pub(crate) mod shell;
mod told;
pub mod weak;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::{Addr, Handler, Message, WeakAddr};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::limits::PeerLimits;
use crate::model::{ContextId, Millis, Order, PeerStatus, Refusal, ServerName, Taken, Want};
use crate::ports::Woken;
use crate::supervise::intake::{Intake, Permit};
use crate::supervise::post::post;
use budget::Spent;
use gauge::Gauge;
use inbound::Frame;
use messages::{Accept, Ask, Charge, Fetch, Ordered, Status, Wake, Weak};
use rate::Bucket;
use shell::PeerActor;
use weak::Fleeting;

/// The way to a peer's actor. Fetched for each request and dropped with it: a peer that somebody holds does not leave memory.
pub struct PeerHandle {
    address: Addr<PeerActor>,
    door: Arc<Door>,
}

/// The way to an actor that is leaving.
pub(crate) struct WeakPeer {
    address: WeakAddr<PeerActor>,
    door: Arc<Door>,
}

impl WeakPeer {
    /// The handle once more, if the actor still lives.
    pub(crate) fn revive(&self) -> Option<Arc<PeerHandle>> {
        let address = self.address.upgrade().filter(Addr::connected)?;
        Some(Arc::new(PeerHandle { address, door: self.door.clone() }))
    }
}

/// What an actor and every handle to it have in common: what bounds the way in, and what is seen from outside.
pub(crate) struct Door {
    server: ServerName,
    intake: Intake,
    /// Requests held until there is room, of a peer that takes every refusal for good. Boxed: few do.
    held: Option<Box<Intake>>,
    /// Where the configuration sets a pace. Boxed: it seldom does.
    pace: Option<Box<Pace>>,
    /// Written by the actor.
    gauge: Gauge,
    limits: Arc<PeerLimits>,
}

impl Door {
    /// Of an actor that starts.
    pub(crate) fn new(server: ServerName, limits: Arc<PeerLimits>) -> Self {
        let intake = || Intake::new("peers.intake_max", limits.intake_max);
        let bucket = || Mutex::new(Bucket::new(limits.rate, limits.burst(), Millis(0)));
        let pace = (limits.rate > 0).then(|| Box::new(Pace { bucket: bucket(), born: Instant::now() }));
        let held = limits.answers_late.then(|| Box::new(intake()));
        Self { server, intake: intake(), held, pace, gauge: Gauge::default(), limits }
    }
}

/// The pace at which items may come.
struct Pace {
    bucket: Mutex<Bucket>,
    /// The bucket's time begins here: wall time may be set.
    born: Instant,
}

impl Pace {
    fn ask<T>(&self, ask: impl FnOnce(&mut Bucket, Millis) -> T) -> T {
        let now = Millis(u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX));
        ask(&mut self.bucket.lock().unwrap_or_else(PoisonError::into_inner), now)
    }
}

/// What the operator calls the limit on items a second.
pub(crate) const RATE: &str = "peers.rate";

impl PeerHandle {
    pub(crate) fn new(address: Addr<PeerActor>, door: Arc<Door>) -> Self {
        Self { address, door }
    }

    /// The right to bring a batch, or which limit it meets.
    pub(crate) fn enter(&self) -> Result<Permit, Refusal> {
        self.door.intake.enter()
    }

    /// Whether so many items more may come now.
    pub(crate) fn pace(&self, items: usize) -> Result<(), Refusal> {
        let Some(pace) = self.door.pace.as_deref() else { return Ok(()) };
        let busy = |wait| Refusal::Busy { limit: RATE, value: self.door.limits.rate.into(), wait };
        pace.ask(|bucket, now| bucket.take(now, items)).map_err(busy)
    }

    /// For a peer that takes every refusal for good: the right to be held until there is room, and for how long at most.
    pub(crate) fn hold(&self) -> Option<Result<(Permit, Duration), Refusal>> {
        self.door.held.as_ref().map(|held| Ok((held.enter()?, self.door.limits.hold_max)))
    }

    /// Take a batch. Answers after the commit of all the answer rests on.
    pub(crate) async fn accept(&self, frame: Frame, permit: Permit) -> Result<Taken, Refusal> {
        let (reply, answer) = oneshot::channel();
        post(&self.address, Accept { frame, reply, permit });
        answer.await.unwrap_or(Err(Refusal::OutcomeUnknown))
    }

    /// The peer as it stands.
    pub async fn status(&self) -> Result<PeerStatus, Refusal> {
        let (reply, status) = oneshot::channel();
        post(&self.address, Status { reply });
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
        let full = |key, limit| Err(Refusal::OutboxFull { server: self.door.server.clone(), key, limit });
        if self.door.gauge.backlog() + items as u64 > self.door.limits.outbox_items {
            return full("peers.outbox_items", self.door.limits.outbox_items);
        }
        if self.door.gauge.bytes() + bytes as u64 > self.door.limits.outbox_bytes {
            return full("peers.outbox_bytes", self.door.limits.outbox_bytes);
        }
        Ok(())
    }

    /// Something ephemeral for the peer. The actor's ring bounds how many are kept; how many are on the way there is bounded by
    /// the requests the messenger may have open.
    pub fn weak(&self, fleeting: Fleeting) {
        self.tell(Weak(fleeting));
    }

    /// A PDU of this peer's lacks parents; `of` is to be asked for them.
    pub(crate) fn fetch(&self, context: ContextId, want: Want, of: ServerName) {
        self.tell(Fetch { context, want, of });
    }

    /// The peer is to be asked, at the cost of `cause`.
    pub(crate) fn ask(&self, context: ContextId, want: Want, cause: ServerName) {
        self.tell(Ask { context, want, cause });
    }

    /// A fetch that the peer caused has ended.
    pub(crate) fn spent(&self, spent: Spent) {
        self.tell(Charge(spent));
    }

    pub(crate) fn wake(&self, woken: Woken) {
        self.tell(Wake(woken));
    }

    /// Nobody waits for an answer, and so nobody holds the actor until this has reached it.
    fn tell<M>(&self, message: M)
    where
        PeerActor: Handler<M>,
        M: Message<Result = ()> + Send + 'static,
    {
        self.door.gauge.busy();
        post(&self.address, message);
    }

    /// Whether the configuration names it.
    pub(crate) fn is_listed(&self) -> bool {
        self.door.limits.listed
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.address.connected()
    }

    /// Whether it has nothing to do, nobody is at its door, and nothing would be forgotten if it left memory.
    pub(crate) fn is_free(&self, now: Millis) -> bool {
        let Door { intake, held, pace, gauge, .. } = &*self.door;
        let rested = |pace: &Pace| pace.ask(|bucket, now| bucket.is_full(now));
        let nobody = intake.is_empty() && held.as_ref().is_none_or(|held| held.is_empty());
        gauge.is_free(now) && nobody && pace.as_deref().is_none_or(rested)
    }

    /// What it is doing, in a word, and the items that wait for it: as of its last step, without asking it.
    pub(crate) fn seen_at_work(&self) -> (&'static str, u64) {
        (self.door.gauge.state(), self.door.gauge.backlog())
    }

    /// It is asked for; `count` rises with each such call.
    pub(crate) fn touch(&self, count: u64) {
        self.door.gauge.touch(count);
    }

    /// When it was asked for last, by that count.
    pub(crate) fn used(&self) -> u64 {
        self.door.gauge.used()
    }

    /// A way to it that keeps nobody alive.
    pub(crate) fn downgrade(&self) -> WeakPeer {
        WeakPeer { address: self.address.downgrade(), door: self.door.clone() }
    }
}
