//! The level and the form of the log of a running gateway.

use ::fixtures::clients::http_caller::HttpCaller;
use reqwest::Method;
use serde_json::Value;

use crate::fixtures::node::GatewayProcess;
use crate::observation::{operate, works};

/// Words of a line at the debug level about a peer.
const AT_WORK: &str = "peer at work";

#[tokio::test]
async fn log_level_ends_by_itself() {
    let (mut red, mut blue) = GatewayProcess::pair("");
    red.start().await;
    blue.start().await;
    assert_eq!(works(&red, &["log"]).await, "info\n");
    red.api().say("m-1", "blue", "one").await;
    let shown = works(&red, &["log", "debug", "--peer", "blue", "--for", "3s"]).await;
    assert!(shown.starts_with("info, and debug about blue until 20"), "{shown}");
    red.api().say("m-2", "blue", "two").await;
    let line = red.process().says(AT_WORK).await;
    assert!(line.contains("peer=blue"), "{line}");
    let log = red.process().log();
    assert!(log.lines().filter(|line| line.contains("DEBUG")).all(|line| line.contains("peer=blue")), "{log}");
    assert!(log.contains("action=\"log\""), "the command is logged: {log}");
    red.process().says("the level of the log is the standing one again").await;
    assert_eq!(works(&red, &["log"]).await, "info\n");
    for words in [["log", "info,actors=loud", "--for", "1s"], ["log", "debug", "--for", "2d"]] {
        let refused = operate(&red, &words).await;
        let words = String::from_utf8(refused.stderr).expect("text");
        assert!(!refused.status.success() && (words.contains("is not a filter") || words.contains("24h")), "{words}");
    }
}

#[tokio::test]
async fn reload_changes_level_and_form() {
    let mut red = GatewayProcess::new("red");
    red.start().await;
    red.edit(|text| format!("{text}[log]\nformat = \"json\"\nlevel = \"debug\"\n"));
    works(&red, &["reload"]).await;
    let line = red.process().says("configuration reloaded").await;
    let line: Value = serde_json::from_str(&line).expect("an object");
    assert_eq!((&line["level"], &line["fields"]["message"]), (&"INFO".into(), &"configuration reloaded".into()));
    assert_eq!(line["fields"]["changed"], "log.format, log.level");
    let (_, levels) = HttpCaller::at(red.admin).call(Method::GET, "/admin/v1/log", "").await.expect("an answer");
    assert_eq!((&levels["standing"], &levels["format"]), (&"debug".into(), &"json".into()));
}

#[tokio::test]
async fn environment_overrides_configured_level() {
    let mut red = GatewayProcess::new("red");
    let mut command = red.serve(&["log.level=trace"]);
    red.start_as(command.env("FERNPOST_LOG", "warn,fernpost=error")).await;
    assert_eq!(works(&red, &["log"]).await, "warn,fernpost=error\n");
}
