//! Peers that are added, removed, denied and found elsewhere without a restart.

use ::fixtures::clients::messenger_client::submission;
use ::fixtures::name_server::TestNameServer;
use reqwest::Method;
use serde_json::Value;

use super::{TRIED_SOON, reloaded, until, updates};
use crate::fixtures::node::GatewayProcess;

/// Returns a peer as the messenger of a gateway sees it.
async fn seen(gateway: &GatewayProcess, peer: &str) -> Value {
    gateway.api().get(&format!("/v1/peers/{peer}")).await
}

#[tokio::test]
async fn added_peer_exchanges_without_restart() {
    let (mut red, mut blue) = (GatewayProcess::new("red"), GatewayProcess::new("blue"));
    red.start().await;
    blue.start().await;
    let answer = red.api().call(Method::PUT, "/v1/updates/early", &submission(&["blue"], &["early"])).await;
    assert_eq!(answer.expect("an answer").0, 422, "no peer yet");

    red.know(&blue, "");
    blue.know(&red, "");
    let added = |name: &str| (vec![format!("peers.server.\"{name}\"")], vec![]);
    assert_eq!(reloaded(&red).await, added("blue"));
    assert_eq!(reloaded(&blue).await, added("red"));
    red.api().say("1", "blue", "from red").await;
    blue.api().say("1", "red", "from blue").await;
    assert_eq!(updates(&blue, 1).await, ["from red"]);
    assert_eq!(updates(&red, 1).await, ["from blue"]);
    assert_eq!(reloaded(&red).await, (vec![], vec![]), "nothing has changed since");
}

/// Items that wait for a removed peer stay, and are sent when the peer is listed again.
#[tokio::test]
async fn removed_peer_keeps_its_backlog() {
    let (mut red, mut blue) = GatewayProcess::pair(TRIED_SOON);
    red.start().await;
    red.api().say("1", "blue", "waits").await;
    red.api().until_backlog("blue", 1).await;
    let listed = red.edit(|text| text.split("[peers.server.\"blue\"]").next().unwrap_or_default().to_owned());
    assert_eq!(reloaded(&red).await.0, ["peers.server.\"blue\""]);
    let status = seen(&red, "blue").await;
    assert_eq!(
        (&status["state"], &status["reason"], &status["backlog"]),
        (&"suspended".into(), &"not_listed".into(), &1.into())
    );
    let more = red.api().call(Method::PUT, "/v1/updates/2", &submission(&["blue"], &["more"])).await;
    assert_eq!(more.expect("an answer").0, 422);

    // It has no proof any more, because its address is in no peer's list.
    blue.start().await;
    blue.api().say("1", "red", "refused").await;
    blue.api().until_backlog("red", 1).await;
    until(&blue, "red", "HTTP_401").await;
    assert_eq!(seen(&red, "blue").await["backlog"], 1);

    red.edit(|_| listed);
    assert_eq!(reloaded(&red).await.0, ["peers.server.\"blue\""]);
    assert_eq!(updates(&blue, 1).await, ["waits"]);
    assert_eq!(updates(&red, 1).await, ["refused"], "it arrives once it is accepted");
}

#[tokio::test]
async fn denied_peer_is_refused_until_allowed() {
    let (mut red, mut blue) = GatewayProcess::pair(TRIED_SOON);
    red.start().await;
    blue.start().await;
    let allowed = red.edit(|text| text.replace("\"*.bad.example\"", "\"blue\""));
    assert_eq!(reloaded(&red).await.0, ["federation.deny"]);
    let (status, why) =
        red.api().call(Method::PUT, "/v1/updates/1", &submission(&["blue"], &["no"])).await.expect("an answer");
    assert_eq!((status, &why["code"]), (422, &"DENIED".into()), "{why}");
    blue.api().say("1", "red", "later").await;
    until(&blue, "red", "HTTP_403").await;

    red.edit(|_| allowed);
    assert_eq!(reloaded(&red).await.0, ["federation.deny"]);
    assert_eq!(updates(&red, 1).await, ["later"]);
}

/// A name that leads to a private address needs `network.allow`, which may come later; so may the name server.
#[tokio::test]
async fn allowed_range_lets_name_be_reached() {
    let names = TestNameServer::start().await;
    let (mut red, mut blue) = GatewayProcess::pair(&format!("{TRIED_SOON}\ninsecure = true"));
    let address = blue.federation;
    names.host("host.blue.test", 60, &[address.ip()]);
    let by_name = format!("http://host.blue.test:{}", address.port());
    red.edit(|text| text.replace(&format!("http://{address}"), &by_name));
    red.start().await;
    blue.start().await;
    red.api().say("1", "blue", "by name").await;
    let network =
        |keys: &str| format!("[network]\nresolvers = [\"{}\"]\ndns_failure_ttl = \"1s\"\n{keys}", names.address);
    let base = red.edit(|text| text.to_owned() + &network(""));
    assert_eq!(reloaded(&red).await.0, ["network.dns_failure_ttl", "network.resolvers"]);
    until(&red, "blue", "ADDRESS_NOT_ALLOWED").await;
    red.edit(|_| base + &network("allow = [\"127.0.0.0/8\"]\n"));
    assert_eq!(reloaded(&red).await.0, ["network.allow"]);
    assert_eq!(updates(&blue, 1).await, ["by name"]);
}
