//! `history: true` says that a PDU was fetched to be read, and is no news. What was said to a server comes to it as news, unless
//! it was fetched for a cause: the server joined, lost its disk, or could not have what lies before.

use std::collections::BTreeSet;

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
        self.came_late(server, &said.room) || lost || self.is_cut_off(said, server, event.at) || reported()
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
