//! One run: the gateways of a plan with their messengers, and what is done to them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::change::Change as Fact;
use actors::model::Millis;
use actors::ports::{Clock, CommitPriority, Journal, Ownership};
use actors::testkit::TestPeers;
use fastrand::Rng;
use fernpost::store::BlockingExecutor;
use fixtures::keys::sign_pdus;
use fixtures::messenger::context;
use fixtures::network::{CALM, LinkFaults, TestNetwork};
use fixtures::node::{PortsChange, TestNode};
use fixtures::peers::server;
use fixtures::time::seconds;
use tokio::task::JoinHandle;

use crate::counts::Counts;
use crate::history::disturbance::{Disturbance, Done};
use crate::history::stamps::Stamps;
use crate::history::{History, Name, Stamp};
use crate::plan::Plan;
use crate::trace::Trace;
use crate::world::crashes::Copied;
use crate::world::late::Rooms;
use crate::world::ledger::Ledger;
use crate::world::operators::Drops;
use crate::world::poison::{Touchy, touchy};

mod closing;
mod configure;
mod content;
mod crashes;
mod groups;
pub(crate) mod late;
mod ledger;
pub(crate) mod liar;
mod operators;
pub(crate) mod poison;
mod read;
mod receipts;
mod talk;
mod view;
pub(crate) mod whims;

/// A gateway, and what only the driver knows about it.
pub(crate) struct Member {
    pub(crate) name: Name,
    pub(crate) node: Rc<TestNode>,
    /// The gateway is ending, has ended or is starting: the driver leaves it alone.
    pub(crate) busy: Cell<bool>,
    /// Its messenger does not read.
    pub(crate) sleeps: Cell<bool>,
    /// Its messenger reads, and does not say so.
    pub(crate) lags: Cell<bool>,
    pub(crate) copy: RefCell<Option<Copied>>,
    /// Counts its processes: what one of them has not answered when it ends, it never answers.
    pub(crate) life: Cell<u64>,
    /// Wait for the journal to stop, and for its feed to grow.
    pub(crate) watches: RefCell<Vec<JoinHandle<()>>>,
    /// The moment at which the feed was on disk up to each position.
    pub(crate) grown: RefCell<BTreeMap<u64, Stamp>>,
    /// The newest position of the feed that the present process found on its disk.
    pub(crate) tail_found: Rc<Cell<u64>>,
    /// The moments at which the events that the messenger has read were on disk.
    pub(crate) heard_at: RefCell<Vec<Stamp>>,
    /// Messages with its poison make its actors panic.
    pub(crate) touchy: Touchy,
}

impl Member {
    fn new(name: Name, node: Rc<TestNode>, touchy: Touchy, tail_found: Rc<Cell<u64>>) -> Self {
        Self {
            tail_found,
            name,
            node,
            busy: Cell::default(),
            sleeps: Cell::default(),
            lags: Cell::default(),
            copy: RefCell::default(),
            life: Cell::default(),
            watches: RefCell::default(),
            grown: RefCell::default(),
            heard_at: RefCell::default(),
            touchy,
        }
    }

    /// The wall clock of the gateway, read from a clock that does not panic.
    pub(crate) fn now(&self) -> Millis {
        self.node.clock.unbroken().now()
    }
}

/// Everything of one run.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) network: Arc<TestNetwork>,
    pub(crate) members: Vec<Rc<Member>>,
    pub(crate) history: Rc<RefCell<History>>,
    pub(crate) trace: Trace,
    pub(crate) chance: RefCell<Rng>,
    /// For what came to be drawn later ...
    pub(crate) more: RefCell<Rng>,
    /// ... and for what came after that ...
    pub(crate) further: RefCell<Rng>,
    /// ... and for receipts.
    pub(crate) asking: RefCell<Rng>,
    pub(crate) rooms: Rooms,
    pub(crate) stamps: Stamps,
    pub(crate) ledger: Ledger,
    /// Number of times each deed was done.
    pub(crate) counts: RefCell<Counts>,
    /// Number of orders to merge heads, used in the names of the merging PDUs.
    pub(crate) merges: Cell<u32>,
    /// Of each submission that somebody ordered to drop.
    pub(crate) drops: RefCell<BTreeMap<String, Drops>>,
    /// The configurations in force.
    pub(crate) books: RefCell<BTreeMap<Name, TestPeers>>,
    /// Faults found during the run.
    pub(crate) troubles: RefCell<Vec<String>>,
}

/// A variable that decides for all seeds; `None`: each seed decides for itself.
fn for_all(variable: &str) -> Option<bool> {
    match std::env::var(variable).as_deref() {
        Ok("all") => Some(true),
        Ok("none") => Some(false),
        Ok(other) => panic!("{variable} is all or none, not {other:?}"),
        Err(_) => None,
    }
}

/// Every fourth seed is signed; `FERNPOST_SIGNATURES=all` or `none` decides for all.
fn is_signed(seed: u64) -> bool {
    for_all("FERNPOST_SIGNATURES").unwrap_or(seed % 4 == 3 || has_relay(seed))
}

/// Some of the signed seeds have a relay; `FERNPOST_RELAYS=all` or `none` decides for all. They are signed, because a relay is
/// believed by the signatures of what it passes on.
fn has_relay(seed: u64) -> bool {
    for_all("FERNPOST_RELAYS").unwrap_or(seed % 8 == 3 || seed % 16 == 6)
}

/// Every seventh seed has a group, unless it has a relay or receipts; `FERNPOST_GROUPS=all` or `none` decides for all.
fn has_group(seed: u64) -> bool {
    for_all("FERNPOST_GROUPS").unwrap_or(seed % 7 == 5 && !has_relay(seed) && !has_receipts(seed))
}

/// In every third seed idle peers leave memory; `FERNPOST_LEAVING=all` or `none` decides for all.
fn has_leaving(seed: u64) -> bool {
    for_all("FERNPOST_LEAVING").unwrap_or(seed % 3 == 1)
}

/// Every fifth seed has receipts; `FERNPOST_RECEIPTS=all` or `none` decides for all.
fn has_receipts(seed: u64) -> bool {
    for_all("FERNPOST_RECEIPTS").unwrap_or(seed % 5 == 2)
}

impl World {
    pub(crate) async fn begin(seed: u64, trace: Trace) -> Rc<Self> {
        // The actors' own dice are this thread's.
        fastrand::seed(seed);
        let (mut chance, mut more) = (Rng::with_seed(seed), Rng::with_seed(!seed));
        let mut further = Rng::with_seed(seed.rotate_left(32) ^ 0x5eed);
        let mut plan = Plan::draw(&mut chance, &mut more, &mut further);
        if is_signed(seed) {
            plan = plan.with_signatures(Rng::with_seed(seed ^ 0x0005_1611));
        }
        if has_relay(seed) {
            plan = plan.with_relay(Rng::with_seed(seed ^ 0x0000_4e1a));
        }
        if has_group(seed) {
            plan = plan.with_group(Rng::with_seed(seed ^ 0x0009_4009));
        }
        let mut asking = Rng::with_seed(seed ^ 0x0004_ece1);
        if has_receipts(seed) {
            plan = plan.with_receipts(asking.fork());
        }
        if has_leaving(seed) {
            plan = plan.with_leaving(Rng::with_seed(seed ^ 0x0001_ea5e));
        }
        let network = TestNetwork::new(chance.u64(..), CALM);
        let ear = trace.clone();
        network.tell(move |what| ear.note(&what));
        for (from, to) in &plan.plain {
            network.make_plain(&server(from), &server(to));
        }
        let stamps = Stamps::new();
        let lying = Rng::with_seed(further.u64(..));
        let ledger = Ledger::new(plan.names.clone(), stamps.clone(), plan.lies.clone(), lying);
        network.watch(Arc::new(ledger.clone()));
        let dice = Arc::new(Mutex::new(Rng::with_seed(chance.u64(..))));
        let mut members = vec![];
        for name in &plan.names {
            let (dice, max) = (dice.clone(), plan.disk_max);
            let pace = move || Duration::from_millis(dice.lock().expect("no holder panics").u64(0..=max));
            let touchy = touchy(name, plan.poisons == Some(*name));
            let tail_found = Rc::<Cell<u64>>::default();
            let signs = plan.signed.is_some();
            let prepares: PortsChange = Rc::new({
                let (touchy, tail_found) = (touchy.clone(), tail_found.clone());
                move |ports, clock| {
                    tail_found.set(ports.archive.feed.feed_bounds().borrow().tail.0);
                    if signs {
                        sign_pdus(ports, Arc::new(clock.unbroken()));
                    }
                    touchy.wrap(ports);
                }
            });
            let book = plan.books[name].clone();
            let node = TestNode::built(&network, name, book, prepares, BlockingExecutor::Inline(Arc::new(pace)));
            if signs {
                node.verify_relays();
            }
            members.push(Rc::new(Member::new(name, node, touchy, tail_found)));
        }
        let rooms = Rooms::new(&plan);
        let history = Rc::new(RefCell::new(History::default()));
        let world = Rc::new(Self {
            books: RefCell::new(plan.books.clone()),
            plan,
            network,
            members,
            history,
            trace,
            chance: RefCell::new(chance),
            more: RefCell::new(more),
            further: RefCell::new(further),
            asking: RefCell::new(asking),
            rooms,
            stamps,
            ledger,
            counts: RefCell::default(),
            merges: Cell::default(),
            drops: RefCell::default(),
            troubles: RefCell::default(),
        });
        world.trace.note(&world.plan.words());
        world.begin_poison();
        world.begin_skewed();
        for (is_played, seeds) in [
            (world.plan.receipts, "seeds with receipts"),
            (world.plan.relay.is_some(), "seeds with a relay"),
            (world.plan.group.is_some(), "seeds with a group"),
            (world.plan.leaves, "seeds in which idle peers leave"),
        ] {
            world.counts.borrow_mut().add(seeds, u64::from(is_played));
        }
        for member in &world.members {
            world.settings_of(member);
            world.up(member, None).await;
            for (room, _) in &world.plan.rooms {
                if world.rooms.inside(room).contains(&member.name) {
                    let others = world.rooms.beside(member.name, room);
                    let named = [others.clone(), world.group_in(member.name, room)].concat();
                    member.node.with(room, &named).await;
                    world.told(member.name, room, others);
                }
            }
        }
        world
    }

    /// So often was this done, or seen, in this run.
    pub(crate) fn count(&self, what: &'static str) {
        self.counts.borrow_mut().add(what, 1);
    }

    /// Something is done to somebody from now on.
    pub(crate) fn disturb(&self, what: Done) {
        let disturbance = Disturbance { what, from: self.stamps.next(), until: None };
        self.history.borrow_mut().disturbances.push(disturbance);
    }

    /// And is no longer.
    pub(crate) fn relieve(&self, is_meant: impl Fn(Done) -> bool) {
        self.relieve_since(|done, _| is_meant(done));
    }

    /// The same, for disturbances that are meant by what they are and when they began.
    pub(crate) fn relieve_since(&self, is_meant: impl Fn(Done, Stamp) -> bool) {
        let now = self.stamps.next();
        for disturbance in &mut self.history.borrow_mut().disturbances {
            if disturbance.until.is_none() && is_meant(disturbance.what, disturbance.from) {
                disturbance.until = Some(now);
            }
        }
    }

    /// In a signed seed one wall clock is wrong from the beginning.
    fn begin_skewed(&self) {
        let Some((name, by)) = self.plan.signed else { return };
        self.count("PDUs are signed");
        self.member(name).node.clock.jump(by);
        self.history.borrow_mut().jumps.push((name, self.stamps.next()));
    }

    /// The wall clock of a gateway jumps. What it is taking in at this moment is queued by the old time or the new one.
    pub(crate) fn set_clock(&self, member: &Member) {
        let day = 24 * 3_600_000;
        let by = [day, -day, 5000, -5000][self.chance.borrow_mut().usize(..4)];
        self.trace.note(&format!("{}: the clock jumps by {by} ms", member.name));
        self.count("a clock jumps");
        member.node.clock.jump(by);
        let (at, now) = (self.stamps.next(), member.now().0);
        let mut history = self.history.borrow_mut();
        history.jumps.push((member.name, at));
        for said in history.messages.iter_mut().filter(|said| said.origin == member.name && said.taken.is_none()) {
            said.wall = said.wall.min(now);
        }
        for said in history.updates.iter_mut().filter(|said| said.origin == member.name && said.taken.is_none()) {
            said.wall = said.wall.min(now);
        }
    }

    /// The panic ends for each gateway whose actor has panicked as ordered.
    pub(crate) fn note_panics(&self) {
        for member in self.members.iter().filter(|member| !member.node.clock.will_break()) {
            self.relieve(|done| done == Done::Panic(member.name));
        }
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

    /// A messenger reads, and what it has read before must stand there still.
    pub(crate) async fn read(&self, member: &Member) {
        if member.busy.get() {
            return;
        }
        self.read_events(member).await;
        if self.plan.forgets() && member.node.alive().is_some() {
            // Nobody waits for it, and a journal that has failed is told of elsewhere.
            let (store, trimmed) =
                (member.node.store(), Fact::FeedTrimmed { before: Millis(u64::MAX), rows_max: 1_000 });
            drop(store.submit(store.claim_feed().expect("ours"), vec![trimmed], CommitPriority::Deferred));
        }
        self.note_heard(member);
    }

    /// Write down what its messenger has read since the last time, and when that was on disk.
    pub(crate) fn note_heard(&self, member: &Member) {
        let (heard, mut heard_at) = (member.node.heard.borrow(), member.heard_at.borrow_mut());
        for entry in &heard[heard_at.len()..] {
            let at = member.grown.borrow().range(entry.position.0..).next().map(|(_, at)| *at);
            heard_at.push(at.unwrap_or_else(|| self.stamps.next()));
            if read::is_proved_by_signature(entry) {
                self.count("PDUs of others are heard by their signatures");
            }
            self.trace.note(&format!("{} reads {}", member.name, read::words(entry)));
        }
    }

    /// All is well from now on: everybody is up, everybody reads, nothing is lost, and nobody lies.
    pub(crate) async fn heal(self: &Rc<Self>) {
        self.network.heal();
        self.network.becomes(LinkFaults { delay_max: Duration::from_millis(20), ..CALM });
        self.relieve(|done| matches!(done, Done::Way(..)));
        self.ledger.be_honest();
        self.trace.note("all is well");
        for member in &self.members {
            member.sleeps.set(false);
            member.copy.take();
            member.touchy.calm_down();
            // A disk that was still to fail is replaced with its gateway.
            while member.busy.get() {
                seconds(1).await;
            }
            self.restart_listed(member).await;
        }
        self.relieve(|done| matches!(done, Done::Poisoned(_)));
        self.relent().await;
        self.gather().await;
    }

    /// `None` if no gateway has anything pending; otherwise the first thing that is pending.
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

    /// True if every messenger was told that its messages and updates are accepted.
    pub(crate) fn all_is_said(&self) -> bool {
        let history = self.history.borrow();
        let is_taken = |submission: &str| {
            history.messages.iter().any(|said| said.submission == submission && said.taken.is_some())
        };
        history.messages.iter().filter(|said| said.insists).all(|said| is_taken(&said.submission))
            && history.updates.iter().all(|said| said.taken.is_some())
    }
}
