//! A server of the first text takes part in a context by one of its groups.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ::fixtures::receivers::push_receiver::{MessengerReply, PushReceiver, ReceivedCall};
use serde_json::{Value, json};

use crate::fixtures::node::GatewayProcess;

/// Address that gold calls from: its address alone says who it is, because such a server does not send its name.
const GOLD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Pushes a message of the group 7 to a gateway, as gold, and returns the answer.
async fn push(to: SocketAddr, seq: u64, text: &str) -> Value {
    let update = json!({
        "update": "message", "user_id": "@ann", "peer": { "type": "group", "id": 7 }, "content": { "type": "text", "text": text }
    });
    let client = reqwest::Client::builder().no_proxy().local_address(GOLD).build().expect("a client");
    let request = client.post(format!("http://{to}/http/v1/updates"));
    let body = json!({ "strong": [update], "seq": seq }).to_string();
    let request = request.header("Content-Type", "application/json").body(body);
    let answer = request.send().await.expect("an answer").bytes().await.expect("a body");
    serde_json::from_slice(&answer).expect("JSON")
}

/// Returns the updates in the pushes that gold was sent.
fn updates(calls: &[ReceivedCall]) -> Vec<Value> {
    let pushes = calls.iter().map(|call| serde_json::from_str::<Value>(&call.body).expect("a push"));
    pushes.flat_map(|push| push["strong"].as_array().cloned().unwrap_or_default()).collect()
}

#[tokio::test]
async fn group_of_2016_shares_context() {
    let mut gold = PushReceiver::answering(|call| {
        let push: Value = serde_json::from_str(&call.body).expect("a push");
        MessengerReply::Status(200, format!(r#"{{"receive":"ok","seq":{}}}"#, push["seq"]))
    });
    let address = gold.listen_at((Ipv4Addr::LOCALHOST, 0).into()).await;
    let (mut red, mut blue) = GatewayProcess::pair("");
    let link = format!("profile = \"actor-2016\"\naddresses = [\"http://{address}\"]\nallow_from = [\"{GOLD}/32\"]");
    red.peer("gold", &format!("{link}\n[peers.server.\"gold\".groups]\n7 = \"#garden\""));
    red.start().await;
    blue.start().await;
    red.api().set_participants("#garden", &["blue", "gold"]).await;
    blue.api().set_participants("#garden", &["red"]).await;

    assert_eq!(push(red.federation, 1, "hello").await["receive"], "ok");
    let heard = blue.api().hear(1).await;
    assert_eq!((&heard[0]["origin"], &heard[0]["content"]["text"]), (&json!("red"), &json!("hello")));
    // A crash, after which gold has not seen the answer.
    red.kill();
    red.start().await;
    assert_eq!(push(red.federation, 1, "hello").await["receive"], "ok");

    let r1 = red.api().say_in("#garden", "r-1", "from red").await;
    red.api().until_state("r-1", "gold", "acknowledged").await;
    let b1 = blue.api().say_in("#garden", "b-1", "from blue").await;
    let calls = gold.until("two messages", |calls| updates(calls).len() == 2).await;
    let expected = |id: &str, text: &str| {
        json!({
            "update": "message", "peer": { "type": "group", "id": 7 }, "content": { "type": "text", "text": text }, "id": id
        })
    };
    let [first, second] = [(format!("red/{r1}"), "from red"), (format!("blue/{b1}"), "from blue")];
    assert_eq!(updates(&calls), [expected(&first.0, first.1), expected(&second.0, second.1)]);

    let own = red.api().hear(2).await;
    let bridged = json!({ "server": "gold", "seq": 1, "user_id": "@ann" });
    assert_eq!((&own[0]["sender"], &own[0]["bridged"], &own[0]["kind"]), (&json!("gold"), &bridged, &json!("message")));
    let odd = json!({ "context": "#garden", "type": "m.text", "content": { "x": 1 } }).to_string();
    red.api().submit_message("r-2", &odd).await;
    let trace = red.api().get("/v1/messages/r-2").await;
    assert_eq!(trace["peers"]["gold"], json!({ "state": "refused", "attempts": [], "reason": "NO_PLAIN_FORM" }));
    blue.api().hear(3).await;
    let after = blue.api().get("/v1/events?after=3").await;
    assert_eq!(after["events"], json!([]), "nothing came twice");
}
