//! The rounds of an area: every input gets its verdict each time, and the memory of the gateway stays flat.

use crate::corpus::table::NamedInput;
use crate::fixtures::node::GatewayProcess;

/// Inputs before memory is measured: caches, pools and the allocator's arenas have their size after them.
const WARM_INPUTS: usize = 300;

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
    let mut before = 0;
    for round in 0..warm + measured {
        let mut wrong = vec![];
        for input in inputs {
            if let Err(why) = judge(input).await {
                wrong.push(format!("{}: {why}", input.name()));
            }
        }
        assert!(wrong.is_empty(), "{area}, round {round}: {} of {}\n{}", wrong.len(), inputs.len(), wrong.join("\n"));
        if round + 1 == warm {
            before = gateway.process().private_kb();
        }
    }
    let after = gateway.process().private_kb();
    let grown = after.saturating_sub(before);
    let count = inputs.len() * measured;
    println!("corpus: {area}: {before} KiB, and {grown} KiB more after {count} inputs");
    assert!(grown <= GROWTH_MAX_KB, "{area}: {grown} KiB more after {count} inputs");
}
