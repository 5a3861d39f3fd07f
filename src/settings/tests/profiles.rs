//! The defaults that a profile sets for the other keys of a peer.

use actors::model::DialectSpec;
use std::time::Duration;

use actors::limits::{InteropQuirks, PairOrder};

use crate::settings::tests::{PeerAuth, PeerProfile, PeerSettings, ValueOrigin, good, name, wrong};

#[test]
fn profile_sets_only_unset_keys() {
    let listed = |more: &str| {
        let text = "[peers.server.green]\naddresses = [\"http://10.0.0.2:8080\"]\nallow_from = [\"10.0.0.2/32\"]\n";
        good(&format!("{text}{more}")).peers.peer(&name("green")).expect("listed")
    };
    let old = listed("profile = \"synapse-2014\"\n");
    assert_eq!(
        (old.link.profile, old.link.dialect, old.link.insecure),
        (PeerProfile::Synapse2014, DialectSpec::TRANSACTIONS, true)
    );
    assert!(matches!(&old.link.auth, PeerAuth::Network { allow_from } if allow_from.len() == 1));
    assert_eq!(
        old.limits.request_timeout,
        Duration::from_secs(75),
        "longer than its own attempts to connect to other servers"
    );
    assert_eq!((old.limits.dialect, old.limits.fetches), (DialectSpec::TRANSACTIONS, true));
    assert_eq!(old.limits.habits, InteropQuirks { pairs: PairOrder::IdFirst, raw_targets: true, protobuf: false });
    assert!(old.limits.never_refuse, "this server discards what is refused for now");
    let origin =
        |peer: &PeerSettings, key| peer.origins.iter().find(|(name, _)| *name == key).map(|(_, origin)| origin.clone());
    assert_eq!(
        (old.limits.intake_items, old.limits.one_a_context),
        (u32::MAX, true),
        "outbound one PDU per context, inbound limited by bytes only"
    );
    for key in ["dialect", "auth", "insecure", "intake_items", "batch_items", "accept_relayed", "request_timeout"] {
        assert_eq!(origin(&old, key), Some(ValueOrigin::Profile), "{key}");
    }
    assert_eq!(origin(&old, "profile"), Some(ValueOrigin::Server));
    assert_eq!(origin(&old, "batch_bytes"), Some(ValueOrigin::Default));

    // A key that is set overrides the profile, in whichever layers the two are.
    let set = listed(
        "dialect = \"updates\"\n[peers.pattern.\"g*\"]\nprofile = \"synapse-2014\"\n[peers.default]\nrequest_timeout = \"12s\"\n",
    );
    assert_eq!((set.link.profile, set.link.dialect), (PeerProfile::Synapse2014, DialectSpec::UPDATES));
    assert_eq!(
        (set.limits.request_timeout, origin(&set, "request_timeout")),
        (Duration::from_secs(12), Some(ValueOrigin::Peers))
    );
    assert_eq!(origin(&set, "insecure"), Some(ValueOrigin::Profile));
    let bounded = listed("profile = \"synapse-2014\"\nintake_items = 7\n");
    assert_eq!(bounded.limits.intake_items, 7);
    let ours = listed("auth = \"network\"\ninsecure = true\n");
    assert_eq!((ours.limits.intake_items, ours.limits.one_a_context), (1000, false));

    let plain = "[peers.server.green]\naddresses = [\"http://10.0.0.2:8080\"]\nallow_from = [\"10.0.0.2/32\"]\n\
                 profile = \"synapse-2014\"\ninsecure = false\n";
    assert!(wrong(plain)[0].contains("is plain HTTP beyond this machine"));
}

#[test]
fn only_fernpost_honours_narrowed_messages() {
    for (profile, honours) in [("fernpost", true), ("actor-2016", false), ("synapse-2014", false)] {
        let text = format!(
            "[peers.server.green]\naddresses = [\"http://127.0.0.1:8080\"]\nallow_from = [\"127.0.0.1/32\"]\nauth = \"network\"\n\
             profile = \"{profile}\"\n"
        );
        let peer = good(&text).peers.peer(&name("green")).expect("listed");
        assert_eq!(peer.limits.honours_to, honours, "{profile}");
    }
}
