//! The talk of messengers: messages into rooms, plain updates to servers, and ephemeral items. A messenger repeats a message
//! or an update until it is told that it is accepted.

use std::rc::Rc;

use actors::errors::{
    AdmissionError, ComposeError, ContextError, DraftError, PeerError, SubmitError, UnavailableError,
};
use actors::model::{Digest, Edu, Millis, PduDraft, PduRef, Submission, SubmittedContent};
use actors::peer::outbound::ephemeral_buffer::EphemeralItem;
use actors::ports::{ContextReader, Journal, SubmissionReader};
use actors::testkit::at_once;
use bytes::Bytes;
use fixtures::messenger::{PduView, draft, named};
use fixtures::peers::server;
use fixtures::time::{millis, seconds};
use tokio::task::spawn_local;

use crate::history::{Message, Name, Update, Whisper};
use crate::plan::group::GROUP_ROOM;
use crate::plan::pick;
use crate::world::content::{Saying, object};
use crate::world::groups::form;
use crate::world::{Member, World};

/// The result of a messenger's question about an earlier submission.
pub(crate) enum Before {
    /// The submission was accepted, as this PDU if it is a message.
    Taken(Option<PduRef>),
    /// The submission was not accepted.
    No,
    /// The result is not known now.
    Unknown,
}

pub(crate) async fn before(member: &Member, id: &str) -> Before {
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
    /// A messenger sends a message in a random room.
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

    /// A messenger sends this message in this room, to all participants or to some.
    pub(crate) fn say_in(
        self: &Rc<Self>,
        member: &Rc<Member>,
        id: String,
        room: &'static str,
        mut to: Option<Vec<Name>>,
    ) {
        let (world, member) = (self.clone(), member.clone());
        let mut saying = self.saying(&member, &id, room, to.is_some());
        let receipt = self.asks_for_receipt(&id);
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
                let drafted = world.drafted(&member, &id, &pdu, room, &saying, to.as_deref());
                let draft = PduDraft { receipt, ..drafted };
                world.history.borrow_mut().messages.last_mut().expect("it was just drafted").insists = true;
                let life = member.life.get();
                match member.node.say_draft(room, draft).await {
                    _ if member.life.get() != life => {}
                    Ok(()) => {
                        let reference = PduRef { origin: server(member.name), id: pdu.parse().unwrap() };
                        return world.heard_of(&member, &id, &reference);
                    }
                    Err(ComposeError::Context(ContextError::Unavailable(error))) if passes(&error) => {}
                    // Its actors have panicked too often; the next process begins anew.
                    Err(ComposeError::Context(ContextError::Faulty(_))) => {}
                    // It has come to the room, and its gateway does not know of it yet, or any more.
                    Err(ComposeError::Context(ContextError::UnknownContext(_))) => {}
                    Err(ComposeError::Draft(DraftError::NotAParticipant { .. })) => {}
                    // Its configuration says that one of them would pass it on.
                    Err(ComposeError::Draft(DraftError::ToNotHonoured { .. })) => to = None,
                    Err(ComposeError::Draft(DraftError::PowerTooLow { current, .. })) => {
                        saying.state = saying.state.map(|(key, _)| (key, current));
                    }
                    Err(other) => panic!("{id}: {other}"),
                }
                seconds(1).await;
            }
        });
    }

    /// Write down that a messenger is about to say this, and give the draft of it.
    pub(crate) fn drafted(
        &self,
        member: &Member,
        id: &str,
        pdu: &str,
        room: &'static str,
        saying: &Saying,
        to: Option<&[Name]>,
    ) -> PduDraft {
        let hearers = to.map_or_else(|| self.rooms.told(member.name, room), <[Name]>::to_vec);
        let accepted = member.now();
        self.history.borrow_mut().messages.push(Message {
            pdu: format!("{}/{pdu}", member.name),
            submission: id.to_owned(),
            origin: member.name,
            room: room.to_owned(),
            hearers: hearers.into_iter().collect(),
            narrowed: to.is_some(),
            insists: false,
            begun: self.stamps.next(),
            wall: accepted.0,
            taken: None,
            parts: saying.parts(accepted.0),
        });
        PduDraft {
            id: pdu.parse().unwrap(),
            kind: saying.kind.into(),
            content: saying.content.clone().into(),
            state: saying.state.clone(),
            to: to.map(|to| to.iter().map(|name| server(name)).collect()),
            accepted,
            extra: saying.further(),
            ..draft(id)
        }
    }

    /// The content of a message: a membership or a drawn one.
    fn saying(&self, member: &Member, id: &str, room: &'static str, narrowed: bool) -> Saying {
        // State is for everybody.
        let setting = self.setting().filter(|_| !narrowed);
        let mut chance = self.further.borrow_mut();
        let victim = self.plan.poisons.filter(|victim| *victim != member.name && chance.u8(0..8) == 0);
        if !narrowed && (victim.is_some() || self.plan.stateful && chance.u8(0..10) == 0) {
            return Saying::membership(id, pick(&mut chance, &self.rooms.inside(room)), victim);
        }
        let mut said = Saying::draw(id, setting, &mut chance);
        if room == GROUP_ROOM {
            said = form(said, id, &mut chance);
        }
        if self.plan.signed.is_some() { said.signable() } else { said }
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
    pub(crate) fn heard_of(&self, member: &Member, id: &str, pdu: &PduRef) {
        let stored = at_once(member.node.store().pdu(pdu)).unwrap().expect("it was acknowledged");
        let prev = PduView::read(&stored.bytes).prev().iter().map(named).collect();
        self.history.borrow_mut().parents.insert(named(pdu), prev);
        self.taken(id, Some(&named(pdu)));
    }

    /// A messenger is told that this is taken.
    fn taken(&self, id: &str, pdu: Option<&str>) {
        self.trace.note(&format!("taken: {id}"));
        let stamp = self.stamps.next();
        let mut history = self.history.borrow_mut();
        for said in history.messages.iter_mut().filter(|said| pdu == Some(&*said.pdu)) {
            said.taken = Some(stamp);
        }
        for said in history.updates.iter_mut().filter(|said| said.submission == id) {
            said.taken = Some(stamp);
        }
    }

    /// A messenger sends plain updates to some servers.
    pub(crate) fn update(self: &Rc<Self>, member: &Rc<Member>, id: String) {
        let mut to = self.numbered(member.name);
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

    /// A messenger sends plain updates to these servers.
    pub(crate) fn update_to(self: &Rc<Self>, member: &Rc<Member>, id: String, to: Vec<Name>, count: u32) {
        let said = id.clone();
        self.updates_to(member, id, to, count, move |world, k| {
            object(&format!(r#""token":"{said}.{k}""#), &mut world.further.borrow_mut())
        });
    }

    /// A messenger sends updates with these texts to these servers.
    pub(crate) fn updates_to(
        self: &Rc<Self>,
        member: &Rc<Member>,
        id: String,
        to: Vec<Name>,
        count: u32,
        text: impl Fn(&Self, u32) -> String + 'static,
    ) {
        let (world, member) = (self.clone(), member.clone());
        let receipt = self.asks_for_receipt(&id);
        spawn_local(async move {
            let begun = world.stamps.next();
            let texts: Vec<String> = (0..count).map(|k| text(&world, k)).collect();
            for (k, text) in texts.iter().enumerate() {
                world.history.borrow_mut().updates.push(Update {
                    token: format!("{id}.{k}"),
                    submission: id.clone(),
                    origin: member.name,
                    hearers: to.iter().copied().collect(),
                    begun,
                    wall: member.now().0,
                    taken: None,
                    text: text.clone(),
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
                let accepted = member.now();
                for said in world.history.borrow_mut().updates.iter_mut().filter(|said| said.submission == id) {
                    said.wall = said.wall.min(accepted.0);
                }
                let submission = Submission {
                    receipt,
                    id: id.parse().unwrap(),
                    digest: Digest([7; 16]),
                    accepted,
                    servers: to.iter().map(|name| server(name)).collect(),
                    left_out: vec![],
                    what: SubmittedContent::Updates(texts.iter().map(|text| Bytes::from(text.clone())).collect()),
                };
                let life = member.life.get();
                match gateway.submit(submission).await {
                    _ if member.life.get() != life => {}
                    Ok(()) => return world.taken(&id, None),
                    Err(SubmitError::OutboxFull(_) | SubmitError::Peer(PeerError::UnknownPeer(_))) => {}
                    Err(SubmitError::Peer(PeerError::Unavailable(error))) if passes(&error) => {}
                    Err(other) => panic!("{id}: {other}"),
                }
                seconds(1).await;
            }
        });
    }

    /// A messenger sends an ephemeral item.
    pub(crate) async fn whisper(&self, from: &Member, to: Name) {
        let Some(gateway) = from.node.alive() else { return };
        let (ttl, key, text) = {
            let mut chance = self.further.borrow_mut();
            let number = self.history.borrow().whispers.len();
            let text = object(&format!(r#""update":"typing","whisper":{number}"#), &mut chance);
            (pick(&mut chance, &[200, 5_000, 30_000]), pick(&mut chance, &[None, Some("a"), Some("b")]), text)
        };
        let begun = self.stamps.next();
        let until = self.stamps.now() + ttl;
        let key = key.map(str::to_owned);
        self.history.borrow_mut().whispers.push(Whisper {
            text: text.clone(),
            from: from.name,
            to,
            key: key.clone(),
            begun,
            until,
        });
        let edu = Edu { kind: "typing".to_owned(), content: text.into() };
        // It may go, or not.
        let _ = gateway
            .send_ephemeral(
                &server(to),
                EphemeralItem { key, until: Millis(from.now().0 + ttl), edu, states_ttl: false },
            )
            .await;
        millis(0).await;
    }
}

/// No disk is full in this world.
const fn passes(error: &UnavailableError) -> bool {
    !matches!(error, UnavailableError::Admission(AdmissionError::DiskLow { .. }))
}
