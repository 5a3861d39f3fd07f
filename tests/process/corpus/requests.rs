//! Requests that a gateway refuses: pushes, transactions, reads, submissions of the messenger, and heads that are no HTTP.

use std::net::{Ipv4Addr, SocketAddr};

use ::fixtures::clients::messenger_client::texts;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::corpus::area::repeat_area;
use crate::corpus::table::{NamedInput, bytes, read_table};
use crate::fixtures::node::GatewayProcess;
use crate::fixtures::raw::{Raw, response};

/// `federation.body_max` and `messenger.body_max` of these gateways.
const BODY_MAX: usize = 64 << 10;

/// A request of a table, written out.
pub(super) struct BadRequest {
    name: String,
    /// Address of the caller.
    from: Ipv4Addr,
    bytes: Vec<u8>,
    verdict: String,
}

impl NamedInput for BadRequest {
    fn name(&self) -> &str {
        &self.name
    }
}

/// A request as a table writes it: either all of its bytes, or its parts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRequest {
    name: String,
    /// Last byte of the caller's address on loopback.
    #[serde(default = "one")]
    from: u8,
    /// All bytes, for what is no request.
    bytes: Option<String>,
    /// Request line without its version.
    request: Option<String>,
    /// Header lines, each with its end.
    #[serde(default)]
    headers: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    framing: BodyFraming,
    verdict: String,
}

fn one() -> u8 {
    1
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BodyFraming {
    /// The length is right.
    #[default]
    Length,
    /// The body is chunked; it stands in the table as it is sent.
    Chunked,
    /// The announced length is one more than what comes.
    Short,
    /// A terabyte is announced, and nothing comes.
    Announced,
}

impl WrittenRequest {
    fn read(self, group: &str) -> BadRequest {
        let bytes = match &self.bytes {
            Some(all) => bytes(all),
            None => self.parts(group),
        };
        BadRequest { name: self.name, from: Ipv4Addr::new(127, 0, 0, self.from), bytes, verdict: self.verdict }
    }

    fn parts(&self, group: &str) -> Vec<u8> {
        let body = bytes(&self.body);
        let length = match self.framing {
            BodyFraming::Length => format!("Content-Length: {}", body.len()),
            BodyFraming::Chunked => "Transfer-Encoding: chunked".to_owned(),
            BodyFraming::Short => format!("Content-Length: {}", body.len() + 1),
            BodyFraming::Announced => format!("Content-Length: {}", 1_u64 << 40),
        };
        let line = bytes(self.request.as_deref().unwrap_or(group));
        let headers = bytes(&self.headers);
        let rest = format!("{length}\r\n\r\n");
        [&line[..], b" HTTP/1.1\r\nHost: red\r\nConnection: close\r\n", &headers, rest.as_bytes(), &body].concat()
    }
}

fn inputs(area: &str) -> Vec<BadRequest> {
    read_table::<WrittenRequest>(area).into_iter().map(|(group, input)| input.read(&group)).collect()
}

pub(super) fn names(area: &str) -> Vec<String> {
    inputs(area).into_iter().map(|input| input.name).collect()
}

/// Compares an answer with a verdict: `closed`, `STATUS CODE` of a refusal, `200 entry CODE` of the only PDU, or `200 WORD` of the
/// answer to a push.
pub(super) fn judge(answer: &[u8], verdict: &str) -> Result<(), String> {
    let got = match answer {
        [] => "closed".to_owned(),
        _ => word(answer),
    };
    if got == verdict {
        Ok(())
    } else {
        Err(format!("{got} instead of {verdict}: {}", String::from_utf8_lossy(answer)))
    }
}

fn word(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let responses =
        text.match_indices("HTTP/1.1 ").filter(|(at, _)| text[at + 9..].starts_with(|c: char| c.is_ascii_digit()));
    let (count, (status, json)) = (responses.count(), response(answer));
    let code = json["code"].as_str().filter(|_| json["error"].as_str().is_some_and(|words| !words.is_empty()));
    let entry = json["pdus"].as_array().filter(|pdus| pdus.len() == 1).and_then(|pdus| pdus[0]["code"].as_str());
    let word = match (code, entry, json["receive"].as_str()) {
        (Some(code), ..) => code.to_owned(),
        (None, Some(code), _) => format!("entry {code}"),
        (None, None, Some(word)) => word.to_owned(),
        (None, None, None) => "without a code".to_owned(),
    };
    if count == 1 { format!("{status} {word}") } else { format!("{count} responses, the first {status} {word}") }
}

async fn sent(input: &BadRequest, to: SocketAddr) -> Result<(), String> {
    judge(&Raw::connect(input.from, to).await.reply(&input.bytes).await, &input.verdict)
}

/// Returns a gateway with the peers that the tables name: blue at 127.0.0.1, and a denied one at 127.0.0.3. Green and pink are
/// peers that do not call.
async fn start() -> GatewayProcess {
    let (mut red, _blue) = GatewayProcess::pair("batch_bytes = \"32KiB\"\nbackoff_min = \"10m\"");
    let elsewhere = "addresses = [\"http://127.0.0.1:9\"]\nallow_from = [\"127.0.0.3/32\"]";
    red.peer("x.bad.example", elsewhere);
    for (name, address) in [("green", 4), ("pink", 5)] {
        red.peer(name, &elsewhere.replace("0.3/", &format!("0.{address}/")));
    }
    let body_max = ["federation", "messenger"].map(|door| format!("{door}.body_max={BODY_MAX}B"));
    red.start_with(&[&body_max[0], &body_max[1], "contexts.gap.give_up=1h", "store.cache=1MiB"]).await;
    red
}

/// Checks that nothing of the bad requests was kept, and that good ones work.
async fn is_sound(red: &mut GatewayProcess, events: &Value) {
    let api = red.api();
    assert_eq!(&api.get("/v1/events?after=0").await, events);
    for peer in api.get("/v1/peers").await["peers"].as_array().expect("a list") {
        let seen = ["expected_seq", "backlog", "state"].map(|key| peer[key].clone());
        assert_eq!(seen, [Value::from(1), Value::from(0), Value::from("idle")], "{peer}");
    }
    let before = usize::try_from(events["next"].as_u64().expect("a position")).expect("few");
    let push = WrittenRequest {
        name: String::new(),
        from: 1,
        bytes: None,
        request: Some("POST /http/v1/updates".to_owned()),
        headers: "Fernpost-Origin: blue\r\n".to_owned(),
        body: r#"{"strong":[{"text":"hello"}],"seq":1}"#.to_owned(),
        framing: BodyFraming::Length,
        verdict: "200 ok".to_owned(),
    };
    sent(&push.read(""), red.federation).await.expect("a good push");
    let heard = api.hear(before + 1).await;
    assert_eq!(texts(&heard[before..]), ["hello"]);
    api.say("good", "blue", "hello").await;
    let log = red.kill();
    assert!(!log.contains("panic") && !log.contains("ERROR"), "{log}");
}

const NOTHING: &str = r#"{"events":[],"next":0}"#;

#[tokio::test]
async fn bad_updates_get_their_verdicts() {
    let mut red = start().await;
    let to = red.federation;
    repeat_area("updates", &inputs("updates"), &mut red, async |input| sent(input, to).await).await;
    is_sound(&mut red, &serde_json::from_str(NOTHING).expect("JSON")).await;
}

#[tokio::test]
async fn bad_submissions_get_their_verdicts() {
    let mut red = start().await;
    red.api().set_participants("#room", &["blue"]).await;
    red.api().set_participants("#wide", &["blue", "green"]).await;
    let to = red.messenger;
    repeat_area("messenger", &inputs("messenger"), &mut red, async |input| sent(input, to).await).await;
    is_sound(&mut red, &serde_json::from_str(NOTHING).expect("JSON")).await;
}

/// A head that cannot be read is refused in the same way at every listener.
#[tokio::test]
async fn bad_heads_get_their_verdicts() {
    let mut red = start().await;
    let to = red.federation;
    let inputs = inputs("heads");
    for (listener, input) in
        [red.messenger, red.admin].into_iter().flat_map(|to| inputs.iter().map(move |one| (to, one)))
    {
        if ["400 BAD_REQUEST", "closed"].contains(&input.verdict.as_str()) {
            sent(input, listener).await.unwrap_or_else(|why| panic!("{} at {listener}: {why}", input.name));
        }
    }
    repeat_area("heads", &inputs, &mut red, async |input| sent(input, to).await).await;
    is_sound(&mut red, &serde_json::from_str(NOTHING).expect("JSON")).await;
}

/// PDUs of blue's that the table refers to.
const KNOWN: &str = concat!(
    r##"{"origin":"blue","pdus":[{"pdu_id":"known","origin":"blue","context":"#room","ts":1,"pdu_type":"m","content":{}},"##,
    r##"{"pdu_id":"topic","origin":"blue","context":"#room","ts":1,"pdu_type":"t","is_state":true,"state_key":"a","##,
    r##""prev_pdus":[["blue","known"]],"content":{}}]}"##
);

#[tokio::test]
async fn bad_transactions_get_their_verdicts() {
    let mut red = start().await;
    let api = red.api();
    api.set_participants("#room", &["blue"]).await;
    api.set_participants("#closed", &["green"]).await;
    let path = "/matrix/federation/v1/send/first/";
    let (status, answer) = ::fixtures::clients::http_caller::HttpCaller::at(red.federation)
        .call(Method::PUT, path, KNOWN)
        .await
        .expect("an answer");
    let statuses = [&answer["pdus"][0]["status"], &answer["pdus"][1]["status"]];
    assert_eq!((status, statuses), (200, [&json!("accepted"), &json!("accepted")]), "{answer}");
    let events = api.get("/v1/events?after=0").await;
    let to = red.federation;
    repeat_area("transactions", &inputs("transactions"), &mut red, async |input| sent(input, to).await).await;
    is_sound(&mut red, &events).await;
}
