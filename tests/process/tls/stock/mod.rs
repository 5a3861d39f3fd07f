//! A client of Go's standard library that calls in both dialects, with a client certificate and with signatures. Go may be absent, as
//! nginx may be.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ::fixtures::clients::messenger_client::texts;
use zeroize::Zeroizing;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::tools::is_installed;
use crate::tls::authority::{FileAuthority, LeafKind};
use crate::tls::directory_server::key_of;
use crate::tls::mutual::{TRUST, certified};

/// Seed of green's key, as bytes that are all the same.
const SEED: u8 = 7;

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().expect("it starts")).await.expect("it ran")
}

/// Builds the client; the compiler's cache is kept between test runs.
async fn build(folder: &Path) -> PathBuf {
    let client = folder.join("client");
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(&client);
    go.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/process/tls/stock/client.go"));
    go.env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go")).env("GOFLAGS", "-mod=mod");
    let built = run(go).await;
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    client
}

/// Runs the client as this server; returns its lines: method, status and kind of connection, and the answer.
async fn call(client: &Path, red: &GatewayProcess, name: &str, proof: &[&str]) -> Vec<(String, serde_json::Value)> {
    let mut command = Command::new(client);
    command.arg(red.federation.to_string()).arg(red.folder().join("ca.pem")).arg(name).args(proof);
    let output = run(command).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let line = |line: &str| {
        let (words, body) = line.split_once(" {").expect("an answer");
        (words.to_owned(), serde_json::from_str(&format!("{{{body}")).expect("JSON"))
    };
    said.lines().map(line).collect()
}

#[tokio::test]
async fn go_client_speaks_both_dialects() {
    if !is_installed("go", "golang-go") {
        return;
    }
    let authority = FileAuthority::new();
    let mut red = certified("red.example", &authority);
    let blue = authority.issue(red.folder(), "blue", &["blue.example"], LeafKind::Usual);
    let address = "addresses = [\"https://127.0.0.1:1\"]";
    red.peer_section("blue.example", &format!("{address}\nauth = \"mtls\"\n"));
    let pinned = format!("1:{}", key_of("1", SEED).public().to_base64());
    red.peer_section("green.example", &format!("{address}\nauth = \"signature\"\nkeys = [\"{pinned}\"]\n"));
    let client = build(red.folder()).await;
    red.start_with(&TRUST).await;
    red.api().set_participants("#room", &["blue.example", "green.example"]).await;

    let seed: Zeroizing<String> = Zeroizing::new(format!("{SEED:02x}").repeat(32));
    let paths = [&blue.cert, &blue.key].map(|path| path.display().to_string());
    let proofs: [(&str, &str, &[&str]); 2] =
        [("blue.example", "mtls", &[&paths[0], &paths[1]]), ("green.example", "signature", &[&seed])];
    for (name, proof, arguments) in proofs {
        let before = red.api().get("/v1/events?after=0&limit=1000").await["events"].as_array().map_or(0, Vec::len);
        let lines = call(&client, &red, name, arguments).await;
        let words: Vec<_> = lines.iter().map(|(words, _)| words.as_str()).collect();
        let expected =
            ["POST 200 new", "POST 200 kept", "POST 200 resumed", "PUT 200 kept", "GET 200 kept", "GET 200 kept"];
        assert_eq!(words, expected, "{name}: {lines:?}");
        assert_eq!(lines[2].1["receive"], "ok", "{lines:?}");
        assert_eq!(lines[3].1["pdus"][0]["status"], "accepted", "{lines:?}");
        assert_eq!(lines[4].1["pdus"][0]["content"]["body"], "from go", "{lines:?}");
        let heard = red.api().hear(before + 4).await.split_off(before);
        assert_eq!(texts(&heard[..3]), ["one", "two", "three"]);
        assert_eq!(heard[3]["content"]["body"], "from go");
        assert!(heard.iter().all(|event| event["verified"] == proof), "{heard:?}");
    }
}
