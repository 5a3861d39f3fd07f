//! `fernpost check messenger`: whether the messenger can reach the gateway, and how it gets its events.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use actors::ports::Clock;

use crate::api::checks::CheckFinding;
use crate::api::peers::PeerList;
use crate::app::SystemClock;
use crate::cli::failure::CommandFailure;
use crate::cli::reached_listener::ReachedListener;
use crate::http::listener::bind_advice;
use crate::messenger::push;
use crate::settings::{ListenTarget, PushSettings, SecretValue, Settings};

const CHECK: &str = "messenger";

/// Maximum time of the request to the messenger API: the gateway is on this machine or near.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns the findings about the messenger's listener, its token, and the delivery of events.
pub(super) async fn findings(settings: &Settings) -> Vec<CheckFinding> {
    let mut found = vec![match state(&settings.messenger.listen) {
        ListenerState::Free(words) => CheckFinding::info(CHECK, subject(settings), words),
        ListenerState::Taken => served(settings).await,
        ListenerState::Refused(words, fix) => {
            CheckFinding::error(CHECK, subject(settings), words).with_code("CANNOT_LISTEN").with_fix(fix)
        }
    }];
    found.push(match settings.messenger.token {
        Some(_) => CheckFinding::info(CHECK, "messenger.token", "a token is needed"),
        None => CheckFinding::warning(CHECK, "messenger.token", "every process that can connect is accepted")
            .with_code("NO_TOKEN")
            .with_fix("set messenger.token_file"),
    });
    found.push(match &settings.messenger.push {
        None => CheckFinding::info(CHECK, "messenger.push", "pull only: the messenger reads GET /v1/events"),
        Some(settings) => pushed(settings).await,
    });
    found
}

/// Connects to the messenger, and asks it whether it is up.
async fn pushed(settings: &PushSettings) -> CheckFinding {
    const SUBJECT: &str = "messenger.push.url";
    let target = &settings.target;
    if let Err(why) = push::reach(settings).await {
        return CheckFinding::error(CHECK, SUBJECT, format!("{target} is not reached: {why}"))
            .with_code("PUSH_UNREACHABLE")
            .with_fix("start the messenger's receiver, or correct messenger.push.url");
    }
    match push::ping(settings, SystemClock.now().0 / 1000).await {
        Ok(()) => CheckFinding::info(CHECK, SUBJECT, format!("the messenger is up: {target} answers GET ping")),
        // Events are pushed all the same, so this is no error.
        Err(why) => CheckFinding::warning(CHECK, SUBJECT, format!("{target} does not answer GET ping by a 2xx: {why}"))
            .with_code("PUSH_PING_FAILED")
            .with_fix(
                "let the messenger answer it with any 2xx; after a 401 or 403 compare messenger.push.secret_file with the \
                 messenger's, after a 404 the path of messenger.push.url",
            ),
    }
}

fn subject(settings: &Settings) -> String {
    format!("messenger.listen = {}", settings.messenger.listen)
}

/// The state of the listener's address.
enum ListenerState {
    /// Nothing listens there, and the gateway could.
    Free(&'static str),
    /// A process listens there.
    Taken,
    /// The gateway cannot listen there: the reason, and what to do.
    Refused(String, String),
}

fn state(listen: &ListenTarget) -> ListenerState {
    match listen {
        ListenTarget::Tcp(address) => of_port(*address),
        ListenTarget::Unix { path, .. } => of_socket(path),
    }
}

fn of_port(address: SocketAddr) -> ListenerState {
    match TcpListener::bind(address) {
        Ok(_) => ListenerState::Free("nothing listens there, and a gateway can"),
        Err(error) if error.kind() == ErrorKind::AddrInUse => ListenerState::Taken,
        Err(error) => ListenerState::Refused(error.to_string(), bind_advice::remedy(&error).to_owned()),
    }
}

/// Examines a socket file without touching it.
fn of_socket(path: &Path) -> ListenerState {
    match fs::symlink_metadata(path) {
        Ok(state) if !state.file_type().is_socket() => {
            let words = "a file that is no socket is there, and it is never replaced".to_owned();
            ListenerState::Refused(words, format!("move {} away, or choose another path", path.display()))
        }
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => ListenerState::Taken,
            Err(_) => ListenerState::Free("an old socket file is there; a start replaces it"),
        },
        Err(_) => {
            let folder = path.parent().unwrap_or(Path::new("."));
            match tempfile::tempfile_in(folder) {
                Ok(_) => ListenerState::Free("nothing listens there, and a gateway can"),
                Err(error) => {
                    let words = format!("{} cannot be written: {error}", folder.display());
                    ListenerState::Refused(words, format!("let this user write {}", folder.display()))
                }
            }
        }
    }
}

/// Asks the process that listens there, with the token of the configuration.
async fn served(settings: &Settings) -> CheckFinding {
    let subject = subject(settings);
    let other = |words: String| {
        let finding = CheckFinding::error(CHECK, &subject, words).with_code("OTHER_LISTENER");
        finding.with_fix("stop the process that listens there, or choose another address")
    };
    match ask(settings).await {
        Ok((200, body)) if serde_json::from_slice::<PeerList>(&body).is_ok() => {
            CheckFinding::info(CHECK, subject, "a gateway answers there, and accepts the token of this configuration")
        }
        Ok((401, _)) => CheckFinding::error(
            CHECK,
            subject,
            "the gateway that answers there refuses the token of this configuration",
        )
        .with_code("WRONG_TOKEN")
        .with_fix("restart the gateway after its token has changed, or correct messenger.token_file"),
        Ok((status, _)) => other(format!("another service answers there, with status {status}")),
        Err(failure) => other(format!("another process listens there: {failure}")),
    }
}

async fn ask(settings: &Settings) -> Result<(u16, Vec<u8>), CommandFailure> {
    let (listen, tls) = (&settings.messenger.listen, &settings.messenger.tls);
    let (client, base) = ReachedListener::configured(("messenger", listen, tls), None)?.client()?;
    let mut request = client.get(format!("{base}/v1/peers")).timeout(ANSWER_TIMEOUT);
    if let Some(token) = settings.messenger.token.as_ref().map(SecretValue::expose) {
        request = request.bearer_auth(token);
    }
    let silent = |error: reqwest::Error| CommandFailure::Silent(error.without_url().to_string());
    let answer = request.send().await.map_err(silent)?;
    let status = answer.status().as_u16();
    Ok((status, answer.bytes().await.map_err(silent)?.to_vec()))
}
