//! One request on the wire, as far as the checker looks at it: what it carried, and what its sender was told.

use std::borrow::Cow;
use std::collections::BTreeMap;

use actors::model::PushFailure;
use bytes::Bytes;
use fernpost::egress::{EgressMethod, EgressRequest};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::history::Name;
use crate::history::stamps::Stamp;
use crate::world::liar::Lie;

/// One request and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub(crate) begun: Stamp,
    pub(crate) from: Name,
    pub(crate) to: Name,
    pub(crate) kind: Kind,
    /// The durable items that the request carries, in order: names of PDUs, tokens of updates.
    pub(crate) items: Vec<String>,
    /// The updates of others among the items, or those that another server is to pass on.
    pub(crate) forwards: Vec<Forward>,
    /// The servers to which the peer is asked to pass on the PDUs of a transaction.
    pub(crate) relay_to: Vec<String>,
    /// The texts of the ephemeral items that ride on it.
    pub(crate) weak: Vec<String>,
    /// The moments at which copies of the request reached the peer's door.
    pub(crate) arrived: Vec<Stamp>,
    /// Items in the answer that the sender read.
    pub(crate) given: Vec<String>,
    /// PDUs that the peer itself said it refuses, and with which code; also where the sender never read it.
    pub(crate) refused: Vec<(String, String)>,
    /// PDUs that the peer itself said lie in quarantine, and with which code.
    pub(crate) parked: Vec<(String, String)>,
    /// The peer's own answer, even if the sender never read it.
    pub(crate) answer: Option<Outcome>,
    /// The network answered for the peer.
    pub(crate) meddled: bool,
    /// The answer was replaced.
    pub(crate) lie: Option<Lie>,
    /// The outcome that the sender was told, and the moment.
    pub(crate) ended: Option<(Stamp, Outcome)>,
}

/// An update of one server for another that travels through a third one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forward {
    pub(crate) origin: String,
    pub(crate) destination: String,
    pub(crate) id: String,
    pub(crate) hops: u64,
    /// The item that it carries.
    pub(crate) item: String,
}

impl Forward {
    /// The name of an item that a peer is to pass on.
    pub(crate) fn name(&self) -> String {
        format!("{}>{}:{}", self.origin, self.destination, self.item)
    }
}

/// The kind of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// To take updates and PDUs, the last of them under this number.
    Push { seq: u64, ranges: bool },
    /// To take PDUs.
    Transaction,
    /// To give these PDUs, or what lies before them.
    Fetch { named: Vec<String> },
    /// To give the state of a room.
    State,
    /// To give the transactions after one of its own.
    Pull,
}

/// The end of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Status 200, and nothing that says less than "taken", or "here it is".
    Fine,
    /// `hole_detected`.
    Hole { expected: u64, conflict: bool },
    /// Not now.
    Wait,
    /// A status that refuses what is in the request, or the sender.
    Refused(u16),
    /// No answer that can be read, or trouble.
    Failed,
    /// There was no connection.
    Unreachable,
}

/// A body of either dialect, whatever it is: request or answer.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    weak: Vec<&'a RawValue>,
    #[serde(borrow)]
    edus: Vec<Ephemeral<'a>>,
    #[serde(borrow)]
    strong: Vec<Strong<'a>>,
    #[serde(borrow)]
    pdus: Vec<Head<'a>>,
    relay_to: Vec<Cow<'a, str>>,
    seq: Option<u64>,
    from_seq: Option<u64>,
    receive: Option<Cow<'a, str>>,
    conflict: Option<bool>,
    /// Numbers of updates that lie in quarantine, and why.
    #[serde(borrow)]
    parked: Vec<(u64, Cow<'a, str>)>,
}

#[derive(Deserialize)]
struct Ephemeral<'a> {
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize)]
struct Strong<'a> {
    token: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pdu: Option<Head<'a>>,
    origin: Option<Cow<'a, str>>,
    destination: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    hops: Option<u64>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

impl Strong<'_> {
    /// The item that the update is.
    fn item(&self, rooms: &mut RoomsSeen) -> Option<String> {
        match (&self.token, &self.pdu) {
            (Some(token), _) => Some(token.to_string()),
            (None, Some(pdu)) => names(std::slice::from_ref(pdu), rooms).pop(),
            (None, None) => self.id.as_ref().map(ToString::to_string),
        }
    }

    /// The forward that the update is.
    fn forward(&self, rooms: &mut RoomsSeen) -> Option<Forward> {
        let body: Strong<'_> = serde_json::from_str(self.body?.get()).ok()?;
        Some(Forward {
            origin: word(self.origin.as_deref()?),
            destination: word(self.destination.as_deref()?),
            id: self.id.as_deref()?.to_owned(),
            hops: self.hops?,
            item: body.item(rooms)?,
        })
    }
}

/// The first word of a server's name.
fn word(server: &str) -> String {
    server.split('.').next().unwrap_or(server).to_owned()
}

/// The name of a PDU, and what a peer says of it.
#[derive(Deserialize)]
struct Head<'a> {
    pdu_id: Option<Cow<'a, str>>,
    origin: Option<Cow<'a, str>>,
    context: Option<Cow<'a, str>>,
    status: Option<Cow<'a, str>>,
    error: Option<Cow<'a, str>>,
    code: Option<Cow<'a, str>>,
}

impl Head<'_> {
    fn name(&self) -> Option<String> {
        let origin = self.origin.as_deref()?;
        Some(format!("{}/{}", origin.split('.').next().unwrap_or(origin), self.pdu_id.as_deref()?))
    }
}

/// The rooms of PDUs, as they were seen on the wire.
pub(crate) type RoomsSeen = BTreeMap<String, String>;

fn names(heads: &[Head<'_>], rooms: &mut RoomsSeen) -> Vec<String> {
    let mut names = vec![];
    for head in heads {
        let Some(name) = head.name() else { continue };
        if let Some(room) = &head.context {
            rooms.entry(name.clone()).or_insert_with(|| room.to_string());
        }
        names.push(name);
    }
    names
}

impl Exchange {
    /// A request as it begins.
    pub(crate) fn begin(begun: Stamp, from: Name, to: Name, request: &EgressRequest, rooms: &mut RoomsSeen) -> Self {
        let body: Body<'_> = serde_json::from_slice(&request.body).unwrap_or_default();
        let mut items = names(&body.pdus, rooms);
        let mut forwards = vec![];
        for strong in &body.strong {
            if let Some(forward) = strong.forward(rooms) {
                // On its way it is no item of the peer that passes it on.
                let is_there = forward.destination == to;
                items.push(if is_there { forward.item.clone() } else { forward.name() });
                forwards.push(forward);
            } else {
                items.extend(strong.item(rooms));
            }
        }
        let weak = body.weak.iter().copied().chain(body.edus.iter().map(|edu| edu.content));
        Self {
            begun,
            from,
            to,
            kind: Kind::of(request, &body),
            items,
            forwards,
            relay_to: body.relay_to.iter().map(|server| word(server)).collect(),
            weak: weak.map(|text| text.get().to_owned()).collect(),
            arrived: vec![],
            given: vec![],
            refused: vec![],
            parked: vec![],
            answer: None,
            meddled: false,
            lie: None,
            ended: None,
        }
    }

    /// The peer has answered.
    pub(crate) fn answered(&mut self, status: u16, body: &Bytes) {
        self.answer = Some(self.outcome_of(status, body));
        let body: Body<'_> = serde_json::from_slice(body).unwrap_or_default();
        for (number, code) in body.parked {
            let item = self.items.iter().find(|item| self.number(item) == Some(number));
            self.parked.extend(item.map(|item| (item.clone(), code.to_string())));
        }
        for entry in body.pdus {
            let Some(name) = entry.name() else { continue };
            let code = entry.code.as_deref().unwrap_or_default().to_owned();
            if entry.error.is_some() {
                self.refused.push((name, code));
            } else if entry.status.as_deref() == Some("parked") {
                self.parked.push((name, code));
            }
        }
    }

    /// Its sender was told.
    pub(crate) fn end(&mut self, at: Stamp, outcome: &Result<Bytes, PushFailure>, rooms: &mut RoomsSeen) {
        let told = match outcome {
            Ok(body) => {
                if !matches!(self.kind, Kind::Push { .. } | Kind::Transaction) {
                    let body: Body<'_> = serde_json::from_slice(body).unwrap_or_default();
                    self.given = names(&body.pdus, rooms);
                }
                self.outcome_of(200, body)
            }
            Err(PushFailure::Refused { status, .. }) => Outcome::Refused(*status),
            Err(PushFailure::Troubled { status: 429, .. }) => Outcome::Wait,
            Err(PushFailure::Unreachable(_)) => Outcome::Unreachable,
            Err(_) => Outcome::Failed,
        };
        self.ended = Some((at, told));
    }

    fn outcome_of(&self, status: u16, body: &Bytes) -> Outcome {
        match status {
            200 if let Kind::Push { seq, .. } = self.kind => outcome_of_push(seq, body),
            200 if matches!(self.kind, Kind::Transaction) || serde_json::from_slice::<&RawValue>(body).is_ok() => {
                Outcome::Fine
            }
            200 | 500..=599 => Outcome::Failed,
            429 => Outcome::Wait,
            status => Outcome::Refused(status),
        }
    }

    /// The PDUs of others that the sender passes on as they are.
    pub(crate) fn passed_on(&self) -> impl Iterator<Item = &String> {
        let is_forward = |item: &&String| self.forwards.iter().any(|forward| forward.item == **item);
        // Copies for a group have the whole names of PDUs.
        let is_other = |origin: &str| origin != self.from && !origin.contains('.');
        let is_of_other = move |item: &&String| item.split_once('/').is_some_and(|(origin, _)| is_other(origin));
        let items = self.items.iter().filter(|_| self.is_delivery());
        items.filter(is_of_other).filter(move |item| !is_forward(item) && !item.contains('>'))
    }

    /// True if the request delivers items of its sender.
    pub(crate) const fn is_delivery(&self) -> bool {
        matches!(self.kind, Kind::Push { .. } | Kind::Transaction)
    }

    /// The number of an item of a push that numbers its updates one by one.
    pub(crate) fn number(&self, item: &str) -> Option<u64> {
        let Kind::Push { seq, .. } = self.kind else { return None };
        let place = self.items.iter().position(|other| other == item)? as u64;
        (seq + 1 + place).checked_sub(self.items.len() as u64)
    }

    /// True if the push carries something else than this item under this number.
    pub(crate) fn carries_other(&self, item: &str, number: Option<u64>) -> bool {
        number.is_some() && self.items.iter().any(|other| other != item && self.number(other) == number)
    }

    /// True if the request carries this item, and the peer itself answered that it took the item.
    pub(crate) fn was_taken(&self, item: &str) -> bool {
        let is_it = |(other, _): &(String, String)| other == item;
        self.answer == Some(Outcome::Fine)
            && self.items.iter().any(|other| other == item)
            && !self.refused.iter().chain(&self.parked).any(is_it)
    }
}

/// The outcome of a push with this number, read from the answer's body.
fn outcome_of_push(pushed: u64, body: &Bytes) -> Outcome {
    let body: Body<'_> = serde_json::from_slice(body).unwrap_or_default();
    match (body.receive.as_deref(), body.seq) {
        (Some("ok"), Some(seq)) if seq == pushed => Outcome::Fine,
        (Some("hole_detected"), Some(expected)) => Outcome::Hole { expected, conflict: body.conflict == Some(true) },
        (Some("wait"), _) => Outcome::Wait,
        _ => Outcome::Failed,
    }
}

impl Kind {
    fn of(request: &EgressRequest, body: &Body<'_>) -> Self {
        let path = &request.path;
        match request.method {
            EgressMethod::Post => Self::Push { seq: body.seq.unwrap_or(0), ranges: body.from_seq.is_some() },
            EgressMethod::Put => Self::Transaction,
            EgressMethod::Get if path.contains("/pull/") => Self::Pull,
            EgressMethod::Get if path.contains("/state/") => Self::State,
            EgressMethod::Get if path.contains("/pdu/") => {
                let parts: Vec<&str> = path.trim_end_matches('/').rsplit('/').collect();
                Self::Fetch { named: vec![named(parts[1], parts[0])] }
            }
            EgressMethod::Get => {
                let wanted = path.split('&').filter_map(|part| part.strip_prefix("v=")?.split_once("%2C"));
                Self::Fetch { named: wanted.map(|(id, origin)| named(origin, id)).collect() }
            }
        }
    }
}

/// `red/id`
fn named(origin: &str, id: &str) -> String {
    format!("{}/{id}", origin.split('.').next().unwrap_or(origin))
}
