//! Lookups see claimed and submitted PDUs as well as committed ones, and each identity belongs to one context.

use std::slice::from_ref;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

use actors::model::{ContextId, FeedFlags, PduRef};
use actors::ports::{CommitPriority, ContextReader, Fence, Journal, JournalStopped, PduStatus};
use actors::testkit::at_once;
use fernpost::store::Store;
use fixtures::disk::FaultyDisk;

use crate::fixtures::talk::{at, came, heard, ours, room, said, theirs, waits};
use crate::fixtures::world::World;

/// Returns the status of one PDU without claiming it.
fn known(store: &Store, reference: &PduRef) -> Option<PduStatus> {
    at_once(store.look_up(&room("asker"), vec![], vec![reference.clone()])).unwrap().remove(reference)
}

/// Claims a PDU. `None`: it was unknown and is claimed now.
fn claim(store: &Store, context: &ContextId, reference: &PduRef) -> Option<PduStatus> {
    at_once(store.look_up(context, vec![reference.clone()], vec![])).unwrap().remove(reference)
}

fn claimed(context: &str) -> Option<PduStatus> {
    Some(PduStatus::Claimed { context: room(context) })
}

fn delivered(context: &str, position: u64) -> Option<PduStatus> {
    Some(PduStatus::Delivered { context: room(context), depth: 100 + position, history: false })
}

#[tokio::test(start_paused = true)]
async fn concurrent_claims_have_one_winner() {
    let world = World::new();
    for round in 0..200 {
        let reference = theirs(&format!("p{round}"));
        let start = Barrier::new(2);
        let outcomes = std::thread::scope(|scope| {
            let race = |context: &'static str| {
                let (store, start, reference) = (&world.store, &start, &reference);
                scope.spawn(move || {
                    start.wait();
                    claim(store, &room(context), reference)
                })
            };
            let (c, d) = (race("c"), race("d"));
            (c.join().unwrap(), d.join().unwrap())
        });
        assert!(outcomes == (None, claimed("c")) || outcomes == (claimed("d"), None), "{outcomes:?}");
    }
}

/// A PDU with the greatest id of its origin is not looked for, so every other way to know one has to count.
#[tokio::test(start_paused = true)]
async fn greater_id_hides_no_pdu() {
    let world = World::new();
    let c = room("c");
    world.commit(vec![heard(&c, &theirs("p5"), &[], 1)]).await;
    for (id, before) in [
        ("p7", None),
        ("p5", delivered("c", 1)),
        ("p6", None),
        ("p7", claimed("c")),
        ("p6", claimed("c")),
        ("p8", None),
    ] {
        assert_eq!(claim(&world.store, &c, &theirs(id)), before, "{id}");
    }
    world.commit(vec![heard(&c, &theirs("p9"), &[], 2)]).await;
    assert_eq!(claim(&world.store, &c, &theirs("p9")), delivered("c", 2), "stored by another way than a claim");
    world.store.release(&c, &[theirs("p7")]);
    assert_eq!(claim(&world.store, &c, &theirs("p7")), None);
}

#[tokio::test(start_paused = true)]
async fn only_owner_releases_its_claim() {
    let world = World::new();
    let (a, b) = (theirs("a"), theirs("b"));
    let found = world.store.look_up(&room("c"), vec![a.clone(), b.clone()], vec![a.clone()]).await.unwrap();
    assert_eq!(found.len(), 0, "a lookup does not report the claims that it makes");
    world.store.release(&room("d"), &[a.clone(), theirs("never")]);
    assert_eq!(claim(&world.store, &room("d"), &a), claimed("c"));
    world.store.release(&room("c"), from_ref(&a));
    assert_eq!(claim(&world.store, &room("d"), &a), None);
    assert_eq!(known(&world.store, &b), claimed("c"));
    world.store.release_all(&room("c"));
    assert_eq!((known(&world.store, &a), known(&world.store, &b)), (claimed("d"), None));
}

#[tokio::test(start_paused = true)]
async fn submitted_pdu_is_known_before_commit() {
    let disk = FaultyDisk::new();
    let world = World::on(&disk);
    let (c, store) = (room("c"), &world.store);
    let hold = disk.hold();
    claim(store, &c, &theirs("a"));
    let first = world.submit(vec![waits(&c, &theirs("a"), &[theirs("0")])]);
    hold.reached().await;
    let second = world.submit(said(&c, &ours("m"), &[], 1));
    assert_eq!(known(store, &theirs("a")), Some(PduStatus::Held { context: c.clone() }));
    assert_eq!(known(store, &ours("m")), delivered("c", 1));
    let third = world.submit(vec![came(&c, &theirs("a"), at(2, Some(FeedFlags::default())))]);
    assert_eq!(known(store, &theirs("a")), delivered("c", 2));
    // The PDU was submitted: neither a refusal nor a restart of its context releases it.
    store.release(&c, &[theirs("a")]);
    store.release_all(&c);
    assert_eq!(known(store, &theirs("a")), delivered("c", 2));
    assert_eq!(claim(store, &room("d"), &theirs("a")), delivered("c", 2));
    assert_eq!(store.pdu(&ours("m")).await.unwrap(), None, "only committed PDUs are served");
    let read = store.counters().rows_read;
    drop(hold);
    first.committed().await.unwrap();
    assert_eq!(known(store, &theirs("a")), delivered("c", 2), "the later uncommitted change is still seen");
    second.committed().await.unwrap();
    third.committed().await.unwrap();
    let later = store.counters().rows_read;
    assert_eq!((known(store, &theirs("a")), known(store, &ours("m"))), (delivered("c", 2), delivered("c", 1)));
    assert_eq!(store.counters().rows_read - later, 2, "the claims were removed by the commit");
    // The delivery read the row that it replaced. The lookup after the first commit also read one if the others were
    // committed by then.
    assert!((1..=2).contains(&(later - read)), "{}", later - read);
}

#[tokio::test(start_paused = true)]
async fn rejected_batch_leaves_no_claims() {
    let world = World::new();
    let stale = Fence { epoch: world.fence().epoch - 1, ..world.fence() };
    let change = || heard(&room("c"), &theirs("a"), &[], 1);
    let ticket = world.store.submit(stale, vec![change(), change()], CommitPriority::Now);
    assert_eq!(known(&world.store, &theirs("a")), delivered("c", 1));
    assert_eq!(ticket.committed().await, Err(JournalStopped));
    assert_eq!(known(&world.store, &theirs("a")), None);
}

/// Between a commit and the removal of its claims there is no moment in which neither shows the PDU.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submitted_pdu_never_becomes_unknown() {
    const PDUS: u64 = 300;
    let world = World::new();
    let handed_over = AtomicU64::new(0);
    let mut outcomes = Vec::new();
    std::thread::scope(|scope| {
        let (store, handed_over) = (&world.store, &handed_over);
        for _ in 0..2 {
            scope.spawn(move || {
                let mut looked = 0;
                while looked < PDUS {
                    let newest = handed_over.load(Ordering::Acquire);
                    for n in looked.saturating_sub(3).max(1)..=newest {
                        assert_eq!(known(store, &theirs(&n.to_string())), delivered("c", n), "{n} of {newest}");
                    }
                    looked = newest;
                    std::thread::yield_now();
                }
            });
        }
        for n in 1..=PDUS {
            let ticket = world.submit(vec![heard(&room("c"), &theirs(&n.to_string()), &[], n)]);
            handed_over.store(n, Ordering::Release);
            if n % 3 == 0 {
                let wait = || tokio::runtime::Handle::current().block_on(ticket.committed());
                outcomes.push(tokio::task::block_in_place(wait));
            }
        }
    });
    assert!(outcomes.iter().all(Result::is_ok));
}
