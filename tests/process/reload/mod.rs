//! A configuration that changes while the gateway runs: `fernpost reload`, `POST /admin/v1/reload` and SIGHUP.

mod keys;
mod limits;
mod peers;
mod refusals;
mod signal;

use std::time::Duration;

use ::fixtures::clients::http_caller::HttpCaller;
use reqwest::Method;
use serde_json::Value;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::{fernpost, soon};

/// Limits of peers that are tried again soon, whatever they answered.
pub(crate) const TRIED_SOON: &str = "backoff_min = \"100ms\"\nbackoff_max = \"200ms\"\nprobe_every = \"200ms\"";

/// Interval of looks at the state of a gateway.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Runs a command with the configuration of a gateway; returns its exit code and its JSON.
async fn runs(gateway: &GatewayProcess, words: &[&str]) -> (i32, Value) {
    let mut command = fernpost();
    command.args(words).arg("--json").arg("--config").arg(gateway.configured());
    let output = tokio::task::spawn_blocking(move || command.output().expect("the binary starts"));
    let output = output.await.expect("it ran");
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    (output.status.code().expect("it exits"), serde_json::from_slice(&text).expect("JSON"))
}

/// Reloads by `fernpost reload`, which has to succeed; returns the keys that are in force and those that wait for a restart.
pub(crate) async fn reloaded(gateway: &GatewayProcess) -> (Vec<String>, Vec<String>) {
    let (code, report) = runs(gateway, &["reload"]).await;
    assert_eq!((code, &report["ok"]), (0, &true.into()), "{report}");
    let keys = |name: &str| {
        let keys = report[name].as_array().expect("a list").iter();
        keys.map(|key| key.as_str().expect("a key").to_owned()).collect()
    };
    (keys("changed"), keys("restart"))
}

/// Reloads by the operator's API; returns the status and the report.
async fn posted(gateway: &GatewayProcess) -> (u16, Value) {
    gateway.configured();
    let admin = HttpCaller::at(gateway.admin);
    admin.call(Method::POST, "/admin/v1/reload", "").await.expect("an answer")
}

/// Waits until the feed of a gateway has this many updates, and returns their texts; other events stand between them.
async fn updates(gateway: &GatewayProcess, count: usize) -> Vec<String> {
    let heard = async {
        loop {
            let page = gateway.api().get("/v1/events?after=0&limit=1000").await;
            let events = page["events"].as_array().expect("a list").iter();
            let texts = events.filter_map(|event| Some(event["update"]["text"].as_str()?.to_owned()));
            let texts: Vec<String> = texts.collect();
            if texts.len() >= count {
                return texts;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    soon("the updates", heard).await
}

/// Waits until an attempt at a peer failed with this code.
pub(crate) async fn until(gateway: &GatewayProcess, peer: &str, code: &str) {
    let failed = async {
        while gateway.api().get(&format!("/v1/peers/{peer}")).await["last_code"] != code {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    soon(code, failed).await;
}
