//! One run: the gateways of a plan with their messengers, and what is done to them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::change::Change as Fact;
use actors::model::Millis;
use actors::ports::{Clock, CommitPriority, Journal, Ownership};
use fastrand::Rng;
use fernpost::store::{BlockingExecutor, verify_backend};
use redb::TableDefinition;
use tokio::task::{JoinHandle, spawn_local};

use crate::disk::{Disk, Survives};
use crate::history::{History, Name, Restore, Stamp, View, What};
use crate::late::Rooms;
use crate::messenger::context;
use crate::network::{CALM, LinkFaults, Network};
use crate::node::{Change, Node, millis, seconds};
use crate::plan::Plan;
use crate::read;
use crate::surroundings::server;
use crate::trace::Trace;
use crate::whims::Drops;

/// A copy of a disk.
struct Copied {
    at: Stamp,
    bytes: Vec<u8>,
    /// The newest position of the feed on it.
    tail: u64,
}

/// A gateway, and what only the driver knows about it.
pub(crate) struct Member {
    pub(crate) name: Name,
    pub(crate) node: Rc<Node>,
    /// It is ending, ended or beginning: leave it alone.
    busy: Cell<bool>,
    /// Its messenger does not read.
    pub(crate) sleeps: Cell<bool>,
    /// Its messenger reads, and does not say so.
    pub(crate) lags: Cell<bool>,
    copy: RefCell<Option<Copied>>,
    /// Counts its processes: what one of them has not answered when it ends, it never answers.
    pub(crate) life: Cell<u64>,
    /// Waits for the journal to stop.
    watch: RefCell<Option<JoinHandle<()>>>,
}

impl Member {
    fn new(name: Name, node: Rc<Node>) -> Self {
        let (busy, sleeps, lags, life) = (Cell::default(), Cell::default(), Cell::default(), Cell::default());
        Self { name, node, busy, sleeps, lags, copy: RefCell::default(), life, watch: RefCell::default() }
    }
}

/// The same disk, marked as a backup is.
fn as_backup(bytes: Vec<u8>, taken: Millis) -> Vec<u8> {
    let disk = Disk::with(bytes);
    let meta: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
    let database = redb::Database::builder().create_with_backend(disk.clone()).expect("a store");
    let transaction = database.begin_write().expect("a store that nobody writes to");
    let marked =
        transaction.open_table(meta).and_then(|mut meta| Ok(meta.insert("taken", &*taken.0.to_string()).map(drop)?));
    marked.expect("a table of texts");
    transaction.commit().expect("a disk that is well");
    drop(database);
    disk.survivors(Survives::Written)
}

/// Everything of one run.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) network: Arc<Network>,
    pub(crate) members: Vec<Rc<Member>>,
    pub(crate) history: Rc<RefCell<History>>,
    pub(crate) trace: Trace,
    pub(crate) chance: RefCell<Rng>,
    /// For what came to be drawn later.
    pub(crate) more: RefCell<Rng>,
    pub(crate) rooms: Rooms,
    /// Of each submission that somebody ordered to drop.
    pub(crate) drops: RefCell<BTreeMap<String, Drops>>,
    stamp: Cell<Stamp>,
    /// What was wrong on the way.
    pub(crate) troubles: RefCell<Vec<String>>,
}

impl World {
    pub(crate) async fn begin(seed: u64, trace: Trace) -> Rc<Self> {
        // The actors' own dice are this thread's.
        fastrand::seed(seed);
        let mut chance = Rng::with_seed(seed);
        let mut more = Rng::with_seed(!seed);
        let plan = Plan::draw(&mut chance, &mut more);
        let network = Network::new(chance.u64(..), CALM);
        let ear = trace.clone();
        network.tell(move |what| ear.note(&what));
        for (from, to) in &plan.plain {
            network.make_plain(&server(from), &server(to));
        }
        let dice = Arc::new(Mutex::new(Rng::with_seed(chance.u64(..))));
        let unchanged: Change = Rc::new(|_, _| {});
        let mut members = vec![];
        for name in &plan.names {
            let (dice, max) = (dice.clone(), plan.disk_max);
            let pace = move || Duration::from_millis(dice.lock().expect("no holder panics").u64(0..=max));
            let book = plan.books[name].clone();
            let node = Node::built(&network, name, book, unchanged.clone(), BlockingExecutor::Inline(Arc::new(pace)));
            members.push(Rc::new(Member::new(name, node)));
        }
        let (chance, more, rooms) = (RefCell::new(chance), RefCell::new(more), Rooms::new(&plan));
        let history = Rc::new(RefCell::new(History { plain: plan.plain.clone(), ..History::default() }));
        let (stamp, troubles, drops) = (Cell::new(0), RefCell::default(), RefCell::default());
        let world =
            Rc::new(Self { plan, network, members, history, trace, chance, more, rooms, drops, stamp, troubles });
        for member in &world.members {
            world.up(member).await;
            for (room, _) in &world.plan.rooms {
                if world.rooms.inside(room).contains(&member.name) {
                    let others = world.rooms.beside(member.name, room);
                    member.node.with(room, &others).await;
                    world.rooms.tell(member.name, room, others);
                }
            }
        }
        world
    }

    /// A moment later than every one before.
    pub(crate) fn stamp(&self) -> Stamp {
        self.stamp.set(self.stamp.get() + 1);
        self.stamp.get()
    }

    pub(crate) fn member(&self, name: Name) -> Rc<Member> {
        self.members.iter().find(|member| member.name == name).expect("one of us").clone()
    }

    /// Any gateway.
    pub(crate) fn anyone(&self) -> Rc<Member> {
        self.members[self.chance.borrow_mut().usize(..self.members.len())].clone()
    }

    /// Any way.
    pub(crate) fn way(&self) -> (Rc<Member>, Rc<Member>) {
        let from = self.anyone();
        loop {
            let to = self.anyone();
            if to.name != from.name {
                return (from, to);
            }
        }
    }

    /// It begins, and is watched: once its journal has stopped, the process ends, and is started again.
    async fn up(self: &Rc<Self>, member: &Rc<Member>) {
        member.node.begin().await;
        let (world, watched, store) = (self.clone(), member.clone(), member.node.store());
        let watch = spawn_local(async move {
            let failure = store.failed().await;
            world.trace.note(&format!("{}: the journal has stopped: {failure}", watched.name));
            let (survives, pause) = world.luck();
            // In a task of its own: this one ends with the gateway.
            spawn_local(async move { world.crash(&watched, survives, pause, None).await });
        });
        member.watch.replace(Some(watch));
    }

    /// What is found on a disk after a crash, and when the next process looks.
    fn luck(&self) -> (Survives, u64) {
        let mut chance = self.chance.borrow_mut();
        let torn = chance.u64(..);
        let survives = [Survives::Synced, Survives::Written, Survives::Torn(torn)][chance.usize(..3)];
        (survives, [0, 100, 20_000][chance.usize(..3)])
    }

    /// End it, here and now or amid what it does; start it again after a while.
    pub(crate) fn crash_somewhen(self: &Rc<Self>, member: &Rc<Member>) {
        let (survives, pause) = self.luck();
        let turns = self.chance.borrow_mut().u32(0..60);
        let (world, member) = (self.clone(), member.clone());
        spawn_local(async move {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            world.crash(&member, survives, pause, None).await;
        });
    }

    /// Its disk is to fail, or the power to go, at one of the next things written.
    pub(crate) fn break_disk(&self, member: &Member) {
        if member.busy.get() {
            return;
        }
        let mut chance = self.chance.borrow_mut();
        let disk = member.node.disk();
        match chance.u8(0..3) {
            0 => disk.fail_at(chance.u64(1..12)),
            1 => disk.end_after(chance.u64(1..12)),
            _ => disk.fail_write_at(chance.u64(1..80)),
        }
        self.trace.note(&format!("{}: the disk will fail", member.name));
    }

    /// Make a copy of its disk, or come back with the copy: as a backup that says so, or without a word.
    pub(crate) fn copy_or_restore(self: &Rc<Self>, member: &Rc<Member>) {
        let Some(mut copy) = member.copy.take() else {
            if !member.busy.get() {
                self.trace.note(&format!("{}: the disk is copied", member.name));
                let (bytes, tail) = (member.node.disk().survivors(Survives::Synced), member.node.store_tail());
                member.copy.replace(Some(Copied { at: self.stamp(), bytes, tail }));
            }
            return;
        };
        let (_, pause) = self.luck();
        if self.chance.borrow_mut().bool() {
            copy.bytes = as_backup(copy.bytes, member.node.clock.now());
        }
        let (world, member) = (self.clone(), member.clone());
        spawn_local(async move { world.crash(&member, Survives::Synced, pause, Some(copy)).await });
    }

    async fn crash(self: &Rc<Self>, member: &Rc<Member>, survives: Survives, pause: u64, copy: Option<Copied>) {
        if member.busy.replace(true) {
            return;
        }
        let how = if copy.is_some() { "a copy comes back" } else { "crash" };
        self.trace.note(&format!("{}: {how}, {survives:?}, for {pause} ms", member.name));
        if let Some(watch) = member.watch.take() {
            watch.abort();
        }
        member.life.set(member.life.get() + 1);
        member.node.end(survives).await;
        let older = copy.map(|copy| {
            // One that was made meanwhile is of a course that has not been taken.
            member.copy.take();
            member.node.give(copy.bytes);
            (copy.at, copy.tail)
        });
        millis(pause).await;
        let older = older.map(|(copied, tail)| {
            let restore = Restore { server: member.name, copied, restored: self.stamp() };
            self.history.borrow_mut().restores.push(restore);
            tail
        });
        self.up(member).await;
        let tail = member.node.store_tail();
        let mut heard = member.node.heard.borrow_mut();
        match older {
            // The messenger is restored with its gateway.
            Some(tail) => heard.retain(|entry| entry.position.0 <= tail),
            None if heard.last().is_some_and(|last| last.position.0 > tail) => {
                let trouble = format!("{} had given its messenger what is not on its disk", member.name);
                self.troubles.borrow_mut().push(trouble);
            }
            None => {}
        }
        drop(heard);
        self.trace.note(&format!("{}: is back", member.name));
        member.busy.set(false);
        if older.is_some() {
            self.say_again(member);
        }
    }

    /// A messenger reads, and what it has read before must stand there still.
    pub(crate) async fn read(&self, member: &Member) {
        let before = member.node.heard.borrow().len();
        if member.busy.get() {
            return;
        }
        member.node.read_on(!member.lags.get()).await;
        if self.plan.forgets() && member.node.alive().is_some() {
            // Nobody waits for it, and a journal that has failed is told of elsewhere.
            let (store, trimmed) =
                (member.node.store(), Fact::FeedTrimmed { before: Millis(u64::MAX), rows_max: 1_000 });
            drop(store.submit(store.claim_feed().expect("ours"), vec![trimmed], CommitPriority::Deferred));
        }
        for entry in &member.node.heard.borrow()[before.min(member.node.heard.borrow().len())..] {
            self.trace.note(&format!("{} reads {:?}", member.name, read::event(entry, &self.plan.names)));
        }
    }

    /// All is well from now on: everybody is up, everybody reads, nothing is lost.
    pub(crate) async fn heal(self: &Rc<Self>) {
        self.network.heal();
        self.network.becomes(LinkFaults { delay_max: Duration::from_millis(20), ..CALM });
        self.trace.note("all is well");
        for member in &self.members {
            member.sleeps.set(false);
            member.copy.take();
            // A disk that was still to fail is replaced with its gateway.
            while member.busy.get() {
                seconds(1).await;
            }
            self.crash(member, Survives::Synced, 0, None).await;
        }
        self.relent().await;
        self.gather().await;
    }

    /// Whether nobody has anything left to do.
    pub(crate) async fn is_quiet(&self) -> Option<String> {
        for member in &self.members {
            let Some(gateway) = member.node.alive() else { return Some(format!("{} is not there", member.name)) };
            for (room, _) in self.plan.rooms.iter().filter(|(_, servers)| servers.contains(&member.name)) {
                let Ok(status) = gateway.context(&context(room)).await else {
                    return Some(format!("{} does not answer for {room}", member.name));
                };
                if status.record.join.as_ref().is_some_and(|join| join.stage.is_open()) {
                    return Some(format!("{} still joins {room}: {status:?}", member.name));
                }
                if status.held > 0 || !status.wanted.is_empty() {
                    return Some(format!("{} holds {} PDUs of {room}: {status:?}", member.name, status.held));
                }
            }
            for other in self.plan.names.iter().filter(|other| **other != member.name) {
                let Ok(status) = gateway.peer(&server(other)).await else {
                    return Some(format!("{} does not answer for {other}", member.name));
                };
                if status.backlog > 0 {
                    return Some(format!("{} has {} items for {other}: {status:?}", member.name, status.backlog));
                }
            }
        }
        None
    }

    /// Whether every messenger was told that what it said is taken.
    pub(crate) fn all_is_said(&self) -> bool {
        let history = self.history.borrow();
        let is_taken = |submission: &str| {
            history.messages.iter().any(|said| said.submission == submission && said.taken.is_some())
        };
        history.messages.iter().all(|said| is_taken(&said.submission))
            && history.updates.iter().all(|said| said.taken.is_some())
    }

    /// What the rows on each disk do not keep of what they promise one another.
    pub(crate) fn unsound(&self) -> Vec<String> {
        let looked_at = |member: &Rc<Member>| {
            let disk = Disk::with(member.node.disk().survivors(Survives::Synced));
            let findings = verify_backend(disk).expect("a store that can be examined").findings;
            findings.into_iter().map(|finding| format!("on the disk of {}: {finding}", member.name)).collect::<Vec<_>>()
        };
        self.members.iter().flat_map(looked_at).collect()
    }

    /// What everybody heard, for the checker.
    pub(crate) fn close(&self, views: Vec<View>) -> History {
        let mut history = self.history.borrow().clone();
        let feed = |member: &Rc<Member>| {
            let heard = member.node.heard.borrow();
            (member.name, heard.iter().map(|entry| read::event(entry, &self.plan.names)).collect())
        };
        history.feeds = self.members.iter().map(feed).collect::<BTreeMap<_, _>>();
        for what in history.feeds.values().flatten().map(|event| &event.what) {
            if let What::Pdu { pdu, prev, .. } = what {
                history.parents.insert(pdu.clone(), prev.clone());
            }
        }
        history.late = self.plan.late.iter().map(|late| (late.name, late.room.to_owned())).collect();
        history.views = views;
        for view in &history.views {
            history.parents.extend(view.parents.clone());
        }
        history
    }
}
