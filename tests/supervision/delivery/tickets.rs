//! No response without a ticket: everything that a response depends on is on disk before it is sent.

use std::cell::RefCell;
use std::rc::Rc;

use actors::model::{Ack, Seq};
use actors::ports::SubmissionReader;
use fixtures::disk::{FaultyDisk, SurvivingBytes};
use fixtures::gateway::GatewayFixture;
use fixtures::peers::{green, red};
use fixtures::time::{all_has_run, at_rest, world};
use tokio::task::{JoinHandle, spawn_local};

type Order = Rc<RefCell<Vec<&'static str>>>;

/// Records when a response arrives.
fn noted<T: 'static, E: 'static>(
    order: &Order,
    name: &'static str,
    asked: JoinHandle<Result<T, E>>,
) -> JoinHandle<Result<T, E>> {
    let order = order.clone();
    spawn_local(async move {
        let answer = asked.await.unwrap();
        order.borrow_mut().push(name);
        answer
    })
}

#[tokio::test(start_paused = true)]
async fn answers_wait_for_their_ticket() {
    world(async {
        let disk = FaultyDisk::new();
        let core = GatewayFixture::start(&disk, |_| {});
        // Both are loaded now, because a load would wait for the disk itself.
        assert_eq!(core.push(&red(), 1).await, Ok(Ack::Ok(Seq(1))));
        core.status(&green()).await;

        let hold = disk.hold();
        let order = Order::default();
        let fresh = noted(&order, "fresh", core.begin_push(&red(), 2));
        hold.reached().await;
        let duplicate = noted(&order, "duplicate", core.begin_push(&red(), 2));
        let hole = noted(&order, "hole", core.begin_push(&red(), 9));
        let submission = noted(&order, "submission", core.begin_submit("s1", &[green()]));
        // The machine has decided all three: this status is answered from its memory, through the same mailbox.
        assert_eq!(core.status(&red()).await.expected_seq, Seq(3));
        all_has_run().await;
        assert!(order.borrow().is_empty(), "answered before the disk: {order:?}");
        drop(hold);

        assert_eq!(fresh.await.unwrap(), Ok(Ack::Ok(Seq(2))));
        assert_eq!(duplicate.await.unwrap(), Ok(Ack::Ok(Seq(2))));
        assert_eq!(hole.await.unwrap(), Ok(Ack::Hole { expected: Seq(3), conflict: false }));
        assert_eq!(submission.await.unwrap(), Ok(()));
        let pushes: Vec<_> = order.borrow().iter().copied().filter(|name| *name != "submission").collect();
        assert_eq!(pushes, ["fresh", "duplicate", "hole"], "responses are in the order of the decisions");
    })
    .await;
}

/// Runs `ask` until its first commit is held, and then cuts the power.
async fn power_cut(before: impl AsyncFn(&GatewayFixture), ask: impl AsyncFn(&GatewayFixture, &Order)) -> FaultyDisk {
    world(async {
        let disk = FaultyDisk::new();
        let core = GatewayFixture::start(&disk, |_| {});
        before(&core).await;
        core.settled().await;
        at_rest().await;
        let hold = disk.hold();
        let order = Order::default();
        ask(&core, &order).await;
        hold.reached().await;
        all_has_run().await;
        assert!(order.borrow().is_empty(), "answered before the disk: {order:?}");
        FaultyDisk::with(disk.survivors(SurvivingBytes::Synced))
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn power_cut_drops_unanswered_pushes() {
    let disk = power_cut(
        async |core| {
            assert_eq!(core.push(&red(), 1).await, Ok(Ack::Ok(Seq(1))));
            assert_eq!(core.submit("s1", &[green()], 2).await, Ok(()));
        },
        async |core, order| {
            noted(order, "fresh", core.begin_push(&red(), 2));
            noted(order, "duplicate", core.begin_push(&red(), 2));
            noted(order, "older duplicate", core.begin_push(&red(), 1));
            noted(order, "submission", core.begin_submit("s2", &[green()]));
            core.status(&red()).await;
        },
    )
    .await;

    world(async {
        let core = GatewayFixture::start(&disk, |_| {});
        assert_eq!(core.fed(&red()).await, [(1, 1)], "only the acknowledged push is there");
        assert_eq!(core.outbox(&green()).await.len(), 2);
        for (id, there) in [("s1", true), ("s2", false)] {
            assert_eq!(core.store.submission(&id.parse().unwrap()).await.unwrap().is_some(), there);
        }
        // No caller got a response, so both sides repeat, and everything succeeds.
        assert_eq!(core.push(&red(), 2).await, Ok(Ack::Ok(Seq(2))));
        assert_eq!(core.push(&red(), 2).await, Ok(Ack::Ok(Seq(2))));
        assert_eq!(core.submit("s2", &[green()], 1).await, Ok(()));
        assert_eq!(core.fed(&red()).await, [(1, 1), (2, 2)]);
        assert_eq!(core.outbox(&green()).await.len(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn hole_waits_for_its_commit() {
    let disk = power_cut(
        async |core| drop(core.status(&red()).await),
        async |core, order| {
            noted(order, "fresh", core.begin_push(&red(), 1));
            noted(order, "hole", core.begin_push(&red(), 5));
            core.status(&red()).await;
        },
    )
    .await;
    world(async {
        let core = GatewayFixture::start(&disk, |_| {});
        let hole = Ack::Hole { expected: Seq(1), conflict: false };
        assert_eq!(core.push(&red(), 5).await, Ok(hole), "number 2 must not be expected, because 1 would be lost");
    })
    .await;
}
