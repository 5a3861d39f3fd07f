//! `fernpost demo`: two gateways and a toy messenger each, in one process, on loopback, with temporary data.
//!
//! The gateways are real: real stores, real HTTP between them, the same code as `serve`. Only the messengers are toys.

mod gateway;
mod script;
mod talk;
mod toy;

use clap::Args;

use self::gateway::DemoGateway;
use super::{COULD_NOT_RUN, FINE};
use crate::telemetry;

/// What the demo does.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Send a scripted conversation of 500 updates each way with an outage in the middle, verify both sides, and exit 0 or 1.
    #[arg(long)]
    check: bool,
    /// With `--check`: updates each way.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(4..=100_000), requires = "check")]
    updates: u32,
}

pub(super) fn run(options: &Options) -> u8 {
    telemetry::start("off");
    actix::System::new().block_on(async {
        let outcome = tokio::select! {
            outcome = conversation(options) => outcome,
            // The gateways and their temporary folders are gone by now. An exit, because a read of the terminal that is still
            // open would hold up the runtime's end until the next key.
            _ = tokio::signal::ctrl_c() => std::process::exit(if options.check { COULD_NOT_RUN } else { FINE }.into()),
        };
        outcome.unwrap_or_else(|error| {
            eprintln!("the demo cannot run: {error:#}");
            COULD_NOT_RUN
        })
    })
}

async fn conversation(options: &Options) -> anyhow::Result<u8> {
    match options.check {
        true => script::run(options.updates).await,
        false => talk::run().await,
    }
}

/// Both gateways, running, each a peer of the other.
async fn pair() -> anyhow::Result<(DemoGateway, DemoGateway)> {
    let mut red = DemoGateway::reserve("red")?;
    let mut blue = DemoGateway::reserve("blue")?;
    red.know(&blue);
    blue.know(&red);
    red.start().await?;
    blue.start().await?;
    Ok((red, blue))
}
