//! TLS handshakes with client certificates, full and resumed, and honest peers beside a flood of them. The figures are printed and not
//! compared, because they depend on the load of the machine; `scripts/handshakes.sh` takes them from a release build.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_rustls::TlsConnector;

use super::silent::{HonestPeer, PACE, client_of, is_whole, number, percentile, turn};
use crate::fixtures::node::GatewayProcess;
use crate::tls::authority::{FileAuthority, LeafKind, PairFiles};

/// Handshakes that are under way at once.
const AT_ONCE: u8 = 16;

fn connector(ca: &std::path::Path, pair: &PairFiles, resumption: Resumption) -> TlsConnector {
    let chain = vec![CertificateDer::from_pem_file(&pair.cert).expect("PEM")];
    let key = PrivateKeyDer::from_pem_file(&pair.key).expect("PEM");
    let mut config: ClientConfig = client_of(ca).with_client_auth_cert(chain, key).expect("a pair");
    config.resumption = resumption;
    TlsConnector::from(Arc::new(config))
}

/// Makes a connection from this address and one request on it, which the gateway answers once it has verified the certificate's
/// signature; returns the kind of the handshake.
async fn shake(from: Ipv4Addr, at: SocketAddr, tls: &TlsConnector) -> HandshakeKind {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("an option");
    socket.bind(SocketAddr::from((from, 0))).expect("an address of loopback");
    let plain = socket.connect(at).await.expect("it listens");
    plain.set_nodelay(true).expect("an option");
    let name = ServerName::try_from("red.example").expect("a name");
    let mut stream = tls.connect(name, plain).await.expect("a handshake");
    stream.write_all(b"GET /none HTTP/1.1\r\nHost: red.example\r\n\r\n").await.expect("sent");
    let mut answer = vec![];
    while !is_whole(&answer) {
        assert_ne!(stream.read_buf(&mut answer).await.expect("an answer"), 0, "closed");
    }
    assert!(answer.starts_with(b"HTTP/1.1 404"), "the certificate is believed: {}", String::from_utf8_lossy(&answer));
    stream.get_ref().1.handshake_kind().expect("it is over")
}

/// Makes handshakes until the time is over, `rate` a second or as fast as they are answered; returns how many there were.
async fn flood(at: SocketAddr, tls: &TlsConnector, time: Duration, rate: Option<u32>) -> u64 {
    let (count, until) = (Arc::new(AtomicU64::new(0)), Instant::now() + time);
    let mut callers = JoinSet::new();
    for n in 0..AT_ONCE {
        let (count, tls) = (Arc::clone(&count), tls.clone());
        callers.spawn(async move {
            let mut ticks = rate.map(|rate| interval(Duration::from_secs(1) * u32::from(AT_ONCE) / rate));
            if let Some(ticks) = &mut ticks {
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            }
            while Instant::now() < until {
                if let Some(ticks) = &mut ticks {
                    ticks.tick().await;
                }
                shake(Ipv4Addr::new(127, 2, 0, n + 1), at, &tls).await;
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while let Some(done) = callers.join_next().await {
        done.expect("no panic");
    }
    count.load(Ordering::Relaxed)
}

/// Returns the processor time of a process so far.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit_once(") ").expect("its name ends").1.split(' ').collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum();
    // Linux counts in hundredths of a second for programs.
    Duration::from_millis(10 * ticks)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_are_resumed_and_counted() {
    let time = Duration::from_secs(number("FERNPOST_SECONDS", 1) as u64);
    let honest = number("FERNPOST_HONEST", 5);
    let mut red = GatewayProcess::new("red.example");
    let authority = FileAuthority::new();
    let own = authority.issue(red.folder(), "red", &["red.example"], LeafKind::Usual);
    let blue = authority.issue(red.folder(), "blue", &["blue.example"], LeafKind::Usual);
    let ca = authority.write(red.folder());
    red.tls("federation", &own.cert, &own.key);
    red.peer_section("blue.example", "addresses = [\"https://127.0.0.1:1\"]\nauth = \"mtls\"");
    let names: Vec<String> = (0..honest).map(|n| format!("honest{n}.example")).collect();
    for name in &names {
        red.peer(name, "addresses = [\"http://127.0.0.1:1\"]\nallow_from = [\"127.0.0.1/32\"]\ninsecure = true");
    }
    red.start_with(&["federation.tls.client_ca=\"ca.pem\""]).await;
    let (at, pid) = (red.federation, red.process().id());

    let full = connector(&ca, &blue, Resumption::disabled());
    let resuming = connector(&ca, &blue, Resumption::in_memory_sessions(64));
    let first = Ipv4Addr::new(127, 2, 0, 1);
    assert_eq!(shake(first, at, &full).await, HandshakeKind::Full);
    assert_eq!(shake(first, at, &full).await, HandshakeKind::Full);
    assert_eq!(shake(first, at, &resuming).await, HandshakeKind::Full);
    assert_eq!(shake(first, at, &resuming).await, HandshakeKind::Resumed);
    for (kind, tls) in [("full", &full), ("resumed", &resuming)] {
        let before = cpu(pid);
        let count = flood(at, tls, time, None).await;
        let each = (cpu(pid) - before).as_secs_f64() * 1e6 / count as f64;
        let rate = count as f64 / time.as_secs_f64();
        println!(
            "figures: {kind} handshakes with a request each: {rate:.0} a second, {each:.0} us of the gateway's CPU each"
        );
    }

    let mut peers = vec![];
    for name in names {
        peers.push(HonestPeer::connect(name, at, Some(&full)).await);
    }
    (peers, _) = turn(peers, time).await;
    for (title, rate) in
        [("none", Some(0)), ("100 a second", Some(100)), ("400 a second", Some(400)), ("all that is answered", None)]
    {
        let flooding = async {
            match rate {
                Some(0) => 0,
                rate => flood(at, &full, time, rate).await,
            }
        };
        let ((back, delays), made) = tokio::join!(turn(peers, time), flooding);
        peers = back;
        let (p50, p99) = (percentile(&delays, 0.5), percentile(&delays, 0.99));
        println!(
            "figures: full handshakes beside {honest} honest peers ({PACE:?} between their updates): {title} ({made}): p50 {p50:.2} ms, \
             p99 {p99:.2} ms"
        );
    }
    assert_eq!(red.refusals("federation.connections_max").await, 0);
}
