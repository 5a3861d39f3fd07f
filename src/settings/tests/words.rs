//! The errors about values that are nearly right.

use super::*;

#[test]
fn all_bad_ranges_are_named() {
    let settings = good(&peer("blue.example", "127.0.0.1", ""));
    assert!(settings.peers.believes(&name("blue.example"), ip("127.0.0.1")));
    assert!(!settings.peers.believes(&name("blue.example"), ip("127.0.0.2")));
    let problems = wrong("network.allow = [\"x\", \"10.0.0.0/8\", \"fd00::1\", \"10.0.0.0/99\"]");
    let told = |place, text| {
        format!(
            "`network.allow[{place}]` in configuration, line 2: \"{text}\" is neither a range of addresses such as \
             \"10.0.0.0/8\" nor an address such as \"10.0.0.2\""
        )
    };
    assert_eq!(problems, [told(0, "x"), told(3, "10.0.0.0/99")]);
}

#[test]
fn negative_size_is_not_missing_unit() {
    for text in ["\"-1\"", "-1", "\"nan\""] {
        let problems = wrong(&format!("store.min_free = {text}"));
        assert!(
            problems[0].contains("is not a size such as \"8MiB\"") && !problems[0].contains("unit"),
            "{problems:?}"
        );
    }
}

#[test]
fn flag_loses_its_outer_quotes() {
    for text in ["blue", "\"blue\"", "'blue'"] {
        let settings = with_flags("", &[("server.name", text)]).expect("a name");
        assert_eq!(settings.server.name.as_str(), "blue", "{text}");
    }
    let told = wrong("server.drain = \"abc\"\nstore.cache = \"8 bananas\"");
    assert!(told[0].ends_with("it is written as 750ms, 30s, 5m, 2h or 7d"), "{told:?}");
    assert!(told[1].ends_with("it is written as 512B, 64KiB, 8MiB or 1GiB"), "{told:?}");
}
