//! The settings of contexts reach the contexts, within their bounds.

use std::time::Duration;

use actors::limits::SigningMode;
use actors::ports::PeerConfig;

use super::{good, wrong};

#[test]
fn context_settings_reach_contexts() {
    let limits = (*good("").peers.contexts()).clone();
    assert_eq!((limits.state.chain_max, limits.state.enforce_power), (50, true));
    assert_eq!((limits.sign, limits.membership_types), (SigningMode::Relayable, vec!["m.room.member".to_owned()]));
    for (word, mode) in
        [("relayable", SigningMode::Relayable), ("always", SigningMode::Always), ("never", SigningMode::Never)]
    {
        assert_eq!(good(&format!("contexts.sign = \"{word}\"\n")).peers.contexts().sign, mode);
    }
    let text = "contexts.state.chain_max = 3\ncontexts.state.enforce_power = false\ncontexts.membership.types = [\"a\", \"b\"]\n";
    let limits = good(text).peers.contexts();
    assert_eq!((limits.state.chain_max, limits.state.enforce_power), (3, false));
    assert_eq!(limits.membership_types, ["a", "b"]);
    let empty = wrong("contexts.membership.types = [\"\"]\n");
    assert!(empty[0].contains("contexts.membership.types"), "{empty:?}");
}

#[test]
fn history_keep_minimum_is_hour() {
    let keep = |value: &str| format!("contexts.history.keep = {value}\n");
    let kept = |text: &str| good(text).peers.contexts().history.keep;
    assert_eq!((kept(""), kept(&keep("\"forever\""))), (None, None));
    assert_eq!(kept(&keep("\"1h\"")), Some(Duration::from_secs(3_600)));
    assert!(wrong(&keep("\"59m\""))[0].contains("must be \"forever\" or at least \"1h\""));
    assert!(wrong(&keep("365"))[0].contains("365 has no unit; write \"365d\""));
}
