//! `fernpost log`: the level of a running gateway's log.

use clap::Args;

use crate::api::configuration::{LogLevelDetails, LogLevelRequest, PassingLevelDetails};
use crate::cli::admin_client::{AdminArgs, print_json};
use crate::cli::print;
use crate::terminal::exit_code::FINE;

/// Arguments of `log`.
#[derive(Debug, Args)]
pub(in crate::cli) struct LogLevelOptions {
    /// Level (error, warn, info, debug, trace, off) or filter such as info,actors=debug; without it the levels in force are shown.
    level: Option<String>,
    /// Log the lines about this peer by LEVEL, beside those of the standing level.
    #[arg(long, value_name = "NAME", requires = "level")]
    peer: Option<String>,
    /// Time after which the standing level is in force again, at most 24h.
    #[arg(long = "for", value_name = "TIME", default_value = "10m")]
    time: String,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Shows or sets the level.
pub(in crate::cli) fn run(options: LogLevelOptions) -> u8 {
    let LogLevelOptions { level, peer, time, admin } = options;
    admin.run(async |gateway, json| {
        let answer = match level {
            None => gateway.get("/log").await?,
            Some(level) => {
                let asked = LogLevelRequest { level, peer, time };
                gateway.post("/log", serde_json::to_string(&asked).expect("texts always serialize")).await?
            }
        };
        match json {
            true => Ok(print_json(&answer)),
            false => Ok(print(&in_words(&gateway.read(&answer)?), FINE)),
        }
    })
}

fn in_words(LogLevelDetails { standing, passing, .. }: &LogLevelDetails) -> String {
    match passing {
        None => format!("{standing}\n"),
        Some(PassingLevelDetails { level, peer: None, until }) => format!("{level} until {until}, then {standing}\n"),
        Some(PassingLevelDetails { level, peer: Some(peer), until }) => {
            format!("{standing}, and {level} about {peer} until {until}\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_tell_when_level_ends() {
        let said = |peer: Option<&str>| {
            let passing = PassingLevelDetails {
                level: "debug".to_owned(),
                peer: peer.map(str::to_owned),
                until: "2026-01-02T03:04:05.678Z".to_owned(),
            };
            in_words(&LogLevelDetails { standing: "info".to_owned(), format: "text".into(), passing: Some(passing) })
        };
        assert_eq!(said(None), "debug until 2026-01-02T03:04:05.678Z, then info\n");
        assert_eq!(said(Some("blue")), "info, and debug about blue until 2026-01-02T03:04:05.678Z\n");
    }
}
