//! A message of a group comes again after a crash of our store: the context composed it, and its number was lost.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actors::change::Change;
use actors::ports::{CommitPriority, CommitTicket, Fence, Journal, QueueDepth};
use fixtures::disk::SurvivingBytes;
use fixtures::messenger::others;
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::{PortsChange, TestNode};
use fixtures::time::{seconds, world};

use super::bridged::{said, texts};
use super::server_of_2016::{OldServer, bridging};

/// A journal that ends, as its process would, just before it is given the numbers of a push.
struct EndingJournal {
    journal: Arc<dyn Journal>,
    /// True if the numbers of the next push do not reach it.
    ends: Arc<AtomicBool>,
    ended: AtomicBool,
}

impl Journal for EndingJournal {
    fn submit(&self, fence: Fence, changes: Vec<Change>, urgency: CommitPriority) -> CommitTicket {
        let is_number = |change: &Change| matches!(change, Change::InboundDigestsStored { .. });
        if self.ends.load(Ordering::SeqCst) && changes.iter().any(is_number) {
            self.ended.store(true, Ordering::SeqCst);
        }
        match self.ended.load(Ordering::SeqCst) {
            true => CommitTicket::pair().1,
            false => self.journal.submit(fence, changes, urgency),
        }
    }

    fn barrier(&self) -> CommitTicket {
        match self.ended.load(Ordering::SeqCst) {
            true => CommitTicket::pair().1,
            false => self.journal.barrier(),
        }
    }

    fn pressure(&self) -> QueueDepth {
        self.journal.pressure()
    }
}

#[tokio::test(start_paused = true)]
async fn crash_between_commits_composes_once() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let ends = Arc::new(AtomicBool::new(false));
        let switch = ends.clone();
        let change: PortsChange = Rc::new(move |ports, _| {
            let (journal, ends) = (ports.journal.clone(), switch.clone());
            ports.journal = Arc::new(EndingJournal { journal, ends, ended: AtomicBool::new(false) });
        });
        let red = TestNode::changed(&network, "red", bridging(), change).await;
        let (green, blue) = (TestNode::usual(&network, "green").await, TestNode::usual(&network, "blue").await);
        red.with("garden", &["green", "blue", "grey"]).await;
        for node in [&green, &blue] {
            node.with("garden", &others(&node.name, &["red", "green", "blue"])).await;
        }
        let grey = OldServer::start(&network);
        grey.say("one").await;
        seconds(1).await;

        ends.store(true, Ordering::SeqCst);
        grey.next();
        let answer = grey.say_again("two").await.unwrap_or_default();
        assert!(!answer.contains(r#""receive":"ok""#), "nothing is acknowledged: {answer}");
        // The context's own batch is on disk.
        Journal::barrier(&red.store()).committed().await.unwrap();
        ends.store(false, Ordering::SeqCst);
        red.restart(SurvivingBytes::Synced).await;
        seconds(5).await;
        assert_eq!(
            texts(&green).await,
            ["one", "two"],
            "the composed message was sent before its update was acknowledged"
        );

        for _ in 0..2 {
            let answer = grey.say_again("two").await.expect("red lives");
            assert!(answer.contains(r#""receive":"ok","seq":2"#), "{answer}");
        }
        grey.say("two").await;
        red.say_draft("garden", said("r1")).await.unwrap();
        seconds(5).await;
        for node in [&green, &blue] {
            assert_eq!(
                texts(node).await,
                ["one", "two", "two", "r1"],
                "the third one is another message: {}",
                node.name
            );
        }
        assert_eq!(texts(&red).await, ["one", "two", "two"]);
        assert_eq!(grey.texts(), ["r1"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn failed_disk_composes_no_message_twice() {
    world(async {
        for k in 1..6 {
            for survives in [SurvivingBytes::Synced, SurvivingBytes::Written, SurvivingBytes::Torn(k)] {
                let network = TestNetwork::new(k, CALM);
                let red = TestNode::start(&network, "red", bridging()).await;
                let blue = TestNode::usual(&network, "blue").await;
                red.with("garden", &["blue", "grey"]).await;
                blue.with("garden", &["red"]).await;
                let grey = OldServer::start(&network);
                red.disk().fail_at(k);
                let mut last = None;
                for text in ["a", "b", "c"] {
                    grey.next();
                    last = Some(text);
                    let answer = tokio::time::timeout(std::time::Duration::from_secs(60), grey.say_again(text)).await;
                    if !answer.ok().flatten().is_some_and(|answer| answer.contains("\"ok\"")) {
                        break;
                    }
                }
                red.restart(survives).await;
                let last = last.expect("it said something");
                let answer = grey.say_again(last).await.expect("red lives");
                assert!(answer.contains("\"ok\""), "{answer}");
                seconds(60).await;
                let all: Vec<&str> = ["a", "b", "c"].into_iter().take_while(|text| *text <= last).collect();
                assert_eq!(texts(&blue).await, all, "the disk failed at sync {k}: {survives:?}");
                assert_eq!(texts(&red).await, all, "the disk failed at sync {k}: {survives:?}");
            }
        }
    })
    .await;
}
