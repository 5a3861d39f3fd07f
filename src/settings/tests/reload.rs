//! Reloadable keys, and the keys in which two configurations differ.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::settings::check::written;
use crate::settings::{LoadedSettings, SettingsDiff};

/// A configuration in which every key can be changed by itself.
const BASE: &str = "federation.tls = { cert = \"a\", key = \"b\" }\nfederation.acme.agree_terms = true\nmessenger.tls = { cert = \"a\", key = \"b\" }\n\
                    messenger.push.url = \"http://127.0.0.1:7000\"\nadmin.tls = { cert = \"a\", key = \"b\" }\n\
                    store.backup.folder = \"a\"\n\
                    [peers.default]\nauth = \"network\"\nallow_from = [\"127.0.0.0/8\"]\n[peers.server.blue]\n\
                    [peers.server.green]\nallow_from = [\"10.0.0.1/32\"]\n";

/// Other values of keys whose default is no number with a unit.
const OTHERS: &[(&str, &str)] = &[
    ("server.name", "blue2"),
    ("server.data_dir", "other"),
    ("federation.listen", "127.0.0.1:9890"),
    ("federation.deny", "*.bad.example"),
    ("federation.mode", "open"),
    ("federation.json_depth", "64"),
    ("federation.trusted_proxies", "10.0.0.0/8"),
    ("federation.client_cert_header", "X-Client-Cert"),
    ("federation.tls.cert", "c"),
    ("federation.tls.key", "c"),
    ("federation.tls.client_ca", "c"),
    ("federation.acme.challenge", "http-01"),
    ("federation.acme.directory", "https://acme.example/directory"),
    ("federation.acme.agree_terms", "false"),
    ("federation.acme.contact", "mailto:ops@red.example"),
    ("federation.acme.names", "red.example"),
    ("federation.acme.http_listen", "127.0.0.1:8080"),
    ("federation.acme.dns_hook", "c"),
    ("federation.acme.roots", "c"),
    ("messenger.listen", "127.0.0.1:9891"),
    ("messenger.listen_mode", "0600"),
    ("messenger.tls.cert", "c"),
    ("messenger.tls.key", "c"),
    ("messenger.token", "sesame"),
    ("messenger.push.url", "http://127.0.0.1:7001"),
    ("messenger.push.secret", "another long secret of the messenger"),
    ("messenger.push.ca", "c"),
    ("peers.default.encoding", "protobuf"),
    ("peers.default.groups", "{ 11223344 = \"#garden\" }"),
    ("admin.listen", "127.0.0.1:9892"),
    ("admin.listen_mode", "0600"),
    ("admin.tls.cert", "c"),
    ("admin.tls.key", "c"),
    ("admin.token", "sesame"),
    ("admin.tokens", "[{ name = \"desk\", role = \"operate\", token = \"sesame\" }]"),
    ("log.format", "json"),
    ("log.level", "debug"),
    ("log.deliveries", "stderr"),
    ("log.deliveries_file", "c"),
    ("store.backup.folder", "c"),
    ("feed.low_water", "9"),
    ("feed.ends", "typing"),
    ("contexts.admission", "open"),
    ("contexts.sign", "always"),
    ("contexts.merge_type", "x"),
    ("contexts.group_type", "x"),
    ("contexts.history.keep", "2h"),
    ("contexts.membership.types", "x"),
    ("contexts.verify.at", "04:30"),
    ("network.allow", "10.0.0.0/8"),
    ("network.resolvers", "127.0.0.1:53"),
    ("network.roots", "c"),
    ("peers.default.expect_seq", "7"),
    ("peers.default.numbering", "pushes"),
    ("peers.default.accept_relayed", "none"),
    ("peers.default.profile", "actor-2016"),
    ("peers.default.dialect", "transactions"),
    ("peers.default.addresses", "https://10.0.0.2:9880"),
    ("peers.default.auth", "mtls"),
    ("peers.default.allow_from", "10.0.0.0/8"),
    ("peers.default.keys", "1:6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw="),
    ("peers.default.route", "via:green"),
    ("relay.allow", "red -> blue.example"),
    ("otlp.ratio", "0.5"),
    ("peers.default.fingerprints", "sha256:0000000000000000000000000000000000000000000000000000000000000000"),
];

/// Keys that have one value only, or need a file or a feature.
const FIXED: &[&str] =
    &["store.backend", "messenger.token_file", "messenger.push.secret_file", "admin.token_file", "otlp.endpoint"];

/// Returns a value beside the default: twice a number, with its unit.
fn other(key: &str, default: Option<&toml::Value>) -> String {
    if let Some((_, other)) = OTHERS.iter().find(|(of, _)| *of == key) {
        return (*other).to_owned();
    }
    match default.unwrap_or_else(|| panic!("{key} needs another value in this test")) {
        toml::Value::Boolean(yes) => (!yes).to_string(),
        toml::Value::Integer(0) => "9".to_owned(),
        toml::Value::Integer(number) => (number * 2).to_string(),
        toml::Value::Float(number) => (number * 2.0).to_string(),
        toml::Value::String(text) => {
            let digits = text.find(|c: char| !c.is_ascii_digit()).expect("a unit");
            let number: u64 =
                text[..digits].parse().unwrap_or_else(|_| panic!("{key} needs another value in this test"));
            format!("{}{}", number * 2, &text[digits..])
        }
        other => panic!("{key} needs another value than {other:?} in this test"),
    }
}

fn read(text: &str, flags: &[(&str, &str)]) -> LoadedSettings {
    let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let sources = Sources { flags, ..Sources::text(format!("server.name = \"red\"\n{text}"), "/etc/fernpost") };
    LoadedSettings::read(&sources).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn reload_adopts_exactly_reloadable_keys() {
    let defaults: toml::Table = toml::from_str(Settings::defaults_toml()).expect("the manual is TOML");
    let base = read(BASE, &[]);
    let mut keys = BTreeSet::new();
    known(&[], &mut keys);
    let keys: BTreeMap<String, Vec<String>> = keys.into_iter().map(|path| (written(&path), path)).collect();
    for (key, path) in keys.iter().filter(|(key, _)| !FIXED.contains(&key.as_str())) {
        let (first, rest) = path.split_first().expect("a key");
        let default = rest.iter().try_fold(&defaults[first], |at, segment| at.get(segment));
        let value = other(key, default);
        // Keys of a peer are set for a server, because some belong there alone.
        let at = key.replace("peers.default.", "peers.server.blue.");
        let changed = read(BASE, &[(&at, &value)]);
        let diff = base.diff(&changed);
        let adopted = Settings { notes: vec![], ..base.adopting(&changed).settings };
        let told = |settings: &Settings| Settings { notes: vec![], ..settings.clone() };
        let told_key = at.replace("peers.server.blue.", "peers.server.\"blue\".");
        if is_reloadable(path) {
            assert_eq!(diff, SettingsDiff { changed: vec![told_key], restart: vec![] });
            assert!(changed.settings != base.settings, "{at} = {value} changes nothing");
            assert!(adopted == told(&changed.settings), "{at} is not adopted");
        } else {
            assert_eq!(diff, SettingsDiff { changed: vec![], restart: vec![told_key] });
            assert!(adopted == told(&base.settings), "{at} is adopted");
        }
    }
}

#[test]
fn difference_names_keys_by_meaning() {
    let text = "feed.retain = \"60m\"\n[peers.default]\nrate = 5\n[peers.pattern.\"a*\"]\nrate = 1\n[peers.pattern.\"b*\"]\n\
                rate = 2\n[peers.server.\"ab.example\"]\nauth = \"mtls\"\n";
    let diff = |other: &str| {
        let SettingsDiff { changed, restart } = read(text, &[]).diff(&read(other, &[]));
        [changed, restart].concat()
    };
    assert!(diff(text).is_empty());
    assert!(diff(&text.replace("\"60m\"", "\"1h\"")).is_empty(), "the same time");
    assert!(diff(&format!("network.answer_max = \"1MiB\"\n{text}")).is_empty(), "the default");
    assert_eq!(diff(&text.replace("rate = 5\n", "")), ["peers.default.rate"]);
    assert_eq!(diff(&format!("{text}rate = 0\n")), ["peers.server.\"ab.example\".rate"], "it inherits another one");
    assert_eq!(diff(&text.replace("ab.", "bb.")), ["peers.server.\"ab.example\"", "peers.server.\"bb.example\""]);
    let swapped =
        text.replace("\"a*\"]\nrate = 1", "\"x\"]\nrate = 2").replace("\"b*\"]\nrate = 2", "\"a*\"]\nrate = 1");
    assert_eq!(diff(&swapped.replace("\"x\"", "\"b*\"")), ["peers.pattern"], "the later one wins");
}

#[test]
fn restart_keys_stay_listed_until_restart() {
    let base = read("", &[]);
    let changed = read("store.cache = \"64MiB\"\ncontexts.idle = \"1m\"\n", &[]);
    let used = base.adopting(&changed);
    assert_eq!(used.diff(&changed), SettingsDiff { changed: vec![], restart: vec!["store.cache".to_owned()] });
    assert_eq!(used.diff(&base), SettingsDiff { changed: vec!["contexts.idle".to_owned()], restart: vec![] });
}

#[test]
fn changed_token_file_needs_restart() {
    let folder = folder(&[("token", "sesame-1")]);
    let read = || {
        let text = "server.name = \"red\"\nadmin.token_file = \"token\"\n";
        LoadedSettings::read(&Sources::text(text, folder.path())).unwrap_or_else(|problems| panic!("{problems}"))
    };
    let base = read();
    std::fs::write(folder.path().join("token"), "sesame-2").expect("written");
    assert_eq!(base.diff(&read()).restart, ["admin.token_file"]);
    assert!(!format!("{:?}", base.written).contains("sesame"));
}
