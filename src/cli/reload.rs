//! `fernpost reload`: makes a running gateway take over its changed configuration.

use clap::Args;

use crate::api::configuration::ReloadReport;
use crate::cli::admin_client::{AdminArgs, CommandFailure};
use crate::cli::{print, print_json};
use crate::terminal::exit_code::{FINE, WRONG};

/// Arguments of `reload`.
#[derive(Debug, Args)]
pub(super) struct Reload {
    #[command(flatten)]
    admin: AdminArgs,
}

/// Reloads, and prints what changed or the problems.
pub(super) fn run(options: Reload) -> u8 {
    let json = options.admin.json;
    // A configuration with problems does not tell the gateway's address, and the gateway would find the same problems.
    if let Some(problems) = options.admin.configuration_problems() {
        return tell(&ReloadReport::refused(problems.texts()), json);
    }
    options.admin.for_any_server().run(async |gateway, json| {
        let answer = gateway.post_for_report("/reload").await?;
        let report: ReloadReport = gateway.read(&answer)?;
        Ok::<u8, CommandFailure>(tell(&report, json))
    })
}

fn tell(report: &ReloadReport, json: bool) -> u8 {
    let code = if report.ok { FINE } else { WRONG };
    match json {
        true => print_json(&serde_json::to_string(report).expect("texts always serialize"), code),
        false => print(&in_words(report), code),
    }
}

fn in_words(report: &ReloadReport) -> String {
    let lines = |head: &str, keys: &Option<Vec<String>>| match keys.as_deref().unwrap_or_default() {
        [] => String::new(),
        keys => format!("{head}\n  {}\n", keys.join("\n  ")),
    };
    if !report.ok {
        return lines("nothing has changed, because the configuration has problems:", &report.problems);
    }
    let words = lines("in force now:", &report.changed) + &lines("in force after a restart:", &report.restart);
    if words.is_empty() { "nothing has changed\n".to_owned() } else { words }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_lists_keys_by_effect() {
        let done = |changed: &[&str], restart: &[&str]| {
            let keys = |keys: &[&str]| keys.iter().map(|&key| key.to_owned()).collect();
            in_words(&ReloadReport::done(keys(changed), keys(restart)))
        };
        assert_eq!(done(&[], &[]), "nothing has changed\n");
        assert_eq!(
            done(&["network.allow", "contexts.idle"], &["server.name"]),
            "in force now:\n  network.allow\n  contexts.idle\nin force after a restart:\n  server.name\n"
        );
        let refused = in_words(&ReloadReport::refused(vec!["`a`: wrong".to_owned()]));
        assert_eq!(refused, "nothing has changed, because the configuration has problems:\n  `a`: wrong\n");
    }
}
