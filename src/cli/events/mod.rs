//! `fernpost events`: the feed of the messenger, as an operator reads it.

mod tail;

use clap::Subcommand;

/// Commands for the feed.
#[derive(Debug, Subcommand)]
pub(super) enum EventsCommand {
    /// Print the events of the feed as they come. Nothing is acknowledged: the messenger reads the same events.
    Tail(tail::EventsTail),
}

/// Runs a command and returns its exit code.
pub(super) fn run(command: EventsCommand) -> u8 {
    match command {
        EventsCommand::Tail(options) => tail::run(options),
    }
}
