//! The effective limits of a peer, by the keys of the manual: what an operator reads may be written in a file.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::settings::peer::PeerSettings;
use crate::settings::sections::peer::written_limits;
use crate::settings::values::profile::PeerProfile;

impl PeerProfile {
    /// Returns the name of the profile as it is written in a configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fernpost => "fernpost",
            Self::Actor2016 => "actor-2016",
            Self::Synapse2014 => "synapse-2014",
        }
    }
}

impl PeerSettings {
    /// Returns every limit of the peer by its key, except those that are not set.
    pub fn effective_limits(&self) -> BTreeMap<&'static str, Value> {
        written_limits(&self.limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::field_names::fields_of;
    use crate::settings::resolve::LINK_KEYS;
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
        let shown = blue("expect_seq = 1\n").effective_limits();
        let keys = fields_of::<PeerSection>();
        let missing: Vec<_> =
            keys.iter().filter(|key| !shown.contains_key(**key) && !LINK_KEYS.contains(*key)).collect();
        assert_eq!((missing, shown.len() + LINK_KEYS.len()), (vec![], keys.len()));
    }
}
