//! Orders of operators: suspend and resume peers, drop and retry messages, merge the heads of a room, and release or forget
//! PDUs in quarantine.

use std::rc::Rc;

use actors::errors::{CommandError, ContextError, UnavailableError};
use actors::model::{FeedItem, PduVerdict, PeerCommand};
use actors::ports::{Direction, ParkedFilter, ParkedRow, QuarantineItemKind, StoreInspector};
use fernpost::wire::pdu::PduReader;
use fixtures::messenger::context;
use fixtures::peers::server;
use fixtures::time::seconds;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::task::spawn_local;

use crate::history::Name;
use crate::history::disturbance::Done;
use crate::plan::pick;
use crate::world::content::Saying;
use crate::world::read;
use crate::world::talk::{Before, before};
use crate::world::{Member, World};

/// Number of orders to drop a message, and number of orders that were carried out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Drops {
    ordered: u32,
    done: u32,
}

/// A strong update that carries a PDU.
#[derive(Deserialize)]
struct Carrier<'a> {
    #[serde(borrow)]
    pdu: &'a RawValue,
}

/// Parked items looked at in one go.
const PARKED_MAX: u32 = 100;

impl World {
    /// An operator orders this about some peer. Whether it is done before a crash matters to nobody.
    pub(crate) fn order(self: &Rc<Self>, member: &Rc<Member>, order: PeerCommand) {
        let others: Vec<Name> = self.plan.names.iter().copied().filter(|name| *name != member.name).collect();
        let to = pick(&mut self.more.borrow_mut(), &others);
        self.trace.note(&format!("{}: {order:?} {to}", member.name));
        let Some(gateway) = member.node.alive() else { return };
        self.count(match &order {
            PeerCommand::Suspend => "an operator suspends a peer",
            PeerCommand::Resume => "an operator resumes a peer",
            _ => "an operator has a peer tried now",
        });
        let suspended = Done::Suspended(member.name, to);
        if matches!(order, PeerCommand::Suspend) {
            self.disturb(suspended);
        }
        let (world, ordered) = (self.clone(), self.stamps.next());
        spawn_local(async move {
            let is_resumed = matches!(order, PeerCommand::Resume);
            if gateway.order(&server(to), order).await.is_ok() && is_resumed {
                // A suspension that was ordered while this order was carried out goes on.
                world.relieve_since(|done, since| done == suspended && since < ordered);
            }
        });
    }

    /// An operator takes a message that was taken out of the queues. What it was and for whom is known from then on to whoever
    /// ordered it.
    pub(crate) fn drop_one(self: &Rc<Self>, member: &Rc<Member>) {
        let Some(gateway) = member.node.alive() else { return };
        let dropped = {
            let history = self.history.borrow();
            let messages = history.messages.iter().filter(|said| said.origin == member.name && said.taken.is_some());
            let updates = history.updates.iter().filter(|said| said.origin == member.name && said.taken.is_some());
            let taken: Vec<&String> =
                messages.map(|said| &said.submission).chain(updates.map(|said| &said.submission)).collect();
            // One of the last: the others have arrived.
            let last = &taken[taken.len().saturating_sub(4)..];
            if last.is_empty() {
                return;
            }
            last[self.more.borrow_mut().usize(..last.len())].clone()
        };
        self.trace.note(&format!("{}: {dropped} is dropped", member.name));
        self.count("an operator drops a message");
        {
            let mut history = self.history.borrow_mut();
            let now = self.stamps.next();
            history.dropped.entry(dropped.clone()).or_default().push(now);
            for (_, retried) in history.retried.iter_mut().filter(|((submission, _), _)| *submission == dropped) {
                retried.done = None;
            }
            self.drops.borrow_mut().entry(dropped.clone()).or_default().ordered += 1;
        }
        let world = self.clone();
        spawn_local(async move {
            let done = gateway.drop_message(&dropped.parse().expect("an id"), None).await;
            // Or nothing of it was ever in a queue.
            if matches!(done, Ok(()) | Err(CommandError::UnknownSubmission(_))) {
                world.drops.borrow_mut().entry(dropped).or_default().done += 1;
            }
        });
    }

    /// An operator has queued again what had left the queue of one server of a message. Where an order to drop it may still be
    /// under way, nothing is promised.
    pub(crate) fn retry_one(self: &Rc<Self>, member: &Rc<Member>) {
        let Some(gateway) = member.node.alive() else { return };
        // One of the last that the messenger was told of.
        let parked: Vec<(String, Name)> = {
            let heard = member.node.heard.borrow();
            let told = heard.iter().rev().filter_map(|entry| match &entry.item {
                FeedItem::Delivery { message, server, state: "parked", .. } => {
                    Some((message.to_string(), read::name(server, &self.plan.names)))
                }
                _ => None,
            });
            told.take(3).collect()
        };
        if parked.is_empty() {
            return;
        }
        let (id, to) = parked[self.more.borrow_mut().usize(..parked.len())].clone();
        self.trace.note(&format!("{}: {id} is sent to {to} again", member.name));
        let drops = self.drops.borrow().get(&id).copied().unwrap_or_default();
        let (world, upto) = (self.clone(), member.node.store_tail());
        self.queued_again(&id, member);
        self.history.borrow_mut().retried.entry((id.clone(), to)).or_default().orders += 1;
        spawn_local(async move {
            let queued = gateway.retry_message(&id.parse().expect("an id"), Some(&server(to))).await;
            world.trace.note(&format!("{id} for {to} again: {queued:?}"));
            let is_undisturbed =
                drops.ordered == drops.done && world.drops.borrow().get(&id).copied().unwrap_or_default() == drops;
            let mut history = world.history.borrow_mut();
            let retried = history.retried.entry((id, to)).or_default();
            match queued {
                Ok(1..) if is_undisturbed => {
                    world.counts.borrow_mut().add("an operator has a message sent again", 1);
                    retried.done = Some((upto, world.stamps.next()));
                }
                Ok(0) | Err(CommandError::UnknownSubmission(_)) => retried.orders -= 1,
                // Some of it may be in the queue again, where the rest found no room.
                Ok(1..) | Err(_) => {}
            }
        });
    }

    /// A submission that was queued again is pending from now on, by the wall clock of its gateway.
    fn queued_again(&self, submission: &str, member: &Member) {
        let (now, mut history) = (member.now().0, self.history.borrow_mut());
        for said in history.messages.iter_mut().filter(|said| said.submission == submission) {
            said.wall = said.wall.min(now);
        }
        for said in history.updates.iter_mut().filter(|said| said.submission == submission) {
            said.wall = said.wall.min(now);
        }
    }

    /// An operator has the open ends of a room joined.
    pub(crate) fn merge_one(self: &Rc<Self>, member: &Rc<Member>) {
        let rooms: Vec<&'static str> = {
            let inside = |room: &&'static str| self.rooms.inside(room).contains(&member.name);
            self.plan.rooms.iter().map(|(room, _)| *room).filter(inside).collect()
        };
        let Some(gateway) = member.node.alive().filter(|_| !rooms.is_empty()) else { return };
        let room = pick(&mut self.further.borrow_mut(), &rooms);
        self.trace.note(&format!("{}: the open ends of {room} are joined", member.name));
        let (world, member) = (self.clone(), member.clone());
        spawn_local(async move {
            let number = world.merges.replace(world.merges.get() + 1);
            let mut ids = vec![];
            let merged = gateway
                .merge_heads(&context(room), |_| {
                    let id = format!("merge{number}.{}", ids.len());
                    ids.push(id.clone());
                    world.drafted(&member, &id, &format!("{id}.0"), room, &Saying::merge(), None)
                })
                .await;
            world.trace.note(&format!("{}: {room}: {merged:?}", member.name));
            if matches!(merged, Ok(1..)) {
                world.count("an operator has open ends joined");
            }
            for id in ids {
                world.find_out(&member, &id).await;
            }
        });
    }

    /// Asks until the gateway can tell if the submission was accepted, and records the PDU if it was.
    async fn find_out(&self, member: &Member, id: &str) {
        loop {
            match before(member, id).await {
                Before::Taken(Some(pdu)) => return self.heard_of(member, id, &pdu),
                Before::Taken(None) | Before::No => return,
                Before::Unknown => seconds(1).await,
            }
        }
    }

    /// An operator gives back to its room what lies in quarantine.
    pub(crate) fn release_some(self: &Rc<Self>, member: &Rc<Member>) {
        let (world, member) = (self.clone(), member.clone());
        spawn_local(async move {
            let _ = world.release_all(&member).await;
        });
    }

    /// All of it that is taken now. `Err`: its gateway has ended meanwhile.
    pub(crate) async fn release_all(&self, member: &Member) -> Result<(), ContextError> {
        for row in self.parked(member).await {
            let Some(gateway) = member.node.alive() else { return Err(UnavailableError::Stopping.into()) };
            let bytes = row.bytes.clone().unwrap_or_default();
            let raw: &RawValue = serde_json::from_slice(&bytes).expect("a PDU, or an update that carries one");
            let carried = serde_json::from_str::<Carrier<'_>>(raw.get()).map_or(raw, |carrier| carrier.pdu);
            let Ok(pdu) = PduReader::new(&row.place.server, &gateway, &*member.node.judge()).read(carried).await else {
                continue;
            };
            let (reference, verdict) = (pdu.reference.clone(), gateway.admit_parked(&row.place.server, pdu).await?);
            self.trace.note(&format!("{}: {reference} is released: {verdict:?}", member.name));
            if matches!(verdict, PduVerdict::Accepted | PduVerdict::Held | PduVerdict::Duplicate) {
                self.count("an operator releases what lies in quarantine");
                gateway.forget_parked(&row.place).await?;
            }
        }
        Ok(())
    }

    /// All is well: whatever lies in quarantine is given back.
    pub(crate) async fn release_everywhere(&self) {
        for member in &self.members {
            let _ = self.release_all(member).await;
        }
    }

    /// An operator forgets something that lies in quarantine.
    pub(crate) fn forget_one(self: &Rc<Self>, member: &Rc<Member>) {
        let (world, member) = (self.clone(), member.clone());
        spawn_local(async move {
            let Some(row) = world.parked(&member).await.pop() else { return };
            let Some(gateway) = member.node.alive() else { return };
            world.trace.note(&format!("{}: {:?} is forgotten", member.name, row.what));
            world.count("an operator forgets what lies in quarantine");
            if let QuarantineItemKind::PduIn { origin: Some(origin), id: Some(id), .. } = &row.what {
                let name = format!("{}/{id}", origin.split('.').next().unwrap_or(origin));
                world.history.borrow_mut().forgotten.insert((member.name, name));
            }
            let _ = gateway.forget_parked(&row.place).await;
        });
    }

    /// PDUs of others that lie in quarantine, with their texts.
    async fn parked(&self, member: &Member) -> Vec<ParkedRow> {
        if member.node.alive().is_none() {
            return vec![];
        }
        let store = member.node.store();
        let filter = ParkedFilter { direction: Some(Direction::In), pdus: Some(true), ..ParkedFilter::default() };
        let Ok(page) = store.parked(filter, None, PARKED_MAX).await else { return vec![] };
        let mut rows = vec![];
        for row in page.rows {
            if let Ok(Some(row)) = store.parked_row(row.place).await {
                rows.push(row);
            }
        }
        rows
    }
}
