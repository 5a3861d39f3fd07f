//! `GET /v1/peers` and `/v1/peers/{server}`: the status of peers; a single peer includes its addresses and limits.

use actix_web::{HttpResponse, web};
use actors::errors::{PeerError, UnavailableError};
use actors::gateway::Gateway;
use actors::model::{PeerState, PeerStatus, ServerName};
use tokio::task::{JoinError, JoinSet};

use super::MessengerApi;
use super::answer::rfc3339;
use crate::api::peers::{PeerConfiguration, PeerDetails, PeerList};
use crate::http::error::ApiError;
use crate::settings;
use crate::telemetry::peer_clocks::PeerClocks;

/// Maximum number of peers queried at the same time.
const AT_ONCE: usize = 64;

impl PeerList {
    /// Returns the list of these peers, or the first error among them.
    pub(crate) fn of(asked: Vec<(ServerName, Result<PeerStatus, PeerError>)>) -> Result<Self, PeerError> {
        let peers = asked.into_iter().map(|(_, status)| status.map(PeerDetails::from)).collect::<Result<_, _>>()?;
        Ok(Self { peers })
    }
}

impl From<&settings::PeerSettings> for PeerConfiguration {
    fn from(peer: &settings::PeerSettings) -> Self {
        Self {
            dialect: peer.link.dialect.name.into(),
            profile: peer.link.profile.as_str().into(),
            addresses: peer.link.addresses.iter().map(ToString::to_string).collect(),
            limits: peer.effective_limits().into_iter().map(|(key, limit)| (key.to_owned(), limit)).collect(),
            origins: std::collections::BTreeMap::new(),
        }
    }
}

/// Returns the status of all configured peers, in the order of the configuration.
pub(super) async fn list(api: web::Data<MessengerApi>) -> Result<HttpResponse, ApiError> {
    let asked = statuses(&api.gateway, api.gateway.peers(), true).await;
    Ok(HttpResponse::Ok().json(PeerList::of(asked)?))
}

/// Returns the status of one peer.
pub(super) async fn get(api: web::Data<MessengerApi>, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let unknown = || ApiError::not_found("UNKNOWN_PEER", format!("{:?} is not a peer of this server", *path));
    let server: ServerName = path.parse().map_err(|_| unknown())?;
    match status(&api.gateway, &server).await {
        Ok(status) => {
            Ok(HttpResponse::Ok().json(PeerDetails::from(status).described(api.settings.as_ref(), &api.clocks)))
        }
        Err(PeerError::UnknownPeer(_) | PeerError::Denied(_)) => Err(unknown()),
        Err(PeerError::Unavailable(error)) => Err(error.into()),
    }
}

/// Queries peers, at most `AT_ONCE` at a time, and returns one result per server, in order. If `with_ages` is true, a
/// result includes the age of the queue.
pub(crate) async fn statuses(
    gateway: &Gateway,
    servers: Vec<ServerName>,
    with_ages: bool,
) -> Vec<(ServerName, Result<PeerStatus, PeerError>)> {
    let mut asked = JoinSet::new();
    // The initial value remains if a query panics.
    let mut answers: Vec<_> = servers.iter().map(|_| Err(UnavailableError::OutcomeUnknown.into())).collect();
    for (place, server) in servers.iter().enumerate() {
        if asked.len() >= AT_ONCE {
            note(&mut answers, asked.join_next().await);
        }
        let (gateway, server) = (gateway.clone(), server.clone());
        asked.spawn_local(async move {
            let asked = if with_ages { status(&gateway, &server).await } else { gateway.peer(&server).await };
            (place, asked)
        });
    }
    while !asked.is_empty() {
        note(&mut answers, asked.join_next().await);
    }
    servers.into_iter().zip(answers).collect()
}

/// Returns the status of one peer, with the age of its queue.
pub(crate) async fn status(gateway: &Gateway, server: &ServerName) -> Result<PeerStatus, PeerError> {
    Ok(with_oldest_age(gateway, gateway.peer(server).await?).await)
}

/// Adds the age of the queue from the store, if it is not in memory because the peer is paused.
pub(crate) async fn with_oldest_age(gateway: &Gateway, mut status: PeerStatus) -> PeerStatus {
    if status.backlog > 0 && status.oldest_unacknowledged.is_none() {
        match gateway.ports().archive.peers.outbox_from(&status.server, status.acked.next(), 1, 0).await {
            Ok(rows) => status.oldest_unacknowledged = rows.first().map(|row| row.queued),
            // The other fields of the response are useful without the age.
            Err(error) => tracing::error!(peer = %status.server, %error, "the age of a queue cannot be read"),
        }
    }
    status
}

fn note<T>(answers: &mut [T], joined: Option<Result<(usize, T), JoinError>>) {
    if let Some(Ok((place, answer))) = joined {
        answers[place] = answer;
    }
}

impl PeerDetails {
    /// Adds the peer's configuration and its clock.
    pub(crate) fn described(self, settings: Option<&settings::LiveSettings>, clocks: &PeerClocks) -> Self {
        let Ok(server) = self.server.parse() else { return self };
        let peer = settings.and_then(|settings| settings.peers().peer(&server));
        let configured = peer.map(|peer| PeerConfiguration::from(&*peer));
        Self { configured, clock_skew_ms: clocks.skew_ms(&server), ..self }
    }
}

impl From<PeerStatus> for PeerDetails {
    fn from(status: PeerStatus) -> Self {
        Self {
            server: status.server.to_string(),
            state: status.state.as_str().into(),
            reason: reason(status.state).map(Into::into),
            since: rfc3339(status.since),
            backlog: status.backlog,
            backlog_bytes: status.backlog_bytes,
            oldest_unacknowledged: status.oldest_unacknowledged.map(rfc3339),
            next_attempt: status.next_attempt.map(rfc3339),
            last_success: status.last_success.map(rfc3339),
            next_seq: status.next_seq.map(|next| next.0),
            failures: status.failures.into(),
            last_error: status.last_error,
            last_code: status.last_code.map(|code| code.to_string()),
            expected_seq: status.expected_seq.0,
            clock_skew_ms: None,
            configured: None,
        }
    }
}

/// Returns the reason of a suspension; `None` if the peer is not suspended.
pub(super) fn reason(state: PeerState) -> Option<&'static str> {
    match state {
        PeerState::Suspended(cause) => Some(cause.as_str()),
        PeerState::Idle | PeerState::Sending | PeerState::Waiting | PeerState::BackingOff => None,
    }
}

#[cfg(test)]
mod tests {
    use actors::model::{ConnectCode, FailureCode, Index, Millis, Seq, SuspendReason};

    use super::*;

    fn shown(status: PeerStatus) -> String {
        serde_json::to_string(&PeerDetails::from(status)).expect("plain")
    }

    fn idle(server: &str) -> PeerStatus {
        PeerStatus {
            server: server.parse().expect("valid"),
            state: PeerState::Idle,
            shut: None,
            since: Millis(1_000),
            backlog: 0,
            acked: Index(3),
            oldest_unacknowledged: None,
            next_attempt: None,
            last_success: None,
            failures: 0,
            last_error: None,
            last_code: None,
            expected_seq: Seq(8),
            next_seq: Some(Seq(4)),
            backlog_bytes: 0,
            settled: vec![],
            open: None,
            relayed: None,
        }
    }

    #[test]
    fn peer_status_shows_state_and_reason() {
        assert_eq!(
            shown(idle("blue")),
            r#"{"server":"blue","state":"idle","since":"1970-01-01T00:00:01.000Z","backlog":0,"backlog_bytes":0,"next_seq":4,"failures":0,"expected_seq":8}"#
        );
        let away = PeerStatus {
            state: PeerState::Suspended(SuspendReason::Unreachable),
            backlog: 2,
            backlog_bytes: 642,
            oldest_unacknowledged: Some(Millis(500)),
            next_attempt: Some(Millis(9_000)),
            last_success: Some(Millis(900)),
            failures: 20,
            last_error: Some("no route".into()),
            last_code: Some(FailureCode::Connect(ConnectCode::ConnectRefused)),
            ..idle("blue")
        };
        assert_eq!(
            shown(away),
            concat!(
                r#"{"server":"blue","state":"suspended","reason":"unreachable","since":"1970-01-01T00:00:01.000Z","#,
                r#""backlog":2,"backlog_bytes":642,"oldest_unacknowledged":"1970-01-01T00:00:00.500Z","next_attempt":"1970-01-01T00:00:09.000Z","#,
                r#""last_success":"1970-01-01T00:00:00.900Z","next_seq":4,"failures":20,"last_error":"no route","last_code":"CONNECT_REFUSED","expected_seq":8}"#
            )
        );
    }

    #[test]
    fn faulty_peer_is_still_listed() {
        let faulty = PeerStatus { state: PeerState::Suspended(SuspendReason::Faulty), ..idle("blue") };
        assert!(shown(faulty).starts_with(r#"{"server":"blue","state":"suspended","reason":"faulty","since":"#));
    }
}
