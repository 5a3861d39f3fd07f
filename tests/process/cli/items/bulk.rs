//! Commands on many items: `queue purge`, `quarantine release` and `drop` by pattern, `message retry --peer`. Each shows a preview, and
//! does nothing without a confirmation.

use ::fixtures::clients::messenger_client::texts;
use reqwest::Client;
use serde_json::Value;

use crate::cli::operator::{json, operate, works};
use crate::fixtures::node::GatewayProcess;

/// Returns the ids of the submissions in the queue for blue.
async fn queued(node: &GatewayProcess) -> Vec<String> {
    let queue = json(node, &["queue", "show", "blue"]).await;
    let items = queue["items"].as_array().expect("a list");
    items.iter().map(|item| item["submission"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn purged_items_become_told_failures() {
    let (mut red, mut blue) = GatewayProcess::pair("");
    red.start().await;
    works(&red, &["peer", "suspend", "blue"]).await;
    red.api().set_participants("#garden", &["blue"]).await;
    red.api().say_in("#garden", "m-0", "text 0").await;
    red.api().say_in("#garden", "m-1", "text 1").await;
    red.api().say("m-2", "blue", "text 2").await;
    red.api().submit("updates/m-3", r#"{"to":["blue"],"strong":[{"text":"text 3"},{"text":"text 4"}]}"#).await;
    let preview = json(&red, &["queue", "purge", "--peer", "blue", "--dry-run"]).await;
    assert_eq!((&preview["items"], &preview["messages"], &preview["dry_run"]), (&5.into(), &4.into(), &true.into()));
    let (code, printed, why) = operate(&red, &["queue", "purge", "--peer", "blue", "--context", "#garden"]).await;
    assert_eq!((code, printed.as_str()), (Some(2), ""), "{why}");
    assert!(why.ends_with("nothing was changed; to purge 2 items for blue, add --yes\n"), "{why}");
    assert!(why.starts_with("blue: 2 items of 2 submissions would leave the queue"), "{why}");
    let said = works(&red, &["queue", "purge", "--peer", "blue", "--older-than", "1h", "--yes"]).await;
    assert_eq!(said, "no item in the queue of blue matches\nnothing was changed\n");
    assert_eq!(queued(&red).await, ["m-0", "m-1", "m-2", "m-3", "m-3"]);

    let done = json(&red, &["queue", "purge", "--peer", "blue", "--context", "#garden", "--yes"]).await;
    assert_eq!((&done["items"], &done["dry_run"]), (&2.into(), &false.into()), "{done}");
    assert_eq!(queued(&red).await, ["m-2", "m-3", "m-3"]);
    // The messenger is told of each, and the dead letters say why.
    let events = red.api().hear(3).await;
    let told: Vec<&Value> = events.iter().filter(|event| event["kind"] == "delivery").collect();
    assert_eq!(told.iter().map(|event| &event["message"]).collect::<Vec<_>>(), ["m-0", "m-1"], "{events:?}");
    assert!(told.iter().all(|event| event["reason"] == "purged by an operator" && event["state"] == "parked"));
    let letters = json(&red, &["quarantine", "list"]).await;
    assert_eq!(
        (&letters["items"][1]["code"], &letters["items"][1]["reason"]),
        (&"TAKEN_OUT".into(), &"purged by an operator".into())
    );

    works(&red, &["queue", "purge", "--peer", "blue", "--yes"]).await;
    assert_eq!(queued(&red).await, [""; 0]);
    works(&red, &["quarantine", "release", "--from", "blue", "--code", "TAKEN_OUT", "--yes"]).await;
    assert_eq!(queued(&red).await.len(), 5);
    blue.start().await;
    blue.api().set_participants("#garden", &["red"]).await;
    works(&red, &["peer", "resume", "blue"]).await;
    let events = blue.api().hear(5).await;
    let updates: Vec<Value> = events.into_iter().filter(|event| event["kind"] == "update").collect();
    assert_eq!(texts(&updates), ["text 2", "text 3", "text 4"]);
}

#[tokio::test]
async fn quarantine_pattern_selects_many() {
    let mut blue = GatewayProcess::new("blue");
    for name in ["red.example", "pink.example", "other"] {
        blue.peer(name, "addresses = [\"http://127.0.0.1:1\"]\nallow_from = [\"127.0.0.1/32\"]");
    }
    blue.start().await;
    for name in ["red.example", "pink.example", "other"] {
        let push = Client::new().post(format!("http://{}/http/v1/updates", blue.federation));
        let push = push.header("Fernpost-Origin", name).body(r#"{"strong":[1,"two"],"seq":2}"#);
        let answer = push.send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
    }
    let release = ["quarantine", "release", "--from", "*.example"];
    let preview = json(&blue, &[&release[..], &["--dry-run"]].concat()).await;
    let groups = preview["groups"].as_array().expect("a list");
    assert_eq!(groups.iter().map(|group| &group["server"]).collect::<Vec<_>>(), ["pink.example", "red.example"]);
    assert_eq!((&groups[0]["items"], &groups[0]["code"]), (&2.into(), &"NOT_AN_OBJECT".into()), "{preview}");
    let (code, printed, why) = operate(&blue, &release).await;
    assert_eq!((code, printed.as_str()), (Some(2), ""), "{why}");
    assert!(why.contains("pink.example") && why.ends_with("to release 4 items, add --yes\n"), "{why}");

    // Nobody can read them, so they stay.
    let (code, said, _) = operate(&blue, &[&release[..], &["--yes"]].concat()).await;
    assert!(code == Some(1) && said.starts_with("0 items released, 4 stay\n"), "{said}");
    let dropped = ["quarantine", "drop", "--from", "*.example", "--code", "NOT_AN_OBJECT", "--yes"];
    assert_eq!(works(&blue, &dropped).await, "4 items dropped\n");
    assert_eq!(works(&blue, &dropped).await, "nothing in quarantine matches\n");
    let rest = json(&blue, &["quarantine", "list"]).await;
    assert_eq!(rest["items"].as_array().map(Vec::len), Some(2), "{rest}");
    let (code, _, why) = operate(&blue, &["quarantine", "drop", "--code", "NO_CODE", "--yes"]).await;
    assert!(code == Some(2) && why.contains("no item has the code \"NO_CODE\""), "{why}");
    let (code, _, why) = operate(&blue, &["quarantine", "drop", "--yes"]).await;
    assert!(code == Some(2) && why.contains("<NAME>"), "{why}");
}

#[tokio::test]
async fn dead_letters_are_retried_by_reason() {
    let (mut red, mut blue) = GatewayProcess::pair("");
    red.start().await;
    works(&red, &["peer", "suspend", "blue"]).await;
    for n in 0..3 {
        red.api().say(&format!("m-{n}"), "blue", &format!("text {n}")).await;
    }
    works(&red, &["message", "drop", "m-0", "--yes"]).await;
    works(&red, &["queue", "purge", "--peer", "blue", "--yes"]).await;
    let retry = ["message", "retry", "--peer", "blue", "--reason", "Purged"];
    let (code, _, why) = operate(&red, &retry).await;
    assert!(code == Some(2) && why.ends_with("to release 2 items, add --yes\n"), "{why}");
    assert_eq!(works(&red, &[&retry[..], &["--yes"]].concat()).await, "2 items released\n");
    assert_eq!(queued(&red).await, ["m-1", "m-2"]);
    let preview = json(&red, &["message", "retry", "--peer", "blue", "--reason", "TAKEN_OUT", "--dry-run"]).await;
    assert_eq!(preview["groups"][0]["items"], 1, "{preview}");
    blue.start().await;
    works(&red, &["peer", "resume", "blue"]).await;
    assert_eq!(texts(&blue.api().hear(2).await), ["text 1", "text 2"]);
}

#[tokio::test]
async fn moved_submissions_keep_their_order() {
    let (mut red, mut green) = (GatewayProcess::new("red"), GatewayProcess::new("green"));
    red.know(&green, "");
    green.know(&red, "");
    for name in ["blue", "grey"] {
        red.peer(name, "addresses = [\"http://127.0.0.1:1\"]\nallow_from = [\"127.0.0.2/32\"]");
    }
    red.start().await;
    for name in ["blue", "green"] {
        works(&red, &["peer", "suspend", name]).await;
    }
    let api = red.api();
    api.set_participants("#with", &["blue"]).await;
    api.set_participants("#without", &["blue"]).await;
    api.say("own", "green", "text 0").await;
    api.say("m-1", "blue", "text 1").await;
    api.say_in("#with", "m-2", "text 2").await;
    api.say_in("#without", "m-3", "text 3").await;
    api.submit("updates/m-4", r#"{"to":["blue"],"strong":[{"text":"text 4"},{"text":"text 5"}]}"#).await;
    api.submit("updates/m-5", r#"{"to":["blue","green"],"strong":[{"text":"text 6"}]}"#).await;
    api.set_participants("#with", &["blue", "green"]).await;
    let transfer = ["queue", "move", "--from", "blue", "--to", "green"];
    let (code, printed, why) = operate(&red, &transfer).await;
    assert_eq!((code, printed.as_str()), (Some(2), ""), "{why}");
    assert!(why.starts_with("4 items of 3 submissions would go from blue to green"), "{why}");
    assert!(why.contains("NOT_A_PARTICIPANT") && why.contains("SENT_TO_BOTH"), "{why}");
    assert_eq!(queued(&red).await.len(), 6, "nothing was changed");

    let (code, printed, why) = operate(&red, &[&transfer[..], &["--yes", "--json"]].concat()).await;
    let done: Value = serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{printed}{why}"));
    let stay = |place: usize| (done["stay"][place]["code"].clone(), done["stay"][place]["items"].clone());
    assert_eq!(
        (code, &done["items"], stay(0), stay(1)),
        (Some(1), &4.into(), ("SENT_TO_BOTH".into(), 1.into()), ("NOT_A_PARTICIPANT".into(), 1.into()))
    );
    assert_eq!(queued(&red).await, ["m-3", "m-5"]);
    let trace = red.api().get("/v1/messages/m-4").await;
    assert_eq!(
        (&trace["peers"]["blue"]["state"], &trace["peers"]["green"]["state"]),
        (&"refused".into(), &"queued".into())
    );
    let told = |event: &Value| event["reason"] == "moved to green by an operator";
    assert_eq!(red.api().hear(5).await.iter().filter(|event| told(event)).count(), 3);

    green.start().await;
    green.api().set_participants("#with", &["red"]).await;
    works(&red, &["peer", "resume", "green"]).await;
    let events = green.api().hear(6).await;
    let updates: Vec<Value> = events.into_iter().filter(|event| event["kind"] == "update").collect();
    assert_eq!(texts(&updates), ["text 0", "text 6", "text 1", "text 4", "text 5"]);
    red.api().until_state("m-4", "green", "acknowledged").await;
    let (code, _, why) = operate(&red, &["queue", "move", "--from", "blue", "--to", "blue", "--yes"]).await;
    assert!(code == Some(2) && why.contains("in the queue of blue already"), "{why}");
    let (code, said, _) = operate(&red, &["queue", "move", "--from", "blue", "--to", "grey", "--dry-run"]).await;
    assert!(code == Some(1) && said.starts_with("1 item of 1 submission would go from blue to grey"), "{said}");
}
