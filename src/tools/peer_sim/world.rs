//! The state of all simulated peers: their next responses, and the record of what they accepted.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value, json};

use super::record::{self, RecordLine, SimRecorder};
use super::script::{ScriptedBehaviour, SimPlan};
use super::transactions;
use super::updates::{self, ReceivedPush};

/// Maximum number of items remembered by all peers together; later ones are only counted.
const ITEMS_MAX: usize = 1_000_000;
/// Maximum number of peers created by Host headers.
const NAMES_MAX: usize = super::PEERS_MAX as usize;
/// Maximum number of different answers in the counts of a peer.
const ANSWERS_MAX: usize = 50;

/// The state of one simulated peer.
struct SimPeer {
    plan: SimPlan,
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
pub(super) struct SimDecision {
    pub(super) behaviour: ScriptedBehaviour,
    pub(super) status: u16,
    pub(super) body: String,
}

/// The state of all simulated peers.
pub(super) struct SimWorld {
    plan: SimPlan,
    window: u32,
    recorder: SimRecorder,
    peers: BTreeMap<String, SimPeer>,
    items: usize,
}

impl SimWorld {
    pub(super) fn new(plan: SimPlan, window: u32, recorder: SimRecorder) -> Self {
        Self { plan, window, recorder, peers: BTreeMap::new(), items: 0 }
    }

    fn peer(&mut self, name: &str) -> Option<&mut SimPeer> {
        if !self.peers.contains_key(name) {
            if self.peers.len() >= NAMES_MAX {
                return None;
            }
            self.peers.insert(name.to_owned(), SimPeer::new(self.plan.fork()));
        }
        self.peers.get_mut(name)
    }

    /// Processes a request of a dialect: decides the response, and accepts the items if the behaviour does.
    pub(super) fn request(&mut self, name: &str, from: &str, path: &str, body: &[u8]) -> SimDecision {
        let (window, room) = (self.window, ITEMS_MAX - self.items);
        let Some(peer) = self.peer(name) else {
            return SimDecision {
                behaviour: ScriptedBehaviour::Ok,
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
            None => match ReceivedPush::read(body) {
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
        self.recorder.note(&RecordLine { peer: name, from, number: &number, items: &items, answer: &word, time });
        SimDecision { behaviour, status, body }
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
    pub(super) fn change(&mut self, name: Option<&str>, plan: SimPlan) {
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
fn word(behaviour: ScriptedBehaviour, status: u16, body: &str) -> String {
    let of_its_own = match behaviour {
        ScriptedBehaviour::Silent => "silent",
        ScriptedBehaviour::Huge => "huge",
        ScriptedBehaviour::Garbage => "garbage",
        ScriptedBehaviour::Close => "close",
        ScriptedBehaviour::Lie(_) => "lie",
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

impl SimPeer {
    fn new(plan: SimPlan) -> Self {
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

    fn push(
        &mut self,
        behaviour: ScriptedBehaviour,
        from: &str,
        push: &ReceivedPush,
        window: u32,
        room: usize,
    ) -> (u16, String) {
        let expected = self.expected.get(from).copied().unwrap_or(1);
        match behaviour {
            ScriptedBehaviour::Status(status) => return (status, error(status)),
            ScriptedBehaviour::TooMany(most) if push.items.len() > most => return (413, error(413)),
            ScriptedBehaviour::Wait(time) => return (200, updates::wait(in_seconds(time))),
            ScriptedBehaviour::Hole => return (200, updates::hole(expected, window)),
            ScriptedBehaviour::Lie(lie) => return (200, updates::lie(lie, push.seq, window)),
            ScriptedBehaviour::Silent | ScriptedBehaviour::Huge | ScriptedBehaviour::Garbage => {
                return (200, String::new());
            }
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

    fn transaction(&mut self, behaviour: ScriptedBehaviour, items: Option<&[String]>, room: usize) -> (u16, String) {
        let Some(items) = items else { return (400, error(400)) };
        match behaviour {
            ScriptedBehaviour::Status(status) => return (status, error(status)),
            ScriptedBehaviour::TooMany(most) if items.len() > most => return (413, error(413)),
            ScriptedBehaviour::Wait(_) => return (429, error(429)),
            // `Huge` is not among these, because an endless response begins with status 200, which accepts the
            // transaction.
            ScriptedBehaviour::Silent | ScriptedBehaviour::Garbage => return (200, String::new()),
            _ => {}
        }
        let new: Vec<String> = items.iter().filter(|item| !self.known.contains(*item)).cloned().collect();
        self.repeated += (items.len() - new.len()) as u64;
        let honest = transactions::verdicts(items, |item| !self.known.contains(item));
        self.take(&new, room);
        self.known.extend(new.into_iter().take(room));
        match behaviour {
            ScriptedBehaviour::Lie(lie) => (200, transactions::lie(lie, items)),
            _ => (200, honest),
        }
    }
}

fn error(status: u16) -> String {
    json!({"error": format!("the simulated peer answers {status}"), "code": "SIMULATED"}).to_string()
}
