//! Printed traces: events on the left, effects of the machine on the right.

use std::time::Duration;

use bytes::Bytes;

use crate::change::Change;
use crate::model::{
    Ack, BatchId, DeadLetterReason, DeliveryState, DialectSpec, Edu, FeedItem, HeldReceiptRecord, Item, ItemObjection,
    NumberSegment, PeerCommand, PeerRecord, PeerSnapshot, PushFailure, PushResponse, Seq,
};
use crate::peer::inbound::InboundBatch;
use crate::peer::inbound::dispatch::UnknownContexts;
use crate::peer::inbound::tests::letter_push;
use crate::peer::machine::{PeerEvent, PeerMachine};
use crate::peer::outbound::*;
use crate::reply_token::ReplyToken;

/// A machine under a hand-driven clock.
#[derive(Clone)]
struct Bench {
    machine: PeerMachine,
    now: Millis,
    attempt: u64,
    tail: u64,
    trace: Vec<String>,
    /// Texts of the notices in the trace.
    notices: Vec<String>,
}

fn response(ack: Ack, window: Option<u32>) -> PushResponse {
    PushResponse { ack, window, refused: vec![], receipts: PeerReceipts::NONE, reason: None }
}

impl Bench {
    fn new(change: impl FnOnce(&mut PeerLimits, &mut PeerRecord)) -> Self {
        Self::queued(0, change)
    }

    /// Returns a machine with this many items after the acknowledged ones in the store.
    fn queued(items: u64, change: impl FnOnce(&mut PeerLimits, &mut PeerRecord)) -> Self {
        let server: ServerName = "blue".parse().expect("valid");
        let mut limits = limits();
        let mut record = PeerRecord::new(server.clone());
        record.outbound.window = Some(100);
        change(&mut limits, &mut record);
        let tail = Index(record.outbound.acked.0 + items);
        let (digests, seen, last_error, forwards) = (vec![], vec![], None, vec![]);
        let load = PeerSnapshot { record: Some(record), tail, queued_bytes: 0, digests, seen, last_error, forwards };
        let machine = PeerMachine::new("us".parse().expect("valid"), server, &Arc::new(limits), load);
        Self { machine, now: Millis(0), attempt: 0, tail: tail.0, trace: vec![], notices: vec![] }
    }

    fn step(&mut self, event: PeerEvent) -> &mut Self {
        let effects = self.machine.step(StepInput { now: self.now, jitter_roll: 0.5 }, event);
        let printed: Vec<String> =
            effects.iter().map(|effect| self.print(effect)).filter(|text| !text.is_empty()).collect();
        self.trace.push(format!(
            "{:>4}s {:<11} {}",
            self.now.0 / 1000,
            self.machine.state().as_str(),
            printed.join("; ")
        ));
        self
    }

    fn print(&mut self, effect: &PeerEffect) -> String {
        match effect {
            PeerEffect::Commit(changes, urgency) => {
                self.notices.extend(changes.iter().filter_map(|change| match change {
                    Change::FeedAppended(FeedItem::Notice { text, .. }) => Some(text.clone()),
                    _ => None,
                }));
                // Changes that only the trace of a message shows are printed by the tests of attempts.
                let is_traced =
                    |change: &&Change| matches!(change, Change::AttemptFailed { .. } | Change::Delivered { .. });
                let names: Vec<String> = changes.iter().filter(|change| !is_traced(change)).map(name).collect();
                match (names.is_empty(), urgency) {
                    (true, CommitPriority::Now) => panic!("nobody waits for what only the trace shows"),
                    (true, CommitPriority::Deferred) => String::new(),
                    (false, CommitPriority::Now) => format!("commit {}", names.join("+")),
                    (false, CommitPriority::Deferred) => format!("note {}", names.join("+")),
                }
            }
            PeerEffect::Answer(..) => "answer".to_owned(),
            PeerEffect::Report(_) => "report".to_owned(),
            PeerEffect::Decline(_, why) => format!("decline: {why}"),
            PeerEffect::Restart(_) => "restart".to_owned(),
            PeerEffect::Abort => "abort".to_owned(),
            PeerEffect::Push { attempt, frame, settled } => {
                self.attempt = *attempt;
                let label = match frame.label {
                    BatchId::SeqRange { first, last } => {
                        format!("{}..={last}", first.map_or("?".to_owned(), |first| first.to_string()))
                    }
                    BatchId::Transaction { id, prev, .. } => {
                        format!("#{id} after {}", prev.map_or("none".to_owned(), |prev| prev.to_string()))
                    }
                };
                let weak = if frame.weak.is_empty() { String::new() } else { format!("+{} weak", frame.weak.len()) };
                format!("push {label} ({}{weak}){}", frame.items.len(), if *settled { " settled" } else { "" })
            }
            PeerEffect::FetchFromPeer { cause, .. } => format!("get for {cause}"),
            PeerEffect::DelegateFetch { of, .. } => format!("ask {of}"),
            PeerEffect::FetchDeclined { of, .. } => format!("{of} is not asked"),
            PeerEffect::Dispatch { .. } | PeerEffect::DispatchMessages { .. } => "dispatch".to_owned(),
            PeerEffect::TellStaged(context) => format!("tell {context}"),
            PeerEffect::Pull(pull) => format!("pull after {}", pull.after),
            PeerEffect::Load(from) => format!("load {from}"),
            PeerEffect::Arm(at) => format!("arm {}s", at.0 / 1000),
            PeerEffect::Disarm => "disarm".to_owned(),
            PeerEffect::AskAt(_) => "ask later".to_owned(),
            PeerEffect::HandOver(_) | PeerEffect::CountForward(..) => panic!("no forwards come here"),
            PeerEffect::Relay(_) | PeerEffect::RelayAt(_) | PeerEffect::TellRelayRefused(..) => panic!("no route here"),
            PeerEffect::FindItems { from, upto, .. } => format!("find items {from} to {upto}"),
            PeerEffect::CountReceipts(result, count) => format!("{count} {result}"),
        }
    }

    fn queue(&mut self, count: u64) -> &mut Self {
        let rows = self.rows(self.tail + 1, self.tail + count);
        self.tail += count;
        self.step(PeerEvent::Woken { tail: Index(self.tail), queued_bytes: 2 * self.tail, rows })
    }

    fn rows(&self, from: u64, to: u64) -> Vec<OutboxRow> {
        let row = |n| OutboxRow {
            index: Index(n),
            queued: Millis(0),
            item: Item::Update(Bytes::from_static(b"{}")),
            context: None,
            submission: format!("m{n}").parse().expect("valid"),
            queued_bytes: 2 * n,
            again: false,
        };
        (from..=to).map(row).collect()
    }

    fn load(&mut self, from: u64, to: u64) -> &mut Self {
        let rows = Ok(self.rows(from, to));
        self.step(PeerEvent::Loaded { from: Index(from), rows })
    }

    fn reply(&mut self, ack: Ack) -> &mut Self {
        self.step(PeerEvent::Replied { attempt: self.attempt, outcome: Ok(response(ack, Some(100))) })
    }

    fn ok(&mut self, seq: u64) -> &mut Self {
        self.reply(Ack::Ok(Seq(seq)))
    }

    fn hole(&mut self, seq: u64) -> &mut Self {
        self.reply(Ack::Hole { expected: Seq(seq), conflict: false })
    }

    fn fail(&mut self, failure: PushFailure) -> &mut Self {
        self.step(PeerEvent::Replied { attempt: self.attempt, outcome: Err(failure) })
    }

    fn unreachable(&mut self) -> &mut Self {
        self.fail(PushFailure::Unreachable("refused".into()))
    }

    fn at(&mut self, secs: u64) -> &mut Self {
        self.now = Millis(secs * 1000);
        self
    }

    fn contact(&mut self) -> &mut Self {
        let push = letter_push(None, 0, "");
        self.step(PeerEvent::Accept(InboundBatch::Push(push, ReplyToken::new(1)), UnknownContexts::default()))
    }

    fn order(&mut self, order: PeerCommand) -> &mut Self {
        self.step(PeerEvent::Operator(ReplyToken::new(2), order))
    }

    /// Restarts the peer.
    fn restart(&mut self, change: impl FnOnce(&mut PeerLimits)) -> Self {
        let record = self.machine.record();
        let mut bench = Self::new(|limits, from| {
            *from = record;
            change(limits);
        });
        bench.now = self.now;
        bench.step(PeerEvent::Started);
        bench
    }

    /// Changes the limits while the machine runs.
    fn limits(&mut self, change: impl FnOnce(&mut PeerLimits)) -> &mut Self {
        self.step(PeerEvent::LimitsChanged(limits_with(change)))
    }

    fn check(&mut self, expected: &[&str]) {
        assert_eq!(self.trace, expected, "\n{}", self.trace.join("\n"));
    }
}

fn limits() -> PeerLimits {
    PeerLimits { batch_items: 3, notify_after: Duration::MAX, ..PeerLimits::default() }
}

fn limits_with(change: impl FnOnce(&mut PeerLimits)) -> Arc<PeerLimits> {
    let mut limits = limits();
    change(&mut limits);
    Arc::new(limits)
}

fn name(change: &Change) -> String {
    match change {
        Change::PeerRecordUpdated(_) => "peer".to_owned(),
        Change::OutboxTrimmed { upto, .. } => format!("trim<={upto}"),
        Change::FeedAppended(FeedItem::Notice { .. }) => "notice".to_owned(),
        Change::FeedAppended(FeedItem::Peer { state, reason, .. }) => {
            format!("event({state} {})", reason.unwrap_or(""))
        }
        Change::OutboxDeadLettered { first, last, fate, .. } if first == last => {
            let verb = if *fate == DeadLetterReason::Parked { "park" } else { fate.as_str() };
            format!("{verb} {first}")
        }
        Change::OutboxDeadLettered { first, last, fate, .. } => format!("{} {first}..={last}", fate.as_str()),
        Change::OutboxMoved { first, last, to, .. } => format!("move {first}..={last} to {to}"),
        Change::TransactionSent { id, first, last, .. } => format!("sent #{id} {first}..={last}"),
        Change::FeedAppended(FeedItem::UpdateGap { first, last, .. }) => format!("gap {first}..={last}"),
        Change::FeedAppended(FeedItem::Delivery { message, state, reason, .. }) => {
            format!("event({message} {state}: {})", reason.as_deref().unwrap_or(""))
        }
        Change::InboundDigestsStored { digests, forget_below, .. } if digests.is_empty() => {
            format!("forget<{forget_below}")
        }
        other => format!("{other:?}"),
    }
}

fn refused(status: u16) -> PushFailure {
    PushFailure::Refused { status, reason: "no".into() }
}

#[test]
fn items_queued_in_flight_are_batched() {
    Bench::new(|_, _| ()).queue(1).queue(1).queue(3).ok(1).ok(4).ok(5).check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s sending     ",
        "   0s sending     ",
        "   0s sending     note trim<=1+peer; push 2..=4 (3)",
        "   0s sending     note peer; push 5..=5 (1)",
        "   0s idle        note peer",
    ]);
}

#[test]
fn unknown_window_sends_one_unranged() {
    let mut bench = Bench::new(|_, record| record.outbound.window = None);
    bench.queue(3);
    bench.step(PeerEvent::Replied { attempt: 1, outcome: Ok(response(Ack::Ok(Seq(1)), None)) });
    bench.ok(2).check(&[
        "   0s sending     push ?..=1 (1)",
        "   0s sending     note trim<=1+peer; push ?..=2 (1)",
        "   0s sending     note peer; push 3..=3 (1)",
    ]);
}

#[test]
fn hole_within_retained_is_resent() {
    let mut bench = Bench::new(|_, record| record.outbound.acked = Index(40));
    bench.queue(2).hole(38).load(38, 42).ok(40).ok(42).check(&[
        "   0s sending     push 41..=42 (2)",
        "   0s sending     load 38",
        "   0s sending     push 38..=40 (3)",
        "   0s sending     note trim<=40+peer; push 41..=42 (2)",
        "   0s idle        note peer",
    ]);
}

#[test]
fn repeated_hole_backs_off() {
    let mut bench = Bench::new(|_, record| record.outbound.acked = Index(40));
    bench.queue(1).hole(41).hole(41).check(&[
        "   0s sending     push 41..=41 (1)",
        "   0s sending     load 41",
        // The reply belongs to an earlier attempt.
        "   0s sending     ",
    ]);
    bench.load(41, 41).hole(41).check(&[
        "   0s sending     push 41..=41 (1)",
        "   0s sending     load 41",
        "   0s sending     ",
        "   0s sending     push 41..=41 (1)",
        "   0s backing_off note peer; arm 1s",
    ]);
}

#[test]
fn hole_below_retained_skips_and_renumbers() {
    let mut bench = Bench::new(|_, record| record.outbound.acked = Index(40));
    bench.queue(1).hole(3).step(PeerEvent::Loaded { from: Index(3), rows: Ok(vec![]) });
    let rows = bench.rows(30, 41);
    let mut bench = Bench::new(|_, record| record.outbound.acked = Index(40));
    bench.queue(1).hole(3).step(PeerEvent::Loaded { from: Index(3), rows: Ok(rows) }).load(30, 41).check(&[
        "   0s sending     push 41..=41 (1)",
        "   0s sending     load 3",
        "   0s sending     commit gap 3..=29+notice+peer; load 30",
        "   0s sending     push 3..=5 (3) settled",
    ]);
}

#[test]
fn receiver_ahead_renumbers_after_commit() {
    let mut bench = Bench::new(|_, record| record.outbound.acked = Index(4));
    bench.queue(2).hole(100).load(5, 6).ok(101).check(&[
        "   0s sending     push 5..=6 (2)",
        "   0s sending     commit notice+peer; load 5",
        "   0s sending     push 100..=101 (2) settled",
        "   0s idle        note trim<=6+peer",
    ]);
}

#[test]
fn excessive_hole_number_suspends_peer() {
    Bench::new(|_, _| ()).queue(1).hole(2_000_000).check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s suspended   commit event(suspended ahead_of_us)+peer; arm 2592000s",
    ]);
}

#[test]
fn requested_wait_is_no_failure() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(1).reply(Ack::Wait(Duration::from_secs(600))).at(10).contact().at(600).step(PeerEvent::TimerFired);
    bench.load(1, 1).check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s waiting     commit peer; arm 600s",
        "  10s waiting     answer",
        " 600s sending     load 1",
        " 600s sending     push 1..=1 (1)",
    ]);
    assert_eq!(bench.machine.status().failures, 0);
}

#[test]
fn excessive_wait_is_clamped() {
    let mut bench = Bench::new(|limits, _| limits.wait_max = Duration::from_secs(60));
    bench
        .queue(1)
        .reply(Ack::Wait(Duration::from_secs(1_000_000)))
        .check(&["   0s sending     push 1..=1 (1)", "   0s waiting     commit peer; arm 60s"]);
}

#[test]
fn repeated_failures_suspend_until_success() {
    let mut bench = Bench::new(|limits, _| limits.failures_to_suspend = 3);
    bench.queue(1).unreachable().at(1).step(PeerEvent::TimerFired).load(1, 1).unreachable();
    bench
        .at(3)
        .step(PeerEvent::TimerFired)
        .load(1, 1)
        .unreachable()
        .at(3603)
        .step(PeerEvent::TimerFired)
        .load(1, 1)
        .unreachable();
    bench.at(7203).step(PeerEvent::TimerFired).load(1, 1).ok(1).check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s backing_off note peer; arm 1s",
        "   1s sending     load 1",
        "   1s sending     push 1..=1 (1)",
        "   1s backing_off note peer; arm 3s",
        "   3s sending     load 1",
        "   3s sending     push 1..=1 (1)",
        "   3s suspended   note event(suspended unreachable)+peer; arm 3603s",
        "3603s sending     load 1",
        "3603s sending     push 1..=1 (1)",
        // The messenger was notified once; a failed probe is not announced.
        "3603s suspended   note peer; arm 7203s",
        "7203s sending     load 1",
        "7203s sending     push 1..=1 (1)",
        "7203s idle        note event(sending )+trim<=1+peer",
    ]);
}

#[test]
fn contact_advances_retry_once_per_period() {
    let mut bench = Bench::new(|_, record| record.outbound.failures = 9);
    bench.queue(1).unreachable().at(10).contact().load(1, 1).unreachable().at(11).contact().check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s backing_off note peer; arm 512s",
        "  10s sending     answer; disarm; load 1",
        "  10s sending     push 1..=1 (1)",
        "  10s backing_off note peer; arm 522s",
        "  11s backing_off answer",
    ]);
}

#[test]
fn contact_never_clears_failures() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(1).unreachable().contact().load(1, 1).unreachable();
    assert_eq!(bench.machine.status().failures, 1, "an attempt brought forward is not one more");
    bench.at(2).step(PeerEvent::TimerFired).load(1, 1).unreachable();
    assert_eq!(bench.machine.status().failures, 2);
}

#[test]
fn stale_reply_is_ignored() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(1).unreachable().ok(1).check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s backing_off note peer; arm 1s",
        "   0s backing_off ",
    ]);
    assert_eq!(bench.machine.status().acked, Index(0));
}

#[test]
fn mismatched_ok_never_advances() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(2).ok(1);
    assert_eq!((bench.machine.status().acked, bench.machine.state()), (Index(0), PeerState::BackingOff));
}

#[test]
fn backoff_survives_restart() {
    let mut bench = Bench::new(|_, record| record.outbound.rest = DeliveryState::BackingOff { until: Millis(50_000) });
    bench.at(20).step(PeerEvent::Started).at(50).step(PeerEvent::TimerFired);
    bench.check(&["  20s backing_off arm 50s", "  50s idle        "]);
    let mut bench = Bench::new(|_, record| record.outbound.rest = DeliveryState::BackingOff { until: Millis(50_000) });
    bench.at(60).step(PeerEvent::Started).check(&["  60s idle        "]);
}

#[test]
fn clock_set_back_clamps_deadlines() {
    let day = Millis(86_400_000);
    let suspended = DeliveryState::Suspended { cause: SuspendReason::Unreachable, probe_at: Some(day) };
    for (rest, state) in [
        (DeliveryState::Waiting { until: day }, "waiting    "),
        (DeliveryState::BackingOff { until: day }, "backing_off"),
        (suspended, "suspended  "),
    ] {
        let mut bench = Bench::new(|_, record| record.outbound.rest = rest);
        bench.at(20).step(PeerEvent::Started).check(&[&format!("  20s {state} arm 3620s")]);
    }
}

#[test]
fn waiting_peer_unloads_payloads() {
    let mut bench = Bench::new(|_, _| ());
    bench.queue(1).reply(Ack::Wait(Duration::from_secs(5))).queue(2).at(5).step(PeerEvent::TimerFired);
    bench.check(&[
        "   0s sending     push 1..=1 (1)",
        "   0s waiting     commit peer; arm 5s",
        "   0s waiting     ",
        "   5s sending     load 1",
    ]);
}

#[test]
fn unreadable_page_backs_off() {
    let mut bench = Bench::new(|_, record| record.outbound.acked = Index(1));
    bench.step(PeerEvent::Woken { tail: Index(3), queued_bytes: 0, rows: vec![] });
    bench.step(PeerEvent::Loaded { from: Index(2), rows: Err("disk".into()) });
    bench.check(&["   0s sending     load 2", "   0s backing_off note peer; arm 1s"]);
}

#[test]
fn paused_peer_keeps_queue_and_receives() {
    let mut bench = Bench::new(|limits, _| limits.paused = true);
    bench.step(PeerEvent::Started).queue(1).contact().check(&[
        "   0s suspended   disarm",
        // The expiry of pending items still runs.
        "   0s suspended   arm 2592000s",
        "   0s suspended   answer",
    ]);
}

/// Returns a machine that uses transactions.
fn transactions() -> Bench {
    Bench::new(|limits, _| limits.dialect = DialectSpec::TRANSACTIONS)
}

fn taken(bench: &mut Bench) -> &mut Bench {
    bench.reply(Ack::Taken)
}

use weak::typing;

mod asking;
mod config_change;
mod halving;
mod holes;
mod leaving;
mod listing;
mod orders;
mod parking;
mod receipts;
mod transactions;
mod transition_table;
mod weak;
