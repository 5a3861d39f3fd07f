//! `PUT /v1/ephemeral`: sends an update that is useful only now, such as a typing notification.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{Error, HttpResponse, web};
use actors::errors::ContextError;
use actors::limits::PeerLimits;
use actors::model::{ContextId, Edu, Millis, ServerName};
use actors::peer::outbound::ephemeral_buffer::EphemeralItem;
use bytes::Bytes;
use serde_json::value::RawValue;

use super::MessengerApi;
use super::answer::unreadable_body;
use super::ephemeral_feed::read_lifetime;
use super::lists::NameList;
use crate::http::error::ApiError;
use crate::http::json_error;
use crate::json::canonical::RawObject;
use crate::json::nesting::{NESTING_MAX, nests_deeper_than};
use crate::json::writer::RawObjectWriter;

/// Members that identify the subject of an update: if updates agree in all of them, only the newest is sent.
const ABOUT: &[&str] = &["user_id", "peer", "room_id"];

/// Maximum nesting of an update: as an EDU, its content is in an object in a list in an object.
const UPDATE_NESTING_MAX: usize = NESTING_MAX - 3;

/// Hands an ephemeral update to the peers' actors, and responds at once; its delivery is not guaranteed.
pub(super) async fn put(api: web::Data<MessengerApi>, body: Result<Bytes, Error>) -> Result<HttpResponse, ApiError> {
    let body = body.map_err(|error| unreadable_body(&error, api.limits.body_max))?;
    let ephemeral = EphemeralBody::decode(&body)?;
    let ports = api.gateway.ports();
    let mut legs = Vec::new();
    for server in ephemeral.recipients(&api).await? {
        match ports.roster.peer_limits(&server) {
            Ok(limits) => {
                ephemeral.check(&server, &limits)?;
                legs.push((server, limits));
            }
            Err(refusal) if matches!(ephemeral.address, EphemeralTarget::Servers(_)) => return Err(refusal.into()),
            Err(_) => {}
        }
    }
    let now = ports.clock.now();
    for (server, limits) in legs {
        api.gateway.send_ephemeral(&server, ephemeral.fleeting(now, &limits)).await?;
    }
    Ok(HttpResponse::NoContent().finish())
}

/// The recipients of an ephemeral item.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EphemeralTarget {
    Servers(Vec<ServerName>),
    Context(ContextId),
}

/// The decoded body: `{"to":[..]` or `"context":..,"key"?,"ttl"?,"update":{..}}`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EphemeralBody {
    address: EphemeralTarget,
    key: String,
    ttl: Option<Duration>,
    /// True if the update is sent with the time that is left: `ttl` was given, and the update has none of its own.
    states_ttl: bool,
    /// Type of the update: `update.update`.
    kind: String,
    /// Update as received; a peer of the updates dialect gets this.
    update_json: Bytes,
    /// Update without `update`; the content of an EDU.
    edu_content: Bytes,
}

impl EphemeralBody {
    pub(crate) fn decode(body: &Bytes) -> Result<Self, ApiError> {
        let RawObject(members) = serde_json::from_slice(body).map_err(|error| {
            ApiError::bad_request("BAD_JSON", format!("the body is not a JSON object: {}", json_error::words(&error)))
        })?;
        let (mut to, mut context, mut key, mut ttl, mut update) = (None, None, None, None, None);
        for (name, value) in members {
            let place = match name.as_str() {
                "to" => &mut to,
                "context" => &mut context,
                "key" => &mut key,
                "ttl" => &mut ttl,
                "update" => &mut update,
                _ => {
                    return Err(ApiError::unknown_key(
                        &name,
                        "something ephemeral",
                        &["to", "context", "key", "ttl", "update"],
                    ));
                }
            };
            if place.replace(value).is_some() {
                return Err(ApiError::bad_request("BAD_JSON", format!("{name:?} is given twice")));
            }
        }
        let address = address(to, context)?;
        let whole = update.ok_or_else(|| bad("BAD_UPDATE", "\"update\" is missing"))?;
        let RawObject(members) = serde_json::from_str(whole.get()).map_err(|error| {
            bad("BAD_UPDATE", format!("\"update\" is not an object: {}", json_error::words(&error)))
        })?;
        // A peer would refuse the whole push that contains it.
        if nests_deeper_than(UPDATE_NESTING_MAX, whole.get().as_bytes()) {
            return Err(bad("NESTS_TOO_DEEP", format!("\"update\" nests deeper than {UPDATE_NESTING_MAX} levels")));
        }
        let kind = kind(&members)?;
        let key = match key {
            Some(key) => given_key(key)?,
            None => default_key(&address, &kind, &members),
        };
        let ttl = ttl.map(lifetime).transpose()?;
        let rest = edu_content(&members);
        let states_ttl = ttl.is_some() && members.iter().all(|(name, _)| name != "ttl");
        Ok(Self {
            address,
            key,
            ttl,
            states_ttl,
            kind,
            update_json: body.slice_ref(whole.get().as_bytes()),
            edu_content: rest,
        })
    }

    /// Returns the recipient servers; for a context, its participants.
    async fn recipients(&self, api: &MessengerApi) -> Result<Vec<ServerName>, ContextError> {
        match &self.address {
            EphemeralTarget::Servers(servers) => Ok(servers.clone()),
            EphemeralTarget::Context(context) => Ok(api.gateway.record(context).await?.participants),
        }
    }

    fn check(&self, server: &ServerName, limits: &PeerLimits) -> Result<(), ApiError> {
        let (size, max) = (self.update_json.len(), limits.batch_bytes);
        if size as u64 > max {
            let words = format!("the update has {size} bytes; the limit batch_bytes of {server} is {max}");
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", words).by_limit("peers.batch_bytes"));
        }
        Ok(())
    }

    /// Returns the item for one peer: in the form of its dialect, with at most that peer's `weak_ttl`.
    fn fleeting(&self, now: Millis, limits: &PeerLimits) -> EphemeralItem {
        let ttl = self.ttl.map_or(limits.weak_ttl, |ttl| ttl.min(limits.weak_ttl));
        let content = match limits.dialect.carries_updates {
            true => self.update_json.clone(),
            false => self.edu_content.clone(),
        };
        let edu = Edu { kind: self.kind.clone(), content };
        EphemeralItem { key: Some(self.key.clone()), until: now.after(ttl), edu, states_ttl: self.states_ttl }
    }
}

fn bad(code: &'static str, words: impl Into<std::borrow::Cow<'static, str>>) -> ApiError {
    ApiError::unprocessable(code, words)
}

fn address(to: Option<&RawValue>, context: Option<&RawValue>) -> Result<EphemeralTarget, ApiError> {
    match (to, context) {
        (Some(to), None) => {
            let NameList(names) = serde_json::from_str(to.get()).map_err(|error| {
                bad("BAD_TO", format!("\"to\" is not a list of server names: {}", json_error::words(&error)))
            })?;
            if names.is_empty() { Err(bad("BAD_TO", "\"to\" is empty")) } else { Ok(EphemeralTarget::Servers(names)) }
        }
        (None, Some(context)) => {
            let text: String = serde_json::from_str(context.get()).map_err(|error| {
                bad("BAD_CONTEXT", format!("\"context\" is not a string: {}", json_error::words(&error)))
            })?;
            let context = text.parse().map_err(|error| bad("BAD_CONTEXT", format!("\"context\": {error}")))?;
            Ok(EphemeralTarget::Context(context))
        }
        _ => Err(bad("BAD_TO", "give either \"to\" or \"context\", not both")),
    }
}

fn kind(members: &[(String, &RawValue)]) -> Result<String, ApiError> {
    let mut kinds = members.iter().filter(|(name, _)| name == "update");
    let (Some((_, kind)), None) = (kinds.next(), kinds.next()) else {
        return Err(bad("BAD_UPDATE", "the type of the update (\"update\" in it) is missing or given twice"));
    };
    serde_json::from_str(kind.get()).map_err(|error| {
        bad(
            "BAD_UPDATE",
            format!("the type of the update (\"update\" in it) is not a string: {}", json_error::words(&error)),
        )
    })
}

/// Returns the messenger's own key. Its prefix keeps it distinct from every default key.
fn given_key(given: &RawValue) -> Result<String, ApiError> {
    let key: String = serde_json::from_str(given.get())
        .map_err(|error| bad("BAD_KEY", format!("\"key\" is not a string: {}", json_error::words(&error))))?;
    Ok(format!("key\0{key}"))
}

/// Returns the default key: the type, the subject and the context. JSON texts contain no NUL, so different parts cannot
/// be confused.
fn default_key(address: &EphemeralTarget, kind: &str, members: &[(String, &RawValue)]) -> String {
    let mut key = format!("update\0{kind}");
    if let EphemeralTarget::Context(context) = address {
        key.extend(["\0context\0", context.as_str()]);
    }
    for name in ABOUT {
        if let Some((_, value)) = members.iter().find(|(member, _)| member == name) {
            key.extend(["\0", *name, "\0", value.get()]);
        }
    }
    key
}

/// Parses a duration: a text with a unit, or a number of seconds.
fn lifetime(given: &RawValue) -> Result<Duration, ApiError> {
    read_lifetime(given.get())
        .ok_or_else(|| bad("BAD_TTL", "\"ttl\" is not a duration such as \"30s\", nor a number of seconds above 0"))
}

fn edu_content(members: &[(String, &RawValue)]) -> Bytes {
    let mut out = Vec::new();
    let mut object = RawObjectWriter::begin(&mut out);
    for (name, value) in members.iter().filter(|(name, _)| name != "update") {
        object.raw(name, value.get());
    }
    object.end();
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actors::model::DialectSpec;

    fn decoded(body: &str) -> Result<EphemeralBody, ApiError> {
        EphemeralBody::decode(&Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn ephemeral_encodes_per_dialect() {
        let update = r#"{ "n":1208925819614629174706176,"update":"typing","user_id":"@a:red","x":"\u00e9"}"#;
        let typing = decoded(&format!(r#"{{"to":["blue"],"update":{update}}}"#)).expect("sound");
        let updates = typing.fleeting(Millis(1_000), &PeerLimits::default());
        assert_eq!((updates.edu.kind.as_str(), &*updates.edu.content), ("typing", update.as_bytes()));
        let limits = PeerLimits { dialect: DialectSpec::TRANSACTIONS, ..PeerLimits::default() };
        let transactions = typing.fleeting(Millis(1_000), &limits);
        let rest = r#"{"n":1208925819614629174706176,"user_id":"@a:red","x":"\u00e9"}"#;
        assert_eq!((transactions.edu.kind.as_str(), &*transactions.edu.content), ("typing", rest.as_bytes()));
    }

    #[test]
    fn given_ttl_is_sent_once() {
        let states = |body: &str| decoded(body).expect("sound").fleeting(Millis(0), &PeerLimits::default()).states_ttl;
        assert!(states(r#"{"to":["b"],"ttl":1,"update":{"update":"t"}}"#));
        assert!(!states(r#"{"to":["b"],"ttl":1,"update":{"update":"t","ttl":9}}"#));
        assert!(!states(r#"{"to":["b"],"update":{"update":"t"}}"#));
    }

    #[test]
    fn ephemeral_ttl_is_clamped_to_peer() {
        let limits = PeerLimits { weak_ttl: Duration::from_secs(30), ..PeerLimits::default() };
        let until = |ttl: &str| {
            let body = format!(r#"{{"to":["blue"],{ttl}"update":{{"update":"typing"}}}}"#);
            decoded(&body).map(|typing| typing.fleeting(Millis(1_000), &limits).until)
        };
        assert_eq!(until(""), Ok(Millis(31_000)));
        assert_eq!(until(r#""ttl":"1500ms","#), Ok(Millis(2_500)));
        assert_eq!(until(r#""ttl":2,"#), Ok(Millis(3_000)));
        assert_eq!(until(r#""ttl":"7d","#), Ok(Millis(31_000)));
        assert_eq!(until(r#""ttl":18446744073709551615,"#), Ok(Millis(31_000)));
        for bad in [r#""30""#, "0", r#""0s""#, "-1", "1.5", "null", "[]", r#""soon""#] {
            let refused = until(&format!(r#""ttl":{bad},"#)).expect_err(bad);
            assert_eq!((refused.status().as_u16(), refused.code()), (422, "BAD_TTL"), "{bad}");
        }
    }

    #[test]
    fn ephemeral_key_identifies_subject() {
        let key = |rest: &str| decoded(&format!(r#"{{{rest}}}"#)).expect(rest).key;
        let typing = key(r#""to":["blue"],"update":{"update":"typing","user_id":"@a:red","on":true}"#);
        assert_eq!(typing, key(r#""to":["blue"],"update":{"on":false,"user_id":"@a:red","update":"typing"}"#));
        for other in [
            r#""to":["blue"],"update":{"update":"typing","user_id":"@b:red"}"#,
            r#""to":["blue"],"update":{"update":"typing","peer":"@a:red"}"#,
            r#""to":["blue"],"update":{"update":"seen","user_id":"@a:red"}"#,
            r##""context":"#room","update":{"update":"typing","user_id":"@a:red"}"##,
            r#""to":["blue"],"key":"typing","update":{"update":"typing","user_id":"@a:red"}"#,
            r#""to":["blue"],"key":"update\u0000typing","update":{"update":"typing"}"#,
        ] {
            assert_ne!(typing, key(other), "{other}");
        }
        let mine = |update| key(&format!(r#""to":["blue"],"key":"k","update":{update}"#));
        assert_eq!(mine(r#"{"update":"typing"}"#), mine(r#"{"update":"seen","user_id":"@b:red"}"#));
    }

    #[test]
    fn deep_ephemeral_update_is_refused() {
        let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        let with = |levels| decoded(&format!(r#"{{"to":["b"],"update":{{"update":"t","a":{}}}}}"#, deep(levels)));
        let edu = with(96).expect("the maximum depth").edu_content;
        let transaction = format!(r#"{{"edus":[{{"content":{}}}]}}"#, String::from_utf8_lossy(&edu));
        assert!(!nests_deeper_than(NESTING_MAX, transaction.as_bytes()), "a peer accepts it");
        assert_eq!(with(97).expect_err("too deep").code(), "NESTS_TOO_DEEP");
    }

    #[test]
    fn ephemeral_errors_map_to_codes() {
        for (body, status, code) in [
            ("", 400, "BAD_JSON"),
            ("[]", 400, "BAD_JSON"),
            (r#"{"to":["b"],"update":{"update":"t"},"tll":1}"#, 400, "UNKNOWN_KEY"),
            (r#"{"to":["b"],"to":["b"],"update":{"update":"t"}}"#, 400, "BAD_JSON"),
            (r#"{"update":{"update":"t"}}"#, 422, "BAD_TO"),
            (r#"{"to":["b"],"context":"c","update":{"update":"t"}}"#, 422, "BAD_TO"),
            (r#"{"to":[],"update":{"update":"t"}}"#, 422, "BAD_TO"),
            (r#"{"to":"b","update":{"update":"t"}}"#, 422, "BAD_TO"),
            (r#"{"context":"","update":{"update":"t"}}"#, 422, "BAD_CONTEXT"),
            (r#"{"context":7,"update":{"update":"t"}}"#, 422, "BAD_CONTEXT"),
            (r#"{"to":["b"]}"#, 422, "BAD_UPDATE"),
            (r#"{"to":["b"],"update":[]}"#, 422, "BAD_UPDATE"),
            (r#"{"to":["b"],"update":{}}"#, 422, "BAD_UPDATE"),
            (r#"{"to":["b"],"update":{"update":7}}"#, 422, "BAD_UPDATE"),
            (r#"{"to":["b"],"update":{"update":"t","update":"u"}}"#, 422, "BAD_UPDATE"),
            (r#"{"to":["b"],"key":7,"update":{"update":"t"}}"#, 422, "BAD_KEY"),
        ] {
            let refused = decoded(body).expect_err(body);
            assert_eq!((refused.status().as_u16(), refused.code()), (status, code), "{body}");
        }
    }
}
