//! `fernpost demo`: three gateways with a sample messenger each, in one process, on loopback, with temporary data.
//!
//! Red and blue exchange updates with each other; green exchanges transactions with both. The gateways are real: real
//! stores, real HTTP between them, the same code as `serve`. Only the messengers are samples: a chat page each, or with
//! `--terminal` one terminal for all three.

mod chat_terminal;
mod cluster;
mod conversation;
mod gateway;
mod graph;
mod names;
mod network;
mod page;
mod script;
mod table;
mod talk;
mod terminal_editor;
mod toy;
mod typed;

use clap::Args;
use tokio::signal::unix::SignalKind;

use self::cluster::DemoCluster;
use self::terminal_editor::TerminalModes;
use crate::telemetry;
use crate::terminal::exit_code::{COULD_NOT_RUN, FINE};
use crate::terminal::output::remark;

/// Options of the demo.
#[derive(Debug, Args)]
pub(crate) struct DemoOptions {
    /// Run a scripted exchange with outages, verify every side, and exit with 0 or 1: updates between red and blue,
    /// then messages among all three with replies in two contexts.
    #[arg(long)]
    check: bool,
    /// With `--check`: number of updates in each direction.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(4..=100_000), requires = "check")]
    updates: u32,
    /// With `--check`: total number of messages.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(12..=100_000), requires = "check")]
    messages: u32,
    /// With `--check`: draw the graph of the first context.
    #[arg(long, requires = "check")]
    graph: bool,
    /// Send and receive in this terminal, instead of a page for each server.
    #[arg(long, conflicts_with = "check")]
    terminal: bool,
    /// Print the addresses of the pages and the listeners as one line of JSON.
    #[arg(long, conflicts_with_all = ["check", "terminal"])]
    json: bool,
}

pub(crate) fn run(options: &DemoOptions) -> u8 {
    if let Err(error) = telemetry::start("off") {
        remark!("the demo cannot run: the log thread cannot start: {error}");
        return COULD_NOT_RUN;
    }
    let modes = TerminalModes::read();
    actix::System::new().block_on(async {
        let outcome = tokio::select! {
            outcome = demo(options) => outcome,
            // The gateways and their temporary folders have been dropped. The process exits here, because a pending
            // read of the terminal would block the end of the runtime until the next key.
            () = stopped() => {
                modes.restore();
                std::process::exit(if options.check { COULD_NOT_RUN } else { FINE }.into())
            }
        };
        outcome.unwrap_or_else(|error| {
            remark!("the demo cannot run: {error:#}");
            COULD_NOT_RUN
        })
    })
}

/// Waits for INT or TERM.
async fn stopped() {
    let mut term = match tokio::signal::unix::signal(SignalKind::terminate()) {
        Ok(term) => term,
        // The default of TERM, which ends the process, stays in effect then.
        Err(_) => return drop(tokio::signal::ctrl_c().await),
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
}

async fn demo(options: &DemoOptions) -> anyhow::Result<u8> {
    match options {
        DemoOptions { check: true, .. } => check(options).await,
        DemoOptions { terminal: true, .. } => talk::run().await,
        DemoOptions { json, .. } => page::run(*json).await,
    }
}

async fn check(options: &DemoOptions) -> anyhow::Result<u8> {
    let mut trio = DemoCluster::start().await?;
    let updates = script::run(&mut trio, options.updates).await;
    let messages = match updates {
        Ok(_) => conversation::run(&mut trio, options.messages, options.graph).await,
        Err(_) => Ok(COULD_NOT_RUN),
    };
    trio.stop().await;
    // The worse of the two results; each half has printed its own table.
    Ok(updates?.max(messages?))
}
