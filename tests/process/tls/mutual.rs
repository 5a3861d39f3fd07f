//! Gateways that call each other by TLS: with certificates both ways, with signatures, and one of them behind nginx.

use ::fixtures::clients::messenger_client::texts;

use crate::fixtures::node::GatewayProcess;
use crate::reload::{TRIED_SOON, reloaded, until};
use crate::tls::authority::{FileAuthority, LeafKind, PairFiles};
use crate::tls::callers::pin;
use crate::tls::haproxy::has_haproxy;
use crate::tls::nginx::{ReverseProxy, has_nginx};

/// Returns a gateway of this name with a certificate of the authority, which it trusts both ways.
pub(super) fn certified(name: &'static str, authority: &FileAuthority) -> GatewayProcess {
    let mut gateway = GatewayProcess::new(name);
    let pair = authority.issue(gateway.folder(), "own", &[name], LeafKind::Usual);
    gateway.tls("federation", &pair.cert, &pair.key);
    authority.write(gateway.folder());
    gateway
}

/// Keys by which a gateway trusts the authority both ways.
pub(super) const TRUST: [&str; 2] = ["federation.tls.client_ca=\"ca.pem\"", "network.roots=[\"ca.pem\"]"];

/// Red, blue and green talk in one context; each hears the others' messages once and in order, proved in this way.
async fn converse(gateways: &[&GatewayProcess; 3], proofs: [&str; 3]) {
    let servers: Vec<&str> = gateways.iter().map(|gateway| gateway.name).collect();
    gateways[0].api().set_participants("#room", &servers[1..]).await;
    for n in 0..3 {
        gateways[0].api().say_in("#room", &format!("r-{n}"), &format!("from red {n}")).await;
    }
    for (gateway, proof) in gateways.iter().zip(proofs).skip(1) {
        let events = gateway.api().hear(3).await;
        let bodies: Vec<_> = events.iter().map(|event| event["content"]["body"].as_str().expect("a text")).collect();
        assert_eq!(bodies, ["from red 0", "from red 1", "from red 2"], "{}", gateway.name);
        assert!(events.iter().all(|event| event["verified"] == proof), "{}: {events:?}", gateway.name);
    }
    for (gateway, id) in gateways[1..].iter().zip(["b", "g"]) {
        gateway.api().say_in("#room", id, &format!("from {}", gateway.name)).await;
    }
    let heard = gateways[0].api().hear(2).await;
    assert!(heard.iter().all(|event| event["verified"] == proofs[0]), "{heard:?}");
}

/// Makes each of the three a peer of the others, by https at these addresses, in the dialect of the listed pair.
fn introduce(gateways: &mut [&mut GatewayProcess; 3], addresses: &[String; 3], auth: impl Fn(&str) -> String) {
    let names = [gateways[0].name, gateways[1].name, gateways[2].name];
    for (one, gateway) in gateways.iter_mut().enumerate() {
        for (other, name) in names.iter().enumerate().filter(|(other, _)| *other != one) {
            // Green speaks the transactions dialect with both.
            let dialect = if one == 2 || other == 2 { "transactions" } else { "updates" };
            let address = &addresses[other];
            let section = format!("addresses = [\"https://{address}\"]\ndialect = \"{dialect}\"\n{}", auth(name));
            gateway.peer_section(name, &section);
        }
    }
}

#[tokio::test]
async fn certified_gateways_hold_conversation() {
    let authority = FileAuthority::new();
    let [mut red, mut blue, mut green] =
        ["red.example", "blue.example", "green.example"].map(|name| certified(name, &authority));
    let addresses = [&red, &blue, &green].map(|gateway| gateway.federation.to_string());
    introduce(&mut [&mut red, &mut blue, &mut green], &addresses, |_| "auth = \"mtls\"".to_owned());
    for gateway in [&mut red, &mut blue, &mut green] {
        gateway.start_with(&TRUST).await;
    }
    converse(&[&red, &blue, &green], ["mtls"; 3]).await;
}

#[tokio::test]
async fn signing_gateways_hold_conversation_by_tls() {
    let authority = FileAuthority::new();
    let [mut red, mut blue, mut green] =
        ["red.example", "blue.example", "green.example"].map(|name| certified(name, &authority));
    let keys = [&red, &blue, &green].map(|gateway| (gateway.name, crate::peers::signatures::key(gateway).1));
    let addresses = [&red, &blue, &green].map(|gateway| gateway.federation.to_string());
    introduce(&mut [&mut red, &mut blue, &mut green], &addresses, |name| {
        let (_, pinned) = keys.iter().find(|(other, _)| *other == name).expect("one of the three");
        format!("auth = \"signature\"\nkeys = [\"{pinned}\"]")
    });
    for gateway in [&mut red, &mut blue, &mut green] {
        gateway.start_with(&TRUST).await;
    }
    converse(&[&red, &blue, &green], ["signature"; 3]).await;
}

/// No key is pinned: each reads the key directories of the others.
#[tokio::test]
async fn unpinned_gateways_hold_conversation() {
    let authority = FileAuthority::new();
    let [mut red, mut blue, mut green] =
        ["red.example", "blue.example", "green.example"].map(|name| certified(name, &authority));
    let addresses = [&red, &blue, &green].map(|gateway| gateway.federation.to_string());
    introduce(&mut [&mut red, &mut blue, &mut green], &addresses, |_| "auth = \"signature\"".to_owned());
    for gateway in [&mut red, &mut blue, &mut green] {
        gateway.start_with(&TRUST).await;
    }
    converse(&[&red, &blue, &green], ["signature"; 3]).await;
}

#[tokio::test]
async fn signatures_pass_through_nginx() {
    if has_nginx() {
        sign_through(|blue, pair| ReverseProxy::start(blue, pair, "http")).await;
    }
}

#[tokio::test]
async fn signatures_pass_through_haproxy() {
    if has_haproxy() {
        sign_through(ReverseProxy::haproxy).await;
    }
}

/// Blue is behind a proxy, which passes the target and `Host` that the signatures cover.
async fn sign_through(start: impl Fn(&GatewayProcess, &PairFiles) -> ReverseProxy) {
    let authority = FileAuthority::new();
    let [mut red, mut green] = ["red.example", "green.example"].map(|name| certified(name, &authority));
    let mut blue = GatewayProcess::new("blue.example");
    let pair = authority.issue(blue.folder(), "own", &["blue.example"], LeafKind::Usual);
    authority.write(blue.folder());
    let proxy = start(&blue, &pair);
    let keys = [&red, &blue, &green].map(|gateway| (gateway.name, crate::peers::signatures::key(gateway).1));
    let addresses = [red.federation.to_string(), proxy.address.to_string(), green.federation.to_string()];
    introduce(&mut [&mut red, &mut blue, &mut green], &addresses, |name| {
        let (_, pinned) = keys.iter().find(|(other, _)| *other == name).expect("one of the three");
        format!("auth = \"signature\"\nkeys = [\"{pinned}\"]")
    });
    for gateway in [&mut red, &mut green] {
        gateway.start_with(&TRUST).await;
    }
    blue.start_with(&["federation.trusted_proxies=[\"127.0.0.0/8\"]", TRUST[1]]).await;
    converse(&[&red, &blue, &green], ["signature"; 3]).await;
}

/// Blue is behind nginx, which passes the certificates of its callers.
#[tokio::test]
async fn gateway_behind_nginx_holds_conversation() {
    if !has_nginx() {
        return;
    }
    let authority = FileAuthority::new();
    let [mut red, mut green] = ["red.example", "green.example"].map(|name| certified(name, &authority));
    let mut blue = GatewayProcess::new("blue.example");
    let pair = authority.issue(blue.folder(), "own", &["blue.example"], LeafKind::Usual);
    let client = authority.issue(blue.folder(), "client", &["blue.example"], LeafKind::Usual);
    authority.write(blue.folder());
    let nginx = ReverseProxy::start(&blue, &pair, "https");
    let addresses = [red.federation.to_string(), nginx.address.to_string(), green.federation.to_string()];
    introduce(&mut [&mut red, &mut blue, &mut green], &addresses, |_| "auth = \"mtls\"".to_owned());
    // Blue's own listener serves TLS to the proxy, and shows this certificate as a caller.
    blue.tls("federation", &client.cert, &client.key);
    for gateway in [&mut red, &mut green] {
        gateway.start_with(&TRUST).await;
    }
    let proxied = ["federation.trusted_proxies=[\"127.0.0.0/8\"]", "federation.client_cert_header=\"X-Client-Cert\""];
    blue.start_with(&[&TRUST[..], &proxied].concat()).await;
    converse(&[&red, &blue, &green], ["mtls"; 3]).await;
}

/// Neither an open connection nor a session of the time before is used: the certificate is asked for anew, and refused.
#[tokio::test]
async fn changed_pin_refuses_peer_anew() {
    let authority = FileAuthority::new();
    let [mut red, mut blue] = ["red.example", "blue.example"].map(|name| certified(name, &authority));
    let pins = [&blue, &red].map(|gateway| pin(&gateway.folder().join("own.pem")));
    let at_blue = format!("addresses = [\"https://{}\"]\n{TRIED_SOON}", blue.federation);
    red.peer_section("blue.example", &format!("{at_blue}\nauth = \"mtls\"\nfingerprints = [\"{}\"]", pins[0]));
    let at_red = format!("addresses = [\"https://{}\"]", red.federation);
    blue.peer_section("red.example", &format!("{at_red}\nauth = \"mtls\""));
    red.start_with(&TRUST).await;
    blue.start_with(&TRUST).await;
    red.api().say("m-1", "blue.example", "pinned").await;
    assert_eq!(texts(&blue.api().hear(1).await), ["pinned"]);

    let pinned = red.edit(|text| text.replace(&pins[0], &pins[1]));
    assert_eq!(reloaded(&red).await.0, ["peers.server.\"blue.example\".fingerprints"]);
    red.api().say("m-2", "blue.example", "refused").await;
    until(&red, "blue.example", "CERTIFICATE_NOT_PINNED").await;
    assert_eq!(blue.api().hear(1).await.len(), 1);

    red.edit(|_| pinned);
    reloaded(&red).await;
    assert_eq!(texts(&blue.api().hear(2).await), ["pinned", "refused"]);
}
