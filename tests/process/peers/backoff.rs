//! A delay is on disk like what it delays: a restart neither shortens it nor forgets whom it was for.

use crate::fixtures::node::{Node, texts};

/// Long against a restart, short against patience.
const LIMITS: &str = "backoff_min = \"6s\"\njitter = 0.0";

#[tokio::test]
async fn backoff_survives_restart_then_delivers() {
    let (mut red, mut blue) = Node::pair(LIMITS);
    red.start().await;
    red.api().say("m-1", "blue", "first").await;
    red.process().says("to=\"backing_off\"").await;
    // Its commit takes with it whatever was handed over before it.
    red.api().say("m-2", "blue", "second").await;
    let before = red.api().get("/v1/peers/blue").await;
    assert_eq!((before["state"].as_str(), before["failures"].as_u64()), (Some("backing_off"), Some(1)), "{before}");
    red.kill();

    red.start().await;
    let after = red.api().get("/v1/peers/blue").await;
    for key in ["state", "next_attempt", "since", "failures", "backlog", "oldest_unacknowledged"] {
        assert_eq!(after[key], before[key], "{key}: {after}");
    }
    red.kill();

    blue.start().await;
    red.start().await;
    // From here on nobody asks red for anything but its health.
    let events = blue.api().hear(2).await;
    assert_eq!(texts(&events), ["first", "second"]);
    let (arrived, due) = (events[0]["time"].as_str(), before["next_attempt"].as_str());
    println!("due {due:?}, arrived {arrived:?}");
    assert!(due.is_some() && arrived >= due, "{arrived:?} is before {due:?}");
}
