//! `history: true` says that a PDU was fetched to be read, and is no news. What was said to a server comes to it as news, unless
//! it was fetched for a cause: the server joined, lost its disk, or could not have what lies before.

use std::collections::BTreeSet;

use crate::checker::COMMIT_MAX;
use crate::history::exchange::Kind;
use crate::history::stamps::before;
use crate::history::{Event, History, Message, Name, Stamp, What};

impl History {
    pub(super) fn past(&self, server: Name, faults: &mut Vec<String>) {
        let messages = self.messages_by_name();
        for event in self.events(server) {
            let What::Pdu { pdu, history: true, .. } = &event.what else { continue };
            let Some(said) = messages.get(&**pdu) else { continue };
            if said.hearers.contains(server) && !self.may_be_past(said, server, event) {
                faults.push(format!("{server} has {pdu} as history, which was news to it"));
            }
        }
    }

    fn may_be_past(&self, said: &Message, server: Name, event: &Event) -> bool {
        let lost =
            self.restores_of(server).any(|restore| said.begun < restore.restored && restore.restored <= event.at);
        // What was not sent to it in the end is found when the room is read.
        let reported = || self.was_reported(&said.submission, said.origin, server);
        self.came_late(server, &said.room)
            || lost
            || self.is_cut_off(said, server, event.at)
            || self.could_not_have_parents(said, server, event)
            || reported()
    }

    /// True if the server had not heard a parent of the message by then, and could not fetch it: its walks from parent to parent
    /// end after a few steps, or gateways forget old PDUs. A state message that is fetched because another one replaces it is
    /// history then, unless it has come by itself as well.
    fn could_not_have_parents(&self, said: &Message, server: Name, event: &Event) -> bool {
        let Some(settings) = self.settings_at(server, event.at) else { return false };
        let heard = |parent: &String| {
            let is_parent = |what: &What| matches!(what, What::Pdu { pdu, .. } if pdu == parent);
            self.events(server).any(|other| other.position < event.position && is_parent(&other.what))
        };
        let is_own = |parent: &String| parent.split('/').next() == Some(server);
        let parents = self.parents.get(&said.pdu);
        (settings.depth_max < 10 || settings.forgets)
            && parents.is_some_and(|parents| parents.iter().any(|parent| !is_own(parent) && !heard(parent)))
            && self.was_fetched(&said.pdu, server, event.at)
            && !self.came_by_itself(&said.pdu, server, event.at)
    }

    /// True if the server had asked for PDUs and been given this one by then.
    fn was_fetched(&self, pdu: &str, server: Name, at: Stamp) -> bool {
        self.exchanges.iter().any(|exchange| {
            exchange.from == server
                && matches!(exchange.kind, Kind::Fetch { .. })
                && exchange.given.iter().any(|given| given == pdu)
                && exchange.ended.as_ref().is_some_and(|(ended, _)| *ended <= at)
        })
    }

    /// True if the server had accepted a request that delivered this PDU before it wrote the event of that moment. A request that
    /// came while it wrote the event was too late for that.
    fn came_by_itself(&self, pdu: &str, server: Name, at: Stamp) -> bool {
        let is_before = |arrived: &Stamp| *arrived < before(at, COMMIT_MAX);
        self.exchanges
            .iter()
            .any(|exchange| exchange.to == server && exchange.was_taken(pdu) && exchange.arrived.iter().any(is_before))
    }

    /// True if the message, or one of its ancestors, lies beyond a gap that the server was told of by then.
    fn is_cut_off(&self, said: &Message, server: Name, at: Stamp) -> bool {
        let missing = self.events(server).filter(|event| event.at <= at).filter_map(|event| match &event.what {
            What::Gap { room, missing } if *room == said.room => Some(missing),
            _ => None,
        });
        let missing: BTreeSet<&str> = missing.flatten().map(String::as_str).collect();
        let is_beyond = || self.with_ancestors(missing.iter().copied()).contains(&*said.pdu);
        !missing.is_empty() && (is_beyond() || !self.with_ancestors([&*said.pdu]).is_disjoint(&missing))
    }

    /// These PDUs and all that lies before them.
    pub(super) fn with_ancestors<'a>(&'a self, pdus: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
        let (mut all, mut ahead): (BTreeSet<&str>, Vec<&str>) = (BTreeSet::new(), pdus.into_iter().collect());
        while let Some(pdu) = ahead.pop() {
            if all.insert(pdu) {
                ahead.extend(self.parents.get(pdu).into_iter().flatten().map(String::as_str));
            }
        }
        all
    }
}
