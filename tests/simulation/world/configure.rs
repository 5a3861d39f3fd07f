//! Configurations that change when a gateway begins again: limits, the dialect to a peer, its habits, and who is a peer at all.

use actors::model::DialectSpec;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use actors::limits::{InteropQuirks, PairOrder, PeerLimits};
use actors::testkit::TestPeers;
use fixtures::peers::server;

use crate::history::{Name, Settings};
use crate::plan::{peer_limits, pick};
use crate::world::{Member, World};

/// True if items sent to the peer are kept for less than a day, or only a few.
fn is_trimmed(limits: &PeerLimits) -> bool {
    limits.retain < Duration::from_secs(24 * 3600) || limits.retain_items < 1000
}

/// The known software of a server.
#[derive(Clone, Copy)]
enum Profile {
    /// A gateway like us.
    Fernpost,
    /// One of 2016, which is never asked for PDUs.
    Actor,
    /// One of 2014, which takes every refusal for good.
    Synapse,
}

/// The limits of a peer with what this profile says of it.
fn profiled(limits: &PeerLimits, profile: Profile) -> PeerLimits {
    let is_synapse = matches!(profile, Profile::Synapse);
    PeerLimits {
        fetches: !matches!(profile, Profile::Actor),
        habits: match is_synapse {
            true => InteropQuirks { pairs: PairOrder::IdFirst, raw_targets: true, protobuf: false },
            false => InteropQuirks::default(),
        },
        drops_batch_on_error_status: is_synapse,
        never_refuse: is_synapse,
        // Less than any request takes.
        hold_max: Duration::from_secs(1),
        dialect: match profile {
            Profile::Synapse => DialectSpec::TRANSACTIONS,
            Profile::Fernpost | Profile::Actor => DialectSpec::UPDATES,
        },
        ..limits.clone()
    }
}

impl World {
    /// The next process reads another configuration.
    pub(crate) fn change_book(&self, member: &Member) {
        let mut chance = self.further.borrow_mut();
        let others: Vec<Name> = self.plan.names.iter().copied().filter(|name| *name != member.name).collect();
        let other = pick(&mut chance, &others);
        let mut book = self.books.borrow()[member.name].clone();
        let place = book.peers.iter().position(|(name, _)| *name == server(other));
        // What a group is stays as it is.
        let is_group = self.plan.group.is_some_and(|group| group.joins(member.name, other));
        let change = chance.u8(if is_group { 3..5 } else { 0..5 });
        let done = match (place, change) {
            (None, _) => {
                book.peers.push((server(other), self.limits_of(member.name, other)));
                "a peer is listed again"
            }
            (Some(place), 0) => {
                book.peers.remove(place);
                "a peer is listed no longer"
            }
            (Some(place), 1) => {
                let limits = Arc::make_mut(&mut book.peers[place].1);
                limits.dialect = match limits.dialect.numbers_items() {
                    true => DialectSpec::TRANSACTIONS,
                    false => DialectSpec::UPDATES,
                };
                "a peer's dialect changes"
            }
            (Some(place), 2) => {
                let limits = Arc::make_mut(&mut book.peers[place].1);
                *limits = profiled(limits, pick(&mut chance, &[Profile::Fernpost, Profile::Actor, Profile::Synapse]));
                "a peer's profile changes"
            }
            (Some(place), _) => {
                let limits = Arc::make_mut(&mut book.peers[place].1);
                let PeerLimits { batch_items, outbox_items, connect_timeout, request_timeout, .. } =
                    peer_limits(&mut chance);
                let PeerLimits { backoff_min, backoff_max, jitter, wait_max, failures_to_suspend, probe_every, .. } =
                    peer_limits(&mut chance);
                *limits = PeerLimits {
                    batch_items,
                    outbox_items,
                    connect_timeout,
                    request_timeout,
                    backoff_min,
                    backoff_max,
                    jitter,
                    wait_max,
                    failures_to_suspend,
                    probe_every,
                    ..limits.clone()
                };
                "a peer's limits change"
            }
        };
        drop(chance);
        self.trace.note(&format!("{}: {done}, {other}", member.name));
        self.count(done);
        self.books.borrow_mut().insert(member.name, book);
        self.settings_of(member);
    }

    /// All is well: everybody is a peer of everybody, and may be asked where somebody joins a room.
    pub(crate) fn list_all(&self, member: &Member) {
        let mut book = self.books.borrow()[member.name].clone();
        for (name, limits) in &self.plan.books[member.name].peers {
            if !book.peers.iter().any(|(listed, _)| listed == name) {
                book.peers.push((name.clone(), limits.clone()));
            }
        }
        if !self.plan.late.is_empty() {
            book.peers.iter_mut().for_each(|(_, limits)| Arc::make_mut(limits).fetches = true);
        }
        self.books.borrow_mut().insert(member.name, book);
        self.settings_of(member);
    }

    /// The servers a plain update can go to from this one.
    pub(crate) fn numbered(&self, from: Name) -> Vec<Name> {
        let books = self.books.borrow();
        let speaks = |to: &&Name| {
            let limits = books[from].peers.iter().find(|(name, _)| *name == server(to));
            limits.is_some_and(|(_, limits)| limits.dialect == DialectSpec::UPDATES)
        };
        self.plan.names.iter().filter(|to| **to != from).filter(speaks).copied().collect()
    }

    fn limits_of(&self, name: Name, other: Name) -> Arc<PeerLimits> {
        let book = &self.plan.books[name];
        let listed = book.peers.iter().find(|(peer, _)| *peer == server(other));
        listed.expect("everybody is a peer of everybody at first").1.clone()
    }

    /// The servers through which a peer may be reached.
    fn vias(&self, limits: &PeerLimits) -> BTreeSet<Name> {
        let is_via = |name: &&Name| limits.relay.vias().any(|via| *via == server(name));
        self.plan.names.iter().filter(is_via).copied().collect()
    }

    /// The configuration of a gateway from now on, and what the checker is to know of it.
    pub(crate) fn settings_of(&self, member: &Member) {
        let book: TestPeers = self.books.borrow()[member.name].clone();
        let limits =
            |other: &Name| book.peers.iter().find(|(peer, _)| *peer == server(other)).map(|(_, limits)| limits);
        let listed = || self.plan.names.iter().filter_map(|other| Some((*other, limits(other)?)));
        let gap = book.contexts.gap;
        let settings = Settings {
            from: self.stamps.next(),
            server: member.name,
            held_max: book.contexts.held_max,
            depth_max: gap.depth_max,
            give_up: u64::try_from(gap.give_up.as_millis()).expect("64 bits"),
            keep: listed()
                .map(|(other, limits)| (other, u64::try_from(limits.keep.as_millis()).expect("64 bits")))
                .collect(),
            outbox: listed().map(|(other, limits)| (other, limits.outbox_items)).collect(),
            forgets: book.contexts.history.keep.is_some(),
            transactions: listed()
                .filter(|(_, limits)| limits.dialect == DialectSpec::TRANSACTIONS)
                .map(|(other, _)| other)
                .collect(),
            blaming: listed()
                .filter(|(_, limits)| limits.drops_batch_on_error_status)
                .map(|(other, _)| other)
                .collect(),
            mute: listed().filter(|(_, limits)| !limits.fetches).map(|(other, _)| other).collect(),
            receipts: listed().filter(|(_, limits)| limits.receipts).map(|(other, _)| other).collect(),
            relays: book.relays,
            routes: listed().map(|(other, limits)| (other, self.vias(limits))).collect(),
            trimmed: listed().filter(|(_, limits)| is_trimmed(limits)).map(|(other, _)| other).collect(),
        };
        self.history.borrow_mut().settings.push(settings);
        member.node.configure(book);
    }
}
