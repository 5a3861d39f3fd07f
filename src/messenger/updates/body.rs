//! The body of a submission of updates: decoded without copying, and checked against the limits of its peers.

use actix_web::http::StatusCode;
use actors::model::ServerName;
use actors::ports::PeerConfig;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::http::error::ApiError;
use crate::http::json_error;
use crate::json::canonical::RawObject;
use crate::json::nesting::{NESTING_MAX, nests_deeper_than};
use crate::json::scanned_update::{ScannedUpdate, UpdateKind};
use crate::json::scanner::JsonScanner;
use crate::messenger::lists::{NameList, RawList};
use crate::messenger::submission;

/// Maximum number of updates in one submission: it is one commit and one trace.
const UPDATES_MAX: usize = 500;
/// Maximum nesting of an update: on the wire it is in an array in an object.
const UPDATE_NESTING_MAX: usize = NESTING_MAX - 2;

/// The decoded body: `{"to":[..],"strong":[..],"receipt"?}`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UpdatesBody {
    /// Recipients without repeats, in the order first named.
    pub(crate) to: Vec<ServerName>,
    /// The updates' exact bytes: slices of the body.
    pub(crate) strong: Vec<Bytes>,
    /// True if the messenger asks for a delivery event.
    pub(crate) receipt: bool,
}

impl UpdatesBody {
    /// Decodes a body without reference to the configuration.
    ///
    /// An unknown key is refused: if a misspelt key were ignored, updates would be lost. A body that is valid and written as usual is
    /// read in one pass; any other is read again by the parser, which says what is wrong.
    pub(crate) fn decode(body: &Bytes) -> Result<Self, ApiError> {
        Self::scan(body).map_or_else(|| Self::parse(body), Ok)
    }

    /// Decodes a body in one pass; `None`: it has to be parsed.
    pub(crate) fn scan(body: &Bytes) -> Option<Self> {
        let mut scanner = JsonScanner::new(std::str::from_utf8(body).ok()?);
        let (mut to, mut strong, mut receipt) = (None, None, None);
        scanner.members(|key, scanner| match key {
            "strong" if strong.is_none() => {
                let updates: &mut Vec<Bytes> = strong.insert(Vec::new());
                scanner.items(|scanner| {
                    let update = ScannedUpdate::read(scanner)?;
                    let is_free = !matches!(update.kind, UpdateKind::Named("pdu") | UpdateKind::Unclear);
                    let is_taken =
                        is_free && update.depth as usize <= UPDATE_NESTING_MAX && updates.len() < UPDATES_MAX;
                    updates.push(is_taken.then(|| body.slice_ref(update.text.as_bytes()))?);
                    Some(update.depth)
                })
            }
            "to" if to.is_none() => Some(to.insert(scanner.value()?).depth),
            "receipt" if receipt.is_none() => Some(receipt.insert(scanner.value()?).depth),
            _ => None,
        })?;
        let receipt = match receipt.map(|receipt| receipt.text) {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return None,
        };
        let NameList(to) = serde_json::from_str(to?.text).ok()?;
        let strong = strong.filter(|updates| !updates.is_empty())?;
        (scanner.is_at_end() && !to.is_empty()).then_some(Self { to, strong, receipt })
    }

    /// Decodes a body by the parser.
    pub(crate) fn parse(body: &Bytes) -> Result<Self, ApiError> {
        let RawObject(members) = serde_json::from_slice(body).map_err(|error| {
            ApiError::bad_request("BAD_JSON", format!("the body is not a JSON object: {}", json_error::words(&error)))
        })?;
        let (mut to, mut strong, mut receipt) = (None, None, None);
        for (name, value) in members {
            let place = match name.as_str() {
                "to" => &mut to,
                "strong" => &mut strong,
                "receipt" => &mut receipt,
                _ => return Err(ApiError::unknown_key(&name, "a submission of updates", &["to", "strong", "receipt"])),
            };
            if place.replace(value).is_some() {
                return Err(ApiError::bad_request("BAD_JSON", format!("{name:?} is given twice")));
            }
        }
        let receipt = submission::wants_receipt(receipt.map(RawValue::get))?;
        Ok(Self { to: recipients(to)?, strong: updates(body, strong)?, receipt })
    }

    /// Checks that each recipient is a peer and accepts updates of this size: an accepted update must fit into a push.
    pub(crate) fn check(&self, roster: &dyn PeerConfig, us: &ServerName) -> Result<(), ApiError> {
        let Some((place, largest)) = self.strong.iter().enumerate().max_by_key(|(_, update)| update.len()) else {
            return Ok(());
        };
        let size = largest.len() as u64;
        for server in &self.to {
            if server == us {
                return Err(ApiError::unprocessable("NOT_A_PEER", format!("{server} is this server itself")));
            }
            let limits = roster.peer_limits(server)?;
            if !limits.dialect.carries_updates {
                let dialect = limits.dialect;
                let words = format!("{server} uses the {dialect} dialect, which has no updates; use /v1/messages");
                return Err(ApiError::unprocessable("DIALECT", words));
            }
            if size > limits.batch_bytes {
                let max = limits.batch_bytes;
                let words = format!("update {place} has {size} bytes; the limit batch_bytes of {server} is {max}");
                return Err(
                    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", words).by_limit("peers.batch_bytes")
                );
            }
        }
        Ok(())
    }
}

fn recipients(given: Option<&RawValue>) -> Result<Vec<ServerName>, ApiError> {
    let given = given.ok_or_else(|| ApiError::unprocessable("BAD_TO", "\"to\" is missing"))?;
    let NameList(names) = serde_json::from_str(given.get()).map_err(|error| {
        ApiError::unprocessable(
            "BAD_TO",
            format!("\"to\" is not a list of server names: {}", json_error::words(&error)),
        )
    })?;
    if names.is_empty() {
        return Err(ApiError::unprocessable("BAD_TO", "\"to\" is empty"));
    }
    Ok(names)
}

fn updates(body: &Bytes, given: Option<&RawValue>) -> Result<Vec<Bytes>, ApiError> {
    let given = given.ok_or_else(|| ApiError::unprocessable("BAD_STRONG", "\"strong\" is missing"))?;
    let RawList::<UPDATES_MAX> { first, count } = serde_json::from_str(given.get()).map_err(|error| {
        ApiError::unprocessable(
            "BAD_STRONG",
            format!("\"strong\" is not a list of updates: {}", json_error::words(&error)),
        )
    })?;
    if count == 0 {
        return Err(ApiError::unprocessable("BAD_STRONG", "\"strong\" is empty"));
    }
    if count > UPDATES_MAX {
        let words = format!("a submission holds at most {UPDATES_MAX} updates, this one has {count}");
        return Err(ApiError::unprocessable("TOO_MANY_UPDATES", words));
    }
    if let Some(place) = first.iter().position(|text| !text.get().starts_with('{')) {
        return Err(ApiError::unprocessable("NOT_AN_OBJECT", format!("update {place} is not a JSON object")));
    }
    // A peer would always refuse it, and it would block the queue.
    if let Some(place) = first.iter().position(|text| nests_deeper_than(UPDATE_NESTING_MAX, text.get().as_bytes())) {
        let words = format!("update {place} nests deeper than {UPDATE_NESTING_MAX} levels");
        return Err(ApiError::unprocessable("NESTS_TOO_DEEP", words));
    }
    if let Some(place) = first.iter().position(|text| is_pdu(text)) {
        let words = format!("update {place} has the type \"pdu\", which is reserved for messages; use /v1/messages");
        return Err(ApiError::unprocessable("RESERVED", words));
    }
    Ok(first.iter().map(|text| body.slice_ref(text.get().as_bytes())).collect())
}

/// Returns whether a peer would read the update as a PDU.
fn is_pdu(update: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct UpdatesHead<'a> {
        #[serde(borrow)]
        update: Option<&'a RawValue>,
    }
    let head = serde_json::from_str::<UpdatesHead<'_>>(update.get()).ok();
    let kind = head.and_then(|head| serde_json::from_str::<String>(head.update?.get()).ok());
    kind.is_some_and(|kind| kind == "pdu")
}

#[cfg(test)]
mod tests {
    use actors::model::DialectSpec;

    use actix_web::ResponseError;
    use actix_web::body::MessageBody;
    use actors::limits::PeerLimits;
    use actors::testkit::TestPeers;

    use super::*;

    fn name(text: &str) -> ServerName {
        text.parse().expect("valid")
    }

    fn decoded(body: &'static str) -> Result<UpdatesBody, ApiError> {
        UpdatesBody::decode(&Bytes::from_static(body.as_bytes()))
    }

    /// Returns the status and body of an error.
    fn shown(refused: &ApiError) -> String {
        let body = refused.error_response().into_body().try_into_bytes().expect("in memory");
        format!("{} {}", refused.status_code().as_u16(), str::from_utf8(&body).expect("text"))
    }

    #[test]
    fn updates_body_keeps_bytes_uncopied() {
        let body = Bytes::from_static(
            b"{ \"strong\":[ {\"n\": 1.0e2} ,{}],\"to\":[\"Blue.example\",\"red:80\",\"blue.example\"]}",
        );
        let updates = UpdatesBody::decode(&body).expect("sound");
        assert_eq!(updates.to, [name("blue.example"), name("red:80")]);
        assert_eq!(updates.strong, ["{\"n\": 1.0e2}", "{}"]);
        assert!(body.as_ptr_range().contains(&updates.strong[0].as_ptr()), "a slice of the body");
    }

    #[test]
    fn updates_body_errors_map_to_codes() {
        for (body, expected) in [
            ("", "400 BAD_JSON"),
            ("[]", "400 BAD_JSON"),
            (r#"{"to":["b"],"strong":[{}]"#, "400 BAD_JSON"),
            (r#"{"to":["b"],"strong":[{}]}}"#, "400 BAD_JSON"),
            (r#"{"to":["b"],"to":["c"],"strong":[{}]}"#, "400 BAD_JSON"),
            (r#"{"to":["b"],"strong":[{}],"storng":[{}]}"#, "400 UNKNOWN_KEY"),
            (r#"{"strong":[{}]}"#, "422 BAD_TO"),
            (r#"{"to":[],"strong":[{}]}"#, "422 BAD_TO"),
            (r#"{"to":"b","strong":[{}]}"#, "422 BAD_TO"),
            (r#"{"to":["b",7],"strong":[{}]}"#, "422 BAD_TO"),
            (r#"{"to":["b/c"],"strong":[{}]}"#, "422 BAD_TO"),
            (r#"{"to":["b"]}"#, "422 BAD_STRONG"),
            (r#"{"to":["b"],"strong":[]}"#, "422 BAD_STRONG"),
            (r#"{"to":["b"],"strong":{}}"#, "422 BAD_STRONG"),
            (r#"{"to":["b"],"strong":[{},[]]}"#, "422 NOT_AN_OBJECT"),
            (r#"{"to":["b"],"strong":[{},{"pdu":{},"\u0075pdate":"pd\u0075"}]}"#, "422 RESERVED"),
        ] {
            let refused = shown(&decoded(body).expect_err(body));
            let (status, code) = expected.split_once(' ').expect("two words");
            assert!(
                refused.starts_with(status) && refused.contains(&format!("\"code\":\"{code}\"")),
                "{body}: {refused}"
            );
        }
        assert_eq!(
            shown(&decoded(r#"{"to":["b"],"strong":[{}],"storng":[{}]}"#).expect_err("unknown")),
            r#"400 {"error":"unknown key \"storng\" of a submission of updates; expected to, strong, receipt","code":"UNKNOWN_KEY"}"#
        );
    }

    #[test]
    fn updates_per_submission_are_bounded() {
        let with = |count| Bytes::from(format!(r#"{{"to":["b"],"strong":[{}]}}"#, vec!["{}"; count].join(",")));
        assert_eq!(UpdatesBody::decode(&with(500)).expect("the maximum number").strong.len(), 500);
        assert_eq!(
            shown(&UpdatesBody::decode(&with(501)).expect_err("one too many")),
            r#"422 {"error":"a submission holds at most 500 updates, this one has 501","code":"TOO_MANY_UPDATES"}"#
        );
    }

    #[test]
    fn deep_update_is_refused() {
        let deep = |levels: usize| {
            let update = format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
            (update.clone(), Bytes::from(format!(r#"{{"to":["b"],"strong":[{{}},{update}]}}"#)))
        };
        let (update, body) = deep(98);
        assert_eq!(UpdatesBody::decode(&body).expect("the maximum depth").strong[1], update);
        let push = format!(r#"{{"strong":[{update}],"seq":1}}"#);
        assert!(!nests_deeper_than(NESTING_MAX, push.as_bytes()), "a peer accepts it");
        assert_eq!(
            shown(&UpdatesBody::decode(&deep(99).1).expect_err("too deep")),
            r#"422 {"error":"update 1 nests deeper than 98 levels","code":"NESTS_TOO_DEEP"}"#
        );
    }

    #[test]
    fn oversized_update_names_limit_and_peer() {
        let limits = |batch_bytes| PeerLimits { batch_bytes, ..PeerLimits::default() };
        let old = PeerLimits { dialect: DialectSpec::TRANSACTIONS, ..limits(1_000) };
        let peers = TestPeers::none().listing(name("blue"), limits(1_000)).listing(name("green"), limits(8));
        let peers = peers.listing(name("old"), old);
        let check = |body| decoded(body).expect("sound").check(&peers, &name("red")).map_err(|refused| shown(&refused));
        assert_eq!(check(r#"{"to":["blue"],"strong":[{"a":1234}]}"#), Ok(()));
        assert_eq!(check(r#"{"to":["blue","green"],"strong":[{"a":12}]}"#), Ok(()), "the maximum size");
        assert_eq!(
            check(r#"{"to":["blue","green"],"strong":[{},{"a":123}]}"#),
            Err(r#"413 {"error":"update 1 has 9 bytes; the limit batch_bytes of green is 8","code":"TOO_LARGE"}"#
                .into())
        );
        assert_eq!(
            check(r#"{"to":["blue","grey"],"strong":[{}]}"#),
            Err(r#"422 {"error":"grey is not a peer of this server","code":"NOT_A_PEER"}"#.into())
        );
        assert_eq!(
            check(r#"{"to":["blue","old"],"strong":[{}]}"#),
            Err(concat!(
                r#"422 {"error":"old uses the transactions dialect, which has no updates; use /v1/messages","#,
                r#""code":"DIALECT"}"#
            )
            .into())
        );
        assert_eq!(
            check(r#"{"to":["red"],"strong":[{}]}"#),
            Err(r#"422 {"error":"red is this server itself","code":"NOT_A_PEER"}"#.into())
        );
    }
}
