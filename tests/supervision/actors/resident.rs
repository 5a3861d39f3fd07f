//! The limit of peers in memory: some are evicted for others, some stay, some requests are refused, and eviction loses
//! nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::errors::{AdmissionError, BatchError, UnavailableError};
use actors::limits::{ContextLimits, PeerLimits};
use actors::model::{
    Ack, BadPdu, ContextId, Edu, FetchRequest, OutboundBatch, Pdu, PeerCommand, PeerState, PushFailure, PushResponse,
    RequestDeadlines, Seq, ServerName, SuspendReason,
};
use actors::peer::outbound::ephemeral_buffer::EphemeralItem;
use actors::ports::{Fence, Ownership, PeerConfig, Ports, Task, Transport};
use actors::testkit::ScriptedTransport;
use bytes::Bytes;
use fixtures::disk::Disk;
use fixtures::read_hooks::ReadHooks;
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use crate::fixtures::ports::{Observed, Prepared};
use crate::fixtures::rig::{Rig, at_rest, green, life, limits, pushed, red, seconds, server, taken};

/// All servers are peers, and this many are kept in memory.
struct SmallRoster(u32, Arc<PeerLimits>);

impl PeerConfig for SmallRoster {
    fn limits(&self, _: &ServerName) -> Option<Arc<PeerLimits>> {
        Some(self.1.clone())
    }

    fn listed(&self) -> Vec<ServerName> {
        vec![]
    }

    fn contexts(&self) -> Arc<ContextLimits> {
        Arc::default()
    }

    fn peers_resident_max(&self) -> u32 {
        self.0
    }
}

/// Returns a gateway that keeps this many peers in memory, and the loads of each.
fn with_room_for(max: u32, limits: PeerLimits, change: impl FnOnce(&mut Ports)) -> (Rig, Arc<Observed>) {
    let mut archive = None;
    let rig = Rig::start(&Disk::new(), |ports| {
        ports.roster = Arc::new(SmallRoster(max, Arc::new(limits)));
        archive = Some(Observed::new().install(ports));
        change(ports);
    });
    (rig, archive.unwrap())
}

fn grey() -> ServerName {
    server("grey.example")
}

fn no_room(max: u64) -> Result<Ack, BatchError> {
    let (limit, wait) = ("peers.resident_max", Duration::from_secs(5));
    Err(AdmissionError::LimitReached { limit, value: max, wait }.into())
}

#[tokio::test(start_paused = true)]
async fn least_recent_peer_is_evicted_intact() {
    life(async {
        let (rig, archive) = with_room_for(2, limits(), |_| {});
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
            assert_eq!(rig.push(&from, seq).await, Ok(Ack::Ok(Seq(seq))), "{from} {seq}");
            assert_eq!(loads(), expected, "{from} {seq}");
        }
        assert_eq!(
            rig.push(&red(), 4).await,
            Ok(Ack::Ok(Seq(4))),
            "the digests from before its eviction are still known"
        );
        assert_eq!(rig.fed(&red()).await, [(1, 1), (2, 2), (3, 3), (4, 4)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn busy_peer_is_never_evicted() {
    life(async {
        let (rig, _) = with_room_for(1, limits(), |_| {});
        rig.submit("s1", &[red()], 1).await.unwrap();
        at_rest().await;
        assert_eq!(rig.status(&red()).await.state, PeerState::Sending);

        assert_eq!(rig.push(&green(), 1).await, no_room(1));
        let words = rig.push(&green(), 1).await.unwrap_err().to_string();
        assert!(words.contains("peers.resident_max") && words.contains('1'), "{words}");
        let seen = rig.status(&green()).await;
        assert_eq!((seen.state, seen.expected_seq), (PeerState::Idle, Seq(1)), "the status is read from the store");
        // Ephemeral items are the first to be dropped if there is no room.
        assert_eq!(rig.gateway.send_ephemeral(&green(), typing()).await, Ok(()));
        assert_eq!(rig.push(&red(), 1).await, Ok(Ack::Ok(Seq(1))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn drained_queue_frees_resident_slot() {
    life(async {
        let transport = Prepared::new([|_| Err(PushFailure::Unreachable("nobody listens".to_owned()))]);
        let (rig, _) = with_room_for(1, limits(), |ports| ports.transport = transport.clone());
        rig.submit("s1", &[red()], 1).await.unwrap();
        transport.pushed(1).await;
        assert_eq!(rig.push(&green(), 1).await, no_room(1));
        seconds(5).await;
        assert_eq!(rig.push(&green(), 1).await, Ok(Ack::Ok(Seq(1))));
        assert_eq!(rig.status(&red()).await.backlog, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn peers_with_backlog_always_start() {
    let (disk, peers) = (Disk::new(), [red(), green(), grey()]);
    for has_restarted in [false, true] {
        life(async {
            let asked: Arc<Mutex<Vec<ServerName>>> = Arc::default();
            let note = asked.clone();
            let rig = Rig::start(&disk, |ports| {
                ports.roster = Arc::new(SmallRoster(1, Arc::new(limits())));
                ports.transport = Arc::new(ScriptedTransport::new(move |frame| {
                    note.lock().unwrap().push(frame.to);
                    Box::pin(std::future::pending())
                }));
            });
            if !has_restarted {
                rig.submit("s1", &peers, 1).await.unwrap();
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
    life(async {
        let (rig, archive) = with_room_for(1, limits(), |_| {});
        rig.gateway.order(&red(), PeerCommand::Suspend).await.unwrap();
        assert_eq!(rig.push(&green(), 1).await, Ok(Ack::Ok(Seq(1))));
        rig.submit("s1", &[red()], 1).await.unwrap();
        at_rest().await;
        assert_eq!(archive.loads_of(&red()).len(), 2);
        let seen = rig.status(&red()).await;
        assert_eq!((seen.state, seen.backlog), (PeerState::Suspended(SuspendReason::Admin), 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn eviction_never_resets_rate() {
    life(async {
        let (rig, _) = with_room_for(1, PeerLimits { rate: 1, intake_items: 4, ..limits() }, |_| {});
        assert_eq!(rig.gateway.accept(&red(), pushed(4, 4)).await, Ok(Ack::Ok(Seq(4)).into()));
        assert_eq!(rig.push(&green(), 1).await, no_room(1));
        seconds(3).await;
        assert_eq!(rig.push(&green(), 1).await, no_room(1));
        seconds(1).await;
        assert_eq!(rig.push(&green(), 1).await, Ok(Ack::Ok(Seq(1))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn eviction_never_resets_crash_count() {
    life(async {
        let (rig, _) = with_room_for(1, limits(), |_| {});
        assert_eq!(rig.push(&red(), 1).await, Ok(Ack::Ok(Seq(1))));
        rig.clock.break_once();
        assert_eq!(rig.push(&red(), 2).await, Err(UnavailableError::OutcomeUnknown.into()));
        at_rest().await;
        assert_eq!(rig.push(&green(), 1).await, no_room(1));
        seconds(60).await;
        assert_eq!(rig.push(&green(), 1).await, Ok(Ack::Ok(Seq(1))));
    })
    .await;
}

fn typing() -> EphemeralItem {
    let edu = Edu { kind: "typing".into(), content: Bytes::from_static(b"{}") };
    EphemeralItem { key: None, until: crate::fixtures::rig::BASE.after(Duration::from_secs(1 << 20)), edu }
}

/// A transport whose peers accept everything after a moment, and fail if two requests to one peer overlap.
#[derive(Default)]
struct OneAtATime {
    under_way: Arc<Mutex<HashSet<ServerName>>>,
    taken: Arc<Mutex<BTreeMap<ServerName, Vec<Bytes>>>>,
}

impl Transport for OneAtATime {
    fn push(&self, frame: OutboundBatch) -> Task<Result<PushResponse, PushFailure>> {
        assert!(
            self.under_way.lock().unwrap().insert(frame.to.clone()),
            "{} receives requests of two actors",
            frame.to
        );
        let (under_way, all) = (self.under_way.clone(), self.taken.clone());
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(3)).await;
            under_way.lock().unwrap().remove(&frame.to);
            let items = frame.items.iter().map(|item| item.bytes().clone());
            all.lock().unwrap().entry(frame.to.clone()).or_default().extend(items);
            taken(&frame)
        })
    }

    fn fetch(
        &self,
        _: &ServerName,
        _: FetchRequest,
        _: RequestDeadlines,
    ) -> Task<Result<Vec<Result<Pdu, BadPdu>>, PushFailure>> {
        Box::pin(async { Ok(vec![]) })
    }
}

/// Repeats a push until it is accepted, as a refused peer does.
async fn push_until_taken(rig: &Rig, from: &ServerName, seq: u64) -> u32 {
    for turned_away in 0.. {
        match rig.push(from, seq).await {
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
    life(async {
        let transport = Arc::new(OneAtATime::default());
        let (rig, archive) = with_room_for(2, limits(), |ports| ports.transport = transport.clone());
        let rig = Arc::new(rig);
        let peers: Vec<_> = (0..6).map(|n| server(&format!("p{n}.example"))).collect();
        let begun = peers.iter().cloned().enumerate().map(|(place, peer)| {
            let rig = rig.clone();
            spawn_local(async move {
                let mut chance = fastrand::Rng::with_seed(place as u64);
                for seq in 1..=ROUNDS {
                    push_until_taken(&rig, &peer, seq).await;
                    let id = format!("s{place}-{seq}");
                    rig.submit(&id, std::slice::from_ref(&peer), 1).await.unwrap();
                    if chance.bool() {
                        rig.gateway.send_ephemeral(&peer, typing()).await.unwrap();
                    }
                    rig.gateway.peer(&peer).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(chance.u64(0..12))).await;
                }
            })
        });
        for begun in begun.collect::<Vec<_>>() {
            begun.await.unwrap();
        }
        at_rest().await;
        for (place, peer) in peers.iter().enumerate() {
            assert!(rig.fed(peer).await.into_iter().eq((1..=ROUNDS).map(|n| (n, n))), "{peer}");
            let sent: Vec<_> = (1..=ROUNDS).map(|n| Bytes::from(format!(r#"{{"id":"s{place}-{n}.0"}}"#))).collect();
            assert_eq!(transport.taken.lock().unwrap()[peer], sent, "{peer}");
            assert_eq!(rig.status(peer).await.backlog, 0);
        }
        assert!(archive.loads().len() as u64 > ROUNDS, "{} loads: peers were hardly evicted", archive.loads().len());
    })
    .await;
}

/// Keeps two peers in memory, and detects the start of an actor that still lives: each part of an actor holds a reference
/// to its limits.
struct DoubleStartDetector {
    limits: HashMap<ServerName, Arc<PeerLimits>>,
    ownership: Arc<dyn Ownership>,
    births: AtomicUsize,
}

impl DoubleStartDetector {
    /// Minimum number of references that a living actor holds: the actor, its admission, its machine and both halves of
    /// that.
    const ALIVE: usize = 5;
}

impl PeerConfig for DoubleStartDetector {
    fn limits(&self, server: &ServerName) -> Option<Arc<PeerLimits>> {
        self.limits.get(server).cloned()
    }

    fn listed(&self) -> Vec<ServerName> {
        vec![]
    }

    fn contexts(&self) -> Arc<ContextLimits> {
        Arc::default()
    }

    fn peers_resident_max(&self) -> u32 {
        2
    }
}

impl Ownership for DoubleStartDetector {
    fn claim(&self, peer: &ServerName) -> Option<Fence> {
        // One reference is ours, one the router's, and each caller may hold one for a moment.
        let most = 2 + THREADS;
        let holds = Arc::strong_count(&self.limits[peer]);
        assert!(holds <= most && most < 1 + Self::ALIVE, "{peer} is started while it lives: {holds} references");
        self.births.fetch_add(1, Ordering::SeqCst);
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
    life(async {
        let peers: Vec<_> = (0..5).map(|n| server(&format!("p{n}.example"))).collect();
        let mut midwife = None;
        let rig = Rig::start(&Disk::new(), |ports| {
            let each = peers.iter().map(|peer| (peer.clone(), Arc::new(limits()))).collect();
            let ownership = ports.ownership.clone();
            let new = Arc::new(DoubleStartDetector { limits: each, ownership, births: AtomicUsize::new(0) });
            (ports.roster, ports.ownership) = (new.clone(), new.clone());
            midwife = Some(new);
        });
        let callers = (0..THREADS).map(|place| {
            let (gateway, mut peers) = (rig.gateway.clone(), peers.clone());
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
            assert!(rig.fed(peer).await.into_iter().eq((1..=ROUNDS).map(|n| (n, n))), "{peer}");
        }
        let births = midwife.unwrap().births.load(Ordering::SeqCst);
        assert!(births > peers.len() * 5, "{births} starts: peers were hardly evicted");
    })
    .await;
}
