//! The state of all simulated peers: their next responses, and the record of what they accepted.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value, json};

use super::record::{self, Line, Recorder};
use super::script::{Behaviour, Plan};
use super::transactions;
use super::updates::{self, Push};

/// Maximum number of items remembered by all peers together; later ones are only counted.
const ITEMS_MAX: usize = 1_000_000;
/// Maximum number of peers created by Host headers.
const NAMES_MAX: usize = super::PEERS_MAX as usize;
/// Maximum number of different answers in the counts of a peer.
const ANSWERS_MAX: usize = 50;

/// One simulated peer.
struct Peer {
    plan: Plan,
    requests: u64,
    /// Next expected number by sender.
    expected: HashMap<String, u64>,
    /// Accepted items in order, with their time in microseconds.
    taken: Vec<(String, u64)>,
    /// Names of the PDUs accepted in transactions.
    known: HashSet<String>,
    /// Number of items beyond the remembered ones.
    forgotten: u64,
    /// Number of items that were repeated after they had been accepted, and below, of those that came too early.
    repeated: u64,
    early: u64,
    answers: BTreeMap<String, u64>,
}

/// The decision on a request.
pub(super) struct Decision {
    pub(super) behaviour: Behaviour,
    pub(super) status: u16,
    pub(super) body: String,
}

/// All simulated peers.
pub(super) struct World {
    plan: Plan,
    window: u32,
    recorder: Recorder,
    peers: BTreeMap<String, Peer>,
    items: usize,
}

impl World {
    pub(super) fn new(plan: Plan, window: u32, recorder: Recorder) -> Self {
        Self { plan, window, recorder, peers: BTreeMap::new(), items: 0 }
    }

    fn peer(&mut self, name: &str) -> Option<&mut Peer> {
        if !self.peers.contains_key(name) {
            if self.peers.len() >= NAMES_MAX {
                return None;
            }
            self.peers.insert(name.to_owned(), Peer::new(self.plan.fork()));
        }
        self.peers.get_mut(name)
    }

    /// Processes a request of a dialect: decides the response, and accepts the items if the behaviour does.
    pub(super) fn request(&mut self, name: &str, from: &str, path: &str, body: &[u8]) -> Decision {
        let (window, room) = (self.window, ITEMS_MAX - self.items);
        let Some(peer) = self.peer(name) else {
            return Decision {
                behaviour: Behaviour::Ok,
                status: 503,
                body: "{\"error\":\"too many peers\"}".to_owned(),
            };
        };
        let before = peer.taken.len();
        let behaviour = peer.plan.next(peer.requests);
        peer.requests += 1;
        let (number, items, (status, body)) = match path.strip_prefix(transactions::SEND) {
            Some(id) => {
                let items = transactions::read(body);
                let answer = peer.transaction(behaviour, items.as_deref(), room);
                (id.trim_end_matches('/').to_owned(), items.unwrap_or_default(), answer)
            }
            None => match Push::read(body) {
                Some(push) => {
                    let answer = peer.push(behaviour, from, &push, window, room);
                    (push.seq.to_string(), push.items, answer)
                }
                None => (String::new(), vec![], (400, "{\"error\":\"not a push\"}".to_owned())),
            },
        };
        let word = word(behaviour, status, &body);
        if peer.answers.len() < ANSWERS_MAX || peer.answers.contains_key(&word) {
            *peer.answers.entry(word.clone()).or_default() += 1;
        }
        self.items += self.peers[name].taken.len() - before;
        let time = record::now();
        self.recorder.note(&Line { peer: name, from, number: &number, items: &items, answer: &word, time });
        Decision { behaviour, status, body }
    }

    /// Returns the items that a peer accepted; without a name, the counts of all peers.
    pub(super) fn received(&self, name: Option<&str>) -> Value {
        match name {
            Some(name) => self.peers.get(name).map_or_else(
                || json!({"requests": 0, "items": []}),
                |peer| {
                    let mut told = peer.counts();
                    told["items"] = peer.taken.iter().map(|(item, time)| json!([item, time])).collect();
                    told
                },
            ),
            None => {
                json!({"peers": self.peers.iter().map(|(name, peer)| (name.clone(), peer.counts())).collect::<serde_json::Map<_, _>>()})
            }
        }
    }

    /// Sets a new plan for one peer, or for all.
    pub(super) fn change(&mut self, name: Option<&str>, plan: Plan) {
        match name {
            Some(name) => {
                if let Some(peer) = self.peer(name) {
                    (peer.plan, peer.requests) = (plan, 0);
                }
            }
            None => {
                self.plan = plan;
                for peer in self.peers.values_mut() {
                    (peer.plan, peer.requests) = (self.plan.fork(), 0);
                }
            }
        }
    }
}

/// Returns the name of an answer in the counts.
fn word(behaviour: Behaviour, status: u16, body: &str) -> String {
    let of_its_own = match behaviour {
        Behaviour::Silent => "silent",
        Behaviour::Huge => "huge",
        Behaviour::Garbage => "garbage",
        Behaviour::Close => "close",
        Behaviour::Lie(_) => "lie",
        _ if status != 200 => return status.to_string(),
        _ if body.contains("hole_detected") => "hole",
        _ if body.contains("\"wait\"") => "wait",
        _ => "ok",
    };
    of_its_own.to_owned()
}

fn in_seconds(time: std::time::Duration) -> u64 {
    time.as_secs().max(1)
}

impl Peer {
    fn new(plan: Plan) -> Self {
        Self {
            plan,
            requests: 0,
            expected: HashMap::new(),
            taken: vec![],
            known: HashSet::new(),
            forgotten: 0,
            repeated: 0,
            early: 0,
            answers: BTreeMap::new(),
        }
    }

    fn counts(&self) -> Value {
        let Self { requests, forgotten, repeated, early, answers, .. } = self;
        let taken = self.taken.len() as u64 + forgotten;
        json!({"requests": requests, "taken": taken, "repeated": repeated, "early": early, "answers": answers})
    }

    fn take(&mut self, items: &[String], room: usize) {
        let now = record::now();
        let kept = items.len().min(room);
        self.taken.extend(items[..kept].iter().map(|item| (item.clone(), now)));
        self.forgotten += (items.len() - kept) as u64;
    }

    fn push(&mut self, behaviour: Behaviour, from: &str, push: &Push, window: u32, room: usize) -> (u16, String) {
        let expected = self.expected.get(from).copied().unwrap_or(1);
        match behaviour {
            Behaviour::Status(status) => return (status, error(status)),
            Behaviour::TooMany(most) if push.items.len() > most => return (413, error(413)),
            Behaviour::Wait(time) => return (200, updates::wait(in_seconds(time))),
            Behaviour::Hole => return (200, updates::hole(expected, window)),
            Behaviour::Lie(lie) => return (200, updates::lie(lie, push.seq, window)),
            Behaviour::Silent | Behaviour::Huge | Behaviour::Garbage => return (200, String::new()),
            _ => {}
        }
        let Some(known) = push.known(expected) else {
            self.early += push.items.len() as u64;
            return (200, updates::hole(expected, window));
        };
        self.repeated += known as u64;
        self.take(&push.items[known..], room);
        self.expected.insert(from.to_owned(), expected.max(push.seq + 1));
        (200, updates::ok(push.seq, window))
    }

    fn transaction(&mut self, behaviour: Behaviour, items: Option<&[String]>, room: usize) -> (u16, String) {
        let Some(items) = items else { return (400, error(400)) };
        match behaviour {
            Behaviour::Status(status) => return (status, error(status)),
            Behaviour::TooMany(most) if items.len() > most => return (413, error(413)),
            Behaviour::Wait(_) => return (429, error(429)),
            // `Huge` is not among these, because an endless response begins with status 200, which accepts the
            // transaction.
            Behaviour::Silent | Behaviour::Garbage => return (200, String::new()),
            _ => {}
        }
        let new: Vec<String> = items.iter().filter(|item| !self.known.contains(*item)).cloned().collect();
        self.repeated += (items.len() - new.len()) as u64;
        let honest = transactions::verdicts(items, |item| !self.known.contains(item));
        self.take(&new, room);
        self.known.extend(new.into_iter().take(room));
        match behaviour {
            Behaviour::Lie(lie) => (200, transactions::lie(lie, items)),
            _ => (200, honest),
        }
    }
}

fn error(status: u16) -> String {
    json!({"error": format!("the simulated peer answers {status}"), "code": "SIMULATED"}).to_string()
}
