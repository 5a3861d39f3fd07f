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

/// Inputs between the two measurements.
const MEASURED_INPUTS: usize = 1000;

/// Growth of private memory that is no leak, in KiB: pages that the allocator keeps after a large body, whose number depends on which
/// threads were busy at once. It is half a KiB for each input, so an area that kept the head of each request, or a buffer for each
/// connection, would exceed it.
pub(super) const GROWTH_MAX_KB: u64 = 512;

/// Sends all inputs of an area in several rounds. `judge` returns what is wrong with the answer to an input.
pub(super) async fn repeat_area<I: NamedInput>(
    area: &str,
    inputs: &[I],
    gateway: &mut GatewayProcess,
    judge: impl AsyncFn(&I) -> Result<(), String>,
) {
    let rounds = |count: usize| count.div_ceil(inputs.len());
    let (warm, measured) = (rounds(WARM_INPUTS), rounds(MEASURED_INPUTS));
    let (began, mut before, mut left, mut round) = (Instant::now(), None, measured, 0);
    while left > 0 {
        round += 1;
        if before.is_some() {
            left -= 1;
        }
        let mut wrong = vec![];
        for input in inputs {
            if let Err(why) = judge(input).await {
                wrong.push(format!("{}: {why}", input.name()));
            }
        }
        assert!(wrong.is_empty(), "{area}, round {round}: {} of {}\n{}", wrong.len(), inputs.len(), wrong.join("\n"));
        if before.is_none() && round >= warm && began.elapsed() >= WARM_TIME {
            before = Some(gateway.process().private_kb());
        }
    }
    let (before, after) = (before.unwrap_or_default(), gateway.process().private_kb());
    let grown = after.saturating_sub(before);
    let count = inputs.len() * measured;
    println!("corpus: {area}: {before} KiB, and {grown} KiB more after {count} inputs");
    assert!(grown <= GROWTH_MAX_KB, "{area}: {grown} KiB more after {count} inputs");
}
