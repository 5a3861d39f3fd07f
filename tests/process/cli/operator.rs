//! The operator's commands as a shell sees them, against a running gateway: output, exit codes, and the errors without
//! a gateway.

use std::process::Output;

use ::fixtures::clients::http_caller::HttpCaller;
use ::fixtures::clients::messenger_client::texts;
use reqwest::Method;
use serde_json::Value;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::fernpost;

/// Runs `fernpost` with these arguments for this gateway.
pub(super) async fn operate(node: &GatewayProcess, words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = fernpost();
    command.args(words).arg("--config").arg(node.configured());
    // The command runs on a blocking thread, because the test's thread may have to drive what the command waits for.
    let output = tokio::task::spawn_blocking(move || command.output().expect("the binary starts")).await;
    said(output.expect("no panic"))
}

fn said(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Runs a command that has to succeed, and returns its output.
pub(super) async fn works(node: &GatewayProcess, words: &[&str]) -> String {
    let (code, printed, complaints) = operate(node, words).await;
    assert_eq!((code, complaints.as_str()), (Some(0), ""), "{words:?}: {printed}");
    printed
}

pub(super) async fn json(node: &GatewayProcess, words: &[&str]) -> Value {
    let words = [words, &["--json"]].concat();
    serde_json::from_str(&works(node, &words).await).expect("JSON")
}

#[tokio::test]
async fn cli_resume_delivers_suspended_queue() {
    let (mut red, mut blue) = GatewayProcess::pair("");
    red.start().await;
    blue.start().await;
    let shown = works(&red, &["peer", "suspend", "blue"]).await;
    assert!(shown.starts_with("blue\n") && shown.contains("suspended (admin)"), "{shown}");
    for n in 0..3 {
        red.api().say(&format!("m-{n}"), "blue", &format!("text {n}")).await;
    }
    // Metrics need no token, like health.
    let counted = reqwest::get(format!("http://{}/metrics", red.admin)).await.expect("it answers");
    let counted = counted.error_for_status().expect("200").text().await.expect("text");
    assert!(counted.contains("\nfernpost_outbox_items 3\n"), "{counted}");
    let shown = works(&red, &["peer", "show", "blue"]).await;
    let bytes = json(&red, &["peer", "show", "blue"]).await["backlog_bytes"].as_u64().expect("a number");
    let line = shown.lines().find(|line| line.contains("backlog")).expect("a line");
    assert!(
        (3 * 10..3 * 40).contains(&bytes) && line.contains(&format!(" 3 items, {bytes} B, the oldest ")),
        "{shown}"
    );
    for line in
        ["dialect       updates (profile fernpost)", "address       http://127.", "    batch_bytes          1MiB"]
    {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let peer = json(&red, &["peer", "show", "blue"]).await;
    assert_eq!((&peer["dialect"], &peer["limits"]["keep"]), (&"updates".into(), &"30d".into()), "{peer}");
    assert!(peer["addresses"][0].as_str().is_some_and(|url| url.starts_with("http://127.")), "{peer}");
    let list = works(&red, &["peer", "list"]).await;
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines[0].starts_with("PEER  STATE") && lines[1].starts_with("blue  suspended (admin)"), "{list}");
    let shape = works(&red, &["queue", "shape"]).await;
    let numbers: Vec<&str> = shape.lines().nth(1).expect("blue's line").split_whitespace().collect();
    assert_eq!(numbers, ["blue", "3", "3", "-", "-", "-", "-", "-", "-", "-", "-"], "{shape}");
    let shape = json(&red, &["queue", "shape"]).await;
    assert_eq!((&shape["peers"][0]["server"], &shape["peers"][0]["total"]), (&"blue".into(), &3.into()), "{shape}");
    let queue = json(&red, &["queue", "show", "blue", "--limit", "2"]).await;
    assert_eq!((&queue["items"][1]["submission"], &queue["next"]), (&"m-1".into(), &2.into()), "{queue}");
    let trace = works(&red, &["message", "trace", "m-0"]).await;
    assert!(trace.starts_with("m-0, accepted ") && trace.contains("blue  queued"), "{trace}");

    let (code, screen, _) = operate(&red, &["status"]).await;
    assert_eq!(code, Some(1), "{screen}");
    assert!(screen.contains("backlog      3 items for peers, 1 event for the messenger"), "{screen}");
    let problem = "\nblue: it is suspended by an operator; 3 items wait\n  `fernpost peer resume blue` sends again\n";
    assert!(screen.contains(problem), "{screen}");

    works(&red, &["peer", "resume", "blue"]).await;
    let events = blue.api().hear(3).await;
    let status = json(&red, &["status"]).await;
    assert_eq!((&status["server"], &status["ready"]), (&"red".into(), &true.into()), "{status}");
    let admin = status["listeners"].as_array().expect("a list").iter().find(|listener| listener["name"] == "admin");
    assert_eq!(admin.expect("it listens")["address"], red.admin.to_string(), "{status}");
    assert!(status["disk_free"].as_u64().is_some_and(|free| free > 0), "{status}");
    assert_eq!(texts(&events), ["text 0", "text 1", "text 2"]);
    let peer = json(&red, &["peer", "show", "blue"]).await;
    assert!(peer["last_success"].as_str() >= peer["since"].as_str(), "{peer}");
    let trace = json(&red, &["message", "trace", "m-0"]).await;
    assert_eq!(trace["peers"]["blue"]["attempts"][0]["result"], "acknowledged", "{trace}");
    let peer = json(&blue, &["peer", "expect", "red", "40"]).await;
    assert_eq!(peer["expected_seq"], 40, "{peer}");
}

/// Numbers far above the expected one need `--yes` or are refused, and each side can recover from them.
#[tokio::test]
async fn numbers_far_above_ask_for_yes() {
    let (mut red, mut blue) = GatewayProcess::pair("");
    red.start().await;
    blue.start().await;
    let (code, printed, why) = operate(&blue, &["peer", "expect", "red", "1000002"]).await;
    assert_eq!((code, printed.as_str()), (Some(2), ""), "{why}");
    assert!(why.contains("renumber_max is 1000000") && why.contains("--yes") && why.lines().count() == 1, "{why}");
    let (code, _, why) = operate(&blue, &["peer", "expect", "red", "9223372036854775807", "--yes"]).await;
    assert!(code == Some(2) && why.contains("from 1 to 9007199254740991"), "{why}");
    assert_eq!(json(&blue, &["peer", "show", "red"]).await["expected_seq"], 1);
    // Red must have seen `window` before it sends ranges; without a range blue accepts its number as it is and cannot
    // report that it is too low.
    red.api().say("m-first", "blue", "first").await;
    assert_eq!(blue.api().hear(1).await[0]["update"]["text"], "first");

    // Blue's operator confirms the number, but red does not follow: it reports the reason and waits for a command of
    // its own operator.
    works(&blue, &["peer", "expect", "red", "9007199254740991", "--yes"]).await;
    red.api().say("m-0", "blue", "text 0").await;
    let ahead = async {
        loop {
            let peer = json(&red, &["peer", "show", "blue"]).await;
            if peer["reason"] == "ahead_of_us" {
                break peer;
            }
        }
    };
    let peer = tokio::time::timeout(std::time::Duration::from_secs(60), ahead).await.expect("suspended");
    let error = peer["last_error"].as_str().expect("a reason");
    assert!(
        error.contains("renumber_max = 1000000") && error.contains("fernpost peer renumber blue NUMBER"),
        "{error}"
    );
    // Both operators correct it: blue goes back, and red numbers its next update as blue expects it.
    let (code, _, note) = operate(&blue, &["peer", "expect", "red", "7"]).await;
    assert!(code == Some(0) && note.starts_with("note: "), "{note}");
    let shown = works(&red, &["peer", "renumber", "blue", "7"]).await;
    assert!(shown.contains("sends"), "{shown}");
    let is_text = |event: &Value| event["update"]["text"] == "text 0";
    let mut count = 2;
    while !blue.api().hear(count).await.iter().any(is_text) {
        count += 1;
    }
    assert_eq!(json(&blue, &["peer", "show", "red"]).await["expected_seq"], 8);
}

#[tokio::test]
async fn message_is_dropped_only_with_yes() {
    let (mut red, _blue) = GatewayProcess::pair("");
    red.start().await;
    works(&red, &["peer", "suspend", "blue"]).await;
    for n in 0..2 {
        red.api().say(&format!("m-{n}"), "blue", "text").await;
    }
    let (code, printed, asked) = operate(&red, &["message", "drop", "m-1"]).await;
    let would = "blue: 1 item moved from the queue to quarantine\n";
    let asks = "nothing was changed; add --yes to do this to m-1\n";
    assert_eq!((code, printed.as_str(), asked), (Some(2), "", format!("{would}{asks}")));
    assert_eq!(json(&red, &["queue", "show", "blue"]).await["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(works(&red, &["message", "drop", "m-1", "--yes"]).await, would);
    let again = works(&red, &["message", "drop", "m-1", "--yes"]).await;
    assert!(again.starts_with("blue: nothing to do: 1 item moved to quarantine before; "), "{again}");
    assert_eq!(again, works(&red, &["message", "drop", "m-1"]).await, "there is nothing to ask for");
    let (code, trace, _) = operate(&red, &["message", "trace", "m-1"]).await;
    assert!(code == Some(1) && trace.contains("taken out by an operator"), "{trace}");
    assert_eq!(works(&red, &["quarantine", "release", "blue", "out:2"]).await, "blue out:2: queued again\n");
}

#[tokio::test]
async fn cli_quarantine_lists_releases_and_drops() {
    let (red, mut blue) = GatewayProcess::pair("");
    blue.start().await;
    // The test sends red's push: two updates that are not objects.
    let call = HttpCaller::at(blue.federation);
    let (status, answer) =
        call.call(Method::POST, "/http/v1/updates", r#"{"strong":[1,"two"],"seq":2}"#).await.expect("an answer");
    assert_eq!((status, &answer["receive"]), (200, &"ok".into()), "{answer}");
    let list = works(&blue, &["quarantine", "list"]).await;
    assert!(list.starts_with("PEER  ID    KIND") && list.contains("red   in:1  update"), "{list}");
    let item = json(&blue, &["quarantine", "show", "red", "2"]).await;
    assert_eq!((&item["id"], &item["seq"], &item["body"]), (&"in:2".into(), &2.into(), &"two".into()), "{item}");
    let shown = works(&blue, &["quarantine", "show", "red", "in:2"]).await;
    assert!(shown.starts_with("red in:2, update from red\n") && shown.ends_with("\n\"two\"\n"), "{shown}");

    let (code, printed, why) = operate(&blue, &["quarantine", "release", "red", "in:1"]).await;
    assert_eq!((code, printed.as_str()), (Some(1), ""), "{why}");
    assert!(why.starts_with("red in:1 stays in quarantine: ") && why.lines().count() == 1, "{why}");
    let (code, _, why) = operate(&blue, &["quarantine", "drop", "--all-of", "red"]).await;
    assert_eq!((code, why.as_str()), (Some(2), "red has 2 items in quarantine; to drop all of them, add --yes\n"));
    assert_eq!(works(&blue, &["quarantine", "drop", "red", "in:1"]).await, "red in:1: dropped\n");
    assert_eq!(works(&blue, &["quarantine", "drop", "--all-of", "red", "--yes"]).await, "red: 1 item dropped\n");
    assert_eq!(works(&blue, &["quarantine", "list"]).await, "nothing is in quarantine\n");
    let (code, _, why) = operate(&blue, &["quarantine", "drop", "--all-of", "nope.example", "--yes"]).await;
    assert!(code == Some(2) && why.starts_with("nope.example is not a peer of this gateway"), "{why}");
    let (code, _, why) = operate(&blue, &["quarantine", "show", "red", "in:1"]).await;
    assert!(code == Some(2) && why.contains("quarantine list"), "{why}");
    drop(red);
}

#[tokio::test]
async fn cli_connection_error_explains_remedy() {
    let (mut red, _blue) = GatewayProcess::pair("");
    let (code, printed, why) = operate(&red, &["peer", "list"]).await;
    assert_eq!((code, printed.as_str(), why.lines().count()), (Some(2), "", 1), "{why}");
    assert!(why.contains("no gateway answers at") && why.contains("fernpost serve"), "{why}");

    red.write_secret("admin.token", "sesame\n");
    red.start_with(&["admin.token_file=admin.token"]).await;
    let (code, _, why) = operate(&red, &["peer", "list"]).await;
    assert!(code == Some(2) && why.contains("admin.token_file") && why.lines().count() == 1, "{why}");
    works(&red, &["peer", "list", "--set", "admin.token_file=admin.token"]).await;
    let file = red.folder().join("admin.token");
    let elsewhere = fernpost()
        .args(["peer", "list", "--admin", &format!("http://{}", red.admin), "--token-file"])
        .arg(&file)
        .output()
        .expect("the binary starts");
    let (code, list, why) = said(elsewhere);
    assert!(code == Some(0) && list.contains("blue"), "without a configuration: {list}{why}");

    let (code, _, why) = operate(&red, &["peer", "show", "bleu", "--set", "admin.token_file=admin.token"]).await;
    assert_eq!((code, why.as_str()), (Some(2), "bleu is not a peer of this gateway; did you mean blue?\n"));
    let (code, _, why) = operate(&red, &["message", "trace", "never", "--set", "admin.token_file=admin.token"]).await;
    assert!(code == Some(2) && why.contains("never"), "{why}");
    let nowhere = fernpost().args(["peer", "list", "--config", "nowhere.toml"]).output().expect("the binary starts");
    let (code, _, why) = said(nowhere);
    assert!(code == Some(2) && why.contains("nowhere.toml") && why.contains("--admin URL"), "{why}");
}

/// A peer that is denied while items are pending for it.
#[tokio::test]
async fn denied_peer_keeps_queue_over_restart() {
    let (mut red, mut blue) = GatewayProcess::pair("");
    red.start().await;
    red.api().say("m-0", "blue", "text 0").await;
    red.kill();

    red.start_with(&[r#"federation.deny=["blue"]"#]).await;
    let event = red.api().hear(1).await.remove(0);
    let said = ["kind", "server", "state", "reason"].map(|key| event[key].as_str().expect("a text"));
    assert_eq!(said, ["peer", "blue", "suspended", "denied"], "{event}");
    let shown = works(&red, &["peer", "show", "blue"]).await;
    assert!(shown.contains("suspended (denied)") && shown.contains("1 item,"), "{shown}");
    let list = works(&red, &["peer", "list"]).await;
    assert!(list.contains("suspended (denied)"), "{list}");
    let trace = json(&red, &["message", "trace", "m-0"]).await;
    let leg = &trace["peers"]["blue"];
    assert_eq!((&leg["state"], &leg["reason"]), (&"queued".into(), &"denied".into()), "{trace}");
    let (code, _, why) = operate(&red, &["peer", "resume", "blue"]).await;
    assert!(code == Some(2) && why.contains("blue is denied by federation.deny"), "{why}");
    red.kill();

    blue.start().await;
    red.start().await;
    assert_eq!(texts(&blue.api().hear(1).await), ["text 0"]);
}
