//! SIGHUP: a reload that writes one line to the log.

use std::time::Duration;

use tokio::time::timeout;

use crate::fixtures::node::GatewayProcess;

/// Time within which a signal has its effect.
const IN_FORCE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn hup_reloads_with_one_line() {
    let (mut red, _blue) = GatewayProcess::pair("");
    red.start().await;
    red.edit(|text| format!("{text}rate = 7\n[store]\ncache = \"64MiB\"\n"));
    red.configured();
    let api = red.api();
    red.process().signal("HUP");
    let applied = async {
        while api.get("/v1/peers/blue").await["limits"]["rate"] != 7 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(IN_FORCE, applied).await.expect("in force in time");
    let line = red.process().says("SIGHUP").await;
    for word in ["configuration reloaded", "peers.server.\"blue\".rate", "needs_restart", "store.cache"] {
        assert!(line.replace('\\', "").contains(word), "{word}: {line}");
    }

    red.edit(|text| text.replace("rate = 7", "rate = \"much\""));
    red.configured();
    red.process().signal("HUP");
    let line = red.process().says("is not reloaded").await;
    assert!(line.contains("SIGHUP") && line.contains(".rate") && line.contains("line"), "{line}");
    assert_eq!(api.get("/v1/peers/blue").await["limits"]["rate"], 7);
    assert_eq!(red.process().log().matches("SIGHUP").count(), 2, "one line each");
    red.process().term();
    assert_eq!(red.process().ended().await.code(), Some(0));
}
