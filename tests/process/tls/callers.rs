//! Stock clients with client certificates: who is accepted, and which code names what is wrong. Afterwards the next good request works.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::raw::response;
use crate::peers::signatures::{codes, refused};
use crate::reload::reloaded;
use crate::requests::silent::{client_of, is_whole};
use crate::tls::authority::{FileAuthority, LeafKind, PairFiles};
use crate::tls::renewal::ResumingCaller;

/// A gateway that knows blue and green by certificate, and pink by a pinned one.
pub(super) struct CertifiedGateway {
    pub(super) red: GatewayProcess,
    pub(super) authority: FileAuthority,
    pink: PairFiles,
}

/// Returns the pin of a certificate.
pub(super) fn pin(certificate: &Path) -> String {
    let shell = format!(
        "openssl x509 -in {} -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -r",
        certificate.display()
    );
    let output = Command::new("sh").args(["-c", &shell]).output().expect("openssl");
    let text = String::from_utf8(output.stdout).expect("text");
    format!("sha256:{}", text.split_whitespace().next().expect("a digest"))
}

impl CertifiedGateway {
    pub(super) async fn start() -> Self {
        let mut red = GatewayProcess::new("red.example");
        let authority = FileAuthority::new();
        let own = authority.issue(red.folder(), "red", &["red.example"], LeafKind::Usual);
        let pink = FileAuthority::new().issue(red.folder(), "pink", &["pink.example"], LeafKind::Usual);
        let ca = authority.write(red.folder());
        red.tls("federation", &own.cert, &own.key);
        let (ca, address) =
            (format!("federation.tls.client_ca=\"{}\"", ca.display()), "addresses = [\"http://127.0.0.1:1\"]");
        for name in ["blue.example", "green.example"] {
            red.peer_section(name, &format!("{address}\nauth = \"mtls\""));
        }
        red.peer_section(
            "pink.example",
            &format!("{address}\nauth = \"mtls\"\nfingerprints = [\"{}\"]", pin(&pink.cert)),
        );
        red.start_with(&[&ca]).await;
        Self { red, authority, pink }
    }

    /// Pushes nothing as this caller by curl; returns the status and the code of the refusal.
    async fn push(&self, pair: Option<&PairFiles>, claim: Option<&str>) -> (u16, String) {
        let mut curl = Command::new("curl");
        let address = self.red.federation;
        let resolve = format!("red.example:{}:{}", address.port(), address.ip());
        curl.args(["--silent", "--insecure", "--resolve", &resolve, "--write-out", "\n%{http_code}"]);
        curl.args(["--json", r#"{"seq":1,"strong":[{}]}"#]);
        if let Some(pair) = pair {
            curl.arg("--cert").arg(&pair.cert).arg("--key").arg(&pair.key);
        }
        if let Some(claim) = claim {
            curl.args(["--header", &format!("Fernpost-Origin: {claim}")]);
        }
        curl.arg(format!("https://red.example:{}/http/v1/updates", address.port()));
        let output = tokio::task::spawn_blocking(move || curl.output().expect("curl")).await.expect("it ran");
        answer(&output)
    }

    pub(super) fn folder(&self) -> &Path {
        self.red.folder()
    }
}

/// Returns the status that curl prints in the last line, and the code in the body before it.
pub(super) fn answer(output: &Output) -> (u16, String) {
    let text = String::from_utf8_lossy(&output.stdout);
    let (body, status) = text.rsplit_once('\n').expect("a status");
    let code = serde_json::from_str::<serde_json::Value>(body).ok();
    let code = code.and_then(|json| json["code"].as_str().map(str::to_owned)).unwrap_or_default();
    (status.parse().expect("a number"), code)
}

#[tokio::test]
async fn certificate_decides_who_calls() {
    let gateway = CertifiedGateway::start().await;
    let issue = |file: &str, name: &str, kind| gateway.authority.issue(gateway.folder(), file, &[name], kind);
    let blue = issue("blue", "blue.example", LeafKind::Usual);
    let accepted = || refused(200, "");
    assert_eq!(gateway.push(Some(&blue), Some("blue.example")).await, accepted());
    assert_eq!(gateway.push(Some(&blue), None).await, accepted(), "the certificate names one peer");
    assert_eq!(gateway.push(Some(&gateway.pink), Some("pink.example")).await, accepted());
    let server_only = issue("server", "blue.example", LeafKind::ServerOnly);
    assert_eq!(gateway.push(Some(&server_only), Some("blue.example")).await, accepted());

    assert_eq!(gateway.push(None, Some("blue.example")).await, refused(401, "UNAUTHENTICATED"));
    assert_eq!(gateway.push(Some(&blue), Some("pink.example")).await, refused(403, "NOT_THE_SENDER"));
    for (file, kind, code) in [
        ("expired", LeafKind::Expired, "CERTIFICATE_EXPIRED"),
        ("early", LeafKind::NotYetValid, "CERTIFICATE_NOT_YET_VALID"),
        ("ca-leaf", LeafKind::Authority, "CERTIFICATE_IS_A_CA"),
        ("code", LeafKind::CodeSigning, "CERTIFICATE_WRONG_PURPOSE"),
    ] {
        let pair = issue(file, "blue.example", kind);
        assert_eq!(gateway.push(Some(&pair), Some("blue.example")).await, refused(401, code));
    }
    let foreign = FileAuthority::new().issue(gateway.folder(), "foreign", &["blue.example"], LeafKind::Usual);
    assert_eq!(gateway.push(Some(&foreign), Some("blue.example")).await, refused(401, "CERTIFICATE_UNKNOWN_ISSUER"));
    let unpinned = issue("unpinned", "pink.example", LeafKind::Usual);
    assert_eq!(gateway.push(Some(&unpinned), Some("pink.example")).await, refused(401, "CERTIFICATE_NOT_PINNED"));
    let stranger = issue("stranger", "stranger.example", LeafKind::Usual);
    assert_eq!(gateway.push(Some(&stranger), Some("stranger.example")).await, refused(403, "FORBIDDEN"));
    // A certificate of two listed peers is that of whichever is claimed, and of none without a claim.
    let both = ["blue.example", "green.example"];
    let both = gateway.authority.issue(gateway.folder(), "both", &both, LeafKind::Usual);
    assert_eq!(gateway.push(Some(&both), Some("green.example")).await, accepted());
    assert_eq!(gateway.push(Some(&both), None).await, refused(401, "UNAUTHENTICATED"));
    assert_eq!(gateway.push(Some(&blue), Some("blue.example")).await, accepted(), "the next good request works");
}

/// The standard library's client of Python, with a session that is resumed.
#[tokio::test]
async fn python_client_resumes_its_session() {
    let gateway = CertifiedGateway::start().await;
    let blue = gateway.authority.issue(gateway.folder(), "blue", &["blue.example"], LeafKind::Usual);
    let ca = gateway.authority.write(gateway.folder());
    let script = r#"
import http.client, json, socket, ssl, sys
ip, port, ca, cert, key = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(cert, key)
context.maximum_version = ssl.TLSVersion.TLSv1_2
session, seen = None, []
for _ in range(2):
    raw = socket.create_connection((ip, int(port)))
    tls = context.wrap_socket(raw, server_hostname="red.example", session=session)
    body = json.dumps({"seq": 1, "strong": [{}]})
    connection = http.client.HTTPConnection("red.example")
    connection.sock = tls
    connection.request("POST", "/http/v1/updates", body, {"Content-Type": "application/json", "Fernpost-Origin": "blue.example"})
    answer = connection.getresponse()
    answer.read()
    seen.append((answer.status, tls.session_reused))
    session = tls.session
    tls.close()
print(seen)
"#;
    let mut python = Command::new("python3");
    let address = gateway.red.federation;
    python.args(["-c", script, &address.ip().to_string(), &address.port().to_string()]);
    python.arg(ca).arg(&blue.cert).arg(&blue.key);
    let output = tokio::task::spawn_blocking(move || python.output().expect("python")).await.expect("it ran");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        said.trim(),
        "[(200, False), (200, True)]",
        "a resumed session carries the certificate of the first handshake"
    );
}

/// It is refused on the connection that is open, and on new ones: its certificate proves its name as before.
#[tokio::test]
async fn removed_certified_peer_gets_403() {
    let mut gateway = CertifiedGateway::start().await;
    let blue = gateway.authority.issue(gateway.folder(), "blue", &["blue.example"], LeafKind::Usual);
    let chain = vec![CertificateDer::from_pem_file(&blue.cert).expect("PEM")];
    let key = PrivateKeyDer::from_pem_file(&blue.key).expect("PEM");
    let config =
        client_of(&gateway.authority.write(gateway.folder())).with_client_auth_cert(chain, key).expect("a pair");
    let socket = TcpStream::connect(gateway.red.federation).await.expect("it listens");
    let name = ServerName::try_from("red.example").expect("a name");
    let mut open = TlsConnector::from(Arc::new(config)).connect(name, socket).await.expect("a handshake");
    let mut push = async || {
        let head = "POST /http/v1/updates HTTP/1.1\r\nHost: red.example\r\nFernpost-Origin: blue.example\r\n";
        let request = format!("{head}Content-Length: 25\r\n\r\n{{\"seq\":1,\"strong\":[{{}}]}}  ");
        open.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = vec![];
        while !is_whole(&answer) {
            assert_ne!(open.read_buf(&mut answer).await.expect("an answer"), 0, "the connection was closed");
        }
        codes(response(&answer))
    };
    let remove = |text: &str| {
        let (before, section) = text.split_once("[peers.server.\"blue.example\"]").expect("blue is listed");
        format!("{before}[peers{}", section.split_once("[peers").expect("others are listed after it").1)
    };
    assert_eq!(push().await, refused(200, ""));
    let listed = gateway.red.edit(remove);
    assert_eq!(reloaded(&gateway.red).await.0, ["peers.server.\"blue.example\""]);
    assert_eq!(push().await, refused(403, "FORBIDDEN"));
    let claim = Some("blue.example");
    assert_eq!(gateway.push(Some(&blue), claim).await, refused(403, "FORBIDDEN"));
    gateway.red.edit(|_| listed);
    reloaded(&gateway.red).await;
    assert_eq!(gateway.push(Some(&blue), claim).await, refused(200, ""));
}

/// The certificate of a resumed session is judged by the pins as they are now.
#[tokio::test]
async fn resumed_session_meets_changed_pin() {
    let mut gateway = CertifiedGateway::start().await;
    let next = FileAuthority::new().issue(gateway.folder(), "next", &["pink.example"], LeafKind::Usual);
    let mut caller = ResumingCaller::start(&gateway, &gateway.pink, "pink.example");
    assert_eq!([caller.ask(), caller.ask()], ["200 None new", "200 None resumed"]);
    let pins = [&gateway.pink, &next].map(|pair| pin(&pair.cert));
    let pinned = gateway.red.edit(|text| text.replace(&pins[0], &pins[1]));
    assert_eq!(reloaded(&gateway.red).await.0, ["peers.server.\"pink.example\".fingerprints"]);
    assert_eq!(caller.ask(), "401 CERTIFICATE_NOT_PINNED resumed");
    let renewed = ResumingCaller::start(&gateway, &next, "pink.example").ask();
    assert_eq!(renewed, "200 None new");
    gateway.red.edit(|_| pinned);
    reloaded(&gateway.red).await;
    assert_eq!(caller.ask(), "200 None resumed");
}
