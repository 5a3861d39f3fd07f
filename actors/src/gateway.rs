//! `Gateway`: the typed calls adapters may make. Cheap to clone; every HTTP worker holds one.

mod messages;
mod parked;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::change::Change;
use crate::congestion::{HIGH_WATER, Overload};
use crate::context::PARENTS_MAX;
use crate::context::machine::Reach;
use crate::model::{
    Composed, ContextId, ContextRecord, ContextStatus, Draft, InboundPush, InboundTransaction, Millis, Order,
    PeerStatus, Receipt, Refusal, ServerName, Spoken, Submission, Submitted, Taken, Verdict,
};
use crate::peer::gauge::STATES;
use crate::peer::inbound::Frame;
use crate::peer::machine::Machine;
use crate::peer::weak::Fleeting;
use crate::peer::{PeerHandle, RATE};
use crate::ports::{Ports, Urgency};
use crate::routes::{Need, RESIDENT_MAX, Routes};
use crate::supervise::intake::Permit;
use crate::supervise::seldom::Seldom;

/// What is counted of peers and conversations together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// How many peers in memory do what.
    pub peers: [(&'static str, u64); STATES.len()],
    /// Items that wait for peers in memory: whoever has any is.
    pub outbox_items: u64,
    /// The open ends of the conversation in memory that has the most.
    pub open_heads: u32,
    /// Open ends forgotten since the start, because a conversation had too many.
    pub heads_forgotten: u64,
}

/// The door of the core.
#[derive(Clone)]
pub struct Gateway {
    routes: Routes,
    ports: Ports,
    /// When it was made.
    began: Millis,
    /// Participants that messages of contexts are not queued for.
    full: Seldom,
    /// Peers that are told to come again, or held.
    limited: Seldom,
}

/// How long a caller is asked to stay away when the journal's queue is full: it drains in tens of milliseconds, but the one
/// unit that both HTTP and the dialects have for this is the second.
const JOURNAL_WAIT: Duration = Duration::from_secs(1);

/// How often a request that is held looks whether there is room.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Waiting mends it.
const fn is_for_now(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Busy { .. } | Refusal::DiskLow { .. })
}

/// How many items a peer's request brings.
#[derive(Clone, Copy)]
struct Load {
    durable: usize,
    /// What is ephemeral costs its reader as much.
    fleeting: usize,
}

/// Messages that join open ends handed over at once.
const MERGED_AT_ONCE: usize = 32;

impl Gateway {
    /// A gateway over a running router.
    pub fn new(routes: Routes, ports: Ports) -> Self {
        let full = Seldom::new(|peer, messages, last| {
            tracing::warn!(
                peer,
                messages,
                last,
                "a participant's outbox is full; the messages are not sent to it later"
            );
        });
        let limited = Seldom::new(|peer, count, last| {
            tracing::warn!(peer, count, last, "a limit is reached; the peer is told to come again");
        });
        let began = ports.clock.now();
        Self { routes, ports, began, full, limited }
    }

    /// Take a peer's push. Answers after the commit of everything the answer rests on.
    pub async fn accept(&self, from: &ServerName, push: InboundPush) -> Result<Receipt, Refusal> {
        let load = Load { durable: push.strong.len(), fleeting: push.weak };
        match self.take(from, load, Frame::Push(push)).await? {
            Taken::Push(receipt) => Ok(receipt),
            Taken::Transaction(_) => Err(Refusal::OutcomeUnknown),
        }
    }

    /// Take a peer's transaction: one verdict a PDU, in order. Answers after the commit of everything the answer rests on.
    pub async fn accept_transaction(
        &self,
        from: &ServerName,
        transaction: InboundTransaction,
    ) -> Result<Vec<Verdict>, Refusal> {
        let load = Load { durable: transaction.pdus.len(), fleeting: transaction.edus.len() };
        match self.take(from, load, Frame::Transaction(transaction)).await? {
            Taken::Transaction(verdicts) => Ok(verdicts),
            Taken::Push(_) => Err(Refusal::OutcomeUnknown),
        }
    }

    /// Take a messenger's submission. Answers after the commit; nothing is taken on any refusal but
    /// [`Refusal::OutcomeUnknown`].
    ///
    /// The caller has made sure that the id is new and that nobody else submits it meanwhile.
    pub async fn submit(&self, submission: Submission) -> Result<(), Refusal> {
        self.door()?;
        let Some(first) = submission.servers.first() else { return Ok(()) };
        let fence = self.ports.ownership.claim(first).ok_or_else(|| Refusal::UnknownPeer(first.clone()))?;
        let (items, bytes) = match &submission.what {
            Submitted::Updates(updates) => (updates.len(), updates.iter().map(Bytes::len).sum()),
            Submitted::Pdu(_, _, bytes) => (1, bytes.len()),
        };
        for server in &submission.servers {
            self.routes.peer(server, Need::Work).await?.has_room(items, bytes)?;
        }
        let ticket = self.ports.journal.submit(fence, vec![Change::Submitted(submission)], Urgency::Now);
        ticket.committed().await.map_err(|_| Refusal::OutcomeUnknown)
    }

    /// Say something in a conversation that exists, in this order. Answers after the commit, one outcome a draft.
    ///
    /// A participant that nothing can be queued for gets no row, and the messenger is told why; the others are served: one dead
    /// server never closes a conversation. The caller has made sure that the ids are new and that nobody else submits them meanwhile.
    pub async fn compose(
        &self,
        context: &ContextId,
        drafts: Vec<Draft>,
    ) -> Result<Vec<Result<Composed, Refusal>>, Refusal> {
        self.door()?;
        let bytes = drafts.iter().map(|draft| draft.content.len()).sum();
        let mut shut = vec![];
        let mut servers = self.record(context)?.participants;
        for server in self.joining(&drafts) {
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
        for server in servers {
            match self.routes.peer(&server, Need::Work).await {
                Ok(peer) => {
                    if let Err(full) = peer.has_room(drafts.len(), bytes) {
                        self.full.note(server.as_str(), drafts.len() as u64, &full.to_string());
                        shut.push((server, "outbox_full"));
                    }
                }
                // It gets nothing, and can fetch what it missed once it is a peer of ours (again).
                Err(Refusal::UnknownPeer(_)) => shut.push((server, "not_a_peer")),
                Err(Refusal::Faulty(_)) => shut.push((server, "faulty")),
                // Not now, for instance because we stop: nobody is left out for that.
                Err(refusal) => return Err(refusal),
            }
        }
        let deaf = self.deaf(&drafts);
        self.routes.context(context).await?.compose(drafts, Reach { shut, deaf }).await
    }

    /// Join the open ends of a conversation until one is left, by empty messages that name ten each. `draft` makes one of this
    /// type under an id that is new. Returns how many it took; ends that come meanwhile may be left.
    pub async fn merge_heads(
        &self,
        context: &ContextId,
        mut draft: impl FnMut(&Arc<str>) -> Draft,
    ) -> Result<usize, Refusal> {
        let kind: Arc<str> = self.ports.roster.contexts().merge_type.as_str().into();
        let needed = |heads: usize| heads.saturating_sub(1).div_ceil(PARENTS_MAX - 1);
        let heads = self.context(context).await?.record.heads.len();
        let (mut left, mut said) = (needed(heads), 0);
        while left > 0 {
            // A few at once: each is a message to everybody.
            let drafts: Vec<Draft> = (0..left.min(MERGED_AT_ONCE)).map(|_| draft(&kind)).collect();
            for outcome in self.compose(context, drafts).await? {
                outcome?;
                (left, said) = (left - 1, said + 1);
            }
            left = left.min(needed(self.context(context).await?.record.heads.len()));
        }
        Ok(said)
    }

    /// The servers that drafts are narrowed to and that do not honour it.
    fn deaf(&self, drafts: &[Draft]) -> Vec<ServerName> {
        let named = drafts.iter().filter_map(|draft| draft.to.as_ref()).flatten();
        // A participant that is no listed peer may become one of any profile, and pass on what it asks for then.
        let is_deaf = |server: &&ServerName| {
            **server != self.ports.us && self.ports.roster.limits(server).is_none_or(|peer| !peer.honours_to)
        };
        named.filter(is_deaf).cloned().collect()
    }

    /// The servers that drafts say take part: who comes in by a message is sent it.
    fn joining(&self, drafts: &[Draft]) -> Vec<ServerName> {
        let types = &self.ports.roster.contexts().membership_types;
        let speaks = |draft: &&Draft| types.iter().any(|speaks| **speaks == *draft.kind);
        let member = |draft: &Draft| {
            let (key, _) = draft.state.as_ref()?;
            self.ports.text.membership(key, Spoken::Content(&draft.content)).filter(|member| member.joins)
        };
        let joining = drafts.iter().filter(speaks).filter_map(member);
        joining.map(|member| member.server).filter(|server| *server != self.ports.us).collect()
    }

    /// Set who takes part in a conversation beside us, which creates it. Answers after the commit.
    pub async fn set_participants(&self, context: &ContextId, servers: Vec<ServerName>) -> Result<(), Refusal> {
        self.door()?;
        self.routes.context(context).await?.set_participants(servers).await
    }

    /// Fetch a conversation from a peer that takes part: its state, and then so many PDUs of its past. Answers once the intent is
    /// committed; what comes goes into the feed, marked as history, and the context's status tells how far it is.
    pub async fn join(&self, context: &ContextId, via: ServerName, backfill: u32) -> Result<(), Refusal> {
        self.door()?;
        self.routes.peer(&via, Need::Work).await?;
        self.routes.context(context).await?.join(via, backfill).await
    }

    /// Ask those who take part for PDUs that lie before what is known here. How many came.
    pub async fn older(&self, context: &ContextId, limit: u32) -> Result<u64, Refusal> {
        self.record(context)?;
        self.routes.context(context).await?.older(limit).await
    }

    /// A conversation's committed row.
    pub fn record(&self, context: &ContextId) -> Result<ContextRecord, Refusal> {
        let record = self.ports.archive.context_record(context).map_err(|error| {
            tracing::error!(%context, %error, "the context's row cannot be read");
            Refusal::OutcomeUnknown
        })?;
        record.ok_or_else(|| Refusal::UnknownContext(context.clone()))
    }

    /// A conversation that exists, as it stands.
    pub async fn context(&self, context: &ContextId) -> Result<ContextStatus, Refusal> {
        self.record(context)?;
        self.routes.context(context).await?.status().await
    }

    /// Something ephemeral for a peer; dropped where it is not being written to, or where it would take room that is not there.
    pub async fn weak(&self, server: &ServerName, fleeting: Fleeting) -> Result<(), Refusal> {
        match self.routes.peer(server, Need::Call).await {
            Ok(peer) => peer.weak(fleeting),
            Err(Refusal::Busy { limit: RESIDENT_MAX, .. }) => {}
            Err(refusal) => return Err(refusal),
        }
        Ok(())
    }

    /// One peer as it stands.
    pub async fn peer(&self, server: &ServerName) -> Result<PeerStatus, Refusal> {
        let status = match self.routes.peer(server, Need::Look).await {
            Err(Refusal::Busy { limit: RESIDENT_MAX, .. } | Refusal::UnknownPeer(_)) => {
                self.stored_status(server).await
            }
            found => found?.status().await,
        };
        status.map(|status| self.dated(status))
    }

    /// Do what an operator orders about a peer; answers with the peer as it stands once that is on disk.
    pub async fn order(&self, server: &ServerName, order: Order) -> Result<PeerStatus, Refusal> {
        // One that is not listed takes hardly any order, and is not started for it.
        let need = if self.ports.roster.limits(server).is_some() { Need::Work } else { Need::Look };
        let status = self.routes.peer(server, need).await?.order(order).await;
        status.map(|status| self.dated(status))
    }

    /// A peer whose state never changed has been in it since this gateway began.
    fn dated(&self, mut status: PeerStatus) -> PeerStatus {
        if status.since == Millis(0) {
            status.since = self.began;
        }
        status
    }

    /// The listed peers, in the order of the configuration; then the servers that are not listed and for which something waits.
    pub fn peers(&self) -> Vec<ServerName> {
        let mut peers = self.ports.roster.listed();
        peers.extend(self.routes.unlisted());
        peers
    }

    /// What is counted of peers and conversations. Cheap: of conversations there are sums, kept as they go; of each peer in memory
    /// two numbers are read, and nobody is asked.
    pub fn counts(&self) -> Counts {
        let tally = self.routes.tally();
        let mut counts = Counts {
            peers: STATES.map(|state| (state, 0)),
            outbox_items: 0,
            open_heads: tally.most_ends(),
            heads_forgotten: tally.forgotten(),
        };
        for (state, backlog) in self.routes.peers_seen() {
            counts.outbox_items += backlog;
            counts.peers.iter_mut().filter(|(name, _)| *name == state).for_each(|(_, count)| *count += 1);
        }
        counts
    }

    /// What the surroundings supply; adapters read the feed and submissions through it.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// Whether the gateway is too full to take more, and news of it. None before its router is launched.
    pub fn overload(&self) -> Option<Arc<Overload>> {
        self.routes.overload().cloned()
    }

    async fn take(&self, from: &ServerName, load: Load, frame: Frame) -> Result<Taken, Refusal> {
        // One that takes every refusal for good is not turned away.
        let is_owed = self.ports.roster.limits(from).is_some_and(|limits| limits.answers_late);
        let noted = |refusal: &Refusal| self.note_limit(from, refusal);
        let found = self.routes.peer(from, if is_owed { Need::Work } else { Need::Call }).await;
        let peer = found.inspect_err(noted)?;
        let permit = match self.admit(&peer, load).inspect_err(noted) {
            Err(refusal) if is_for_now(&refusal) => self.hold(&peer, load, refusal).await?,
            other => other?,
        };
        peer.accept(frame, permit).await.inspect_err(noted)
    }

    /// A peer met a limit of ours. The peer's operator sees it wait; ours is told why.
    fn note_limit(&self, peer: &ServerName, refusal: &Refusal) {
        if is_for_now(refusal) {
            self.limited.note(peer.as_str(), 1, &refusal.to_string());
        }
    }

    /// Every limit that a peer's request meets, those on all peers first. What brings nothing durable fills neither feed nor disk,
    /// and meets only those on requests and their pace.
    fn admit(&self, peer: &PeerHandle, load: Load) -> Result<Permit, Refusal> {
        self.queue()?;
        if let Some(overload) = self.routes.overload().filter(|_| load.durable > 0) {
            overload.intake()?;
        }
        let permit = peer.enter()?;
        peer.pace(load.durable + load.fleeting)?;
        Ok(permit)
    }

    /// To a peer that takes every refusal for good "not now" is an answer that comes late. Held for so long, its request is
    /// taken all the same, so that the line does not die of silence: what the messenger does not read grows by one request in
    /// that time, and no faster.
    async fn hold(&self, peer: &PeerHandle, load: Load, refusal: Refusal) -> Result<Permit, Refusal> {
        let Some(held) = peer.hold() else { return Err(refusal) };
        let (_place, longest) = held?;
        let (begun, mut refusal) = (tokio::time::Instant::now(), refusal);
        while let Some(rest) = longest.checked_sub(begun.elapsed()).filter(|rest| !rest.is_zero()) {
            tokio::time::sleep(rest.min(LOOK_AGAIN)).await;
            match self.admit(peer, load) {
                Err(again) if is_for_now(&again) => refusal = again,
                other => return other,
            }
        }
        match refusal {
            Refusal::Busy { limit: HIGH_WATER | RATE, .. } => peer.enter(),
            other => Err(other),
        }
    }

    /// What a messenger's call meets.
    fn door(&self) -> Result<(), Refusal> {
        self.queue()?;
        self.routes.overload().map_or(Ok(()), |overload| overload.room())
    }

    fn queue(&self) -> Result<(), Refusal> {
        let pressure = self.ports.journal.pressure();
        if pressure.is_high() {
            return Err(Refusal::Busy { limit: "store.queue_rows", value: pressure.rows_max, wait: JOURNAL_WAIT });
        }
        Ok(())
    }

    /// The status of a peer as the store has it. Starts no actor. A server that is not listed is a peer while something waits for it.
    pub async fn stored_status(&self, server: &ServerName) -> Result<PeerStatus, Refusal> {
        let limits = self.ports.roster.limits(server).unwrap_or_else(|| self.ports.roster.unlisted());
        self.ports.journal.barrier().committed().await.map_err(|_| Refusal::OutcomeUnknown)?;
        let load = self.read(self.ports.archive.peer(server).await)?;
        let status = Machine::new(self.ports.us.clone(), server.clone(), &limits, load).status();
        if !limits.listed && status.backlog == 0 {
            return Err(Refusal::UnknownPeer(server.clone()));
        }
        Ok(status)
    }
}
