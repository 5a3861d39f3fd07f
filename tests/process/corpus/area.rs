//! The rounds of an area: every input gets its verdict each time, and the memory of the gateway stays flat.

use std::time::Duration;

use tokio::time::Instant;

use crate::corpus::table::NamedInput;
use crate::fixtures::node::GatewayProcess;

/// Inputs before memory is measured: caches, pools and the allocator's arenas have their size after them.
const WARM_INPUTS: usize = 300;

/// Time of the same: a checkpoint each second keeps buffers for the next ones, 600 KiB in all, which are there after two of them. The
/// 12,000 inputs after that add less than a thousand do.
const WARM_TIME: Duration = Duration::from_millis(2_500);

/// Inputs between two measurements.
const MEASURED_INPUTS: usize = 1000;

/// Number of times that growth is measured. A leak grows each time; buffers that a checkpoint or a busy thread keeps appear once, at a time
/// that depends on the load of the machine.
const MEASUREMENTS_MAX: usize = 3;

/// Growth of private memory that is no leak, in KiB: pages that the allocator keeps after a large body, whose number depends on which
/// threads were busy at once. It is half a KiB for each input, so an area that kept the head of each request, or a buffer for each
/// connection, would exceed it.
const GROWTH_MAX_KB: u64 = 512;

/// Sends all inputs of an area in several rounds. `judge` returns what is wrong with the answer to an input.
pub(super) async fn repeat_area<I: NamedInput>(
    area: &str,
    inputs: &[I],
    gateway: &mut GatewayProcess,
    judge: impl AsyncFn(&I) -> Result<(), String>,
) {
    let rounds = |count: usize| count.div_ceil(inputs.len());
    let (warm, measured) = (rounds(WARM_INPUTS), rounds(MEASURED_INPUTS));
    let round = async || {
        let mut wrong = vec![];
        for input in inputs {
            if let Err(why) = judge(input).await {
                wrong.push(format!("{}: {why}", input.name()));
            }
        }
        assert!(wrong.is_empty(), "{area}: {} of {}\n{}", wrong.len(), inputs.len(), wrong.join("\n"));
    };
    let (began, mut rounds) = (Instant::now(), 0);
    while rounds < warm || began.elapsed() < WARM_TIME {
        round().await;
        rounds += 1;
    }
    memory_stays_flat(area, inputs.len() * measured, gateway, async || {
        for _ in 0..measured {
            round().await;
        }
    })
    .await;
}

/// Checks that this number of inputs, which `send` sends, adds nothing to the memory of a gateway that has seen all of them.
pub(super) async fn memory_stays_flat(area: &str, count: usize, gateway: &mut GatewayProcess, send: impl AsyncFn()) {
    let mut grown = vec![];
    for _ in 0..MEASUREMENTS_MAX {
        let before = gateway.process().private_kb();
        send().await;
        let growth = gateway.process().private_kb().saturating_sub(before);
        println!("corpus: {area}: {before} KiB, and {growth} KiB more after {count} inputs");
        grown.push(growth);
        if growth <= GROWTH_MAX_KB {
            return;
        }
    }
    panic!("{area}: {grown:?} KiB more, each after {count} inputs");
}
