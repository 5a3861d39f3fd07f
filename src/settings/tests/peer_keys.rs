//! Public keys of peers in the configuration.

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
        (String::new(), "auth = \"signature\" requires it, because this version does not fetch keys"),
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
