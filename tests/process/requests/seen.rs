//! The log lines of a gateway about events outside of it; repeated events do not flood the log.

use ::fixtures::clients::http_caller::HttpCaller;
use reqwest::Method;

use crate::fixtures::node::{GatewayProcess, own_address};
use crate::fixtures::process::fernpost;
use crate::fixtures::raw::Raw;
use crate::fixtures::sim::Sim;

#[tokio::test]
async fn unauthenticated_calls_log_once_per_minute() {
    let (mut red, _blue) = GatewayProcess::pair("");
    red.write_secret("secret", "sesame\n");
    red.start_with(&["admin.token_file=secret", "messenger.token_file=secret"]).await;
    for _ in 0..20 {
        let garbage = Raw::connect(own_address(), red.federation).await;
        assert_eq!(garbage.exchange(b"POST http:// HTTP/1.1\r\n\r\n").await.0, 400);
        for (listener, path) in [(red.admin, "/admin/v1/peers"), (red.messenger, "/v1/peers")] {
            let wrong = HttpCaller::at(listener).authorized("Bearer nonsense").call(Method::GET, path, "").await;
            assert_eq!(wrong.expect("an answer").0, 401);
        }
    }
    let stranger = Raw::connect(own_address(), red.federation).await;
    let push = b"POST /http/v1/updates HTTP/1.1\r\nHost: red\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(stranger.exchange(push).await.0, 401);
    let process = red.process();
    process.says("requests rejected, because their sender is not authenticated").await;
    let log = process.log();
    let lines = |words: &str| log.lines().filter(|line| line.contains(words)).collect::<Vec<_>>();
    for key in ["admin.tokens", "messenger.token"] {
        let told = lines(&format!("requests rejected, because their token is missing or wrong key=\"{key}\""));
        assert!(told.len() == 1 && told[0].contains("WARN") && told[0].contains("count=1"), "{log}");
    }
    assert!(lines("ERROR").is_empty(), "{log}");
}

#[tokio::test]
async fn start_line_tells_what_runs_where() {
    let (mut red, _blue) = GatewayProcess::pair("backoff_min = \"10m\"");
    let more = red.folder().join("conf.d");
    std::fs::create_dir(&more).expect("a writable folder");
    let green = "[peers.server.green]\naddresses = [\"http://127.0.0.1:9\"]\nauth = \"network\"\nallow_from = [\"127.0.0.9/32\"]\n";
    std::fs::write(more.join("10-more.toml"), green).expect("a writable folder");
    red.start().await;
    let line = red.process().says("ready").await;
    let folder = red.folder().display().to_string();
    let (configuration, data) =
        (format!("{folder}/fernpost.toml, {folder}/conf.d/10-more.toml"), format!("{folder}/data"));
    let [federation, messenger, admin] =
        [("federation", red.federation), ("messenger", red.messenger), ("admin", red.admin)]
            .map(|(door, address)| format!("{door}={address}"));
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    for words in
        [&version, "server=red", &data, &configuration, &federation, &messenger, &admin, "peers=2", "backlog=0"]
    {
        assert!(line.contains(words), "{words}: {line}");
    }
    for n in 0..3 {
        red.api().say(&format!("m-{n}"), "blue", "hello").await;
    }
    red.kill();
    red.start().await;
    let line = red.process().says("ready").await;
    assert!(line.contains("backlog=3 backlog_by_peer=\"blue 3\""), "{line}");
}

#[tokio::test]
async fn limits_that_peers_meet_are_logged() {
    let (mut red, mut blue) = GatewayProcess::pair("rate = 1\nbatch_items = 1\nintake_items = 1");
    red.start().await;
    blue.start().await;
    for n in 0..4 {
        red.api().say(&format!("m-{n}"), "blue", "hello").await;
    }
    let line = blue.process().says("a limit is reached").await;
    assert!(line.contains("peer=\"red\"") && line.contains("count=1") && line.contains("rate"), "{line}");
    let line = red.process().says("the peer asked us to wait").await;
    assert!(
        line.contains("peer=blue") && line.contains("the peer asked us to wait: peers.rate is reached (1)"),
        "{line}"
    );
    let log = blue.process().log();
    assert_eq!(log.matches("a limit is reached").count(), 1, "one line a minute: {log}");
}

#[tokio::test]
async fn refused_items_log_once_per_minute() {
    let mut red = GatewayProcess::new("red");
    let sim = Sim::start("refuses", 1, &["--script", "400"]).await;
    sim.are_known_to(&mut red, "");
    red.start().await;
    let peer = sim.names().next().expect("one");
    for n in 0..10 {
        red.api().say(&format!("m-{n}"), &peer, "take this").await;
    }
    let all = red.api().hear(10).await;
    assert!(all.iter().all(|event| event["state"] == "parked"), "{all:?}");
    red.process().says("items are not delivered").await;
    let log = red.process().log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("items are not delivered")).collect();
    assert!(told.len() == 1 && told[0].contains(&format!("peer=\"{peer}\" items=1 last=\"refused: ")), "{log}");
}

#[tokio::test]
async fn suspension_and_recovery_are_logged() {
    let (mut red, mut blue) = GatewayProcess::pair(
        "backoff_min = \"50ms\"\nbackoff_max = \"100ms\"\nfailures_to_suspend = 3\nprobe_every = \"1s\"",
    );
    red.start().await;
    red.api().say("m", "blue", "anybody there?").await;
    let line = red.process().says("peer is suspended").await;
    assert!(line.contains("WARN") && line.contains("peer=blue") && line.contains("reason=\"unreachable\""), "{line}");
    blue.start().await;
    let line = red.process().says("peer is served again").await;
    assert!(line.contains("INFO") && line.contains("peer=blue") && line.contains("lasted="), "{line}");
}

#[tokio::test]
async fn command_rejects_wrong_gateway() {
    let (mut red, blue) = GatewayProcess::pair("");
    red.start().await;
    let output = fernpost()
        .args(["peer", "suspend", "blue", "--set", &format!("admin.listen={}", red.admin), "--config"])
        .arg(blue.configured())
        .output()
        .expect("the binary starts");
    let why = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{why}");
    assert!(why.contains("is red, but ") && why.contains("is for blue") && why.lines().count() == 1, "{why}");
    let peers = HttpCaller::at(red.admin).get("/admin/v1/peers").await;
    assert_eq!(peers["peers"][0]["state"], "idle", "{peers}");
}

#[test]
fn startup_error_explains_remedy() {
    let started = |red: &GatewayProcess| {
        let output = red.serve(&[]).output().expect("the binary starts");
        let said = String::from_utf8(output.stderr).expect("text");
        (output.status.code(), said.lines().last().unwrap_or_default().to_owned())
    };
    let red = GatewayProcess::new("red");
    let data = red.folder().join("data");
    std::fs::write(&data, "").expect("a writable folder");
    let (code, why) = started(&red);
    assert!(code == Some(2) && why.contains("server.data_dir") && why.contains("data is a file"), "{why}");
    std::fs::remove_file(&data).expect("it is there");
    std::fs::create_dir(&data).expect("a writable folder");
    std::fs::write(red.store(), "junk".repeat(4000)).expect("a writable folder");
    let (code, why) = started(&red);
    assert!(code == Some(2) && why.contains("store verify") && why.contains("store restore"), "{why}");
    let verify = |red: &GatewayProcess| {
        let output = fernpost().args(["store", "verify", "--config"]).arg(red.configured()).output();
        let output = output.expect("the binary starts");
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let (code, said) = verify(&red);
    assert!(code == Some(1) && said.contains("is damaged: its server name is missing\n"), "{said}");

    let output = fernpost().args(["serve", "--config", "nowhere.toml"]).output().expect("the binary starts");
    let why = String::from_utf8(output.stderr).expect("text");
    assert!(why.lines().count() == 1 && why.starts_with("nowhere.toml: cannot be read: "), "{why}");
}
