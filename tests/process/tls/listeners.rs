//! Versions and renegotiation by openssl, replaced certificates, Unix sockets, and commands over TLS.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::fernpost;
use crate::tls::authority::{FileAuthority, LeafKind, PairFiles};

/// Returns a gateway with TLS on its federation and admin listeners.
fn with_tls(authority: &FileAuthority) -> (GatewayProcess, PairFiles) {
    let mut red = GatewayProcess::new("red.example");
    let pair = authority.issue(red.folder(), "red", &["red.example"], LeafKind::Usual);
    red.tls("federation", &pair.cert, &pair.key);
    (red, pair)
}

/// Returns what `openssl s_client` prints, its input closed at once.
fn openssl(address: std::net::SocketAddr, more: &[&str], input: &str) -> String {
    let mut client = Command::new("openssl");
    client.args(["s_client", "-connect", &address.to_string(), "-servername", "red.example"]).args(more);
    let mut child = client
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl is installed");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
async fn modern_versions_only_and_no_renegotiation() {
    let authority = FileAuthority::new();
    let (mut red, _) = with_tls(&authority);
    red.start().await;
    let address = red.federation;
    let asked = |more: &'static [&'static str], input: &'static str| {
        tokio::task::spawn_blocking(move || openssl(address, more, input))
    };
    let modern: [(&'static [&'static str], &str); 2] =
        [(&["-tls1_2"], "TLSv1.2, Cipher is"), (&["-tls1_3"], "TLSv1.3, Cipher is")];
    for (version, protocol) in modern {
        let said = asked(version, "Q\n").await.expect("it ran");
        assert!(said.contains(protocol), "{said}");
    }
    let old: [&'static [&'static str]; 2] = [&["-tls1_1"], &["-tls1"]];
    for version in old {
        let said = asked(version, "Q\n").await.expect("it ran");
        assert!(said.contains("no peer certificate available"), "{said}");
    }
    let weak = asked(&["-tls1_2", "-cipher", "AES128-SHA:AES256-SHA:DES-CBC3-SHA"], "Q\n").await.expect("it ran");
    assert!(weak.contains("no peer certificate available"), "{weak}");
    let again = asked(&["-tls1_2"], "R\n").await.expect("it ran");
    assert!(again.contains("RENEGOTIATING") && again.contains("no renegotiation"), "{again}");
}

#[tokio::test]
async fn replaced_certificate_is_served_soon() {
    let authority = FileAuthority::new();
    let (mut red, _) = with_tls(&authority);
    red.start().await;
    let address = red.federation;
    authority.issue(red.folder(), "red", &["second.red.example"], LeafKind::Usual);
    let served = async {
        loop {
            let said =
                tokio::task::spawn_blocking(move || openssl(address, &["-showcerts"], "Q\n")).await.expect("it ran");
            let path = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(path.path(), &said).expect("written");
            let text = Command::new("openssl")
                .args(["x509", "-noout", "-ext", "subjectAltName", "-in"])
                .arg(path.path())
                .output()
                .expect("openssl");
            if String::from_utf8_lossy(&text.stdout).contains("second.red.example") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(6), served).await.expect("the new certificate is served");
}

#[tokio::test]
async fn commands_reach_unix_socket_and_tls() {
    let authority = FileAuthority::new();
    let (mut red, pair) = with_tls(&authority);
    red.start_with(&["messenger.listen=unix:m.sock", "messenger.listen_mode=0600"]).await;
    let socket = red.folder().join("m.sock");
    let mode = std::fs::metadata(&socket).expect("it is there");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
    let client = reqwest::Client::builder().unix_socket(socket.clone()).build().expect("a client");
    let answer = client.get("http://localhost/v1/events?after=0").send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 200);
    drop(red.kill());

    // A command knows the gateway of its configuration by the certificate there, and another one by a root.
    red.tls("admin", &pair.cert, &pair.key);
    red.start().await;
    let list = |more: Vec<String>| {
        let mut command = fernpost();
        command.args(["peer", "list", "--config"]).arg(red.configured()).args(more);
        tokio::task::spawn_blocking(move || command.output().expect("it runs"))
    };
    let pinned = list(vec![]).await.expect("it ran");
    assert!(pinned.status.success(), "{}", String::from_utf8_lossy(&pinned.stderr));
    let ca = authority.write(red.folder()).display().to_string();
    let by_root = list(vec!["--ca".to_owned(), ca]).await.expect("it ran");
    let why = String::from_utf8_lossy(&by_root.stderr).into_owned();
    assert!(!by_root.status.success() && why.contains("no gateway answers"), "127.0.0.1 is not in it: {why}");
}
