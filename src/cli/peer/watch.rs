//! `fernpost peer watch`: prints the changes of the peers' states as they happen.

use std::collections::BTreeMap;
use std::time::Duration;

use actors::ports::Clock;
use serde::Serialize;

use crate::api::peers::{PeerDetails, PeerList};
use crate::app::SystemClock;
use crate::cli::admin_client::{AdminClient, CommandFailure, segment};
use crate::cli::{print, print_json};
use crate::http::responses::rfc3339;
use crate::terminal::exit_code::FINE;
use crate::terminal::format::{items, truncate_middle};

/// Interval at which the gateway is asked for the states.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// State of a peer that is not in memory: nothing waits for it.
const IDLE: &str = "idle";

/// Maximum number of characters of an error on a terminal.
const ERROR_LENGTH: usize = 60;

/// The state of a peer, as it was printed last.
#[derive(Debug, Clone, PartialEq, Eq)]
struct WatchedState {
    state: String,
    reason: Option<String>,
}

impl WatchedState {
    fn of(peer: &PeerDetails) -> Self {
        Self { state: peer.state.to_string(), reason: peer.reason.as_deref().map(str::to_owned) }
    }

    fn idle() -> Self {
        Self { state: IDLE.to_owned(), reason: None }
    }

    fn text(&self) -> String {
        let state = self.state.replace('_', " ");
        match &self.reason {
            Some(reason) => format!("{state} ({})", reason.replace('_', " ")),
            None => state,
        }
    }
}

/// A change of a peer's state; of the first look, the state alone.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct StateChange {
    time: String,
    server: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    backlog: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
}

/// The states that were seen last, by peer; a peer that is missing is idle.
#[derive(Debug, Default)]
struct PeerWatch {
    seen: BTreeMap<String, WatchedState>,
    has_looked: bool,
}

impl PeerWatch {
    /// Returns the peers that were not idle and are not among these: they may have left memory, and still not be idle.
    fn absent(&self, peers: &[PeerDetails]) -> Vec<String> {
        let is_absent = |server: &&String| !peers.iter().any(|peer| peer.server == **server);
        let busy = self.seen.iter().filter(|(_, seen)| seen.state != IDLE).map(|(server, _)| server);
        busy.filter(is_absent).cloned().collect()
    }

    /// Returns what has changed since the last look. The first look returns every peer that is not idle, and a named one.
    fn look(&mut self, peers: Vec<PeerDetails>, is_named: bool, time: &str) -> Vec<StateChange> {
        let is_first = !std::mem::replace(&mut self.has_looked, true);
        let mut changes = Vec::new();
        let mut seen = BTreeMap::new();
        for peer in peers {
            let (now, before) = (WatchedState::of(&peer), self.seen.remove(&peer.server));
            let is_new = match &before {
                Some(before) => *before != now,
                None => (is_first && is_named) || now.state != IDLE,
            };
            if is_new {
                let from = before.or((!is_first).then(WatchedState::idle)).map(|before| before.text());
                changes.push(StateChange {
                    time: time.to_owned(),
                    server: peer.server.clone(),
                    from,
                    to: now.state.clone(),
                    reason: now.reason.clone(),
                    backlog: peer.backlog,
                    last_error: peer.last_error.filter(|_| now.state != IDLE),
                });
            }
            seen.insert(peer.server, now);
        }
        // Those that are gone from the configuration have nothing that waits.
        for (server, before) in std::mem::replace(&mut self.seen, seen) {
            if before.state != IDLE {
                let (time, from) = (time.to_owned(), Some(before.text()));
                let to = IDLE.to_owned();
                changes.push(StateChange { time, server, from, to, reason: None, backlog: 0, last_error: None });
            }
        }
        changes
    }
}

/// Prints changes until the process is stopped or the gateway fails.
pub(super) async fn watch(gateway: &AdminClient, json: bool, name: Option<&str>) -> Result<u8, CommandFailure> {
    let mut watch = PeerWatch::default();
    loop {
        let mut peers = match name {
            Some(name) => vec![ask(gateway, name).await?],
            None => gateway.read::<PeerList>(&gateway.get("/peers?active=true").await?)?.peers,
        };
        for server in watch.absent(&peers) {
            match ask(gateway, &server).await {
                Ok(peer) => peers.push(peer),
                Err(CommandFailure::Refused { .. }) => {}
                Err(failure) => return Err(failure),
            }
        }
        for change in watch.look(peers, name.is_some(), &rfc3339(SystemClock.now())) {
            match json {
                true => print_json(&serde_json::to_string(&change).expect("texts and numbers"), FINE),
                false => print(&line(&change), FINE),
            };
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn ask(gateway: &AdminClient, server: &str) -> Result<PeerDetails, CommandFailure> {
    gateway.read(&gateway.get(&format!("/peers/{}", segment(server))).await?)
}

fn line(change: &StateChange) -> String {
    let to = WatchedState { state: change.to.clone(), reason: change.reason.clone() }.text();
    let from = change.from.as_deref().map(|from| format!("{from} -> ")).unwrap_or_default();
    let backlog = if change.backlog > 0 { format!(", {} wait", items(change.backlog)) } else { String::new() };
    let error = change.last_error.as_deref().map(|error| format!(": {}", truncate_middle(error, ERROR_LENGTH)));
    format!("{}  {}  {from}{to}{backlog}{}\n", change.time, change.server, error.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(server: &str, state: &str, reason: &str) -> PeerDetails {
        let reason = if reason.is_empty() { String::new() } else { format!(r#","reason":"{reason}""#) };
        let text = format!(r#"{{"server":"{server}","state":"{state}"{reason},"backlog":3,"last_error":"no route"}}"#);
        serde_json::from_str(&text).expect("a peer")
    }

    fn lines(watch: &mut PeerWatch, peers: Vec<PeerDetails>) -> Vec<String> {
        watch.look(peers, false, "T").iter().map(line).collect()
    }

    #[test]
    fn watch_prints_only_changes() {
        let mut watch = PeerWatch::default();
        let first = lines(&mut watch, vec![peer("blue", "backing_off", ""), peer("green", "idle", "")]);
        assert_eq!(first, ["T  blue  backing off, 3 items wait: no route\n"]);
        assert!(lines(&mut watch, vec![peer("blue", "backing_off", ""), peer("green", "idle", "")]).is_empty());
        let next = lines(&mut watch, vec![peer("blue", "suspended", "admin"), peer("grey", "sending", "")]);
        assert_eq!(
            next,
            [
                "T  blue  backing off -> suspended (admin), 3 items wait: no route\n",
                "T  grey  idle -> sending, 3 items wait: no route\n",
            ]
        );
        assert_eq!(watch.absent(&[peer("grey", "sending", "")]), ["blue"], "it is asked for alone");
        assert_eq!(lines(&mut watch, vec![]), ["T  blue  suspended (admin) -> idle\n", "T  grey  sending -> idle\n"]);
    }

    #[test]
    fn named_peer_is_shown_at_once() {
        let shown = PeerWatch::default().look(vec![peer("blue", "idle", "")], true, "T");
        assert_eq!(line(&shown[0]), "T  blue  idle, 3 items wait\n");
        assert_eq!(shown[0].from, None);
    }
}
