//! `fernpost check`: what is wrong, before it hurts.

use super::{FINE, Source, WRONG, print};

/// Reads the configuration as `serve` does.
pub(super) fn config(source: Source) -> u8 {
    let file = source.config.display().to_string();
    match source.load() {
        Ok(settings) => {
            use actors::ports::Roster;
            let peers = settings.peers.listed();
            print(&format!("{file}: fine; {} with {} peer(s)\n", settings.server.name, peers.len()), FINE)
        }
        Err(problems) => print(&format!("{problems}\n"), WRONG),
    }
}
