//! Three gateways of which two cannot reach each other: the third one passes on what they lack, and signatures decide whether it is
//! believed.

use fernpost::identity::key_directory::KEY_DIRECTORY_PATH;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixtures::node::{GatewayProcess, own_address};
use crate::peers::signatures::key;
use crate::tls::authority::{FileAuthority, LeafKind};
use crate::tls::directory_server::{DirectoryReply, DirectoryServer};

/// Red, blue and green in one context. Red and green reach blue, but not each other. `of_red` and `of_blue` are further TOML of
/// green's about them, in which `KEY` stands for red's public key.
async fn chain(of_red: &str, of_blue: &str) -> [GatewayProcess; 3] {
    chain_with(of_red, of_blue, None, &[]).await
}

/// The same, with the place at which green looks for red, and further overrides.
async fn chain_with(of_red: &str, of_blue: &str, red_at: Option<&str>, overrides: &[&str]) -> [GatewayProcess; 3] {
    let mut nodes = ["red", "blue", "green"].map(GatewayProcess::new);
    let keys = nodes.each_ref().map(|node| key(node).1);
    let nowhere = format!("http://{}:9", own_address());
    let links: Vec<(&str, String)> =
        nodes.iter().map(|node| (node.name, format!("http://{}", node.federation))).collect();
    for node in &mut nodes {
        let own = node.name;
        for (name, address) in links.iter().filter(|(name, _)| *name != own) {
            let is_cut = own != "blue" && *name != "blue";
            let more = match (own, *name) {
                ("green", "red") => of_red.replace("KEY", &keys[0]),
                ("green", "blue") => of_blue.to_owned(),
                _ => String::new(),
            };
            let address = match is_cut {
                true if own == "green" => red_at.unwrap_or(&nowhere),
                true => &nowhere,
                false => address,
            };
            let section = format!("addresses = [\"{address}\"]\nallow_from = [\"127.0.0.1/32\"]\n{more}");
            node.peer(name, &section);
        }
        let gaps = ["contexts.gap.grace=\"50ms\"", "contexts.gap.give_up=\"3s\""];
        node.start_with(&[&gaps[..], overrides].concat()).await;
    }
    nodes
}

async fn put(node: &GatewayProcess, path: &str, body: Value) {
    let (status, answer) = node.api().call(Method::PUT, path, &body.to_string()).await.expect("an answer");
    assert!(status < 300, "{path}: {status} {answer}");
}

async fn say(node: &GatewayProcess, id: &str) {
    put(node, &format!("/v1/messages/{id}"), json!({"context": "#room", "type": "m.text", "content": {"text": id}}))
        .await;
}

/// Red says something that only blue gets, and blue answers to all.
async fn talk(nodes: &[GatewayProcess; 3]) {
    for node in nodes {
        let others: Vec<&str> = nodes.iter().map(|other| other.name).filter(|other| *other != node.name).collect();
        put(node, "/v1/contexts/%23room", json!({ "servers": others })).await;
    }
    say(&nodes[0], "question").await;
    nodes[1].api().hear(1).await;
    say(&nodes[1], "answer").await;
}

fn words(event: &Value) -> String {
    format!("{} {} {}", event["kind"], event["content"]["text"], event["verified"]).replace('"', "")
}

#[tokio::test]
async fn third_server_relays_signed_message() {
    let nodes = chain("keys = [\"KEY\"]", "").await;
    talk(&nodes).await;
    let events = nodes[2].api().hear(2).await;
    assert_eq!(
        events.iter().map(words).collect::<Vec<_>>(),
        ["message question pdu-signature", "message answer network"]
    );
    assert_eq!(
        (&events[0]["sender"], &events[0]["origin"], events[1].get("gap")),
        (&json!("blue"), &json!("red"), None)
    );
}

/// Red does not answer green but for its key directory, which is enough to believe what blue brings of it.
#[tokio::test]
async fn relayed_message_is_proved_by_directory() {
    let (authority, folder) = (FileAuthority::new(), tempfile::tempdir().expect("a folder"));
    let pair = authority.issue(folder.path(), "red", &["red"], LeafKind::Usual);
    let server = DirectoryServer::start(Some(&pair), DirectoryReply::Silence).await;
    let (red_at, ca) = (format!("https://{}", server.address), authority.write(folder.path()));
    let roots = format!("network.roots=[\"{}\"]", ca.display());
    let nodes = chain_with("", "", Some(&red_at), &[&roots]).await;
    let url = format!("http://{}{KEY_DIRECTORY_PATH}", nodes[0].federation);
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let directory = client.get(url).send().await.expect("an answer").text().await.expect("a text");
    server.reply(DirectoryReply::Json(directory)).await;
    talk(&nodes).await;
    let events = nodes[2].api().hear(2).await;
    assert_eq!(
        events.iter().map(words).collect::<Vec<_>>(),
        ["message question pdu-signature", "message answer network"]
    );
    assert_eq!(server.reads(), 1);
}

/// Without red's key, or if nothing is taken from blue but its own, the message stays missing, and the log says why.
#[tokio::test]
async fn unproved_relay_leaves_gap() {
    for (of_red, of_blue, code) in
        [("", "", "UNKNOWN_KEY"), ("keys = [\"KEY\"]", "accept_relayed = \"none\"", "RELAYED_NOT_ACCEPTED")]
    {
        let mut nodes = chain(of_red, of_blue).await;
        talk(&nodes).await;
        let events = nodes[2].api().hear(2).await;
        assert_eq!(events.iter().map(|event| event["kind"].clone()).collect::<Vec<_>>(), ["gap", "message"], "{code}");
        assert_eq!(events[1]["gap"][0][0], "red");
        if code == "UNKNOWN_KEY" {
            nodes[2].process().says(code).await;
        }
    }
}
