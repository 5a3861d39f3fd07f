//! What travels through a third server: it goes where the configurations allow it, only once the destination itself could not be
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
