//! The registry of running actors: a read-mostly map that the router publishes and that callers on any thread ask
//! first.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::{Message, Recipient};
use parking_lot::RwLock;
use tokio::sync::Notify;

use crate::context::ContextHandle;
use crate::context::metrics::ContextMetrics;
use crate::errors::{PeerError, UnavailableError};
use crate::limits::PeerListing;
use crate::model::{BadPdu, ContextId, FetchRequest, InboundPush, Millis, Pdu, PduVerdict, ServerName};
use crate::overload::OverloadMonitor;
use crate::peer::PeerHandle;
use crate::peer::effect::PushReply;
use crate::peer::inbound::dispatch::DispatchError;
use crate::peer::inbound::forwards::relay_metrics::RelayMetrics;
use crate::ports::OutboxGrown;
use crate::router::sparse_map::shrink_sparse_map;
use crate::supervise::mailbox::post_to;

/// The registry of running actors, usable from any thread.
#[derive(Clone, Default)]
pub struct ActorRegistry(Arc<PublishedEntry>);

#[derive(Default)]
struct PublishedEntry {
    peers: EntryMap<ServerName, PeerHandle>,
    /// Number of lookups of peers; it orders peers by their last use.
    calls: AtomicU64,
    /// Number of peers that were evicted since the start.
    evicted: AtomicU64,
    contexts: EntryMap<ContextId, ContextHandle>,
    router: OnceLock<RouterRecipients>,
    /// Overload state of the gateway; empty before the router is launched.
    overload: OnceLock<Arc<OverloadMonitor>>,
    tally: ContextMetrics,
    relays: RelayMetrics,
    /// True once a stranger was in memory.
    strangers: AtomicBool,
    /// Notified when servers have become participants of a context.
    participants: Notify,
}

/// The messages that the router accepts on a miss.
pub(crate) struct RouterRecipients {
    /// Finds or starts a peer's actor.
    pub(crate) peer: Recipient<FindPeer>,
    /// Finds or starts a context's actor.
    pub(crate) context: Recipient<FindContext>,
    /// Starts a peer's actor without waiting for it.
    pub(crate) start: Recipient<StartPeer>,
    /// Applies a changed configuration to the running actors.
    pub(crate) config: Recipient<ConfigChanged>,
}

/// Configuration key of the maximum number of peers in memory.
pub(crate) const RESIDENT_MAX: &str = "peers.resident_max";

/// Configuration key of the maximum number of strangers in memory.
pub(crate) const STRANGERS_RESIDENT_MAX: &str = "federation.strangers.resident_max";

/// The purpose of a lookup. It decides what happens if the maximum number of peers is in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LookupPurpose {
    /// The caller wants the status of the peer. No other peer is evicted, because the store has the status too.
    Inspect,
    /// The peer sends a request. An idle peer is evicted for it; if there is none, the peer is told to retry.
    Receive,
    /// There is work for the peer. Its actor starts in any case, because its work would not be done otherwise.
    Deliver,
}

/// The servers in memory that share a bound, so that strangers take no room of listed peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResidentGroup {
    /// Listed peers, and servers with pending items that are no longer peers.
    Peers,
    /// Servers that are peers because the federation is open.
    Strangers,
}

impl ResidentGroup {
    /// Returns the group of a server with this place in the configuration.
    pub(crate) fn of(listing: PeerListing) -> Self {
        if listing == PeerListing::Stranger { Self::Strangers } else { Self::Peers }
    }

    fn has(self, handle: &PeerHandle) -> bool {
        Self::of(handle.listing()) == self
    }
}

/// Finds a peer's actor, or starts it.
#[derive(Message)]
#[rtype(result = "Result<Arc<PeerHandle>, PeerError>")]
pub(crate) struct FindPeer {
    pub(crate) server: ServerName,
    pub(crate) need: LookupPurpose,
}

/// Finds a context's actor, or starts it.
#[derive(Message)]
#[rtype(result = "Result<Arc<ContextHandle>, UnavailableError>")]
pub(crate) struct FindContext(pub(crate) ContextId);

/// The configuration that the ports give has changed.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ConfigChanged {
    /// Servers that are peers now and were none before.
    pub(crate) new_peers: Vec<ServerName>,
}

/// Starts a peer's actor, because there is work for it.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StartPeer {
    pub(crate) server: ServerName,
    /// Notification for an actor that runs already; an actor that starts finds the work in the store.
    pub(crate) woken: Option<OutboxGrown>,
}

/// A map from keys to handles. A poisoned lock means that an insert or a lookup panicked; the map itself is intact.
struct EntryMap<K, H>(RwLock<HashMap<K, Arc<H>>>);

impl<K, H> Default for EntryMap<K, H> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Eq + Hash, H> EntryMap<K, H> {
    fn get(&self, key: &K) -> Option<Arc<H>> {
        self.0.read().get(key).cloned()
    }

    fn insert(&self, key: K, handle: Arc<H>) {
        self.0.write().insert(key, handle);
    }

    /// Returns all handles in the order of their keys, so that what follows is deterministic.
    fn all(&self) -> Vec<Arc<H>>
    where
        K: Ord + Clone,
    {
        let all = self.0.read();
        let mut all: Vec<_> = all.iter().map(|(key, handle)| (key.clone(), handle.clone())).collect();
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        all.into_iter().map(|(_, handle)| handle).collect()
    }

    fn remove(&self, key: &K) {
        let mut all = self.0.write();
        all.remove(key);
        shrink_sparse_map(&mut all);
    }

    /// Applies `what` to each handle, and returns the results with their keys.
    fn filter_map<T>(&self, what: impl Fn(&H) -> Option<T>) -> Vec<(K, T)>
    where
        K: Clone,
    {
        let all = self.0.read();
        all.iter().filter_map(|(key, handle)| Some((key.clone(), what(handle)?))).collect()
    }

    fn len(&self) -> usize {
        self.0.read().len()
    }

    /// Removes a handle that nobody else holds and for which `is_true` holds. The map is locked meanwhile, so nobody
    /// can obtain the handle in between.
    fn remove_unheld(&self, key: &K, is_true: impl FnOnce(&H) -> bool) -> Option<Arc<H>> {
        let mut all = self.0.write();
        all.get(key).filter(|handle| {
            let is_unheld = Arc::strong_count(handle) == 1;
            // What the last holder wrote before it dropped its handle is seen here.
            fence(Ordering::Acquire);
            is_unheld && is_true(handle)
        })?;
        let removed = all.remove(key);
        shrink_sparse_map(&mut all);
        removed
    }
}

impl ActorRegistry {
    /// Returns the handle of a peer's actor, and starts the actor if necessary.
    pub(crate) async fn peer(&self, server: &ServerName, need: LookupPurpose) -> Result<Arc<PeerHandle>, PeerError> {
        let handle = match self.published_peer(server) {
            Some(handle) => handle,
            None => {
                let find = FindPeer { server: server.clone(), need };
                self.router()?.peer.send(find).await.unwrap_or(Err(UnavailableError::Stopping.into()))?
            }
        };
        if need != LookupPurpose::Inspect {
            // A server that is no peer is in memory for its pending items only, and accepts nothing new.
            if let Some(refusal) = handle.listing().refusal(server) {
                return Err(refusal);
            }
            self.touch(&handle);
        }
        Ok(handle)
    }

    /// Returns the servers in memory that are no peers and have pending items, by name.
    pub(crate) fn unlisted(&self) -> Vec<ServerName> {
        let is_peer = |handle: &PeerHandle| handle.listing() == PeerListing::Listed;
        let waits = |handle: &PeerHandle| (!is_peer(handle) && handle.state_and_backlog().1 > 0).then_some(());
        let mut unlisted: Vec<ServerName> =
            self.0.peers.filter_map(waits).into_iter().map(|(server, ())| server).collect();
        unlisted.sort_unstable();
        unlisted
    }

    fn touch(&self, handle: &PeerHandle) {
        handle.touch(self.0.calls.fetch_add(1, Ordering::Relaxed));
    }

    /// Returns the handle of a context's actor, and starts the actor if necessary. An unknown context gets an actor
    /// too, because its first PDU or the messenger will create it.
    pub async fn context(&self, context: &ContextId) -> Result<Arc<ContextHandle>, UnavailableError> {
        if let Some(handle) = self.published_context(context) {
            return Ok(handle);
        }
        self.router()?.context.send(FindContext(context.clone())).await.unwrap_or(Err(UnavailableError::Stopping))
    }

    /// Notifies a peer's actor that its outbox has grown. Any thread may call this.
    pub fn notify_outbox_grown(&self, woken: OutboxGrown) {
        match (self.published_peer(&woken.server), self.0.router.get()) {
            (Some(handle), _) => {
                self.touch(&handle);
                handle.wake(woken);
            }
            (None, Some(router)) => {
                post_to(&router.start, StartPeer { server: woken.server.clone(), woken: Some(woken) });
            }
            (None, None) => {}
        }
    }

    /// Delivers inbound PDUs to their context, and waits at most `patience` for the verdicts.
    pub(crate) async fn deliver_to_context(
        &self,
        context: &ContextId,
        from: ServerName,
        verified: &'static str,
        pdus: Vec<Pdu>,
        patience: Duration,
    ) -> Result<Vec<PduVerdict>, DispatchError> {
        // The lookup counts against the deadline, because a context that cannot be reached must not block the peer's
        // link.
        let Ok(found) = tokio::time::timeout(patience, self.context(context)).await else {
            return Err(DispatchError::Late);
        };
        match found {
            Ok(handle) => handle.arrive(from, verified, pdus, patience).await,
            Err(UnavailableError::Admission(busy)) => Err(DispatchError::Busy(busy)),
            Err(UnavailableError::OutcomeUnknown | UnavailableError::Stopping) => Err(DispatchError::Late),
        }
    }

    /// Gives forwarded updates to the actor of the server that wrote them.
    pub(crate) async fn forward(&self, origin: &ServerName, push: InboundPush) -> PushReply {
        let peer = self.peer(origin, LookupPurpose::Receive).await?;
        let permit = peer.acquire_permit().map_err(UnavailableError::from)?;
        peer.pace(push.strong.len()).map_err(UnavailableError::from)?;
        peer.accept_forwarded(push, permit).await
    }

    /// Tells the actor of a server that another one does not pass on to it.
    pub(crate) async fn relay_refused(&self, destination: &ServerName, via: ServerName, code: String) {
        // A server that is no peer any more is not sent to.
        if let Ok(peer) = self.peer(destination, LookupPurpose::Deliver).await {
            peer.relay_refused(via, code);
        }
    }

    /// Returns the counts of forwards.
    pub(crate) fn relays(&self) -> &RelayMetrics {
        &self.0.relays
    }

    /// Notifies a context that PDUs are staged for it, and starts it if necessary.
    pub(crate) async fn stage_filled(&self, context: &ContextId) {
        if let Ok(handle) = self.context(context).await {
            handle.stage_filled();
        }
    }

    /// Notifies a context that a fetch was not sent, because too many requests to the peer are in flight.
    pub(crate) async fn put_off(&self, context: &ContextId, want: FetchRequest, from: ServerName, why: String) {
        if let Ok(handle) = self.context(context).await {
            handle.put_off(want, from, why);
        }
    }

    /// Notifies a context that a fetch was not sent, because nothing is sent to the peer now.
    pub(crate) async fn declined(&self, context: &ContextId, want: FetchRequest, from: ServerName, why: String) {
        if let Ok(handle) = self.context(context).await {
            handle.declined(want, from, why);
        }
    }

    /// Delivers the result of a fetch to the context that requested it.
    pub(crate) async fn fetched(
        &self,
        context: &ContextId,
        want: FetchRequest,
        from: ServerName,
        pdus: Result<Vec<Result<Pdu, BadPdu>>, String>,
    ) {
        // An actor that has exited was not waiting; it fetches what it still misses at its next start.
        if let Ok(handle) = self.context(context).await {
            handle.fetched(want, from, pdus);
        }
    }

    /// Tells that servers have become participants of a context.
    pub(crate) fn note_participants(&self) {
        // One permit is enough: whoever waits looks at all contexts.
        self.0.participants.notify_one();
    }

    /// Waits until servers have become participants of a context.
    pub(crate) async fn participants_changed(&self) {
        self.0.participants.notified().await;
    }

    fn router(&self) -> Result<&RouterRecipients, UnavailableError> {
        self.0.router.get().ok_or(UnavailableError::Stopping)
    }

    pub(crate) fn attach(&self, router: RouterRecipients, overload: Arc<OverloadMonitor>) {
        // A second launch has no effect: the actors of the first router are the published ones.
        let _ = self.0.overload.set(overload);
        let _ = self.0.router.set(router);
    }

    /// Returns the overload state; `None` before the router is launched.
    pub(crate) fn overload(&self) -> Option<&Arc<OverloadMonitor>> {
        self.0.overload.get()
    }

    /// Returns whether items of peers are accepted.
    pub(crate) fn is_open(&self) -> bool {
        self.overload().is_none_or(|overload| overload.is_open())
    }

    /// Tells every running context whether items of peers are accepted.
    pub(crate) fn tell_intake(&self) {
        let open = self.is_open();
        self.0.contexts.all().iter().for_each(|handle| handle.tell_intake(open));
    }

    /// Applies a changed configuration: returns once each running actor has the message about it.
    pub(crate) async fn change_config(&self, new_peers: Vec<ServerName>) -> Result<(), UnavailableError> {
        let told = self.router()?.config.send(ConfigChanged { new_peers }).await;
        told.map_err(|_| UnavailableError::Stopping)
    }

    /// Returns the handles of all running peers, in the order of their names.
    pub(crate) fn all_peers(&self) -> Vec<Arc<PeerHandle>> {
        self.0.peers.all()
    }

    /// Returns the handles of all running contexts, in the order of their names.
    pub(crate) fn all_contexts(&self) -> Vec<Arc<ContextHandle>> {
        self.0.contexts.all()
    }

    pub(crate) fn published_peer(&self, server: &ServerName) -> Option<Arc<PeerHandle>> {
        self.0.peers.get(server).filter(|handle| handle.is_alive())
    }

    pub(crate) fn published_context(&self, context: &ContextId) -> Option<Arc<ContextHandle>> {
        self.0.contexts.get(context).filter(|handle| handle.is_alive())
    }

    /// Returns the number of peers, or else of strangers, in memory, without those that are being evicted. Only if there are
    /// strangers at all it looks at each peer.
    pub(crate) fn resident(&self, group: ResidentGroup) -> usize {
        let all = self.0.peers.len();
        let strangers = match self.0.strangers.load(Ordering::Relaxed) {
            false => 0,
            true => self.0.peers.filter_map(|handle| ResidentGroup::Strangers.has(handle).then_some(())).len(),
        };
        match group {
            ResidentGroup::Peers => all - strangers,
            ResidentGroup::Strangers => strangers,
        }
    }

    /// Returns the metrics of all contexts.
    pub(crate) fn tally(&self) -> &ContextMetrics {
        &self.0.tally
    }

    /// Returns the state and the backlog of each peer in memory, from its shared statistics.
    pub(crate) fn peer_states(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let seen = self.0.peers.filter_map(|handle| Some(handle.state_and_backlog()));
        seen.into_iter().map(|(_, seen)| seen)
    }

    /// Evicts up to `count` idle peers of a group that nobody holds, least recently used first, and returns them. It scans all
    /// peers once.
    pub(crate) fn evict_idle(
        &self,
        group: ResidentGroup,
        now: Millis,
        count: usize,
    ) -> Vec<(ServerName, Arc<PeerHandle>)> {
        let is_free = |handle: &PeerHandle| group.has(handle) && handle.is_free(now);
        let mut free = self.0.peers.filter_map(|handle| is_free(handle).then(|| handle.used()));
        free.sort_unstable_by(|(a, used), (b, later)| used.cmp(later).then_with(|| a.cmp(b)));
        let out = |(server, _)| {
            let handle = self.evict_peer(&server, |handle| handle.is_free(now))?;
            Some((server, handle))
        };
        free.into_iter().filter_map(out).take(count).collect()
    }

    /// Records a look of the sweep for idle peers, and returns those that were idle in `looks` of them in a row, by name.
    pub(crate) fn note_look(&self, now: Millis, looks: u8) -> Vec<ServerName> {
        let rested = self.0.peers.filter_map(|handle| handle.note_look(now, looks).then_some(()));
        let mut rested: Vec<_> = rested.into_iter().map(|(server, ())| server).collect();
        rested.sort_unstable();
        rested
    }

    /// Evicts a peer that nobody holds, if it was idle in `looks` of the sweep and nothing happened to it since.
    pub(crate) fn evict_rested(&self, server: &ServerName, now: Millis, looks: u8) -> Option<Arc<PeerHandle>> {
        self.evict_peer(server, |handle| handle.is_rested(now, looks))
    }

    fn evict_peer(&self, server: &ServerName, is_free: impl FnOnce(&PeerHandle) -> bool) -> Option<Arc<PeerHandle>> {
        let evicted = self.0.peers.remove_unheld(server, is_free);
        self.0.evicted.fetch_add(u64::from(evicted.is_some()), Ordering::Relaxed);
        evicted
    }

    /// Returns the number of peers that were evicted since the start.
    pub(crate) fn evicted(&self) -> u64 {
        self.0.evicted.load(Ordering::Relaxed)
    }

    /// Returns whether any peer is in memory.
    pub(crate) fn has_peers(&self) -> bool {
        self.0.peers.len() > 0
    }

    pub(crate) fn publish_peer(&self, server: ServerName, handle: Arc<PeerHandle>) {
        if ResidentGroup::Strangers.has(&handle) {
            self.0.strangers.store(true, Ordering::Relaxed);
        }
        self.0.peers.insert(server, handle);
    }

    pub(crate) fn publish_context(&self, context: ContextId, handle: Arc<ContextHandle>) {
        self.0.contexts.insert(context, handle);
    }

    pub(crate) fn withdraw_context(&self, context: &ContextId) {
        self.0.contexts.remove(context);
    }
}
