//! A peer's limits as they hold, by the keys of the manual: what an operator reads is what may be written in a file.

use std::collections::BTreeMap;
use std::time::Duration;

use actors::limits::{Numbering, PeerLimits};
use serde_json::Value;

use crate::settings::peer::PeerSettings;
use crate::settings::values::profile::{DialectName, PeerProfile};

impl DialectName {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Updates => "updates",
            Self::Transactions => "transactions",
        }
    }
}

impl PeerProfile {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fernpost => "fernpost",
            Self::Actor2016 => "actor-2016",
            Self::Synapse2014 => "synapse-2014",
        }
    }
}

impl PeerSettings {
    /// Every limit of the peer, by its key; one that is not set is left out.
    pub fn effective_limits(&self) -> BTreeMap<&'static str, Value> {
        let limits: &PeerLimits = &self.limits;
        let numbering = match limits.numbering {
            Numbering::Auto => "auto",
            Numbering::Updates => "updates",
            Numbering::Pushes => "pushes",
        };
        let mut shown = BTreeMap::from([
            ("intake_max", limits.intake_max.into()),
            // As it is written in the configuration: 0 is no bound.
            ("intake_items", if limits.intake_items == u32::MAX { 0 } else { limits.intake_items }.into()),
            ("batch_items", limits.batch_items.into()),
            ("batch_bytes", size(limits.batch_bytes)),
            ("outbox_items", limits.outbox_items.into()),
            ("outbox_bytes", size(limits.outbox_bytes)),
            ("keep", span(limits.keep)),
            ("notify_after", span(limits.notify_after)),
            ("renumber_max", limits.renumber_max.into()),
            ("retain", span(limits.retain)),
            ("retain_items", limits.retain_items.into()),
            ("wait_max", span(limits.wait_max)),
            ("backoff_min", span(limits.backoff.min)),
            ("backoff_max", span(limits.backoff.max)),
            ("jitter", limits.backoff.jitter.into()),
            ("failures_to_suspend", limits.failures_to_suspend.into()),
            ("probe_every", span(limits.probe_every)),
            ("connect_timeout", span(limits.deadlines.connect)),
            ("request_timeout", span(limits.deadlines.total)),
            ("restarts_max", limits.restarts.max.into()),
            ("restarts_period", span(limits.restarts.period)),
            ("quarantine_items", limits.quarantine_items.into()),
            ("attempts_keep", limits.attempts_keep.into()),
            ("weak_items", limits.weak_items.into()),
            ("weak_ttl", span(limits.weak_ttl)),
            ("fetch_items", limits.fetch.items.into()),
            ("fetch_bytes", size(limits.fetch.bytes)),
            ("fetch_seconds", span(limits.fetch.seconds)),
            ("paused", limits.paused.into()),
            ("numbering", numbering.into()),
            ("rate", limits.rate.into()),
            ("hold_max", span(limits.hold_max)),
        ]);
        if let Some(number) = limits.expect_seq {
            shown.insert("expect_seq", number.0.into());
        }
        shown
    }
}

/// A duration in the largest unit of which it is a whole number.
fn span(span: Duration) -> Value {
    const UNITS: [(&str, u128); 5] = [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
    ];
    let nanos = span.as_nanos();
    let unit = UNITS.iter().find(|(_, unit)| nanos > 0 && nanos.is_multiple_of(*unit));
    match unit {
        Some((name, unit)) => format!("{}{name}", nanos / unit).into(),
        None if nanos == 0 => "0s".into(),
        None => humantime::format_duration(span).to_string().into(),
    }
}

/// A number of bytes in the largest unit of which it is a whole number.
fn size(bytes: u64) -> Value {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = UNITS.iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit)).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::field_names::fields_of;
    use crate::settings::sections::peer::PeerSection;
    use crate::settings::{Settings, Sources};

    const LISTED: &str = "server.name = \"red\"\n[peers.server.blue]\naddresses = [\"http://127.0.0.1:1\"]\nauth = \"network\"\n\
                          allow_from = [\"127.0.0.0/8\"]\n";

    fn blue(more: &str) -> PeerSettings {
        let sources = Sources::text(format!("{LISTED}{more}"), "/etc/fernpost");
        let settings = Settings::load(&sources).unwrap_or_else(|problems| panic!("{problems}"));
        (*settings.peers.peer(&"blue".parse().expect("a name")).expect("listed")).clone()
    }

    /// Returns the limits as they would be written in a file.
    fn written(peer: &PeerSettings) -> String {
        peer.effective_limits().iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
    }

    #[test]
    fn effective_limits_round_trip() {
        let odd = "batch_bytes = \"1500B\"\nkeep = \"36h\"\nwait_max = \"90s\"\nbackoff_min = \"1500ms\"\nconnect_timeout = \"1500us\"\n\
                   jitter = 0.25\nexpect_seq = 7\nnumbering = \"pushes\"\npaused = true\nrate = 9\n";
        for more in ["", odd] {
            let peer = blue(more);
            assert_eq!(blue(&written(&peer)).limits, peer.limits, "{}", written(&peer));
        }
        let shown = written(&blue(odd));
        for line in ["batch_bytes = \"1500B\"", "keep = \"36h\"", "wait_max = \"90s\"", "outbox_bytes = \"1GiB\""] {
            assert!(shown.contains(line), "{line}: {shown}");
        }
    }

    #[test]
    fn effective_limits_name_every_key() {
        let link = ["profile", "dialect", "addresses", "auth", "allow_from", "insecure"];
        let shown = blue("expect_seq = 1\n").effective_limits();
        let keys = fields_of::<PeerSection>();
        let missing: Vec<_> = keys.iter().filter(|key| !shown.contains_key(**key) && !link.contains(*key)).collect();
        assert_eq!((missing, shown.len() + link.len()), (vec![], keys.len()));
    }
}
