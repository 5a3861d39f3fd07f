//! A messenger hears no item twice, none that was never sent, and none that was sent to others only; it hears each item
//! unchanged.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{History, Message, Name, Parts, Restore, What};

impl Message {
    /// The list that a narrowed message carries of those that it is for; one for everybody carries none.
    fn narrowed_to(&self) -> Option<Vec<String>> {
        let named = self.hearers.iter().chain([&self.origin]);
        let mut names: Vec<String> = named.map(|name| format!("{name}.example")).collect();
        names.sort_unstable();
        Some(names).filter(|_| self.narrowed)
    }
}

/// Keys of a PDU that its gateway writes; all others are its messenger's.
const WRITTEN_BY_THE_GATEWAY: [&str; 5] = ["prev_state_id", "prev_state_origin", "to", "hashes", "signatures"];

impl History {
    pub(super) fn known(&self, server: Name, faults: &mut Vec<String>) {
        let (messages, updates) = (self.messages_by_name(), self.updates_by_token());
        let (mut seen, mut noticed) = (BTreeSet::new(), BTreeSet::new());
        for event in self.events(server) {
            let is_lost = self.was_lost(server, event);
            match &event.what {
                What::Notice { about: Some(about) } => drop(noticed.insert(*about)),
                What::Pdu { pdu, room, parts, .. } => {
                    match messages.get(&**pdu) {
                        _ if self.is_of_group(pdu, room, parts) => {}
                        None => faults.push(format!("{server} heard {pdu}, which nobody said")),
                        Some(said) => {
                            self.may_be_heard(said, server, room, faults);
                            differences(server, said, parts, faults);
                        }
                    }
                    if !seen.insert(pdu.clone()) {
                        faults.push(format!("{server} heard {pdu} twice"));
                    }
                    if is_lost {
                        seen.remove(pdu);
                    }
                }
                What::Update { from, n, token, text } => {
                    match updates.get(&**token) {
                        Some(said) if said.origin == *from && said.hearers.contains(server) => {
                            if said.text != *text {
                                faults.push(format!("{server} got {token} as {text}, and not as {}", said.text));
                            }
                            if !seen.insert(token.clone()) && !self.may_repeat(said, server, event.at, &noticed) {
                                faults.push(format!("{server} got {token} twice"));
                            }
                        }
                        _ => faults.push(format!("{server} got {token} from {from}, which it did not say to it")),
                    }
                    if is_lost {
                        seen.remove(token);
                    }
                    if !seen.insert(format!("{from}#{n}")) {
                        faults.push(format!("{server} has the id {from}#{n} twice"));
                    }
                }
                What::Parked { pdu: Some(pdu), text, .. } => {
                    if let Some(said) = messages.get(&**pdu)
                        && let Some(content) = said.parts.get("content")
                        && !text.contains(content)
                    {
                        faults.push(format!("{server} has {pdu} in quarantine as {text}, said was {content}"));
                    }
                }
                _ => {}
            }
        }
    }

    /// The message was sent in this room, to this server, and accepted; or a lost disk had accepted it.
    fn may_be_heard(&self, said: &Message, server: Name, room: &str, faults: &mut Vec<String>) {
        let Message { pdu, origin, .. } = said;
        let is_forgotten = || self.may_have_gone(said);
        if said.room != room {
            faults.push(format!("{server} heard {pdu} in {room}"));
        } else if *origin == server {
            if !is_forgotten() {
                faults.push(format!("{server} heard {pdu}, which is its own"));
            }
        } else if !said.hearers.contains(server) && !self.may_hear(said, server, room) {
            faults.push(format!("{server} heard {pdu}, which was not for it"));
        } else if said.taken.is_none() && !is_forgotten() {
            faults.push(format!("{server} heard {pdu}, which was never taken"));
        }
    }

    /// True if a lost disk may have been the only disk of the author that held the message.
    fn may_have_gone(&self, said: &Message) -> bool {
        let is_lost =
            |restore: &Restore| said.begun < restore.restored && said.taken.is_none_or(|taken| restore.copied < taken);
        self.restores_of(said.origin).any(is_lost)
    }

    /// True if a PDU is this server's own and was lost with its disk.
    pub(super) fn is_own_and_lost(&self, server: Name, pdu: &str) -> bool {
        let said = self.messages.iter().find(|said| said.pdu == pdu && said.origin == server);
        said.is_some_and(|said| self.may_have_gone(said))
    }

    /// True if a message may reach a server that is not among its hearers: a late participant hears what was sent before,
    /// and a server that it has not named yet hears of its messages from the others. A narrowed message reaches its hearers
    /// only.
    fn may_hear(&self, said: &Message, server: Name, room: &str) -> bool {
        !said.narrowed && (self.came_late(said.origin, room) || self.came_late(server, room))
    }

    /// All servers that have a PDU have it with the same content.
    pub(super) fn same_everywhere(&self, faults: &mut Vec<String>) {
        let mut known: BTreeMap<&str, (Name, &Parts)> = BTreeMap::new();
        let mut compare = |server: Name, pdu, parts| {
            let (other, theirs) = *known.entry(pdu).or_insert((server, parts));
            if theirs != parts {
                faults.push(format!("{server} has {pdu} as {parts:?}, {other} as {theirs:?}"));
            }
        };
        for view in &self.views {
            view.pdus.iter().for_each(|(pdu, parts)| compare(view.server, pdu, parts));
        }
        for server in self.feeds.keys() {
            for what in self.feed(server) {
                if let What::Pdu { pdu, parts, .. } = what {
                    compare(server, pdu, parts);
                }
            }
        }
    }
}

/// A heard PDU has the parts that its messenger sent, byte for byte, and no others.
fn differences(server: Name, said: &Message, heard: &Parts, faults: &mut Vec<String>) {
    let pdu = &said.pdu;
    for (key, value) in &said.parts {
        if heard.get(key) != Some(value) {
            faults.push(format!("{server} heard {key} of {pdu} as {:?}, said was {value}", heard.get(key)));
        }
    }
    let stated = heard.get("to");
    if stated.map(|list| serde_json::from_str(list).unwrap_or_default()) != said.narrowed_to() {
        let (stated, hearers) = (stated.map_or("everybody", String::as_str), &said.hearers);
        faults.push(format!("{server} heard that {pdu} is for {stated}, said was {hearers:?}"));
    }
    let is_added = |key: &&String| !said.parts.contains_key(*key) && !WRITTEN_BY_THE_GATEWAY.contains(&&***key);
    for key in heard.keys().filter(is_added) {
        faults.push(format!("{server} heard {key} of {pdu}, which was not said"));
    }
}
