//! Relayed items: they go where the configurations allow it, only once the destination itself could not be
//! reached, and nobody passes on what nobody gave to it. That it arrives once and in order is what all items promise.

use crate::history::exchange::{Exchange, Forward, Outcome};
use crate::history::{History, Name, Settings, Stamp};

impl History {
    pub(super) fn relays(&self, faults: &mut Vec<String>) {
        for exchange in &self.exchanges {
            for forward in &exchange.forwards {
                let is_sound = match forward.origin == exchange.from {
                    true => self.may_be_given(exchange, forward),
                    false => self.may_be_passed_on(exchange, forward),
                };
                if !is_sound {
                    let Exchange { from, to, .. } = exchange;
                    faults.push(format!("{from} sends {} to {to} ({} hops): why?", forward.name(), forward.hops));
                }
            }
            for pdu in exchange.passed_on() {
                if !self.was_to_be_passed_on(exchange, pdu) {
                    faults.push(format!("{} passes {pdu} on to {}, and was not asked to", exchange.from, exchange.to));
                }
            }
        }
    }

    fn settings_up_to(&self, server: Name, at: Stamp) -> impl Iterator<Item = &Settings> {
        self.settings.iter().filter(move |settings| settings.server == server && settings.from <= at)
    }

    /// A forward lies in quarantine: the wall clock of its origin or of this server was set otherwise before, so that it seems to be
    /// of the future, or its origin was no peer of this server.
    pub(super) fn may_be_bad_forward(&self, server: Name, code: &str, text: &str, at: Stamp) -> bool {
        let is_origin = |name: Name| text.contains(&format!(r#""update":"forward","origin":"{name}.example""#));
        let is_wrong = |(name, jumped): &(Name, Stamp)| *jumped <= at && (*name == server || is_origin(name));
        let origin = self.feeds.keys().find(|name| is_origin(name));
        match code {
            "BAD_FORWARD" => origin.is_some() && self.jumps.iter().any(is_wrong),
            "KEYS_UNKNOWN" => origin.is_some_and(|origin| {
                self.settings_up_to(server, at).any(|settings| !settings.keep.contains_key(origin))
            }),
            _ => false,
        }
    }

    /// Number of items in the queue for a peer that it is to pass on to others, or that this server passes on to it, at most.
    pub(super) fn waiting_to_be_relayed(&self, server: Name, via: Name, at: Stamp) -> u64 {
        let settings: Vec<&Settings> = self.settings_up_to(server, at).collect();
        let is_through = |to: Name| {
            let mut routes = settings.iter().filter_map(|settings| settings.routes.get(to));
            routes.any(|vias| vias.contains(via))
        };
        let was_given = |item: &str, to: Name| {
            let is_it = |forward: &Forward| forward.item == item && forward.destination == to;
            self.way(server, via).any(|exchange| {
                let is_told = matches!(exchange.ended, Some((ended, Outcome::Fine)) if ended < at);
                let is_asked = exchange.relay_to.iter().any(|asked| asked == to);
                is_told
                    && (exchange.forwards.iter().any(is_it) || is_asked && exchange.items.iter().any(|one| one == item))
            })
        };
        let messages = self.messages.iter().map(|said| (said.origin, &*said.pdu, &said.hearers, said.begun));
        let updates = self.updates.iter().map(|said| (said.origin, &*said.token, &said.hearers, said.begun));
        let own = messages.chain(updates).filter(|(origin, _, _, begun)| *origin == server && *begun <= at);
        let own = own.map(|(_, item, hearers, _)| {
            hearers.iter().filter(|to| is_through(**to) && !was_given(item, **to)).count() as u64
        });
        let is_passed_on = |given: &&Exchange| given.to == server && given.begun <= at;
        let given = self.exchanges.iter().filter(is_passed_on).map(|given| {
            let forwards = given.forwards.iter().filter(|forward| forward.destination == via).count();
            let asked = if given.relay_to.iter().any(|to| to == via) { given.items.len() } else { 0 };
            (forwards + asked) as u64
        });
        let given = if settings.iter().any(|settings| settings.relays) { given.sum::<u64>() } else { 0 };
        own.sum::<u64>() + given
    }

    /// The origin's configuration names the peer as a way to the destination, and an attempt to reach that itself had failed. What was
    /// given to a relay stays in its queue when the configuration changes.
    fn may_be_given(&self, exchange: &Exchange, forward: &Forward) -> bool {
        let is_way = |settings: &Settings| {
            let route = settings.routes.iter().find(|(peer, _)| **peer == forward.destination);
            route.is_some_and(|(_, vias)| vias.contains(exchange.to))
        };
        let has_failed = |direct: &Exchange| {
            direct.to == forward.destination
                && matches!(direct.ended, Some((at, Outcome::Failed | Outcome::Unreachable)) if at < exchange.begun)
        };
        let mut direct = self.exchanges.iter().filter(|direct| direct.from == exchange.from && direct.is_delivery());
        forward.hops == 1 && self.settings_up_to(exchange.from, exchange.begun).any(is_way) && direct.any(has_failed)
    }

    /// The sender relays, and had been given it for this server.
    fn may_be_passed_on(&self, exchange: &Exchange, forward: &Forward) -> bool {
        let is_it = |other: &Forward| {
            (&other.id, &other.item, &other.destination) == (&forward.id, &forward.item, &forward.destination)
                && other.hops + 1 == forward.hops
        };
        let mut given = self.exchanges.iter().filter(|given| given.to == exchange.from && given.begun < exchange.begun);
        forward.destination == exchange.to
            && self.settings_up_to(exchange.from, exchange.begun).any(|settings| settings.relays)
            && given.any(|given| given.forwards.iter().any(is_it))
    }

    /// The author of a PDU asked the sender, which relays, to pass it on to this server.
    fn was_to_be_passed_on(&self, exchange: &Exchange, pdu: &str) -> bool {
        let mut given = self.exchanges.iter().filter(|given| {
            given.to == exchange.from && given.begun < exchange.begun && pdu.split('/').next() == Some(given.from)
        });
        self.settings_up_to(exchange.from, exchange.begun).any(|settings| settings.relays)
            && given.any(|given| {
                given.relay_to.iter().any(|to| to == exchange.to) && given.items.iter().any(|item| item == pdu)
            })
    }
}
