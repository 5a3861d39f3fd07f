//! The values that `fernpost config show` prints, with their places.

use super::*;
use crate::settings::ShownValue;
use crate::settings::field_names::fields_of;
use crate::settings::sections::peer::PeerSection;

/// Returns the value and the place of a key.
fn shown<'a>(values: &'a [ShownValue], key: &str) -> (String, &'a str) {
    let found = values.iter().find(|value| value.key == key).unwrap_or_else(|| panic!("{key} is not there"));
    (found.value.to_string(), &found.from)
}

fn sources(folder: &tempfile::TempDir) -> Sources {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    Sources {
        env: vec![pair("FERNPOST__STORE__GROUP_MAX", "64"), pair("FERNPOST__ADMIN__TOKEN", "sesame")],
        flags: vec![pair("server.drain", "7s")],
        ..Sources::file(folder.path().join("red.toml"))
    }
}

fn files() -> tempfile::TempDir {
    folder(&[
        (
            "red.toml",
            "[server]\nname = \"red\"\n[messenger]\ntoken = \"a-secret-word\"\n[network]\nallow = [\"10.0.0.0/8\"]\n\
             [peers.default]\nrate = 5\n[peers.pattern.\"*.example\"]\nintake_max = 9\n",
        ),
        (
            "conf.d/10-blue.toml",
            "[peers.server.\"blue.example\"]\nprofile = \"synapse-2014\"\naddresses = [\"https://10.0.0.2:1\"]\n\
             allow_from = [\"10.0.0.2/32\"]\nretain = \"1d\"\n",
        ),
    ])
}

#[test]
fn values_name_their_places() {
    let folder = files();
    let values = ShownValue::all(&sources(&folder)).unwrap_or_else(|problems| panic!("{problems}"));
    let of = |key: &str| shown(&values, key);
    assert_eq!(of("server.name"), ("\"red\"".to_owned(), "red.toml, line 2"));
    assert_eq!(of("server.drain"), ("\"7s\"".to_owned(), "--set"));
    assert_eq!(of("store.group_max"), ("64".to_owned(), "FERNPOST__STORE__GROUP_MAX"));
    assert_eq!(of("store.cache"), ("\"32MiB\"".to_owned(), "default"));
    assert_eq!(of("federation.tls.cert"), ("null".to_owned(), "default"));
    assert_eq!(of("network.allow"), ("[\"10.0.0.0/8\"]".to_owned(), "red.toml, line 6"));
    assert_eq!(of("peers.default.rate"), ("5".to_owned(), "red.toml, line 8"));
    assert_eq!(of("peers.pattern.\"*.example\".intake_max"), ("9".to_owned(), "red.toml, line 10"));
    assert_eq!(of("peers.server.\"blue.example\".retain"), ("\"1d\"".to_owned(), "conf.d/10-blue.toml, line 5"));
    assert_eq!(of("messenger.token"), ("\"***\"".to_owned(), "red.toml, line 4"));
    assert_eq!(of("admin.token"), ("\"***\"".to_owned(), "FERNPOST__ADMIN__TOKEN"));
    assert!(!format!("{values:?}").contains("secret-word") && !format!("{values:?}").contains("sesame"));
    let mut keys = BTreeSet::new();
    known(&[], &mut keys);
    let missing = keys.iter().map(|key| key.join(".")).find(|key| !values.iter().any(|value| value.key == *key));
    assert_eq!(missing, None);
}

#[test]
fn peer_values_name_their_origins() {
    let folder = files();
    let values = ShownValue::of_peer(&sources(&folder), &name("blue.example")).expect("valid").expect("listed");
    let of = |key: &str| shown(&values, &format!("peers.server.\"blue.example\".{key}"));
    assert_eq!(of("retain"), ("\"1d\"".to_owned(), "conf.d/10-blue.toml, line 5"));
    assert_eq!(of("intake_max"), ("9".to_owned(), "pattern \"*.example\" (red.toml, line 10)"));
    assert_eq!(of("rate"), ("5".to_owned(), "peers.default (red.toml, line 8)"));
    assert_eq!(of("dialect"), ("\"transactions\"".to_owned(), "profile \"synapse-2014\""));
    assert_eq!(of("jitter"), ("0.2".to_owned(), "default"));
    assert_eq!(values.len(), fields_of::<PeerSection>().len());
    assert_eq!(ShownValue::of_peer(&sources(&folder), &name("green.example")), Ok(None));
}
