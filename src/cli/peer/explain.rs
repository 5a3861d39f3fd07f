//! `fernpost peer explain`: how far a peer is reached, step by step. It needs the configuration and no running gateway.

use actors::model::ServerName;
use clap::Args;

use crate::api::explain::{ExplainedStep, PeerExplanation};
use crate::app::peer_explainer::PeerExplainer;
use crate::cli::failure::CommandFailure;
use crate::cli::{ConfigSource, print, print_json};
use crate::settings::Settings;
use crate::terminal::exit_code::{FINE, WRONG};

/// Arguments of `peer explain`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExplainOptions {
    /// Name of the peer; one that is not listed is explained, too.
    name: String,
    /// Print the steps as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: ConfigSource,
}

/// Explains a peer and returns the exit code: 1 if a step failed.
pub(in crate::cli) fn run(options: ExplainOptions) -> u8 {
    let ExplainOptions { name, json, source } = options;
    let explained = source.load().map_err(|problems| CommandFailure::from(&problems)).and_then(|settings| {
        let server = name.parse().map_err(|error| CommandFailure::Misused(format!("\"{name}\": {error}")))?;
        explain(&settings, &server)
    });
    match explained {
        Err(failure) => failure.tell(json),
        Ok(explanation) => {
            let code = if explanation.is_ok() { FINE } else { WRONG };
            match json {
                true => print_json(&serde_json::to_string(&explanation).expect("plain values always serialize"), code),
                false => print(&text(&explanation), code),
            }
        }
    }
}

fn explain(settings: &Settings, server: &ServerName) -> Result<PeerExplanation, CommandFailure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        let words = format!("the runtime cannot start: {error}");
        CommandFailure::Broken { code: "RUNTIME", words }
    })?;
    let explainer = PeerExplainer::new(settings).map_err(|error| CommandFailure::Settings(error.to_string()))?;
    Ok(runtime.block_on(explainer.explain(server)))
}

/// Returns one line for each step, and a second one with what to do.
fn text(explanation: &PeerExplanation) -> String {
    let mut text = format!("{}: {}\n", explanation.server, explanation.verdict);
    for ExplainedStep { step, ok, ms, detail, level, code, fix } in &explanation.steps {
        let state = match (ok, level) {
            (true, None) => "ok",
            (true, Some(level)) => level,
            (false, _) => "FAILED",
        };
        let code = code.as_ref().map(|code| format!("{code}: ")).unwrap_or_default();
        text.push_str(&format!("  {state:<8} {step:<12} {code}{detail} ({ms} ms)\n"));
        if let Some(fix) = fix {
            text.push_str(&format!("  {:<8} {:<12} {fix}\n", "", "what to do"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_step_is_followed_by_fix() {
        let step = |step: &'static str, code: Option<&str>| ExplainedStep {
            step: step.into(),
            ok: code.is_none(),
            ms: 1.5,
            detail: "found".to_owned(),
            level: None,
            code: code.map(str::to_owned),
            fix: code.map(|_| "start it".to_owned()),
        };
        let explanation =
            PeerExplanation::of("blue", vec![step("name", None), step("connection", Some("CONNECT_REFUSED"))]);
        let expected =
            "blue: failed\n  ok       name         found (1.5 ms)\n  FAILED   connection   CONNECT_REFUSED: found \
                        (1.5 ms)\n                        what to do   start it\n"
                .replace("                        what to do", "           what to do");
        assert_eq!(text(&explanation), expected);
    }
}
