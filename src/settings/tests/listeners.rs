//! Listeners beyond loopback, their certificates, and socket files.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn listener_beyond_loopback_needs_protection() {
    for section in ["federation", "messenger", "admin"] {
        let listen = format!("{section}.listen = \"0.0.0.0:0\"\n");
        let token = if section == "federation" { String::new() } else { format!("{section}.token = \"x\"\n") };
        let why = wrong(&format!("{listen}{token}"));
        assert_eq!(why.len(), 1, "{why:?}");
        assert!(why[0].contains("without TLS; set ") && why[0].contains("insecure = true"), "{why:?}");
        let insecure = good(&format!("{listen}{token}{section}.insecure = true\n"));
        let noted = insecure.notes.iter().any(|note| note.contains("serves plain HTTP beyond this machine"));
        assert!(noted, "{:?}", insecure.notes);
        good(&format!("{listen}{token}{section}.tls = {{ cert = \"c.pem\", key = \"k.pem\" }}\n"));
    }
    let open = wrong("admin.listen = \"[::]:0\"\nadmin.insecure = true\n");
    assert!(open[0].ends_with("no token is set; set admin.token_file, or listen on 127.0.0.1"), "{open:?}");
}

#[test]
fn socket_file_is_listener() {
    let settings = good("messenger.listen = \"unix:run/m.sock\"\nmessenger.listen_mode = \"0600\"\n");
    let expected = ListenTarget::Unix { path: "/etc/fernpost/run/m.sock".into(), mode: 0o600 };
    assert_eq!(settings.messenger.listen, expected);
    assert_eq!(settings.messenger.listen.to_string(), "unix:/etc/fernpost/run/m.sock");
    assert!(wrong("federation.listen = \"unix:x\"")[0].contains("is not an IP address and a port"));
}

#[test]
fn certificate_needs_both_files() {
    assert!(wrong("federation.tls.cert = \"c.pem\"")[0].contains("`federation.tls.key`"));
    assert!(wrong("admin.tls.key = \"k.pem\"")[0].contains("`admin.tls.cert`"));
}

#[test]
fn certificate_is_checked_before_start() {
    let made = rcgen::generate_simple_self_signed(["red.example".to_owned()]).expect("a certificate");
    let other = rcgen::generate_simple_self_signed(["red.example".to_owned()]).expect("a certificate");
    let config = "server.name = \"red.example\"\nfederation.tls = { cert = \"c.pem\", key = \"k.pem\" }\n";
    let folder = folder(&[("red.toml", config), ("c.pem", &made.cert.pem())]);
    let key = folder.path().join("k.pem");
    let load = || {
        let file = Some(folder.path().join("red.toml"));
        Settings::load(&Sources { file, to_run: true, ..Sources::default() })
    };
    assert!(lines(load())[0].contains("k.pem cannot be read"));
    fs::write(&key, other.signing_key.serialize_pem()).expect("written");
    assert!(lines(load())[0].contains("do not belong together"));
    fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).expect("changed");
    let refused = load().expect_err("it is open");
    assert!(refused.is_open_secrets() && refused.to_string().contains("0644"), "{refused}");
    assert!(refused.to_string().contains(&format!("run chmod o= {}", key.display())), "{refused}");
    fs::set_permissions(&key, Permissions::from_mode(0o640)).expect("changed");
    load().expect("valid");
}

#[test]
fn proxies_and_limits_are_read() {
    let text = "federation.trusted_proxies = [\"10.0.0.0/24\"]\nfederation.client_cert_header = \"X-Client-Cert\"\n\
                federation.connections_max = 7\nfederation.header_timeout = \"3s\"\n";
    let federation = good(text).federation;
    assert_eq!(federation.client_cert_header.as_deref(), Some("x-client-cert"));
    assert_eq!(federation.trusted_proxies, ["10.0.0.0/24".parse().expect("a range")]);
    assert_eq!(
        (federation.connections.connections_max, federation.connections.header_timeout),
        (7, Duration::from_secs(3))
    );
    for (bad, key) in [
        ("federation.client_cert_header = \"a b\"", "client_cert_header"),
        ("federation.connections_max = 0", "connections_max"),
        ("federation.handshake_timeout = \"0s\"", "handshake_timeout"),
        ("federation.json_depth = 7", "json_depth"),
        ("federation.json_depth = 129", "json_depth"),
        ("federation.trusted_proxies = [\"proxy\"]", "trusted_proxies"),
    ] {
        assert!(wrong(bad)[0].contains(&format!("federation.{key}")), "{bad}");
    }
}

#[test]
fn open_token_is_refused_or_warned() {
    let config = "server.name = \"red.example\"\nadmin.token_file = \"token\"\nmessenger.token_file = \"token\"\n";
    let folder = folder(&[("red.toml", config), ("token", "sesame")]);
    let token = folder.path().join("token");
    let load = |to_run, flags: &[(&str, &str)]| {
        let file = Some(folder.path().join("red.toml"));
        let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Settings::load(&Sources { file, to_run, flags, ..Sources::default() })
    };
    fs::set_permissions(&token, Permissions::from_mode(0o604)).expect("changed");
    let refused = load(true, &[]).expect_err("it is open");
    assert!(refused.is_open_secrets() && refused.0.len() == 2, "{refused}");
    let remedy = format!("run chmod o= {}, or set server.allow_open_secrets = true", token.display());
    assert!(refused.to_string().contains("0604") && refused.to_string().contains(&remedy), "{refused}");
    let other = load(true, &[("store.group_max", "0")]).expect_err("two kinds of problems");
    assert!(!other.is_open_secrets(), "{other}");
    let allowed = load(true, &[("server.allow_open_secrets", "true")]).expect("valid");
    assert_eq!(allowed.notes.iter().filter(|note| note.contains("0604")).count(), 2, "{:?}", allowed.notes);
    assert!(load(false, &[]).is_ok(), "a command reads it and keeps nothing");
    fs::set_permissions(&token, Permissions::from_mode(0o660)).expect("changed");
    assert!(load(true, &[]).is_ok());
}
