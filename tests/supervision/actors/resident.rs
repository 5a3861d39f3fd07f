//! The limit of peers in memory: some are evicted for others, some stay, some requests are refused, and eviction loses
//! nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use actors::errors::{AdmissionError, BatchError, UnavailableError};
use actors::limits::PeerLimits;
use actors::model::{Ack, ContextId, Edu, PeerCommand, PeerState, PushFailure, Seq, ServerName, SuspendReason};
use actors::peer::outbound::ephemeral_buffer::EphemeralItem;
use actors::ports::{Fence, Ownership, PeerConfig, Ports};
use actors::testkit::transport::accepted;
use actors::testkit::{ScriptedTransport, TestPeers};
use bytes::Bytes;
use fixtures::disk::FaultyDisk;
use fixtures::gateway::{GatewayFixture, pushed};
use fixtures::peers::{green, limits, red, server};
use fixtures::read_hooks::ReadHooks;
use fixtures::time::{BASE, at_rest, seconds, world};
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use crate::ports::ObservedReads;

/// Returns a gateway that keeps this many peers in memory, and the loads of each.
fn with_room_for(
    max: u32,
    limits: PeerLimits,
    change: impl FnOnce(&mut Ports),
) -> (GatewayFixture, Arc<ObservedReads>) {
    let mut archive = None;
    let core = GatewayFixture::start(&FaultyDisk::new(), |ports| {
        ports.roster = Arc::new(TestPeers::everybody(limits).with_resident_max(max));
        archive = Some(ObservedReads::new().install(ports));
        change(ports);
    });
    (core, archive.unwrap())
}

fn grey() -> ServerName {
    server("grey")
}

fn no_room(max: u64) -> Result<Ack, BatchError> {
    let (limit, wait) = ("peers.resident_max", Duration::from_secs(5));
    Err(AdmissionError::LimitReached { limit, value: max, wait }.into())
}

#[tokio::test(start_paused = true)]
async fn least_recent_peer_is_evicted_intact() {
    world(async {
        let (core, archive) = with_room_for(2, limits(), |_| {});
        let loads = || [red(), green(), grey()].map(|server| archive.loads_of(&server).len());
        for (from, seq, expected) in [
            (red(), 1, [1, 0, 0]),
            (green(), 1, [1, 1, 0]),
            (red(), 2, [1, 1, 0]),
            (grey(), 1, [1, 1, 1]),  // evicts green ...
            (red(), 3, [1, 1, 1]),   // ... and not red
            (green(), 2, [1, 2, 1]), // evicts grey
            (grey(), 2, [1, 2, 2]),  // evicts red
            (red(), 4, [2, 2, 2]),
        ] {
            assert_eq!(core.push(&from, seq).await, Ok(Ack::Ok(Seq(seq))), "{from} {seq}");
            assert_eq!(loads(), expected, "{from} {seq}");
        }
        assert_eq!(
            core.push(&red(), 4).await,
            Ok(Ack::Ok(Seq(4))),
            "the digests from before its eviction are still known"
        );
        assert_eq!(core.fed(&red()).await, [(1, 1), (2, 2), (3, 3), (4, 4)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn busy_peer_is_never_evicted() {
    world(async {
        let (core, _) = with_room_for(1, limits(), |_| {});
        core.submit("s1", &[red()], 1).await.unwrap();
        at_rest().await;
        assert_eq!(core.status(&red()).await.state, PeerState::Sending);

        assert_eq!(core.push(&green(), 1).await, no_room(1));
        let words = core.push(&green(), 1).await.unwrap_err().to_string();
        assert!(words.contains("peers.resident_max") && words.contains('1'), "{words}");
        let seen = core.status(&green()).await;
        assert_eq!((seen.state, seen.expected_seq), (PeerState::Idle, Seq(1)), "the status is read from the store");
        // Ephemeral items are the first to be dropped if there is no room.
        assert_eq!(core.gateway.send_ephemeral(&green(), typing()).await, Ok(()));
        assert_eq!(core.push(&red(), 1).await, Ok(Ack::Ok(Seq(1))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn drained_queue_frees_resident_slot() {
    world(async {
        let transport =
            Arc::new(ScriptedTransport::replies([|_| Err(PushFailure::Unreachable("nobody listens".into()))]));
        let (core, _) = with_room_for(1, limits(), |ports| ports.transport = transport.clone());
        core.submit("s1", &[red()], 1).await.unwrap();
        transport.pushed(1).await;
        assert_eq!(core.push(&green(), 1).await, no_room(1));
        seconds(5).await;
        assert_eq!(core.push(&green(), 1).await, Ok(Ack::Ok(Seq(1))));
        assert_eq!(core.status(&red()).await.backlog, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn peers_with_backlog_always_start() {
    let (disk, peers) = (FaultyDisk::new(), [red(), green(), grey()]);
    for has_restarted in [false, true] {
        world(async {
            let asked: Arc<Mutex<Vec<ServerName>>> = Arc::default();
            let note = asked.clone();
            let core = GatewayFixture::start(&disk, |ports| {
                ports.roster = Arc::new(TestPeers::everybody(limits()).with_resident_max(1));
                ports.transport = Arc::new(ScriptedTransport::new(move |frame| {
                    note.lock().unwrap().push(frame.to);
                    Box::pin(std::future::pending())
                }));
            });
            if !has_restarted {
                core.submit("s1", &peers, 1).await.unwrap();
            }
            at_rest().await;
            asked.lock().unwrap().sort();
            assert_eq!(*asked.lock().unwrap(), [green(), grey(), red()]);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn suspension_survives_eviction() {
    world(async {
        let (core, archive) = with_room_for(1, limits(), |_| {});
        core.gateway.order(&red(), PeerCommand::Suspend).await.unwrap();
        assert_eq!(core.push(&green(), 1).await, Ok(Ack::Ok(Seq(1))));
        core.submit("s1", &[red()], 1).await.unwrap();
        at_rest().await;
        assert_eq!(archive.loads_of(&red()).len(), 2);
        let seen = core.status(&red()).await;
        assert_eq!((seen.state, seen.backlog), (PeerState::Suspended(SuspendReason::Admin), 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn eviction_never_resets_rate() {
    world(async {
        let (core, _) = with_room_for(1, PeerLimits { rate: 1, intake_items: 4, ..limits() }, |_| {});
        let accepted = core.gateway.accept(&red(), pushed(4, 4)).await;
        assert_eq!(accepted.map(|receipt| receipt.ack), Ok(Ack::Ok(Seq(4))));
        assert_eq!(core.push(&green(), 1).await, no_room(1));
        seconds(3).await;
        assert_eq!(core.push(&green(), 1).await, no_room(1));
        seconds(1).await;
        assert_eq!(core.push(&green(), 1).await, Ok(Ack::Ok(Seq(1))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn eviction_never_resets_crash_count() {
    world(async {
        let (core, _) = with_room_for(1, limits(), |_| {});
        assert_eq!(core.push(&red(), 1).await, Ok(Ack::Ok(Seq(1))));
        core.clock.break_once();
        assert_eq!(core.push(&red(), 2).await, Err(UnavailableError::OutcomeUnknown.into()));
        at_rest().await;
        assert_eq!(core.push(&green(), 1).await, no_room(1));
        seconds(60).await;
        assert_eq!(core.push(&green(), 1).await, Ok(Ack::Ok(Seq(1))));
    })
    .await;
}

fn typing() -> EphemeralItem {
    let edu = Edu { kind: "typing".into(), content: Bytes::from_static(b"{}") };
    EphemeralItem { key: None, until: BASE.after(Duration::from_secs(1 << 20)), edu, states_ttl: false }
}

/// Bodies of the items that each peer accepted, in order.
type AcceptedItems = Arc<Mutex<BTreeMap<ServerName, Vec<Bytes>>>>;

/// A peer each that takes everything after a moment, and that must never be written to twice at once.
fn one_push_at_a_time(all: AcceptedItems) -> ScriptedTransport {
    let under_way = Arc::new(Mutex::new(HashSet::new()));
    ScriptedTransport::new(move |batch| {
        assert!(under_way.lock().unwrap().insert(batch.to.clone()), "{} receives requests of two actors", batch.to);
        let (under_way, all) = (under_way.clone(), all.clone());
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(3)).await;
            under_way.lock().unwrap().remove(&batch.to);
            let items = batch.items.iter().map(|item| item.bytes().clone());
            all.lock().unwrap().entry(batch.to.clone()).or_default().extend(items);
            accepted(&batch)
        })
    })
}

/// Repeats a push until it is accepted, as a refused peer does.
async fn push_until_taken(core: &GatewayFixture, from: &ServerName, seq: u64) -> u32 {
    for turned_away in 0.. {
        match core.push(from, seq).await {
            Ok(ack) => {
                assert_eq!(ack, Ack::Ok(Seq(seq)));
                return turned_away;
            }
            Err(error) => {
                let is_full = |limit: &AdmissionError| {
                    matches!(limit, AdmissionError::LimitReached { limit: "peers.resident_max", .. })
                };
                assert!(error.admission().is_some_and(is_full), "{error}");
                tokio::time::sleep(Duration::from_millis(fastrand::u64(1..5))).await;
            }
        }
    }
    unreachable!("it is accepted in the end")
}

#[tokio::test(start_paused = true)]
async fn repeated_eviction_loses_nothing() {
    const ROUNDS: u64 = 60;
    world(async {
        let taken = AcceptedItems::default();
        let transport = Arc::new(one_push_at_a_time(taken.clone()));
        let (core, archive) = with_room_for(2, limits(), |ports| ports.transport = transport);
        let core = Arc::new(core);
        let peers: Vec<_> = (0..6).map(|n| server(&format!("p{n}"))).collect();
        let begun = peers.iter().cloned().enumerate().map(|(place, peer)| {
            let core = core.clone();
            spawn_local(async move {
                let mut chance = fastrand::Rng::with_seed(place as u64);
                for seq in 1..=ROUNDS {
                    push_until_taken(&core, &peer, seq).await;
                    let id = format!("s{place}-{seq}");
                    core.submit(&id, std::slice::from_ref(&peer), 1).await.unwrap();
                    if chance.bool() {
                        core.gateway.send_ephemeral(&peer, typing()).await.unwrap();
                    }
                    core.gateway.peer(&peer).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(chance.u64(0..12))).await;
                }
            })
        });
        for begun in begun.collect::<Vec<_>>() {
            begun.await.unwrap();
        }
        at_rest().await;
        for (place, peer) in peers.iter().enumerate() {
            assert!(core.fed(peer).await.into_iter().eq((1..=ROUNDS).map(|n| (n, n))), "{peer}");
            let sent: Vec<_> = (1..=ROUNDS).map(|n| Bytes::from(format!(r#"{{"id":"s{place}-{n}.0"}}"#))).collect();
            assert_eq!(taken.lock().unwrap()[peer], sent, "{peer}");
            assert_eq!(core.status(peer).await.backlog, 0);
        }
        assert!(archive.loads().len() as u64 > ROUNDS, "{} loads: peers were hardly evicted", archive.loads().len());
    })
    .await;
}

/// Detects the start of an actor that still lives: each part of an actor holds a reference to its limits.
struct DoubleStartDetector {
    /// Without a hold of its own.
    limits: HashMap<ServerName, Weak<PeerLimits>>,
    ownership: Arc<dyn Ownership>,
    starts: AtomicUsize,
}

impl DoubleStartDetector {
    /// Minimum number of references that a living actor holds: the actor, its admission, its machine and both halves of
    /// that.
    const ALIVE: usize = 5;
}

impl Ownership for DoubleStartDetector {
    fn claim(&self, peer: &ServerName) -> Option<Fence> {
        // One reference is the configuration's, one the router's, and each caller may hold one for a moment.
        let most = 2 + THREADS;
        let holds = self.limits[peer].strong_count();
        assert!(holds <= most && most < 1 + Self::ALIVE, "{peer} is started while it lives: {holds} references");
        self.starts.fetch_add(1, Ordering::SeqCst);
        self.ownership.claim(peer)
    }

    fn claim_context(&self, context: &ContextId) -> Option<Fence> {
        self.ownership.claim_context(context)
    }

    fn claim_feed(&self) -> Option<Fence> {
        self.ownership.claim_feed()
    }
}

/// Number of caller threads beside the thread of the actors.
const THREADS: usize = 3;

/// Callers run on other threads, as those of the listeners: on the actors' thread little can happen between two steps.
#[tokio::test]
async fn concurrent_callers_meet_one_actor() {
    const ROUNDS: u64 = 60;
    world(async {
        let peers: Vec<_> = (0..5).map(|n| server(&format!("p{n}"))).collect();
        let mut detector = None;
        let core = GatewayFixture::start(&FaultyDisk::new(), |ports| {
            let roster = TestPeers::none().with_resident_max(2);
            let roster = peers.iter().fold(roster, |roster, peer| roster.accepting(peer.clone(), limits()));
            let each = peers.iter().map(|peer| (peer.clone(), Arc::downgrade(&roster.limits(peer).unwrap()))).collect();
            ports.roster = Arc::new(roster);
            let ownership = ports.ownership.clone();
            let new = Arc::new(DoubleStartDetector { limits: each, ownership, starts: AtomicUsize::new(0) });
            ports.ownership = new.clone();
            detector = Some(new);
        });
        let callers = (0..THREADS).map(|place| {
            let (gateway, mut peers) = (core.gateway.clone(), peers.clone());
            let (done, is_done) = oneshot::channel();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                // All send the same, so that one peer's items arrive through several callers at once.
                runtime.block_on(async {
                    for seq in 1..=ROUNDS {
                        peers.rotate_left(place);
                        for peer in &peers {
                            while let Err(refusal) = gateway.accept(peer, pushed(seq, 1)).await {
                                assert!(refusal.admission().is_some(), "{refusal}");
                                tokio::task::yield_now().await;
                            }
                        }
                    }
                });
                done.send(()).unwrap();
            });
            is_done
        });
        for is_done in callers.collect::<Vec<_>>() {
            is_done.await.unwrap();
        }
        for peer in &peers {
            assert!(core.fed(peer).await.into_iter().eq((1..=ROUNDS).map(|n| (n, n))), "{peer}");
        }
        let starts = detector.unwrap().starts.load(Ordering::SeqCst);
        assert!(starts > peers.len() * 5, "{starts} starts: peers were hardly evicted");
    })
    .await;
}
