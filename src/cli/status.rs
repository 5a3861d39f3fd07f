//! `fernpost status`: the gateway on one screen, with its problems and what to do about each.

use std::fmt::Write;

use clap::Args;

use crate::api::health::status::StatusReport;
use crate::cli::admin_client::{AdminArgs, CommandFailure};
use crate::cli::{print, print_json};
use crate::terminal::exit_code::{FINE, WRONG};
use crate::terminal::format::{ago, count, counted, items, size};

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(super) struct StatusOptions {
    #[command(flatten)]
    admin: AdminArgs,
}

/// Prints the status, and returns the exit code: 1 if the gateway has a problem.
pub(super) fn run(options: StatusOptions) -> u8 {
    options.admin.run(async |gateway, json| {
        let answer = gateway.get("/status").await?;
        let report: StatusReport = gateway.read(&answer)?;
        let code = if report.problems.is_empty() { FINE } else { WRONG };
        Ok::<u8, CommandFailure>(if json { print_json(&answer, code) } else { print(&screen(&report), code) })
    })
}

fn screen(report: &StatusReport) -> String {
    let mut text = String::new();
    let mut line = |head: &str, words: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{head:<13}{words}");
    };
    let state = if report.ready { "ready" } else { "not ready" };
    line(&report.server, &format!("{state}, Fernpost {}, started {} ago", report.version, ago(&report.started)));
    for listener in &report.listeners {
        let tls = if listener.tls { " (TLS)" } else { "" };
        line(&listener.name, &format!("{}{tls}", listener.address));
    }
    let states = report.peers.iter().filter(|(_, peers)| **peers > 0);
    let states: Vec<String> = states.map(|(state, peers)| format!("{} {state}", count(*peers))).collect();
    line("peers", &if states.is_empty() { "none has work".to_owned() } else { states.join(", ") });
    let events = counted(report.unread, "event");
    line("backlog", &format!("{} for peers, {events} for the messenger", items(report.backlog)));
    let free = report.disk_free.map_or_else(|| "unknown".to_owned(), size);
    line("disk", &format!("{free} free, intake stops below {}", size(report.disk_min_free)));
    for certificate in &report.certificates {
        line("certificate", &format!("{} ends in {} days", certificate.subject, certificate.days));
    }
    if report.problems.is_empty() {
        line("problems", "none");
    }
    for problem in &report.problems {
        let _ = writeln!(text, "\n{}: {}\n  {}", problem.what, problem.why, problem.fix);
    }
    if report.more_problems {
        text.push_str("\nmore peers have problems: `fernpost peer list`\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::health::status::StatusProblem;

    #[test]
    fn screen_ends_with_the_problems() {
        let mut report: StatusReport = serde_json::from_str(concat!(
            r#"{"server":"red","version":"0.1.0","started":"2026-12-01T00:00:00.000Z","ready":true,"#,
            r#""listeners":[{"name":"admin","address":"127.0.0.1:9882","tls":true}],"peers":{"idle":0,"sending":2},"#,
            r#""backlog":7000,"unread":0,"disk_free":1048576,"disk_min_free":1024}"#
        ))
        .expect("a report");
        let text = screen(&report);
        assert!(text.contains("admin        127.0.0.1:9882 (TLS)\npeers        2 sending\n"), "{text}");
        assert!(text.ends_with("problems     none\n"), "{text}");
        let problem = StatusProblem { what: "blue".into(), why: "gone".into(), fix: "call".into() };
        report.problems.push(problem);
        assert!(screen(&report).ends_with("\n\nblue: gone\n  call\n"), "{}", screen(&report));
    }
}
