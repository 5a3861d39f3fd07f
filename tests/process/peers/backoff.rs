//! A delay is stored like the items that wait for it: a restart neither shortens nor forgets it.

use ::fixtures::clients::messenger_client::texts;

use crate::fixtures::node::GatewayProcess;

/// The delay is longer than a restart and shorter than the test's patience.
const LIMITS: &str = "backoff_min = \"6s\"\njitter = 0.0";

#[tokio::test]
async fn backoff_survives_restart_then_delivers() {
    let (mut red, mut blue) = GatewayProcess::pair(LIMITS);
    red.start().await;
    red.api().say("m-1", "blue", "first").await;
    red.process().says("to=\"backing_off\"").await;
    // This commit also includes the deferred batches before it.
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
    // From here on red receives no request except for its health.
    let events = blue.api().hear(2).await;
    assert_eq!(texts(&events), ["first", "second"]);
    let (arrived, due) = (events[0]["time"].as_str(), before["next_attempt"].as_str());
    println!("due {due:?}, arrived {arrived:?}");
    assert!(due.is_some() && arrived >= due, "{arrived:?} is before {due:?}");
}
