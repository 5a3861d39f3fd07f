//! `PUT` and `GET /v1/contexts/{context}`: sets the participants of a context, and returns its status.

use actix_web::{Error, HttpRequest, HttpResponse, web};
use actors::errors::PeerError;
use actors::gateway::Gateway;
use actors::model::{ContextId, ContextStatus, Gap, JoinProgress, ServerName};
use actors::ports::PeerConfig;
use bytes::Bytes;
use percent_encoding::percent_decode_str;

use crate::api::contexts::{ContextDetails, JoinStatus, MissingPdu, ParticipantsSet};
use crate::api::pdus::{pair, pairs};
use crate::http::error::ApiError;
use crate::http::json_error;
use crate::json::canonical::RawObject;
use crate::messenger::MessengerApi;
use crate::messenger::answer::unreadable_body;
use crate::messenger::lists::NameList;

/// Sets the participants, and responds after the commit.
pub(crate) async fn put(
    api: web::Data<MessengerApi>,
    request: HttpRequest,
    path: web::Path<String>,
    body: Result<Bytes, Error>,
) -> Result<HttpResponse, ApiError> {
    readable(request.uri().path())?;
    let context: ContextId = path.parse().map_err(|why| ApiError::unprocessable("BAD_CONTEXT", format!("{why}")))?;
    let body = body.map_err(|error| unreadable_body(&error, api.limits.body_max))?;
    let mut servers = decode(&body)?;
    servers.retain(|server| *server != api.us);
    check(&servers, &*api.gateway.ports().roster)?;
    api.gateway.set_participants(&context, servers.clone()).await?;
    Ok(HttpResponse::Ok().json(ParticipantsSet { context: context.as_str(), participants: all(&api.us, &servers) }))
}

/// Returns the status of a context.
pub(crate) async fn get(api: web::Data<MessengerApi>, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    shown(&api.gateway, &path).await
}

/// Returns the status of a context, for the messenger and for operators.
pub(crate) async fn shown(gateway: &Gateway, name: &str) -> Result<HttpResponse, ApiError> {
    let status = gateway.context(&known(name)?).await?;
    Ok(HttpResponse::Ok().json(ContextDetails::of(&status, &gateway.ports().us)))
}

/// Parses a context id. An invalid one is answered as an unknown context.
pub(crate) fn known(name: &str) -> Result<ContextId, ApiError> {
    name.parse().map_err(|_| ApiError::not_found("UNKNOWN_CONTEXT", format!("there is no context {name:?}")))
}

/// Responds to a path without a context id: this happens if a `#` in the id was not encoded.
pub(crate) async fn nameless() -> Result<HttpResponse, ApiError> {
    let words = "no such endpoint: the path names no context; write # as %23";
    Err(ApiError::not_found("NO_ROUTE", words))
}

/// Refuses a path that is not UTF-8. It was decoded with replacement characters before, so different ids would become
/// the same.
fn readable(path: &str) -> Result<(), ApiError> {
    let decoded = percent_decode_str(path).decode_utf8();
    decoded.map(|_| ()).map_err(|_| ApiError::unprocessable("BAD_CONTEXT", "the name in the path is not UTF-8"))
}

pub(crate) fn decode(body: &[u8]) -> Result<Vec<ServerName>, ApiError> {
    let RawObject(members) = serde_json::from_slice(body).map_err(|error| {
        ApiError::bad_request("BAD_JSON", format!("the body is not a JSON object: {}", json_error::words(&error)))
    })?;
    let [(name, list)] = members.as_slice() else {
        return Err(ApiError::bad_request("BAD_JSON", "the body is not {\"servers\":[..]}"));
    };
    if name != "servers" {
        return Err(ApiError::unknown_key(name, "a context", &["servers"]));
    }
    let NameList(names) = serde_json::from_str(list.get()).map_err(|error| {
        ApiError::unprocessable(
            "BAD_SERVERS",
            format!("\"servers\" is not a list of server names: {}", json_error::words(&error)),
        )
    })?;
    Ok(names)
}

fn check(servers: &[ServerName], roster: &dyn PeerConfig) -> Result<(), PeerError> {
    servers.iter().try_for_each(|server| roster.peer_limits(server).map(drop))
}

/// Returns all participants: this server always participates, named or not.
fn all<'a>(us: &'a ServerName, others: &'a [ServerName]) -> Vec<&'a str> {
    std::iter::once(us).chain(others).map(ServerName::as_str).collect()
}

impl<'a> ContextDetails<&'a str> {
    fn of(status: &'a ContextStatus, us: &'a ServerName) -> Self {
        let record = &status.record;
        let (edge, gaps): (Vec<&Gap>, Vec<&Gap>) = status.gaps.iter().partition(|gap| gap.edge);
        let missing = |gap: &&'a Gap| {
            let Gap { missing, children, .. } = gap;
            MissingPdu { missing: pair(missing), children: pairs(children) }
        };
        Self {
            context: record.context.as_str(),
            participants: all(us, &record.participants),
            heads: pairs(record.heads.iter().map(|head| &head.reference)),
            depth: record.depth,
            held: status.held,
            wanted: pairs(&status.wanted),
            gaps: gaps.iter().map(missing).collect(),
            edge: pairs(edge.into_iter().map(|gap| &gap.missing)),
            join: record.join.as_ref().map(JoinStatus::from),
        }
    }
}

impl<'a> From<&'a JoinProgress> for JoinStatus<&'a str> {
    fn from(join: &'a JoinProgress) -> Self {
        Self {
            via: join.via.as_str(),
            stage: join.stage.as_str().into(),
            came: join.came,
            left: join.left.into(),
            reason: join.reason.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use actors::model::{ContextRecord, Head, PduRef};

    use super::*;

    fn name(text: &str) -> ServerName {
        text.parse().expect("valid")
    }

    fn pdu(origin: &str, id: &str) -> PduRef {
        PduRef { origin: name(origin), id: id.parse().expect("valid") }
    }

    #[test]
    fn context_body_needs_server_list() {
        assert_eq!(decode(br#"{"servers":["blue","Blue","green:80"]}"#), Ok(vec![name("blue"), name("green:80")]));
        assert_eq!(decode(br#"{"servers":[]}"#), Ok(vec![]));
        for (body, status, code) in [
            ("", 400, "BAD_JSON"),
            ("[]", 400, "BAD_JSON"),
            ("{}", 400, "BAD_JSON"),
            (r#"{"servers":[],"servers":[]}"#, 400, "BAD_JSON"),
            (r#"{"severs":[]}"#, 400, "UNKNOWN_KEY"),
            (r#"{"servers":"blue"}"#, 422, "BAD_SERVERS"),
            (r#"{"servers":["b/c"]}"#, 422, "BAD_SERVERS"),
            (r#"{"servers":null}"#, 422, "BAD_SERVERS"),
        ] {
            let refused = decode(body.as_bytes()).expect_err(body);
            assert_eq!((refused.status().as_u16(), refused.code()), (status, code), "{body}");
        }
    }

    #[test]
    fn context_path_must_be_utf8() {
        for path in ["/v1/contexts/%23r%C3%B6om", "/v1/contexts/%EF%BF%BD", "/v1/contexts/%zz"] {
            assert_eq!(readable(path), Ok(()), "{path}");
        }
        let refused = readable("/v1/contexts/%ff%fe").expect_err("no text");
        assert_eq!((refused.status().as_u16(), refused.code()), (422, "BAD_CONTEXT"));
    }

    #[test]
    fn context_status_serializes_heads_and_gaps() {
        let context: ContextId = "#room".parse().expect("valid");
        let mut record = ContextRecord::new(context, vec![name("blue")], true);
        record.heads = vec![Head::of(pdu("red", "c"), 7, None)];
        record.depth = 7;
        let gap = |id, edge| Gap { missing: pdu("blue", id), children: vec![pdu("blue", "b")], edge };
        let status = ContextStatus {
            record,
            held: 1,
            wanted: vec![pdu("blue", "x")],
            gaps: vec![gap("a", false), gap("z", true)],
        };
        assert_eq!(
            serde_json::to_string(&ContextDetails::of(&status, &name("red"))).expect("plain"),
            concat!(
                r##"{"context":"#room","participants":["red","blue"],"heads":[["red","c"]],"depth":7,"held":1,"##,
                r#""wanted":[["blue","x"]],"gaps":[{"missing":["blue","a"],"children":[["blue","b"]]}],"#,
                r#""edge":[["blue","z"]]}"#
            )
        );
    }
}
