//! Times of the store on a file: the commit of a group, a page of the feed, a page of an outbox.

use std::hint::black_box;

use actors::model::{Index, Position};
use actors::ports::PeerReader;
use costs::CoreWorld;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fixtures::peers::green;
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

/// Rows of the table of which a page is read.
const ROWS: u64 = 10_000;

/// Rows of a page.
const PAGE: u32 = 1000;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime")
}

fn commits(criterion: &mut Criterion) {
    let (runtime, local) = (runtime(), LocalSet::new());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut world = local.block_on(&runtime, async { CoreWorld::on_disk(folder.path()) });
    let mut group = criterion.benchmark_group("commit of a group");
    for count in [1, 50, 1000] {
        group.throughput(Throughput::Elements(count));
        group.bench_function(format!("{count} updates"), |bench| {
            bench.iter(|| local.block_on(&runtime, world.submit(count)));
        });
    }
    group.finish();
}

fn pages(criterion: &mut Criterion) {
    let (runtime, local) = (runtime(), LocalSet::new());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let world = local.block_on(&runtime, async {
        let mut world = CoreWorld::without_answers(folder.path());
        for _ in 0..ROWS / 500 {
            world.take_push(500).await;
            world.submit(500).await;
        }
        world
    });
    let mut group = criterion.benchmark_group("pages");
    group.throughput(Throughput::Elements(PAGE.into()));
    group.bench_function("feed", |bench| {
        bench.iter(|| local.block_on(&runtime, world.read_feed(black_box(Position(ROWS / 2)), PAGE)));
    });
    group.bench_function("outbox", |bench| {
        bench.iter(|| {
            let read = world.store().outbox_from(&green(), black_box(Index(ROWS / 2)), PAGE, u64::MAX);
            local.block_on(&runtime, read).expect("it reads").len()
        });
    });
    group.finish();
}

criterion_group!(benches, commits, pages);
criterion_main!(benches);
