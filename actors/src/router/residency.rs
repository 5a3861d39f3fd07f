//! The residency of peers: which peer starts, which is evicted to make room, and which has to retry.
//!
//! A peer that has been idle for `peers.idle_after` leaves memory, and the number of peers in memory is bounded. To make
//! room, the router evicts idle peers that nobody holds, least recently used first; an evicted peer is reloaded from the store when it is looked up again. A peer with work is
//! never evicted, and a peer that gets work always starts, because its work would otherwise stay on disk. So if all
//! peers have work, there may be more than the bound, and only lookups without work are refused.
//!
//! There are never two actors of the same peer: while one is stopping, it is revived instead of starting another.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext, Context, Handler, Supervisor};

use crate::errors::{AdmissionError, PeerError, UnavailableError};
use crate::limits::PeerLimits;
use crate::model::{Millis, ServerName};
use crate::peer::PeerHandle;
use crate::peer::actor::PeerActor;
use crate::peer::shared::PeerShared;
use crate::router::idle_sweep::LOOKS;
use crate::router::registry::{
    FindPeer, LookupPurpose, RESIDENT_MAX, ResidentGroup, STRANGERS_RESIDENT_MAX, StartPeer,
};
use crate::router::sparse_map::shrink_sparse_map;
use crate::router::{ActorDown, ActorKey, ExitAction, Router, StoppingActor, not_owned};
use crate::supervise::mailbox::send_unbounded;
use crate::supervise::monitor::ExitMonitor;
use crate::supervise::task::spawn_detached;

/// Time after which a refused lookup should retry: a slot becomes free when a queue has drained.
const ROOM_WAIT: Duration = Duration::from_secs(5);

/// Divisor of the bound: an eviction removes this share in addition, so that the scan of all peers is rare.
const SPARE: usize = 64;

/// The result of a lookup.
enum PeerLookup {
    Here(Arc<PeerHandle>),
    /// The actor is stopping and cannot be revived.
    Leaving,
    Nowhere,
}

impl Router {
    fn lookup_peer(&mut self, server: &ServerName) -> PeerLookup {
        if let Some(handle) = self.routes.published_peer(server) {
            return PeerLookup::Here(handle);
        }
        let Some(leaving) = self.peers_leaving.get(server) else { return PeerLookup::Nowhere };
        let Some(handle) = leaving.last.revive() else { return PeerLookup::Leaving };
        self.peers_leaving.remove(server);
        self.routes.publish_peer(server.clone(), handle.clone());
        // An actor that is stopping is not told of changes.
        handle.change_limits(&self.ports.roster.limits_of(server));
        PeerLookup::Here(handle)
    }

    /// Starts the actor of a peer that has none.
    fn admit_peer(
        &mut self,
        ctx: &mut Context<Self>,
        server: &ServerName,
        need: LookupPurpose,
    ) -> Result<Arc<PeerHandle>, PeerError> {
        let limits = self.ports.roster.limits_of(server);
        if let Some(refusal) = limits.listing.refusal(server) {
            return Err(refusal);
        }
        self.make_room(ResidentGroup::of(limits.listing), need)?;
        self.spawn_peer(ctx, server, &limits)
    }

    /// Starts the actor of a server with pending items, listed or not.
    fn begin_work(&mut self, ctx: &mut Context<Self>, server: &ServerName) -> Result<Arc<PeerHandle>, PeerError> {
        let limits = self.ports.roster.limits_of(server);
        self.make_room(ResidentGroup::of(limits.listing), LookupPurpose::Deliver)?;
        if let Some(refusal) = limits.listing.refusal(server) {
            tracing::warn!(
                peer = %server,
                %refusal,
                "its pending items stay until peers.default.keep has passed or it is a peer again"
            );
        }
        self.spawn_peer(ctx, server, &limits)
    }

    /// Returns the bound of a group, and its configuration key.
    fn resident_max(&self, group: ResidentGroup) -> (u32, &'static str) {
        match group {
            ResidentGroup::Peers => (self.ports.roster.peers_resident_max(), RESIDENT_MAX),
            ResidentGroup::Strangers => (self.ports.roster.strangers_resident_max(), STRANGERS_RESIDENT_MAX),
        }
    }

    fn make_room(&mut self, group: ResidentGroup, need: LookupPurpose) -> Result<(), AdmissionError> {
        let (max, limit) = self.resident_max(group);
        let most = usize::try_from(max).unwrap_or(usize::MAX);
        let excess = (self.routes.resident(group) + 1).saturating_sub(most);
        if excess == 0 {
            return Ok(());
        }
        if need != LookupPurpose::Inspect {
            self.evict(group, excess + most / SPARE);
        }
        if need == LookupPurpose::Deliver || self.routes.resident(group) < most {
            return Ok(());
        }
        Err(AdmissionError::LimitReached { limit, value: max.into(), wait: ROOM_WAIT })
    }

    /// Evicts idle peers above a limit that was lowered.
    pub(super) fn evict_excess(&mut self) {
        for group in [ResidentGroup::Peers, ResidentGroup::Strangers] {
            let most = usize::try_from(self.resident_max(group).0).unwrap_or(usize::MAX);
            let excess = self.routes.resident(group).saturating_sub(most);
            if excess > 0 {
                self.evict(group, excess);
            }
        }
    }

    fn evict(&mut self, group: ResidentGroup, count: usize) {
        for (server, handle) in self.routes.evict_idle(group, self.ports.clock.now(), count) {
            self.note_leaving(server, &handle);
        }
    }

    /// Starts the sweep for idle peers, unless it runs.
    fn begin_sweep(&mut self, ctx: &mut Context<Self>) {
        if !self.sweep.runs {
            self.continue_sweep(ctx);
        }
    }

    /// Lets a running sweep continue by a changed configuration.
    pub(super) fn change_sweep(&mut self, ctx: &mut Context<Self>) {
        if self.sweep.runs {
            self.continue_sweep(ctx);
        }
    }

    fn continue_sweep(&mut self, ctx: &mut Context<Self>) {
        self.sweep.runs = true;
        let pause = self.sweep.pause(self.ports.roster.peers_idle_after());
        self.sweep.timer.arm(ctx, pause, Self::sweep_idle);
    }

    /// Evicts peers that have been idle for long enough, some at a time.
    fn sweep_idle(&mut self, ctx: &mut Context<Self>, epoch: u64) {
        if !self.sweep.timer.fired(epoch) {
            return;
        }
        let now = self.ports.clock.now();
        if self.sweep.is_look_due() {
            self.sweep.found(self.routes.note_look(now, LOOKS));
        }
        for server in self.sweep.next_to_leave() {
            if let Some(handle) = self.routes.evict_rested(&server, now, LOOKS) {
                self.note_leaving(server, &handle);
            }
        }
        // A peer that is leaving may be revived.
        self.sweep.runs = self.routes.has_peers() || !self.peers_leaving.is_empty();
        self.change_sweep(ctx);
    }

    fn note_leaving(&mut self, server: ServerName, handle: &PeerHandle) {
        tracing::debug!(peer = %server, "the peer is idle and leaves memory");
        self.peers_leaving.insert(server, StoppingActor::new(handle.downgrade()));
    }

    fn spawn_peer(
        &mut self,
        ctx: &mut Context<Self>,
        server: &ServerName,
        limits: &Arc<PeerLimits>,
    ) -> Result<Arc<PeerHandle>, PeerError> {
        let fence = self.ports.ownership.claim(server).ok_or_else(not_owned)?;
        let (generation, deaths) = self.peers.register_start(server);
        let router = self.own_address.get_or_init(|| Arc::new(ctx.address())).clone();
        let key = ActorKey::Peer(server.clone());
        let lifeline = ExitMonitor::new(move |crashed| send_unbounded(&router, ActorDown { key, generation, crashed }));
        let shared = Arc::new(PeerShared::new(server.clone(), limits.clone()));
        let (ports, routes) = (self.ports.clone(), self.routes.clone());
        let actor =
            PeerActor::new(server.clone(), limits.clone(), ports, routes, fence, shared.clone(), deaths, lifeline);
        let address = Supervisor::start(move |_| actor);
        let handle = Arc::new(PeerHandle::new(address.recipient(), shared));
        self.routes.publish_peer(server.clone(), handle.clone());
        self.begin_sweep(ctx);
        Ok(handle)
    }

    fn peer_gone(&mut self, server: &ServerName) -> impl Future<Output = ()> + 'static {
        let gone = self.peers_leaving.get_mut(server).map(StoppingActor::gone);
        async move {
            if let Some(gone) = gone {
                gone.await;
            }
        }
    }

    pub(super) fn peer_down(
        &mut self,
        ctx: &mut Context<Self>,
        server: &ServerName,
        generation: u64,
        crashed: bool,
        now: Millis,
    ) {
        let limits = self.ports.roster.limits_of(server);
        let after = self.peers.register_exit(server, generation, crashed, now, limits.restarts());
        if after == ExitAction::Respawn {
            tracing::error!(peer = %server, "the peer's actor died outside its guard; another is started");
            if let Err(refusal) = self.spawn_peer(ctx, server, &limits) {
                tracing::error!(peer = %server, %refusal, "the peer's actor cannot be started");
            }
        }
        if after != ExitAction::Nothing {
            // Dropping the entry wakes the waiting lookups, which then look the peer up again.
            self.peers_leaving.remove(server);
            shrink_sparse_map(&mut self.peers_leaving);
        }
    }
}

impl Handler<StartPeer> for Router {
    type Result = ();

    fn handle(&mut self, StartPeer { server, woken }: StartPeer, ctx: &mut Context<Self>) {
        match self.lookup_peer(&server) {
            // The actor was running already or has been revived, so it has not read the new rows of the outbox: notify
            // it.
            PeerLookup::Here(handle) => {
                if let Some(woken) = woken {
                    handle.wake(woken);
                }
            }
            PeerLookup::Nowhere => {
                if let Err(refusal) = self.begin_work(ctx, &server) {
                    tracing::warn!(peer = %server, %refusal, "a peer with pending work cannot be started");
                }
            }
            PeerLookup::Leaving => {
                let (gone, router) = (self.peer_gone(&server), ctx.address());
                spawn_detached(async move {
                    gone.await;
                    send_unbounded(&router, StartPeer { server, woken });
                });
            }
        }
    }
}

impl Handler<FindPeer> for Router {
    type Result = actix::Response<Result<Arc<PeerHandle>, PeerError>>;

    fn handle(&mut self, FindPeer { server, need }: FindPeer, ctx: &mut Context<Self>) -> Self::Result {
        match self.lookup_peer(&server) {
            PeerLookup::Here(handle) => actix::Response::reply(Ok(handle)),
            PeerLookup::Nowhere => actix::Response::reply(self.admit_peer(ctx, &server, need)),
            PeerLookup::Leaving => {
                let (gone, router) = (self.peer_gone(&server), ctx.address());
                let again: Pin<Box<dyn Future<Output = _>>> = Box::pin(async move {
                    gone.await;
                    router.send(FindPeer { server, need }).await.unwrap_or(Err(UnavailableError::Stopping.into()))
                });
                actix::Response::fut(again)
            }
        }
    }
}
