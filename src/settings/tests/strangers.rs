//! The open mode: who is a stranger, and which limits it has.

use actors::limits::{PeerListing, RelayPolicy};
use actors::model::DialectSpec;

use super::*;

const OPEN: &str = "federation.mode = \"open\"\nfederation.deny = [\"*.Bad.example\"]\n";

#[test]
fn stranger_is_whoever_is_not_configured() {
    let listed = peer("blue.example", "10.0.0.1/32", "") + &peer("x.bad.example", "10.0.0.2/32", "");
    let peers = good(&format!("{OPEN}{listed}")).peers;
    assert!(peers.is_open_to(&name("green.example")) && peers.is_open_to(&name("y.bad.example")));
    for known in ["blue.example", "x.bad.example", "red.example"] {
        assert!(!peers.is_open_to(&name(known)), "{known}");
    }
    assert!(peers.stranger_limits(&name("y.BAD.example"), DialectSpec::UPDATES).is_none(), "it is denied");
    let closed = good(&listed).peers;
    assert!(!closed.is_open_to(&name("green.example")));
    assert!(closed.stranger_limits(&name("green.example"), DialectSpec::UPDATES).is_none());
}

#[test]
fn stranger_has_default_and_pattern_limits() {
    let text = format!(
        "{OPEN}federation.strangers.rate = 40\n[peers.default]\nbatch_items = 7\nprofile = \"synapse-2014\"\n\
         [peers.pattern.\"*.fast.example\"]\nbatch_items = 9\nrate = 60\n[peers.pattern.\"slow.*\"]\nrate = 5\n"
    );
    let settings = good(&text);
    assert!(settings.notes.is_empty(), "{:?}", settings.notes);
    let limits = |server: &str, dialect| settings.peers.stranger_limits(&name(server), dialect).expect("a stranger");
    let usual = limits("green.example", DialectSpec::TRANSACTIONS);
    assert_eq!((usual.batch_items, usual.rate, usual.listing), (7, 40, PeerListing::Stranger));
    assert_eq!((usual.dialect, usual.accept_relayed), (DialectSpec::TRANSACTIONS, RelayPolicy::Signed));
    assert!(usual.honours_to && !usual.never_refuse, "its profile is that of Fernpost");
    let fast = limits("a.fast.example", DialectSpec::UPDATES);
    assert_eq!((fast.batch_items, fast.rate), (9, 40));
    let both = limits("slow.fast.example", DialectSpec::UPDATES);
    assert_eq!((both.batch_items, both.rate, both.dialect), (9, 5, DialectSpec::UPDATES));
}

#[test]
fn bounds_on_strangers_are_checked() {
    for key in ["resident_max", "rows_max", "rate", "rate_per_address", "proofs_per_second"] {
        let problems = wrong(&format!("federation.strangers.{key} = 0\n"));
        assert!(problems[0].contains(&format!("federation.strangers.{key}")), "{problems:?}");
    }
    let pattern = format!("{OPEN}[peers.pattern.\"x.*\"]\nbatch_items = 0\n");
    assert!(wrong(&pattern)[0].contains("batch_items"), "also where no listed peer matches");
}
