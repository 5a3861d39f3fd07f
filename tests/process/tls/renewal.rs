//! Certificates that end, and certificates and roots that are replaced while the gateway runs.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use ::fixtures::clients::http_caller::HttpCaller;
use tokio::time::{Instant, sleep};

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::soon;
use crate::tls::authority::{FileAuthority, LeafKind, PairFiles};
use crate::tls::callers::CertifiedGateway;

#[tokio::test]
async fn certificate_that_ends_is_warned_of() {
    let authority = FileAuthority::new();
    let mut red = GatewayProcess::new("red.example");
    let five_days = LeafKind::EndsIn(5 * 86_400 + 3600);
    let soon_ended = authority.issue(red.folder(), "soon", &["red.example"], five_days);
    let long = authority.issue(red.folder(), "long", &["red.example"], LeafKind::Usual);
    red.tls("federation", &soon_ended.cert, &soon_ended.key);
    red.tls("messenger", &long.cert, &long.key);
    red.start().await;
    let line = red.process().says("the certificate ends soon").await;
    assert!(line.contains("federation.tls") && line.contains("days=5"), "{line}");
    assert!(!red.process().log().contains("subject=\"messenger.tls\""), "{}", red.process().log());
    let ready = HttpCaller::at(red.admin).get("/health/ready").await;
    let warnings = ready["warnings"].as_array().expect("warnings");
    assert_eq!(warnings.len(), 1, "{ready}");
    assert_eq!((&warnings[0]["subject"], &warnings[0]["days"]), (&"federation.tls".into(), &5.into()), "{ready}");
    let metrics = reqwest::Client::builder().no_proxy().build().expect("a client");
    let metrics = metrics.get(format!("http://{}/metrics", red.admin)).send().await.expect("an answer");
    let metrics = metrics.text().await.expect("a text");
    let end = |subject: &str| {
        let start = format!("fernpost_certificate_end_seconds{{subject=\"{subject}\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&start));
        value.unwrap_or_else(|| panic!("{metrics}")).parse::<f64>().expect("a number")
    };
    // 2040-01-01.
    assert_eq!(end("messenger.tls"), 2_208_988_800.0);
    let left = end("federation.tls") - crate::peers::signatures::seconds() as f64;
    assert!((5.0 * 86_400.0..=5.0 * 86_400.0 + 3600.0).contains(&left), "{left}");
}

/// Returns the number of lines of the log that report files that cannot be used.
fn reports(red: &mut GatewayProcess) -> usize {
    red.process().log().matches("the changed files cannot be used").count()
}

#[tokio::test]
async fn unfit_pair_is_reported_once() {
    let authority = FileAuthority::new();
    let mut red = GatewayProcess::new("red.example");
    let pair = authority.issue(red.folder(), "red", &["red.example"], LeafKind::Usual);
    let other = authority.issue(red.folder(), "other", &["other.example"], LeafKind::Usual);
    red.tls("federation", &pair.cert, &pair.key);
    red.start().await;
    let began = Instant::now();
    std::fs::copy(&other.cert, &pair.cert).expect("copied");
    let line = red.process().says("the changed files cannot be used").await;
    assert!(line.contains("federation.tls"), "{line}");
    assert!(began.elapsed() >= Duration::from_secs(5), "the key may still be written");
    // As many looks again as the first report needed.
    sleep(Duration::from_secs(7)).await;
    assert_eq!(reports(&mut red), 1);
    // Nothing changed since, so only the signal makes the gateway read the files.
    red.process().signal("HUP");
    let line = red.process().says("is not reloaded").await;
    assert!(line.contains("federation.tls"), "{line}");
    std::fs::copy(&other.key, &pair.key).expect("copied");
    red.process().signal("HUP");
    // The watch may look before the signal is handled.
    let is_taken_over = |line: &str| {
        line.contains("files replaced") || line.contains("configuration reloaded") && line.contains("federation.tls")
    };
    soon("the pair that fits", async {
        while !red.process().log().lines().any(is_taken_over) {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// A client of Python that makes a connection for each request, and resumes the session of the first one.
pub(super) struct ResumingCaller {
    child: Child,
    answers: BufReader<ChildStdout>,
}

const SCRIPT: &str = r#"
import http.client, json, socket, ssl, sys
ip, port, cert, key, name = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.load_cert_chain(cert, key)
context.maximum_version = ssl.TLSVersion.TLSv1_2
session = None
for line in sys.stdin:
    tls = context.wrap_socket(socket.create_connection((ip, int(port))), server_hostname="red.example", session=session)
    connection = http.client.HTTPConnection("red.example")
    # The library closes its connection after a refusal, and then this is not known any more.
    kind, session = "resumed" if tls.session_reused else "new", session or tls.session
    connection.sock = tls
    body = json.dumps({"seq": 1, "strong": [{}]})
    connection.request("POST", "/http/v1/updates", body, {"Content-Type": "application/json", "Fernpost-Origin": name})
    answer = connection.getresponse()
    code = json.loads(answer.read()).get("code")
    print(answer.status, code, kind, flush=True)
    tls.close()
"#;

impl ResumingCaller {
    pub(super) fn start(gateway: &CertifiedGateway, pair: &PairFiles, name: &str) -> Self {
        let address = gateway.red.federation;
        let mut python = Command::new("python3");
        python.args(["-c", SCRIPT, &address.ip().to_string(), &address.port().to_string()]);
        python.arg(&pair.cert).arg(&pair.key).arg(name).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().expect("python");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, answers }
    }

    /// Sends a request; returns the status, the code and whether the session was resumed.
    pub(super) fn ask(&mut self) -> String {
        self.child.stdin.as_mut().expect("piped").write_all(b"\n").expect("it reads");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("an answer");
        line.trim().to_owned()
    }
}

impl Drop for ResumingCaller {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A resumed session has the certificate of its first handshake, which is judged as it is now.
#[tokio::test]
async fn resumed_certificate_is_judged_anew() {
    let gateway = CertifiedGateway::start().await;
    let issue = |file, kind| gateway.authority.issue(gateway.folder(), file, &["blue.example"], kind);
    let mut ending = ResumingCaller::start(&gateway, &issue("ending", LeafKind::EndsIn(8)), "blue.example");
    let mut lasting = ResumingCaller::start(&gateway, &issue("lasting", LeafKind::Usual), "blue.example");
    for caller in [&mut ending, &mut lasting] {
        assert_eq!([caller.ask(), caller.ask()], ["200 None new", "200 None resumed"]);
    }
    let until = async |caller: &mut ResumingCaller, wanted: &str| {
        let changed = async {
            loop {
                let answer = caller.ask();
                if answer != "200 None resumed" {
                    return answer;
                }
                sleep(Duration::from_millis(200)).await;
            }
        };
        assert_eq!(soon(wanted, changed).await, wanted);
    };
    until(&mut ending, "401 CERTIFICATE_EXPIRED resumed").await;
    // The roots are replaced, and the verdict by the old ones is not used any more.
    FileAuthority::new().write(gateway.folder());
    until(&mut lasting, "401 CERTIFICATE_UNKNOWN_ISSUER resumed").await;
    gateway.authority.write(gateway.folder());
    soon("the old roots again", async {
        while lasting.ask() != "200 None resumed" {
            sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn changed_roots_let_peer_be_reached() {
    let authority = FileAuthority::new();
    let [mut red, mut blue] = ["red.example", "blue.example"].map(GatewayProcess::new);
    let pair = authority.issue(blue.folder(), "own", &["blue.example"], LeafKind::Usual);
    blue.tls("federation", &pair.cert, &pair.key);
    let range = "allow_from = [\"127.0.0.1/32\"]";
    let address =
        format!("addresses = [\"https://{}\"]\nbackoff_min = \"200ms\"\nbackoff_max = \"1s\"", blue.federation);
    red.peer("blue.example", &format!("{address}\n{range}"));
    blue.peer("red.example", &format!("addresses = [\"http://{}\"]\n{range}", red.federation));
    FileAuthority::new().write(red.folder());
    red.start_with(&["network.roots=[\"ca.pem\"]"]).await;
    blue.start().await;
    red.api().say("m-1", "blue.example", "by new roots").await;
    soon("the old roots refuse", async {
        while red.api().get("/v1/peers/blue.example").await["last_code"] != "CERTIFICATE_UNKNOWN_ISSUER" {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    authority.write(red.folder());
    assert_eq!(blue.api().hear(1).await[0]["from"], "red.example");
}
