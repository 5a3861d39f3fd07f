//! The errors that an operator reads, and the merging of the layers.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use actors::limits::{PEERS_RESIDENT_MAX, PeerLimits};
use actors::model::{DialectSpec, ServerName};
use actors::ports::PeerConfig;

use crate::settings::live::reloadable::is_reloadable;
use crate::settings::schema::{self, KnownNames, RawSettings};
use crate::settings::*;

mod contexts;
mod findings;
mod listeners;
mod network;
mod operator_tokens;
mod peer_keys;
mod profiles;
mod push;
mod reload;
mod shown;
mod strangers;
mod words;

const RED: &str = "server.name = \"red.example\"\n";

fn load(text: &str) -> Result<Settings, SettingsProblems> {
    Settings::load(&Sources::text(format!("{RED}{text}"), "/etc/fernpost"))
}

fn good(text: &str) -> Settings {
    load(text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Returns the problems of a configuration, one per line. The first line of the text is line 2.
fn wrong(text: &str) -> Vec<String> {
    lines(load(text))
}

fn lines(loaded: Result<Settings, SettingsProblems>) -> Vec<String> {
    loaded.expect_err("it is wrong").to_string().lines().map(str::to_owned).collect()
}

fn name(text: &str) -> ServerName {
    text.parse().expect("a name")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Returns the table of a peer on a port of its own that calls from this range.
fn peer(name: &str, range: &str, more: &str) -> String {
    format!(
        "[peers.server.\"{name}\"]\naddresses = [\"http://127.0.0.1:9890\"]\nauth = \"network\"\nallow_from = [\"{range}\"]\n{more}\n"
    )
}

fn with_env(text: &str, env: &[(&str, &str)]) -> Result<Settings, SettingsProblems> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Settings::load(&Sources { env, ..Sources::text(format!("{RED}{text}"), "") })
}

fn with_flags(text: &str, flags: &[(&str, &str)]) -> Result<Settings, SettingsProblems> {
    let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Settings::load(&Sources { flags, ..Sources::text(format!("{RED}{text}"), "") })
}

/// Creates a folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
    folder
}

fn load_in(folder: &tempfile::TempDir) -> Result<Settings, SettingsProblems> {
    Settings::load(&Sources::file(folder.path().join("red.toml")))
}

#[test]
fn manual_equals_compiled_defaults() {
    let manual: RawSettings = toml::from_str(Settings::defaults_toml()).expect("the manual is a configuration");
    assert_eq!(manual, RawSettings::default());
}

fn known(path: &[&str], into: &mut BTreeSet<Vec<String>>) {
    match schema::names(path) {
        Some(KnownNames::Fixed(fields)) => fields.iter().for_each(|field| known(&[path, &[*field]].concat(), into)),
        Some(KnownNames::Any) => {}
        None => drop(into.insert(path.iter().map(|&s| s.to_owned()).collect())),
    }
}

#[test]
fn manual_documents_every_key() {
    let mut keys = BTreeSet::new();
    known(&[], &mut keys);
    let (mut section, mut told) = (String::new(), BTreeSet::new());
    let lines: Vec<&str> = Settings::defaults_toml().lines().collect();
    for pair in lines.windows(2) {
        let line = pair[1];
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']').to_owned();
        }
        let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ") else { continue };
        let path: Vec<String> = section.split('.').chain([key]).map(str::to_owned).collect();
        if keys.contains(&path) {
            let word = if is_reloadable(&path) { ". reloadable: yes" } else { ". reloadable: no" };
            assert!(
                pair[0].starts_with("# ") && pair[0].ends_with(word),
                "{key} has no sentence, or the wrong word: {}",
                pair[0]
            );
            assert!(told.insert(path), "{key} twice in [{section}]");
        }
    }
    assert_eq!(keys.difference(&told).collect::<Vec<_>>(), Vec::<&Vec<String>>::new());
}

#[test]
fn sample_gateways_know_each_other() {
    let load = |who: &str| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/two-gateways").join(who);
        Settings::load(&Sources::file(file)).unwrap_or_else(|problems| panic!("{problems}"))
    };
    let all = ["red.toml", "blue.toml", "green.toml"].map(load);
    for (one, other) in (0..9).map(|n| (n / 3, n % 3)).filter(|(one, other)| one != other) {
        let (one, other) = (&all[one], &all[other]);
        let peer = one.peers.peer(&other.server.name).expect("listed");
        assert_eq!(peer.link.addresses[0].as_str(), format!("http://{}", other.federation.listen));
        assert!(one.peers.believes(&other.server.name, ip("127.0.0.1")));
        let mixed = [one, other].iter().any(|gateway| gateway.server.name.as_str() == "green.example");
        assert_eq!(peer.link.dialect, if mixed { DialectSpec::TRANSACTIONS } else { DialectSpec::UPDATES });
        assert_ne!(one.server.data_dir, other.server.data_dir);
    }
}

#[test]
fn unknown_key_names_file_and_line() {
    let folder = folder(&[
        ("red.toml", "[server]\nname = \"red.example\"\n[peers.default]\nbatch_item = 5\n"),
        ("conf.d/20-b.toml", "[store]\n\ngroup_mx = 5\n[storage]\ncache = \"1MiB\"\n"),
        ("conf.d/10-a.toml", "[federation]\nlisten_on = 1\n"),
        ("conf.d/notes.txt", "not read"),
    ]);
    assert_eq!(
        lines(load_in(&folder)),
        [
            "unknown key `peers.default.batch_item` in red.toml, line 4; did you mean `batch_items`?",
            "unknown key `federation.listen_on` in conf.d/10-a.toml, line 2; did you mean `listen`?",
            "unknown key `store.group_mx` in conf.d/20-b.toml, line 3; did you mean `group_max`?",
            "unknown key `storage` in conf.d/20-b.toml, line 4; did you mean `store`?",
        ]
    );
}

#[test]
fn unknown_variable_or_flag_is_named() {
    let env = [("FERNPOST__STORE__GROUP_MX", "5"), ("FERNPOST__FEED__RETAIN__DAYS", "5"), ("FERNPOST_LOG", "debug")];
    assert_eq!(
        lines(with_env("", &env)),
        [
            "unknown key `store.group_mx` in the variable FERNPOST__STORE__GROUP_MX; did you mean `group_max`?",
            "unknown key `feed.retain.days` in the variable FERNPOST__FEED__RETAIN__DAYS",
        ]
    );
    assert_eq!(
        lines(with_flags("", &[("server.nam", "x"), ("a b", "x")])),
        [
            "unknown key `server.nam` in a flag; did you mean `name`?",
            "`a b` in a flag: a key is written as in TOML, such as peers.server.\"blue.example\".paused",
        ]
    );
}

#[test]
fn planned_settings_are_refused_by_name() {
    let start = |line: &str| line.split(" (configuration").next().expect("a first part").to_owned();
    let problems = wrong("server.actor_threads = 2\n");
    let first = problems.first().map(|line| start(line));
    assert_eq!(first.as_deref(), Some("`server.actor_threads` is not available in this version"));
}

#[test]
fn all_problems_are_reported_together() {
    let text = "server.workers = 0\nserver.drain = 5\nstore.cache = \"many\"\nstore.group_max = \"256\"\n\
                store.backend = \"sqlite\"\nfeed.retain = \"-1s\"\nnetwork.allow = [\"10.0.0.0/8\", \"x\"]\nstore.group_rows = 0\n\
                admin = 1\n";
    let problems = wrong(text);
    let expected = [
        "`server.drain` in configuration, line 3: 5 has no unit; write \"5s\"",
        "`store.cache` in configuration, line 4: \"many\" is not a size such as \"8MiB\": ",
        "`store.group_max` in configuration, line 5: it is \"256\", but must be a whole number from 0",
        "`store.backend` in configuration, line 6: it is \"sqlite\", but must be \"redb\"",
        "`feed.retain` in configuration, line 7: \"-1s\" is not a duration such as \"30s\": ",
        "`network.allow[1]` in configuration, line 8: ",
        "`admin` in configuration, line 10: this is a table, not a value",
        "`server.workers` in configuration, line 2: it must be more than 0, because 0 lets nothing through",
        "`store.group_rows` in configuration, line 9: it must be more than 0, because 0 lets nothing through",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for start in expected {
        assert!(problems.iter().any(|line| line.starts_with(start)), "{start}\n{problems:#?}");
    }
}

#[test]
fn unreadable_config_file_is_named() {
    let folder = folder(&[("red.toml", "[server]\nname = red.example\n")]);
    assert!(lines(load_in(&folder))[0].starts_with("red.toml, line 2: "));
    let missing = folder.path().join("none.toml");
    let lines = lines(Settings::load(&Sources::file(&missing)));
    assert!(lines[0].starts_with(&format!("{}: cannot be read: ", missing.display())), "{lines:?}");
}

#[test]
fn later_layer_wins_per_key() {
    let folder = folder(&[
        ("red.toml", "[server]\nname = \"red.example\"\n[store]\ngroup_max = 1\ngroup_rows = 1\nqueue_rows = 1\n"),
        ("conf.d/a.toml", "[store]\ngroup_rows = 2\nqueue_rows = 2\n"),
        ("conf.d/b.toml", "[store]\nqueue_rows = 3\n"),
    ]);
    let file = Some(folder.path().join("red.toml"));
    let store = Settings::load(&Sources { file: file.clone(), ..Sources::default() }).expect("valid").store;
    assert_eq!((store.group_max, store.group_rows, store.queue_rows), (1, 2, 3));
    let env = vec![
        ("FERNPOST__STORE__GROUP_MAX".into(), "4".into()),
        ("FERNPOST__STORE__GROUP_ROWS".into(), "4".into()),
        ("FERNPOST__PEERS__DEFAULT__RETAIN".into(), "1h".into()),
        ("FERNPOST__NETWORK__ALLOW".into(), "10.0.0.0/8, 127.0.0.0/8".into()),
        ("FERNPOST__MESSENGER__TOKEN".into(), "0123".into()),
        ("FERNPOST__ADMIN__TOKEN".into(), "\"quoted\"".into()),
    ];
    let flags = vec![("store.group_rows".into(), "5".into()), ("federation.deny".into(), "[\"*.bad\"]".into())];
    let settings = Settings::load(&Sources { file, env, flags, ..Sources::default() }).expect("valid");
    assert_eq!((settings.store.group_max, settings.store.group_rows, settings.store.queue_rows), (4, 5, 3));
    assert_eq!(settings.network.allow.len(), 2);
    assert_eq!(settings.messenger.token.expect("set").expose(), "0123", "a text stays a text");
    assert_eq!(settings.admin.token.expect("set").expose(), "\"quoted\"", "quotes are part of a secret");
    assert!(settings.peers.denied(&name("very.bad")));
}

#[test]
fn environment_variable_cannot_name_server() {
    let env = [("FERNPOST__PEERS__SERVER__BLUE__PAUSED", "true"), ("FERNPOST__FEED__RETAIN", "7")];
    assert_eq!(
        lines(with_env("", &env)),
        [
            "`peers.server.blue.paused` in the variable FERNPOST__PEERS__SERVER__BLUE__PAUSED: \
             a variable cannot hold the name of a server; write it in a file",
            "`feed.retain` in the variable FERNPOST__FEED__RETAIN: 7 has no unit; write \"7s\"",
        ]
    );
    let blue = peer("Blue.example", "127.0.0.0/8", "");
    let settings = with_flags(&blue, &[("peers.server.\"blue.example\".paused", "true")]).expect("valid");
    assert!(settings.peers.limits(&name("blue.example")).expect("listed").paused);
}

#[test]
fn relative_path_starts_at_config_file() {
    assert_eq!(good("").server.data_dir, Path::new("/etc/fernpost/data"));
    assert_eq!(good("server.data_dir = \"/var/lib\"").server.data_dir, Path::new("/var/lib"));
}

#[test]
fn secrets_load_from_files_unprinted() {
    let config = "server.name = \"red.example\"\nmessenger.token_file = \"m.token\"\nadmin.token = \"operator\"\n";
    let folder = folder(&[("red.toml", config), ("m.token", "open-sesame\n")]);
    let settings = load_in(&folder).expect("valid");
    assert_eq!(settings.messenger.token.as_ref().expect("set").expose(), "open-sesame");
    let printed = format!("{settings:?}");
    assert!(!printed.contains("sesame") && !printed.contains("operator"));

    std::fs::write(folder.path().join("m.token"), " \n").expect("written");
    assert_eq!(
        lines(load_in(&folder)),
        [format!(
            "`messenger.token_file` in red.toml, line 2: {}/m.token is empty; write the token into it, or remove the key",
            folder.path().display()
        )]
    );
    std::fs::remove_file(folder.path().join("m.token")).expect("removed");
    assert!(lines(load_in(&folder))[0].contains("m.token cannot be read: "));
    assert!(wrong("admin.token = \"a\"\nadmin.token_file = \"b\"")[0].contains("keep one of them"));
    assert_eq!(wrong("admin.token = 12345"), ["`admin.token` in configuration, line 2: a token is a text"]);
}

#[test]
fn default_peer_limits_match_core() {
    let settings = good(&peer("blue.example", "127.0.0.0/8", ""));
    assert_eq!(*settings.peers.limits(&name("blue.example")).expect("listed"), PeerLimits::default());
    assert_eq!(settings.peers.limits(&name("green.example")), None);
}

#[test]
fn resident_peers_limit_is_global() {
    assert_eq!(good(&peer("blue.example", "127.0.0.0/8", "")).peers.peers_resident_max(), PEERS_RESIDENT_MAX);
    let text = format!("peers.resident_max = 2\n{}", peer("blue.example", "127.0.0.0/8", ""));
    assert_eq!(good(&text).peers.peers_resident_max(), 2);
    assert_eq!(
        wrong("peers.resident_max = 0\n"),
        ["`peers.resident_max` in configuration, line 2: it must be more than 0, because 0 lets nothing through"]
    );
}

#[test]
fn server_section_overrides_patterns() {
    let text = format!(
        "[peers.default]\nintake_max = 1\nbatch_items = 1\nattempts_keep = 1\nrestarts_max = 1\n\
         [peers.pattern.\"*.gov.example\"]\nbatch_items = 2\nattempts_keep = 2\nrestarts_max = 2\n\
         [peers.pattern.\"*\"]\nattempts_keep = 3\nrestarts_max = 3\n\
         [peers.pattern.\"*.org\"]\nrestarts_max = 9\n{}",
        peer("tax.gov.example", "127.0.0.0/8", "restarts_max = 4")
    );
    let peer = good(&text).peers.peer(&name("tax.gov.example")).expect("listed");
    let limits = &peer.limits;
    assert_eq!((limits.intake_max, limits.batch_items, limits.attempts_keep, limits.restarts_max), (1, 2, 3, 4));
    let origin = |key| peer.origins.iter().find(|(name, _)| *name == key).map(|(_, origin)| origin.clone());
    assert_eq!(origin("intake_max"), Some(ValueOrigin::Peers));
    assert_eq!(origin("batch_items"), Some(ValueOrigin::Pattern("*.gov.example".into())));
    assert_eq!(origin("attempts_keep"), Some(ValueOrigin::Pattern("*".into())));
    assert_eq!(origin("restarts_max"), Some(ValueOrigin::Server));
    assert_eq!(origin("retain"), Some(ValueOrigin::Default));
}

#[test]
fn invalid_limits_name_their_origin() {
    let text = format!(
        "[peers.default]\njitter = 1.5\nbackoff_min = \"2h\"\n[peers.pattern.\"*\"]\nintake_max = 0\n{}",
        peer("blue.example", "127.0.0.0/8", "request_timeout = \"5s\"")
    );
    assert_eq!(
        wrong(&text),
        [
            "`peers.default.jitter` in configuration, line 3: 1.5 is not between 0 and 1",
            "`peers.default.backoff_min` in configuration, line 4: `backoff_min` is 2h and longer than `backoff_max`, which is 1h",
            "`peers.pattern.\"*\".intake_max` in configuration, line 6: it must be more than 0, because 0 lets nothing through",
            "`peers.server.\"blue.example\".request_timeout` in configuration, line 11: \
             `connect_timeout` is 10s and longer than `request_timeout`, which is 5s",
        ]
    );
}

#[test]
fn listed_peer_needs_auth() {
    assert_eq!(
        wrong("[peers.server.\"blue.example\"]\naddresses = [\"http://127.0.0.1:1\"]\n"),
        [
            "`peers.server.\"blue.example\".auth` in configuration, line 2: it must be set: auth = \"mtls\", auth = \"signature\", or auth = \"network\", for private links, with the peer's address ranges in allow_from"
        ]
    );
    assert_eq!(
        wrong("[peers.server.\"blue.example\"]\naddresses = [\"http://127.0.0.1:1\"]\nauth = \"network\"\n"),
        [
            "`peers.server.\"blue.example\".allow_from` in configuration, line 2: auth = \"network\" requires it; list the address ranges of the peer"
        ]
    );
}

#[test]
fn server_names_are_validated() {
    assert!(lines(Settings::load(&Sources::default()))[0].starts_with("`server.name`: it must be set"));
    assert!(wrong(&peer("red.example", "127.0.0.0/8", ""))[0].contains("this is our own name"));
    assert!(
        wrong(&peer("no name", "127.0.0.0/8", ""))[0]
            .starts_with("`peers.server.\"no name\"` in configuration, line 2: ")
    );
    let twice = peer("blue.example", "127.0.0.0/8", "") + "[peers.server.\"BLUE.example\"]\n";
    assert_eq!(
        wrong(&twice),
        ["`peers.server.\"blue.example\"` in configuration, line 7: this file has the same key twice"]
    );
}

#[test]
fn listeners_need_distinct_addresses() {
    let text = "messenger.listen = \"127.0.0.1:9880\"";
    assert_eq!(
        wrong(text),
        [
            "`messenger.listen` in configuration, line 2: 127.0.0.1:9880 is taken by `federation.listen`; choose another port"
        ]
    );
    good("federation.listen = \"127.0.0.1:0\"\nmessenger.listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.2:0\"");
}

#[test]
fn longest_prefix_identifies_caller() {
    let text = peer("wide.example", "10.0.0.0/8", "")
        + &peer("narrow.example", "10.1.0.0/16", "")
        + &peer("one.example", "10.1.0.7/32", "")
        + &peer("twin-a.example", "192.168.0.0/24", "")
        + &peer("twin-b.example", "192.168.0.9/24", "");
    let peers = good(&text).peers;
    let caller = |address: &str| peers.who_may_be(ip(address)).map(|name| name.to_string());
    assert_eq!(caller("10.9.9.9").as_deref(), Some("wide.example"));
    assert_eq!(caller("10.1.0.6").as_deref(), Some("narrow.example"));
    assert_eq!(caller("10.1.0.7").as_deref(), Some("one.example"));
    assert_eq!(caller("::ffff:10.1.0.7").as_deref(), Some("one.example"));
    assert_eq!(caller("11.0.0.1"), None);
    assert_eq!(caller("::1"), None);
    assert_eq!(caller("192.168.0.5"), None, "an address that two peers share identifies neither");
    for twin in ["twin-a.example", "twin-b.example"] {
        assert!(peers.believes(&name(twin), ip("192.168.0.5")));
    }
    assert!(!peers.believes(&name("wide.example"), ip("10.1.0.7")), "the address is another peer's");
    assert!(!peers.believes(&name("stranger.example"), ip("10.9.9.9")));
}

#[test]
fn denied_peer_overrides_listing() {
    let text = "federation.deny = [\"*.BAD.example\"]\n".to_owned()
        + &peer("x.bad.example:9880", "127.0.0.1/32", "")
        + &peer("good.example", "127.0.0.0/8", "");
    let peers = good(&text).peers;
    let bad = name("x.bad.example:9880");
    assert!(peers.denied(&bad) && peers.peer(&bad).is_none() && peers.limits(&bad).is_none());
    assert_eq!(peers.listed(), [name("good.example")]);
    assert_eq!(peers.who_may_be(ip("127.0.0.2")), Some(name("good.example")));
    assert_eq!(peers.who_may_be(ip("127.0.0.1")), None, "the address of a denied peer does not identify another peer");
    assert!(peers.believes(&bad, ip("127.0.0.1")), "a denied peer is authenticated first and refused as denied then");
    assert!(!peers.believes(&name("good.example"), ip("127.0.0.1")));
}

#[test]
fn peers_keep_configuration_order() {
    let names = ["z.example", "a.example", "m.example"];
    let text: String = names.iter().enumerate().map(|(i, n)| peer(n, &format!("10.0.0.{i}/32"), "")).collect();
    assert_eq!(good(&text).peers.listed(), names.map(name));
    assert_eq!(good("").server.drain, Duration::from_secs(10));
}

#[test]
fn unmerged_values_parse_like_merged() {
    let text = "peers.default = { jitter = 1, profile = \"actor-2016\", dialect = \"updates\", outbox_items = 9_000_000_000 }\n\
                store.backend = \"redb\"\nfederation.mode = \"allowlist\"\n"
        .to_owned()
        + &peer("blue.example", "127.0.0.0/8", "");
    let peer = good(&text).peers.peer(&name("blue.example")).expect("listed");
    assert_eq!((peer.limits.jitter, peer.link.profile), (1.0, PeerProfile::Actor2016));
    assert_eq!(peer.limits.outbox_items, 9_000_000_000);
    assert_eq!(wrong("peers.default.intake_max = -1").len(), 1);
    assert_eq!(wrong("peers.default.intake_max = 5_000_000_000").len(), 1);
}
