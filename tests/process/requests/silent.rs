//! Connections that say nothing cost little memory, and honest peers do not notice them. The test asserts the memory; delays are printed,
//! and compared only by `scripts/silent.sh`, because they depend on the load of the machine.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_rustls::TlsConnector;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::soon;
use crate::tls::authority::{FileAuthority, LeafKind};

/// Most bytes of a silent connection: 9,900 of them stay within 64 MiB.
const EACH_MAX: u64 = (64 << 20) / 9_900;

/// Time between two updates of one honest peer.
pub(super) const PACE: Duration = Duration::from_millis(250);

pub(super) fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A peer that pushes updates on one connection.
pub(super) struct HonestPeer {
    name: String,
    seq: u64,
    stream: Box<dyn Duplex>,
}

impl HonestPeer {
    pub(super) async fn connect(name: String, address: SocketAddr, tls: Option<&TlsConnector>) -> Self {
        let plain = TcpStream::connect(address).await.expect("it listens");
        plain.set_nodelay(true).expect("an option");
        let stream: Box<dyn Duplex> = match tls {
            Some(tls) => {
                let server = ServerName::try_from("red.example").expect("a name");
                Box::new(tls.connect(server, plain).await.expect("a handshake"))
            }
            None => Box::new(plain),
        };
        Self { name, seq: 0, stream }
    }

    /// Pushes one update; returns how long its answer took.
    async fn push(&mut self) -> Duration {
        self.seq += 1;
        let body = format!("{{\"seq\":{},\"strong\":[{{\"text\":\"{}\"}}]}}", self.seq, "x".repeat(300));
        let head = format!(
            "POST /http/v1/updates HTTP/1.1\r\nHost: red.example\r\nFernpost-Origin: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            self.name,
            body.len()
        );
        let began = Instant::now();
        self.stream.write_all((head + &body).as_bytes()).await.expect("sent");
        let mut answer = vec![];
        while !is_whole(&answer) {
            assert_ne!(self.stream.read_buf(&mut answer).await.expect("an answer"), 0, "the connection was closed");
        }
        let took = began.elapsed();
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        took
    }
}

/// Returns a TLS client that believes servers under this root.
pub(crate) fn client_of(ca: &Path) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).expect("PEM")).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    config.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots)
}

/// Returns whether the answer has arrived to the end of its body.
pub(crate) fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

/// Lets all peers push at their pace for this time; returns the peers, and the delays in milliseconds, sorted.
pub(super) async fn turn(peers: Vec<HonestPeer>, time: Duration) -> (Vec<HonestPeer>, Vec<f64>) {
    let (mut pushing, mut back, mut delays) = (JoinSet::new(), vec![], vec![]);
    let count = u32::try_from(peers.len()).expect("few");
    for (n, mut peer) in (0..).zip(peers) {
        pushing.spawn(async move {
            let (began, mut delays) = (Instant::now(), vec![]);
            let mut ticks = interval_at(began + PACE * n / count, PACE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while began.elapsed() < time {
                ticks.tick().await;
                delays.push(peer.push().await.as_secs_f64() * 1000.0);
            }
            (peer, delays)
        });
    }
    while let Some(done) = pushing.join_next().await {
        let (peer, own) = done.expect("no panic");
        back.push(peer);
        delays.extend(own);
    }
    delays.sort_by(f64::total_cmp);
    (back, delays)
}

pub(super) fn percentile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() as f64 * share) as usize).min(sorted.len() - 1)]
}

fn middle(all: &[f64]) -> f64 {
    let mut all = all.to_vec();
    all.sort_by(f64::total_cmp);
    percentile(&all, 0.5)
}

/// Lets this process, and the gateway that it starts, open as many sockets as the system allows.
fn open_many_files() -> u64 {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("the soft limit may rise to the hard one");
    maximum.unwrap_or(u64::MAX)
}

/// Returns how many connections a process has accepted at this address and not closed. Sockets that nobody has accepted yet, and those
/// that are closed, have no inode.
fn accepted(at: SocketAddr) -> usize {
    let SocketAddr::V4(at) = at else { panic!("IPv4") };
    let local = format!("{:08X}:{:04X}", u32::from(*at.ip()).swap_bytes(), at.port());
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[1] == local && row[3] != "0A" && row[9] != "0").count()
}

async fn until_accepted(at: SocketAddr, count: usize) {
    soon("the connections", async {
        while accepted(at) != count {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// Opens this many connections that say nothing, from an address of their own.
async fn say_nothing(from: Ipv4Addr, to: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut open = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from((from, 0))).expect("an address of loopback");
        open.push(soon("a connection", socket.connect(to)).await.expect("it listens"));
    }
    open
}

/// Measures a gateway with and without silent connections, in turns.
async fn measure(kind: &'static str, number_of_kind: u8) {
    let (silent, honest) = (number("FERNPOST_SILENT", 2_000), number("FERNPOST_HONEST", 20));
    let (rounds, time) = (number("FERNPOST_ROUNDS", 1), Duration::from_secs(number("FERNPOST_SECONDS", 1) as u64));
    assert!(open_many_files() > (silent + honest + 100) as u64, "raise the hard limit of open files (ulimit -Hn)");
    let mut red = GatewayProcess::new("red.example");
    let authority = FileAuthority::new();
    let tls = (kind == "tls").then(|| {
        let pair = authority.issue(red.folder(), "red", &["red.example"], LeafKind::Usual);
        red.tls("federation", &pair.cert, &pair.key);
        TlsConnector::from(Arc::new(client_of(&authority.write(red.folder())).with_no_client_auth()))
    });
    let names: Vec<String> = (0..honest).map(|n| format!("honest{n}.example")).collect();
    for name in &names {
        red.peer(name, "addresses = [\"http://127.0.0.1:1\"]\nallow_from = [\"127.0.0.0/8\"]\ninsecure = true");
    }
    let most = format!("federation.connections_max={}", silent + honest + 100);
    let limits = ["federation.connections_per_address=100000", "federation.handshake_timeout=\"10m\""];
    red.start_with(&[&most, limits[0], limits[1], "federation.idle_timeout=\"10m\""]).await;
    let at = red.federation;

    let mut peers = vec![];
    for name in names {
        peers.push(HonestPeer::connect(name, at, tls.as_ref()).await);
    }
    (peers, _) = turn(peers, time).await;
    let (mut grown, mut p50, mut p99) = (vec![], [vec![], vec![]], [vec![], vec![]]);
    for round in 0..rounds {
        let alone;
        (peers, alone) = turn(peers, time).await;
        let before = red.process().private_kb();
        let from = Ipv4Addr::new(127, 1, u8::try_from(round).expect("few rounds"), number_of_kind);
        let open = say_nothing(from, at, silent).await;
        until_accepted(at, silent + peers.len()).await;
        let beside;
        (peers, beside) = turn(peers, time).await;
        let after = red.process().private_kb();
        // None was closed. The table of sockets may be read wrongly while others come and go, so it is read until it fits.
        until_accepted(at, silent + peers.len()).await;
        grown.push(after.saturating_sub(before));
        println!("figures: {kind}, round {round}: {before} kB private memory without {silent} silent, {after} kB with");
        for (n, delays) in [alone, beside].iter().enumerate() {
            p50[n].push(percentile(delays, 0.5));
            p99[n].push(percentile(delays, 0.99));
        }
        drop(open);
        until_accepted(at, peers.len()).await;
    }
    // Later rounds find memory that the first has left.
    let each = grown[0] * 1024 / silent as u64;
    println!(
        "figures: {kind}: {each} bytes a silent connection; {honest} honest peers, {PACE:?} between their updates"
    );
    for (title, [alone, beside]) in [("p50", &p50), ("p99", &p99)] {
        let (a, b) = (middle(alone), middle(beside));
        println!(
            "figures: {kind}: {title} ms {a:.2} without, {b:.2} with, ratio {:.2} (middle of {rounds} turns)",
            b / a
        );
    }
    assert!(each <= EACH_MAX, "{each} bytes a silent connection, and {EACH_MAX} are allowed");
    if let Ok(most) = std::env::var("FERNPOST_RATIO") {
        let ratio = middle(&p99[1]) / middle(&p99[0]);
        assert!(ratio <= most.parse().expect("a number"), "p99 is {ratio:.2} times that without silent connections");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_cost_little_memory() {
    measure("plain", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_handshakes_cost_little_memory() {
    measure("tls", 2).await;
}

/// Without descriptors nobody is accepted, so silent callers would keep peers out.
#[tokio::test]
async fn soft_limit_of_files_rises() {
    let mut red = GatewayProcess::new("red.example");
    let limited = |red: &GatewayProcess, limit: &str| {
        let serve = red.serve(&["federation.connections_max=300"]);
        let mut shell = Command::new("sh");
        shell.env_clear().args(["-c", &format!("{limit} && exec \"$@\""), "sh"]);
        shell.arg(serve.get_program()).args(serve.get_args());
        shell
    };
    let mut command = limited(&red, "ulimit -Sn 128");
    red.start_as(&mut command).await;
    let open = say_nothing(Ipv4Addr::new(127, 1, 0, 3), red.federation, 250).await;
    until_accepted(red.federation, 250).await;
    drop(open);
    let log = red.kill();
    assert!(!log.contains("ulimit"), "{log}");
    let mut command = limited(&red, "ulimit -n 256");
    red.start_as(&mut command).await;
    let log = red.kill();
    assert!(log.contains("allowed=256") && log.contains("needed=812") && log.contains("LimitNOFILE"), "{log}");
}
