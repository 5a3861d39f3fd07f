//! `fernpost join-token`: two operators connect their servers by sending each other one line of text.

mod offer;
mod taken;

use clap::Subcommand;

/// Commands for join tokens.
#[derive(Debug, Subcommand)]
pub(super) enum JoinTokenCommand {
    /// Print the line that describes this server, for the operator of another one.
    New(offer::OfferOptions),
    /// Take the line of another server: list it as a peer, reload the gateway, and check the connection.
    Use(taken::TakeOptions),
}

/// Runs a command and returns its exit code.
pub(super) fn run(command: JoinTokenCommand) -> u8 {
    match command {
        JoinTokenCommand::New(options) => offer::run(options),
        JoinTokenCommand::Use(options) => taken::run(options),
    }
}
