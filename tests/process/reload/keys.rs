//! Certificates, roots and signing keys whose files change, by `fernpost reload`.

use std::process::Command;

use fernpost::identity::key_directory::KEY_DIRECTORY_PATH;

use super::{TRIED_SOON, posted, reloaded, runs, until, updates};
use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::fernpost;
use crate::peers::signatures::key;
use crate::tls::authority::{FileAuthority, LeafKind};

/// Returns the names in the certificate that a listener serves.
async fn served_names(address: std::net::SocketAddr) -> String {
    let look = move || {
        let pipe = format!(
            "openssl s_client -connect {address} </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName"
        );
        Command::new("sh").args(["-c", &pipe]).output().expect("openssl is installed")
    };
    let output = tokio::task::spawn_blocking(look).await.expect("it ran");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn certificate_is_replaced_by_verb() {
    let authority = FileAuthority::new();
    let mut red = GatewayProcess::new("red.example");
    let pair = authority.issue(red.folder(), "red", &["red.example"], LeafKind::Usual);
    red.tls("federation", &pair.cert, &pair.key);
    red.start().await;
    authority.issue(red.folder(), "red", &["second.red.example"], LeafKind::Usual);
    reloaded(&red).await;
    assert!(served_names(red.federation).await.contains("second.red.example"), "at once, or by the watch just before");
    // The command speaks TLS to a listener that serves nothing else.
    let (code, checked) = runs(&red, &["check", "keys"]).await;
    let served = |finding: &serde_json::Value| finding["detail"] == "the key directory has all signing keys";
    assert!(code == 0 && checked["checks"].as_array().is_some_and(|found| found.iter().any(served)), "{checked}");

    // A certificate without its key is refused after a while, with everything else, and the pair before stays.
    let (cert, secret) = (std::fs::read(&pair.cert).expect("read"), std::fs::read(&pair.key).expect("read"));
    authority.issue(red.folder(), "red", &["third.red.example"], LeafKind::Usual);
    std::fs::write(&pair.key, &secret).expect("written");
    red.edit(|text| text.replace("\"*.bad.example\"", "\"*.worse.example\""));
    let (status, report) = posted(&red).await;
    assert_eq!(status, 422, "{report}");
    assert!(report["problems"][0].as_str().is_some_and(|why| why.contains("federation.tls")), "{report}");
    assert!(served_names(red.federation).await.contains("second.red.example"));

    std::fs::write(&pair.cert, &cert).expect("written");
    assert_eq!(reloaded(&red).await.0, ["federation.deny"]);
}

/// A pair that is half written when the reload begins is read again until it fits.
#[tokio::test]
async fn half_written_pair_is_awaited() {
    let authority = FileAuthority::new();
    let mut red = GatewayProcess::new("red.example");
    let pair = authority.issue(red.folder(), "red", &["red.example"], LeafKind::Usual);
    red.tls("federation", &pair.cert, &pair.key);
    red.start().await;
    let before = std::fs::read(&pair.key).expect("read");
    authority.issue(red.folder(), "red", &["second.red.example"], LeafKind::Usual);
    let after = std::fs::read(&pair.key).expect("read");
    std::fs::write(&pair.key, before).expect("written");
    let admin = red.admin;
    let reload = tokio::spawn(async move {
        let admin = ::fixtures::clients::http_caller::HttpCaller::at(admin);
        admin.call(reqwest::Method::POST, "/admin/v1/reload", "").await.expect("an answer")
    });
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert!(!reload.is_finished(), "the files may be half written");
    std::fs::write(&pair.key, after).expect("written");
    let (status, report) = reload.await.expect("it ran");
    assert_eq!(status, 200, "{report}");
    assert!(served_names(red.federation).await.contains("second.red.example"));
}

/// `network.roots` may name other files.
#[tokio::test]
async fn changed_roots_are_believed() {
    let (trusted, foreign) = (FileAuthority::new(), FileAuthority::new());
    let [mut red, mut blue] = ["red.example", "blue.example"].map(GatewayProcess::new);
    let own = trusted.issue(blue.folder(), "own", &["blue.example"], LeafKind::Usual);
    blue.tls("federation", &own.cert, &own.key);
    let (to, from) = (blue.federation, red.federation);
    let by_address = format!("auth = \"network\"\nallow_from = [\"127.0.0.1/32\"]\n{TRIED_SOON}");
    red.peer_section("blue.example", &format!("addresses = [\"https://{to}\"]\n{by_address}"));
    blue.peer_section("red.example", &format!("addresses = [\"http://{from}\"]\n{by_address}"));
    let foreign = foreign.write(red.folder());
    let foreign_kept = red.folder().join("foreign.pem");
    std::fs::rename(foreign, &foreign_kept).expect("moved");
    let ca = trusted.write(red.folder());
    let base = red.edit(|text| format!("{text}[network]\nroots = [\"{}\"]\n", foreign_kept.display()));
    red.start().await;
    blue.start().await;
    red.api().say("1", "blue.example", "by a known root").await;
    until(&red, "blue.example", "CERTIFICATE_UNKNOWN_ISSUER").await;
    red.edit(|_| format!("{base}[network]\nroots = [\"{}\"]\n", ca.display()));
    assert_eq!(reloaded(&red).await.0, ["network.roots"]);
    assert_eq!(updates(&blue, 1).await, ["by a known root"]);
}

/// A new signing key is published and signs after the reload.
#[tokio::test]
async fn rotated_key_is_taken_over() {
    let (mut red, mut blue) = (GatewayProcess::new("red"), GatewayProcess::new("blue"));
    let (_, of_red) = key(&red);
    let (_, of_blue) = key(&blue);
    let limits = format!("auth = \"signature\"\n{TRIED_SOON}");
    let (to_red, to_blue) = (red.federation, blue.federation);
    red.peer_section("blue", &format!("addresses = [\"http://{to_blue}\"]\n{limits}\nkeys = [\"{of_blue}\"]"));
    blue.peer_section("red", &format!("addresses = [\"http://{to_red}\"]\n{limits}\nkeys = [\"{of_red}\"]"));
    red.start().await;
    blue.start().await;
    let published = async || {
        let url = format!("http://{to_red}{KEY_DIRECTORY_PATH}");
        reqwest::get(url).await.expect("an answer").text().await.expect("a text")
    };
    let mut rotate = fernpost();
    rotate.args(["keys", "rotate", "--now", "--json", "--config"]).arg(red.configured());
    let made = rotate.output().expect("the binary starts");
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).expect("JSON");
    assert!(!published().await.contains("\"2\""), "not before the reload");
    let (code, checked) = runs(&red, &["check", "keys"]).await;
    assert_eq!(code, 1, "{checked}");

    assert_eq!(reloaded(&red).await.0, ["keys"]);
    assert!(published().await.contains("\"kid\":\"2\""));
    assert_eq!(runs(&red, &["check", "keys"]).await.0, 0);
    // Blue knows the old key alone, until it is told the new one.
    red.api().say("1", "blue", "by the new key").await;
    until(&red, "blue", "HTTP_401").await;
    let new = format!("2:{}", made["public"].as_str().expect("a key"));
    blue.edit(|text| text.replace(&of_red, &format!("{of_red}\", \"{new}")));
    assert_eq!(reloaded(&blue).await.0, ["peers.server.\"red\".keys"]);
    assert_eq!(updates(&blue, 1).await, ["by the new key"]);
}
