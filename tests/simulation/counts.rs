//! Counts of the faults that were played and of the paths that were taken: a path that no seed takes is not tested.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

use crate::counts::expected::EXPECTED;
use crate::history::exchange::{Exchange, Kind, Outcome};
use crate::history::{History, What};
use crate::world::liar::Lie;

mod expected;

/// Counts by name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    /// So many more of this.
    pub(crate) fn add(&mut self, what: &'static str, count: u64) {
        *self.0.entry(what).or_default() += count;
    }

    /// Adds the paths that the history of a run shows.
    pub(crate) fn add_seen(&mut self, history: &History) {
        history.exchanges.iter().for_each(|exchange| self.add_exchange(exchange));
        for what in history.feeds.values().flatten().map(|event| &event.what) {
            for seen in seen(what) {
                self.add(seen, 1);
            }
        }
    }

    fn add_exchange(&mut self, exchange: &Exchange) {
        self.add("ephemeral items are sent", exchange.weak.len() as u64);
        self.add_relayed(exchange);
        if exchange.meddled {
            self.add("the network answers for a peer", 1);
        }
        if exchange.arrived.len() > 1 {
            self.add("a request arrives twice", 1);
        }
        if let Some(lie) = exchange.lie {
            self.add(told(lie), 1);
        }
        self.add(
            match exchange.kind {
                Kind::Push { ranges: true, .. } => "pushes that state ranges",
                Kind::Push { ranges: false, .. } => "pushes without ranges",
                Kind::Transaction => "transactions",
                Kind::Fetch { .. } => "PDUs are asked for",
                Kind::State => "the state of a room is asked for",
                Kind::Pull => "missed transactions are asked for",
            },
            1,
        );
        match &exchange.answer {
            Some(Outcome::Hole { conflict: false, .. }) => self.add("a receiver answers a hole", 1),
            Some(Outcome::Hole { conflict: true, .. }) => self.add("a receiver answers a conflict", 1),
            Some(Outcome::Wait) => self.add("a receiver asks for time", 1),
            Some(Outcome::Refused(413)) => self.add("a receiver takes no more at once", 1),
            Some(Outcome::Refused(401 | 403)) => self.add("a receiver does not know the sender", 1),
            _ => {}
        }
        match &exchange.ended {
            Some((_, Outcome::Failed)) => self.add("requests fail", 1),
            Some((_, Outcome::Unreachable)) => self.add("a peer cannot be reached", 1),
            Some((_, Outcome::Fine)) if !exchange.given.is_empty() => self.add("PDUs are given", 1),
            _ => {}
        }
        self.add("a receiver parks a PDU", exchange.parked.len() as u64);
    }

    fn add_relayed(&mut self, exchange: &Exchange) {
        for forward in &exchange.forwards {
            self.add(
                match (forward.origin == exchange.from, forward.destination == exchange.to) {
                    (true, _) => "updates are given to a relay",
                    (false, true) => "a relay passes updates on",
                    (false, false) => "a relay gives updates to another relay",
                },
                1,
            );
        }
        self.add("PDUs are given to a relay in transactions", exchange.relay_to.len() as u64);
        self.add("a relay passes PDUs on", exchange.passed_on().count() as u64);
        let refused = exchange.parked.iter().filter(|(_, code)| code.starts_with("RELAY_"));
        self.add("a relay refuses", refused.count() as u64);
    }

    /// The expected deeds and paths that were never seen.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        EXPECTED.into_iter().filter(|what| self.of(what) == 0).collect()
    }

    /// The count of one deed or path.
    pub(crate) fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        for (what, count) in other.0 {
            self.add(what, count);
        }
    }
}

/// A line for each, and for what was never seen of what is expected; `scripts/soak.sh` adds them up.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts = self.clone();
        EXPECTED.into_iter().for_each(|what| counts.add(what, 0));
        counts.0.iter().try_for_each(|(what, count)| writeln!(f, "count {count:>9}  {what}"))
    }
}

/// The name under which a lie is counted.
const fn told(lie: Lie) -> &'static str {
    match lie {
        Lie::Cut => "a lie: the answer is cut off",
        Lie::Half => "a lie: half of the answer",
        Lie::WrongNumber => "a lie: another number is taken",
        Lie::RefusedPdu => "a lie: PDUs are refused",
        Lie::Nothing => "a lie: there is nothing",
        Lie::Hole => "a lie: a hole",
        Lie::Conflict => "a lie: a conflict",
    }
}

/// The names under which an event of a feed is counted.
fn seen(what: &What) -> Vec<&'static str> {
    match what {
        What::Pdu { history, late, gap, parts, .. } => {
            let seen = [
                (parts.contains_key("bridged"), "messages of a group are heard"),
                (true, "PDUs are heard"),
                (*history, "PDUs are heard as history"),
                (*late, "PDUs are heard late"),
                (!gap.is_empty(), "PDUs are heard over a gap"),
            ];
            seen.into_iter().filter(|(is_seen, _)| *is_seen).map(|(_, name)| name).collect()
        }
        What::Again { .. } => vec!["state conflicts: a PDU holds its key again"],
        What::Update { token, .. } if token.contains('/') => vec!["messages reach a group"],
        What::Update { .. } => vec!["updates are heard"],
        What::Gap { .. } => vec!["gaps are told"],
        What::GapFilled { .. } => vec!["gaps are filled"],
        What::UpdateGap { .. } => vec!["updates cannot be had any more"],
        What::Delivery { state, reason, .. } => vec![match (&**state, &**reason) {
            ("acknowledged", _) => "delivery: acknowledged after all",
            ("delivered", _) => "delivery: delivered",
            ("rejected", _) => "delivery: rejected",
            ("expired", _) => "delivery: expired",
            ("refused", "NO_PLAIN_FORM") => "delivery: no form for a group",
            ("refused", _) => "delivery: refused",
            ("parked", "taken out by an operator") => "delivery: taken out by an operator",
            ("parked", "outbox_full") => "delivery: no room in the outbox",
            ("parked", "not_a_peer") => "delivery: not a peer",
            ("parked", reason) if reason.contains("it lies in the quarantine of") => {
                "delivery: in the peer's quarantine"
            }
            ("parked", "faulty") => "delivery: the peer's actor is faulty",
            _ => "delivery: parked",
        }],
        What::Parked { code, .. } => vec![match &**code {
            "NOT_A_PARTICIPANT" => "quarantine: of somebody who takes no part",
            "POISON" => "quarantine: poison",
            "CONTEXT_FAULTY" => "quarantine: the room's actor is faulty",
            _ => "quarantine: other",
        }],
        What::Notice { .. } => vec!["notices"],
        What::Peer { reason, .. } => vec![match &**reason {
            "admin" => "peers are suspended by an operator",
            "unreachable" => "peers are suspended as unreachable",
            "refused" => "peers are suspended because they refuse us",
            "ahead_of_us" => "peers are suspended because they are ahead of us",
            "faulty" => "peers are suspended because their actor is faulty",
            "not_listed" => "peers are suspended because they are not listed",
            _ => "peers are back",
        }],
    }
}
