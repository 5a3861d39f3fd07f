//! `fernpost serve`: runs one gateway until a signal stops it.

mod started;
mod watchdog;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::app::{App, DataDir, Listeners, SettingsReloader, StartError, UnsentAtShutdown};
use crate::cli::ConfigSource;
use crate::runtime::{descriptor_limit, service_manager};
use crate::settings::LoadedSettings;
use crate::telemetry::{self, last_words};
use crate::terminal::exit_code::{COULD_NOT_RUN, FINE, WRONG};
use started::StartSummary;

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    source: ConfigSource,
    /// Start with whatever server.data_dir contains, once: create a new store if the old one is missing or empty, or
    /// accept a store that was created elsewhere.
    #[arg(long)]
    accept_data_dir: bool,
}

/// Time after the first signal in which further ones are ignored, because stopping a process group often sends two.
const ONE_ORDER: Duration = Duration::from_secs(1);

pub(super) fn run(options: Serve) -> u8 {
    if let Err(error) = telemetry::start("info") {
        last_words(&format!("fernpost cannot start: the log thread cannot start: {error}"));
        return COULD_NOT_RUN;
    }
    let files = options.source.files();
    let found = if options.accept_data_dir { DataDir::AsFound } else { DataDir::Whole };
    let code = match options.source.read_to_run() {
        Ok(loaded) => {
            let log = &loaded.settings.log;
            telemetry::follow(&log.level, log.format);
            descriptor_limit::raise(loaded.settings.federation.connections.connections_max);
            actix::System::new().block_on(serve(loaded, found, StartSummary { files }))
        }
        Err(problems) => {
            last_words(&problems.to_string());
            if problems.is_open_secrets() { WRONG } else { COULD_NOT_RUN }
        }
    };
    telemetry::flush();
    code
}

/// The reason why a running gateway ends.
enum ServeEnd {
    Told,
    Failed(String),
}

async fn serve(loaded: LoadedSettings, found: DataDir, started: StartSummary) -> u8 {
    // The handlers are installed first, because a signal without a handler ends the process without a log line.
    let mut signals = match StopSignals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            last_words(&format!("fernpost cannot wait for signals: {error}"));
            return COULD_NOT_RUN;
        }
    };
    let app = tokio::select! {
        app = start(loaded.clone(), found) => app,
        () = signals.stop() => {
            tracing::info!("stopped before it was ready");
            return FINE;
        }
    };
    let mut app = match app {
        Ok(app) => app,
        Err(error) => {
            last_words(&format!("fernpost cannot start: {error}"));
            return if error.is_open_secret() { WRONG } else { COULD_NOT_RUN };
        }
    };
    let _watchdog = watchdog::start(app.core_probe());
    signals.reload_by(app.reloader());
    let told_early = tokio::select! {
        () = started.tell(&loaded.settings, &app) => false,
        () = signals.stop() => true,
    };
    let end = tokio::select! {
        biased;
        () = std::future::ready(()), if told_early => ServeEnd::Told,
        () = signals.stop() => ServeEnd::Told,
        reason = app.failed() => ServeEnd::Failed(reason),
    };
    match end {
        ServeEnd::Told => {
            service_manager::stopping();
            tracing::info!("stopping: requests in progress are finished; another signal after a second stops at once");
            tokio::select! {
                left = app.stop() => {
                    let UnsentAtShutdown { peers, items } = left;
                    tracing::info!(peers, items, "stopped; unsent items stay on disk and are sent after the next start");
                    FINE
                }
                () = signals.stop_again() => {
                    tracing::warn!("stopped at once by a second signal; answered requests are on disk, the outcome of \
                        requests in progress is unknown");
                    telemetry::flush();
                    // The process exits without waiting for its threads: the store is designed to survive a crash.
                    std::process::exit(i32::from(WRONG))
                }
            }
        }
        ServeEnd::Failed(reason) => {
            // The gateway must stop accepting at once, because no further response could be backed by a commit.
            app.kill().await;
            last_words(&format!("fernpost ends: {reason}"));
            WRONG
        }
    }
}

async fn start(loaded: LoadedSettings, found: DataDir) -> Result<App, StartError> {
    let listeners = Listeners::bind(&loaded.settings)?;
    App::start(loaded, listeners, found).await
}

/// The signals that a gateway handles.
struct StopSignals {
    term: Signal,
    int: Signal,
    hup: Signal,
    /// Takes over a changed configuration; `None` until the gateway has started.
    reloader: Option<Arc<SettingsReloader>>,
    /// True if a HUP came before, so that the configuration may be newer than the one that was read.
    is_hup_pending: bool,
}

impl StopSignals {
    fn listen() -> std::io::Result<Self> {
        let [term, int, hup] = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        Ok(Self { term: term?, int: int?, hup: hup?, reloader: None, is_hup_pending: false })
    }

    /// Reloads the configuration at each HUP from now on.
    fn reload_by(&mut self, reloader: Arc<SettingsReloader>) {
        self.reloader = Some(reloader);
        if std::mem::take(&mut self.is_hup_pending) {
            self.reload();
        }
    }

    fn reload(&mut self) {
        match &self.reloader {
            // The reload is a task of its own, which writes the outcome to the log.
            Some(reloader) => drop(reloader.reload("SIGHUP".to_owned())),
            None => self.is_hup_pending = true,
        }
    }

    /// Returns when TERM or INT is received.
    async fn stop(&mut self) {
        loop {
            tokio::select! {
                _ = self.term.recv() => return,
                _ = self.int.recv() => return,
                _ = self.hup.recv() => self.reload(),
            }
        }
    }

    /// Returns at the first TERM or INT that is received at least `ONE_ORDER` after the call.
    async fn stop_again(&mut self) {
        let first = Instant::now();
        loop {
            self.stop().await;
            if first.elapsed() >= ONE_ORDER {
                return;
            }
            tracing::info!("signal ignored, because it followed the first one within a second");
        }
    }
}
