//! Two machines exchange updates over a link that loses, repeats and delays, and crash at random. In every case each update
//! arrives once and in order, except for those that the receiver refuses for good: these, and no others, are dead-lettered. Receipts
//! come back: none before the receiver's messenger has acknowledged the update, and in the end all of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use crate::change::Change;
use crate::errors::BatchError;
use crate::limits::PeerLimits;
use crate::model::{
    Ack, BatchId, DeadLetterReason, Digest, FeedItem, InboundPush, Index, Item, Millis, OutboundBatch, PeerReceipts,
    PeerRecord, PushFailure, PushResponse, Receipt, Seq, ServerName, StrongBody, StrongUpdate, SubmissionId,
};
use crate::model::{OutboxRow, PeerSnapshot};
use crate::peer::effect::{BatchReply, PeerEffect, PushReply};
use crate::peer::inbound::InboundBatch;
use crate::peer::inbound::dispatch::UnknownContexts;
use crate::peer::machine::{PeerEvent, PeerMachine};
use crate::peer::outbound::StepInput;
use crate::reply_token::ReplyToken;

#[derive(Debug, Clone, Copy)]
enum RandomFault {
    /// An update is submitted.
    Submit,
    /// An update is submitted that the receiver refuses, together with its whole push.
    SubmitBad,
    /// The batch on the link arrives, and its response too.
    Deliver,
    /// The batch arrives, and its response is lost.
    LoseAnswer,
    /// The batch is lost.
    LoseFrame,
    /// An old batch arrives once more.
    Echo,
    /// The sender, or the receiver, restarts from its store.
    CrashSender,
    CrashReceiver,
    /// The receiver is restored from its last backup, or makes one.
    RestoreReceiver,
    Backup,
    /// The receiver requests a wait instead of accepting the batch.
    Wait,
    /// The receiver's messenger acknowledges the next update of its feed.
    Acknowledge,
    /// Receipts that are under way arrive, or are lost.
    DeliverReceipts,
    LoseReceipts,
    /// Time passes.
    Tick,
}

fn chance() -> impl Strategy<Value = RandomFault> {
    use RandomFault::*;
    prop_oneof![
        4 => Just(Submit), 1 => Just(SubmitBad), 8 => Just(Deliver), 2 => Just(LoseAnswer), 2 => Just(LoseFrame),
        1 => Just(Echo), 1 => Just(CrashSender), 1 => Just(CrashReceiver), 1 => Just(RestoreReceiver), 1 => Just(Backup),
        1 => Just(Wait), 4 => Just(Acknowledge), 4 => Just(DeliverReceipts), 1 => Just(LoseReceipts), 4 => Just(Tick),
    ]
}

struct MachineSide {
    machine: PeerMachine,
    limits: Arc<PeerLimits>,
    /// All items ever queued.
    queue: Vec<Bytes>,
    disk: SideStore,
    backup: SideStore,
    /// Changes that are submitted and not committed yet.
    pending: Vec<Change>,
    due: Option<Millis>,
    frame: Option<(u64, OutboundBatch)>,
    answer: Option<PushReply>,
}

/// The content of a store: record and digests, feed entries in order, and the parked and reported items.
#[derive(Clone)]
struct SideStore {
    record: PeerRecord,
    digests: Vec<Digest>,
    fed: Vec<Bytes>,
    /// Numbers of the updates in the feed.
    numbers: Vec<Seq>,
    /// Number of acknowledged updates in the feed.
    acked: usize,
    parked: BTreeSet<Index>,
    told: Vec<SubmissionId>,
}

impl MachineSide {
    fn new(name: &str, other: &str, batch_items: u32) -> Self {
        let receipts = true;
        let limits = Arc::new(PeerLimits { batch_items, intake_items: batch_items, receipts, ..PeerLimits::default() });
        let server: ServerName = other.parse().expect("valid");
        let record = PeerRecord::new(server.clone());
        let (digests, seen, last_error, forwards) = (vec![], vec![], None, vec![]);
        let load = PeerSnapshot { record: None, tail: Index(0), queued_bytes: 0, digests, seen, last_error, forwards };
        let machine = PeerMachine::new("us".parse().expect("valid"), name.parse().expect("valid"), &limits, load);
        let (fed, numbers, parked) = (vec![], vec![], BTreeSet::new());
        let disk = SideStore { record, digests: vec![], fed, numbers, acked: 0, parked, told: vec![] };
        let (queue, pending, backup) = (vec![], vec![], disk.clone());
        Self { machine, limits, queue, disk, backup, pending, due: None, frame: None, answer: None }
    }

    fn step(&mut self, now: Millis, event: PeerEvent) {
        let acked = self.machine.status().acked;
        for effect in self.machine.step(StepInput { now, jitter_roll: 0.5 }, event) {
            match effect {
                PeerEffect::Commit(changes, _) => self.pending.extend(changes),
                PeerEffect::Answer(BatchReply::Transaction(..)) => panic!("no transaction was sent"),
                PeerEffect::Answer(BatchReply::Push(_, answer)) => {
                    self.settle();
                    self.answer = Some(answer);
                }
                PeerEffect::Push { attempt, frame, settled } => {
                    if settled {
                        self.settle();
                    }
                    assert!(frame.items.len() <= self.limits.batch_items as usize);
                    self.frame = Some((attempt, frame));
                }
                PeerEffect::Load(from) => {
                    let rows = Ok(self.rows(from));
                    self.step(now, PeerEvent::Loaded { from, rows });
                }
                PeerEffect::Arm(at) => self.due = Some(at),
                PeerEffect::Disarm => self.due = None,
                PeerEffect::Pull(_)
                | PeerEffect::HandOver(_)
                | PeerEffect::CountForward(..)
                | PeerEffect::Relay(_)
                | PeerEffect::RelayAt(_)
                | PeerEffect::TellRelayRefused(..)
                | PeerEffect::AskAt(_)
                | PeerEffect::Dispatch { .. }
                | PeerEffect::DispatchMessages { .. }
                | PeerEffect::TellStaged(_)
                | PeerEffect::FetchFromPeer { .. }
                | PeerEffect::DelegateFetch { .. }
                | PeerEffect::FetchDeclined { .. } => {
                    panic!("no PDUs here")
                }
                PeerEffect::Report(_) | PeerEffect::CountReceipts(..) => {}
                PeerEffect::FindItems { .. } => panic!("each update has a number"),
                PeerEffect::Abort => self.frame = None,
                PeerEffect::Decline(..) | PeerEffect::Restart(_) => panic!("nothing here is faulty"),
            }
        }
        assert!(self.machine.status().acked >= acked, "an acknowledgement is never taken back");
    }

    /// Commits everything submitted.
    fn settle(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            self.commit(change);
        }
    }

    fn commit(&mut self, change: Change) {
        let disk = &mut self.disk;
        match change {
            Change::PeerRecordUpdated(record) => disk.record = *record,
            Change::InboundDigestsStored { first, digests, .. } => {
                disk.digests.truncate(usize::try_from(first.0 - 1).expect("small"));
                disk.digests.extend(digests);
            }
            Change::FeedAppended(FeedItem::Update { bytes, n, seq, .. }) => {
                disk.fed.push(bytes);
                disk.numbers.push(seq);
                assert_eq!(n, disk.fed.len() as u64);
            }
            Change::OutboxDeadLettered { first, last, fate: DeadLetterReason::Parked, .. } => {
                assert_eq!(first, last);
                assert!(disk.parked.insert(first), "{first} is parked twice");
            }
            Change::FeedAppended(FeedItem::Delivery { message, state: "parked", .. }) => disk.told.push(message),
            // The event for those who asked is the store's part.
            Change::ItemsHandedOver { .. } => {}
            Change::OutboxTrimmed { .. } => {}
            // These changes are for the trace of a message only.
            Change::AttemptFailed { .. } | Change::Delivered { .. } => {}
            // These events come after too many lost batches in a row, or after the first that arrived again.
            Change::FeedAppended(FeedItem::Peer { .. }) => {}
            other => panic!("nothing here calls for {other:?}"),
        }
    }

    fn rows(&self, from: Index) -> Vec<OutboxRow> {
        let row = |(at, bytes): (usize, &Bytes)| OutboxRow {
            index: Index(at as u64 + 1),
            queued: Millis(0),
            item: Item::Update(bytes.clone()),
            context: None,
            submission: name(at as u64 + 1),
            queued_bytes: 0,
            again: false,
        };
        let kept = |row: &OutboxRow| row.index >= from && !self.disk.parked.contains(&row.index);
        let rows = self.queue.iter().enumerate().map(row).filter(kept);
        rows.take(2 * self.limits.batch_items as usize).collect()
    }

    /// Loses everything submitted and not committed.
    fn crash(&mut self, now: Millis) {
        let SideStore { record, digests, .. } = &self.disk;
        let digests = digests[digests.len().saturating_sub(1024)..].to_vec();
        let tail = Index(self.queue.len() as u64);
        let (record, seen) = (record.clone(), vec![]);
        let server = record.server.clone();
        let load = PeerSnapshot {
            record: Some(record),
            tail,
            queued_bytes: 0,
            digests,
            seen,
            last_error: None,
            forwards: vec![],
        };
        self.machine = PeerMachine::new("us".parse().expect("valid"), server, &self.limits, load);
        self.pending.clear();
        (self.due, self.frame, self.answer) = (None, None, None);
        self.step(now, PeerEvent::Started);
        self.tell(now, 0);
    }

    /// Tells the machine what the messenger has acknowledged, from this place of the feed on.
    fn tell(&mut self, now: Millis, from: usize) {
        let numbers = self.disk.numbers[from..self.disk.acked].iter().map(|number| (*number, *number)).collect();
        let receipts = PeerReceipts { numbers, ..PeerReceipts::NONE };
        self.step(now, PeerEvent::MessengerTook(receipts));
    }

    fn submit(&mut self, now: Millis, what: char) {
        let bytes = Bytes::from(format!("{{\"{what}\":{}}}", self.queue.len()));
        self.queue.push(bytes.clone());
        let tail = Index(self.queue.len() as u64);
        self.step(
            now,
            PeerEvent::Woken {
                tail,
                queued_bytes: 0,
                rows: vec![OutboxRow {
                    index: tail,
                    queued: now,
                    item: Item::Update(bytes),
                    context: None,
                    submission: name(tail.0),
                    queued_bytes: 0,
                    again: false,
                }],
            },
        );
    }

    fn take(&mut self, now: Millis, frame: &OutboundBatch) -> Result<PushResponse, PushFailure> {
        if let Some(bad) = frame.items.iter().find(|item| is_bad(item.bytes())) {
            let status = if bad.bytes().len() % 2 == 0 { 400 } else { 413 };
            return Err(PushFailure::Refused { status, reason: String::new() });
        }
        let strong = |item: &Item| {
            let bytes = item.bytes();
            let mut digest = [0; 16];
            digest[..bytes.len()].copy_from_slice(bytes);
            StrongUpdate { bytes: bytes.clone(), digest: Digest(digest), body: StrongBody::Plain }
        };
        let strong = frame.items.iter().map(strong).collect();
        let BatchId::SeqRange { first, last } = frame.label else { panic!("updates are numbered") };
        let push = InboundPush {
            from_seq: first,
            seq: last,
            strong,
            weak: 0,
            ephemeral: vec![],
            verified: "network",
            receipts: frame.receipts.clone(),
            nonce: None,
        };
        self.step(now, PeerEvent::Accept(InboundBatch::Push(push, ReplyToken::new(1)), UnknownContexts::default()));
        match self.answer.take().expect("each push is answered") {
            Ok(Receipt { ack, receipts, .. }) => Ok(PushResponse {
                ack,
                window: Some(self.limits.intake_items),
                refused: vec![],
                receipts,
                reason: None,
            }),
            Err(BatchError::TooManyItems { .. }) => Err(PushFailure::Refused { status: 413, reason: String::new() }),
            Err(other) => panic!("{other}"),
        }
    }
}

/// Marks updates that the receiver refuses.
const BAD: char = 'b';

fn is_bad(bytes: &Bytes) -> bool {
    bytes.starts_with(b"{\"b\"")
}

fn name(n: u64) -> SubmissionId {
    format!("m{n}").parse().expect("valid")
}

struct MachineTalk {
    now: Millis,
    red: MachineSide,
    blue: MachineSide,
    /// The last batches on the link.
    seen: Vec<OutboundBatch>,
    /// Updates that the receiver's messenger has ever acknowledged.
    acknowledged: BTreeSet<Bytes>,
}

impl MachineTalk {
    /// Returns whether each item with a receipt was acknowledged by the messenger, or refused for good.
    fn has_no_early_receipt(&self) -> bool {
        let settled = self.red.machine.status().settled;
        let mut items = (1..).zip(&self.red.queue);
        items.all(|(index, bytes)| {
            let has_receipt = settled.iter().any(|(first, last)| (*first..=*last).contains(&index));
            !has_receipt || is_bad(bytes) || self.acknowledged.contains(bytes)
        })
    }

    fn happen(&mut self, chance: RandomFault) {
        let now = self.now;
        match chance {
            RandomFault::Submit => self.red.submit(now, 'n'),
            RandomFault::SubmitBad => self.red.submit(now, BAD),
            RandomFault::Deliver | RandomFault::LoseAnswer | RandomFault::LoseFrame | RandomFault::Wait => {
                let Some((attempt, frame)) = self.red.frame.take() else { return };
                let wait = PushResponse {
                    ack: Ack::Wait(std::time::Duration::from_secs(3)),
                    window: None,
                    refused: vec![],
                    receipts: PeerReceipts::NONE,
                    reason: None,
                };
                let outcome = match chance {
                    RandomFault::Deliver => self.blue.take(now, &frame),
                    RandomFault::Wait => Ok(wait),
                    RandomFault::LoseAnswer => self.blue.take(now, &frame).and(Err(PushFailure::TimedOut)),
                    _ => Err(PushFailure::Unreachable("lost".into())),
                };
                self.seen.push(frame);
                self.red.step(now, PeerEvent::Replied { attempt, outcome });
            }
            RandomFault::Echo => {
                if let Some(frame) = self.seen.last().cloned() {
                    let _ = self.blue.take(now, &frame);
                }
            }
            RandomFault::Acknowledge => {
                self.blue.settle();
                let acked = self.blue.disk.acked;
                if let Some(update) = self.blue.disk.fed.get(acked) {
                    self.acknowledged.insert(update.clone());
                    self.blue.disk.acked += 1;
                    self.blue.tell(now, acked);
                }
            }
            RandomFault::DeliverReceipts | RandomFault::LoseReceipts => {
                let Some((attempt, frame)) = self.blue.frame.take() else { return };
                let outcome = match chance {
                    RandomFault::DeliverReceipts => self.red.take(now, &frame),
                    _ => Err(PushFailure::Unreachable("lost".into())),
                };
                self.blue.step(now, PeerEvent::Replied { attempt, outcome });
            }
            RandomFault::CrashSender => self.red.crash(now),
            RandomFault::CrashReceiver => self.blue.crash(now),
            RandomFault::RestoreReceiver => {
                self.blue.disk = self.blue.backup.clone();
                self.blue.crash(now);
            }
            RandomFault::Backup => self.blue.backup = self.blue.disk.clone(),
            RandomFault::Tick => {
                self.red.settle();
                self.now = now.plus(1000);
                for side in [&mut self.red, &mut self.blue] {
                    if side.due.is_some_and(|due| due <= self.now) {
                        side.due = None;
                        side.step(self.now, PeerEvent::TimerFired);
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn random_faults_deliver_once_in_order(
        chances in proptest::collection::vec(chance(), 0..200), send in 1u32..5, take in 1u32..5,
    ) {
        let (red, blue) = (MachineSide::new("blue", "blue", send), MachineSide::new("red", "red", take));
        let acknowledged = BTreeSet::new();
        let mut talk = MachineTalk { now: Millis(0), red, blue, seen: vec![], acknowledged };
        let mut is_restored = false;
        for chance in chances {
            is_restored |= matches!(chance, RandomFault::RestoreReceiver);
            talk.happen(chance);
            let wanted = talk.red.queue.iter().filter(|bytes| !is_bad(bytes));
            prop_assert!(wanted.zip(&talk.blue.disk.fed).all(|(queued, fed)| queued == fed));
            prop_assert!(talk.has_no_early_receipt());
        }
        // A restored receiver shows it when it receives the next push.
        talk.red.submit(talk.now, 'n');
        // A restored receiver may take a push whose answer the sender read before the restore, and take the next one for
        // the proof that its own answer was read. What went with it is told after the next start.
        if is_restored {
            talk.happen(RandomFault::CrashReceiver);
        }
        // The faults end, and both sides must converge within a bound.
        for _ in 0..2_000 {
            talk.happen(RandomFault::Deliver);
            talk.happen(RandomFault::Acknowledge);
            talk.happen(RandomFault::DeliverReceipts);
            talk.happen(RandomFault::Tick);
        }
        prop_assert!(talk.has_no_early_receipt());
        let MachineTalk { red, blue, .. } = talk;
        let settled = red.machine.status().settled;
        prop_assert_eq!(settled, vec![(1, red.queue.len() as u64)], "no receipt is lost for ever");
        let (bad, wanted): (Vec<_>, Vec<_>) = (1..).zip(&red.queue).partition(|(_, bytes)| is_bad(bytes));
        prop_assert_eq!(&blue.disk.fed, &wanted.iter().map(|(_, bytes)| (*bytes).clone()).collect::<Vec<_>>());
        prop_assert_eq!(&red.disk.parked, &bad.iter().map(|(n, _)| Index(*n)).collect::<BTreeSet<_>>());
        prop_assert_eq!(&red.disk.told, &bad.iter().map(|(n, _)| name(*n)).collect::<Vec<_>>());
        prop_assert_eq!(red.machine.outbox().backlog(), 0);
        prop_assert_eq!(red.machine.status().acked, Index(red.queue.len() as u64));
        prop_assert_eq!(blue.machine.status().expected_seq, Seq(wanted.len() as u64 + 1));
    }
}
