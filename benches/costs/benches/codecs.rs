//! Times of the codecs: pushes, transactions and canonical JSON.

use std::hint::black_box;

use actors::limits::PairOrder;
use actors::model::DialectSpec;
use actors::testkit::at_once;
use costs::{PeerReads, texts};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fernpost::json::canonical_object::CanonicalObject;
use fernpost::wire::{transactions, updates};
use fixtures::peers::{red, server};

/// Items of a request.
const ITEMS: u64 = 50;

fn codecs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codecs");
    group.throughput(Throughput::Elements(ITEMS));
    let reads = PeerReads::default();

    let push = texts::push(1, ITEMS);
    group.bench_function("read push", |bench| bench.iter(|| at_once(reads.push(black_box(&push)))));
    let batch = texts::batch(server("green"), DialectSpec::UPDATES, 1, ITEMS);
    group.bench_function("write push", |bench| bench.iter(|| updates::envelope::encode(black_box(&batch))));

    let transaction = texts::transaction(1, ITEMS);
    group.bench_function("read transaction", |bench| {
        bench.iter(|| at_once(reads.transaction(1, black_box(&transaction))));
    });
    let batch = texts::batch(server("green"), DialectSpec::TRANSACTIONS, 1, ITEMS);
    group.bench_function("write transaction", |bench| {
        bench.iter(|| transactions::envelope::encode(&red(), black_box(&batch), PairOrder::OriginFirst));
    });
    group.finish();

    let pdu = String::from_utf8(texts::pdu(2).to_vec()).expect("text");
    let canonical = |text: &str| CanonicalObject::read(text).expect("an object").text_without(&["signatures"]);
    criterion.bench_function("canonical JSON of a PDU", |bench| bench.iter(|| canonical(black_box(&pdu))));
}

criterion_group!(benches, codecs);
criterion_main!(benches);
