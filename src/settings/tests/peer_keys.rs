//! Public keys of peers in the configuration.

use actors::limits::RelayPolicy;
use actors::model::GroupId;

use super::*;

#[test]
fn signature_peer_needs_sound_keys() {
    const KEY: &str = "1:JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=";
    let text = |keys: &str| {
        let section = "[peers.server.\"blue.example\"]\naddresses = [\"http://127.0.0.1:1\"]\nauth = \"signature\"\n";
        format!("{section}keys = [{keys}]\n")
    };
    let peers = good(&text(&format!("\"{KEY}\", \"next:6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw\""))).peers;
    let keys = peers.signature_keys(&"blue.example".parse().expect("a name")).expect("it signs");
    assert_eq!(keys.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["1", "next"]);
    assert!(!peers.knows("127.0.0.1".parse().expect("an address")), "no address proves it");
    for (keys, why) in [
        (String::new(), "fetched, which is done by https:// alone, and all `addresses` are http://"),
        (format!("\"{KEY}\", \"{KEY}\""), "the key id 1 is there twice"),
        ("\"JrQLj5P\"".to_owned(), "a key is written as \"KEY_ID:BASE64\""),
        ("\"a/b:JrQL\"".to_owned(), "a key id has 1 to 64 characters"),
        ("\"1:JrQL\"".to_owned(), "the key has 3 bytes; an Ed25519 key has 32"),
        ("\"1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"".to_owned(), "the key is of small order"),
    ] {
        let lines = wrong(&text(&keys));
        assert!(lines[0].contains("keys` in configuration") && lines[0].contains(why), "{lines:?}");
    }
}

/// Without pinned keys those of the key directory count, which one address with TLS is enough for.
#[test]
fn signature_peer_may_have_directory_alone() {
    let text =
        |addresses: &str| format!("[peers.server.\"blue.example\"]\naddresses = [{addresses}]\nauth = \"signature\"\n");
    for addresses in ["", "\"https://127.0.0.1:1\"", "\"http://127.0.0.1:1\", \"https://127.0.0.1:2\""] {
        let settings = good(&text(addresses));
        let keys = settings.peers.signature_keys(&name("blue.example"));
        assert!(keys.is_some_and(|keys| keys.is_empty()), "{addresses}");
    }
    let insecure = wrong(&format!("{}insecure = true\n", text("\"http://10.0.0.1:1\"")));
    assert!(insecure[0].contains("keys` in") && insecure[0].contains("`addresses`"), "{insecure:?}");
    let zero = wrong("network.keys_retry = \"0s\"\n");
    assert!(zero[0].contains("network.keys_retry"), "{zero:?}");
}

#[test]
fn key_is_that_of_one_server() {
    let key = "keys = [\"1:JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs\"]\n";
    let peer = |name: &str, more: &str| {
        let link = "addresses = [\"http://127.0.0.1:1\"]\nauth = \"signature\"\n";
        format!("[peers.server.\"{name}\"]\n{link}{more}")
    };
    let twice = wrong(&format!("{}{}", peer("blue.example", key), peer("red.test", key)));
    assert!(twice[0].contains("one of these keys is also that of"), "{twice:?}");
    let everywhere = wrong(&format!("[peers.default]\n{key}{}", peer("blue.example", "")));
    assert!(everywhere[0].contains("a key is that of one server"), "{everywhere:?}");
    let old = wrong(&peer("blue.example", &format!("profile = \"synapse-2014\"\n{key}")));
    assert!(old[0].contains("signs nothing"), "{old:?}");
}

#[test]
fn ranges_of_signing_peer_are_noted() {
    let text = "[peers.server.\"blue.example\"]\naddresses = [\"http://127.0.0.1:1\"]\nauth = \"signature\"\n\
                keys = [\"1:JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs\"]\n";
    assert!(good(text).notes.is_empty());
    let notes = good(&format!("{text}allow_from = [\"10.0.0.1/32\"]\n")).notes;
    assert!(notes.len() == 1 && notes[0].contains("allow_from` in") && notes[0].contains("no effect"), "{notes:?}");
}

#[test]
fn certificate_peer_has_pins_or_chain() {
    let section = |more: &str| {
        let address = "addresses = [\"http://127.0.0.1:1\"]";
        format!("[peers.server.\"blue.example\"]\n{address}\nauth = \"mtls\"\n{more}\n")
    };
    let pins = |more: &str| good(&section(more)).peers.certificate_pins(&name("blue.example")).expect("by certificate");
    assert!(pins("").is_empty());
    let pin = format!("sha256:{}", "ab".repeat(32));
    assert_eq!(pins(&format!("fingerprints = [\"{pin}\"]")).len(), 1);
    assert_eq!(good(&section("")).peers.certified_at("blue.example"), [name("blue.example")]);
    for bad in ["sha256:ab", "sha1:00", ""] {
        assert!(wrong(&section(&format!("fingerprints = [\"{bad}\"]")))[0].contains("64 hex digits"), "{bad}");
    }
    let everywhere = format!("[peers.default]\nfingerprints = [\"{pin}\"]\n{}", section(""));
    assert!(wrong(&everywhere)[0].contains("a fingerprint is that of one server"));
}

/// Keys verify what a peer has signed, whatever proves its requests.
#[test]
fn network_peer_may_have_keys() {
    let text = peer("blue.example", "10.0.0.1/32", "keys = [\"1:JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs\"]");
    let settings = good(&format!("{text}{}", peer("black.example", "10.0.0.2/32", "")));
    let (blue, black) = (name("blue.example"), name("black.example"));
    assert_eq!(settings.peers.origin_keys(&blue).map(|keys| keys.len()), Some(1));
    assert!(settings.peers.signature_keys(&blue).is_none() && settings.peers.origin_keys(&black).is_none());
    let denied = good(&format!("federation.deny = [\"blue.*\"]\n{text}"));
    assert!(denied.peers.origin_keys(&blue).is_none(), "what a denied server says is not accepted from anybody");
    let bad = wrong(&peer("blue.example", "10.0.0.1/32", "keys = [\"1:JrQL\"]"));
    assert!(bad[0].contains("the key has 3 bytes"), "{bad:?}");
}

#[test]
fn unproved_relaying_needs_old_profile() {
    let policy = |more: &str| {
        let peers = good(&peer("blue.example", "10.0.0.1/32", more)).peers;
        peers.limits(&name("blue.example")).expect("listed").accept_relayed
    };
    assert_eq!(policy(""), RelayPolicy::Signed);
    assert_eq!(policy("accept_relayed = \"none\""), RelayPolicy::None);
    assert_eq!(policy("profile = \"synapse-2014\""), RelayPolicy::Any);
    assert_eq!(policy("profile = \"synapse-2014\"\naccept_relayed = \"signed\""), RelayPolicy::Signed);
    let trusting = "accept_relayed = \"any\"";
    for text in [peer("blue.example", "10.0.0.1/32", trusting), format!("[peers.default]\n{trusting}\n")] {
        let problems = wrong(&text);
        assert!(problems[0].contains("accept_relayed") && problems[0].contains("`profile`"), "{problems:?}");
    }
}

#[test]
fn groups_of_peer_become_contexts() {
    let peer = |more: &str| {
        let link = "addresses = [\"http://127.0.0.1:1\"]\nauth = \"network\"\nallow_from = [\"127.0.0.1/32\"]\n";
        format!("[peers.server.\"gold.example\"]\n{link}{more}")
    };
    let groups =
        |groups: &str| peer(&format!("profile = \"actor-2016\"\n[peers.server.\"gold.example\".groups]\n{groups}\n"));
    let peers = good(&groups("11223344 = \"#garden\"\n-7 = \"#park\"")).peers;
    let gold = name("gold.example");
    let limits = peers.limits(&gold).expect("listed");
    let garden = "#garden".parse().expect("a context");
    assert_eq!(limits.groups.context(GroupId(11_223_344)), Some(&garden));
    assert_eq!(peers.contexts().groups.of_context(&garden), [(gold, GroupId(11_223_344))]);
    assert_eq!(peers.contexts().groups.of_context(&"#park".parse().expect("a context")).len(), 1);
    for (text, why) in [
        (groups("seven = \"#garden\""), "\"seven\" is no id of a group"),
        (groups("7 = \"\""), "is no context"),
        (groups("7 = \"#garden\"\n8 = \"#garden\""), "two groups are mapped to \"#garden\""),
        (peer("dialect = \"transactions\"\ngroups = { 7 = \"#garden\" }\n"), "has contexts and no groups"),
        (format!("[peers.default]\ngroups = {{ 7 = \"#garden\" }}\n{}", peer("")), "a group is that of one server"),
        ("contexts.group_type = \"\"\n".to_owned(), "a type is a text of 1 to 255 bytes"),
    ] {
        let lines = wrong(&text);
        assert!(lines.iter().any(|line| line.contains(why)), "{why}: {lines:?}");
    }
}

#[test]
fn routes_lead_through_listed_peers() {
    let text = |route: &str, profile: &str| {
        let link = "addresses = [\"http://127.0.0.1:1\"]\nauth = \"network\"\nallow_from = [\"127.0.0.1/32\"]\n";
        let blue = format!("[peers.server.\"blue.example\"]\n{link}route = [{route}]\n");
        format!("{blue}[peers.server.\"green.example\"]\n{}profile = \"{profile}\"\n", link.replace("0.1", "0.2"))
    };
    let peers = good(&text("\"direct\", \"via:green.example\"", "fernpost")).peers;
    let limits = peers.limits(&name("blue.example")).expect("a peer");
    assert_eq!(limits.relay.vias().map(|via| via.as_str()).collect::<Vec<_>>(), ["green.example"]);
    for (route, profile, why) in [
        ("\"via:grey.example\"", "fernpost", "is no peer"),
        ("\"via:blue.example\"", "fernpost", "is the peer itself"),
        ("\"via:green.example\"", "actor-2016", "has not the profile"),
        ("\"green.example\"", "fernpost", "a way is \"direct\" or \"via:SERVER\""),
        ("", "fernpost", "a route has at least one way"),
    ] {
        let lines = wrong(&text(route, profile));
        assert!(lines[0].contains("route` in configuration") && lines[0].contains(why), "{lines:?}");
    }
}

#[test]
fn relay_allows_listed_ways_alone() {
    let allow = "[relay]\nallow = [\"alpha.example -> *.gamma.example\"]\n";
    let peers = good(allow).peers;
    let allows = |from: &str, to: &str| peers.allows_relay(&name(from), &name(to));
    assert!(allows("alpha.example", "x.gamma.example"));
    assert!(!allows("x.gamma.example", "alpha.example") && !allows("beta.example", "x.gamma.example"));
    let bad = wrong("[relay]\nallow = [\"alpha.example\"]\nheld_max = 0\n");
    assert!(bad.iter().any(|line| line.contains("relay.allow")), "{bad:?}");
    assert!(bad.iter().any(|line| line.contains("relay.held_max")), "{bad:?}");
}
