//! `fernpost top`: the gateway on a screen that renews itself.

mod screen;
mod terminal_session;
mod top_view;

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use ratatui::crossterm::event::{Event, KeyEventKind};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::api::health::flow::FlowReport;
use crate::api::health::status::StatusReport;
use crate::api::peers::PeerList;
use crate::cli::admin_client::{AdminArgs, AdminClient, CommandFailure, print_json};
use crate::cli::top::terminal_session::TerminalSession;
use crate::cli::top::top_view::{KeyOutcome, TopSnapshot, TopView};
use crate::terminal::exit_code::FINE;

/// Arguments of `top`.
#[derive(Debug, Args)]
pub(super) struct TopOptions {
    /// Interval at which the screen is renewed, such as 2s.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = refresh_interval)]
    every: Duration,
    #[command(flatten)]
    admin: AdminArgs,
}

/// The shortest interval: each look asks every peer in memory.
const EVERY_MIN: Duration = Duration::from_millis(200);

fn refresh_interval(text: &str) -> Result<Duration, String> {
    let every = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    (every >= EVERY_MIN).then_some(every).ok_or_else(|| "it must be at least 200ms".to_owned())
}

/// One look at the gateway, as it answered.
#[derive(Serialize)]
struct TopAnswers {
    status: Box<RawValue>,
    peers: Box<RawValue>,
    flow: Box<RawValue>,
}

/// Shows the screen until a key or a signal ends it. With `--json` it prints one look.
pub(super) fn run(options: TopOptions) -> u8 {
    let TopOptions { every, admin } = options;
    admin.run(async |gateway, json| {
        if json {
            let answers = look(gateway).await?;
            return Ok(print_json(&serde_json::to_string(&answers).expect("JSON always serializes")));
        }
        if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
            let words = "`fernpost top` needs a terminal; use `fernpost status`, or --json for one look";
            return Err(CommandFailure::Misused(words.to_owned()));
        }
        // A wrong token or address is reported before the screen changes.
        let first = snapshot(gateway).await?;
        let shown = show(gateway, TopView::new(first), every).await;
        shown
            .map_err(|error| CommandFailure::Broken { code: "TERMINAL", words: format!("the terminal fails: {error}") })
    })
}

async fn look(gateway: &AdminClient) -> Result<TopAnswers, CommandFailure> {
    let raw = |text: String| gateway.read::<Box<RawValue>>(&text);
    Ok(TopAnswers {
        status: raw(gateway.get("/status").await?)?,
        peers: raw(gateway.get("/peers?active=true").await?)?,
        flow: raw(gateway.get("/flow?minutes=60").await?)?,
    })
}

async fn snapshot(gateway: &AdminClient) -> Result<TopSnapshot, CommandFailure> {
    let TopAnswers { status, peers, flow } = look(gateway).await?;
    let status: StatusReport = gateway.read(status.get())?;
    let PeerList { peers } = gateway.read(peers.get())?;
    let FlowReport { minutes, .. } = gateway.read(flow.get())?;
    Ok(TopSnapshot { status, peers, minutes })
}

async fn show(gateway: &AdminClient, mut view: TopView, every: Duration) -> std::io::Result<u8> {
    let mut session = TerminalSession::begin()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is at once, and the first look was just made.
    ticks.tick().await;
    loop {
        session.draw(|frame| screen::draw(frame, &mut view))?;
        tokio::select! {
            _ = terminate.recv() => return Ok(FINE),
            _ = interrupt.recv() => return Ok(FINE),
            _ = ticks.tick() => match snapshot(gateway).await {
                Ok(found) => view.renew(found),
                // The last look stays on the screen, with the reason why there is no newer one.
                Err(failure) => view.fail(failure.to_string()),
            },
            event = session.event() => match event {
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                    if view.press(key) == KeyOutcome::Quit {
                        return Ok(FINE);
                    }
                }
                // Another size is drawn at once.
                Some(_) => {}
                None => return Ok(FINE),
            },
        }
    }
}
