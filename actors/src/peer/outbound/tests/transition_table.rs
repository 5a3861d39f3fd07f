//! The transition table of the outbound state: every state, driven through every event, printed and compared with a
//! snapshot. The diagram in the module's documentation must have the same edges.

use std::collections::BTreeSet;

use super::*;
use crate::limits::PeerListing;
use crate::model::{ContextId, FetchRequest, PduRef, RemovalFate};
use crate::peer::effect::Pull;
use crate::peer::fetch_budget::FetchCost;
use crate::peer::inbound::dispatch::{ContextGroup, DispatchError};
use crate::peer::inbound::forwards::forward_run::RunPlace;
use crate::peer::outbound::relay::RelayEvent;

/// A day before the oldest item of these peers expires, in seconds.
const BEFORE_EXPIRY: u64 = 29 * 86_400;

const fn name_of(state: &OutboundState) -> &'static str {
    match state {
        OutboundState::Idle => "Idle",
        OutboundState::Loading => "Loading",
        OutboundState::Sending { .. } => "Sending",
        OutboundState::Waiting { .. } => "Waiting",
        OutboundState::BackingOff { .. } => "BackingOff",
        OutboundState::Suspended { .. } => "Suspended",
    }
}

fn state_of(machine: &PeerMachine) -> &'static str {
    name_of(machine.outbound().progress.state())
}

fn fresh() -> Bench {
    Bench::new(|_, _| ())
}

/// Returns a peer with two items in flight.
fn at_work() -> Bench {
    let mut bench = fresh();
    bench.queue(2);
    bench
}

/// Returns a peer that is not listed, with one pending item and this stored state.
fn unlisted(rest: DeliveryState) -> Bench {
    let mut bench = Bench::queued(1, |limits, record| {
        limits.listing = PeerListing::NotListed;
        record.outbound.rest = rest;
    });
    copy_of(bench.step(PeerEvent::Started))
}

fn copy_of(bench: &mut Bench) -> Bench {
    bench.clone()
}

/// Returns every state, with the distinctions on which its transitions depend.
fn states() -> Vec<(&'static str, Bench)> {
    let suspends = || {
        let mut bench = Bench::new(|limits, _| limits.failures_to_suspend = 1);
        bench.queue(2);
        bench
    };
    let wait = Ack::Wait(Duration::from_secs(600));
    let probing = copy_of(suspends().unreachable().at(3600).step(PeerEvent::TimerFired));
    vec![
        ("Idle", copy_of(fresh().step(PeerEvent::Started))),
        ("Loading", copy_of(Bench::queued(3, |_, _| ()).step(PeerEvent::Started))),
        ("Loading, to probe", probing.clone()),
        ("Sending items", at_work()),
        ("Sending items again", copy_of(at_work().hole(1).load(1, 2))),
        ("Sending one refused item", copy_of(at_work().fail(refused(422)))),
        ("Sending ephemeral items", copy_of(typing(&mut fresh()))),
        ("Sending a probe", copy_of(probing.clone().load(1, 1))),
        ("Sending items, not listed since", {
            let gone = limits_with(|limits| limits.listing = PeerListing::NotListed);
            copy_of(at_work().step(PeerEvent::LimitsChanged(gone)))
        }),
        ("Sending a confirmation", {
            let mut bench = Bench::queued(1, |_, _| ());
            copy_of(bench.step(PeerEvent::Started).load(1, 1).fail(refused(422)))
        }),
        ("Waiting", copy_of(at_work().reply(wait))),
        ("Waiting, ephemeral items queued", copy_of(typing(&mut fresh()).reply(wait))),
        ("Waiting, nothing queued", {
            let rest = DeliveryState::Waiting { until: Millis(600_000) };
            copy_of(Bench::new(|_, record| record.outbound.rest = rest).step(PeerEvent::Started))
        }),
        ("BackingOff", copy_of(at_work().unreachable())),
        ("BackingOff, contacted", copy_of(at_work().unreachable().contact().load(1, 2).unreachable())),
        ("BackingOff, nothing queued", copy_of(typing(&mut fresh()).unreachable())),
        ("Suspended unreachable", copy_of(suspends().unreachable())),
        ("Suspended unreachable, nothing queued", {
            copy_of(typing(&mut Bench::new(|limits, _| limits.failures_to_suspend = 1)).unreachable())
        }),
        ("Suspended refused", copy_of(at_work().fail(refused(403)))),
        ("Suspended ahead_of_us", copy_of(at_work().hole(2_000_000))),
        ("Suspended admin", copy_of(at_work().order(PeerCommand::Suspend))),
        ("Suspended admin, nothing queued", copy_of(fresh().order(PeerCommand::Suspend))),
        ("Suspended not_listed", unlisted(DeliveryState::Ready)),
        ("Suspended not_listed, waiting below", unlisted(DeliveryState::Waiting { until: Millis(600_000) })),
        ("Suspended not_listed, backing off below", unlisted(DeliveryState::BackingOff { until: Millis(600_000) })),
        ("Suspended faulty", copy_of(fresh().step(PeerEvent::RestartsExhausted))),
    ]
}

/// Every variant of the event enum has a name; a new one does not compile until [`events`] has it.
const fn event_name(event: &PeerEvent) -> &'static str {
    match event {
        PeerEvent::Started => "Started",
        PeerEvent::RestartsExhausted => "RestartsExhausted",
        PeerEvent::Accept(..) => "Accept",
        PeerEvent::Dispatched(..) => "Dispatched",
        PeerEvent::Forwarded(..) => "Forwarded",
        PeerEvent::Weak(_) => "Weak",
        PeerEvent::Fetch(..) => "Fetch",
        PeerEvent::Ask(..) => "Ask",
        PeerEvent::Spent(_) => "Spent",
        PeerEvent::Pulled(..) => "Pulled",
        PeerEvent::Woken { .. } => "Woken",
        PeerEvent::Loaded { .. } => "Loaded",
        PeerEvent::Replied { .. } => "Replied",
        PeerEvent::Operator(..) => "Operator",
        PeerEvent::TimerFired => "TimerFired",
        PeerEvent::AskDue => "AskDue",
        PeerEvent::Relay(_) => "Relay",
        PeerEvent::LimitsChanged(_) => "LimitsChanged",
        PeerEvent::MessengerTook(_) => "MessengerTook",
        PeerEvent::ItemsFound { .. } => "ItemsFound",
    }
}

/// Number of variants of the event enum, as [`event_name`] counts them.
const EVENTS: usize = 20;

/// Returns the events for a state, each with the detail that distinguishes it from others of its variant, and its time in
/// seconds.
fn events(bench: &Bench) -> Vec<(String, PeerEvent, u64)> {
    let (now, attempt, tail) = (bench.now.0 / 1000, bench.attempt, bench.tail);
    let first = bench.machine.status().acked.0 + 1;
    let context = || -> ContextId { "#room".parse().expect("valid") };
    let (us, green): (ServerName, ServerName) = ("us".parse().expect("valid"), "green".parse().expect("valid"));
    let want = || FetchRequest::Pdu(PduRef { origin: green.clone(), id: "a".parse().expect("valid") });
    let mut events = vec![];
    let mut add = |detail: &str, event: PeerEvent, time: u64| {
        let name = [event_name(&event), detail].join(" ").trim_end().to_owned();
        events.push((name, event, time));
    };
    add("", PeerEvent::Started, now);
    add("", PeerEvent::RestartsExhausted, now);
    let push = letter_push(None, 0, "");
    add("", PeerEvent::Accept(InboundBatch::Push(push, ReplyToken::new(1)), UnknownContexts::default()), now);
    let group = ContextGroup { context: context(), places: vec![0], is_bridged: false };
    add("", PeerEvent::Dispatched(group, Err(DispatchError::Late)), now);
    add("", PeerEvent::Forwarded(RunPlace { batch: 0, first: 0 }, Ok(Ack::Ok(Seq(1)).into())), now);
    let edu = || Edu { kind: "typing".into(), content: Bytes::from_static(b"{}") };
    add("", PeerEvent::Weak(EphemeralItem { key: None, until: Millis(u64::MAX), edu: edu(), states_ttl: false }), now);
    add("", PeerEvent::Fetch(context(), want(), us), now);
    add("", PeerEvent::Ask(context(), want(), green.clone()), now);
    add("", PeerEvent::Spent(FetchCost { items: 1, bytes: 0, time: Duration::ZERO }), now);
    let pull = Pull { after: 1, page: 1, catch_up: false };
    add("", PeerEvent::Pulled(pull, Err(PushFailure::TimedOut), UnknownContexts::default()), now);
    let rows = bench.rows(tail + 1, tail + 1);
    add("new", PeerEvent::Woken { tail: Index(tail + 1), queued_bytes: 2 * tail + 2, rows }, now);
    add("new, not read", PeerEvent::Woken { tail: Index(tail + 1), queued_bytes: 2 * tail + 2, rows: vec![] }, now);
    add("known", PeerEvent::Woken { tail: Index(tail), queued_bytes: 2 * tail, rows: vec![] }, now);
    let from = Index(first);
    add("rows", PeerEvent::Loaded { from, rows: Ok(bench.rows(first, tail)) }, now);
    add("none", PeerEvent::Loaded { from, rows: Ok(vec![]) }, now);
    add("error", PeerEvent::Loaded { from, rows: Err("disk".into()) }, now);
    add("expired", PeerEvent::Loaded { from, rows: Ok(bench.rows(first, tail)) }, BEFORE_EXPIRY + 2 * 86_400);
    let last = match *bench.machine.outbound().progress.state() {
        OutboundState::Sending { label: BatchId::SeqRange { last, .. }, .. } => last,
        _ => Seq(tail),
    };
    let hole = |expected: u64, conflict| Ack::Hole { expected: Seq(expected), conflict };
    for (detail, ack) in [
        ("ok", Ack::Ok(last)),
        ("ok with another number", Ack::Ok(Seq(last.0 + 1))),
        ("hole", hole(first, false)),
        ("hole at 0", hole(0, false)),
        ("hole above", hole(last.0 + 10, false)),
        ("hole far above", hole(2_000_000, false)),
        ("conflict", hole(last.0, true)),
        ("wait", Ack::Wait(Duration::from_secs(60))),
        ("taken", Ack::Taken),
        ("taken unparsed", Ack::AcceptedUnparsedBody),
    ] {
        let outcome =
            Ok(PushResponse { ack, window: Some(100), refused: vec![], receipts: PeerReceipts::NONE, reason: None });
        add(detail, PeerEvent::Replied { attempt, outcome }, now);
    }
    let troubled = |status, retry_after| PushFailure::Troubled { status, reason: "no".into(), retry_after };
    for (detail, failure) in [
        ("400", refused(400)),
        ("403", refused(403)),
        ("413", refused(413)),
        ("429", troubled(429, None)),
        ("503", troubled(503, None)),
        ("503 retry-after", troubled(503, Some(Duration::from_secs(60)))),
        ("unreachable", PushFailure::Unreachable("no".into())),
        ("broken", PushFailure::Broken("no".into())),
        ("timed out", PushFailure::TimedOut),
        ("redirected", PushFailure::Redirected { status: 307 }),
        ("answer too large", PushFailure::AnswerTooLarge { limit: "a limit", bytes_max: 1 }),
        ("unreadable", PushFailure::Unreadable("no".into())),
    ] {
        add(detail, PeerEvent::Replied { attempt, outcome: Err(failure) }, now);
    }
    add("of an earlier attempt", PeerEvent::Replied { attempt: u64::MAX, outcome: Err(PushFailure::TimedOut) }, now);
    let message = "m1".parse().expect("valid");
    for (detail, command) in [
        ("suspend", PeerCommand::Suspend),
        ("resume", PeerCommand::Resume),
        ("retry", PeerCommand::Retry),
        ("expect", PeerCommand::Expect { number: Seq(9), yes: false }),
        ("renumber", PeerCommand::Renumber { number: Seq(9), yes: false }),
        ("renumber far above", PeerCommand::Renumber { number: Seq(2_000_000), yes: false }),
        ("drop", PeerCommand::Drop { message, first: from, last: Index(tail), fate: RemovalFate::TAKEN_OUT }),
    ] {
        add(detail, PeerEvent::Operator(ReplyToken::new(2), command), now);
    }
    add("by a clock set back", PeerEvent::TimerFired, now);
    if let Some(due) = bench.machine.status().next_attempt {
        add("in time", PeerEvent::TimerFired, due.0 / 1000);
    }
    add("after expiry", PeerEvent::TimerFired, BEFORE_EXPIRY + 86_400);
    add("", PeerEvent::AskDue, now);
    add("", PeerEvent::Relay(RelayEvent::Due), now);
    let limits = |change: fn(&mut PeerLimits)| PeerEvent::LimitsChanged(limits_with(change));
    // Receipts are off here; `peer/tests/two_machines.rs` has them on.
    add("", PeerEvent::MessengerTook(PeerReceipts::NONE), now);
    add("", PeerEvent::ItemsFound { taken: vec![], rejected: vec![] }, now);
    add("to listed", limits(|_| ()), now);
    add("to not listed", limits(|limits| limits.listing = PeerListing::NotListed), now);
    add("to paused", limits(|limits| limits.paused = true), now);
    events
}

const fn effect_kind(effect: &PeerEffect) -> &'static str {
    match effect {
        PeerEffect::Commit(_, CommitPriority::Now) => "commit",
        PeerEffect::Commit(_, CommitPriority::Deferred) => "note",
        PeerEffect::Answer(..) => "answer",
        PeerEffect::Report(_) => "report",
        PeerEffect::Decline(..) => "decline",
        PeerEffect::Restart(_) => "restart",
        PeerEffect::Dispatch { .. } | PeerEffect::DispatchMessages { .. } => "dispatch",
        PeerEffect::TellStaged(_) => "tell staged",
        PeerEffect::HandOver(_) => "hand over",
        PeerEffect::Relay(_) => "relay",
        PeerEffect::RelayAt(_) => "relay at",
        PeerEffect::TellRelayRefused(..) => "tell relay refused",
        PeerEffect::CountForward(..) => "count forward",
        PeerEffect::FetchFromPeer { .. } => "fetch",
        PeerEffect::Pull(_) => "pull",
        PeerEffect::DelegateFetch { .. } => "delegate",
        PeerEffect::FetchDeclined { .. } => "fetch declined",
        PeerEffect::Push { settled: true, .. } => "push settled",
        PeerEffect::Push { settled: false, .. } => "push",
        PeerEffect::Abort => "abort",
        PeerEffect::Load(_) => "load",
        PeerEffect::Arm(_) => "arm",
        PeerEffect::Disarm => "disarm",
        PeerEffect::AskAt(_) => "ask at",
        PeerEffect::FindItems { .. } => "find items",
        PeerEffect::CountReceipts(..) => "count receipts",
    }
}

/// Returns the printed table, and its edges from one state to another. Events without effect in a state share a line.
fn table() -> (String, BTreeSet<(&'static str, &'static str)>) {
    let (mut lines, mut edges) = (vec![], BTreeSet::new());
    for (title, bench) in states() {
        let from = state_of(&bench.machine);
        assert!(title.starts_with(from), "{title} is {from}");
        lines.push(title.to_owned());
        let mut idle = vec![];
        for (name, event, secs) in events(&bench) {
            let mut machine = bench.machine.clone();
            let effects = machine.step(StepInput { now: Millis(secs * 1000), jitter_roll: 0.5 }, event);
            let to = state_of(&machine);
            if to == from && effects.is_empty() {
                idle.push(name);
                continue;
            }
            if to != from {
                edges.insert((from, to));
            }
            let kinds: Vec<&str> = effects.iter().map(effect_kind).collect();
            lines.push(format!("  {name:<30} -> {to:<10}  {}", kinds.join(", ")).trim_end().to_owned());
        }
        lines.push(format!("  nothing comes of: {}\n", idle.join(", ")));
    }
    (lines.join("\n"), edges)
}

/// The edges of the diagram in `outbound.rs`: lines of the form `From, From -- cause --> To, To`.
fn diagram() -> BTreeSet<(&'static str, &'static str)> {
    let mut edges = BTreeSet::new();
    for line in include_str!("../../outbound.rs").lines().take_while(|line| line.starts_with("//!")) {
        let line = line.trim_start_matches("//!");
        let Some((from, (_, to))) =
            line.split_once(" -- ").and_then(|(from, rest)| Some((from, rest.split_once("--> ")?)))
        else {
            continue;
        };
        for from in from.split(',').map(str::trim) {
            edges.extend(to.split(',').map(|to| (from, to.trim())));
        }
    }
    edges
}

#[test]
fn transition_table_matches_snapshot() {
    let (table, _) = table();
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("transitions", table);
    });
}

#[test]
fn diagram_shows_every_transition() {
    let (_, edges) = table();
    assert_eq!(diagram(), edges, "left: the diagram in outbound.rs; right: what the machine does");
}

#[test]
fn transition_table_covers_every_event() {
    for (title, bench) in states() {
        let names: BTreeSet<&str> = events(&bench).iter().map(|(_, event, _)| event_name(event)).collect();
        assert_eq!(names.len(), EVENTS, "{title}: {names:?}");
    }
}
