//! Two gateways of different versions: the conversation of every release with the one before it.
//!
//! `scripts/skew.sh` names the binary of the other version; without it both gateways have the same one.

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::soon;
use crate::peers::signatures::key;

/// Messages in each direction and in each part of the conversation.
const MESSAGES: usize = 20;

/// Two gateways that are authenticated by their signatures, the second one of the other version.
fn pair(dialect: &str) -> (GatewayProcess, GatewayProcess) {
    let (mut red, mut blue) = (GatewayProcess::new("red"), GatewayProcess::new("blue"));
    blue.of_peer_version();
    let (of_red, of_blue) = (key(&red).1, key(&blue).1);
    let more = format!("dialect = \"{dialect}\"\nbackoff_min = \"50ms\"\nbackoff_max = \"200ms\"");
    let section = |peer: &GatewayProcess, pinned: &str| {
        format!("addresses = [\"http://{}\"]\nauth = \"signature\"\nkeys = [\"{pinned}\"]\n{more}", peer.federation)
    };
    let (to_blue, to_red) = (section(&blue, &of_blue), section(&red, &of_red));
    red.peer_section("blue", &to_blue);
    blue.peer_section("red", &to_red);
    (red, blue)
}

/// Says messages in the context, from both sides; returns what each side has said.
async fn say_both(red: &GatewayProcess, blue: &GatewayProcess, part: &str) -> [Vec<String>; 2] {
    let mut said = [Vec::new(), Vec::new()];
    for n in 0..MESSAGES {
        for (side, gateway) in [red, blue].into_iter().enumerate() {
            let text = format!("{part} {n} of {}", gateway.name);
            gateway.api().say_in("#garden", &format!("{part}-{n}"), &text).await;
            said[side].push(text);
        }
    }
    said
}

/// Reads the feed until it has this many messages, and returns their texts.
async fn hear(gateway: &GatewayProcess, count: usize) -> Vec<String> {
    let mut heard = Vec::new();
    let all = async {
        let mut after = 0;
        while heard.len() < count {
            let page = gateway.api().page(after).await;
            after = page["next"].as_u64().expect("a position");
            let messages = page["events"].as_array().expect("a list").iter().filter(|event| event["kind"] == "message");
            heard.extend(messages.map(|event| event["content"]["body"].as_str().expect("a text").to_owned()));
        }
    };
    soon("the messages", all).await;
    heard
}

async fn talk(dialect: &str) {
    let (mut red, mut blue) = pair(dialect);
    red.start().await;
    blue.start().await;
    for (gateway, other) in [(&red, "blue"), (&blue, "red")] {
        gateway.api().set_participants("#garden", &[other]).await;
    }
    let mut expected = say_both(&red, &blue, "first").await;
    // Each side is killed while the other one speaks.
    drop(blue.kill());
    for n in 0..MESSAGES {
        let text = format!("alone {n}");
        red.api().say_in("#garden", &format!("alone-{n}"), &text).await;
        expected[0].push(text);
    }
    blue.start().await;
    drop(red.kill());
    red.start().await;
    let more = say_both(&red, &blue, "last").await;
    for (all, more) in expected.iter_mut().zip(more) {
        all.extend(more);
    }
    for (gateway, expected) in [(&blue, &expected[0]), (&red, &expected[1])] {
        let heard = hear(gateway, expected.len()).await;
        assert_eq!(&heard, expected, "{dialect}: {} hears each once and in order", gateway.name);
    }
}

#[tokio::test]
async fn versions_talk_by_updates() {
    talk("updates").await;
}

#[tokio::test]
async fn versions_talk_by_transactions() {
    talk("transactions").await;
}
