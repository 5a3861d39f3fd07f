//! The log of deliveries of a gateway and its peer.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::soon;

/// Interval of looks at the file.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Text of every message, which no record may have.
const TEXT: &str = "strictly between us";

/// Waits until a log has such a record, and returns it.
async fn record(path: &Path, kind: &str, message: Option<&str>) -> Value {
    let found = async {
        loop {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            assert!(!text.contains(TEXT), "{text}");
            let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let is_it = |record: &Value| record["type"] == kind && message.is_none_or(|id| record["message"] == id);
            if let Some(found) = records.into_iter().find(is_it) {
                return found;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    soon(kind, found).await
}

#[tokio::test]
async fn deliveries_are_logged_without_text() {
    let (mut red, mut blue) = GatewayProcess::pair("backoff_min = \"200ms\"\nbackoff_max = \"300ms\"");
    red.edit(|text| format!("{text}[log]\ndeliveries = \"file\"\n"));
    blue.edit(|text| format!("{text}[log]\ndeliveries = \"file\"\ndeliveries_file = \"own.log\"\n"));
    red.start().await;
    blue.start().await;
    let (sent, taken) = (red.folder().join("data/deliveries.log"), blue.folder().join("own.log"));

    red.api().say("m-1", "blue", TEXT).await;
    let delivered = record(&sent, "delivered", Some("m-1")).await;
    assert_eq!((&delivered["peer"], &delivered["attempt"]), (&"blue".into(), &1.into()), "{delivered}");
    assert!(delivered["latency_ms"].is_u64() && delivered["age_ms"].is_u64(), "{delivered}");
    for kind in ["accepted", "queued", "attempt"] {
        record(&sent, kind, Some("m-1")).await;
    }
    assert_eq!(record(&taken, "inbound", None).await["event"], "red#1");

    // The file is moved, as logrotate does it.
    let moved = sent.with_extension("log.1");
    std::fs::rename(&sent, &moved).expect("it is there");
    red.process().signal("HUP");
    red.process().says("SIGHUP").await;
    blue.kill();
    red.api().say("m-2", "blue", TEXT).await;
    let deferred = record(&sent, "deferred", Some("m-2")).await;
    assert!(deferred["next_try"].as_str().is_some_and(|time| time.starts_with("20")), "{deferred}");
    // The connection may have been open, or a new one is refused.
    let codes = ["CONNECT_REFUSED", "BROKEN", "UNREACHABLE"];
    assert!(codes.iter().any(|code| deferred["code"] == *code), "{deferred}");
    assert!(!std::fs::read_to_string(&moved).expect("it is there").contains("m-2"));
    blue.start().await;
    let delivered = record(&sent, "delivered", Some("m-2")).await;
    assert!(delivered["attempt"].as_u64().is_some_and(|attempt| attempt > 1), "{delivered}");
}

#[tokio::test]
async fn unwritable_delivery_log_stops_start() {
    let red = GatewayProcess::new("red");
    let output = red.serve(&["log.deliveries=file", "log.deliveries_file=/proc/none/x"]).output().expect("it runs");
    let words = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(words.contains("log.deliveries: /proc/none/x cannot be written"), "{words}");
}
