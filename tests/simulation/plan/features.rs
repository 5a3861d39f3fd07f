//! Features that some seeds have beside what all have. Each is drawn aside, so that a seed without it is as it was before there
//! was such a feature.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use actors::limits::PeerLimits;
use actors::limits::relay::{RelayLimits, RouteStep};
use actors::model::DialectSpec;
use fastrand::Rng;
use fixtures::peers::server;

use crate::history::Name;
use crate::plan::{Plan, pick, seconds};

/// A server that may pass on what two others have for each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Relay {
    /// Those that cannot reach each other for long.
    pub(crate) ends: (Name, Name),
}

impl Plan {
    /// The same plan with a relay, if there are three servers. In some seeds the relay refuses, or does so in one dialect only.
    pub(crate) fn with_relay(mut self, mut chance: Rng) -> Self {
        let mut names = self.names.clone();
        chance.shuffle(&mut names);
        let [from, to, via, ref more @ ..] = names[..] else { return self };
        let dialect = pick(&mut chance, &[DialectSpec::UPDATES, DialectSpec::UPDATES, DialectSpec::TRANSACTIONS]);
        let two_ways = chance.u8(0..3) > 0;
        for (name, other) in [(from, to), (to, from)] {
            let vias: Vec<Name> = more.iter().copied().filter(|_| chance.u8(0..4) == 0).chain([via]).collect();
            let route = vias.into_iter().map(|via| RouteStep::Via(server(via)));
            let route: Vec<RouteStep> = [RouteStep::Direct].into_iter().chain(route).collect();
            let relay = RelayLimits {
                route: if two_ways || name == from { route } else { vec![RouteStep::Direct] },
                after: seconds(&mut chance, &[1, 10, 40]),
                probe: seconds(&mut chance, &[2, 15]),
                retry: seconds(&mut chance, &[20, 3600]),
                held_max: pick(&mut chance, &[1, 3, 1000, 1000]),
            };
            let ways = [(name, other), (name, via), (via, other)];
            for (place, (from, to)) in ways.into_iter().enumerate() {
                let peer = self.peer(from, to);
                // What the relay writes to the destination may be in the other dialect.
                if place < 2 || dialect == DialectSpec::UPDATES && chance.u8(0..5) > 0 {
                    peer.dialect = dialect;
                }
                if place == 0 {
                    peer.relay = relay.clone();
                }
            }
        }
        for (name, book) in &mut self.books {
            book.relays = *name == via && chance.u8(0..8) > 0;
        }
        self.bound += 300;
        self.relay = Some(Relay { ends: (from, to) });
        self
    }

    /// The same plan with peers that leave memory while they are idle, at each server after another time.
    pub(crate) fn with_leaving(mut self, mut chance: Rng) -> Self {
        for book in self.books.values_mut() {
            book.idle_after = Duration::from_millis(pick(&mut chance, &[1, 1, 700, 3000, 20_000]));
        }
        self.leaves = true;
        self
    }

    /// The limits of a peer of a server.
    pub(super) fn peer(&mut self, name: Name, other: Name) -> &mut PeerLimits {
        let book = self.books.get_mut(name).expect("one of us");
        let peer = book.peers.iter_mut().find(|(peer, _)| *peer == server(other));
        Arc::make_mut(&mut peer.expect("everybody is a peer of everybody").1)
    }

    /// The same plan with receipts between most pairs of servers; between some, only one of the two has them. Where the other
    /// answers as a server of 2016 does, a server has none, because that one knows none and compares nothing.
    pub(crate) fn with_receipts(mut self, mut chance: Rng) -> Self {
        let mut one_sided: BTreeSet<_> = self.plain.iter().map(|(from, to)| (server(from), server(to))).collect();
        for (place, name) in self.names.iter().enumerate() {
            for other in &self.names[..place] {
                if chance.u8(0..6) == 0 {
                    one_sided.insert((server(name), server(other)));
                }
            }
        }
        for (name, book) in &mut self.books {
            for (other, peer) in &mut book.peers {
                Arc::make_mut(peer).receipts = !one_sided.contains(&(server(name), other.clone()));
            }
        }
        self.receipts = true;
        self
    }
}
