//! Late servers: a room begins without some of its servers. Amid the chaos the others name them, and they join, or wait for
//! the first PDU; after a restore a messenger repeats what the lost disk knew of its rooms.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use actors::errors::{AdmissionError, ContextError, UnavailableError};
use actors::model::JoinStage;
use actors::testkit::at_once;
use fastrand::Rng;
use fixtures::messenger::context;
use fixtures::peers::server;
use fixtures::time::{millis, seconds};
use tokio::task::spawn_local;

use crate::history::{Name, Named};
use crate::plan::{Plan, pick};
use crate::world::{Member, World};

/// A server that is not there when a room begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Late {
    pub(crate) name: Name,
    pub(crate) room: &'static str,
    /// Number of messages after which the server comes.
    after: u32,
    how: How,
    backfill: u32,
}

/// The way in which a late server comes to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// The server joins, and then names the others.
    Joins,
    /// The other way round: what comes in between meets a conversation that its messenger has begun.
    NamesAndJoins,
    /// The server names the others once something of the room has arrived by itself.
    Waits,
}

/// The late servers of a seed; half of the seeds have none.
pub(crate) fn draw(more: &mut Rng, rooms: &[(&'static str, Vec<Name>)], messages: u32) -> Vec<Late> {
    let mut late = vec![];
    if more.bool() {
        return late;
    }
    for (room, members) in rooms {
        let mut members = members.clone();
        let mut after = more.u32(1..messages);
        for _ in 0..more.usize(0..=2.min(members.len() - 1)) {
            let name = members.swap_remove(more.usize(..members.len()));
            let how = pick(more, &[How::Joins, How::Joins, How::NamesAndJoins, How::Waits]);
            late.push(Late { name, room, after, how, backfill: pick(more, &[0, 3, 100]) });
            if more.bool() {
                after = more.u32(1..messages);
            }
        }
    }
    late
}

/// The participants of each room by now.
pub(crate) struct Rooms {
    inside: RefCell<BTreeMap<&'static str, Vec<Name>>>,
    /// The participants that each messenger has named to its gateway, in rooms with late servers.
    told: RefCell<BTreeMap<(Name, &'static str), Vec<Name>>>,
    coming: RefCell<Vec<Late>>,
}

impl Rooms {
    /// As everything begins.
    pub(crate) fn new(plan: &Plan) -> Self {
        let inside = |(room, members): &(&'static str, Vec<Name>)| {
            let is_late = |name: &Name| plan.late.iter().any(|late| late.name == *name && late.room == *room);
            (*room, members.iter().copied().filter(|name| !is_late(name)).collect())
        };
        let inside: BTreeMap<&'static str, Vec<Name>> = plan.rooms.iter().map(inside).collect();
        Self { inside: RefCell::new(inside), told: RefCell::default(), coming: RefCell::new(plan.late.clone()) }
    }

    /// The servers in a room by now.
    pub(crate) fn inside(&self, room: &str) -> Vec<Name> {
        self.inside.borrow()[room].clone()
    }

    /// The other servers in a room.
    pub(crate) fn beside(&self, name: Name, room: &str) -> Vec<Name> {
        self.inside(room).into_iter().filter(|other| *other != name).collect()
    }

    /// The servers to which a participant's gateway certainly sends.
    pub(crate) fn told(&self, name: Name, room: &'static str) -> Vec<Name> {
        self.told.borrow().get(&(name, room)).cloned().unwrap_or_default()
    }

    /// The messenger was told that these take part now.
    fn tell(&self, name: Name, room: &'static str, others: Vec<Name>) {
        self.told.borrow_mut().insert((name, room), others);
    }
}

impl World {
    /// The rooms of a member that somebody comes to late.
    fn open_rooms(&self, name: Name) -> Vec<&'static str> {
        let is_open = |room: &&'static str| self.plan.late.iter().any(|late| late.room == *room);
        let inside = |room: &&'static str| self.rooms.inside(room).contains(&name);
        self.plan.rooms.iter().map(|(room, _)| *room).filter(is_open).filter(inside).collect()
    }

    /// A gateway has been told who takes part in a room beside it, or is known to have been told so once.
    pub(crate) fn told(&self, server: Name, room: &'static str, others: Vec<Name>) {
        let named = Named { at: self.stamps.next(), server, room: room.to_owned(), others: others.clone() };
        self.history.borrow_mut().named.push(named);
        self.rooms.tell(server, room, others);
    }

    /// Lets in the late servers that are due. The others name each of them sooner or later, and it does its part.
    pub(crate) fn let_in(self: &Rc<Self>, said: u32) {
        let due = |late: &Late| late.after <= said;
        let due: Vec<Late> = self.rooms.coming.borrow().iter().copied().filter(due).collect();
        self.rooms.coming.borrow_mut().retain(|late| late.after > said);
        for late in due {
            self.trace.note(&format!("{} comes to {}: {:?}", late.name, late.room, late.how));
            self.rooms.inside.borrow_mut().get_mut(late.room).expect("a room").push(late.name);
            spawn_local(self.clone().come(self.member(late.name), late));
            for other in self.rooms.beside(late.name, late.room) {
                let (world, member) = (self.clone(), self.member(other));
                let delay = self.more.borrow_mut().u64(0..20_000);
                spawn_local(async move {
                    millis(delay).await;
                    world.name_all(&member, late.room).await;
                });
            }
        }
    }

    /// One that is late does its part.
    async fn come(self: Rc<Self>, member: Rc<Member>, late: Late) {
        if late.how == How::NamesAndJoins {
            self.name_all(&member, late.room).await;
        }
        if late.how == How::Waits {
            while !self.knows(&member, late.room) {
                seconds(1).await;
            }
        } else {
            self.join(&member, late.room, late.backfill).await;
        }
        self.name_all(&member, late.room).await;
        // Some begin to read the past at once, whatever becomes of it.
        if self.more.borrow_mut().bool()
            && let Some(gateway) = member.node.alive()
        {
            let _ = gateway.fetch_older(&context(late.room), 5).await;
        }
    }

    /// True if a gateway has heard of a room.
    fn knows(&self, member: &Member, room: &str) -> bool {
        member.node.alive().is_some_and(|gateway| at_once(gateway.record(&context(room))).is_ok())
    }

    /// True if a gateway has heard of a room. One that is down is waited for, because a last crash may come late: taken for one
    /// that has heard nothing, it would join, and what was news to it would come as history.
    async fn has_heard_of(&self, member: &Member, room: &str) -> bool {
        while member.node.alive().is_none() {
            seconds(1).await;
        }
        self.knows(member, room)
    }

    /// A messenger insists until its gateway has taken who takes part by then.
    async fn name_all(&self, member: &Member, room: &'static str) {
        loop {
            let others = self.rooms.beside(member.name, room);
            let servers = others.iter().map(|name| server(name)).collect();
            let life = member.life.get();
            if let Some(gateway) = member.node.alive() {
                match gateway.set_participants(&context(room), servers).await {
                    _ if member.life.get() != life => {}
                    Ok(()) => {
                        self.trace.note(&format!("{} has named {others:?} for {room}", member.name));
                        self.told(member.name, room, others.clone());
                        // Somebody may have come meanwhile.
                        if others == self.rooms.beside(member.name, room) {
                            return;
                        }
                        continue;
                    }
                    Err(refusal) => insist(&refusal),
                }
            }
            seconds(1).await;
        }
    }

    /// A messenger insists until its gateway has taken that it joins by somebody who is inside.
    async fn join(&self, member: &Member, room: &'static str, backfill: u32) {
        loop {
            let life = member.life.get();
            if let Some(gateway) = member.node.alive() {
                let via = pick(&mut self.more.borrow_mut(), &self.rooms.beside(member.name, room));
                match gateway.join(&context(room), server(via), backfill).await {
                    _ if member.life.get() != life => {}
                    Ok(()) => {
                        self.count("a server joins a room");
                        let joined = (member.name, room.to_owned(), self.stamps.next());
                        self.history.borrow_mut().joined.push(joined);
                        return self.trace.note(&format!("{} joins {room} by {via}", member.name));
                    }
                    Err(refusal) => insist(&refusal),
                }
            }
            seconds(1).await;
        }
    }

    /// The gateway was restored: its messenger remembers the participants of its rooms, and names them again.
    pub(crate) fn say_again(self: &Rc<Self>, member: &Rc<Member>) {
        for room in self.open_rooms(member.name) {
            let late = self.plan.late.iter().find(|late| late.name == member.name && late.room == room).copied();
            // What an old copy surely knows of: those who were there from the beginning.
            let is_first = |name: &Name| !self.plan.late.iter().any(|late| late.name == *name && late.room == room);
            let first = self.rooms.beside(member.name, room).into_iter().filter(is_first);
            self.told(member.name, room, if late.is_some() { vec![] } else { first.collect() });
            let (world, member) = (self.clone(), member.clone());
            spawn_local(async move {
                match late {
                    Some(late) if !world.knows(&member, room) => world.clone().come(member, late).await,
                    _ => world.name_all(&member, room).await,
                }
            });
        }
    }

    /// All is well: whoever was still to come comes, everybody knows everybody, and nobody waits any more for what may never be
    /// said.
    pub(crate) async fn gather(self: &Rc<Self>) {
        self.let_in(u32::MAX);
        for member in &self.members {
            while member.busy.get() {
                seconds(1).await;
            }
        }
        for member in &self.members {
            for room in self.open_rooms(member.name) {
                // Whoever has heard nothing yet says nothing yet either, or what lies before would be called missing.
                if self.has_heard_of(member, room).await {
                    self.name_all(member, room).await;
                }
            }
        }
        for member in &self.members {
            for room in self.open_rooms(member.name) {
                if !self.has_heard_of(member, room).await {
                    self.join(member, room, 10).await;
                    self.name_all(member, room).await;
                }
            }
        }
    }

    /// Each server whose join has failed joins again.
    pub(crate) async fn join_again(&self) {
        for late in &self.plan.late {
            let member = self.member(late.name);
            let Some(gateway) = member.node.alive() else { continue };
            let joined = gateway.record(&context(late.room)).await.ok().and_then(|record| record.join);
            if joined.is_some_and(|join| join.stage == JoinStage::Failed) {
                self.join(&member, late.room, late.backfill).await;
            }
        }
    }

    /// Every messenger reads each of its rooms to the end, page by page, until nobody has more.
    pub(crate) async fn read_back(&self) {
        const PAGE: u32 = 20;
        for member in &self.members {
            for (room, _) in self.plan.rooms.iter().filter(|(_, who)| who.contains(&member.name)) {
                let gateway = member.node.gateway();
                // Nothing comes, and nothing is being looked for that more could lie behind.
                for _ in 0..1000 {
                    let came = gateway.fetch_older(&context(room), PAGE).await.expect("all is well");
                    if came == 0 {
                        if gateway.context(&context(room)).await.expect("all is well").wanted.is_empty() {
                            break;
                        }
                        seconds(1).await;
                    }
                }
            }
        }
    }
}

/// A refusal that passes.
fn insist(refusal: &ContextError) {
    let passes = matches!(
        refusal,
        ContextError::Unavailable(UnavailableError::OutcomeUnknown | UnavailableError::Stopping)
            | ContextError::Unavailable(UnavailableError::Admission(AdmissionError::LimitReached { .. }))
            | ContextError::Faulty(_)
            | ContextError::UnknownPeer(_)
    );
    assert!(passes, "{refusal}");
}
