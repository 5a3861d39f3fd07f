//! `history: true` says that a PDU was fetched to be read, and is no news. What was said to a server comes to it as news, unless
//! it was fetched for a cause: the server joined, lost its disk, or could not have what lies before.

use crate::history::{Event, History, Message, Name, What};

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
        let room = &*said.room;
        let lost =
            self.restores_of(server).any(|restore| said.begun < restore.restored && restore.restored <= event.at);
        let is_gap = |other: &Event| match &other.what {
            What::Gap { room: of, .. } => other.at <= event.at && of == room,
            _ => false,
        };
        // What was not sent to it in the end is found when the room is read.
        let reported = || self.was_reported(&said.submission, said.origin, server);
        self.came_late(server, room) || lost || self.events(server).any(is_gap) || reported()
    }
}
