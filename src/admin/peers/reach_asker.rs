//! `POST /admin/v1/peers/{server}/reach`: asks a peer to look this server up and to call it.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actors::errors::AdmissionError;
use actors::model::ServerName;
use bytes::Bytes;
use tokio::time::Instant;

use crate::api::errors::ErrorBody;
use crate::api::explain::reach_report::ReachReport;
use crate::egress::{EgressClient, PeerCall, PeerCallFault};
use crate::http::body::encoded::BodyEncoding;
use crate::http::error::ApiError;
use crate::rpc::gateway_method::REACH;
use crate::rpc::{CallRegister, RpcAnswer, RpcDirection, RpcResult};
use crate::settings::{LiveSettings, PeerProfile};

/// Time for the whole call: the peer looks up and calls within eighteen seconds, and what is left is the way to it and back.
const CALL_TIME: Duration = Duration::from_secs(25);

/// Asks peers to look this server up. Clones share the limits of calls.
#[derive(Clone)]
pub struct ReachAsker {
    settings: LiveSettings,
    egress: Arc<EgressClient>,
    calls: Arc<CallRegister>,
}

/// Error: there is no report of a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReachFault {
    /// The configuration does not list it.
    #[error("{0} is not listed in the configuration, so it cannot allow this either")]
    Unlisted(ServerName),
    /// The configuration says that it is another kind of server.
    #[error("{server} has the profile \"{profile}\", and only a Fernpost can look this server up")]
    OtherServer {
        /// The peer.
        server: ServerName,
        /// Its profile.
        profile: &'static str,
    },
    /// Too many calls are under way.
    #[error(transparent)]
    Busy(#[from] AdmissionError),
    /// The peer refuses.
    #[error("{server} refuses: {words}")]
    Refused {
        /// The peer.
        server: ServerName,
        /// Code of its refusal, if it is one of those for this call.
        code: Option<&'static str>,
        /// Reason, in the words of the peer.
        words: String,
        /// Time after which it may be asked again.
        wait: Option<Duration>,
    },
    /// The peer has not answered.
    #[error("{server}: {fault}")]
    Silent {
        /// The peer.
        server: ServerName,
        /// Fault of the call.
        fault: PeerCallFault,
    },
}

impl ReachAsker {
    /// Returns the calls to the peers of these settings.
    pub fn new(settings: LiveSettings, egress: Arc<EgressClient>, calls: Arc<CallRegister>) -> Self {
        Self { settings, egress, calls }
    }

    /// Asks a peer, and returns what it saw.
    pub async fn ask(&self, server: &ServerName) -> Result<ReachReport, ReachFault> {
        let peer = self.settings.peers().peer(server).ok_or_else(|| ReachFault::Unlisted(server.clone()))?;
        let profile = peer.link.profile;
        if profile != PeerProfile::Fernpost {
            return Err(ReachFault::OtherServer { server: server.clone(), profile: profile.as_str() });
        }
        let permit = self.calls.admit(RpcDirection::Out, server)?;
        let encoding = if peer.limits.habits.protobuf { BodyEncoding::Protobuf } else { BodyEncoding::Json };
        let call = PeerCall {
            body: Bytes::from(format!(r#"{{"method":"{REACH}"}}"#)),
            encoding,
            until: Instant::now() + CALL_TIME,
            connect: peer.limits.connect_timeout,
            answer_max: self.calls.limits().body_max,
        };
        let read = match self.egress.call(server, call).await {
            Ok(answer) => read(server, &answer),
            Err(fault) => Err(ReachFault::Silent { server: server.clone(), fault }),
        };
        permit.end(result(&read));
        read
    }
}

fn result(read: &Result<ReachReport, ReachFault>) -> RpcResult {
    match read {
        Err(ReachFault::Silent { fault, .. }) => match fault {
            PeerCallFault::Unreachable(_) => RpcResult::Unavailable,
            PeerCallFault::BadAnswer(_) => RpcResult::BadAnswer,
            PeerCallFault::TimedOut => RpcResult::TimedOut,
        },
        _ => RpcResult::Answered,
    }
}

/// Reads the answer of a peer, whatever it is.
fn read(server: &ServerName, answer: &RpcAnswer) -> Result<ReachReport, ReachFault> {
    let RpcAnswer { status, retry_after, body } = answer;
    if *status == 200 {
        return serde_json::from_slice(body).map_err(|error| ReachFault::Silent {
            server: server.clone(),
            fault: PeerCallFault::BadAnswer(format!("its answer is no report: {error}")),
        });
    }
    let (code, words) = match serde_json::from_slice(body) {
        // The one 404 of a call: the gateway has no such method.
        Ok(ErrorBody { .. }) if *status == 404 => (None, "its version has not this check".to_owned()),
        Ok(ErrorBody { error, code, .. }) => {
            let known = ["REACH_NOT_ALLOWED", "REACH_TOO_OFTEN", "REACH_BUSY", "RPC_BUSY"];
            let known = known.into_iter().find(|known| *known == code);
            (known, if known.is_some() { error } else { format!("status {status}, {code}: {error}") })
        }
        Err(_) => (None, format!("status {status}")),
    };
    Err(ReachFault::Refused { server: server.clone(), code, words, wait: *retry_after })
}

impl From<ReachFault> for ApiError {
    fn from(fault: ReachFault) -> Self {
        let words = fault.to_string();
        match fault {
            ReachFault::Unlisted(_) => Self::unprocessable("NOT_A_PEER", words),
            ReachFault::OtherServer { .. } => Self::unprocessable("NOT_FERNPOST", words),
            ReachFault::Busy(limit) => {
                let refused = Self::new(StatusCode::TOO_MANY_REQUESTS, "RPC_BUSY", words);
                refused.retry_after(limit.wait()).by_limit(limit.limit())
            }
            ReachFault::Refused { code, wait, .. } => {
                let refused = match code {
                    Some("REACH_NOT_ALLOWED") => Self::new(StatusCode::FORBIDDEN, "REACH_NOT_ALLOWED", words),
                    Some(code) => Self::new(StatusCode::TOO_MANY_REQUESTS, code, words),
                    None => Self::new(StatusCode::BAD_GATEWAY, "PEER_REFUSED", words),
                };
                match wait {
                    Some(wait) => refused.retry_after(wait),
                    None => refused,
                }
            }
            ReachFault::Silent { fault, .. } => match fault {
                PeerCallFault::Unreachable(_) => Self::new(StatusCode::BAD_GATEWAY, "PEER_UNREACHABLE", words),
                PeerCallFault::BadAnswer(_) => Self::new(StatusCode::BAD_GATEWAY, "PEER_REFUSED", words),
                PeerCallFault::TimedOut => Self::new(StatusCode::GATEWAY_TIMEOUT, "PEER_TIMEOUT", words),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(status: u16, body: &'static str) -> String {
        let answer = RpcAnswer { status, retry_after: None, body: Bytes::from_static(body.as_bytes()) };
        let read = read(&"blue.example".parse().expect("a name"), &answer);
        let error = ApiError::from(read.expect_err("no report"));
        format!("{} {}", error.status().as_u16(), error.code())
    }

    #[test]
    fn refusals_of_peers_keep_codes() {
        for (status, body, expected) in [
            (403, r#"{"error":"no","code":"REACH_NOT_ALLOWED"}"#, "403 REACH_NOT_ALLOWED"),
            (429, r#"{"error":"no","code":"REACH_TOO_OFTEN","wait":7}"#, "429 REACH_TOO_OFTEN"),
            (429, r#"{"error":"no","code":"RPC_BUSY"}"#, "429 RPC_BUSY"),
            (404, r#"{"error":"no","code":"X"}"#, "502 PEER_REFUSED"),
            (401, r#"{"error":"no","code":"Y"}"#, "502 PEER_REFUSED"),
            (500, "[]", "502 PEER_REFUSED"),
            (200, "{}", "502 PEER_REFUSED"),
        ] {
            assert_eq!(code(status, body), expected, "{body}");
        }
    }
}
