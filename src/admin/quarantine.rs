//! `/admin/v1/quarantine`: quarantined items and dead letters in one form. A quarantined item could not be delivered to
//! the messenger; a dead letter was refused by a peer.

pub(super) mod bulk;

use std::fmt;
use std::str::FromStr;

use actix_web::{HttpResponse, web};
use actors::model::{DeadLetterReason, ServerName};
use actors::ports::{Direction, ParkedFilter, ParkedRow, QuarantineItemKind, QuarantineKey, QuarantineReason};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::AdminApi;
use super::answer::{page, server};
use crate::api::pdus::PartialPduName;
use crate::api::quarantine::{QuarantineListPage, QuarantineRow};
use crate::http::error::ApiError;
use crate::http::query;
use crate::http::responses::rfc3339;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QuarantineListQuery {
    /// Only items of this server.
    server: Option<String>,
    /// Only items that were received (`in`), or were to be sent (`out`).
    direction: Option<String>,
    /// Only items of this kind: `pdu` or `update`.
    kind: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// Number of rows, 100 if it is absent. More than 1,000 are 1,000.
    limit: Option<u32>,
}

/// Returns the reason as a code. For an item that the peer refused, the reason text is the peer's own.
pub(super) const fn code(why: QuarantineReason) -> &'static str {
    match why {
        QuarantineReason::Inbound(code) => code.as_str(),
        QuarantineReason::Outbound(DeadLetterReason::Parked | DeadLetterReason::Refused) => "REFUSED_BY_PEER",
        QuarantineReason::Outbound(DeadLetterReason::ParkedByPeer) => "PARKED_BY_PEER",
        QuarantineReason::Outbound(DeadLetterReason::Rejected) => "REJECTED_BY_MESSENGER",
        QuarantineReason::Outbound(DeadLetterReason::Expired) => "EXPIRED",
        QuarantineReason::Outbound(DeadLetterReason::Dropped) => "TAKEN_OUT",
    }
}

impl From<ParkedRow> for QuarantineRow {
    fn from(row: ParkedRow) -> Self {
        let (context, pdu, seq) = match &row.what {
            QuarantineItemKind::UpdateIn(seq) => (None, None, Some(seq.0)),
            QuarantineItemKind::PduIn { origin, id, context } => {
                let named = PartialPduName { origin: origin.clone(), pdu_id: id.clone() };
                (context.as_ref().map(ToString::to_string), Some(named), None)
            }
            QuarantineItemKind::ForwardIn(seq, origin) => {
                let named = PartialPduName { origin: Some(origin.to_string()), pdu_id: None };
                (None, Some(named), Some(seq.0))
            }
            QuarantineItemKind::UpdateOut => (None, None, None),
            QuarantineItemKind::PduOut(reference, context) => {
                (Some(context.to_string()), Some(PartialPduName::from(reference)), None)
            }
        };
        Self {
            server: row.place.server.to_string(),
            id: QuarantineId::of(&row.place).to_string(),
            direction: direction(row.place.direction).into(),
            number: row.place.number,
            kind: if row.what.is_pdu() { "pdu" } else { "update" }.into(),
            code: code(row.code).into(),
            reason: row.reason,
            time: rfc3339(row.time),
            context,
            pdu,
            seq,
            submission: row.submission.map(|id| id.to_string()),
            size: row.size,
            body: row.bytes.map(|bytes| body(&bytes)),
        }
    }
}

/// Returns the item as received. If it is not JSON it is returned as a JSON string.
fn body(bytes: &[u8]) -> Box<RawValue> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    RawValue::from_string(text.clone()).unwrap_or_else(|_| {
        let text = serde_json::to_string(&text).expect("a text is JSON");
        RawValue::from_string(text).expect("just written")
    })
}

pub(super) const fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::In => "in",
        Direction::Out => "out",
    }
}

/// The operator's id of an item: `in:7`, `out:12`, or the number alone if only one direction has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QuarantineId {
    direction: Option<Direction>,
    number: u64,
}

impl QuarantineId {
    pub(super) const fn of(place: &QuarantineKey) -> Self {
        Self { direction: Some(place.direction), number: place.number }
    }
}

impl fmt::Display for QuarantineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.direction {
            Some(way) => write!(f, "{}:{}", direction(way), self.number),
            None => write!(f, "{}", self.number),
        }
    }
}

impl FromStr for QuarantineId {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        let bad = || {
            let words = format!("{text:?} is not the id of an item; use in:NUMBER or out:NUMBER, as listed");
            ApiError::bad_request("BAD_ID", words)
        };
        let (way, number) = match text.split_once(':') {
            Some((way, number)) => (Some(direction_of(way).ok_or_else(bad)?), number),
            None => (None, text),
        };
        Ok(Self { direction: way, number: number.parse().map_err(|_| bad())? })
    }
}

fn direction_of(text: &str) -> Option<Direction> {
    match text {
        "in" => Some(Direction::In),
        "out" => Some(Direction::Out),
        _ => None,
    }
}

/// Parses the parameters that select items.
pub(super) fn filter(
    server: Option<ServerName>,
    direction: Option<&str>,
    kind: Option<&str>,
) -> Result<ParkedFilter, ApiError> {
    let bad = |what: &str, value: &str, known: &str| {
        ApiError::bad_request("BAD_FILTER", format!("{what} must be {known}, not {value:?}"))
    };
    let pdus = kind.map(|kind| match kind {
        "pdu" => Ok(true),
        "update" => Ok(false),
        other => Err(bad("kind", other, "pdu or update")),
    });
    let way = direction.map(|way| direction_of(way).ok_or_else(|| bad("direction", way, "in or out")));
    Ok(ParkedFilter { server, direction: way.transpose()?, pdus: pdus.transpose()? })
}

/// Formats a key as the `next` of a page.
pub(super) fn written(place: &QuarantineKey) -> String {
    format!("{}/{}", place.server, QuarantineId::of(place))
}

/// Parses the `next` of a page.
pub(super) fn place(text: &str) -> Result<QuarantineKey, ApiError> {
    let place = text.split_once('/').and_then(|(server, id)| {
        let (server, id) = (server.parse::<ServerName>().ok()?, id.parse::<QuarantineId>().ok()?);
        Some(QuarantineKey { server, direction: id.direction?, number: id.number })
    });
    place.ok_or_else(|| ApiError::bad_request("BAD_AFTER", format!("{text:?} is not the `next` of an earlier page")))
}

/// Returns a page of items, ordered by server, inbound before outbound.
pub(super) async fn list(
    api: web::Data<AdminApi>,
    asked: query::QueryParams<QuarantineListQuery>,
) -> Result<HttpResponse, ApiError> {
    let of = asked.server.as_deref().map(|name| server(&api.gateway, name)).transpose()?;
    let filter = filter(of, asked.direction.as_deref(), asked.kind.as_deref())?;
    let after = asked.after.as_deref().map(place).transpose()?;
    let page = api.inspect.parked(filter, after, page(asked.limit)).await?;
    let next = page.next.map(|place| written(&place));
    let items = page.rows.into_iter().map(QuarantineRow::from).collect();
    Ok(HttpResponse::Ok().json(QuarantineListPage { items, next }))
}

/// Returns one item with its content.
pub(super) async fn show(
    api: web::Data<AdminApi>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(QuarantineRow::from(find(&api, &path).await?)))
}

/// Finds the item that a path names.
pub(super) async fn find(api: &AdminApi, (name, id): &(String, String)) -> Result<ParkedRow, ApiError> {
    let server = server(&api.gateway, name)?;
    let id: QuarantineId = id.parse()?;
    let ways = id.direction.map_or(vec![Direction::In, Direction::Out], |way| vec![way]);
    let mut found = Vec::new();
    for direction in ways {
        let place = QuarantineKey { server: server.clone(), direction, number: id.number };
        found.extend(api.inspect.parked_row(place).await?);
    }
    match (found.pop(), found.pop()) {
        (Some(row), None) => Ok(row),
        (None, _) => {
            let words = format!("{server} has no quarantined item {id}; see `fernpost quarantine list`");
            Err(ApiError::not_found("UNKNOWN_ITEM", words))
        }
        (Some(_), Some(_)) => {
            let words = format!("{server} has two items with this number; use in:{0} or out:{0}", id.number);
            Err(ApiError::unprocessable("AMBIGUOUS_ID", words))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarantine_id_round_trips() {
        for text in ["in:7", "out:12", "9"] {
            assert_eq!(text.parse::<QuarantineId>().expect("an id").to_string(), text);
        }
        for text in ["", "in:", "up:7", "in:-1", "7:in", "in:7:8"] {
            assert!(text.parse::<QuarantineId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn quarantined_body_shows_raw_or_text() {
        assert_eq!(body(br#"{ "n":1e2 }"#).get(), r#"{ "n":1e2 }"#);
        assert_eq!(body(b"no \xff").get(), "\"no \u{fffd}\"");
    }
}
