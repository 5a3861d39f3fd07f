//! `/openapi.json` of both private listeners: a validator reads it, and schemathesis calls a running gateway as it describes.
//!
//! Both are Python packages. Where they cannot be installed the test says so and ends. `FERNPOST_TEST_TOOLS=all`, which CI sets,
//! makes it fail instead.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use ::fixtures::clients::messenger_client::MessengerClient;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::fixtures::node::{GatewayProcess, own_address};
use crate::fixtures::process::soon;

/// Token of both listeners.
const TOKEN: &str = "sesame";

fn here(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/process/openapi").join(file)
}

/// Returns the folder of the Python packages; `None`: they cannot be installed.
fn tools() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("openapi-tools");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/openapi-tools.sh");
    let output = Command::new(script).arg(&folder).output().expect("a shell");
    if output.status.success() {
        return Some(folder.join("bin"));
    }
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    let must_be = std::env::var("FERNPOST_TEST_TOOLS").is_ok_and(|tools| tools == "all");
    assert!(!must_be, "schemathesis cannot be installed: {why}");
    eprintln!("not tested, because schemathesis cannot be installed: {}", why.lines().last().unwrap_or_default());
    None
}

async fn done(messenger: &MessengerClient, path: &str, body: Value) {
    let (status, answer) = messenger.call(Method::PUT, path, &body.to_string()).await.expect("an answer");
    assert!((200..300).contains(&status), "{path}: {status} {answer}");
}

/// Starts `red.example` with a live peer, a dead one, a context of messages and state, and an item in quarantine.
async fn start_pair() -> (GatewayProcess, GatewayProcess) {
    let (mut red, mut blue) = (GatewayProcess::new("red.example"), GatewayProcess::new("blue.example"));
    red.know(&blue, "");
    blue.know(&red, "");
    let nobody = own_address();
    red.peer("green.example", &format!("addresses = [\"http://{nobody}:9\"]\nallow_from = [\"{nobody}/32\"]"));
    red.start().await;
    blue.start().await;
    let (ours, theirs) = (red.api(), blue.api());
    done(&ours, "/v1/contexts/%23garden", json!({ "servers": ["blue.example", "green.example"] })).await;
    done(&ours, "/v1/contexts/shed", json!({ "servers": [] })).await;
    done(&theirs, "/v1/contexts/%23garden", json!({ "servers": ["red.example"] })).await;
    done(&theirs, "/v1/contexts/shed", json!({ "servers": ["red.example"] })).await;
    let message = |context: &str| json!({ "context": context, "type": "m.text", "content": { "body": "hello" } });
    done(&ours, "/v1/messages/m-1", message("#garden")).await;
    done(&theirs, "/v1/messages/b-1", message("#garden")).await;
    let state = json!({ "context": "#garden", "type": "m.topic", "content": [1], "state_key": "", "power_level": 5 });
    done(&theirs, "/v1/messages/b-2", state).await;
    done(&theirs, "/v1/messages/b-3", message("shed")).await;
    done(&theirs, "/v1/updates/b-4", json!({ "to": ["red.example"], "strong": [{ "update": "message" }] })).await;
    let all_came = async {
        loop {
            let (_, page) = ours.call(Method::GET, "/v1/events", "").await.expect("an answer");
            let events = page["events"].as_array().expect("a list");
            let is_there = |kind: &&str| events.iter().any(|event| event["kind"] == *kind);
            if ["message", "state", "parked", "update"].iter().all(is_there) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    soon("blue's items", all_came).await;
    red.kill();
    red.start_with(&[&format!("messenger.token={TOKEN}"), &format!("admin.token={TOKEN}")]).await;
    (red, blue)
}

fn assert_passed(what: &str, output: &Output) {
    let text = [&*output.stdout, &*output.stderr].concat();
    assert!(output.status.success(), "{what}:\n{}", String::from_utf8_lossy(&text));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_gateway_conforms_to_description() {
    let Some(tools) = tools() else { return };
    let (red, _blue) = start_pair().await;
    let client = Client::builder().no_proxy().build().expect("a client");
    for (listener, address) in [("messenger", red.messenger), ("admin", red.admin)] {
        let url = format!("http://{address}/openapi.json");
        let document = client.get(&url).send().await.expect("an answer").text().await.expect("a text");
        let file = red.folder().join(format!("{listener}.json"));
        std::fs::write(&file, document).expect("a writable folder");
        let mut validator = Command::new(tools.join("openapi-spec-validator"));
        let mut schemathesis = Command::new(tools.join("schemathesis"));
        schemathesis.arg("--config-file").arg(here("schemathesis.toml")).args(["run", &url, "--no-color"]);
        schemathesis.args(["--header", &format!("Authorization: Bearer {TOKEN}")]);
        schemathesis.env("SCHEMATHESIS_HOOKS", "hooks").env("PYTHONPATH", here("")).env("NO_PROXY", "*");
        schemathesis.env("PYTHONDONTWRITEBYTECODE", "1").env("FERNPOST_TEST_FOLDER", red.folder());
        schemathesis.current_dir(red.folder());
        let run = tokio::task::spawn_blocking(move || {
            let valid = validator.arg(file).output().expect("a validator");
            (valid, schemathesis.output().expect("schemathesis"))
        });
        let (valid, conforms) = run.await.expect("no panic");
        assert_passed("the validator", &valid);
        assert_passed(listener, &conforms);
    }
}
