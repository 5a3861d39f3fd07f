//! `fernpost serve`: one gateway, from start to the signal that ends it.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{COULD_NOT_RUN, FINE, Source, WRONG};
use crate::app::{App, Left, Listeners, StartError};
use crate::settings::Settings;
use crate::telemetry::{self, last_words};

pub(super) fn run(source: Source) -> u8 {
    // The HTTP server's own lines name threads; ours name what an operator knows.
    if let Err(error) = telemetry::start("info,actix_server=warn") {
        last_words(&format!("fernpost cannot start: no thread for the log: {error}"));
        return COULD_NOT_RUN;
    }
    let settings = match source.load_to_run() {
        Ok(settings) => settings,
        Err(problems) => {
            last_words(&problems.to_string());
            return COULD_NOT_RUN;
        }
    };
    let code = actix::System::new().block_on(serve(&settings));
    telemetry::flush();
    code
}

/// Why a gateway that ran has ended.
enum End {
    Told,
    Failed(String),
}

async fn serve(settings: &Settings) -> u8 {
    let mut app = match start(settings).await {
        Ok(app) => app,
        Err(error) => {
            last_words(&format!("fernpost cannot start: {error}"));
            return COULD_NOT_RUN;
        }
    };
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            last_words(&format!("fernpost cannot wait for signals: {error}"));
            return COULD_NOT_RUN;
        }
    };
    let end = tokio::select! {
        () = signals.next() => End::Told,
        reason = app.failed() => End::Failed(reason),
    };
    match end {
        End::Told => {
            tracing::info!("stopping: finishing what is under way; a second signal ends it at once");
            tokio::select! {
                left = app.stop() => {
                    let Left { peers, items } = left;
                    tracing::info!(peers, items, "stopped; what is unsent stays on disk and goes on at the next start");
                    FINE
                }
                () = signals.next() => {
                    tracing::warn!("ended at once by a second signal; what was answered is on disk, what was under way is unknown");
                    telemetry::flush();
                    // Nothing is waited for, no thread either: to the disk this is a crash, which it is made for.
                    std::process::exit(i32::from(WRONG))
                }
            }
        }
        End::Failed(reason) => {
            // Stop accepting at once: an answer given from here on would rest on nothing.
            last_words(&format!("fernpost ends: {reason}"));
            app.kill().await;
            WRONG
        }
    }
}

async fn start(settings: &Settings) -> Result<App, StartError> {
    App::start(settings, Listeners::bind(settings)?).await
}

/// The signals that tell a gateway to stop.
struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
