//! Receipts by number count for the item that the peer holds under the number, and for no other.

use super::*;
use crate::limits::relay::RouteStep;
use crate::model::{PduRef, ReceiptItem, RejectedItem};
use crate::peer::outbound::relay::{RelayEvent, ViaState};

impl Bench {
    /// Returns a machine whose peer gives receipts.
    fn receiving(change: impl FnOnce(&mut PeerLimits, &mut PeerRecord)) -> Self {
        Self::new(|limits, record| {
            limits.receipts = true;
            change(limits, record);
        })
    }

    /// Receives a push of the peer that has only receipts.
    fn told(&mut self, receipts: PeerReceipts) -> &mut Self {
        let mut push = letter_push(None, 0, "");
        push.receipts = receipts;
        self.step(PeerEvent::Accept(InboundBatch::Push(push, ReplyToken::new(1)), UnknownContexts::default()))
    }

    fn delivered(&mut self, first: u64, last: u64) -> &mut Self {
        self.told(PeerReceipts { numbers: vec![(Seq(first), Seq(last))], ..PeerReceipts::NONE })
    }

    fn rejected(&mut self, number: u64) -> &mut Self {
        let rejected = RejectedItem { item: ReceiptItem::Number(Seq(number)), reason: "unwanted".to_owned() };
        self.told(PeerReceipts { rejected: vec![rejected], ..PeerReceipts::NONE })
    }

    fn conflict(&mut self, seq: u64) -> &mut Self {
        self.reply(Ack::Hole { expected: Seq(seq), conflict: true })
    }

    /// Returns the ranges of the items that are settled.
    fn settled(&self) -> Vec<(u64, u64)> {
        self.machine.status().settled
    }
}

#[test]
fn early_receipt_waits_for_acknowledgement() {
    let mut bench = Bench::receiving(|_, _| ());
    bench.queue(3).delivered(1, 1).rejected(2);
    assert_eq!(bench.settled(), []);
    let mut again = bench.restart(|limits| limits.receipts = true);
    again.step(PeerEvent::Woken { tail: Index(3), queued_bytes: 6, rows: vec![] }).load(1, 3);
    assert_eq!(bench.ok(3).settled(), [(1, 2)]);
    assert_eq!(again.ok(3).settled(), [(1, 2)], "also after a restart: {:?}", again.trace);
}

/// The peer took number 1, its answer was lost, and the item expired: the next item has its number now.
#[test]
fn receipt_of_expired_item_is_dropped() {
    let mut bench = Bench::receiving(|limits, _| limits.keep = Duration::from_secs(60));
    bench.queue(1).unreachable().delivered(1, 1).rejected(1);
    bench.at(120).step(PeerEvent::TimerFired).load(1, 1);
    assert_eq!(bench.machine.outbound().outbox().number(Index(2)), Seq(1), "{:?}", bench.trace);
    assert_eq!(bench.machine.record().outbound.held, HeldReceiptRecord::default());
}

/// The peer holds other items under our numbers, because we were restored from a backup.
#[test]
fn conflict_drops_held_receipts() {
    let mut bench = Bench::receiving(|_, record| record.outbound.acked = Index(4));
    bench.queue(2).delivered(5, 6).rejected(5).conflict(9).load(5, 6).delivered(5, 8).ok(10);
    assert_eq!(bench.settled(), []);
    bench.delivered(9, 10);
    assert_eq!(bench.settled(), [(5, 6)]);
}

/// The peer has lost items that it had acknowledged, and one of them is gone here too: the next one gets its number.
#[test]
fn lost_numbers_are_not_told_again() {
    let mut bench = Bench::receiving(|_, record| record.outbound.acked = Index(4));
    bench.queue(1).hole(3);
    let rows = Ok(bench.rows(4, 5));
    bench.step(PeerEvent::Loaded { from: Index(3), rows }).load(4, 5).ok(4).delivered(3, 4);
    assert_eq!(bench.settled(), [], "{:?}", bench.trace);
    bench.queue(1).ok(5).delivered(5, 5).queue(1).ok(6).delivered(6, 6);
    assert_eq!(bench.settled(), [(7, 7)], "the first number that was not given before: {:?}", bench.trace);
}

#[test]
fn numbers_before_restore_are_not_told() {
    let mut bench = Bench::receiving(|_, record| {
        record.outbound.acked = Index(4);
        record.outbound.told_from = Seq(5);
    });
    bench.delivered(1, 4).rejected(3).queue(1).ok(5).delivered(1, 5);
    assert_eq!(bench.settled(), [(5, 5)]);
}

/// A resend shows that the peer lacks what it had acknowledged.
#[test]
fn resent_item_waits_for_acknowledgement() {
    let mut bench = Bench::receiving(|_, record| record.outbound.acked = Index(4));
    bench.queue(1).hole(3).delivered(2, 4);
    assert_eq!(bench.settled(), [(2, 2)]);
    bench.load(3, 5).ok(5);
    assert_eq!(bench.settled(), [(2, 4)]);
}

#[test]
fn gateway_learns_first_number_at_once() {
    let mut bench = Bench::receiving(|_, record| record.outbound.window = None);
    bench.queue(2).check(&["   0s sending     push 1..=1 (1)"]);
}

/// The refusal of a PDU that is named by its identity is for that PDU, whatever its number.
#[test]
fn named_refusal_survives_new_numbers() {
    let mut bench = Bench::receiving(|_, record| record.outbound.acked = Index(4));
    bench.queue(1).step(PeerEvent::ItemsFound { taken: vec![], rejected: vec![(Index(5), "unwanted".to_owned())] });
    bench.conflict(9).load(5, 5);
    assert_eq!(bench.settled(), []);
    bench.ok(9);
    assert_eq!(bench.settled(), [(5, 5)]);
    let pdu = PduRef { origin: "us".parse().expect("valid"), id: "p".parse().expect("valid") };
    bench.told(PeerReceipts { pdus: vec![pdu], ..PeerReceipts::NONE });
    assert!(bench.trace.last().is_some_and(|line| line.contains("find items")), "{:?}", bench.trace.last());
}

/// The route leads through another server alone, so that the peer itself acknowledges nothing.
#[test]
fn receipt_alone_ends_relayed_item() {
    let via: ServerName = "grey".parse().expect("valid");
    let mut bench = Bench::receiving(|limits, _| limits.relay.route = vec![RouteStep::Via(via.clone())]);
    let rows = bench.rows(1, 4);
    let state = ViaState { server: via.clone(), is_usable: true, has_numbers: true, room: 9, shared: vec![] };
    let numbers = |last| {
        let mut push = letter_push(None, 0, "");
        push.receipts = PeerReceipts { numbers: vec![(Seq(last), Seq(last))], ..PeerReceipts::NONE };
        PeerEvent::Accept(InboundBatch::Push(push, ReplyToken::new(1)), UnknownContexts::default())
    };
    let mut acked = vec![];
    for event in [
        PeerEvent::Woken { tail: Index(4), queued_bytes: 8, rows: vec![] },
        PeerEvent::Relay(RelayEvent::Loaded(Index(1), Ok(rows), vec![state])),
        numbers(1),
        PeerEvent::Relay(RelayEvent::Queued(via.clone(), Index(3))),
        // Numbers are taken in order, so the peer has number 1 too.
        numbers(2),
        PeerEvent::ItemsFound { taken: vec![Index(4)], rejected: vec![] },
        PeerEvent::ItemsFound { taken: vec![Index(3)], rejected: vec![] },
    ] {
        bench.machine.step(StepInput { now: Millis(0), jitter_roll: 0.5 }, event);
        acked.push(bench.machine.status().acked.0);
    }
    assert_eq!(acked, [0, 0, 0, 0, 2, 2, 3], "number 4 was not relayed yet");
    assert_eq!(bench.settled(), [(1, 4)]);
}
