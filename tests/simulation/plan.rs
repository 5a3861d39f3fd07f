//! The plan of a seed: the gateways, the participants of each room, the dialects and limits, the faults and their weights.

use actors::model::DialectSpec;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actors::limits::{ContextLimits, GapLimits, PeerLimits, SigningMode};
use actors::testkit::TestPeers;
use fastrand::Rng;
use fixtures::network::LinkFaults;
use fixtures::peers::{limits, server};

use crate::history::Name;
use crate::plan::faults::{Faults, share};
use crate::plan::features::Relay;
use crate::plan::group::Group;
use crate::world::late::{self, Late};
use crate::world::liar::Lies;
use crate::world::whims::Whims;

mod faults;
pub(crate) mod features;
pub(crate) mod group;

const NAMES: [Name; 5] = ["red", "green", "blue", "grey", "pink"];
const ROOMS: [&str; 3] = ["garden", "kitchen", "attic"];

/// One seed, drawn.
pub(crate) struct Plan {
    pub(crate) names: Vec<Name>,
    /// The participants of each room in the end.
    pub(crate) rooms: Vec<(&'static str, Vec<Name>)>,
    /// The participants that are absent at the beginning.
    pub(crate) late: Vec<Late>,
    /// Some state is written under several keys, and with several weights.
    pub(crate) stateful: bool,
    pub(crate) whims: Whims,
    pub(crate) books: BTreeMap<Name, TestPeers>,
    /// Pairs of servers: the first answers the second as a server of 2016 does.
    pub(crate) plain: Vec<(Name, Name)>,
    pub(crate) weather: LinkFaults,
    /// The longest a commit takes.
    pub(crate) disk_max: u64,
    /// Messages said before the network heals.
    pub(crate) messages: u32,
    pub(crate) faults: Faults,
    pub(crate) lies: Lies,
    /// Some messages make the actors of one hearer panic: whose.
    pub(crate) poisons: Option<Name>,
    /// No message is sent once all is well, and one acknowledged item is kept for each peer: an acknowledged item that is
    /// missing is never sent again.
    pub(crate) ends_quietly: bool,
    /// The time within which everybody knows everything once all is well, in seconds.
    pub(crate) bound: u64,
    /// All PDUs are signed, those that others pass on are verified, and one wall clock is wrong: whose, and by how much.
    pub(crate) signed: Option<(Name, i64)>,
    /// Servers tell each other what their messengers have acknowledged and refused.
    pub(crate) receipts: bool,
    /// Two servers are cut from each other for long, and a third one passes on what they have for each other.
    pub(crate) relay: Option<Relay>,
    /// Idle peers leave memory, after times of which some are shorter than any pause.
    pub(crate) leaves: bool,
    /// A server that knows groups and no contexts takes part in a room through another one.
    pub(crate) group: Option<Group>,
}

pub(crate) fn pick<T: Copy>(chance: &mut Rng, from: &[T]) -> T {
    from[chance.usize(..from.len())]
}

fn seconds(chance: &mut Rng, from: &[u64]) -> Duration {
    Duration::from_secs(pick(chance, from))
}

impl Plan {
    /// Draws a plan. Parts that were added later are drawn from `more`, and parts added after those from `further`.
    pub(crate) fn draw(chance: &mut Rng, more: &mut Rng, further: &mut Rng) -> Self {
        let names = NAMES[..pick(chance, &[2, 2, 3, 3, 3, 4, 5])].to_vec();
        let mut rooms = vec![(ROOMS[0], names.clone())];
        for room in &ROOMS[1..chance.usize(1..=ROOMS.len())] {
            let mut members = names.clone();
            while members.len() > 2 && chance.bool() {
                members.remove(chance.usize(..members.len()));
            }
            rooms.push((room, members));
        }
        let contexts = context_limits(chance);
        let (mut books, mut plain) = (BTreeMap::new(), vec![]);
        let mut slowest = 0;
        for name in &names {
            let others = names.iter().filter(|other| *other != name);
            let mut peers = vec![];
            for other in others {
                let limits = peer_limits(chance);
                if limits.dialect == DialectSpec::UPDATES && chance.u8(0..4) == 0 {
                    plain.push((*name, *other));
                }
                let longest = [limits.wait_max, limits.probe_every, limits.backoff_max, limits.request_timeout];
                slowest = slowest.max(longest.iter().sum::<Duration>().as_secs());
                peers.push((server(other), Arc::new(limits)));
            }
            // Peers stay in memory, unless the seed says otherwise: a seed is what it was before they left.
            let contexts = Arc::new(contexts.clone());
            books.insert(*name, TestPeers { peers, contexts, idle_after: Duration::MAX, ..TestPeers::none() });
        }
        let weather = LinkFaults {
            requests_lost: share(chance, 0.2),
            answers_lost: share(chance, 0.2),
            repeated: share(chance, 0.3),
            delay_max: Duration::from_millis(pick(chance, &[0, 20, 800, 5000])),
            meddled: share(chance, 0.2),
        };
        let faults = Faults::draw(chance, further);
        // Drawn aside, so that a seed is what it was before there was such a thing. Who has lost a disk, or comes late, is told of
        // what was said by those who still have it: there, nobody forgets.
        let keep = pick(&mut chance.clone(), &[None, None, Some(2), Some(30)]).filter(|_| faults.restore == 0);
        if let Some(keep) = keep {
            books.values_mut().for_each(|book| forget(book, Duration::from_secs(keep)));
        }
        // What is held back by a missing parent comes after that parent's own clock, and such clocks may follow one another.
        let bound = 4 * slowest + 6 * contexts.gap.give_up.as_secs() + 300;
        let (disk_max, messages) = (pick(chance, &[0, 3, 40]), chance.u32(10..70));
        let mut late = late::draw(more, &rooms, messages);
        late.retain(|_| keep.is_none());
        let stateful = more.bool();
        let whims = Some(Whims::draw(more, faults.restore > 0)).filter(|_| keep.is_none()).unwrap_or_default();
        let mut books: BTreeMap<Name, TestPeers> =
            books.into_iter().map(|(name, book)| (name, whims.apply(book))).collect();
        // Expiry and lies cost items that a forgetful gateway may not give again, and whoever has lost a disk may ask for.
        let strict = keep.is_none() && faults.restore == 0;
        let expires = keep.is_none() && further.u8(0..6) == 0;
        if expires {
            books.values_mut().for_each(|book| expire(book, further));
        }
        let lies = if keep.is_none() { lies(further, &names) } else { Lies::default() };
        let poisons = (keep.is_none() && further.u8(0..6) == 0).then(|| pick(further, &names));
        let ends_quietly = strict && late.is_empty() && further.u8(0..3) == 0;
        if ends_quietly {
            for (_, peer) in books.values_mut().flat_map(|book| &mut book.peers) {
                Arc::make_mut(peer).retain_items = 1;
            }
        }
        Self {
            names,
            rooms,
            late,
            stateful,
            whims,
            books,
            plain,
            weather,
            disk_max,
            messages,
            faults,
            lies,
            poisons,
            ends_quietly,
            bound,
            signed: None,
            receipts: false,
            leaves: false,
            relay: None,
            group: None,
        }
    }

    /// The same plan with signatures, and a wall clock that is wrong by minutes. It is drawn aside, so that all else is as it is
    /// without them.
    pub(crate) fn with_signatures(mut self, mut chance: Rng) -> Self {
        for book in self.books.values_mut() {
            Arc::make_mut(&mut book.contexts).sign = SigningMode::Always;
        }
        let by = i64::from(chance.u32(2..10)) * 60_000 * pick(&mut chance, &[1, -1]);
        self.signed = Some((pick(&mut chance, &self.names), by));
        self
    }

    /// A description of the seed for people.
    pub(crate) fn words(&self) -> String {
        let Self { names, late, whims, faults, lies, poisons, ends_quietly, books, signed, .. } = self;
        let Self { receipts, relay, group, leaves, .. } = self;
        let ContextLimits { held_max, gap, history, .. } = &*books[names[0]].contexts;
        format!(
            "{names:?}, late {late:?}, {whims:?}, {faults:?}, {lies:?}, poisons {poisons:?}, ends quietly {ends_quietly}, \
             held_max {held_max}, {gap:?}, keeps {:?}{}{}{}{}{}",
            history.keep,
            signed.map(|signed| format!(", signed {signed:?}")).unwrap_or_default(),
            if *receipts { ", receipts" } else { "" },
            if *leaves { ", idle peers leave" } else { "" },
            relay.map(|relay| format!(", a relay between {:?}", relay.ends)).unwrap_or_default(),
            group.map(|group| format!(", {group:?}")).unwrap_or_default(),
        )
    }

    /// True if these gateways forget old PDUs.
    pub(crate) fn forgets(&self) -> bool {
        self.books.values().any(|book| book.contexts.history.keep.is_some())
    }
}

/// The gateway keeps PDUs for this time only, and sent items for hardly longer than sending takes.
fn forget(book: &mut TestPeers, keep: Duration) {
    Arc::make_mut(&mut book.contexts).history.keep = Some(keep);
    for (_, peer) in &mut book.peers {
        Arc::make_mut(peer).retain = Duration::from_secs(1);
    }
}

/// The gateway keeps pending items for a limited time only.
fn expire(book: &mut TestPeers, further: &mut Rng) {
    for (_, peer) in &mut book.peers {
        Arc::make_mut(peer).keep = seconds(further, &[15, 60, 300, 100_000]);
    }
}

/// The peers that lie, and the servers they lie to; most seeds have none.
fn lies(further: &mut Rng, names: &[Name]) -> Lies {
    let mut lies = Lies { ways: vec![], numbers: further.bool() };
    if further.u8(0..3) > 0 {
        return lies;
    }
    for _ in 0..pick(further, &[1, 2, 4]) {
        let (liar, other) = (pick(further, names), pick(further, names));
        if liar != other {
            lies.ways.push((liar, other));
        }
    }
    lies
}

pub(crate) fn peer_limits(chance: &mut Rng) -> PeerLimits {
    let dialect = if chance.u8(0..5) < 3 { DialectSpec::UPDATES } else { DialectSpec::TRANSACTIONS };
    let (backoff_min, backoff_max) = (Duration::from_millis(pick(chance, &[200, 1000])), seconds(chance, &[5, 60]));
    let (intake_max, batch_items) = (pick(chance, &[1, 4]), pick(chance, &[1, 2, 3, 5, 100]));
    PeerLimits {
        backoff_min,
        backoff_max,
        jitter: 0.2,
        intake_max,
        batch_items,
        intake_items: batch_items,
        batch_bytes: pick(chance, &[1, 400, 1 << 20]),
        outbox_items: pick(chance, &[6, 1_000_000, 1_000_000]),
        wait_max: seconds(chance, &[5, 60]),
        failures_to_suspend: pick(chance, &[2, 5, 20]),
        probe_every: seconds(chance, &[20, 120]),
        connect_timeout: Duration::from_secs(1),
        request_timeout: seconds(chance, &[2, 30]),
        weak_items: pick(chance, &[1, 10]),
        dialect,
        ..limits()
    }
}

fn context_limits(chance: &mut Rng) -> ContextLimits {
    ContextLimits {
        idle: seconds(chance, &[2, 30, 600]),
        held_max: pick(chance, &[2, 5, 1000, 1000]),
        intake_max: pick(chance, &[2, 64]),
        gap: GapLimits {
            grace: Duration::from_millis(pick(chance, &[50, 750])),
            give_up: seconds(chance, &[5, 60]),
            tries_max: pick(chance, &[2, 8]),
            asks_max: pick(chance, &[1, 4]),
            depth_max: pick(chance, &[3, 50]),
            // Above what a run gives up: one that is forgotten is no event when it comes after all.
            kept_max: 10_000,
        },
        ..ContextLimits::default()
    }
}
