//! Peers that are written Protobuf, and one that cannot read it.

use std::net::Ipv4Addr;

use ::fixtures::clients::messenger_client::texts;
use ::fixtures::receivers::push_receiver::{MessengerReply, PushReceiver, ReceivedCall};
use serde_json::Value;

use crate::fixtures::node::GatewayProcess;

#[tokio::test]
async fn protobuf_gateways_hold_conversation() {
    let (mut red, mut blue) = GatewayProcess::pair("encoding = \"protobuf\"");
    red.start().await;
    blue.start().await;
    for number in 1..=20 {
        let text = format!("message {number}");
        red.api().say(&format!("r-{number}"), "blue", &text).await;
        blue.api().say(&format!("b-{number}"), "red", &text).await;
    }
    let expected: Vec<String> = (1..=20).map(|number| format!("message {number}")).collect();
    assert_eq!(texts(&blue.api().hear(20).await), expected);
    assert_eq!(texts(&red.api().hear(20).await), expected);
    assert!(!red.kill().contains("refuses Protobuf"));
}

/// The number 91 is written as an opening bracket; a bracket nests in JSON alone.
#[tokio::test]
async fn bracket_bytes_in_answer_never_nest() {
    let answer = format!("\n\u{2}ok\u{10}\u{1}{}", ":\u{4}\u{8}[\u{10}[".repeat(70));
    let head = format!("HTTP/1.1 200 Told\r\ncontent-length: {}\r\n\r\n", answer.len());
    let reply: &'static str = (head + &answer).leak();
    let mut blue = PushReceiver::answering(move |_| MessengerReply::CutOff(reply));
    let address = blue.listen().await;
    let mut red = GatewayProcess::new("red");
    red.peer(
        "blue",
        &format!("addresses = [\"http://{address}\"]\nallow_from = [\"127.0.0.1/32\"]\nencoding = \"protobuf\""),
    );
    red.start().await;
    red.api().say("m-1", "blue", "one").await;
    red.api().until_state("m-1", "blue", "acknowledged").await;
    assert_eq!(blue.until("one push", |calls| !calls.is_empty()).await.len(), 1);
}

#[tokio::test]
async fn refused_protobuf_falls_back_to_json() {
    let is_json = |call: &ReceivedCall| call.header("content-type") == Some("application/json");
    let mut blue = PushReceiver::answering(move |call| match is_json(call) {
        false => MessengerReply::Status(415, r#"{"error":"no such type","code":"UNSUPPORTED"}"#.to_owned()),
        true => {
            let push: Value = serde_json::from_str(&call.body).expect("a push");
            MessengerReply::Status(200, format!(r#"{{"receive":"ok","seq":{}}}"#, push["seq"]))
        }
    });
    let address = blue.listen_at((Ipv4Addr::LOCALHOST, 0).into()).await;
    let mut red = GatewayProcess::new("red");
    red.peer(
        "blue",
        &format!("addresses = [\"http://{address}\"]\nallow_from = [\"127.0.0.1/32\"]\nencoding = \"protobuf\""),
    );
    red.start().await;
    for id in ["m-1", "m-2", "m-3"] {
        red.api().say(id, "blue", id).await;
        red.api().until_state(id, "blue", "acknowledged").await;
        let trace = red.api().get(&format!("/v1/messages/{id}")).await;
        assert_eq!(trace["peers"]["blue"]["attempts"].as_array().map(Vec::len), Some(1), "{trace}");
    }
    let calls = blue.until("three pushes", |calls| calls.iter().filter(|call| is_json(call)).count() == 3).await;
    let encodings: Vec<bool> = calls.iter().map(is_json).collect();
    assert_eq!(encodings, [false, true, true, true], "Protobuf is tried once");
    assert_eq!(red.kill().matches("the peer refuses Protobuf and is sent JSON").count(), 1);
}
