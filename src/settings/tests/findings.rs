//! Notes about valid values that have less effect than they seem to.

use super::*;

/// Returns the notes about a configuration.
fn noted(text: &str) -> Vec<String> {
    good(text).notes
}

#[test]
fn warnings_name_key_and_place() {
    let blue = peer("blue.example", "10.0.0.2/32", "");
    assert_eq!(noted(&blue), [""; 0], "a sound configuration");
    let alone = noted("");
    assert!(alone.len() == 1 && alone[0].starts_with("`peers.server`: there is no peer, so "), "{alone:?}");
    assert_eq!(
        noted(&format!("federation.deny = [\"*.example\"]\n{blue}{}", peer("red.test", "10.0.0.3", ""))),
        [
            "`peers.server.\"blue.example\"` in configuration, line 3: federation.deny contains \"*.example\", which denies this peer; remove it from one of the two"
        ]
    );
    assert_eq!(
        noted(&format!(
            "{blue}[peers.pattern.\"*.gov.example\"]\npaused = true\n[peers.pattern.\"blue*\"]\nrate = 1\n"
        )),
        ["`peers.pattern.\"*.gov.example\"` in configuration, line 7: no listed peer matches it, so it has no effect"]
    );
    let small = noted(&format!("store.cache = \"32B\"\n{blue}"));
    assert!(small.len() == 1 && small[0].contains("a page cache of 32 B"), "{small:?}");
    assert!(
        wrong("store.cache = \"32\"")[0]
            .ends_with("32 has no unit; write \"32MiB\" or \"32KiB\", or \"32B\" for bytes")
    );
}

#[test]
fn peers_of_one_range_must_authenticate() {
    let two = |range: &str, one: &str, other: &str| {
        let profile = |profile: &str| format!("profile = \"{profile}\"");
        peer("one.example", range, &profile(one)) + &peer("two.example", "10.0.0.0/8", &profile(other))
    };
    assert_eq!(noted(&two("10.0.0.0/8", "fernpost", "fernpost")), [""; 0], "each request names its sender");
    assert_eq!(
        noted(&two("10.1.0.0/16", "actor-2016", "actor-2016")),
        [""; 0],
        "the longer prefix identifies the peer"
    );
    let nameless = wrong(&two("10.0.0.0/8", "actor-2016", "fernpost"));
    assert!(
        nameless.len() == 1 && nameless[0].starts_with("`peers.server.\"one.example\".allow_from` in"),
        "{nameless:?}"
    );
    assert!(nameless[0].contains("10.0.0.0/8 is also a range of two.example"), "{nameless:?}");
    assert_eq!(wrong(&two("10.0.0.0/8", "actor-2016", "actor-2016")).len(), 2, "each of them");
    let in_part = noted(&two("10.0.0.0/8", "fernpost", "synapse-2014"));
    assert!(in_part.len() == 1 && in_part[0].contains("GET requests of this peer would be rejected"), "{in_part:?}");
    let denied = format!("federation.deny = [\"one.example\"]\n{}", two("10.0.0.0/8", "actor-2016", "fernpost"));
    assert!(noted(&denied).iter().all(|note| note.contains("federation.deny")), "a denied peer need not be identified");
}

#[test]
fn check_needs_no_data_folder() {
    let folder = folder(&[("red.toml", "server.name = \"red\"\nserver.data_dir = \"red.toml\"\n")]);
    let file = folder.path().join("red.toml");
    Settings::load(&Sources::file(&file)).expect("a command needs no data folder");
    let problems =
        Settings::load(&Sources { to_run: true, ..Sources::file(&file) }).expect_err("the data folder is a file");
    let told = problems.to_string();
    assert!(told.starts_with("`server.data_dir` in red.toml, line 2: ") && told.contains("is a file"), "{told}");
}

#[test]
fn endpoint_needs_build_with_otlp() {
    let endpoint = "otlp.endpoint = \"http://127.0.0.1:4318\"\n";
    if cfg!(feature = "otlp") {
        let rules = good(endpoint).otlp.expect("there is an endpoint");
        assert_eq!((rules.endpoint.as_str(), rules.queue_max), ("http://127.0.0.1:4318/v1/traces", 2048));
    } else {
        let why = wrong(endpoint);
        assert!(
            why.len() == 1 && why[0].contains("`otlp.endpoint`") && why[0].contains("built without otlp"),
            "{why:?}"
        );
    }
    assert_eq!(good("").otlp, None);
    for bad in ["ratio = 1.5", "ratio = -0.1", "queue_max = 0", "interval = \"0s\"", "timeout = \"0s\""] {
        assert_eq!(wrong(&format!("otlp.{bad}\n")).len(), 1, "{bad}");
    }
}
