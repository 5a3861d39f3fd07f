//! `/admin/v1/status`: the gateway on one screen.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::FixedText;

/// The state of a gateway, and its problems.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusReport {
    /// Name of the server.
    pub server: String,
    /// Version of the program.
    pub version: FixedText,
    /// Time of the start.
    pub started: String,
    /// True: the gateway serves, as `/health/ready` says.
    pub ready: bool,
    /// The listeners.
    pub listeners: Vec<ListenerRow>,
    /// Number of peers in memory, by state; a peer without work is not in memory.
    pub peers: BTreeMap<FixedText, u64>,
    /// Number of items that peers have not acknowledged.
    pub backlog: u64,
    /// Number of events that the messenger has not acknowledged.
    pub unread: u64,
    /// Free bytes of the disk with the store; absent if they are unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_free: Option<u64>,
    /// Free bytes below which intake stops: `store.min_free`.
    pub disk_min_free: u64,
    /// The certificates of the listeners.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateRow>,
    /// The problems; an absent list is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<StatusProblem>,
    /// True: there are more problems of peers than are listed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more_problems: bool,
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListenerRow {
    /// `federation`, `messenger` or `admin`.
    pub name: FixedText,
    /// Its address and port, or the path of its socket.
    pub address: String,
    /// True: it serves TLS.
    pub tls: bool,
}

/// A certificate of a listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateRow {
    /// Configuration key of the certificate, such as `federation.tls`.
    pub subject: FixedText,
    /// End of its validity.
    pub ends: String,
    /// Whole days until then; negative: it has ended.
    pub days: i64,
}

/// A problem, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusProblem {
    /// The part that has the problem, such as `store`, `certificate` or the name of a peer.
    pub what: String,
    /// The problem, for people.
    pub why: String,
    /// The next step, for people.
    pub fix: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::golden::assert_round_trip;

    #[test]
    fn status_report_round_trips() {
        let report = assert_round_trip::<StatusReport>(&[
            concat!(
                r#"{"server":"red","version":"0.1.0","started":"2026-12-01T00:00:00.000Z","ready":true,"#,
                r#""listeners":[{"name":"admin","address":"127.0.0.1:9882","tls":false}],"peers":{"idle":2},"#,
                r#""backlog":0,"unread":0,"disk_min_free":1}"#
            ),
            concat!(
                r#"{"server":"red","version":"0.1.0","started":"2026-12-01T00:00:00.000Z","ready":false,"listeners":[],"#,
                r#""peers":{},"backlog":7,"unread":1,"disk_free":9,"disk_min_free":10,"#,
                r#""certificates":[{"subject":"admin.tls","ends":"2026-12-02T00:00:00.000Z","days":1}],"#,
                r#""problems":[{"what":"disk","why":"full","fix":"free it"}],"more_problems":true}"#
            ),
        ]);
        assert_eq!((report.problems.len(), report.more_problems, report.peers.len()), (1, true, 0));
    }
}
