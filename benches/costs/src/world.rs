//! A gateway core between a messenger and its peers, without HTTP: requests are bytes, and so is what it sends.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actors::gateway::Gateway;
use actors::limits::PairOrder;
use actors::model::{ContextId, Digest, Millis, OutboundBatch, PduDraft, Position, Submission, SubmittedContent};
use actors::ports::{FeedPage, FeedReader};
use actors::testkit::transport::accepted;
use actors::testkit::{ScriptedTransport, TestClock, TestPeers};
use bytes::Bytes;
use fernpost::json::reader::digest;
use fernpost::store::{BlockingExecutor, Store, StoreLocation, StoreOptions};
use fernpost::wire::pdu::ContentText;
use fernpost::wire::{transactions, updates};
use fixtures::disk::FaultyDisk;
use fixtures::gateway::{GatewayFixture, UnlaunchedGateway};
use fixtures::peers::{green, limits, red, server};
use fixtures::time::{BASE, at_rest};

use crate::{PeerReads, texts};

/// A core named blue whose peers take everything.
pub struct CoreWorld {
    core: GatewayFixture,
    reads: PeerReads<Gateway>,
    /// Number of the next item of our messenger, and of red.
    next: u64,
    next_of_red: u64,
}

/// Writes a batch as the transport would, and lets the peer take it.
fn write(batch: &OutboundBatch) -> actors::testkit::transport::PushResult {
    let bytes = match batch.dialect.carries_updates {
        true => updates::envelope::encode(batch),
        false => transactions::envelope::encode(&server("blue"), batch, PairOrder::OriginFirst),
    };
    assert!(!bytes.is_empty(), "an empty body");
    accepted(batch)
}

impl CoreWorld {
    /// Opens a core on a store in memory, all of whose work is done by the thread of its caller, so that its cost repeats.
    pub fn in_memory() -> Self {
        let options = StoreOptions::new(StoreLocation::backend(FaultyDisk::new()), server("blue"));
        let lane = BlockingExecutor::Inline(Arc::new(|| Duration::ZERO));
        Self::open(StoreOptions { lane, ..options }, ScriptedTransport::answering(write))
    }

    /// Opens a core on a file, with threads of the store's own.
    pub fn on_disk(folder: &Path) -> Self {
        Self::open(file_options(folder), ScriptedTransport::answering(write))
    }

    /// Opens a core on a file whose peers never answer, so that queues grow.
    pub fn without_answers(folder: &Path) -> Self {
        Self::open(file_options(folder), ScriptedTransport::silent())
    }

    fn open(options: StoreOptions, transport: ScriptedTransport) -> Self {
        let mut core = UnlaunchedGateway::open(options, Arc::new(TestClock::new(BASE)));
        core.ports.transport = Arc::new(transport.unrecorded());
        core.ports.roster = Arc::new(TestPeers::everybody(limits()));
        core.ports.text = Arc::new(ContentText::default());
        let core = core.launch();
        Self { reads: PeerReads::with(core.gateway.clone()), core, next: 1, next_of_red: 1 }
    }

    /// Returns the store.
    pub fn store(&self) -> &Store {
        &self.core.store
    }

    /// Submits `count` updates for green in one request. It returns after their commit.
    pub async fn submit(&mut self, count: u64) {
        let updates: Vec<Bytes> = (self.next..self.next + count).map(texts::update).collect();
        let submission = Submission {
            id: format!("s{:09}", self.next).parse().expect("an id"),
            digest: digest(&updates[0]),
            accepted: BASE,
            servers: vec![green()],
            left_out: vec![],
            receipt: false,
            what: SubmittedContent::Updates(updates),
        };
        self.next += count;
        self.core.gateway.submit(submission).await.expect("taken");
    }

    /// Takes a push of `count` updates of red, from its bytes on. It returns after their commit.
    pub async fn take_push(&mut self, count: u64) {
        let body = texts::push(self.next_of_red, count);
        self.next_of_red += count;
        let push = self.reads.push(&body).await;
        self.core.gateway.accept(&red(), push).await.expect("taken");
    }

    /// Takes a transaction of `count` PDUs of red, from its bytes on. It returns after their commit.
    pub async fn take_transaction(&mut self, count: u64) {
        let body = texts::transaction(self.next_of_red, count);
        self.next_of_red += count;
        let transaction = self.reads.transaction(self.next_of_red, &body).await;
        let receipt = self.core.gateway.accept_transaction(&red(), transaction).await.expect("taken");
        assert_eq!(receipt.verdicts.len() as u64, count);
    }

    /// Creates the context, with red and green.
    pub async fn create_context(&mut self) {
        self.core.gateway.set_participants(&garden(), vec![red(), green()]).await.expect("created");
    }

    /// Submits `count` messages into the context in one request. It returns after their commit.
    pub async fn compose(&mut self, count: u64) {
        let drafts = (self.next..self.next + count).map(draft).collect();
        self.next += count;
        let outcomes = self.core.gateway.compose(&garden(), drafts).await.expect("taken");
        assert!(outcomes.iter().all(Result::is_ok), "a message was refused");
    }

    /// Reads `count` events of the feed and returns the position of the last one.
    pub async fn read_feed(&self, after: Position, count: u32) -> Position {
        let page = self.core.store.feed_after(after, count, u64::MAX).await.expect("it reads");
        let FeedPage::Entries(entries) = page else { panic!("nothing is trimmed here") };
        entries.last().map_or(after, |entry| entry.position)
    }

    /// Returns when everything is sent and committed. It needs a paused clock.
    pub async fn at_rest(&self) {
        at_rest().await;
    }
}

fn file_options(folder: &Path) -> StoreOptions {
    let options = StoreOptions::new(StoreLocation::file(folder.join("costs.redb")), server("blue"));
    StoreOptions { lane: BlockingExecutor::own().expect("threads"), ..options }
}

fn garden() -> ContextId {
    "garden".parse().expect("an id")
}

fn draft(n: u64) -> PduDraft {
    PduDraft {
        receipt: false,
        submission: format!("m{n:09}").parse().expect("an id"),
        digest: Digest([7; 16]),
        accepted: Millis(7),
        id: format!("m{n:031}").parse().expect("an id"),
        kind: "m.text".into(),
        content: texts::update(n),
        state: None,
        to: None,
        extra: vec![],
    }
}
