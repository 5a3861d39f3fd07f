//! `fernpost check`: what is wrong, before it hurts.

use super::words::counted;
use super::{COULD_NOT_RUN, FINE, Source, WRONG, print};

/// Reads the configuration as `serve` does.
pub(super) fn config(source: Source) -> u8 {
    let file = source.config.display().to_string();
    match source.load() {
        Ok(settings) => {
            use actors::ports::Roster;
            settings.notes.iter().for_each(|note| eprintln!("{note}"));
            let peers = settings.peers.listed();
            print(
                &format!("{file}: fine; {} with {}\n", settings.server.name, counted(peers.len() as u64, "peer")),
                FINE,
            )
        }
        Err(problems) if problems.is_unread() => {
            eprintln!("{problems}");
            COULD_NOT_RUN
        }
        Err(problems) => print(&format!("{problems}\n"), WRONG),
    }
}
