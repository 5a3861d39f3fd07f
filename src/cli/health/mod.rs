//! `fernpost health`: asks the running gateway whether it is ready, for health checks of containers and for scripts.

use std::fmt::Write;

use clap::Args;

use crate::api::health::{HealthReport, HealthWarning};
use crate::cli::admin_client::{AdminArgs, CommandFailure};
use crate::cli::print;
use crate::terminal::exit_code::{FINE, WRONG};

/// Arguments of `health`.
#[derive(Debug, Args)]
pub(super) struct HealthOptions {
    /// Ask only whether the process runs.
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Asks, prints what keeps the gateway from being ready, and returns the exit code: 1 if it is not ready, 2 if it does not answer.
pub(super) fn run(options: HealthOptions) -> u8 {
    let path = if options.live { "/health/live" } else { "/health/ready" };
    options.admin.run(async |gateway, json| {
        let answer = gateway.health(path).await?;
        let report: HealthReport = gateway.read(&answer)?;
        let code = if report.failing.is_empty() { FINE } else { WRONG };
        Ok::<u8, CommandFailure>(match json {
            true => crate::cli::print_json(&answer, code),
            false => print(&text(&report), code),
        })
    })
}

fn text(report: &HealthReport) -> String {
    let mut text = format!("{}\n", report.status);
    // Writing to a string cannot fail.
    for failing in &report.failing {
        let _ = writeln!(text, "  {}: {}", failing.what, failing.why);
    }
    for warning in &report.warnings {
        let HealthWarning { what, subject, ends, why, .. } = warning;
        let ends = ends.as_ref().map(|ends| format!(" ends at {ends}")).unwrap_or_default();
        let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let _ = writeln!(text, "  warning: {what} {subject}{ends}{why}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::health::FailingCheck;

    #[test]
    fn report_lists_reasons_and_warnings() {
        let failing = vec![FailingCheck { what: "disk".into(), why: "it is full".to_owned() }];
        let ends = "2026-12-01T00:00:00Z".to_owned();
        let (what, subject) = ("certificate".into(), "federation.tls".into());
        let warnings = vec![HealthWarning { what, subject, ends: Some(ends), days: Some(1), why: None }];
        let report = HealthReport { status: "unready".into(), failing, warnings, messenger: None };
        assert_eq!(
            text(&report),
            "unready\n  disk: it is full\n  warning: certificate federation.tls ends at 2026-12-01T00:00:00Z\n"
        );
    }
}
