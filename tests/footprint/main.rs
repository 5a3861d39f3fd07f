//! Measures the memory of a waiting peer exactly: live bytes with few such peers and with many, by an allocator that
//! counts. Settings, actors and the store on a file are the real ones; the page cache is small, and the same for both.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]

use std::alloc::System;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use actors::model::{Digest, Index, PeerState, PushFailure, ServerName, Submission, SubmittedContent, SuspendReason};
use actors::ports::{Journal, PeerReader};
use actors::testkit::{ScriptedTransport, TestClock};
use bytes::Bytes;
use fernpost::settings::{PeerTable, Settings, Sources};
use fernpost::store::{FILE, StoreLocation, StoreOptions};
use fixtures::gateway::{GatewayFixture, UnlaunchedGateway};
use fixtures::time::BASE;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::task::LocalSet;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Guaranteed maximum for each waiting peer.
const BYTES_MAX: i64 = 4096;

/// Returns the number of bytes in use.
fn live() -> i64 {
    let stats = HEAP.stats();
    i64::try_from(stats.bytes_allocated).unwrap() - i64::try_from(stats.bytes_deallocated).unwrap()
}

fn name(n: usize) -> ServerName {
    format!("chat.partner-{n:04}.example").parse().unwrap()
}

/// Returns a configuration with this many peers, each with an address and a range of its own.
fn settings(peers: usize) -> Arc<PeerTable> {
    let mut text = "server.name = \"us.example\"\npeers.default.jitter = 0.0\n".to_owned();
    for n in 0..peers {
        let ip = format!("127.1.{}.{}", n / 256, n % 256);
        writeln!(text, "[peers.server.\"{}\"]\naddresses = [\"http://{ip}:9890\"]\nauth = \"network\"", name(n))
            .unwrap();
        writeln!(text, "allow_from = [\"{ip}/32\"]").unwrap();
    }
    let loaded = Settings::load(&Sources::text(text, "/etc/fernpost")).unwrap_or_else(|why| panic!("{why}"));
    loaded.peers.clone()
}

/// Peers that are all unreachable; each failure names its peer. Nothing is remembered, because memory is measured.
fn unreachable_peers() -> ScriptedTransport {
    let failing = ScriptedTransport::answering(|batch| {
        Err(PushFailure::Unreachable(format!("http://{}:9890: connection refused (os error 111)", batch.to).into()))
    });
    failing.delayed(Duration::from_millis(1)).unrecorded()
}

/// Returns the live bytes once this many peers, each with ten queued items, back off, and once they are suspended.
fn held(peers: usize) -> [i64; 2] {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let before = live();
    LocalSet::new().block_on(&runtime, async {
        let roster = settings(peers);
        let place = StoreLocation::file(folder.path().join(FILE));
        // Memory that the configuration bounds does not belong to a single peer.
        let small = StoreOptions {
            cache: 1 << 16,
            recent: 0,
            memtable: 1 << 16,
            quick_repair: false,
            ..StoreOptions::new(place, name(9999))
        };
        let mut core = UnlaunchedGateway::open(small, Arc::new(TestClock::new(BASE)));
        core.ports.transport = Arc::new(unreachable_peers());
        core.ports.roster = roster;
        let GatewayFixture { gateway, store, .. } = core.launch();
        let servers: Vec<_> = (0..peers).map(name).collect();
        for item in 0..10 {
            let what = SubmittedContent::Updates(vec![Bytes::from(format!(
                "{{\"item\":{item},\"text\":\"{:0>200}\"}}",
                item
            ))]);
            let id = format!("m-{item}").parse().unwrap();
            let accepted = BASE;
            gateway
                .submit(Submission {
                    id,
                    digest: Digest([7; 16]),
                    accepted,
                    servers: servers.clone(),
                    left_out: vec![],
                    receipt: false,
                    what,
                })
                .await
                .unwrap();
        }
        let settled = async |hours: f64| {
            tokio::time::sleep(Duration::from_secs_f64(hours * 3600.0)).await;
            store.barrier().committed().await.unwrap();
            live() - before
        };
        let backing_off = settled(0.1).await;
        let (first, last) = (gateway.peer(&name(0)).await.unwrap(), gateway.peer(&name(peers - 1)).await.unwrap());
        assert_eq!([first.state, last.state], [PeerState::BackingOff; 2]);
        assert_eq!([first.backlog, last.backlog], [10; 2]);
        let suspended = settled(48.0).await;
        let (first, last) = (gateway.peer(&name(0)).await.unwrap(), gateway.peer(&name(peers - 1)).await.unwrap());
        assert_eq!([first.state, last.state], [PeerState::Suspended(SuspendReason::Unreachable); 2]);
        let kept = store.attempts(&name(0), Index(1), Index(10)).await.unwrap();
        assert_eq!(kept.len(), 20, "in the store, and not in memory");
        [backing_off, suspended]
    })
}

/// In other servers each offline destination used as much memory as an active one.
#[test]
fn waiting_peer_memory_is_bounded() {
    // Creates everything that is created once.
    held(10);
    // On a busy machine the store falls behind, and its queue keeps the capacity of its longest burst, which belongs to no
    // peer. So the minimum of a few runs counts.
    let (mut few, mut many) = ([i64::MAX; 2], [i64::MAX; 2]);
    let mut each = [i64::MAX; 2];
    for _ in 0..3 {
        few = least(few, held(200));
        many = least(many, held(1200));
        each = [(many[0] - few[0]) / 1000, (many[1] - few[1]) / 1000];
        if each.iter().all(|each| *each < BYTES_MAX) {
            break;
        }
    }
    println!("figures: {} bytes a peer that backs off, {} bytes a peer that was given up", each[0], each[1]);
    assert!(each.iter().all(|each| *each < BYTES_MAX), "{each:?} bytes a waiting peer");
}

fn least(a: [i64; 2], b: [i64; 2]) -> [i64; 2] {
    [a[0].min(b[0]), a[1].min(b[1])]
}
