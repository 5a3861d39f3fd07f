//! `/v1/peers` and `/admin/v1/peers`: the status of peers, and the body of the commands that set a number.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FixedText;

/// All peers, in the order of the configuration.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PeerList {
    /// The peers, without their configuration.
    pub peers: Vec<PeerDetails>,
}

/// The status of a peer. Commands for a peer answer with it, too.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PeerDetails {
    /// Name of the peer.
    pub server: String,
    /// `idle`, `sending`, `waiting`, `backing_off` or `suspended`.
    pub state: FixedText,
    /// The cause of a suspension, such as `admin` or `unreachable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<FixedText>,
    /// Time of the change to this state.
    #[serde(default)]
    pub since: String,
    /// Number of items that the peer has not acknowledged.
    #[serde(default)]
    pub backlog: u64,
    /// Bytes of these items.
    #[serde(default)]
    pub backlog_bytes: u64,
    /// Time at which the oldest of these items was queued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_unacknowledged: Option<String>,
    /// Time of the next attempt, if one is planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<String>,
    /// Time at which the peer last accepted a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<String>,
    /// Number of our first item that the peer has not acknowledged, or of the next one queued; absent in the transactions dialect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_seq: Option<u64>,
    /// Number of failed attempts in a row.
    #[serde(default)]
    pub failures: u64,
    /// The error of the last failed attempt, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The code of that error, such as `CONNECT_REFUSED` or `HTTP_503`; absent for an error that has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_code: Option<String>,
    /// Number that the peer's next update is expected to have, from 1 on.
    #[serde(default)]
    pub expected_seq: u64,
    /// Its clock less ours, in milliseconds, as it was measured last; absent in lists, and if it is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_skew_ms: Option<i64>,
    /// Configuration of the peer; absent in lists, and for a peer that the configuration does not name.
    #[serde(flatten)]
    pub configured: Option<PeerConfiguration>,
}

/// Link to a peer, and its limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PeerConfiguration {
    /// `updates` or `transactions`.
    pub dialect: FixedText,
    /// Profile that sets the defaults, such as `fernpost`.
    pub profile: FixedText,
    /// URLs of the peer.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Each limit by its configuration key; durations and sizes are texts with their unit, such as `30d` and `1MiB`.
    #[serde(default)]
    pub limits: BTreeMap<String, serde_json::Value>,
    /// The place that each limit, and each key of the link, comes from: `default`, `profile "NAME"`, `peers.default`,
    /// `pattern "PATTERN"`, or the section of the peer; each with its file and line, if it is in a file. For operators only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub origins: BTreeMap<String, String>,
}

/// The rest that a drain of a peer waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeerDrain {
    /// Name of the peer.
    pub server: String,
    /// `idle`, `sending`, `waiting`, `backing_off` or `suspended`.
    pub state: FixedText,
    /// The cause of a suspension, such as `admin` or `unreachable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<FixedText>,
    /// Number of items that wait for the peer and went nowhere yet.
    pub queued: u64,
    /// Number of items that went through a third server, and that the peer has not acknowledged.
    pub relayed: u64,
    /// Number of submissions that the peer has, and for which a receipt of its messenger was asked; at most 10,000 are counted.
    pub receipts_awaited: u64,
    /// True if all three are 0.
    pub drained: bool,
}

/// The body of `expect` and `renumber`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RenumberRequest {
    /// The number to set, from 1 on.
    pub seq: u64,
    /// True: a number far above the number in use is meant.
    #[serde(default)]
    pub yes: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::golden::assert_round_trip;

    const IDLE: &str = concat!(
        r#"{"server":"blue","state":"idle","since":"1970-01-01T00:00:01.000Z","backlog":0,"backlog_bytes":0,"#,
        r#""next_seq":4,"failures":0,"expected_seq":8}"#
    );
    const SUSPENDED: &str = concat!(
        r#"{"server":"blue","state":"suspended","reason":"unreachable","since":"1970-01-01T00:00:01.000Z","#,
        r#""backlog":2,"backlog_bytes":642,"oldest_unacknowledged":"1970-01-01T00:00:00.500Z","#,
        r#""next_attempt":"1970-01-01T00:00:09.000Z","last_success":"1970-01-01T00:00:00.900Z","next_seq":4,"#,
        r#""failures":20,"last_error":"no route","last_code":"CONNECT_REFUSED","expected_seq":8}"#
    );

    #[test]
    fn peer_details_round_trip() {
        let suspended = assert_round_trip::<PeerDetails>(&[IDLE, SUSPENDED]);
        assert_eq!((suspended.reason.as_deref(), suspended.configured), (Some("unreachable"), None));
        let configured = IDLE.replace(
            r#""expected_seq":8}"#,
            concat!(
                r#""expected_seq":8,"dialect":"updates","profile":"fernpost","addresses":["http://127.0.0.1:9880"],"#,
                r#""limits":{"batch_items":1000,"jitter":0.2,"keep":"30d","paused":false},"#,
                r#""origins":{"batch_items":"default","keep":"fernpost.toml, line 9"}}"#
            ),
        );
        let peer = assert_round_trip::<PeerDetails>(&[&configured]).configured.expect("a configuration");
        assert_eq!((&*peer.dialect, peer.limits.len()), ("updates", 4));
        let ahead = IDLE.replace("\"expected_seq\":8", "\"expected_seq\":8,\"clock_skew_ms\":-1500");
        assert_eq!(assert_round_trip::<PeerDetails>(&[&ahead]).clock_skew_ms, Some(-1500));
        let list = assert_round_trip::<PeerList>(&[&format!(r#"{{"peers":[{IDLE},{SUSPENDED}]}}"#)]);
        assert_eq!(list.peers.len(), 2);
    }

    #[test]
    fn sparse_peer_can_be_read() {
        let text = r#"{"server":"blue","state":"resting","reason":"moon","mood":{"of":"today"}}"#;
        let peer: PeerDetails = serde_json::from_str(text).expect("the rest is optional");
        assert_eq!((&*peer.state, peer.reason.as_deref(), peer.backlog), ("resting", Some("moon"), 0));
        assert_eq!((peer.since.as_str(), peer.configured), ("", None));
    }

    #[test]
    fn peer_drain_round_trips() {
        let last = assert_round_trip::<PeerDrain>(&[
            r#"{"server":"blue","state":"idle","queued":0,"relayed":0,"receipts_awaited":2,"drained":false}"#,
            concat!(
                r#"{"server":"blue","state":"suspended","reason":"admin","queued":3,"relayed":1,"receipts_awaited":0,"#,
                r#""drained":false}"#
            ),
        ]);
        assert_eq!((last.reason.as_deref(), last.queued + last.relayed), (Some("admin"), 4));
    }

    #[test]
    fn renumber_request_round_trips() {
        assert!(assert_round_trip::<RenumberRequest>(&[r#"{"seq":40,"yes":true}"#]).yes);
        let short: RenumberRequest = serde_json::from_str(r#"{"seq":7}"#).expect("a number is enough");
        assert_eq!((short.seq, short.yes), (7, false));
    }
}
