//! A gateway against peers that misbehave: nothing is lost, duplicated or reordered, in either direction.

use ::fixtures::clients::messenger_client::{submission, texts};
use serde_json::json;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::{Process, fernpost, soon};
use crate::fixtures::sim::Sim;

const LIMITS: &str = "backoff_min = \"20ms\"\nbackoff_max = \"100ms\"\nprobe_every = \"200ms\"\nconnect_timeout = \"1s\"\n\
                      request_timeout = \"1s\"\nfailures_to_suspend = 1000\nbatch_items = 7";

/// Every wrong response, one after the other.
const EVERYTHING: &str = "ok,lie-seq,5xx:2,close:2,lie-json,lie-receive,wait:1s,hole,garbage,403,huge,429,silent,too-many:3:4,\
                          drip:2ms,slow:50ms,lie-hole,ok:3,hole,close,ok";

/// Waits until a simulated peer has accepted this many items.
async fn took(sim: &Sim, peer: &str, count: usize) -> Vec<String> {
    let all = async {
        loop {
            let (items, _) = sim.received(peer).await;
            if items.len() >= count {
                return items;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    soon(&format!("{count} items at {peer}"), all).await
}

#[tokio::test]
async fn updates_survive_misbehaving_peer() {
    let sim = Sim::start("sim", 2, &["--script", EVERYTHING]).await;
    let mut red = GatewayProcess::new("red");
    sim.are_known_to(&mut red, LIMITS);
    red.start().await;
    let mut expected = vec![];
    for n in 0..20 {
        let both: Vec<String> = (0..3).map(|part| format!("{n}.{part}")).collect();
        red.api().submit(&format!("updates/m-{n}"), &submission(&["sim1", "sim2"], &both)).await;
        expected.extend(both);
    }
    for peer in ["sim1", "sim2"] {
        assert_eq!(took(&sim, peer, expected.len()).await, expected, "{peer}");
        let (_, told) = sim.received(peer).await;
        println!("{peer}: {} requests, {} again, {}", told["requests"], told["repeated"], told["answers"]);
        assert!(told["repeated"].as_u64() > Some(0), "an incomplete response does not count: {told}");
    }
}

#[tokio::test]
async fn messages_survive_misbehaving_peer() {
    let sim = Sim::start(
        "sim",
        1,
        &["--chance", "ok=4,5xx=1,close=2,silent=1,429=1,lie-verdicts=1,lie-json=1,huge=1", "--seed", "7"],
    )
    .await;
    let mut red = GatewayProcess::new("red");
    sim.are_known_to(&mut red, &format!("{LIMITS}\ndialect = \"transactions\""));
    red.start().await;
    red.api().set_participants("#c", &["sim1"]).await;
    let mut expected = vec![];
    for n in 0..40 {
        let id = red.api().say_in("#c", &format!("m-{n}"), &n.to_string()).await;
        expected.push(format!("red/{id}"));
    }
    assert_eq!(took(&sim, "sim1", expected.len()).await, expected);
}

/// Both numberings and both dialects, with a sender that shuffles and repeats its requests.
#[tokio::test]
async fn shuffled_repeated_pushes_arrive_once() {
    let mut blue = GatewayProcess::new("blue");
    let ways: [(&str, &[&str]); 4] = [
        ("single", &["--batch", "1"]),
        ("ranges", &["--batch", "4", "--ranges"]),
        ("mute", &["--batch", "4"]),
        ("chain", &["--batch", "4", "--context", "#c"]),
    ];
    for (name, _) in ways {
        blue.peer(name, "addresses = [\"http://127.0.0.1:9\"]\nallow_from = [\"127.0.0.1/32\"]\npaused = true");
    }
    blue.start().await;
    blue.api().set_participants("#c", &["chain"]).await;
    for (name, arguments) in ways {
        let mut command = fernpost();
        command.args(["peer-sim", "--push", &format!("http://{}", blue.federation), "--as", name]);
        command.args(["--count", "30", "--shuffled", "--twice", "--seed", "11"]).args(arguments);
        let mut process = Process::start(&mut command);
        assert!(process.ended().await.success(), "{name}: {}", process.log());
    }
    let events = blue.api().hear(120).await;
    let after = blue.api().get("/v1/events?after=120").await;
    assert_eq!(after["events"], json!([]), "nothing came twice");
    for (name, _) in &ways[..3] {
        let own: Vec<_> = events.iter().filter(|event| event["from"] == *name).cloned().collect();
        let expected: Vec<String> = (1..=30).map(|n| format!("{name}/{n}")).collect();
        assert_eq!(texts(&own), expected, "{name}");
    }
    let chain = events.iter().filter(|event| event["kind"] == "message");
    let ids: Vec<_> = chain.map(|event| event["pdu_id"].as_str().expect("an id").to_owned()).collect();
    assert_eq!(ids, (1..=30).map(|n| format!("sim-{n}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn peer_sim_rejects_wrong_arguments() {
    let wrong: [(&[&str], &str); 5] = [
        (&["--listen", "0.0.0.0:7001"], "on loopback only"),
        (&["--script", "okay"], "no behaviour"),
        (&["--peers", "2", "--name", "same"], "{}"),
        (&["--push", "http://127.0.0.1:9"], "--as"),
        (&["--script", "ok", "--chance", "ok=1"], "cannot be used with"),
    ];
    for (arguments, words) in wrong {
        let mut process = Process::start(fernpost().arg("peer-sim").args(arguments));
        assert_eq!(process.ended().await.code(), Some(2), "{arguments:?}");
        assert!(process.log().contains(words), "{arguments:?}: {}", process.log());
    }
}
