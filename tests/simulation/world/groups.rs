//! The group of a server that knows no contexts: what is said there, and what reaches it from the room.

use std::collections::BTreeMap;
use std::rc::Rc;

use fastrand::Rng;
use serde_json::value::RawValue;

use crate::history::{History, Message, Name, Update, What};
use crate::plan::group::{GROUP, GROUP_ROOM};
use crate::plan::pick;
use crate::world::World;
use crate::world::content::{Saying, object};

/// The content of a message of a room as a group understands it; `None`: it does not.
fn plain_content(content: &str) -> Option<String> {
    let parts: BTreeMap<String, &RawValue> = serde_json::from_str(content).expect("an object");
    let string = |key| parts.get(key).filter(|value| value.get().starts_with('"'));
    match (string("text"), string("type"), string("body")) {
        (Some(_), Some(_), _) => Some(content.to_owned()),
        (_, _, Some(body)) => Some(format!(r#"{{"type":"text","text":{}}}"#, body.get())),
        _ => None,
    }
}

/// The name of a PDU as its copies have it.
fn full_name(pdu: &str) -> String {
    let (origin, id) = pdu.split_once('/').expect("origin/id");
    format!("{origin}.example/{id}")
}

/// The text of the copy of a message; `None`: it has none.
fn copy_of(said: &Message) -> Option<String> {
    let content = plain_content(said.parts.get("content")?)?;
    let peer = format!(r#"{{"type":"group","id":{GROUP}}}"#);
    Some(format!(r#"{{"update":"message","peer":{peer},"content":{content},"id":"{}"}}"#, full_name(&said.pdu)))
}

/// A message of the room in a form that a group understands, mostly.
pub(super) fn form(mut saying: Saying, id: &str, chance: &mut Rng) -> Saying {
    let first = match chance.u8(0..5) {
        0 | 1 => format!(r#""text":"{id}","type":"text""#),
        2 | 3 => format!(r#""body":"{id}""#),
        _ => return saying,
    };
    saying.content = object(&first, chance);
    saying
}

impl World {
    /// The server for which this room is a group, where its participant is named.
    pub(crate) fn group_in(&self, name: Name, room: &str) -> Vec<Name> {
        let group = self.plan.group.filter(|group| group.bridge == name && room == GROUP_ROOM);
        group.map(|group| group.peer).into_iter().collect()
    }

    /// The server that knows the group says something in it.
    pub(crate) fn say_in_group(self: &Rc<Self>, id: String) {
        let Some(group) = self.plan.group else { return };
        self.count("a group says something");
        let content = {
            let mut chance = self.further.borrow_mut();
            let first = pick(&mut chance, &["text", "body"]);
            object(&format!(r#""{first}":"{id}""#), &mut chance)
        };
        // A message with a key that is there twice carries no signature.
        let content = match self.plan.signed {
            Some(_) => content.replace(r#""same":1,"same":2"#, r#""same":1,"twin":2"#),
            None => content,
        };
        let token = format!("{id}.0");
        self.history.borrow_mut().grouped.insert(content.clone(), token.clone());
        let peer = format!(r#"{{"type":"group","id":{GROUP}}}"#);
        let text = format!(r#"{{"update":"message","peer":{peer},"content":{content},"token":"{token}"}}"#);
        self.updates_to(&self.member(group.peer), id, vec![group.bridge], 1, move |_, _| text.clone());
    }

    /// Adds to a history the copies that the group is to get, of what its bridge says and of what it hears of others; and the messages
    /// that the bridge composes of what is said in the group.
    pub(crate) fn add_copies(&self, history: &mut History) {
        let Some(group) = self.plan.group else { return };
        history.bridge = Some((group.bridge, group.peer));
        let (mut copies, mut formless) = (vec![], vec![]);
        let mut add = |said: &Message, submission: String, begun, wall, taken| match copy_of(said) {
            Some(text) => copies.push(Update {
                token: full_name(&said.pdu),
                submission,
                origin: group.bridge,
                hearers: [group.peer].into(),
                begun,
                wall,
                taken,
                text,
            }),
            None => formless.push((submission, taken)),
        };
        let is_copied = |said: &&Message| {
            said.room == GROUP_ROOM && !said.narrowed && said.parts.get("is_state").is_none_or(|state| state != "true")
        };
        for said in history.messages.iter().filter(|said| said.origin == group.bridge).filter(is_copied) {
            add(said, said.submission.clone(), said.begun, said.wall, said.taken);
        }
        let others: BTreeMap<&str, &Message> =
            history.messages.iter().filter(is_copied).map(|said| (&*said.pdu, said)).collect();
        for event in history.feeds.get(group.bridge).into_iter().flatten() {
            if let What::Pdu { pdu, history: false, .. } = &event.what
                && let Some(said) = others.get(&**pdu)
            {
                add(said, full_name(pdu).replacen('/', "~", 1), event.at, event.wall, Some(event.at));
            }
        }
        history.updates.extend(copies);
        let composed = history.feeds.get(group.bridge).into_iter().flatten().filter_map(|event| match &event.what {
            What::Pdu { pdu, room, parts, .. } if parts.contains_key("bridged") => Some(Message {
                pdu: pdu.clone(),
                submission: full_name(pdu).replacen('/', "~", 1),
                origin: group.bridge,
                room: room.clone(),
                hearers: self.rooms.told(group.bridge, GROUP_ROOM).into_iter().collect(),
                narrowed: false,
                insists: false,
                begun: event.at,
                wall: event.wall,
                taken: Some(event.at),
                parts: parts.clone(),
            }),
            _ => None,
        });
        let composed: Vec<Message> = composed.collect();
        history.messages.extend(composed);
        history.formless = formless;
    }
}
