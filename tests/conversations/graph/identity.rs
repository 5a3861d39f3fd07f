//! The identity of a PDU: the first PDU with an identity keeps it, a batch is processed once, and a transaction id may be
//! reused.

use std::rc::Rc;
use std::sync::Arc;

use actors::ports::ContextReader;
use fixtures::messenger::{at, context};
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::TestNode;
use fixtures::time::{millis, seconds, world};

use crate::missing::asking::{pdu, send, verdicts};

/// Returns blue, in two contexts with red and green.
async fn two_rooms() -> (Arc<TestNetwork>, Rc<TestNode>) {
    let network = TestNetwork::new(1, CALM);
    let blue = TestNode::usual(&network, "blue").await;
    for room in ["garden", "kitchen"] {
        blue.with(room, &["red", "green"]).await;
    }
    (network, blue)
}

async fn is_whole_in(blue: &TestNode, room: &str, other: &str) {
    let stored = blue.store().pdu(&at("red/x")).await.unwrap().expect("stored once");
    assert_eq!(stored.context, context(room));
    let winner = blue.gateway().context(&context(room)).await.unwrap();
    assert_eq!((winner.record.heads.len(), winner.record.next, winner.held), (1, 2, 0), "{room}");
    let loser = blue.gateway().context(&context(other)).await.unwrap();
    assert_eq!((loser.record.heads.len(), loser.record.next, loser.held), (0, 1, 0), "{other}");
    assert!(loser.gaps.is_empty() && loser.wanted.is_empty());
}

#[tokio::test(start_paused = true)]
async fn batch_identity_belongs_to_one_context() {
    world(async {
        let (network, blue) = two_rooms().await;
        let both = [pdu("red", "x", "garden", &[]), pdu("red", "x", "kitchen", &[])];
        let answer = verdicts(&send(&network, "red", "1", &both).await);
        let won: Vec<bool> = answer.iter().map(|verdict| verdict == "x accepted").collect();
        assert!(answer.iter().any(|verdict| verdict == "x OTHER_CONTEXT"), "{answer:?}");
        let (room, other) = if won[0] { ("garden", "kitchen") } else { ("kitchen", "garden") };
        is_whole_in(&blue, room, other).await;
        assert_eq!(blue.feed().await, ["red/x"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn concurrent_identity_belongs_to_one_context() {
    world(async {
        let (network, blue) = two_rooms().await;
        // Neither PDU is on disk: the second request must see the claim of the first.
        let hold = blue.disk().hold();
        let (one, two) = ([pdu("red", "x", "garden", &[])], [pdu("red", "x", "kitchen", &[])]);
        let both = async { tokio::join!(send(&network, "red", "1", &one), send(&network, "green", "2", &two)) };
        let let_go = async {
            hold.reached().await;
            drop(hold);
        };
        let ((first, second), ()) = tokio::join!(both, let_go);
        let mut answers = [verdicts(&first), verdicts(&second)].concat();
        let room = if answers[0] == "x accepted" { ["garden", "kitchen"] } else { ["kitchen", "garden"] };
        answers.sort();
        assert_eq!(answers, ["x OTHER_CONTEXT", "x accepted"]);
        is_whole_in(&blue, room[0], room[1]).await;
        assert_eq!(blue.feed().await, ["red/x"]);

        // The decision stays, on disk and after a restart, for any sender.
        blue.restart(fixtures::disk::SurvivingBytes::Synced).await;
        let again = send(&network, "red", "3", &[pdu("red", "x", room[1], &[]), pdu("red", "x", room[0], &[])]).await;
        assert_eq!(verdicts(&again), ["x OTHER_CONTEXT", "x duplicate"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn concurrent_duplicate_batch_answers_alike() {
    world(async {
        let (network, blue) = two_rooms().await;
        let batch = [
            pdu("red", "a", "garden", &[]),
            pdu("red", "c", "garden", &["red/b"]),
            pdu("red", "a", "kitchen", &[]),
            r#"{"pdu_id":"broken"}"#.to_owned(),
            pdu("red", "d", "kitchen", &[]),
        ];
        let (first, second) = tokio::join!(send(&network, "red", "1", &batch), send(&network, "red", "1", &batch));
        assert_eq!(first, second);
        let said = verdicts(&first);
        assert_eq!(said[..3], ["a accepted", "c held", "a OTHER_CONTEXT"]);
        assert_eq!(said[4], "d accepted");
        assert!(said[3].starts_with("broken ") && said[3].len() > "broken ".len(), "{}", said[3]);
        let mut feed = blue.feed().await;
        feed.sort();
        assert_eq!(feed, ["red/a", "red/d"]);
        // After a restart the repeat gets the same response and is not processed again.
        blue.restart(fixtures::disk::SurvivingBytes::Synced).await;
        assert_eq!(send(&network, "red", "1", &batch).await, first);
        seconds(1).await;
        assert_eq!(blue.feed().await.len(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn reused_transaction_id_accepts_new_pdus() {
    world(async {
        let (network, blue) = two_rooms().await;
        let of = |id: &str| [pdu("red", id, "garden", &[])];
        assert_eq!(verdicts(&send(&network, "red", "1", &of("a")).await), ["a accepted"]);
        assert_eq!(verdicts(&send(&network, "red", "1", &of("b")).await), ["b accepted"]);
        assert_eq!(verdicts(&send(&network, "green", "1", &of("c")).await), ["c accepted"]);
        let under_another_id = send(&network, "red", "2", &of("a")).await;
        assert_eq!(verdicts(&under_another_id), ["a duplicate"]);
        millis(10).await;
        assert_eq!(blue.feed().await, ["red/a", "red/b", "red/c"]);
    })
    .await;
}
