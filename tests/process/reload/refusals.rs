//! Configurations that are refused as a whole, and keys that wait for a restart.

use serde_json::json;

use super::{posted, reloaded, runs};
use crate::fixtures::node::GatewayProcess;

#[tokio::test]
async fn bad_configuration_changes_nothing() {
    let (mut red, mut blue) = GatewayProcess::pair("");
    red.start().await;
    blue.start().await;
    let good = red.edit(|text| {
        let text = text.split("[peers.server.\"blue\"]").next().unwrap_or_default();
        format!("{text}[store]\ncache = 7\n[contexts]\nheads_mx = 1\n[network]\nroots = [\"missing.pem\"]\n")
    });
    let (status, report) = posted(&red).await;
    assert_eq!((status, &report["ok"]), (422, &json!(false)), "{report}");
    let problems: Vec<&str> =
        report["problems"].as_array().expect("a list").iter().filter_map(|one| one.as_str()).collect();
    assert_eq!(problems.len(), 3, "{problems:?}");
    for key in ["store.cache", "contexts.heads_mx", "network.roots"] {
        assert!(
            problems.iter().any(|problem| problem.contains(key) && problem.contains("fernpost.toml, line")),
            "{key}: {problems:?}"
        );
    }
    let (code, printed) = runs(&red, &["reload"]).await;
    assert_eq!((code, &printed["ok"]), (1, &json!(false)));
    red.api().say("1", "blue", "as before").await;
    blue.api().hear(1).await;
    let log = red.process().log();
    assert_eq!(log.matches("the configuration is not reloaded").count(), 1, "the command asks for nothing then: {log}");

    red.edit(|_| good);
    assert_eq!(reloaded(&red).await, (vec![], vec![]));
}

/// A command without a gateway, or without a configuration, could not run.
#[tokio::test]
async fn reload_without_gateway_could_not_run() {
    let red = GatewayProcess::new("red");
    let (code, failure) = runs(&red, &["reload"]).await;
    assert_eq!((code, &failure["code"]), (2, &json!("NO_ANSWER")));
    let mut command = crate::fixtures::process::fernpost();
    let output = command.args(["reload", "--json", "--config", "nowhere.toml"]).output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(2));
}

/// Keys that need a restart are listed at each reload until then, and do not hinder the others.
#[tokio::test]
async fn restart_keys_are_listed() {
    let (mut red, _blue) = GatewayProcess::pair("");
    red.start().await;
    red.edit(|text| {
        let text =
            text.replace("name = \"red\"", "name = \"crimson\"").replace("\"*.bad.example\"", "\"*.worse.example\"");
        text + "rate = 9\n[store]\ncache = \"64MiB\"\n"
    });
    let restart = ["server.name", "store.cache"].map(str::to_owned).to_vec();
    let changed = ["federation.deny", "peers.server.\"blue\".rate"].map(str::to_owned).to_vec();
    assert_eq!(reloaded(&red).await, (changed, restart.clone()));
    assert_eq!(reloaded(&red).await, (vec![], restart), "they still wait");
    let peer = red.api().get("/v1/peers/blue").await;
    assert_eq!(peer["limits"]["rate"], 9, "{peer}");

    // Our running name cannot become a peer, whatever the file calls us.
    red.edit(|text| text.to_owned() + "[peers.server.\"red\"]\nauth = \"mtls\"\n");
    let (status, report) = posted(&red).await;
    assert_eq!(status, 422);
    assert!(
        report["problems"][0].as_str().is_some_and(|why| why.contains("our own name until the restart")),
        "{report}"
    );
}
