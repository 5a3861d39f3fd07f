//! `fernpost serve`: one gateway, from start to the signal that ends it.

use tokio::signal::unix::{SignalKind, signal};

use super::{COULD_NOT_RUN, FINE, Source, WRONG};
use crate::app::{App, Left, Listeners, StartError};
use crate::settings::Settings;
use crate::telemetry;

pub(super) fn run(source: Source) -> u8 {
    // The HTTP server's own lines name threads; ours name what an operator knows.
    telemetry::start("info,actix_server=warn");
    let settings = match source.load() {
        Ok(settings) => settings,
        Err(problems) => {
            eprintln!("{problems}");
            return COULD_NOT_RUN;
        }
    };
    actix::System::new().block_on(serve(&settings))
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
            eprintln!("fernpost cannot start: {error}");
            return COULD_NOT_RUN;
        }
    };
    match wait(&mut app).await {
        Ok(End::Told) => {
            tracing::info!("stopping: finishing what is under way");
            let Left { peers, items } = app.stop().await;
            tracing::info!(peers, items, "stopped; what is unsent stays on disk and goes on at the next start");
            FINE
        }
        Ok(End::Failed(reason)) => {
            // Stop accepting at once: an answer given from here on would rest on nothing.
            eprintln!("fernpost ends: {reason}");
            app.kill().await;
            WRONG
        }
        Err(error) => {
            eprintln!("fernpost cannot wait for signals: {error}");
            COULD_NOT_RUN
        }
    }
}

async fn start(settings: &Settings) -> Result<App, StartError> {
    App::start(settings, Listeners::bind(settings)?).await
}

async fn wait(app: &mut App) -> std::io::Result<End> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = term.recv() => End::Told,
        _ = int.recv() => End::Told,
        reason = app.failed() => End::Failed(reason),
    })
}
