//! Times of the machines: the outbound half of a peer alone, and contexts within a core on a store in memory.

use std::hint::black_box;
use std::sync::Arc;

use actors::limits::PeerLimits;
use actors::model::{Ack, BatchId, Index, Millis, OutboxRow, PeerReceipts, PeerSnapshot, PushResponse, ServerName};
use actors::peer::effect::PeerEffect;
use actors::peer::machine::{PeerEvent, PeerMachine};
use actors::peer::outbound::StepInput;
use costs::{CoreWorld, texts};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use fixtures::peers::{green, server};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

/// Items of a request.
const ITEMS: u64 = 50;

/// Rows that wait for a peer.
const WAITING: u64 = 1000;

const NOW: StepInput = StepInput { now: Millis(1_700_000_000_000), jitter_roll: 0.5 };

fn machine(of: &ServerName) -> PeerMachine {
    let load = PeerSnapshot {
        record: None,
        tail: Index(0),
        queued_bytes: 0,
        digests: vec![],
        seen: vec![],
        last_error: None,
        forwards: vec![],
    };
    let mut machine = PeerMachine::new(server("blue"), of.clone(), &Arc::new(PeerLimits::default()), load);
    machine.step(NOW, PeerEvent::Started);
    machine
}

/// Queues rows and answers every push and every read of rows, until nothing is left to send; returns the number of pushes.
fn deliver(mut machine: PeerMachine, rows: &[OutboxRow]) -> u64 {
    let (tail, queued_bytes) = rows.last().map_or((Index(0), 0), |row| (row.index, row.queued_bytes));
    let mut effects = machine.step(NOW, PeerEvent::Woken { tail, queued_bytes, rows: rows.to_vec() });
    let mut pushes = 0;
    while let Some(event) = effects.iter().find_map(|effect| answer(effect, rows)) {
        pushes += u64::from(matches!(event, PeerEvent::Replied { .. }));
        effects = machine.step(NOW, event);
    }
    pushes
}

/// Returns the answer of a peer that takes everything, or of the store.
fn answer(effect: &PeerEffect, rows: &[OutboxRow]) -> Option<PeerEvent> {
    match effect {
        PeerEffect::Push { attempt, frame, .. } => {
            let BatchId::SeqRange { last, .. } = frame.label else { return None };
            let (ack, receipts) = (Ack::Ok(last), PeerReceipts::NONE);
            let answer = PushResponse { ack, window: Some(1000), refused: vec![], receipts, reason: None };
            Some(PeerEvent::Replied { attempt: *attempt, outcome: Ok(answer) })
        }
        PeerEffect::Load(from) => {
            let wanted = rows.iter().filter(|row| row.index >= *from).cloned().collect();
            Some(PeerEvent::Loaded { from: *from, rows: Ok(wanted) })
        }
        _ => None,
    }
}

fn machines(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("machines");
    group.throughput(Throughput::Elements(WAITING));
    group.bench_function("outbound half of a peer", |bench| {
        let (fresh, rows) = (machine(&green()), (1..=WAITING).map(texts::outbox_row).collect::<Vec<_>>());
        assert!(deliver(fresh.clone(), &rows) > 0, "nothing was sent");
        bench.iter_batched(|| fresh.clone(), |machine| deliver(machine, black_box(&rows)), BatchSize::SmallInput);
    });
    group.throughput(Throughput::Elements(ITEMS));
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    for name in ["compose in a context", "take into a context"] {
        let local = LocalSet::new();
        let mut world = local.block_on(&runtime, async {
            let mut world = CoreWorld::in_memory();
            world.create_context().await;
            world
        });
        group.bench_function(name, |bench| {
            bench.iter(|| {
                local.block_on(&runtime, async {
                    match name.starts_with("compose") {
                        true => world.compose(ITEMS).await,
                        false => world.take_transaction(ITEMS).await,
                    }
                    world.at_rest().await;
                });
            });
        });
    }
    group.finish();
}

criterion_group!(benches, machines);
criterion_main!(benches);
