//! `fernpost doctor`: what is in a bundle, and what is not.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use ::fixtures::clients::messenger_client::submission;
use reqwest::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::{fernpost, soon};

/// A word of a message, and the secrets of a gateway.
const TEXT: &str = "the-password-is-swordfish";
const SECRETS: [&str; 4] = ["sesame-messenger", "sesame-admin", "sesame-desk", "c2VzYW1lLXB1c2gtc2VjcmV0LWtleQ=="];

fn doctor(gateway: &GatewayProcess, output: &Path) -> (Option<i32>, Value) {
    let mut command = fernpost();
    command.args(["doctor", "--json", "--output"]).arg(output).arg("--config").arg(gateway.configured());
    let output = command.output().expect("the binary starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let report = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{output:?}"));
    (output.status.code(), report)
}

/// Returns the texts of all files of a folder.
fn texts(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable").path());
    let mut all = String::new();
    for path in entries {
        all += &if path.is_dir() { texts(&path) } else { std::fs::read_to_string(&path).expect("text") };
    }
    all
}

fn names(report: &Value, key: &str) -> Vec<String> {
    let items = report[key].as_array().expect("a list").iter();
    items.map(|item| item.as_str().or(item["what"].as_str()).expect("a name").to_owned()).collect()
}

/// Starts a peer that refuses everything, and says what it refuses.
async fn repeating_peer() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 65_536];
            let _ = stream.read(&mut request).await;
            let body = format!("{{\"error\":\"I do not like {TEXT}\",\"code\":\"NO\"}}");
            let head = format!("HTTP/1.1 500 No\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    address
}

#[tokio::test]
async fn bundle_has_no_secrets_or_texts() {
    let mut red = GatewayProcess::new("red");
    let [messenger, admin, desk, push] = SECRETS;
    for (file, secret) in [("m.token", messenger), ("a.token", admin), ("d.token", desk)] {
        red.write_secret(file, &format!("{secret}\n"));
    }
    red.write_secret("push.secret", &format!("whsec_{push}\n"));
    red.edit(|text| {
        let text = text.replace("[messenger]\n", "[messenger]\ntoken_file = \"m.token\"\n");
        let desk = "tokens = [{ name = \"desk\", role = \"operate\", token_file = \"d.token\" }]";
        let text = text.replace("[admin]\n", &format!("[admin]\ntoken_file = \"a.token\"\n{desk}\n"));
        format!(
            "{text}[messenger.push]\nurl = \"http://127.0.0.1:1/x\"\nsecret_file = \"push.secret\"\n\
             [log]\ndeliveries = \"file\"\n"
        )
    });
    // The peer repeats the text of what it refuses.
    let blue = repeating_peer().await;
    red.peer("blue", &format!("addresses = [\"http://{blue}\"]\nallow_from = [\"127.0.0.1/32\"]"));
    red.start().await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = format!("http://{}/v1/updates/m-1", red.messenger);
    let put = client.request(Method::PUT, url).bearer_auth(messenger).body(submission(&["blue"], &[TEXT]));
    assert_eq!(put.send().await.expect("an answer").status().as_u16(), 202);
    let refused = async {
        let peer = format!("http://{}/admin/v1/peers/blue", red.admin);
        loop {
            let answer = client.get(&peer).bearer_auth(admin).send().await.expect("an answer");
            let answer = answer.text().await.expect("text");
            if answer.contains("last_error") {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let answer = soon("a refusal", refused).await;
    assert!(answer.contains(TEXT), "the peer repeats it: {answer}");

    let folder = red.folder().join("bundle");
    let (code, report) = doctor(&red, &folder);
    assert_eq!(code, Some(0), "{report}");
    let files = names(&report, "files");
    for name in [
        "version.txt",
        "system.txt",
        "configuration.json",
        "status.json",
        "peers.json",
        "metrics.txt",
        "log-levels.json",
        "store.json",
        "backups.json",
        "health.json",
        "files.txt",
        "deliveries.log",
    ] {
        assert!(files.contains(&name.to_owned()), "{name}: {report}");
    }
    let all = texts(&folder);
    for word in SECRETS.iter().chain([&TEXT, &"sesame"]) {
        assert!(!all.contains(word), "{word}: {all}");
    }
    for word in ["fernpost_build_info", "\"blue\"", "m-1", "MemTotal", "fernpost.redb", "admin.token_file"] {
        assert!(all.contains(word), "{word}: {all}");
    }
}

#[tokio::test]
async fn bundle_of_stopped_gateway_names_gaps() {
    let mut red = GatewayProcess::new("red");
    red.start().await;
    red.process().term();
    assert!(red.process().ended().await.success());
    let archive = red.folder().join("bundle.tar.gz");
    let (code, report) = doctor(&red, &archive);
    assert_eq!(code, Some(0), "{report}");
    let missing = names(&report, "missing");
    assert!(missing.contains(&"status.json".to_owned()) && missing.contains(&"metrics.txt".to_owned()), "{report}");
    assert!(report["missing"][0]["why"].as_str().is_some_and(|why| why.contains("no gateway answers")), "{report}");
    assert!(names(&report, "files").contains(&"stopped-store.txt".to_owned()), "{report}");
    let unpacked = red.folder().join("unpacked");
    std::fs::create_dir(&unpacked).expect("a folder");
    let tar = Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(&unpacked).output().expect("tar is there");
    assert!(tar.status.success(), "{tar:?}");
    let all = texts(&unpacked);
    assert!(all.contains("missing:\n") && all.contains("server: \"red\""), "{all}");
    let again = fernpost().args(["doctor", "--output"]).arg(&archive).arg("--config").arg(red.configured()).output();
    let again = again.expect("the binary starts");
    assert_eq!(again.status.code(), Some(2), "a file is never overwritten: {again:?}");
}

#[test]
fn broken_configuration_gets_bundle_too() {
    let mut red = GatewayProcess::new("red");
    red.edit(|text| text.replace("[server]\n", "[server]\nnothing = 1\n"));
    let folder = red.folder().join("bundle");
    let (code, report) = doctor(&red, &folder);
    assert_eq!(code, Some(0), "{report}");
    let missing = names(&report, "missing");
    assert!(missing.contains(&"configuration.json".to_owned()), "{report}");
    assert!(texts(&folder).contains("nothing"), "the problem is named");
}
