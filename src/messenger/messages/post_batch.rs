//! `POST /v1/messages`: submits many messages in one call, each with its own result.

use std::borrow::Cow;

use actix_web::http::StatusCode;
use actix_web::{Error, HttpResponse, web};
use actors::errors::UnavailableError;
use actors::model::{ComposedPdu, ServerName};
use bytes::Bytes;

use crate::api::pdus::PduName;
use crate::api::submissions::{BatchAnswer, BatchEntry, EntryOutcome};
use crate::http::error::ApiError;
use crate::http::json_error;
use crate::json::canonical::{NamedValue, scanned_members, split_object};
use crate::json::reader;
use crate::json::reader::items;
use crate::json::scanner::{JsonScanner, ScannedValue};
use crate::messenger::MessengerApi;
use crate::messenger::answer::unreadable_body;
use crate::messenger::lists::RawList;
use crate::messenger::messages::body::MessageBody;
use crate::messenger::messages::submit::{Outcome, SubmittedMessage, submit_messages};
use crate::messenger::submission;
use crate::messenger::uncancelled_call::UncancelledCall;

/// Maximum number of messages in one call.
const MESSAGES_MAX: usize = 500;
/// Maximum bytes of one call, even if larger bodies are allowed elsewhere.
const BATCH_BYTES: usize = 8 << 20;

/// Submits a batch, and responds after all its commits.
pub(crate) async fn post(api: web::Data<MessengerApi>, body: Result<Bytes, Error>) -> Result<HttpResponse, ApiError> {
    let body = body.map_err(|error| unreadable_body(&error, api.limits.body_max))?;
    let elements = decode(&body)?;
    UncancelledCall::new(async move { take(&api, elements).await }).await
}

async fn take(api: &MessengerApi, elements: Vec<BatchElement>) -> Result<HttpResponse, ApiError> {
    let sound = || elements.iter().filter_map(|element| element.message.as_ref().ok());
    let _turns = submission::turns(api, sound().map(|message| message.id.clone()).collect()).await?;
    let said = submit_messages(api, sound().cloned().collect()).await;
    Ok(HttpResponse::Ok().json(answer(&elements, &said)))
}

/// An element of the list.
#[derive(Debug)]
pub(crate) struct BatchElement {
    /// Id as given, if it is a string.
    id: Option<String>,
    /// Message, or the error if it is invalid.
    pub(crate) message: Result<SubmittedMessage, ApiError>,
}

pub(crate) fn decode(body: &Bytes) -> Result<Vec<BatchElement>, ApiError> {
    if body.len() > BATCH_BYTES {
        let words = format!("a batch has at most {BATCH_BYTES} bytes, this one has {}", body.len());
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", words));
    }
    if let Some(elements) = std::str::from_utf8(body).ok().and_then(scanned_batch) {
        let mut read = Vec::with_capacity(elements.len());
        for members in elements {
            let next = element(body, members, read.last());
            read.push(next);
        }
        return Ok(read);
    }
    decode_by_parts(body)
}

/// Returns the members of each element, read in one pass; `None` if the body must be read part by part, because it is not valid, has
/// another form or too many elements, or an element is no object.
fn scanned_batch(text: &str) -> Option<Vec<Vec<NamedValue<'_>>>> {
    let (mut list, mut scanner) = (None, JsonScanner::new(text));
    scanner.members(|key, scanner| {
        if key != "messages" || list.is_some() {
            return None;
        }
        let elements = list.insert(Vec::new());
        scanner.items(|scanner| {
            let (members, depth) = scanned_members(scanner).filter(|_| elements.len() < MESSAGES_MAX)?;
            elements.push(members);
            Some(depth)
        })
    })?;
    list.filter(|_| scanner.is_at_end())
}

/// Reads the body, the list and each element one after the other, so that an error names the part that is wrong.
fn decode_by_parts(body: &Bytes) -> Result<Vec<BatchElement>, ApiError> {
    let bad = |words: String| ApiError::bad_request("BAD_JSON", words);
    let members = split_object(body)
        .map_err(|error| bad(format!("the body is not a JSON object: {}", json_error::words(&error))))?;
    let list = match members.as_slice() {
        [(name, list)] if name == "messages" => *list,
        _ => return Err(bad("the body is not {\"messages\":[..]}".into())),
    };
    let Some((first, count)) = items(list, MESSAGES_MAX) else {
        let parsed = serde_json::from_str::<RawList<'_, MESSAGES_MAX>>(list.get());
        let error = parsed.map(|_| ()).expect_err("it is no list");
        return Err(bad(format!("\"messages\" is not a list: {}", json_error::words(&error))));
    };
    if count > MESSAGES_MAX {
        let words = format!("a batch holds at most {MESSAGES_MAX} messages, this one has {count}");
        return Err(ApiError::unprocessable("TOO_MANY_MESSAGES", words));
    }
    let read = |text: ScannedValue<'_>| match split_object(text.get().as_bytes()) {
        Ok(members) => element(body, members, None),
        Err(error) => {
            let why = bad(format!("the message is not a JSON object: {}", json_error::words(&error)));
            BatchElement { id: None, message: Err(why) }
        }
    };
    Ok(first.into_iter().map(read).collect())
}

/// Reads an element. `before`: the element before it, with which it shares what is the same.
fn element(body: &Bytes, mut members: Vec<NamedValue<'_>>, before: Option<&BatchElement>) -> BatchElement {
    let Some(place) = members.iter().position(|(name, _)| name == "id") else {
        return BatchElement { id: None, message: Err(ApiError::unprocessable("BAD_ID", "\"id\" is missing")) };
    };
    // The remaining members are those of a single message's body, in which a second "id" is an unknown key.
    let (_, id) = members.remove(place);
    let Some(id) = reader::text(id.get()).map(Cow::into_owned) else {
        return BatchElement { id: None, message: Err(ApiError::unprocessable("BAD_ID", "\"id\" is not a string")) };
    };
    let before = before.and_then(|before| before.message.as_ref().ok()).map(|message| &message.body);
    let message = submission::id(&id)
        .and_then(|id| Ok(SubmittedMessage { id, body: MessageBody::decode(body, members, before)? }));
    BatchElement { id: Some(id), message }
}

/// Returns one entry per element, in order; `said` has one result for each valid element.
fn answer<'a>(elements: &'a [BatchElement], said: &'a [Outcome]) -> BatchAnswer<&'a str> {
    let mut said = said.iter();
    let mut entry = |BatchElement { id, message }: &'a BatchElement| {
        let id = id.as_deref();
        match message.as_ref().map(|_| said.next()) {
            Ok(Some(Ok(composed))) => accepted(id, composed),
            Ok(Some(Err(problem))) | Err(problem) => refused(id, problem),
            Ok(None) => refused(id, &UnavailableError::OutcomeUnknown.into()),
        }
    };
    BatchAnswer { messages: elements.iter().map(&mut entry).collect() }
}

fn accepted<'a>(id: Option<&'a str>, composed: &'a ComposedPdu) -> BatchEntry<&'a str> {
    let peers = composed.peers.iter().map(ServerName::as_str).collect();
    let outcome = EntryOutcome::Accepted { pdu: PduName::from(&composed.reference), peers };
    BatchEntry { id, status: StatusCode::ACCEPTED.as_u16(), outcome }
}

fn refused<'a>(id: Option<&'a str>, problem: &ApiError) -> BatchEntry<&'a str> {
    let outcome = EntryOutcome::Refused { error: problem.to_string(), code: problem.code() };
    BatchEntry { id, status: problem.status().as_u16(), outcome }
}

#[cfg(test)]
mod tests {
    use actors::errors::ContextError;

    use super::*;

    fn shown(elements: &[BatchElement]) -> Vec<String> {
        let word = |element: &BatchElement| match &element.message {
            Ok(message) => format!("{} in {}", message.id, message.body.context),
            Err(problem) => format!("{:?}: {} {}", element.id, problem.status().as_u16(), problem.code()),
        };
        elements.iter().map(word).collect()
    }

    #[test]
    fn batch_elements_parse_independently() {
        let body = Bytes::from_static(
            br#"{"messages":[{"id":"a","context":"c","type":"t","content":1},7,{"context":"c"},{"id":7},{"id":"a b"},
                {"id":"d","context":"c","type":"t"},{"id":"e","id":"f","context":"c","type":"t","content":1},
                {"context":"d","type":"t","content":1,"id":"a"}]}"#,
        );
        assert_eq!(
            shown(&decode(&body).expect("a batch")),
            [
                "a in c",
                "None: 400 BAD_JSON",
                "None: 422 BAD_ID",
                "None: 422 BAD_ID",
                "Some(\"a b\"): 422 BAD_ID",
                "Some(\"d\"): 422 BAD_CONTENT",
                "Some(\"e\"): 400 UNKNOWN_KEY",
                "a in d",
            ]
        );
    }

    #[test]
    fn batch_scan_agrees_with_parts() {
        for text in [
            r#"{"messages":[{"id":"a","context":"c","type":"t","content":{"x":[1]}},{"id":"b"},{}]}"#,
            r#" { "messages" : [ { "\u0069d" : "a" , "context" : "c", "type":"t", "content" : "\"" } ] } "#,
            r#"{"messages":[]}"#,
            r#"{"messages":[{"id":"a","id":"b"}]}"#,
            r#"{"messages":[{"id":"a"}],"messages":[]}"#,
            r#"{"messages":[7,{"id":"a"}]}"#,
            r#"{"messages":[{"id":"a"}]"#,
            r#"{"\u006dessages":[{"id":"a"}]}"#,
        ] {
            let (body, scanned) = (Bytes::copy_from_slice(text.as_bytes()), scanned_batch(text));
            let by_parts = decode_by_parts(&body).map_err(|refused| refused.to_string());
            assert_eq!(scanned.is_some(), !text.contains('7') && !text.contains("006d") && by_parts.is_ok(), "{text}");
            let whole = decode(&body).map_err(|refused| refused.to_string());
            assert_eq!(format!("{whole:?}"), format!("{by_parts:?}"), "{text}");
        }
    }

    #[test]
    fn malformed_or_long_batch_is_refused() {
        let refused =
            |body: Bytes| decode(&body).map(|elements| elements.len()).map_err(|refused| refused.status().as_u16());
        for bad in ["", "[]", "{}", r#"{"messages":{}}"#, r#"{"messages":[]}x"#, r#"{"messages":[],"messages":[]}"#] {
            assert_eq!(refused(Bytes::from_static(bad.as_bytes())), Err(400), "{bad}");
        }
        assert_eq!(refused(Bytes::from_static(br#"{"messages":[]}"#)), Ok(0));
        let with = |count| Bytes::from(format!(r#"{{"messages":[{}]}}"#, vec!["{}"; count].join(",")));
        assert_eq!((refused(with(500)), refused(with(501))), (Ok(500), Err(422)));
        assert_eq!(refused(Bytes::from(vec![b' '; BATCH_BYTES + 1])), Err(413));
    }

    #[test]
    fn batch_entry_matches_single_response() {
        let body = Bytes::from_static(
            br#"{"messages":[{"id":"a","context":"c","type":"t","content":1},{},{"id":"b","context":"c","type":"t","content":1}]}"#,
        );
        let reference =
            actors::model::PduRef { origin: "red".parse().expect("valid"), id: "0190a1b2".parse().expect("valid") };
        let composed = ComposedPdu { reference, peers: vec!["blue".parse().expect("valid")] };
        let unknown = ContextError::UnknownContext("c".parse().expect("valid"));
        let elements = decode(&body).expect("a batch");
        assert_eq!(
            serde_json::to_string(&answer(&elements, &[Ok(composed), Err(unknown.into())])).expect("plain"),
            concat!(
                r#"{"messages":[{"id":"a","status":202,"pdu":{"origin":"red","pdu_id":"0190a1b2"},"peers":["blue"]},"#,
                r#"{"id":null,"status":422,"error":"\"id\" is missing","code":"BAD_ID"},"#,
                r#"{"id":"b","status":404,"error":"there is no context c","code":"UNKNOWN_CONTEXT"}]}"#
            )
        );
    }
}
