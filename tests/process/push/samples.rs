//! The sample messengers of `scripts/`, in Python and in JavaScript, at real gateways.

use std::collections::HashMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::fixtures::clients::messenger_client::message;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::fixtures::node::own_address;
use crate::fixtures::process::{Process, soon};
use crate::fixtures::tools::{is_installed, repository_file};
use crate::push::{LOOK_AGAIN, PushingPair};

#[expect(clippy::disallowed_methods, reason = "the messengers of this test are processes, whose clock is the system's")]
fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// A messenger of `scripts/`, and what it needs to start again.
struct SampleScript {
    program: &'static str,
    file: &'static str,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl SampleScript {
    fn python() -> Option<Self> {
        Some(Self::new("python3", "scripts/messenger.py"))
    }

    fn javascript() -> Option<Self> {
        is_installed("node", "nodejs").then(|| Self::new("node", "scripts/messenger.mjs"))
    }

    fn new(program: &'static str, file: &'static str) -> Self {
        let address = TcpListener::bind((own_address(), 0)).expect("a port").local_addr().expect("bound");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("secret"), "whsec_AQIDBA==\n").expect("written");
        Self { program, file, address, folder }
    }

    /// Returns one of its commands, with the gateway whose messenger it is.
    fn command(&self, gateway: SocketAddr, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command.arg(repository_file(self.file)).args(arguments).arg("--gateway").arg(format!("http://{gateway}"));
        command
    }

    /// Starts it and waits until it listens.
    async fn run(&self, gateway: SocketAddr) -> Process {
        let [secret, data] = ["secret", "events"].map(|name| self.folder.path().join(name).display().to_string());
        let address = self.address.to_string();
        let arguments = ["run", "--listen", &address, "--secret-file", &secret, "--data", &data];
        let mut process = Process::start(&mut self.command(gateway, &arguments));
        process.says("listening on").await;
        process
    }

    /// Runs a command to its end; returns whether it succeeded, and the JSON that it printed.
    async fn done(&self, gateway: SocketAddr, arguments: &[&str]) -> (bool, Value) {
        let mut command = self.command(gateway, arguments);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it starts");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        (output.status.success(), serde_json::from_str(&text).expect("JSON"))
    }

    /// Returns the events that it keeps.
    fn kept(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("events")).expect("readable");
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits until it keeps so many events.
    async fn keeps(&self, count: usize) -> Vec<Value> {
        let there = async {
            while self.kept().len() < count {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        soon("the events", there).await;
        self.kept()
    }

    /// Makes a call as the gateway does, signed with this key and this many seconds ago.
    async fn called(&self, call: (Method, &str), body: &str, key: &[u8], ago: u64) -> (u16, Value) {
        let now = seconds() - ago;
        let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), format!("c1.{now}.{body}").as_bytes());
        let (method, path) = call;
        let client = Client::builder().no_proxy().build().expect("a client");
        let request = client.request(method, format!("http://{}/fernpost{path}", self.address));
        let request = request.header("webhook-id", "c1").header("webhook-timestamp", now).body(body.to_owned());
        let request = request.header("webhook-signature", format!("v1,AAAA v1,{}", STANDARD.encode(signed)));
        let answer = request.header("Fernpost-Peer", "red").send().await.expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}

/// Returns how often each text of an update is kept, and whether all that are in order of their numbers.
fn counted(events: &[Value]) -> (HashMap<u64, usize>, bool) {
    let texts = events.iter().filter_map(|event| event["update"]["text"].as_str()?.parse().ok());
    let numbers: Vec<u64> = texts.collect();
    let mut counts = HashMap::new();
    for number in &numbers {
        *counts.entry(*number).or_default() += 1;
    }
    (counts, numbers.is_sorted())
}

async fn takes_what_is_pushed(script: SampleScript) {
    let url = format!("http://{}/fernpost", script.address);
    // The gateway has two secrets, the messenger the old one still.
    let pair = PushingPair::start_to(&url, &["messenger.push.secret=new one\nwhsec_AQIDBA=="]).await;
    let mut process = script.run(pair.blue.messenger).await;
    let (red, blue) = (pair.red.api(), pair.blue.api());
    red.call(Method::PUT, "/v1/contexts/%23garden", r#"{"servers":["blue"]}"#).await.expect("an answer");
    blue.call(Method::PUT, "/v1/contexts/%23garden", r#"{"servers":["red"]}"#).await.expect("an answer");

    // What it submits at red reaches it at blue.
    let said = script.done(pair.red.messenger, &["say", "#garden", "who waters?", "--id", "m-1"]).await;
    assert_eq!((said.0, &said.1["id"], &said.1["peers"]), (true, &json!("m-1"), &json!(["blue"])));
    let update = r#"{"update":"message","text":"0"}"#;
    assert!(script.done(pair.red.messenger, &["update", "blue", update]).await.0);
    let (is_taken, refusal) = script.done(pair.red.messenger, &["update", "green", update]).await;
    assert_eq!((is_taken, &refusal["code"]), (false, &json!("NOT_A_PEER")));
    let events = script.keeps(2).await;
    assert_eq!(events[0]["content"]["body"], "who waters?");

    // A question of red's messenger is answered by blue's.
    let answer = script.done(pair.red.messenger, &["ask", "blue", r#"{"method":"echo"}"#]).await;
    assert_eq!(answer, (true, json!({"peer": "red", "echo": {"method": "echo"}})));
    let (is_answered, refusal) = script.done(pair.red.messenger, &["ask", "blue", r#"{"method":"x"}"#]).await;
    assert_eq!((is_answered, &refusal["code"]), (false, &json!("UNKNOWN_METHOD")));

    // One event is refused, and the others go on.
    let body = message("#garden", "x").replace(r#""body":"x""#, r#""body":7"#);
    assert!(body.contains(":7"), "{body}");
    red.submit("messages/m-2", &body).await;
    pair.say(1, 1).await;
    assert_eq!(script.keeps(3).await[2]["update"]["text"], "1");
    pair.nothing_unread().await;
    let ephemeral = r##"{"context":"#garden","update":{"update":"typing","user_id":"ann"}}"##;
    red.call(Method::PUT, "/v1/ephemeral", ephemeral).await.expect("an answer");

    // It is killed while events come, and takes each of them once.
    for round in 0..5 {
        pair.say(2 + round * 400, 400).await;
        process.kill();
        process = script.run(pair.blue.messenger).await;
    }
    script.keeps(2 + 2_001).await;
    // The gateway pushes all of it again, and then one more.
    pair.nothing_unread().await;
    let (status, _) = blue.call(Method::POST, "/v1/events/rewind", r#"{"to":0}"#).await.expect("an answer");
    assert_eq!(status, 204);
    pair.say(2_002, 1).await;
    let (counts, is_sorted) = counted(&script.keeps(2 + 2_002).await);
    assert!(is_sorted && counts.len() == 2_003 && counts.values().all(|count| *count == 1), "{} texts", counts.len());
    pair.nothing_unread().await;
}

#[tokio::test]
async fn python_messenger_takes_each_event_once() {
    takes_what_is_pushed(SampleScript::python().expect("a build tool")).await;
}

#[tokio::test]
async fn javascript_messenger_takes_each_event_once() {
    if let Some(script) = SampleScript::javascript() {
        takes_what_is_pushed(script).await;
    }
}

#[tokio::test]
async fn sample_messengers_verify_signatures() {
    for script in [SampleScript::python(), SampleScript::javascript()].into_iter().flatten() {
        // The gateway is down; that is no reason not to start.
        let _process = script.run(([127, 0, 0, 1], 1).into()).await;
        let (key, call) = ([1, 2, 3, 4], |path| (Method::POST, path));
        let question = r#"{"method":"echo","n":1}"#;
        let answer = script.called(call("/rpc"), question, &key, 0).await;
        assert_eq!(answer, (200, json!({"peer": "red", "echo": {"method": "echo", "n": 1}})), "{}", script.file);
        assert_eq!(script.called(call("/rpc"), r#"{"method":"x"}"#, &key, 0).await.0, 404, "{}", script.file);
        assert_eq!(script.called((Method::GET, "/ping"), "", &key, 0).await.0, 204, "{}", script.file);
        let (key, old) = ([4, 3, 2, 1], Duration::from_secs(600).as_secs());
        assert_eq!(script.called(call("/rpc"), question, &key, 0).await.0, 401, "{}: another key", script.file);
        assert_eq!(script.called(call("/rpc"), question, &[1, 2, 3, 4], old).await.0, 401, "{}: old", script.file);
    }
}
