//! Measures the memory of a waiting peer and of an idle one exactly: live bytes with few such peers and with many, by an allocator that
//! counts. Settings, actors and the store on a file are the real ones; the page cache is small, and the same for both.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]

use std::alloc::System;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actors::model::{
    Digest, Index, PeerState, PeerStatus, PushFailure, ServerName, Submission, SubmittedContent, SuspendReason,
};
use actors::ports::{Journal, PeerReader};
use actors::testkit::transport::accepted;
use actors::testkit::{ScriptedTransport, TestClock};
use bytes::Bytes;
use fernpost::settings::{PeerTable, Settings, Sources};
use fernpost::store::{FILE, StoreLocation, StoreOptions};
use fixtures::gateway::{GatewayFixture, UnlaunchedGateway};
use fixtures::time::BASE;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tempfile::TempDir;
use tokio::task::LocalSet;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Guaranteed maximum for each waiting peer.
const BYTES_MAX: i64 = 4096;

/// Guaranteed maximum for each known peer that was addressed and is idle.
const IDLE_BYTES_MAX: i64 = 2048;

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

/// A gateway with peers, on a store in a folder whose memory is small.
struct FootprintGateway {
    core: GatewayFixture,
    peers: usize,
    _folder: TempDir,
}

impl FootprintGateway {
    fn start(peers: usize, transport: ScriptedTransport) -> Self {
        // Memory that the configuration bounds does not belong to a single peer.
        let small =
            |options| StoreOptions { cache: 1 << 16, recent: 0, memtable: 1 << 16, quick_repair: false, ..options };
        Self::start_with(peers, transport, small)
    }

    fn start_with(
        peers: usize,
        transport: ScriptedTransport,
        bounds: impl FnOnce(StoreOptions) -> StoreOptions,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let roster = settings(peers);
        let place = StoreLocation::file(folder.path().join(FILE));
        let bounded = bounds(StoreOptions::new(place, name(9999)));
        let mut core = UnlaunchedGateway::open(bounded, Arc::new(TestClock::new(BASE)));
        core.ports.transport = Arc::new(transport);
        core.ports.roster = roster;
        Self { core: core.launch(), peers, _folder: folder }
    }

    /// Queues ten items for each peer.
    async fn submit_to_all(&self) {
        let servers: Vec<_> = (0..self.peers).map(name).collect();
        for item in 0..10 {
            let what = SubmittedContent::Updates(vec![Bytes::from(format!(
                "{{\"item\":{item},\"text\":\"{:0>200}\"}}",
                item
            ))]);
            let id = format!("m-{item}").parse().unwrap();
            let submission = Submission {
                id,
                digest: Digest([7; 16]),
                accepted: BASE,
                servers: servers.clone(),
                left_out: vec![],
                receipt: false,
                what,
            };
            self.core.gateway.submit(submission).await.unwrap();
        }
    }

    /// Returns the live bytes after this time.
    async fn live_after(&self, hours: f64) -> i64 {
        tokio::time::sleep(Duration::from_secs_f64(hours * 3600.0)).await;
        self.core.store.barrier().committed().await.unwrap();
        live()
    }

    async fn first_and_last(&self) -> [PeerStatus; 2] {
        [self.core.status(&name(0)).await, self.core.status(&name(self.peers - 1)).await]
    }
}

/// Runs a measurement in virtual time. One runs at a time, because all share the allocator that counts.
fn measured<T>(measure: impl AsyncFnOnce() -> T) -> T {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, measure())
}

/// Returns the live bytes once this many peers, each with ten queued items, back off, and once they are suspended.
fn held(peers: usize) -> [i64; 2] {
    measured(async || {
        let before = live();
        let gateway = FootprintGateway::start(peers, unreachable_peers());
        gateway.submit_to_all().await;
        let backing_off = gateway.live_after(0.1).await - before;
        let seen = gateway.first_and_last().await;
        assert_eq!(seen.each_ref().map(|peer| (peer.state, peer.backlog)), [(PeerState::BackingOff, 10); 2]);
        let suspended = gateway.live_after(48.0).await - before;
        let seen = gateway.first_and_last().await.map(|peer| peer.state);
        assert_eq!(seen, [PeerState::Suspended(SuspendReason::Unreachable); 2]);
        let kept = gateway.core.store.attempts(&name(0), Index(1), Index(10)).await.unwrap();
        assert_eq!(kept.len(), 20, "in the store, and not in memory");
        [backing_off, suspended]
    })
}

/// Returns the live bytes once this many peers have taken ten items each and have left memory.
fn left(peers: usize) -> i64 {
    measured(async || {
        let before = live();
        let taking = ScriptedTransport::answering(accepted).delayed(Duration::from_millis(1)).unrecorded();
        let gateway = FootprintGateway::start(peers, taking);
        gateway.submit_to_all().await;
        let left = gateway.live_after(0.1).await - before;
        let metrics = gateway.core.gateway.metrics();
        assert_eq!(metrics.peers.iter().map(|(_, count)| count).sum::<u64>(), 0, "peers in memory");
        assert!(metrics.evicted >= peers as u64, "{} peers have left memory", metrics.evicted);
        let seen = gateway.first_and_last().await;
        assert_eq!(seen.each_ref().map(|peer| (peer.state, peer.acked)), [(PeerState::Idle, Index(10)); 2]);
        left
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

/// A known peer costs its configuration, and little more once it was addressed.
#[test]
fn idle_peer_memory_is_bounded() {
    left(10);
    let (mut few, mut many, mut each) = (i64::MAX, i64::MAX, i64::MAX);
    for _ in 0..3 {
        few = few.min(left(200));
        many = many.min(left(1200));
        each = (many - few) / 1000;
        if each < IDLE_BYTES_MAX {
            break;
        }
    }
    println!("figures: {each} bytes a peer that was addressed and left memory");
    assert!(each < IDLE_BYTES_MAX, "{each} bytes an idle peer");
}

/// The bounds of a store in the test of a queue.
const CACHE: usize = 8 << 20;
const MEMTABLE: u64 = 8 << 20;
const RECENT: u64 = 1 << 20;

/// Maximum live bytes beside those bounds: pages that are gathered for a write (4 MiB), the two batches of a peer's window (2 MiB), the
/// group that is written, and a quarter of the rows in memory, whose size is an estimate.
const BESIDE: i64 = 10 << 20;

/// Returns the greatest number of live bytes while a queue is filled, and while it is delivered.
fn queue_peaks(submissions: u64, updates: usize) -> [i64; 2] {
    measured(async || {
        let before = live();
        let is_up = Arc::new(AtomicBool::new(false));
        let up = is_up.clone();
        let peer = ScriptedTransport::answering(move |batch| match up.load(Ordering::Relaxed) {
            true => accepted(batch),
            false => Err(PushFailure::Unreachable("connection refused".into())),
        });
        let bounds = |options| StoreOptions { cache: CACHE, memtable: MEMTABLE, recent: RECENT, ..options };
        let gateway = FootprintGateway::start_with(1, peer.delayed(Duration::from_millis(1)).unrecorded(), bounds);
        let mut peaks = [0; 2];
        for number in 0..submissions {
            let texts = (0..updates).map(|n| Bytes::from(format!("{{\"n\":{n},\"text\":\"{n:0>580}\"}}"))).collect();
            let submission = Submission {
                id: format!("m-{number}").parse().unwrap(),
                digest: Digest([7; 16]),
                accepted: BASE,
                servers: vec![name(0)],
                left_out: vec![],
                receipt: false,
                what: SubmittedContent::Updates(texts),
            };
            gateway.core.gateway.submit(submission).await.unwrap();
            peaks[0] = peaks[0].max(live() - before);
        }
        is_up.store(true, Ordering::Relaxed);
        while gateway.core.status(&name(0)).await.backlog > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            peaks[1] = peaks[1].max(live() - before);
        }
        peaks
    })
}

/// A queue is on disk, whether it grows or is delivered: memory holds what the configuration bounds.
#[test]
fn queue_memory_is_bounded() {
    let peaks = queue_peaks(200, 500);
    let bound = CACHE as i64 + (MEMTABLE + RECENT) as i64 + BESIDE;
    println!("figures: {peaks:?} bytes while 60 MB are queued and delivered, bound {bound}");
    assert!(peaks.iter().all(|peak| *peak < bound), "{peaks:?} bytes, bound {bound}");
}
