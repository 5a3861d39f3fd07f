//! What messengers say: messages into rooms, plain updates to servers, and words that nobody keeps. Each insists until it is
//! told that it is taken.

use std::rc::Rc;

use actors::model::{Digest, Edu, Millis, PduDraft, PduRef, Refusal, Submission, SubmittedContent};
use actors::peer::outbound::ephemeral_buffer::EphemeralItem;
use actors::ports::{Clock, Journal, StoreReader};
use bytes::Bytes;
use tokio::task::spawn_local;

use crate::history::{Message, Name, Update};
use crate::messenger::{Text, draft, named};
use crate::node::{millis, seconds};
use crate::plan::pick;
use crate::surroundings::server;
use crate::world::{Member, World};

/// How a messenger finds out what became of what it submitted.
enum Before {
    /// It was taken, as this PDU where it is one.
    Taken(Option<PduRef>),
    /// It was not.
    No,
    /// Nobody can tell now.
    Unknown,
}

async fn before(member: &Member, id: &str) -> Before {
    if member.node.alive().is_none() {
        return Before::Unknown;
    }
    let (life, store) = (member.life.get(), member.node.store());
    if store.barrier().committed().await.is_err() {
        return Before::Unknown;
    }
    let record = store.submission(&id.parse().unwrap()).await;
    match record {
        // Who has died does not answer.
        _ if member.life.get() != life => Before::Unknown,
        Ok(Some(record)) => Before::Taken(record.pdu),
        Ok(None) => Before::No,
        Err(_) => Before::Unknown,
    }
}

impl World {
    /// Somebody says something in a room.
    pub(crate) fn say(self: &Rc<Self>, member: &Rc<Member>, id: String) {
        let (room, to) = {
            let mut chance = self.chance.borrow_mut();
            let is_inside = |room: &&str| self.rooms.inside(room).contains(&member.name);
            let rooms: Vec<_> = self.plan.rooms.iter().map(|(room, _)| room).filter(|room| is_inside(room)).collect();
            if rooms.is_empty() {
                return;
            }
            let room = rooms[chance.usize(..rooms.len())];
            let mut more = self.more.borrow_mut();
            let mut to = self.rooms.told(member.name, room);
            if self.plan.whims.narrows && !to.is_empty() && more.u8(0..5) == 0 {
                more.shuffle(&mut to);
                let all = to.len();
                to.truncate(pick(&mut more, &[1, 1, 2]));
                // A message for all participants is not narrowed: it carries no list, and whoever comes later may read it.
                (*room, Some(to).filter(|to| to.len() < all))
            } else {
                (*room, None)
            }
        };
        self.say_in(member, id, room, to);
    }

    /// Somebody says this in this room, to all or to some.
    pub(crate) fn say_in(self: &Rc<Self>, member: &Rc<Member>, id: String, room: &'static str, to: Option<Vec<Name>>) {
        let (world, member) = (self.clone(), member.clone());
        // State is for everybody.
        let mut state = self.setting().filter(|_| to.is_none());
        spawn_local(async move {
            for attempt in 0.. {
                match before(&member, &id).await {
                    Before::Taken(Some(pdu)) => return world.heard_of(&member, &id, &pdu),
                    Before::Taken(None) => panic!("{id} is a message"),
                    Before::Unknown => {
                        seconds(1).await;
                        continue;
                    }
                    Before::No => {}
                }
                let pdu = format!("{id}.{attempt}");
                let hearers = to.clone().unwrap_or_else(|| world.rooms.told(member.name, room));
                world.history.borrow_mut().messages.push(Message {
                    pdu: format!("{}/{pdu}", member.name),
                    submission: id.clone(),
                    origin: member.name,
                    room: room.to_owned(),
                    hearers: hearers.into_iter().collect(),
                    narrowed: to.is_some(),
                    taken: None,
                });
                let draft = PduDraft {
                    id: pdu.parse().unwrap(),
                    state: state.clone(),
                    to: to.as_ref().map(|to| to.iter().map(|name| server(name)).collect()),
                    accepted: member.node.clock.now(),
                    ..draft(&id)
                };
                let life = member.life.get();
                match member.node.say_draft(room, draft).await {
                    _ if member.life.get() != life => {}
                    Ok(()) => {
                        let reference = PduRef { origin: server(member.name), id: pdu.parse().unwrap() };
                        return world.heard_of(&member, &id, &reference);
                    }
                    Err(Refusal::OutcomeUnknown | Refusal::Stopping | Refusal::LimitReached { .. }) => {}
                    // It has come to the room, and its gateway does not know of it yet, or any more.
                    Err(Refusal::UnknownContext(_) | Refusal::NotAParticipant { .. }) => {}
                    Err(Refusal::PowerTooLow { current, .. }) => state = state.map(|(key, _)| (key, current)),
                    Err(other) => panic!("{id}: {other}"),
                }
                seconds(1).await;
            }
        });
    }

    /// The state that a message sets, where it does, and how much it weighs.
    fn setting(&self) -> Option<(String, i64)> {
        let plain = (self.chance.borrow_mut().u8(0..8) == 0).then(|| ("topic".to_owned(), 0));
        let mut more = self.more.borrow_mut();
        match self.plan.stateful && more.u8(0..4) == 0 {
            true => Some((pick(&mut more, &["topic", "name", "rules"]).to_owned(), pick(&mut more, &[0, 0, 1, 50]))),
            false => plain,
        }
    }

    /// A messenger is told that its message is taken as this PDU.
    fn heard_of(&self, member: &Member, id: &str, pdu: &PduRef) {
        let stored = member.node.store().pdu(pdu).unwrap().expect("it was acknowledged");
        let prev = Text::read(&stored.bytes).prev().iter().map(named).collect();
        self.history.borrow_mut().parents.insert(named(pdu), prev);
        self.taken(id, Some(&named(pdu)));
    }

    /// A messenger is told that this is taken.
    fn taken(&self, id: &str, pdu: Option<&str>) {
        self.trace.note(&format!("taken: {id}"));
        let stamp = self.stamp();
        let mut history = self.history.borrow_mut();
        for said in history.messages.iter_mut().filter(|said| pdu == Some(&*said.pdu)) {
            said.taken = Some(stamp);
        }
        for said in history.updates.iter_mut().filter(|said| said.submission == id) {
            said.taken = Some(stamp);
        }
    }

    /// Somebody sends plain updates to some servers.
    pub(crate) fn update(self: &Rc<Self>, member: &Rc<Member>, id: String) {
        let mut to = self.plan.numbered(member.name);
        if to.is_empty() {
            return;
        }
        let count = {
            let mut chance = self.chance.borrow_mut();
            while to.len() > 1 && chance.bool() {
                to.remove(chance.usize(..to.len()));
            }
            chance.u32(1..4)
        };
        self.update_to(member, id, to, count);
    }

    /// Somebody sends plain updates to these servers.
    pub(crate) fn update_to(self: &Rc<Self>, member: &Rc<Member>, id: String, to: Vec<Name>, count: u32) {
        let (world, member) = (self.clone(), member.clone());
        spawn_local(async move {
            let begun = world.stamp();
            let tokens: Vec<String> = (0..count).map(|k| format!("{id}.{k}")).collect();
            for token in &tokens {
                world.history.borrow_mut().updates.push(Update {
                    token: token.clone(),
                    submission: id.clone(),
                    origin: member.name,
                    hearers: to.iter().copied().collect(),
                    begun,
                    taken: None,
                });
            }
            loop {
                match before(&member, &id).await {
                    Before::Taken(_) => return world.taken(&id, None),
                    Before::Unknown => {
                        seconds(1).await;
                        continue;
                    }
                    Before::No => {}
                }
                let Some(gateway) = member.node.alive() else { continue };
                let submission = Submission {
                    id: id.parse().unwrap(),
                    digest: Digest([7; 16]),
                    accepted: member.node.clock.now(),
                    servers: to.iter().map(|name| server(name)).collect(),
                    left_out: vec![],
                    what: SubmittedContent::Updates(
                        tokens.iter().map(|token| Bytes::from(format!(r#"{{"token":"{token}"}}"#))).collect(),
                    ),
                };
                let life = member.life.get();
                match gateway.submit(submission).await {
                    _ if member.life.get() != life => {}
                    Ok(()) => return world.taken(&id, None),
                    Err(
                        Refusal::OutcomeUnknown
                        | Refusal::Stopping
                        | Refusal::LimitReached { .. }
                        | Refusal::OutboxFull { .. },
                    ) => {}
                    Err(other) => panic!("{id}: {other}"),
                }
                seconds(1).await;
            }
        });
    }

    /// Somebody says something that nobody keeps.
    pub(crate) async fn whisper(&self, from: &Member, to: Name) {
        let Some(gateway) = from.node.alive() else { return };
        let edu = Edu { kind: "typing".to_owned(), content: Bytes::from_static(br#"{"update":"typing"}"#) };
        let until = Millis(from.node.clock.now().0 + 5000);
        // It may go, or not.
        let _ = gateway.send_ephemeral(&server(to), EphemeralItem { key: None, until, edu }).await;
        millis(0).await;
    }
}
