//! `Gateway`: the typed calls of adapters. It is cheap to clone; every HTTP worker holds one.

mod stored_items;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::change::Change;
use crate::context::PARENTS_MAX;
use crate::context::machine::{ComposeOutcomes, RecipientReach};
use crate::errors::{
    AdmissionError, BatchError, CommandError, ComposeError, ContextError, PeerError, SubmitError, UnavailableError,
};
use crate::limits::PeerListing;
use crate::model::{
    ContextId, ContextRecord, ContextStatus, InboundEphemeral, InboundPush, InboundTransaction, MembershipSource,
    Millis, PduDraft, PduVerdict, PeerCommand, PeerQueueSize, PeerStatus, Receipt, ServerName, Submission,
    SubmittedContent, TransactionReceipt,
};
use crate::overload::{HIGH_WATER, OverloadMonitor};
use crate::peer::outbound::ephemeral_buffer::EphemeralItem;
use crate::peer::shared_stats::STATES;
use crate::peer::{PeerHandle, RATE};
use crate::ports::{CommitPriority, Ports};
use crate::router::registry::{ActorRegistry, LookupPurpose, RESIDENT_MAX};
use crate::supervise::admission::AdmissionPermit;
use crate::supervise::histogram::TimeHistogram;
use crate::supervise::log_throttle::LogThrottle;

/// Metrics summed over peers and contexts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayMetrics {
    /// Number of peers in memory in each state.
    pub peers: [(&'static str, u64); STATES.len()],
    /// Number of peers that left memory since the start, because they were idle or for others.
    pub evicted: u64,
    /// Number of items queued for peers in memory; every peer with queued items is in memory.
    pub outbox_items: u64,
    /// Number of heads of the context in memory that has the most.
    pub open_heads: u32,
    /// Number of heads forgotten since the start, because a context had too many.
    pub heads_forgotten: u64,
    /// Number of refusals since the start by limits whose caller gets no error, by configuration key.
    pub refusals: Vec<(&'static str, u64)>,
    /// Number of forwards since the start, by the part of this server in them and the result.
    pub relayed: Vec<(&'static str, &'static str, u64)>,
    /// Number of receipts since the start: `told` to peers, and `delivered` or `rejected` as peers tell of our items.
    pub receipts: Vec<(&'static str, u64)>,
}

/// The entry point of the core.
#[derive(Clone)]
pub struct Gateway {
    routes: ActorRegistry,
    ports: Ports,
    /// Time at which the gateway was started.
    began: Millis,
    /// Rate-limited log of participants whose outbox is full, so that messages are not queued for them.
    full: LogThrottle,
    /// Rate-limited log of peers that are told to retry, or whose requests are held.
    limited: LogThrottle,
    /// Times from the arrival of a batch of a peer to the commit that puts its items into the feed.
    feed_times: Arc<TimeHistogram>,
}

/// Time after which a caller should retry when the journal's queue is full: the queue drains in tens of milliseconds,
/// but one second is the smallest unit that HTTP and both dialects have.
const JOURNAL_WAIT: Duration = Duration::from_secs(1);

/// Interval at which a held request checks again whether it is admitted.
const CAPACITY_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Returns whether the peer is not in memory and no slot is free for it.
fn is_resident_max_reached(error: &PeerError) -> bool {
    matches!(
        error,
        PeerError::Unavailable(UnavailableError::Admission(AdmissionError::LimitReached { limit: RESIDENT_MAX, .. }))
    )
}

/// The number of items in a peer's request.
#[derive(Clone, Copy)]
struct BatchSize {
    durable: usize,
    /// Ephemeral items; reading them costs as much as reading durable ones.
    fleeting: usize,
}

/// Maximum number of merge messages that are composed at once.
const MERGED_AT_ONCE: usize = 32;

impl Gateway {
    /// Returns a gateway over a running router.
    pub fn new(routes: ActorRegistry, ports: Ports) -> Self {
        let full = LogThrottle::new(|peer, messages, last| {
            tracing::warn!(
                peer,
                messages,
                last,
                "a participant's outbox is full; the messages are not sent to it later"
            );
        });
        let limited = LogThrottle::new(|peer, count, last| {
            tracing::warn!(peer, count, last, "a limit is reached; the peer is asked to retry");
        });
        let began = ports.clock.now();
        Self { routes, ports, began, full, limited, feed_times: Arc::default() }
    }

    /// Accepts a peer's push. It answers after the commit of everything that the answer depends on.
    pub async fn accept(&self, from: &ServerName, mut push: InboundPush) -> Result<Receipt, BatchError> {
        let load = BatchSize { durable: push.strong.len(), fleeting: push.weak };
        let arrived = Instant::now();
        let (peer, permit) = self.admit_batch(from, load).await?;
        let ephemeral = std::mem::take(&mut push.ephemeral);
        let accepted = peer.accept_push(push, permit).await;
        self.show_ephemeral(from, &accepted, ephemeral.into_iter().map(InboundEphemeral::Update).collect());
        self.note_feed_time(arrived, load, accepted.is_ok());
        accepted.inspect_err(|error| self.note_limit(from, error.admission()))
    }

    /// Shows the ephemeral items of a batch that was accepted; a peer sends those of another batch again, if they still count.
    fn show_ephemeral<T>(&self, from: &ServerName, accepted: &Result<T, BatchError>, items: Vec<InboundEphemeral>) {
        if accepted.is_ok() && !items.is_empty() {
            self.ports.ephemeral.show(from, items);
        }
    }

    /// Accepts a peer's transaction. It answers after the commit of everything that the answer depends on.
    pub async fn accept_transaction(
        &self,
        from: &ServerName,
        mut transaction: InboundTransaction,
    ) -> Result<TransactionReceipt, BatchError> {
        let load = BatchSize { durable: transaction.pdus.len(), fleeting: transaction.edus.len() };
        let arrived = Instant::now();
        let (peer, permit) = self.admit_batch(from, load).await?;
        let ephemeral = std::mem::take(&mut transaction.edus);
        let receipt = peer.accept_transaction(transaction, permit).await;
        self.show_ephemeral(from, &receipt, ephemeral.into_iter().map(InboundEphemeral::Edu).collect());
        self.note_feed_time(arrived, load, receipt.is_ok());
        let receipt = receipt.inspect_err(|error| self.note_limit(from, error.admission()))?;
        self.count_refused(&receipt.verdicts);
        Ok(receipt)
    }

    /// Notes the time of a batch that was accepted and has durable items; its answer follows the commit.
    fn note_feed_time(&self, arrived: Instant, load: BatchSize, is_accepted: bool) {
        if is_accepted && load.durable > 0 {
            self.feed_times.note(arrived.elapsed(), 1);
        }
    }

    /// Returns the times from the arrival of a batch of a peer to the commit that puts its items into the feed.
    pub fn feed_times(&self) -> &TimeHistogram {
        &self.feed_times
    }

    /// Counts the PDUs that a limit refused: their senders get a code in an answer that is no error.
    fn count_refused(&self, verdicts: &[PduVerdict]) {
        let is_refused = |verdict: &&PduVerdict| matches!(verdict, PduVerdict::Refused { code: "ADOPT_MAX", .. });
        verdicts.iter().filter(is_refused).for_each(|_| self.routes.tally().count_refusal("contexts.adopt_max"));
    }

    /// Accepts a messenger's submission and answers after the commit. A refusal means that nothing was accepted, except
    /// `OutcomeUnknown`.
    ///
    /// The caller ensures that the id is new and that no other task submits it at the same time.
    pub async fn submit(&self, submission: Submission) -> Result<(), SubmitError> {
        self.check_overload()?;
        let Some(first) = submission.servers.first() else { return Ok(()) };
        let fence = self.ports.ownership.claim(first).ok_or_else(|| PeerError::UnknownPeer(first.clone()))?;
        let (items, bytes) = match &submission.what {
            SubmittedContent::Updates(updates) => (updates.len(), updates.iter().map(Bytes::len).sum()),
            SubmittedContent::Pdu(_, _, bytes) => (1, bytes.len()),
        };
        for server in &submission.servers {
            self.routes.peer(server, LookupPurpose::Deliver).await?.has_room(items, bytes)?;
        }
        let ticket = self.ports.journal.submit(fence, vec![Change::Submitted(submission)], CommitPriority::Now);
        ticket.committed().await.map_err(|_| UnavailableError::OutcomeUnknown.into())
    }

    /// Composes messages in an existing context, in this order. It answers after the commit, with one outcome a draft.
    ///
    /// A participant for which nothing can be queued gets no row, and an event tells the messenger why; the other
    /// participants are served, so that one dead server does not block a context. The caller ensures that the ids are
    /// new and that no other task submits them at the same time.
    pub async fn compose(&self, context: &ContextId, drafts: Vec<PduDraft>) -> Result<ComposeOutcomes, ContextError> {
        self.check_overload()?;
        let participants = self.record(context).await?.participants;
        self.compose_among(context, participants, drafts).await
    }

    /// Composes messages as [`compose`](Self::compose) does, for a caller that knows the participants.
    pub async fn compose_among(
        &self,
        context: &ContextId,
        mut servers: Vec<ServerName>,
        drafts: Vec<PduDraft>,
    ) -> Result<ComposeOutcomes, ContextError> {
        self.check_overload()?;
        let bytes = drafts.iter().map(|draft| draft.content.len()).sum();
        let mut shut = vec![];
        for server in self.joining(&drafts) {
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
        for server in servers {
            match self.routes.peer(&server, LookupPurpose::Deliver).await {
                Ok(peer) => {
                    if let Err(full) = peer.has_room(drafts.len(), bytes) {
                        self.full.note(server.as_str(), drafts.len() as u64, &full.to_string());
                        shut.push((server, "outbox_full"));
                    }
                }
                // The server gets no row; once it is a peer (again), it can fetch what it missed.
                Err(PeerError::UnknownPeer(_)) => shut.push((server, "not_a_peer")),
                Err(PeerError::Denied(_)) => shut.push((server, "denied")),
                // The failure is temporary, for instance because the gateway is stopping: no recipient is skipped for
                // that.
                Err(PeerError::Unavailable(error)) => return Err(error.into()),
            }
        }
        let deaf = self.deaf(&drafts);
        self.routes.context(context).await?.compose(drafts, RecipientReach { shut, deaf }).await
    }

    /// Merges the heads of a context until one is left, by empty messages that name ten heads each. `draft` creates a
    /// draft of the given type under a new id. Returns the number of messages; heads that arrive meanwhile may be left.
    pub async fn merge_heads(
        &self,
        context: &ContextId,
        mut draft: impl FnMut(&Arc<str>) -> PduDraft,
    ) -> Result<usize, ComposeError> {
        let kind: Arc<str> = self.ports.roster.contexts().merge_type.as_str().into();
        let needed = |heads: usize| heads.saturating_sub(1).div_ceil(PARENTS_MAX - 1);
        let heads = self.context(context).await?.record.heads.len();
        let (mut left, mut said) = (needed(heads), 0);
        while left > 0 {
            // Compose a few at a time, because each is sent to all participants.
            let drafts: Vec<PduDraft> = (0..left.min(MERGED_AT_ONCE)).map(|_| draft(&kind)).collect();
            for outcome in self.compose(context, drafts).await? {
                outcome?;
                (left, said) = (left - 1, said + 1);
            }
            left = left.min(needed(self.context(context).await?.record.heads.len()));
        }
        Ok(said)
    }

    /// Returns the servers that drafts are narrowed to and that do not honour it.
    fn deaf(&self, drafts: &[PduDraft]) -> Vec<ServerName> {
        let named = drafts.iter().filter_map(|draft| draft.to.as_ref()).flatten();
        // A participant that is not a listed peer may become one with any profile, and then pass the message on.
        let is_deaf = |server: &&ServerName| {
            **server != self.ports.us && self.ports.roster.limits(server).is_none_or(|peer| !peer.honours_to)
        };
        named.filter(is_deaf).cloned().collect()
    }

    /// Returns the servers that the drafts add as participants: a server that a message invites receives that message.
    fn joining(&self, drafts: &[PduDraft]) -> Vec<ServerName> {
        let types = &self.ports.roster.contexts().membership_types;
        let speaks = |draft: &&PduDraft| types.iter().any(|speaks| **speaks == *draft.kind);
        let member = |draft: &PduDraft| {
            let (key, _) = draft.state.as_ref()?;
            self.ports.text.membership(key, MembershipSource::Content(&draft.content)).filter(|member| member.joins)
        };
        let joining = drafts.iter().filter(speaks).filter_map(member);
        joining.map(|member| member.server).filter(|server| *server != self.ports.us).collect()
    }

    /// Sets the participants of a context beside us; creates the context if it is new. It answers after the commit.
    pub async fn set_participants(&self, context: &ContextId, servers: Vec<ServerName>) -> Result<(), ContextError> {
        self.check_overload()?;
        self.routes.context(context).await?.set_participants(servers).await
    }

    /// Starts a join: fetches a context from a participant, first its state and then `backfill` PDUs of its history. It
    /// answers once the intent is committed. The PDUs go into the feed as history, and the status of the context shows
    /// the progress.
    pub async fn join(&self, context: &ContextId, via: ServerName, backfill: u32) -> Result<(), ContextError> {
        self.check_overload()?;
        self.routes.peer(&via, LookupPurpose::Deliver).await?;
        self.routes.context(context).await?.join(via, backfill).await
    }

    /// Fetches history from the participants: PDUs that precede what is known here. Returns the number of PDUs
    /// received.
    pub async fn fetch_older(&self, context: &ContextId, limit: u32) -> Result<u64, ContextError> {
        self.record(context).await?;
        self.routes.context(context).await?.older(limit).await
    }

    /// Returns the committed record of a context.
    pub async fn record(&self, context: &ContextId) -> Result<ContextRecord, ContextError> {
        let record = self.ports.archive.contexts.context_record(context).await.map_err(|error| {
            tracing::error!(%context, %error, "the context's row cannot be read");
            UnavailableError::OutcomeUnknown
        })?;
        record.ok_or_else(|| ContextError::UnknownContext(context.clone()))
    }

    /// Waits until servers have become participants of a context, or a context was loaded. One caller at a time may wait.
    pub async fn participants_changed(&self) {
        self.routes.participants_changed().await;
    }

    /// Returns the status of an existing context.
    pub async fn context(&self, context: &ContextId) -> Result<ContextStatus, ContextError> {
        self.record(context).await?;
        Ok(self.routes.context(context).await?.status().await?)
    }

    /// Sends an ephemeral item to a peer. It is dropped if the peer is not being sent to, or if the peer is not in
    /// memory and no slot is free.
    pub async fn send_ephemeral(&self, server: &ServerName, fleeting: EphemeralItem) -> Result<(), PeerError> {
        match self.routes.peer(server, LookupPurpose::Receive).await {
            Ok(peer) => peer.weak(fleeting),
            Err(error) if is_resident_max_reached(&error) => {}
            Err(refusal) => return Err(refusal),
        }
        Ok(())
    }

    /// Returns the status of a peer. That of a peer without work is read from the store, because whoever lists all peers would
    /// otherwise load all of them.
    pub async fn peer(&self, server: &ServerName) -> Result<PeerStatus, PeerError> {
        if self.routes.published_peer(server).is_none() {
            let stored = self.stored_status(server).await?;
            if stored.backlog == 0 {
                return Ok(self.dated(stored));
            }
        }
        let status = match self.routes.peer(server, LookupPurpose::Inspect).await {
            Ok(peer) => peer.status().await?,
            Err(PeerError::UnknownPeer(_) | PeerError::Denied(_)) => self.stored_status(server).await?,
            Err(error) if is_resident_max_reached(&error) => self.stored_status(server).await?,
            Err(error) => return Err(error),
        };
        Ok(self.dated(status))
    }

    /// Runs an operator's command for a peer; answers with the peer's status after the commit.
    pub async fn order(&self, server: &ServerName, order: PeerCommand) -> Result<PeerStatus, CommandError> {
        // A server that is not listed accepts hardly any command, so its actor is not started for it.
        let need =
            if self.ports.roster.limits(server).is_some() { LookupPurpose::Deliver } else { LookupPurpose::Inspect };
        let status = self.routes.peer(server, need).await?.order(order).await;
        status.map(|status| self.dated(status))
    }

    /// Dates the state of a peer that never changed to the start of this gateway.
    fn dated(&self, mut status: PeerStatus) -> PeerStatus {
        if status.since == Millis(0) {
            status.since = self.began;
        }
        status
    }

    /// Returns the listed peers in the order of the configuration, then unlisted servers with pending items.
    pub fn peers(&self) -> Vec<ServerName> {
        let mut peers = self.ports.roster.listed();
        peers.extend(self.routes.unlisted());
        peers
    }

    /// Returns the metrics of peers and contexts. It is cheap: contexts keep running sums, and of each peer in memory
    /// two numbers are read without asking its actor.
    pub fn metrics(&self) -> GatewayMetrics {
        let tally = self.routes.tally();
        let mut counts = GatewayMetrics {
            peers: STATES.map(|state| (state, 0)),
            evicted: self.routes.evicted(),
            outbox_items: 0,
            open_heads: tally.max_head_count(),
            heads_forgotten: tally.forgotten(),
            refusals: tally.refusals(),
            relayed: self.routes.relays().counts(),
            receipts: tally.receipts(),
        };
        for (state, backlog) in self.routes.peer_states() {
            counts.outbox_items += backlog;
            counts.peers.iter_mut().filter(|(name, _)| *name == state).for_each(|(_, count)| *count += 1);
        }
        counts
    }

    /// Returns the queues of all peers in memory, in the order of their names. No actor is asked.
    pub fn peer_queues(&self) -> Vec<PeerQueueSize> {
        self.routes.all_peers().iter().map(|handle| handle.queue_size()).collect()
    }

    /// Applies a configuration that the ports have replaced, to the running actors. `new_peers` were no peers before.
    pub async fn change_config(&self, new_peers: Vec<ServerName>) -> Result<(), UnavailableError> {
        self.routes.change_config(new_peers).await
    }

    /// Returns the ports; adapters read the feed and the submissions through them.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// Returns the overload state, which can be watched; `None` before the router is launched.
    pub fn overload(&self) -> Option<Arc<OverloadMonitor>> {
        self.routes.overload().cloned()
    }

    /// Returns the peer's actor and a permit for a batch of this size.
    async fn admit_batch(
        &self,
        from: &ServerName,
        load: BatchSize,
    ) -> Result<(Arc<PeerHandle>, AdmissionPermit), BatchError> {
        // A peer that treats refusals as final must not be refused for lack of a memory slot.
        let is_owed = self.ports.roster.limits(from).is_some_and(|limits| limits.never_refuse);
        let found = self.routes.peer(from, if is_owed { LookupPurpose::Deliver } else { LookupPurpose::Receive }).await;
        let peer = found.map_err(BatchError::from).inspect_err(|error| self.note_limit(from, error.admission()))?;
        let permit = match self.admit(&peer, load) {
            Ok(permit) => permit,
            Err(limit) => {
                self.note_limit(from, Some(&limit));
                self.wait_for_capacity(&peer, load, limit).await?
            }
        };
        Ok((peer, permit))
    }

    /// Logs that a peer reached a limit of ours: the peer's operator sees only the wait.
    fn note_limit(&self, peer: &ServerName, limit: Option<&AdmissionError>) {
        if let Some(limit) = limit {
            self.limited.note(peer.as_str(), 1, &limit.to_string());
        }
    }

    /// Checks every limit for a peer's request, the global ones first. A request without durable items fills neither
    /// feed nor disk, so the overload limits do not apply to it.
    fn admit(&self, peer: &PeerHandle, load: BatchSize) -> Result<AdmissionPermit, AdmissionError> {
        self.queue()?;
        if let Some(overload) = self.routes.overload().filter(|_| load.durable > 0) {
            overload.check_inbound()?;
        }
        if peer.listing() == PeerListing::Stranger {
            self.ports.roster.admit_stranger(peer.server(), load.durable + load.fleeting)?;
            // Its first request may have changed its dialect, after we had sent to it.
            peer.change_limits(&self.ports.roster.limits_of(peer.server()));
        }
        let permit = peer.acquire_permit()?;
        peer.pace(load.durable + load.fleeting)?;
        Ok(permit)
    }

    /// Holds the request of a peer that treats every refusal as final, until the request is admitted. After `hold_max`
    /// it is accepted nevertheless, so that the connection does not time out; the unread part of the feed then grows by
    /// one request per `hold_max`, and no faster.
    async fn wait_for_capacity(
        &self,
        peer: &PeerHandle,
        load: BatchSize,
        limit: AdmissionError,
    ) -> Result<AdmissionPermit, AdmissionError> {
        let Some(held) = peer.acquire_held_permit() else { return Err(limit) };
        let (_place, longest) = held?;
        let (begun, mut limit) = (Instant::now(), limit);
        while let Some(rest) = longest.checked_sub(begun.elapsed()).filter(|rest| !rest.is_zero()) {
            tokio::time::sleep(rest.min(CAPACITY_POLL_INTERVAL)).await;
            match self.admit(peer, load) {
                Ok(permit) => return Ok(permit),
                Err(again) => limit = again,
            }
        }
        match limit {
            AdmissionError::LimitReached { limit: HIGH_WATER | RATE, .. } => peer.acquire_permit(),
            other => Err(other),
        }
    }

    /// Checks the limits for a messenger's call.
    fn check_overload(&self) -> Result<(), AdmissionError> {
        self.queue()?;
        self.routes.overload().map_or(Ok(()), |overload| overload.check_disk_space())
    }

    fn queue(&self) -> Result<(), AdmissionError> {
        let pressure = self.ports.journal.pressure();
        if pressure.is_high() {
            let (limit, value) = match pressure.full_log {
                Some(bytes) => ("store.log_max", bytes),
                None => ("store.queue_rows", pressure.rows_max),
            };
            return Err(AdmissionError::LimitReached { limit, value, wait: JOURNAL_WAIT });
        }
        Ok(())
    }
}
